"""Every other place, by the library `apprise`: its documentation has their addresses.

In: a message. Out: a receipt, or SendFailed. Never: a word that apprise could take for a mention; an address in the
log; a redirect followed. apprise lives here.
Takes: url (which holds the secrets).

Apprise says only whether it worked. What failed is sent again, and may then come twice.
"""

from __future__ import annotations

import logging

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

from alerts.messages import Message
from alerts.mrkdwn import fit_lines
from alerts.notices import Notice
from alerts.outbox import Receipt, SendFailed
from alerts.receivers import Receiver, notice_of

MOST_TEXT = 4000
TYPES = {
    "critical": NotifyType.FAILURE,
    "warning": NotifyType.WARNING,
    "info": NotifyType.INFO,
}


class _Stay(AppriseAsset):
    """Unless the address itself says `redirect=yes`, nobody is followed to another place."""

    http_redirects = False


class Anywhere:
    """Raises ValueError where apprise does not know the address."""

    def __init__(self, receiver: Receiver) -> None:
        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would log what we tell
        self._to = receiver
        self._apprise = Apprise(asset=_Stay())
        if not self._apprise.add(receiver.url):
            raise ValueError(f"receivers.{receiver.name}: apprise does not know such an address")

    def send(
        self,
        message: Message,
        *,
        edits: Receipt | None = None,
        thread: Receipt | None = None,
        seek_since: int | None = None,
    ) -> Receipt:
        """Tell it as plain text."""
        del thread, seek_since
        notice = notice_of(message)
        taken = self._apprise.notify(
            body=text(notice), title=notice.title, notify_type=kind(notice), body_format=NotifyFormat.TEXT
        )
        if not taken:
            raise SendFailed(f"apprise could not tell {self._to.name}", "unknown")
        return edits or Receipt(self._to.address, message.key)


def text(notice: Notice) -> str:
    change = f"\n\nThe change: {notice.change}" if notice.change else ""
    return (fit_lines(notice.text, MOST_TEXT) or notice.title) + change


def kind(notice: Notice) -> NotifyType:
    return NotifyType.SUCCESS if notice.event == "resolved" else TYPES[notice.severity]
