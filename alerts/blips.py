"""What a service's earlier faults were like that ended by themselves, and which deployments brought one. Pure.

In: faults that are over, deployments, a fault that goes on. Out: how long such faults usually last, and whether
this one is no more than the service shows at each of its deployments.
Never: a fault that a rollback ended, that was late data only, or that somebody closed: it tells of no blip; a
fault that was never told.

If a service's faults are alike, the next one is the longest of n + 1 with a probability of 1 / (n + 1), whatever
their law: what is longer than all of them, and more so than the median says, is told apart from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low

from collector.deployments import Deployment
from detectors.findings import Finding

KEPT = 12  # faults of a signal and deployments of a service that are remembered
LEAST = 4  # of them, to say what is usual
MOSTLY = 0.75  # of them, to call it usual
FAR = 2.0  # times the median: what lasts longer is no blip
MORE = 1.5  # times the largest share that fails at a deployment: more than usual
AGAIN = 3600  # seconds: what comes back sooner comes and goes
SOON = 900  # seconds from a deployment to the onset of its blip
RESTARTS = ("deploy", "rollback")  # what starts a service anew


@dataclass(frozen=True, slots=True)
class Blip:
    """A fault that ended by itself. lasted: seconds from its onset; share: of what was exposed, failed or lost."""

    signal: str
    kind: str
    onset: int
    lasted: int
    share: float


@dataclass(frozen=True, slots=True)
class Blips:
    """By service: its last blips, and the times of its deployments that are too old for anything else; oldest
    first."""

    of: Mapping[str, tuple[Blip, ...]] = field(default_factory=dict)
    deployed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


NONE = Blips()


@dataclass(frozen=True, slots=True)
class Usual:
    """Of the last `of`, `ended` were over within `within` seconds."""

    within: int
    ended: int
    of: int


@dataclass(frozen=True, slots=True)
class Habit:
    """What a service shows at its deployments. at: of the last `deployments` so many brought a blip of this signal.

    deployment: the one that began this. share: the largest of the usual ones.
    """

    deployment: Deployment
    usual: Usual
    share: float
    at: int
    deployments: int


def usual(lasted: Sequence[int]) -> Usual | None:
    """What most of them have in common; None where there are too few, or they are not alike."""
    if len(lasted) < LEAST:
        return None
    within = max(one for one in lasted if one <= FAR * median_low(lasted))
    ended = sum(one <= within for one in lasted)
    return Usual(within, ended, len(lasted)) if ended >= MOSTLY * len(lasted) else None


def usual_of(blips: Blips, service: str, before: int) -> Usual | None:
    """How long faults of a service last, of any of its signals; those that overlap are one. before: their onset."""
    spans: list[tuple[int, int]] = []
    for blip in sorted(blips.of.get(service, ()), key=lambda b: (b.onset, b.lasted)):
        end = blip.onset + blip.lasted
        if end >= before:
            continue
        if spans and blip.onset <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], end)
        else:
            spans.append((blip.onset, end))
    return usual([end - onset for onset, end in spans[-KEPT:]])


def habit(blips: Blips, finding: Finding, deployments: Iterable[Deployment], width: int) -> Habit | None:
    """What the service shows at its deployments, where this fault began at one; None where it shows nothing.

    deployments: those known by now. width: seconds of an interval.
    """
    service = finding.signal.service
    same = [b for b in blips.of.get(service, ()) if (b.signal, b.kind) == (finding.signal.name, finding.kind)]
    if len(same) < LEAST:
        return None
    own = [d for d in deployments if d.service == service and d.kind in RESTARTS]
    now = max(
        (d for d in own if _may_follow(finding, d.time, width)), key=lambda d: (d.time, d.id), default=None
    )
    if now is None:
        return None
    times = {*blips.deployed.get(service, ()), *(d.time for d in own)}
    times = {t for t in times if t < now.time and not _may_follow(finding, t, width)}
    last = sorted(times)[-KEPT:]
    brought = [next((b for b in same if _follows(b.onset, t, width)), None) for t in last]
    found = list(dict.fromkeys(b for b in brought if b is not None))
    lasts = usual([b.lasted for b in found])
    at = sum(b is not None for b in brought)
    if lasts is None or 2 * at < len(last):
        return None
    share = max(b.share for b in found if b.lasted <= lasts.within)
    return Habit(now, lasts, share, at, len(last))


def pause_before(blips: Blips, finding: Finding) -> int:
    """Seconds for which the same signal was as before when this fault began; 0 = it does not come and go."""
    ends = (
        b.onset + b.lasted
        for b in blips.of.get(finding.signal.service, ())
        if (b.signal, b.kind) == (finding.signal.name, finding.kind)
    )
    pause = finding.onset - max((end for end in ends if end <= finding.onset), default=-AGAIN)
    return max(pause, 1) if pause < AGAIN else 0


def lasted(finding: Finding, since: int = 0) -> int:
    """Seconds for which it has failed: from its onset on, or `since` if that is later, up to the last interval in
    which that was seen."""
    end = finding.recovered if finding.phase == "cleared" else finding.seen
    return max(0, end - max(finding.onset, since))


def share_of(finding: Finding) -> float:
    """The part of what was exposed that failed, or was lost, since the onset."""
    return finding.lost / finding.out_of if finding.out_of > 0 else 0.0


def is_usual(finding: Finding, at_deployments: Habit) -> bool:
    """Is this, so far, no more than what the service shows at its deployments?"""
    within = lasted(finding, at_deployments.deployment.time) <= at_deployments.usual.within
    return within and share_of(finding) <= MORE * at_deployments.share


def as_usual(
    findings: Sequence[Finding], blips: Blips, deployments: Sequence[Deployment], width: int
) -> Habit | None:
    """The habit of which all of one service's findings are no more than an instance; None where they are more."""
    found = [habit(blips, f, deployments, width) for f in findings] if blips.of else []
    known = [h for h in found if h is not None]
    if not known or len(known) < len(findings):
        return None
    return known[0] if all(map(is_usual, findings, known)) else None


