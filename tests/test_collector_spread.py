"""One count over a time range becomes whole counts in the intervals that it covers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.points import NANOS, Points
from collector.spread import Shares, spread

SECOND = NANOS


def points(*rows: tuple[float, float, float]) -> Points:
    """(start, end, count) each, seconds."""
    return Points(
        np.arange(len(rows)),
        np.array([round(row[0] * NANOS) for row in rows], dtype=np.int64),
        np.array([round(row[1] * NANOS) for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.float64),
    )


def of(shares: Shares, point: int) -> dict[int, float]:
    here = shares.point == point
    return dict(zip(shares.bin[here].tolist(), shares.count[here].tolist(), strict=True))


def places(k: int) -> list[float]:
    """The first k places of van der Corput's sequence, by its definition."""
    return [sum(((i >> bit) & 1) / 2 ** (bit + 1) for bit in range(40)) for i in range(k)]


@pytest.mark.parametrize(
    ("start", "end", "bins"),
    [
        (100, 105, [20]),
        (101, 104, [20]),
        (103, 108, [20, 21]),
        (100, 110, [20, 21]),
        (99.9, 110.1, [19, 20, 21, 22]),
        (100, 100, [20]),
        (103, 103, [20]),
        (105, 105, [21]),
    ],
)
def test_it_measures_the_intervals_that_it_covers_and_no_other(
    start: float, end: float, bins: list[int]
) -> None:
    for count in (0, 1, 7, 0.5):
        shares = of(spread(points((start, end, count)), 5 * SECOND, 0), 0)
        assert list(shares) == bins
        assert sum(shares.values()) == count


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(0, 10**12),
    st.one_of(st.integers(0, 60), st.integers(0, 2**52)),
    st.integers(1, 3600),
)
def test_shares_are_whole_and_add_up_and_are_nearly_even(
    start: int, nanos: int, count: int, width: int
) -> None:
    one = Points(
        np.array([0]), np.array([start * NANOS]), np.array([start * NANOS + nanos]), np.array([float(count)])
    )
    shares = spread(one, width * NANOS, 0)
    assert shares.count.sum() == count
    assert (shares.count == np.floor(shares.count)).all() and (shares.count >= 0).all()
    if nanos:
        lower = np.maximum(shares.bin * width * NANOS, one.start[0])
        upper = np.minimum((shares.bin + 1) * width * NANOS, one.end[0])
        even = count * ((upper - lower) / nanos)
        assert (np.abs(shares.count - even) <= 2 + np.log2(count + 1) + count * 1e-12).all()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 10**11), st.integers(0, 500), st.integers(0, 500))
def test_errors_of_an_export_never_exceed_its_requests_in_any_interval(
    start: int, nanos: int, errors: int, others: int
) -> None:
    begin, end = np.full(2, start * 10**6), np.full(2, start * 10**6 + nanos)
    both = Points(np.array([0, 1]), begin, end, np.array([float(errors), float(errors + others)]))
    shares = spread(both, 5 * NANOS, 0)
    failed, asked = of(shares, 0), of(shares, 1)
    assert all(failed[number] <= asked[number] for number in asked)


@given(st.integers(0, 300), st.integers(0, 2**20 - 1), st.integers(1, 20))
def test_single_events_take_the_places_of_the_sequence(count: int, turn: int, bins: int) -> None:
    from collector import spread as kitchen

    x = np.arange(bins + 1) / bins
    below = kitchen._places_below(x, np.full(bins + 1, count))
    assert below.tolist() == [sum(place < edge for place in places(count)) for edge in x]


def test_rare_events_reach_every_interval_of_a_long_export_alike() -> None:
    rows = [(minute * 60.0 + 7, minute * 60.0 + 67, 1.0) for minute in range(3000)]
    shares = spread(points(*rows), 5 * SECOND, 0)
    by_phase = np.bincount(shares.bin % 12, shares.count)
    assert by_phase.sum() == 3000
    assert (np.abs(by_phase - 250) < 5 * np.sqrt(250)).all()


def test_what_lies_before_the_floor_is_cut_and_told() -> None:
    shares = spread(points((0, 100, 40), (0, 10, 3), (60, 70, 5)), 10 * SECOND, 5)
    assert set(of(shares, 0)) == {5, 6, 7, 8, 9}
    assert shares.cut[0] + sum(of(shares, 0).values()) == 40
    assert (of(shares, 1), shares.cut[1]) == ({}, 3)
    assert (of(shares, 2), shares.cut[2]) == ({6: 5}, 0)


def test_an_increment_over_an_hour_is_not_a_burst() -> None:
    shares = spread(points((3, 3603, 72_000)), 5 * SECOND, 0)
    full = shares.count[1:-1]
    assert full.min() >= 90 and full.max() <= 110
