"""exp and log of the compiled loops are those of the library, to within what they say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.expect import predictive_sd, within_reason
from detectors.exponentials import MOST, RIGHT, exp, log, log_ratio

for function in (exp, log):
    function(1.0)  # loads the compiled code, for which no example's deadline is meant
log_ratio(1.0, 2.0)
ABOVE_ZERO = st.floats(1e-310, 1e308)


@given(st.floats(-745.0, 709.0))
@settings(max_examples=1000)
def test_exp_is_that_of_the_library(x: float) -> None:
    # To change x by its last digit changes exp(x) by x times as much.
    assert exp(x) == pytest.approx(math.exp(x), rel=RIGHT + 2.3e-16 * abs(x), abs=1e-323)


@given(ABOVE_ZERO)
@settings(max_examples=1000)
def test_log_is_that_of_the_library(x: float) -> None:
    assert log(x) == pytest.approx(math.log(x), rel=RIGHT, abs=1e-323)


@given(st.floats(-1e-3, 1e-3))
def test_near_one_log_loses_no_digits(off: float) -> None:
    assert log(1.0 + off) == pytest.approx(math.log1p((1.0 + off) - 1.0), rel=RIGHT, abs=1e-323)


@given(st.floats(1e-5, 1e5), st.floats(-6.0, 6.0))
@settings(max_examples=1000)
def test_the_log_of_a_ratio_is_that_of_the_library(b: float, differs: float) -> None:
    a = b * math.exp(differs)
    if abs(differs) > 0.1:
        assert log_ratio(a, b) == pytest.approx(math.log(a / b), rel=RIGHT)
    else:  # where a / b would lose digits
        assert log_ratio(a, b) == pytest.approx(math.log1p((a - b) / b), rel=RIGHT, abs=1e-323)
    assert log_ratio(a, b) == -log_ratio(b, a) or abs(differs) > 0.4


def test_beyond_what_they_are_made_for_the_library_answers() -> None:
    assert (exp(-2.0 * MOST), exp(-math.inf), log(math.inf)) == (0.0, 0.0, math.inf)
    assert all(math.isnan(function(math.nan)) for function in (exp, log))
    assert (exp(0.0), log(1.0), log_ratio(3.0, 3.0)) == (1.0, 0.0, 0.0)


@given(st.floats(-1e4, 1e4), st.floats(0.01, 1e4), st.floats(0.0, 1.0))
@settings(max_examples=1000)
def test_what_teaches_is_bounded_as_it_would_be_by_the_root(off: float, mean: float, scatter: float) -> None:
    sd = predictive_sd(mean, scatter)
    bounded = min(max(off, -4.0 * sd - 1.0), 3.0 * sd + 2.0)
    assert within_reason(off, mean, scatter) == pytest.approx(bounded, rel=1e-12, abs=1e-12)
