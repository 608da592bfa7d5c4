"""Companies that deploy and fail, from a seed: what was deployed, what the detectors find, and whose fault it was.

In: the kind of company and a seed. Out: its deployments, and a Case for each fault: findings as they are when it is
first told and when it is over, and the truth.
Never: counts minute by minute (see world.py); the formula of alerts/suspects.py turned round.

The story: services call each other. Each is deployed at its own pace, in working hours, alone or with a train, at
once or instance by instance. A change that does harm is felt when it serves, when somebody uses it, when something
has filled up, or when the next job or the next busy morning comes; by its own service or by those that call it. As
many faults again have nothing to do with a deployment; most of them come in working hours too. People put back what
they suspect, rightly or not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from collector.deployments import Deployment, DeploymentKind
from detectors.findings import Finding, FindingKind
from detectors.signals import Signal, Term

START = 1_646_006_400  # Monday 28 February 2022, 00:00 UTC
MIN, HOUR, DAY = 60, 3600, 86400
Range = tuple[float, float]
Member = tuple[str, str]  # id, service


@dataclass(frozen=True, slots=True)
class Kind:
    """Ranges out of which a company is drawn.

    a_day: deployments of them all. harmful: share of them that does harm. unexplained: share of the faults that no
    deployment did. trains, rolling, late: shares of deployments. slow: share of harm that is felt hours or days
    later. upstream: share of it that others feel. told: share of who calls whom that settings or flows tell.
    blipping: share of the services that fail for some minutes at most of their deployments, harmful or not.
    """

    name: str
    services: Range = (4, 25)
    a_day: Range = (2, 20)
    harmful: Range = (0.008, 0.06)
    unexplained: Range = (0.25, 0.75)
    trains: Range = (0.0, 0.3)
    rolling: Range = (0.2, 0.8)
    late: Range = (0.0, 0.1)
    slow: Range = (0.05, 0.25)
    upstream: Range = (0.05, 0.25)
    told: Range = (0.3, 0.9)
    blipping: Range = (0.0, 0.0)
    weeks: int = 12
    reflex: float = 0.35  # share of innocent deployments of the last two hours that are put back


KINDS = (
    Kind("usual"),
    Kind("few deployments", services=(3, 12), a_day=(0.3, 1.5), harmful=(0.03, 0.15), weeks=60),
    Kind("up to 60 deployments a day", services=(15, 40), a_day=(30, 60), weeks=6),
    Kind("release trains", trains=(0.7, 0.95)),
    Kind("versions side by side", rolling=(0.9, 1.0)),
    Kind("faults hours and days later", slow=(0.5, 0.8)),
    Kind("faults of an upstream service", upstream=(0.4, 0.7)),
    Kind("reported late", late=(0.4, 0.8)),
    Kind("hardly ever a deployment", unexplained=(0.85, 0.97), weeks=6),
    Kind("nearly always a deployment", unexplained=(0.05, 0.15)),
    Kind("careless", harmful=(0.1, 0.25), weeks=5, reflex=0.6),
    Kind(
        "blips at deployments",
        services=(3, 12),
        a_day=(1, 4),
        harmful=(0.03, 0.15),
        blipping=(0.3, 0.8),
        weeks=30,
    ),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A fault. first, last: what is known when it is first told and when it is over: (now, findings).

    cause: by service that failed, the member whose fault it was; None = nobody's. width: seconds of an interval.
    """

    first: tuple[int, tuple[Finding, ...]]
    last: tuple[int, tuple[Finding, ...]]
    cause: dict[str, Member | None]
    width: int


@dataclass(slots=True)
class Company:
    """services by name; calls: whom each one calls; told: pairs (caller, called) that we know of."""

    kind: Kind
    random: np.random.Generator
    width: int
    says: bool  # in its settings what depends on what
    services: list[str]
    calls: dict[str, list[str]] = field(default_factory=dict)
    told: set[tuple[str, str]] = field(default_factory=set)
    versioned: set[str] = field(default_factory=set)
    deployments: list[Deployment] = field(default_factory=list)
    takes: dict[Member, float] = field(default_factory=dict)  # seconds until all instances have it
    versions: dict[str, int] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def between(self, low: float, high: float) -> float:
        """By orders of magnitude."""
        return float(np.exp(self.random.uniform(math.log(low), math.log(high))))

    def one(self, names: Sequence[str]) -> str:
        return names[int(self.random.integers(len(names)))]


