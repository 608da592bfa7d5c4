"""Seeded traffic for the race: services of one case, quiet for weeks, then faulty for some hours.

In: a case and a seed. Out: counts by minute, what they were expected to be, and when each fault begins. A count is
a Poisson draw around a demand that has a day, calm weekends, fast scatter and slow drift; what is lost or fails is
thinned out of it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]
Kind = Literal["error_ratio", "throughput", "flow"]

DAY = 1440  # minutes
WEEK = 7 * DAY
WARM = 2 * WEEK  # quiet before the first fault
FAULTY = 360
FLEET = 20  # services of one world, each with a fault of its own in the third week
FAST, FAST_TAU = 0.05, 15.0  # standard deviation of the log of demand, and for how many minutes it holds
SLOW, SLOW_TAU = 0.02, 2880.0


class Case(NamedTuple):
    """rate: events a minute on average. usual: share that fails or is lost in quiet times. size: of the fault,
    a factor on `usual` (errors), or the share that is lost. lag: mean seconds from in to out."""

    kind: Kind
    rate: float
    usual: float
    size: float
    lag: float = 30.0


class Tracks(NamedTuple):
    """x, n: float64[services, minutes], counted and out_of (NaN for throughput). base: what demand would be
    without noise. start: int64[services], first minute of each fault, beyond the end where there is none."""

    x: Floats
    n: Floats
    base: Floats
    start: NDArray[np.int64]


def tracks(case: Case, seed: int, services: int, minutes: int, faulty: bool) -> Tracks:
    """Traffic of `services` alike; with faulty, one after the other fails for FAULTY minutes after WARM."""
    random = np.random.default_rng(
        [seed, round(case.rate * 10), round(case.usual * 1e6), round(case.size * 1e4)]
    )
    base = _season(case.rate, minutes) * np.ones((services, 1))
    noise = _wander(random, SLOW, SLOW_TAU, base.shape) + _wander(random, FAST, FAST_TAU, base.shape)
    happened = random.poisson(base * np.exp(noise)).astype(np.int64)
    start = np.full(services, minutes + 1)
    if faulty:
        slot = (minutes - WARM) // services
        start = WARM + slot * np.arange(services) + random.integers(0, slot - FAULTY, services)
    minute = np.arange(minutes)
    bad = (minute >= start[:, None]) & (minute < start[:, None] + FAULTY)
    if case.kind == "throughput":
        x = random.binomial(happened, np.where(bad, 1.0 - case.size, 1.0)).astype(np.float64)
        return Tracks(x, np.full_like(x, np.nan), base, start)
    if case.kind == "error_ratio":
        share = np.where(bad, min(case.usual * case.size, 1.0), case.usual)
        return Tracks(
            random.binomial(happened, share).astype(np.float64), happened.astype(np.float64), base, start
        )
    lost = np.where(bad, case.usual + case.size - case.usual * case.size, case.usual)
    out = _delayed(random, random.binomial(happened, 1.0 - lost), case.lag)
    return Tracks(out, happened.astype(np.float64), base, start)


def _season(rate: float, minutes: int) -> Floats:
    """A day's wave and calmer weekends, with a step of an hour between them; `rate` on the mean of weekdays."""
    minute = np.arange(minutes)
    wave = np.exp(np.sin(2 * np.pi * (minute % DAY / DAY - 0.3)))
    weekend = ((minute // DAY) % 7 >= 5).astype(np.float64)
    calm = np.convolve(np.pad(weekend, 30, mode="edge"), np.ones(61) / 61, mode="valid")
    return np.asarray(rate / 1.266 * wave * (1.0 - 0.4 * calm))  # 1.266 is the mean of exp(sin)


def _wander(random: np.random.Generator, sd: float, tau: float, shape: tuple[int, ...]) -> Floats:
    """A first-order autoregression of that standard deviation."""
    keep = np.exp(-1 / tau)
    noise = random.normal(0, sd * np.sqrt(1 - keep * keep), shape)
    first = random.normal(0, sd, (shape[0], 1))
    return np.asarray(lfilter([1.0], [1.0, -keep], noise, zi=keep * first)[0])


def _delayed(random: np.random.Generator, kept: NDArray[np.int64], lag: float) -> Floats:
    """What comes out when: each after an exponential lag, drawn by minute as a multinomial."""
    # P(out k minutes later) for an entry at a uniform moment of its minute.
    edges = np.exp(-60.0 * np.arange(0, 16) / lag)
    mean_left = np.append(1.0, lag / 60.0 * (edges[:-1] - edges[1:]))  # left to come at the end of minute k-1
    odds = np.clip(1.0 - mean_left[1:] / np.maximum(mean_left[:-1], 1e-12), 0.0, 1.0)
    out, left = np.zeros(kept.shape), kept.copy()
    for k, part in enumerate(odds):
        came = random.binomial(left, part) if k + 1 < len(odds) else left
        out[:, k:] += came[:, : came.shape[1] - k]
        left = left - came
    return out
