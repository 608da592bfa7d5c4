"""All that the detectors remember, in columns over charts. Pure.

In: the memory so far and a plan. Out: a memory that fits the plan: what is known of a chart moves with its
key, what is new starts empty. Never: an object per chart.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.bins import SeriesTable
from detectors.plan import ERROR, FLOW, ROLLOUT, ROLLOUT_FLOW, THROUGHPUT, Plan, lay
from detectors.signals import Budget

SIZES = 8  # hypotheses about the size of a fault, per chart
LEVELS = 4  # levels with different memories, per chart
DAYS_LIKE = 3  # other days that today may be like: a Sunday, an hour earlier, an hour later
RING = 128  # last intervals kept per chart, for pictures and for the range of an onset
LAGS = 20  # at most this many blocks of a lag curve
SPANS = np.array([2, 4, 8, 16, 32, 64])  # intervals over which what a flow owes is added up
QUARTERS = 96  # of an hour, in a day
WEEK = 7 * QUARTERS
PRIOR_DEN = 300.0  # weight of the prior of c, in units of expect.scatter_weight
PRIOR_SCATTER = 0.01
PRIOR_SHARE = 0.01  # an error share that nobody has seen yet, worth half an error

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]


class Columns(NamedTuple):
    """One row per chart (flow columns: per flow; season columns: per throughput). Intervals are numbered
    since the epoch. Times of memory are interval numbers, sums are counts.

    The level and the scatter (expect.py):
      alpha, beta, num, den: [charts, LEVELS]; best: which level is believed. seen: intervals judged; first:
      number of the first, -1 = none; hot: intervals in a row far above what was expected.
    Evidence (judge.py), for every size of fault:
      w: log evidence since `since`; ja, jb: the level if that fault is real; sx, sm, sn, sv: counted,
      expected without the fault, out_of and variance since then. total: the evidence of all sizes together.
      aa, ab: levels under the other days that today may be like. odd: one odd interval is waiting to be judged.
    A raised chart: raised 0/1, onset (onset_low..onset_high), ra, rb: the level before the fault, rx, rm, rn,
      rv: sums since the onset, size: the fault in parts of the usual, late: counts that came after all,
      v, v_since, vx, vm, vn, vv: the evidence, and sums, of being as before.
      phase: 0 nothing, 1 raised, 2 standing, 3 cleared in this interval; why: 1 recovered, 2 late data,
      3 expired.
    Silence (silence.py): run: intervals without a measurement; longest: the longest such run that was no
      fault; rate: what an interval usually brings; s_*: as above.
    ring_*: the last RING intervals: counted, expected, A, out_of.
    Flows (flow.py): gram, moment: least-squares sums; curve: expected out per in, by lag block; went: running
      sum of what went in; went_ring, gone_ring: it, and the number of unmeasured intervals, by interval; fits:
      intervals that taught the curve; fresh: share of the expected that entered lately; owed: running sum of
      what is missing, owed_ring; spread, spread_n: its variance over each span.
    Seasons (season.py): week: log shape; taught: [.., 7] days that taught each weekday; day_x, day_n: sums of
      the running day; trend: log level of recent days; days: how many days were learned.
    Rollouts (rollout.py): went_in, came_out, missing: of each version, for those that compare flows.
    """

    alpha: Floats
    beta: Floats
    num: Floats
    den: Floats
    best: Wholes
    seen: Wholes
    first: Wholes
    hot: Wholes
    w: Floats
    since: Wholes
    ja: Floats
    jb: Floats
    sx: Floats
    sm: Floats
    sn: Floats
    sv: Floats
    aa: Floats
    ab: Floats
    total: Floats
    odd: Wholes
    raised: Wholes
    onset: Wholes
    onset_low: Wholes
    onset_high: Wholes
    ra: Floats
    rb: Floats
    rx: Floats
    rm: Floats
    rn: Floats
    rv: Floats
    size: Floats
    late: Floats
    v: Floats
    v_since: Wholes
    vx: Floats
    vm: Floats
    vn: Floats
    vv: Floats
    strength: Floats
    phase: Wholes
    why: Wholes
    run: Wholes
    longest: Floats
    rate: Floats
    s_raised: Wholes
    s_onset: Wholes
    s_lost: Floats
    s_back: Wholes
    s_phase: Wholes
    ring_x: Floats
    ring_m: Floats
    ring_a: Floats
    ring_n: Floats
    went_in: Floats
    came_out: Floats
    missing: Floats
    gram: Floats
    moment: Floats
    curve: Floats
    went: Floats
    gone: Floats
    went_ring: Floats
    gone_ring: Floats
    fits: Wholes
    fresh: Floats
    owed: Floats
    owed_ring: Floats
    spread: Floats
    spread_n: Floats
    week: Floats
    taught: Floats
    day_x: Floats
    day_n: Floats
    trend: Floats
    days: Wholes
    odds: Floats  # [2 directions, (odd intervals, judged intervals)]: how often one interval is odd and no fault


FLOW_COLUMNS = (
    "gram moment curve went gone went_ring gone_ring fits fresh owed owed_ring spread spread_n".split()
)
SEASON_COLUMNS = "week taught day_x day_n trend days".split()


@dataclass(frozen=True, slots=True)
class Memory:
    """keys: names of the charts, as in Plan.keys. last: int64[series], see plan.gather."""

    keys: tuple[str, ...]
    columns: Columns
    last: Wholes


def empty(plan: Plan) -> Memory:
    """A memory that knows nothing yet, of the shape that `plan` needs."""
    charts, flows = len(plan.charts), len(plan.reach)
    seasons = int((plan.season >= 0).sum())
    deep = int(plan.reach.max()) + 2 if flows else 2

    def of(*shape: int) -> Floats:
        return np.zeros(shape)

    def whole(*shape: int, value: int = 0) -> Wholes:
        return np.full(shape, value, dtype=np.int64)

    columns: dict[str, NDArray[np.float64] | NDArray[np.int64]] = {}
    for name in "alpha beta num den".split():
        columns[name] = of(charts, LEVELS)
    for name in "w ja jb sx sm sn sv".split():
        columns[name] = of(charts, SIZES)
    for name in "aa ab".split():
        columns[name] = of(charts, DAYS_LIKE)
    for name in (
        "total ra rb rx rm rn rv size late v vx vm vn vv strength longest rate s_lost went_in came_out missing"
    ).split():
        columns[name] = of(charts)
    for name in (
        "best seen hot odd raised onset onset_low onset_high v_since phase why run s_raised s_onset s_back s_phase"
    ).split():
        columns[name] = whole(charts)
    for name in "ring_x ring_m ring_a ring_n".split():
        columns[name] = np.full((charts, RING), np.nan)
    columns["since"] = whole(charts, SIZES)
    columns["first"] = whole(charts, value=-1)
    columns |= {
        "gram": of(flows, LAGS, LAGS),
        "moment": of(flows, LAGS),
        "curve": of(flows, LAGS),
        "went": of(flows),
        "gone": of(flows),
        "went_ring": of(flows, deep),
        "gone_ring": of(flows, deep),
        "fits": whole(flows),
        "fresh": of(flows),
        "owed": of(flows),
        "owed_ring": of(flows, RING),
        "spread": of(flows, len(SPANS)),
        "spread_n": of(flows, len(SPANS)),
        "week": of(seasons, WEEK),
        "taught": of(seasons, 7),
        "day_x": of(seasons, QUARTERS),
        "day_n": of(seasons, QUARTERS),
        "trend": of(seasons),
        "days": whole(seasons),
        "odds": of(2, 2),
    }
    built = Columns(**columns)  # type: ignore[arg-type]  # each column has the type of its name
    _priors(plan, built)
    return Memory(plan.keys, built, np.full(len(plan.row_service), -1, dtype=np.int64))


def nothing() -> Memory:
    """The memory before there is a plan."""
    return empty(lay((), SeriesTable(), 60, Budget()))


def _priors(plan: Plan, columns: Columns) -> None:
    columns.den[:] = PRIOR_DEN
    columns.num[:] = PRIOR_DEN * PRIOR_SCATTER
    columns.best[:] = LEVELS - 1
    share = np.isin(plan.kind, (ERROR,))
    columns.alpha[share], columns.beta[share] = 0.5, 0.5 / PRIOR_SHARE
    loose = plan.kind == THROUGHPUT
    columns.alpha[loose], columns.beta[loose] = 0.1, 0.1
    kept = np.isin(plan.kind, (FLOW, ROLLOUT, ROLLOUT_FLOW))
    columns.alpha[kept], columns.beta[kept] = 20.0, 20.0
    best = LEVELS - 1
    for level, rate, of in ((columns.ja, columns.jb, SIZES), (columns.aa, columns.ab, DAYS_LIKE)):
        level[:] = np.repeat(columns.alpha[:, best : best + 1], of, axis=1)
        rate[:] = np.repeat(columns.beta[:, best : best + 1], of, axis=1)


def fit(memory: Memory, plan: Plan) -> Memory:
    """A copy of `memory` that fits `plan`: nothing that the caller holds is changed afterwards."""
    fresh = empty(plan)
    old, new = memory.columns, fresh.columns
    where = {key: i for i, key in enumerate(memory.keys)}
    pairs = [(where[key], i) for i, key in enumerate(plan.keys) if key in where]
    _move(old, new, [n for n in Columns._fields if n not in (*FLOW_COLUMNS, *SEASON_COLUMNS, "odds")], pairs)
    flow = _sub_rows(memory.keys, str(FLOW))
    _move(
        old,
        new,
        FLOW_COLUMNS,
        [(flow[k], i) for k, i in _sub_rows(plan.keys, str(FLOW)).items() if k in flow],
    )
    season = _sub_rows(memory.keys, str(THROUGHPUT))
    seasons = _sub_rows(plan.keys, str(THROUGHPUT)).items()
    _move(old, new, SEASON_COLUMNS, [(season[k], i) for k, i in seasons if k in season])
    new.odds[:] = old.odds
    fresh.last[: len(memory.last)] = memory.last
    return fresh


def _sub_rows(keys: tuple[str, ...], kind: str) -> dict[str, int]:
    """Row numbers within the columns of one kind, by chart key (flows and seasons have columns of their own)."""
    return {key: i for i, key in enumerate(k for k in keys if k.split("\x1f")[2] == kind)}


def _move(old: Columns, new: Columns, names: list[str], pairs: list[tuple[int, int]]) -> None:
    if not pairs:
        return
    source, target = (np.array(side) for side in zip(*pairs, strict=True))
    for name in names:
        a, b = getattr(old, name), getattr(new, name)
        if a.ndim == 2 and a.shape[1] != b.shape[1]:
            _move_ring(a, b, source, target)
        else:
            b[target] = a[source]


def _move_ring(old: Floats, new: Floats, source: Wholes, target: Wholes) -> None:
    """A ring of another depth can't be kept slot by slot; flows with another reach start their history anew."""
    new[target] = 0.0
    del old, source


def dump(memory: Memory) -> bytes:
    """The memory as bytes, exactly."""
    buffer = io.BytesIO()
    arrays = {name: getattr(memory.columns, name) for name in Columns._fields}
    np.savez(buffer, keys=np.array(memory.keys, dtype=np.str_), last=memory.last, **arrays)
    return buffer.getvalue()


def load(raw: bytes) -> Memory:
    """What `dump` wrote. Raises KeyError or ValueError where the bytes are no such thing."""
    with np.load(io.BytesIO(raw), allow_pickle=False) as stored:
        columns = Columns(*(stored[name] for name in Columns._fields))
        return Memory(tuple(str(k) for k in stored["keys"]), columns, stored["last"])
