"""The weekly profile: what each quarter of an hour of the week usually brings. Pure; off the tick.

In: the counts of a day that is over. Out: the log shape of the week in Memory's seasons.
Never: a day's growth, level or burst in the shape; an interval under suspicion, unless it was suspicious a week ago
as well; a step at midnight; a holiday (holidays.py) in the shape of its weekday.

scikit-learn's ridge regression on periodic splines: a shape of the day for all, one for weekends, one for
every weekday, each shrunk towards the one before, as far as the weeks agree on it.
"""

from __future__ import annotations

import math
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from detectors.almanac import remember_day, take_holiday
from detectors.memory import QUARTERS, STEP, WEEK, Floats, fields, in_units, shape_of

QUARTER = 900  # seconds
AT_ONCE = 4096  # profiles: so many are worked on together, lest their copies fill the memory
HOURS = 24
SETTLED = 4.0  # times that a weekday was seen, from which on it weighs no more
UNSEEN = 0.5  # the same of one that was never seen, and is taken to be like others
LEAST_MEASURED = 0.5  # of a quarter's intervals, for it to teach
LEAST_EXPECTED = 20.0  # events out of a flow in a quarter, for it to teach
STEP_OFF, QUARTERS_AROUND = (
    8.0,
    24,
)  # times what is not smooth within so many quarters, that a step is more than
MIDNIGHTS = slice(QUARTERS - 1, None, QUARTERS)  # from the last quarter of a day to the next one
LEAST_BEND = 0.06  # in logs, by which the cells bend at midnight where there is a step at least,
BEND_OFF = 3.5  # and times what they bend by around it
BLURS = 4  # quarters on either side of a step that the smooth shape blurs;
HIGH, FAR_BLURS = 2.0, 12  # in logs, a step (from open to closed) that it blurs so far
BURST_UP, BURST_LONG = (
    0.1,
    7,
)  # how far above what is around it a burst may pull, in logs; fewer quarters are one
MOST_UP, MOST_DOWN = 0.3, 0.6  # how far one day may pull a known quarter, in logs: bursts less than lulls


