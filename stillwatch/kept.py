"""How the watch goes on after a stop: what it kept of the collector and of the engine, read back.

In: a store. Out: the collector as of the last commit, what was acknowledged since, the engine's state.
Never: a start that fails because a cache is broken.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any
from zipfile import BadZipFile

import numpy as np

from collector.binner import Binner
from collector.bins import SeriesTable
from collector.counters import Counters
from collector.deployments import Deployment
from collector.points import Limits, Readings
from collector.words import Word
from stillwatch import snapshot
from stillwatch.engine import State
from stillwatch.journal import unpack_noted
from stillwatch.store import Store
from stillwatch.tables import StoreTrouble

Noted = tuple[Readings, str] | Deployment | Word  # what stands in the journal; readings with their source

log = logging.getLogger(__name__)

# What reading an array file back may raise when it is cut, altered, or written by another version.
UNREADABLE = (ValueError, KeyError, IndexError, TypeError, EOFError, BadZipFile)


def packed(counters: Counters, binner: Binner) -> bytes:
    """The collector as bytes."""
    arrays: dict[str, Any] = {f"counters.{name}": value for name, value in counters.state().items()}
    arrays |= {f"binner.{name}": value for name, value in binner.state().items()}
    # An array of text has four bytes for each letter, and this is written with each interval.
    lean: dict[str, Any] = {name: of.encode() if isinstance(of, str) else of for name, of in arrays.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **lean)
    return buffer.getvalue()


def collector(
    store: Store, table: SeriesTable, limits: Limits | None = None
) -> tuple[Counters, Binner] | None:
    """What `packed` kept; None when there is none that can be read.

    Without it the first totals of each process are not counted again, and an interval or two not watched.
    """
    raw = store.collector()
    if raw is None:
        return None
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
            of: dict[str, dict[str, Any]] = {"counters": {}, "binner": {}}
            for name in arrays.files:
                room, _, rest = name.partition(".")
                if rest:
                    value = arrays[name]
                    of[room][rest] = value.item().decode() if value.dtype.kind == "S" else value
        counters = Counters.restore(of["counters"], limits)
        # As of its own last word: the store knows better since when nobody listened.
        binner = Binner.restore(of["binner"], table, now=float(of["binner"]["heard"][0]), limits=limits)
    except UNREADABLE as error:
        log.warning("the kept state of the collector cannot be read, it begins anew: %s", error)
        return None
    return counters, binner


def journal(store: Store, after: int = 0, before: int | None = None) -> Iterator[tuple[int, float, Noted]]:
    """(number, received, what) of what was acknowledged since the last commit, in order; see Store.noted."""
    for number, received, body in store.noted(after, before):
        try:
            yield number, received, unpack_noted(body)
        except ValueError as error:
            raise StoreTrouble(f"{store.name}: damaged at journal row {number}: {error}") from error


def remembered(store: Store) -> tuple[State, int | None]:
    """The newest state of the engine that can be read, and the end of the last interval in it (or None)."""
    for upto, raw in store.snapshots():
        try:
            return snapshot.load(raw), upto
        except UNREADABLE as error:
            log.warning("a snapshot cannot be read, an older one will do: %s", error)
    return State.empty(), None