@dataclass(frozen=True, slots=True)
class _Fault:
    """Which services fail, from when on, and by whom."""

    onset: dict[str, float]
    cause: dict[str, Deployment | None]
    blip: tuple[float, float] | None = None  # of a blip: the share that fails, and for how many seconds


def company(kind: Kind, seed: int) -> Company:
    """A company's life; its faults begin in the third week."""
    weeks = kind.weeks
    made = _founded(kind, np.random.default_rng(seed))
    _deploy(made, weeks)
    faults = sorted(_faults(made, weeks), key=lambda f: min(f.onset.values()))
    busy: dict[str, float] = {}
    for fault in faults:
        began = min(fault.onset.values())
        if began < START + 14 * DAY or any(busy.get(s, 0.0) > began - HOUR for s in fault.onset):
            continue
        case = _case(made, fault)
        made.cases.append(case)
        busy |= dict.fromkeys(fault.onset, case.last[0])
    made.deployments.sort(key=lambda d: (d.time, d.id, d.service))
    return made


def _founded(kind: Kind, random: np.random.Generator) -> Company:
    count = int(random.integers(int(kind.services[0]), int(kind.services[1]) + 1))
    width = int(random.choice([30, 60, 60, 60, 300]))
    made = Company(kind, random, width, bool(random.random() < 0.6), [f"s{i}" for i in range(count)])
    share = random.uniform(*kind.told)
    for i, name in enumerate(made.services):
        most = min(i, int(random.poisson(1.6)))
        made.calls[name] = [made.services[j] for j in random.choice(i, most, replace=False)] if most else []
        made.told |= {(name, other) for other in made.calls[name] if random.random() < share}
    versions = random.choice([0.0, 0.5, 1.0])
    made.versioned = {s for s in made.services if random.random() < versions}
    made.versions = dict.fromkeys(made.services, 1)
    return made


# What is deployed.


def _working(made: Company, weeks: int) -> float:
    """A moment, nine times in ten on a working day between 8 and 18."""
    while True:
        moment = made.random.uniform(START, START + weeks * 7 * DAY)
        hour, weekday = moment % DAY / HOUR, (moment - START) // DAY % 7
        if (weekday < 5 and 8 <= hour < 18) or made.chance(0.03):
            return float(moment)


def _deploy(made: Company, weeks: int) -> None:
    kind, random = made.kind, made.random
    pace = random.gamma(0.8, 1.0, len(made.services)) + 0.05
    pace /= pace.sum()
    trains, rolling, late = (random.uniform(*r) for r in (kind.trains, kind.rolling, kind.late))
    count = int(random.poisson(made.between(*kind.a_day) * 7 * weeks * 5 / 7))
    moments = []
    while count > 0:
        members = 1
        if len(made.services) > 2 and made.chance(trains / 4):
            members = int(random.integers(2, min(len(made.services), 20) + 1))
        moments.append((_working(made, weeks), members))
        count -= members
    for number, (moment, members) in enumerate(sorted(moments)):
        spread = made.between(10, 1800) if members > 1 and made.chance(0.5) else 0.0
        names = random.choice(made.services, members, replace=False, p=pace)
        for name in sorted(map(str, names)):
            kinds: list[DeploymentKind] = ["deploy", "config", "flag", "rollback"]
            what = kinds[int(random.choice(4, p=[0.82, 0.09, 0.07, 0.02]))] if members == 1 else "deploy"
            time = int(moment + random.uniform(0, 1) * spread)
            _put(made, f"r{number}", name, time, what, rolling, late)


def _put(
    made: Company, release: str, name: str, time: int, what: DeploymentKind, rolling: float, late: float
) -> Deployment:
    before = made.versions[name]
    if what in ("deploy", "rollback"):
        made.versions[name] += 1
    reported = int(time + made.between(60, 3 * HOUR)) if made.chance(late) else 0
    deployment = Deployment(
        release, time, name, str(made.versions[name]), str(before), kind=what, reported=reported
    )
    takes = made.between(60, 2 * HOUR) if what == "deploy" and made.chance(rolling) else 20.0
    made.takes[(release, name)] = takes
    made.deployments.append(deployment)
    return deployment


# What goes wrong.


