"""The weekly profile's shortcuts: what they save is work, and no digit that is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import season
from detectors.memory import QUARTERS, WEEK, in_units, shape_of


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
    found = season._without_bursts(off, known, counts)
    assert (found[0] == off[0]).all()
    assert found[1, at : at + 3].max() < off[1, at : at + 3].min()
    assert (season._without_bursts(off[1:], known[1:], counts[1:])[0] == found[1]).all()
