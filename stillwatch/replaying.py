"""A dataset through the same step as the daemon's, each interval seen only once it has closed.

In: a dataset, settings. Out: Replay: events, and the state in the end.
Never: a look ahead: not even at the names of series that have not appeared yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from alerts.incidents import Event
from collector.bins import Bins, SeriesTable
from collector.dataset import Dataset
from collector.deployments import Deployment
from collector.words import Word
from detectors.discover import discover
from detectors.learning import Learning, learning
from detectors.plan import Plan, lay
from stillwatch.config import Settings
from stillwatch.engine import State, advance

DAY = 86400  # seconds of a block: progress is shown, and memory stays small
MOST_KEPT = 64  # states


@dataclass(frozen=True, slots=True)
class Replay:
    """events: in the order in which they would have been sent. plan: as it was in the end. seconds: of work.
    kept: (interval, the state before it), to judge again what went before something that was told or labelled.
    seen: deployments of which nobody told.

    unmeasured: the signals of which nothing was ever measured, and which metrics they miss.
    """

    events: tuple[Event, ...]
    plan: Plan
    seconds: float
    state: State
    unmeasured: tuple[str, ...] = ()
    kept: tuple[tuple[int, State], ...] = ()
    seen: tuple[Deployment, ...] = ()


def plan_of(settings: Settings, table: SeriesTable, at_once: bool = False) -> Plan:
    """The plan for the series of `table`, as the daemon lays it. at_once: for counts that are whole by now, of
    which none is waited for."""
    signals = settings.signals or [
        replace(signal, depends_on=settings.depends_on.get(signal.service, ())) for signal in discover(table)
    ]
    return lay(
        signals,
        table,
        settings.interval,
        settings.budget,
        settings.timezone,
        settings.holidays,
        {} if at_once else settings.waits,
    )


def replay(
    dataset: Dataset, settings: Settings, progress: Callable[[int], object] = lambda done: None
) -> Replay:
    """Judge all intervals of `dataset`. progress: called with the number of intervals done since the last call."""
    bins, known = dataset.bins, dataset.bins.appeared()
    state, events = State.empty(), list[Event]()
    plan = plan_of(settings, SeriesTable())
    # What is compiled on first use is compiled now: it says nothing about the speed of judging.
    advance(state, replace(bins.cut(0, 1), values=np.zeros((1, 0))), (), plan)
    starts = {(label.start - bins.start) // bins.width for label in dataset.labels}
    kept, before, seen = {0: state}, (0, state), dict[Deployment, None]()
    began = perf_counter()
    for first, last in stretches(known, max(1, DAY // bins.width)):
        series = int(known[first])
        if series != plan.series:
            plan = plan_of(settings, dataset.table.first(series))
        block = bins.cut(first, last)
        block = replace(block, values=np.ascontiguousarray(block.values[:, :series]))
        told, said = _told(dataset, bins, first, last)
        after, news = advance(state, block, told, plan, words=said)
        events += news
        raised = any(event.event == "opened" or event.reason == "joined" for event in news)
        if (raised or any(first <= start < last for start in starts)) and len(kept) < MOST_KEPT:
            kept |= dict([before, (first, state)])
        before, state = (first, state), after
        seen |= {d: None for d in state.deployments if d.seen}
        progress(last - first)
    taken = perf_counter() - began
    return Replay(
        tuple(events),
        plan,
        taken,
        state,
        _unmeasured(state, plan, dataset.table),
        tuple(kept.items()),
        tuple(seen),
    )


def retraced(
    dataset: Dataset, settings: Settings, done: Replay, first: int, last: int
) -> Iterator[tuple[int, State, Plan]]:
    """(interval, the state after it, its plan) of intervals `first` to `last`, judged again one by one from the
    nearest state that was kept."""
    bins, known = dataset.bins, dataset.bins.appeared()
    begin, state = max((one for one in done.kept if one[0] <= first), key=lambda one: one[0])
    for start, stop in stretches(known, max(1, DAY // bins.width)):
        if stop <= begin or start > last:
            continue
        series = int(known[start])
        plan = plan_of(settings, dataset.table.first(series))
        at = max(start, begin)
        while at < min(stop, last + 1):
            upto = min(stop, first) if at < first else at + 1
            block = bins.cut(at, upto)
            block = replace(block, values=np.ascontiguousarray(block.values[:, :series]))
            told, said = _told(dataset, bins, at, upto)
            state, _ = advance(state, block, told, plan, words=said)
            if at >= first:
                yield at, state, plan
            at = upto


def _unmeasured(state: State, plan: Plan, table: SeriesTable) -> tuple[str, ...]:
    there = {(key.service, key.metric) for key in table.keys}
    found = []
    for signal, stage in zip(plan.signals, learning(state.memory.columns, plan), strict=True):
        if stage == Learning.NOTHING:
            terms = (*signal.counted, *signal.out_of)
            gone = [f"{t.service}/{t.metric}" for t in terms if (t.service, t.metric) not in there]
            why = f"there is no {', '.join(gone)}" if gone else "never all of it in one interval"
            found.append(f"{signal.service}/{signal.name}: {why}")
    return tuple(found)


def stretches(known: NDArray[np.int64], longest: int) -> list[tuple[int, int]]:
    """(first, last) of so many intervals at most in which no series appears. known: see Bins.appeared."""
    edges = {*range(0, len(known), longest), *(np.flatnonzero(np.diff(known)) + 1).tolist(), len(known)}
    return list(pairwise(sorted(edges)))


def _told(dataset: Dataset, bins: Bins, first: int, last: int) -> tuple[list[Deployment], list[Word]]:
    """The deployments and words that became known since the block before."""
    after, upto = int(bins.closed[first - 1]) if first else -1, int(bins.closed[last - 1])
    deployments = [d for d in dataset.deployments if after < d.known <= upto]
    return deployments, [w for w in dataset.words if after < w.known <= upto]
