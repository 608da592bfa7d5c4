"""What each combination of attribute values counted of late, and before: the columns that slices.py searches. Pure.

In: one interval of all series. Out: CELL records brought up to date; the counts since an onset, and what is usual.
Never: a judgement; a count of an interval that the signal itself left out.

A cell is not judged and costs a ring. What leaves the ring fades into what is usual, unless it was part of a fault:
so what is usual lies before the onset, however long the fault lasts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from detectors.compiled import compiled
from detectors.memory import RING, Columns, Floats, Wholes
from detectors.plan import ERROR, TALLY, VERSION, Cells, Plan
from detectors.slices import Counts

# What an interval leaves of what is usual: the parts of traffic change within hours, what usually fails does not.
PARTS_KEEP, ERRORS_KEEP = 2.0 ** (-1 / 120), 2.0 ** (-1 / 2880)


@compiled
def remember(columns: Columns, cells: Cells, kinds: Wholes, values: Floats, now: int) -> None:
    """Count interval `now` of all series in the cells, once the charts' rings show it. values: float64[series]."""
    slot, leaving = now % RING, now - RING
    for f in range(len(cells.family)):
        c = cells.charts[f]
        whole = columns.charts[c]
        keep = ERRORS_KEEP if kinds[c] == ERROR else PARTS_KEEP
        healthy = True
        for d in range(c, cells.charts_end[f]):
            healthy = healthy and not _in_fault(columns.charts[d], leaving)
        heard = not np.isnan(whole.ring_x[slot]) and not (kinds[c] == ERROR and np.isnan(whole.ring_n[slot]))
        for i in range(cells.first[f], cells.first[f + 1]):
            cell = columns.cells[i]
            if healthy:
                cell.usual_x = cell.usual_x * keep + np.float64(cell.ring_x[slot])
                cell.usual_n = cell.usual_n * keep + np.float64(cell.ring_n[slot])
            x, n = 0.0, 0.0
            if heard:
                for k in range(cells.at[i], cells.at[i + 1]):
                    r = cells.row[k]
                    count = values[r] if r < len(values) else np.nan
                    if np.isnan(count):
                        continue
                    if cells.enters[k]:
                        n += count
                    else:
                        x += count
            cell.ring_x[slot], cell.ring_n[slot] = x, n


@compiled
def _in_fault(chart: Any, number: int) -> bool:
    """Was interval `number` part of the chart's last fault?"""
    if chart.onset <= 0 or number < chart.onset:
        return False
    return bool(chart.raised == 1 or number < chart.v_since)


def take_late(columns: Columns, plan: Plan, row: int, number: int, count: float) -> None:
    """Add what came late of series `row`, in an interval `number` that the rings still show."""
    slot = number % RING
    for k in np.flatnonzero(plan.cells.row == row):
        i = int(np.searchsorted(plan.cells.at, k, side="right")) - 1
        f = int(np.searchsorted(plan.cells.first, i, side="right")) - 1
        if not np.isnan(columns.charts.ring_x[plan.cells.charts[f], slot]):
            ring = columns.cells.ring_n if plan.cells.enters[k] else columns.cells.ring_x
            ring[i, slot] += count


class Since(NamedTuple):
    """names: attributes of each cell. counted, out_of: float64[cells], since an onset; usually_...: before it."""

    names: tuple[tuple[tuple[str, str], ...], ...]
    counted: Floats
    out_of: Floats
    usually_counted: Floats
    usually_out_of: Floats


def counts(columns: Columns, plan: Plan, family: list[int], onset: int, last: int, now: int) -> Since:
    """What a signal's cells counted from interval `onset` to `last`, as far as the rings reach back from `now`.

    A signal that is not split has its versions for cells. family: its charts.
    """
    numbers = np.arange(now - RING + 1, now + 1)
    during, before = (numbers >= onset) & (numbers <= last), numbers < onset
    f = int(np.searchsorted(plan.cells.family, plan.family[family[0]]))
    if f < len(plan.cells.family) and plan.cells.family[f] == plan.family[family[0]]:
        mine = slice(int(plan.cells.first[f]), int(plan.cells.first[f + 1]))
        names = plan.cell_names[mine]
        records, usual = columns.cells[mine], True
    else:
        tallies = [c for c in family if plan.kind[c] == TALLY]
        names = tuple(((VERSION, plan.charts[c].version),) for c in tallies)
        records, usual = columns.charts[tallies], False
    found = []
    for ring in (records.ring_x, records.ring_n):
        in_time = np.nan_to_num(ring[:, numbers % RING].astype(np.float64))
        found += [in_time[:, during].sum(axis=1), in_time[:, before].sum(axis=1)]
    x, x_before, n, n_before = found
    if usual:
        x_before, n_before = x_before + records.usual_x, n_before + records.usual_n
    return Since(names, x, n, x_before, n_before)


class Recent(NamedTuple):
    """names: attributes of each cell. numbers: int64[intervals], in order, as far as the rings reach.
    counted, out_of: float64[cells, intervals]."""

    names: tuple[tuple[tuple[str, str], ...], ...]
    numbers: Wholes
    counted: Floats
    out_of: Floats


def recent(columns: Columns, plan: Plan, family: int, since: int, now: int) -> Recent | None:
    """What the cells of a signal counted from interval `since` to `now`; None where it has none. family: its place
    in Plan.signals."""
    f = int(np.searchsorted(plan.cells.family, family))
    if f == len(plan.cells.family) or plan.cells.family[f] != family:
        return None
    mine = slice(int(plan.cells.first[f]), int(plan.cells.first[f + 1]))
    numbers = np.arange(max(now - RING + 1, since), now + 1)
    x, n = (
        np.nan_to_num(ring[:, numbers % RING].astype(np.float64))
        for ring in (columns.cells[mine].ring_x, columns.cells[mine].ring_n)
    )
    return Recent(plan.cell_names[mine], numbers, x, n)


def without_fault(found: Since, by_exposure: bool, extra: float) -> Counts:
    """What the cells would have counted without the fault: their usual part of their exposure, or of the whole.

    extra: see slices.Counts. What is missing of an exposure is counted like failures, and what strays by chance is
    the usual there. Of a count without exposure it is not known what is missing: there the counts are compared.
    """
    x, n, x_before, n_before = found.counted, found.out_of, found.usually_counted, found.usually_out_of
    if not by_exposure or n.sum() <= 0.0:
        usual = x_before * ((x.sum() - extra) / max(x_before.sum(), 1.0))
        return Counts(x, usual, usual, x_before, extra)
    # A cell that was hardly seen does as all do: they are worth one count.
    share = max(x_before.sum(), 0.5) / max(n_before.sum(), 1.0)
    usual = n * (x_before + 1.0) / (n_before + 1.0 / share)
    if extra > 0.0:
        return Counts(x, n, usual, x_before, extra)
    missing = np.maximum(usual * ((x.sum() - extra) / max(usual.sum(), 1e-9)) - x, 0.0)
    return Counts(missing, n, n, np.zeros(len(n)), min(-extra, float(missing.sum())))
