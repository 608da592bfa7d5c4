"""All that the detectors remember: one record per chart, flow and season, in arrays. Pure.

In: the memory so far and a plan. Out: a memory that fits the plan: what is known of a chart moves with its
key, what is new starts empty. Never: an object per chart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.bins import MOST_AGE, SeriesTable
from detectors.plan import COHORT, ERROR, THROUGHPUT, Plan, lay
from detectors.signals import Budget
from detectors.slow import Held

SIZES = 8  # hypotheses about the size of a fault, per chart
LAGS_BACK = 8  # at which a throughput's scatter is compared with itself (demand.py)
LEVELS = 4  # levels with different memories, per chart
# Other days that today may be like: a Sunday, an hour earlier, an hour later, and an ordinary day (of a holiday) or
# what the same day was like a year ago.
DAYS_LIKE = 4
RING = 128  # last intervals kept per chart, for pictures and for the range of an onset
LAGS = 20  # at most this many blocks of a lag curve
SPANS = np.array([1, 2, 4, 8, 16, 32, 64])  # intervals over which what a flow owes is added up
QUARTERS = 96  # of an hour, in a day
WEEK = 7 * QUARTERS
YEAR = 400  # days that are remembered: a year and some
MARGIN = 8  # quarters of an hour before and after today that are laid out with it
UNIT = 1 / 2048  # in logs, of what is remembered of a week's shape
DAY_UNIT = 1 / 32  # in logs, of what is remembered of a day
STEP = 0.25  # in logs, from one quarter of an hour to the next: what is steeper is a step
PRIOR_DEN = 300.0  # weight of the prior of c, in units of expect.scatter_weight
PRIOR_SCATTER = 0.01
EDGE_VARIANCE = 0.1  # of the squared edge of a burst (flow.py), before that is known,
EDGE_WEIGHT = 500.0  # and the weight of that: five large edges
WANDER = 0.16  # a share of errors may wander by a quarter, before it is known how much it does
SLOW_FLOW = COHORT + 1  # their own row of Columns.fleet: campaigns differ by more than chance
LEAST_DEPTH = 64  # intervals
QUICK = 600  # seconds: a flow that reaches no further passes on what it gets; it does not convert it
# How many peaks of evidence, as those of its kind, everybody is credited with, and how many of a model that holds
# every kind (judge.py).
PEAKS_PRIOR, PEAKS_OF_KIND = 10.0, 20.0
CLUMPS_WEIGHT = 10.0  # events worth of belief that rare events come one by one
PRIOR_SHARE = 0.01  # an error share that nobody has seen yet, worth half an error

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]
Record = Any  # one row of CHART, flow_record or SEASON; the compiler knows its fields

F, I = np.float64, np.int64  # noqa: E741  the two columns' types, aligned in the tables below
# Of what is many: the past, and the profile of the week. Compiled code reads it as np.float64(): float() would go
# on in single precision.
F32 = np.float32
SHORT, BITS = np.int16, np.uint8

# Intervals are numbered since the epoch: times of memory are such numbers. Sums are counts.
CHART = np.dtype(
    [
        # What a quiet interval touches comes first: of many charts, the time goes into fetching their memory.
        # the level and the scatter (expect.py), for LEVELS memories of which `best` is believed
        ("alpha", F, LEVELS), ("beta", F, LEVELS), ("num", F, LEVELS), ("den", F, LEVELS), ("best", I),
        ("wander", F),  # relative variance of the recent level around the usual one
        ("clumps", F), ("clumps_n", F),  # events that come in clumps (expect.py): extra variance, and expected
        ("seen", I),  # intervals judged
        ("calm", I),  # number of the first interval after the last alarm
        ("first", I),  # number of the first measured one, -1 = none
        ("hot", I),  # intervals in a row far above what was expected
        ("total", F),  # the evidence of all sizes together
        ("peak", F), ("excess", F), ("peaks", F),  # its peaks while all was well: this one, mean excess, how many
        ("odd", I),  # 1: one odd interval waits to be explained
        ("raised", I),
        ("phase", I),  # in this interval: 0 nothing, 1 raised, 2 standing, 3 cleared
        # silence (silence.py): intervals without a measurement, the longest such run that was harmless, what an
        # interval usually brings, and the same as above
        ("run", I), ("longest", F), ("rate", F),
        ("s_raised", I), ("s_onset", I), ("s_lost", F), ("s_back", I), ("s_phase", I),
        # evidence (judge.py) for every size of fault: w since `since`; the level if that fault is real; counted,
        # expected without the fault, out_of and variance since then
        ("alive", I),  # 1: some w is above 0; what follows is kept of those that are
        ("w", F, SIZES), ("since", I, SIZES), ("ja", F, SIZES), ("jb", F, SIZES),
        ("sx", F, SIZES), ("sm", F, SIZES), ("sn", F, SIZES), ("sv", F, SIZES),
        ("aa", F, DAYS_LIKE), ("ab", F, DAYS_LIKE),
        ("like", F, DAYS_LIKE), ("unlike", F, DAYS_LIKE),  # levels of other days, evidence, of this interval
        ("calm_day", F),  # evidence since midnight that today is a Sunday, less what speaks against it
        # of a flow that keeps nearly all: the share that it usually loses (0 = another chart), the variance of what
        # it owes because of what is under way at both ends of a sum, the relative one because its curve is wrong
        ("steady", F), ("ends", F), ("astray", F),
        ("back", I),  # intervals: a fault that is told now began at least so long ago
        # a raised chart: onset and its range, the level before the fault, sums since the onset, the fault in parts
        # of the usual, counts that came late after all; evidence and sums of being as before
        ("onset", I), ("onset_low", I), ("onset_high", I), ("ra", F), ("rb", F),
        ("rx", F), ("rm", F), ("rn", F), ("rv", F), ("ratio", F), ("came_late", F), ("strength", F),
        ("near_x", F), ("near_m", F),  # counted and expected over the last few intervals of a raised chart
        ("worst", F),  # the most that was missing at any time
        ("v", F), ("v_since", I), ("vx", F), ("vm", F), ("vn", F), ("vv", F),
        ("why", I),  # cleared because: 1 recovered, 2 late data, 3 expired
        # the last RING intervals: counted, exposure, expected, A, out_of (throughput: fast part of its level)
        ("ring_x", F32, RING), ("ring_e", F32, RING), ("ring_m", F32, RING), ("ring_a", F32, RING),
        ("ring_n", F32, RING),
        # rollouts (rollout.py): this interval's harm; running totals of those that compare flows
        ("harm", F), ("went_in", F), ("came_out", F), ("missing", F),
    ],
    align=True,
)  # fmt: skip

SEASON = np.dtype(
    [
        ("usual", SHORT, WEEK),  # log shape, smooth, in UNITs
        # today and MARGIN around it, with holidays in their places (holidays.py): from which quarter of the week
        # on, for which day and holidays that was done; of a holiday that is today, the standard deviation of its
        # log level (0 = it is none) and the slow part of the level before it
        ("near", SHORT, QUARTERS + 2 * MARGIN), ("begins", I), ("laid", I), ("unsure", F), ("top", F),
        # counted on the running day, and expected by the profile alone; by how much each of the last YEAR days was
        # off that (log ratio in DAY_UNITs, 0 = as usual; by day number modulo YEAR), and what that says of today
        ("came", F), ("meant", F), ("ago", np.int8, YEAR), ("again", F),
        # by how much a holiday differs from a Sunday (in UNITs), how many taught that, and the sum of the squares
        # by which they were off what was known before
        ("holiday", SHORT, QUARTERS), ("holidays", I), ("apart", F),
        ("cells", SHORT, WEEK),  # the means that it was fitted to, in UNITs
        # one bit for each quarter of the week that did not teach the last time, since a loss was believed; and for
        # those of the running day in which one is
        ("doubted", BITS, WEEK // 8), ("doubts", BITS, QUARTERS // 8),
        ("taught", F, 7),  # days that taught each weekday
        ("day_x", F32, QUARTERS),  # counts of the running day
        ("day_n", F32, QUARTERS),  # of how many intervals; or, of a flow, what its curve expected
        ("open", F),  # quarters of an hour that are usually measured in a day, 0 = nobody knows
        ("trend", F),  # log level of recent days
        ("days", I),  # how many days were learned
        ("sure", I),  # 1: that is enough to know what the level returns to today,
        ("other", I),  # unless it is (1) believed that today is like another day
        # of a throughput (demand.py): the level's two parts with their covariance, when they were brought up to
        # date, the parts under every size of fault; moments, and what they say
        ("fast", F), ("slow", F), ("pf", F), ("ps", F), ("pc", F), ("at", I), ("hf", F, SIZES), ("hs", F, SIZES),
        ("joint", F, LAGS_BACK), ("joint_n", F, LAGS_BACK), ("before", F, LAGS_BACK),
        ("quick", F), ("fades", F), ("stays", F), ("chance", F),
        ("stood", I), ("held", F),  # raised: 1 once its onset's fast part is held
    ],
    align=True,
)  # fmt: skip


AGES = MOST_AGE + 1
COHORTS = np.dtype(
    [
        # of the last AGES intervals, by number modulo AGES: which one it is about, what went in, and what of that
        # has come out so far
        ("entered", I, AGES), ("went", F, AGES), ("came", F, AGES),
        # by age: what had not come by then, of how many, and the squares by which it was off what usually had not
        ("due", F, AGES), ("of", F, AGES), ("off", F, AGES),
        ("taught", I),  # whole cohorts that taught these
        ("wait", I),  # age at which a cohort is judged
        ("pause", I),  # the longest age at which came what had been held up
        ("judged", I),  # the last one
        ("hole", I),  # the last interval of which it is not known what came out of which cohort
        ("since", I),  # of a raised chart: the first cohort in its sums
    ],
    align=True,
)  # fmt: skip


CELL = np.dtype(
    [
        ("usual_x", F), ("usual_n", F),  # counted, and out of so many, before what the rings show, fading
        ("ring_x", F32, RING), ("ring_n", F32, RING),  # the last RING intervals, 0 = nothing was counted
    ],
    align=True,
)  # fmt: skip


def flow_record(depth: int) -> np.dtype[Any]:
    """The record of a flow (flow.py) whose past is kept for `depth` intervals."""
    return np.dtype(
        [
            # least-squares sums, and what an interval adds to them, which grows instead of that they fade
            ("gram", F, (LAGS, LAGS)), ("moment", F, LAGS), ("grown", F),
            ("curve", F, LAGS),  # expected out per in, by lag block
            ("lags", F, LAGS), ("usual", F, LAGS),  # what went in by lag block, now and usually
            ("reach", I), ("quick", I),  # of the lag, in intervals; 1 if it is passed on rather than converted
            ("brings", F), ("settled", I),  # what comes out in the end, per in; intervals until 99 % of it has
            ("held", I), ("pause", F),  # since when something is held up, 0 = nothing; the longest such pause
            ("fits", I),  # intervals that taught the curve
            ("due", F),  # what the curve expects now
            ("young", F), ("edge", F),  # how much of the expected entered just now, and how suddenly
            ("at", I), ("went_ring", F32, depth),  # what went in by interval, up to the one of this number
            ("went", F), ("gone", F), ("gone_ring", F, RING),  # running sums: what went in, unmeasured intervals
            ("owed", F), ("owed_ring", F, RING),  # running sum of what is missing
            ("meant", F), ("meant_ring", F, RING),  # running sum of what was to come
            ("unsure", F), ("unsure_ring", F, RING),  # running sum of the variance that edges of bursts add
            # the variance of what is owed over each span, by chance; and by what the curve gets wrong: sums of
            # squares of what was owed, and of what was to come
            ("spread", F, len(SPANS)), ("spread_n", F, len(SPANS)),
            ("misfit", F, len(SPANS)), ("misfit_n", F, len(SPANS)),
            ("uneven", F), ("uneven_n", F),  # variance per squared edge, as a weighted mean
        ],
        align=True,
    )  # fmt: skip


# Of all charts of a kind together. A record and no row of numbers: handing on a part of an array costs.
FLEET = np.dtype(
    [
        ("odd", F), ("judged", F),  # odd intervals that were no fault, of how many that were judged
        ("peaks", F), ("excess", F),  # of evidence, and by how much these exceed PEAK of judge.py
    ],
    align=True,
)  # fmt: skip


def shape_of(units: NDArray[np.int16]) -> Floats:
    """What is remembered in memory.UNITs, in logs."""
    return np.asarray(units * UNIT)


def in_units(logs: Floats) -> NDArray[np.int16]:
    """Logs as they are remembered, in memory.UNITs; what is beyond them (a factor of nine million) is the most."""
    return np.clip(np.rint(logs / UNIT), -32767, 32767).astype(np.int16)


def fields(records: Any) -> SimpleNamespace:
    """The columns of `records` by name, to be read and written to: records look up a name for longer than most
    of what is done with a column takes."""
    plain = records.view(np.ndarray)
    return SimpleNamespace(**{name: plain[name] for name in plain.dtype.names})


def places(record: np.dtype[Any], *names: str) -> tuple[int, ...]:
    """Where these fields begin in a record, in bytes."""
    fields: Any = record.fields
    return tuple(fields[name][1] for name in names)


class Columns(NamedTuple):
    """charts: CHART[charts]; flows: flow_record[flows]; seasons: SEASON[throughputs]; cohorts: COHORTS[charts of
    cohorts]; cells: CELL[cells].

    fleet: FLEET[kinds and SLOW_FLOW].
    """

    charts: Any
    flows: Any
    seasons: Any
    fleet: Any
    cohorts: Any
    cells: Any


@dataclass(frozen=True, slots=True)
class Memory:
    """keys: names of the charts, as in Plan.keys; flow_keys, season_keys, cohort_keys: of those that have such a
    record.

    last: int64[columns], see plan.gather. held: of series that are judged later.
    """

    keys: tuple[str, ...]
    flow_keys: tuple[str, ...]
    season_keys: tuple[str, ...]
    cohort_keys: tuple[str, ...]
    columns: Columns
    last: Wholes
    held: Held
    cell_keys: tuple[str, ...] = ()

    @property
    def series(self) -> int:
        """How many series it knows."""
        return len(self.last) - len(self.held.row)


def empty(plan: Plan) -> Memory:
    """A memory that knows nothing yet, of the shape that `plan` needs."""
    depth = _depth(plan)
    columns = Columns(
        np.zeros(len(plan.charts), dtype=CHART).view(np.recarray),
        np.zeros(len(plan.reach), dtype=flow_record(depth)).view(np.recarray),
        np.zeros(int((plan.season >= 0).sum()), dtype=SEASON).view(np.recarray),
        np.zeros(SLOW_FLOW + 1, dtype=FLEET).view(np.recarray),
        np.zeros(len(plan.entries.reach), dtype=COHORTS).view(np.recarray),
        np.zeros(len(plan.cell_keys), dtype=CELL).view(np.recarray),
    )
    # Campaigns differ and lags wander more than a model says, until peaks have shown by how much.
    columns.fleet.excess[[SLOW_FLOW, COHORT]] = PEAKS_OF_KIND
    _priors(plan, columns.charts)
    columns.flows.grown[:] = 1.0
    columns.flows.uneven_n[:] = EDGE_WEIGHT
    columns.flows.uneven[:] = EDGE_WEIGHT * EDGE_VARIANCE
    flow_keys = tuple(plan.keys[c] for c in np.flatnonzero(plan.lag >= 0))
    season_keys = tuple(plan.keys[c] for c in np.flatnonzero(plan.season >= 0))
    cohort_keys = tuple(plan.keys[c] for c in np.flatnonzero(plan.kind == COHORT))
    last = np.full(len(plan.row_service), -1, dtype=np.int64)
    return Memory(
        plan.keys, flow_keys, season_keys, cohort_keys, columns, last, Held.empty(plan), plan.cell_keys
    )


def _depth(plan: Plan) -> int:
    """For how many intervals the past of its flows is kept: a power of four, since the step is compiled anew for
    each depth that there is."""
    needed, depth = int(plan.reach.max(initial=0)) + 2, LEAST_DEPTH
    while depth < needed:
        depth *= 4
    return depth


def nothing() -> Memory:
    """The memory before there is a plan."""
    return empty(lay((), SeriesTable(), 60, Budget()))


def _priors(plan: Plan, charts: Any) -> None:
    charts.first[:] = -1
    charts.best[:] = LEVELS - 1
    charts.wander[:] = WANDER
    charts.clumps_n[:] = CLUMPS_WEIGHT
    charts.den[:], charts.num[:] = PRIOR_DEN, PRIOR_DEN * PRIOR_SCATTER
    for name in ("ring_x", "ring_e", "ring_m", "ring_a", "ring_n"):
        charts[name][:] = np.nan
    charts.alpha[:], charts.beta[:] = 20.0, 20.0  # a level of 1, give or take a fifth
    share, loose = (plan.kind == ERROR) | (plan.kind == COHORT), plan.kind == THROUGHPUT
    charts.alpha[share], charts.beta[share] = 0.5, 0.5 / PRIOR_SHARE
    charts.alpha[loose], charts.beta[loose] = 0.1, 0.1
    charts.ja[:], charts.jb[:] = charts.alpha[:, -1:], charts.beta[:, -1:]


def forget_scatter(chart: Any) -> None:
    """Back to what is believed of a chart's scatter beforehand (its record changes in place)."""
    chart.den[:], chart.num[:] = PRIOR_DEN, PRIOR_DEN * PRIOR_SCATTER


