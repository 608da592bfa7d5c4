"""exp and log for the compiled loops, without a call. Pure.

In: a number. Out: its exp or log, to within RIGHT of it (relative), as tests compare with the libraries'.
Never: an answer beyond what the polynomials are made for; there the library gives it.

A quiet interval of a throughput asks for a dozen of them: in the library, a third of what it takes.
exp(x) = 2^n exp(r) with |r| at most half of log 2; log(a / b) = 2 artanh(s), s = (a - b) / (a + b), which also
keeps the digits that a / b would lose near 1. In place of the series of both stand polynomials that interpolate
them at Chebyshev's nodes.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.compiled import polynomial

RIGHT = 1e-14  # measured: 2e-15
MOST = 700.0  # exp of more than this, or less than the negative of it, is next to infinity or to 0
LOG_2 = float.fromhex("0x1.62e42fefp-1")  # its first digits, so that n times it is exact
LOG_2_REST = 7.440617110012397e-11
NEAR = 0.0625  # square of s up to which the series is cut so: factors from 0.6 to 1.67


@polynomial
def exp(x: float) -> float:
    """e to the power of x."""
    if not -MOST < x < MOST:
        return math.exp(x)
    n = np.floor(x * 1.4426950408889634 + 0.5)
    r = (x - n * LOG_2) - n * LOG_2_REST
    square = r * r
    low = (0.1666666666664829 + r * 0.04166666666665136) + square * (
        0.008333333353729397 + r * 0.0013888888905881542
    )
    high = (0.00019841208732536384 + r * 2.4801536388690766e-05) + square * (
        2.762511557828763e-06 + r * 2.761380686153829e-07
    )
    value = 1.0 + (r + square * (0.5 + r * (low + square * square * high)))
    return float(value * np.int64((np.int64(n) + 1023) << 52).view(np.float64))


@polynomial
def log(x: float) -> float:
    """The natural logarithm of x."""
    if not 1e-300 < x < 1e300:
        return math.log(x)
    bits = np.float64(x).view(np.int64)
    n = (bits - 0x3FE6A09E00000000) >> 52  # so that what is left is between the square roots of 1/2 and 2
    part = np.int64(bits - (n << 52)).view(np.float64)
    return n * LOG_2 + (_twice_artanh((part - 1.0) / (part + 1.0)) + n * LOG_2_REST)


@polynomial
def log_ratio(a: float, b: float) -> float:
    """The natural logarithm of a / b, both above 0."""
    s = (a - b) / (a + b)
    if not s * s <= NEAR:
        return math.log(a / b)
    return _twice_artanh(s)


@polynomial
def _twice_artanh(s: float) -> float:
    z = s * s
    square = z * z
    low = (0.333333333333366 + z * 0.19999999994878676) + square * (
        0.14285715592931242 + z * 0.11110986349601305
    )
    high = (0.09096554192239081 + z * 0.07562271959750938) + square * 0.08122142240641803
    return 2.0 * s + 2.0 * s * z * (low + square * square * high)
