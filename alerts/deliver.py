"""Due deliveries: sent, and what became of them recorded.

In: what waits in the outbox, a place to send to. Out: receipts, named failures, when to try next.
Never: a sleep, a message sent twice for want of a look, one channel's trouble made another's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal, Protocol

from alerts.messages import Message
from alerts.outbox import (
    SEND,
    Decision,
    Delivery,
    Muted,
    Receipt,
    SendFailed,
    begun,
    channel_pause,
    decide,
    failed,
    sent,
    with_news,
)

log = logging.getLogger(__name__)


class Sender(Protocol):
    """A place to tell. Raises SendFailed."""

    def send(
        self,
        message: Message,
        *,
        edits: Receipt | None = None,
        thread: Receipt | None = None,
        seek_since: int | None = None,
    ) -> Receipt: ...


class Outbox(Protocol):
    """Where deliveries are kept, durably: `record` has happened when it returns."""

    def waiting(self) -> list[Delivery]:
        """All that is not done, in order of entry."""

    def find(self, channel: str, key: str) -> Delivery | None:
        """The delivery of this key to this channel, done or not."""

    def paused(self, channel: str) -> int:
        """Epoch seconds before which nothing may be sent to this channel."""

    def muted(self, incident: str, now: int) -> Muted:
        """What silences say of this incident at `now` (epoch seconds)."""

    def record(self, delivery: Delivery, *, pause: int = 0) -> None:
        """Keep this as what is known of the delivery; pause: epoch seconds for `paused`, 0 = as it was."""


@dataclass(frozen=True, slots=True)
class Place:
    """A sender and its pace: seconds between two messages to one channel."""

    sender: Sender
    pace: int


def slack(token: str, base_url: str, now: Callable[[], int]) -> Place:
    from alerts.slack import Slack  # slack-sdk costs a fifth of a second

    del now  # Slack says when a message came
    return Place(Slack(token, base_url), pace=1)


def terminal(token: str, base_url: str, now: Callable[[], int]) -> Place:
    from alerts.terminal import Terminal

    del token, base_url
    return Place(Terminal(now=now), pace=0)


SENDERS: dict[str, Callable[[str, str, Callable[[], int]], Place]] = {"slack": slack, "terminal": terminal}


def deliver(outbox: Outbox, place: Place, now: Callable[[], int]) -> int:
    """One round over all that waits; returns how many messages were sent. `now` gives epoch seconds.

    What belongs to one incident keeps its order; incidents and channels do not wait for each other.
    """
    waiting = sorted(outbox.waiting(), key=_thread_of)
    return sum(
        _one_thread(outbox, place, now, list(thread)) for _, thread in groupby(waiting, key=_thread_of)
    )


def _thread_of(delivery: Delivery) -> tuple[str, str]:
    return delivery.message.channel, delivery.incident


def _one_thread(outbox: Outbox, place: Place, now: Callable[[], int], thread: Sequence[Delivery]) -> int:
    done = 0
    said: set[int] = set()  # edits that went out with their card
    muted = outbox.muted(thread[0].incident, now())
    for i, delivery in enumerate(thread):
        message = delivery.message
        later = thread[i + 1 :]
        target = message.replaces or message.reply_to
        card = outbox.find(message.channel, target) if target else None
        newer = any(one.message.replaces == message.replaces for one in later)
        newer = newer or delivery.number in said
        decision = decide(delivery, now(), card=card, newer_edit=newer, muted=muted)
        if decision in ("superseded", "silenced", "given up"):
            _close(outbox, delivery, decision)
            continue
        finished = False
        if decision in SEND and outbox.paused(message.channel) <= now():
            edits = (
                [one for one in later if one.message.replaces == message.key] if not delivery.tries else []
            )
            # A card that was never tried goes out as it looks after all the edits that wait behind it.
            latest = with_news(delivery, edits[-1]) if edits else delivery
            finished = _try(outbox, place, now, latest, card, decision)
            done += finished
            said.update(one.number for one in edits if finished)
        # A picture that cannot be had yet holds up no words; where nothing is said aloud there is no order to keep.
        if not finished and message.chart is None and muted == "no":
            break
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
) -> bool:
    """Send once; True when nothing more is to be done about this delivery."""
    message = delivery.message
    stands = card.receipt if card is not None else None
    outbox.record(begun(delivery, now()))
    try:
        receipt = place.sender.send(
            message,
            edits=stands if message.replaces else None,
            thread=stands if message.reply_to else None,
            seek_since=delivery.unknown_since if decision == "look first" else None,
        )
    except SendFailed as failure:
        after = failed(delivery, failure, now())
        if after.why != delivery.why or after.state != "waiting":
            _complain(after, failure)
        outbox.record(after, pause=now() + channel_pause(failure.outcome, failure.retry_after))
        return after.state != "waiting"
    outbox.record(sent(delivery, receipt), pause=now() + place.pace)
    if message.replaces and card is not None and receipt != stands:
        outbox.record(replace(card, receipt=receipt))  # the card was lost and posted anew
    log.info("told %s: %s", message.channel, message.key)
    return True


def _complain(after: Delivery, failure: SendFailed) -> None:
    hope = "given up" if after.state == "given up" else "will try again"
    log.error("not delivered to %s (%s, %s): %s", after.message.channel, failure.outcome, hope, failure)
