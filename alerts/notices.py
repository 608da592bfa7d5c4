"""News for a place that has fields of its own instead of Slack's blocks: the same words, as plain text. Pure.

In: an event. Out: what a sender needs to fill its place's fields.
Never: markup, a control character from outside, a line longer than its place says (senders cut by `fit`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from alerts.harm import Severity

# EventName and the digest. One Literal: a union of two cannot be kept (see packed.py).
NoticeEvent = Literal["opened", "updated", "resolved", "digest"]


@dataclass(frozen=True, slots=True)
class Part:
    """One signal of an incident, named as it is. since, until: epoch seconds, until 0 = it goes on. said: its
    headline, inert."""

    service: str
    signal: str
    kind: str
    owner: str
    since: int
    until: int
    said: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What happened, in plain text. title, text: inert (mrkdwn.inert), so nobody need escape them again.

    event, incident, number, severity: of the event; a digest is of many incidents and pages nobody.
    time: epoch seconds. title: one line. text: more lines.
    acknowledged: somebody looks at it since then (epoch seconds), 0 = nobody yet.
    change: address of the change that probably did it, empty where there is none. line: as in alerts.jsonl,
    empty for what Stillwatch says of itself. alerts: what a pager calls it, see plain.alerts; empty: the incident.
    """

    event: NoticeEvent
    incident: str
    number: int
    severity: Severity
    time: int
    title: str
    text: str = ""
    parts: tuple[Part, ...] = ()
    change: str = ""
    line: str = ""
    acknowledged: int = 0
    alerts: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The alerts that a pager may have of it; news belongs to the first."""
        return self.alerts or (self.incident,)


def is_address(channel: str) -> bool:
    """Whether it is a receiver's address, where fields are read and no blocks; no channel of Slack's."""
    return ":" in channel
