"""How far each signal is: what is judged already, and what still learns and what it waits for.

In: the detectors' memory after a step. Out: a line in the log when that changes, words for /healthz: what young
signals see already.
Never: a word when nothing changed; a list of thousands.
"""

from __future__ import annotations

import logging
import threading

import numpy as np
from numpy.typing import NDArray

from collector.bins import SeriesTable
from detectors.learning import WORDS, Learning, learning
from detectors.memory import Memory
from detectors.plan import Plan
from stillwatch.young import young

log = logging.getLogger(__name__)

MOST_NAMED = 20


class Progress:
    """judged: how many signals are judged as far as they ever will be; learning: how many are not yet."""

    def __init__(self) -> None:
        self.judged = 0
        self.learning = 0
        self._known: dict[str, int] = {}
        self._latest: tuple[Memory, Plan, SeriesTable, int] | None = None
        self._said: tuple[int, dict[str, str]] = (0, {})
        self._last: tuple[Plan, NDArray[np.int64]] | None = None
        self._asking = threading.Lock()

    def waiting(self) -> dict[str, str]:
        """By young signal ("service/name"), MOST_NAMED at most: what it sees already and what it waits for.

        Asked of the model once an interval, and only if somebody wants to know. A tick may go on meanwhile, in the
        same memory: what is said may be that of the next interval.
        """
        if self._latest is None or not self._asking.acquire(blocking=False):
            return self._said[1]  # while somebody else asks, the answer before
        try:
            memory, plan, table, end = self._latest
            if self._said[0] != end:
                said = young(memory, plan, table, end, MOST_NAMED)
                names = {i: f"{plan.signals[i].service}/{plan.signals[i].name}" for i in said}
                self._said = end, {names[i]: words for i, words in said.items()}
            return self._said[1]
        finally:
            self._asking.release()

    def look(self, memory: Memory, plan: Plan, table: SeriesTable, end: int) -> None:
        """Notice how far each signal is now. end: of the last interval judged, epoch seconds."""
        self._latest = memory, plan, table, end
        now = learning(memory.columns, plan)
        if self._last is not None and self._last[0] is plan and np.array_equal(self._last[1], now):
            return  # of a million signals, their names take longer than judging them
        self._last = plan, now
        names = [f"{signal.service}/{signal.name}" for signal in plan.signals]
        known = dict(zip(names, now.tolist(), strict=True))
        if known == self._known:
            return
        changed = [name for name, stage in known.items() if self._known.get(name) != stage]
        self._known = known
        self.judged = int(np.count_nonzero(now == Learning.READY))
        self.learning = len(now) - self.judged
        for stage in Learning:
            of = [name for name in changed if known[name] == stage]
            if of:
                more = f" and {len(of) - MOST_NAMED} more" if len(of) > MOST_NAMED else ""
                log.info("%s: %s%s", WORDS[stage], ", ".join(of[:MOST_NAMED]), more)
