"""What each life of each counter last said, in columns: one slot a life. Pure.

In: rows of the series table, numbers of streams, starts (ns). Out: slots, -1 where a life is not known.
Never: a judgement of what a total means (see counters.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Wholes = NDArray[np.int64]
Truths = NDArray[np.bool_]

_WHO = ("row", "number", "start")
_SAID = ("total", "time", "total_before", "time_before", "anew", "first_total", "first_time")


class Lives:
    """A life is one counter of one process between two starts: (series row, stream number, start).

    Columns, one place a slot, with room for more than the `used` ones. total, time: what was said last.
    total_before, time_before: what that step went on from; anew: did the counter begin anew in it. first_total,
    first_time: the first total, if it did not count, and its time; 0 = it did. What came to it may be told late.

    The life that a counter leads at present is found without its start.
    """

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.used = 0
        self.row, self.number, self.start = np.zeros((3, 64), dtype=np.int64)
        self.total, self.total_before, self.first_total = np.zeros((3, 64))
        self.time, self.time_before, self.first_time = np.zeros((3, 64), dtype=np.int64)
        self.anew = np.zeros(64, dtype=np.bool_)
        self._present: dict[int, int] = {}  # counter -> slot
        self._others: dict[tuple[int, int], int] = {}  # counter and start -> slot

    def __len__(self) -> int:
        """Lives that can be found."""
        return len(self._present) + len(self._others)

    def present(self, row: Wholes, number: Wholes) -> Wholes:
        """int64[n] slot of the life that each counter leads at present."""
        get = self._present.get
        return np.array([get(which, -1) for which in counter(row, number).tolist()], dtype=np.int64)

    def other(self, row: Wholes, number: Wholes, start: Wholes) -> Wholes:
        """int64[n] slot of the life of that start, where that is not the present one."""
        get = self._others.get
        lives = zip(counter(row, number).tolist(), start.tolist(), strict=True)
        return np.array([get(life, -1) for life in lives], dtype=np.int64)

    def lead(self, slots: Wholes) -> None:
        """Make these, in order, the present lives of their counters."""
        present, others = self._present, self._others
        which = counter(self.row[slots], self.number[slots]).tolist()
        for code, slot, start in zip(which, slots.tolist(), self.start[slots].tolist(), strict=True):
            before = present.get(code, slot)
            if before != slot:
                others.pop((code, start), None)
                others[code, int(self.start[before])] = before
            present[code] = slot

    def add(self, row: Wholes, number: Wholes, start: Wholes, leads: Truths) -> Wholes:
        """int64[n] slots of lives that are not known yet; of those that lead, in order, the last is at present."""
        slots = np.arange(self.used, self.used + len(row))
        self.used += len(row)
        if self.used > len(self.row):
            self._take(np.arange(self.used - len(row)), self.used // 4 + len(row))
        self.row[slots], self.number[slots], self.start[slots] = row, number, start
        for name in _SAID:
            getattr(self, name)[slots] = 0
        aside = np.flatnonzero(~leads)
        lives = zip(counter(row, number)[aside].tolist(), start[aside].tolist(), strict=True)
        self._others |= dict(zip(lives, slots[aside].tolist(), strict=True))
        self.lead(slots[leads])
        return slots

    def forget_others(self, number: int) -> None:
        """Of the counters of a stream only the present lives are found from now on."""
        gone = [life for life, slot in self._others.items() if self.number[slot] == number]
        for life in gone:
            del self._others[life]

    def keep(self, stays: Truths, numbers: Wholes) -> Wholes:
        """Forget all but those of the used slots that stay; numbers: the new number of each stream.

        Returns int64[used], the new slot of each life, -1 of those that went.
        """
        known, leads = np.zeros((2, self.used), dtype=np.bool_)
        leads[list(self._present.values())] = True
        known[list(self._others.values())] = True
        slots = np.flatnonzero(stays & (known | leads))
        moved = np.full(self.used, -1, dtype=np.int64)
        moved[slots] = np.arange(len(slots))
        who = self.row[slots], numbers[self.number[slots]], self.start[slots]
        said = {name: getattr(self, name)[slots] for name in _SAID}
        self._begin(*who, leads[slots], said)
        return moved

    def _begin(
        self, row: Wholes, number: Wholes, start: Wholes, leads: Truths, said: Mapping[str, Any]
    ) -> None:
        self._clear()
        slots = self.add(row, number, start, leads)
        for name in _SAID:
            getattr(self, name)[slots] = said[name]

    def _take(self, slots: Wholes, more: int) -> None:
        """The columns with these slots, and room for `more`."""
        for name in (*_WHO, *_SAID):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column[slots], np.zeros(more, dtype=column.dtype)]))

    def state(self) -> dict[str, Any]:
        """All lives, as arrays."""
        leads = np.zeros(self.used, dtype=np.bool_)
        leads[list(self._present.values())] = True
        who = np.stack([getattr(self, name)[: self.used] for name in _WHO], axis=1)
        said = {name: getattr(self, name)[: self.used].copy() for name in _SAID}
        return {"lives": who, "leads": leads, **said}

    @staticmethod
    def restore(state: Mapping[str, Any]) -> Lives:
        """What `state` gave, or what was kept when no steps, no first totals and no present lives were known."""
        self = Lives()
        row, number, start = state["lives"].astype(np.int64).reshape(-1, 3).T
        said = {name: state[name] for name in _SAID if name in state}
        said.setdefault("total_before", state["total"])
        before = said.setdefault("time_before", state["time"])
        said.setdefault("anew", np.zeros(len(row), dtype=np.bool_))
        # Of a first total that did not count the time stood there, negative, until the next step.
        said.setdefault("first_time", np.maximum(-before, 0))
        said.setdefault("first_total", said["total_before"])
        said["time_before"] = np.abs(before)
        self._begin(row, number, start, state.get("leads", np.ones(len(row), dtype=np.bool_)), said)
        return self


def counter(row: Wholes, number: Wholes) -> Wholes:
    """int64[n]: one number for each counter, of whatever start."""
    return (row << 32) | number
