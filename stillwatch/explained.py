"""Why was, or was not, something told at a moment: the history up to it, judged again.

In: recorded counts, settings, a service, a moment. Out: lines for a person, or plain values.
Never: another judgement than the daemon's: it is the same step over the same counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from alerts.wording import clock, percent
from collector.dataset import Dataset
from collector.errors import printable
from collector.moments import rfc3339
from detectors.explain import Explained, explain
from detectors.plan import Plan
from detectors.prior import releases, suspicious
from detectors.season import local_days
from stillwatch.config import Settings
from stillwatch.replaying import Replay, replay


def explained(
    dataset: Dataset, settings: Settings, service: str, at: int, progress: Callable[[int], object]
) -> dict[str, Any]:
    """Every signal of `service` in the interval that holds `at` (epoch seconds). progress: see replaying.replay.

    Raises ValueError where nothing was recorded then, or the service has no signal.
    """
    bins = dataset.bins
    index = (at - bins.start) // bins.width
    if not 0 <= index < len(bins):
        recorded = f"{rfc3339(bins.start)} to {rfc3339(bins.end)}"
        raise ValueError(f"--at: found {rfc3339(at)}, expected a time in what was recorded: {recorded}")
    done, found = _judged(dataset, settings, service, index, 0, progress)
    services = sorted({s.service for s in done.plan.signals})
    if service not in services:
        raise ValueError(
            f"{service or 'no name'}: no such service has a signal; expected {', '.join(services) or 'none yet'}"
        )
    last, waits = bins.cut(index, index + 1), _waits(done.plan, service)
    for wait in sorted(waits - {0}):  # what sources tell late is judged so much later
        if index + wait < len(bins):
            found += _judged(dataset, settings, service, index + wait, wait, progress)[1]
    if not found:
        later = rfc3339(int(last.closed[0]) + min(waits) * last.width)
        raise ValueError(
            f"--at: found {rfc3339(at)}, of which its source tells late: it is judged at {later}"
        )
    day = int(local_days(np.array([last.start]), settings.timezone)[0])
    return {
        "service": service,
        "from": last.start,
        "to": last.end,
        "known_at": int(last.closed[0]),
        "holiday": settings.holidays.get(day, ""),
        "signals": [{k: _plain(v) for k, v in asdict(one).items()} for one in found],
    }


def _judged(
    dataset: Dataset,
    settings: Settings,
    service: str,
    index: int,
    wait: int,
    progress: Callable[[int], object],
) -> tuple[Replay, list[Explained]]:
    """The history up to interval `index`, and what is said in it of the signals that are judged `wait` later."""
    bins = dataset.bins
    done, last = (
        replay(replace(dataset, bins=bins.cut(0, index + 1)), settings, progress),
        bins.cut(index, index + 1),
    )
    plan, known = done.plan, [d for d in (*dataset.deployments, *done.seen) if d.known <= int(last.closed[0])]
    release = releases(suspicious(plan, last, known), 0, len(plan.charts))
    number, watched = last.start // last.width, bool(last.watched[0])
    found = explain(done.state.memory.columns, plan, number, watched, release, service)
    mine = {
        s.name for s, of in zip(plan.signals, plan.waits, strict=True) if s.service == service and of == wait
    }
    return done, [one for one in found if one.signal in mine]


def _waits(plan: Plan, service: str) -> set[int]:
    """Intervals, of the signals of a service."""
    return {int(of) for s, of in zip(plan.signals, plan.waits, strict=True) if s.service == service}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def lines(told: dict[str, Any]) -> list[str]:
    """For a terminal."""
    holiday = f", a holiday ({told['holiday']})" if told["holiday"] else ""
    said = [f"{told['service']}, {rfc3339(told['from'])} to {rfc3339(told['to'])}{holiday}"]
    for one in told["signals"]:
        whole: dict[str, Any] = {k: math.nan if v is None else v for k, v in one.items()}
        said += _signal(Explained(**whole), told["to"])
    return [printable(line) for line in said]


def _signal(one: Explained, now: int) -> list[str]:
    name = f"{one.signal} ({one.part})" if one.part else one.signal
    said = [f"  {name}: {one.state}", f"    {counted(one)}"]
    if math.isfinite(one.size):
        said.append(f"    most likely: {_fault(one)}, since {clock(one.since, now)}")
    if one.state == "quiet":
        less = f" less {one.eased:g} just after a deployment" if one.eased else ""
        said.append(f"    evidence: {one.evidence:.1f} nats of {one.enough:.1f}{less} that the budget asks")
        said += [f"    held back: {reason}" for reason in one.held_back]
    else:
        said.append(f"    told with {one.evidence:.1f} nats of evidence")
    return said


def counted(one: Explained) -> str:
    """What was counted beside what was expected."""
    if math.isnan(one.observed):
        return "not measured"
    of = f" of {one.out_of:,.0f}" if math.isfinite(one.out_of) else ""
    if math.isnan(one.expected):
        return f"counted {one.observed:,.0f}{of}; nothing is expected yet"
    return f"counted {one.observed:,.0f}{of}, expected {_few(one.expected)} ({_few(one.low)} to {_few(one.high)})"


def _few(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.2g}"


def _fault(one: Explained) -> str:
    return f"{one.size:.3g} times as many fail" if one.size > 1.0 else f"{percent(1.0 - one.size)} lost"
