"""The files of a backtest: what a replay would have said, and what it says of itself.

In: a dataset, settings, a Replay. Out: messages, a summary of plain values, files.
Never: another judgement than the daemon's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from alerts import jsonl
from alerts.incidents import Event
from alerts.messages import Message
from collector.dataset import Dataset
from collector.errors import printable
from collector.moments import rfc3339
from detectors.blindspots import Blindspot
from detectors.same_deployment import one_of_each
from stillwatch.blind import visible
from stillwatch.config import TERMINAL, Settings
from stillwatch.evidence import NONE, Evidence
from stillwatch.replaying import Replay
from stillwatch.score import Watched, messages_per_week, score, spent
from stillwatch.telling import Telling

CHANNEL = "alerts"  # where news goes when nobody said


def worded(events: tuple[Event, ...], settings: Settings) -> list[Message]:
    """All messages, in the order in which they would have been sent, but for what depends on whether anybody looks:
    reminders and escalation."""
    if settings.default == TERMINAL:
        settings = replace(settings, slack=replace(settings.slack, channel=CHANNEL))
    telling = Telling(settings, lambda incident: ())
    said = [message for event in events for message in telling.news(event).messages]
    return [message for message in said if message.hold not in ("to escalate", "to repeat")]


def summary(
    dataset: Dataset, settings: Settings, done: Replay, said: list[Message], spots: Sequence[Blindspot]
) -> dict[str, Any]:
    """What summary.json holds. spots: see blind.reported."""
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
        "visible_within_10_minutes": visible(dataset, done, spots),
        "budget": spent(opened, watched, settings.budget),
    }
    if dataset.labelled:
        told |= score(done.events, dataset.labels, watched, settings.budget)
    return told


def write(
    out: Path,
    title: str,
    dataset: Dataset,
    done: Replay,
    said: list[Message],
    told: dict[str, Any],
    spots: Sequence[Blindspot] = (),
    evidence: Evidence = NONE,
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
    every = one_of_each([*dataset.deployments, *done.seen], dataset.bins.width)
    shipped = [d for d in every if start <= d.time < end]
    page = report.page(title, done.events, told, shipped, start, end, spots, evidence)
    (out / "report.html").write_text(page, encoding="utf-8")


def _write_message(folder: Path, number: int, message: Message) -> None:
    name = f"{number:03}-{re.sub(r'[^A-Za-z0-9._-]+', '-', message.key)[:80]}"
    posted: dict[str, Any] = {
        "key": message.key,
        "channel": message.channel,
        "text": message.text,
        "blocks": list(message.blocks),
    }
    posted |= {k: v for k in ("replaces", "reply_to", "broadcast", "hold") if (v := getattr(message, k))}
    if message.hold:
        posted["due"] = rfc3339(message.due)
    if message.notice is not None:
        posted["words"] = message.notice.text
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
