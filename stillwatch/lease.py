"""Which of several daemons on one database judges and tells: a lease with fencing.

In: the database's own clock, so that the daemons' clocks may differ. Out: whether it is we, now and at the end of
each transaction. Never: two that write as the one that leads, however long one of them was asleep.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import ColumnElement, Connection, Float, cast, func, insert, select, update

from stillwatch import tables
from stillwatch.store import Store
from stillwatch.tables import Deposed

LASTS = 10.0  # seconds for which nobody else leads after a sign of the one that does
RENEW = 2.0  # seconds between such signs


class Lease:
    """holder: a name of this process that no other ever has. monotonic: seconds, of a clock that is never set.

    epoch: goes up by one with every change of who leads; 0 = we have not led yet.
    """

    def __init__(self, store: Store, holder: str, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._holder = holder
        self._monotonic = monotonic
        self._held_until = 0.0
        self.epoch = 0

    def take(self) -> bool:
        """Take or renew it; is it ours now? Raises Deposed where it was ours and is another one's, StoreTrouble."""
        begun = self._monotonic()
        of = tables.lease.c
        with self._store.writing() as c:
            now = self._now(c)
            found = c.execute(select(of.epoch, of.holder, of.until)).one_or_none()
            if found is None:
                c.execute(insert(tables.lease).values(only=1, epoch=0, holder="", until=0.0))
            epoch, holder, until = (0, "", 0.0) if found is None else found
            if holder == self._holder:  # also where the answer to our taking it was lost
                mine = epoch
            elif self.epoch:
                raise self._deposed()
            elif until > now:
                return False
            else:
                mine = epoch + 1
            c.execute(update(tables.lease).values(epoch=mine, holder=self._holder, until=now + LASTS))
        self.epoch = mine
        self._held_until = begun + LASTS
        return True

    def check(self, c: Connection) -> None:
        """At the end of a transaction that writes what only the one that leads may write. Raises Deposed.

        A transaction may last for longer than the lease, as nobody else can take it meanwhile: it ends renewed.
        """
        if c.execute(select(tables.lease.c.epoch)).scalar_one_or_none() != self.epoch:
            raise self._deposed()
        if self._monotonic() > self._held_until - LASTS + RENEW:
            c.execute(update(tables.lease).values(until=self._now(c) + LASTS))

    def holds(self) -> bool:
        """Is it surely ours at this moment, without asking? Asked right before a word leaves the house."""
        return self._monotonic() < self._held_until

    def release(self) -> None:
        """Let another one lead at once. Raises StoreTrouble."""
        self._held_until = 0.0
        of = tables.lease.c
        with self._store.writing() as c:
            c.execute(update(tables.lease).where(of.epoch == self.epoch).values(until=0.0))

    def leader(self) -> str:
        """The name of the process that leads, "" where none does. Raises StoreTrouble."""
        of = tables.lease.c
        with self._store.reading() as c:
            found = c.execute(select(of.holder).where(of.until > _server_time())).scalar_one_or_none()
        return found or ""

    def _deposed(self) -> Deposed:
        return Deposed(f"{self._store.name}: another daemon judges and tells by now")

    @staticmethod
    def _now(c: Connection) -> float:
        return float(c.execute(select(_server_time())).scalar_one())


def _server_time() -> ColumnElement[float]:
    """Epoch seconds."""
    return cast(func.date_part("epoch", func.clock_timestamp()), Float)
