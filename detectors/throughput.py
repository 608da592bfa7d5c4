"""Is less arriving than this hour of this week should bring, or nothing at all?

x = count, exposure e = the weekly profile (season.py; 1 before a day is known), level = recent demand.
Hypotheses: SIZES of the usual are left. Bursts do not raise the level, so that their end is no loss. A loss
must also beat the explanation that today is like another day: a Sunday (a holiday), or an hour off (clocks).
Not for: losses inside a burst, or counts that follow what another service sends (use a flow).
"""

from __future__ import annotations

import numpy as np

from detectors.compiled import compiled
from detectors.memory import WEEK, Floats

SIZES = np.array([0.95, 0.9, 0.8, 0.65, 0.45, 0.2, 0.05, 0.005])
CAP = 6.0
# While the profile is young the level has to follow the day itself: only larger losses can be told from it.
SD_NO_DAY, SD_NO_WEEK = 0.35, 0.2


@compiled
def shape_at(week: Floats, position: float) -> float:
    """The profile at a position in quarters of an hour since Monday 00:00, between quarters linearly."""
    whole = int(np.floor(position))
    part = position - whole
    a, b = week[whole % WEEK], week[(whole + 1) % WEEK]
    return float(np.exp(a + (b - a) * part))
