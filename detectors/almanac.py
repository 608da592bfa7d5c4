"""What days of the calendar were like as a whole: those of the last year, and holidays. Pure; off the tick.

In: what a day that is over brought. Out: by how much the same day a year ago was off its profile; by how much
holidays differ from Sundays. Never: a day that was as usual, give or take what days stray by.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.memory import DAY_UNIT, QUARTERS, WEEK, YEAR, Floats, in_units, shape_of

SUNDAY = slice(6 * QUARTERS, WEEK)
EPOCH = date(1970, 1, 1).toordinal()
FAR_OFF = 0.2  # in logs: days that were further off are remembered for a year
AROUND = 9  # quarters that are averaged in what a holiday differs by


def remember_day(seasons: Any, day: int) -> None:
    """Write down a day that brought much less or more than its profile; `seasons` change in place."""
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.log((seasons.came + 0.5) / seasons.meant) - seasons.trend
    ordinary = (seasons.days >= 7) & (seasons.unsure == 0.0) & (seasons.meant > 0.0)
    far = np.abs(off) >= np.maximum(FAR_OFF, 3.0 / np.sqrt(seasons.came + 1.0))
    write_day(seasons, day, np.where(ordinary & far, off, 0.0))
    seasons.came[:], seasons.meant[:] = 0.0, 0.0


def write_day(seasons: Any, day: int, off: Floats | float) -> None:
    """By how much (log) local day number `day` was off its profile, 0 = as usual."""
    seasons.ago[:, day % YEAR] = np.clip(np.rint(np.asarray(off) / DAY_UNIT), -127, 127).astype(np.int8)


def year_before(seasons: Any, day: int) -> Floats:
    """float64[seasons]: by how much (log) the day of the same date, or the same weekday of that week, was off."""
    today = date.fromordinal(day + EPOCH)
    leap = (today.month, today.day) == (2, 29)
    same = date(today.year - 1, today.month, 28 if leap else today.day).toordinal() - EPOCH
    by_date, by_week = (seasons.ago[:, at % YEAR] * DAY_UNIT for at in (same, day - 364))
    return np.where(np.abs(by_date) >= np.abs(by_week), by_date, by_week)


def take_holiday(seasons: Any, which: NDArray[np.bool_], log_mean: Floats) -> None:
    """What a holiday differed from a Sunday by, into what holidays do, and how far that was off.

    which: bool[seasons], for which today is one; log_mean: float64[of these, QUARTERS].
    """
    differs = log_mean - seasons.trend[which, None] - shape_of(seasons.usual[which, SUNDAY])
    wide = np.pad(differs, ((0, 0), (AROUND // 2, AROUND // 2)), mode="wrap")
    sums = np.cumsum(np.pad(wide, ((0, 0), (1, 0))), axis=1)  # of few days, no finer shape is known
    known = shape_of(seasons.holiday[which])
    new = (sums[:, AROUND:] - sums[:, :-AROUND]) / AROUND - known
    seasons.apart[which] += np.mean(new * new, axis=1)
    seasons.holidays[which] += 1
    seasons.holiday[which] = in_units(known + new / (seasons.holidays[which, None] + 1.0))
