"""Alertmanager's v2 API: each signal of an incident is an alert there, so a team's own routing goes on working.

In: a message. Out: a receipt, or SendFailed. Never: a label that changes while the alert is open, save severity.
Takes: url (that of its web page).

Alertmanager forgets: an alert is open until its `endsAt`, so what is open is said again every REFRESH seconds.
Labels: alertname (the kind of fault), service, signal, owner, severity, incident. A severity that rose is another
alert to Alertmanager; the one that it was is ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alerts import web
from alerts.harm import RANKS
from alerts.jsonl import moment
from alerts.messages import Message
from alerts.mrkdwn import fit_lines
from alerts.notices import Notice, Part
from alerts.outbox import Receipt
from alerts.receivers import Receiver, notice_of

REFRESH = 60  # seconds
OPEN_FOR = 600  # seconds for which an alert stays open when we cannot say it again
MOST_TEXT = 4000  # characters of a description


class Alertmanager:
    def __init__(self, receiver: Receiver, now: Callable[[], int]) -> None:
        self._to = receiver
        self._now = now

    def send(
        self,
        message: Message,
        *,
        edits: Receipt | None = None,
        thread: Receipt | None = None,
        seek_since: int | None = None,
    ) -> Receipt:
        """Say how it stands; the same said twice is the same to Alertmanager, so nobody looks before."""
        del thread, seek_since
        url = self._to.url.rstrip("/") + "/api/v2/alerts"
        said = alerts(notice_of(message), self._now())
        if said:
            web.call(f"the Alertmanager {self._to.name}", url, said)
        return edits or Receipt(self._to.address, message.key)


def alerts(notice: Notice, now: int) -> list[dict[str, Any]]:
    """What to POST at `now` (epoch seconds): every signal as it stands, and the ends of lower severities."""
    parts = notice.parts
    stand = [_alert(notice, part, notice.severity, _end(notice, part, now)) for part in parts]
    if notice.number == 1:
        return stand
    lower = RANKS[: RANKS.index(notice.severity)]
    return stand + [_alert(notice, part, severity, notice.time) for part in parts for severity in lower]


def _alert(notice: Notice, part: Part, severity: str, end: int) -> dict[str, Any]:
    labels = {
        "alertname": part.kind,
        "service": part.service,
        "signal": part.signal,
        "owner": part.owner,
        "severity": severity,
        "incident": notice.incident,
    }
    notes = {
        "summary": part.said,
        "description": fit_lines(notice.title + "\n" + notice.text, MOST_TEXT),
        "change": notice.change,
    }
    said: dict[str, Any] = {
        "labels": {name: value for name, value in labels.items() if value.strip()},
        "annotations": {name: value for name, value in notes.items() if value},
        "startsAt": moment(part.since),
        "endsAt": moment(max(end, part.since + 1)),  # Alertmanager refuses an end before the start
    }
    return said | ({"generatorURL": notice.change} if notice.change else {})


def _end(notice: Notice, part: Part, now: int) -> int:
    if notice.event == "resolved":
        return min(part.until or notice.time, now)
    return part.until or now + OPEN_FOR
