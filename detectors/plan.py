"""Signals laid onto series rows: here strings end and columns begin. Pure.

In: signals and the series table. Out: Plan (charts, and which rows each sums), gather().
Never: a measured zero in place of "not measured".

A chart is one thing that is judged: a signal, a slice of one (an attribute value), a version of one, or the
cohorts of a flow whose sender says when its events had entered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.bins import MOST_AGE, SeriesKey, SeriesTable
from detectors.columns import ByMetric, Places, Slow, holds, places
from detectors.compiled import compiled, inlined
from detectors.serving import Versions
from detectors.signals import Budget, Signal, Term

ERROR, THROUGHPUT, FLOW, ROLLOUT, ROLLOUT_FLOW, TALLY, COHORT = range(7)
KINDS = {"error_ratio": ERROR, "throughput": THROUGHPUT, "flow": FLOW, "rollout": ROLLOUT}
MOST_SLICES = 32  # values of one attribute that are judged one by one; more would only raise every threshold
AT_ONCE = 3600  # seconds: what takes longer to come out depends on the hour of the day
NOTHING, SUMS = -1, -2
VERSION = "version"  # as an attribute by which everything is split
MOST_CELLS = 4096  # of one signal; where there are more, the attributes named last are left out
HOLD = 3  # intervals for which a group of series that falls silent leaves its sum "not measured"


class Chart(NamedTuple):
    """What one row of the columns stands for. family: index of the signal in Plan.signals."""

    family: int
    kind: int
    slice: tuple[tuple[str, str], ...] = ()
    version: str = ""


class Rows(NamedTuple):
    """Which series each chart sums, as nested index ranges, once for `counted` and once for `out_of`.

    Chart c has terms terms[c]..terms[c+1]; term k has groups groups[k]..groups[k+1] and is `sparse` or not;
    group g has rows members[g]..members[g+1] of `row` (int64[n], series rows: versions and ages of one series).
    service: int64[terms], into Plan.service_rows.
    """

    terms: NDArray[np.int64]
    groups: NDArray[np.int64]
    sparse: NDArray[np.bool_]
    service: NDArray[np.int64]
    members: NDArray[np.int64]
    row: NDArray[np.int64]


class Entries(NamedTuple):
    """What each chart of cohorts adds up, by age.

    Cohort chart i has series rows row[first[i]]..row[first[i+1]] (int64[n]); age: int64[n], intervals since what
    they count had entered, -1 = not said; enters: bool[n], do they count what went in. reach: int64[cohort
    charts], intervals after which it is known whether what entered has come out at all.
    """

    first: NDArray[np.int64]
    row: NDArray[np.int64]
    age: NDArray[np.int64]
    enters: NDArray[np.bool_]
    reach: NDArray[np.int64]


class Cells(NamedTuple):
    """What each cell adds up: the series of a signal with `split_by` that share all of these attributes.

    family: int64[signals that have cells]; i has cells first[i]..first[i+1] and charts charts[i]..charts_end[i], of
    which the first is the signal itself. Cell c counts the series row[at[c]]..row[at[c+1]] (int64[n]); enters:
    bool[n], as exposure instead.
    """

    family: NDArray[np.int64]
    first: NDArray[np.int64]
    charts: NDArray[np.int64]
    charts_end: NDArray[np.int64]
    at: NDArray[np.int64]
    row: NDArray[np.int64]
    enters: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about the watch that does not change from interval to interval.

    keys: a name for life for each chart, by which its memory is found again when the plan changes.
    kind, family: int64[charts]. season, lag: int64[charts], index of a profile (throughputs, slow flows) and of
    a lag curve (flows), else -1. explained_by: int64[charts], the flow chart whose output a throughput counts,
    else -1. failures: int64[charts], the error chart that counts the failures among a flow's outputs, else -1.
    reach: int64[flows], lag of each flow in intervals. cohort: int64[charts], the index in `entries` of a chart
    of cohorts and of its flow, else -1. within: int64[charts], seconds, of the signal. alone: bool[charts], those
    that stand for their signal: no slice, version or cohorts of it. cell_names: the attributes of each cell, () of
    the one that counts all that is too much for the others; cell_keys: as keys. holidays: local day
    (season.local_days) -> its name. versions: which rows count for which version of a service. series: how many
    there are; rows beyond them are those of `slow`. waits: int64[signals], after how many intervals each is judged.
    """

    signals: tuple[Signal, ...]
    charts: tuple[Chart, ...]
    keys: tuple[str, ...]
    width: int
    timezone: str
    budget: Budget
    counted: Rows
    out_of: Rows
    series: int
    slow: Slow
    waits: NDArray[np.int64]
    row_service: NDArray[np.int64]
    services: int
    kind: NDArray[np.int64]
    family: NDArray[np.int64]
    season: NDArray[np.int64]
    lag: NDArray[np.int64]
    explained_by: NDArray[np.int64]
    failures: NDArray[np.int64]
    reach: NDArray[np.int64]
    within: NDArray[np.int64]
    alone: NDArray[np.bool_]
    cohort: NDArray[np.int64]
    entries: Entries
    versions: Versions
    cells: Cells
    cell_names: tuple[tuple[tuple[str, str], ...], ...]
    cell_keys: tuple[str, ...]
    holidays: Mapping[int, str] = field(default_factory=dict)


