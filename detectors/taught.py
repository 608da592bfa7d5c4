"""What a person takes for no fault becomes the usual: the level of its charts is that of the fault. Pure.

In: Memory's columns after an interval, the signal and the kind of a finding. Out: the same columns, quiet.
Never: a level taken from one interval; a chart touched that has nothing to do with the finding.

The same as what persists for a day does by itself (judge.clear), at once: what is worse than this is told again.
"""

from __future__ import annotations

import numpy as np

from detectors import demand
from detectors.findings import FindingKind
from detectors.judge import BELIEVED, EXPIRED, raise_alarm, settle
from detectors.memory import Columns, Record
from detectors.plan import ERROR, FLOW, ROLLOUT, ROLLOUT_FLOW, THROUGHPUT, Plan
from detectors.signals import Signal

KINDS: dict[FindingKind, tuple[int, ...]] = {
    "error_spike": (ERROR,),
    "data_loss": (THROUGHPUT, FLOW),
    "rollout": (ROLLOUT, ROLLOUT_FLOW),
}


def take_for_usual(columns: Columns, plan: Plan, signal: Signal, kind: FindingKind, number: int) -> None:
    """Let what is raised of this signal be the usual after interval `number`; its slices and versions as well."""
    if signal not in plan.signals:
        return  # the settings are others now
    rows = np.flatnonzero(plan.family == plan.signals.index(signal))
    for c in rows:
        chart = columns.charts[c]
        if kind == "no_data":
            _gone(chart)
        elif plan.kind[c] in (ROLLOUT, ROLLOUT_FLOW):
            if plan.kind[c] in KINDS[kind] and chart.raised == 1:
                _as_old_as_the_others(chart, columns.charts.first[rows])
        elif plan.kind[c] in KINDS[kind]:
            _settle(columns, plan, int(c), number)


def _settle(columns: Columns, plan: Plan, c: int, number: int) -> None:
    chart, kind = columns.charts[c], plan.kind[c]
    if chart.raised == 0 and kind != THROUGHPUT and chart.total >= BELIEVED:
        # A slice that would be told of the same fault in a moment.
        raise_alarm(chart, number, kind == ERROR)
    if chart.raised == 0:
        return
    settle(chart, number, EXPIRED, _factor(chart))
    chart.phase = 0
    # The new level is known as well as what was counted since the onset tells it; it learns from there.
    surer = max(chart.alpha[0] / max(float(chart.rx - chart.vx), 1.0), 1.0)
    for weights in (chart.alpha, chart.beta, chart.ja, chart.jb):
        weights /= surer
    if kind == THROUGHPUT:
        demand.restart(chart, columns.seasons[plan.season[c]])
    elif kind == FLOW:
        flow = columns.flows[plan.lag[c]]
        flow.owed_ring[:] = flow.owed
        flow.held = 0


def _factor(chart: Record) -> float:
    """How many times the usual the fault is: since its onset or of late, whichever is further from the usual."""
    counted, expected = float(chart.rx - chart.vx), float(chart.rm - chart.vm)
    if expected <= 0.0:
        return float(chart.ratio)
    whole = counted / expected
    recent = float(chart.near_x / chart.near_m) if chart.near_m > 0.0 else whole
    return max(whole, recent) if whole > 1.0 else min(whole, recent)


def _gone(chart: Record) -> None:
    """A source that may be silent: until it has been measured for a while again nothing is asked of it."""
    if chart.s_raised == 1:
        chart.s_raised, chart.s_phase, chart.seen = 0, 0, 0
        chart.longest = max(float(chart.longest), float(chart.run))


def _as_old_as_the_others(chart: Record, firsts: np.typing.NDArray[np.int64]) -> None:
    """A version that is taken for the usual is held against none any more, and later ones are held against it."""
    chart.raised, chart.phase, chart.total = 0, 0, 0.0
    chart.w[:] = 0.0
    chart.first = firsts[firsts >= 0].min()
