"""Asks the sources that have to be asked, each in a thread of its own: the tick waits for none of them.

In: sources, and how far each has told. Out: what they tell, to the watch; what is wrong with them, to the log and
/healthz. Never: a question while the answer before it is not kept; a word in the log that says what it said before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential
from tenacity.nap import sleep_using_event

from collector.asked import Answer, Source, SourceFailed
from collector.errors import printable
from collector.moments import rfc3339
from collector.server import Busy

log = logging.getLogger(__name__)

TRIES = 3  # within one round; the next round tries again anyway
SOONEST, LATEST = 0.2, 5.0  # seconds between tries
LOOK_BACK = 86400  # seconds: what is older is not taken any more (collector.points.Limits)
BROKEN = "it broke; the log says why"
LONGEST = 200  # characters of what is wrong


class Watch(Protocol):
    """See live.Live."""

    def asked(self, source: str, answer: Answer, now: int) -> object: ...
    def asked_until(self, source: str) -> tuple[int, str]: ...


class Asker:
    """One source, and how it fares. trouble: what is wrong with it, "" = nothing; failing_since: epoch seconds, 0 =
    it answers."""

    def __init__(
        self, source: Source, live: Watch, now: Callable[[], int], stopping: threading.Event
    ) -> None:
        self._source = source
        self._live = live
        self._now = now
        self._stopping = stopping
        self._thread = threading.Thread()
        self._until = 0
        self._counts = 0.0
        self.failing_since = 0
        self.answered = 0  # when it last did, epoch seconds
        self._began = 0  # when the question was asked that is not answered yet
        self.services: frozenset[str] = frozenset()  # of which it has told
        self.trouble = ""

    def silent_since(self) -> int:
        """Since when it fails or lets us wait, epoch seconds; 0: it answers."""
        return self.failing_since or self._began

    @property
    def name(self) -> str:
        return self._source.name

    def keep_going(self) -> None:
        """Start, or start again: what breaks one round (and is in the log) must not end all asking."""
        if not self._thread.is_alive():
            self._thread = threading.Thread(target=self._rounds, name=f"ask {self.name}", daemon=True)
            self._thread.start()

    def join(self, seconds: float) -> None:
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _rounds(self) -> None:
        if self.trouble == BROKEN:
            self._stopping.wait(self._source.every)
        while not self._stopping.is_set():
            self.round()
            self._stopping.wait(self._source.every)
        self._source.close()

    def round(self) -> None:
        """Ask until the source has told all that there is by now."""
        before, self.trouble = self.trouble, BROKEN
        said = before
        try:
            while self._once():
                said = ""
            said = ""
        except SourceFailed as failure:
            said = printable(str(failure))[:LONGEST]
        except Busy:
            pass  # the store is in trouble, and the watch says so
        self.trouble = said
        self._say(before)
        self._began = 0

    def _once(self) -> bool:
        """Ask for the next stretch of time; is there more to ask for at once?"""
        now = self._now()
        since, memo = self._live.asked_until(self.name)
        since = max(since, now - LOOK_BACK)
        upto = min(now, since + self._source.most)
        self._began = now
        answer = patiently(self._source, since, upto, memo, self._stopping)
        if answer is None:
            return False
        self.services |= {key.service for key in answer.readings.keys}
        self._live.asked(
            self.name, answer, self._now()
        )  # when it came, which may be a while after the question
        self._until = answer.until
        self.answered = self._now()
        self._counts += float(answer.readings.value[~answer.readings.cumulative].sum())
        return upto < now and answer.until > since and not self._stopping.is_set()

    def _say(self, before: str) -> None:
        if self.trouble and not self.failing_since:
            self.failing_since = self._now()
        if self.trouble and self.trouble != before:
            log.error("source %s: %s", self.name, self.trouble)
        elif before and not self.trouble:
            log.info("source %s answers again; it failed since %s", self.name, rfc3339(self.failing_since))
        if not self.trouble:
            self.failing_since = 0

    def health(self) -> dict[str, Any]:
        """For /healthz. until: epoch seconds, everything before it was told, 0 = not yet. answered: when it last
        did, 0 = not yet."""
        return {
            "ok": not self.trouble,
            "until": self._until,
            "answered": self.answered,
            "trouble": self.trouble,
            "failing_since": self.failing_since,
        }


def patiently(source: Source, since: int, now: int, memo: str, stopping: threading.Event) -> Answer | None:
    """The answer, after a few tries at most, where one is likely to help. None: we are stopping.

    Raises SourceFailed.
    """

    def passing(error: BaseException) -> bool:
        return isinstance(error, SourceFailed) and error.passing

    def stop(state: RetryCallState) -> bool:
        return stopping.is_set() or stop_after_attempt(TRIES)(state)

    if stopping.is_set():
        return None
    tries = Retrying(
        retry=retry_if_exception(passing),
        stop=stop,
        wait=wait_random_exponential(multiplier=SOONEST, max=LATEST),
        sleep=sleep_using_event(stopping),
        reraise=True,
    )
    return tries(source.ask, since, now, memo)
