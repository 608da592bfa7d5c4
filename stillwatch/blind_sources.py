"""A source that is asked and does not answer for long is told of once, and not again for each signal it feeds.

In: since when each source is silent, and which services it told of. Out: a message when it is silent for long, and
one when it answers again; a silence of `no_data` of its services meanwhile, kept where those of people are.
Never: a silence of anything but missing data; a second message after a restart.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import re2

from alerts.silences import LONGEST, Matcher, Silence
from stillwatch import selfwatch
from stillwatch.history import History
from stillwatch.store import Store
from stillwatch.tables import StoreTrouble

log = logging.getLogger(__name__)

US = "Stillwatch"
AFTER = (
    3  # intervals, so that it is told before a signal that is not measured is (detectors/silence.py: LEAST)
)
LINGERS = 5  # intervals until signals are heard again and what was missing is over
AT_MOST = 7 * 86400  # seconds for which one message is enough
EVERY = 2.0  # seconds between looks


class Asked(Protocol):
    """See asking.Asker."""

    @property
    def name(self) -> str: ...
    @property
    def services(self) -> frozenset[str]: ...
    @property
    def trouble(self) -> str: ...
    @property
    def answered(self) -> int: ...
    def silent_since(self) -> int: ...


class BlindSources:
    """channel: who hears of it. interval: seconds. now: epoch seconds."""

    def __init__(
        self,
        sources: Sequence[Asked],
        store: Store,
        history: History,
        channel: str,
        interval: int,
        now: Callable[[], int],
    ) -> None:
        self._sources = sources
        self._store = store
        self._history = history
        self._channel = channel
        self._interval = interval
        self._now = now

    def work(self, stopping: threading.Event) -> None:
        """Look until we stop."""
        while not stopping.wait(EVERY):
            try:
                self.look()
            except StoreTrouble as trouble:
                log.debug("sources are looked at later: %s", trouble)  # the watch says so aloud

    def look(self) -> None:
        """Tell of what is silent for long by now, and of what is not any more. Raises StoreTrouble."""
        now = self._now()
        told = [one for one in self._history.silences(now) if one.author == US and not one.ended_by]
        for source in self._sources:
            mine = [one for one in told if one.id.startswith(_mark(source.name))]
            since = source.silent_since()
            if since and not mine and now - since >= AFTER * self._interval:
                self._blind(source, since, now)
            elif mine and not since and source.answered > mine[0].starts:
                self._sees(source, mine, now)
        marks = tuple(_mark(source.name) for source in self._sources)
        for one in told:
            if not one.id.startswith(marks):  # it is not asked any more
                self._history.end_silence(one.id, US, now)

    def _blind(self, source: Asked, since: int, now: int) -> None:
        log.error("blind to what source %s counts since %d: %s", source.name, since, source.trouble)
        for number, matchers in enumerate(_matchers(sorted(source.services))):
            identity = f"{_mark(source.name)}{since}-{number}"
            comment = f"source {source.name} does not answer"
            self._history.silence(Silence(identity, matchers, since, since + AT_MOST, US, comment))
        said = selfwatch.source(self._channel, source.name, since, source.trouble, False)
        self._store.say("", said, now)

    def _sees(self, source: Asked, mine: Sequence[Silence], now: int) -> None:
        since = min(one.starts for one in mine)
        log.info("source %s answers again", source.name)
        self._store.say("", selfwatch.source(self._channel, source.name, since, "", True), now)
        for one in mine:  # what is missing is over some intervals after the first answer
            self._history.end_silence(one.id, US, now + LINGERS * self._interval)


def _mark(name: str) -> str:
    return f"source-{name}-since-"


def _matchers(services: Sequence[str]) -> Iterator[tuple[Matcher, ...]]:
    """Missing data of these services; one at least, which says that it was told, where none is known."""
    kind, written = Matcher("kind", "=", "no_data"), ""
    for service in services:
        one = re2.escape(service)
        if written and len(written) + len(one) >= LONGEST:
            yield kind, Matcher("service", "=~", written)
            written = ""
        written += f"{'|' if written else ''}{one}"
    yield kind, Matcher("service", "=~", written) if written else Matcher("service", "=", "")
