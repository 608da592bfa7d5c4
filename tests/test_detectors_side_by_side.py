"""A candidate beside its baseline: wrong as rarely as was asked, right as soon as the evidence allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import World

from detectors.side_by_side import Asked, Compared, Verdict, compare, overall
from detectors.signals import Signal, Term


def serves(
    seed: int,
    minutes: int,
    rate: float,
    part: float,
    old: float,
    new: float,
    shift: tuple[int, float] = (0, 1.0),
) -> World:
    """Two versions with those shares of failures; the candidate has `part` of the traffic. shift: from that minute
    on both fail so many times as often."""
    world = World(minutes, seed)
    factor = np.where(np.arange(minutes) >= shift[0], shift[1], 1.0) if shift[0] else np.ones(minutes)
    for version, traffic, share in (("2", rate * part, new), ("1", rate * (1 - part), old)):
        total = world.random.poisson(traffic, minutes)
        world.add("api", "requests", total, version)
        world.add("api", "errors", world.random.binomial(total, np.minimum(share * factor, 1.0)), version)
    errors, total_ = (Term("api", "errors"),), (Term("api", "requests"),)
    world.signals.append(Signal("api", "failing", "error_ratio", errors, total_))
    return world


def judged(world: World, asked: Asked | None = None) -> Compared:
    (one,) = compare(world.bins(), world.plan(), "api", "2", "1", asked or Asked())
    return one


def test_a_bad_candidate_with_little_traffic_is_found() -> None:
    found = [judged(serves(seed, 60, 600, 0.05, 0.005, 0.05)).verdict for seed in range(20)]
    assert found.count(Verdict.BAD) >= 19


def test_sparse_errors_are_enough() -> None:
    """One error in 20,000 of the old version, a dozen of the new one's 1,000."""
    one = judged(serves(3, 30, 700, 0.05, 0.00005, 0.012))
    assert one.verdict is Verdict.BAD
    assert one.candidate.failed < 30


def test_a_candidate_that_is_as_good_is_promoted() -> None:
    found = [judged(serves(seed, 120, 600, 0.3, 0.01, 0.01)).verdict for seed in range(20)]
    assert found.count(Verdict.AS_GOOD) >= 18
    assert Verdict.BAD not in found


def test_without_any_error_many_events_are_enough_and_few_are_not() -> None:
    assert judged(serves(1, 60, 600, 0.5, 0.0, 0.0)).verdict is Verdict.AS_GOOD
    assert judged(serves(1, 10, 60, 0.5, 0.0, 0.0)).verdict is Verdict.NOT_YET


def test_a_shift_of_both_is_not_the_candidates_fault() -> None:
    found = [judged(serves(seed, 60, 600, 0.2, 0.005, 0.005, shift=(20, 20.0))).verdict for seed in range(20)]
    assert Verdict.BAD not in found


def test_looking_at_every_interval_is_wrong_as_rarely_as_was_asked() -> None:
    """The largest evidence of all looks counts: alike versions are bad, and versions at the margin as good, in one
    of a hundred at most (and what five in 400 leave to chance)."""
    asked = Asked(margin=1.0, tolerance=0.0)
    bad = sum(judged(serves(seed, 200, 300, 0.3, 0.01, 0.01)).verdict is Verdict.BAD for seed in range(400))
    good = sum(
        judged(serves(seed, 200, 300, 0.3, 0.01, 2 * 0.01 / 1.01), asked).verdict is Verdict.AS_GOOD
        for seed in range(400)
    )
    assert bad <= 9
    assert good <= 9


def test_the_tolerance_is_kept_too() -> None:
    asked = Asked(margin=0.5, tolerance=0.002)
    good = sum(
        judged(serves(seed, 100, 300, 0.3, 0.0001, 0.002), asked).verdict is Verdict.AS_GOOD
        for seed in range(300)
    )
    assert good <= 8


def test_what_only_one_of_them_served_says_nothing() -> None:
    world = serves(5, 60, 600, 0.5, 0.01, 0.01)
    for key, values in world.series.items():
        if key.version == "1":
            values[:] = np.nan
    one = judged(world)
    assert (one.verdict, one.intervals) == (Verdict.NOT_YET, 0)


def test_one_odd_minute_is_no_verdict() -> None:
    world = serves(6, 30, 600, 0.5, 0.001, 0.001)
    for key, values in world.series.items():
        if key.version == "2" and key.metric == "errors":
            values[15] = 100.0
    assert judged(world).verdict is not Verdict.BAD


@pytest.mark.parametrize(("loss", "verdict"), [(0.05, Verdict.BAD), (0.0, Verdict.AS_GOOD)])
def test_losses_are_compared_too(loss: float, verdict: Verdict) -> None:
    world = World(120, 7)
    for version, lost in (("2", loss), ("1", 0.0)):
        went_in = world.random.poisson(200, 120)
        kept = world.random.binomial(went_in, 1 - lost)
        out = np.concatenate([[0], kept[:-1]])
        world.add("api", "received", went_in, version)
        world.add("api", "stored", out, version)
    world.signals.append(
        Signal("api", "kept", "flow", (Term("api", "stored"),), (Term("api", "received"),), within=120)
    )
    one = judged(world)
    assert one.losses
    assert one.verdict is verdict
    assert one.candidate.share == pytest.approx(loss, abs=0.03)


def test_signals_that_do_not_tell_versions_apart_are_left_out() -> None:
    world = World(30, 8)
    world.add("api", "errors", world.random.poisson(1, 30))
    world.add("api", "requests", world.random.poisson(100, 30))
    world.signals.append(
        Signal("api", "failing", "error_ratio", (Term("api", "errors"),), (Term("api", "requests"),))
    )
    assert compare(world.bins(), world.plan(), "api", "2", "1", Asked()) == []
    assert overall([]) is Verdict.NOT_YET


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 2000), st.integers(1, 2000))
def test_no_counts_break_it_and_more_errors_of_the_candidate_are_worse(
    x: int, y: int, n: int, m: int
) -> None:
    def made(new_errors: int) -> Compared:
        world = World(3, 0)
        for version, errors, total in (("2", new_errors, n), ("1", y, m)):
            world.add("api", "requests", np.full(3, total), version)
            world.add("api", "errors", np.full(3, errors), version)
        world.signals.append(
            Signal("api", "failing", "error_ratio", (Term("api", "errors"),), (Term("api", "requests"),))
        )
        return judged(world)

    fewer, more = made(x), made(x + 1)
    assert np.isfinite([fewer.bad, fewer.good, more.bad, more.good]).all()
    assert more.bad >= fewer.bad - 1e-9
