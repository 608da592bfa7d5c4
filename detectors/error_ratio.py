"""Are more of the total failing than usual?

x = errors, of n = total. The usual share is the level of expect.py, with exposure e = n: exact at 0, 1, 2
errors, binomial where the share is large. Hypotheses: the odds of failing are SIZES times the usual.
Not for: totals that are themselves lost (use a flow), or shares that differ by the hour more than twofold.
"""

from __future__ import annotations

import numpy as np

SIZES = np.array([1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0])
CAP = 4.0  # nats that a single interval may add while nobody knows yet how often intervals are just odd
