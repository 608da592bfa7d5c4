"""The words for places without Slack's blocks: an event becomes one message with plain fields. Pure.

In: an event, an address. Out: a message; of one incident each replaces the one before.
Never: what a place could take for a mention, a link or markup; an unprintable character; news of its own.
"""

from __future__ import annotations

import re
from dataclasses import replace

from alerts import jsonl, messages
from alerts.blame import culprits
from alerts.incidents import Event
from alerts.messages import Message
from alerts.mrkdwn import address, clipped, inert
from alerts.notices import Notice, Part
from alerts.terminal_lines import lines
from alerts.wording import headline
from detectors.findings import Finding

LINK = re.compile(r"<[^<>|]*\|([^<>]*)>")
MOST_TITLE = 160
MOST_BACK = 400  # characters of what became of a rollback, which says what to do at its end
MOST_NAME = 200  # characters of a name from outside


def word(event: Event, channel: str, first: bool) -> tuple[Message, ...]:
    """What to say of an event; `first`: nobody there has heard of the incident yet.

    One message: a later one waits behind it, and while it waits gives way to a newer one.
    """
    if not first and messages.is_known(event):
        return ()
    said = notice(event)
    key = event.incident.id
    if first:
        return (Message(key, channel, said.title, notice=said),)
    return (Message(f"{key}:{event.number}", channel, said.title, replaces=key, notice=said),)


def again(event: Event, channel: str) -> Message:
    """A reminder, for as long as it is open and nobody looks at it."""
    said = notice(event)
    said = replace(said, event="updated", title=clipped(f"Still open: {said.title}", MOST_TITLE))
    return Message(f"{event.incident.id}:again:1", channel, said.title, notice=said)


def until_now(event: Event, channel: str, key: str) -> Message:
    """What a place that knows of an open incident is told when its silence ends. key: of this message."""
    said = notice(event)
    said = replace(said, event="updated", title=clipped(f"Silenced until now: {said.title}", MOST_TITLE))
    return Message(key, channel, said.title, replaces=event.incident.id, notice=said)


def put_back(event: Event, channel: str, key: str, line: str, since: int) -> Message:
    """What was asked of a pipeline and what became of it; `line` in mrkdwn. Who asked is on it, `since` then (epoch
    seconds). key: of this message."""
    section = {"type": "section", "text": {"type": "mrkdwn", "text": LINK.sub(r"\1", line)}}
    bare = "".join(text.strip("`") for text, _ in lines("", [section], None)[0]).replace("\u00a0", " ")
    title = clipped(inert(bare), MOST_BACK)
    said = replace(notice(event), event="updated", title=title, acknowledged=since)
    return Message(key, channel, title, replaces=event.incident.id, notice=said)


def notice(event: Event) -> Notice:
    """The fields; text has the lines of Slack's card without their markup, after what is new in this event."""
    incident = event.incident
    return Notice(
        event=event.event,
        incident=incident.id,
        number=event.number,
        severity=incident.severity,
        time=event.time,
        title=inert(messages.title(event)),
        text=_text(event),
        parts=tuple(_part(finding, event.time) for finding in incident.findings),
        change=next((url for s in culprits(incident) if (url := address(s.deployment.url))), ""),
        line=jsonl.line(event),
        alerts=alerts(event),
    )


def alerts(event: Event) -> tuple[str, ...]:
    """The names under which a pager may know the incident: its id, and one for each return that was told, for a
    pager rings no second time for an alert that it has. News belongs to the first of them, the newest; where
    somebody looks at it, or what came back is not worth a page, to the oldest."""
    incident = event.incident
    told = [1 << power for power in reversed(range(incident.returns.bit_length()))]
    names = *(f"{incident.id}:{returns}" for returns in told), incident.id
    small = event.reason in ("worse", "recovering") and not (event.back or event.rose)
    return names[::-1] if incident.acknowledged or small else names


def _text(event: Event) -> str:
    card = [one for one in messages.card(event)[1:] if one["type"] != "actions"]  # its header is the title
    texts = [text for block in card for text in block.get("elements", [block.get("text")])]
    texts = [one["text"] for one in messages.changes(event)] + texts
    # What a label leads to is in `change`; an address among the words would be made inert.
    read = [{"type": "section", "text": {**text, "text": LINK.sub(r"\1", text["text"])}} for text in texts]
    bare = (
        "".join(text.strip("`") if style == "code" else text for text, style in line)
        for line in lines("", read, None)
    )
    return inert("\n".join(line.replace("\u00a0", " ").rstrip() for line in bare))


def _part(finding: Finding, now: int) -> Part:
    over = finding.phase == "cleared"
    return Part(
        service=clipped(finding.signal.service, MOST_NAME),
        signal=clipped(finding.signal.name, MOST_NAME),
        kind=finding.kind,
        owner=clipped(finding.signal.owner, MOST_NAME),
        since=finding.onset,
        until=(finding.recovered or now) if over else 0,
        said=inert(headline(finding, now, lambda name: clipped(name, 40))),
    )
