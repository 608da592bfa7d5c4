"""Which deployment did it, or none. Pure.

In: findings of an incident, deployments known by now, what earlier faults taught. Out: suspects with probabilities
that include "none".
Never: the time of the alarm (only onsets count).

weight(deployment) = how often its kind does harm x how likely the delay from it to the onset is x the clues
(clues.py). weight(none) = how often a fault of that service comes by itself: as often as to leave a share of all
faults to no deployment. That share, and the share of harm that is felt late, follow from the faults so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from alerts import clues
from alerts.blips import NONE, Blips, Habit, as_usual
from alerts.reasons import reasons
from alerts.together import MANY
from collector.deployments import Deployment
from detectors.findings import Finding

HARM = {"deploy": 0.02, "config": 0.03, "flag": 0.02, "rollback": 0.002}
LEAST_HARM = 0.1  # in a look-back with hardly any deployment, faults come all the same
# Shares, as they are taken at first: of faults that no deployment did, and of harm that is felt late. After as many
# faults as AS_IF says, those so far count as much as this.
UNEXPLAINED, LATE = 0.45, 0.3
AS_IF = 4.0, 4.0
BY_DAY = 0.6  # share of faults without deployment that come when people work
TOGETHER = 1800  # seconds between onsets of services that may fail by one cause
ONE_CAUSE = 20.0  # how much likelier that is than two causes at once
A_DAY = 86400  # seconds after which the harm of a stranger is not looked for
NAMED = (
    0.005  # probability from which a suspect is named; of many services' likely release, the share of one's
)
NEVER = 1e-6  # of the weight of none: what weighs less is not looked at closer


@dataclass(frozen=True, slots=True)
class Suspect:
    """One member of one release, how probably it did it, and why we think so (short sentences)."""

    deployment: Deployment
    probability: float
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """What the faults so far were like, each counted by its probabilities when it was over.

    faults: how many; unexplained: of them, by no deployment; late: of the others, felt late. blips: those that
    ended by themselves.
    """

    faults: float = 0.0
    unexplained: float = 0.0
    late: float = 0.0
    blips: Blips = NONE

    @property
    def no_deployment(self) -> float:
        """Share of faults that no deployment did."""
        return (AS_IF[0] * UNEXPLAINED + self.unexplained) / (AS_IF[0] + self.faults)

    @property
    def felt_late(self) -> float:
        """Share of harm that is felt hours or days later."""
        return (AS_IF[1] * LATE + self.late) / (AS_IF[1] + self.faults - self.unexplained)


FIRST = Past()


@dataclass(frozen=True, slots=True)
class _Account:
    """Of a failing service: its onset, and shares that sum to 1: of deployments (felt soon, felt late), by their
    place among those known, and of none."""

    onset: int
    shares: Mapping[int, tuple[float, float]]
    none: float


def rank(
    findings: Sequence[Finding], deployments: Iterable[Deployment], width: int, past: Past = FIRST
) -> tuple[tuple[Suspect, ...], float]:
    """Suspects, most likely first, and the probability that no known deployment did it; together they sum to 1.

    A fault in several services is asked of each service in turn, in the light of the others, and the answers are
    averaged, so that every member of a release that did harm is named. width: seconds of an interval, as far as an
    onset is known.
    """
    known = sorted(set(deployments), key=lambda d: (d.time, d.id, d.service))
    accounts = _accounts(findings, known, width, past)
    shares: dict[int, float] = {}
    for account in accounts:
        for i, (soon, late) in account.shares.items():
            shares[i] = shares.get(i, 0.0) + (soon + late) / len(accounts)
    backs, habits = clues.put_back(known), _habits(findings, known, width, past)
    of_release: dict[str, float] = {}
    for i, share in shares.items():
        of_release[known[i].id] = of_release.get(known[i].id, 0.0) + share
    # A release of hundreds leaves each member a small share of the whole, which is no reason to doubt the release.
    small = NAMED / len(accounts) if len(accounts) >= MANY else NAMED
    named = [
        Suspect(d, share, reasons(d, findings, known, backs.get(d, 0), width, habits))
        for d, share in ((known[i], share) for i, share in shares.items())
        if share >= (small if of_release[d.id] >= 0.5 else NAMED)
    ]
    named.sort(key=lambda s: (-s.probability, -s.deployment.time, s.deployment.service, s.deployment.id))
    # What is too unlikely to be named still has to be somewhere: it belongs to "none of these".
    return tuple(named), 1.0 - sum(s.probability for s in named)


def learned(past: Past, findings: Sequence[Finding], deployments: Iterable[Deployment], width: int) -> Past:
    """`past` and one fault more, which is over."""
    known = sorted(set(deployments), key=lambda d: (d.time, d.id, d.service))
    accounts = _accounts(findings, known, width, past)
    none = sum(a.none for a in accounts) / len(accounts)
    late = sum(late for a in accounts for _, late in a.shares.values()) / len(accounts)
    return replace(past, faults=past.faults + 1, unexplained=past.unexplained + none, late=past.late + late)


def release_of(suspects: Sequence[Suspect]) -> tuple[str, float]:
    """The release (deployment id) that most probably did it, its members taken together; ("", 0) if none."""
    by_id: dict[str, float] = {}
    for s in suspects:
        by_id[s.deployment.id] = by_id.get(s.deployment.id, 0.0) + s.probability
    return max(by_id.items(), key=lambda item: (item[1], item[0]), default=("", 0.0))


def _accounts(
    findings: Sequence[Finding], known: Sequence[Deployment], width: int, past: Past
) -> list[_Account]:
    failing = {f.signal.service for f in findings}
    backs = clues.put_back(known)
    of: dict[str, list[Finding]] = {}
    for f in findings:
        of.setdefault(f.signal.service, []).append(f)
    timely: dict[
        tuple[int, int, int, int], tuple[float, float]
    ] = {}  # many share their onset, and many a time
    felt_late, alone, habits = past.felt_late, [], _habits(findings, known, width, past)
    for own in (of[service] for service in sorted(of)):
        # One fault of a service may show in several signals; its onset is known best by the one that doubts least.
        clearest = min(own, key=lambda f: (f.onset_high - f.onset_low, f.onset, f.signal.name, f.kind))
        near = [
            (i, d)
            for i, d in enumerate(known)
            if -width <= clearest.onset_high + width - d.time <= 60 * clues.LOOK_BACK
        ]
        last, felt = clues.last(own), clues.nearness(own, failing)
        none = _by_itself(clearest, [d for _, d in near], failing, past)
        weights = {}
        for i, d in near:
            nearness = felt.get(d.service, clues.OTHER)
            if d.service not in felt and clearest.onset - d.time > A_DAY:
                continue
            when = d.time, clearest.onset_low, clearest.onset, clearest.onset_high
            if when not in timely:
                timely[when] = clues.timely(d, clearest, width)
            soon, late = timely[when]
            times = HARM[d.kind] * nearness
            if times * (soon + late) > NEVER * none:
                if d.service == clearest.signal.service:
                    times *= clues.apart(d, own, width, known)
                times *= clues.ended(backs.get(d, 0) if backs else 0, last, width)
                often = clues.blips(habits.get(d), HARM[d.kind])
                weights[i] = often * times * soon * (1 - felt_late), times * late * felt_late
        alone.append(_account(clearest.onset, weights, none))
    return _side_by_side(alone, known)


def _habits(
    findings: Sequence[Finding], known: Sequence[Deployment], width: int, past: Past
) -> dict[Deployment, Habit]:
    """The deployments at which services blip as usual, where that is all that is seen of them."""
    found: dict[Deployment, Habit] = {}
    of: dict[str, list[Finding]] = {}
    for f in findings if past.blips.of else ():
        of.setdefault(f.signal.service, []).append(f)
    for own in of.values():
        shown = as_usual(own, past.blips, known, width)
        if shown is not None:
            found[shown.deployment] = shown
    return found


def _account(onset: int, weights: Mapping[int, tuple[float, float]], none: float) -> _Account:
    whole = none + sum(soon + late for soon, late in weights.values())
    shares = {d: (soon / whole, late / whole) for d, (soon, late) in weights.items()}
    return _Account(onset, shares, none / whole)


def _by_itself(finding: Finding, near: Sequence[Deployment], failing: set[str], past: Past) -> float:
    """Rate of faults of this service without a deployment, per minute, at this time of day."""
    harm = LEAST_HARM + sum(HARM[d.kind] for d in near)
    services = len({d.service for d in near} | failing | past.blips.deployed.keys())
    rate = harm * past.no_deployment / (1 - past.no_deployment) / (clues.LOOK_BACK * services)
    # People work when they deploy: on other days, how much was deployed within an hour of this time of day?
    now = sum(abs((finding.onset - d.time + 43200) % 86400 - 43200) <= 3600 for d in near)
    return rate * (1 - BY_DAY + BY_DAY * (now + 2) / (len(near) / 12 + 2))


def _side_by_side(alone: Sequence[_Account], known: Sequence[Deployment]) -> list[_Account]:
    """Each in the light of those that began to fail with it; summed by onset first, for there may be hundreds."""
    by_onset: dict[int, _Sums] = {}
    if len(alone) == 1:
        return list(alone)
    releases = [d.id for d in known]
    for account in alone:
        by_onset.setdefault(account.onset, _Sums()).add(account, releases)
    near: dict[int, _Sums] = {}
    for onset in by_onset:
        near[onset] = _Sums()
        for other, sums in by_onset.items():
            if abs(other - onset) <= TOGETHER:
                near[onset].join(sums)
    return [_beside(account, near[account.onset], releases) for account in alone]


class _Sums:
    """Of some accounts: how many, what they give to none, and to each release."""

    def __init__(self) -> None:
        self.count, self.none = 0, 0.0
        self.releases: dict[str, float] = {}

    def add(self, account: _Account, releases: Sequence[str]) -> None:
        self.count += 1
        self.none += account.none
        for release, share in _by_release(account, releases).items():
            self.releases[release] = self.releases.get(release, 0.0) + share

    def join(self, other: _Sums) -> None:
        self.count += other.count
        self.none += other.none
        for release, share in other.releases.items():
            self.releases[release] = self.releases.get(release, 0.0) + share


def _by_release(account: _Account, releases: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for i, (soon, late) in account.shares.items():
        found[releases[i]] = found.get(releases[i], 0.0) + soon + late
    return found


def _beside(account: _Account, close: _Sums, releases: Sequence[str]) -> _Account:
    """The account of a service in the light of those that began to fail with it: one cause is likelier than two.

    close: the sums of these and of the account itself.
    """
    others = close.count - 1
    if not others:
        return account
    own = _by_release(account, releases)
    more = {r: 1 + ONE_CAUSE * max(close.releases[r] - share, 0.0) / others for r, share in own.items()}
    weights = {
        i: (soon * more[releases[i]], late * more[releases[i]]) for i, (soon, late) in account.shares.items()
    }
    return _account(
        account.onset, weights, account.none * (1 + ONE_CAUSE * max(close.none - account.none, 0.0) / others)
    )
