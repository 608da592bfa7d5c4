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

from detectors.compiled import compiled
from detectors.expect import LEAST_ALPHA, SCATTER_MEMORY, evidence, forget, predictive_sd, scatter_weight
from detectors.memory import DAYS_LIKE, LEVELS, RING, SIZES, Columns, Floats

BELIEVED = 3.0  # nats from which an interval no longer teaches
ENOUGH = 6.0  # nats that it is as before, to clear
CLEAR_CAP = 3.0  # of which one interval gives at most so many: never the first good interval
MOST_CAP = 30.0
BURST_SD = 2.4  # above the expected by more than that is a burst
BURST_LASTS = 360  # intervals after which a burst is the new usual
RECOVERED, EXPIRED = 1, 3


@compiled
def cap_of(m: Columns, direction: int, least: float) -> float:
    """What one interval may add, in nats."""
    rarity = math.log((m.odds[direction, 1] + 1.0) / (m.odds[direction, 0] + 1.0))
    return min(max(least, rarity), MOST_CAP)


@compiled
def spread_of(m: Columns, c: int, level: int) -> float:
    """c: how much chart c scatters beyond Poisson around one of its levels."""
    return max(m.num[c, level] / m.den[c, level], 0.0)


@compiled
def weigh(
    m: Columns,
    c: int,
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
) -> None:
    """Add one interval to the evidence of every size.

    mean: expected without a fault; sizes: float64[SIZES], the fault in parts of the usual (above 1: errors,
    below 1: what is left). least_log: smaller sizes than this (in logs) can't be told from drift. out_of: trials
    (errors), else NaN. unlike: evidence that today is like another day, which a loss has to beat as well.
    """
    total, sized, strongest = 0.0, 0, 0.0
    for j in range(SIZES):
        if abs(math.log(sizes[j])) < least_log:
            m.w[c, j] = 0.0
            continue
        sized += 1
        base = exposure * m.ja[c, j] / m.jb[c, j]
        other = _with_fault(base, sizes[j], out_of)
        gain = evidence(x, mean, other, scatter) - unlike
        strongest = max(strongest, gain)
        if m.w[c, j] <= 0.0:
            m.since[c, j] = number
            m.sx[c, j], m.sm[c, j], m.sn[c, j], m.sv[c, j] = 0.0, 0.0, 0.0, 0.0
        m.w[c, j] = max(0.0, m.w[c, j] + min(max(gain, -2.0 * cap), cap))
        m.sx[c, j] += x
        m.sm[c, j] += base
        m.sn[c, j] += 0.0 if np.isnan(out_of) else out_of
        m.sv[c, j] += base + base * base * max(scatter, 0.0)
        total += math.exp(min(m.w[c, j], 600.0))
    m.total[c] = math.log(total / sized) if sized > 0 else 0.0
    direction = 0 if sizes[0] > 1.0 else 1
    m.odds[direction, 1] += 1.0
    if strongest > 4.0:
        m.odd[c] = 1
    elif m.odd[c] == 1 and m.total[c] < 0.5:
        m.odd[c] = 0
        m.odds[direction, 0] += 1.0


@compiled
def _with_fault(base: float, size: float, out_of: float) -> float:
    """The mean under a fault of this size: a factor on the count, or on the odds where it is part of trials."""
    if np.isnan(out_of) or out_of <= 0.0:
        return base * size
    share = min(base / out_of, 0.999)
    odds = size * share / (1.0 - share)
    return out_of * odds / (1.0 + odds)


@compiled
def strongest_size(m: Columns, c: int) -> int:
    """The size with the most evidence."""
    best = 0
    for j in range(SIZES):
        if m.w[c, j] > m.w[c, best]:
            best = j
    return best


@compiled
def learn(
    m: Columns,
    c: int,
    x: float,
    exposure: float,
    out_of: float,
    sizes: Floats,
    half_lives: Floats,
    burst: bool,
) -> None:
    """Let one judged interval teach the levels and the scatter. burst: it lies far above the expected."""
    best = m.best[c]
    if not burst:
        for b in range(LEVELS):
            mean = exposure * m.alpha[c, b] / m.beta[c, b]
            c_b = spread_of(m, c, b)
            sd = predictive_sd(mean, c_b + 1.0 / m.alpha[c, b])
            heard = min(max(x, mean - 4.0 * sd - 1.0), mean + 3.0 * sd + 2.0) if m.seen[c] > 10 else x
            if m.total[c] < BELIEVED and m.seen[c] > 5 and mean > 0.0:
                # Losses are judged: what lies above is mirrored no further than three deviations.
                off = min(max(x - mean, -4.0 * sd), 3.0 * sd)
                g = scatter_weight(mean)
                m.num[c, b] = m.num[c, b] * SCATTER_MEMORY + g * (off * off - mean) / (mean * mean)
                m.den[c, b] = m.den[c, b] * SCATTER_MEMORY + g
            _teach(m.alpha, m.beta, c, b, heard, exposure, c_b * mean, forget(half_lives[b]))
    keep = forget(half_lives[best])
    for j in range(SIZES):
        if m.w[c, j] <= 0.0:
            m.ja[c, j], m.jb[c, j] = m.alpha[c, best], m.beta[c, best]
        elif not burst:
            base = exposure * m.ja[c, j] / m.jb[c, j]
            faulty = _with_fault(base, sizes[j], out_of)
            factor = faulty / base if base > 0.0 else sizes[j]
            _teach(m.ja, m.jb, c, j, x, exposure * factor, spread_of(m, c, best) * faulty, keep)
    if m.seen[c] % 32 == 0:
        _choose_level(m, c)


