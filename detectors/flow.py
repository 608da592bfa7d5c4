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
from detectors.memory import EDGE_WEIGHT, LAGS, LEVELS, RING, SPANS, Floats, Record
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
READY = 10  # intervals that must have taught the curve before it may judge
MEMORY = 2.0 ** (-1 / 4320)  # of the least-squares sums, a factor per interval
SPREAD_MEMORY = 0.999
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
    fleet: Floats,
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
    flow.reach = reach
    u = np.zeros(LAGS)
    take_in(flow, now, n, flow.went / max(float(now - chart.first), 1.0))
    gap = features(flow, now, chart.first, reach, u)
    flow.due, young = expected(flow, u)
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
        learn_spread(flow, now, reach)
    _learn_curve(chart, flow, u, x / hour, ready)
    return ready


@compiled
def _weigh(
    chart: Record,
    flow: Record,
    fleet: Floats,
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
    fleet[1] += 1.0
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
def _learn_curve(chart: Record, flow: Record, u: Floats, x: float, ready: bool) -> None:
    """Teach the curve; where it was fitted anew, the level moves so that what is expected does not jump."""
    flow.usual += (u - flow.usual) * max(1.0 / (flow.fits + 1.0), 1.0 - MEMORY)
    before, _ = expected(flow, flow.usual)
    if not teach(flow, u, x, spread_of(chart, chart.best)):
        return
    _settle_by(flow)
    _, flow.young = expected(flow, u)
    after, _ = expected(flow, flow.usual)
    if not ready or before <= 0.0 or after <= 0.0:
        return
    for b in range(LEVELS):
        chart.beta[b] *= after / before
    for j in range(COUNT):
        chart.jb[j] *= after / before


@compiled
def _settle_by(flow: Record) -> None:
    """After how many intervals has all but a hundredth of what went in come out?"""
    total, so_far = 0.0, 0.0
    for b in range(LAGS - 1):
        total += flow.curve[b] * (block_edge(b + 1) - block_edge(b))
    for b in range(LAGS - 1):
        so_far += flow.curve[b] * (block_edge(b + 1) - block_edge(b))
        if so_far >= 0.99 * total:
            flow.settled = block_edge(b + 1) - 1
            break


@compiled
def block_edge(b: int) -> int:
    """First lag (in intervals) of block b: 0, 1, 2, 3, 4, 6, 9, 13, … growing by half."""
    if b < 4:
        return b
    edge = 4.0
    for _ in range(b - 4):
        edge = math.ceil(edge * 1.5)
    return int(edge)


@compiled
def blocks_of(reach: int) -> int:
    """How many blocks cover lags 0..reach."""
    b = 1
    while b < LAGS - 1 and block_edge(b) <= reach:
        b += 1
    return b


@compiled
def take_in(flow: Record, number: int, went_in: float, usual: float) -> None:
    """Remember what went in; where it was not measured, the usual stands in and is counted as unknown."""
    depth = len(flow.went_ring)
    if np.isnan(went_in):
        flow.gone += 1.0
        went_in = usual
    flow.went += went_in
    flow.went_ring[number % depth] = flow.went
    flow.gone_ring[number % depth] = flow.gone


@compiled
def features(flow: Record, number: int, first: int, reach: int, u: Floats) -> float:
    """What went in, by lag block, into u[LAGS]; the last is the unknown past. Returns the unmeasured share
    of the most recent intervals."""
    depth = len(flow.went_ring)
    u[:] = 0.0
    known = number - first + 1  # intervals that the ring holds
    blocks = blocks_of(reach)
    for b in range(blocks):
        near = block_edge(b)
        far = min(block_edge(b + 1), reach + 1) if b + 1 < blocks else reach + 1
        near, far = min(near, known), min(far, known)
        if far <= near:
            continue
        newest = flow.went_ring[(number - near) % depth]
        oldest = 0.0 if far >= known else flow.went_ring[(number - far) % depth]
        u[b] = newest - oldest
    # A past that nobody saw still comes out: a background that fades as the ring fills.
    u[LAGS - 1] = max(0.0, 1.0 - known / (reach + 1.0)) if known > reach // 8 else 1.0
    recent = min(10, known - 1, reach + 1)
    if recent <= 0:
        return 1.0
    missing = flow.gone_ring[number % depth] - flow.gone_ring[(number - recent) % depth]
    return float(missing) / recent


@compiled
def expected(flow: Record, u: Floats) -> tuple[float, float]:
    """What should come out, and how much of that entered within the last few intervals."""
    total, young = 0.0, 0.0
    for b in range(LAGS):
        part = flow.curve[b] * u[b]
        total += part
        if b < 4:
            young += part
    return total, young


@compiled
def teach(flow: Record, u: Floats, x: float, scatter: float) -> bool:
    """Let one interval teach the curve. True when the curve was fitted anew."""
    mean = max(x, 1.0)
    weight = 1.0 / (mean + scatter * mean * mean)
    for i in range(LAGS):
        if u[i] == 0.0:
            continue
        flow.moment[i] += weight * u[i] * x
        for j in range(LAGS):
            flow.gram[i, j] += weight * u[i] * u[j]
    flow.gram *= MEMORY
    flow.moment *= MEMORY
    flow.fits += 1
    n = flow.fits
    due = n == READY or (n > READY and n < 120 and n % 10 == 0) or n % 120 == 0
    if due:
        _fit(flow)
    return due


@compiled
def _fit(flow: Record) -> None:
    """Non-negative least squares by coordinate descent, from the last curve.

    Starting from nothing, near lags take what they can explain before far ones are asked: where steady
    traffic can't tell the lags apart, things are taken to come out soon.
    """
    gram, moment, curve = flow.gram, flow.moment, flow.curve
    for _ in range(60):
        for i in range(LAGS):
            if gram[i, i] <= 0.0:
                curve[i] = 0.0
                continue
            rest = moment[i] + gram[i, i] * curve[i]
            for j in range(LAGS):
                rest -= gram[i, j] * curve[j]
            curve[i] = max(0.0, rest / (gram[i, i] * (1.0 + 1e-6)))


@compiled
def owe(flow: Record, number: int, mean: float, unsure: float, missing: float) -> None:
    """Remember by how much less than expected came out, and what it may scatter by."""
    flow.owed += missing
    flow.owed_ring[number % RING] = flow.owed
    flow.meant += mean
    flow.meant_ring[number % RING] = flow.meant
    flow.unsure += unsure
    flow.unsure_ring[number % RING] = flow.unsure


@compiled
def owed_over(flow: Record, number: int, span: int) -> float:
    """What the last `span` intervals owe."""
    return _over(flow.owed_ring, number, span)


@compiled
def owed_for_certain(flow: Record, number: int, span: int, wait: int) -> float:
    """What the `span` intervals owe that ended `wait` intervals ago, less what has come since.

    A pause that is made up for (a restart, a deployment) owes nothing when it is over; a loss goes on owing.
    """
    least = flow.owed_ring[number % RING]
    for k in range(1, wait + 1):
        least = min(least, flow.owed_ring[(number - k) % RING])
    return float(least - flow.owed_ring[(number - wait - span) % RING])


@compiled
def _over(ring: Floats, number: int, span: int) -> float:
    """What a running sum has grown by in the `span` intervals up to `number`."""
    return ring[number % RING] - ring[(number - span) % RING]


@compiled
def _unit(flow: Record, number: int, span: int, reach: int) -> float:
    """In what unit the variance by chance of a span is kept.

    What is owed by chance is owed by the intervals at the span's two ends; what the edges of bursts do, by all.
    """
    ends = _over(flow.meant_ring, number, 3) + _over(flow.meant_ring, number - span, 3)
    return 1.0 + ends + _over(flow.unsure_ring, number, min(span + max(reach, SOON), RING - 1))


@compiled
def _misfit(flow: Record, i: int, meant: float, usual: float, weight: float) -> float:
    """Variance of what span i owes because the curve is a little wrong: a share of what was to come, squared.

    usual: that share's square beforehand, worth `weight` spans.
    """
    prior = weight * meant * meant
    return meant * meant * (usual * prior + flow.misfit[i]) / (prior + flow.misfit_n[i] + 1e-9)


@compiled
def comes_out(flow: Record) -> float:
    """What comes out in the end by the curve alone, per one that went in."""
    total = 0.0
    for b in range(LAGS - 1):
        total += flow.curve[b] * (block_edge(b + 1) - block_edge(b))
    return total


@compiled
def _kept(chart: Record, flow: Record) -> float:
    """What comes out in the end, per one that went in."""
    return comes_out(flow) * chart.alpha[chart.best] / chart.beta[chart.best]


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
    best, owes, shorter = 0.0, 0.0, SPREAD
    credit = SPREAD_WEIGHT if flow.quick == 1 else 0.0
    for i in range(len(SPANS)):
        span = SPANS[i]
        seen = min(flow.spread_n[i] / span, 200.0)
        freedom = seen + credit
        if freedom < 4.0:
            continue
        spread = (seen * flow.spread[i] + credit * shorter) / freedom
        shorter, credit = spread, min(freedom, LIKE_SHORTER)
        owed = owed_for_certain(flow, number, span, wait)
        if owed <= 0.0:
            continue
        meant = _over(flow.meant_ring, number - wait, span)
        if owed < least * meant:
            continue
        chance = _unit(flow, number - wait, span, flow.reach) * spread
        misfit = _misfit(flow, i, meant, usual, weight)
        variance = max(chance, lost * meant) + misfit
        chart.astray = misfit / (meant * meant) if meant > 0.0 else chart.astray
        student = 0.5 * freedom * math.log(1.0 + owed * owed / (freedom * variance))
        u = owed / variance
        whole = variance * ((1.0 + u) * math.log(1.0 + u) - u)
        gain = min(student, whole) - math.log(float(len(SPANS)))
        if gain > best:
            best, owes = gain, owed
            chart.steady, chart.ends = lost, chance
    for span in SPANS:
        if best <= 0.0 or owed_for_certain(flow, number, span, wait) >= MOST_OF_IT * owes:
            return best, span
    return best, SPANS[-1]


@compiled
def learn_spread(flow: Record, number: int, reach: int) -> None:
    """Let a quiet interval teach how much the sums over each span scatter."""
    for i in range(len(SPANS)):
        span = SPANS[i]
        owed, unit = owed_over(flow, number, span), _unit(flow, number, span, reach)
        meant = _over(flow.meant_ring, number, span)
        count = flow.spread_n[i]
        square = (owed * owed + 0.25) / unit
        if count > 10.0 * span:
            # What stands out is the curve's fault rather than chance.
            over = max(owed * owed - 2.0 * flow.spread[i] * unit, 0.0)
            flow.misfit[i] = flow.misfit[i] * MISFIT_MEMORY + over
            flow.misfit_n[i] = flow.misfit_n[i] * MISFIT_MEMORY + meant * meant
            square = min(square, 16.0 * flow.spread[i])
        flow.spread[i] += max(1.0 / (count + 1.0), 1.0 - SPREAD_MEMORY) * (square - flow.spread[i])
        flow.spread_n[i] = count + 1.0
