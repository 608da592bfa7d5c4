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
from detectors.blindspots import HOURS, Blindspot, blindspots
from stillwatch.replaying import Replay
from stillwatch.young import young

SILENT = "nothing is expected in the coming day, or a fault of it is told just now"
NOTHING = "nothing is watched: no names suggest a signal; name them in stillwatch.yaml"
WITHIN = (300, 900, 3600)  # seconds
REPORTED = (300, 600, 900, 3600)  # seconds, in a report
FREE = 200  # hours of signals that every report may play faults to: one or two seconds
PER_HOUR = 50_000  # signal-bins of a replay that pay for one more
STEPS = (2, 3, 4, 6, 8, 12, HOURS)  # hours between two that are asked about


def blind(dataset: Dataset, done: Replay, played: Callable[[int], object]) -> dict[str, Any]:
    """What would be seen in the day after a replay. played: is told of each signal to which faults were played."""
    found = blindspots(done.state.memory, done.plan, dataset.table, dataset.bins, WITHIN, played)
    said = young(done.state.memory, done.plan, dataset.table, dataset.bins.end)
    waiting = [
        {"service": s.service, "signal": s.name, "waits": said[i]}
        for i, s in enumerate(done.plan.signals)
        if i in said
    ]
    named = {(one.service, one.signal) for one in found} | {(w["service"], w["signal"]) for w in waiting}
    # A blank would look like good news.
    waiting += [
        {"service": s.service, "signal": s.name, "waits": SILENT}
        for s in done.plan.signals
        if s.kind != "rollout" and (s.service, s.name) not in named
    ]
    return {"within": list(WITHIN), "hours": [asdict(one) for one in found], "waiting": waiting}


def reported(dataset: Dataset, done: Replay) -> list[Blindspot]:
    """The same for a report: every other hour, and fewer where so many signals would take long."""
    signals = max(len(done.plan.signals), 1)
    allowed = max(FREE, signals * len(dataset.bins) // PER_HOUR)
    every = next((s for s in STEPS if signals * HOURS // s <= allowed), HOURS)
    return blindspots(
        done.state.memory, done.plan, dataset.table, dataset.bins, REPORTED, lambda done: None, every
    )


def visible(dataset: Dataset, done: Replay, spots: Sequence[Blindspot]) -> list[dict[str, Any]]:
    """For summary.json: what each signal but rollouts shows within 10 minutes, in the middle of its hours (half of
    them show less), in the best and in the worst. None: not even everything. spots: as of `reported`."""
    place = REPORTED.index(600)
    said = young(done.state.memory, done.plan, dataset.table, dataset.bins.end)
    found = []
    for i, signal in enumerate(done.plan.signals):
        if signal.kind == "rollout":
            continue
        its = [s for s in spots if (s.service, s.signal) == (signal.service, signal.name)]
        its.sort(key=lambda s: _order(s.smallest[place]))
        middle = its[len(its) // 2] if its else None
        found.append(
            {
                "service": signal.service,
                "signal": signal.name,
                "what": "error share" if signal.kind == "error_ratio" else "loss",
                "usual": middle and middle.usual,
                "smallest": middle and middle.smallest[place],
                "best_hour": its[0].smallest[place] if its else None,
                "worst_hour": its[-1].smallest[place] if its else None,
                "waits": said.get(i, ""),
            }
        )
    return found


def _order(size: float | None) -> float:
    return 2.0 if size is None else size


def lines(told: dict[str, Any], hours: bool) -> list[str]:
    """A table; without `hours` the busiest and the quietest hour of each signal."""
    if not told["hours"] and not told["waiting"]:
        return [NOTHING]
    spots = [Blindspot(**{**one, "smallest": tuple(one["smallest"])}) for one in told["hours"]]
    rows = [["service", "signal", "hour (UTC)", "usual", "within 5 min", "15 min", "60 min"]]
    rows += table(spots if hours else ends(spots))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    said = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    said += [f"{one['service']} {one['signal']}: {one['waits']}" for one in told["waiting"]]
    return [printable(line) for line in said]


def table(spots: Sequence[Blindspot]) -> list[list[str]]:
    """A row for each: service, signal, hour, what is usual, and a size for each time allowed."""
    return [
        [
            spot.service,
            spot.signal,
            rfc3339(spot.start)[11:16],
            f"{percent(spot.usual)} fail" if spot.what == "error share" else f"{spot.usual:,.3g} an interval",
            *[_size(spot, size) for size in spot.smallest],
        ]
        for spot in spots
    ]


def ends(spots: Sequence[Blindspot]) -> list[Blindspot]:
    """Of each signal the hours in which the least and the most can go unseen within an hour."""
    by_signal: dict[tuple[str, str], list[Blindspot]] = {}
    for spot in spots:
        by_signal.setdefault((spot.service, spot.signal), []).append(spot)
    found = []
    for its in by_signal.values():
        ordered = sorted(its, key=lambda s: _order(s.smallest[-1]))
        found += [ordered[0], ordered[-1]] if len(ordered) > 1 else ordered
    return found


def _size(spot: Blindspot, size: float | None) -> str:
    if size is None:
        return "not even all"
    return f"{percent(size)} fail" if spot.what == "error share" else f"{percent(size)} lost"
