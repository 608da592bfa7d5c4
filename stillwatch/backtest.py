"""A dataset through the same step as the daemon's, each interval seen only once it has closed.

In: a dataset, settings. Out: Replay: events and what they would have said; and the files of a backtest.
Never: a look ahead: not even at the names of series that have not appeared yet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts import jsonl, messages, routes
from alerts.incidents import Event
from alerts.messages import Message
from collector.bins import Bins, SeriesTable
from collector.dataset import Dataset
from collector.deployments import Deployment
from collector.errors import printable
from collector.moments import rfc3339
from detectors.discover import discover
from detectors.learning import Learning, learning
from detectors.plan import Plan, lay
from stillwatch.config import Settings
from stillwatch.engine import State, advance
from stillwatch.score import Watched, messages_per_week, score, spent
from stillwatch.visible import smallest

DAY = 86400  # seconds of a block: progress is shown, and memory stays small
CHANNEL = "alerts"  # where news goes when nobody said


@dataclass(frozen=True, slots=True)
class Replay:
    """events: in the order in which they would have been sent. plan: as it was in the end. seconds: of work.

    unmeasured: the signals of which nothing was ever measured, and which metrics they miss.
    """

    events: tuple[Event, ...]
    plan: Plan
    seconds: float
    state: State
    unmeasured: tuple[str, ...] = ()


def plan_of(settings: Settings, table: SeriesTable) -> Plan:
    """The plan for the series of `table`, as the daemon lays it."""
    signals = settings.signals or discover(table)
    return lay(signals, table, settings.interval, settings.budget, settings.timezone)


def replay(
    dataset: Dataset, settings: Settings, progress: Callable[[int], object] = lambda done: None
) -> Replay:
    """Judge all intervals of `dataset`. progress: called with the number of intervals done since the last call."""
    bins, known = dataset.bins, _series_known(dataset)
    state, events = State.empty(), list[Event]()
    plan = plan_of(settings, SeriesTable())
    # What is compiled on first use is compiled now: it says nothing about the speed of judging.
    advance(state, replace(bins.cut(0, 1), values=np.zeros((1, 0))), (), plan)
    began = perf_counter()
    for first, last in _blocks(known, max(1, DAY // bins.width)):
        series = int(known[first])
        if series != len(plan.row_service):
            plan = plan_of(settings, SeriesTable(dataset.table.keys[:series]))
        block = bins.cut(first, last)
        block = replace(block, values=np.ascontiguousarray(block.values[:, :series]))
        state, news = advance(state, block, _told(dataset, bins, first, last), plan)
        events += news
        progress(last - first)
    taken = perf_counter() - began
    return Replay(tuple(events), plan, taken, state, _unmeasured(state, plan, dataset.table))


def _unmeasured(state: State, plan: Plan, table: SeriesTable) -> tuple[str, ...]:
    there = {(key.service, key.metric) for key in table.keys}
    found = []
    for signal, stage in zip(plan.signals, learning(state.memory.columns, plan), strict=True):
        if stage == Learning.NOTHING:
            terms = (*signal.counted, *signal.out_of)
            gone = [f"{t.service}/{t.metric}" for t in terms if (t.service, t.metric) not in there]
            why = f"there is no {', '.join(gone)}" if gone else "never all of it in one interval"
            found.append(f"{signal.service}/{signal.name}: {why}")
    return tuple(found)


def _series_known(dataset: Dataset) -> NDArray[np.int64]:
    """int64[intervals]: how many series had appeared when each interval was judged; rows are in that order."""
    bins = dataset.bins
    measured = ~np.isnan(bins.values)
    first = np.where(measured.any(axis=0), measured.argmax(axis=0), len(bins))
    np.minimum.at(first, bins.late.row, bins.late.interval)
    highest = np.zeros(len(bins) + 1, dtype=np.int64)
    np.maximum.at(highest, first, np.arange(1, len(dataset.table) + 1))
    return np.maximum.accumulate(highest[:-1])


def _blocks(known: NDArray[np.int64], longest: int) -> list[tuple[int, int]]:
    """Stretches of intervals of at most a day in which no series appears."""
    edges = {*range(0, len(known), longest), *(np.flatnonzero(np.diff(known)) + 1).tolist(), len(known)}
    return list(pairwise(sorted(edges)))


def _told(dataset: Dataset, bins: Bins, first: int, last: int) -> list[Deployment]:
    """The deployments that became known since the block before."""
    after = int(bins.closed[first - 1]) if first else -1
    return [d for d in dataset.deployments if after < d.known <= int(bins.closed[last - 1])]


# What is written.


def worded(events: tuple[Event, ...], settings: Settings) -> list[Message]:
    """All messages, in the order in which they would have been sent."""
    default = settings.slack.channel or CHANNEL
    return [
        message
        for event in events
        for channel in routes.channels(event.incident, settings.routes, default)
        for message in messages.word(event, channel)
    ]


def summary(dataset: Dataset, settings: Settings, done: Replay, said: list[Message]) -> dict[str, Any]:
    """What summary.json holds."""
    bins, signals = dataset.bins, len(done.plan.signals)
    watched = Watched(bins.start, bins.end, bins.width)
    opened = sum(event.event == "opened" for event in done.events)
    told: dict[str, Any] = {
        "from": rfc3339(bins.start),
        "to": rfc3339(bins.end),
        "interval": bins.width,
        "bins": len(bins),
        "watched_bins": int(bins.watched.sum()),
        "series": len(dataset.table),
        "signals": signals,
        "charts": len(done.plan.charts),
        "unmeasured": list(done.unmeasured),
        "deployments": len(dataset.deployments),
        "seconds": round(done.seconds, 3),
        "signal_bins_per_second": round(signals * len(bins) / max(done.seconds, 1e-9)),
        "incidents": opened,
        "events": len(done.events),
        "messages_per_week": messages_per_week(said, watched),
        "visible_within_10_minutes": [asdict(one) for one in smallest(done.plan, bins)],
        "budget": spent(opened, watched, settings.budget),
    }
    if dataset.labelled:
        told |= score(done.events, dataset.labels, watched, settings.budget)
    return told


def write(
    out: Path, title: str, dataset: Dataset, done: Replay, said: list[Message], told: dict[str, Any]
) -> None:
    """alerts.jsonl, messages/, summary.json and report.html in `out`, which is made. Raises OSError."""
    from stillwatch import report  # matplotlib takes a second

    folder = out / "messages"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        # Of an earlier run: it may have said more.
        if re.fullmatch(r"\d{3,}-.*\.(json|png)", old.name):
            old.unlink()
    lines = "".join(jsonl.line(event) + "\n" for event in done.events)
    (out / "alerts.jsonl").write_text(lines, encoding="utf-8")
    for number, message in enumerate(said, 1):
        _write_message(folder, number, message)
    (out / "summary.json").write_text(json.dumps(told, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    start, end = dataset.bins.start, dataset.bins.end
    shipped = [d for d in dataset.deployments if start <= d.time < end]
    page = report.page(title, done.events, told, shipped, start, end)
    (out / "report.html").write_text(page, encoding="utf-8")


def _write_message(folder: Path, number: int, message: Message) -> None:
    name = f"{number:03}-{re.sub(r'[^A-Za-z0-9._-]+', '-', message.key)[:80]}"
    posted: dict[str, Any] = {
        "key": message.key,
        "channel": message.channel,
        "text": message.text,
        "blocks": list(message.blocks),
    }
    posted |= {k: v for k in ("replaces", "reply_to", "broadcast") if (v := getattr(message, k))}
    if message.chart is not None:
        from alerts import charts

        posted["chart"] = f"{name}.png"
        (folder / posted["chart"]).write_bytes(charts.draw(message.chart))
    text = json.dumps(posted, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _doubts(told: dict[str, Any]) -> list[str]:
    """What makes a silent replay worth nothing, in words."""
    said = [f"  NOT WATCHED: {one}" for one in told["unmeasured"]]
    if not told["signals"]:
        said.append("  NOTHING IS WATCHED: no names suggest a signal; name them in stillwatch.yaml")
    if told["watched_bins"] < told["bins"] / 2:
        said.append(
            f"  only {told['watched_bins']} of {told['bins']} intervals have rows: is `interval` right?"
        )
    return said


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def lines(told: dict[str, Any]) -> list[str]:
    """The summary for a terminal."""
    said = [
        f"{told['from']} to {told['to']}: {_many(told['bins'], 'interval')} of {told['interval']} s, "
        f"{told['series']} series, {_many(told['signals'], 'signal')}, in {told['seconds']:.1f} s "
        f"({told['signal_bins_per_second']:,} signal-bins/s)",
        f"{_many(told['incidents'], 'incident')}, {_many(told['events'], 'event')}",
        *_doubts(told),
    ]
    for one in told.get("labels", ()):
        what = f"{one['service']} {one['kind']}"
        if not one["found"]:
            said.append(
                f"  MISSED {what}"
                + (f" (but told of {', '.join(one['noticed_as'])})" * bool(one["noticed_as"]))
            )
            continue
        truth = f", truly {one['lost_true']:,.0f}" if "lost_true" in one else ""
        said.append(
            f"  found {what} after {one['delay']} s; lost {one['lost']:,.0f} "
            f"({one['lost_low']:,.0f} to {one['lost_high']:,.0f}{truth}); "
            f"release {'right' if one['right_release'] else 'WRONG'}, "
            f"member {'right' if one['right_member'] else 'WRONG'}"
        )
    if "labels" in told:
        allowed = told["budget"]["false_alerts_allowed"]
        said.append(f"{_many(told['false_alerts'], 'false alert')}; the budget allows {allowed:.3g}")
    return [printable(line) for line in said]
