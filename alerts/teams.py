"""Microsoft Teams, by the address of a workflow ("when a Teams webhook request is received").

In: a message. Out: a receipt, or SendFailed. Never: markdown (a RichTextBlock knows none), a mention.
Takes: url (which is the secret).

A workflow can neither be asked what it posted nor edit it: each event is a card, and one whose answer was lost
may come twice.
"""

from __future__ import annotations

import json
from typing import Any

from alerts import web
from alerts.messages import Message
from alerts.mrkdwn import fit_lines
from alerts.notices import Notice
from alerts.outbox import Receipt
from alerts.receivers import Receiver, notice_of

MOST_BYTES = 25_000  # Teams takes 28 KB
MOST_TEXT = (6000, 3000, 1500)  # characters: the first with which a card is no larger
COLOURS = {"critical": "attention", "warning": "warning", "info": "accent"}


class Teams:
    def __init__(self, receiver: Receiver) -> None:
        self._to = receiver

    def send(
        self,
        message: Message,
        *,
        edits: Receipt | None = None,
        thread: Receipt | None = None,
        seek_since: int | None = None,
    ) -> Receipt:
        """Post a card."""
        del thread, seek_since
        web.call(f"Teams ({self._to.name})", self._to.url, fitting(notice_of(message)), secret=self._to.url)
        return edits or Receipt(self._to.address, message.key)


def fitting(notice: Notice) -> dict[str, Any]:
    """The card with as much of its text as Teams takes."""
    cards = (card(notice, most) for most in MOST_TEXT)
    small = (one for one in cards if len(json.dumps(one, ensure_ascii=False).encode()) <= MOST_BYTES)
    return next(small, card(notice, 0))


def card(notice: Notice, most: int) -> dict[str, Any]:
    """The message with its Adaptive Card, as a workflow takes it; of its text at most so many characters."""
    colour = "good" if notice.event == "resolved" else COLOURS[notice.severity]
    lines = [line for line in fit_lines(notice.text, most).split("\n") if line.strip()]
    body = [_block(notice.title, weight="bolder", size="medium", color=colour), *map(_block, lines)]
    content: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": notice.title,
        "msteams": {"width": "Full"},
        "body": body,
    }
    if notice.change:
        content["actions"] = [{"type": "Action.OpenUrl", "title": "Open the change", "url": notice.change}]
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "contentUrl": None, "content": content}]}


def _block(text: str, **style: str) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}
