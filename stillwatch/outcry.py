"""Says in chat that the database cannot be used: every other word waits there.

In: what is wrong, every second. Out: one message when it lasts, one when it is over. Never: a wait for the place.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from alerts.messages import Message
from alerts.outbox import SendFailed

log = logging.getLogger(__name__)

AGAIN = 30  # seconds until a message that was not taken is tried again


class Outcry:
    """send: to the place that hears of ourselves. words: since when (epoch seconds) what is wrong, and is it over?
    patience: seconds for which it is not worth a word."""

    def __init__(
        self,
        send: Callable[[Message], object],
        words: Callable[[int, str, bool], Message],
        patience: int,
    ) -> None:
        self._send = send
        self._words = words
        self._patience = patience
        self._since = 0
        self._what = ""
        self._tried = 0
        self._said = False
        self._thread = threading.Thread()

    def look(self, trouble: str, now: int) -> None:
        """trouble: "" = none. now: epoch seconds."""
        if self._thread.is_alive():
            return
        if trouble and not self._since:
            self._since, self._what = now, trouble
        over = not trouble
        if over and not self._said:
            self._since = 0
            return
        due = over or (not self._said and now - self._since >= self._patience)
        if due and now - self._tried >= AGAIN:
            self._tried = now
            message = self._words(self._since, self._what, over)
            self._thread = threading.Thread(target=self._say, args=[message, over], daemon=True)
            self._thread.start()

    def _say(self, message: Message, over: bool) -> None:
        try:
            self._send(message)
        except SendFailed as failure:
            log.error("not said in chat either: %s", failure)
            return
        self._said = not over
        if over:
            self._since = self._tried = 0
