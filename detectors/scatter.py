"""How far the demand of a throughput strays from its profile, and for how long. Pure.

In: counts and exposures of quiet intervals. Out: `quick`, `fades`, `stays` and `chance` (demand.py) of the season.
Never: a burst or a fault taken for scatter: what lies far off is clipped.

Moments: the covariance of x / mean - 1 with itself BACK intervals ago (weights as in expect.scatter_weight), fitted
by quick exp(-lag / fades) + stays; what is more at lag 0, beyond Poisson, is `chance`.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.compiled import compiled
from detectors.expect import LEAST_ALPHA, predictive_sd, scatter_weight
from detectors.memory import LAGS_BACK, RING, Record

BACK = np.array([0, 1, 2, 4, 8, 16, 32, 64])  # intervals, LAGS_BACK of them
FADES = np.array([3.0, 6.0, 10.0, 15.0, 24.0, 40.0, 64.0])
MEMORY = 2.0 ** (-1 / 10080)
BASE = 2.0 ** (-1 / 1440)  # what an interval leaves of the level that the moments are taken around
PRIOR_QUICK, PRIOR_FADES, PRIOR_STAYS, PRIOR_CHANCE = 0.0025, 15.0, 0.0009, 0.0005
PRIOR_WEIGHT = 9000.0


@compiled
def forget(season: Record) -> None:
    """Back to what is believed of the scatter beforehand."""
    for i in range(LAGS_BACK):
        value = PRIOR_STAYS + PRIOR_QUICK * math.exp(-BACK[i] / PRIOR_FADES)
        season.joint_n[i] = PRIOR_WEIGHT
        season.joint[i] = PRIOR_WEIGHT * (value + (PRIOR_CHANCE if i == 0 else 0.0))
    season.quick, season.fades = PRIOR_QUICK, PRIOR_FADES
    season.stays, season.chance = PRIOR_STAYS, PRIOR_CHANCE


@compiled
def doubt(season: Record) -> None:
    """A new profile: what scatters from interval to interval stays known, what strays for hours does not."""
    slowest = season.joint[LAGS_BACK - 1] / season.joint_n[LAGS_BACK - 1]
    for i in range(LAGS_BACK):
        value = PRIOR_STAYS + max(season.joint[i] / season.joint_n[i] - slowest, 0.0)
        season.joint_n[i] = PRIOR_WEIGHT
        season.joint[i] = PRIOR_WEIGHT * value
    _fit(season)


@compiled
def learn(chart: Record, season: Record, now: int, x: float, exposure: float) -> None:
    """Let a quiet interval teach the moments."""
    if chart.alpha[1] <= 0.0 or chart.beta[1] <= 0.0:
        chart.alpha[1], chart.beta[1] = LEAST_ALPHA, LEAST_ALPHA / math.exp(season.slow)
    base = chart.alpha[1] / chart.beta[1]
    mean = exposure * base
    sd = predictive_sd(mean, season.chance + season.quick + season.stays)
    here = _clipped(x, mean, sd) / max(mean, 1e-9)
    weight = scatter_weight(mean)
    for i in range(LAGS_BACK):
        slot = (now - BACK[i]) % RING
        past, of = chart.ring_x[slot], chart.ring_e[slot] * base
        if np.isnan(past) or np.isnan(of) or of <= 0.0 or now - BACK[i] < chart.first:
            continue
        there = _clipped(past, of, predictive_sd(of, season.chance + season.quick + season.stays)) / of
        product = here * there - (1.0 / mean if i == 0 else 0.0)
        season.joint[i] = season.joint[i] * MEMORY + weight * product
        season.joint_n[i] = season.joint_n[i] * MEMORY + weight
    heard = mean + min(max(x - mean, -4.0 * sd - 1.0), 4.0 * sd + 2.0)
    w = 1.0 / (1.0 + (season.chance + season.quick * season.fades) * mean)
    chart.alpha[1] = chart.alpha[1] * BASE + w * heard
    chart.beta[1] = chart.beta[1] * BASE + w * exposure
    if chart.seen % 60 == 59:
        _fit(season)


@compiled
def _clipped(x: float, mean: float, sd: float) -> float:
    """x - mean; what lies above is no further off than what may lie below."""
    return min(max(x - mean, -4.0 * sd - 1.0), 3.0 * sd + 2.0)


@compiled
def _fit(season: Record) -> None:
    """The variances and `fades` that come nearest to the covariances."""
    best = 1e300
    for i in range(len(FADES)):
        s1, sa, saa, sy, say = 0.0, 0.0, 0.0, 0.0, 0.0
        for k in range(1, LAGS_BACK):
            y, a = season.joint[k] / season.joint_n[k], math.exp(-BACK[k] / FADES[i])
            s1 += 1.0
            sa += a
            saa += a * a
            sy += y
            say += a * y
        det = s1 * saa - sa * sa
        quick = max((s1 * say - sa * sy) / det, 0.0)
        stays = (sy - quick * sa) / s1
        if stays < 0.0:
            stays = 0.0
            quick = max(say / saa, 0.0)
        wrong = 0.0
        for k in range(1, LAGS_BACK):
            y, a = season.joint[k] / season.joint_n[k], math.exp(-BACK[k] / FADES[i])
            wrong += (y - quick * a - stays) ** 2
        if wrong < best:
            best = wrong
            season.quick, season.stays, season.fades = max(quick, 1e-6), max(stays, 1e-4), FADES[i]
    season.chance = max(season.joint[0] / season.joint_n[0] - season.quick - season.stays, 1e-5)
