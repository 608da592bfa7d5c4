"""Which attribute values explain a fault: the search by itself, and through the one step."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import binom
from sliced import Where, fault
from world import DAY, START, World

from alerts import jsonl
from alerts.incidents import Event
from collector.bins import Bins, Late, SeriesKey, SeriesTable
from detectors import cells, memory, slices
from detectors.findings import Finding
from detectors.plan import MOST_CELLS, lay
from detectors.signals import Budget, Signal, SignalKind, Term
from detectors.slices import CHANCE, Counts, Slice, search
from stillwatch.engine import State, advance
from stillwatch.snapshot import dump, load

PATHS, REGIONS = ("api", "editor", "sent", "thumbs"), ("eu", "us", "ap")
ALL = list(product(PATHS, REGIONS))
NAMES = tuple((("path", p), ("region", r)) for p, r in ALL)
FAULT = DAY + 600  # minute

Failed = dict[tuple[str, str], float]


def counts(failed: Failed, each: float = 1000.0) -> Counts:
    """Every path in every region has as much traffic, and usually none of it fails."""
    x = np.array([failed.get(one, 0.0) for one in ALL])
    n = np.full(len(ALL), each)
    return Counts(x, n, np.full(len(ALL), 1e-3), np.zeros(len(ALL)), float(x.sum()))


def attributes(found: Slice | None) -> dict[str, str]:
    return dict(found.attributes) if found else {}


# The search.


def test_a_value_that_holds_the_fault_is_named_with_its_parts() -> None:
    found = search(NAMES, counts({("editor", r): 10.0 for r in REGIONS} | {("api", "eu"): 1.0}))
    assert found is not None
    assert found.attributes == (("path", "editor"),)
    assert found.counted == pytest.approx(30 / 31)
    assert found.traffic == pytest.approx(1 / 4)


def test_a_pair_is_named_only_where_it_says_more_than_either_of_its_values() -> None:
    assert attributes(search(NAMES, counts({("editor", "eu"): 30.0}))) == {"path": "editor", "region": "eu"}
    most = counts({("editor", "eu"): 22.0, ("editor", "us"): 5.0, ("editor", "ap"): 3.0})
    assert attributes(search(NAMES, most)) == {"path": "editor"}
    # That all are of one of four paths is no chance; that they are of the region with most traffic may be.
    busy = counts({("editor", "eu"): 12.0})
    busy = replace(busy, out_of=np.array([2000.0 if r == "eu" else 500.0 for _, r in ALL]))
    assert attributes(search(NAMES, busy)) == {"path": "editor"}


def test_what_is_everywhere_or_too_little_is_not_named() -> None:
    assert search(NAMES, counts(dict.fromkeys(ALL, 20.0))) is None
    assert search(NAMES, counts({("editor", "eu"): 2.0})) is None
    assert search(NAMES, counts({("editor", "eu"): 20.0, ("api", "us"): 20.0})) is None
    assert search((), Counts(*(np.zeros(0) for _ in range(4)), 0.0)) is None


def test_usual_failures_do_not_hide_what_is_new_and_are_no_part_of_it() -> None:
    one = counts({(p, r): 100.0 + 60.0 * (p == "editor") for p, r in ALL})
    found = search(NAMES, replace(one, usual=np.full(12, 100.0), known=np.full(12, 1e5), extra=180.0))
    assert attributes(found) == {"path": "editor"}
    assert found is not None
    assert found.counted == pytest.approx(480 / 1380)
    assert found.extra == pytest.approx(1.0)
    # A path that always fails most, fails as usual.
    x = np.array([500.0 if p == "sent" else 1.0 for p, _ in ALL])
    assert search(NAMES, replace(one, counted=1.5 * x, usual=x, known=x, extra=float(0.5 * x.sum()))) is None


def test_what_is_missing_is_asked_about_in_the_same_way() -> None:
    came = np.array([100.0 if p == "editor" else 1000.0 for p, _ in ALL])
    usual = np.full(12, 1000.0)
    found = search(NAMES, Counts(came, usual, usual, usual, -2700.0))
    assert attributes(found) == {"path": "editor"}
    assert found is not None
    assert (found.counted, found.traffic) == (pytest.approx(1.0), pytest.approx(0.25))
    assert search(NAMES, Counts(0.7 * usual, usual, usual, usual, -3600.0)) is None
    # Where nothing at all comes any more, it is not asked which part of that is missing.
    stopped = np.array([0.0 if p == "editor" else 1000.0 for p, _ in ALL])
    assert attributes(search(NAMES, Counts(stopped, usual, usual, usual, -3000.0))) == {"path": "editor"}
    gone = np.array([0.0 if one == ("editor", "eu") else 1000.0 for one in ALL])
    found = search(NAMES, Counts(gone, usual, usual, usual, -1000.0))
    assert attributes(found) == {"path": "editor", "region": "eu"}


def test_of_values_that_always_come_together_the_one_asked_for_first_is_named() -> None:
    names = tuple((("path", p), ("pool", p), ("region", r)) for p, r in ALL)
    assert attributes(search(names, counts({("editor", r): 20.0 for r in REGIONS}))) == {"path": "editor"}


def test_what_holds_nothing_of_an_attribute_is_never_named_by_it() -> None:
    names = tuple(((("path", p),) if p != "editor" else ()) for p, _ in ALL)
    assert search(names, counts({("editor", r): 20.0 for r in REGIONS})) is None


@example(
    [0, 0, 5, 0, 0, 0, 0, 0, 0, 5, 0, 0],
    [18, 1, 5, 1, 1, 1, 1, 1, 1, 5, 1, 3721],
    [9, 1, 2, 3, 4, 5, 6, 7, 8, 0, 10, 11],
)
@given(
    st.lists(st.integers(0, 30), min_size=12, max_size=12),
    st.lists(st.integers(1, 5000), min_size=12, max_size=12),
    st.permutations(range(12)),
)
def test_the_order_of_cells_and_what_values_are_called_change_nothing(
    failed: list[int], traffic: list[int], order: list[int]
) -> None:
    x, n = np.array(failed, dtype=float), np.array(traffic, dtype=float)
    one = Counts(x, n, 0.001 * n, np.ones(12), float(x.sum() - 0.001 * n.sum()))
    found = search(NAMES, one)
    moved = Counts(*(side[order] for side in (x, n, 0.001 * n, np.ones(12))), one.extra)
    renamed = tuple(tuple((name, value[::-1]) for name, value in NAMES[i]) for i in order)
    again = search(renamed, moved)
    assert {k: v[::-1] for k, v in attributes(again).items()} == attributes(found)
    if found is not None:
        assert 0.0 <= found.traffic < found.extra <= 1.0
        assert 0.0 <= found.counted <= 1.0


@pytest.mark.parametrize("part", [0.01, 0.05, 0.3, 0.6])
def test_by_chance_alone_the_evidence_is_as_rare_as_it_says(part: float) -> None:
    """Exactly, at every number of failures: no simulation."""
    for failures in range(1, 61):
        rare = 0.0
        for mine in range(failures + 1):
            x = np.array([mine, failures - mine], dtype=float)
            n = np.array([part, 1.0 - part])
            both = Counts(x, n, np.zeros(2), np.zeros(2), float(failures))
            one = slices._Candidate(("path",), np.array([True, False]))
            if slices._gain(both, one, None) >= np.log(1.0 / CHANCE):
                rare += float(binom.pmf(mine, failures, part))
        assert rare <= CHANCE, failures


# Through the one step.


def world(where: set[tuple[str, str]], kind: SignalKind, seed: int = 3, lasts: int = 40) -> World:
    """A service of four paths in three regions, of which those in `where` fail, or lose, a part for a while."""
    made = World(2 * DAY, seed)
    minute = np.arange(made.length)
    on = (minute >= FAULT) & (minute < FAULT + lasts)
    for path, region in ALL:
        came = made.random.poisson(60.0, made.length)
        part = 0.9 if kind == "throughput" and len(where) < len(ALL) else 0.5
        bad = made.random.binomial(came, np.where(on & ((path, region) in where), part, 0.001))
        labels = {"path": path, "region": region}
        made.add("resizer", "came", came, **labels)
        made.add("resizer", "bad", bad, **labels)
        made.add("resizer", "good", came - bad, **labels)
    came_, bad_, good = (Term("resizer", metric) for metric in ("came", "bad", "good"))
    terms = {"error_ratio": ((bad_,), (came_,)), "throughput": ((good,), ()), "flow": ((good,), (came_,))}
    counted, out_of = terms[kind]
    within = 120 if kind == "flow" else 0
    made.signals.append(
        Signal("resizer", "resizing", kind, counted, out_of, within, split_by=("path", "region"))
    )
    return made


def told(made: World, bins: Bins | None = None) -> list[Event]:
    return advance(State.empty(), bins or made.bins(), [], made.plan())[1]


def last(events: list[Event]) -> Finding:
    assert events
    return events[-1].incident.findings[0]


@pytest.mark.parametrize("kind", ["error_ratio", "flow"])
def test_a_fault_of_one_pair_is_told_as_that(kind: SignalKind) -> None:
    finding = last(told(world({("editor", "eu")}, kind)))
    assert dict(finding.slice) == {"path": "editor", "region": "eu"}
    held, traffic = finding.slice_share
    assert held > 0.8
    assert traffic == pytest.approx(1 / 12, rel=0.3)


@pytest.mark.parametrize("kind", ["error_ratio", "throughput", "flow"])
def test_a_fault_of_one_value_is_told_as_that(kind: SignalKind) -> None:
    assert dict(last(told(world({("editor", r) for r in REGIONS}, kind))).slice) == {"path": "editor"}


@pytest.mark.parametrize("kind", ["error_ratio", "throughput", "flow"])
def test_a_fault_that_is_everywhere_names_nothing(kind: SignalKind) -> None:
    events = told(world(set(ALL), kind))
    assert events
    assert [f.slice for e in events for f in e.incident.findings if f.slice] == []


@pytest.mark.slow
def test_a_version_that_holds_the_failures_is_named_without_being_asked_for() -> None:
    made = World(2 * DAY, 4)
    new = np.arange(made.length) >= FAULT
    for version, traffic, bad in (("4.2.0", 90.0, 0.001), ("4.2.1", 30.0, 0.2)):
        total = made.random.poisson(traffic, made.length).astype(float)
        failed = made.random.binomial(total.astype(int), bad).astype(float)
        if version == "4.2.1":
            total[~new], failed[~new] = np.nan, np.nan
        made.series[SeriesKey("resizer", "came", version)] = total
        made.series[SeriesKey("resizer", "bad", version)] = failed
    counted, out_of = (Term("resizer", "bad"),), (Term("resizer", "came"),)
    made.signals.append(Signal("resizer", "resizing", "error_ratio", counted, out_of))
    finding = told(made)[0].incident.findings[0]
    assert finding.slice == (("version", "4.2.1"),)
    assert finding.slice_share[1] == pytest.approx(0.25, rel=0.3)
    (signal,) = jsonl.read(jsonl.line(told(made)[0]))["signals"]
    assert signal["slice"] == {"version": "4.2.1"}
    assert signal["slice_share"]["failed"] > 0.9


def test_a_fault_that_lasts_longer_than_the_rings_keeps_its_name() -> None:
    events = told(world({("editor", "eu")}, "error_ratio", lasts=400))
    assert events[-1].event == "resolved"
    assert events[-1].time > START + 60 * (FAULT + 390)
    assert dict(last(events).slice) == {"path": "editor", "region": "eu"}


def test_blocks_and_saved_states_change_no_slice() -> None:
    made = world({("editor", "eu")}, "error_ratio")
    bins, plan = made.bins(), made.plan()
    whole = [jsonl.line(e) for e in told(made)]
    state, said = State.empty(), list[str]()
    for first, end in ((0, FAULT + 2), (FAULT + 2, FAULT + 9), (FAULT + 9, len(bins))):
        state, events = advance(load(dump(state)), bins.cut(first, end), [], plan)
        said += [jsonl.line(e) for e in events]
        assert dump(load(dump(state))) == dump(state)
    assert said == whole
    assert any('"region": "eu"' in line for line in said)


def test_a_state_saved_before_there_were_cells_goes_on() -> None:
    made = world({("editor", "eu")}, "error_ratio")
    bins, plan = made.bins(), made.plan()
    state, _ = advance(State.empty(), bins.cut(0, FAULT - 100), [], plan)
    old = memory.dump(state.memory)
    size = int.from_bytes(old[0], "big")
    head = json.loads(bytes(old[1]))
    assert len(head["cell_keys"]) == 13
    del head["cell_keys"], head["cell"], head["held"]
    text = json.dumps(head).encode().ljust(size)
    before = memory.load(memoryview(b"".join([len(text).to_bytes(8, "big"), text, *old[2:-5]])))
    assert before.cell_keys == ()
    assert not memory.fits(before, plan)
    _, events = advance(replace(state, memory=before), bins.cut(FAULT - 100, len(bins)), [], plan, spend=True)
    assert dict(last(events).slice) == {"path": "editor", "region": "eu"}


def test_what_comes_late_is_counted_in_its_cell() -> None:
    made = world(set(), "error_ratio")
    row, at = list(made.series).index(SeriesKey("resizer", "bad", "", NAMES[4])), 700
    bins = made.bins()
    late = Late(np.array([at]), np.array([START + 60 * (at - 3)]), np.array([row]), np.array([1000.0]))
    plan = made.plan()
    state, _ = advance(State.empty(), replace(bins, late=late).cut(0, at + 1), [], plan)
    number = START // 60 + at
    found = cells.counts(state.memory.columns, plan, [0], number - 3, number - 3, number)
    assert found.counted[plan.cell_names.index(NAMES[4])] >= 1000.0
    assert found.counted.sum() < 1010.0


def test_of_too_many_combinations_the_attributes_named_last_are_left_out() -> None:
    asked = Signal("a", "s", "throughput", (Term("a", "m"),), split_by=("path", "user"))

    def names(users: int) -> set[tuple[str, ...]]:
        keys = [SeriesKey("a", "m", "", (("path", p), ("user", f"{i}"))) for p in PATHS for i in range(users)]
        plan = lay([asked], SeriesTable(keys), 60, Budget())
        assert len(plan.cell_names) <= MOST_CELLS + 1
        return {tuple(name for name, _ in cell) for cell in plan.cell_names}

    assert names(MOST_CELLS // 4) == {("path", "user"), ()}
    assert names(MOST_CELLS // 4 + 1) == {("path",), ()}


def test_an_attribute_that_only_one_side_has_splits_nothing_but_what_comes_out_of_a_flow() -> None:
    keys = [SeriesKey("a", "in"), *(SeriesKey("a", "out", "", (("path", p),)) for p in PATHS)]
    for kind, expected in (("error_ratio", {()}), ("flow", {(), *(((("path", p)),) for p in PATHS)})):
        asked = Signal("a", "s", kind, (Term("a", "out"),), (Term("a", "in"),), 60, split_by=("path",))  # type: ignore[arg-type]
        assert set(lay([asked], SeriesTable(keys), 60, Budget()).cell_names) == expected


# How often it is right.


@pytest.mark.slow
@pytest.mark.parametrize("where", ["everywhere", "unevenly"])
@pytest.mark.parametrize("failures", [10, 30, 300])
def test_of_a_fault_that_is_everywhere_a_slice_is_named_in_less_than_one_in_a_hundred(
    where: Where, failures: int
) -> None:
    made = [fault(seed, where, failures, usual) for seed in range(500) for usual in (1e-5, 1e-3)]
    assert sum(one.named() is not None for one in made) < 0.01 * len(made)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["value", "pair"])
def test_once_thirty_have_failed_the_slice_is_named_rightly(where: Where) -> None:
    made = [fault(seed, where, 30, 1e-5) for seed in range(1000)]
    assert sum(one.is_right(one.named()) for one in made) > 0.95 * len(made)


@pytest.mark.slow
def test_the_same_holds_of_what_is_missing() -> None:
    losses = [fault(seed, "value", 0, 0.0, loss=True) for seed in range(400)]
    assert sum(one.is_right(one.named()) for one in losses) > 0.95 * len(losses)
    spread = [fault(seed, "everywhere", 2000, 0.0, loss=True) for seed in range(400)]
    assert sum(one.named() is not None for one in spread) < 0.01 * len(spread)
