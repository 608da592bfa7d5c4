"""What would not be seen: the smallest fault that is told within 5, 15 and 60 minutes, by signal and hour.

In: recorded counts, settings. Out: lines for a person, or plain values.
Never: a blank that looks like good news: what still learns says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from alerts.wording import percent
from collector.dataset import Dataset
from collector.errors import printable
from collector.moments import rfc3339
from detectors.blindspots import Blindspot, blindspots
from detectors.learning import WORDS, Learning, learning
from stillwatch.backtest import replay
from stillwatch.config import Settings

WITHIN = (300, 900, 3600)  # seconds


def blind(
    dataset: Dataset,
    settings: Settings,
    progress: Callable[[int], object],
    played: Callable[[int], object],
) -> dict[str, Any]:
    """Judge the history, then ask what would be seen in the day after it.

    progress: see backtest.replay; played: is told of each signal to which faults were played.
    """
    done = replay(dataset, settings, progress)
    found = blindspots(done.state.memory, done.plan, dataset.table, dataset.bins, WITHIN, played)
    known = learning(done.state.memory.columns, done.plan)
    waiting = [
        {"service": s.service, "signal": s.name, "waits": WORDS[Learning(known[i])]}
        for i, s in enumerate(done.plan.signals)
        if known[i] != Learning.READY
    ]
    return {"within": list(WITHIN), "hours": [asdict(one) for one in found], "waiting": waiting}


def lines(told: dict[str, Any], hours: bool) -> list[str]:
    """A table; without `hours` the busiest and the quietest hour of each signal."""
    spots = [Blindspot(**{**one, "smallest": tuple(one["smallest"])}) for one in told["hours"]]
    rows = [["service", "signal", "hour (UTC)", "usual", "within 5 min", "15 min", "60 min"]]
    for spot in spots if hours else _ends(spots):
        usual = (
            percent(spot.usual) + " fail" if spot.what == "error share" else f"{spot.usual:,.3g} an interval"
        )
        sizes = [_size(spot, size) for size in spot.smallest]
        rows.append([spot.service, spot.signal, rfc3339(spot.start)[11:16], usual, *sizes])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    said = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    said += [f"{one['service']} {one['signal']}: {one['waits']}" for one in told["waiting"]]
    return [printable(line) for line in said]


def _ends(spots: Sequence[Blindspot]) -> list[Blindspot]:
    """Of each signal the hours in which the least and the most can go unseen within an hour."""
    by_signal: dict[tuple[str, str], list[Blindspot]] = {}
    for spot in spots:
        by_signal.setdefault((spot.service, spot.signal), []).append(spot)
    found = []
    for its in by_signal.values():
        ordered = sorted(its, key=lambda s: 2.0 if s.smallest[-1] is None else s.smallest[-1])
        found += [ordered[0], ordered[-1]] if len(ordered) > 1 else ordered
    return found


def _size(spot: Blindspot, size: float | None) -> str:
    if size is None:
        return "not even all"
    return f"{percent(size)} fail" if spot.what == "error share" else f"{percent(size)} lost"
