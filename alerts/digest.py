"""The digest: what was not worth a page, once a day in one message. Pure.

In: deliveries that were kept for it. Out: a message for each channel and digest, always the same for the same.
Never: an incident twice in one digest; more than Slack takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from alerts.messages import Message
from alerts.mrkdwn import clipped
from alerts.notices import Notice
from alerts.outbox import Delivery

MOST = 40  # incidents that are named
MOST_LINE = 220  # characters; cut only between words of ours, for a text of Slack's is never longer
LINES = 10  # in one block
DAY = 86400  # seconds


def compose(kept: Sequence[Delivery]) -> list[Message]:
    """One message for each channel and due time, of the newest that is known of each incident."""

    def when(one: Delivery) -> tuple[str, int]:
        return one.message.channel, one.message.due

    found = []
    for (channel, due), group in groupby(sorted(kept, key=when), key=when):
        newest = {one.incident: one.message for one in group if not one.message.reply_to}
        if newest:
            found.append(_digest(channel, due, list(newest.values())))
    return found


def next_day(one: Delivery, now: int) -> Delivery:
    """Kept for the first digest after `now` (epoch seconds)."""
    days = (now - one.message.due) // DAY + 1
    return replace(one, message=replace(one.message, due=one.message.due + days * DAY))


def _digest(channel: str, due: int, told: Sequence[Message]) -> Message:
    key = f"digest:{due}"
    things = "1 thing that was" if len(told) == 1 else f"{len(told)} things that were"
    title = f"Digest: {things} not worth a page"
    lines = [one.text for one in told[:MOST]]
    if len(told) > MOST:
        lines.append(f"and {len(told) - MOST} more")
    if all(one.notice is not None for one in told):
        text = "\n".join(clipped(line, MOST_LINE) for line in lines)
        notice = Notice("digest", key, 1, "info", due, title, text)
        return Message(key, channel, title, notice=notice)
    texts = ["\n".join(lines[i : i + LINES]) for i in range(0, len(lines), LINES)]
    header = {"type": "header", "text": {"type": "plain_text", "text": title}}
    sections = [
        {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}} for text in texts
    ]
    return Message(key, channel, title, (header, *sections))
