"""What was said against what was true. Pure.

In: events of a replay, labels, the time that was watched. Out: Score: delays, misses, false alerts, blame.
Never: an opinion on the detectors' insides; a label's knowledge handed back to them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from alerts.incidents import Event, Incident
from alerts.messages import Message
from collector.moments import rfc3339
from collector.small_tables import Label
from detectors.findings import Finding
from detectors.signals import Budget

WEEK = 7 * 86400
EARLIEST = 900  # seconds by which an onset may be put before the true start and still mean that fault
BANDS = 5  # of probabilities, for their reliability


@dataclass(frozen=True, slots=True)
class Watched:
    """The time that was replayed: from, to in epoch seconds; width: seconds of an interval."""

    start: int
    end: int
    width: int

    @property
    def weeks(self) -> float:
        return (self.end - self.start) / WEEK


def score(
    events: Sequence[Event], labels: Sequence[Label], watched: Watched, budget: Budget
) -> dict[str, Any]:
    """Everything that labels allow to say, as plain values for summary.json. NaN becomes None.

    An incident belongs to a label when a finding of it concerns the label's service while the fault lasted;
    it may belong to several. One that belongs to none is a false alert.
    """
    incidents = by_incident(events)
    owners = {
        name: [i for i, x in enumerate(labels) if _belongs(told, x)] for name, told in incidents.items()
    }
    scored = [
        _score_label(label, [incidents[name] for name in incidents if i in owners[name]], labels, owners)
        for i, label in enumerate(labels)
    ]
    false = [told for name, told in incidents.items() if not owners[name]]
    return {
        "labels": scored,
        "found": sum(one["found"] for one in scored),
        "misses": sum(not one["found"] for one in scored),
        "false_alerts": len(false),
        "false_alerts_per_week": _rounded(len(false) / watched.weeks),
        "false_incidents": [told[0].incident.id for told in false],
        "probabilities": _reliability(incidents, owners, labels),
        "budget": spent(len(false), watched, budget),
    }


def by_incident(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The events of each incident, in order."""
    incidents: dict[str, list[Event]] = {}
    for event in events:
        incidents.setdefault(event.incident.id, []).append(event)
    return incidents


def spent(alerts: int, watched: Watched, budget: Budget) -> dict[str, Any]:
    """The budget of false alerts for the time that was watched, a period at least, and what was spent of it."""
    allowed = budget.false_alerts * max(watched.end - watched.start, budget.per) / budget.per
    return {"false_alerts_allowed": _rounded(allowed), "spent": alerts, "kept": alerts <= allowed}


def messages_per_week(messages: Iterable[Message], watched: Watched) -> dict[str, Any]:
    """By channel: new messages and replies a week (edits in place wake nobody)."""
    counted = Counter(m.channel for m in messages if not m.replaces)
    return {channel: _rounded(n / watched.weeks) for channel, n in sorted(counted.items())}


# One label.


def _concerns(finding: Finding, label: Label) -> bool:
    """Is this about the label's service, and did it begin while that fault lasted?"""
    return (
        finding.signal.service == label.service
        and finding.onset_low <= label.end
        and max(finding.onset, finding.onset_high) >= label.start - EARLIEST
        and finding.at >= label.start
    )


def _belongs(told: Sequence[Event], label: Label) -> bool:
    return any(_concerns(finding, label) for event in told for finding in event.incident.findings)


def _matches(finding: Finding, label: Label) -> bool:
    return _concerns(finding, label) and finding.kind == label.kind


def _score_label(
    label: Label, told: Sequence[Sequence[Event]], labels: Sequence[Label], owners: dict[str, list[int]]
) -> dict[str, Any]:
    """What was said about one fault."""
    said: dict[str, Any] = {
        "service": label.service, "kind": label.kind, "signal": label.signal,
        "start": rfc3339(label.start),
        "found": False, "noticed_as": sorted({f.kind for f in _findings(told, label)}),
    }  # fmt: skip
    first = _first(told, label)
    if first is None:
        noticed = [
            e for events in told for e in events if any(_concerns(f, label) for f in e.incident.findings)
        ]
        if noticed:
            said["noticed_after"] = min(e.time for e in noticed) - label.start
        return said
    event, finding = first
    events = next(events for events in told if events[0].incident.id == event.incident.id)
    last = _best(events[-1].incident, label) or finding
    said |= {
        "found": True,
        "incident": event.incident.id,
        "delay": event.time - label.start,
        "onset_error": last.onset - label.start,
        "onset_error_at_first": finding.onset - label.start,
        **_lost(last, label),
        **_blame(event.incident, label, len(owners[event.incident.id]), "_at_first"),
        **_blame(events[-1].incident, label, len(owners[event.incident.id]), ""),
    }
    if events[-1].event == "resolved":
        said |= {"resolved_after": events[-1].time - label.end, "reason": events[-1].reason}
    return said