def _faults(made: Company, weeks: int) -> list[_Fault]:
    kind, random = made.kind, made.random
    harmful = made.between(*kind.harmful)
    careful = dict(zip(made.services, random.lognormal(-0.18, 0.6, len(made.services)), strict=True))
    weight = {
        "deploy": 1.0,
        "config": random.uniform(0.7, 2),
        "flag": random.uniform(0.5, 1.5),
        "rollback": 0.2,
    }
    slow, upstream = random.uniform(*kind.slow), random.uniform(*kind.upstream)
    found, trains = list[_Fault](), dict[str, list[Deployment]]()
    harmless: list[Deployment] = []
    for d in made.deployments:
        trains.setdefault(d.id, []).append(d)
    for members in trains.values():
        # Of a train, a change to several of its members at once may be what does harm.
        chances = [min(0.6, harmful * careful[d.service] * weight[d.kind]) for d in members]
        guilty = [d for d, c in zip(members, chances, strict=True) if made.chance(c * len(members) ** -0.3)]
        if guilty and len(members) > 1 and made.chance(0.25):
            guilty += [d for d in members if d not in guilty][: int(random.integers(1, 3))]
        harmless += [d for d in members if d not in guilty]
        together: dict[str, float] = {}
        causes: dict[str, Deployment | None] = {}
        for d in guilty:
            onset = d.time + _felt_after(made, d, slow)
            for service, moment in _felt_by(made, d.service, onset, upstream).items():
                if together and abs(moment - min(together.values())) > 20 * MIN:
                    found.append(_Fault({service: moment}, {service: d}))
                elif service not in together:
                    together[service], causes[service] = moment, d
        if together:
            found.append(_Fault(together, causes))
    share = random.uniform(*kind.unexplained)
    liable = random.lognormal(0, 0.6, len(made.services))
    for _ in range(random.poisson(max(len(found), 1) * share / (1 - share))):
        moment = _working(made, weeks) if made.chance(0.5) else random.uniform(START, START + weeks * 7 * DAY)
        first = str(random.choice(made.services, p=liable / liable.sum()))
        failing = {first: float(moment)}
        if made.chance(0.15):  # what they share
            for other in random.choice(made.services, min(3, len(made.services)), replace=False):
                failing.setdefault(str(other), moment + random.uniform(0, 2 * MIN))
        elif made.chance(0.15):
            failing = _felt_by(made, first, float(moment), 1.0)
        found.append(_Fault(failing, dict.fromkeys(failing)))
    return found + (_blips(made, harmless) if kind.blipping[1] > 0 else [])


def _blips(made: Company, harmless: Sequence[Deployment]) -> list[_Fault]:
    """What is seen at deployments that do no harm, of services that are not ready when they begin to serve."""
    random = made.random
    share = random.uniform(*made.kind.blipping)
    unready = {
        s: (made.between(0.003, 0.3), made.between(60, 400)) for s in made.services if made.chance(share)
    }
    found = []
    for d in harmless:
        if d.kind in ("deploy", "rollback") and d.service in unready and made.chance(0.85):
            usual, lasts = unready[d.service]
            like = min(0.9, usual * random.lognormal(0, 0.25)), lasts * random.uniform(0.6, 1.4)
            found.append(_Fault({d.service: d.time + random.exponential(20)}, {d.service: d}, like))
    return found


def _felt_after(made: Company, d: Deployment, slow: float) -> float:
    """Seconds from a deployment to the first harm."""
    random = made.random
    serving = made.takes[(d.id, d.service)] * random.uniform(0, 0.3)  # until the first instances have it
    if made.chance(1 - slow):
        if made.chance(0.65):
            return float(serving + random.exponential(30))
        return float(serving + random.exponential(made.between(2 * MIN, 2 * HOUR)))
    if made.chance(0.5):  # something fills up
        return float(serving + random.gamma(4, made.between(HOUR, 40 * HOUR) / 4))
    if made.chance(0.6):  # the job of the night
        return float((START + 2 * HOUR - d.time) % DAY + random.uniform(0, 20 * MIN))
    return float((START + 9.5 * HOUR - d.time) % DAY + DAY * random.integers(0, 3) + random.uniform(0, HOUR))


def _felt_by(made: Company, service: str, onset: float, upstream: float) -> dict[str, float]:
    """Who fails, and from when on."""
    felt = {service: onset}
    callers = [s for s in made.services if service in made.calls[s]]
    if callers and made.chance(upstream):
        if made.chance(0.5):
            felt = {}
        for caller in {made.one(callers), *([made.one(callers)] if made.chance(0.3) else [])}:
            felt[caller] = onset + made.random.uniform(0, 2 * MIN)
    elif made.calls[service] and made.chance(0.04):  # it asks too much of whom it calls
        felt = {made.one(made.calls[service]): onset}
    elif made.chance(0.02):  # by a way that nobody knows
        felt = {made.one(made.services): onset}
    return felt