def start_level(chart: Any, level: float) -> None:
    """Begin anew at this level, give or take a fifth, with no evidence of anything; `chart` changes in place."""
    chart.alpha[:], chart.beta[:] = 20.0, 20.0 / level
    chart.ja[:], chart.jb[:] = 20.0, 20.0 / level
    chart.w[:], chart.total = 0.0, 0.0


def fits(memory: Memory, plan: Plan) -> bool:
    """Is this the memory of all charts and series of `plan`, and of no others, to be written to?"""
    columns = memory.columns
    same = (memory.keys is plan.keys or memory.keys == plan.keys) and len(memory.last) == len(
        plan.row_service
    )
    same = same and memory.cell_keys == plan.cell_keys and memory.held.fits(plan)
    return same and columns.flows.dtype == flow_record(_depth(plan)) and bool(columns.charts.flags.writeable)


def fit(memory: Memory, plan: Plan) -> Memory:
    """A copy of `memory` that fits `plan`: nothing that the caller holds is changed afterwards."""
    fresh = empty(plan)
    old, new = memory.columns, fresh.columns
    _move(old.charts, new.charts, memory.keys, plan.keys)
    _move_flows(old.flows, new.flows, memory.flow_keys, fresh.flow_keys)
    _move(old.seasons, new.seasons, memory.season_keys, fresh.season_keys)
    _move(old.cohorts, new.cohorts, memory.cohort_keys, fresh.cohort_keys)
    _move(old.cells, new.cells, memory.cell_keys, fresh.cell_keys)
    new.fleet[:] = old.fleet
    held, place = memory.held.fit(plan)
    fresh.last[: memory.series] = memory.last[: memory.series]
    fresh.last[plan.series :][place >= 0] = memory.last[memory.series + place[place >= 0]]
    return replace(fresh, held=held)


