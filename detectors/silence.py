"""Is a source that used to be measured silent while we were listening?

A run of intervals without a measurement is news when it is longer than LEAST and than twice the longest run
that turned out to be harmless (which fades with a memory of weeks). A zero is a measurement. An interval in
which we were not listening is nothing. Not for: sources that report now and then.
"""

from __future__ import annotations

import numpy as np

from detectors.compiled import inlined
from detectors.memory import Record

LEAST = 5  # intervals: some scrapes are missed, and a restart takes a while
KNOWN = 30  # measured intervals before a silence can mean anything
MEMORY = 2.0 ** (-1 / 20160)


@inlined
def listen(chart: Record, number: int, x: float, expected: float, lasts: int) -> int:
    """One watched interval of chart c; x NaN = silent. Returns the phase: 0, 1 raised, 2 standing, 3 cleared.

    lasts: intervals after which a source that stays silent is taken to be gone for good.
    """
    chart.longest *= MEMORY
    if np.isnan(x):
        chart.run += 1
        chart.s_back = 0
        if chart.s_raised == 1:
            chart.s_lost += expected
            if chart.run >= lasts:
                chart.s_raised, chart.seen = 0, 0
                return 3
            return 2
        if chart.seen >= KNOWN and chart.run >= max(LEAST, 2.0 * chart.longest + 1.0):
            chart.s_raised = 1
            chart.s_onset = number - chart.run + 1
            chart.s_lost = expected * chart.run
            return 1
        return 0
    chart.rate = x if chart.seen == 0 else chart.rate + (x - chart.rate) / min(60.0, chart.seen + 1.0)
    if chart.s_raised == 1:
        chart.s_back += 1
        chart.run = 0
        if chart.s_back >= 2:
            chart.s_raised = 0
            return 3
        return 2
    chart.longest = max(chart.longest, float(chart.run))
    chart.run = 0
    return 0
