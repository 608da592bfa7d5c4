"""The outbox as it is kept: deliveries that wait, and where those that were taken stand.

In: what became of a try. Out: what waits, in order of entry, as of the last thing recorded.
Never: a decision (see alerts/outbox.py), a message forgotten.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

from sqlalchemy import Row, func, select, update

from alerts.deliver import everywhere
from alerts.messages import Message
from alerts.outbox import Delivery, DeliveryState, Known, Muted, Receipt
from alerts.packed import pack, unpack
from stillwatch import tables
from stillwatch.history import History
from stillwatch.store import Store
from stillwatch.upserts import put

log = logging.getLogger(__name__)


class Mailbox:
    """The deliveries in a store (what alerts.deliver calls an Outbox). Every method may raise StoreTrouble."""

    def __init__(self, store: Store, history: History | None = None) -> None:
        self._store = store
        self._history = history or History(store)

    def waiting(self, serves: Callable[[str], bool] = everywhere) -> list[Delivery]:
        """All for channels of which this holds that is not done, in order of entry."""
        asked = (
            select(tables.outbox).where(tables.outbox.c.state == "waiting").order_by(tables.outbox.c.number)
        )
        with self._store.reading() as c:
            rows = [row for row in c.execute(asked) if serves(row.channel)]
        return self._readable(rows)

    def depth(self, now: int) -> int:
        """How many deliveries are due by `now` (epoch seconds) and wait, but for those of silenced incidents."""
        return len(self.waiting_since(now))

    def waiting_since(self, now: int) -> list[int]:
        """Of each of those, since when it might have been sent (epoch seconds)."""
        of, it = tables.outbox.c, tables.incidents.c
        silenced = select(it.id).where(it.muted == 1, it.resolved == 0)
        asked = select(of.entered, of.message).where(of.state == "waiting", of.incident.not_in(silenced))
        with self._store.reading() as c:
            found = [(row.entered, _due(row.message)) for row in c.execute(asked)]
        return [max(entered, due) for entered, due in found if due <= now]

    def given_up(self) -> int:
        """How many deliveries were given up, ever."""
        asked = select(func.count()).where(tables.outbox.c.state == "given up")
        with self._store.reading() as c:
            return int(c.execute(asked).scalar_one())

    def not_taken(self) -> dict[str, str]:
        """Of each channel that did not take what waits for it, what the last try failed of."""
        of = tables.outbox.c
        failed = of.state == "waiting", of.why != ""
        asked = select(of.channel, of.why).where(*failed).order_by(of.number)
        with self._store.reading() as c:
            return {row.channel: row.why for row in c.execute(asked)}

    def find(self, channel: str, key: str) -> Delivery | None:
        """The delivery of this key to this channel, done or not."""
        of = tables.outbox.c
        with self._store.reading() as c:
            rows = c.execute(select(tables.outbox).where(of.channel == channel, of.key == key)).all()
        return next(iter(self._readable(rows)), None)

    def of(self, incident: str) -> list[Delivery]:
        """All deliveries of an incident, in order of entry."""
        of = tables.outbox.c
        asked = select(tables.outbox).where(of.incident == incident).order_by(of.number)
        with self._store.reading() as c:
            rows = c.execute(asked).all()
        return self._readable(rows)

    def paused(self, lane: str) -> int:
        """Epoch seconds before which nothing may be sent in this lane; 0 when it may at once."""
        of = tables.pauses.c
        with self._store.reading() as c:
            until = c.execute(select(of.until).where(of.channel == lane)).scalar_one_or_none()
        return 0 if until is None else int(until)

    def muted(self, incident: str, now: int) -> Muted:
        """What silences say of this incident at `now` (epoch seconds)."""
        return self._history.muted(incident, now)

    def acknowledged(self, incident: str) -> int:
        """Since when somebody is on it (epoch seconds), 0 = nobody: who is to be told again is not, then."""
        return self._history.acknowledged(incident)

    def standing(self, channel: str) -> list[Delivery]:
        """Of every open incident that this channel was told of, the newest that was taken."""
        of, it = tables.outbox.c, tables.incidents.c
        still = of.incident.not_in(select(it.id).where(it.resolved != 0))
        newest = select(func.max(of.number)).where(of.channel == channel, of.state == "sent", still)
        asked = select(tables.outbox).where(of.number.in_(newest.group_by(of.incident))).order_by(of.number)
        with self._store.reading() as c:
            rows = c.execute(asked).all()
        return self._readable(rows)

    def known(self, incident: str) -> Known:
        """What became of an incident."""
        of = tables.news.c
        newest = select(of.line).where(of.incident == incident).order_by(of.number.desc()).limit(1)
        with self._store.reading() as c:
            line = c.execute(newest).scalar_one_or_none()
        over = line is not None and json.loads(line)["event"] == "resolved"
        return Known(over, self.acknowledged(incident), not over and self._history.is_calm(incident))

    def say(self, incident: str, messages: Sequence[Message], now: int) -> None:
        """Put messages into the outbox; those whose key its channel knows are ignored."""
        self._store.say(incident, messages, now)

    def record(self, delivery: Delivery, *, lane: str = "", pause: int = 0) -> None:
        """Keep this as what is known of the delivery, and of its lane when to send next (epoch seconds)."""
        receipt = delivery.receipt
        kept = {
            "message": pack(delivery.message),
            "state": delivery.state,
            "tries": delivery.tries,
            "unknown_since": delivery.unknown_since,
            "not_before": delivery.not_before,
            "receipt_channel": None if receipt is None else receipt.channel,
            "receipt_id": None if receipt is None else receipt.id,
            "why": delivery.why,
        }
        with self._store.writing() as c:
            c.execute(update(tables.outbox).where(tables.outbox.c.number == delivery.number).values(kept))
            if lane:
                row = {"channel": lane, "until": pause}
                put(c, tables.pauses, row, "channel", row)

    def _readable(self, rows: Sequence[Row[Any]]) -> list[Delivery]:
        """One damaged message holds up no other: it is given up, once and loudly."""
        found = []
        for row in rows:
            try:
                found.append(_delivery(row))
            except ValueError as error:
                if row.state == "waiting":
                    self._give_up(row, error)
        return found

    def _give_up(self, row: Row[Any], error: ValueError) -> None:
        log.error("given up: %s to %s: damaged in the database: %s", row.key, row.channel, error)
        lost = {"state": "given up", "why": f"damaged in the database: {error}"}
        with self._store.writing() as c:
            c.execute(update(tables.outbox).where(tables.outbox.c.number == row.number).values(lost))


def _due(text: str) -> int:
    """Epoch seconds from which a message is to be told; of one that is damaged 0."""
    try:
        return int(json.loads(text).get("due", 0))
    except (ValueError, TypeError, AttributeError):
        return 0


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        number=row.number,
        incident=row.incident,
        message=unpack(Message, row.message),
        entered=row.entered,
        state=cast(DeliveryState, row.state),
        tries=row.tries,
        unknown_since=row.unknown_since,
        not_before=row.not_before,
        receipt=None if row.receipt_id is None else Receipt(row.receipt_channel, row.receipt_id),
        why=row.why,
    )
