"""What is told late by nature is judged later, as if it had happened then. Pure.

In: closed intervals, and what was held back of those before. Out: the same with the columns of Slow behind the
others, and what is held back of them.
Never: a signal held up that has nothing to wait for; a count that came in time for its signal taken for a late one.

All that looks at these columns lives in the time at which it is judged: tell.py gives back the wait.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from collector.bins import Bins, Late
from detectors.plan import Plan


@dataclass(frozen=True, slots=True)
class Held:
    """The last intervals of the series of Slow, as they are known so far.

    row, wait: int64[n], as of Slow. upto: number of the interval after the last, 0 = there was none. values:
    float64[intervals, n], NaN = not measured; watched: bool[intervals].
    """

    row: NDArray[np.int64]
    wait: NDArray[np.int64]
    upto: int
    values: NDArray[np.float64]
    watched: NDArray[np.bool_]

    @staticmethod
    def empty(plan: Plan) -> Held:
        """For the columns of `plan`, before anything was counted."""
        row, wait = plan.slow.row, plan.slow.wait
        depth = int(wait.max(initial=0))
        return Held(row, wait, 0, np.full((depth, len(row)), np.nan), np.zeros(depth, dtype=np.bool_))

    def fits(self, plan: Plan) -> bool:
        """Is it of the columns of `plan`?"""
        slow = plan.slow
        return np.array_equal(self.row, slow.row) and np.array_equal(self.wait, slow.wait)

    def fit(self, plan: Plan) -> tuple[Held, NDArray[np.int64]]:
        """The same for `plan`, and int64[n]: the place here of each of its columns, -1 = it is new."""
        fresh = Held.empty(plan)
        there = {one: i for i, one in enumerate(zip(self.row.tolist(), self.wait.tolist(), strict=True))}
        columns = zip(fresh.row.tolist(), fresh.wait.tolist(), strict=True)
        place = np.array([there.get(one, -1) for one in columns], dtype=np.int64)
        depth, known = min(len(self.watched), len(fresh.watched)), place >= 0
        if depth:
            fresh.values[-depth:, known] = self.values[-depth:, place[known]]
            fresh.watched[-depth:] = self.watched[-depth:]
        return replace(fresh, upto=self.upto), place


def hold(held: Held, bins: Bins, plan: Plan) -> tuple[Bins, Held]:
    """`bins` with the columns of `plan.slow` behind those of the series, and what is held back after them.

    held: fits the plan; nothing in it is changed. Counts that came late, but in time for whoever waits, stand in
    their place; of the others late ones are told by the columns that they are late for.
    """
    slow, length = plan.slow, len(bins)
    if not len(slow.row) or not length:
        return bins, held
    first, depth = bins.start // bins.width, len(held.watched)
    values = np.full((length, plan.series + len(slow.row)), np.nan)
    known = min(bins.values.shape[1], plan.series)
    values[:, :known] = bins.values[:, :known]
    past, heard = _upto(held, first)
    whole = np.concatenate([past, values[:, slow.row]])
    watched = np.concatenate([heard, bins.watched])
    late = _take(bins, plan, whole, first - depth)
    at = np.arange(length)[:, None] + depth - slow.wait
    seen = whole[at, np.arange(len(slow.row))]
    # A source that is asked tells of the time in which nobody listened; of what is sent to us, only a part came.
    seen[~slow.own & ~watched[at]] = np.nan
    values[:, plan.series :] = seen
    after = replace(held, upto=first + length, values=whole[length:].copy(), watched=watched[length:].copy())
    return replace(bins, values=values, late=late), after


def _upto(held: Held, first: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What is held of the intervals right before number `first`; of those that are missing nothing is known."""
    values, watched = held.values, held.watched
    gap = min(max(first - held.upto, 0), len(watched)) if held.upto else 0
    if gap:
        values = np.concatenate([values[gap:], np.full((gap, values.shape[1]), np.nan)])
        watched = np.concatenate([watched[gap:], np.zeros(gap, dtype=np.bool_)])
    return values, watched


def _take(bins: Bins, plan: Plan, whole: NDArray[np.float64], begin: int) -> Late:
    """Put late counts into their place in `whole` (whose first interval is number `begin`), where they came before
    they are judged there. Returns those that are late: of series that are judged at once, and of columns."""
    late, slow = bins.late, plan.slow
    if not len(late):
        return late
    first = bins.start // bins.width
    # Each late count once for each column of its series.
    lower, upper = (np.searchsorted(slow.row, late.row, side) for side in ("left", "right"))
    times = upper - lower
    entry = np.repeat(np.arange(len(late)), times)
    column = np.arange(len(entry)) - np.repeat(np.cumsum(times) - times, times) + np.repeat(lower, times)
    number = late.start[entry] // bins.width
    in_time = number + slow.wait[column] >= first + late.interval[entry]
    into, of = (number - begin)[in_time], column[in_time]
    whole[into, of] = np.nan_to_num(whole[into, of])
    np.add.at(whole, (into, of), late.count[entry[in_time]])
    apart, behind = entry[~in_time], column[~in_time]
    kept = np.flatnonzero(slow.at_once[late.row])
    interval = np.concatenate([late.interval[kept], late.interval[apart]])
    order = np.argsort(interval, kind="stable")
    return Late(
        interval[order],
        np.concatenate([late.start[kept], late.start[apart] + bins.width * slow.wait[behind]])[order],
        np.concatenate([late.row[kept], plan.series + behind])[order],
        np.concatenate([late.count[kept], late.count[apart]])[order],
    )