def _findings(told: Sequence[Sequence[Event]], label: Label) -> list[Finding]:
    return [f for events in told for e in events for f in e.incident.findings if _concerns(f, label)]


def _first(told: Sequence[Sequence[Event]], label: Label) -> tuple[Event, Finding] | None:
    """The first event that says what the label says, and the finding that says so."""
    for event in sorted((e for events in told for e in events), key=lambda e: e.time):
        finding = _best(event.incident, label)
        if finding is not None:
            return event, finding
    return None


def _best(incident: Incident, label: Label) -> Finding | None:
    """Of the findings that match, the one of the label's signal, else the one that counts most."""
    matching = [f for f in incident.findings if _matches(f, label)]
    return max(matching, key=lambda f: (f.signal.name == label.signal, f.lost), default=None)


def _lost(finding: Finding, label: Label) -> dict[str, Any]:
    said = {
        "lost": _rounded(finding.lost),
        "lost_low": _rounded(finding.lost_low),
        "lost_high": _rounded(finding.lost_high),
    }
    if math.isnan(label.lost):
        return said
    holds = finding.lost_low <= label.lost <= finding.lost_high
    return said | {"lost_true": _rounded(label.lost), "interval_holds_truth": holds}


def _blame(incident: Incident, label: Label, labels: int, when: str) -> dict[str, Any]:
    """Is the first suspect of the right release, and the right member named?

    An incident that holds several faults has several members to name: then the member must be among as many.
    """
    if not label.deployment:
        right = all(s.probability <= incident.no_deployment for s in incident.suspects)
        return {f"right_release{when}": right, f"right_member{when}": right}
    suspects = incident.suspects
    blamed = bool(suspects) and suspects[0].probability >= incident.no_deployment
    release = blamed and suspects[0].deployment.id == label.deployment
    member = (label.deployment, label.deployment_service or label.service)
    named = [(s.deployment.id, s.deployment.service) for s in suspects[: max(labels, 1)]]
    return {f"right_release{when}": release, f"right_member{when}": blamed and member in named}


# Probabilities.


def _reliability(
    incidents: dict[str, list[Event]], owners: dict[str, list[int]], labels: Sequence[Label]
) -> dict[str, Any]:
    """How well probabilities say how often they are right, as first told; releases taken as a whole.

    brier: mean of squared errors, over incidents, each summed over its releases and "no deployment".
    """
    pairs: list[tuple[float, bool]] = []
    briers: list[float] = []
    none: list[float] = []
    for name, told in incidents.items():
        incident = told[0].incident
        guilty = {labels[i].deployment for i in owners[name]} - {""}
        shares: dict[str, float] = {}
        for s in incident.suspects:
            shares[s.deployment.id] = shares.get(s.deployment.id, 0.0) + s.probability
        said = [(p, release in guilty) for release, p in shares.items()]
        said += [(0.0, True)] * len(guilty - set(shares))
        said.append((incident.no_deployment, not guilty))
        pairs += said
        # Where one incident holds two releases' faults, each is right by its part.
        parts = max(len(guilty), 1)
        briers.append(sum((p - right / parts) ** 2 for p, right in said))
        none.append((said[-1][0] - said[-1][1]) ** 2)
    return {
        "incidents": len(briers),
        "brier": _rounded(fmean(briers)) if briers else None,
        "brier_no_deployment": _rounded(fmean(none)) if none else None,
        "bands": [band for i in range(BANDS) if (band := _band(pairs, i)) is not None],
    }


def _band(pairs: Sequence[tuple[float, bool]], i: int) -> dict[str, Any] | None:
    inside = [(p, right) for p, right in pairs if min(int(p * BANDS), BANDS - 1) == i]
    if not inside:
        return None
    return {
        "from": i / BANDS,
        "to": (i + 1) / BANDS,
        "said": _rounded(fmean(p for p, _ in inside)),
        "right": _rounded(fmean(float(right) for _, right in inside)),
        "cases": len(inside),
    }


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
