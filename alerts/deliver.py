"""Due deliveries: sent, and what became of them recorded.

In: what waits in the outbox, a place to send to. Out: receipts, named failures, when to try next.
Never: a sleep, a message sent twice for want of a look, one channel's trouble made another's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, Protocol

from alerts import digest
from alerts.fallback import diverted
from alerts.messages import SAID, Message
from alerts.outbox import (
    SEND,
    Decision,
    Delivery,
    Known,
    Muted,
    SendFailed,
    begun,
    decide,
    failed,
    lane_pause,
    sent,
    with_news,
)
from alerts.places import Place
from alerts.timing import following

log = logging.getLogger(__name__)

NEEDS_PERSON = ("permanent", "no_credentials")


def everywhere(channel: str) -> bool:
    """Whatever it is called."""
    del channel
    return True


class Outbox(Protocol):
    """Where deliveries are kept, durably: `record` has happened when it returns."""

    def waiting(self, serves: Callable[[str], bool]) -> list[Delivery]:
        """All for channels of which this holds that is not done, in order of entry."""

    def find(self, channel: str, key: str) -> Delivery | None:
        """The delivery of this key to this channel, done or not."""

    def paused(self, lane: str) -> int:
        """Epoch seconds before which nothing may be sent in this lane (a channel, or what a place joins to one)."""

    def muted(self, incident: str, now: int) -> Muted:
        """What silences say of this incident at `now` (epoch seconds)."""

    def standing(self, channel: str) -> list[Delivery]:
        """Of every open incident that this channel was told of, the newest that was taken."""

    def known(self, incident: str) -> Known:
        """What became of an incident."""

    def say(self, incident: str, messages: Sequence[Message], now: int) -> None:
        """Put messages into the outbox; those whose key its channel knows are ignored."""

    def record(self, delivery: Delivery, *, lane: str = "", pause: int = 0) -> None:
        """Keep this as what is known of the delivery, and of its lane when to send next (epoch seconds)."""


def deliver(
    outbox: Outbox,
    place: Place,
    now: Callable[[], int],
    serves: Callable[[str], bool] = everywhere,
    fallback: str = "",
) -> int:
    """One round over all that waits; returns how many messages were sent. `now` gives epoch seconds.

    What belongs to one incident keeps its order; incidents and channels do not wait for each other.
    serves: whether messages for this channel go to this place. fallback: the channel that hears of what this
    place will not take until a person acts, empty = none.
    """
    mine = outbox.waiting(serves)
    threads: dict[tuple[str, str], list[Delivery]] = {}  # the one that began first comes first
    for one in _without_digest(outbox, mine, now()):
        threads.setdefault((one.message.channel, one.incident), []).append(one)
    done = 0
    for thread in threads.values():
        sent_now, failure = _one_thread(outbox, place, now, thread)
        done += sent_now
        if failure is not None and fallback:
            # A token that is refused is refused everywhere.
            lost = mine if failure.outcome == "no_credentials" else thread
            _divert(outbox, lost, fallback, str(failure), now())
    return done


def _divert(outbox: Outbox, lost: Sequence[Delivery], fallback: str, why: str, now: int) -> None:
    """Tell the fallback as well; what it knows already is ignored. The rest goes on being tried."""
    for one in lost:
        message = diverted(one.message, fallback, why) if one.message.channel != fallback else None
        if message is not None:
            outbox.say(one.incident, [message], now)


def _without_digest(outbox: Outbox, waiting: Sequence[Delivery], now: int) -> list[Delivery]:
    """What was kept for a digest whose time has come goes into one message, unless it is silenced; the rest is
    left."""
    kept = [one for one in waiting if one.message.hold == "for the digest" and one.message.due <= now]
    if not kept:
        return list(waiting)
    muted = {incident: outbox.muted(incident, now) for incident in {one.incident for one in kept}}
    for message in digest.compose([one for one in kept if muted[one.incident] == "no"]):
        outbox.say("", [message], now)
    for one in kept:
        if muted[one.incident] == "for now":
            outbox.record(digest.next_day(one, now))
        else:
            outbox.record(replace(one, state="superseded" if muted[one.incident] == "no" else "silenced"))
    gone = {one.number for one in kept}
    return [one for one in waiting if one.number not in gone]


def _one_thread(
    outbox: Outbox, place: Place, now: Callable[[], int], thread: Sequence[Delivery]
) -> tuple[int, SendFailed | None]:
    """How many were sent, and of what a message failed that only a person can help."""
    done, hopeless = 0, None
    said: set[int] = set()  # what went out with its card
    known = outbox.known(thread[0].incident) if any(one.message.hold for one in thread) else Known()
    muted = outbox.muted(thread[0].incident, now())
    for i, delivery in enumerate(thread):
        message = delivery.message
        reminds = message.hold == "to repeat"
        later = [one for one in thread[i + 1 :] if (one.message.hold == "to repeat") == reminds]
        target = message.replaces or message.reply_to
        card = outbox.find(message.channel, target) if target else None
        decision = decide(
            delivery,
            now(),
            card=card,
            newer_edit=any(one.message.replaces == message.replaces for one in later),
            # What people said hurries nothing: it is shown when its time comes.
            overtaken=any(one.message.due <= now() for one in later if SAID not in one.message.key),
            known=known,
            muted=muted,
        )
        if delivery.number in said:
            decision = "superseded"
        if decision in ("superseded", "silenced", "given up"):
            _close(outbox, delivery, decision)
            continue
        finished = False
        if decision in SEND and outbox.paused(place.lane_of(message)) <= now():
            behind = [one for one in later if message.key in (one.message.replaces, one.message.reply_to)]
            latest = _latest(delivery, behind)
            if reminds:
                outbox.say(delivery.incident, [following(message, now())], now())
            finished, failure = _try(outbox, place, now, latest, card, decision)
            done += failure is None
            if failure is not None and failure.outcome in NEEDS_PERSON and message.chart is None:
                hopeless = failure
            if finished and latest is not delivery:
                said.update(one.number for one in _collapsed(behind))
        # A picture that cannot be had yet holds up no words, nor does what waits for its time; and where nothing is
        # said aloud there is no order to keep.
        waits = message.chart is not None or (message.hold and decision == message.hold)
        if not finished and not waits and muted == "no":
            break
    return done, hopeless


def _latest(card: Delivery, behind: Sequence[Delivery]) -> Delivery:
    """A card of which no try may stand there goes out as it looks after all the edits that wait behind it."""
    edits = [one for one in behind if one.message.replaces]
    return with_news(card, edits[-1]) if edits and not card.unknown_since else card


def _collapsed(behind: Sequence[Delivery]) -> list[Delivery]:
    """What a card in its newest state has said already: all but the newest picture, and that it was silenced."""
    pictures = [one for one in behind if one.message.chart is not None]
    spared = [*pictures[-1:], *(one for one in behind if one.message.reply_to and SAID in one.message.key)]
    return [one for one in behind if one not in spared]


def say_again(outbox: Outbox, place: Place, channel: str) -> int:
    """Tell a place that forgets of what stands open; returns how much that was. Raises SendFailed."""
    standing = [one.message for one in outbox.standing(channel)]
    still = [one for one in standing if one.notice is not None and one.notice.event != "resolved"]
    for message in still:
        place.sender.send(message)
    return len(still)


def acknowledge(outbox: Outbox, channel: str, now: int) -> int:
    """Have a pager told that somebody looks at what it woke people for; returns of how many incidents."""
    done = 0
    for one in outbox.standing(channel):
        notice = one.message.notice
        if notice is None or notice.event not in ("opened", "updated") or notice.acknowledged:
            continue
        since = outbox.known(one.incident).acknowledged
        if since:
            key = one.message.replaces or one.message.key
            said = replace(notice, event="updated", acknowledged=since)
            message = Message(f"{key}:acknowledged", channel, notice.title, replaces=key, notice=said)
            outbox.say(one.incident, [message], now)
            done += 1
    return done


def _close(
    outbox: Outbox, delivery: Delivery, decision: Literal["superseded", "silenced", "given up"]
) -> None:
    if decision == "given up":
        why = delivery.why or "what it belongs to was not taken"
        log.error("given up: %s to %s: %s", delivery.message.key, delivery.message.channel, why)
        outbox.record(replace(delivery, state="given up", why=why))
    else:
        outbox.record(replace(delivery, state=decision))


def _try(
    outbox: Outbox,
    place: Place,
    now: Callable[[], int],
    delivery: Delivery,
    card: Delivery | None,
    decision: Decision,
) -> tuple[bool, SendFailed | None]:
    """Send once; whether nothing more is to be done about this delivery, and what it failed of."""
    message = delivery.message
    stands = card.receipt if card is not None else None
    unknown_since = delivery.unknown_since or (card.unknown_since if card is not None else 0)
    outbox.record(begun(delivery, now()))
    try:
        receipt = place.sender.send(
            message,
            edits=stands if message.replaces else None,
            thread=stands if message.reply_to else None,
            seek_since=unknown_since if decision == "look first" else None,
        )
    except SendFailed as failure:
        after = failed(delivery, failure, now())
        if after.why != delivery.why or after.state != "waiting":
            _complain(after, failure)
        until = now() + lane_pause(failure.outcome, after.tries, failure.retry_after)
        outbox.record(after, lane=place.lane_of(message), pause=until)
        return after.state != "waiting", failure
    outbox.record(sent(delivery, receipt), lane=place.lane_of(message), pause=now() + place.pace)
    if message.replaces and card is not None and receipt != stands:
        outbox.record(replace(card, receipt=receipt))  # the card was lost and posted anew
    log.info("told %s: %s", message.channel, message.key)
    return True, None


def _complain(after: Delivery, failure: SendFailed) -> None:
    hope = "given up" if after.state == "given up" else "will try again"
    log.error("not delivered to %s (%s, %s): %s", after.message.channel, failure.outcome, hope, failure)
