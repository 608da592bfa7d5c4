"""Incidents: what belongs together, and what of it is news. Pure.

In: findings of one closed interval, the deployments known by then, what people said. Out: events (opened, updated,
resolved).
Never: a clock, a database, a word for people (see messages.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from alerts.blips import AGAIN, as_usual, pause_before, with_faults
from alerts.clues import undoes
from alerts.harm import RANKS, Lasting, Severity, weighed
from alerts.suspects import FIRST, Past, Suspect, learned, rank, release_of
from alerts.together import MANY, crowds, failing, many, services
from collector.deployments import Deployment
from collector.words import Word
from detectors.findings import Finding

EventName = Literal["opened", "updated", "resolved"]
# reasons of `resolved` are fixed by the format; reasons of `updated` say what changed
Reason = Literal[
    "", "opened", "joined", "worse", "suspect", "recovering", "grew", "lasting",
    "recovered", "rollback", "late_data", "expired", "operator",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a signal lost in an incident before it came back: the sum of so many faults, of which the first began
    then (epoch seconds)."""

    service: str
    signal: str
    kind: str
    faults: int
    began: int
    lost: float
    lost_low: float
    lost_high: float
    failed: float
    missing: float


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that is wrong, as it is known now.

    id: stable, made from the first signal and its onset. opened: close of the interval that opened it.
    findings: one per signal (the latest word on each; cleared ones stay until all is over).
    suspects: most likely first; with no_deployment their probabilities sum to 1.
    rollbacks: deployments that put a suspect back. resolved: 0 while open, else the close at which it ended.
    told: lost events at the last event, to know when it has grown enough to say so. events: how many so far.
    acknowledged: who has taken it on, first. excluded: (deployment, service) that people say it was not; an empty
    service means all of its members. closed_by: who said that it is no problem. failing: services that failed at
    the last event. lasting: the blips that it outlasts, if it is graver for that. pause: of what comes and goes,
    the longest time (seconds) for which it was as before and came back; returns: how often it did since it was
    opened; due: all is over, and it ends at this close if it stays so, 0 = something fails still. wanted_back: what
    people asked to be put back, as they said it; `rollbacks` is what was. earlier: of signals that came back, what
    they lost before, which is not in `findings`.
    """

    id: str
    opened: int
    severity: Severity
    findings: tuple[Finding, ...]
    suspects: tuple[Suspect, ...]
    no_deployment: float
    rollbacks: tuple[Deployment, ...] = ()
    resolved: int = 0
    told: float = 0.0
    events: int = 0
    acknowledged: str = ""
    excluded: tuple[tuple[str, str], ...] = ()
    closed_by: str = ""
    failing: int = 0
    lasting: Lasting | None = None
    pause: int = 0
    returns: int = 0
    due: int = 0
    wanted_back: tuple[Word, ...] = ()
    earlier: tuple[Earlier, ...] = ()

    def before(self, finding: Finding) -> Earlier | None:
        """What this signal lost before it came back; None where it did not."""
        return next(
            (one for one in self.earlier if (one.service, one.signal, one.kind) == _key(finding)), None
        )


@dataclass(frozen=True, slots=True)
class Event:
    """News: a line of alerts.jsonl and a reason to write a message. number: 1, 2, 3 … within the incident.

    rose: it is graver than it was at the last event. back: all was as before, and it came back as what would not
    be `info` by itself. bystanders: members of the likeliest release that nothing points to, to be left.
    """

    time: int
    event: EventName
    reason: Reason
    incident: Incident
    number: int = 1
    rose: bool = False
    bystanders: tuple[Deployment, ...] = ()
    back: bool = False


NEAR = 1800  # seconds between onsets of one service that still speak of one fault
TIED = 900  # the same, where a flow ties two services, or many fail together
LIKELY = 0.5  # probability from which a release joins what it explains
GREW, GREW_LEAST = 3.0, 50.0  # what is lost is news again when it has tripled


def fold(
    incidents: tuple[Incident, ...],
    findings: Sequence[Finding],
    deployments: Sequence[Deployment],
    now: int,
    width: int,
    past: Past = FIRST,
) -> tuple[tuple[Incident, ...], list[Event]]:
    """Take the findings of one closed interval into the open incidents.

    now: the interval's close; deployments: those known by then; width: seconds of an interval; past: what faults
    were like before.
    Returns the incidents that are open afterwards, and what is news: at most one event an incident.
    """
    open_now = _Open(incidents, deployments, width, past)
    for finding in sorted(findings, key=lambda f: (f.onset, f.signal.service, f.signal.name, f.kind)):
        home = open_now.home(finding)
        if home is not None:
            open_now.take(home, finding)
        elif finding.phase != "cleared":  # else raised and over before anybody could be told
            open_now.add(_new(finding, now))
    open_now.gather()
    touched, returns = open_now.touched, {i.id: i.returns for i in incidents}
    events: list[Event] = []
    still: list[Incident] = []
    for incident, reasons in touched.values():
        after, event = _settle(incident, reasons, deployments, now, width, past)
        if event is not None and incident.returns > returns.get(incident.id, incident.returns):
            event = replace(event, back=_is_grave(incident, deployments, width, past))
        if event is not None:
            events.append(event)
        if not after.resolved:
            still.append(after)
    return tuple(still), sorted(events, key=lambda e: (e.incident.opened, e.incident.id))


def heed(
    incidents: tuple[Incident, ...],
    words: Sequence[Word],
    deployments: Sequence[Deployment],
    now: int,
    width: int,
    past: Past = FIRST,
) -> tuple[tuple[Incident, ...], list[Event], list[Finding]]:
    """Take what people said into the open incidents, after the findings of the interval that closed at `now`.

    Returns the incidents that are open afterwards, what is news, and the findings that are no problem, for the
    detectors to learn from. What is said of an incident that is over changes nothing.
    """
    by_id = {incident.id: incident for incident in incidents}
    events: list[Event] = []
    harmless: list[Finding] = []
    for word in sorted(words, key=lambda w: (w.known, w.time, w.incident, w.kind, w.who)):
        incident = by_id.get(word.incident)
        if incident is None:
            continue
        if word.kind == "acknowledge":
            by_id[incident.id] = replace(incident, acknowledged=incident.acknowledged or word.who)
        elif word.kind == "roll back":  # whoever does that is on it
            on_it = incident.acknowledged or word.who
            back = (*incident.wanted_back, word)
            by_id[incident.id] = replace(incident, acknowledged=on_it, wanted_back=back)
        elif word.kind == "not a problem":
            over = replace(incident, resolved=now, closed_by=word.who, events=incident.events + 1)
            events.append(Event(now, "resolved", "operator", over, over.events))
            harmless += [f for f in incident.findings if f.phase != "cleared"]
            del by_id[incident.id]
        else:
            after, event = _without(incident, word, deployments, now, width, past)
            by_id[incident.id] = after
            events += [event] if event is not None else []
    return tuple(by_id.values()), events, harmless


def _without(
    incident: Incident, word: Word, deployments: Sequence[Deployment], now: int, width: int, past: Past
) -> tuple[Incident, Event | None]:
    """Ranked again without what it was not; news where another is believed then."""
    excluded = tuple(dict.fromkeys([*incident.excluded, (word.deployment, word.service)]))
    without = replace(incident, excluded=excluded)
    suspects, none = rank(incident.findings, _possible(without, deployments), width, past)
    after = replace(without, suspects=suspects, no_deployment=none)
    if _first(after) == _first(incident):
        return after, None
    after = replace(after, events=incident.events + 1)
    return after, Event(
        now, "updated", "suspect", after, after.events, False, _bystanders(after, deployments)
    )


def _possible(incident: Incident, deployments: Sequence[Deployment]) -> list[Deployment]:
    """All but those that people say it was not, by any id under which it is told or was seen."""
    not_it = set(incident.excluded)
    return [
        d
        for d in deployments
        if not_it.isdisjoint((i, of) for i in (d.id, *d.seen_as) for of in (d.service, ""))
    ]


def _key(finding: Finding) -> tuple[str, str, str]:
    return finding.signal.service, finding.signal.name, finding.kind


def _new(finding: Finding, now: int) -> Incident:
    name = "/".join((*_key(finding), str(finding.onset)))
    identity = hashlib.sha256(name.encode()).hexdigest()[:12]
    return Incident(identity, now, "info", (finding,), (), 1.0)


class _Open:
    """The incidents that are open while an interval's findings are taken in.

    touched: by id, with what is new of each. Which release explains an incident is asked once an interval, for to
    ask it of hundreds again for each that joins would take minutes.
    """

    def __init__(
        self, incidents: Iterable[Incident], deployments: Sequence[Deployment], width: int, past: Past
    ) -> None:
        self.touched: dict[str, tuple[Incident, list[Reason]]] = {i.id: (i, []) for i in incidents}
        self._known = deployments, width, past
        self._of = {_key(f): i for i, (incident, _) in self.touched.items() for f in incident.findings}
        self._releases: dict[str, str] = {}

    def add(self, incident: Incident) -> None:
        self.touched[incident.id] = incident, ["opened"]
        self._of |= {_key(f): incident.id for f in incident.findings}

    def take(self, home: str, finding: Finding) -> None:
        incident, reasons = self.touched[home]
        self.touched[home] = _take(incident, finding, reasons)
        self._of[_key(finding)] = home

    def home(self, finding: Finding) -> str | None:
        """The open incident that this finding belongs to."""
        known = self._of.get(_key(finding))
        if known is not None:
            return known
        deployments, width, past = self._known
        release = _sure(rank([finding], deployments, width, past)[0])
        for incident, _ in self.touched.values():
            if _belongs(incident, finding, width) or (release and self._release(incident) == release):
                return incident.id
        return None

    def gather(self) -> None:
        """What began together in many services is one incident. What was told apart stays apart."""
        began = [(min(f.onset for f in i.findings), i.id) for i, _ in self.touched.values()]
        for crowd in crowds(began):
            told = [self.touched[i][0] for i in crowd if not self._is_new(i)]
            told = [i for i in told if many(i.findings) or not self._release(i)]
            new = [i for _, i in sorted(began) if i in crowd and self._is_new(i)]
            told.sort(key=lambda i: (-len(services(i.findings)), i.opened, i.id))
            first = [*(i.id for i in told), *new][:1]
            self._merge(first, new)
        for onset, one in sorted(began):
            if one in self.touched and self._is_new(one):
                self._merge(self._amid(onset, self.touched[one][0]), [one])

    def _amid(self, onset: int, new: Incident) -> list[str]:
        """Incidents of many that fail still, amid which this one began, where no release explains either."""
        return [
            other.id
            for other, _ in self.touched.values()
            if other.id != new.id
            and many(other.findings)
            and failing(other.findings) >= MANY
            and min(abs(f.onset - onset) for f in other.findings) <= TIED
            and not self._release(other)
            and not self._release(new)
        ]

    def _merge(self, into: Sequence[str], new: Sequence[str]) -> None:
        """Take new ones, of which nobody has heard, into the first of these incidents, if there is one."""
        for home in into[:1]:
            incident, reasons = self.touched[home]
            more = [self.touched.pop(i)[0] for i in new if i != home]
            findings = (*incident.findings, *(f for one in more for f in one.findings))
            news: list[Reason] = ["joined"] if more else []
            self.touched[home] = replace(incident, findings=findings), [*reasons, *news]

    def _is_new(self, incident: str) -> bool:
        return "opened" in self.touched[incident][1]

    def _release(self, incident: Incident) -> str:
        """The release that explains it, empty where none does."""
        if incident.id not in self._releases:
            deployments, width, past = self._known
            suspects, _ = rank(incident.findings, _possible(incident, deployments), width, past)
            self._releases[incident.id] = _sure(suspects)
        return self._releases[incident.id]


def _sure(suspects: Sequence[Suspect]) -> str:
    release, sure = release_of(suspects)
    return release if sure >= LIKELY else ""


def _belongs(incident: Incident, finding: Finding, width: int) -> bool:
    apart = min(abs(f.onset - finding.onset) for f in incident.findings)
    if apart <= NEAR and any(f.signal.service == finding.signal.service for f in incident.findings):
        return True
    if (
        finding.kind == "no_data"
        and apart <= 2 * width
        and any(f.kind == "no_data" for f in incident.findings)
    ):
        return True
    return apart <= TIED and any(_tied(f, finding) for f in incident.findings)


def _tied(one: Finding, other: Finding) -> bool:
    """Does a flow lead from one's service to the other's?"""
    return _reaches(one, other.signal.service) or _reaches(other, one.signal.service)


def _reaches(finding: Finding, service: str) -> bool:
    terms = (*finding.signal.counted, *finding.signal.out_of)
    return finding.signal.kind == "flow" and any(t.service == service for t in terms)


def _take(incident: Incident, finding: Finding, reasons: list[Reason]) -> tuple[Incident, list[Reason]]:
    old = next((f for f in incident.findings if _key(f) == _key(finding)), None)
    if old is None:
        if finding.phase == "cleared":
            return incident, reasons
        return replace(incident, findings=(*incident.findings, finding)), [*reasons, "joined"]
    if old.phase == "cleared" != finding.phase:
        pause = max(finding.onset - old.recovered, 1)
        back = all(f.phase == "cleared" for f in incident.findings)
        incident = replace(
            incident,
            pause=max(incident.pause, pause if pause < AGAIN else 0),
            returns=incident.returns + back,
            earlier=_with_end(incident, old) if finding.onset >= old.recovered else incident.earlier,
        )
    news: list[Reason] = []
    if finding.phase == "cleared" and old.phase != "cleared":
        news = ["recovering"]
    elif finding.phase != "cleared" and old.phase == "cleared":
        news = ["worse"]
    # When each instance began to fail is known best while it stands.
    keeps = old.instances if finding.phase == "cleared" or not finding.instances else finding.instances
    newest = replace(finding, seen=max(old.seen, finding.seen), instances=keeps)
    kept = tuple(newest if f is old else f for f in incident.findings)
    return replace(incident, findings=kept), [*reasons, *news]


def _with_end(incident: Incident, over: Finding) -> tuple[Earlier, ...]:
    """What was lost before, and in the fault that is over."""
    numbers = over.lost, over.lost_low, over.lost_high, over.failed, over.missing
    before = incident.before(over)
    if before is None:
        return (*incident.earlier, Earlier(*_key(over), 1, over.onset, *numbers))
    sums = before.lost, before.lost_low, before.lost_high, before.failed, before.missing
    added = (one + other for one, other in zip(sums, numbers, strict=True))
    grown = Earlier(*_key(over), before.faults + 1, before.began, *added)
    return tuple(grown if one is before else one for one in incident.earlier)


def _settle(
    incident: Incident,
    reasons: list[Reason],
    deployments: Sequence[Deployment],
    now: int,
    width: int,
    past: Past,
) -> tuple[Incident, Event | None]:
    """Rank, weigh and decide what of this is news."""
    suspects, none = rank(incident.findings, _possible(incident, deployments), width, past)
    severity, lasting = _gravest(incident, deployments, width, past)
    began = min(f.onset for f in incident.findings)
    # Who took part in a suspect's harm is put back by a deployment after the onset.
    rollbacks = tuple(
        d
        for d in sorted(deployments, key=lambda d: (d.time, d.service))
        if d.time > began and any(undoes(d, s.deployment) for s in suspects)
    )
    lost = max(f.lost for f in incident.findings)
    left = failing(incident.findings)
    after = replace(
        incident,
        severity=severity,
        suspects=suspects,
        no_deployment=none,
        rollbacks=rollbacks,
        lasting=lasting,
    )
    name: EventName = "updated"
    reason: Reason | None
    if "opened" in reasons:
        after = replace(after, pause=max(pause_before(past.blips, f) for f in incident.findings))
    after = replace(after, due=_due(after, width))
    if 0 < after.due <= now:
        name, reason = "resolved", _end(after, width)
        after = replace(after, resolved=now)
    elif "opened" in reasons:
        name, reason = "opened", ""
    else:
        reason = _update(incident, after, _of_many(incident, reasons, left), lost)
        if reason is None:
            return after, None
    after = replace(after, told=max(lost, 1.0), events=incident.events + 1, failing=left)
    rose = name == "updated" and RANKS.index(severity) > RANKS.index(incident.severity)
    return after, Event(now, name, reason, after, after.events, rose, _bystanders(after, deployments))


def _due(incident: Incident, width: int) -> int:
    """When it ends if nothing comes back: at once, but for what comes and goes, which has to stay away for twice as
    long as it did before it came back."""
    if any(f.phase != "cleared" for f in incident.findings):
        return 0
    over = max(f.at for f in incident.findings)
    if not incident.pause or _end(incident, width) != "recovered":
        return over
    return max(over, max(f.recovered for f in incident.findings) + min(2 * incident.pause, AGAIN))


def _gravest(
    incident: Incident, deployments: Sequence[Deployment], width: int, past: Past
) -> tuple[Severity, Lasting | None]:
    """How grave it is, never less than it was told; and what it outlasts, where that alone makes it graver."""
    severity, lasting = incident.severity, incident.lasting
    for finding in incident.findings:
        grave, why = weighed(finding, past.blips, deployments, width, incident.opened)
        if RANKS.index(grave) > RANKS.index(severity):
            severity, lasting = grave, why or incident.lasting
    return severity, lasting


def _is_grave(incident: Incident, deployments: Sequence[Deployment], width: int, past: Past) -> bool:
    """Would what fails now be worth a message, if nothing had been told of it before?"""
    standing = [f for f in incident.findings if f.phase != "cleared"]
    return any(weighed(f, past.blips, deployments, width, incident.opened)[0] != "info" for f in standing)


def remember(past: Past, news: Sequence[Event], deployments: Sequence[Deployment], width: int) -> Past:
    """`past` and the faults that are over by now. What was late data only, or no problem, was no fault."""
    for event in news:
        if event.event != "resolved" or event.reason in ("late_data", "expired", "operator"):
            continue
        findings, possible = event.incident.findings, _possible(event.incident, deployments)
        # How often faults come does not follow from what a service shows at each of its deployments.
        if not _is_all_usual(findings, deployments, width, past):
            past = learned(past, findings, possible, width)
        if event.reason != "rollback":
            past = replace(past, blips=with_faults(past.blips, findings))
    return past


def _is_all_usual(
    findings: Sequence[Finding], deployments: Sequence[Deployment], width: int, past: Past
) -> bool:
    by_service = (
        [f for f in findings if f.signal.service == service] for service in sorted(services(findings))
    )
    return all(as_usual(own, past.blips, deployments, width) is not None for own in by_service)


def _bystanders(incident: Incident, deployments: Sequence[Deployment]) -> tuple[Deployment, ...]:
    """What the likeliest release shipped as well and what is not suspected."""
    release, _ = release_of(incident.suspects)
    suspected = {s.deployment for s in incident.suspects}
    others = {d for d in deployments if release and d.id == release} - suspected
    return tuple(sorted(others, key=lambda d: (d.service, d.time)))


def _update(before: Incident, after: Incident, reasons: list[Reason], lost: float) -> Reason | None:
    """The one reason to speak again, strongest first; None where there is nothing new."""
    if "joined" in reasons:
        return "joined"
    if RANKS.index(after.severity) > RANKS.index(before.severity):
        return "lasting" if after.lasting is not before.lasting else "worse"
    if "worse" in reasons:
        return "worse"
    if _first(before) != _first(after):
        return "suspect"
    if "recovering" in reasons:
        return "recovering"
    if lost >= GREW * before.told and lost - before.told >= GREW_LEAST:
        return "grew"
    return None


def _of_many(incident: Incident, reasons: list[Reason], left: int) -> list[Reason]:
    """Of many services it is news that twice as many fail as were told, or half as many; not each of them."""
    if not many(incident.findings):
        return reasons
    if left >= 2 * incident.failing or incident.failing < MANY <= left:
        return [reason for reason in reasons if reason in ("joined", "worse")]
    return ["recovering"] if 2 * left <= incident.failing else []


def _first(incident: Incident) -> tuple[str, str]:
    """What is believed: the likeliest member, or nobody."""
    if not incident.suspects or incident.suspects[0].probability < incident.no_deployment:
        return "", ""
    release, _ = release_of(incident.suspects)
    return release, ""


def _end(incident: Incident, width: int) -> Reason:
    why = {f.cleared for f in incident.findings}
    if why == {"late_data"}:
        return "late_data"
    for f in incident.findings:
        for d in incident.rollbacks:
            if f.cleared == "recovered" and d.service == f.signal.service and d.time - width <= f.recovered:
                return "rollback"
    return "expired" if "expired" in why else "recovered"
