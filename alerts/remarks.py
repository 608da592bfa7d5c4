"""What people said of an incident, in words: lines under its card, and what is told when a silence ends. Pure.

In: an incident's newest event, the silences that mute it, what was said, what is to be put back. Out: lines in
mrkdwn, messages.
Never: an unescaped word from outside; a remark on what is over that speaks of what is to come.
"""

from __future__ import annotations

from collections.abc import Sequence

from alerts import rollbacks
from alerts.incidents import Event, Incident
from alerts.messages import SAID, Message, card, plain_text
from alerts.mrkdwn import code, escape, fit, unbroken
from alerts.rollbacks import Offer, Rollback
from alerts.silences import Silence, until
from alerts.wording import clock, summary
from collector.words import Word

MOST_LINES = 8
MOST_BACK = 3
MOST_NAMED = 2  # silences, and people who acknowledge


def remarks(
    event: Event, silences: Sequence[Silence], words: Sequence[Word], back: Sequence[Rollback] = ()
) -> tuple[str, ...]:
    """The lines under the card. silences: those that mute the incident (of silences.muting); words: all of it, as
    they were said; back: what was asked to be put back."""
    over, lines = event.event == "resolved", list[str]()
    acknowledged = [word for word in words if word.kind == "acknowledge"]
    if acknowledged:
        said = [f"{code(w.who, 40)} at {clock(w.time, event.incident.opened)} UTC" for w in acknowledged]
        lines.append(f"✋ Acknowledged by {', '.join(said[:MOST_NAMED])}")
    lines += [rollbacks.line(one, event.incident.opened) for one in back[:MOST_BACK]]
    for word in words:
        if word.kind == "not this deployment":
            of = f" {code(word.service, 40)} of" if word.service else ""
            lines.append(f"❌ Not{of} {code(word.deployment, 60)}, says {code(word.who, 40)}")
    closing = [word for word in words if word.kind == "not a problem"]
    if closing and not over:
        lines.append(
            f"⚪ Not a problem, says {code(closing[0].who, 40)}: closed when this interval is judged"
        )
    if silences and not over:
        lines.append(f"🔕 {_silenced(event.incident, silences)}")
    return tuple(lines[:MOST_LINES])


def answered(wanted: Rollback, channel: str, tries: int, now: int) -> Message:
    """What a pipeline answered, beneath the card. tries: how often it was asked for."""
    text = rollbacks.line(wanted, now)
    key = f"{wanted.incident}{SAID}{wanted.key}:{tries}"
    return Message(key, channel, text, _section(text), reply_to=wanted.incident)


def reminded(wanted: Rollback, channel: str, now: int) -> Message:
    """That it is not known to be put back, beneath the card and in the channel."""
    text = rollbacks.unfinished(wanted, now)
    key = f"{wanted.incident}{SAID}{wanted.key}:unfinished:{wanted.time}"
    return Message(key, channel, text, _section(text), reply_to=wanted.incident, broadcast=True)


def edited(
    event: Event, channel: str, key: str, lines: Sequence[str], pressable: bool, offers: Sequence[Offer] = ()
) -> Message:
    """The card with other remarks. key: of this edit. pressable, offers: see messages.word."""
    blocks = tuple(card(event, lines, pressable, offers))
    return Message(key, channel, plain_text(event), blocks, replaces=event.incident.id)


def told_now(event: Event, channel: str, key: str, stands: bool) -> tuple[Message, ...]:
    """What is said when the silence of an open incident ends. stands: people have seen its card before, so that
    the channel hears of it again; else the card itself comes now, and this with the chart beneath it."""
    incident = event.incident
    said = summary(incident, event.time, lambda name: code(name, 40))
    text = f"🔔 Silenced until now, and not over: {said}"
    reply = Message(key, channel, text, _section(text), reply_to=incident.id, broadcast=stands)
    if stands or all(f.trace is None for f in incident.findings):
        return (reply,)
    picture = escape(fit(f"Chart. {summary(incident, event.time, lambda name: fit(name, 40))}", 300))
    return (reply, Message(f"{key}:chart", channel, picture, reply_to=incident.id, chart=incident))


def _silenced(incident: Incident, silences: Sequence[Silence]) -> str:
    """`Silenced until 15:05 UTC by ...: ...`"""
    end = until(silences, incident)
    when = f"until {clock(end, incident.opened)} UTC" if end else "until it is over"
    named = [
        f"{code(one.author, 40)}{f': {code(one.comment, 120)}' if one.comment.strip() else ''}"
        for one in silences[:MOST_NAMED]
    ]
    return f"Silenced {when} by {', '.join(named)}"


def _section(text: str) -> tuple[dict[str, object], ...]:
    return ({"type": "section", "text": {"type": "mrkdwn", "text": unbroken(text), "verbatim": True}},)