def local_offsets(times: NDArray[np.int64], timezone: str) -> NDArray[np.int64]:
    """Seconds that `timezone` is ahead of UTC at each of `times` (epoch seconds)."""
    hours, where = np.unique(times // 3600, return_inverse=True)
    zone = ZoneInfo(timezone)
    offsets = []
    for hour in hours:
        shift = datetime.fromtimestamp(int(hour) * 3600, zone).utcoffset()
        offsets.append(int(shift.total_seconds()) if shift is not None else 0)
    return np.array(offsets, dtype=np.int64)[where]


def week_positions(times: NDArray[np.int64], width: int, timezone: str) -> Floats:
    """Where the middle of each interval lies in the local week: quarters of an hour since Monday 00:00,
    less a half so that whole numbers are the middles of quarters."""
    local = times + local_offsets(times, timezone) + width / 2.0
    # 1 January 1970 was a Thursday: three days after a Monday.
    return ((local + 3 * 86400) % (7 * 86400)) / QUARTER - 0.5


def local_days(times: NDArray[np.int64], timezone: str) -> NDArray[np.int64]:
    """Number of the local day of each time, since the epoch."""
    return (times + local_offsets(times, timezone)) // 86400


def shapes_at(seasons: Any, position: float) -> Floats:
    """float64[seasons]: the log shape in the quarter of `position`, as laid out around today (holidays.py).

    seasons: memory.fields of them, here and below.
    """
    whole, rows = math.floor(position), np.arange(len(seasons.begins))
    at = (whole - seasons.begins) % WEEK
    is_near = at < seasons.near.shape[1]
    near = seasons.near[rows, np.where(is_near, at, 0)]
    return shape_of(np.where(is_near, near, seasons.usual[:, whole % WEEK]))


def end_day(seasons: Any, flows: NDArray[np.bool_], day: int) -> None:
    """Take the local day number `day`, now over, into the profiles; `seasons` (memory.SEASON) change in place.

    flows: bool[seasons], those whose day_n is what was expected, not how many intervals were measured.
    """
    for at in range(0, len(seasons), AT_ONCE):
        _end_day(fields(seasons[at : at + AT_ONCE]), flows[at : at + AT_ONCE], day)


def _end_day(seasons: Any, flows: NDArray[np.bool_], day: int) -> None:
    measured = seasons.day_n
    least = LEAST_MEASURED * np.maximum(measured.max(axis=1, keepdims=True), 1.0)
    least[flows] = LEAST_EXPECTED
    enough = measured >= least
    weekday = (day + 3) % 7
    agreed = _agreed(seasons, weekday, enough)
    # A day with a large gap has no shape of its own; a flow may rest for hours, and a desk is closed by night. Once
    # two weeks agree, a quarter of it will do: most of the rest was told as a loss, since so much was expected.
    quarters, usually = enough.sum(axis=1), np.where(seasons.open > 0.0, seasons.open, QUARTERS)
    least_quarters = np.where(flows, 0.5 * QUARTERS, 0.8 * usually)
    whole = quarters >= np.where(agreed.any(axis=1), 0.25 * QUARTERS, least_quarters)
    seasons.open[:] = np.where(quarters > 0, 0.5 * (usually + quarters), usually)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Half an event more in each quarter, the less the more such days were seen: what never comes is not to be
        # expected.
        known = np.where(flows, 0.0, seasons.taught[:, weekday])
        log_mean = np.log((seasons.day_x + 0.5 / (1.0 + known[:, None])) / measured)
    log_mean[~enough] = np.nan
    remember_day(seasons, day)
    holiday = whole & (seasons.unsure > 0.0)
    if holiday.any():
        take_holiday(seasons, holiday, filled(log_mean[holiday]))
    taught = np.flatnonzero(whole & (seasons.unsure == 0.0))
    if len(taught):
        _take_day(seasons, taught, weekday, log_mean[taught], flows[taught], agreed[taught])
        # A fit takes milliseconds; threads that wait for each other on busy cores make a third of a second of it.
        with _threads().limit(limits=1):
            _smooth(seasons, taught, ~flows)
    seasons.day_x[:], seasons.day_n[:], seasons.doubts[:] = 0.0, 0.0, 0


def _agreed(seasons: Any, weekday: int, enough: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """bool[seasons, QUARTERS]: a loss was told a week ago and again today. No fault comes by the calendar: the
    profile is wrong. What is told for the first time is written down for the next week."""
    at = slice(weekday * QUARTERS // 8, (weekday + 1) * QUARTERS // 8)
    before, now = _bits(seasons.doubted[:, at]), _bits(seasons.doubts)
    seasons.doubted[:, at] = np.packbits(now & ~before, axis=1, bitorder="little")
    return before & now & enough


def _bits(packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.unpackbits(packed, axis=1, bitorder="little").astype(np.bool_)


def _take_day(
    seasons: Any,
    rows: NDArray[np.int64],
    weekday: int,
    log_mean: Floats,
    flows: NDArray[np.bool_],
    agreed: NDArray[np.bool_],
) -> None:
    """A day into the means of its weekday. log_mean: float64[rows, QUARTERS]; flows, agreed: of these rows."""
    at = slice(weekday * QUARTERS, (weekday + 1) * QUARTERS)
    known, days = seasons.taught[rows, weekday], seasons.days[rows]
    shape = shape_of(seasons.usual[rows, at])
    # What two weeks agree on says how wrong the shape is, and not how much such a day brings.
    rest = np.where(agreed, np.nan, log_mean)
    level = _medians(np.where(np.isnan(rest).all(axis=1, keepdims=True), log_mean, rest) - shape)
    trend = seasons.trend[rows]
    trend = np.where(days == 0, level, trend + np.where(known > 0.0, 0.2 * (level - trend), 0.0))
    # Of a weekday that was never seen, other days have taught the shape.
    cells = np.where(known[:, None] > 0.0, shape_of(seasons.cells[rows, at]), shape)
    off = filled(log_mean - trend[:, None] - cells)
    sent = ~flows  # a flow brings what was sent, whenever that was
    week = np.roll(shape_of(seasons.usual[rows[sent]]), -weekday * QUARTERS, axis=1)  # from this day on
    around = week[:, -BURST_LONG:], week[:, QUARTERS : QUARTERS + BURST_LONG]
    off[sent] = _without_bursts(off[sent], cells[sent], seasons.day_x[rows[sent]], around)
    bounded = (known[:, None] > 0.0) & ~agreed
    off = np.where(bounded, np.clip(off, -MOST_DOWN, MOST_UP), off)
    weight = np.where(agreed, 1.0, np.maximum(1.0 / (known + 1.0), 0.25)[:, None])
    seasons.cells[rows, at] = in_units(cells + off * weight)
    seasons.trend[rows] = trend
    seasons.taught[rows, weekday] = known + 1.0
    seasons.days[rows] = days + 1


def _medians(days: Floats) -> Floats:
    """float64[n]: the median of each of float64[n, QUARTERS], of what is measured of it."""
    found, gaps = np.median(days, axis=1), np.isnan(days).any(axis=1)
    if gaps.any():  # which takes ten times as long
        found[gaps] = np.nanmedian(days[gaps], axis=1)
    return found


def _without_bursts(off: Floats, known: Floats, counts: Floats, around: tuple[Floats, Floats]) -> Floats:
    """float64[n, QUARTERS]: a campaign of an hour is not to be expected at that hour of every week.

    off: by how much a day was off what is known of it. A burst may pull its quarters up by BURST_UP over a
    straight line from before it to after it, be it of what came or of what it was off by. It is what an opening (in
    the sense of morphology) takes away: what rises for less than BURST_LONG; slopes and steps stay. around:
    float64[n, k] each, what is known of the end of the day before and of the beginning of the day after, which a
    rise around midnight may lead to.
    """
    from scipy.ndimage import binary_dilation, grey_opening  # here, not above: it takes a while to import

    long = (1, BURST_LONG)
    chance = 3.0 / np.sqrt(grey_opening(counts, long, mode="wrap") + 0.5)
    up = off > grey_opening(off, long, mode="wrap") + BURST_UP + chance
    some = up.any(axis=1)  # of most days nothing is one
    if not some.any():
        return off
    up, known, day, before = up[some], known[some], off[some], around[0].shape[1]
    up = binary_dilation(np.pad(up, ((0, 0), (1, 1)), mode="wrap"), [[True, True, True]])[:, 1:-1]
    whole = np.hstack([around[0][some], np.where(up, np.nan, known + day), around[1][some]])
    came = filled(whole)[:, before : before + QUARTERS] - known
    without = off.copy()
    without[some] = np.minimum(day, np.maximum(filled(np.where(up, np.nan, day)), came) + BURST_UP)
    return without


def filled(days: Floats) -> Floats:
    """float64[n, quarters] with their gaps bridged by straight lines, from the end to the beginning too."""
    out, quarter = days.copy(), np.arange(days.shape[1])
    for row in np.flatnonzero(np.isnan(days).any(axis=1)):
        known = np.flatnonzero(~np.isnan(days[row]))
        out[row] = np.interp(quarter, known, days[row, known], period=days.shape[1])
    return out


@lru_cache(maxsize=1)
def _splines() -> Floats:
    """float64[WEEK, 7, HOURS]: a cubic spline around the middle of each hour of the week, and across midnight."""
    from scipy.interpolate import BSpline  # here, not above: it takes a while to import

    hours = 7 * HOURS
    off = (np.arange(WEEK)[:, None] + 0.5) * hours / WEEK - (np.arange(hours) + 0.5)
    humps = BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)(
        (off + hours / 2) % hours - hours / 2
    )
    return np.nan_to_num(humps).reshape(WEEK, 7, HOURS)


@lru_cache(maxsize=1)
def _design() -> Floats:
    """float64[WEEK, columns]: splines of a day for all, for weekends and for each weekday, and weekday levels.

    One day goes over into the next within some hours, as traffic does: a level of its own that began at midnight
    would bring a step that is none.
    """
    splines = _splines()
    weekend, days = splines[:, 5:].sum(axis=1), [splines[:, day] for day in range(7)]
    parts = [splines.sum(axis=1), 0.7 * weekend, 0.5 * weekend.sum(axis=1, keepdims=True)]
    parts += [0.3 * day for day in days] + [0.5 * day.sum(axis=1, keepdims=True) for day in days]
    return np.hstack(parts)


def _smooth(seasons: Any, changed: NDArray[np.int64], has_steps: NDArray[np.bool_]) -> None:
    """Refit the shape of the changed profiles: those taught on equal days share one factorisation.

    has_steps: bool[seasons], whose steps are kept.
    """
    taught = np.minimum(seasons.taught[changed], SETTLED)
    young = taught.min(axis=1) < SETTLED
    old = changed[~young]
    if len(old):
        cells = shape_of(seasons.cells[old])
        smooth = _smoothed(cells)
        seasons.usual[old] = in_units(smooth + has_steps[old, None] * _steps(cells, smooth))
    if not young.any():  # as in all weeks but the first
        return
    patterns, which = np.unique(taught[young], axis=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        rows = changed[young][which == i]
        cells = _with_unseen(shape_of(seasons.cells[rows]), pattern)
        smooth = _fitted(tuple(np.maximum(pattern, UNSEEN).tolist()), cells)
        seasons.usual[rows] = in_units(smooth + has_steps[rows, None] * _steps(cells, smooth))


@lru_cache(maxsize=1)
def _threads() -> Any:
    """How many threads linear algebra may use, once all that does some is loaded."""
    import sklearn.linear_model  # noqa: F401  here, not above: it takes a second to import
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _smoothed(cells: Floats) -> Floats:
    """float64[n, WEEK]: the smooth shape of n profiles once all days are known well.

    The fit is linear in the cells, so that one fit to every single cell serves for ever. Of the cells it knows no
    more than their sums under each spline, and what it says is made of splines, which are 0 nearly everywhere.
    """
    splines, fit = _smoother()
    return np.ascontiguousarray((splines @ (fit @ (splines.T @ cells.T))).T)


@lru_cache(maxsize=1)
def _smoother() -> tuple[Any, Floats]:
    """The splines, sparse [WEEK, 7 HOURS]; and float64[7 HOURS, 7 HOURS], from sums of the cells under each of them
    to how much of each is in the smooth week."""
    from scipy.sparse import csr_array  # here, not above: it takes a while to import

    splines = _splines().reshape(WEEK, -1)
    within = np.linalg.pinv(splines)
    return csr_array(splines), np.asarray(within @ _fitted((SETTLED,) * 7, np.eye(WEEK)).T @ within.T)


def _fitted(taught: tuple[float, ...], cells: Floats) -> Floats:
    """float64[n, WEEK]: the smooth shape of n profiles whose days were taught so often each."""
    from sklearn.linear_model import Ridge

    design, weights = _design(), np.repeat(taught, QUARTERS)
    fitted = Ridge(alpha=0.02, fit_intercept=True).fit(design, cells.T, sample_weight=weights)
    return np.asarray(fitted.predict(design)).T.reshape(len(cells), WEEK)


def _with_unseen(cells: Floats, taught: Floats) -> Floats:
    """float64[n, WEEK]: days never seen are taken to be like another working day, or the weekend's other day; where
    there is none, like the mean of all that were seen."""
    days = cells.reshape(len(cells), 7, QUARTERS).copy()
    seen = np.flatnonzero(taught > 0.0)
    for day in np.flatnonzero(taught <= 0.0):
        like = seen[(seen >= 5) == (day >= 5)]
        days[:, day] = days[:, like[-1]] if len(like) else days[:, seen].mean(axis=1)
    return days.reshape(len(cells), WEEK)


def _steps(cells: Floats, smooth: Floats) -> Floats:
    """float64[seasons, WEEK]: what the smooth shape is off by around quarters that jump (a job that starts by the
    clock, opening hours); elsewhere 0. At midnight less is one, if nothing around bends as much: a day may
    be another one by the clock."""
    off, steps = cells - smooth, np.zeros_like(cells)
    height, bend = _to_next(cells), _to_next(off)
    some = (height > min(STEP, HIGH)).any(axis=1) | (bend[:, MIDNIGHTS] > LEAST_BEND).any(axis=1)
    if not some.any():  # as mostly
        return steps
    off, height, bend = off[some], height[some], bend[some]
    jumps = height > np.maximum(STEP, STEP_OFF * _around(np.abs(off)))
    jumps[:, MIDNIGHTS] |= (bend > np.maximum(LEAST_BEND, BEND_OFF * _around(bend)))[:, MIDNIGHTS]
    near = np.zeros_like(jumps)
    for k in range(-FAR_BLURS + 1, FAR_BLURS + 1):
        near |= np.roll(jumps if -BLURS < k <= BLURS else height > HIGH, k, axis=1)
    steps[some] = np.where(near, off, 0.0)
    return steps


def _to_next(week: Floats) -> Floats:
    """float64[n, WEEK]: how far each quarter is from the next one."""
    return np.abs(np.roll(week, -1, axis=1) - week)


def _around(week: Floats) -> Floats:
    """float64[n, WEEK]: the mean over QUARTERS_AROUND quarters on either side."""
    wide = np.cumsum(np.pad(week, ((0, 0), (QUARTERS_AROUND + 1, QUARTERS_AROUND)), mode="wrap"), axis=1)
    return np.asarray(
        (wide[:, 2 * QUARTERS_AROUND + 1 :] - wide[:, : -2 * QUARTERS_AROUND - 1]) / (2 * QUARTERS_AROUND + 1)
    )