# What is seen of it, and what people do.


def _case(made: Company, fault: _Fault) -> Case:
    random, width = made.random, made.width
    seen = {s: _Seen.of(made, s, t, fault.cause[s]) for s, t in fault.onset.items()}
    if fault.blip is not None:
        seen = {s: one.as_blip(made, s, fault.blip[0]) for s, one in seen.items()}
    first = min(s.found for s in seen.values())
    rollbacks: dict[str, Deployment] = {}
    over: dict[str, float] = {}
    for service, onset in fault.onset.items():
        over[service] = (
            onset + fault.blip[1]
            if fault.blip is not None
            else _ended(made, service, onset, first, fault.cause[service], rollbacks)
        )
    ends = {s: int(math.ceil(t / width) * width) for s, t in over.items()}
    told = tuple(
        seen[s].finding(made, s, first, 0.0, over[s]) for s in seen if seen[s].found <= first + 2 * width
    )
    last = int(max(ends.values()) + width * random.integers(2, 6))
    final = tuple(
        replace(
            seen[s].finding(made, s, last, over[s], over[s]),
            phase="cleared",
            cleared="recovered",
            recovered=ends[s],
        )
        for s in seen
    )
    cause = {s: (d.id, d.service) if d is not None else None for s, d in fault.cause.items()}
    return Case((first, told), (last, final), cause, width)


def _ended(
    made: Company,
    service: str,
    onset: float,
    found: int,
    cause: Deployment | None,
    rollbacks: dict[str, Deployment],
) -> float:
    """When it is over; what people put back meanwhile is added to the deployments."""
    random = made.random
    later = found + made.between(3 * MIN, HOUR)
    by_itself = found + random.exponential(45 * MIN) + MIN
    if cause is not None:
        if cause.service in rollbacks:
            return rollbacks[cause.service].time + random.exponential(90)
        if made.chance(0.7):
            back = rollbacks[cause.service] = _back(made, cause, int(later))
            return float(
                back.time
                + made.takes[(back.id, back.service)] * random.uniform(0, 1)
                + random.exponential(60)
            )
        return float(by_itself if made.chance(0.5) else later)
    recent = [
        d
        for d in made.deployments
        if d.service == service and 0 < onset - d.time < 2 * HOUR and d.kind != "rollback"
    ]
    if recent and service not in rollbacks and made.chance(made.kind.reflex):
        rollbacks[service] = _back(made, recent[-1], int(later))
    return float(by_itself)


