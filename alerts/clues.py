"""What speaks for a deployment and against it, each clue as a number of times. Pure.

In: a deployment, a finding of a fault, the other deployments. Out: how many times as likely the clue is if this
deployment did it as it is if something else did.
Never: the time of the alarm where the onset is meant; a clue counted twice.

Constants are judgement, checked on thousands of made companies (benchmarks/suspects.py).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import groupby

from alerts.blips import Habit
from collector.deployments import Deployment
from detectors.findings import Finding

LOOK_BACK = 14 * 1440  # minutes
# How long after its deployment harm is felt: (share, median in minutes, spread) of log-normal laws. Soon is as it
# serves, or when somebody first uses it; late is what waits for a full disk, tonight's job, tomorrow's busy hour.
SOON = ((0.65, 1.5, 1.2), (0.35, 20.0, 1.4))
LATE = ((1.0, 600.0, 1.2),)
DEPENDENCY, FAILING_DEPENDENCY, OTHER = 0.06, 0.2, 0.004  # beside 1 for the service itself
BOTH_ALIKE = 0.1  # share of harm by a new version that the old one does as well, such as a changed table
NEW_ODD = (
    0.06  # share of other faults that spare the old version, such as of a zone where only the new one runs
)
USUAL_SHARE, OF = 0.5, 5.5  # what a share of failures is taken to be at first: beta-distributed, 0.5 of 5.5
ON_TIME, ALSO_OLD = (
    0.85,
    0.05,
)  # of instances: fail within an interval of when they should; and fail without it
AT_ONCE = 0.8  # of other faults that begin on every instance together, and not one after the other
LEAST_INSTANCES = 2
RESTARTS = ("deploy", "rollback")
SHORT_FLOW = 3600  # seconds: of slower flows, what came out went in under another version
TAKES_HOLD = 1.5  # minutes from putting it back to the end, if that ended it: exponential
NOT_ENDED = 0.05  # share of harm that goes on though it was put back
ENDS_ANYWAY = 120.0  # minutes until a fault ends by itself: exponential
LEFT = 0.5  # of harm, so much less is left as it is until it is over than of what others did
UNDONE, OVER_BEFORE = 0.2, 0.1  # it was put back before the fault began; it was over before it was put back
NOTICED = 5  # intervals until the end of a fault is noticed


def timely(deployment: Deployment, finding: Finding, width: int) -> tuple[float, float]:
    """Density per minute of a fault with this onset by harm that is felt soon, and by harm that is felt late.

    width: seconds of an interval. Averaged over what the onset may be: it is known to an interval, and that may be
    the one before.
    """
    soon = late = 0.0
    for onset, part in ((finding.onset_low, 0.25), (finding.onset, 0.5), (finding.onset_high, 0.25)):
        low, high = (onset - deployment.time) / 60, (onset + 2 * width - deployment.time) / 60
        if high > 0 and low <= LOOK_BACK:
            part *= 30 / width
            soon += part * (_felt(SOON, high) - _felt(SOON, low))
            late += part * (_felt(LATE, high) - _felt(LATE, low))
    return soon, late


def _felt(laws: Sequence[tuple[float, float, float]], minutes: float) -> float:
    """The part of harm that is felt by then."""
    if minutes <= 0:
        return 0.0
    return sum(
        share * 0.5 * math.erfc(math.log(median / minutes) / (spread * math.sqrt(2)))
        for share, median, spread in laws
    )


def feeds(findings: Sequence[Finding]) -> set[str]:
    """The services from which a flow leads into the failing signals."""
    return {t.service for f in findings for t in (*f.signal.counted, *f.signal.out_of)}


def needed(findings: Sequence[Finding]) -> set[str]:
    """The services that the failing one depends on, as the settings say."""
    return {service for f in findings for service in f.signal.depends_on}


def nearness(findings: Sequence[Finding], failing: Collection[str]) -> dict[str, float]:
    """How much of the harm of other services is felt by the one of `findings`; where nothing is said, OTHER.

    failing: all services that fail.
    """
    near = {
        service: FAILING_DEPENDENCY if service in failing else DEPENDENCY
        for service in feeds(findings) | needed(findings)
    }
    return near | {findings[0].signal.service: 1.0}


def apart(
    deployment: Deployment, findings: Sequence[Finding], width: int, known: Sequence[Deployment]
) -> float:
    """The clearer of what versions and what instances say: mostly they say the same, which counts once."""
    ratio = versions(deployment, findings)
    if not any(f.instances for f in findings):
        return ratio
    other = instances(deployment, findings, width, next_one(deployment, known))
    return max(ratio, other, key=lambda r: abs(math.log(r)))


def instances(deployment: Deployment, findings: Sequence[Finding], width: int, until: int) -> float:
    """Each instance began to fail when it got the deployment, or all at once: by the clearest of `findings`.

    until: when something else was deployed, epoch seconds, 0 = nothing was. width: seconds of an interval.
    """
    own = [f for f in findings if f.signal.service == deployment.service and f.instances]
    ratios = [_of_instances(deployment, f, width, until) for f in own if deployment.kind in RESTARTS]
    return max(ratios, key=lambda r: abs(math.log(r)), default=1.0)


def next_one(deployment: Deployment, known: Sequence[Deployment]) -> int:
    """When something else was deployed to its service, 0 = nothing was."""
    later = (d.time for d in known if d.service == deployment.service and d.kind in RESTARTS)
    return min((time for time in later if time > deployment.time), default=0)


def got(
    deployment: Deployment, finding: Finding, width: int, until: int = 0
) -> tuple[list[tuple[int, int]], list[int]]:
    """Of each instance that got it: when it did, and when it began to fail, 0 = it does not. And the latter of each
    that had something else. Where no version is counted, an instance that is new has the deployment."""
    mine = {}
    for one in finding.instances:
        new = one.since >= deployment.time - width and (not until or one.since < until)
        if one.version in ("", deployment.version) and one.since and new:
            mine[one.name] = one.since, one.fails
    early = [one for one in finding.instances if one.name not in mine and (not until or one.since < until)]
    return sorted(mine.values()), sorted({one.name: one.fails for one in early}.values())


def _of_instances(deployment: Deployment, finding: Finding, width: int, until: int) -> float:
    """If it did it, each instance fails from when it got it on, and the others do not. If something else did, all
    begin together, or one after the other at any time. Asked of all but the first to fail: that the fault began
    about when the deployment did is another clue."""
    have, others = got(deployment, finding, width, until)
    failed = [fails for _, fails in have if fails] + [fails for fails in others if fails]
    if len(have) < LEAST_INSTANCES or not failed:
        return 1.0
    first = min(failed)
    any_time = 1 / (max(finding.at - first, width) / width + 1)
    by_it = together = one_by_one = 0.0
    for since, fails in have[have[0][1] == first :]:
        after = 1 / (max(finding.at - since, 0) / width + 1)
        by_it += _at(fails, since, after if fails == 0 or fails >= since else ALSO_OLD * any_time, width)
        together += _at(fails, first, any_time, width)
        one_by_one += math.log(any_time)
    for fails in others:
        by_it += math.log(ALSO_OLD * any_time if fails else 1 - ALSO_OLD)
        together += _at(fails, first, any_time, width)
        one_by_one += math.log(any_time)
    best = max(together, one_by_one)
    either = AT_ONCE * math.exp(together - best) + (1 - AT_ONCE) * math.exp(one_by_one - best)
    ratio = math.exp(min(by_it - best - math.log(either), 50.0))
    return ((1 - BOTH_ALIKE) * ratio + BOTH_ALIKE) / (1 - NEW_ODD + NEW_ODD * ratio)


def _at(fails: int, when: int, any_time: float, width: int) -> float:
    """Log-likelihood that an instance of which failures are expected `when` begins to fail at `fails`, 0 = never:
    mostly within an interval, else at any time."""
    hit = fails and abs(fails - when) <= width
    return math.log((ON_TIME / 3 if hit else 0.0) + (1 - ON_TIME) * any_time)


def versions(deployment: Deployment, findings: Sequence[Finding]) -> float:
    """The new version fails, or loses, more than the others that serve beside it: by the clearest of `findings`."""
    ratios = [_of_versions(deployment, f) for f in findings if f.signal.service == deployment.service]
    return max(ratios, key=lambda r: abs(math.log(r)), default=1.0)


def _of_versions(deployment: Deployment, finding: Finding) -> float:
    """Marginal likelihoods of beta-binomial counts: a share each, the new one's higher, against one for all."""
    new, old = _failed(deployment, finding)
    if min(new[1], old[1]) <= 0:
        return 1.0
    apart = 0.0
    if new[0] * old[1] > old[0] * new[1]:
        nats = _marginal(*new) + _marginal(*old) - _marginal(new[0] + old[0], new[1] + old[1])
        apart = 2 * math.exp(min(nats, 50.0))  # either might have been the higher one
    return ((1 - BOTH_ALIKE) * apart + BOTH_ALIKE) / (1 - NEW_ODD + NEW_ODD * apart)


