"""What takes long, in a process of its own: the daemon neither waits for it nor needs room for it.

In: settings, what is to be explained. Out: lines, or ValueError with the reason.
Never: a child that outlives the daemon, or comes before its ticks.
"""

from __future__ import annotations

import os
import signal
from multiprocessing import get_context
from multiprocessing.connection import Connection

from stillwatch.config import Settings

PATIENCE = 1500.0  # seconds: Slack takes an answer for half an hour
NICER = 10


def explain(settings: Settings, service: str, at: str) -> list[str]:
    """Why something of `service` was told at that time (RFC 3339 or epoch seconds; the last interval where it is
    empty), or not. Raises ValueError: nothing was recorded then, no such service, it took too long or broke."""
    spawn = get_context("spawn")  # a fork of a process with threads may stand still
    here, there = spawn.Pipe(duplex=False)
    child = spawn.Process(target=_in_child, args=(there, settings, service, at), daemon=True)
    child.start()
    there.close()
    try:
        if not here.poll(PATIENCE):
            raise ValueError(
                f"it took longer than {PATIENCE / 60:.0f} minutes; ask `stillwatch explain` instead"
            )
        done, said = here.recv()
    except EOFError:
        raise ValueError("it broke; the log of the daemon says why") from None
    finally:
        child.terminate()
        child.join(5)
        here.close()
    if not done:
        raise ValueError(said[0])
    return list(said)


def _in_child(there: Connection, settings: Settings, service: str, at: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the daemon ends us when it ends
    os.nice(NICER)
    try:
        there.send((True, _lines(settings, service, at)))
    except ValueError as reason:
        there.send((False, [str(reason)]))


def _lines(settings: Settings, service: str, at: str) -> list[str]:
    from collector import moments
    from collector.dataset import Dataset
    from stillwatch import explained
    from stillwatch.store import existing
    from stillwatch.tables import StoreTrouble

    try:
        moment = int(moments.seconds(at)) if at else None
    except ValueError as error:
        raise ValueError(f"found {at[:40]!r}, expected {error}") from None
    try:
        with existing(settings.database) as store:
            table, bins, deployments = store.export()
            words = store.words(upto=int(bins.closed[-1]))
    except StoreTrouble as trouble:
        raise ValueError(str(trouble)) from None
    recorded = Dataset(table, bins, deployments, (), words=words)
    last = bins.end - bins.width if moment is None else moment
    return explained.lines(explained.explained(recorded, settings, service, last, lambda done: None))
