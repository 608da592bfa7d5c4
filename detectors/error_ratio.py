"""Are more of the total failing than usual?

x = errors, of n = total. The usual share is the level of expect.py, with exposure e = n: exact at 0, 1, 2
errors, binomial where the share is large. Hypotheses: the odds of failing are SIZES times the usual.
Not for: totals that are themselves lost (use a flow), or shares that differ by the hour more than twofold.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.compiled import compiled_in_place, inlined
from detectors.expect import SLOW_KEEPS
from detectors.judge import ALIKE, BELIEVED, learn, mean_of, picture, scatter_of, spread_of, stand, weigh
from detectors.memory import LEVELS, Record

WANDER_MEMORY, WANDER_BEFORE = 20160.0, 7200.0  # intervals; and how many of them the first belief is worth
SIZES = np.array([1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0])
PART = 0.1  # of a fault: while it goes on, the fault is not over
CAP = 4.0  # nats that a single interval may add while nobody knows yet how often intervals are just odd


@inlined
def judge(
    chart: Record, fleet: Record, now: int, x: float, n: float, cap: float, lasts: int, least_more: float
) -> None:
    """One interval of an error ratio: x of n failed, both measured. least_more: a smaller rise of the share is not
    looked for."""
    if n <= 0.0:
        return  # nobody asked for anything: nothing to be learned
    x = min(x, n)
    mean, scatter = mean_of(chart, n), scatter_of(chart) - 1.0 / n
    picture(chart, now, n, mean, scatter)
    if chart.raised == 1:
        stand(chart, now, x, n, n, lasts, PART)
        return
    # Sizes nearer to 1 than twice as far as the share wanders by itself can't be told from that.
    least = 2.0 * math.sqrt(max(spread_of(chart, LEVELS - 1), chart.wander))
    if least_more > 0.0:
        least = max(least, math.log(1.0 + least_more * n / max(mean, 1e-9)))
    fleet.judged += 1.0
    weigh(chart, fleet, now, x, n, n, mean, scatter, SIZES, least, cap, 0.0, ALIKE)
    learn(chart, x, n, n, SIZES, SLOW_KEEPS)
    if chart.total < BELIEVED:
        _learn_wander(chart)
    chart.seen += 1


@compiled_in_place
def count_unwatched(chart: Record, x: float, n: float) -> None:
    """Add to what a raised chart has lost what came of an interval that is not judged: x of n failed."""
    mean = n * chart.ra / chart.rb
    chart.rx += x
    chart.rm += mean
    chart.rn += n
    chart.rv += mean + mean * mean * spread_of(chart, chart.best)


@inlined
def _learn_wander(chart: Record) -> None:
    """How far the recent share strays from that of the last week, beyond what few errors make it stray."""
    recent = chart.alpha[0] / chart.beta[0]
    usual = chart.alpha[LEVELS - 1] / chart.beta[LEVELS - 1]
    off = recent / usual - 1.0
    square = max(min(off * off, 4.0) - 1.0 / chart.alpha[0], 0.0)
    chart.wander += (square - chart.wander) / min(chart.seen + WANDER_BEFORE, WANDER_MEMORY)
