"""Points become intervals that the clock closes; what comes later goes apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.binner import Binner
from collector.bins import Bins, SeriesKey, SeriesTable
from collector.points import NANOS, Limits, Points

NOON = 1_649_851_200
KEYS = [SeriesKey("event-parser", name) for name in ("opens_stored", "events_failed", "events_received")]


def points(*rows: tuple[int, float, float, float]) -> Points:
    """(series row, start, end, count) each; seconds after noon."""
    return Points(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([round((NOON + row[1]) * NANOS) for row in rows], dtype=np.int64),
        np.array([round((NOON + row[2]) * NANOS) for row in rows], dtype=np.int64),
        np.array([row[3] for row in rows], dtype=np.float64),
    )


def binner(grace: int = 15, width: int = 10, now: float = 0, limits: Limits | None = None) -> Binner:
    return Binner(width, grace, NOON + now, SeriesTable(KEYS), limits)


def same(one: Bins, other: Bins) -> None:
    assert (one.start, one.width) == (other.start, other.width)
    for name in ("closed", "values", "watched"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("interval", "start", "row", "count"):
        np.testing.assert_array_equal(getattr(one.late, name), getattr(other.late, name))


def test_an_interval_closes_with_its_counts_and_with_the_moment_of_its_judgement() -> None:
    one = binner()
    one.add(points((0, 0, 10, 7), (1, 0, 10, 0)), NOON + 10)
    one.add(points((0, 3, 4, 2)), NOON + 12)
    block = one.close(NOON + 10)
    assert (block.start, block.width, block.closed.tolist()) == (NOON, 10, [NOON + 25])
    assert block.values[0, :2].tolist() == [9, 0]
    assert np.isnan(block.values[0, 2]) and block.watched.all() and len(block.late) == 0


def test_closing_again_or_early_yields_nothing_and_a_long_pause_yields_all() -> None:
    one = binner()
    assert len(one.close(NOON + 9.99)) == 0
    assert len(one.close(NOON + 10)) == 1
    assert len(one.close(NOON + 10)) == 0
    block = one.close(NOON + 3610)
    assert (block.start, len(block)) == (NOON + 10, 360)
    assert np.isnan(block.values).all() and block.values.shape == (360, 3)


@pytest.mark.parametrize(("arrives", "late"), [(24.9, False), (25, False), (25.1, True)])
def test_late_is_what_comes_after_the_moment_of_judgement_even_if_nobody_closed_yet(
    arrives: float, late: bool
) -> None:
    one = binner()
    one.add(points((0, 2, 4, 5)), NOON + arrives)
    block = one.close(NOON + 30)
    assert np.isnan(block.values[0, 0]) == late
    assert block.late.count.tolist() == ([5] if late else [])
    assert one.refused == ({"late": 1} if late else {})


def test_a_late_count_comes_with_the_first_interval_judged_after_it_was_known() -> None:
    one = binner()
    first = one.close(NOON + 10)
    one.add(points((0, 2, 4, 5), (0, 5, 6, 1), (2, 2, 4, 3)), NOON + 31)
    one.add(points((0, 2, 4, 8)), NOON + 44)
    block = one.close(NOON + 30)  # judged at +35 and +45
    assert len(first.late) == 0
    late = [column.tolist() for column in (block.late.interval, block.late.start, block.late.row)]
    assert late == [[0, 0, 1], [NOON, NOON, NOON], [0, 2, 0]]
    assert block.late.count.tolist() == [6, 3, 8]
    assert len(one.close(NOON + 60).late) == 0


def test_what_became_known_after_all_of_a_block_waits_for_the_next() -> None:
    one = binner()
    one.add(points((0, 2, 4, 5)), NOON + 36)
    assert len(one.close(NOON + 20).late) == 0
    assert one.close(NOON + 30).late.interval.tolist() == [0]


def test_a_late_zero_says_that_it_was_measured_after_all() -> None:
    one = binner()
    one.close(NOON + 10)
    one.add(points((0, 0, 10, 0)), NOON + 26)
    late = one.close(NOON + 20).late
    assert (late.row.tolist(), late.count.tolist()) == ([0], [0])
    assert one.refused == {}


def test_what_says_when_it_entered_is_laid_by_its_age_and_comes_out_no_sooner_than_it_entered() -> None:
    one = binner(limits=Limits(series=7))
    row = one.table.row(SeriesKey("a", "stored"))
    # From second 5 to 15, of what had entered at 0, at 10 and (by another clock) at 20; and a measured 0.
    said = (NOON + np.array([0, 10, 20, 0])) * NANOS + 1
    rows, start, end = np.full(4, row), np.full(4, (NOON + 5) * NANOS), np.full(4, (NOON + 15) * NANOS)
    one.add(Points(rows, start, end, np.array([4.0, 4.0, 2.0, 0.0]), entered=said), NOON + 16)
    bins = one.close(NOON + 45)
    found = {
        (key.age, at): bins.values[at, i]
        for i, key in enumerate(one.table.keys)
        for at in range(len(bins))
        if not np.isnan(bins.values[at, i])
    }
    assert found == {(-1, 0): 0.0, (-1, 1): 0.0, (0, 0): 2.0, (1, 1): 2.0, (0, 1): 4.0, (0, 2): 2.0}
    # However old it is, there are only so many ages; and where there is no room it is counted without one.
    for second in range(NOON + 600, NOON + 1300, 10):
        late = Points(
            np.array([row]), np.array([second * NANOS]), np.array([second * NANOS]), np.ones(1),
            entered=np.array([(NOON + 10) * NANOS]),
        )  # fmt: skip
        one.add(late, second)
    assert len(one.table) == 7
    total = np.nansum(one.close(NOON + 1400).values)
    assert total == 70.0


def test_what_is_refused_is_counted_by_reason_and_moves_nothing() -> None:
    one = binner(limits=Limits(ahead=60, age=3600), now=0)
    bad = points((0, 0, 5, np.nan), (0, 0, 5, -1), (0, 0, 5, np.inf), (0, 100, 101, 4), (0, -4000, -3999, 4))
    assert one.add(bad, NOON + 10) == {"not finite": 2, "negative": 1, "far future": 1, "too old": 1}
    assert one.add(points((0, -30, -25, 4)), NOON + 10) == {"too old": 1}  # before the first interval
    assert np.isnan(one.close(NOON + 10).values).all()
    assert one.refused == {"not finite": 2, "negative": 1, "far future": 1, "too old": 2}


def test_a_range_that_began_before_we_listened_is_taken_in_part_and_counted() -> None:
    one = binner()
    assert one.add(points((0, -30, 10, 40)), NOON + 10) == {}
    assert 7 <= one.close(NOON + 10).values[0, 0] <= 13
    assert one.refused == {"too old in part": 1}


def test_what_was_refused_on_the_way_here_is_answered_and_counted_too() -> None:
    one = binner()
    came = points((0, 0, 5, -1))
    with_more = Points(came.row, came.start, came.end, came.count, {"negative": 2, "no time": 1})
    assert one.add(with_more, NOON + 5) == {"negative": 3, "no time": 1}
    assert one.refused == {"negative": 3, "no time": 1}


def test_a_series_that_comes_later_was_not_measured_before() -> None:
    one = binner()
    one.add(points((0, 0, 5, 1)), NOON + 5)
    row = one.table.row(SeriesKey("new", "born"))
    one.add(points((row, 8, 18, 10)), NOON + 18)
    block = one.close(NOON + 20)
    assert block.values.shape == (2, 4)
    assert block.values[:, row].sum() == 10 and block.values[0, 0] == 1


def test_intervals_before_we_listened_and_while_we_slept_are_not_watched() -> None:
    one = binner(now=3)
    one.deaf(NOON + 31, NOON + 39)
    assert one.close(NOON + 60).watched.tolist() == [False, True, True, False, True, True]


def test_a_restart_takes_the_open_intervals_along_and_says_what_was_not_watched() -> None:
    one = binner()
    one.add(points((0, 0, 20, 20)), NOON + 20)
    one.close(NOON + 10)
    one.add(points((0, 5, 6, 2)), NOON + 26)
    again = Binner.restore(one.state(), one.table, NOON + 75)
    again.add(points((0, 70, 80, 5)), NOON + 80)
    block = again.close(NOON + 90)
    assert (block.start, block.watched.tolist()) == (
        NOON + 10,
        [True, False, False, False, False, False, False, True],
    )
    assert (block.values[0, 0], block.values[6, 0]) == (10, 5)
    assert (block.late.interval.tolist(), block.late.count.tolist()) == ([0], [2])


def test_a_total_that_spans_a_short_absence_makes_it_good_and_a_long_one_not() -> None:
    for absent, watched in ((8, True), (31, False)):
        one = binner(now=0)
        one.add(points((0, 0, 9, 9)), NOON + 9)
        one.deaf(NOON + 9, NOON + 9 + absent)
        one.add(points((0, 9, 50, 41)), NOON + 50)
        assert one.close(NOON + 50).watched.tolist() == [watched] * 4 + [True]


def exports(every: float, jitter: float, rate: float, until: float, seed: int) -> list[tuple[float, float]]:
    """(time, events since the last) of a process that reports about every `every` seconds."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(every - jitter, every + jitter, int(until / every)))
    totals = np.floor(rate * times)
    return list(zip(times.tolist(), np.diff(totals, prepend=0.0).tolist(), strict=True))


