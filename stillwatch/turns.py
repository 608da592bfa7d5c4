"""Whose turn it is to judge and tell, where several daemons share a database; what each does meanwhile.

In: the lease. Out: one that leads, others that stand by. Never: a word told by one that cannot be sure to lead.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from alerts.messages import Message
from alerts.outbox import Receipt
from alerts.places import Place, Sender
from stillwatch import clock
from stillwatch.asking import Asker
from stillwatch.config import Settings
from stillwatch.heartbeat import Heart
from stillwatch.lease import Lease
from stillwatch.live import Live
from stillwatch.outcry import Outcry
from stillwatch.standby import Standby
from stillwatch.tables import Deposed, StoreTrouble

log = logging.getLogger(__name__)

PULSE = 1.0  # seconds between looks whether it is our turn
PATIENCE = 3.0  # seconds in which a stop is over


class Role:
    """What this daemon does now.

    taker: takes what comes in at the door. askers: of the sources, heart: gives signs of life to a watcher outside,
    while we lead. shared: may there be others on the database?
    """

    def __init__(self, taker: Standby | Live, shared: bool) -> None:
        self.taker = taker
        self.askers: Sequence[Asker] = ()
        self.heart: Heart | None = None
        self._shared = shared

    @property
    def name(self) -> str:
        """For /healthz."""
        if isinstance(self.taker, Standby):
            return "stands by"
        return "leads" if self._shared else "alone"


def stand_by(
    lease: Lease,
    standby: Standby,
    server: threading.Thread,
    cry: Outcry,
    stopping: threading.Event,
    look: Callable[[], Settings | None],
) -> bool | Settings:
    """Take in what comes, until it is our turn to judge and tell; False where we are to end before.

    look: is called once a second; settings that it gives are to be gone on with.
    """
    said, rest = "", 0
    while server.is_alive() and not stopping.is_set():
        if (fresh := look()) is not None:
            return fresh
        now = clock.now()
        try:
            leader = lease.leader()
            if not leader and not rest and lease.take():
                log.info("it is our turn to judge and tell (turn %d)", lease.epoch)
                return True
            if leader != said:
                log.info("standing by: counts are taken in, %s judges and tells", leader.partition(":")[0])
            said, rest = leader, max(rest - 1, 0)
            standby.sign(now)
        except StoreTrouble as trouble:
            standby.in_trouble(trouble)
            # Who led before remembers what came in meanwhile: it goes on, if it is there.
            rest = math.ceil(lease.lasts / PULSE)
        cry.look(standby.trouble, now)
        stopping.wait(PULSE)
    return False


class Keeper:
    """Keeps the lease while we lead. lost: another one leads now, and we are to end."""

    def __init__(self, lease: Lease, stopping: threading.Event) -> None:
        self._lease = lease
        self._stopping = stopping
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self.lost = False

    def start(self) -> None:
        """In a thread of its own."""
        self._thread.start()

    def end(self) -> None:
        """No more of it; who stands by may lead at once."""
        self._ended.set()
        self._thread.join(PATIENCE)
        with suppress(StoreTrouble):
            self._lease.release()

    def _renew(self) -> None:
        while not self._ended.wait(self._lease.renew):
            try:
                self._lease.take()
            except Deposed as why:
                log.error("%s; ending, so that whoever supervises us starts us again, to stand by", why)
                self.lost = True
                self._stopping.set()
                return
            except StoreTrouble as trouble:
                log.debug("the lease is not renewed: %s", trouble)  # the tick says what is wrong


class Guarded:
    """A sender that sends nothing where we cannot be sure to lead."""

    def __init__(self, sender: Sender, lease: Lease) -> None:
        self._sender = sender
        self._lease = lease

    def send(
        self,
        message: Message,
        *,
        edits: Receipt | None = None,
        thread: Receipt | None = None,
        seek_since: int | None = None,
    ) -> Receipt:
        """See places.Sender. Raises StoreTrouble: another one may send it."""
        if not self._lease.holds():
            raise StoreTrouble("the lease to judge and tell could not be renewed in time")
        return self._sender.send(message, edits=edits, thread=thread, seek_since=seek_since)


def guarded(place: Place, lease: Lease) -> Place:
    """The place, told of nothing where we cannot be sure to lead."""
    return replace(place, sender=Guarded(place.sender, lease))
