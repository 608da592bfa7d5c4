"""The daemon that stands by: what comes in at its door is kept, for the one that judges to count.

In: readings, deployments and words as they come. Out: the same in the journal. Never: a count, a judgement,
a message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from collector.deployments import Deployment
from collector.points import Readings
from collector.server import Busy
from collector.words import Word
from stillwatch import kept
from stillwatch.deployed_lately import deployed_lately
from stillwatch.engine import State
from stillwatch.journal import pack_readings, pack_told
from stillwatch.store import Store
from stillwatch.tables import StoreTrouble

log = logging.getLogger(__name__)
T = TypeVar("T")


class Standby:
    """Does at the door what Live does, as far as the door can tell. Safe to call from several threads.

    width, grace: of intervals, seconds. What is refused for want of room, or comes late, is known to the one that
    counts: its /healthz says it, no sender hears of it here.
    """

    def __init__(self, store: Store, width: int, grace: int) -> None:
        self._store = store
        self._width = width
        self._grace = grace
        self._signed = 0
        self._begun = False  # until the first start is over, nothing that comes now belongs into the database
        self._taken = 0
        self._last_taken = 0
        self.trouble = ""

    # What arrives.

    def readings(self, readings: Readings, now: int) -> Mapping[str, int]:
        """See Live.readings. Nothing is refused here. Raises Busy."""
        if len(readings) or readings.signs:
            self._note(pack_readings(readings), now)
            self._taken += len(readings)
            self._last_taken = now
        return {}

    def deployments(self, told: Sequence[Deployment], now: int) -> list[Deployment]:
        """See Live.deployments. Whether one is known otherwise is seen by the one that leads. Raises Busy."""
        for one in told:
            self._note(pack_told(one), now)
        return []

    def word(self, said: Word, now: int) -> bool:
        """See Live.word. Raises Busy."""
        known = self._or_busy(self._store.words)
        self._note(pack_told(said), now)
        same = (said.incident, said.kind, said.who, said.deployment, said.service)
        return same not in {(one.incident, one.kind, one.who, one.deployment, one.service) for one in known}

    def _note(self, body: bytes, now: int) -> None:
        if not self._or_busy(self._has_begun):
            raise Busy
        self._or_busy(lambda: self._store.note(body, now))

    def _has_begun(self) -> bool:
        self._begun = self._begun or (self._store.end() is not None and not self._store.filling())
        return self._begun

    def _or_busy(self, keep: Callable[[], T]) -> T:
        try:
            done = keep()
        except StoreTrouble as trouble:
            self.in_trouble(trouble)
            raise Busy from trouble
        self._well_again()
        return done

    # While nobody else leads, somebody listened.

    def sign(self, now: int) -> None:
        """Keep a sign of life now and then: what came in meanwhile was listened to. May raise StoreTrouble."""
        if now - self._signed >= max(self._width // 6, 1) and self._has_begun():
            self._store.still_alive(now)
            self._signed = now
        self._well_again()

    def in_trouble(self, trouble: StoreTrouble) -> None:
        """Say it once."""
        if str(trouble) != self.trouble:
            log.error("%s", trouble)
            self.trouble = str(trouble)

    def _well_again(self) -> None:
        if self.trouble:
            log.info("the database can be used again")
            self.trouble = ""

    # What is known.

    def processes(self) -> tuple[str, ...]:
        """Those that the one that judges had heard of when it last closed an interval."""
        try:
            saved = kept.collector(self._store, self._store.table())
        except StoreTrouble:
            return ()
        return () if saved is None else saved[0].processes

    def newest(self) -> dict[str, object]:
        """Nothing is counted here."""
        return {}

    def deployed(self, since: int) -> list[dict[str, Any]]:
        """What was told; what was seen is known to the one that judges. Raises StoreTrouble."""
        told = self._store.deployments(after=since - 1)
        return deployed_lately(told, State.empty(), self._width, since)

    def health(self, now: int) -> dict[str, object]:
        """See Live.health; what only the one that judges knows is empty. Not ok where nobody closes intervals."""
        try:
            end = self._store.end()
        except StoreTrouble as trouble:
            self.in_trouble(trouble)
            end = None
        lag = 0 if end is None else max(0, now - (end + self._width + self._grace))
        return {
            "ok": not self.trouble and lag <= max(2 * self._width, 30),
            "watermark": end or 0,
            "lag": lag,
            "last_tick": 0,
            "refused": {},
            "series": 0,
            "crowded": {},
            "judged": 0,
            "learning": {},
            "blind_since": 0,
            "taken": self._taken,
            "last_taken": self._last_taken,
            "trouble": self.trouble,
        }
