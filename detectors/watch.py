"""The room's one step: closed intervals in, findings out. Pure.

In: Memory, a block of intervals, a plan. Out: findings of the first interval with news, and how far we are.
Never: a look at an interval before the ones ahead of it are judged.

An interval goes: gather -> expect -> weigh -> judge -> learn. The loop over intervals and charts is compiled
and runs until there is news.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.bins import Bins
from collector.deployments import Deployment
from detectors import cells, cohort, demand, error_ratio, flow, rollout, scatter, throughput
from detectors.compiled import ahead, compiled, compiled_in_place, inlined
from detectors.findings import Finding
from detectors.holidays import lay_days
from detectors.judge import (
    EXPIRED,
    LEAST_ENOUGH,
    OTHER_DAY,
    cap_of,
    enough_of,
    learn_peaks,
    raise_alarm,
    settle,
    stretched,
)
from detectors.memory import (
    CHART,
    DAYS_LIKE,
    QUARTERS,
    QUICK,
    RING,
    SEASON,
    SLOW_FLOW,
    WEEK,
    Columns,
    Floats,
    Memory,
    Wholes,
    fields,
    forget_scatter,
    places,
    shape_of,
    start_level,
)
from detectors.plan import (
    COHORT,
    ERROR,
    FLOW,
    ROLLOUT,
    ROLLOUT_FLOW,
    TALLY,
    THROUGHPUT,
    Cells,
    Entries,
    Plan,
    gather,
)
from detectors.prior import EASED, EASED_JOINING, releases, suspicious
from detectors.season import end_day, local_days, shapes_at, week_positions
from detectors.silence import listen
from detectors.tell import take_late, tell

# Of the throughputs: a holiday is one for many of them, a loss is not.
OTHER_DAY_SHARE, OTHER_DAY_LEAST = 0.3, 2.0
FIRST_DAY = 0.04  # variance of the log level, by one day's profile
MISSING = 3.0  # nats that a flow lacks something: to chance alone less than one in twenty
# By row of Columns.fleet: what one interval may add at least. Tallies are not judged.
CAPS = np.array(
    [error_ratio.CAP, throughput.CAP, flow.CAP, rollout.CAP, rollout.CAP, 0.0, error_ratio.CAP, flow.CAP]
)
# By the same rows: one over this is the part of the budget that is aimed at, since what was counted is uncertain
# and traffic changes; and by how many nats peaks exceed a level at least, on average. Demand strays in ways that
# no peak before has shown, errors hardly do (docs/statistics.md).
SPARE = np.array([1.4, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
LEAST_EXCESS = np.array([0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
# Of so many charts, most aren't in the processor's memory when it is their turn; so many turns ahead they are
# fetched: the first bytes of a record, and one place in each ring.
MANY, FAR = 200, 3
LENGTH, HOT = CHART.itemsize, places(CHART, "aa")[0]
RINGS = places(CHART, "ring_x", "ring_e", "ring_m", "ring_a", "ring_n")
# Of a profile: two stretches, what today and Sundays bring (two bytes a quarter), and the running day (four).
PROFILE, NEAR, USUAL = SEASON.itemsize, *places(SEASON, "near", "usual")
STRETCHES = (places(SEASON, "begins", "ago"), (places(SEASON, "open")[0], SEASON.itemsize))
DAY = places(SEASON, "day_x", "day_n")
PAST = (8, 16, 32, 64)  # intervals ago that lie in other parts of a ring, of those that scatter.py compares
LASTS = 86400  # seconds after which what persists is the new usual


class Laid(NamedTuple):
    """The numbers of a plan that the compiled loop needs.

    pool: row of Columns.fleet. alone: charts that stand for their signal, and are listened to for silence.
    per_budget: intervals in the budget's time, per false alert. lasts: see judge.stand. within: intervals, of
    rollouts that compare flows. quick: flows that pass on. patience: see flow.judge. quarters: of an hour, in an
    interval. cohort, entries: see Plan.
    """

    kind: Wholes
    family: Wholes
    season: Wholes
    lag: Wholes
    pool: Wholes
    explained_by: Wholes
    reach: Wholes
    alone: NDArray[np.bool_]
    within: Wholes
    quick: NDArray[np.bool_]
    per_budget: float
    lasts: int
    patience: int
    quarters: float
    cohort: Wholes
    entries: Entries
    cells: Cells


def watch(
    memory: Memory,
    bins: Bins,
    plan: Plan,
    deployments: Sequence[Deployment] = (),
    one_by_one: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[int, list[Finding]]]:
    """Judge the intervals of `bins`; yield (index, findings) of each interval that has news.

    deployments: none is used for an interval that closed before it was known. one_by_one: asked before each
    interval; while it says so, those without news are yielded as well.

    `memory` must fit the plan (memory.fit) and is changed in place: whoever needs the old one keeps a copy.
    An interval has news when something was raised, is standing or was cleared in it.
    """
    columns, laid = memory.columns, laid_out(plan)
    number = bins.start // bins.width
    x, n = gather(
        bins.values, plan.counted, plan.out_of, plan.row_service, plan.services, memory.last, number
    )
    times = bins.start + bins.width * np.arange(len(bins) + 1, dtype=np.int64)
    positions = week_positions(times, bins.width, plan.timezone)
    days = local_days(times, plan.timezone)
    windows = suspicious(plan, bins, deployments)
    turns = [turn for w in windows for turn in (w.first, w.last)]
    stops = np.unique([*np.flatnonzero(np.diff(days)) + 1, *(bins.late.interval + 1), *turns, len(bins)])
    stops = stops[stops > 0]
    lay_days(columns, plan, int(days[0]))
    at = 0
    while at < len(bins):
        stop, single = int(stops[np.searchsorted(stops, at, side="right")]), one_by_one()
        end = at + 1 if single else stop
        judged, news = run(
            columns,
            laid,
            releases(windows, at, len(plan.charts)),
            x[at:end],
            n[at:end],
            bins.values[at:end],
            bins.watched[at:end],
            positions[at:end],
            number + at,
        )
        at += judged
        if at == stop:
            news = take_late(columns, plan, bins, at - 1) or news
            if days[at] != days[at - 1]:
                _end_day(columns, plan, int(days[at - 1]), int(days[at]), float(positions[at]))
        if news or single:
            yield at - 1, tell(columns, plan, bins, at - 1) if news else []


def laid_out(plan: Plan) -> Laid:
    pool = plan.kind.copy()
    pool[(plan.kind == FLOW) & (plan.within > QUICK)] = SLOW_FLOW
    return Laid(
        plan.kind, plan.family, plan.season, plan.lag, pool, plan.explained_by, plan.reach,
        plan.alone,
        np.minimum(-(-plan.within // plan.width) + 1, RING - 1),
        plan.within <= QUICK,
        plan.budget.per / plan.width / plan.budget.false_alerts,
        LASTS // plan.width,
        -(-flow.PATIENCE // plan.width),
        plan.width / 900.0,
        plan.cohort, plan.entries, plan.cells,
    )  # fmt: skip


def _end_day(columns: Columns, plan: Plan, day: int, next_day: int, position: float) -> None:
    """Learn the day that is over; levels are moved so that what is expected does not jump with the shape.

    By how much the shape has moved in half a day before midnight and half a day after it is what the level was off
    by all along; what has moved more at midnight itself is given back to what returns within minutes.
    """
    if not len(columns.seasons):
        return
    charts, seasons = fields(columns.charts), fields(columns.seasons)
    before, days, unsure = shapes_at(seasons, position), seasons.days.copy(), seasons.unsure.copy()
    around = (math.floor(position) + 1 - QUARTERS // 2 + np.arange(QUARTERS)) % WEEK
    was = seasons.usual[:, around]
    end_day(columns.seasons, plan.kind[plan.season >= 0] == FLOW, day)
    lay_days(columns, plan, next_day)
    jump = np.median(shape_of(seasons.usual[:, around]) - shape_of(was), axis=1)
    more = shapes_at(seasons, position) - before - jump
    # Into a holiday and out of it, the level may change.
    seasons.ps += np.maximum(unsure, seasons.unsure) ** 2
    known = plan.season[(plan.kind == THROUGHPUT) & (plan.season >= 0)]
    scatter.pool(seasons, known[seasons.days[known] >= demand.KNOWN])
    mine = np.flatnonzero(plan.season >= 0)
    own = plan.season[mine]
    new, learned = seasons.days[own] > days[own], seasons.days[own]
    on = ~new | (learned != 1)
    factor = np.exp(jump[own[on]])
    for level in (charts.beta, charts.jb):
        level[mine[on]] *= factor[:, None]
    charts.rb[mine[on]] *= factor
    seasons.slow[own[on]] -= jump[own[on]]
    seasons.hs[own[on]] -= jump[own[on], None]
    seasons.top[own[on]] -= jump[own[on]]
    seasons.fast[own[on]] -= more[own[on]]
    seasons.hf[own[on]] -= more[own[on], None]
    for c in mine[~on]:  # the first day; also if raised: what was held knew nothing of nights
        chart, season = columns.charts[c], columns.seasons[plan.season[c]]
        start_level(chart, math.exp(season.trend))
        chart.ra, chart.rb = chart.ja[0], chart.jb[0]
        demand.place(season, season.trend, FIRST_DAY)
    over = own[(unsure[own] > 0.0) & (seasons.unsure[own] == 0.0) & (charts.raised[mine] == 0)]
    seasons.slow[over] = seasons.top[over]
    seasons.hs[over] = seasons.top[over, None]
    for c in mine[new & ((learned == 1) | (learned == 7))]:
        chart, season = columns.charts[c], columns.seasons[plan.season[c]]
        if plan.kind[c] == THROUGHPUT:
            scatter.doubt(season)
            season.ps, season.pc = FIRST_DAY, 0.0
            chart.alpha[1] = chart.beta[1] = 0.0
        forget_scatter(chart)  # it was that of a chart that knew no day, or no week
    charts.ab[mine], charts.calm_day[mine] = 0.0, 0.0


@compiled
def run(
    columns: Columns,
    laid: Laid,
    release: Wholes,
    x: Floats,
    n: Floats,
    values: Floats,
    watched: NDArray[np.bool_],
    positions: Floats,
    number: int,
) -> tuple[int, bool]:
    """Judge intervals until the first one with news. Returns (intervals judged, was there news).

    release: int64[charts], see prior.releases. x, n: float64[intervals, charts], counted and out_of. values:
    float64[intervals, series], of which cohorts are counted. number: of the first interval.
    """
    busy = np.empty(len(laid.kind), dtype=np.int64)
    caps, speak = np.empty(len(columns.fleet)), np.empty(DAYS_LIKE)
    return _on(columns, laid, release, x, n, values, watched, positions, number, busy, caps, speak)


@compiled_in_place
def _on(
    columns: Columns,
    laid: Laid,
    release: Wholes,
    x: Floats,
    n: Floats,
    values: Floats,
    watched: NDArray[np.bool_],
    positions: Floats,
    number: int,
    busy: Wholes,
    caps: Floats,
    speak: Floats,
) -> tuple[int, bool]:
    """As `run`, with room for what it works out on the way: one place for each chart, kind and other day."""
    for t in range(x.shape[0]):
        if watched[t]:
            shared = _other_days(columns, laid, x[t], positions[t], number + t, speak)
            begun, count = _judge(
                columns, laid, x[t], n[t], values[t], positions[t], number + t, shared, busy, caps
            )
            _judge_rollouts(columns, laid, n[t], number + t)
            cells.remember(columns, laid.cells, laid.kind, values[t], number + t)
            if count > 0 and _decide(columns, laid, release, number + t, begun, busy[:count]):
                return t + 1, True
        else:
            _skip(columns, laid, x[t], n[t], number + t)
            cells.remember(columns, laid.cells, laid.kind, values[t], number + t)
    return x.shape[0], False


@inlined
def _other_days(
    columns: Columns,
    laid: Laid,
    x: Floats,
    position: float,
    now: int,
    speak: Floats,
) -> int:
    """Bits, one for each of DAYS_LIKE: days that so many throughputs speak for that it is the calendar, and not a
    loss. speak: float64[DAYS_LIKE], written over."""
    speak[:], all_of_them, slot = 0.0, 0.0, now % RING
    cap = cap_of(columns.fleet[THROUGHPUT], throughput.CAP)
    last, many = len(laid.kind) - 1, len(laid.kind) > MANY
    for c in range(len(laid.kind)):
        if laid.kind[c] != THROUGHPUT:
            continue
        if many:
            _fetch(columns.charts, min(c + FAR, last), slot)
            _fetch_profile(columns.seasons, laid.season[min(c + FAR, last)], position)
        chart = columns.charts[c]
        chart.ring_e[slot], chart.ring_m[slot], chart.ring_a[slot] = np.nan, np.nan, 0.0
        if np.isnan(x[c]):
            continue
        season = columns.seasons[laid.season[c]]
        throughput.expect(chart, season, now, x[c], position, laid.quarters, cap)
        if season.days >= 2:
            all_of_them += 1.0
            for i in range(DAYS_LIKE):
                if chart.like[i] >= OTHER_DAY:
                    speak[i] += 1.0
    shared, least = 0, max(OTHER_DAY_SHARE * all_of_them, OTHER_DAY_LEAST)
    for i in range(DAYS_LIKE):
        if speak[i] >= least:
            shared |= 1 << i
    return shared


@inlined
def _judge(
    columns: Columns,
    laid: Laid,
    x: Floats,
    n: Floats,
    values: Floats,
    position: float,
    now: int,
    shared: int,
    busy: Wholes,
    caps: Floats,
) -> tuple[float, int]:
    """Everything about all charts in one interval, up to the decision to raise.

    Returns how many charts have begun (but for tallies), and how many numbers of charts it left in `busy`: those
    that _decide can't pass over. caps: float64[rows of Columns.fleet], written over. One loop, since passing on a
    plan costs as much as judging a quiet chart.
    """
    slot = now % RING
    for k in range(len(caps)):
        caps[k] = cap_of(columns.fleet[k], CAPS[k])
    begun, count, many = 1.0, 0, len(laid.kind) > MANY
    for c in range(len(laid.kind)):
        chart, kind = columns.charts[c], laid.kind[c]
        if many:
            _fetch(columns.charts, min(c + FAR, len(laid.kind) - 1), slot)
            if kind == THROUGHPUT:
                _fetch_profile(columns.seasons, laid.season[min(c + FAR, len(laid.kind) - 1)], position)
                _fetch_past(columns.charts, min(c + FAR, len(laid.kind) - 1), slot)
        chart.phase, chart.s_phase = 0, 0
        chart.ring_x[slot] = x[c]
        if kind != THROUGHPUT:  # which were told already what to expect
            chart.ring_n[slot] = n[c]
            chart.ring_e[slot], chart.ring_m[slot], chart.ring_a[slot] = np.nan, np.nan, 0.0
        measured = not np.isnan(x[c]) and (kind == THROUGHPUT or not np.isnan(n[c]))
        if chart.first < 0:
            shown = n[c] if kind in (FLOW, ROLLOUT_FLOW, TALLY) else x[c]
            if not measured and np.isnan(shown):
                continue
            if kind == COHORT and not cohort.speaks(laid.entries, laid.cohort[c], values):
                continue
            chart.first = now
        if kind != TALLY:
            begun += 1.0
        if laid.alone[c]:
            heard = n[c] if kind == ERROR else x[c]
            chart.s_phase = listen(chart, now, heard, chart.rate, laid.lasts)
        fleet, cap = columns.fleet[laid.pool[c]], caps[laid.pool[c]]
        if kind == FLOW:
            flow_of, s, reach = columns.flows[laid.lag[c]], laid.season[c], laid.reach[laid.lag[c]]
            flow_of.quick = 1 if laid.quick[c] else 0
            hour = flow.hour_factor(columns.seasons[s], position) if s >= 0 else 1.0
            if (
                flow.judge(
                    chart, flow_of, fleet, now, x[c], n[c], hour, reach, cap, laid.lasts, laid.patience
                )
                and s >= 0
            ):
                flow.add_to_day(columns.seasons[s], flow_of, x[c], position, laid.quarters)
        elif kind == COHORT:
            i = laid.cohort[c]
            cohort.judge(
                chart, columns.cohorts[i], fleet, laid.entries, i, values, now, measured, cap, laid.lasts
            )
        elif kind == ROLLOUT:
            chart.harm = x[c]
        elif kind == ROLLOUT_FLOW:
            chart.harm = rollout.missing_for_certain(chart, now, x[c], n[c], laid.within[c])
        elif not measured and chart.raised == 1 and now - chart.onset >= laid.lasts:
            settle(chart, now, EXPIRED, 1.0)
        elif measured and kind == ERROR:
            error_ratio.judge(chart, fleet, now, x[c], n[c], cap, laid.lasts, 0.0)
        elif measured and kind == THROUGHPUT:
            season = columns.seasons[laid.season[c]]
            throughput.judge(
                chart, season, fleet, now, x[c], position, laid.quarters, cap, laid.lasts, shared
            )
        if (
            kind in (ROLLOUT, ROLLOUT_FLOW)  # which are judged later
            or chart.total >= LEAST_ENOUGH - EASED_JOINING
            or chart.peak > 0.0
            or chart.phase > 0
            or chart.s_phase > 0
        ):
            busy[count] = c
            count += 1
    return begun, count


@inlined
def _fetch(charts: Any, c: int, slot: int) -> None:
    """Ask for what a share of errors will touch of chart c, before it is its turn."""
    start = charts.ctypes.data + c * LENGTH
    for at in range(0, HOT, 64):
        ahead(start + at)
    for ring in RINGS:
        ahead(start + ring + 4 * slot)


@inlined
def _fetch_profile(seasons: Any, s: int, position: float) -> None:
    """Ask for what a throughput will touch of season s (none if below 0). position: see throughput.expect."""
    if s < 0:
        return
    start, quarter = seasons.ctypes.data + s * PROFILE, math.floor(position)
    for first, end in STRETCHES:
        for at in range(first, end, 64):
            ahead(start + at)
    # Of the charts that are fetched ahead all profiles are laid out for the same day.
    near = (quarter - seasons[0].begins) % WEEK
    ahead(start + NEAR + 2 * max(min(near - 4, QUARTERS), 0))
    ahead(start + NEAR + 2 * max(min(near + 5, QUARTERS), 0))
    ahead(start + USUAL + 2 * (6 * QUARTERS + quarter % QUARTERS))
    for day in DAY:
        ahead(start + day + 4 * (quarter % QUARTERS))


@inlined
def _fetch_past(charts: Any, c: int, slot: int) -> None:
    """Ask for what scatter.py will compare an interval of chart c with."""
    start = charts.ctypes.data + c * LENGTH
    for back in PAST:
        for ring in RINGS[:2]:
            ahead(start + ring + 4 * ((slot - back) % RING))


@compiled_in_place
def _judge_rollouts(columns: Columns, laid: Laid, n: Floats, now: int) -> None:
    """Hold every version that came later against those that were there before it."""
    for c in range(len(laid.kind)):
        chart = columns.charts[c]
        if (laid.kind[c] != ROLLOUT and laid.kind[c] != ROLLOUT_FLOW) or chart.first < 0:
            continue
        old_harm, old_served, fleet = 0.0, 0.0, columns.fleet[laid.pool[c]]
        for d in range(len(laid.kind)):
            other = columns.charts[d]
            if laid.family[d] == laid.family[c] and 0 <= other.first < chart.first:
                old_harm += 0.0 if np.isnan(other.harm) else other.harm
                old_served += 0.0 if np.isnan(n[d]) else n[d]
        rollout.judge(chart, fleet, now, n[c], old_harm, old_served, cap_of(fleet, rollout.CAP))


@compiled
def enough_for(fleet: Any, begun: float, laid: Laid) -> Floats:
    """float64[rows of Columns.fleet]: the evidence (nats) that is enough to tell, by the budget.

    begun: one more than the charts that have begun, but for tallies.
    """
    enough = np.zeros(len(fleet))
    for k in range(len(enough)):
        enough[k] = enough_of(fleet[k], begun * laid.per_budget, SPARE[k])
    return enough


@compiled_in_place
def _decide(columns: Columns, laid: Laid, release: Wholes, now: int, begun: float, busy: Wholes) -> bool:
    """Raise what has enough evidence; say whether this interval has news at all.

    Enough is the log of the mean time between false alarms of one chart that the budget allows: a mixture of
    CUSUMs crosses it less often than that. release: whoever is raised makes its release the more suspicious, in
    the same interval. busy: int64[n], the charts that may have news; of all others the evidence is too weak for
    any threshold.
    """
    enough = enough_for(columns.fleet, begun, laid)
    again = True
    while again:
        again = False
        for c in busy:
            chart = columns.charts[c]
            if chart.raised == 1 or chart.phase != 0:
                continue
            pool = laid.pool[c]
            evidence, least = stretched(chart, columns.fleet[pool], LEAST_EXCESS[pool]), enough[pool]
            if evidence < least - EASED_JOINING:
                continue
            if release[c] >= 0:
                least -= EASED_JOINING if _is_blamed(columns, release, release[c]) else EASED
            if evidence >= least and not is_explained(columns, laid, c):
                if laid.kind[c] == FLOW and _is_covered(columns, laid, c):
                    continue
                raise_alarm(chart, now, laid.kind[c] not in (THROUGHPUT, FLOW))
                if laid.kind[c] == COHORT and chart.raised == 1:
                    cohort.place_onset(chart, columns.cohorts[laid.cohort[c]], now)
                again = again or chart.raised == 1
    news = False
    for c in busy:
        chart = columns.charts[c]
        learn_peaks(chart, columns.fleet[laid.pool[c]])
        news = news or chart.phase > 0 or chart.s_phase > 0
    return news


@compiled_in_place
def _is_blamed(columns: Columns, release: Wholes, which: int) -> bool:
    blamed = False
    for c in range(len(release)):
        blamed = blamed or (release[c] == which and columns.charts[c].raised == 1)
    return blamed


@compiled_in_place
def _is_covered(columns: Columns, laid: Laid, c: int) -> bool:
    """Is flow c judged by its cohorts, which are the next chart?"""
    i = laid.cohort[c]
    return i >= 0 and cohort.covers(columns.charts[c + 1], columns.cohorts[i])


@compiled_in_place
def _skip(columns: Columns, laid: Laid, x: Floats, n: Floats, now: int) -> None:
    """Nobody was listening: nothing is judged, nothing is learned, and the rings show a hole.

    What came nevertheless of a share of errors belongs to what a fault has lost, told now or later: it fails the
    same whether all of it was counted or not.
    """
    for c in range(len(columns.charts)):
        chart, slot = columns.charts[c], now % RING
        chart.phase, chart.s_phase = 0, 0
        chart.ring_x[slot], chart.ring_n[slot] = np.nan, np.nan
        chart.ring_e[slot], chart.ring_m[slot] = np.nan, np.nan
        if laid.kind[c] == ERROR and not np.isnan(x[c]) and not np.isnan(n[c]):
            chart.ring_x[slot], chart.ring_n[slot], chart.ring_e[slot] = min(x[c], n[c]), n[c], n[c]
            if chart.raised == 1:
                error_ratio.count_unwatched(chart, min(x[c], n[c]), n[c])
    for i in range(len(columns.cohorts)):
        columns.cohorts[i].hole = now
    for f in range(len(columns.flows)):
        flow.take_in(columns.flows[f], now, np.nan, 0.0)
        flow.owe(columns.flows[f], now, 0.0, 0.0, 0.0)


@compiled_in_place
def is_explained(columns: Columns, laid: Laid, c: int) -> bool:
    """A count that follows what goes into a flow is no loss while the flow sees nothing missing."""
    f = laid.explained_by[c]
    if f < 0 or not flow.is_ready(columns.flows[laid.lag[f]], laid.reach[laid.lag[f]]):
        return False
    return bool(columns.charts[f].total < MISSING and columns.charts[f].raised == 0)


def sizes_of(kind: int) -> Floats:
    """The sizes of fault that a kind of chart is asked about."""
    rows = {
        ERROR: error_ratio.SIZES,
        COHORT: error_ratio.SIZES,
        THROUGHPUT: throughput.SIZES,
        FLOW: flow.SIZES,
    }
    return rows.get(kind, rollout.SIZES)
