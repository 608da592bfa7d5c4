"""The weekly profile: shortcuts that save work and no digit that is kept; how one day goes over into the next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import season
from detectors.memory import QUARTERS, SEASON, WEEK, in_units, shape_of


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(0.01, 2.0))
def test_a_settled_week_is_smoothed_as_by_the_whole_fit(seed: int, count: int, size: float) -> None:
    random = np.random.default_rng(seed)
    cells = shape_of(in_units(size * random.normal(size=(count, WEEK)) + random.normal()))
    whole = season._fitted((season.SETTLED,) * 7, cells)
    assert np.abs(season._smoothed(cells) - whole).max() < 1e-9
    assert (in_units(season._smoothed(cells)) == in_units(whole)).all()


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.9))
def test_medians_leave_out_what_was_not_measured(seed: int, part: float) -> None:
    random = np.random.default_rng(seed)
    days = random.normal(size=(6, QUARTERS))
    days[:3][random.random((3, QUARTERS)) < part] = np.nan
    days[:, 0] = 1.0
    for day, median in zip(days, season._medians(days), strict=True):
        assert median == np.median(day[~np.isnan(day)])


@given(st.integers(0, 2**32 - 1))
def test_a_day_without_a_burst_is_taken_as_it_is_beside_one_that_has_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    quiet = random.normal(0.0, 0.02, (2, QUARTERS))
    off, known, counts = quiet.copy(), np.zeros((2, QUARTERS)), np.full((2, QUARTERS), 2000.0)
    at = int(random.integers(0, QUARTERS - 3))
    off[1, at : at + 3] += 1.5
    usual = np.zeros((2, 7)), np.zeros((2, 7))
    found = season._without_bursts(off, known, counts, usual)
    assert (found[0] == off[0]).all()
    assert found[1, at : at + 3].max() < off[1, at : at + 3].min()
    one = usual[0][1:], usual[1][1:]
    assert (season._without_bursts(off[1:], known[1:], counts[1:], one)[0] == found[1]).all()


def test_what_rises_up_to_midnight_towards_the_next_day_is_no_burst() -> None:
    off, known, counts = np.zeros((2, QUARTERS)), np.zeros((2, QUARTERS)), np.full((2, QUARTERS), 1e4)
    off[:, -2:] = 0.2, 0.35
    usual = np.zeros((2, 7)), np.array([[0.5] * 7, [0.0] * 7])  # of one of the two the next day brings more
    found = season._without_bursts(off, known, counts, usual)
    assert (found[0] == off[0]).all()
    assert found[1].max() < 0.2


@pytest.mark.parametrize(("calm_by", "long"), [(0.4, 30), (0.4, 0), (0.2, 0), (0.15, 120)])
def test_one_day_goes_over_into_the_next_as_it_does_by_the_clock_or_in_hours(
    calm_by: float, long: int
) -> None:
    """Calm weekends, which begin and end at midnight, or in the course of `long` minutes before and after."""
    minute = np.arange(24 * 1440)
    weekend = np.pad((minute // 1440 % 7 >= 5).astype(np.float64), long, mode="edge")
    calm = np.convolve(weekend, np.ones(2 * long + 1) / (2 * long + 1), mode="valid")
    shape = np.log((1.0 - calm_by * calm) * np.exp(np.sin(2 * np.pi * (minute / 1440 - 0.3))))
    quarters = np.exp(shape).reshape(-1, 15).sum(axis=1)
    seasons = np.zeros(1, dtype=SEASON).view(np.recarray)
    for day in range(24):
        seasons.day_x[:], seasons.day_n[:] = 1000.0 * quarters[day * QUARTERS : (day + 1) * QUARTERS], 15.0
        season.end_day(seasons, np.zeros(1, dtype=np.bool_), day + 4)  # 5 January 1970 was a Monday
    usual = shape_of(seasons.usual)[0]
    truth = np.log(quarters[7 * QUARTERS : 14 * QUARTERS])
    steps = np.diff(np.append(usual, usual[0])) - np.diff(np.append(truth, truth[0]))
    assert np.abs(steps[QUARTERS - 1 :: QUARTERS]).max() < 0.05
