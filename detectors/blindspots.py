"""How small a fault would still be seen, hour by hour, by the detectors as they are now. Pure.

In: what the detectors remember, and what was counted in the last week. Out: for each signal and hour of the coming
day, the smallest loss or rise that is told within some minutes. Never: a formula of its own: a fault is played to a
copy of the memory, at its mean (half of real ones are seen sooner), through the same step that judges live counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from collector.bins import Bins, SeriesTable
from detectors.flow import comes_out, hour_factor
from detectors.learning import Learning, learning
from detectors.memory import RING, Columns, Floats, Memory, fit
from detectors.plan import ERROR, FLOW, TALLY, THROUGHPUT, Plan, gather, lay
from detectors.season import week_positions
from detectors.throughput import shape_at
from detectors.watch import Laid, laid_out, run

HOURS = 24
LEAD = 60  # quiet intervals before each fault
MOST_RISE = 1000.0  # times the usual share
STEPS = 12  # halvings of the range of sizes, in logs
SMALLEST = 0.005  # of a loss that anybody asks about


@dataclass(frozen=True, slots=True)
class Blindspot:
    """start: epoch seconds of the hour. usual: the share that fails, or how many come in an interval.
    smallest: by time allowed, the share of failures or of loss that is told in time; None: not even everything."""

    service: str
    signal: str
    what: str
    start: int
    usual: float
    smallest: tuple[float | None, ...]


def blindspots(
    memory: Memory,
    plan: Plan,
    table: SeriesTable,
    bins: Bins,
    within: Sequence[int],
    progress: Callable[[int], object] = lambda done: None,
) -> list[Blindspot]:
    """For every signal that judges already, the hours after `bins`. within: seconds allowed, ascending.

    progress: is told of each signal that is done. Rollouts have no usual and are left out.
    """  # fmt: skip
    ready = learning(memory.columns, plan)
    started = (memory.columns.charts.first >= 0) & (plan.kind != TALLY)
    found = []
    for family, signal in enumerate(plan.signals):
        if signal.kind != "rollout" and ready[family] == Learning.READY:
            alone = lay([signal], table, plan.width, plan.budget, plan.timezone)
            mine = _alone(memory, alone)
            begun = ((mine.columns.charts.first >= 0) & (alone.kind != TALLY)).sum()
            # Alone it would have the whole budget; it has its part of it.
            part = (1.0 + begun) / (1.0 + started.sum())
            budget = replace(plan.budget, false_alerts=plan.budget.false_alerts * float(part))
            alone = replace(alone, budget=budget)
            found += _hours(mine, alone, bins, within)
        progress(1)
    return found


def _alone(memory: Memory, plan: Plan) -> Memory:
    """What is remembered of the one signal of `plan`; a flow with all of its past, also if that is longer than it
    would be alone."""
    mine = fit(memory, plan)
    rows = [memory.flow_keys.index(key) for key in mine.flow_keys]
    return replace(mine, columns=mine.columns._replace(flows=memory.columns.flows[rows]))


def _copy(memory: Memory) -> Memory:
    charts, flows, seasons, fleet = memory.columns
    return replace(memory, columns=Columns(charts.copy(), flows.copy(), seasons.copy(), fleet.copy()))


@dataclass(frozen=True, slots=True)
class _Hour:
    """One hour of one signal: memory after a quiet lead, and what comes by interval if all is well."""

    memory: Memory
    plan: Plan
    laid: Laid
    positions: Floats
    number: int
    counted: Floats
    out_of: Floats


def _hours(memory: Memory, plan: Plan, bins: Bins, within: Sequence[int]) -> list[Blindspot]:
    traffic = _traffic(plan, bins)
    found = []
    for hour in range(HOURS):
        start = -(-int(bins.end) // 3600) * 3600 + 3600 * hour
        one = _quiet(memory, plan, start, traffic[(start // 3600) % 24], -(-max(within) // plan.width))
        if one is None:
            continue
        signal, rises = plan.signals[0], plan.kind[0] == ERROR
        usual = float(np.mean(one.counted / one.out_of if rises else one.counted))
        smallest = tuple(_smallest(one, usual, rises, max(w // plan.width, 1)) for w in within)
        what = "error share" if rises else "loss"
        found.append(Blindspot(signal.service, signal.name, what, start, usual, smallest))
    return found


def _traffic(plan: Plan, bins: Bins) -> Floats:
    """float64[24]: what the chart's total was in an interval of each hour (UTC) of the last week, on average."""
    recent = bins.cut(max(0, len(bins) - 7 * 86400 // bins.width), len(bins))
    last = np.full(len(plan.row_service), -1, dtype=np.int64)
    rows = recent.values[:, : len(plan.row_service)]
    _, n = gather(
        np.ascontiguousarray(rows), plan.counted, plan.out_of, plan.row_service, plan.services, last, 0
    )
    hours = (recent.start + recent.width * np.arange(len(recent))) // 3600 % 24
    found = np.full(HOURS, np.nan)
    for hour in range(HOURS):
        there = n[hours == hour, 0]
        if np.isfinite(there).any():
            found[hour] = np.nanmean(there)
    return found


def _quiet(memory: Memory, plan: Plan, start: int, total: float, lasts: int) -> _Hour | None:
    """Play a quiet lead up to `start`; None where nothing is expected at that hour. lasts: intervals to come."""
    mine = _copy(memory)
    chart, kind = mine.columns.charts[0], int(plan.kind[0])
    if chart.raised or (kind != THROUGHPUT and not total > 0.0):
        return None
    lead = LEAD if kind != FLOW else RING + int(plan.reach[plan.lag[0]])
    times = start + plan.width * np.arange(-lead, lasts + 1, dtype=np.int64)
    positions = week_positions(times[:-1], plan.width, plan.timezone)
    counted, out_of = _expected(mine.columns, plan, positions, total)
    if not np.nanmax(counted) > 0.0:
        return None
    laid = laid_out(plan)
    # Numbers go on where the memory ends, whatever the hour: rings are kept by number.
    number = int(mine.columns.seasons.at[plan.season[0]]) + 1 if kind == THROUGHPUT else _next(mine)
    _play(mine.columns, laid, counted[:lead], out_of[:lead], positions[:lead], number, stop=False)
    return _Hour(mine, plan, laid, positions[lead:], number + lead, counted[lead:], out_of[lead:])


def _next(memory: Memory) -> int:
    """An interval number beyond all that the memory knows."""
    return int(max(memory.last.max(initial=0), memory.columns.charts.first.max(initial=0))) + 1


def _expected(columns: Columns, plan: Plan, positions: Floats, total: float) -> tuple[Floats, Floats]:
    """float64[intervals]: what is counted, and out of what, if all is well."""
    chart, kind = columns.charts[0], int(plan.kind[0])
    level = float(chart.alpha[chart.best] / chart.beta[chart.best])
    if kind == THROUGHPUT:
        season = columns.seasons[plan.season[0]]
        shape = np.array([shape_at(season.week, float(p), True) for p in positions])
        return shape * float(np.exp(season.slow)), np.full(len(positions), np.nan)
    out_of = np.full(len(positions), total)
    if kind == ERROR:
        return out_of * level, out_of
    hour = np.ones(len(positions))
    if plan.season[0] >= 0:
        season = columns.seasons[plan.season[0]]
        hour = np.array([hour_factor(season, float(p)) for p in positions])
    return out_of * comes_out(columns.flows[plan.lag[0]]) * level * hour, out_of


def _play(
    columns: Columns, laid: Laid, counted: Floats, out_of: Floats, positions: Floats, number: int, stop: bool
) -> int:
    """Judge intervals; returns how many it took to raise the signal's chart, 0 = it was not raised."""
    charts = len(laid.kind)
    x, n = np.full((len(counted), charts), np.nan), np.full((len(counted), charts), np.nan)
    x[:, 0], n[:, 0] = counted, out_of
    watched, release = np.ones(len(counted), dtype=np.bool_), np.full(charts, -1, dtype=np.int64)
    at = 0
    while at < len(counted):
        judged, _ = run(columns, laid, release, x[at:], n[at:], watched[at:], positions[at:], number + at)
        at += judged
        if stop and columns.charts[0].phase == 1:
            return at
    return 0


def _smallest(hour: _Hour, usual: float, rises: bool, allowed: int) -> float | None:
    """The smallest size that is told within `allowed` intervals, by halving the range of sizes in logs."""
    least, most = (usual * 1.05, min(usual * MOST_RISE, 1.0)) if rises else (SMALLEST, 1.0)

    def told(size: float) -> bool:
        mine = _copy(hour.memory)
        counted = hour.out_of * size if rises else hour.counted * (1.0 - size)
        part = slice(0, allowed)
        return bool(
            _play(
                mine.columns,
                hour.laid,
                counted[part],
                hour.out_of[part],
                hour.positions[part],
                hour.number,
                True,
            )
        )

    if not told(most):
        return None
    low, high = np.log(least), np.log(most)
    for _ in range(STEPS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if told(float(np.exp(middle))) else (middle, high)
    return float(np.exp(high))
