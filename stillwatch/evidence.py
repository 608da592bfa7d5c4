"""Why it was told when it was, and why not sooner or not at all: the evidence around each onset.

In: a dataset and its replay. Out: for each incident and each fault that was missed or late the course of the
evidence, and a line of words. Never: another judgement: the intervals around it are judged again as they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from alerts.courses import MOST, Course
from alerts.incidents import Event
from alerts.wording import clock
from collector.dataset import Dataset
from collector.small_tables import Label
from detectors.explain import Explained, explain
from detectors.prior import releases, suspicious
from stillwatch.config import Settings
from stillwatch.explained import counted
from stillwatch.replaying import Replay, retraced
from stillwatch.score import by_incident

BEFORE, AFTER, LONGEST = 15, 4, 120  # intervals before the onset and after it was told; in all
MISSED = 60  # intervals of a fault that was missed
LATE = 900  # seconds from which a fault was told late
MOST_EXPLAINED = 12  # incidents, and as many faults

Row = dict[tuple[str, str, str], Explained]  # by service, signal and part


@dataclass(frozen=True, slots=True)
class Evidence:
    """by_incident: courses by the id of the incident; faults: of what was missed or late, with a heading each.
    left_out: incidents and faults beyond MOST_EXPLAINED."""

    by_incident: Mapping[str, Sequence[Course]] = field(default_factory=dict)
    faults: Sequence[tuple[str, Course]] = ()
    left_out: int = 0


NONE = Evidence()


def evidence(dataset: Dataset, settings: Settings, done: Replay, told: Mapping[str, Any]) -> Evidence:
    """told: the summary, which knows what was missed or late."""
    incidents = by_incident(done.events)
    scored = zip(told.get("labels", ()), dataset.labels, strict=False)
    bad = [(one, label) for one, label in scored if not one["found"] or one["delay"] > LATE]
    courses = {
        name: _of_incident(dataset, settings, done, events)
        for name, events in list(incidents.items())[:MOST_EXPLAINED]
    }
    faults = [
        (f"{label.service}: {_bad(one)}", course)
        for one, label in bad[:MOST_EXPLAINED]
        if (course := _of_fault(dataset, settings, done, label)) is not None
    ]
    left_out = max(0, len(incidents) - MOST_EXPLAINED) + max(0, len(bad) - MOST_EXPLAINED)
    return Evidence(courses, faults, left_out)


def _bad(one: Mapping[str, Any]) -> str:
    kind = str(one["kind"]).replace("_", " ")
    return f"{kind} told late, after {one['delay'] / 60:.0f} min" if one["found"] else f"{kind} missed"


def _rows(
    dataset: Dataset, settings: Settings, done: Replay, first: int, last: int, services: set[str]
) -> list[Row]:
    """What was expected and held back in each of these intervals."""
    rows = []
    for index, state, plan in retraced(dataset, settings, done, first, last):
        bins = dataset.bins.cut(index, index + 1)
        known = [d for d in state.deployments if d.known <= int(bins.closed[0])]
        release = releases(suspicious(plan, bins, known), 0, len(plan.charts))
        number = int(bins.start // bins.width)
        row: Row = {}
        for service in services:
            found = explain(state.memory.columns, plan, number, bool(bins.watched[0]), release, service)
            row |= {(service, one.signal, one.part): one for one in found}
        rows.append(row)
    return rows


def _of_incident(dataset: Dataset, settings: Settings, done: Replay, events: Sequence[Event]) -> list[Course]:
    """Of each signal when it was first told, but silence: that is counted, not weighed."""
    bins, first_told = dataset.bins, dict[tuple[str, str], tuple[int, int]]()
    for event in events:
        for f in event.incident.findings:
            if f.kind != "no_data":
                first_told.setdefault((f.signal.service, f.signal.name), (f.onset, event.time))
    shown = list(first_told.items())[:MOST]
    if not shown:
        return []
    ends = [int(np.searchsorted(bins.closed, told)) for _, (_, told) in shown]
    starts = [(onset - bins.start) // bins.width for _, (onset, _) in shown]
    last = min(max(ends) + AFTER, len(bins) - 1)
    first = max(0, min(starts) - BEFORE, last - LONGEST)
    rows = _rows(dataset, settings, done, first, last, {service for (service, _), _ in shown})
    found = []
    for ((service, signal), (onset, told)), end in zip(shown, ends, strict=True):
        at = end - first
        part = _part(rows[at], service, signal) if at < len(rows) else None
        if part is not None:
            its = [row.get((service, signal, part)) for row in rows]
            said = _said(its, bins.start + first * bins.width, bins.width, onset, at)
            found.append(_course(service, signal, its, dataset, first, (onset, told), said))
    return found


def _of_fault(dataset: Dataset, settings: Settings, done: Replay, label: Label) -> Course | None:
    """Of the signal that came nearest to telling it."""
    bins = dataset.bins
    start = (label.start - bins.start) // bins.width
    last = min((label.end - bins.start) // bins.width, start + MISSED, len(bins) - 1)
    first = max(0, start - BEFORE)
    if last <= first:
        return None
    rows = _rows(dataset, settings, done, first, last, {label.service})
    names = {name for row in rows for name in row if label.signal in ("", name[1])}
    peaks = {
        name: max(((_part_of_enough(row.get(name)), i) for i, row in enumerate(rows) if i >= start - first))
        for name in sorted(names)
    }
    if not peaks:
        return None
    best = max(peaks, key=lambda name: peaks[name][0])
    its, at = [row.get(best) for row in rows], peaks[best][1]
    said = _said(its, bins.start + first * bins.width, bins.width, label.start, at)
    return _course(best[0], best[1], its, dataset, first, (label.start, 0), said)


def _part_of_enough(one: Explained | None) -> float:
    return (
        one.evidence / max(one.enough - one.eased, 1e-9) if one is not None and one.state == "quiet" else 0.0
    )


def _part(row: Row, service: str, signal: str) -> str | None:
    """Of a signal's slices or versions the one that was told, with the most evidence."""
    parts = {name[2]: one for name, one in row.items() if name[:2] == (service, signal)}
    return max(parts, key=lambda p: (parts[p].state == "told", parts[p].evidence), default=None)


