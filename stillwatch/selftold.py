"""What people hear of ourselves: that something is wrong, once, and that it is over.

In: what is wrong, looked at again and again. Out: messages for the outbox. Never: a word for each look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alerts.messages import Message

Words = Callable[
    [int, str, bool], Sequence[Message]
]  # since when (epoch seconds) what is wrong, and is it over?


class SelfTold:
    """say: puts messages into the outbox."""

    def __init__(self, say: Callable[[Sequence[Message], int], None]) -> None:
        self._say = say
        self._since = 0
        self._over: Sequence[Message] = ()

    def look(self, what: str, now: int, words: Words) -> None:
        """what: "" = nothing is wrong. Where the outbox cannot be used this raises StoreTrouble, and the next look
        says it. That it is over is said where it was said that it began."""
        if what and not self._since:
            self._say(words(now, what, False), now)
            self._since, self._over = now, words(now, what, True)
        elif not what and self._since:
            self._say(self._over, now)
            self._since = 0
