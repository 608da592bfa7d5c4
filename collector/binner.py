"""Points become intervals: open until the clock closes them, then judged once; what comes later goes apart.

In: Points, and the moments at which they came and at which intervals close. Out: Bins.
Never: a clock, a count moved into an interval that is closed, a zero where nothing was measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector.bins import MOST_AGE, Bins, Late, SeriesTable
from collector.points import NANOS, Limits, Points, tally, why_not
from collector.spread import Shares, spread

BRIDGED = 30  # seconds, at least two intervals: an absence that running totals make good


class Binner:
    """Holds the open intervals of all series.

    An interval closes `grace` seconds after its end because the clock says so, not because data came or
    did not. A count that arrives after that moment is late, even when nobody has called `close` yet, so
    that a replay sees it at the same moment. Exporters report a stretch of time that ends somewhere inside
    an interval: with a grace of at least one export interval plus the way here, every interval is
    complete when it closes; `longest` says how long the stretches are.

    The same calls in the same order give the same Bins. One thread at a time.

    table: the series and their rows; refused: refused or late so far, by reason.
    """

    def __init__(
        self,
        width: int,
        grace: int,
        now: float,
        table: SeriesTable | None = None,
        limits: Limits | None = None,
    ) -> None:
        """width, grace: seconds; now: epoch seconds at which we begin to listen (its interval is the first)."""
        self.width = width
        self.grace = grace
        self.table = SeriesTable() if table is None else table
        self.refused: Counter[str] = Counter()
        self.longest = 0.0
        self._limits = limits or Limits()
        self._next = int(now // width)  # number (start // width) of the first interval not closed
        self._first = self._next
        self._heard = now
        self._open: dict[int, NDArray[np.float64]] = {}  # interval number -> float64[>= rows seen], NaN
        self._late: list[tuple[float, NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
        self._deaf: list[tuple[float, float]] = [(-np.inf, now)]

    @property
    def next(self) -> int:
        """Epoch seconds at which the first interval that is not closed starts."""
        return self._next * self.width

    def add(self, points: Points, now: float, wait: int = 0) -> dict[str, int]:
        """Take points that arrived at `now` (epoch seconds); how many were refused, by reason.

        wait: so many intervals later is it judged; what comes within them is late for nobody, and told as late.
        The answer includes what was refused on the way here (`points.refused`). What lies before
        our first interval, or before the oldest that late counts are kept for, is left out as "too old".
        """
        self._heard = max(self._heard, now)
        why = why_not(points.end, points.count, now, self._limits)
        good = why == 0
        refused = Counter(points.refused) + Counter(tally(why))
        entered = None if points.entered is None else points.entered[good]
        points = Points(
            points.row[good], points.start[good], points.end[good], points.count[good], entered=entered
        )
        if len(points):
            self._bridge(points)
            floor = max(self._first, int((now - self._limits.age) // self.width))
            shares = spread(points, self.width * NANOS, floor)
            outside = np.bincount(shares.point, minlength=len(points)) == 0
            refused["too old"] += int(np.count_nonzero(outside))
            # Nobody can send it again in parts: counted, and no refusal.
            in_part = int(np.count_nonzero(~outside & (shares.cut > 0)))
            self.refused += Counter({"too old in part": in_part})
            self.longest = max(self.longest, float((points.end - points.start).max()) / NANOS)
            self._lay(points, shares, now, wait)
        refused = +refused
        self.refused.update(refused)
        return dict(refused)

    def _lay(self, points: Points, shares: Shares, now: float, wait: int) -> None:
        """Put shares into their open intervals, and those of closed ones aside."""
        row, bin_ = self._by_entry(points, shares)
        # Closed are those handed out, and those whose moment (end + grace) has passed.
        open_from = max(self._next, int(np.ceil((now - self.grace) / self.width)) - 1)
        late = bin_ < open_from
        if late.any():
            self._late.append((now, bin_[late], row[late], shares.count[late]))
            too_late = (bin_ < open_from - wait) & (shares.count > 0)
            self.refused += Counter(late=int(np.count_nonzero(too_late)))
        for number in np.unique(bin_[~late]).tolist():
            here = np.flatnonzero(~late & (bin_ == number))
            rows = row[here]
            values = self._interval(number)
            values[rows[np.isnan(values[rows])]] = 0.0
            np.add.at(values, rows, shares.count[here])

    def _by_entry(self, points: Points, shares: Shares) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(row, interval) of each share. What is said to have entered at some time gets a series of its own for
        each age, and comes out no sooner than it entered, wherever in its export it was laid."""
        row, bin_ = points.row[shares.point], shares.bin
        if points.entered is None:
            return row, bin_
        entered = points.entered[shares.point] // (self.width * NANOS)
        said = (points.entered[shares.point] > 0) & (shares.count > 0)
        bin_ = np.where(said, np.maximum(bin_, entered), bin_)
        age = np.where(said, np.minimum(bin_ - entered, MOST_AGE), -1)
        for series, old in np.unique(np.stack([row[said], age[said]], axis=1), axis=0).tolist():
            key = self.table.keys[series].aged(old)
            if len(self.table) < self._limits.series or key in self.table:
                row = np.where((points.row[shares.point] == series) & (age == old), self.table.row(key), row)
        return row, bin_

    def _interval(self, number: int) -> NDArray[np.float64]:
        """The values of an open interval, with room for all series."""
        values = self._open.get(number)
        if values is None or len(values) < len(self.table):
            wider = np.full(len(self.table) * 5 // 4 + 16, np.nan)
            if values is not None:
                wider[: len(values)] = values
            values = self._open[number] = wider
        return values

    def deaf(self, start: float, end: float) -> None:
        """We did not listen from `start` to `end` (epoch seconds): intervals touching it are not watched."""
        if end > start:
            self._deaf.append((start, end))

    def _bridge(self, points: Points) -> None:
        """A running total from before a short absence to after it says what happened meanwhile: what is still
        open is as good as watched. Over a long one, when it happened is not known."""
        longest = max(BRIDGED, 2 * self.width)
        self._deaf = [
            (start, end)
            for start, end in self._deaf
            if end - start > longest
            or not ((points.start <= start * NANOS) & (points.end >= end * NANOS)).any()
        ]

    def close(self, until: float) -> Bins:
        """The intervals that end at or before `until` (epoch seconds) and were not closed yet, in a block.

        Call it with now - grace. The block may be empty; it has a column for each row of the table, NaN
        where nothing was measured. Late counts come with the first interval judged at or after their
        arrival; one of count 0 says that the interval was measured after all.
        """
        first = self._next
        count = max(int(until // self.width) - first, 0)
        numbers = np.arange(first, first + count, dtype=np.int64)
        closed = (numbers + 1) * self.width + self.grace
        values = np.full((count, len(self.table)), np.nan)
        for i, number in enumerate(numbers.tolist()):
            measured = self._open.pop(number, None)
            if measured is not None:
                known = min(len(measured), len(self.table))
                values[i, :known] = measured[:known]
        watched = np.ones(count, dtype=np.bool_)
        for start, end in self._deaf:
            watched &= ((numbers + 1) * self.width <= start) | (numbers * self.width >= end)
        self._next = first + count
        if count:
            self._heard = max(self._heard, float(closed[-1]))
        self._deaf = [span for span in self._deaf if span[1] > self.next]
        return Bins(first * self.width, self.width, closed, values, watched, self._late_for(closed))

    def _late_for(self, closed: NDArray[np.int64]) -> Late:
        """The late counts that were known when one of these intervals was judged; they are handed out."""
        ready = [late for late in self._late if len(closed) and late[0] <= closed[-1]]
        if not ready:
            return Late.none()
        self._late = [late for late in self._late if late[0] > closed[-1]]
        moments = np.concatenate([np.full(len(number), now) for now, number, _, _ in ready])
        cells = np.stack(
            [
                np.searchsorted(closed, moments, side="left"),
                np.concatenate([number for _, number, _, _ in ready]),
                np.concatenate([row for _, _, row, _ in ready]),
            ],
            axis=1,
        ).astype(np.int64)
        distinct, where = np.unique(cells, axis=0, return_inverse=True)
        count: NDArray[np.float64] = np.zeros(len(distinct))
        np.add.at(count, where.ravel(), np.concatenate([counts for *_, counts in ready]))
        return Late(distinct[:, 0], distinct[:, 1] * self.width, distinct[:, 2], count)

    def state(self) -> dict[str, Any]:
        """All but the table, as arrays (`restore` takes it back; `np.savez` can write it)."""
        rows = len(self.table)
        values = [np.append(v, np.full(max(rows - len(v), 0), np.nan))[:rows] for v in self._open.values()]
        late = self._late
        return {
            "where": np.array([self.width, self.grace, self._next, self._first], dtype=np.int64),
            "heard": np.array([self._heard, self.longest]),
            "open": np.array(list(self._open), dtype=np.int64),
            "values": np.array(values).reshape(len(values), rows),
            "late_moment": np.concatenate([np.full(len(n), now) for now, n, _, _ in late] or [np.zeros(0)]),
            "late_bin": np.concatenate([n for _, n, _, _ in late] or [np.zeros(0, dtype=np.int64)]),
            "late_row": np.concatenate([row for _, _, row, _ in late] or [np.zeros(0, dtype=np.int64)]),
            "late_count": np.concatenate([count for *_, count in late] or [np.zeros(0)]),
            "deaf": np.array(self._deaf, dtype=np.float64).reshape(len(self._deaf), 2),
            "refused": np.array(list(self.refused.items()), dtype=np.str_).reshape(len(self.refused), 2),
        }

    @staticmethod
    def restore(
        state: Mapping[str, Any], table: SeriesTable, now: float, limits: Limits | None = None
    ) -> Binner:
        """The Binner whose `state` this is; what passed between its last call and `now` was not watched.

        `table` must hold the rows that the state speaks of, in the same order. Width and grace are the state's:
        with others, open intervals cannot be carried over; begin with a new Binner.
        """
        width, grace, next_one, first = (int(n) for n in state["where"])
        heard, longest = (float(x) for x in state["heard"])
        self = Binner(width, grace, now, table, limits)
        self._next, self._first, self._heard, self.longest = next_one, first, now, longest
        self._open = {
            int(number): values.copy() for number, values in zip(state["open"], state["values"], strict=True)
        }
        moments, where = np.unique(state["late_moment"], return_inverse=True)
        for i, moment in enumerate(moments.tolist()):
            columns = (state[name][where == i] for name in ("late_bin", "late_row", "late_count"))
            self._late.append((moment, *columns))
        self._deaf = [(start, end) for start, end in state["deaf"].tolist()]
        self.deaf(heard, now)
        self.refused = Counter({reason: int(n) for reason, n in state["refused"].tolist()})
        return self
