"""The only place that asks what time it is.

In: the clock of the machine, one that counts seconds and is never set, what senders say. Out: whole epoch seconds,
which go on as before when the machine's clock jumps, until it is known which is right.
Never: a local time, a part of a second that nobody judges by; hours that are over because somebody set a clock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from math import inf

log = logging.getLogger(__name__)

JUMP = 60  # seconds; what a machine corrects day by day, and a leap second, is far less
BELIEVED = 300  # seconds after which a jump of which no sender says anything is the time
CONTRADICTED = 120  # seconds for which the word of a sender holds, longer than from one report to the next


class Steady:
    """wall: epoch seconds, which may jump. running: seconds that go on, also while the machine sleeps.

    A jump of more than JUMP is held to be wrong until a sender reports by it and none by the time before, or for
    BELIEVED seconds where none reports by either. doubt: what is wrong, in words, "" = nothing.
    """

    def __init__(self, wall: Callable[[], float], running: Callable[[], float]) -> None:
        self._wall = wall
        self._running = running
        self._lock = threading.Lock()
        self._offset = wall() - running()  # from what runs to the time
        self._seen = -inf  # when there was a jump, by what runs
        self._contradicted = -inf  # when a sender reported by the time before
        self.doubt = ""

    def now(self) -> float:
        """Epoch seconds."""
        with self._lock:
            return self._look()[0]

    def counted_until(self, moment: float) -> bool:
        """A sender has counted until then (epoch seconds, by its own clock), just now. False: it goes by another
        time than we, and it is not known yet which is right."""
        if not self.doubt:
            return True
        with self._lock:
            steady, wall = self._look()
            by_wall, by_steady = abs(moment - wall), abs(moment - steady)
            if not self.doubt or min(by_wall, by_steady) > JUMP:
                return True
            if by_steady <= by_wall:
                self._contradicted = self._running()
                return True
            if self._running() - self._contradicted < CONTRADICTED:
                return False
            self._follow(wall, "senders report by it")
        return True

    def _look(self) -> tuple[float, float]:
        """The time, and what the clock of the machine says."""
        running, wall = self._running(), self._wall()
        steady = running + self._offset
        off = wall - steady
        if abs(off) <= JUMP:
            self._offset += off
            if self.doubt:
                log.info("the clock of this machine is right again")
                self.doubt = ""
            return wall, wall
        if not self.doubt:
            self._seen, self._contradicted = running, -inf
            self.doubt = (
                f"it jumped by {off:+.0f} s; Stillwatch goes on by the time before, unless senders report by the "
                "new one"
            )
            log.error("the clock of this machine is not trusted: %s", self.doubt)
        elif running - max(self._seen, self._contradicted) >= BELIEVED:
            self._follow(wall, "nobody reports by the one before")
            return wall, wall
        return steady, wall

    def _follow(self, wall: float, why: str) -> None:
        log.warning("the clock of this machine is followed: %s", why)
        self._offset = wall - self._running()
        self.doubt = ""


def _running() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


THE_CLOCK = Steady(time.time, _running)


def now() -> int:
    """Epoch seconds, rounded down."""
    return int(THE_CLOCK.now())
