"""Measured counts as they arrive, in columns: what senders say, and what they amount to.

In: columns from a decoder. Out: Readings (running totals or deltas), Points (counts over a time range), why_not.
Never: a clock, a row number for what was refused, a zero for what was not measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.bins import SeriesKey

NANOS = 1_000_000_000


class Stream(NamedTuple):
    """Who counts: `instance` is the whole resource (one process), `scope` tells counters within it apart.

    Neither belongs to the name of a series: a hundred pods count into one series, each with its own total.
    """

    instance: str
    scope: str


class Catalogue:
    """The counters that a decoder has read so far; each has a number for as long as the catalogue is used.

    Who has looked up what a number means needs to do so only once. Safe to read while another thread adds.
    """

    def __init__(self) -> None:
        self.keys: list[SeriesKey] = []
        self.entered: list[int] = []
        self.streams: list[Stream] = []
        self.stream: list[int] = []  # of each counter, the place in `streams`
        self._places: dict[Stream, int] = {}

    def __len__(self) -> int:
        return len(self.stream)

    def add(self, key: SeriesKey, stream: Stream, entered: int = 0) -> int:
        """The number of a counter that has none. entered: see Readings."""
        self.keys.append(key)
        self.entered.append(entered)
        self.stream.append(self.place(stream))
        return len(self.entered) - 1

    def add_all(self, keys: Sequence[SeriesKey], stream: Stream) -> range:
        """The numbers of counters of one stream that have none."""
        return self.add_each(keys, [self.place(stream)] * len(keys))

    def add_each(self, keys: Sequence[SeriesKey], places: Sequence[int]) -> range:
        """The numbers of counters that have none. places: of the stream of each (see `place`)."""
        first = len(self)
        self.keys += keys
        self.entered += [0] * len(keys)
        self.stream += places
        return range(first, len(self))

    def place(self, stream: Stream) -> int:
        """The place of a stream in `streams`."""
        place = self._places.get(stream)
        if place is None:
            place = self._places[stream] = len(self.streams)
            self.streams.append(stream)
        return place


class Sign(NamedTuple):
    """A sign of life of a process: it was reached at `time`, and runs since `start`; epoch nanoseconds, start 0 =
    not said."""

    instance: str
    time: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class Readings:
    """What a request says, one row per data point, columns of equal length n.

    keys: SeriesKey[n]; streams: the distinct streams of the request; stream: int64[n] index into them;
    start, time: int64[n] epoch nanoseconds, start 0 = not said; value: float64[n];
    cumulative: bool[n], value is a running total since `start`, else the count between start and time.
    refused: data points at fault, by reason; skipped: data points that are no counts (gauges), by reason.
    entered: int64[n] epoch nanoseconds, when the events had entered, 0 = not said; None where nobody says.
    catalogue: where a decoder keeps one, and counter: int64[n] numbers in it.
    signs: what the sender says of processes beside what they counted. tellers: of each stream, which of several
    equal senders tells of it, "" = there is but one; empty where nobody says.
    """

    keys: tuple[SeriesKey, ...]
    streams: tuple[Stream, ...]
    stream: NDArray[np.int64]
    start: NDArray[np.int64]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    cumulative: NDArray[np.bool_]
    refused: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    entered: NDArray[np.int64] | None = None
    catalogue: Catalogue | None = None
    counter: NDArray[np.int64] | None = None
    signs: tuple[Sign, ...] = ()
    tellers: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Points:
    """Events counted in time ranges, one row per range, columns of equal length n.

    row: int64[n] row of the series table; start, end: int64[n] epoch nanoseconds, the events happened
    after start and not after end, start == end is a moment; count: float64[n], 0 = measured, none came.
    refused: what was left out on the way here, by reason. entered: as of Readings.
    """

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    count: NDArray[np.float64]
    refused: Mapping[str, int] = field(default_factory=dict)
    entered: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Limits:
    """ahead, age: seconds by which a count may be newer or older than now.

    series: rows at most, of all services; per_service: of one; counters: running totals that are followed, each of
    one process.

    skew: seconds by which the clock that says when an event entered may be ahead of the one that counts it.
    """

    ahead: int = 300
    age: int = 86400
    series: int = 200_000
    per_service: int = 20_000
    counters: int = 1_000_000
    skew: int = 60


REASONS = ("", "not finite", "negative", "far future", "too old", "entered after it was counted")


def why_not(
    time: NDArray[np.int64],
    value: NDArray[np.float64],
    now: float,
    limits: Limits,
    entered: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """int64[n], index into REASONS of why each is refused; 0 = it is not.

    time: int64[n] epoch nanoseconds, value: float64[n], now: epoch seconds, entered: see Readings.
    """
    why = np.zeros(len(time), dtype=np.int64)
    if entered is not None:
        why[entered > time + limits.skew * NANOS] = 5
    why[time < int((now - limits.age) * NANOS)] = 4
    why[time > int((now + limits.ahead) * NANOS)] = 3
    why[value < 0] = 2
    why[~np.isfinite(value)] = 1
    return why


def tally(why: NDArray[np.int64]) -> dict[str, int]:
    """How many were refused, by reason."""
    counts = np.bincount(why, minlength=len(REASONS)).tolist()
    return {reason: n for reason, n in zip(REASONS[1:], counts[1:], strict=True) if n}
