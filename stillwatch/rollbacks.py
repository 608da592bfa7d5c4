"""What people asked to be put back: each is asked of its pipeline once, whoever presses how often.

In: an incident, who asks. Out: what was asked for, in the database; the pipeline's answer beneath the card and to
whoever else was told; a reminder where it is not put back.
Never: a tick that waits for a pipeline; a request repeated that was perhaps taken; a redirect followed.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, select, update

from alerts import rollbacks, web
from alerts.blame import undone
from alerts.incidents import Event, Incident
from alerts.messages import Message
from alerts.mrkdwn import address
from alerts.notices import is_address
from alerts.outbox import SendFailed
from alerts.packed import pack, unpack
from alerts.plain import put_back
from alerts.remarks import answered, reminded
from alerts.rollbacks import FINISHED, ONCE, Offer, Rollback, State, Way, asks_for
from alerts.suspects import release_of
from alerts.webhook import signature
from stillwatch import tables
from stillwatch.store import Store, post
from stillwatch.tables import StoreTrouble
from stillwatch.upserts import add

log = logging.getLogger(__name__)

PULSE = 1.0  # seconds between looks for what is to be asked
STALE = 120  # seconds: what could not be asked by then is not what its asker waits for any more
AT_ONCE = 500  # names in one question to the database
PIPELINE = "the pipeline"  # what it is called in words


class Rollbacks:
    """ways: by service. now: gives epoch seconds. Methods may raise StoreTrouble."""

    def __init__(self, store: Store, ways: Mapping[str, Way], now: Callable[[], int]) -> None:
        self._store = store
        self._ways = ways
        self._now = now
        self._unfinished: list[Rollback] = []  # of which it is not known yet that they were put back
        # Keys of claims of which the database has not said whether they came about.
        self._unheard: set[str] = set()
        with (
            store.reading() as c
        ):  # mostly there is nothing, and every open incident is asked about each second
            self._any = c.execute(select(tables.rollbacks.c.key).limit(1)).first() is not None

    # What there is.

    def of(self, incident: Incident) -> tuple[Rollback, ...]:
        """What was asked for because of this incident, or of another whose suspects it shares; oldest first."""
        return self.of_each([incident]).get(incident.id, ())

    def of_each(self, incidents: Sequence[Incident]) -> dict[str, tuple[Rollback, ...]]:
        """The same of many at once, by id; those of which nothing was asked for are left out."""
        if not self._any:
            return {}
        of = tables.rollbacks.c
        services = sorted({s.deployment.service for one in incidents for s in one.suspects})
        ids, found = [one.id for one in incidents], dict[int, str]()
        with self._store.reading() as c:
            for column, names in ((of.incident, ids), (of.service, services)):
                for i in range(0, len(names), AT_ONCE):
                    asked = select(of.number, of.whole).where(column.in_(names[i : i + AT_ONCE]))
                    found |= {row.number: row.whole for row in c.execute(asked)}
        wanted = [unpack(Rollback, found[number]) for number in sorted(found)]
        each = {one.id: tuple(w for w in wanted if _is_of(w, one)) for one in incidents}
        return {which: back for which, back in each.items() if back}

    def offers(self, incident: Incident) -> tuple[Offer, ...]:
        """What may be put back now: what is under way, or perhaps is, is offered to nobody else."""
        found = rollbacks.offers(incident, self._ways)
        if not found:
            return ()
        begun = [one for one in self.of(incident) if one.state in ONCE]
        return tuple(
            offer for offer in found if not any(rollbacks.asks_for(one, offer.deployment) for one in begun)
        )

    def choose(self, incident: Incident, deployment: str, service: str) -> tuple[Rollback, Rollback | None]:
        """What is wanted, by nobody yet, and what was asked for before, unless it was surely not begun. Names may
        be empty where only one member can be meant. Raises ValueError with what stands in the way."""
        members = [
            one.deployment
            for one in incident.suspects
            if deployment in ("", one.deployment.id) and service in ("", one.deployment.service)
        ]
        if not deployment and not service:
            members = [one.deployment for one in rollbacks.offers(incident, self._ways)] or members[:1]
        if not members:
            asked = " of ".join(part for part in (service, deployment) if part) or "nothing"
            raise ValueError(f"found {asked[:200]!r}, expected a deployment that is suspected")
        if len({one.service for one in members}) > 1:
            names = ", ".join(dict.fromkeys(one.service for one in members))
            raise ValueError(f"service: found none, expected one of {names[:500]}")
        member = members[0]
        if why := rollbacks.why_not(incident, member):
            raise ValueError(f"{why}; put it back in its pipeline if you know better")
        way = self._ways.get(member.service, Way())
        if way.link:
            raise ValueError(f"{member.service} is put back at {rollbacks.filled(way, member, incident.id)}")
        if not way.url:
            raise ValueError(f"{member.service} has no `rollback` in the settings, expected a url there")
        _, probability = release_of(incident.suspects)
        before = [one for one in self.of(incident) if one.state in ONCE and rollbacks.asks_for(one, member)]
        wanted = Rollback(
            incident.id, member.id, member.service, member.version, member.previous_version, "", 0,
            member.environment, probability,
        )  # fmt: skip
        return wanted, next(iter(before), None)

    # What is to be done.

    def ask(self, wanted: Rollback) -> tuple[Rollback, bool]:
        """Note it, to be asked in a moment. What is asked for now, and whether that is news: only what was surely
        not begun is asked for again."""
        of, whole = tables.rollbacks.c, pack(wanted)
        row = {
            "key": wanted.key, "incident": wanted.incident, "service": wanted.service, "state": "asked",
            "tries": 1, "whole": whole,
        }  # fmt: skip
        again = {"state": "asked", "incident": wanted.incident, "tries": of.tries + 1, "whole": whole}
        self._any = True
        with self._store.writing() as c:
            new = add(c, tables.rollbacks, row)
            failed = (of.key == wanted.key) & (of.state == "failed")
            new = new or c.execute(update(tables.rollbacks).where(failed).values(again)).rowcount > 0
            kept = c.execute(select(of.whole).where(of.key == wanted.key)).scalar_one()
        return unpack(Rollback, kept), new

    def work(self, stopping: threading.Event) -> None:
        """Ask the pipelines until `stopping` is set and those that are being asked have answered. What was being
        asked when we were stopped is not repeated."""
        trouble, begun = "", False
        calls: list[threading.Thread] = []
        while not stopping.is_set():
            try:
                for one in () if begun else self._in("sending"):
                    said = "Stillwatch was stopped before an answer came"
                    self._settle(replace(one, state="unknown", said=said))
                if not begun:
                    self._unfinished = [*self._in("taken"), *self._in("unknown")]
                begun = True
                self._remind()
                for one in (*self._claimed_unheard(), *self._in("asked")):
                    # Each in a thread of its own: one pipeline that hangs holds up no other.
                    if one.state == "sending" or self._claim(one):
                        calls = [call for call in calls if call.is_alive()]
                        calls.append(threading.Thread(target=self._call, args=[one, stopping], daemon=True))
                        calls[-1].start()
                trouble = ""
            except StoreTrouble as problem:
                if str(problem) != trouble:
                    log.error("nothing is put back: %s", problem)
                trouble = str(problem)
            except Exception:  # what breaks one look must not be the last one
                log.exception("what is to be put back could not be looked up")
            stopping.wait(PULSE)
        for call in calls:
            call.join()

    def _remind(self) -> None:
        """Of what was taken, or perhaps was, people hear once when it is not known to be put back by now."""
        now = self._now()
        for one in [one for one in self._unfinished if one.followed or one.time + FINISHED <= now]:
            if not one.followed:
                event = self._event(one.incident)
                self._follow(one, event if event is not None and _goes_on(one, event) else None, now)
            self._unfinished.remove(one)

    def _follow(self, wanted: Rollback, event: Event | None, now: int) -> None:
        """Note that nothing more is to be said of it; and say, where there is an event, that it is unfinished."""
        of = tables.rollbacks.c
        with self._store.writing() as c:
            kept = {"whole": pack(replace(wanted, followed=now))}
            c.execute(update(tables.rollbacks).where(of.key == wanted.key).values(kept))
            if event is not None:
                self._say(c, wanted, event, lambda channel: reminded(wanted, channel, now), now)

    def _event(self, incident: str) -> Event | None:
        of = tables.incidents.c
        with self._store.reading() as c:
            packed = c.execute(select(of.event).where(of.id == incident)).scalar_one_or_none()
        try:
            return None if packed is None else unpack(Event, packed)
        except ValueError as error:
            log.error("incident %s is damaged in the database: %s", incident, error)
            return None

    def _say(
        self, c: Connection, wanted: Rollback, event: Event | None, word: Callable[[str], Message], now: int
    ) -> None:
        """Beneath every card that stands; elsewhere as news, while the incident is open."""
        card = tables.outbox.c
        standing = select(card.channel).where(card.key == wanted.incident, card.receipt_id.is_not(None))
        for channel in c.execute(standing).scalars().all():
            said = word(channel)
            if not is_address(channel):
                post(c, wanted.incident, [said], now)
            elif event is not None and event.event != "resolved":
                post(c, wanted.incident, [put_back(event, channel, said.key, said.text, wanted.time)], now)

    def _in(self, state: State) -> list[Rollback]:
        of = tables.rollbacks.c
        asked = select(of.whole).where(of.state == state).order_by(of.number)
        with self._store.reading() as c:
            found = [unpack(Rollback, whole) for whole in c.execute(asked).scalars()]
        self._any = self._any or bool(found)  # another daemon may have noted it
        return found

    def _claim(self, wanted: Rollback) -> bool:
        """On disk before the request: if we die now, nobody knows whether it was taken."""
        if self._now() - wanted.time > STALE:
            self._settle(replace(wanted, state="failed", said="it could not be asked in time"))
            return False
        of, sending = tables.rollbacks.c, replace(wanted, state="sending")
        mine = (of.key == wanted.key) & (of.state == "asked")
        self._unheard.add(wanted.key)
        with self._store.writing() as c:
            after = {"state": "sending", "whole": pack(sending)}
            claimed = c.execute(update(tables.rollbacks).where(mine).values(after)).rowcount > 0
        self._unheard.discard(wanted.key)
        return claimed

    def _claimed_unheard(self) -> list[Rollback]:
        """Those whose claim came about though its answer was lost: nobody asks their pipelines but we."""
        found = [one for one in self._in("sending") if one.key in self._unheard] if self._unheard else []
        self._unheard.clear()
        return found

    def _call(self, wanted: Rollback, stopping: threading.Event) -> None:
        done = self._asked(wanted)
        level = logging.INFO if done.state == "taken" else logging.ERROR
        log.log(level, "%s to be put back to %s, asked by %s: %s", done.service, done.to, done.who, done.said)
        while True:
            try:
                return self._settle(done)
            except StoreTrouble:  # an answer is not to be had twice
                if stopping.wait(PULSE):
                    return None

    def _asked(self, wanted: Rollback) -> Rollback:
        """With the pipeline's answer."""
        way = self._ways.get(wanted.service, Way())
        raw = json.dumps(rollbacks.body(wanted)).encode()
        headers = {"Stillwatch-Key": wanted.key}
        if way.secret:
            headers["Stillwatch-Signature"] = signature(way.secret, self._now(), raw)
        try:
            got = web.ask(PIPELINE, way.url, raw, headers, secret=way.secret)
        except SendFailed as failure:
            state: State = "unknown" if failure.outcome == "unknown" else "failed"
            return replace(wanted, state=state, said=str(failure))
        except Exception:  # whatever it is, people wait for a word, and it may have been taken
            log.exception("the pipeline of %s could not be asked", wanted.service)
            return replace(wanted, state="unknown", said="it could not be asked; the log says why")
        page = got.fields.get("url")
        followed = address(page) if isinstance(page, str) else ""
        return replace(wanted, state="taken", said=f"{PIPELINE} answered {got.status}", page=followed)

    def _settle(self, done: Rollback) -> None:
        """Keep how it went, and say so beneath every card that stands."""
        of, now, event = tables.rollbacks.c, self._now(), self._event(done.incident)
        with self._store.writing() as c:
            mine = of.key == done.key
            tries = c.execute(select(of.tries).where(mine)).scalar_one()
            c.execute(update(tables.rollbacks).where(mine).values(state=done.state, whole=pack(done)))
            self._say(c, done, event, lambda channel: answered(done, channel, tries, now), now)
        if done.state in ("taken", "unknown"):
            self._unfinished.append(done)


def _goes_on(wanted: Rollback, event: Event) -> bool:
    """Is the incident open, and nothing known that put this back?"""
    members = [s.deployment for s in event.incident.suspects if asks_for(wanted, s.deployment)]
    back = any(undone(event.incident, member) is not None for member in members)
    return event.event != "resolved" and not back


def _is_of(wanted: Rollback, incident: Incident) -> bool:
    suspected = (one.deployment for one in incident.suspects)
    return wanted.incident == incident.id or any(rollbacks.asks_for(wanted, member) for member in suspected)
