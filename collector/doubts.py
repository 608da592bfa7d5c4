"""Which senders' word on starts is taken: one whose start differs in every export says nothing by it. Pure.

In: what each stream did with its starts. Out: whose starts count, and what is owed where that was wrong.
Never: a total (see counters.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.points import NANOS

AWAITED = 3600  # s for which a start may be told again, and until the next one that cannot be
OFTEN, LONG = 4, 300  # times, and s: so often, over so long, must a stream tell starts that cannot be


class Owed(NamedTuple):
    """Not counted of the first total of a life, as it seemed to go on from another: since (ns), time (ns)."""

    total: float
    since: int
    time: int


class Doubts:
    """Streams are their numbers, lives their slots; times are ns.

    A start before the last export is none of a restart after it. Either the sender's starts wobble, or several
    processes share a name. These tell their starts again and again: until one does, the counters are thought to
    go on. After OFTEN such starts over LONG seconds, none of which was told again, starts of the stream mean
    nothing; so it is where one of OFTEN is told again and no total fell, which it came to be by chance.
    """

    def __init__(self) -> None:
        self.ignored: set[int] = set()  # streams whose starts mean nothing
        self.several: set[int] = set()  # streams of several processes
        self._runs: dict[int, tuple[int, int, int]] = {}  # stream -> first and last such start, and how many
        self._owed: dict[int, dict[int, Owed]] = {}  # stream -> life -> what it may be owed

    def ignores(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool[n]: do starts of these streams mean nothing."""
        return np.array([number in self.ignored for number in numbers.tolist()], dtype=np.bool_)

    def are_several(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool[n]: is each known to be of several processes."""
        if not self.several:
            return np.zeros(len(numbers), dtype=np.bool_)
        return np.array([number in self.several for number in numbers.tolist()], dtype=np.bool_)

    def went_on(self, number: int, time: int) -> bool:
        """Counters of a stream told a start that cannot be. True: from now on its starts mean nothing."""
        first, last, often = self._runs.get(number, (time, time, 0))
        if time - last > AWAITED * NANOS:
            first, often = time, 0
        self._runs[number] = (first, max(time, last), often + 1)
        if often + 1 < OFTEN or time - first < LONG * NANOS:
            return False
        self.ignore(number)
        return True

    def ignore(self, number: int) -> None:
        """From now on starts of this stream mean nothing."""
        self.ignored.add(number)
        self._runs.pop(number, None)
        self._owed.pop(number, None)

    def wobbles(self, number: int) -> bool:
        """Has a stream told OFTEN starts that cannot be, and none of them again?"""
        return self._runs.get(number, (0, 0, 0))[2] >= OFTEN

    def owe(self, number: int, slot: int, owed: Owed) -> None:
        self._owed.setdefault(number, {})[slot] = owed

    def told_again(self, number: int, time: int) -> Mapping[int, Owed]:
        """A start of before is told again: these are several processes. What is owed to which life."""
        self.several.add(number)
        self._runs.pop(number, None)
        owed = self._owed.pop(number, {})
        return {slot: one for slot, one in owed.items() if time - one.time <= AWAITED * NANOS}

    def forget(self, time: int) -> None:
        """Nobody is told again what was told so long before `time`."""
        self._runs = {n: run for n, run in self._runs.items() if time - run[1] <= AWAITED * NANOS}
        self._owed = {
            number: {slot: one for slot, one in owed.items() if time - one.time <= AWAITED * NANOS}
            for number, owed in self._owed.items()
        }
        self._owed = {number: owed for number, owed in self._owed.items() if owed}

    def renumber(self, numbers: Mapping[int, int], slots: NDArray[np.int64]) -> None:
        """Streams and lives have other numbers; those that are gone have none, or -1."""
        self.ignored = {numbers[n] for n in self.ignored if n in numbers}
        self.several = {numbers[n] for n in self.several if n in numbers}
        self._runs = {numbers[n]: run for n, run in self._runs.items() if n in numbers}
        self._owed = {
            numbers[n]: {int(slots[slot]): one for slot, one in owed.items() if slots[slot] >= 0}
            for n, owed in self._owed.items()
            if n in numbers
        }

    def state(self) -> dict[str, Any]:
        """All of it, as JSON knows it."""
        return {
            "ignored": sorted(self.ignored),
            "several": sorted(self.several),
            "runs": list(self._runs.items()),
            "owed": [
                (number, slot, *one) for number, owed in self._owed.items() for slot, one in owed.items()
            ],
        }

    @staticmethod
    def restore(state: Mapping[str, Iterable[Any]]) -> Doubts:
        self = Doubts()
        self.ignored, self.several = set(state.get("ignored", ())), set(state.get("several", ()))
        self._runs = {number: (run[0], run[1], run[2]) for number, run in state.get("runs", ())}
        for number, slot, total, since, time in state.get("owed", ()):
            self.owe(number, slot, Owed(total, since, time))
        return self
