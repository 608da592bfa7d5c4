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
from detectors.memory import LAGS, RING, SPANS, Columns

SIZES = np.array([0.98, 0.95, 0.9, 0.8, 0.6, 0.3, 0.1, 0.005])
CAP = 6.0
READY = 10  # intervals that must have taught the curve before it may judge
CAMPAIGN_SD = 0.25  # by how much conversion differs from campaign to campaign, before that is known
MEMORY = 2.0 ** (-1 / 4320)  # of the least-squares sums, a factor per interval
SPREAD_MEMORY = 0.999


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
def take_in(m: Columns, f: int, number: int, went_in: float, usual: float) -> None:
    """Remember what went in; where it was not measured, the usual stands in and is counted as unknown."""
    depth = m.went_ring.shape[1]
    if np.isnan(went_in):
        m.gone[f] += 1.0
        went_in = usual
    m.went[f] += went_in
    m.went_ring[f, number % depth] = m.went[f]
    m.gone_ring[f, number % depth] = m.gone[f]


@compiled
def features(m: Columns, f: int, number: int, first: int, reach: int, u: np.ndarray) -> float:  # type: ignore[type-arg]
    """What went in, by lag block, into u[LAGS]; the last is the unknown past. Returns the unmeasured share
    of the most recent intervals."""
    depth = m.went_ring.shape[1]
    u[:] = 0.0
    known = number - first + 1  # intervals that the ring holds
    blocks = blocks_of(reach)
    for b in range(blocks):
        near = block_edge(b)
        far = min(block_edge(b + 1), reach + 1) if b + 1 < blocks else reach + 1
        near, far = min(near, known), min(far, known)
        if far <= near:
            continue
        newest = m.went_ring[f, (number - near) % depth]
        oldest = 0.0 if far >= known else m.went_ring[f, (number - far) % depth]
        u[b] = newest - oldest
    # A past that nobody saw still comes out: a background that fades as the ring fills.
    u[LAGS - 1] = max(0.0, 1.0 - known / (reach + 1.0)) if known > reach // 8 else 1.0
    recent = min(10, known - 1, reach + 1)
    if recent <= 0:
        return 1.0
    missing = m.gone_ring[f, number % depth] - m.gone_ring[f, (number - recent) % depth]
    return float(missing) / recent


@compiled
def expected(m: Columns, f: int, u: np.ndarray) -> tuple[float, float]:  # type: ignore[type-arg]
    """What should come out, and which share of it entered in the youngest quarter of the blocks."""
    total, young = 0.0, 0.0
    for b in range(LAGS):
        part = m.curve[f, b] * u[b]
        total += part
        if b < 5:
            young += part
    return total, (young / total if total > 0.0 else 0.0)


@compiled
def teach(m: Columns, f: int, u: np.ndarray, x: float, scatter: float) -> bool:  # type: ignore[type-arg]
    """Let one interval teach the curve. True when the curve was fitted anew."""
    mean = max(x, 1.0)
    weight = 1.0 / (mean + scatter * mean * mean)
    for i in range(LAGS):
        if u[i] == 0.0:
            continue
        m.moment[f, i] += weight * u[i] * x
        for j in range(LAGS):
            m.gram[f, i, j] += weight * u[i] * u[j]
    m.gram[f] *= MEMORY
    m.moment[f] *= MEMORY
    m.fits[f] += 1
    n = m.fits[f]
    due = n == READY or (n > READY and n < 120 and n % 10 == 0) or n % 120 == 0
    if due:
        _fit(m, f)
    return due


@compiled
def _fit(m: Columns, f: int) -> None:
    """Non-negative least squares by coordinate descent, from the last curve.

    Starting from nothing, near lags take what they can explain before far ones are asked: where steady
    traffic can't tell the lags apart, things are taken to come out soon.
    """
    gram, moment, curve = m.gram[f], m.moment[f], m.curve[f]
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
def owe(m: Columns, f: int, number: int, missing: float) -> None:
    """Remember by how much less than expected came out."""
    m.owed[f] += missing
    m.owed_ring[f, number % RING] = m.owed[f]


@compiled
def owed_over(m: Columns, f: int, number: int, span: int) -> float:
    """What the last `span` intervals owe."""
    return float(m.owed_ring[f, number % RING] - m.owed_ring[f, (number - span) % RING])


@compiled
def owed_evidence(m: Columns, f: int, number: int) -> tuple[float, int]:
    """Evidence (nats) that something is missing, and over how many intervals it is strongest."""
    best, at = 0.0, 0
    for i in range(len(SPANS)):
        span = SPANS[i]
        freedom = min(m.spread_n[f, i] / span, 200.0)
        if freedom < 4.0 or m.spread[f, i] <= 0.0:
            continue
        owed = owed_over(m, f, number, span)
        if owed <= 0.0:
            continue
        nats = 0.5 * freedom * math.log(1.0 + owed * owed / (freedom * m.spread[f, i]))
        nats -= math.log(float(len(SPANS)))
        if nats > best:
            best, at = nats, int(span)
    return best, at


@compiled
def learn_spread(m: Columns, f: int, number: int) -> None:
    """Let a quiet interval teach how much the sums over each span scatter."""
    for i in range(len(SPANS)):
        span = SPANS[i]
        owed = owed_over(m, f, number, span)
        count = m.spread_n[f, i]
        square = owed * owed + 0.25
        if count > 10.0 * span:
            square = min(square, 9.0 * m.spread[f, i])
        rate = max(1.0 / (count + 1.0), 1.0 - SPREAD_MEMORY)
        m.spread[f, i] += rate * (square - m.spread[f, i])
        m.spread_n[f, i] = count + 1.0
