"""From columns to sentences: the charts that have news become findings. Pure.

In: Memory's columns after an interval. Out: one finding per signal and kind. Late counts come in here too.
Never: evidence of its own.

Slices and versions are charts of their own; people are told once per signal, by the chart that lost most. Which
attribute values explain it is searched for when there is something to tell (slices.py), whichever chart speaks.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector.bins import Bins
from detectors import cells, cohort, slices
from detectors.findings import Cleared, Finding, FindingKind, Instance, Phase, Trace
from detectors.instances import ROLLS, attribute, instances
from detectors.judge import LATE, settle
from detectors.memory import QUICK, RING, Columns
from detectors.plan import (
    COHORT,
    ERROR,
    FLOW,
    ROLLOUT,
    ROLLOUT_FLOW,
    TALLY,
    THROUGHPUT,
    VERSION,
    Plan,
    Rows,
)
from detectors.slices import Slice

FINDING: dict[int, FindingKind] = {
    ERROR: "error_spike",
    THROUGHPUT: "data_loss",
    FLOW: "data_loss",
    COHORT: "data_loss",
    ROLLOUT: "rollout",
    ROLLOUT_FLOW: "rollout",
}
WHY: dict[int, Cleared] = {1: "recovered", 2: "late_data", 3: "expired"}
Z95 = 1.96
CORRELATED = 30.0  # intervals for which demand strays from its level in one direction
BEFORE = 10  # intervals before a fault that show that there was none
ONE_FAULT = 30  # intervals between onsets of what failed and what went missing


def tell(columns: Columns, plan: Plan, bins: Bins, index: int) -> list[Finding]:
    """The findings of interval `index` of `bins`, in the order of the plan's signals."""
    charts = columns.charts
    found: list[Finding] = []
    for family in np.unique(plan.family[(charts.phase > 0) | (charts.s_phase > 0)]):
        rows = [int(c) for c in np.flatnonzero(plan.family == family)]
        judged = [c for c in rows if plan.kind[c] != TALLY and charts.phase[c] > 0]
        if judged:
            finding = _of_family(columns, plan, bins, index, rows, judged)
            if finding is not None:
                found.append(_then(finding, bins.width * int(plan.waits[family])))
        silent = [c for c in rows if charts.s_phase[c] > 0]
        if silent:
            finding = _silence(charts, plan, bins, index, silent[0])
            found.append(_then(finding, bins.width * int(plan.waits[family])))
    return found


def _then(finding: Finding, waited: int) -> Finding:
    """A finding of a signal that is judged so many seconds later, at the times at which it happened."""
    if not waited:
        return finding
    names = ("onset", "onset_low", "onset_high", "seen", "recovered")
    times = {name: getattr(finding, name) - waited for name in names if getattr(finding, name)}
    trace = finding.trace and replace(finding.trace, start=finding.trace.start - waited)
    return replace(finding, trace=trace, **times)