def _failed(deployment: Deployment, finding: Finding) -> tuple[tuple[float, float], tuple[float, float]]:
    """(failed or lost, of) by the new version, and by all others. (0, 0): nothing to compare."""
    fails = finding.kind in ("error_spike", "rollout")
    flow = finding.signal.kind == "flow" and finding.signal.within <= SHORT_FLOW
    sums = [0.0, 0.0, 0.0, 0.0]
    if (fails or flow) and deployment.kind in ("deploy", "rollback"):
        for version, counted, out_of in finding.versions:
            place = 0 if version == deployment.version else 2
            bad = min(max(counted if fails else out_of - counted, 0.0), out_of)
            sums[place] += bad
            sums[place + 1] += out_of
    return (sums[0], sums[1]), (sums[2], sums[3])


def _marginal(bad: float, of: float) -> float:
    a, b = USUAL_SHARE + bad, OF - USUAL_SHARE + of - bad
    usual = math.lgamma(USUAL_SHARE) + math.lgamma(OF - USUAL_SHARE) - math.lgamma(OF)
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b) - usual


def blips(habit: Habit | None, harm: float) -> float:
    """The service blips at its deployments, and this is no more than that: as often as it did so far, where a
    deployment does harm otherwise as often as `harm`."""
    if habit is None:
        return 1.0
    return (habit.at + harm) / (habit.deployments + 1) / harm


