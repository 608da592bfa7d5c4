"""What is to be delivered, what became of it, and when to try again. Pure.

In: a message that is due, and what is known of earlier tries. Out: a named decision.
Never: the network, the database, a clock (the time comes as an argument).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

from alerts.messages import SAID, Hold, Message
from alerts.notices import is_address


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where a message stands: what the place itself calls its channel and the message."""

    channel: str
    id: str


Outcome = Literal["refused", "permanent", "unknown", "no_credentials"]


class SendFailed(Exception):  # noqa: N818  (it reads as what happened)
    """A message was not delivered, or nobody knows.

    outcome: refused (the place takes nothing now, send again later), permanent (not taken, and the same will
    never be), unknown (it may stand there: look before sending again), no_credentials (nothing gets through
    until a person acts). retry_after: seconds that the place asked us to wait, 0 if it did not say.
    """

    def __init__(self, message: str, outcome: Outcome, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.outcome: Outcome = outcome
        self.retry_after = retry_after


DeliveryState = Literal["waiting", "sent", "superseded", "silenced", "given up"]
# Of an incident: may it be said aloud; not now; or not any more, for it was over before its silence was.
Muted = Literal["no", "for now", "for good"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way to its channel.

    number: order of entry. incident: what keeps its order (empty: nothing to wait for). entered: epoch
    seconds. tries: how often it was sent. unknown_since: epoch seconds of the earliest try whose outcome
    nobody knows, 0 = there is none. not_before: epoch seconds. why: what the last try failed of.
    """

    number: int
    incident: str
    message: Message
    entered: int
    state: DeliveryState = "waiting"
    tries: int = 0
    unknown_since: int = 0
    not_before: int = 0
    receipt: Receipt | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What became of an incident: it is over; somebody looks at it since (epoch seconds, 0 = nobody); all is as
    before, and it is over if it stays so."""

    over: bool = False
    acknowledged: int = 0
    calm: bool = False


Decision = (
    Literal[
        "first",
        "retry due",
        "look first",
        "waiting",
        "waiting for the card",
        "superseded",
        "silenced",
        "silenced for now",
        "given up",
    ]
    | Hold
)
SEND: tuple[Decision, ...] = ("first", "retry due", "look first")

LONGEST_PAUSE = 60  # seconds between tries, however long it has been going wrong
LOOK_AFTER = 5  # a read may lag behind a write: seconds before we look for what may stand there
SLOW = 600  # seconds between tries of what was refused for good: a person may yet let us into the channel
PICTURE_TRIES = 5  # the words are there; a picture that cannot be drawn or taken is not worth more
GIVE_UP = 86400  # seconds after which we believe it


def decide(
    delivery: Delivery,
    now: int,
    *,
    card: Delivery | None,
    newer_edit: bool,
    overtaken: bool = False,
    known: Known | None = None,
    muted: Muted = "no",
) -> Decision:
    """What to do with a waiting delivery at `now` (epoch seconds), and why.

    card: what it edits or replies to, None where there is no such thing.
    newer_edit: a later edit of the same card waits as well.
    overtaken: something later of the same incident is due by now, so nothing of it is held any longer
    (of a reminder: a later reminder is due).
    known: what became of the incident.
    muted: what silences say of its incident. A card that stands is kept true by edits, which nobody hears (where
    they are heard, only the end is told); a card that does not waits, and goes out in its newest state when the
    silence ends before the incident.
    """
    message = delivery.message
    if card is not None and card.state == "given up":
        return "given up"
    may_ring = _ends_what_may_ring(message, card)
    if card is not None and card.state == "silenced" and not may_ring:
        return "silenced"
    if muted != "no" and not message.replaces:
        waits = not message.reply_to or message.hold == "to repeat"
        return "silenced for now" if waits and muted == "for now" else "silenced"
    if muted != "no" and card is not None and card.receipt is not None and _is_heard(message):
        return "silenced"
    if message.chart is not None and delivery.tries >= PICTURE_TRIES:
        return "given up"
    if message.replaces and newer_edit:
        return "superseded"
    if not delivery.unknown_since and _needless(message, card, known or Known(), overtaken):
        return "superseded"
    if card is not None and card.receipt is None and card.state != "superseded" and not may_ring:
        return "waiting for the card"
    heard = card is not None and card.receipt is not None
    if message.hold == "to escalate" and known is not None and known.calm and not heard:
        return message.hold  # nobody is woken for what is as before; if it comes back, at once
    if message.due > now and not _released(message, card, overtaken):
        reminds = message.reply_to and message.chart is None and message.hold != "to repeat"
        return "superseded" if overtaken and reminds else message.hold
    if delivery.not_before > now:
        return "waiting"
    if delivery.unknown_since or may_ring:
        return "look first"
    return "retry due" if delivery.tries else "first"


def _needless(message: Message, card: Delivery | None, known: Known, overtaken: bool) -> bool:
    """Nobody need hear of it any more: somebody looks at it, it is over, or its card was never needed. Or it can be
    said in Slack alone."""
    if message.notice is None and is_address(message.channel):
        return True
    if message.hold == "to repeat":
        return overtaken or known.over or known.acknowledged > 0
    if card is not None and card.receipt is not None:
        return False
    if message.hold == "to escalate" and (known.over or known.acknowledged):
        return True
    # An edit goes on alone: what was in a digest may have become worse. What people said of it is no reason to.
    replied = bool(message.reply_to) or SAID in message.key
    return card is not None and card.state == "superseded" and replied


def _ends_what_may_ring(message: Message, card: Delivery | None) -> bool:
    """A pager that may have taken the beginning (its answer was lost, then it was silenced) must hear the end."""
    if card is None or card.state != "silenced" or not card.unknown_since:
        return False
    ends = message.notice is not None and message.notice.event == "resolved"
    return ends and is_address(message.channel) and bool(message.replaces)


def _is_heard(message: Message) -> bool:
    """Elsewhere than in Slack an edit is a message of its own. The end belongs to whoever heard the beginning, and
    an acknowledgement makes it quieter."""
    if message.notice is None or not is_address(message.channel):
        return False
    return message.notice.event == "updated" and not message.notice.acknowledged


def _released(message: Message, card: Delivery | None, overtaken: bool) -> bool:
    if message.hold == "to repeat":
        return False
    if message.hold == "to escalate" and card is not None and card.receipt is not None:
        return True  # who was told of it hears the rest at once
    return overtaken and (not message.reply_to or message.chart is not None)


def begun(delivery: Delivery, now: int) -> Delivery:
    """As it must be recorded before the request: if we die now, nobody knows whether it arrived."""
    return replace(
        delivery,
        tries=delivery.tries + 1,
        unknown_since=delivery.unknown_since or now,
        not_before=now + pause(delivery.tries + 1, "unknown"),
    )


def sent(delivery: Delivery, receipt: Receipt) -> Delivery:
    """Taken."""
    return replace(delivery, state="sent", receipt=receipt, unknown_since=0, not_before=0, why="")


def failed(before: Delivery, failure: SendFailed, now: int) -> Delivery:
    """After a try that failed; `before` is the delivery as it was before that try.

    A failure that says "not taken" speaks of this try alone: an earlier try may still stand there.
    """
    tries = before.tries + 1
    after = replace(
        before,
        tries=tries,
        not_before=now + pause(tries, failure.outcome, failure.retry_after),
        why=str(failure),
    )
    if failure.outcome == "unknown":
        return replace(after, unknown_since=before.unknown_since or now)
    if failure.outcome != "permanent":
        return after
    hopeless = before.message.chart is not None or now - before.entered > GIVE_UP
    return replace(after, state="given up") if hopeless else after


def pause(tries: int, outcome: Outcome, retry_after: float = 0.0) -> int:
    """Seconds to leave this message alone after its `tries`-th try."""
    if outcome == "no_credentials":
        return LONGEST_PAUSE
    if outcome == "permanent":
        return SLOW
    doubling: int = min(LONGEST_PAUSE, 2 ** min(tries - 1, 10))
    if outcome == "unknown":
        return max(LOOK_AFTER, doubling)
    return max(doubling, ceil(retry_after))


def lane_pause(outcome: Outcome, tries: int, retry_after: float = 0.0) -> int:
    """Seconds to leave the whole lane alone: what holds for one message there holds for the next.

    After a refusal as long as the message itself: so the first to be refused is the first to be tried, and
    what waits is told in order.
    """
    if outcome in ("refused", "no_credentials"):
        return pause(tries, outcome, retry_after)
    return 0 if outcome == "permanent" else 2


def with_news(card: Delivery, edit: Delivery) -> Delivery:
    """A card that was never sent goes out in its newest state at once; it keeps its own key."""
    return replace(card, message=replace(edit.message, key=card.message.key, replaces=""))