@compiled
def _teach(
    alpha: Floats, beta: Floats, c: int, i: int, x: float, exposure: float, over: float, keep: float
) -> None:
    weight = 1.0 / (1.0 + over)  # an interval says no more than its scatter allows
    alpha[c, i] = alpha[c, i] * keep + weight * x
    beta[c, i] = beta[c, i] * keep + weight * exposure
    if alpha[c, i] < LEAST_ALPHA and alpha[c, i] > 0.0:
        beta[c, i] *= LEAST_ALPHA / alpha[c, i]
        alpha[c, i] = LEAST_ALPHA
    elif alpha[c, i] <= 0.0:
        alpha[c, i] = 1e-3


@compiled
def _choose_level(m: Columns, c: int) -> None:
    """Believe the level that has predicted best; a slower one when there is little between them."""
    best = LEVELS - 1
    for b in range(LEVELS - 2, -1, -1):
        if m.num[c, b] / m.den[c, b] < 0.93 * m.num[c, best] / m.den[c, best] - 1e-7:
            best = b
    m.best[c] = best


@compiled
def learn_other_days(
    m: Columns, c: int, x: float, today: float, exposures: Floats, scatter: float, keep: float
) -> None:
    """The levels under the other days that today may be like learn from every interval. today: expected now."""
    for i in range(DAYS_LIKE):
        if m.ab[c, i] <= 0.0:
            m.aa[c, i] = m.alpha[c, m.best[c]]
            m.ab[c, i] = m.aa[c, i] * exposures[i] / max(today, 1e-9)
        mean = exposures[i] * m.aa[c, i] / m.ab[c, i]
        sd = predictive_sd(mean, scatter)
        heard = min(max(x, mean - 4.0 * sd - 1.0), mean + 3.0 * sd + 2.0)
        _teach(m.aa, m.ab, c, i, heard, exposures[i], scatter * mean, keep)


@compiled
def unlike_today(m: Columns, c: int, x: float, mean: float, exposures: Floats, scatter: float) -> float:
    """Evidence (nats, at least 0) that another day explains x better than this one does."""
    most = 0.0
    for i in range(DAYS_LIKE):
        if m.ab[c, i] > 0.0:
            most = max(most, evidence(x, mean, exposures[i] * m.aa[c, i] / m.ab[c, i], scatter))
    return most


