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
from detectors.memory import RING, Columns

SIZES = np.array([1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0])
CAP = 4.0


@compiled
def missing_for_certain(
    m: Columns, c: int, number: int, came_out: float, went_in: float, reach: int
) -> float:
    """Newly certain losses of version c: the rise of the highest (in until `reach` ago) - (out until now)."""
    m.ring_n[c, number % RING] = went_in
    due = m.ring_n[c, (number - reach) % RING] if reach < RING else np.nan
    if not np.isnan(due):
        m.went_in[c] += due
    if not np.isnan(came_out):
        m.came_out[c] += came_out
    owed = m.went_in[c] - m.came_out[c]
    if owed <= m.missing[c]:
        return 0.0
    news = owed - m.missing[c]
    m.missing[c] = owed
    return float(news)
