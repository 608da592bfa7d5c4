"""Thresholds follow from the budget and from the peaks of evidence that were counted while all was well."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import DAY, World, arrivals, requests

from detectors import judge, memory
from detectors.memory import Columns
from detectors.watch import LEAST_EXCESS, SPARE, watch


def columns_of() -> Columns:
    world = World(10, 0)
    requests(world, "importer", 100, 0.01)
    return memory.empty(world.plan()).columns


@settings(deadline=None)
@given(st.floats(1e4, 1e9))
def test_where_nothing_was_counted_enough_is_what_theory_asks(time: float) -> None:
    fleet = columns_of().fleet[0]
    assert judge.enough_of(fleet, time, 2.0) == pytest.approx(math.log(time * 2.0))


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000), st.floats(1e5, 1e7), st.floats(1.0, 50.0))
def test_more_peaks_or_a_smaller_budget_never_lower_what_is_enough(
    few: int, more: int, judged: float, longer: float
) -> None:
    fleet = columns_of().fleet[0]
    fleet.judged, fleet.peaks = judged, few
    enough = judge.enough_of(fleet, 2e5, 2.0)
    assert judge.enough_of(fleet, 2e5 * longer, 2.0) >= enough
    fleet.peaks += more
    assert judge.enough_of(fleet, 2e5, 2.0) >= enough


@pytest.mark.parametrize("mean", [0.6, 0.8, 1.0, 1.5])
@pytest.mark.parametrize("rarity", [1e-4, 1e-3])
def test_the_budget_is_kept_and_spent_whatever_peaks_are_like(mean: float, rarity: float) -> None:
    """Of error ratios whose peaks come once in 1/rarity intervals and exceed PEAK by `mean` nats on average, those
    that are told make up the part of the budget that is aimed at."""
    columns, random = columns_of(), np.random.default_rng(7)
    chart, fleet = columns.charts[0], columns.fleet[0]
    per_alert = 2e5  # intervals of a chart, per false alert that is allowed
    for above in random.exponential(mean, 2000):
        chart.total = judge.PEAK + above
        judge.learn_peaks(chart, fleet)
        chart.total = 0.0
        judge.learn_peaks(chart, fleet)
        fleet.judged += 1.0 / rarity
    enough = judge.enough_of(fleet, per_alert, SPARE[0])
    least, most = judge.PEAK, 50.0  # what is enough, as the chart's own evidence, lies between
    for _ in range(40):
        chart.total = 0.5 * (least + most)
        least, most = (
            (least, chart.total)
            if judge.stretched(chart, fleet, LEAST_EXCESS[0]) >= enough
            else (chart.total, most)
        )
    spent = rarity * per_alert * math.exp(-(most - judge.PEAK) / mean)
    assert 0.75 / SPARE[0] <= spent <= 1.25 / SPARE[0]


@settings(deadline=None)
@given(st.lists(st.floats(0.0, 5.0), max_size=20), st.lists(st.floats(0.0, 500.0), min_size=1, max_size=20))
def test_what_is_told_of_one_stretches_the_evidence_of_no_other(
    quiet: list[float], told: list[float]
) -> None:
    columns = columns_of()
    chart, fleet = columns.charts[0], columns.fleet[0]
    for above in quiet:
        chart.total = judge.PEAK + above
        judge.learn_peaks(chart, fleet)
        chart.total = 0.0
        judge.learn_peaks(chart, fleet)
    before, own = judge.excess_of_kind(fleet), float(chart.excess)
    for above in told:
        chart.total, chart.raised, chart.phase = judge.PEAK + above, 1, 1
        judge.learn_peaks(chart, fleet)
    assert judge.excess_of_kind(fleet) == pytest.approx(before)
    assert chart.excess == pytest.approx(own + sum(min(above, judge.MOST_EXCESS) for above in told))


def test_the_fault_of_the_last_service_is_told_as_soon_as_that_of_the_first() -> None:
    """Eight services lose a third of what comes, one after the other, two hours each."""
    world, first = World(16 * DAY, 4), 15 * DAY + 120
    for i in range(8):
        arrivals(world, f"service-{i}", 5000, 0.33, first + 150 * i, 120)
    bins, plan = world.bins(), world.plan()
    after = {}
    for index, findings in watch(memory.fit(memory.nothing(), plan), bins, plan, []):
        for one in findings:
            i = int(one.signal.service.rpartition("-")[2])
            if one.phase == "raised" and index >= first + 150 * i:
                after.setdefault(i, index + 1 - first - 150 * i)
    assert [after.get(i) for i in range(8)] == [1] * 8
