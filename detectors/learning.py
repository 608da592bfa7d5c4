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
    charts, seasons = columns.charts, columns.seasons
    stage = np.full(len(plan.charts), int(Learning.READY), dtype=np.int64)
    arrives = np.flatnonzero(plan.kind == THROUGHPUT)
    days = seasons.days[plan.season[arrives]]
    stage[arrives[days < 7]] = Learning.WEEK
    stage[arrives[(days < 1) | (charts.seen[arrives] < WARM_UP)]] = Learning.DAY
    stage[arrives[days >= 7]] = Learning.READY
    for c in np.flatnonzero(plan.kind == FLOW):
        if not is_ready(columns.flows[plan.lag[c]], plan.reach[plan.lag[c]]):
            stage[c] = Learning.LAG
    stage[(charts.first < 0) | ((plan.kind == ERROR) & (charts.seen == 0))] = Learning.NOTHING
    found = np.full(len(plan.signals), int(Learning.READY), dtype=np.int64)
    found[plan.family[plan.alone]] = stage[plan.alone]
    return found


def until_curve(columns: Columns, plan: Plan, c: int) -> int:
    """Intervals that must still teach the curve of flow chart `c`, at the least."""
    flow, reach = columns.flows[plan.lag[c]], int(plan.reach[plan.lag[c]])
    return max(0, (READY if flow.quick == 1 else 2 * reach) - int(flow.fits))
