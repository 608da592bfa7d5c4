"""Closed intervals with all series in them: what the collector hands on.

In: nothing (this is a doorstep of types). Out: SeriesKey, SeriesTable, Late, Bins.
Never: a clock, a file, a default of zero for what was not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ENTERED_AGO = "entered_ago"  # attribute: so many intervals before it was counted, an event had entered
MOST_AGE = 60  # intervals; what entered earlier counts as that old


class SeriesKey(NamedTuple):
    """The name of one series. `attributes` are sorted (name, value) pairs.

    Where a sender says of its events when they entered, there is one series for each age.
    """

    service: str
    metric: str
    version: str = ""
    attributes: tuple[tuple[str, str], ...] = ()

    def aged(self, age: int) -> SeriesKey:
        """The series of those events of this one that entered `age` intervals before they were counted."""
        pair = (ENTERED_AGO, str(min(age, MOST_AGE)))
        return self._replace(attributes=tuple(sorted((*self.ageless, pair))))

    @property
    def age(self) -> int:
        """Intervals since its events entered, -1 = not said."""
        if ENTERED_AGO not in chain.from_iterable(self.attributes):  # as of nearly all
            return -1
        for name, value in self.attributes:
            if name == ENTERED_AGO and value.isdecimal() and value.isascii() and len(value) <= 2:
                return min(int(value), MOST_AGE)
        return -1

    @property
    def ageless(self) -> tuple[tuple[str, str], ...]:
        """The attributes that the sender gave."""
        return tuple(pair for pair in self.attributes if pair[0] != ENTERED_AGO)


# The key of (service, metric, version, attributes), at half the price of calling the class.
series_key: Callable[[tuple[str, str, str, tuple[tuple[str, str], ...]]], SeriesKey] = partial(
    tuple.__new__, SeriesKey
)


def not_aged(keys: Sequence[SeriesKey]) -> Sequence[SeriesKey]:
    """Those keys that stand for events of all ages."""
    attributes = chain.from_iterable([key.attributes for key in keys])
    if ENTERED_AGO in chain.from_iterable(attributes):
        return [key for key in keys if key.age < 0]
    return keys  # as of nearly all senders


class SeriesTable:
    """Gives each series a row for life: rows are added, never moved or reused.

    sources: row -> the name of the source that is asked for it; of what is sent to us there is none.
    """

    def __init__(self, keys: Iterable[SeriesKey] = (), sources: Mapping[int, str] | None = None) -> None:
        self.keys: list[SeriesKey] = list(keys)
        self.sources: dict[int, str] = dict(sources or {})
        self._rows: dict[SeriesKey, int] = {key: row for row, key in enumerate(self.keys)}
        if len(self._rows) < len(self.keys):  # some were named twice
            self.keys = list(self._rows)
            self._rows = {key: row for row, key in enumerate(self.keys)}

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: SeriesKey) -> bool:
        return key in self._rows

    def find(self, key: SeriesKey) -> int:
        """The row of `key`, -1 if it has none."""
        return self._rows.get(key, -1)

    def first(self, rows: int) -> SeriesTable:
        """A table of the first so many rows."""
        return SeriesTable(self.keys[:rows], {row: name for row, name in self.sources.items() if row < rows})

    def row(self, key: SeriesKey) -> int:
        """The row of `key`; a key never seen before gets the next one."""
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = len(self.keys)
            self.keys.append(key)
        return row

    def rows(self, keys: Iterable[SeriesKey]) -> list[int]:
        """The row of each, as `row` gives it."""
        known, of = self._rows, self._rows.setdefault
        rows = [of(key, len(known)) for key in keys]
        added = list(islice(reversed(known), len(known) - len(self.keys)))
        self.keys += reversed(added)
        return rows


@dataclass(frozen=True, slots=True)
class Late:
    """Counts that arrived after their interval was judged, in columns of equal length n.

    interval: int64[n], index (in the block that carries this) of the interval at whose judgement
        the count was already known; start: int64[n], start of the interval that it belongs to, epoch
        seconds; row: int64[n], series row; count: float64[n], by how much that interval grew.
    """

    interval: NDArray[np.int64]
    start: NDArray[np.int64]
    row: NDArray[np.int64]
    count: NDArray[np.float64]

    @staticmethod
    def none() -> Late:
        whole = np.zeros(0, dtype=np.int64)
        return Late(whole, whole, whole, np.zeros(0))

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Bins:
    """A block of consecutive closed intervals.

    start: epoch seconds of the first interval's start; width: seconds.
    closed: int64[intervals], the moment at which each was judged (its end plus the grace for late points).
    values: float64[intervals, series]; NaN = not measured, which is not 0. May have fewer columns than
        the series table has rows: series that came later were not measured here.
    watched: bool[intervals], were we listening at all.
    """

    start: int
    width: int
    closed: NDArray[np.int64]
    values: NDArray[np.float64]
    watched: NDArray[np.bool_]
    late: Late = field(default_factory=Late.none)

    def __len__(self) -> int:
        return len(self.closed)

    @property
    def end(self) -> int:
        """Epoch seconds at which the last interval ends."""
        return self.start + self.width * len(self)

    def appeared(self, before: int = 0) -> NDArray[np.int64]:
        """int64[intervals]: how many series, from the first row on, had appeared when each was judged, of which so
        many had before."""
        late = self.late
        rows = max(self.values.shape[1], int(late.row.max(initial=-1)) + 1, before)
        first = np.full(rows - before, len(self))
        measured = ~np.isnan(self.values[:, before:])
        known = measured.shape[1]
        first[:known] = np.where(measured.any(axis=0), measured.argmax(axis=0), len(self))
        new = late.row >= before
        np.minimum.at(first, late.row[new] - before, late.interval[new])
        highest = np.full(len(self) + 1, before)
        np.maximum.at(highest, first, np.arange(before + 1, rows + 1))
        return np.maximum.accumulate(highest[:-1])

    def settled(self) -> Bins:
        """The same with the late counts in their places, as far as these are in the block."""
        at = (self.late.start - self.start) // self.width
        here = np.flatnonzero((at >= 0) & (self.late.row < self.values.shape[1]))
        if not len(here):
            return replace(self, late=Late.none())
        values, into = self.values.copy(), (at[here], self.late.row[here])
        values[into] = np.nan_to_num(values[into])
        np.add.at(values, into, self.late.count[here])
        return replace(self, values=values, late=Late.none())

    def cut(self, first: int, last: int) -> Bins:
        """Intervals first..last-1 as a block of its own, with the late counts that became known in them."""
        known = (self.late.interval >= first) & (self.late.interval < last)
        late = Late(
            self.late.interval[known] - first,
            self.late.start[known],
            self.late.row[known],
            self.late.count[known],
        )
        return replace(
            self,
            start=self.start + first * self.width,
            closed=self.closed[first:last],
            values=self.values[first:last],
            watched=self.watched[first:last],
            late=late,
        )
