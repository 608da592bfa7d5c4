"""Days of the calendar on which the weekday says little: what they are judged by. Pure.

In: the days that are holidays (Plan.holidays), the profiles. Out: the week as it is to be expected around today and
how far off a holiday may be. Never: a holiday before a week is known; until then it is a day like any other.

A holiday is taken for a Sunday, and for what earlier holidays of this signal differed from Sundays by: their mean,
as if one of them had been a Sunday exactly. How far holidays differ from one another is learned in the same way;
what may be such a difference is told as no loss. That it is an ordinary day after all is believed from the start,
and an ordinary morning does not raise the level that the afternoon is judged by. After it the level is that of
before, give or take what a holiday is, and found out by what comes. What it teaches: season.py.

On other days, what the same day a year ago was like is believed from the start, if it was far from its profile.
"""

from __future__ import annotations

import numpy as np

from detectors.demand import KNOWN
from detectors.judge import OTHER_DAY
from detectors.memory import DAYS_LIKE, QUARTERS, Columns
from detectors.plan import Plan
from detectors.season import SUNDAY, year_before

ORDINARY = DAYS_LIKE - 1  # the place of the ordinary day among the other days that a holiday may be like
APART = 0.6  # standard deviation (log) of a holiday around what is expected of it, worth one holiday


def lay_days(columns: Columns, plan: Plan, today: int) -> None:
    """Put the holidays around local day number `today` in their places in the weeks; `columns` change in place."""
    seasons = columns.seasons
    near = [day for day in (today - 1, today, today + 1) if day in plan.holidays]
    laid = 8 * today + sum(1 << (day - today + 1) for day in near)
    if (seasons.laid == laid).all():
        return
    seasons.week[:], seasons.laid[:], seasons.unsure[:] = seasons.usual, laid, 0.0
    know = np.flatnonzero(seasons.days >= 7)
    for day in near:
        at = np.arange(QUARTERS) + (day + 3) % 7 * QUARTERS
        seasons.week[np.ix_(know, at)] = seasons.usual[know, SUNDAY] + seasons.holiday[know]
    if today in plan.holidays:
        seasons.unsure[know] = np.sqrt((APART**2 + seasons.apart[know]) / (seasons.holidays[know] + 1.0))
    seasons.sure[:] = seasons.days >= (KNOWN if {today - 1, today}.isdisjoint(near) else np.inf)
    seasons.again[:] = np.where(seasons.unsure > 0.0, 0.0, year_before(seasons, today))
    if today - 1 not in plan.holidays:
        seasons.top[:] = seasons.slow
    for c in np.flatnonzero(plan.season >= 0):
        chart = columns.charts[c]
        chart.ab[ORDINARY], chart.unlike[ORDINARY] = 0.0, 0.0
        season = seasons[plan.season[c]]
        chart.like[ORDINARY] = OTHER_DAY if season.unsure > 0.0 or season.again != 0.0 else 0.0
