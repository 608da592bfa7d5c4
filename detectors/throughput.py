"""Is less arriving than this hour of this week should bring, or nothing at all?

x = count, exposure e = the weekly profile (season.py; 1 before a day is known), level = recent demand.
Hypotheses: SIZES of the usual are left. Bursts do not raise the level, so that their end is no loss. A loss
must also beat the explanation that today is like another day: a Sunday (a holiday), or an hour off (clocks).
Not for: losses inside a burst, counts that follow what another service sends (use a flow), or hours in which less
than four events are expected.
"""

from __future__ import annotations

import math

import numpy as np

from detectors import demand
from detectors import scatter as scatters
from detectors.compiled import compiled_in_place, inlined
from detectors.expect import evidence, predictive_sd
from detectors.exponentials import exp
from detectors.judge import (
    ALIKE,
    BELIEVED,
    add_up,
    as_before,
    clear,
    compare_day,
    mean_of,
    other_day,
    picture,
    says_nothing,
    scatter_of,
    weigh,
)
from detectors.memory import DAYS_LIKE, QUARTERS, RING, STEP, UNIT, WEEK, Record

SIZES = np.array([0.95, 0.9, 0.8, 0.65, 0.45, 0.2, 0.05, 0.005])
PART = 0.5  # of a loss: while it goes on, the loss is not over; demand strays by less
CAP = 6.0
# Before a week is known, the next day may be of another kind and bring a part of the usual (LULLS): only a stop can
# be told from that. TOO_NEAR times SD_NO_WEEK (in logs) leaves the last of SIZES alone.
SD_NO_WEEK, TOO_NEAR = 1.6, 2.0
LULLS = (0.5, 0.2, 0.1)
LEAST_NEW = 0.12  # in logs, by which a profile of single days is off
SD_LIKE = 0.25  # of a weekday after another weekday, or a Sunday after a Saturday
BURST_SD = 2.4  # above the expected by more than that is a burst
BURST_LASTS = 24.0  # quarters of an hour after which a burst is the new usual
SUNKEN, AGAIN = 0.5, 3  # part of the usual, from which it takes so many intervals to come back to it
OTHER_DAYS = 2.0 ** (-1 / 60)  # what an interval leaves of the levels under other days
SLOPE = 0.5  # part of a step by which what is around one is less steep
STEP_SD = 3.0  # what the profile falls by in a quarter of an hour, to be a step
LASTING = 10.0  # intervals in which it must show whether it is as before
LEAST_COMES = 1.0  # events in a quarter of an hour: where less is expected, it may as well be nothing
WARM_UP = 5  # intervals before anything is expected


@compiled_in_place
def shape_at(season: Record, position: float, has_steps: bool) -> float:
    """The profile around today at a position in quarters of an hour since any Monday 00:00: between their middles
    linearly, but for steps, which come with the clock."""
    return math.exp(log_shape_at(season, position, has_steps))


@inlined
def log_shape_at(season: Record, position: float, has_steps: bool) -> float:
    """The log of shape_at. Beyond what is laid out around today, every day is as usual."""
    whole = math.floor(position)
    i = _in_week(whole - season.begins)
    if i + 1 >= len(season.near):
        return usual_at(season, position, has_steps)
    a, b = season.near[i] * UNIT, season.near[i + 1] * UNIT
    if has_steps and abs(b - a) > STEP:
        before, after = (
            season.near[max(i - 1, 0)] * UNIT,
            season.near[min(i + 2, len(season.near) - 1)] * UNIT,
        )
        return _stepping(before, a, b, after, position - whole)
    return a + (b - a) * (position - whole)


@inlined
def usual_at(season: Record, position: float, has_steps: bool) -> float:
    """The log of the profile, whatever the calendar says."""
    whole = math.floor(position)
    a, b = season.usual[_in_week(whole)] * UNIT, season.usual[_in_week(whole + 1)] * UNIT
    if has_steps and abs(b - a) > STEP:
        before, after = season.usual[_in_week(whole - 1)] * UNIT, season.usual[_in_week(whole + 2)] * UNIT
        return _stepping(before, a, b, after, position - whole)
    return a + (b - a) * (position - whole)


@inlined
def _in_week(quarter: int) -> int:
    """A quarter of an hour counted from any Monday 00:00, from its own one."""
    return quarter if 0 <= quarter < WEEK else int(quarter) % WEEK  # a division takes longer than the rest


@inlined
def _stepping(before: float, a: float, b: float, after: float, part: float) -> float:
    """From the middle of one quarter of an hour (a) to that of the next (b): a step between them, unless what comes
    before or after rises or falls half as much. Then it is a slope, like any morning."""
    if max(abs(a - before), abs(after - b)) < SLOPE * abs(b - a):
        return a if part < 0.5 else b
    return a + (b - a) * part


