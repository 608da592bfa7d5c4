"""The history of incidents: each as of its newest event, the silences, and what of it the card shows.

In: what people want, the moment at which they say it. Out: incidents, silences; edits of cards in the outbox.
Never: a judgement of counts; a silence forgotten (one that has ended is kept).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, or_, select, update

from alerts.incidents import Event, Incident
from alerts.messages import SAID, Hold, Message
from alerts.notices import is_address
from alerts.outbox import Muted
from alerts.packed import pack, unpack
from alerts.plain import until_now
from alerts.remarks import edited, remarks, told_now
from alerts.rollbacks import Offer, Rollback
from alerts.silences import Silence, labels_of, mutes_labels, muting
from alerts.timing import held
from collector.words import Word
from stillwatch import tables
from stillwatch.rollbacks import Rollbacks
from stillwatch.store import Store, post
from stillwatch.upserts import add

AT_ONCE = 500  # names in one question to the database


@dataclass(frozen=True, slots=True)
class Kept:
    """An incident as it is kept. event: its newest. shown: the remarks on its card. muted: as of the last look.
    edits: of its card, for the sake of remarks."""

    event: Event
    shown: tuple[str, ...]
    muted: bool
    edits: int

    @property
    def id(self) -> str:
        return self.event.incident.id


class History:
    """The incidents and silences in a store. Every method may raise StoreTrouble.

    pressable: do cards have buttons, see messages.word. planned: the silences of maintenance that are active at a
    moment (epoch seconds). hold: until when, and why, a channel is not to hear what is said of an event then. back:
    what may be put back from cards, and was.
    """

    def __init__(
        self,
        store: Store,
        pressable: bool = False,
        planned: Callable[[int], Sequence[Silence]] = lambda now: (),
        hold: Callable[[Event, str, int], tuple[int, Hold]] = lambda event, channel, now: (0, ""),
        back: Rollbacks | None = None,
    ) -> None:
        self._store = store
        self._back = back
        self.pressable = pressable
        self._planned = planned
        self._hold = hold
        self._known: dict[tuple[str, int], Event] = {}  # of the last look: what is open, by id and number

    # Incidents.

    def adopt(self, incidents: Sequence[Incident]) -> None:
        """Know of incidents that were opened before there was a history."""
        with self._store.writing() as c:
            for one in incidents:
                at = max(f.at for f in one.findings)
                event = Event(at, "updated", "", one, one.events)
                row = {
                    "id": one.id, "opened": one.opened, "resolved": 0, "number": one.events, "event": pack(event),
                    "shown": "[]", "muted": 0, "edits": 0,
                }  # fmt: skip
                add(c, tables.incidents, row)

    def incidents(self, since: int | None = None) -> list[Kept]:
        """Those that are open and, where `since` is given, those opened after it (epoch seconds); newest first."""
        of = tables.incidents.c
        wanted = of.resolved == 0
        asked = select(tables.incidents).where(wanted if since is None else or_(wanted, of.opened > since))
        with self._store.reading() as c:
            return [self._kept(row) for row in c.execute(asked.order_by(of.opened.desc(), of.id))]

    def incident(self, which: str) -> Kept | None:
        """The incident of this id."""
        with self._store.reading() as c:
            row = c.execute(select(tables.incidents).where(tables.incidents.c.id == which)).one_or_none()
        return None if row is None else self._kept(row)

    def _kept(self, row: Row[Any]) -> Kept:
        event = self._known.get((row.id, row.number)) or _event(row.event)
        return Kept(event, tuple(json.loads(row.shown)), bool(row.muted), row.edits)

    def is_calm(self, which: str) -> bool:
        """Is all of it as before, so that it is over if it stays so? Asked every second of what is to escalate."""
        kept = self.incident(which)
        return kept is not None and all(f.phase == "cleared" for f in kept.event.incident.findings)

    def muted(self, incident: str, now: int) -> Muted:
        """May this incident be said aloud? Of one that is over, as it was when it ended; of one that is open not
        before `refresh` has seen that its silence is over, for then others wait anew."""
        kept = self.incident(incident) if incident else None
        if kept is None:
            return "no"
        over = kept.event.incident.resolved
        if not self.muting(kept.event, over or now) and (over or not kept.muted):
            return "no"
        return "for good" if over else "for now"

    def muting(self, event: Event, now: int) -> tuple[Silence, ...]:
        """The silences that mute the event's incident at `now`."""
        return muting(event.incident, self.silences(now), now)

    def remarks(self, event: Event, now: int) -> tuple[str, ...]:
        """What the card of this event says of it beside what was judged."""
        mutes, words = self.muting(event, now), self.words(event.incident.id)
        return remarks(event, mutes, words, self.rollbacks(event.incident))

    def rollbacks(self, incident: Incident) -> tuple[Rollback, ...]:
        """What was asked to be put back because of it, oldest first."""
        return self._back.of(incident) if self._back else ()

    def offers(self, incident: Incident) -> tuple[Offer, ...]:
        """What may be put back from its card."""
        return self._back.offers(incident) if self._back else ()

    def words(self, incident: str) -> tuple[Word, ...]:
        """What was said of this incident, as it was said."""
        of = tables.words.c
        asked = select(of.whole).where(of.incident == incident).order_by(of.number)
        with self._store.reading() as c:
            return tuple(unpack(Word, whole) for whole in c.execute(asked).scalars())

    def acknowledged(self, incident: str) -> int:
        """Since when somebody is on it (epoch seconds), 0 = nobody."""
        on_it = (word.time for word in self.words(incident) if word.kind in ("acknowledge", "roll back"))
        return min(on_it, default=0)

    def lines(self, incident: str) -> list[str]:
        """Its news: lines of alerts.jsonl."""
        of = tables.news.c
        asked = select(of.line).where(of.incident == incident).order_by(of.number)
        with self._store.reading() as c:
            return list(c.execute(asked).scalars())

    def silences_of(self, event: Event, now: int) -> list[Silence]:
        """Those that ever muted some of it between its opening and its end (or now)."""
        of = event.incident
        upto = of.resolved or now
        return [
            one
            for one in (*self.silences(), *self._planned(of.opened))
            if one.starts <= upto
            and (one.ends == 0 or one.ends > of.opened)
            and any(mutes_labels(one, labels) for labels in labels_of(of))
        ]

    # Silences.

    def silences(self, now: int | None = None) -> list[Silence]:
        """All that people ever wanted or, where `now` is given, those that have not ended by then and what is
        planned for it; by their start."""
        of = tables.silences.c
        asked = select(of.whole).order_by(of.starts, of.id)
        if now is not None:
            asked = asked.where(or_(of.ends == 0, of.ends > now))
        with self._store.reading() as c:
            found = [unpack(Silence, whole) for whole in c.execute(asked).scalars()]
        return found if now is None else sorted([*found, *self._planned(now)], key=lambda s: (s.starts, s.id))

    def silence(self, wanted: Silence) -> None:
        """Keep it. The same again, by its id, changes nothing."""
        row = {"id": wanted.id, "starts": wanted.starts, "ends": wanted.ends, "whole": pack(wanted)}
        with self._store.writing() as c:
            add(c, tables.silences, row)

    def end_silence(self, which: str, who: str, now: int) -> Silence | None:
        """End it at `now`; one that has ended is left as it is. None where there is no such silence."""
        of = tables.silences.c
        with self._store.writing() as c:
            whole = c.execute(select(of.whole).where(of.id == which)).scalar_one_or_none()
            if whole is None:
                return None
            silence = unpack(Silence, whole)
            if silence.ends and silence.ends <= now:
                return silence
            ended = replace(silence, ends=now, ended_by=who)
            kept = {"ends": now, "whole": pack(ended)}
            c.execute(update(tables.silences).where(of.id == which).values(kept))
        return ended

    # What follows from them.

    def refresh(self, now: int) -> None:
        """Let cards show what was said since, and tell of open incidents what was silenced until now."""
        self._end_with_incidents()
        silences, found = self.silences(now), self._open()
        words = self._words_of([kept.id for kept in found])
        back = self._back.of_each([kept.event.incident for kept in found]) if self._back else {}
        for kept in found:
            mutes = muting(kept.event.incident, silences, now)
            lines = remarks(kept.event, mutes, words.get(kept.id, ()), back.get(kept.id, ()))
            if lines != kept.shown or bool(mutes) != kept.muted:
                self._show(kept, lines, bool(mutes), now)

    def _open(self) -> list[Kept]:
        """Incidents that are open, newest first. They are looked at every second, and an event is long: of those
        whose newest event is known only what may have changed is read."""
        of = tables.incidents.c
        asked = select(of.id, of.number, of.shown, of.muted, of.edits).where(of.resolved == 0)
        with self._store.reading() as c:
            rows = c.execute(asked.order_by(of.opened.desc(), of.id)).all()
            before, known = self._known, dict[tuple[str, int], Event]()
            for row in rows:
                key = row.id, row.number
                event = before.get(key)
                if event is None:
                    # In the same reading: it is of this number still.
                    event = unpack(Event, c.execute(select(of.event).where(of.id == row.id)).scalar_one())
                known[key] = event
        self._known = known
        return [
            Kept(known[row.id, row.number], tuple(json.loads(row.shown)), bool(row.muted), row.edits)
            for row in rows
        ]

    def _words_of(self, incidents: Sequence[str]) -> dict[str, tuple[Word, ...]]:
        """What was said of each of these, as it was said."""
        of, found = tables.words.c, dict[str, tuple[Word, ...]]()
        asked = select(of.incident, of.whole).order_by(of.number)
        with self._store.reading() as c:
            for i in range(0, len(incidents), AT_ONCE):
                for which, whole in c.execute(asked.where(of.incident.in_(incidents[i : i + AT_ONCE]))):
                    found[which] = (*found.get(which, ()), _word(whole))
        return found

    def _show(self, kept: Kept, lines: tuple[str, ...], muted: bool, now: int) -> None:
        of, key = tables.incidents.c, f"{kept.id}{SAID}{kept.edits + 1}"
        offers = self.offers(kept.event.incident)
        after = {"shown": json.dumps(lines), "muted": int(muted), "edits": kept.edits + 1}
        with self._store.writing() as c:
            # Where news came meanwhile the next look sees to it; where another looked as well, it has.
            same = (of.id == kept.id) & (of.number == kept.event.number) & (of.edits == kept.edits)
            if c.execute(update(tables.incidents).where(same).values(after)).rowcount == 0:
                return
            aloud = kept.muted and not muted
            if aloud:
                self._begin_anew(c, kept, now)
            card = tables.outbox.c
            cards = select(card.channel, card.receipt_id, card.state).where(card.key == kept.id)
            for channel, receipt, state in c.execute(cards).all():
                stands = receipt is not None
                if not stands and state != "waiting":
                    continue  # it was named in a digest, or nobody would take it
                messages: list[Message] = []
                if lines != kept.shown and not is_address(channel):
                    messages.append(edited(kept.event, channel, f"{key}:card", lines, self.pressable, offers))
                if aloud:
                    until = self._hold(kept.event, channel, now) if stands else (0, "")
                    messages += [held(one, until) for one in _aloud(kept.event, channel, key, stands)]
                post(c, kept.id, messages, now)

    def _begin_anew(self, c: Connection, kept: Kept, now: int) -> None:
        """Only now can somebody look at it: until the next is told, and until it is said again, it takes as long as
        it would have from the beginning. And it may be night by now."""
        of = tables.outbox.c
        waits = select(of.number, of.message).where(of.incident == kept.id, of.state == "waiting")
        for number, packed in c.execute(waits).all():
            message = unpack(Message, packed)
            until = self._hold(kept.event, message.channel, now)
            if message.hold in ("to escalate", "to repeat"):
                later = replace(message, due=max(message.due, max(until[0], now) + message.repeat))
            elif message.hold != "for the digest" and until[0] > message.due:
                later = held(message, until)
            else:
                continue
            c.execute(update(tables.outbox).where(of.number == number).values(message=pack(later)))

    def _end_with_incidents(self) -> None:
        """A silence until its incident is over has ended with it."""
        of = tables.silences.c
        with self._store.reading() as c:
            endless = list(c.execute(select(of.whole).where(of.ends == 0)).scalars())
        for silence in (unpack(Silence, whole) for whole in endless):
            named = next(one.value for one in silence.matchers if one.label == "incident" and one.how == "=")
            kept = self.incident(named)
            if kept is not None and kept.event.incident.resolved:
                # The moment at which it ended is still silenced: its end is not told either.
                self.end_silence(silence.id, "", kept.event.incident.resolved + 1)


def _aloud(event: Event, channel: str, key: str, stands: bool) -> tuple[Message, ...]:
    """What a channel hears when the silence ends. A receiver that knew nothing of it hears how it stands by now."""
    if is_address(channel):
        return (until_now(event, channel, key),) if stands else ()
    return told_now(event, channel, key, stands)


@lru_cache(maxsize=100)
def _event(packed: str) -> Event:
    return unpack(Event, packed)


@lru_cache(maxsize=2000)
def _word(packed: str) -> Word:
    """What was said of open incidents is looked at every second."""
    return unpack(Word, packed)
