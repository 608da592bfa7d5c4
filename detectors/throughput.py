"""Is less arriving than this hour of this week should bring, or nothing at all?

x = count, exposure e = the weekly profile (season.py; 1 before a day is known), level = recent demand.
Hypotheses: SIZES of the usual are left. Bursts do not raise the level, so that their end is no loss. A loss
must also beat the explanation that today is like another day: a Sunday (a holiday), or an hour off (clocks).
Not for: losses inside a burst, or counts that follow what another service sends (use a flow).
"""

from __future__ import annotations

import math

import numpy as np

from detectors.compiled import compiled
from detectors.expect import FAST_LEVELS, forget, predictive_sd
from detectors.judge import (
    BELIEVED,
    learn,
    learn_other_days,
    mean_of,
    picture,
    scatter_of,
    spread_of,
    stand,
    unlike_today,
    weigh,
)
from detectors.memory import DAYS_LIKE, LEVELS, QUARTERS, WEEK, Floats, Record

DOWN = 1  # row of Columns.odds
SIZES = np.array([0.95, 0.9, 0.8, 0.65, 0.45, 0.2, 0.05, 0.005])
PART = 0.5  # of a loss: while it goes on, the loss is not over; demand strays by less
CAP = 6.0
# Before a week is known, the next day may be of another kind, with a fifth of the usual: only a stop can be told
# from that. Twice this (in logs) leaves the last of SIZES alone.
SD_NO_WEEK = 1.6
BURST_SD = 2.4  # above the expected by more than that is a burst
BURST_LASTS = 360  # intervals after which a burst is the new usual
WARM_UP = 5  # intervals before anything is expected


@compiled
def shape_at(week: Floats, position: float) -> float:
    """The profile at a position in quarters of an hour since Monday 00:00, between quarters linearly."""
    whole = int(np.floor(position))
    part = position - whole
    a, b = week[whole % WEEK], week[(whole + 1) % WEEK]
    return float(np.exp(a + (b - a) * part))


@compiled
def judge(
    chart: Record,
    season: Record,
    odds: Floats,
    now: int,
    x: float,
    position: float,
    quarters: float,
    cap: float,
    lasts: int,
) -> None:
    """One measured interval of a throughput. position: middle of the interval in the week, see season.py;
    quarters: of an hour, in an interval."""
    others = np.ones(DAYS_LIKE)
    exposure = 1.0
    if season.days > 0:
        exposure = shape_at(season.week, position)
        others[0] = shape_at(season.week, position % QUARTERS + 6.0 * QUARTERS)
        others[1] = shape_at(season.week, (position - 4.0) % WEEK)
        others[2] = shape_at(season.week, (position + 4.0) % WEEK)
    mean, scatter = mean_of(chart, exposure), scatter_of(chart)
    picture(chart, now, exposure, mean, scatter)
    if chart.total < BELIEVED or season.days < 7:
        # A profile that is still young has nothing to protect, and would never learn the nights that it misjudges.
        add_to_day(season, x, 1.0, position, quarters)
    if chart.raised == 1:
        stand(chart, now, x, exposure, np.nan, lasts, PART)
        return
    if chart.seen >= WARM_UP:
        young = SD_NO_WEEK if season.days < 7 else 0.0
        least = 2.0 * max(young, math.sqrt(spread_of(chart, LEVELS - 1)))
        unlike = 0.0
        if season.days >= 2:
            soon = mean * _least_around(season.week, position) / exposure
            unlike = unlike_today(chart, x, mean, others, soon, scatter, cap)
        weigh(chart, odds[DOWN], now, x, exposure, np.nan, mean, scatter, SIZES, least, cap, unlike)
    chart.seen += 1
    burst = chart.seen > 30 and x > mean + BURST_SD * predictive_sd(mean, scatter) + 2.0
    chart.hot = chart.hot + 1 if burst else 0
    if burst and chart.hot < BURST_LASTS:
        return
    learn(chart, x, exposure, np.nan, SIZES, FAST_LEVELS)
    if season.days >= 2:
        learn_other_days(chart, x, mean, others, scatter, forget(FAST_LEVELS[chart.best]))


@compiled
def _least_around(week: Floats, position: float) -> float:
    """The lowest that the profile is within a quarter of an hour: when exactly a step comes is not known."""
    least = shape_at(week, position)
    for k in range(-2, 3):
        least = min(least, shape_at(week, (position + 0.5 * k) % WEEK))
    return least


@compiled
def add_to_day(season: Record, x: float, of: float, position: float, quarters: float) -> None:
    """Add an interval whose middle is at `position` to the running day: x, out of `of`."""
    count = max(int(quarters), 1)
    first = math.floor(position + 0.5 - (0.5 * quarters if count > 1 else 0.0))
    for i in range(count):
        q = int(first + i) % QUARTERS
        season.day_x[q] += x / count
        season.day_n[q] += of
