"""How far the demand of a throughput strays from its profile, and for how long. Pure.

In: counts and exposures of quiet intervals. Out: `quick`, `fades`, `stays` and `chance` (demand.py).
Never: a burst or a fault taken for scatter: what lies far off is clipped.

Moments: the covariance of x / mean - 1 with itself BACK intervals ago (weights as in expect.scatter_weight), fitted
by quick exp(-lag / fades) + stays; what is more at lag 0, beyond Poisson, is `chance`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import compiled_in_place, inlined
from detectors.expect import LEAST_ALPHA, predictive_sd, within_reason
from detectors.memory import LAGS_BACK, RING, Record

BACK = np.array([0, 1, 2, 4, 8, 16, 32, 64])  # intervals, LAGS_BACK of them
FADES = np.array([3.0, 6.0, 10.0, 15.0, 24.0, 40.0, 64.0])
MEMORY = 2.0 ** (-1 / 10080)
BASE = 2.0 ** (-1 / 1440)  # what an interval leaves of the level that the moments are taken around
PRIOR_QUICK, PRIOR_FADES, PRIOR_STAYS, PRIOR_CHANCE = 0.0025, 15.0, 0.0009, 0.0005
PRIOR_WEIGHT = 1e6  # one over the variance of what is believed of a covariance beforehand
MOST_UNLIKE = 10.0  # times what is believed of anybody, that one may teach the others
MOST_WEIGHT = 2500.0  # of one interval; the next ones say much the same


@compiled_in_place
def forget(season: Record) -> None:
    """Nothing was measured yet: back to what is believed of anybody's scatter."""
    for i in range(LAGS_BACK):
        season.joint[i], season.joint_n[i] = 0.0, 0.0
        season.before[i] = _of_anybody(i)
    season.quick, season.fades = PRIOR_QUICK, PRIOR_FADES
    season.stays, season.chance = PRIOR_STAYS, PRIOR_CHANCE


@compiled_in_place
def _of_anybody(i: int) -> float:
    """The covariance that is believed before anything was measured."""
    return PRIOR_STAYS + PRIOR_QUICK * math.exp(-BACK[i] / PRIOR_FADES) + (PRIOR_CHANCE if i == 0 else 0.0)


@compiled_in_place
def _covariance(season: Record, i: int) -> float:
    """What was measured, shrunk towards what was believed beforehand."""
    return float((season.joint[i] + PRIOR_WEIGHT * season.before[i]) / (season.joint_n[i] + PRIOR_WEIGHT))


@compiled_in_place
def doubt(season: Record) -> None:
    """A new profile: what scatters from interval to interval stays known, what strays for hours does not."""
    slowest = _covariance(season, LAGS_BACK - 1)
    for i in range(LAGS_BACK):
        season.before[i] = PRIOR_STAYS + max(_covariance(season, i) - slowest, 0.0)
        season.joint[i], season.joint_n[i] = 0.0, 0.0
    _fit(season)


def pool(seasons: Any, known: NDArray[np.int64]) -> None:
    """Let each of the `known` seasons (memory.SEASON, by number) believe beforehand what the others have measured;
    changed in place.

    The mean over all of them, each weighed by how much it has measured, as if one more had measured nothing.
    """
    counted = seasons.joint_n[known]
    weight = counted / (counted + PRIOR_WEIGHT)
    anybody = np.array([_of_anybody(i) for i in range(LAGS_BACK)])
    within = np.clip(seasons.joint[known] / np.maximum(counted, 1e-9), 0.0, MOST_UNLIKE * anybody)
    total, sums = weight.sum(axis=0), (weight * within).sum(axis=0)
    seasons.before[known] = (anybody + sums - weight * within) / (1.0 + total - weight)


@inlined
def learn(chart: Record, season: Record, now: int, x: float, exposure: float) -> None:
    """Let a quiet interval teach the moments."""
    if chart.alpha[1] <= 0.0 or chart.beta[1] <= 0.0:
        chart.alpha[1], chart.beta[1] = LEAST_ALPHA, LEAST_ALPHA / math.exp(season.slow)
    base = chart.alpha[1] / chart.beta[1]
    mean, spread = exposure * base, season.chance + season.quick + season.stays
    here = within_reason(x - mean, mean, spread) / max(mean, 1e-9)
    weight = mean * mean / (1.0 + mean * mean / MOST_WEIGHT)
    for i in range(LAGS_BACK):
        slot = (now - BACK[i]) % RING
        past, of = np.float64(chart.ring_x[slot]), np.float64(chart.ring_e[slot]) * base
        if np.isnan(past) or np.isnan(of) or of <= 0.0 or now - BACK[i] < chart.first:
            continue
        there = within_reason(past - of, of, spread) / of
        product = here * there - (1.0 / mean if i == 0 else 0.0)
        season.joint[i] = season.joint[i] * MEMORY + weight * product
        season.joint_n[i] = season.joint_n[i] * MEMORY + weight
    off = x - mean
    if abs(off) > 1.0:
        sd = predictive_sd(mean, spread)
        off = min(max(off, -4.0 * sd - 1.0), 4.0 * sd + 2.0)
    w = 1.0 / (1.0 + (season.chance + season.quick * season.fades) * mean)
    chart.alpha[1] = chart.alpha[1] * BASE + w * (mean + off)
    chart.beta[1] = chart.beta[1] * BASE + w * exposure
    if chart.seen % 60 == 59:
        _fit(season)


@compiled_in_place
def _fit(season: Record) -> None:
    """The variances and `fades` that come nearest to the covariances."""
    best = 1e300
    for i in range(len(FADES)):
        quick, stays, wrong = _nearest(season, FADES[i])
        if wrong < best:
            best = wrong
            season.quick, season.stays, season.fades = max(quick, 1e-6), max(stays, 1e-4), FADES[i]
    season.chance = max(_covariance(season, 0) - season.quick - season.stays, 1e-5)


@compiled_in_place
def _nearest(season: Record, fades: float) -> tuple[float, float, float]:
    """By least squares: `quick` and `stays` (at least 0), and the squares that are left."""
    s1, sa, saa, sy, say, syy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(1, LAGS_BACK):
        a, y = math.exp(-BACK[k] / fades), _covariance(season, k)
        s1, sa, saa = s1 + 1.0, sa + a, saa + a * a
        sy, say, syy = sy + y, say + a * y, syy + y * y
    quick = max((s1 * say - sa * sy) / (s1 * saa - sa * sa), 0.0)
    stays = (sy - quick * sa) / s1
    if stays < 0.0:
        quick, stays = max(say / saa, 0.0), 0.0
    left = syy - 2.0 * (quick * say + stays * sy)
    left += quick * quick * saa + 2.0 * quick * stays * sa + stays * stays * s1
    return quick, stays, max(left, 0.0)
