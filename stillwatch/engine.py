"""The one step from closed intervals to news; the daemon and the backtest differ only in who calls it. Pure.

In: State, a block of closed intervals, deployments and words that became known since. Out: the next State, events.
Never: a clock, a network, a change to the state that came in, unless the caller gives it up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np

from alerts.blips import with_deployments
from alerts.incidents import Event, Incident, fold, heed, remember
from alerts.suspects import FIRST, Past
from collector.bins import Bins
from collector.deployments import Deployment
from collector.words import Word
from detectors.findings import Finding
from detectors.memory import Memory, fit, fits, nothing
from detectors.plan import Plan
from detectors.same_deployment import all_of_each, one_of_each
from detectors.serving import Began, Serving, follow
from detectors.slow import hold
from detectors.taught import Taught, as_before, grown_usual, take_for_usual
from detectors.watch import watch

LOOK_BACK = 14 * 86400  # seconds for which a deployment is remembered as a possible cause


@dataclass(frozen=True, slots=True)
class State:
    """All that has to be known to go on: what the detectors remember, what is open, what was deployed, what faults
    have been like, what was believed before somebody said that it is no problem, and which versions serve."""

    memory: Memory
    incidents: tuple[Incident, ...]
    deployments: tuple[Deployment, ...]
    past: Past = FIRST
    taught: tuple[Taught, ...] = ()
    serving: Serving = field(default_factory=Serving.nothing)

    @staticmethod
    def empty() -> State:
        return State(nothing(), (), ())


def advance(
    state: State,
    bins: Bins,
    deployments: Sequence[Deployment],
    plan: Plan,
    spend: bool = False,
    words: Sequence[Word] = (),
) -> tuple[State, list[Event]]:
    """Judge closed intervals of all series; the same for the daemon and the backtest.

    deployments: those that became known since the last call; repeats are harmless, and one that lies in the
    future of an interval is not used for it. Events come in the order in which they would be sent.
    words: what people said, known by the close of one of these intervals and not before them; each is heeded after
    the first interval that could know it was judged.
    spend: the caller has no use for `state` afterwards, also if this raises. Its memory is then changed in place
    where it fits: to copy the memory of a million signals takes longer than to judge them.
    """
    memory = state.memory if spend and fits(state.memory, plan) else fit(state.memory, plan)
    bins, held = hold(memory.held, bins, plan)
    told_of = _merge(state.deployments, deployments)
    serving, began = follow(state.serving, bins, plan.versions)
    known = _merge(told_of, [_seen(one, bins, told_of) for one in began])
    remembered = _Remembered(known, bins.width)
    incidents, past, taught, events = state.incidents, state.past, list(state.taught), list[Event]()
    # What is told again and was forgotten before stays forgotten.
    if len(bins):
        past = remembered.forget(past, incidents, bins.start, int(bins.closed[0]) - bins.width)
    heeded = np.searchsorted(bins.closed, [word.known for word in words]).tolist()
    at = 0
    while at < len(bins):
        # Up to the next word; while something was taught, one by one.
        end = min([*(i + 1 for i in heeded if i >= at), len(bins)])
        block = bins if end - at == len(bins) else bins.cut(at, end)
        judged = watch(memory, block, plan, known, lambda: bool(taught))
        turn = 0
        for index, findings in chain(judged, [(len(block), list[Finding]())]):
            if index < len(block):
                number = block.start // bins.width + index
                taught[:] = as_before(memory.columns, plan, taught, number)
                taught.extend(grown_usual(memory.columns, plan, findings, number))
            # What is due to end, or is too old, before the next news comes before it.
            while True:
                due, old = _first_due(incidents, block), remembered.first_old(block, turn)
                turn = min(due, old, index)
                if turn == index and not findings:
                    break
                if old < min(due, index):
                    end_of_turn = block.start + block.width * (turn + 1)
                    past = remembered.forget(past, incidents, end_of_turn, int(block.closed[turn]))
                    continue
                new, findings = (findings, []) if turn == index else ([], findings)
                now = int(block.closed[turn])
                told = remembered.by(now)
                incidents, news = fold(incidents, new, told, now, bins.width, past)
                past = remember(past, news, told, bins.width)
                remembered.look_again()
                events += news
        said = [word for word, i in zip(words, heeded, strict=True) if i == end - 1]
        if said:
            now = int(block.closed[-1])
            told = remembered.by(now)
            incidents, news, harmless = heed(incidents, said, told, now, bins.width, past)
            events += news
            number = block.end // bins.width - 1
            for finding in harmless:
                taught.extend(take_for_usual(memory.columns, plan, finding.signal, finding.kind, number))
        past = remembered.forget(past, incidents, block.end, int(block.closed[-1]))
        at = end
    memory = replace(memory, held=held)
    return State(memory, incidents, remembered.all, past, tuple(taught), serving), events


class _Remembered:
    """The deployments: at each moment those that are known by then and not forgotten; moments come in order.

    Forgotten is what began LOOK_BACK seconds or more before the end of an interval, with the end of that interval,
    unless an open incident names its release. What was told and what was seen of one deployment is forgotten
    together: the half that is left would be another one.
    """

    def __init__(self, known: tuple[Deployment, ...], width: int) -> None:
        self.all = known  # in order of time
        self._width = width
        self._count, self._found = 0, list[Deployment]()
        self._spared = set[int]()  # by id(): old, and still needed when that was looked at last

    def by(self, now: int) -> list[Deployment]:
        """Each deployment once."""
        told = [d for d in self.all if d.known <= now]
        if len(told) != self._count:  # what was known once stays so, until it is forgotten
            self._count, self._found = len(told), one_of_each(told, self._width)
        return self._found

    def look_again(self) -> None:
        """Incidents name others now."""
        self._spared.clear()

    def first_old(self, block: Bins, turn: int) -> int:
        """The interval, from `turn` on, at whose end the next of them may be forgotten; where that is the last one
        of the block, or later, its length."""
        first = len(block)
        for one in self.all:
            if one.time + LOOK_BACK > block.end - self._width:
                break
            if id(one) not in self._spared:
                old = -(-(one.time + LOOK_BACK - block.start) // self._width) - 1
                known = int(np.searchsorted(block.closed, one.known))
                first = min(first, max(old, known, turn))
        return first if first < len(block) - 1 else len(block)

    def forget(self, past: Past, incidents: Sequence[Incident], end: int, now: int) -> Past:
        """Forget what is too old at the `end` of an interval that was judged at `now`; `past` with it."""
        before = end - LOOK_BACK
        old = [d for d in self.all if d.time <= before and d.known <= now]
        if not old:
            return past
        services = {d.service for d in old}
        told = [d for d in self.all if d.service in services and d.known <= now]
        named = {s.deployment.id for i in incidents for s in i.suspects}
        named |= {d.id for i in incidents for d in i.rollbacks}
        gone = [
            (one, every)
            for one, every in all_of_each(told, self._width)
            if every[-1].time <= before and named.isdisjoint(d.id for d in every)
        ]
        each = {id(d) for _, every in gone for d in every}
        self._spared = {id(d) for d in old} - each
        if not gone:
            return past
        self.all = tuple(d for d in self.all if id(d) not in each)
        self._count = -1
        return replace(past, blips=with_deployments(past.blips, [one for one, _ in gone]))


def _seen(began: Began, bins: Bins, told: Sequence[Deployment]) -> Deployment:
    """A version that began to serve, as a deployment; of the release that it was told of, where that is known."""
    name, closed = began.name, int(bins.closed[began.interval])
    digest = hashlib.sha256("\0".join((*name, str(began.since))).encode()).hexdigest()[:12]
    one = Deployment(
        id=f"seen-{digest}",
        time=began.since * bins.width,
        service=name.service,
        version=name.version,
        previous_version=began.previous,
        environment=name.environment,
        kind="rollback" if began.rollback else "deploy",
        reported=closed,
        seen=True,
    )
    here = [d for d in told if d.service == name.service and d.known <= closed and not d.seen]
    release = [d.id for d in here if one not in one_of_each([d, one], bins.width)]
    return replace(one, id=release[-1]) if release else one


def _first_due(incidents: Sequence[Incident], block: Bins) -> int:
    """The interval in which the first of those that are over is due to end, if nothing comes back before it."""
    dues = [incident.due for incident in incidents if incident.due]
    return int(np.searchsorted(block.closed, min(dues))) if dues else len(block)


def _merge(old: Sequence[Deployment], new: Sequence[Deployment]) -> tuple[Deployment, ...]:
    """Each member of each release once, as it was told last; what was seen of it, each time that it was."""
    by_key = {(d.id, d.service, *((d.environment, d.time) if d.seen else ())): d for d in (*old, *new)}
    return tuple(sorted(by_key.values(), key=lambda d: (d.time, d.id, d.service)))
