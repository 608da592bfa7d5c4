"""Does what goes in come out again, in the time that it usually takes?

x = what came out, exposure e = sum over lag blocks b of curve_b * (what went in that long ago): a cohort is
judged at every age against cohorts of equal age, so that a flow of 48 h alerts within minutes. The curve is
learned by non-negative least squares on blocks of growing length, and is not taught while it is suspect.
Beside the level's evidence stands what is owed: D_w, the sum of (expected - came out) over the last w
intervals. In a flow that keeps everything the lag's noise cancels in that sum, and a loss does not; evidence
is that of a Student t with as many degrees of freedom as D_w has been seen, (v/2) ln(1 + D^2 / (v V)).
Not for: telling which of two joined outputs lost it.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.compiled import compiled
from detectors.expect import FAST_KEEPS
from detectors.judge import (
    ALIKE,
    BELIEVED,
    LATE,
    learn,
    mean_of,
    picture,
    scatter_of,
    spread_of,
    stand,
    weigh,
)
from detectors.memory import EDGE_WEIGHT, LAGS, LEVELS, RING, SPANS, Record
from detectors.memory import SIZES as COUNT
from detectors.throughput import add_to_day as count_day
from detectors.throughput import shape_at

SIZES = np.array([0.98, 0.95, 0.9, 0.8, 0.6, 0.3, 0.1, 0.005])
PART = 0.1  # of a loss: while it goes on, the loss is not over; what went in meanwhile comes late
CAP = 6.0
PATIENCE = 60  # seconds for which what is owed may still come, before a longer pause was seen
LARGE = 0.1  # share that is told soon; a small part that is held up for some minutes is common
HELD = 8.0  # nats that something is held up
SOON = 10  # intervals: a flow that has settled by then owes what it has not brought
CAMPAIGNS = 0.25  # relative variance of conversion from campaign to campaign, at least
LEAST_DUE = 1e-9  # events; what is less is what running sums leave of nothing
# First lag (in intervals) of each block of the curve: 0, 1, 2, 3, 4, 6, 9, 14, ... growing by half.
EDGES = np.array([0, 1, 2, 3, 4, 6, 9, 14, 21, 32, 48, 72, 108, 162, 243, 365, 548, 822, 1233, 1850])
SPANS_TRIED = math.log(len(SPANS))  # nats that it costs to have taken the best of them
NEWEST = RING - 1  # RING is a power of two: what is left of a number by it is where that interval lies
READY = 10  # intervals that must have taught the curve before it may judge
MEMORY = 2.0 ** (-1 / 4320)  # of the least-squares sums, a factor per interval
SPREAD_RATE = 0.001  # of what a quiet interval teaches of the spread, at least
# Variance of what a flow that passes on owes, in units of chance, beforehand.
SPREAD, SPREAD_WEIGHT = 0.15, 4.0
MOST_OF_IT = 0.7
LIKE_SHORTER = 8.0  # a longer span is believed like the shorter one until it was seen this many times
MISFIT_MEMORY = 2.0 ** (-1 / 20160)
WHOLE = 1e-6  # the same of a flow that loses nothing: what is kept has nowhere to wander to
PRIOR_LOSS, PRIOR_LOSS_WEIGHT = 0.01, 50.0  # a share lost that nobody has seen yet, worth half an event
MISFIT = 1e-4  # relative variance of what a span owes by a curve that is a little wrong, before it is known,
MISFIT_WEIGHT = 10.0  # and how many such spans that is worth
MISFIT_LONG, MISFIT_LONG_WEIGHT = 25e-4, 2880.0  # the same, of flows with a long lag


@compiled
def judge(
    chart: Record,
    flow: Record,
    fleet: Record,
    now: int,
    x: float,
    n: float,
    hour: float,
    reach: int,
    cap: float,
    lasts: int,
    patience: int,
) -> bool:
    """One interval of a flow: n went in, x came out, NaN = not measured.

    hour: how much of what is due comes at this hour; reach: of the lag, in intervals; patience: PATIENCE, in
    intervals. Returns whether the
    interval may teach what the hour does.
    """
    if flow.reach != reach:
        _set_reach(flow, reach)
    blocks = blocks_of(reach)
    take_in(flow, now, n, flow.went / max(float(now - chart.first), 1.0))
    gap = unknown_past(flow, now, chart.first, reach)
    flow.due, young = expected(flow, blocks)
    exposure, edge = flow.due * hour, _edge(flow, young * hour)
    if exposure < LEAST_DUE:
        exposure = 0.0
    if np.isnan(x) or np.isnan(n):
        owe(flow, now, 0.0, 0.0, 0.0)
        return False
    mean = mean_of(chart, exposure)
    uneven = flow.uneven / flow.uneven_n
    if flow.settled > SOON:
        uneven = max(uneven, CAMPAIGNS)
    unsure = uneven * edge  # variance that the edge of a burst adds
    scatter = scatter_of(chart) + (unsure / (mean * mean) if mean > 0.0 else 0.0)
    ready = is_ready(flow, reach) and gap == 0.0 and exposure > 0.0
    if chart.raised == 1:
        owe(flow, now, 0.0, 0.0, 0.0)
        picture(chart, now, exposure, mean, scatter)
        stand(chart, now, x, exposure, np.nan, lasts, PART)
        if chart.raised == 0:
            flow.owed_ring[:] = flow.owed  # what the fault owed is told and settled
            flow.held = 0
            if chart.why == LATE:
                flow.pause = max(flow.pause, float(now - chart.onset))
        return False
    owe(flow, now, mean, unsure, mean - x if ready else 0.0)
    if ready:
        picture(chart, now, exposure, mean, scatter)
        _weigh(chart, flow, fleet, now, x, exposure, mean, scatter, unsure, reach, cap, patience)
        chart.seen += 1
        if flow.settled <= SOON:
            owed, _ = owed_evidence(chart, flow, now, 0, 0.0)
            _learn_pause(flow, now, owed)
            if owed >= BELIEVED:
                return False  # it may still come; until then it teaches nothing
        learn(chart, x, exposure, np.nan, SIZES, FAST_KEEPS)
    if flow.settled <= SOON:
        chart.best = LEVELS - 1  # what is passed on keeps its share; faster levels follow the lag's noise
    if chart.total >= BELIEVED:
        return False
    _learn_uneven(flow, edge, (x - mean) * (x - mean) - mean - spread_of(chart, chart.best) * mean * mean)
    if ready:
        learn_spread(flow, now)
    _learn_curve(chart, flow, blocks, x / hour, ready)
    return ready


@compiled
def _weigh(
    chart: Record,
    flow: Record,
    fleet: Record,
    now: int,
    x: float,
    exposure: float,
    mean: float,
    scatter: float,
    unsure: float,
    reach: int,
    cap: float,
    patience: int,
) -> None:
    """What settles soon is judged by what it owes for certain, the rest by how much comes at every age."""
    fleet.judged += 1.0
    if flow.settled <= SOON:
        wait = min(reach + 1, flow.settled + 2)
        chart.total, span = owed_evidence(chart, flow, now, wait, 0.0)
        soon = min(wait, max(patience, int(flow.pause) + 1))
        if soon < wait:
            total, large = owed_evidence(chart, flow, now, soon, LARGE)
            if total > chart.total:
                chart.total, span, wait = total, large, soon
        chart.back = wait + span // 2 if chart.total > 0.0 else 0
        return
    chart.back, chart.steady = 0, 0.0
    least = 2.0 * math.sqrt(spread_of(chart, LEVELS - 1))
    weigh(chart, fleet, now, x, exposure, np.nan, mean, scatter, SIZES, least, cap, 0.0, ALIKE)
    _mix(chart, unsure / (mean * mean) if mean > 0.0 else 0.0)


@compiled
def _learn_pause(flow: Record, now: int, owed: float) -> None:
    """How long is what comes out held up at times, and then made up for? owed: evidence (nats) with no wait."""
    if owed >= HELD:
        flow.held = now if flow.held == 0 else flow.held
    elif owed < 1.0 and flow.held > 0:
        flow.pause = max(flow.pause, float(now - flow.held))
        flow.held = 0


@compiled
def hour_factor(season: Record, position: float) -> float:
    """How much of what is due comes at this hour, relative to the usual."""
    return shape_at(season, position, False) if season.days > 0 else 1.0


@compiled
def add_to_day(season: Record, flow: Record, x: float, position: float, quarters: float) -> None:
    """Let an interval teach what the hour does: what came out of what the curve alone expected."""
    count_day(season, x, flow.due, position, quarters)


@compiled
def _edge(flow: Record, young: float) -> float:
    """How much of what is expected is the edge of a burst, squared: the change of what entered just now.

    When in a minute a burst began is not known, nor how well this campaign converts.
    """
    change = young - flow.young
    flow.young = young
    square = change * change + 0.5 * flow.edge
    flow.edge = square
    return square


@compiled
def is_ready(flow: Record, reach: int) -> bool:
    """Has the curve been taught for twice as long as it reaches, and by a few intervals at least?"""
    return flow.fits >= (READY if flow.quick == 1 else 2 * reach)


@compiled
def _mix(chart: Record, news: float) -> None:
    """Campaigns convert differently: a new mixture of cohorts is known less well than the old one was.

    news: relative variance that the mixture has added to what is known of the level.
    """
    for b in range(LEVELS):
        narrow = 1.0 / (1.0 + news * chart.alpha[b])
        chart.alpha[b] *= narrow
        chart.beta[b] *= narrow
    if chart.alive == 0:
        return
    for j in range(COUNT):
        narrow = 1.0 / (1.0 + news * chart.ja[j])
        chart.ja[j] *= narrow
        chart.jb[j] *= narrow


@compiled
def _learn_uneven(flow: Record, edge: float, off: float) -> None:
    """Mean of the variance that nothing else explains, per squared edge of a burst; the larger the edge the more
    it says."""
    weight = math.sqrt(edge)
    flow.uneven *= MEMORY
    flow.uneven_n = flow.uneven_n * MEMORY + (1.0 - MEMORY) * EDGE_WEIGHT
    if weight > 1.0:
        flow.uneven = max(flow.uneven + weight * min(off / edge, 4.0), 0.0)
        flow.uneven_n += weight


@compiled
def _learn_curve(chart: Record, flow: Record, blocks: int, x: float, ready: bool) -> None:
    """Teach the curve; where it is fitted anew, the level moves so that what is expected does not jump."""
    rate = max(1.0 / (flow.fits + 1.0), 1.0 - MEMORY)
    for b in range(blocks):
        flow.usual[b] += (flow.lags[b] - flow.usual[b]) * rate
    flow.usual[LAGS - 1] += (flow.lags[LAGS - 1] - flow.usual[LAGS - 1]) * rate
    mean = mean_of(chart, flow.due) if ready else x
    teach(flow, x, mean, spread_of(chart, chart.best))
    if not _is_fitted_now(flow.fits):
        return
    before = _usually(flow)
    _fit(flow)
    _settle_by(flow)
    _, flow.young = expected(flow, blocks)
    after = _usually(flow)
    if not ready or before <= 0.0 or after <= 0.0:
        return
    for b in range(LEVELS):
        chart.beta[b] *= after / before
    for j in range(COUNT):
        chart.jb[j] *= after / before


@compiled
def _settle_by(flow: Record) -> None:
    """What comes out in the end by the curve, and after how many intervals has all but a hundredth of it?"""
    flow.brings, so_far = 0.0, 0.0
    for b in range(LAGS - 1):
        flow.brings += flow.curve[b] * (EDGES[b + 1] - EDGES[b])
    for b in range(LAGS - 1):
        so_far += flow.curve[b] * (EDGES[b + 1] - EDGES[b])
        if so_far >= 0.99 * flow.brings:
            flow.settled = EDGES[b + 1] - 1
            break


@compiled
def blocks_of(reach: int) -> int:
    """How many blocks cover lags 0..reach."""
    b = 1
    while b < LAGS - 1 and EDGES[b] <= reach:
        b += 1
    return b


@compiled
def take_in(flow: Record, number: int, went_in: float, usual: float) -> None:
    """Remember what went in; where it was not measured, the usual stands in and is counted as unknown."""
    depth = len(flow.went_ring)
    slot = number % depth
    if np.isnan(went_in):
        flow.gone += 1.0
        went_in = usual
    flow.at = number
    flow.went += went_in
    flow.went_ring[slot] = went_in
    flow.gone_ring[number & NEWEST] = flow.gone
    if slot == 0:
        count_lags(flow)  # anew: what sums that were added to and taken from have lost by rounding is no more
        return
    blocks, comes = blocks_of(flow.reach), np.float64(flow.went_ring[slot])
    for b in range(blocks):
        far = EDGES[b + 1] if b + 1 < blocks else flow.reach + 1
        goes = np.float64(flow.went_ring[slot - far if far <= slot else slot - far + depth])
        flow.lags[b] += comes - goes
        comes = goes


@compiled
def count_lags(flow: Record) -> None:
    """Add up what went in, by lag block."""
    depth, blocks = len(flow.went_ring), blocks_of(flow.reach)
    for b in range(blocks):
        flow.lags[b] = 0.0
        for lag in range(EDGES[b], EDGES[b + 1] if b + 1 < blocks else flow.reach + 1):
            flow.lags[b] += np.float64(flow.went_ring[(flow.at - lag) % depth])


@compiled
def _set_reach(flow: Record, reach: int) -> None:
    """Another reach was asked for: what lies beyond it is no longer known of the curve. Of what lies beyond the one
    before nothing is known, however much of it is still there: all blocks of a curve that are learned at once take
    chance for what comes late."""
    depth = len(flow.went_ring)
    for lag in range(flow.reach + 2, min(reach + 2, depth)):
        flow.went_ring[(flow.at - lag) % depth] = 0.0
    flow.reach = reach
    for b in range(blocks_of(reach), LAGS - 1):
        flow.curve[b] = flow.usual[b] = flow.lags[b] = flow.moment[b] = 0.0
        flow.gram[b, :] = 0.0
        flow.gram[:, b] = 0.0
    _settle_by(flow)
    count_lags(flow)


@compiled
def unknown_past(flow: Record, number: int, first: int, reach: int) -> float:
    """A past that nobody saw still comes out, as a block of its own: a background that fades as the ring fills.

    Returns the unmeasured share of the most recent intervals.
    """
    known = number - first + 1
    flow.lags[LAGS - 1] = max(0.0, 1.0 - known / (reach + 1.0)) if known > reach // 8 else 1.0
    recent = min(10, known - 1, reach + 1)
    if recent <= 0:
        return 1.0
    return (flow.gone - flow.gone_ring[(number - recent) & NEWEST]) / recent


@compiled
def expected(flow: Record, blocks: int) -> tuple[float, float]:
    """What should come out, and how much of that entered within the last few intervals."""
    total, young = 0.0, 0.0
    for b in range(blocks):
        total += flow.curve[b] * flow.lags[b]
        if b == min(blocks - 1, 3):
            young = total
    return total + flow.curve[LAGS - 1] * flow.lags[LAGS - 1], young


@compiled
def _usually(flow: Record) -> float:
    """What comes out of what usually went in."""
    total = 0.0
    for b in range(LAGS):
        total += flow.curve[b] * flow.usual[b]
    return total


@compiled
def teach(flow: Record, x: float, mean: float, scatter: float) -> None:
    """Let one interval teach the least-squares sums: x came out of flow.lags.

    mean: what was expected, by which it is weighed. By what came, intervals with little would weigh more, and the
    curve would bring too little: by one event in each interval.
    """
    mean = max(mean, 1.0)
    weight = flow.grown / (mean + scatter * mean * mean)
    for i in range(LAGS):
        part = weight * flow.lags[i]
        if part == 0.0:
            continue
        flow.moment[i] += part * x
        for j in range(LAGS):
            flow.gram[i, j] += part * flow.lags[j]
    # Rather than that the sums shrink, what is added grows.
    flow.grown /= MEMORY
    if flow.grown >= 2.0:
        flow.grown *= 0.5
        flow.gram *= 0.5
        flow.moment *= 0.5
    flow.fits += 1


@compiled
def _is_fitted_now(n: int) -> bool:
    """Is the curve to be fitted after n intervals that taught it?"""
    return n == READY or (n > READY and n < 120 and n % 10 == 0) or n % 120 == 0


@compiled
def _fit(flow: Record) -> None:
    """Non-negative least squares by coordinate descent, from the last curve.

    Starting from nothing, near lags take what they can explain before far ones are asked: where steady
    traffic can't tell the lags apart, things are taken to come out soon.
    """
    gram, curve = flow.gram, flow.curve
    rest, inverse = flow.moment.copy(), np.zeros(LAGS)  # rest: what the curve has not explained of the moment
    for i in range(LAGS):
        if gram[i, i] <= 0.0:
            curve[i] = 0.0
            continue
        inverse[i] = 1.0 / (gram[i, i] * (1.0 + 1e-6))
        for j in range(LAGS):
            rest[j] -= curve[i] * gram[i, j]
    for _ in range(60):
        moved = False
        for i in range(LAGS):
            better = max(0.0, (rest[i] + gram[i, i] * curve[i]) * inverse[i])
            step = better - curve[i]
            if step == 0.0:
                continue
            curve[i], moved = better, True
            for j in range(LAGS):
                rest[j] -= step * gram[i, j]
        if not moved:
            break


@compiled
def owe(flow: Record, number: int, mean: float, unsure: float, missing: float) -> None:
    """Remember by how much less than expected came out, and what it may scatter by."""
    flow.owed += missing
    flow.owed_ring[number & NEWEST] = flow.owed
    flow.meant += mean
    flow.meant_ring[number & NEWEST] = flow.meant
    flow.unsure += unsure
    flow.unsure_ring[number & NEWEST] = flow.unsure


@compiled
def _ends(flow: Record, number: int) -> float:
    """What was to come in the last intervals before one end of a span: by so much the lag makes its sum scatter."""
    return flow.meant_ring[number & NEWEST] - flow.meant_ring[(number - 3) & NEWEST]


@compiled
def _burst(flow: Record, span: int) -> int:
    """For how many intervals the edges of bursts add to what a span may scatter by."""
    return min(span + max(flow.reach, SOON), RING - 1)


@compiled
def _misfit(flow: Record, i: int, meant: float, usual: float, weight: float) -> float:
    """Relative variance of what span i owes because the curve is a little wrong.

    meant: what was to come in the span. usual: that variance beforehand, worth `weight` spans.
    """
    prior = weight * meant * meant
    return (usual * prior + flow.misfit[i]) / (prior + flow.misfit_n[i] + 1e-9)


@compiled
def _spread(flow: Record, i: int) -> tuple[float, float]:
    """By how much what span i owes scatters, in units of chance, and how many degrees of freedom that has.

    A longer span is believed like the shorter one until it was seen often.
    """
    spread, credit, freedom = SPREAD, SPREAD_WEIGHT if flow.quick == 1 else 0.0, 0.0
    for k in range(i + 1):
        seen = min(flow.spread_n[k] / SPANS[k], 200.0)
        freedom = seen + credit
        if freedom >= 4.0:
            spread = (seen * flow.spread[k] + credit * spread) / freedom
            credit = min(freedom, LIKE_SHORTER)
    return spread, freedom


@compiled
def _kept(chart: Record, flow: Record) -> float:
    """What comes out in the end, per one that went in."""
    return flow.brings * chart.alpha[chart.best] / chart.beta[chart.best]


@compiled
def owed_evidence(chart: Record, flow: Record, number: int, wait: int, least: float) -> tuple[float, int]:
    """Evidence (nats) that something is missing for certain, over the span where it is strongest; and the shortest
    span (intervals) that owes most of it.

    The smaller of two: of a Student t, because it is not known by how much the sums scatter; and of a Poisson
    law with the same variance (Bennett 1962), because rare losses come in whole events.
    wait: intervals after which what went in must have come out. least: smaller shares are not looked at.
    """
    seen_out = chart.alpha[chart.best]
    lost = max(1.0 - _kept(chart, flow), 0.0)
    usual, weight = MISFIT_LONG, MISFIT_LONG_WEIGHT
    if flow.quick == 1:
        usual, weight = min(MISFIT, 0.1 * lost * lost + WHOLE), MISFIT_WEIGHT
    lost = (lost * seen_out + PRIOR_LOSS * PRIOR_LOSS_WEIGHT) / (seen_out + PRIOR_LOSS_WEIGHT)
    certain = _owed_for_certain(flow, number, wait)
    until = (number - wait) & NEWEST
    meant_until, unsure, ends = flow.meant_ring[until], flow.unsure_ring[until], _ends(flow, until)
    best, owes, smallest, last, to_come = 0.0, 0.0, SPREAD, -1, 0.0
    for i in range(len(SPANS)):
        smallest = min(smallest, flow.spread[i])
        owed = certain - flow.owed_ring[(number - wait - SPANS[i]) & NEWEST]
        if owed <= 0.0 or (flow.quick == 0 and _spread(flow, i)[1] < 4.0):
            continue
        meant = meant_until - flow.meant_ring[(number - wait - SPANS[i]) & NEWEST]
        if owed < least * meant:
            continue
        if meant > 0.0:
            last, to_come = i, meant
        unit = 1.0 + ends + _ends(flow, number - wait - SPANS[i])
        unit += unsure - flow.unsure_ring[(number - wait - _burst(flow, SPANS[i])) & NEWEST]
        # Neither kind of evidence is more than owed^2 / 2 variance: log(1 + z) <= z, and (1 + u) log(1 + u) - u <=
        # u^2 / 2. And what a span is believed to scatter by is not less than the least of it and the shorter ones.
        if owed * owed <= 2.0 * SPANS_TRIED * max(unit * smallest, lost * meant):
            continue
        spread, freedom = _spread(flow, i)
        chance = unit * spread
        variance = max(chance, lost * meant) + meant * meant * _misfit(flow, i, meant, usual, weight)
        student = 0.5 * freedom * math.log(1.0 + owed * owed / (freedom * variance))
        u = owed / variance
        whole = variance * ((1.0 + u) * math.log(1.0 + u) - u)
        gain = min(student, whole) - SPANS_TRIED
        if gain > best:
            best, owes = gain, owed
            chart.steady, chart.ends = lost, chance
    if last >= 0:
        chart.astray = _misfit(flow, last, to_come, usual, weight)
    for span in SPANS:
        if best <= 0.0 or certain - flow.owed_ring[(number - wait - span) & NEWEST] >= MOST_OF_IT * owes:
            return best, span
    return best, SPANS[-1]


@compiled
def _owed_for_certain(flow: Record, number: int, wait: int) -> float:
    """The running sum of what was owed `wait` intervals ago, less what has come since.

    A pause that is made up for (a restart, a deployment) owes nothing when it is over; a loss goes on owing.
    """
    least = flow.owed_ring[number & NEWEST]
    for k in range(1, wait + 1):
        least = min(least, flow.owed_ring[(number - k) & NEWEST])
    return least


@compiled
def learn_spread(flow: Record, number: int) -> None:
    """Let a quiet interval teach how much the sums over each span scatter."""
    ends, unsure = _ends(flow, number), flow.unsure
    for i in range(len(SPANS)):
        span = SPANS[i]
        owed = flow.owed - flow.owed_ring[(number - span) & NEWEST]
        unit = 1.0 + ends + _ends(flow, number - span)
        unit += unsure - flow.unsure_ring[(number - _burst(flow, span)) & NEWEST]
        count = flow.spread_n[i]
        square = (owed * owed + 0.25) / unit
        if count > 10.0 * span:
            # What stands out is the curve's fault rather than chance.
            meant = flow.meant - flow.meant_ring[(number - span) & NEWEST]
            over = max(owed * owed - 2.0 * flow.spread[i] * unit, 0.0)
            flow.misfit[i] = flow.misfit[i] * MISFIT_MEMORY + over
            flow.misfit_n[i] = flow.misfit_n[i] * MISFIT_MEMORY + meant * meant
            square = min(square, 16.0 * flow.spread[i])
        rate = SPREAD_RATE if count >= 1.0 / SPREAD_RATE else 1.0 / (count + 1.0)
        flow.spread[i] += rate * (square - flow.spread[i])
        flow.spread_n[i] = count + 1.0
