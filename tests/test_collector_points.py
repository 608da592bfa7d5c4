"""Counts as they arrive: which are refused, and for what reason."""

from __future__ import annotations

import numpy as np
import pytest

from collector.points import NANOS, REASONS, Limits, tally, why_not

NOW = 1_649_851_200.0


@pytest.mark.parametrize(
    ("seconds", "value", "reason"),
    [
        (0, 0.0, ""),
        (0, 1e300, ""),
        (300, 5.0, ""),
        (-3600, 5.0, ""),
        (300.001, 5.0, "far future"),
        (-3600.001, 5.0, "too old"),
        (0, -0.5, "negative"),
        (0, float("nan"), "not finite"),
        (0, float("-inf"), "not finite"),
        (9999, float("nan"), "not finite"),
        (9999, -1.0, "negative"),
    ],
)
def test_a_count_is_refused_for_one_reason(seconds: float, value: float, reason: str) -> None:
    time = np.array([int(NOW) * NANOS + round(seconds * 1000) * 1_000_000])
    why = why_not(time, np.array([value]), NOW, Limits(ahead=300, age=3600))
    assert REASONS[why[0]] == reason


def test_the_last_moment_that_fits_is_far_future_and_no_accident() -> None:
    assert why_not(np.array([2**63 - 1, 0]), np.array([1.0, 1.0]), NOW, Limits()).tolist() == [3, 4]


def test_the_tally_names_reasons_that_occurred_and_no_other() -> None:
    assert tally(np.array([0, 0, 2, 4, 2])) == {"negative": 2, "too old": 1}
    assert tally(np.zeros(0, dtype=np.int64)) == {}