def lay(
    signals: Sequence[Signal],
    table: SeriesTable,
    width: int,
    budget: Budget,
    timezone: str = "UTC",
    holidays: Mapping[int, str] | None = None,
    waits: Mapping[str, int] | None = None,
) -> Plan:
    """Lay `signals` onto the rows of `table`, for intervals of `width` seconds. holidays: see Plan.
    waits: by source, how many intervals later than others it is judged.

    Lay anew when the table has grown: charts keep their keys, and with them their memory.
    """
    # By one string after the other: pairs of them are compared for three times as long.
    asked = tuple(sorted(sorted(signals, key=attrgetter("name")), key=attrgetter("service")))
    by_metric: ByMetric = {}
    for at in enumerate(table.keys):
        (service, metric, _, _), others = at[1], [at]
        if (of := by_metric.setdefault((service, metric), others)) is not others:
            of.append(at)
    versioned = {key.service for key in table.keys if key.version}
    charts: list[Chart] = []
    for family, signal in enumerate(asked):
        if signal.service in versioned or signal.split_by or signal.kind in ("flow", "rollout"):
            charts += _with_cohorts(_charts(family, signal, by_metric), signal, by_metric, width)
        else:
            charts.append(Chart(family, KINDS[signal.kind]))
    laid = places(asked, table, by_metric, waits or {})
    kind = np.array([c.kind for c in charts], dtype=np.int64)
    flows = np.flatnonzero(kind == FLOW)
    lag = np.full(len(charts), -1, dtype=np.int64)
    lag[flows] = np.arange(len(flows))
    season = np.full(len(charts), -1, dtype=np.int64)
    within = np.array([asked[c.family].within for c in charts], dtype=np.int64)
    seasonal = np.flatnonzero((kind == THROUGHPUT) | ((kind == FLOW) & (within > AT_ONCE)))
    season[seasonal] = np.arange(len(seasonal))
    reach = [max(1, -(-asked[charts[c].family].within // width)) for c in flows]
    family_of = np.array([c.family for c in charts], dtype=np.int64)
    cells, cell_names, cell_keys = _cells(asked, family_of, laid)
    return Plan(
        signals=asked,
        charts=tuple(charts),
        keys=tuple(_key(asked[c.family], c) for c in charts),
        width=width,
        timezone=timezone,
        budget=budget,
        counted=_rows(((asked[c[0]].counted, c) for c in charts), laid),
        out_of=_rows(((asked[c[0]].out_of, c) for c in charts), laid),
        series=len(table),
        slow=laid.slow,
        waits=laid.waits,
        row_service=laid.row_service,
        services=sum(map(len, laid.services.values())),
        kind=kind,
        family=family_of,
        season=season,
        lag=lag,
        explained_by=_explained_by(asked, charts),
        failures=_failures(asked, charts),
        reach=np.array(reach, dtype=np.int64),
        within=within,
        alone=np.array([not c.slice and not c.version and c.kind != COHORT for c in charts], dtype=np.bool_),
        cohort=_cohort(charts),
        entries=_entries([(asked[c.family], c) for c in charts if c.kind == COHORT], laid, width),
        versions=laid.versions,
        cells=cells,
        cell_names=cell_names,
        cell_keys=cell_keys,
        holidays=holidays or {},
    )


def _key(signal: Signal, chart: Chart) -> str:
    if not chart.slice:
        return f"{signal.service}\x1f{signal.name}\x1f{chart.kind}\x1f{chart.version}"
    slices = [f"{k}={v}" for k, v in chart.slice]
    return "\x1f".join((signal.service, signal.name, str(chart.kind), chart.version, *slices))


def _charts(family: int, signal: Signal, by_metric: ByMetric) -> list[Chart]:
    """The charts of one signal: itself, its slices and, to compare or to attribute, its versions."""
    kind = KINDS[signal.kind]
    keys = [
        key
        for term in signal.counted + signal.out_of
        for _, key in by_metric.get((term.service, term.metric), ())
        if not term.where or holds(key, term.where)
    ]
    versions = sorted({key.version for key in keys if key.version and key.service == signal.service})
    if not versions and not signal.split_by and kind != ROLLOUT:
        return [Chart(family, kind)]
    if signal.kind == "rollout":
        kind = ROLLOUT_FLOW if signal.within else ROLLOUT
        return [Chart(family, kind, version=version) for version in versions]
    charts = [Chart(family, kind)]
    for attribute in signal.split_by:
        values = sorted({value for key in keys for name, value in key.attributes if name == attribute})
        charts += [Chart(family, kind, ((attribute, v),)) for v in values[:MOST_SLICES]]
    return charts + [Chart(family, TALLY, version=version) for version in versions]


def _with_cohorts(charts: list[Chart], signal: Signal, by_metric: ByMetric, width: int) -> list[Chart]:
    """Beside each flow chart one for its cohorts, where what comes out says when it had entered."""
    if signal.kind != "flow" or -(-signal.within // width) > MOST_AGE:
        return charts
    found: list[Chart] = []
    for chart in charts:
        found.append(chart)
        out = [key for term in signal.counted for _, key in _of(term, chart, by_metric)]
        if chart.kind == FLOW and any(key.age >= 0 for key in out):
            found.append(Chart(chart.family, COHORT, chart.slice))
    return found


def _cohort(charts: list[Chart]) -> NDArray[np.int64]:
    found = np.full(len(charts), -1, dtype=np.int64)
    which = [i for i, chart in enumerate(charts) if chart.kind == COHORT]
    for i, c in enumerate(which):
        found[c - 1] = found[c] = i  # each follows its flow, see _with_cohorts
    return found


def _entries(cohorts: list[tuple[Signal, Chart]], places: Places, width: int) -> Entries:
    first = [0]
    found: list[tuple[int, int, bool]] = []
    for signal, chart in cohorts:
        by_metric = places.of(chart.family)
        for side, enters in ((signal.out_of, True), (signal.counted, False)):
            found += [(row, key.age, enters) for term in side for row, key in _of(term, chart, by_metric)]
        first.append(len(found))
    # What comes later than it should is late, and not lost.
    reach = [min(2 * max(1, -(-signal.within // width)), MOST_AGE) for signal, _ in cohorts]
    whole = np.int64
    return Entries(
        np.array(first, dtype=whole),
        np.array([row for row, _, _ in found], dtype=whole),
        np.array([age for _, age, _ in found], dtype=whole),
        np.array([enters for _, _, enters in found], dtype=np.bool_),
        np.array(reach, dtype=whole),
    )


def _cells(
    asked: tuple[Signal, ...], family_of: NDArray[np.int64], places: Places
) -> tuple[Cells, tuple[tuple[tuple[str, str], ...], ...], tuple[str, ...]]:
    """The cells of all signals that are split, with their attributes and their names for life."""
    families = [i for i, s in enumerate(asked) if s.split_by and s.kind != "rollout"]
    first, at = [0], [0]
    row: list[int] = []
    enters: list[bool] = []
    names: list[tuple[tuple[str, str], ...]] = []
    keys: list[str] = []
    for family in families:
        signal, by_metric = asked[family], places.of(family)
        members_of = [
            (_cell_name(signal, key), r, exposure)
            for side, exposure in ((signal.counted, False), (signal.out_of, True))
            for term in side
            for r, key in _of(term, Chart(family, NOTHING), by_metric)
        ]
        attributes, members_of = _shared(signal, members_of)
        by_name = _by_name(members_of, attributes)
        fitting = sorted(name for name in by_name if name)[:MOST_CELLS]
        rest = [one for name in by_name.keys() - set(fitting) for one in by_name[name]]
        for name, members in (*((name, by_name[name]) for name in fitting), ((), sorted(rest))):
            row += [r for r, _ in members]
            enters += [exposure for _, exposure in members]
            at.append(len(row))
            names.append(name)
            keys.append("\x1f".join((signal.service, signal.name, *(f"{k}={v}" for k, v in name))))
        first.append(len(names))
    whole = np.int64
    cells = Cells(
        np.array(families, dtype=whole),
        np.array(first, dtype=whole),
        np.searchsorted(family_of, np.array(families, dtype=whole)).astype(whole),
        np.searchsorted(family_of, np.array(families, dtype=whole), side="right").astype(whole),
        np.array(at, dtype=whole),
        np.array(row, dtype=whole),
        np.array(enters, dtype=np.bool_),
    )
    return cells, tuple(names), tuple(keys)


Member = tuple[tuple[tuple[str, str], ...], int, bool]  # attributes, row, is it exposure?


def _shared(signal: Signal, members_of: list[Member]) -> tuple[tuple[str, ...], list[Member]]:
    """The attributes that both sides have. A flow of which only what comes out has them is split by that."""
    sides: tuple[set[str], set[str]] = (set(), set())
    for name, _, exposure in members_of:
        sides[exposure].update(attribute for attribute, _ in name)
    counted, entered = sides
    if signal.kind == "flow" and not counted - {VERSION} <= entered:
        members_of, entered = [one for one in members_of if not one[2]], counted
    shared = counted & entered if signal.out_of else counted
    return tuple(a for a in (*signal.split_by, VERSION) if a in shared), members_of


def _by_name(
    members_of: list[Member], attributes: tuple[str, ...]
) -> dict[tuple[tuple[str, str], ...], list[tuple[int, bool]]]:
    """Members by the attributes that they share: of as many of `attributes` as give no more than MOST_CELLS."""
    by_name: dict[tuple[tuple[str, str], ...], list[tuple[int, bool]]] = {}
    for kept in range(len(attributes), 0, -1):
        by_name = {}
        for name, row, exposure in members_of:
            held = tuple(pair for pair in name if pair[0] in attributes[:kept])
            by_name.setdefault(held, []).append((row, exposure))
        if len(by_name) <= MOST_CELLS:
            break
    return by_name


def _cell_name(signal: Signal, key: SeriesKey) -> tuple[tuple[str, str], ...]:
    """Its attributes that the signal is split by, and its version, which splits all of a service."""
    mine = dict(key.attributes)
    found = tuple((name, mine[name]) for name in dict.fromkeys(signal.split_by) if name in mine)
    if key.version and key.service == signal.service and VERSION not in signal.split_by:
        found += ((VERSION, key.version),)
    return found


def _of(term: Term, chart: Chart, by_metric: ByMetric) -> list[tuple[int, SeriesKey]]:
    """The series that one term of a chart sums."""
    found = by_metric.get((term.service, term.metric), [])
    version = chart.version
    if not term.where and not chart.slice and not version:
        return found
    return [
        (r, k)
        for r, k in found
        if version in ("", k.version)
        and holds(k, term.where)
        and all(pair in k.attributes for pair in chart.slice)
    ]


def _rows(sides: Iterable[tuple[tuple[Term, ...], Chart]], places: Places) -> Rows:
    terms, groups, members = [0], [0], [0]
    sparse: list[bool] = []
    service: list[int] = []
    row: list[int] = []
    waits, services, by_wait = places.waits.tolist(), places.services, places.by_wait
    for side, chart in sides:
        family, _, slices, version = chart
        anything, wait = not version and not slices, waits[family]
        by_metric = by_wait[wait]
        for term in side:
            found: Sequence[tuple[int, SeriesKey]]
            if anything and not term.where:  # as most
                found = by_metric.get((term.service, term.metric), ())
            else:
                found = _of(term, chart, by_metric)
            if len(found) == 1:
                row.append(found[0][0])
                members.append(len(row))
            elif found:
                by_group: dict[tuple[tuple[str, str], ...], list[int]] = {}
                for r, key in found:
                    by_group.setdefault(key.ageless, []).append(r)
                for attributes in sorted(by_group):
                    row += by_group[attributes]
                    members.append(len(row))
            groups.append(len(members) - 1)
            sparse.append(term.sparse)
            service.append(services[wait][term.service])
        terms.append(len(sparse))
    whole = np.int64
    return Rows(
        np.array(terms, dtype=whole),
        np.array(groups, dtype=whole),
        np.array(sparse, dtype=np.bool_),
        np.array(service, dtype=whole),
        np.array(members, dtype=whole),
        np.array(row, dtype=whole),
    )


def _failures(signals: tuple[Signal, ...], charts: list[Chart]) -> NDArray[np.int64]:
    """What a flow brings out as failed is lost as well: `to: [stored, failed]` with an error_ratio of `failed`."""
    found = np.full(len(charts), -1, dtype=np.int64)
    if all(c.kind not in (FLOW, COHORT) for c in charts):
        return found
    errors = [(i, signals[c.family]) for i, c in enumerate(charts) if c.kind == ERROR and not c.slice]
    for i, chart in enumerate(charts):
        if chart.kind not in (FLOW, COHORT):
            continue
        counted = set(signals[chart.family].counted)
        fitting = [e for e, s in errors if set(s.counted) < counted]
        if fitting:
            found[i] = fitting[0]
    return found


def _explained_by(signals: tuple[Signal, ...], charts: list[Chart]) -> NDArray[np.int64]:
    """A throughput that counts what comes out of a flow is explained by what goes into it."""
    flows = [(i, signals[c.family]) for i, c in enumerate(charts) if c.kind == FLOW and not c.slice]
    explained = np.full(len(charts), -1, dtype=np.int64)
    if not flows:
        return explained
    for i, chart in enumerate(charts):
        if chart.kind != THROUGHPUT:
            continue
        counted = signals[chart.family].counted
        # The flow with the longest reach sees the most of what explains the count.
        fitting = [(s.within, f) for f, s in flows if set(counted) <= set(s.counted)]
        if fitting:
            explained[i] = max(fitting)[1]
    return explained


@compiled
def gather(
    values: NDArray[np.float64],
    counted: Rows,
    out_of: Rows,
    row_service: NDArray[np.int64],
    services: int,
    last: NDArray[np.int64],
    first: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum series into charts: (counted, out_of), float64[intervals, charts], NaN = not (wholly) measured.

    last: int64[series], number of the interval in which each series was last measured, -1 = never; it is
    brought up to date here. first: number of the first interval of `values`.
    """
    length = values.shape[0]
    charts = len(counted.terms) - 1
    x = np.empty((length, charts))
    n = np.empty((length, charts))
    x_alone, n_alone = _alone(counted), _alone(out_of)
    measured = np.zeros(services, dtype=np.bool_)
    for t in range(length):
        measured[:] = False
        for r in range(values.shape[1]):
            if not np.isnan(values[t, r]):
                measured[row_service[r]] = True
                last[r] = first + t
        for c in range(charts):
            a, b = x_alone[c], n_alone[c]
            x[t, c] = (
                _at(values, t, a) if a != SUMS else _sum(values[t], counted, c, measured, last, first + t)
            )
            n[t, c] = (
                _at(values, t, b) if b != SUMS else _sum(values[t], out_of, c, measured, last, first + t)
            )
    return x, n


@inlined
def _at(values: NDArray[np.float64], t: int, r: int) -> float:
    return values[t, r] if 0 <= r < values.shape[1] else np.nan


@compiled
def _alone(rows: Rows) -> NDArray[np.int64]:
    """int64[charts]: the one series that this side of a chart is, NOTHING, or SUMS: see _sum."""
    alone = np.full(len(rows.terms) - 1, SUMS)
    for c in range(len(alone)):
        k = rows.terms[c]
        if rows.terms[c + 1] == k:
            alone[c] = NOTHING
        elif rows.terms[c + 1] == k + 1 and not rows.sparse[k] and rows.groups[k + 1] == rows.groups[k] + 1:
            first, end = rows.members[rows.groups[k]], rows.members[rows.groups[k] + 1]
            if end == first + 1:
                alone[c] = rows.row[first]
    return alone


@compiled
def _sum(
    values: NDArray[np.float64],
    rows: Rows,
    c: int,
    measured: NDArray[np.bool_],
    last: NDArray[np.int64],
    now: int,
) -> float:
    """The sum of one side of chart c, NaN where any term of it was not measured.

    Inside a group (one series in several versions, or by age) what is missing is simply not serving. A group that
    fell silent at most HOLD intervals ago leaves the sum unknown; after that it is taken to be gone.
    """
    total = 0.0
    if rows.terms[c] == rows.terms[c + 1]:
        return np.nan
    for k in range(rows.terms[c], rows.terms[c + 1]):
        some, broken = False, False
        for g in range(rows.groups[k], rows.groups[k + 1]):
            alive, lately = False, False
            for i in range(rows.members[g], rows.members[g + 1]):
                r = rows.row[i]
                if r >= len(values):
                    continue
                if not np.isnan(values[r]):
                    total += values[r]
                    alive = True
                elif last[r] >= 0 and now - last[r] <= HOLD:
                    lately = True
            some = some or alive
            broken = broken or (lately and not alive)
        if rows.sparse[k]:
            some, broken = measured[rows.service[k]], False
        if broken or not some:
            return np.nan
    return total