@compiled
def raise_alarm(m: Columns, c: int, number: int, owed_span: int, sizes: Floats) -> None:
    """From quiet to raised. owed_span: intervals over which a flow owes, 0 where the sizes carry the evidence."""
    j = strongest_size(m, c)
    m.raised[c], m.phase[c], m.odd[c] = 1, 1, 0
    m.strength[c] = m.total[c]
    m.late[c], m.v[c], m.v_since[c] = 0.0, 0.0, number + 1
    m.vx[c], m.vm[c], m.vn[c], m.vv[c] = 0.0, 0.0, 0.0, 0.0
    if owed_span > 0 and (m.w[c, j] <= 0.0 or number - m.since[c, j] + 1 < owed_span // 2):
        m.onset[c] = number - owed_span + 1
        m.ra[c], m.rb[c] = m.alpha[c, m.best[c]], m.beta[c, m.best[c]]
        _sums_from_ring(m, c, number)
    else:
        m.onset[c] = m.since[c, j]
        m.ra[c], m.rb[c] = m.ja[c, j], m.jb[c, j]
        m.rx[c], m.rm[c], m.rn[c], m.rv[c] = m.sx[c, j], m.sm[c, j], m.sn[c, j], m.sv[c, j]
    m.size[c] = m.rx[c] / m.rm[c] if m.rm[c] > 0.0 else sizes[j]
    _onset_range(m, c, number)


@compiled
def _sums_from_ring(m: Columns, c: int, number: int) -> None:
    m.rx[c], m.rm[c], m.rn[c], m.rv[c] = 0.0, 0.0, 0.0, 0.0
    for t in range(max(m.onset[c], number - RING + 1), number + 1):
        x, mean, out_of = m.ring_x[c, t % RING], m.ring_m[c, t % RING], m.ring_n[c, t % RING]
        if np.isnan(x) or np.isnan(mean):
            continue
        m.rx[c] += x
        m.rm[c] += mean
        m.rn[c] += 0.0 if np.isnan(out_of) else out_of
        m.rv[c] += mean + mean * mean * max(m.ring_a[c, t % RING], 0.0)


@compiled
def _onset_range(m: Columns, c: int, number: int) -> None:
    """The 95 % range of the onset: posterior over the ring, proportional to exp(sum of llr since then)."""
    first = max(number - RING + 1, min(m.first[c], number))
    gains = np.zeros(RING)
    most, running = -1e300, 0.0
    for t in range(number, first - 1, -1):
        x, mean = m.ring_x[c, t % RING], m.ring_m[c, t % RING]
        if not np.isnan(x) and not np.isnan(mean):
            running += evidence(x, mean, mean * m.size[c], m.ring_a[c, t % RING])
        gains[number - t] = running
        most = max(most, running)
    mass, count = 0.0, number - first + 1
    for i in range(count):
        mass += math.exp(max(gains[i] - most, -700.0))
    below = 0.0
    m.onset_low[c], m.onset_high[c] = first, number
    found = False
    for i in range(count - 1, -1, -1):  # from the earliest
        below += math.exp(max(gains[i] - most, -700.0)) / mass
        if not found and below >= 0.025:
            m.onset_low[c], found = number - i, True
        if below >= 0.975:
            m.onset_high[c] = number - i
            break
    m.onset_low[c] = min(m.onset_low[c], m.onset[c])
    m.onset_high[c] = max(m.onset_high[c], m.onset[c])


@compiled
def stand(
    m: Columns, c: int, number: int, x: float, exposure: float, out_of: float, spread: float, lasts: int
) -> None:
    """One interval of a raised chart: add to what is lost, and ask whether it is as before.

    "As before" is weighed against a small part of the fault that was seen: a tenth of the extra errors, or half
    of the loss. lasts: intervals after which what persists is the new usual.
    """
    mean = exposure * m.ra[c] / m.rb[c]
    scatter = spread + 1.0 / max(m.ra[c], LEAST_ALPHA)
    if not np.isnan(out_of) and out_of > 0.0:
        scatter -= 1.0 / out_of
    m.rx[c] += x
    m.rm[c] += mean
    m.rn[c] += 0.0 if np.isnan(out_of) else out_of
    m.rv[c] += mean + mean * mean * spread
    fault_m, fault_x = m.rm[c] - m.vm[c], m.rx[c] - m.vx[c]
    if m.v[c] <= 0.0 and fault_m > 0.0:
        m.size[c] = fault_x / fault_m
    size = m.size[c]
    still = (
        max(math.sqrt(size), 1.0 + (size - 1.0) / 10.0, 1.2) if size > 1.0 else min(0.5 + 0.5 * size, 0.97)
    )
    gain = -evidence(x, mean, _with_fault(mean, still, out_of), scatter)
    m.v[c] = max(0.0, m.v[c] + min(max(gain, -CLEAR_CAP), CLEAR_CAP))
    if m.v[c] <= 0.0:
        m.v_since[c] = number + 1
        m.vx[c], m.vm[c], m.vn[c], m.vv[c] = 0.0, 0.0, 0.0, 0.0
    else:
        m.vx[c] += x
        m.vm[c] += mean
        m.vn[c] += 0.0 if np.isnan(out_of) else out_of
        m.vv[c] += mean + mean * mean * spread
    m.phase[c] = 2
    if m.v[c] >= ENOUGH:
        settle(m, c, number, RECOVERED, 1.0)
    elif number - m.onset[c] >= lasts:
        settle(m, c, number, EXPIRED, size)


@compiled
def settle(m: Columns, c: int, number: int, why: int, factor: float) -> None:
    """From raised to quiet, at the level before the fault, or at `factor` times it (the new usual)."""
    m.raised[c], m.phase[c], m.why[c] = 0, 3, why
    if why == RECOVERED:
        m.rx[c] -= m.vx[c]
        m.rm[c] -= m.vm[c]
        m.rn[c] -= m.vn[c]
        m.rv[c] -= m.vv[c]
    forget_evidence(m, c, number, factor)


@compiled
def forget_evidence(m: Columns, c: int, number: int, factor: float) -> None:
    """Start the evidence anew from the level before the fault, times `factor`."""
    m.total[c] = 0.0
    for b in range(LEVELS):
        m.alpha[c, b], m.beta[c, b] = m.ra[c], m.rb[c] / max(factor, 1e-6)
    m.ab[c] = 0.0  # the other days find their level anew
    for j in range(SIZES):
        m.w[c, j], m.since[c, j] = 0.0, number + 1
        m.ja[c, j], m.jb[c, j] = m.alpha[c, 0], m.beta[c, 0]