def take_late(columns: Columns, plan: Plan, bins: Bins, index: int) -> bool:
    """Take counts that became known at interval `index`, for intervals that were judged before, into what the
    raised charts have lost, and into the rings of all. Returns whether any that is raised changed."""
    charts, changed = columns.charts, False
    known = np.flatnonzero(bins.late.interval == index)
    heard = [_was_judged(charts, bins, int(i), int(bins.start // bins.width + index)) for i in known]
    if len(known):
        _remember_late(columns, plan, bins, known, int(bins.start // bins.width + index))
    for i, judged in zip(known, heard, strict=True):
        number, row = int(bins.late.start[i]) // bins.width, int(bins.late.row[i])
        for c in np.flatnonzero(plan.kind == COHORT):
            changed |= cohort.take_late(
                columns, plan.entries, int(c), int(plan.cohort[c]), number, row, float(bins.late.count[i]),
                int(bins.start // bins.width + index),
            )  # fmt: skip
        for c in np.flatnonzero((charts.raised == 1) & (plan.kind != TALLY) & (plan.kind != COHORT)):
            if number < charts.onset[c] or (plan.kind[c] == THROUGHPUT and not judged[c]):
                continue  # where nobody listened, nothing was expected of a throughput either
            counted = _sums(plan.counted, int(c), row)
            out_of = plan.kind[c] in (ERROR, FLOW) and _sums(plan.out_of, int(c), row)
            if counted:
                charts.rx[c] += bins.late.count[i]
                charts.came_late[c] += bins.late.count[i] if judged[c] else 0.0
            if out_of:
                charts.rn[c] += bins.late.count[i]
                comes = charts.ra[c] / charts.rb[c]
                if plan.kind[c] == FLOW:
                    comes *= columns.flows.brings[plan.lag[c]]
                charts.rm[c] += bins.late.count[i] * comes
            if counted or out_of:
                changed = True
                charts.phase[c] = 2
                if counted and plan.kind[c] in (THROUGHPUT, FLOW):
                    _close_if_all_came(columns, plan, int(c), int(bins.start // bins.width + index))
        for c in np.flatnonzero((charts.s_raised == 1) & (charts.s_onset <= number)):
            if _sums(plan.counted, int(c), row) or _sums(plan.out_of, int(c), row):
                charts.s_lost[c] = max(0.0, charts.s_lost[c] - bins.late.count[i])
                charts.s_phase[c] = 2
                changed = True
    return changed


def _remember_late(columns: Columns, plan: Plan, bins: Bins, known: NDArray[np.int64], now: int) -> None:
    """Let the rings show what came after all: a fault that is found later is counted with it."""
    charts, counted, out_of = columns.charts, _charts_of(plan.counted), _charts_of(plan.out_of)
    for i in known:
        number, row, count = int(bins.late.start[i]) // bins.width, int(bins.late.row[i]), bins.late.count[i]
        if not now - RING < number <= now:
            continue
        cells.take_late(columns, plan, row, number, float(count))
        slot = number % RING
        for c in counted.get(row, ()):
            if plan.kind[c] == COHORT:
                continue  # whose rings are of cohorts
            if plan.kind[c] == ERROR or not np.isnan(charts.ring_x[c, slot]):
                charts.ring_x[c, slot] = np.nan_to_num(charts.ring_x[c, slot]) + count
        for c in out_of.get(row, ()):
            if plan.kind[c] == ERROR:
                charts.ring_n[c, slot] = np.nan_to_num(charts.ring_n[c, slot]) + count
                charts.ring_e[c, slot] = charts.ring_n[c, slot]


def _charts_of(rows: Rows) -> dict[int, list[int]]:
    """Which charts sum a series, by its row."""
    found: dict[int, list[int]] = {}
    for c in range(len(rows.terms) - 1):
        first, last = rows.groups[rows.terms[c]], rows.groups[rows.terms[c + 1]]
        for row in rows.row[rows.members[first] : rows.members[last]].tolist():
            found.setdefault(row, []).append(c)
    return found


def _sums(rows: Rows, c: int, row: int) -> bool:
    """Does chart c sum series `row`?"""
    first, last = rows.groups[rows.terms[c]], rows.groups[rows.terms[c + 1]]
    return bool(row in rows.row[rows.members[first] : rows.members[last]])


def _was_judged(charts: Any, bins: Bins, i: int, now: int) -> NDArray[np.bool_]:
    """bool[charts]: was something expected in the interval of late row i? Of what is older than the rings, yes."""
    number = int(bins.late.start[i]) // bins.width
    if number <= now - RING:
        return np.ones(len(charts), dtype=np.bool_)
    return ~np.isnan(charts.ring_m[:, number % RING])


def _close_if_all_came(columns: Columns, plan: Plan, c: int, now: int) -> None:
    charts = columns.charts
    lost, _, high = _lost(charts, c, -1.0)
    if charts.came_late[c] > 0 and lost <= max(1.0, 0.02 * charts.rm[c], 0.5 * (high - lost)):
        charts.v_since[c] = now
        settle(charts[c], now, LATE, 1.0)
        if plan.kind[c] == FLOW:
            flow = columns.flows[plan.lag[c]]
            flow.owed_ring[:] = flow.owed


def _lost(charts: Any, c: int, sign: float) -> tuple[float, float, float]:
    """Events failed (sign +1) or missing (-1) because of the fault, with a 95 % interval.

    What would have been is not known: it scatters by itself (rv), its level is uncertain (1/ra), and it strays
    from that level for a while at a time.
    """
    expected, counted = float(charts.rm[c]), float(charts.rx[c])
    lasts = max(float(charts.v_since[c] - charts.onset[c]), 1.0)
    drift = max(float(charts.num[c, -1] / charts.den[c, -1]), 0.0) * min(1.0, CORRELATED / lasts)
    unknown = float(charts.astray[c]) or 1.0 / max(float(charts.ra[c]), 1.0) + drift
    if charts.steady[c] > 0.0:  # a flow that keeps nearly all strays by a part of what it usually loses
        unknown = float(charts.steady[c]) / max(float(charts.ra[c]), 1.0) + float(charts.astray[c])
    sd = math.sqrt(float(charts.rv[c]) + expected * expected * unknown)
    low, high = expected - Z95 * sd, expected + Z95 * sd + (1.0 if expected < 20.0 else 0.0)
    if charts.steady[c] > 0.0:  # of what was held up and comes since it is over, half as much may still come
        low -= 0.5 * max(0.0, float(charts.vx[c] - charts.vm[c]))
    if sign > 0:
        return max(0.0, counted - expected), max(0.0, counted - high), max(0.0, counted - max(low, 0.0))
    return max(0.0, expected - counted), max(0.0, low - counted), max(0.0, high - counted)


def _failed(charts: Any, plan: Plan, c: int, now: int) -> tuple[float, float]:
    """Of what came out of a flow since its onset, how much more than usual failed, and its variance."""
    e = plan.failures[c]
    if e < 0:
        return 0.0, 0.0
    goes_on = charts.raised[e] == 1 or charts.v_since[e] > charts.onset[c]
    if goes_on and charts.onset[e] > 0 and abs(int(charts.onset[e]) - int(charts.onset[c])) <= ONE_FAULT:
        return max(0.0, float(charts.rx[e] - charts.rm[e])), float(charts.rv[e])
    slots = np.arange(max(int(charts.onset[c]), now - RING + 1), now + 1) % RING
    x, usual = _past(charts.ring_x, e, slots), _past(charts.ring_m, e, slots)
    return max(0.0, float(np.nansum(x - usual))), float(np.nansum(usual))


def _added(missing: float, low: float, high: float, failed: float, variance: float) -> tuple[float, float]:
    """The interval of missing + failed: their errors are independent."""
    more = Z95 * math.sqrt(variance)
    below, above = math.hypot(missing - low, more), math.hypot(high - missing, more)
    return max(0.0, missing + failed - below), missing + failed + above


def _of_family(
    columns: Columns,
    plan: Plan,
    bins: Bins,
    index: int,
    family: list[int],
    judged: list[int],
) -> Finding | None:
    """One finding for a signal and its slices or versions: the chart that lost most speaks for all."""
    charts, seasons = columns.charts, columns.seasons
    sign = {c: 1.0 if plan.kind[c] in (ERROR, ROLLOUT, ROLLOUT_FLOW, COHORT) else -1.0 for c in judged}
    raised = [c for c in judged if charts.raised[c] == 1]
    speakers = raised or judged
    # Cohorts know best what is missing.
    speakers = [c for c in speakers if plan.kind[c] == COHORT] or speakers
    c = max(speakers, key=lambda c: (_lost(charts, c, sign[c])[0], -c))
    if not raised:
        phase: Phase = "cleared"
    elif all(charts.phase[c] == 1 for c in raised) and len(raised) == len(judged):
        phase = "raised"
    else:
        phase = "standing"
    missing, low, high = _lost(charts, c, sign[c])
    failed, spread = _failed(charts, plan, c, _number(bins, index))
    low, high = _added(missing, low, high, failed, spread)
    low, high = float(np.floor(low)), float(np.ceil(high))  # events are whole
    onset = min((charts.onset[d] for d in raised), default=charts.onset[c])
    signal, chart = plan.signals[plan.family[c]], plan.charts[c]
    explains = _slice(columns, plan, family, c, _number(bins, index))
    observed, expected = float(charts.rx[c]), float(charts.rm[c])
    if chart.kind == COHORT:  # which counts what is missing, of what went in
        entered = float(charts.rn[c]) * (1.0 + cohort.FLOOR)
        observed, expected = entered - observed, entered - expected
    return Finding(
        signal=signal,
        kind=FINDING[chart.kind],
        phase=phase,
        at=int(bins.closed[index]),
        onset=_time(bins, onset),
        onset_low=_time(bins, min(charts.onset_low[c], onset)),
        onset_high=_time(bins, charts.onset_high[c]),
        observed=observed,
        expected=expected,
        lost=missing + failed,
        lost_low=low,
        lost_high=high,
        failed=failed,
        missing=missing if plan.failures[c] >= 0 else 0.0,
        out_of=float(charts.rn[c]) if chart.kind not in (THROUGHPUT, FLOW, COHORT) else expected,
        strength=float(charts.strength[c]),
        late=float(charts.came_late[c]),
        seen=max(_seen(charts, plan, bins, index, d) for d in raised or [c]),
        recovered=_time(bins, charts.v_since[c]) if phase == "cleared" else 0,
        cleared=WHY[int(charts.why[c])] if phase == "cleared" else "",
        young=_young(charts[c], seasons, plan, c),
        version=chart.version,
        versions=_versions(charts, plan, family, int(onset), _number(bins, index)),
        slice=explains.attributes,
        slice_share=(explains.counted, explains.traffic),
        slice_extra=explains.extra,
        trace=_trace(charts, plan, bins, index, c),
        instances=_instances(columns, plan, bins, index, c) if chart.kind == ERROR else (),
    )


def _instances(columns: Columns, plan: Plan, bins: Bins, index: int, c: int) -> tuple[Instance, ...]:
    """What is known of each instance whose errors chart c tells of, while its onset is remembered."""
    charts, signal, now = columns.charts, plan.signals[plan.family[c]], _number(bins, index)
    by, exposed = attribute(signal.split_by), float(charts.rn[c])
    if not by or exposed <= 0.0 or charts.onset[c] < now - RING + 1 + ROLLS:
        return ()
    found = cells.recent(columns, plan, int(plan.family[c]), int(charts.first[c]), now)
    if found is None:
        return ()
    usual, share = float(charts.rm[c]) / exposed, float(charts.rx[c]) / exposed
    times = [_time(bins, number) for number in found.numbers.tolist()]
    onset = int(np.searchsorted(found.numbers, charts.onset[c]))
    return instances(found.names, by, found.counted, found.out_of, usual, share, onset, VERSION, times)


def _seen(charts: Any, plan: Plan, bins: Bins, index: int, c: int) -> int:
    """End of the last interval in which chart c was not as before; of versions side by side, of this one or 0."""
    if plan.kind[c] in (ROLLOUT, ROLLOUT_FLOW) and charts.raised[c] == 1 and charts.phase[c] != 1:
        slot = _number(bins, index) % RING
        fails = charts.ring_x[c, slot] > charts.ring_m[c, slot]
        return _time(bins, _number(bins, index) + 1) if fails else 0
    return _time(bins, int(charts.v_since[c]))


def _number(bins: Bins, index: int) -> int:
    return int(bins.start // bins.width + index)


def _time(bins: Bins, number: int) -> int:
    """Start of an interval, from its number."""
    return int(bins.start) % bins.width + int(number) * bins.width


def _young(chart: Any, seasons: Any, plan: Plan, c: int) -> bool:
    """Too little history to wake anybody: a demand that was not seen for a day, a flow that was not seen 30 times,
    errors that were never seen to be few."""
    if plan.kind[c] == THROUGHPUT:
        return bool(seasons[plan.season[c]].days < 1)
    if plan.kind[c] == ERROR:
        return bool(chart.onset - chart.first < BEFORE)
    return bool(plan.kind[c] in (FLOW, COHORT) and chart.seen < 30)


def _slice(columns: Columns, plan: Plan, family: list[int], speaker: int, now: int) -> Slice:
    """The attribute values that explain what `speaker` tells; those that it is about itself where none do."""
    charts, kind, own = columns.charts, plan.kind[speaker], plan.charts[speaker].slice
    if kind not in (ERROR, THROUGHPUT, FLOW, COHORT):
        return Slice(own, 0.0, 0.0, 0.0)
    onset = int(charts.onset[speaker])
    last = now if charts.raised[speaker] == 1 else int(charts.v_since[speaker]) - 1
    whole = next(c for c in family if plan.kind[c] == kind and not plan.charts[c].slice)
    slots = np.arange(max(onset, now - RING + 1), last + 1) % RING
    # A fault of one value may be too small to be seen in all of them together.
    in_whole, in_own = (
        float(np.nansum(_past(charts.ring_x, c, slots) - _past(charts.ring_m, c, slots)))
        for c in (whole, speaker)
    )
    up = kind in (ERROR, COHORT)
    extra = max(in_whole, in_own) if up else min(in_whole, in_own)
    # What the whole shows as well, even if it is over there, is not of that value alone.
    told = charts.raised[whole] == 1 or charts.v_since[whole] > onset
    shown = told or abs(in_own) < slices.EXPLAINS * abs(extra)
    alone = Slice(() if shown else own, 0.0, 0.0, 0.0)
    if (extra > 0.0) != up:
        return alone
    found = cells.counts(columns, plan, family, onset, last, now)
    # What goes into a slow flow now does not say what should come out of it now.
    by_exposure = bool(kind == ERROR or (kind != THROUGHPUT and plan.within[speaker] <= QUICK))
    usual = cells.without_fault(found, by_exposure, -extra if kind == COHORT else extra)
    explains = slices.search(found.names, usual)
    if explains is None:
        return alone
    return explains if kind == ERROR else replace(explains, counted=explains.extra)


def _versions(
    charts: Any, plan: Plan, family: list[int], onset: int, now: int
) -> tuple[tuple[str, float, float], ...]:
    """(version, counted, out_of) since the onset, as far back as the ring reaches."""
    slots = np.arange(max(onset, now - RING + 1), now + 1) % RING
    rows = []
    for c in family:
        if plan.charts[c].version:
            x, n = _past(charts.ring_x, c, slots), _past(charts.ring_n, c, slots)
            if not (np.isnan(x).all() and np.isnan(n).all()):
                rows.append((plan.charts[c].version, float(np.nansum(x)), float(np.nansum(n))))
    return tuple(rows)


def _silence(charts: Any, plan: Plan, bins: Bins, index: int, c: int) -> Finding:
    phases: dict[int, Phase] = {1: "raised", 2: "standing", 3: "cleared"}
    phase = phases[int(charts.s_phase[c])]
    number, onset = _number(bins, index), int(charts.s_onset[c])
    lost = float(charts.s_lost[c])
    # How much would have come is known as well as the usual rate is: to a fifth, and by chance.
    sd = math.sqrt(lost + (0.2 * lost) ** 2)
    return Finding(
        signal=plan.signals[plan.family[c]],
        kind="no_data",
        phase=phase,
        at=int(bins.closed[index]),
        onset=_time(bins, onset),
        onset_low=_time(bins, onset - 1),
        onset_high=_time(bins, onset),
        observed=0.0,
        expected=lost,
        lost=lost,
        lost_low=max(0.0, lost - Z95 * sd),
        lost_high=lost + Z95 * sd,
        out_of=lost,
        strength=float(number - onset + 1),
        seen=_time(bins, number + 1 - int(charts.s_back[c])),
        recovered=_time(bins, number - 1) if phase == "cleared" else 0,
        cleared="recovered" if phase == "cleared" else "",
        trace=_trace(charts, plan, bins, index, c),
    )


def _trace(charts: Any, plan: Plan, bins: Bins, index: int, c: int) -> Trace:
    """The ring of chart c in order of time, ending with interval `index`."""
    number = _number(bins, index)
    numbers = np.arange(max(number - RING + 1, int(charts.first[c])), number + 1)
    slots = numbers % RING
    x, mean, n = (_past(ring, c, slots) for ring in (charts.ring_x, charts.ring_m, charts.ring_n))
    with np.errstate(invalid="ignore"):
        sd = np.sqrt(np.maximum(mean + mean * mean * _past(charts.ring_a, c, slots), 0.0))
    if plan.kind[c] == COHORT:
        x, mean = np.maximum(x - cohort.FLOOR * n, 0.0), np.maximum(mean - cohort.FLOOR * n, 0.0)
    shares = plan.kind[c] in (ERROR, ROLLOUT, COHORT)
    return Trace(
        start=_time(bins, int(numbers[0])),
        width=bins.width,
        observed=x,
        expected=mean,
        low=np.maximum(mean - Z95 * sd, 0.0),
        high=mean + Z95 * sd,
        out_of=n if shares else np.full(len(x), np.nan),
    )


def _past(ring: NDArray[np.float32], c: int, slots: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[slots] of the ring of chart c."""
    return ring[c][slots].astype(np.float64)
