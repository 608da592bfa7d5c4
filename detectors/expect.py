"""What an interval should bring, how it scatters, and how both are learned. Pure.

In: counts and exposures of one chart. Out: expected counts, log likelihood ratios, levels that have learned.
Never: learning before judging, or from an interval that is believed to be faulty.

A count x of exposure e is taken as Gamma-Poisson: x ~ Poisson(e L), L ~ Gamma(alpha, rate beta), so its
mean is m = e alpha / beta and its variance m + A m^2. A = 1/alpha + c - 1/n: what is not known of the
level, what scatters beyond Poisson, and, where x is a part of n trials, the binomial's want of scatter.
A = 0 is Poisson, A = -1/n binomial, A > 0 negative binomial: one formula for all of them (Panjer's class).
Learning is conjugate, with forgetting: alpha += w x, beta += w e after both have been multiplied by
2^(-1/half-life) (the power steady model of Smith 1979, and Smith & Miller 1986).
"""

from __future__ import annotations

import math

import numpy as np

from detectors.compiled import inlined
from detectors.exponentials import log_ratio

# Half-lives in intervals. Several levels are kept; the one that has predicted best is believed.
FAST_LEVELS = np.array([10.0, 40.0, 160.0, 960.0])  # throughput, flow: demand drifts
SLOW_LEVELS = np.array([120.0, 720.0, 2880.0, 10080.0])  # shares of errors hardly drift
FAST_KEEPS, SLOW_KEEPS = (
    2.0 ** (-1.0 / FAST_LEVELS),
    2.0 ** (-1.0 / SLOW_LEVELS),
)  # what an interval leaves of it
LEAST_ALPHA = 0.1  # a level never forgets more than this: the mean is kept, its weight is not
SCATTER_MEMORY = 2.0 ** (-1 / 4320)


@inlined
def evidence(x: float, base: float, other: float, scatter: float) -> float:
    """Log likelihood ratio (nats) of mean `other` against mean `base` for a count x, both with A = scatter.

    The gamma functions of the two laws cancel, so that this is exact at counts of 0, 1, 2 as well.
    """
    if base <= 0.0 or other <= 0.0:
        return 0.0
    if abs(scatter) * max(base, other) < 1e-7:
        return x * log_ratio(other, base) - (other - base)
    if scatter < 0.0:
        # Binomial side: a mean at or above the number of trials is not a law.
        most = -0.999 / scatter
        base, other, x = min(base, most), min(other, most), min(x, -1.0 / scatter)
    tilt = log_ratio(1.0 + scatter * other, 1.0 + scatter * base)
    # Most counts of rare events are 0, which needs no second log.
    return (x * log_ratio(other, base) if x > 0.0 else 0.0) - (x + 1.0 / scatter) * tilt


@inlined
def scatter_weight(mean: float) -> float:
    """How much an interval with this mean says about c, in units where a busy interval counts 25."""
    square = mean * mean
    return square / (1.0 + square / 25.0)


@inlined
def predictive_sd(mean: float, scatter: float) -> float:
    """Standard deviation of a count with this mean and A = scatter."""
    return math.sqrt(max(mean * (1.0 + scatter * mean), 1e-12))


@inlined
def within_reason(off: float, mean: float, scatter: float) -> float:
    """How far off its mean a count is that may teach: above no further than three standard deviations and two
    events, below no further than four and one."""
    if off * off <= 9.0 * mean * (1.0 + scatter * mean):
        return off  # as mostly, and without a root
    sd = predictive_sd(mean, scatter)
    return min(max(off, -4.0 * sd - 1.0), 3.0 * sd + 2.0)