def undoes(later: Deployment, suspect: Deployment) -> bool:
    """Does `later` put back what `suspect` had changed? A rollback that does not say from what puts back all."""
    if later.service != suspect.service or later.time <= suspect.time or later.version == suspect.version:
        return False
    off = later.kind == "rollback" and later.previous_version in ("", suspect.version)
    return off or later.version == suspect.previous_version


def put_back(deployments: Sequence[Deployment]) -> dict[Deployment, int]:
    """When each was put back first (see undoes); those that were not are left out."""
    found: dict[Deployment, int] = {}
    to: dict[tuple[str, str], int] = {}  # service and version that is gone to next
    off: dict[tuple[str, str], int] = {}  # service and version that is rolled back from next
    vague: dict[str, list[Deployment]] = {}
    for _, group in groupby(sorted(deployments, key=lambda d: -d.time), key=lambda d: d.time):
        at_once = list(group)
        for d in at_once:
            backs = [b.time for b in vague.get(d.service, ()) if b.version != d.version]
            if (d.service, d.version) in off:
                backs.append(off[d.service, d.version])
            if d.previous_version != d.version and (d.service, d.previous_version) in to:
                backs.append(to[d.service, d.previous_version])
            if backs:
                found[d] = min(backs)
        for d in at_once:
            to[d.service, d.version] = d.time
            if d.kind == "rollback" and d.previous_version == "":
                vague.setdefault(d.service, []).append(d)
            elif d.kind == "rollback" and d.previous_version != d.version:
                off[d.service, d.previous_version] = d.time
    return found


def last(findings: Sequence[Finding]) -> Finding:
    """The one of a service's findings that lasts longest: it is over when they all are."""
    return max(
        findings, key=lambda f: (f.phase != "cleared", f.recovered, f.at, f.onset, f.signal.name, f.kind)
    )


def ended(back: int, finding: Finding, width: int) -> float:
    """It was put back at `back`: did the fault end then, or go on? Or 0, it was not: is it over all the same?"""
    if back == 0:
        return LEFT if finding.phase == "cleared" else 1.0
    if back < finding.onset - width:
        return UNDONE
    takes = TAKES_HOLD + finding.signal.within / 120
    if finding.phase == "cleared" and finding.recovered:
        low, high = ((finding.recovered - back + side * width) / 60 for side in (-1, 1))
        if high < -width / 60:
            return OVER_BEFORE
        low, high = (
            max(low, 0.0),
            max(high, width / 60),
        )  # it is known to an interval, and that may be the next
        by_it = math.exp(-low / takes) - math.exp(-high / takes)
        anyway = math.exp(-low / ENDS_ANYWAY) - math.exp(-high / ENDS_ANYWAY)
    else:
        minutes = max((finding.at - back - NOTICED * width) / 60, 0.0)
        takes += width / 60
        by_it, anyway = math.exp(-minutes / takes), math.exp(-minutes / ENDS_ANYWAY)
    # What lasts for days is beyond both laws, and no clue any more.
    return NOT_ENDED + (1 - NOT_ENDED) * by_it / anyway if anyway > 0 else NOT_ENDED
