"""What a person takes for no fault becomes the usual: the level of its charts is that of the fault. Pure.

In: Memory's columns after an interval, the signal and the kind of a finding. Out: the same columns, quiet, and
what was believed before. Never: a level taken from one interval; a chart touched that has nothing to do with the
finding.

The same as what persists for a day does by itself (judge.clear), at once: what is worse than this is told again.
Of both, what was believed before is kept for a week, and believed again once it has been as before for an hour on
end: the next fault would else be measured against this one. Throughputs need none of that, for they follow demand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detectors import demand
from detectors.expect import evidence
from detectors.findings import Finding, FindingKind
from detectors.judge import BELIEVED, CLEAR_CAP, ENOUGH, EXPIRED, forget_evidence, raise_alarm, settle
from detectors.memory import RING, Columns, Record
from detectors.plan import COHORT, ERROR, FLOW, ROLLOUT, ROLLOUT_FLOW, THROUGHPUT, Plan
from detectors.signals import Signal

KINDS: dict[FindingKind, tuple[int, ...]] = {
    "error_spike": (ERROR,),
    "data_loss": (THROUGHPUT, FLOW, COHORT),
    "rollout": (ROLLOUT, ROLLOUT_FLOW),
}
KEPT = 7 * 86400  # seconds for which what was believed before is kept
QUIET = 3600  # seconds on end that it must be as before: a fault that comes and goes has pauses
FOLLOWED = (ERROR, FLOW, COHORT)  # kinds of chart whose level follows a fault
CLEARED = 3  # phase, see memory.CHART
# How the sums of a flow scatter, which the end of a fault must not teach.
SCATTERS = ("spread", "spread_n", "misfit", "misfit_n")


@dataclass(frozen=True, slots=True)
class Taught:
    """What a chart believed before it was taught.

    key: of the chart, see Plan.keys. number: of the interval after which. alpha, beta: the level; scatter: beyond
    chance, relative; num, den: see memory.CHART; flow: see SCATTERS. factor: of the level, that was taught.
    v: evidence (nats) that it is as before, since interval `began`; counted, exposure: since then.
    """

    key: str
    number: int
    alpha: float
    beta: float
    scatter: float
    num: tuple[float, ...]
    den: tuple[float, ...]
    factor: float
    flow: tuple[tuple[float, ...], ...] = ()
    v: float = 0.0
    began: int = 0
    counted: float = 0.0
    exposure: float = 0.0


def take_for_usual(
    columns: Columns, plan: Plan, signal: Signal, kind: FindingKind, number: int
) -> list[Taught]:
    """Let what is raised of this signal be the usual after interval `number`; its slices and versions as well."""
    if signal not in plan.signals:
        return []  # the settings are others now
    found: list[Taught] = []
    rows = np.flatnonzero(plan.family == plan.signals.index(signal))
    for c in rows:
        chart = columns.charts[c]
        if kind == "no_data":
            _gone(chart)
        elif plan.kind[c] in (ROLLOUT, ROLLOUT_FLOW):
            if plan.kind[c] in KINDS[kind] and chart.raised == 1:
                _as_old_as_the_others(chart, columns.charts.first[rows])
        elif plan.kind[c] in KINDS[kind]:
            found += _settle(columns, plan, int(c), number)
    return found


def grown_usual(columns: Columns, plan: Plan, findings: Sequence[Finding], number: int) -> list[Taught]:
    """What charts believed before that which was cleared in interval `number` because it had lasted too long to be
    a fault."""
    found: list[Taught] = []
    for signal in dict.fromkeys(f.signal for f in findings if f.cleared == "expired"):
        for c in np.flatnonzero(plan.family == plan.signals.index(signal)):
            chart = columns.charts[c]
            factor = chart.alpha[0] * chart.rb / (chart.beta[0] * chart.ra) if chart.ra > 0.0 else 1.0
            if chart.phase == CLEARED and chart.why == EXPIRED and factor != 1.0 and plan.kind[c] in FOLLOWED:
                found.append(_believed(columns, plan, int(c), number, float(factor)))
    return found


def as_before(columns: Columns, plan: Plan, taught: Sequence[Taught], number: int) -> tuple[Taught, ...]:
    """Weigh interval `number`: what has been as before for long enough believes again what it did before. taught:
    in the order in which it was. Returns what is still taught."""
    still: list[Taught] = []
    again = set[str]()
    for one in taught:
        if one.key in again:
            continue  # taught later, it was believed only on top of what is over with this
        if one.key not in plan.keys or (number - one.number) * plan.width > KEPT:
            continue
        c = plan.keys.index(one.key)
        after = (
            one if columns.charts[c].raised == 1 else _weighed(columns.charts[c], plan.kind[c], one, number)
        )
        if after.v >= ENOUGH and (number - after.began + 1) * plan.width >= QUIET:
            _believe_again(columns, plan, c, after, number)
            again.add(one.key)
        else:
            still.append(after)
    return tuple(still)


def _weighed(chart: Record, kind: int, one: Taught, number: int) -> Taught:
    x, exposure = float(chart.ring_x[number % RING]), float(chart.ring_e[number % RING])
    if np.isnan(x) or np.isnan(exposure) or exposure <= 0.0:
        return one
    before = exposure * one.alpha / one.beta
    scatter = one.scatter + 1.0 / max(one.alpha, 1.0) - (1.0 / exposure if kind in (ERROR, COHORT) else 0.0)
    gain = evidence(x, before * one.factor, before, scatter)
    v = min(max(0.0, one.v + min(max(gain, -CLEAR_CAP), CLEAR_CAP)), 2.0 * ENOUGH)
    if one.v <= 0.0:
        return replace(one, v=v, began=number, counted=x, exposure=exposure)
    return replace(one, v=v, counted=one.counted + x, exposure=one.exposure + exposure)


def _believe_again(columns: Columns, plan: Plan, c: int, one: Taught, number: int) -> None:
    chart = columns.charts[c]
    chart.ra, chart.rb = one.alpha, one.beta
    chart.num[:], chart.den[:] = one.num, one.den
    forget_evidence(chart, number, 1.0)
    chart.calm = number + 1
    if plan.kind[c] == FLOW:
        # What was kept of it, and what came when, is known by the curve as well, and that has learned meanwhile.
        chart.beta[:] *= one.alpha / one.beta * one.exposure / max(one.counted, 1.0)
        flow = columns.flows[plan.lag[c]]
        flow.owed_ring[:] = flow.owed
        for name, values in zip(SCATTERS, one.flow, strict=True):
            getattr(flow, name)[:] = values


def _settle(columns: Columns, plan: Plan, c: int, number: int) -> list[Taught]:
    chart, kind = columns.charts[c], plan.kind[c]
    if chart.raised == 0 and kind != THROUGHPUT and chart.total >= BELIEVED:
        # A slice that would be told of the same fault in a moment.
        raise_alarm(chart, number, kind in (ERROR, COHORT))
    if chart.raised == 0:
        return []
    factor = _factor(chart)
    before = _believed(columns, plan, c, number, factor)
    settle(chart, number, EXPIRED, factor)
    chart.phase = 0
    # The new level is known as well as what was counted since the onset tells it; it learns from there.
    surer = max(chart.alpha[0] / max(float(chart.rx - chart.vx), 1.0), 1.0)
    for weights in (chart.alpha, chart.beta, chart.ja, chart.jb):
        weights /= surer
    if kind == THROUGHPUT:
        demand.restart(chart, columns.seasons[plan.season[c]])
        return []
    if kind == FLOW:
        flow = columns.flows[plan.lag[c]]
        flow.owed_ring[:] = flow.owed
        flow.held = 0
    return [before]


def _believed(columns: Columns, plan: Plan, c: int, number: int, factor: float) -> Taught:
    chart, scatters = columns.charts[c], tuple[tuple[float, ...], ...]()
    scatter = max(float(chart.num[-1] / chart.den[-1]), 0.0) if chart.den[-1] > 0.0 else 0.0
    num, den = tuple(map(float, chart.num)), tuple(map(float, chart.den))
    if plan.kind[c] == FLOW:
        flow = columns.flows[plan.lag[c]]
        scatters = tuple(tuple(map(float, getattr(flow, name))) for name in SCATTERS)
    return Taught(plan.keys[c], number, float(chart.ra), float(chart.rb), scatter, num, den, factor, scatters)


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
