"""A receiver: a place to tell that routes name, and what it takes to get in. Pure.

In: what the settings say. Out: the address under which its messages wait in the outbox.
Never: a secret in a repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from alerts.messages import Message
from alerts.notices import Notice
from alerts.outbox import SendFailed


@dataclass(frozen=True, slots=True)
class Receiver:
    """place: a key of places.SENDERS. url: where it listens (it may hold a secret itself).

    secret: a token, a key, a password. user, sender, to: of e-mail. Each place says at its top what it needs.
    """

    name: str
    place: str
    url: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    user: str = ""
    sender: str = ""
    to: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """What stands in the place of a channel. No channel of Slack's has a colon."""
        return f"{self.place}:{self.name}"


def notice_of(message: Message) -> Notice:
    """The fields of a message. Raises SendFailed where it was worded for Slack alone."""
    if message.notice is None:
        raise SendFailed("the message was worded for Slack alone", "permanent")
    return message.notice
