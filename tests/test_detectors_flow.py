"""A flow's arithmetic beside the formulas that it stands for: its curve, and what it owes."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import nnls
from world import World, passes_on

from collector.bins import Bins, SeriesKey
from detectors import flow
from detectors.memory import CHART, FLEET, LAGS, LEVELS, RING, SPANS, Memory, fit, flow_record, nothing
from detectors.plan import Plan
from detectors.signals import Budget
from detectors.watch import watch

DEPTH = 64


def records(kind: np.dtype[Any]) -> Any:
    return np.zeros(1, dtype=kind).view(np.recarray)[0]


def a_flow() -> Any:
    one = records(flow_record(DEPTH))
    one.grown = 1.0
    return one


def test_blocks_of_the_curve_grow_by_half() -> None:
    edges = flow.EDGES.tolist()
    assert len(edges) == LAGS
    assert edges[:5] == [0, 1, 2, 3, 4]
    assert all(after == math.ceil(1.5 * edge) for edge, after in itertools.pairwise(edges[4:]))


def taught(intervals: int, blocks: int) -> tuple[Any, NDArray[np.float64], NDArray[np.float64]]:
    """A flow that so many intervals have taught, and the sums by the formula: all that is old fades each time."""
    one, random = a_flow(), np.random.default_rng(intervals)
    gram, moment = np.zeros((LAGS, LAGS)), np.zeros(LAGS)
    for _ in range(intervals):
        one.lags[:blocks] = random.poisson(random.exponential(60.0, blocks))
        x = float(random.poisson(0.3 * one.lags.sum()))
        flow.teach(one, x, x, 0.01)
        weight = 1.0 / (max(x, 1.0) + 0.01 * max(x, 1.0) ** 2)
        gram = (gram + weight * np.outer(one.lags, one.lags)) * flow.MEMORY
        moment = (moment + weight * one.lags * x) * flow.MEMORY
    return one, gram, moment


@pytest.mark.parametrize("intervals", [1, 50, 9000])
def test_what_is_added_grows_as_if_what_is_old_faded(intervals: int) -> None:
    """The curve asks only for the proportions of the sums."""
    one, gram, moment = taught(intervals, 5)
    scale = gram[0, 0] / one.gram[0, 0]
    np.testing.assert_allclose(one.gram * scale, gram, rtol=1e-9)
    np.testing.assert_allclose(one.moment * scale, moment, rtol=1e-9)
    assert 1.0 <= one.grown < 2.0


def test_the_curve_is_that_of_non_negative_least_squares() -> None:
    one, gram, moment = taught(500, 3)
    flow._fit(one)
    half = np.linalg.cholesky(gram[:3, :3])
    expected, _ = nnls(half.T, np.linalg.solve(half, moment[:3]))
    np.testing.assert_allclose(one.curve[:3], expected, rtol=1e-3)
    assert (one.curve[3:] == 0.0).all()


def owing(seed: int, quick: bool, size: float) -> tuple[Any, Any, int]:
    """A chart and a flow of which the last sums owe something at random, and the number of the last interval."""
    random = np.random.default_rng(seed)
    chart, one, number = records(CHART), a_flow(), int(random.integers(RING, 10**6))
    mean = float(np.exp(random.uniform(-3, 8)))
    one.quick, one.reach, one.brings = int(quick), random.integers(1, 40), random.uniform(0.3, 1.1)
    chart.alpha[:], chart.beta[:] = np.exp(random.uniform(0, 10)), 1.0
    chart.alpha[:] *= one.brings
    chart.beta[:] = chart.alpha * random.uniform(0.99, 1.01)
    chart.best = LEVELS - 1
    at = np.arange(number - RING + 1, number + 1) % RING
    one.owed_ring[at] = np.cumsum(random.normal(size, 1.0, RING) * mean**0.5) * random.uniform(0.1, 3)
    one.meant_ring[at] = np.cumsum(random.poisson(mean, RING))
    one.unsure_ring[at] = np.cumsum(random.uniform(0, mean, RING)) * random.integers(0, 2)
    one.owed, one.meant, one.unsure = (
        ring[number % RING] for ring in (one.owed_ring, one.meant_ring, one.unsure_ring)
    )
    one.spread[:] = np.exp(random.uniform(-4, 2, len(SPANS)))
    one.spread_n[:] = random.integers(0, 400 * SPANS)
    one.misfit_n[:] = random.uniform(0, 1e3 * mean * mean, len(SPANS))
    one.misfit[:] = one.misfit_n * random.uniform(0, 1e-4, len(SPANS))
    return chart, one, number


def unscreened(chart: Any, one: Any, number: int, wait: int, least: float) -> tuple[float, float]:
    """(evidence, chart.astray) of owed_evidence by the formulas, of all spans."""

    def over(ring: NDArray[np.float64], at: int, span: int) -> float:
        return float(ring[at % RING] - ring[(at - span) % RING])

    seen_out, at = chart.alpha[-1], number - wait
    lost = max(1.0 - one.brings * chart.alpha[-1] / chart.beta[-1], 0.0)
    usual, weight = (min(1e-4, 0.1 * lost * lost + 1e-6), 10.0) if one.quick else (25e-4, 2880.0)
    lost = (lost * seen_out + 0.5) / (seen_out + 50.0)
    certain = min(one.owed_ring[(number - k) % RING] for k in range(wait + 1))
    best, astray, shorter, credit = 0.0, 0.0, 0.15, 4.0 if one.quick else 0.0
    for i, span in enumerate(SPANS.tolist()):
        seen = min(one.spread_n[i] / span, 200.0)
        freedom = seen + credit
        if freedom < 4.0:
            continue
        shorter = (seen * one.spread[i] + credit * shorter) / freedom
        credit = min(freedom, 8.0)
        owed = certain - one.owed_ring[(at - span) % RING]
        meant = over(one.meant_ring, at, span)
        if owed <= 0.0 or owed < least * meant:
            continue
        burst = over(one.unsure_ring, at, min(span + max(one.reach, 10), RING - 1))
        unit = 1.0 + over(one.meant_ring, at, 3) + over(one.meant_ring, at - span, 3) + burst
        prior = weight * meant * meant
        misfit = (usual * prior + one.misfit[i]) / (prior + one.misfit_n[i] + 1e-9)
        astray = misfit if meant > 0.0 else astray
        variance = max(unit * shorter, lost * meant) + misfit * meant * meant
        student = 0.5 * freedom * math.log1p(owed * owed / (freedom * variance))
        u = owed / variance
        whole = variance * ((1.0 + u) * math.log1p(u) - u)
        best = max(best, min(student, whole) - math.log(len(SPANS)))
    return best, astray


flow.owed_evidence(*owing(0, True, 0.1), 0, 0.0)  # loads the compiled code: no deadline is meant for that


@settings(max_examples=400)
@given(
    st.integers(0, 2**32),
    st.booleans(),
    st.sampled_from([-0.2, 0.0, 0.1, 0.5]),
    st.integers(0, 12),
    st.sampled_from([0.0, 0.1]),
)
def test_what_is_passed_over_would_have_owed_nothing(
    seed: int, quick: bool, size: float, wait: int, least: float
) -> None:
    chart, one, number = owing(seed, quick, size)
    evidence, astray = unscreened(chart, one, number, wait, least)
    found, _ = flow.owed_evidence(chart, one, number, wait, least)
    assert found == pytest.approx(evidence, rel=1e-9, abs=1e-9)
    assert chart.astray == pytest.approx(astray, rel=1e-9)


def parsed(minutes: int, *within: int) -> tuple[World, Plan]:
    """A world with a parser that hands on within 3 minutes, and flows beside it that may take so many seconds."""
    world = World(minutes, 3)
    passes_on(world, "parser", 100, lag=20.0)
    world.series[SeriesKey("parser", "received")][40:43] = np.nan
    for seconds in (60, 600, 7200):
        passes_on(world, f"beside-{seconds}", 30)
        beside = replace(world.signals.pop(), within=seconds)
        world.signals += [beside] if seconds in within else []
    return world, world.plan(Budget(1e-300))


def after(memory: Memory, blocks: list[tuple[Bins, Plan]]) -> Any:
    """The records of the parser, its chart and its flow, after these blocks, each with its plan."""
    for bins, plan in blocks:
        memory = fit(memory, plan)
        assert list(watch(memory, bins, plan)) == []
    key = next(key for key in memory.flow_keys if key.startswith("parser"))
    columns = memory.columns
    return columns.charts[memory.keys.index(key)], columns.flows[memory.flow_keys.index(key)]


@pytest.mark.slow
@pytest.mark.parametrize("turns", [((), (7200,)), ((7200,), ()), ((600,), (7200,), (), (60,))])
def test_a_flow_keeps_its_past_when_longer_ones_come_and_go(turns: tuple[tuple[int, ...], ...]) -> None:
    """The depth of the rings is that of the longest flow in the plan."""
    minutes = 150 * len(turns)
    alone, plan = parsed(minutes)
    blocks = []
    for i, within in enumerate(turns):
        world, changed = parsed(minutes, *within)
        blocks.append((world.bins().cut(150 * i, 150 * (i + 1)), changed))
    chart, flow_of = after(nothing(), [(alone.bins(), plan)])
    other_chart, other = after(nothing(), blocks)
    for name in set(CHART.names or ()) - {"total", "w"}:
        np.testing.assert_array_equal(chart[name], other_chart[name], err_msg=name)
    for name in set(flow_of.dtype.names) - {"went_ring"}:
        np.testing.assert_array_equal(flow_of[name], other[name], err_msg=name)


@pytest.mark.parametrize(("first", "then"), [(600, 7200), (7200, 600)])
def test_a_flow_that_is_asked_to_reach_further_or_less_far_knows_what_it_saw(first: int, then: int) -> None:
    """What went in is counted by lag as far as it was kept."""
    world = World(600, 5)
    passes_on(world, "parser", 100, lag=20.0)
    plans = []
    for within in (first, then):
        world.signals[0] = replace(world.signals[0], within=within)
        plans.append(world.plan(Budget(1e-300)))
    _, flow_of = after(
        nothing(), [(world.bins().cut(0, 550), plans[0]), (world.bins().cut(550, 600), plans[1])]
    )
    received = world.series[SeriesKey("parser", "received")]
    reach, kept = then // 60, min(first, then) // 60
    for b in range(flow.blocks_of(reach)):
        near, far = flow.EDGES[b], min(flow.EDGES[b + 1], reach + 1)
        if far <= kept + 50:
            assert flow_of.lags[b] == received[600 - far : 600 - near].sum()
    assert flow_of.curve[flow.blocks_of(reach) : -1].sum() == 0.0
    assert flow_of.brings == pytest.approx(1.0, abs=0.05)


def test_what_rounding_leaves_of_nothing_is_nothing() -> None:
    """If it were due, what the edge of a burst adds to its variance would be divided by next to nothing."""
    chart, flow_of, now = records(CHART), a_flow(), 10**6
    chart.alpha[:], chart.beta[:], chart.den[:] = 20.0, 20.0, 1.0
    flow_of.reach, flow_of.quick, flow_of.fits = 2, 1, 1000
    flow_of.curve[0], flow_of.edge, flow_of.uneven, flow_of.uneven_n = 1e-22, 100.0, 10.0, 100.0
    flow.judge(chart, flow_of, records(FLEET), now, 0.0, 1.0, 1.0, 2, flow.CAP, 1440, 1)
    assert flow_of.due > 0.0
    assert np.isfinite(chart.ring_a).all()
    assert chart.total == 0.0
