"""The room's one step: closed intervals in, findings out. Pure.

In: Memory, a block of intervals, a plan. Out: findings of the first interval with news, and how far we are.
Never: a look at an interval before the ones ahead of it are judged.

An interval goes: gather -> expect -> weigh -> judge -> learn. The loop over intervals and charts is compiled
and runs until there is news.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.bins import Bins
from detectors import error_ratio, flow, rollout, throughput
from detectors.compiled import compiled
from detectors.expect import FAST_LEVELS, LEAST_ALPHA, SLOW_LEVELS, forget, predictive_sd
from detectors.findings import Finding
from detectors.judge import (
    BELIEVED,
    BURST_LASTS,
    BURST_SD,
    EXPIRED,
    cap_of,
    learn,
    learn_other_days,
    raise_alarm,
    settle,
    spread_of,
    stand,
    unlike_today,
    weigh,
)
from detectors.memory import DAYS_LIKE, LAGS, QUARTERS, RING, WEEK, Columns, Floats, Memory, Wholes
from detectors.plan import ERROR, FLOW, ROLLOUT, ROLLOUT_FLOW, TALLY, THROUGHPUT, Plan, gather
from detectors.season import end_day, local_days, week_positions
from detectors.silence import listen
from detectors.tell import take_late, tell

# One line per kind: the sizes of fault that it looks for, and what one interval may add while nothing is known.
DETECTORS = {
    ERROR: (error_ratio.SIZES, error_ratio.CAP),
    THROUGHPUT: (throughput.SIZES, throughput.CAP),
    FLOW: (flow.SIZES, flow.CAP),
    ROLLOUT: (rollout.SIZES, rollout.CAP),
    ROLLOUT_FLOW: (rollout.SIZES, rollout.CAP),
}
SIZE_TABLE = np.array([DETECTORS[k][0] for k in sorted(DETECTORS)])
CAP_TABLE = np.array([DETECTORS[k][1] for k in sorted(DETECTORS)])
LASTS = 86400  # seconds after which what persists is the new usual
WARM_UP = 5  # intervals before a chart is judged at all


class Laid(NamedTuple):
    """The numbers of a plan that the compiled loop needs.

    alone: charts that stand for their signal, and are listened to for silence. per_budget: intervals in the
    budget's time, per false alert. lasts: see judge.stand. within: intervals, of rollouts that compare flows.
    quarters: of an hour, in an interval.
    """

    kind: Wholes
    family: Wholes
    season: Wholes
    lag: Wholes
    explained_by: Wholes
    reach: Wholes
    alone: NDArray[np.bool_]
    within: Wholes
    per_budget: float
    lasts: int
    quarters: float


def watch(memory: Memory, bins: Bins, plan: Plan) -> Iterator[tuple[int, list[Finding]]]:
    """Judge the intervals of `bins`; yield (index, findings) of each interval that has news.

    `memory` must fit the plan (memory.fit) and is changed in place: whoever needs the old one keeps a copy.
    An interval has news when something was raised, is standing or was cleared in it.
    """
    columns, laid = memory.columns, _laid(plan)
    number = bins.start // bins.width
    x, n = gather(
        bins.values, plan.counted, plan.out_of, plan.row_service, plan.services, memory.last, number
    )
    times = bins.start + bins.width * np.arange(len(bins) + 1, dtype=np.int64)
    positions = week_positions(times, bins.width, plan.timezone)
    days = local_days(times, plan.timezone)
    stops = np.unique([*np.flatnonzero(np.diff(days)) + 1, *(bins.late.interval + 1), len(bins)])
    at = 0
    while at < len(bins):
        stop = int(stops[np.searchsorted(stops, at, side="right")])
        judged, news = run(
            columns, laid, SIZE_TABLE, CAP_TABLE, x[at:stop], n[at:stop], bins.watched[at:stop],
            positions[at:stop], number + at,
        )  # fmt: skip
        at += judged
        if at == stop:
            news = take_late(columns, plan, bins, at - 1) or news
            if days[at] != days[at - 1]:
                _end_day(columns, plan, int(days[at - 1]), float(positions[at]))
        if news:
            yield at - 1, tell(columns, plan, bins, at - 1)


def _laid(plan: Plan) -> Laid:
    within = [plan.signals[c.family].within for c in plan.charts]
    alone = [not c.slice and not c.version for c in plan.charts]
    return Laid(
        plan.kind, plan.family, plan.season, plan.lag, plan.explained_by, plan.reach,
        np.array(alone, dtype=np.bool_),
        np.array([min(-(-w // plan.width) + 1, RING - 1) for w in within], dtype=np.int64),
        plan.budget.per / plan.width / plan.budget.false_alerts,
        LASTS // plan.width,
        plan.width / 900.0,
    )  # fmt: skip


def _end_day(columns: Columns, plan: Plan, day: int, position: float) -> None:
    """Learn the day that is over; levels are moved so that what is expected does not jump with the shape."""
    if not len(columns.days):
        return
    moved = end_day(columns, day)
    for c in np.flatnonzero(plan.season >= 0):
        s = plan.season[c]
        if columns.days[s] == 0:
            continue
        whole = int(np.floor(position)) % WEEK
        jump = math.exp(float(moved[s, whole]))
        columns.beta[c] *= jump
        columns.jb[c] *= jump
        columns.ab[c] = 0.0
        columns.rb[c] *= jump


@compiled
def run(
    m: Columns,
    laid: Laid,
    sizes: Floats,
    caps: Floats,
    x: Floats,
    n: Floats,
    watched: NDArray[np.bool_],
    positions: Floats,
    number: int,
) -> tuple[int, bool]:
    """Judge intervals until the first one with news. Returns (intervals judged, was there news)."""
    charts = len(laid.kind)
    for t in range(x.shape[0]):
        now = number + t
        if not watched[t]:
            _skip(m, now)
            continue
        news = False
        begun = 1.0
        for c in range(charts):
            if m.first[c] >= 0 and laid.kind[c] != TALLY:
                begun += 1.0
        enough = math.log(max(begun * laid.per_budget, 2.0))
        for c in range(charts):
            m.phase[c], m.s_phase[c] = 0, 0
            _judge_chart(m, laid, sizes, caps, c, x[t, c], n[t, c], positions[t], now, laid.lasts)
        _judge_rollouts(m, laid, sizes, caps, x[t], n[t], now)
        for c in range(charts):
            if m.raised[c] == 0 and m.phase[c] == 0 and m.total[c] >= enough and _may_raise(m, laid, c):
                raise_alarm(m, c, now, _owed_span(m, laid, c, now), sizes[laid.kind[c]])
            news = news or m.phase[c] > 0 or m.s_phase[c] > 0
        if news:
            return t + 1, True
    return x.shape[0], False


@compiled
def _skip(m: Columns, now: int) -> None:
    """Nobody was listening: nothing is judged, nothing is learned, and the rings show a hole."""
    for c in range(len(m.first)):
        m.phase[c], m.s_phase[c] = 0, 0
        m.ring_x[c, now % RING] = np.nan
        m.ring_m[c, now % RING] = np.nan
        m.ring_n[c, now % RING] = np.nan
    for f in range(len(m.went)):
        depth = m.went_ring.shape[1]
        m.gone[f] += 1.0
        m.went_ring[f, now % depth] = m.went[f]
        m.gone_ring[f, now % depth] = m.gone[f]
        m.owed_ring[f, now % RING] = m.owed[f]


@compiled
def _may_raise(m: Columns, laid: Laid, c: int) -> bool:
    """A count that follows what goes into a flow is no loss while the flow sees nothing missing."""
    f = laid.explained_by[c]
    if f < 0:
        return True
    ready = m.fits[laid.lag[f]] >= 2 * flow.READY
    return not ready or m.total[f] >= 1.0 or m.raised[f] == 1


@compiled
def _owed_span(m: Columns, laid: Laid, c: int, now: int) -> int:
    if laid.kind[c] != FLOW:
        return 0
    nats, span = flow.owed_evidence(m, laid.lag[c], now)
    return span if nats >= m.total[c] - 1e-9 else 0


@compiled
def _judge_chart(
    m: Columns,
    laid: Laid,
    sizes: Floats,
    caps: Floats,
    c: int,
    x: float,
    n: float,
    position: float,
    now: int,
    lasts: int,
) -> None:
    """Everything about one chart in one interval, up to the decision to raise."""
    kind = laid.kind[c]
    m.ring_x[c, now % RING], m.ring_n[c, now % RING] = x, n
    m.ring_m[c, now % RING], m.ring_a[c, now % RING] = np.nan, 0.0
    measured = not np.isnan(x) and (kind == THROUGHPUT or not np.isnan(n))
    if m.first[c] < 0:
        if not measured and (np.isnan(n) or kind != FLOW):
            return
        m.first[c] = now
    if laid.alone[c]:
        known = x if kind == THROUGHPUT or kind == FLOW else n
        m.s_phase[c] = listen(m, c, now, known, m.rate[c], lasts)
    if kind == ROLLOUT or kind == ROLLOUT_FLOW or kind == TALLY:
        return
    exposure, out_of, ready = n, n, measured
    others = np.zeros(DAYS_LIKE)
    u = np.zeros(LAGS)
    if kind == THROUGHPUT:
        exposure, out_of = _seasonal(m, laid.season[c], position, others), np.nan
    elif kind == FLOW:
        exposure, ready = _flow_exposure(m, laid, c, n, now, u)
        ready, out_of = ready and measured, np.nan
    if not measured:
        if m.raised[c] == 1 and now - m.onset[c] >= lasts:
            settle(m, c, now, EXPIRED, 1.0)
        return
    if kind == ERROR:
        x, exposure = min(x, n), n
        if n <= 0.0:
            return
    best = m.best[c]
    mean = exposure * m.alpha[c, best] / m.beta[c, best]
    scatter = spread_of(m, c, best) + 1.0 / max(m.alpha[c, best], LEAST_ALPHA)
    if kind == ERROR:
        scatter -= 1.0 / n
    m.ring_m[c, now % RING], m.ring_a[c, now % RING] = mean, scatter
    if m.raised[c] == 1:
        m.ring_m[c, now % RING] = exposure * m.ra[c] / m.rb[c]
        stand(m, c, now, x, exposure, out_of, spread_of(m, c, best), lasts)
        if kind == FLOW:
            flow.owe(m, laid.lag[c], now, 0.0)
        return
    if kind == FLOW:
        flow.owe(m, laid.lag[c], now, mean - x if ready else 0.0)
    unlike = 0.0
    if kind == THROUGHPUT and m.days[laid.season[c]] >= 2:
        unlike = unlike_today(m, c, x, mean, others, scatter)
    if m.seen[c] >= WARM_UP and ready:
        least = _least_log(m, laid, c)
        cap = cap_of(m, 0 if kind == ERROR else 1, caps[kind])
        weigh(m, c, now, x, exposure, out_of, mean, scatter, sizes[kind], least, cap, unlike)
        if kind == FLOW:
            nats, span = flow.owed_evidence(m, laid.lag[c], now)
            m.total[c] = max(m.total[c], nats)
    _learn_chart(m, laid, sizes, c, x, exposure, out_of, mean, scatter, others, u, now, position)


@compiled
def _least_log(m: Columns, laid: Laid, c: int) -> float:
    """Sizes nearer to 1 than twice the scatter of the slow level can't be told from drift."""
    kind = laid.kind[c]
    slow = spread_of(m, c, m.alpha.shape[1] - 1)
    sd = math.sqrt(slow)
    if kind == THROUGHPUT:
        days = m.days[laid.season[c]]
        sd = max(sd, throughput.SD_NO_DAY if days < 1 else (throughput.SD_NO_WEEK if days < 7 else 0.0))
    return 2.0 * sd


