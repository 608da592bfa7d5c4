"""Is a source that used to be measured silent while we were listening?

A run of intervals without a measurement is news when it is longer than LEAST and than twice the longest run
that turned out to be harmless (which fades with a memory of weeks). A zero is a measurement. An interval in
which we were not listening is nothing. Not for: sources that report now and then.
"""

from __future__ import annotations

import numpy as np

from detectors.compiled import compiled
from detectors.memory import Columns

LEAST = 3  # intervals: one may be a missed scrape, two a restart
KNOWN = 30  # measured intervals before a silence can mean anything
MEMORY = 2.0 ** (-1 / 20160)


@compiled
def listen(m: Columns, c: int, number: int, x: float, expected: float, lasts: int) -> int:
    """One watched interval of chart c; x NaN = silent. Returns the phase: 0, 1 raised, 2 standing, 3 cleared.

    lasts: intervals after which a source that stays silent is taken to be gone for good.
    """
    m.longest[c] *= MEMORY
    if np.isnan(x):
        m.run[c] += 1
        m.s_back[c] = 0
        if m.s_raised[c] == 1:
            m.s_lost[c] += expected
            if m.run[c] >= lasts:
                m.s_raised[c], m.seen[c] = 0, 0
                return 3
            return 2
        if m.seen[c] >= KNOWN and m.run[c] >= max(LEAST, 2.0 * m.longest[c] + 1.0):
            m.s_raised[c] = 1
            m.s_onset[c] = number - m.run[c] + 1
            m.s_lost[c] = expected * m.run[c]
            return 1
        return 0
    m.rate[c] = x if m.seen[c] == 0 else m.rate[c] + (x - m.rate[c]) / min(60.0, m.seen[c] + 1.0)
    if m.s_raised[c] == 1:
        m.s_back[c] += 1
        m.run[c] = 0
        if m.s_back[c] >= 2:
            m.s_raised[c] = 0
            return 3
        return 2
    m.longest[c] = max(m.longest[c], float(m.run[c]))
    m.run[c] = 0
    return 0