def _move(old: Any, new: Any, old_keys: tuple[str, ...], new_keys: tuple[str, ...]) -> None:
    """Records of the same key."""
    if old_keys == new_keys:
        new[:] = old
        return
    where = {key: i for i, key in enumerate(old_keys)}
    for i, key in enumerate(new_keys):
        if key in where:
            new[i] = old[where[key]]


def _move_flows(old: Any, new: Any, old_keys: tuple[str, ...], new_keys: tuple[str, ...]) -> None:
    """Flows of the same key. A past of another depth is laid anew by the numbers of its intervals: what does not
    fit is cut, and in what was never kept nothing went in."""
    if old.dtype == new.dtype:
        _move(old, new, old_keys, new_keys)
        return
    where = {key: i for i, key in enumerate(old_keys)}
    here = np.array([i for i, key in enumerate(new_keys) if key in where], dtype=np.int64)
    there = np.array([where[key] for key in new_keys if key in where], dtype=np.int64)
    for name in old.dtype.names:
        if name != "went_ring":
            new[name][here] = old[name][there]
    before, after = old.went_ring.shape[1], new.went_ring.shape[1]
    kept = old.at[there, None] - np.arange(min(before, after))
    new.went_ring[here[:, None], kept % after] = old.went_ring[there[:, None], kept % before]


