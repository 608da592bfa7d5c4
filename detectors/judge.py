"""Evidence, and when it is enough: raised, standing, cleared, within the false-alarm budget. Pure.

In: one interval of one chart (count, exposure, scatter). Out: columns of Memory brought up to date.
Never: a threshold set by hand; it follows from the budget and the number of charts.

For every size R of fault: llr = log f(x | R m_R) - log f(x | m_0), W_R = max(0, W_R + llr), and the evidence of
the chart is log mean exp(W_R): a mixture of CUSUMs, which crosses h on average less than once in exp(h)
intervals when nothing is wrong (Lorden 1971; an e-detector in the words of Shin, Ramdas & Rinaldo 2022).
Every hypothesis keeps its own account of the level, taken from the level of "no fault" whenever its W returns
to 0: a fault is not learned away while it is believed. One interval adds at most `cap`: the log of how rarely
an interval of this fleet is odd and no fault, so that one odd minute raises nothing.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.compiled import compiled, compiled_in_place, inlined
from detectors.expect import LEAST_ALPHA, SCATTER_MEMORY, evidence, within_reason
from detectors.exponentials import exp, log
from detectors.memory import (
    CLUMPS_WEIGHT,
    DAYS_LIKE,
    LEVELS,
    PEAKS_OF_KIND,
    PEAKS_PRIOR,
    RING,
    SIZES,
    Floats,
    Record,
)

OTHER_DAY = 6.0  # nats
MOST_LIKE = 20.0
STALE = 0.9  # what is left of its evidence after an interval
ALIKE = (
    0.2  # of its size (in logs): a fault that predicts so nearly what no fault predicts has been learned away
)
ODD = 10.0  # nats of one interval: by chance alone it gives so many less than once in a hundred thousand
ODD_ALONE = 4.0  # nats that speak for a fault in the interval before the onset
BELIEVED = 3.0  # nats from which an interval no longer teaches
ENOUGH = 6.0  # nats that it is as before, to clear
NEAR = 2.0 ** (-1 / 5)  # what an interval leaves of how strong a loss is just now
FEW = 5.0  # intervals that should do to tell a part of a loss
CLEAR_CAP = 3.0  # of which one interval gives at most so many: never the first good interval
MOST_CAP = 30.0
RECOVERED, LATE, EXPIRED = 1, 2, 3
PEAK = 6.0  # nats: evidence above it is a peak; below, single rare events make peaks of their own
MOST_CLUMP = 9.0
PEAKS_BEFORE = 5.0  # peaks as frequent as theory allows at most, that every kind starts with
LEAST_ENOUGH = 7.0
MOST_EXCESS = 8.0  # of one peak: a fault is not to deafen its chart


@inlined
def mean_of(chart: Record, exposure: float) -> float:
    """What is expected at this exposure, by the level that is believed."""
    return exposure * chart.alpha[chart.best] / chart.beta[chart.best]


@inlined
def scatter_of(chart: Record) -> float:
    """A of expect.py: what scatters beyond Poisson, and what is not known of the level."""
    return spread_of(chart, chart.best) + 1.0 / max(chart.alpha[chart.best], LEAST_ALPHA)


@inlined
def picture(chart: Record, now: int, exposure: float, mean: float, scatter: float) -> None:
    """Remember what was expected, for charts and for the onset."""
    slot = now % RING
    chart.ring_e[slot], chart.ring_m[slot], chart.ring_a[slot] = exposure, mean, scatter


@compiled_in_place
def cap_of(fleet: Record, least: float) -> float:
    """What one interval may add, in nats. fleet: row of Columns.fleet."""
    rarity = math.log((fleet.judged + 1.0) / (fleet.odd + 1.0))
    return min(max(least, rarity), MOST_CAP)


@inlined
def spread_of(chart: Record, level: int) -> float:
    """c: how much chart c scatters beyond Poisson around one of its levels."""
    return max(chart.num[level] / chart.den[level], 0.0)


@inlined
def weigh(
    chart: Record,
    fleet: Record,
    number: int,
    x: float,
    exposure: float,
    out_of: float,
    mean: float,
    scatter: float,
    sizes: Floats,
    least_log: float,
    cap: float,
    unlike: float,
    alike: float,
) -> None:
    """Add one interval to the evidence of every size.

    mean: expected without a fault; sizes: float64[SIZES], the fault in parts of the usual (above 1: errors,
    below 1: what is left). least_log: smaller sizes than this (in logs) can't be told from drift. out_of: trials
    (errors), else NaN. unlike: nats for what is harmless (other_day). alike: part of its size (in logs), see ALIKE.
    """
    # Sizes are in order: the first that can be told from drift is the first to find evidence (see says_nothing).
    first = 0
    while first < SIZES and _is_too_small(sizes[first], least_log):
        if chart.alive == 1:
            chart.w[first] = 0.0
        first += 1
    total, strongest = float(SIZES - first), 0.0
    if first < SIZES and (
        chart.alive == 1 or not says_nothing(x, mean, _with_fault(mean, sizes[first], out_of), scatter)
    ):
        clump = 1.0 + chart.clumps / chart.clumps_n
        chart.alive, silent = 0, False
        for j in range(first, SIZES):
            if chart.w[j] <= 0.0:
                # Its account is that of no fault, as that of all larger ones without evidence: see says_nothing.
                silent = silent or says_nothing(x, mean, _with_fault(mean, sizes[j], out_of), scatter)
                if silent:
                    continue
                chart.ja[j], chart.jb[j] = chart.alpha[chart.best], chart.beta[chart.best]
                chart.w[j] = 0.0
            gain = _gain(chart, j, number, x, exposure, out_of, mean, scatter, sizes[j], alike)
            gain = gain / clump - unlike
            strongest = max(strongest, gain)
            chart.w[j] = max(0.0, chart.w[j] + min(max(gain, -2.0 * cap), cap))
            if chart.w[j] > 0.0:
                chart.alive = 1
                total += exp(min(chart.w[j], 600.0)) - 1.0
    chart.total = log(total / (SIZES - first)) if chart.alive == 1 else 0.0
    if strongest > ODD:
        chart.odd = 1
    elif chart.odd == 1 and chart.total < 0.5:
        chart.odd = 0
        fleet.odd += 1.0


@inlined
def _is_too_small(size: float, least_log: float) -> bool:
    """Is a fault of this size nearer to 1 than `least_log`, in logs? exp(y) is at most 1 / (1 - y), so that most
    answers need no exponential."""
    if (size if size > 1.0 else 1.0 / size) * (1.0 - least_log) >= 1.0:
        return False
    near = math.exp(least_log)
    return size < near and size * near > 1.0


@inlined
def says_nothing(x: float, mean: float, other: float, scatter: float) -> bool:
    """Can x be no evidence for mean `other` against `mean`? Never true where expect.evidence would be above 0.

    That evidence is above 0 where x lies beyond the average of the law's mean over its natural parameter, from the
    one law to the other (a Kullback-Leibler divergence each way). The mean is convex in the parameter, up to half
    of the trials, so that its average lies above the mean at the middle parameter, and below the middle of the
    means (Hermite and Hadamard). It grows with `other`: what is no evidence for a fault is none for a larger one.
    """
    if abs(scatter) * max(mean, other) < 1e-7:
        scatter = 0.0  # as there
    convex = scatter * max(mean, other) >= -0.5
    if other >= mean:
        if x <= mean or not convex:
            return x <= mean
        tilt = 1.0 + scatter * x
        return tilt * tilt * mean * other >= x * x * (1.0 + scatter * mean) * (1.0 + scatter * other)
    return x >= (0.5 * (mean + other) if convex else mean)


@inlined
def _gain(
    chart: Record,
    j: int,
    number: int,
    x: float,
    exposure: float,
    out_of: float,
    mean: float,
    scatter: float,
    size: float,
    alike: float,
) -> float:
    """Evidence (nats) of one interval for the fault of size j; its sums are added to, from 0 on if it had none."""
    base = exposure * chart.ja[j] / chart.jb[j]
    other = _with_fault(base, size, out_of)
    gain = evidence(x, mean, other, scatter)
    if (other > mean) != (size > 1.0):
        gain = min(gain, 0.0)  # its level has strayed so far that it speaks of the opposite
    if chart.w[j] > 0.0 and mean > 0.0 and _alike(other / mean, size, alike):
        chart.w[j] = STALE * chart.w[j] - 0.05
    if chart.w[j] <= 0.0:
        chart.since[j] = number
        chart.sx[j], chart.sm[j], chart.sn[j], chart.sv[j] = 0.0, 0.0, 0.0, 0.0
    chart.sx[j] += x
    chart.sm[j] += base
    chart.sn[j] += 0.0 if np.isnan(out_of) else out_of
    chart.sv[j] += base + base * base * max(scatter, 0.0)
    return gain


@inlined
def _alike(ratio: float, size: float, part: float) -> bool:
    """Is `ratio` less than `part` of the way from 1 to `size`, in logs?"""
    if size < 1.0:
        ratio, size = 1.0 / ratio, 1.0 / size
    ratio = max(ratio, 1.0 / ratio)
    if ratio >= 1.0 + part * (size - 1.0):  # at least size**part (Bernoulli), without a log
        return False
    return log(ratio) < part * log(size)


@inlined
def _with_fault(base: float, size: float, out_of: float) -> float:
    """The mean under a fault of this size: a factor on the count, or on the odds where it is part of trials."""
    if np.isnan(out_of) or out_of <= 0.0:
        return base * size
    base = min(base, 0.999 * out_of)
    return out_of * size * base / (out_of - base + size * base)


@compiled_in_place
def strongest_size(chart: Record) -> int:
    """The size with the most evidence."""
    best = 0
    for j in range(SIZES):
        # Of equals, the one that was reset last: the cap makes equals of very different sizes.
        later = chart.w[j] == chart.w[best] and chart.since[j] > chart.since[best]
        if chart.w[j] > chart.w[best] or later:
            best = j
    return best


@inlined
def learn(
    chart: Record,
    x: float,
    exposure: float,
    out_of: float,
    sizes: Floats,
    keeps: Floats,
) -> None:
    """Let one judged interval teach the levels and the scatter."""
    best = chart.best
    well = chart.total < BELIEVED
    if well:
        _learn_clumps(chart, x, exposure * chart.alpha[best] / chart.beta[best])
    scatters, clips = well and chart.seen > 5, chart.seen > 10
    for b in range(LEVELS):
        mean = exposure * chart.alpha[b] / chart.beta[b]
        c_b = spread_of(chart, b)
        off = within_reason(x - mean, mean, c_b + 1.0 / chart.alpha[b])
        if scatters and mean > 0.0:
            weight = 1.0 / (1.0 + mean * mean / 25.0)  # scatter_weight(mean) / mean ** 2
            chart.num[b] = chart.num[b] * SCATTER_MEMORY + weight * (off * off - mean)
            chart.den[b] = chart.den[b] * SCATTER_MEMORY + weight * mean * mean
        heard = mean + off if clips else x
        _teach(chart.alpha, chart.beta, b, heard, exposure, c_b * mean, keeps[b])
    if chart.alive == 1:
        for j in range(SIZES):
            if chart.w[j] > 0.0:
                base = exposure * chart.ja[j] / chart.jb[j]
                faulty = _with_fault(base, sizes[j], out_of)
                factor = faulty / base if base > 0.0 else sizes[j]
                over = spread_of(chart, best) * faulty
                _teach(chart.ja, chart.jb, j, x, exposure * factor, over, keeps[best])
    if chart.seen % 32 == 0:
        _choose_level(chart)


@inlined
def _learn_clumps(chart: Record, x: float, mean: float) -> None:
    """Rare events that come several at once scatter more than chance allows: by how much, per expected event."""
    if mean > 5.0 or mean <= 0.0 or chart.seen < 10:
        return
    # One interval teaches little: the first of a fault would teach that errors come in clumps.
    chart.clumps = chart.clumps * SCATTER_MEMORY + min((x - mean) * (x - mean) - mean, MOST_CLUMP)
    chart.clumps = max(chart.clumps, 0.0)
    chart.clumps_n = chart.clumps_n * SCATTER_MEMORY + mean + CLUMPS_WEIGHT * (1.0 - SCATTER_MEMORY)


@inlined
def _teach(alpha: Floats, beta: Floats, i: int, x: float, exposure: float, over: float, keep: float) -> None:
    weight = 1.0 / (1.0 + over)  # an interval says no more than its scatter allows
    alpha[i] = alpha[i] * keep + weight * x
    beta[i] = beta[i] * keep + weight * exposure
    if alpha[i] < LEAST_ALPHA and alpha[i] > 0.0:
        beta[i] *= LEAST_ALPHA / alpha[i]
        alpha[i] = LEAST_ALPHA
    elif alpha[i] <= 0.0:
        alpha[i] = 1e-3


@compiled_in_place
def _choose_level(chart: Record) -> None:
    """Believe the level that has predicted best; a slower one when there is little between them."""
    best = LEVELS - 1
    for b in range(LEVELS - 2, -1, -1):
        if spread_of(chart, b) < 0.93 * spread_of(chart, best) - 1e-7:
            best = b
    chart.best = best


@inlined
def compare_day(
    chart: Record,
    i: int,
    x: float,
    mean: float,
    exposure: float,
    differs: float,
    scatter: float,
    cap: float,
    keep: float,
) -> None:
    """What the other day i says of this interval (nats against today, into chart.unlike), and what it said for so
    long; then let the interval teach the level under it, as long as that is a level of its own.

    differs: log of its exposure over today's; keep: what the interval leaves of the level.
    """
    # As with faults: its level is today's until it is believed.
    if chart.like[i] <= 0.0 or chart.ab[i] <= 0.0:
        if i > 0 and chart.like[i] <= 0.0 and _cannot_say(x, mean, differs, scatter):
            chart.unlike[i] = 0.0
            return
        chart.aa[i] = chart.alpha[chart.best]
        chart.ab[i] = chart.aa[i] * exposure / max(mean, 1e-9)
    its = exposure * exp(differs)
    other = its * chart.aa[i] / chart.ab[i]
    if i > 0 and chart.like[i] <= 0.0 and says_nothing(x, mean, other, scatter):
        chart.unlike[i] = 0.0
        return
    gain = evidence(x, mean, other, scatter)
    chart.unlike[i] = gain
    capped = min(max(gain, -2.0 * cap), cap)
    chart.like[i] = min(max(0.0, chart.like[i] + capped), MOST_LIKE)
    if i == 0:
        chart.calm_day += capped
    if chart.like[i] > 0.0:
        heard = other + within_reason(x - other, other, scatter)
        _teach(chart.aa, chart.ab, i, heard, its, scatter * other, keep)


@inlined
def _cannot_say(x: float, mean: float, differs: float, scatter: float) -> bool:
    """Does x say nothing (see says_nothing) for a mean that differs from `mean` by `differs` in logs?

    exp(d) is at least 1 + d, and at most 1 / (1 - d) below 0: what says nothing for the nearer mean says nothing
    for the farther one.
    """
    if differs >= 0.0:
        return says_nothing(x, mean, mean * (1.0 + differs), scatter)
    return says_nothing(x, mean, mean / (1.0 - differs), scatter)


@inlined
def other_day(chart: Record, shared: int, alone: bool, new: bool) -> tuple[bool, float]:
    """Is it believed that today is like another day; and the evidence (nats) of this interval for the best of them.

    shared: bits, one for each day: it is believed once many throughputs speak for it: most days are what the
    calendar says.
    alone: of a profile that has seen no day twice, on a holiday, and a year after an odd day, its word is enough;
    and of any, where all of the day since midnight together speaks for a Sunday: holidays begin at midnight, faults
    at any time. new: of a profile that has not seen all days of the week.
    """
    is_one, most = False, 0.0
    for i in range(DAYS_LIKE):
        # That it is an hour off is believed of many alone, clocks are changed for all, but for days never seen.
        word = alone and (new or i not in (1, 2)) and chart.like[i] >= OTHER_DAY
        word = word or (i == 0 and chart.calm_day >= OTHER_DAY)
        if shared >> i & 1 or word:
            is_one, most = True, max(most, chart.unlike[i])
    return is_one, most


@compiled_in_place
def stretched(chart: Record, fleet: Record, least: float) -> float:
    """The evidence, brought to nats by the chart's own peaks while all was well, and those of its kind.

    If the model holds, peaks exceed any level by 1 nat on average. What exceeds by b nats is worth 1/b as much.
    fleet: row of Columns.fleet. least: nats that b is taken to be at least (watch.LEAST_EXCESS).
    """
    if chart.total <= PEAK:
        return chart.total
    of_kind = excess_of_kind(fleet)
    mean = (PEAKS_PRIOR * of_kind + chart.excess) / (PEAKS_PRIOR + chart.peaks)
    return PEAK + (chart.total - PEAK) / max(mean, least)


@inlined
def excess_of_kind(fleet: Record) -> float:
    """Nats by which peaks of charts of one kind exceed PEAK on average."""
    return (PEAKS_OF_KIND + fleet.excess) / (PEAKS_OF_KIND + fleet.peaks)


@compiled_in_place
def enough_of(fleet: Record, time: float, spare: float) -> float:
    """The evidence (nats) that charts of one kind exceed once in `spare` times `time` judged intervals.

    By theory a chart is above PEAK in exp(-PEAK) of its intervals at most (Lorden 1971); mixtures of CUSUMs with
    levels of their own are so much more rarely, as counted for all charts of the kind together.
    """
    rarity = (PEAKS_BEFORE + fleet.peaks) / (PEAKS_BEFORE * math.exp(PEAK) + fleet.judged)
    return max(PEAK + math.log(max(time * rarity * spare, 1.0)), LEAST_ENOUGH)


@compiled_in_place
def learn_peaks(chart: Record, fleet: Record) -> None:
    """Follow the evidence through its peaks: one ends when the evidence has all but gone, or in an alarm."""
    if chart.raised == 1 and chart.phase != 1:
        return
    if chart.total > PEAK:
        chart.peak = max(chart.peak, chart.total)
    if chart.peak > 0.0 and (chart.total < 1.0 or chart.raised == 1):
        excess = min(chart.peak - PEAK, MOST_EXCESS)
        chart.excess += excess
        chart.peaks += 1.0
        # Most alarms are faults, which are not to deafen others of their kind; the chart itself can be wrong again.
        fleet.excess += excess_of_kind(fleet) if chart.raised == 1 else excess
        fleet.peaks += 1.0
        chart.peak = 0.0


@compiled_in_place
def raise_alarm(chart: Record, number: int, up: bool) -> None:
    """From quiet to raised: find the onset, and the level as it was before it. up: more is the fault, not less.

    What can't be told from nothing lost is not raised, however odd it looks.

    The onset is the start of the run of intervals up to now that is most likely under one common factor on the
    expected (a generalised likelihood ratio over the ring). A fault older than the ring is taken from the account
    of the size that has the most evidence.
    """
    chart.raised, chart.phase, chart.odd = 1, 1, 0
    chart.strength = chart.total
    chart.came_late, chart.v, chart.v_since = 0.0, 0.0, number + 1
    chart.vx, chart.vm, chart.vn, chart.vv = 0.0, 0.0, 0.0, 0.0
    j = strongest_size(chart)
    first = max(number - RING + 1, chart.first, chart.calm)
    gains = _gains(chart, number, first, up)
    best = min(chart.back, len(gains) - 1)
    for i in range(best, len(gains)):
        if gains[i] > gains[best]:
            best = i
    if chart.w[j] > 0.0 and chart.since[j] < first and best >= len(gains) - 2:
        chart.onset = chart.since[j]
        chart.onset_low, chart.onset_high = chart.onset, first
        chart.ra, chart.rb = chart.ja[j], chart.jb[j]
        chart.rx, chart.rm, chart.rn, chart.rv = chart.sx[j], chart.sm[j], chart.sn[j], chart.sv[j]
    else:
        chart.onset = number - best
        while chart.onset > first and _alone(chart, chart.onset - 1, up) > ODD_ALONE:
            chart.onset -= 1  # a fault that set in during this interval did less in it than in a whole one
        _onset_range(chart, number, gains)
        _level_before(chart)
        _sums_from_ring(chart, number)
    chart.ratio = chart.rx / chart.rm if chart.rm > 0.0 else 1.0
    chart.near_x, chart.near_m, chart.worst = chart.rx, chart.rm, 0.0
    lost = chart.rx - chart.rm if up else chart.rm - chart.rx
    if lost < 2.0 * _doubt(chart):
        chart.raised, chart.phase = 0, 0


@compiled
def _gains(chart: Record, number: int, first: int, up: bool) -> Floats:
    """float64[number - first + 1]: at i, the evidence (nats) that a fault of the best-fitting size began i
    intervals before `number`."""
    gains = np.full(number - first + 1, -1e300)
    x_sum, m_sum = 0.0, 0.0
    for i in range(len(gains)):
        slot = (number - i) % RING
        if not np.isnan(chart.ring_x[slot]) and not np.isnan(chart.ring_m[slot]):
            x_sum += np.float64(chart.ring_x[slot])
            m_sum += np.float64(chart.ring_m[slot])
        if m_sum <= 0.0:
            continue
        ratio = max(x_sum, 0.25) / m_sum
        if (ratio < 1.0) == up:
            continue
        total = 0.0
        for k in range(i + 1):
            at = (number - k) % RING
            x, mean = np.float64(chart.ring_x[at]), np.float64(chart.ring_m[at])
            if not np.isnan(x) and not np.isnan(mean):
                total += evidence(x, mean, mean * ratio, np.float64(chart.ring_a[at]))
        gains[i] = total
    return gains


@compiled_in_place
def _alone(chart: Record, at: int, up: bool) -> float:
    """The evidence (nats) for any fault at all in interval `at` of the ring."""
    x, mean = np.float64(chart.ring_x[at % RING]), np.float64(chart.ring_m[at % RING])
    if np.isnan(x) or np.isnan(mean) or mean <= 0.0 or (x < mean) == up:
        return 0.0
    return evidence(x, mean, max(x, 0.25), np.float64(chart.ring_a[at % RING]))


@compiled
def _onset_range(chart: Record, number: int, gains: Floats) -> None:
    """The 95 % range of the onset, from the posterior over its possible intervals, all alike beforehand."""
    most = gains.max()
    mass = np.exp(np.maximum(gains - most, -700.0))
    mass /= mass.sum()
    chart.onset_low, chart.onset_high = number - len(gains) + 1, number
    below, found = 0.0, False
    for i in range(len(gains) - 1, -1, -1):  # from the earliest
        below += mass[i]
        if not found and below >= 0.025:
            chart.onset_low, found = number - i, True
        if below >= 0.975:
            chart.onset_high = number - i
            break
    chart.onset_low = min(chart.onset_low, chart.onset)
    chart.onset_high = max(chart.onset_high, chart.onset)


@compiled_in_place
def _level_before(chart: Record) -> None:
    """The level that was believed when the onset was judged: it had seen nothing of the fault."""
    slot = chart.onset % RING
    exposure = np.float64(chart.ring_e[slot])
    level = np.float64(chart.ring_m[slot]) / exposure if exposure > 0.0 else np.nan
    if np.isnan(level) or level <= 0.0:
        level = chart.alpha[chart.best] / chart.beta[chart.best]
    chart.ra = chart.alpha[chart.best]
    chart.rb = chart.ra / level


@compiled_in_place
def _noise(chart: Record, mean: float) -> float:
    """The variance of one interval in a sum over many: of what keeps nearly all, only what it usually loses."""
    if chart.steady > 0.0:
        return float(chart.steady * mean)
    return mean + mean * mean * spread_of(chart, chart.best)


@compiled_in_place
def _doubt(chart: Record) -> float:
    """Standard deviation of what is expected since the onset: by chance, and because the level is not known."""
    unknown = 1.0 / max(chart.ra, 1.0)
    if chart.steady > 0.0:
        unknown = unknown * chart.steady + chart.astray
    elif chart.astray > 0.0:
        unknown = chart.astray
    return math.sqrt(chart.rv + chart.rm * chart.rm * unknown)


@compiled_in_place
def _sums_from_ring(chart: Record, number: int) -> None:
    chart.rx, chart.rm, chart.rn, chart.rv = 0.0, 0.0, 0.0, chart.ends
    for t in range(chart.onset, number + 1):
        slot = t % RING
        x, exposure, out_of = (
            np.float64(chart.ring_x[slot]),
            np.float64(chart.ring_e[slot]),
            np.float64(chart.ring_n[slot]),
        )
        if np.isnan(x) or np.isnan(exposure):
            continue
        mean = exposure * chart.ra / chart.rb
        chart.rx += x
        chart.rm += mean
        chart.rn += 0.0 if np.isnan(out_of) else out_of
        chart.rv += _noise(chart, mean)


@compiled_in_place
def stand(
    chart: Record, number: int, x: float, exposure: float, out_of: float, lasts: int, part: float
) -> None:
    """One interval of a raised chart: add to what is lost, and ask whether it is as before.

    "As before" is weighed against `part` of the fault that was seen, or more of it where few intervals can't
    tell so little. lasts: intervals after which what persists is the new usual.
    """
    add_up(chart, number, x, exposure, out_of)
    gain = as_before(chart, x, exposure, out_of, part, 0.0)
    clear(chart, number, x, exposure, out_of, lasts, gain)


@compiled_in_place
def add_up(chart: Record, number: int, x: float, exposure: float, out_of: float) -> None:
    """Add one interval of a raised chart to what was counted and what was expected since the onset."""
    mean = exposure * chart.ra / chart.rb
    chart.ring_m[number % RING] = mean
    chart.rx += x
    chart.rm += mean
    chart.rn += 0.0 if np.isnan(out_of) else out_of
    chart.rv += _noise(chart, mean)
    fault_m, fault_x = chart.rm - chart.vm, chart.rx - chart.vx
    keep = NEAR
    chart.near_x, chart.near_m = chart.near_x * keep + x, chart.near_m * keep + mean
    chart.worst = max(chart.worst, chart.rm - chart.rx)
    if chart.ratio < 1.0:
        # Of a loss the strongest is remembered: when what was held up comes at once, the mean says nothing.
        chart.ratio = min(chart.ratio, chart.near_x / max(chart.near_m, 1e-9))
    elif chart.v <= 0.0 and fault_m > 0.0:
        chart.ratio = max(fault_x / fault_m, 1.01)


@compiled_in_place
def as_before(chart: Record, x: float, exposure: float, out_of: float, part: float, strays: float) -> float:
    """Evidence (nats) of one interval that it is as before the onset. part: see `stand`; strays: relative variance
    of what is expected beyond its scatter."""
    mean = exposure * chart.ra / chart.rb
    scatter = spread_of(chart, chart.best) + 1.0 / max(chart.ra, LEAST_ALPHA) + strays
    if not np.isnan(out_of) and out_of > 0.0:
        scatter -= 1.0 / out_of
    size = chart.ratio
    still = (
        max(size**0.7, 1.0 + (size - 1.0) * part, 1.2)
        if size > 1.0
        else _still_missing(size, mean, scatter, part)
    )
    if chart.steady > 0.0:
        return min(_made_whole(chart, x, mean, 1.0 - still) - chart.v, ENOUGH / FEW)
    return -evidence(x, mean, _with_fault(mean, still, out_of), scatter)


@compiled_in_place
def clear(
    chart: Record, number: int, x: float, exposure: float, out_of: float, lasts: int, gain: float
) -> None:
    """Take in the evidence `gain` (nats) that it is as before, and settle what is over."""
    mean = exposure * chart.ra / chart.rb
    chart.v = max(0.0, chart.v + min(max(gain, -CLEAR_CAP), CLEAR_CAP))
    if chart.v <= 0.0:
        chart.v_since = number + 1
        chart.vx, chart.vm, chart.vn, chart.vv = 0.0, 0.0, 0.0, 0.0
    else:
        chart.vx += x
        chart.vm += mean
        chart.vn += 0.0 if np.isnan(out_of) else out_of
        chart.vv += _noise(chart, mean)
    chart.phase = 2
    if chart.v >= ENOUGH or (number - chart.onset >= lasts and chart.v >= 1.0):
        missing = chart.rm - chart.rx
        came = chart.ratio < 1.0 and missing < min(max(_doubt(chart), 1.0), 0.1 * chart.worst)
        settle(chart, number, LATE if came else RECOVERED, 1.0)
    elif number - chart.onset >= lasts:
        fault_m, fault_x = chart.rm - chart.vm, chart.rx - chart.vx
        settle(chart, number, EXPIRED, fault_x / fault_m if fault_m > 0.0 else chart.ratio)


@compiled_in_place
def _made_whole(chart: Record, x: float, mean: float, part: float) -> float:
    """Evidence (nats) that nothing is missing since v_since, against a share `part` of what is expected.

    Of a flow that keeps nearly all, by sums, in which the scatter of the lag cancels.
    """
    expected, counted = chart.vm + mean, chart.vx + x
    variance = chart.ends + chart.steady * expected + chart.astray * expected * expected
    missing = part * expected
    return missing * (missing - 2.0 * (expected - counted)) / (2.0 * max(variance, 1e-9))


@compiled_in_place
def _still_missing(size: float, mean: float, scatter: float, part: float) -> float:
    """What would come, per expected event, if the smallest part of the loss went on that a few intervals tell
    from nothing, and not less than `part` of it."""
    told = math.sqrt(2.0 * ENOUGH / FEW * (1.0 / mean + scatter)) if mean > 0.0 else 1.0
    return 1.0 - min(max(told, part * (1.0 - size), 0.03), 0.5 * (1.0 - size))


@compiled_in_place
def settle(chart: Record, number: int, why: int, factor: float) -> None:
    """From raised to quiet, at the level before the fault, or at `factor` times it (the new usual)."""
    chart.raised, chart.phase, chart.why, chart.calm = 0, 3, why, number + 1
    if why == RECOVERED and chart.ratio > 1.0:
        # Of a loss, what came since it ended may be what was held up: that is not lost, and stays counted.
        chart.rx -= chart.vx
        chart.rm -= chart.vm
        chart.rn -= chart.vn
        chart.rv -= chart.vv
    forget_evidence(chart, number, factor)


@compiled_in_place
def forget_evidence(chart: Record, number: int, factor: float) -> None:
    """Start the evidence anew from the level before the fault, times `factor`."""
    chart.total = 0.0
    for b in range(LEVELS):
        chart.alpha[b], chart.beta[b] = chart.ra, chart.rb / max(factor, 1e-6)
    chart.ab[:] = 0.0  # the other days find their level anew
    for j in range(SIZES):
        chart.w[j], chart.since[j] = 0.0, number + 1
        chart.ja[j], chart.jb[j] = chart.alpha[0], chart.beta[0]