@pytest.mark.parametrize(
    ("every", "jitter", "grace"), [(5, 0.5, 10), (5, 2.4, 15), (60, 1, 75), (10, 0.2, 15), (1, 0.3, 5)]
)
def test_exports_that_do_not_fit_the_intervals_make_neither_gaps_nor_bursts(
    every: float, jitter: float, grace: int
) -> None:
    one = binner(grace=grace, width=5)
    blocks, last = [], 0.0
    for time, grown in exports(every, jitter, 20, 1800, seed=7):
        one.add(points((0, last, time, grown)), NOON + time + 0.2)
        last = time
        blocks.append(one.close(NOON + time + 0.2 - grace))
    values = np.concatenate([block.values[:, 0] for block in blocks])
    assert len(values) > 300 and not np.isnan(values).any()
    assert abs(values - 100).max() <= 12
    assert sum(len(block.late) for block in blocks) == 0
    assert abs(one.longest - every) <= jitter + 0.01


step = st.tuples(
    st.integers(0, 2),
    st.integers(-400, 300),
    st.integers(0, 400),
    st.integers(0, 50),
    st.integers(0, 80),
    st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(step, max_size=25), st.integers(0, 25))
def test_a_count_is_in_one_interval_or_late_exactly_once_and_a_restart_loses_none(
    steps: list[tuple[int, int, int, int, int, bool]], cut: int
) -> None:
    straight, resumed = binner(now=-100), binner(now=-100)
    truth, got, now = 0.0, 0.0, float(NOON)
    for i, (row, back, length, count, wait, tick) in enumerate(steps):
        now += wait / 10
        end = now - NOON - back / 10 if back > 0 else now - NOON + back / 10
        start = max(end - length / 10, -100.0)
        came = points((row, min(start, end), max(end, -100.0), count))
        truth += count
        assert straight.add(came, now) == resumed.add(came, now) == {}
        if i == cut:
            resumed = Binner.restore(resumed.state(), resumed.table, now)
            resumed._deaf = list(straight._deaf)  # but for what was not watched, it is the same
        if tick:
            block = straight.close(now - 15)
            same(block, resumed.close(now - 15))
            got += float(np.nansum(block.values) + block.late.count.sum())
    block = straight.close(now + 1000)
    same(block, resumed.close(now + 1000))
    got += float(np.nansum(block.values) + block.late.count.sum())
    assert got == truth


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(6)), st.integers(1, 5))
def test_order_and_cutting_within_a_moment_are_nothing(order: list[int], cut: int) -> None:
    rows = [(i % 3, i * 2.5, i * 2.5 + 4, 3 * i + 1) for i in range(6)]
    one, other = binner(), binner()
    one.add(points(*rows), NOON + 20)
    shuffled = [rows[i] for i in order]
    other.add(points(*shuffled[:cut]), NOON + 20)
    other.add(points(*shuffled[cut:]), NOON + 20)
    same(one.close(NOON + 30), other.close(NOON + 30))
