"""The one step from closed intervals to news; the daemon and the backtest differ only in who calls it. Pure.

In: State, a block of closed intervals, deployments that became known since. Out: the next State, events.
Never: a clock, a network, a change to the state that came in, unless the caller gives it up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alerts.incidents import Event, Incident, fold, remember
from alerts.suspects import FIRST, Past
from collector.bins import Bins
from collector.deployments import Deployment
from detectors.memory import Memory, fit, fits, nothing
from detectors.plan import Plan
from detectors.watch import watch

LOOK_BACK = 14 * 86400  # seconds for which a deployment is remembered as a possible cause


@dataclass(frozen=True, slots=True)
class State:
    """All that has to be known to go on: what the detectors remember, what is open, what was deployed, what faults
    have been like."""

    memory: Memory
    incidents: tuple[Incident, ...]
    deployments: tuple[Deployment, ...]
    past: Past = FIRST

    @staticmethod
    def empty() -> State:
        return State(nothing(), (), ())


def advance(
    state: State, bins: Bins, deployments: Sequence[Deployment], plan: Plan, spend: bool = False
) -> tuple[State, list[Event]]:
    """Judge closed intervals of all series; the same for the daemon and the backtest.

    deployments: those that became known since the last call; repeats are harmless, and one that lies in the
    future of an interval is not used for it. Events come in the order in which they would be sent.
    spend: the caller has no use for `state` afterwards, also if this raises. Its memory is then changed in place
    where it fits: to copy the memory of a million signals takes longer than to judge them.
    """
    memory = state.memory if spend and fits(state.memory, plan) else fit(state.memory, plan)
    known = _merge(state.deployments, deployments)
    incidents, past, events = state.incidents, state.past, list[Event]()
    for index, findings in watch(memory, bins, plan, known):
        now = int(bins.closed[index])
        told = [d for d in known if d.known <= now]
        incidents, news = fold(incidents, findings, told, now, bins.width, past)
        past = remember(past, news, told, bins.width)
        events += news
    recent = tuple(d for d in known if d.time > bins.end - LOOK_BACK)
    return State(memory, incidents, recent, past), events


def _merge(old: Sequence[Deployment], new: Sequence[Deployment]) -> tuple[Deployment, ...]:
    """Each member of each release once, as it was told last."""
    by_key = {(d.id, d.service): d for d in (*old, *new)}
    return tuple(sorted(by_key.values(), key=lambda d: (d.time, d.id, d.service)))
