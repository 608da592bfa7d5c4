"""How small a fault would still be seen, hour by hour, by the detectors as they are now. Pure.

In: what the detectors remember, and what was counted in the last week. Out: for each signal and hour of the coming
day, the smallest loss or rise that is told within some minutes. Never: a formula of its own: a fault is played to a
copy of the memory, at its mean (half of real ones are seen sooner), through the same step that judges live counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from collector.bins import Bins, SeriesTable
from detectors.cohort import usual_share
from detectors.flow import hour_factor
from detectors.holidays import lay_days
from detectors.learning import Learning, learning
from detectors.memory import RING, Columns, Floats, Memory, fit
from detectors.plan import COHORT, ERROR, FLOW, TALLY, THROUGHPUT, Plan, gather, lay
from detectors.season import local_days, week_positions
from detectors.throughput import shape_at
from detectors.watch import Laid, laid_out, run

HOURS = 24
LEAD = 60  # quiet intervals before each fault
MOST_RISE = 1000.0  # times the usual share
SIZES = 256  # steps between the smallest and the largest size, in logs: 2 to 3 % each
SMALLEST = 0.005  # of a loss that anybody asks about
YOUNG = 86400  # seconds of history until which nothing is known of other hours
RECENT = 60  # intervals that say how much comes to a young signal


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
    every: int = 1,
) -> list[Blindspot]:
    """For every signal, hours of the day after `bins`. within: seconds allowed, ascending.

    progress: is told of each signal that is done. every: so many hours lie between two that are asked about. Of a
    young signal there is one entry, from the end of `bins` on. Left out are rollouts, which have no usual, what is
    told of just now, and what can't expect anything yet.
    """
    found = []
    stages, begun = learning(memory.columns, plan), _begun(memory, plan)
    for family in range(len(plan.signals)):
        one = _family(memory, plan, table, family, int(stages[family]), begun)
        if one is not None and _is_young(*one, int(bins.end)):
            found += _from_now(*one, int(bins.end), within)
        elif one is not None:
            found += _hours(*one, bins, within, every)
        progress(1)
    return found


def seen_by_young(
    memory: Memory, plan: Plan, table: SeriesTable, end: int, within: Sequence[int], families: Sequence[int]
) -> dict[int, Blindspot]:
    """By signal of the plan: what each of `families` would see of a fault that begins at `end` (epoch seconds).

    What it costs grows with these, and hardly with all others.
    """
    asked = [plan.signals[family] for family in families]
    services = {term.service for signal in asked for term in (*signal.counted, *signal.out_of)}
    rows = [row for row, key in enumerate(table.keys) if key.service in services]
    near = SeriesTable(table.keys[row] for row in rows)
    here = replace(memory, last=memory.last[[row for row in rows if row < len(memory.last)]])
    few = fit(here, lay(asked, near, plan.width, plan.budget, plan.timezone, plan.holidays))
    begun, stages = _begun(memory, plan), learning(memory.columns, plan)
    found: dict[int, Blindspot] = {}
    for family in families:
        one = _family(few, plan, near, family, int(stages[family]), begun)
        for spot in [] if one is None else _from_now(*one, end, within):
            found[family] = spot
    return found


def _begun(memory: Memory, plan: Plan) -> int:
    """How many charts have begun, which share the budget."""
    return int(((memory.columns.charts.first >= 0) & (plan.kind != TALLY)).sum())


def _family(
    memory: Memory, plan: Plan, table: SeriesTable, family: int, stage: int, begun: int
) -> tuple[Memory, Plan] | None:
    """What is remembered of one signal, and a plan for it alone; None where it is a rollout, or knows nothing.

    stage: see learning. begun: see _begun, of all.
    """
    signal = plan.signals[family]
    if signal.kind == "rollout" or stage in (Learning.NOTHING, Learning.LAG):
        return None
    alone = lay([signal], table, plan.width, plan.budget, plan.timezone, plan.holidays)
    mine = fit(memory, alone)
    # Alone it would have the whole budget; it has its part of it.
    part = (1.0 + _begun(mine, alone)) / (1.0 + begun)
    budget = replace(plan.budget, false_alerts=plan.budget.false_alerts * part)
    return mine, replace(alone, budget=budget)


def _is_young(memory: Memory, plan: Plan, end: int) -> bool:
    return end // plan.width - int(memory.columns.charts.first[0]) < YOUNG // plan.width


def _copy(memory: Memory) -> Memory:
    return replace(memory, columns=Columns(*(column.copy() for column in memory.columns)))


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


def _hours(memory: Memory, plan: Plan, bins: Bins, within: Sequence[int], every: int) -> list[Blindspot]:
    traffic = _traffic(plan, bins)
    lead = LEAD if int(plan.kind[0]) != FLOW else RING + int(plan.reach[plan.lag[0]])
    found = []
    for hour in range(every // 2, HOURS, every):
        start = -(-int(bins.end) // 3600) * 3600 + 3600 * hour
        found += _spot(memory, plan, start, traffic[(start // 3600) % 24], lead, within)
    return found


def _from_now(memory: Memory, plan: Plan, end: int, within: Sequence[int]) -> list[Blindspot]:
    """Without a quiet lead: for a young signal that would be a good part of its history."""
    recent = memory.columns.charts.ring_n[0][np.arange(end // plan.width - RECENT, end // plan.width) % RING]
    total = float(np.nanmean(recent)) if np.isfinite(recent).any() else np.nan
    return _spot(memory, plan, end, total, 0, within)


def _spot(
    memory: Memory, plan: Plan, start: int, total: float, lead: int, within: Sequence[int]
) -> list[Blindspot]:
    one = _quiet(memory, plan, start, total, lead, -(-max(within) // plan.width))
    if one is None:
        return []
    signal, rises = plan.signals[0], plan.kind[0] == ERROR
    usual = float(np.mean(one.counted / one.out_of if rises else one.counted))
    smallest = _smallest(one, usual, rises, [w // plan.width for w in within])
    return [
        Blindspot(signal.service, signal.name, "error share" if rises else "loss", start, usual, smallest)
    ]


def _traffic(plan: Plan, bins: Bins) -> Floats:
    """float64[24]: what the chart's total was in an interval of each hour (UTC) of the last week, on average."""
    recent = bins.cut(max(0, len(bins) - 7 * 86400 // bins.width), len(bins))
    last = np.full(len(plan.row_service), -1, dtype=np.int64)
    rows = recent.settled().values[:, : len(plan.row_service)]
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


def _quiet(memory: Memory, plan: Plan, start: int, total: float, lead: int, lasts: int) -> _Hour | None:
    """Play a quiet lead up to `start`; None where nothing is expected at that hour. lead, lasts: intervals."""
    mine = _copy(memory)
    chart, kind = mine.columns.charts[0], int(plan.kind[0])
    if chart.raised or (kind != THROUGHPUT and not total > 0.0):
        return None
    lay_days(mine.columns, plan, int(local_days(np.array([start]), plan.timezone)[0]))
    times = start + plan.width * np.arange(-lead, lasts + 1, dtype=np.int64)
    positions = week_positions(times[:-1], plan.width, plan.timezone)
    counted, out_of = _expected(mine.columns, plan, positions, total)
    if not np.nanmax(counted) > 0.0:
        return None
    laid = laid_out(plan)
    # Numbers go on where the memory ends, whatever the hour: rings are kept by number.
    number = int(mine.columns.seasons.at[plan.season[0]]) + 1 if kind == THROUGHPUT else _next(mine)
    values = _by_age(mine.columns, plan, out_of[:lead], 1.0)
    _play(mine.columns, laid, counted[:lead], out_of[:lead], values, positions[:lead], number, stop=False)
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
        shape = np.array([shape_at(season, float(p), True) for p in positions])
        return shape * float(np.exp(season.slow)), np.full(len(positions), np.nan)
    out_of = np.full(len(positions), total)
    if kind == ERROR:
        return out_of * level, out_of
    hour = np.ones(len(positions))
    if plan.season[0] >= 0:
        season = columns.seasons[plan.season[0]]
        hour = np.array([hour_factor(season, float(p)) for p in positions])
    return out_of * float(columns.flows.brings[plan.lag[0]]) * level * hour, out_of


def _by_age(columns: Columns, plan: Plan, out_of: Floats, kept: float) -> Floats:
    """float64[intervals, series]: what a flow with cohorts counts, by age, if `kept` of the usual comes out."""
    values = np.full((len(out_of), len(plan.row_service)), np.nan)
    entries = plan.entries
    if not len(entries.reach):
        return values
    record, mine = columns.cohorts[0], slice(int(entries.first[0]), int(entries.first[1]))
    rows, ages, enters = entries.row[mine], entries.age[mine], entries.enters[mine]
    values[:, rows[enters][np.argmin(np.abs(ages[enters]))]] = out_of
    missing = 1.0
    for age in range(int(entries.reach[0]) + 1):
        still = usual_share(record, age)
        there = rows[~enters & (ages == age)]
        if len(there):
            values[:, there[0]] = out_of * max(missing - still, 0.0) * kept
        missing = min(missing, still)
    return values


def _play(
    columns: Columns,
    laid: Laid,
    counted: Floats,
    out_of: Floats,
    values: Floats,
    positions: Floats,
    number: int,
    stop: bool,
) -> int:
    """Judge intervals; returns how many it took to raise the signal's chart or its cohorts', 0 = neither."""
    charts = len(laid.kind)
    x, n = np.full((len(counted), charts), np.nan), np.full((len(counted), charts), np.nan)
    played = [0, 1] if charts > 1 and laid.kind[1] == COHORT else [0]
    x[:, played], n[:, played] = counted[:, None], out_of[:, None]
    watched, release = np.ones(len(counted), dtype=np.bool_), np.full(charts, -1, dtype=np.int64)
    at = 0
    while at < len(counted):
        judged, _ = run(
            columns, laid, release, x[at:], n[at:], values[at:], watched[at:], positions[at:], number + at
        )
        at += judged
        if stop and (columns.charts.phase[played] == 1).any():
            return at
    return 0


def _smallest(hour: _Hour, usual: float, rises: bool, allowed: Sequence[int]) -> tuple[float | None, ...]:
    """For each number of intervals allowed, ascending, the smallest size that is told within it."""
    least, most = (usual * 1.05, min(usual * MOST_RISE, 1.0)) if rises else (SMALLEST, 1.0)
    sizes = np.geomspace(least, most, SIZES + 1)

    @cache
    def delay(step: int) -> int:
        """Intervals until a fault of this size is told, more than are allowed if it is not."""
        counted = hour.out_of * sizes[step] if rises else hour.counted * (1.0 - sizes[step])
        columns = _copy(hour.memory).columns
        values = _by_age(columns, hour.plan, hour.out_of, 1.0 - sizes[step])
        took = _play(columns, hour.laid, counted, hour.out_of, values, hour.positions, hour.number, stop=True)
        return took or len(counted) + 1

    found: list[float | None] = []
    high = SIZES
    for intervals in allowed:
        if delay(high) > intervals:
            found.append(None)
            continue
        low = 0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if delay(middle) <= intervals else (middle, high)
        found.append(float(sizes[high]))
    return tuple(found)
