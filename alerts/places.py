"""The places that can be told, by the names under which receivers ask for them.

In: a receiver. Out: a sender and its pace. Never: a library loaded that nobody needs; a request made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from alerts.messages import Message
from alerts.outbox import Receipt
from alerts.receivers import Receiver


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


@dataclass(frozen=True, slots=True)
class Place:
    """A sender and its pace: seconds between two messages to one channel.

    refresh: a place that forgets is told of what stands open every so many seconds; 0 = it remembers.
    acknowledges: it is told that somebody looks at an incident, for it wakes people by rules of its own.
    lane: what a place slows down as one, of each message; "" = its channel.
    """

    sender: Sender
    pace: int
    refresh: int = 0
    acknowledges: bool = False
    lane: Callable[[Message], str] = lambda message: ""

    def lane_of(self, message: Message) -> str:
        """What is paused when this message is refused for now, and what is therefore asked before it is sent."""
        return self.lane(message) or message.channel


def slack(receiver: Receiver, now: Callable[[], int]) -> Place:
    from alerts.slack import Slack, lane  # slack-sdk costs a fifth of a second

    del now  # Slack says when a message came
    return Place(Slack(receiver.secret, receiver.url), pace=1, lane=lane)


def terminal(receiver: Receiver, now: Callable[[], int]) -> Place:
    from alerts.terminal import Terminal

    del receiver
    return Place(Terminal(now=now), pace=0)


def webhook(receiver: Receiver, now: Callable[[], int]) -> Place:
    from alerts.webhook import Webhook

    return Place(Webhook(receiver, now), pace=0)


def alertmanager(receiver: Receiver, now: Callable[[], int]) -> Place:
    from alerts.alertmanager import REFRESH, Alertmanager

    return Place(Alertmanager(receiver, now), pace=0, refresh=REFRESH)


def pagerduty(receiver: Receiver, now: Callable[[], int]) -> Place:
    from alerts.pagerduty import PagerDuty

    del now
    return Place(PagerDuty(receiver), pace=0, acknowledges=True)


def opsgenie(receiver: Receiver, now: Callable[[], int]) -> Place:
    from alerts.opsgenie import Opsgenie

    del now
    return Place(Opsgenie(receiver), pace=0, acknowledges=True)


def teams(receiver: Receiver, now: Callable[[], int]) -> Place:
    from alerts.teams import Teams

    del now
    return Place(Teams(receiver), pace=1)


def email(receiver: Receiver, now: Callable[[], int]) -> Place:
    from alerts.mail import Mail

    return Place(Mail(receiver, now), pace=1)


def apprise(receiver: Receiver, now: Callable[[], int]) -> Place:
    from alerts.anywhere import Anywhere

    del now
    return Place(Anywhere(receiver), pace=1)


SENDERS: dict[str, Callable[[Receiver, Callable[[], int]], Place]] = {
    "slack": slack,
    "terminal": terminal,
    "webhook": webhook,
    "alertmanager": alertmanager,
    "pagerduty": pagerduty,
    "opsgenie": opsgenie,
    "teams": teams,
    "email": email,
    "apprise": apprise,
}