@compiled
def _seasonal(m: Columns, s: int, position: float, others: Floats) -> float:
    """The exposure of a throughput now, and into `others` what it were on a Sunday, an hour earlier or later."""
    if m.days[s] == 0:
        others[:] = 1.0
        return 1.0
    week = m.week[s]
    others[0] = throughput.shape_at(week, position % QUARTERS + 6.0 * QUARTERS)
    others[1] = throughput.shape_at(week, (position - 4.0) % WEEK)
    others[2] = throughput.shape_at(week, (position + 4.0) % WEEK)
    return throughput.shape_at(week, position)


@compiled
def _flow_exposure(m: Columns, laid: Laid, c: int, n: float, now: int, u: Floats) -> tuple[float, bool]:
    f = laid.lag[c]
    flow.take_in(m, f, now, n, m.went[f] / max(float(now - m.first[c]), 1.0))
    gap = flow.features(m, f, now, m.first[c], laid.reach[f], u)
    exposure, fresh = flow.expected(m, f, u)
    # Campaigns convert differently: a new mixture of cohorts is known less well than the old one was.
    moved = fresh - m.fresh[f]
    m.fresh[f] = fresh
    if m.fits[f] >= flow.READY and laid.reach[f] > 10:
        news = 2.0 * (flow.CAMPAIGN_SD * moved) ** 2
        for b in range(m.alpha.shape[1]):
            wide = 1.0 / (1.0 + news * m.alpha[c, b])
            m.alpha[c, b] *= wide
            m.beta[c, b] *= wide
    return exposure, m.fits[f] >= flow.READY and gap == 0.0 and exposure > 0.0


