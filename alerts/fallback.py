"""What its own place will not take, for another one: the same message, and why it comes here. Pure.

In: a message, where it goes instead, what the failure said. Out: a message, or None where the other place has no
use for it (replies and pictures of Slack's elsewhere). Its key stays, so it stands there once, whatever else leads
there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alerts.messages import Message
from alerts.mrkdwn import clipped, inert, plain
from alerts.notices import is_address

MOST_WHY = 200  # characters
MOST_HEADER, MOST_SECTION = 145, 2900


def diverted(message: Message, to: str, why: str) -> Message | None:
    """In the fields, and in blocks, that the other place reads."""
    if message.notice is None and is_address(to):
        return None
    said = f"Meant for {message.channel}, which does not take it: {why}"
    notice = message.notice
    if notice is not None:
        notice = replace(notice, text=f"{notice.text}\n\n{inert(clipped(said, MOST_WHY))}".strip())
    blocks = message.blocks or _blocks(message)
    if message.chart is None:
        text = {"type": "mrkdwn", "text": plain(said, MOST_WHY), "verbatim": True}
        blocks = (*blocks, {"type": "context", "elements": [text]})
    return replace(message, channel=to, blocks=blocks, notice=notice)


def _blocks(message: Message) -> tuple[dict[str, Any], ...]:
    """What has fields only, or words only, for Slack: as plain text, in which nothing is markup."""
    if message.chart is not None:
        return ()
    notice = message.notice
    if notice is None:
        return ({"type": "section", "text": {"type": "mrkdwn", "text": message.text, "verbatim": True}},)
    header = {"type": "header", "text": {"type": "plain_text", "text": notice.title[:MOST_HEADER]}}
    if not notice.text.strip():
        return (header,)
    text = {"type": "plain_text", "text": notice.text[:MOST_SECTION]}
    return (header, {"type": "section", "text": text})
