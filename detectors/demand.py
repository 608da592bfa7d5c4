"""How demand wanders around its profile: a fast part that returns, a slow part that stays. Pure.

In: counts and exposures of one throughput. Out: the level that is expected now, under "no fault" and under every
size of fault, and how far it may be off. Never: learning before judging.

log level = fast + slow. fast: first-order autoregression with variance `quick` that fades in `fades` intervals;
slow: the same around the level of the last days (scatter.py), with variance `stays`, and it fades in SLOW_TAU. Both
are followed by a Kalman filter on x / mean - 1, whose observation varies by 1/mean + c. Every size of fault has its
own account of both, taken from "no fault" whenever its evidence returns to 0. The variances and `fades` come from
scatter.py. What returns is what makes a small loss that lasts stand out, within hours. While a profile is young or
today is like another day, nothing is known to return to: then slow walks.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.compiled import compiled_in_place, inlined
from detectors.expect import evidence
from detectors.exponentials import exp, log
from detectors.judge import RECOVERED
from detectors.memory import LEVELS, RING, SIZES, Floats, Record

SLOW_TAU, MOST_SLOW = 96.0, 1440.0  # quarters of an hour; intervals
STAYS = math.exp(-1.0 / MOST_SLOW)  # what one of so short intervals leaves
# Standard deviations that one interval may teach: a burst is not to raise the level.
MOST_DOWN, MOST_UP = 3.0, 1.5
UNKNOWN_DAY = 2e-4  # variance of the walk, per interval of a minute, while no day is known
UNKNOWN_WEEK = 2e-5
KNOWN = 14  # days, after which a profile is no longer that of single days


@compiled_in_place
def place(season: Record, level: float, variance: float) -> None:
    """Begin at this level (log), known to within `variance`, under no fault and under every one."""
    season.fast, season.slow = 0.0, level
    season.pf, season.ps, season.pc = season.quick, variance, 0.0
    season.hf[:], season.hs[:] = 0.0, level


@inlined
def _slow_tau(quarters: float) -> float:
    """In how many intervals the slow part strays by its standard deviation: a day. Of short intervals no more than
    the level that it returns to is taken over."""
    return min(SLOW_TAU / quarters, MOST_SLOW)


@inlined
def predict(chart: Record, season: Record, now: int, quarters: float) -> None:
    """Bring the accounts to interval `now`; the level and its weight stand in alpha, beta, ja, jb afterwards."""
    steps = max(float(now - season.at), 1.0) if season.at > 0 else 1.0
    season.at = now
    keep = exp(-steps / season.fades)
    stay, base = 1.0, 0.0
    if season.sure == 1 and season.other == 0 and chart.alpha[1] > 0.0:
        tau = _slow_tau(quarters)
        stay = STAYS if steps == 1.0 and tau == MOST_SLOW else exp(-steps / tau)
        base = log(chart.alpha[1] / chart.beta[1])
        season.ps = stay * stay * season.ps + season.stays * (1.0 - stay * stay)
    else:
        walk = 4.0 * season.stays / _slow_tau(quarters)
        if season.days < 7:
            walk = max(walk, (UNKNOWN_DAY if season.days < 1 else UNKNOWN_WEEK) * 15.0 * quarters)
        season.ps = min(season.ps + walk * steps, 4.0)
    season.fast *= keep
    season.slow = base + stay * (season.slow - base)
    season.pf = keep * keep * season.pf + season.quick * (1.0 - keep * keep)
    season.pc *= keep * stay
    total = max(season.pf + season.ps + 2.0 * season.pc, 1e-7)
    _say(chart, season, total)
    for j in range(SIZES):
        if chart.raised == 1 or chart.w[j] > 0.0:  # else its account is that of no fault
            season.hf[j] *= keep
            season.hs[j] = base + stay * (season.hs[j] - base)
            chart.ja[j] = 1.0 / total
            chart.jb[j] = chart.ja[j] / exp(season.hf[j] + season.hs[j])


@inlined
def _say(chart: Record, season: Record, total: float) -> None:
    level = exp(season.fast + season.slow)
    for b in (0, LEVELS - 1):
        chart.alpha[b] = 1.0 / total
        chart.beta[b] = chart.alpha[b] / level
        chart.den[b] = 1.0
    chart.num[0] = season.chance
    chart.num[LEVELS - 1] = season.chance + season.quick + season.stays
    chart.best = 0


@compiled_in_place
def hold(chart: Record, season: Record, now: int) -> None:
    """A fault was raised: from here on the account is that of the level under a fault of this size."""
    season.stood = 1
    held = np.float64(chart.ring_n[chart.onset % RING]) if now - chart.onset < RING else 0.0
    season.held = 0.0 if np.isnan(held) else held
    season.slow = math.log(chart.ra / chart.rb) - season.held
    season.fast = season.held * math.exp(-float(now - chart.onset) / season.fades)
    season.at = now - 1
    season.hf[:], season.hs[:] = season.fast, season.slow


@compiled_in_place
def strays(season: Record, lasts: float, quarters: float) -> float:
    """Relative variance of the mean of what is expected over `lasts` intervals after the onset.

    Of an autoregression known at its start to within pf, of a walk known to within ps, of chance.
    """
    tau = season.fades
    decay = tau / lasts * (1.0 - math.exp(-lasts / tau))
    free = season.quick * max(2.0 * tau / lasts * (1.0 - decay) - decay * decay, 0.0)
    walk = season.stays * min(2.0 * lasts / 3.0 / _slow_tau(quarters), 1.0)
    return float(max(season.pf, 0.0) * decay * decay + free + max(season.ps, 0.0) + walk)


@compiled_in_place
def jumped_back(chart: Record, season: Record, now: int, x: float, exposure: float, quarters: float) -> float:
    """Evidence (nats) that all of it comes again, against a fault that goes on: both follow the level."""
    predict(chart, season, now, quarters)
    total = season.pf + season.ps + 2.0 * season.pc
    size = max(chart.ratio, 0.005)
    if chart.v <= 0.0:
        season.hf[0], season.hs[0] = season.fast, season.slow
    whole = exposure * math.exp(season.hf[0] + season.hs[0])
    faulty = exposure * size * math.exp(season.fast + season.slow)
    gain = evidence(x, faulty, whole, total + season.chance)
    kf, ks = season.pf + season.pc, season.ps + season.pc
    off = _off(season, x, whole, total)
    season.hf[0] += off * kf
    season.hs[0] += off * ks
    _correct(season, _off(season, x, faulty, total), faulty)
    return float(gain)


@compiled_in_place
def restart(chart: Record, season: Record) -> None:
    """A fault is over: begin anew at the level at which it comes again, or at which it is the new usual."""
    if chart.why == RECOVERED:
        season.fast, season.slow = season.hf[0], season.hs[0]
    else:
        season.slow, season.fast = math.log(chart.alpha[0] / chart.beta[0]), 0.0
        chart.alpha[1] = chart.beta[1] = 0.0
    season.stood, season.held, season.pf, season.pc = 0, 0.0, season.quick, 0.0
    season.ps = max(season.ps, season.stays)
    season.hf[:], season.hs[:] = season.fast, season.slow


@inlined
def learn(chart: Record, season: Record, x: float, exposure: float, sizes: Floats) -> None:
    """Let one judged interval teach the accounts; their levels stand where `predict` has left them."""
    total = season.pf + season.ps + 2.0 * season.pc
    for j in range(SIZES):
        if chart.w[j] <= 0.0:
            continue
        if chart.since[j] == season.at:
            season.hf[j], season.hs[j] = season.fast, season.slow
            level = chart.alpha[0] / chart.beta[0]
        else:
            level = chart.ja[j] / chart.jb[j]
        off = _off(season, x, exposure * level * sizes[j], total)
        season.hf[j] += off * (season.pf + season.pc)
        season.hs[j] += off * (season.ps + season.pc)
    mean = exposure * chart.alpha[0] / chart.beta[0]
    _correct(season, _off(season, x, mean, total), mean)


@compiled_in_place
def keep_down(season: Record) -> None:
    """On a holiday levels may fall but not rise: an ordinary morning is not what the afternoon must bring."""
    fast, slow = 2.0 * math.sqrt(season.quick), season.top + 2.0 * math.sqrt(season.stays)
    season.fast, season.slow = min(season.fast, fast), min(season.slow, slow)
    for j in range(SIZES):
        season.hf[j], season.hs[j] = min(season.hf[j], fast), min(season.hs[j], slow)


@inlined
def _correct(season: Record, off: float, mean: float) -> None:
    """Kalman's correction of both parts and of their covariance. off: see _off."""
    kf, ks = season.pf + season.pc, season.ps + season.pc
    season.fast += off * kf
    season.slow += off * ks
    part = 1.0 / (kf + ks + 1.0 / max(mean, 1e-3) + season.chance)
    season.pf, season.ps = season.pf - kf * kf * part, season.ps - ks * ks * part
    season.pc -= kf * ks * part


@inlined
def _off(season: Record, x: float, mean: float, total: float) -> float:
    """By how much x is off its mean (at most MOST_UP, MOST_DOWN standard deviations), over its variance."""
    mean = max(mean, 1e-3)
    variance = total + 1.0 / mean + season.chance
    off = x / mean - 1.0
    if off * off > MOST_UP * MOST_UP * variance:
        sd = math.sqrt(variance)
        off = min(max(off, -MOST_DOWN * sd), MOST_UP * sd)
    return off / variance
