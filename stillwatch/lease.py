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

SHORTEST, LONGEST = (
    4.0,
    10.0,
)  # seconds: a slow commit must not change who leads, nor a death blind us for long
TAKES = 3.0  # seconds that another one needs to notice that it is its turn, and to go on
SIGNS = 5  # of the one that leads, while the lease lasts


def lasts(interval: int) -> float:
    """Seconds for which nobody else leads after a sign of the one that does; when it dies, another has taken over
    within two intervals (seconds), where they are long enough."""
    return min(LONGEST, max(SHORTEST, 2 * interval - TAKES))


class Lease:
    """holder: a name of this process that no other ever has. monotonic: seconds, of a clock that is never set.
    lasts: seconds, see above.

    renew: seconds between two signs of the one that leads. epoch: goes up by one with every change of who leads;
    0 = we have not led yet.
    """

    def __init__(self, store: Store, holder: str, monotonic: Callable[[], float], lasts: float) -> None:
        self.lasts = lasts
        self.renew = lasts / SIGNS
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
            c.execute(update(tables.lease).values(epoch=mine, holder=self._holder, until=now + self.lasts))
        self.epoch = mine
        self._held_until = begun + self.lasts
        return True

    def check(self, c: Connection) -> None:
        """At the end of a transaction that writes what only the one that leads may write. Raises Deposed.

        A transaction may last for longer than the lease, as nobody else can take it meanwhile: it ends renewed.
        """
        if c.execute(select(tables.lease.c.epoch)).scalar_one_or_none() != self.epoch:
            raise self._deposed()
        if self._monotonic() > self._held_until - self.lasts + self.renew:
            c.execute(update(tables.lease).values(until=self._now(c) + self.lasts))

    def holds(self) -> bool:
        """Is it surely ours, without asking, for half of what it lasts? Asked right before a word leaves the house,
        which has that long to get there."""
        return self._monotonic() < self._held_until - self.lasts / 2

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