@compiled
def _learn_chart(
    m: Columns,
    laid: Laid,
    sizes: Floats,
    c: int,
    x: float,
    exposure: float,
    out_of: float,
    mean: float,
    scatter: float,
    others: Floats,
    u: Floats,
    now: int,
    position: float,
) -> None:
    """After the judgement: what an interval that is not believed to be faulty teaches."""
    kind = laid.kind[c]
    burst = False
    if kind != ERROR and m.seen[c] > 30:
        burst = x > mean + BURST_SD * predictive_sd(mean, scatter) + 2.0
        m.hot[c] = m.hot[c] + 1 if burst else 0
        burst = burst and m.hot[c] < BURST_LASTS and kind == THROUGHPUT
    half_lives = SLOW_LEVELS if kind == ERROR else FAST_LEVELS
    if kind == FLOW:
        f = laid.lag[c]
        if m.fits[f] >= flow.READY and exposure > 0.0:
            learn(m, c, x, exposure, out_of, sizes[kind], half_lives, burst)
            if m.total[c] < BELIEVED:
                flow.learn_spread(m, f, now)
        if m.total[c] < BELIEVED:
            before = exposure
            if flow.teach(m, f, u, x, spread_of(m, c, m.best[c])):
                after, m.fresh[f] = flow.expected(m, f, u)
                if before > 0.0 and after > 0.0 and m.fits[f] > flow.READY:
                    for b in range(m.beta.shape[1]):
                        m.beta[c, b] *= after / before
                    for j in range(m.jb.shape[1]):
                        m.jb[c, j] *= after / before
    else:
        learn(m, c, x, exposure, out_of, sizes[kind], half_lives, burst)
    if kind == THROUGHPUT:
        s = laid.season[c]
        if m.days[s] >= 2 and not burst:
            learn_other_days(m, c, x, mean, others, scatter, forget(half_lives[m.best[c]]))
        if m.total[c] < BELIEVED:
            _add_to_day(m, s, x, position, laid.quarters)
    m.seen[c] += 1


