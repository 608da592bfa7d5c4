"""Days of the calendar on which the weekday says little: what they are judged by. Pure.

In: the days that are holidays (Plan.holidays), the profiles. Out: the week as it is to be expected around today and
how far off a holiday may be. Never: a holiday before a week is known; until then it is a day like any other.

A holiday is taken for a Sunday, and for what earlier holidays of this signal differed from Sundays by: their mean,
as if one of them had been a Sunday exactly. How far holidays differ from one another is learned in the same way;
what may be such a difference is told as no loss. That it is an ordinary day after all is believed from the start,
and an ordinary morning does not raise the level that the afternoon is judged by. After it the level is that of
before, give or take what a holiday is, and found out by what comes. What it teaches: almanac.py.

On other days, what the same day a year ago was like is believed from the start, if it was far from its profile.
"""

from __future__ import annotations

import numpy as np

from detectors.almanac import SUNDAY, year_before
from detectors.demand import KNOWN
from detectors.judge import OTHER_DAY
from detectors.memory import DAYS_LIKE, MARGIN, QUARTERS, WEEK, Columns, fields
from detectors.plan import Plan

ORDINARY = DAYS_LIKE - 1  # the place of the ordinary day among the other days that a holiday may be like
APART = 0.6  # standard deviation (log) of a holiday around what is expected of it, worth one holiday


def lay_days(columns: Columns, plan: Plan, today: int) -> None:
    """Lay out local day number `today` and its neighbours, holidays in their places; `columns` change in place."""
    seasons = fields(columns.seasons)
    near = [day for day in (today - 1, today, today + 1) if day in plan.holidays]
    laid = 8 * today + sum(1 << (day - today + 1) for day in near)
    if (seasons.laid == laid).all():
        return
    begins = (today + 3) % 7 * QUARTERS - MARGIN
    around = begins + np.arange(QUARTERS + 2 * MARGIN)
    seasons.near[:] = seasons.usual[:, around % WEEK]
    seasons.begins[:], seasons.laid[:], seasons.unsure[:] = begins, laid, 0.0
    know = np.flatnonzero(seasons.days >= 7)
    for day in near:
        at = np.flatnonzero(around // QUARTERS == (today + 3) % 7 + day - today)
        quarter = around[at] % QUARTERS
        seasons.near[np.ix_(know, at)] = (
            seasons.usual[know][:, SUNDAY][:, quarter] + seasons.holiday[know][:, quarter]
        )
    if today in plan.holidays:
        seasons.unsure[know] = np.sqrt((APART**2 + seasons.apart[know]) / (seasons.holidays[know] + 1.0))
    seasons.sure[:] = seasons.days >= (KNOWN if {today - 1, today}.isdisjoint(near) else np.inf)
    seasons.again[:] = np.where(seasons.unsure > 0.0, 0.0, year_before(seasons, today))
    if today - 1 not in plan.holidays:
        seasons.top[:] = seasons.slow
    mine = np.flatnonzero(plan.season >= 0)
    charts, own = fields(columns.charts), plan.season[mine]
    charts.ab[mine, ORDINARY], charts.unlike[mine, ORDINARY] = 0.0, 0.0
    is_odd = (seasons.unsure[own] > 0.0) | (seasons.again[own] != 0.0)
    charts.like[mine, ORDINARY] = np.where(is_odd, OTHER_DAY, 0.0)
