"""The weekly profile: what each quarter of an hour of the week usually brings. Pure; off the tick.

In: the counts of a day that is over. Out: the log shape of the week, and of holidays, in Memory's seasons.
Never: a day's growth, level or burst in the shape; an interval under suspicion; a step at midnight; a holiday
(holidays.py) in the shape of its weekday. What a day was like as a whole is remembered for a year.

scikit-learn's ridge regression on periodic splines: a shape of the day for all, one for weekends, one for
every weekday, each shrunk towards the one before, as far as the weeks agree on it.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from detectors.memory import QUARTERS, STEP, WEEK, YEAR, Floats

QUARTER = 900  # seconds
SUNDAY = slice(6 * QUARTERS, WEEK)
EPOCH = date(1970, 1, 1).toordinal()
FAR_OFF = 0.2  # in logs: days that were further off are remembered for a year
HOLIDAY_AROUND = 9  # quarters that are averaged in what a holiday differs by
KNOTS = 24
SETTLED = 4.0  # times that a weekday was seen, from which on it weighs no more
LEAST_MEASURED = 0.5  # of a quarter's intervals, for it to teach
LEAST_EXPECTED = 20.0  # events out of a flow in a quarter, for it to teach
STEP_OFF, HOURS_AROUND = 8.0, 24  # times what is not smooth within so many quarters, that a step is more than
BLURS = 4  # quarters on either side of a step that the smooth shape blurs;
HIGH, FAR_BLURS = 2.0, 12  # in logs, a step (from open to closed) that it blurs so far
BURST_UP, AROUND = (
    0.1,
    17,
)  # how far above the quarters around it one may pull, in logs; how many are around it
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


def end_day(seasons: Any, flows: NDArray[np.bool_], day: int) -> None:
    """Take the local day number `day`, now over, into the profiles: `seasons` (memory.SEASON) change in place.

    flows: bool[seasons], those whose day_n is what was expected, not how many intervals were measured.
    """
    measured = seasons.day_n
    least = LEAST_MEASURED * np.maximum(measured.max(axis=1, keepdims=True), 1.0)
    least[flows] = LEAST_EXPECTED
    enough = measured >= least
    # A day with a large gap has no shape of its own; a flow may rest for hours, and a desk is closed by night.
    quarters, usually = enough.sum(axis=1), np.where(seasons.open > 0.0, seasons.open, QUARTERS)
    whole = quarters >= np.where(flows, 0.5 * QUARTERS, 0.8 * usually)
    seasons.open[:] = np.where(quarters > 0, 0.5 * (usually + quarters), usually)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Half an event more in each quarter, the less the more such days were seen: what never comes is not to be
        # expected.
        known = np.where(flows, 0.0, seasons.taught[:, (day + 3) % 7])
        log_mean = np.log((seasons.day_x + 0.5 / (1.0 + known[:, None])) / measured)
    log_mean[~enough] = np.nan
    _remember(seasons, day)
    for s in np.flatnonzero(whole & (seasons.unsure > 0.0)):
        _take_holiday(seasons, int(s), log_mean[s])
    whole &= seasons.unsure == 0.0
    for s in np.flatnonzero(whole):
        _take_day(seasons, int(s), (day + 3) % 7, log_mean[s], bool(flows[s]))
    seasons.day_x[:], seasons.day_n[:] = 0.0, 0.0
    changed = np.flatnonzero(whole)
    if len(changed):
        # A fit takes milliseconds; threads that wait for each other on busy cores make a third of a second of it.
        with _threads().limit(limits=1):
            _smooth(seasons, changed, ~flows)


def _remember(seasons: Any, day: int) -> None:
    """A day that brought much less or more than its profile, for the same day of the next year."""
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.log((seasons.came + 0.5) / seasons.meant) - seasons.trend
    ordinary = (seasons.days >= 7) & (seasons.unsure == 0.0) & (seasons.meant > 0.0)
    far = np.abs(off) >= np.maximum(FAR_OFF, 3.0 / np.sqrt(seasons.came + 1.0))
    seasons.ago[:, day % YEAR] = np.where(ordinary & far, off, 0.0)
    seasons.came[:], seasons.meant[:] = 0.0, 0.0


def year_before(seasons: Any, day: int) -> Floats:
    """float64[seasons]: by how much (log) the day of the same date, or the same weekday of that week, was off."""
    today = date.fromordinal(day + EPOCH)
    leap = (today.month, today.day) == (2, 29)
    same = date(today.year - 1, today.month, 28 if leap else today.day).toordinal() - EPOCH
    by_date, by_week = seasons.ago[:, same % YEAR], seasons.ago[:, (day - 364) % YEAR]
    return np.where(np.abs(by_date) >= np.abs(by_week), by_date, by_week)


def _take_holiday(seasons: Any, s: int, log_mean: Floats) -> None:
    """What it differed from a Sunday by, into what holidays differ from Sundays by, and how far that was off."""
    differs = _fill(log_mean - seasons.trend[s] - seasons.usual[s, SUNDAY])
    wide = np.pad(differs, HOLIDAY_AROUND // 2, mode="wrap")  # of few days, no finer shape is known
    new = np.convolve(wide, np.full(HOLIDAY_AROUND, 1.0 / HOLIDAY_AROUND), mode="valid") - seasons.holiday[s]
    seasons.apart[s] += float(np.mean(new * new))
    seasons.holidays[s] += 1
    seasons.holiday[s] += new / (seasons.holidays[s] + 1.0)


def _take_day(seasons: Any, s: int, weekday: int, log_mean: Floats, is_flow: bool) -> None:
    at = slice(weekday * QUARTERS, (weekday + 1) * QUARTERS)
    known, shape = seasons.taught[s, weekday], seasons.usual[s, at]
    level = float(np.nanmedian(log_mean - shape)) if seasons.days[s] else float(np.nanmedian(log_mean))
    if seasons.days[s] == 0:
        seasons.trend[s] = level
    elif known:
        seasons.trend[s] += 0.2 * (level - seasons.trend[s])
    if known == 0:
        seasons.cells[s, at] = shape  # what other days have taught about this one
    off = log_mean - seasons.trend[s] - seasons.cells[s, at]
    if known:
        off = np.clip(off, -MOST_DOWN, MOST_UP)
    off = _fill(off)
    if not is_flow:  # which brings what was sent, whenever that was
        off = _without_bursts(off, seasons.day_x[s])
    seasons.cells[s, at] += off * max(1.0 / (known + 1.0), 0.25)
    seasons.taught[s, weekday] = known + 1.0
    seasons.days[s] += 1


def _without_bursts(day: Floats, counts: Floats) -> Floats:
    """float64[QUARTERS]: a campaign of an hour is not to be expected at that hour of every week."""
    return np.minimum(day, _around(day) + BURST_UP + 2.0 / np.sqrt(_around(counts) + 0.5))


def _around(day: Floats) -> Floats:
    """float64[QUARTERS]: the median of the quarters around each."""
    from scipy.ndimage import median_filter  # here, not above: see _design

    return np.asarray(median_filter(day, AROUND, mode="nearest"))


def _fill(day: Floats) -> Floats:
    """float64[QUARTERS] with its gaps bridged by straight lines, across midnight too."""
    known = np.flatnonzero(~np.isnan(day))
    return np.interp(np.arange(QUARTERS), known, day[known], period=QUARTERS)


@lru_cache(maxsize=1)
def _design() -> Floats:
    """float64[WEEK, columns]: daily splines for all, for weekends and for each weekday, and weekday levels."""
    from sklearn.preprocessing import SplineTransformer  # here, not above: it takes a second to import

    quarter = np.arange(WEEK) % QUARTERS
    day = np.arange(WEEK) // QUARTERS
    splines = SplineTransformer(
        n_knots=KNOTS + 1,
        degree=3,
        knots=np.linspace(0, QUARTERS, KNOTS + 1).reshape(-1, 1),
        extrapolation="periodic",
        include_bias=True,
    ).fit_transform(quarter.reshape(-1, 1).astype(np.float64))
    weekend = (day >= 5).astype(np.float64)[:, None]
    days = [(day == d).astype(np.float64)[:, None] for d in range(7)]
    parts = [splines, 0.7 * splines * weekend, 0.5 * weekend]
    parts += [0.3 * splines * d for d in days] + [0.5 * d for d in days]
    return np.hstack(parts)


def _smooth(seasons: Any, changed: NDArray[np.int64], has_steps: NDArray[np.bool_]) -> None:
    """Refit the shape of the changed profiles: those taught on equal days share one factorisation.

    has_steps: bool[seasons], whose steps are kept.
    """
    patterns, which = np.unique(np.minimum(seasons.taught[changed], SETTLED), axis=0, return_inverse=True)
    for i, taught in enumerate(patterns):
        rows = changed[which == i]
        known = tuple(taught.tolist())
        cells = seasons.cells[rows].astype(np.float64)
        smooth = cells @ _smoother() if min(known) >= SETTLED else _fitted(known, cells)
        seasons.usual[rows] = smooth + has_steps[rows, None] * _of_like_days(_steps(cells, smooth), known)


@lru_cache(maxsize=1)
def _threads() -> Any:
    """How many threads linear algebra may use, once all that does some is loaded."""
    import sklearn.linear_model  # noqa: F401  here, not above: see _design
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@lru_cache(maxsize=1)
def _smoother() -> Floats:
    """float64[WEEK, WEEK]: cells @ this is the smooth shape once all days are known well.

    The fit is linear in the cells, so that one fit to every single cell serves for ever.
    """
    return _fitted((SETTLED,) * 7, np.eye(WEEK))


def _fitted(taught: tuple[float, ...], cells: Floats) -> Floats:
    """float64[n, WEEK]: the smooth shape of n profiles whose days were taught so often each."""
    from sklearn.linear_model import Ridge

    design, weights = _design(), np.repeat(taught, QUARTERS)
    fitted = Ridge(alpha=0.02, fit_intercept=True).fit(design, cells.T, sample_weight=weights)
    return np.asarray(fitted.predict(design)).T.reshape(len(cells), WEEK)


def _of_like_days(steps: Floats, taught: tuple[float, ...]) -> Floats:
    """float64[n, WEEK]: days never seen have the steps of another working day, or of the weekend's other day."""
    days = steps.reshape(len(steps), 7, QUARTERS).copy()
    for half in (range(5), range(5, 7)):
        seen = [day for day in half if taught[day] > 0.0]
        for day in half:
            if taught[day] <= 0.0:
                days[:, day] = days[:, seen[-1]] if seen else 0.0
    return days.reshape(len(steps), WEEK)


def _steps(cells: Floats, smooth: Floats) -> Floats:
    """float64[seasons, WEEK]: what the smooth shape is off by around quarters that jump (a job that starts by the
    clock, opening hours); elsewhere 0."""
    off = cells - smooth
    wide = np.cumsum(np.pad(np.abs(off), ((0, 0), (HOURS_AROUND + 1, HOURS_AROUND)), mode="wrap"), axis=1)
    scatter = (wide[:, 2 * HOURS_AROUND + 1 :] - wide[:, : -2 * HOURS_AROUND - 1]) / (2 * HOURS_AROUND + 1)
    height = np.abs(np.roll(cells, -1, axis=1) - cells)
    jumps = height > np.maximum(STEP, STEP_OFF * scatter)
    near = np.zeros_like(jumps)
    for k in range(-FAR_BLURS + 1, FAR_BLURS + 1):
        near |= np.roll(jumps if -BLURS < k <= BLURS else height > HIGH, k, axis=1)
    return np.where(near, off, 0.0)