@compiled
def _add_to_day(m: Columns, s: int, x: float, position: float, quarters: float) -> None:
    """Add an interval of `quarters` quarters of an hour, whose middle is at `position`, to the running day."""
    count = max(int(quarters), 1)
    first = int(math.floor(position + 0.5 - (0.5 * quarters if count > 1 else 0.0)))
    for i in range(count):
        q = (first + i) % QUARTERS
        m.day_x[s, q] += x / count
        m.day_n[s, q] += 1.0


@compiled
def _judge_rollouts(
    m: Columns, laid: Laid, sizes: Floats, caps: Floats, x: Floats, n: Floats, now: int
) -> None:
    """Hold every version that came later against those that were there before it."""
    for c in range(len(laid.kind)):
        kind = laid.kind[c]
        if kind != ROLLOUT and kind != ROLLOUT_FLOW:
            continue
        m.vn[c] = x[c]  # what this version failed or lost in this interval
        if kind == ROLLOUT_FLOW:
            m.vn[c] = rollout.missing_for_certain(m, c, now, x[c], n[c], laid.within[c])
    for c in range(len(laid.kind)):
        kind = laid.kind[c]
        if (kind != ROLLOUT and kind != ROLLOUT_FLOW) or m.first[c] < 0:
            continue
        old_x, old_n = 0.0, 0.0
        for d in range(len(laid.kind)):
            if laid.family[d] == laid.family[c] and 0 <= m.first[d] < m.first[c]:
                old_x += 0.0 if np.isnan(m.vn[d]) else m.vn[d]
                old_n += 0.0 if np.isnan(n[d]) else n[d]
        failed, served = m.vn[c], n[c]
        if old_n <= 0.0 or np.isnan(served) or np.isnan(failed) or served <= 0.0:
            _end_rollout(m, c, now)
            continue
        m.run[c] = 0
        both = failed + old_x
        share = both * served / (served + old_n)
        m.ring_m[c, now % RING] = share
        if m.raised[c] == 1:
            m.rx[c] += failed
            m.rm[c] += share
            m.rn[c] += served
            m.rv[c] += share
            m.phase[c] = 2
            continue
        if both > 0.0:
            cap = cap_of(m, 0, caps[kind])
            weigh(m, c, now, failed, share, both, share, -1.0 / both, sizes[kind], 0.0, cap, 0.0)
        for j in range(sizes.shape[1]):
            m.sn[c, j] += served - (both if both > 0.0 else 0.0)
        m.seen[c] += 1


@compiled
def _end_rollout(m: Columns, c: int, now: int) -> None:
    """The two no longer serve side by side: after two such intervals the comparison is over."""
    m.run[c] += 1
    if m.raised[c] == 1:
        m.phase[c] = 2
    if m.run[c] < 2:
        return
    if m.raised[c] == 1:
        m.raised[c], m.phase[c], m.why[c] = 0, 3, 1
        m.v_since[c] = now - m.run[c] + 1
    m.total[c] = 0.0
    m.w[c] = 0.0