@inlined
def expect(
    chart: Record,
    season: Record,
    now: int,
    x: float,
    position: float,
    quarters: float,
    cap: float,
) -> None:
    """What one measured interval should bring, and by how much better other days explain it.

    position: middle of the interval in the week, see season.py; quarters: of an hour, in an interval.
    """
    log_shape = log_shape_at(season, position, True) if season.days > 0 else 0.0
    exposure = exp(log_shape)
    season.came += x
    season.meant += exposure
    if season.fades <= 0.0:
        scatters.forget(season)
        demand.place(season, math.log(max(x, 0.5) / exposure), 1.0)
    if chart.raised == 1:
        if season.stood == 0:
            demand.hold(chart, season, now)
            _doubt(season, position - float(now - chart.onset) * quarters, position)
        exposure *= math.exp(-season.held * (1.0 - math.exp(-float(now - chart.onset) / season.fades)))
        picture(chart, now, exposure, exposure * chart.ra / chart.rb, scatter_of(chart))
        return
    if season.stood == 1:
        demand.restart(chart, season)
    demand.predict(chart, season, now, quarters)
    mean, scatter = mean_of(chart, exposure), scatter_of(chart)
    picture(chart, now, exposure, mean, scatter)
    chart.ring_n[now % RING] = season.fast
    if season.days >= 2:
        days = DAYS_LIKE if season.unsure > 0.0 or season.again != 0.0 else DAYS_LIKE - 1
        is_sunday = position + 0.5 >= 6.0 * QUARTERS and season.unsure == 0.0
        if is_sunday:  # which is not like another day for being like a Sunday
            chart.like[0], chart.unlike[0] = 0.0, 0.0
        for i in range(1 if is_sunday else 0, days):
            differs = _of_other_day(season, i, position, log_shape) - log_shape
            compare_day(chart, i, x, mean, exposure, differs, scatter, cap, OTHER_DAYS)


@inlined
def _of_other_day(season: Record, i: int, position: float, log_shape: float) -> float:
    """The log of what the profile says of the other day i (see memory.DAYS_LIKE); log_shape: of today."""
    if i == 0:
        day = math.floor((position + 0.5) / QUARTERS)
        # Of Sundays that were never seen nothing is known.
        return usual_at(season, position + (6.0 - day if season.taught[6] > 0.0 else 0.0) * QUARTERS, True)
    if i < DAYS_LIKE - 1:
        return log_shape_at(season, position + (-4.0 if i == 1 else 4.0), True)
    return usual_at(season, position, True) if season.unsure > 0.0 else log_shape + season.again


@inlined
def judge(
    chart: Record,
    season: Record,
    fleet: Record,
    now: int,
    x: float,
    position: float,
    quarters: float,
    cap: float,
    lasts: int,
    shared: int,
) -> None:
    """One measured interval of a throughput, after `expect`. shared: see judge.other_day."""
    slot = now % RING
    exposure, mean, scatter = (
        np.float64(chart.ring_e[slot]),
        np.float64(chart.ring_m[slot]),
        np.float64(chart.ring_a[slot]),
    )
    # A profile that is still young has nothing to protect, and would never learn the nights that it misjudges.
    if chart.total < BELIEVED or season.days < 7 or _was_told(season, position):
        add_to_day(season, x, 1.0, position, quarters)
    if chart.raised == 1:
        _doubt(season, position, position)
        _stand(chart, season, now, x, exposure, quarters, lasts)
        return
    if chart.seen >= WARM_UP and mean >= LEAST_COMES * quarters:
        knows_week = season.days >= 7
        # Sizes nearer to 1 than demand strays for hours can't be told from that.
        if knows_week:
            least = max(math.sqrt(season.stays), 0.0 if season.days >= demand.KNOWN else LEAST_NEW)
        else:
            least = TOO_NEAR * (SD_LIKE if _knows_like(season, position) else SD_NO_WEEK)
        least = max(least, TOO_NEAR * season.unsure)  # nor those by which holidays differ
        # What the fast part has taken of a fault, it gives back again; only what the slow part took is learned.
        alike = ALIKE / season.fades if season.sure == 1 else ALIKE
        unlike, season.other = 0.0, 0
        if season.days >= 2:
            alone = season.days < demand.KNOWN or season.unsure > 0.0 or season.again != 0.0
            is_other, unlike = other_day(chart, shared, alone, not knows_week)
            if is_other:  # of which only the outline is known: what lasts is no evidence
                alike, season.other = ALIKE, 1
        # Of what is no evidence for the smallest size nobody asks how harmless it is.
        if season.days >= 1 and (chart.alive == 1 or not says_nothing(x, mean, mean * SIZES[0], scatter)):
            unlike = max(unlike, _came_early(season, x, mean, position, scatter))
            if not knows_week and not _knows_like(season, position):
                unlike = max(unlike, _of_another_kind(x, mean, scatter))
        if knows_week:
            fleet.judged += 1.0  # near stops alone are rare, and say nothing of how rare peaks will be
        weigh(chart, fleet, now, x, exposure, np.nan, mean, scatter, SIZES, least, cap, unlike, alike)
    chart.seen += 1
    burst = chart.seen > 30 and _is_above(x, mean, scatter)
    chart.hot = chart.hot + 1 if burst else 0
    if burst:
        usual = exposure * math.exp(season.trend) if season.days >= 1 else 0.0
        is_back = mean < SUNKEN * usual and not _is_above(x, usual, scatter)
        if chart.hot < (AGAIN if is_back else BURST_LASTS / quarters):
            return
        if is_back:
            demand.place(season, math.log(x / exposure), season.quick + season.stays)
            chart.alpha[1] = chart.beta[1] = 0.0
            return
    demand.learn(chart, season, x, exposure, SIZES)
    if season.unsure > 0.0:
        demand.keep_down(season)
    elif chart.total < BELIEVED and chart.seen > 5:
        scatters.learn(chart, season, now, x, exposure)


