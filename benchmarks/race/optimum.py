"""The optimum: a CUSUM that knows the profile, the noise, both rates and the size, all but the moment.

In: tracks and their case. Out: its statistic, minute by minute. No method is sooner at the same mean time between
false alarms (Lorden 1971, Moustakides 1986). Where demand wanders, both hypotheses follow it by a Kalman filter
that knows how it wanders; "faulty since when the evidence was last nothing" is what a CUSUM asks.
Not for flows: what came out does not say when it went in, and the exact law is out of reach; there the bound is
given for counts that know their entry.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.compiled import compiled
from race.tracks import FAST, FAST_TAU, SLOW, SLOW_TAU, Case, Floats, Tracks


def statistic(case: Case, made: Tracks) -> Floats:
    """float64[services, minutes]: the CUSUM after each minute."""
    if case.kind == "error_ratio":
        p0, p1 = case.usual, min(case.usual * case.size, 1.0 - 1e-9)
        gains = made.x * math.log(p1 / p0) + (made.n - made.x) * math.log((1.0 - p1) / (1.0 - p0))
        return _cusum(gains)
    return np.stack([_wandering(x, base, 1.0 - case.size) for x, base in zip(made.x, made.base, strict=True)])


def bound(case: Case, nats: float) -> float:
    """Minutes that no method can beat on average, to first order: log(mean time between false alarms) / KL."""
    if case.kind == "throughput":
        q = case.size
        information = case.rate * (q + (1.0 - q) * math.log(1.0 - q) if q < 1.0 else 1.0)
    else:
        p0 = case.usual
        p1 = (
            min(p0 * case.size, 1.0 - 1e-9) if case.kind == "error_ratio" else p0 + case.size - p0 * case.size
        )
        information = case.rate * (p1 * math.log(p1 / p0) + (1.0 - p1) * math.log((1.0 - p1) / (1.0 - p0)))
    return max(1.0, nats / information)


def _cusum(gains: Floats) -> Floats:
    sums = np.cumsum(gains, axis=1)
    return np.asarray(sums - np.minimum(np.minimum.accumulate(sums, axis=1), 0.0))


@compiled
def _step(state: Floats, x: float, mean: float, keep: Floats, fresh: Floats) -> float:
    """Predict the log level (fast + slow), return the log density of x / mean, and correct.

    state: mean of both, their variances, their covariance. Gauss with the predictive variance: exact enough
    where a minute holds more than a few events.
    """
    f, s = keep[0] * state[0], keep[1] * state[1]
    pf = keep[0] ** 2 * state[2] + fresh[0]
    ps = keep[1] ** 2 * state[3] + fresh[1]
    pc = keep[0] * keep[1] * state[4]
    expected = mean * math.exp(f + s)
    total = pf + ps + 2.0 * pc
    # Negative binomial with the predictive variance expected + expected^2 total.
    r = 1.0 / max(total, 1e-9)
    density = (
        math.lgamma(x + r) - math.lgamma(r) - math.lgamma(x + 1.0)
        + r * math.log(r / (r + expected)) + x * math.log(expected / (r + expected))
    )  # fmt: skip
    noise = 1.0 / max(expected, 1e-9)
    off = x / max(expected, 1e-9) - 1.0
    kf, ks = (pf + pc) / (total + noise), (ps + pc) / (total + noise)
    state[0], state[1] = f + kf * off, s + ks * off
    state[2], state[3] = pf - kf * (pf + pc), ps - ks * (ps + pc)
    state[4] = pc - kf * (pc + ps)
    return density


@compiled
def _wandering(x: Floats, base: Floats, left: float) -> Floats:
    """The CUSUM of "only `left` of it comes" against "all of it", both with a demand that wanders."""
    keep = np.array([math.exp(-1.0 / FAST_TAU), math.exp(-1.0 / SLOW_TAU)])
    fresh = np.array([FAST**2 * (1.0 - keep[0] ** 2), SLOW**2 * (1.0 - keep[1] ** 2)])
    usual = np.array([0.0, 0.0, FAST**2, SLOW**2, 0.0])
    faulty = usual.copy()
    out = np.zeros(len(x))
    total = 0.0
    for t in range(len(x)):
        if total <= 0.0:
            faulty[:] = usual
        gain = _step(faulty, x[t], base[t] * max(left, 1e-3), keep, fresh) - _step(
            usual, x[t], base[t], keep, fresh
        )
        total = max(0.0, total + gain)
        out[t] = total
    return out
