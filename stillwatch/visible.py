"""The smallest fault that each signal can show within some minutes. Pure.

In: the plan, and the intervals of the last week. Out: a share of errors, or of what is missing, by signal.
Never: a promise: it is what evidence there is at usual traffic, for a fault that is there from one interval on.

A fault is visible when its log evidence, information a time interval times intervals, reaches the log of the
time between false alarms that the budget leaves each chart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collector.bins import Bins
from detectors.plan import TALLY, Plan, gather

USUAL = 7 * 86400  # seconds of history that tell what is usual
KEPT = 0.9  # share that comes out from which on a flow is judged by what is missing of it


@dataclass(frozen=True, slots=True)
class Visible:
    """what: "error share" or "loss". usual: the share of errors, or what counts in a usual interval. smallest: the
    share of errors, or of loss, that shows within the time; None when not even the loss of everything does."""

    service: str
    signal: str
    what: str
    usual: float | None
    smallest: float | None


def smallest(plan: Plan, bins: Bins, within: int = 600) -> list[Visible]:
    """For each signal but rollouts, in the order of the plan. within: seconds."""
    recent = bins.cut(max(0, len(bins) - USUAL // bins.width), len(bins))
    last = np.full(len(plan.row_service), -1, dtype=np.int64)
    x, n = gather(recent.values, plan.counted, plan.out_of, plan.row_service, plan.services, last, 0)
    whole = {c.family: i for i, c in enumerate(plan.charts) if not c.slice and not c.version}
    intervals = max(1, within // plan.width)
    # Time between false alarms of one chart, in intervals.
    judged = max(1, sum(chart.kind != TALLY for chart in plan.charts))
    apart = judged * plan.budget.per / max(plan.budget.false_alerts, 1e-9) / plan.width
    need = math.log(max(apart, math.e)) / intervals
    found: list[Visible] = []
    for family, signal in enumerate(plan.signals):
        chart = whole.get(family)
        if chart is None or signal.kind == "rollout":
            continue
        counted, out_of = x[:, chart], n[:, chart]
        if signal.kind == "error_ratio":
            usual, share = _share(counted, out_of)
            found.append(
                Visible(signal.service, signal.name, "error share", share, _errors(usual, share, need))
            )
        else:
            usual, kept = (_middle(counted), None) if signal.kind == "throughput" else _share(counted, out_of)
            if signal.kind == "flow" and (kept is None or kept < KEPT):
                usual, kept = _middle(counted), None
            loss = _loss(usual, need) if kept is None else _missing(usual, kept, need)
            found.append(Visible(signal.service, signal.name, "loss", usual, loss))
    return found


def _middle(counts: NDArray[np.float64]) -> float | None:
    measured = counts[~np.isnan(counts)]
    return float(np.median(measured)) if len(measured) else None


def _share(counted: NDArray[np.float64], out_of: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """(how many there are in a usual interval, the usual share of them), None where nothing was measured."""
    both = ~np.isnan(counted) & ~np.isnan(out_of)
    total = float(out_of[both].sum())
    if total <= 0:
        return None, None
    return float(np.median(out_of[both])), float(counted[both].sum()) / total


def _errors(n: float | None, share: float | None, need: float) -> float | None:
    """The share of errors above the usual one whose information reaches `need` an interval."""
    if n is None or share is None:
        return None
    usual = min(max(share, 1e-6), 0.999)
    return _least(usual, 1 - 1e-9, lambda p: n * _apart(p, usual), need)


def _missing(n: float | None, kept: float, need: float) -> float | None:
    usual = min(max(1 - kept, 1e-4), 0.999)
    found = _errors(n, usual, need)
    return None if found is None else max(found - usual, 0.0)


def _loss(m: float | None, need: float) -> float | None:
    """The share of a Poisson count of mean m whose absence reaches `need` an interval."""
    if m is None:
        return None
    return _least(0.0, 1.0, lambda q: m * (q + ((1 - q) * math.log(1 - q) if q < 1 else 0.0)), need)


def _apart(p: float, usual: float) -> float:
    return p * math.log(p / usual) + (1 - p) * math.log((1 - p) / (1 - usual))


def _least(low: float, high: float, information: Callable[[float], float], need: float) -> float | None:
    if information(high) < need:
        return None
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if information(middle) >= need else (middle, high)
    return high
