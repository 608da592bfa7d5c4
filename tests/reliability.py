"""Are the probabilities of suspects right as often as they say? Each fault of a made company, asked twice.

In: companies. Out: Answers: what was said and what was true; bands of them.
Never: the truth handed to what is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from company import Case, Company

from alerts.blips import with_deployments
from alerts.incidents import Event, Incident, Reason, remember
from alerts.suspects import FIRST, Past, Suspect, rank
from collector.deployments import Deployment
from detectors.findings import Finding

BANDS = 10
LOOK_BACK = 14 * 86400
Ranked = tuple[Sequence[Suspect], float]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of a fault. said: (probability, how much of it was right) of every suspect; none: of "no
    deployment".

    near: deployments of the day before. place: of the right answer, where "no deployment" counts as one; 0 = not
    named. services: that failed. last: how much of it would be right to blame the last deployment of the service;
    has_last: there is one.
    """

    kind: str
    over: bool
    said: tuple[tuple[float, float], ...]
    none: tuple[float, float]
    near: int
    place: int
    services: int
    last: float
    has_last: bool


def asked(of: Company, past: Past = FIRST) -> list[Answer]:
    """Every fault of a company, as it is first told and when it is over; what is over teaches."""
    times = [d.time for d in of.deployments]
    answers = []
    for case in of.cases:
        for over, (now, findings) in enumerate((case.first, case.last)):
            onset = min(f.onset for f in findings)
            first = int(np.searchsorted(times, onset - LOOK_BACK))
            known = [d for d in of.deployments[first:] if d.known <= now]
            ranked = rank(findings, known, case.width, past)
            answers.append(_answer(of.kind.name, bool(over), case, findings, known, ranked))
            if over:
                past = replace(past, blips=with_deployments(past.blips, of.deployments[:first]))
                past = remember(past, [_end(now, findings, known)], known, case.width)
    return answers


def _end(now: int, findings: Sequence[Finding], known: Sequence[Deployment]) -> Event:
    """What is told of a fault that is over."""
    onset, failing = min(f.onset for f in findings), {f.signal.service for f in findings}
    back = [d for d in known if d.kind == "rollback" and d.time > onset and d.service in failing]
    reason: Reason = "rollback" if back else "recovered"
    return Event(now, "resolved", reason, Incident("fault", now, "warning", tuple(findings), (), 1.0))


def _answer(
    kind: str,
    over: bool,
    case: Case,
    findings: Sequence[Finding],
    known: Sequence[Deployment],
    ranked: Ranked,
) -> Answer:
    suspects, none = ranked
    members = {(d.id, d.service) for d in known}
    truth: dict[tuple[str, str] | None, float] = {}
    services = {f.signal.service for f in findings}
    for service in services:
        cause = case.cause[service]
        # Nobody can name what was not known.
        key = cause if cause in members else None
        truth[key] = truth.get(key, 0.0) + 1 / len(services)
    said = [(s.probability, truth.get((s.deployment.id, s.deployment.service), 0.0)) for s in suspects]
    right = truth.get(None, 0.0)
    order = sorted([*said, (none, right)], reverse=True)
    place = next((i for i, (_, t) in enumerate(order, 1) if t > 0), 0)
    onset = min(f.onset for f in findings)
    near = sum(onset - 86400 <= d.time <= onset for d in known)
    service = min(findings, key=lambda f: (f.onset, f.signal.service)).signal.service
    before = [d for d in known if d.service == service and d.time <= onset]
    last = truth.get((before[-1].id, service), 0.0) if before else 0.0
    return Answer(
        kind, over, tuple(said), (none, right), near, place, len(services), last, has_last=bool(before)
    )


@dataclass(frozen=True, slots=True)
class Band:
    """given: mean probability; right: share of it that was right; error: standard error of `right`."""

    low: float
    given: float
    right: float
    cases: int
    error: float


def bands(pairs: Sequence[tuple[float, float]], count: int = BANDS) -> list[Band]:
    found = []
    given, right = np.array([p for p, _ in pairs]), np.array([t for _, t in pairs])
    place = np.minimum((given * count).astype(int), count - 1)
    for i in range(count):
        inside = place == i
        n = int(inside.sum())
        if n:
            r = right[inside]
            found.append(
                Band(i / count, float(given[inside].mean()), float(r.mean()), n, float(r.std() / n**0.5))
            )
    return found


def pairs(answers: Sequence[Answer]) -> list[tuple[float, float]]:
    """All that was said: of suspects and of "no deployment"."""
    return [pair for a in answers for pair in (*a.said, a.none)]


def brier_none(answers: Sequence[Answer]) -> float:
    return float(np.mean([(a.none[0] - a.none[1]) ** 2 for a in answers]))