def with_faults(blips: Blips, findings: Iterable[Finding]) -> Blips:
    """`blips` and the faults that ended by themselves."""
    of = dict(blips.of)
    for f in sorted(findings, key=lambda f: (f.onset, f.signal.service, f.signal.name, f.kind)):
        if f.cleared != "recovered":
            continue
        blip = Blip(f.signal.name, f.kind, f.onset, lasted(f), share_of(f))
        known = [
            b for b in of.get(f.signal.service, ()) if (b.signal, b.kind, b.onset) != (*_of(blip), f.onset)
        ]
        too_many = [b for b in known if _of(b) == _of(blip)][: 1 - KEPT]
        of[f.signal.service] = (*(b for b in known if b not in too_many), blip)
    return Blips(of, blips.deployed)


def with_deployments(blips: Blips, deployments: Iterable[Deployment]) -> Blips:
    """`blips` and the deployments that are forgotten elsewhere."""
    times = {service: set(known) for service, known in blips.deployed.items()}
    for d in deployments:
        if d.kind in RESTARTS:
            times.setdefault(d.service, set()).add(d.time)
    return Blips(
        blips.of, {service: tuple(sorted(known)[-KEPT:]) for service, known in sorted(times.items())}
    )


def _of(blip: Blip) -> tuple[str, str]:
    return blip.signal, blip.kind


def _follows(onset: int, deployed: int, width: int) -> bool:
    return -2 * width <= onset - deployed <= SOON  # an onset is an estimate


def _may_follow(finding: Finding, deployed: int, width: int) -> bool:
    """Of few errors the likeliest onset is often some minutes too early: the latest that can be counts as well."""
    return _follows(finding.onset, deployed, width) or (
        finding.onset < deployed <= finding.onset_high + 2 * width
    )