def _course(
    service: str,
    signal: str,
    its: Sequence[Explained | None],
    dataset: Dataset,
    first: int,
    when: tuple[int, int],
    said: str,
) -> Course:
    bins, nan = dataset.bins, math.nan
    return Course(
        service,
        signal,
        tuple(bins.start + bins.width * (first + i + 0.5) for i in range(len(its))),
        tuple(nan if one is None or math.isnan(one.observed) else one.evidence for one in its),
        tuple(nan if one is None else one.enough - one.eased for one in its),
        *when,
        said,
    )


def _said(its: Sequence[Explained | None], start: int, width: int, onset: int, at: int) -> str:
    """A line of words on interval `at` and on what held it back before. start: of the first interval."""
    one = its[at]
    if one is None:
        return "nothing is known of it then"
    moment, enough = start + width * at, one.enough - one.eased
    weight = f"{one.evidence:.1f} nats of evidence, {enough:.1f} are enough"
    said = f"at {clock(moment, moment)} {counted(one)}; {weight}"
    held: dict[str, tuple[str, int, int]] = {}
    for i in range(max(0, (onset - start) // width), at + (one.state == "quiet")):
        before = its[i]
        for reason in before.held_back if before is not None else ():
            kind = reason.split(":")[0]
            if kind != "nothing speaks for a fault":
                held[kind] = (reason, held[kind][1] if kind in held else i, i)
    if not held:
        return said + "."
    spans = [
        f"{reason} ({_span(start + width * a, start + width * (b + 1))})" for reason, a, b in held.values()
    ]
    return f"{said}. Held back: {'; '.join(spans)}."


def _span(start: int, end: int) -> str:
    return f"{clock(start, end)} to {clock(end, end)}"