def dump(memory: Memory) -> list[bytes | memoryview]:
    """The memory as bytes, exactly, in parts that belong behind one another: what is many is not copied here."""
    columns, held = memory.columns, memory.held
    head = json.dumps(
        {
            "layout": _layout(columns.flows.dtype),
            "keys": memory.keys,
            "flow_keys": memory.flow_keys,
            "season_keys": memory.season_keys,
            "cohort_keys": memory.cohort_keys,
            "cell_keys": memory.cell_keys,
            "cell": repr(CELL.descr),
            "fleet": columns.fleet.tolist(),
            "columns": len(memory.last),
            "held": {"count": len(held.row), "depth": len(held.watched), "upto": held.upto},
            "depth": columns.flows.dtype["went_ring"].shape[0],
        }
    ).encode()
    later = (held.row, held.wait, held.values, held.watched)
    arrays = (
        memory.last, columns.charts, columns.flows, columns.seasons, columns.cohorts, columns.cells, *later,
    )  # fmt: skip
    head += b" " * (-len(head) % 8)  # so that the arrays lie where their numbers are read at once
    parts = [np.ascontiguousarray(array).view(np.uint8).reshape(-1).data for array in arrays]
    return [len(head).to_bytes(8, "big"), head, *parts]


def load(raw: memoryview) -> Memory:
    """What `dump` wrote, as arrays that look into `raw` (and are written to, if that can be).

    Raises KeyError, TypeError or ValueError where the bytes are no such thing.
    """
    at = 8 + int.from_bytes(raw[:8], "big")
    head = json.loads(bytes(raw[8:at]))
    names = ("keys", "flow_keys", "season_keys", "cohort_keys", "cell_keys")
    keys, flow_keys, season_keys, cohort_keys, cell_keys = (tuple(head.get(name, ())) for name in names)
    flow = flow_record(head["depth"])
    if head["layout"] != _layout(flow) or head.get("cell", repr(CELL.descr)) != repr(CELL.descr):
        raise ValueError("these are the records of another version")
    held = head.get("held", {"count": 0, "depth": 0, "upto": 0})  # there was a time when nothing waited
    slow, depth, whole = held["count"], held["depth"], np.dtype(np.int64)
    arrays = []
    for count, kind in (
        (head["columns"] if "columns" in head else head["series"], whole),
        (len(keys), CHART),
        (len(flow_keys), flow),
        (len(season_keys), SEASON),
        (len(cohort_keys), COHORTS),
        (len(cell_keys), CELL),
        (slow, whole),
        (slow, whole),
        (depth * slow, np.dtype(np.float64)),
        (depth, np.dtype(np.bool_)),
    ):
        arrays.append(np.frombuffer(raw[at : at + count * kind.itemsize], kind, count))
        at += count * kind.itemsize
    if at != len(raw):
        raise ValueError("these are not as many bytes as were written")
    charts, flows, seasons, cohorts, cells = (array.view(np.recarray) for array in arrays[1:6])
    row, wait, values, watched = arrays[6:]
    later = Held(row, wait, held["upto"], values.reshape(depth, slow), watched)
    fleet = np.array([tuple(kind) for kind in head["fleet"]], dtype=FLEET).view(np.recarray)
    columns = Columns(charts, flows, seasons, fleet, cohorts, cells)
    return Memory(keys, flow_keys, season_keys, cohort_keys, columns, arrays[0], later, cell_keys)


def _layout(flow: np.dtype[Any]) -> str:
    """Names, types and order of all that is kept of a chart, a flow, a profile and cohorts."""
    return " ".join(repr(kind.descr) for kind in (CHART, flow, SEASON, COHORTS))