def _back(made: Company, d: Deployment, time: int) -> Deployment:
    back = Deployment(
        f"b{len(made.deployments)}", time, d.service, d.previous_version, d.version, kind="rollback"
    )
    made.takes[(back.id, back.service)] = 20.0
    made.deployments.append(back)
    return back


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a service's fault is like. found: when it is first told. doubt: intervals that its onset is unsure by.

    hurt: by version, whether it fails more; `all` for every other one.
    """

    signal: Signal
    kind: FindingKind
    onset: float
    guess: int
    doubt: float
    found: int
    rate: float
    usual: float
    share: float
    cause: Deployment | None
    new_only: bool
    odd: bool

    @staticmethod
    def of(made: Company, service: str, onset: float, cause: Deployment | None) -> _Seen:
        random, width = made.random, made.width
        plain = made.chance(0.65)
        doubt = 1.0 if plain else made.between(1, 12)
        error = random.choice([-1, 0, 0, 0, 0, 0, 1, 1]) if plain else round(random.normal(0.2, 1.0) * doubt)
        guess = int(onset // width * width + error * width)
        found = int((onset // width + 1) * width + width * random.integers(1, 4 if plain else 40))
        kinds: list[FindingKind] = ["error_spike", "data_loss", "no_data"]
        kind = kinds[int(random.choice(3, p=[0.65, 0.3, 0.05]))]
        usual = made.between(0.0003, 0.01)
        share = min(0.9, usual * made.between(3, 100)) if kind == "error_spike" else made.between(0.02, 1.0)
        own = cause is not None and cause.service == service
        return _Seen(
            _signal(made, service, kind), kind, onset, guess, doubt, max(found, guess + width),
            made.between(5, 2000), usual, share, cause if own else None,
            own and made.chance(0.92), made.chance(0.03),
        )  # fmt: skip

    def as_blip(self, made: Company, service: str, share: float) -> _Seen:
        """Errors, found soon."""
        found = int((self.onset // made.width + 1 + made.random.integers(0, 2)) * made.width)
        signal, guess = _signal(made, service, "error_spike"), int(self.onset // made.width * made.width)
        return replace(
            self, signal=signal, kind="error_spike", share=share, found=found, guess=guess, doubt=1.0
        )

    def finding(self, made: Company, service: str, now: int, over: float, end: float) -> Finding:
        """At `now`; over: when it ended, 0 = not yet."""
        width = made.width
        lasted = (over or now) - self.guess
        n = self.rate / 60 * max(lasted, width)
        lost = self.share * self.rate / 60 * max(lasted, width)
        reach = math.ceil(1.96 * self.doubt) * width if self.doubt > 1 else width
        errors = self.kind == "error_spike"
        return Finding(
            self.signal, self.kind, "raised", now, self.guess, self.guess - reach,
            self.guess + (reach if self.doubt > 1 else 0),
            observed=self.usual * n + lost if errors else max(n - lost, 0.0),
            expected=self.usual * n if errors else n,
            lost=lost, lost_low=0.8 * lost, lost_high=1.2 * lost, out_of=n, strength=30.0, seen=int(over or now),
            versions=self._versions(made, service, now, over or now) if service in made.versioned else (),
        )  # fmt: skip

    def _versions(
        self, made: Company, service: str, now: int, over: float
    ) -> tuple[tuple[str, float, float], ...]:
        """(version, counted, out_of) since the onset, as far as the last ten hours."""
        random = made.random
        since = max(self.guess, now - 600 * made.width)
        history = [d for d in made.deployments if d.service == service and d.kind in ("deploy", "rollback")]
        history = sorted((d for d in history if d.time < now), key=lambda d: d.time)[-8:]
        times = since + made.width * (np.arange(max(1, (now - since) // made.width)) + 0.5)
        left = np.ones(len(times))
        serving: dict[str, np.ndarray] = {}
        for d in reversed(history):
            has = np.clip((times - d.time) / max(made.takes[(d.id, d.service)], 1.0), 0, 1) * left
            serving[d.version] = serving.get(d.version, 0.0) + has
            left = left - has
        before = history[0].previous_version if history else "1"
        serving[before] = serving.get(before, 0.0) + left
        faulty = (times >= self.onset) & (times < over)
        rows = []
        for version, share in serving.items():
            served = random.poisson(self.rate * made.width / 60 * share)
            hurt = self.share if not self.new_only or (self.cause and version == self.cause.version) else 0.0
            if self.odd and history and version != history[-1].version:
                hurt = 0.0  # the new instances are those where something else is wrong
            total = float(served.sum())
            if total == 0:
                continue
            if self.kind == "error_spike":
                rows.append(
                    (
                        version,
                        float(
                            random.binomial(
                                served, np.where(faulty, min(self.usual + hurt, 1), self.usual)
                            ).sum()
                        ),
                        total,
                    )
                )
            elif self.signal.kind == "flow":
                rows.append(
                    (
                        version,
                        float(random.binomial(served, np.where(faulty, 1 - hurt, 1 - self.usual / 10)).sum()),
                        total,
                    )
                )
            else:
                rows.append(
                    (version, float(random.binomial(served, np.where(faulty, 1 - hurt, 1)).sum()), 0.0)
                )
        return tuple(rows)


def _signal(made: Company, service: str, kind: FindingKind) -> Signal:
    """What is asked of it: a flow tells of one that it is fed by."""
    calls = made.calls[service]
    fed = [other for other in calls if (service, other) in made.told]
    told = tuple(fed) if made.says else ()
    own = Term(service, "received")
    if kind == "error_spike":
        errors = (Term(service, "errors"),)
        return Signal(service, "failing", "error_ratio", errors, (own,), depends_on=told)
    if kind == "data_loss" and made.chance(0.6):
        into = Term(made.one(fed), "sent") if fed and made.chance(0.6) else own
        stored = (Term(service, "stored"),)
        return Signal(service, "kept", "flow", stored, (into,), within=120, depends_on=told)
    return Signal(service, "stored", "throughput", (Term(service, "stored"),), depends_on=told)