@compiled_in_place
def _knows_like(season: Record, position: float) -> bool:
    """Was a whole day of the same half of the week, working days or weekend, seen already?"""
    weekend = position + 0.5 >= 5.0 * QUARTERS
    seen = 0.0
    for day in range(5, 7) if weekend else range(5):
        seen += season.taught[day]
    return seen > 0.0


@inlined
def _of_another_kind(x: float, mean: float, scatter: float) -> float:
    """Evidence (nats, at least 0) that this is the first day of another kind, which brings less."""
    most = 0.0
    if x < mean:
        for part in LULLS:
            most = max(most, evidence(x, mean, mean * part, scatter))
    return most


@inlined
def _is_above(x: float, mean: float, scatter: float) -> bool:
    return x > mean + 2.0 and x > mean + BURST_SD * predictive_sd(mean, scatter) + 2.0


@compiled_in_place
def _stand(
    chart: Record, season: Record, now: int, x: float, usual: float, quarters: float, lasts: int
) -> None:
    """One interval of a raised throughput. Over is what jumps back, or what is as it was before."""
    add_up(chart, now, x, usual, np.nan)
    chart.astray = demand.strays(season, float(now + 1 - chart.onset), quarters)
    lasting = min(2.0 * season.fades, LASTING) * season.quick
    single = 1.0 / max(usual * chart.ra / chart.rb, 1e-3) + season.chance + season.quick
    gain = as_before(chart, x, usual, np.nan, PART, season.quick + season.stays) * single / (single + lasting)
    jump = demand.jumped_back(chart, season, now, x, usual, quarters)
    clear(chart, now, x, usual, np.nan, lasts, max(gain, jump))
    if chart.raised == 0:
        demand.restart(chart, season)


@inlined
def _came_early(season: Record, x: float, mean: float, position: float, scatter: float) -> float:
    """Evidence (nats, at least 0) that a step of the profile came a little early or late, which needs no belief."""
    if x >= mean:
        return 0.0
    enough = STEP_SD * math.sqrt(season.quick + season.stays)
    fall = _fall_around(season, position, enough)
    if fall < enough:
        return 0.0  # a slope, and no step: demand strays by more than that
    return max(0.0, float(evidence(x, mean, mean * math.exp(-fall), scatter)))


@compiled_in_place
def _fall_around(season: Record, position: float, enough: float) -> float:
    """By how much (in logs) the profile is lower within a quarter of an hour: when exactly a step comes is not
    known. Or 0 where that is clearly less than `enough`."""
    here = log_shape_at(season, position, True)
    if here - _lowest_around(season, position) < enough:
        return 0.0
    least = here
    for k in range(-2, 3):
        least = min(least, log_shape_at(season, position + 0.5 * k, True))
    return here - least


@inlined
def _lowest_around(season: Record, position: float) -> float:
    """The log of the lowest quarter of an hour of those that the profile within one of them is drawn between."""
    first = int(math.floor(position) - season.begins) % WEEK - 1
    if first < 0 or first + 4 > len(season.near):
        return -math.inf
    least = season.near[first]
    for i in range(first + 1, first + 4):
        least = min(least, season.near[i])
    return least * UNIT


@inlined
def _was_told(season: Record, position: float) -> bool:
    """Was a loss told in this quarter of an hour a week ago? Then it teaches what it brings (season.py)."""
    quarter = math.floor(position + 0.5) % WEEK
    return bool(season.doubted[quarter // 8] & np.uint8(1 << quarter % 8))


@compiled_in_place
def _doubt(season: Record, first: float, last: float) -> None:
    """Remember for next week that a loss is told between these positions of the running day."""
    day = math.floor((last + 0.5) / QUARTERS) * QUARTERS
    for quarter in range(max(math.floor(first + 0.5) - day, 0), math.floor(last + 0.5) - day + 1):
        season.doubts[quarter // 8] |= np.uint8(1 << quarter % 8)


@inlined
def add_to_day(season: Record, x: float, of: float, position: float, quarters: float) -> None:
    """Add an interval whose middle is at `position` to the running day: x, out of `of`."""
    count = max(int(quarters), 1)
    first = math.floor(position + 0.5 - (0.5 * quarters if count > 1 else 0.0))
    for i in range(count):
        q = int(first + i) % QUARTERS
        season.day_x[q] += x / count
        season.day_n[q] += of
