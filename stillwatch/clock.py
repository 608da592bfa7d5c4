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

log = logging.getLogger(__name__)

JUMP = 60  # seconds; what a machine corrects day by day, and a leap second, is far less
BELIEVED = 300  # seconds after which a jump that no sender contradicts is the time


class Steady:
    """wall: epoch seconds, which may jump. running: seconds that go on, also while the machine sleeps.

    A jump of more than JUMP is held to be wrong until a sender reports by it, or for BELIEVED seconds none has
    reported by the time before.
    """

    def __init__(self, wall: Callable[[], float], running: Callable[[], float]) -> None:
        self._wall = wall
        self._running = running
        self._lock = threading.Lock()
        self._offset = wall() - running()  # from what runs to the time
        self._doubted = 0.0  # when the jump was seen, or last contradicted, by what runs; 0 = there is none
        self.doubt = ""

    def now(self) -> float:
        """Epoch seconds."""
        with self._lock:
            return self._look()[0]

    def counted_until(self, moment: float) -> None:
        """A sender has counted until then (epoch seconds, by its own clock), just now."""
        if not self.doubt:
            return
        with self._lock:
            steady, wall = self._look()
            if self.doubt and abs(moment - wall) < abs(moment - steady):
                self._follow(wall, "senders report by it")
            elif self.doubt:
                self._doubted = self._running()

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
            self._doubted = running
            self.doubt = (
                f"it jumped by {off:+.0f} s; Stillwatch goes on by the time before, unless senders report by the "
                "new one"
            )
            log.error("the clock of this machine is not trusted: %s", self.doubt)
        elif running - self._doubted >= BELIEVED:
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
