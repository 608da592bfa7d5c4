"""The evidence of one count against the laws of scipy, what a sum counts as measured, and faults that are seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from world import DAY, START, World, arrivals, passes_on, requests

from alerts.incidents import Event
from collector.bins import SeriesKey, SeriesTable
from detectors import plan
from detectors.expect import evidence
from detectors.findings import Finding
from detectors.judge import _cannot_say, _is_too_small, _with_fault, says_nothing
from detectors.signals import Budget, Signal, Term
from stillwatch.engine import State, advance

NAN = np.nan
MEANS = st.floats(0.01, 5000)
FAULT = 2 * DAY + 700  # minute at which a fault begins
evidence(1.0, 1.0, 2.0, 0.1)  # loads the compiled code, for which no example's deadline is meant


def close(found: float, expected: float, size: float) -> None:
    """The law's own logarithms lose digits where they are large: the tolerance is a share of their size."""
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-8 + 1e-12 * size)


@given(st.integers(0, 10_000), MEANS, MEANS)
def test_without_scatter_the_evidence_is_that_of_poisson(x: int, base: float, other: float) -> None:
    high, low = stats.poisson.logpmf(x, other), stats.poisson.logpmf(x, base)
    close(evidence(float(x), base, other, 0.0), high - low, abs(high) + abs(low))


@given(st.integers(5, 5000), st.floats(0, 1), st.floats(0.001, 0.99), st.floats(0.001, 0.99))
def test_of_so_many_trials_the_evidence_is_that_of_the_binomial(
    n: int, part: float, base: float, other: float
) -> None:
    x = round(part * n)
    high, low = stats.binom.logpmf(x, n, other), stats.binom.logpmf(x, n, base)
    close(evidence(float(x), n * base, n * other, -1.0 / n), high - low, abs(high) + abs(low))


@given(st.integers(0, 10_000), MEANS, MEANS, st.floats(0.001, 2))
def test_with_scatter_the_evidence_is_that_of_the_negative_binomial(
    x: int, base: float, other: float, scatter: float
) -> None:
    def law(mean: float) -> float:
        return float(stats.nbinom.logpmf(x, 1 / scatter, 1 / (1 + scatter * mean)))

    size = abs(law(other)) + abs(law(base))
    close(evidence(float(x), base, other, scatter), law(other) - law(base), size)


@given(st.integers(0, 1000), st.floats(0.1, 100), st.floats(0.1, 100))
def test_a_scatter_next_to_nothing_is_next_to_poisson(x: int, base: float, other: float) -> None:
    exact = evidence(float(x), base, other, 0.0)
    # Of second order in the count: A x^2 and A m^2.
    room = 2e-8 * (x * (x + base + other) + base * base + other * other) + 1e-6
    for scatter in (1e-8, -1e-8):
        assert evidence(float(x), base, other, scatter) == pytest.approx(exact, abs=room)


# What a sum counts as measured.

STORED, FAILED = Term("shop", "stored"), Term("shop", "failed", sparse=True)


def gathered(
    term: Term, columns: dict[SeriesKey, list[float]], last: NDArray[np.int64] | None = None, first: int = 0
) -> list[float]:
    """The sum of `term`, interval by interval, over these series."""
    table = SeriesTable(columns)
    laid = plan.lay([Signal("shop", "asked", "throughput", (term,))], table, 60, Budget())
    values = np.array(list(columns.values())).T
    if last is None:
        last = np.full(len(columns), -1, dtype=np.int64)
    x, n = plan.gather(values, laid.counted, laid.out_of, laid.row_service, laid.services, last, first)
    assert np.isnan(n).all()  # a throughput is out of nothing
    found: list[float] = x[:, 0].tolist()
    return found


def key(metric: str, version: str = "", **attributes: str) -> SeriesKey:
    return SeriesKey("shop", metric, version, tuple(sorted(attributes.items())))


def same(found: list[float], expected: list[float]) -> None:
    np.testing.assert_array_equal(found, expected)


def test_a_measured_zero_is_zero_and_what_was_not_measured_is_not() -> None:
    same(gathered(STORED, {key("stored"): [5, 0, NAN, 0, 2]}), [5, 0, NAN, 0, 2])


def test_a_series_that_was_never_there_is_not_measured() -> None:
    same(gathered(STORED, {key("other"): [5, 5]}), [NAN, NAN])


def test_versions_of_one_series_relieve_one_another() -> None:
    old, new = [9, 9, 4, NAN, NAN], [NAN, NAN, 5, 9, 0.0]
    columns: dict[SeriesKey, list[float]] = {key("stored", "1"): old, key("stored", "2"): new}
    same(gathered(STORED, columns), [9, 9, 9, 9, 0])


def test_a_part_that_falls_silent_makes_the_sum_unknown_until_it_is_taken_to_be_gone() -> None:
    silent = [NAN] * (plan.HOLD + 2)
    columns: dict[SeriesKey, list[float]] = {
        key("stored", region="a"): [3, *[3.0] * len(silent)],
        key("stored", region="b"): [4, *silent],
    }
    # Unknown while the last measurement is at most HOLD intervals old.
    same(gathered(STORED, columns), [7, *[NAN] * plan.HOLD, 3, 3])


def test_what_was_measured_in_an_earlier_block_is_remembered() -> None:
    columns = {key("stored", region="a"): [3.0, 3.0], key("stored", region="b"): [NAN, NAN]}
    last = np.array([9, 8], dtype=np.int64)
    same(gathered(STORED, columns, last, 10), [NAN, NAN])
    assert last.tolist() == [11, 8]
    same(gathered(STORED, columns, np.array([9, 1], dtype=np.int64), 10), [3, 3])


