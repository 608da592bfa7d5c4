"""Which deployment did it, or none. Pure.

In: findings of an incident, deployments known by now. Out: suspects with probabilities that include "none".
Never: the time of the alarm (only onsets count).

weight(deployment) = how often its kind does harm x how near its service is x how likely the delay from it to
the onset is x what the versions say; weight(none) = how often a fault has no cause that we know. Normalised.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collector.deployments import Deployment
from detectors.findings import Finding

HARM = {"deploy": 0.02, "config": 0.03, "flag": 0.02, "rollback": 0.004}
NO_CAUSE = 1 / (4 * 7 * 1440)  # faults without a known cause, per minute and service: one in four weeks
SAME, DEPENDENCY, OTHER = 1.0, 0.15, 0.004
MEDIAN, SPREAD = 4.0, 1.3  # minutes from a deployment to its fault: log-normal
SOON, DAY, WEEK = 0.86, 0.12, 0.02  # shares of faults that come so, any time in a day, any time in a week
LEAST_DELAY = 0.25  # minutes: an onset is known to an interval, a deployment's time to its report
MOST_VERSION_EVIDENCE = 6.0  # nats
ENDED_IT = 20.0  # how much likelier a suspect is whose rollback ended the fault


@dataclass(frozen=True, slots=True)
class Suspect:
    """One member of one release, how probably it did it, and why we think so (short sentences)."""

    deployment: Deployment
    probability: float
    evidence: tuple[str, ...] = ()


def rank(
    findings: Sequence[Finding], deployments: Iterable[Deployment], width: int
) -> tuple[tuple[Suspect, ...], float]:
    """Suspects, most likely first, and the probability that no known deployment did it; together they sum to 1.

    A fault in several services is asked of each service in turn and the answers are averaged, so that every
    member of a release that did harm is named. width: seconds of an interval, as far as an onset is known.
    """
    candidates = sorted(set(deployments), key=lambda d: (d.time, d.id, d.service))
    services = sorted({f.signal.service for f in findings})
    shares = [0.0] * len(candidates)
    none = 0.0
    for service in services:
        own = [f for f in findings if f.signal.service == service]
        for finding in own:
            weights = [_weight(d, finding, candidates, width) for d in candidates]
            total = sum(weights) + NO_CAUSE
            part = 1.0 / (len(own) * len(services))
            none += part * NO_CAUSE / total
            shares = [s + part * w / total for s, w in zip(shares, weights, strict=True)]
    named = [
        Suspect(d, share, _evidence(d, findings, candidates))
        for d, share in zip(candidates, shares, strict=True)
        if share >= 0.005
    ]
    # What is too unlikely to be named still has to be somewhere: it belongs to "none of these".
    none = 1.0 - sum(s.probability for s in named)
    return tuple(
        sorted(named, key=lambda s: (-s.probability, -s.deployment.time, s.deployment.service))
    ), none


def release_of(suspects: Sequence[Suspect]) -> tuple[str, float]:
    """The release (deployment id) that most probably did it, its members taken together; ("", 0) if none."""
    by_id: dict[str, float] = {}
    for s in suspects:
        by_id[s.deployment.id] = by_id.get(s.deployment.id, 0.0) + s.probability
    return max(by_id.items(), key=lambda item: (item[1], item[0]), default=("", 0.0))


def undoes(later: Deployment, suspect: Deployment) -> bool:
    """Does `later` put back what `suspect` had changed?"""
    if later.service != suspect.service or later.time <= suspect.time:
        return False
    back = later.kind == "rollback" or later.version == suspect.previous_version
    return back and later.version != suspect.version


def _weight(deployment: Deployment, finding: Finding, candidates: Sequence[Deployment], width: int) -> float:
    onsets = [finding.onset_low, finding.onset, finding.onset, finding.onset_high]
    delays = [(onset + width / 2 - deployment.time) / 60 for onset in onsets]
    timely = sum(_timely(delay, width / 60) for delay in delays) / len(delays)
    if timely == 0.0:
        return 0.0
    weight = HARM[deployment.kind] * _nearness(deployment, finding) * timely
    weight *= math.exp(_version_evidence(deployment, finding))
    return weight * (ENDED_IT if _ended(deployment, finding, candidates) else 1.0)


def _timely(delay: float, width: float) -> float:
    """Density per minute of a fault `delay` minutes after its deployment."""
    if delay < -width or delay > 7 * 1440:
        return 0.0
    delay = max(delay, LEAST_DELAY)
    z = (math.log(delay) - math.log(MEDIAN)) / SPREAD
    soon = math.exp(-0.5 * z * z) / (delay * SPREAD * math.sqrt(2 * math.pi))
    return SOON * soon + (DAY / 1440 if delay <= 1440 else 0.0) + WEEK / (7 * 1440)


def _nearness(deployment: Deployment, finding: Finding) -> float:
    if deployment.service == finding.signal.service:
        return SAME
    terms = (*finding.signal.counted, *finding.signal.out_of)
    return DEPENDENCY if any(t.service == deployment.service for t in terms) else OTHER


def _version_evidence(deployment: Deployment, finding: Finding) -> float:
    """Log likelihood ratio of "the new version fails by itself" against "all versions fail alike"."""
    if finding.kind not in ("error_spike", "rollout") or deployment.service != finding.signal.service:
        return 0.0
    new = [v for v in finding.versions if v[0] == deployment.version]
    old = [v for v in finding.versions if v[0] != deployment.version]
    if not new or not old:
        return 0.0
    x1, n1 = new[0][1], new[0][2]
    x0, n0 = sum(v[1] for v in old), sum(v[2] for v in old)
    if min(n0, n1) <= 0:
        return 0.0
    apart = _binomial(x1, n1, (x1 + 0.5) / (n1 + 1)) + _binomial(x0, n0, (x0 + 0.5) / (n0 + 1))
    share = (x0 + x1 + 0.5) / (n0 + n1 + 1)
    alike = _binomial(x1, n1, share) + _binomial(x0, n0, share)
    nats = apart - alike if x1 / n1 >= x0 / n0 else alike - apart
    return max(-MOST_VERSION_EVIDENCE, min(MOST_VERSION_EVIDENCE, nats))


def _binomial(x: float, n: float, share: float) -> float:
    share = min(max(share, 1e-9), 1 - 1e-9)
    return x * math.log(share) + max(n - x, 0.0) * math.log(1 - share)


def _ended(deployment: Deployment, finding: Finding, candidates: Sequence[Deployment]) -> bool:
    """Was it put back, and did the fault end then?"""
    if finding.phase != "cleared" or not finding.recovered:
        return False
    ends = [d.time for d in candidates if undoes(d, deployment)]
    return any(-120 <= finding.recovered - end <= 900 for end in ends)


def _evidence(
    deployment: Deployment, findings: Sequence[Finding], candidates: Sequence[Deployment]
) -> tuple[str, ...]:
    own = [f for f in findings if f.signal.service == deployment.service]
    first = min(own or findings, key=lambda f: f.onset)
    said = [_delay_words(first.onset - deployment.time)]
    if not own:
        near = any(_nearness(deployment, f) == DEPENDENCY for f in findings)
        said.append("it feeds the service" if near else "another service")
    for finding in own:
        if _version_evidence(deployment, finding) > 3.0:
            said.append(f"version {deployment.version} fails, the others do not")
            break
    if any(_ended(deployment, f, candidates) for f in own):
        said.append("putting it back ended it")
    return tuple(said)


def _delay_words(seconds: int) -> str:
    if seconds <= 0:
        return "deployed as it began"
    if seconds < 120:
        return f"deployed {seconds} s before it began"
    if seconds < 7200:
        return f"deployed {seconds // 60} min before it began"
    return f"deployed {seconds / 3600:.0f} h before it began"
