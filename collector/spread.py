"""One count over a time range becomes whole counts in the intervals that the range covers.

In: Points. Out: Shares, one row per point and interval, adding up to the point's count exactly.
Never: a random number, a fraction of a whole event, more errors than requests in one interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collector.points import Points

_WHOLE = 2.0**53  # beyond it float64 holds no single events
_TURNS = 1 << 20  # a power of two, so that adding a turn and taking it away again is exact


@dataclass(frozen=True, slots=True)
class Shares:
    """Columns of length m: point: int64[m] place in Points; bin: int64[m] number of the interval (start //
    width); count: float64[m]. cut: float64[n] per point, what fell before the first interval wanted."""

    point: NDArray[np.int64]
    bin: NDArray[np.int64]
    count: NDArray[np.float64]
    cut: NDArray[np.float64]


def spread(points: Points, width: int, floor: int) -> Shares:
    """Lay each count evenly over the intervals that its range covers, from interval number `floor` on.

    width: nanoseconds. Where in the range the single events fall follows a fixed, evenly spread order that
    starts elsewhere for each range: k events take its first k places. So counts of one range are nested
    (the errors of an export never exceed its requests in any interval), and rare events are not always
    put into the same of twelve intervals.
    """
    moment = points.start >= points.end
    first = np.where(moment, points.end, points.start) // width
    last = np.where(moment, points.end, points.end - 1) // width
    kept_first = np.maximum(first, floor)
    size = np.maximum(last - kept_first + 1, 0)
    point = np.repeat(np.arange(len(points)), size)
    offset = np.arange(len(point)) - np.repeat(np.cumsum(size) - size, size)
    number = kept_first[point] + offset
    # The edge of an interval is worked out twice, in the same way, so shares add up without a rest.
    lower = _until(points, point, number * width, moment)
    upper = _until(points, point, (number + 1) * width, moment)
    everyone = np.arange(len(points))
    cut = np.where(first < floor, _until(points, everyone, np.full(len(points), floor * width), moment), 0.0)
    return Shares(point, number, upper - lower, cut)


def _until(
    points: Points, at: NDArray[np.int64], edge: NDArray[np.int64], moment: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """float64[m]: how many of the events of the points `at` happened before `edge` (ns)."""
    start, end, count = points.start[at], points.end[at], points.count[at]
    length = np.maximum(end - start, 1)
    share = np.clip((edge - start) / length, 0.0, 1.0)
    share = np.where(moment[at], (edge > end).astype(np.float64), share)
    result = np.where(share < 1.0, count * share, count)
    inside = np.flatnonzero((share > 0) & (share < 1) & (count == np.floor(count)) & (count < _WHOLE))
    if len(inside):
        whole = count[inside].astype(np.int64)
        turn = (_mix(start[inside]) % _TURNS).astype(np.float64) / _TURNS
        place = share[inside] + turn
        over = place >= 1.0
        below = _places_below(np.where(over, place - 1.0, place), whole)
        result[inside] = below - _places_below(turn, whole) + np.where(over, whole, 0)
    return result


def _places_below(x: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[m]: how many of the first `first` numbers of van der Corput's sequence are below x in [0, 1).

    The first 2^a of them lie 2^-a apart from 0 on, the next 2^b the same 2^-b apart but shifted, and so on:
    one step a binary digit of `first`, for all points together.
    """
    below = np.zeros(len(x), dtype=np.int64)
    shift = np.zeros(len(x))
    for digit in range(int(first.max()).bit_length() - 1, -1, -1):
        apart = 2.0**-digit
        has = (first >> digit) & 1
        block = np.clip(np.ceil((x - shift) / apart), 0, 2**digit).astype(np.int64)
        below += has * block
        shift += has * apart / 2
    return below


def _mix(start: NDArray[np.int64]) -> NDArray[np.uint64]:
    """uint64[m], well stirred bits of a start time (splitmix64), the same for all points of one range."""
    z = start.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