def test_a_part_that_is_new_is_simply_added() -> None:
    columns = {key("stored", region="a"): [3.0, 3.0, 3.0], key("stored", region="b"): [NAN, NAN, 4.0]}
    same(gathered(STORED, columns), [3, 3, 7])


def test_a_sparse_term_is_zero_where_its_service_measured_anything_and_else_unknown() -> None:
    columns = {key("failed"): [NAN, 2, NAN, NAN], key("stored"): [7, 7, 7, NAN]}
    same(gathered(FAILED, columns), [0, 2, 0, NAN])


def test_another_service_that_measures_makes_nothing_sparse_zero() -> None:
    columns = {key("failed"): [NAN, 2.0], SeriesKey("other", "stored", "", ()): [7.0, 7.0]}
    same(gathered(FAILED, columns), [NAN, 2])


# Faults that are seen, and in time.


def seen(service: str, world: World, within: int) -> Finding:
    """The last word on `service`, which nothing was said about before the fault and soon after it something."""
    events: list[Event] = advance(State.empty(), world.bins(), [], world.plan())[1]
    mine = [e for e in events if any(f.signal.service == service for f in e.incident.findings)]
    began = START + 60 * FAULT
    opened = [e.time for e in mine if e.event == "opened"]
    assert opened
    assert began < opened[0] <= began + 60 * within + 15  # counts close 15 s after their interval
    return next(f for f in mine[-1].incident.findings if f.signal.service == service)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_tenth_that_fails_is_seen_within_three_minutes_and_counted(seed: int) -> None:
    world = World(3 * DAY, seed)
    requests(world, "importer", 100, 0.002, fault=0.1, start=FAULT, minutes=40)
    passes_on(world, "parser", 100)
    last = seen("importer", world, 3)
    assert last.kind == "error_spike"
    assert last.phase == "cleared"
    assert abs(last.onset - (START + 60 * FAULT)) <= 60
    truth = world.lost["importer"]
    assert last.lost == pytest.approx(truth, rel=0.1)
    assert last.lost_low * 0.95 <= truth <= last.lost_high * 1.05
    assert last.lost_high - last.lost_low < 0.5 * truth


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_arrivals_that_stop_are_seen_within_four_minutes(seed: int) -> None:
    world = World(3 * DAY, seed)
    arrivals(world, "forms", 100, loss=1.0, start=FAULT, minutes=30)
    passes_on(world, "parser", 100)
    last = seen("forms", world, 4)
    assert last.lost == pytest.approx(world.lost["forms"], rel=0.25)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_fifth_that_never_comes_out_is_seen_within_ten_minutes(seed: int) -> None:
    world = World(3 * DAY, seed)
    passes_on(world, "parser", 100, loss=0.2, start=FAULT, minutes=60)
    last = seen("parser", world, 10)
    assert last.kind == "data_loss"
    assert last.lost == pytest.approx(world.lost["parser"], rel=0.25)


def test_three_quiet_worlds_open_next_to_nothing() -> None:
    opened = 0
    for seed in (11, 12, 13):
        world = World(4 * DAY, seed)
        requests(world, "importer", 100, 0.002)
        passes_on(world, "parser", 100)
        arrivals(world, "forms", 100)
        events = advance(State.empty(), world.bins(), [], world.plan())[1]
        opened += sum(e.event == "opened" for e in events)
    assert opened <= 2


@pytest.mark.slow
@given(
    mean=st.floats(0.01, 1e5),
    size=st.one_of(st.floats(0.005, 0.99), st.floats(1.01, 300.0)),
    farther=st.floats(1.0, 10.0),
    part=st.floats(0.0, 1.0),
    scatter=st.one_of(st.just(0.0), st.floats(1e-9, 1.0)),
    trials=st.one_of(st.none(), st.floats(1.0, 1e6)),
)
@settings(max_examples=2000)
def test_the_screen_leaves_out_no_evidence(
    mean: float, size: float, farther: float, part: float, scatter: float, trials: float | None
) -> None:
    """What says nothing of one size of fault is no evidence for it, nor for any larger one."""
    if trials is not None:
        mean, scatter = min(mean, 0.9 * trials), scatter - 1.0 / trials
    out_of = np.nan if trials is None else trials
    other, larger = (_with_fault(mean, s, out_of) for s in (size, size**farther))
    x = 2.0 * part * max(mean, other)
    if trials is not None:
        x = min(x, trials)
    if says_nothing(x, mean, other, scatter):
        for of in (other, larger):
            assert evidence(x, mean, of, scatter) <= 1e-7 * (1.0 + mean + x)


@given(mean=MEANS, differs=st.floats(-6.0, 6.0), part=st.floats(0.0, 1.0), scatter=st.floats(0.0, 0.5))
@settings(max_examples=1000, deadline=None)
def test_another_day_is_passed_over_only_where_it_is_no_evidence(
    mean: float, differs: float, part: float, scatter: float
) -> None:
    other = mean * math.exp(differs)
    x = 2.0 * part * max(mean, other)
    if _cannot_say(x, mean, differs, scatter):
        assert evidence(x, mean, other, scatter) <= 1e-7 * (1.0 + mean + x)


@given(size=st.floats(0.005, 300.0), least=st.floats(0.0, 5.0))
@settings(deadline=None)
def test_sizes_nearer_than_demand_strays_are_left_out(size: float, least: float) -> None:
    far = abs(math.log(size))
    if abs(far - least) > 1e-12:
        assert _is_too_small(size, least) == (far < least)


@given(mean=st.floats(0.01, 1e4), size=st.floats(1.3, 300.0))
def test_the_screen_passes_over_what_is_usual(mean: float, size: float) -> None:
    """Else it would be of no use."""
    assert says_nothing(mean * (1.0 + 0.3 * (size - 1.0) / size), mean, mean * size, 0.0)
