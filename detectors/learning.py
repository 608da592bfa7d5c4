"""What a signal can see already, and what it waits for. Pure.

In: Memory's columns and the plan. Out: one of the words below for each signal.
Never: a judgement; a signal that still learns is judged as far as it can be.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from detectors.flow import READY, is_ready
from detectors.memory import Columns
from detectors.plan import ERROR, FLOW, THROUGHPUT, Plan
from detectors.throughput import WARM_UP


class Learning(IntEnum):
    """How far a signal is, from the least on."""

    NOTHING = 0  # none of its counts was measured yet
    LAG = 1  # a flow whose lag is not known yet
    DAY = 2  # a throughput without a day of history: near stops only
    WEEK = 3  # a throughput without a week of history: near stops only
    READY = 4


WORDS = {
    Learning.NOTHING: "nothing measured yet",
    Learning.LAG: "still learning how long it takes to come out",
    Learning.DAY: "still learning: sees near stops only, until it has seen a day",
    Learning.WEEK: "still learning: sees near stops only, until it has seen a week",
    Learning.READY: "judged",
}


def learning(columns: Columns, plan: Plan) -> NDArray[np.int64]:
    """int64[signals]: Learning of each signal of the plan.

    A rollout has nothing to learn: it is judged while two versions serve.
    """
    charts, found = columns.charts, np.full(len(plan.signals), int(Learning.READY), dtype=np.int64)
    whole = [c for c, chart in enumerate(plan.charts) if not chart.slice and not chart.version]
    for c in whole:
        family, kind = plan.family[c], plan.kind[c]
        if charts.first[c] < 0 or (kind == ERROR and charts.seen[c] == 0):
            found[family] = Learning.NOTHING
        elif kind == FLOW:
            lag = plan.lag[c]
            if not is_ready(columns.flows[lag], plan.reach[lag]):
                found[family] = Learning.LAG
        elif kind == THROUGHPUT:
            days = int(columns.seasons[plan.season[c]].days)
            if days < 7:
                found[family] = Learning.DAY if days < 1 or charts.seen[c] < WARM_UP else Learning.WEEK
    return found


def until_curve(columns: Columns, plan: Plan, c: int) -> int:
    """Intervals that must still teach the curve of flow chart `c`, at the least."""
    flow, reach = columns.flows[plan.lag[c]], int(plan.reach[plan.lag[c]])
    return max(0, (READY if flow.quick == 1 else 2 * reach) - int(flow.fits))
