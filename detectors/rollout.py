"""While two versions serve side by side, does the new one fail or lose more than the old one?

Every error of an interval came from the new version or from the old ones. If both are alike, the new one has
x of all e errors with probability share = n_new / (n_new + n_old): a binomial in which no usual share appears,
so a shift of both at once says nothing. Hypotheses: the odds of the new one are SIZES times as high. The
products of likelihood ratios are a mixture e-process (look as often as you like), restarted at 0 (CUSUM).
For flows, an error is an event that is missing for certain: it went in longer than `within` ago and is still
owed by the running totals. Not for: versions whose traffic differs in kind (say so with `where`).
"""

from __future__ import annotations

import numpy as np

from detectors.compiled import compiled
from detectors.judge import ALIKE, picture, weigh
from detectors.memory import RING, Record

SIZES = np.array([1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0])
CAP = 4.0


@compiled
def missing_for_certain(chart: Record, number: int, came_out: float, went_in: float, reach: int) -> float:
    """Newly certain losses of version c: the rise of the highest (in until `reach` ago) - (out until now)."""
    chart.ring_n[number % RING] = went_in
    due = np.float64(chart.ring_n[(number - reach) % RING]) if reach < RING else np.nan
    if not np.isnan(due):
        chart.went_in += due
    if not np.isnan(came_out):
        chart.came_out += came_out
    owed = chart.went_in - chart.came_out
    if owed <= chart.missing:
        return 0.0
    news = owed - chart.missing
    chart.missing = owed
    return float(news)


@compiled
def judge(
    chart: Record, fleet: Record, now: int, served: float, old_harm: float, old_served: float, cap: float
) -> None:
    """One interval of a version: chart.harm of `served` against what the versions before it did."""
    if old_served <= 0.0 or np.isnan(served) or np.isnan(chart.harm) or served <= 0.0:
        _apart(chart, now)
        return
    chart.run = 0
    both = chart.harm + old_harm
    share = both * served / (served + old_served)
    picture(chart, now, share, share, -1.0 / both if both > 0.0 else 0.0)
    chart.ring_x[now % RING] = chart.harm
    if chart.raised == 1:
        chart.rx += chart.harm
        chart.rm += share
        chart.rn += served
        chart.rv += share
        chart.phase = 2
        return
    if both > 0.0:
        fleet.judged += 1.0
        weigh(chart, fleet, now, chart.harm, share, both, share, -1.0 / both, SIZES, 0.0, cap, 0.0, ALIKE)
    chart.seen += 1


@compiled
def _apart(chart: Record, now: int) -> None:
    """The two do not serve side by side: after two such intervals the comparison is over."""
    chart.run += 1
    if chart.raised == 1:
        chart.phase = 2
    if chart.run < 2:
        return
    if chart.raised == 1:
        chart.raised, chart.phase, chart.why = 0, 3, 1
        chart.v_since = now - chart.run + 1
    chart.total = 0.0
    chart.w[:] = 0.0
