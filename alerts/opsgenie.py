"""Opsgenie, by its Alert API (which Jira Service Management answers to as well).

In: a message. Out: a receipt, or SendFailed. Never: an alert for what is over already.
Takes: secret (the key of an API integration), url (another region's, if any).

The incident's id is the alert's `alias`, so what is sent twice is one alert. What came back
has another (plain.alerts).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from alerts import web
from alerts.messages import Message
from alerts.mrkdwn import clipped, fit_lines
from alerts.notices import Notice
from alerts.outbox import Receipt
from alerts.receivers import Receiver, notice_of

URL = "https://api.opsgenie.com"
PRIORITIES = {"critical": "P1", "warning": "P3", "info": "P5"}
MOST_MESSAGE, MOST_DESCRIPTION, MOST_NOTE, MOST_ENTITY = 130, 15_000, 15_000, 512


class Opsgenie:
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
        """Create; later set the priority and add a note, or close. What was over before wakes nobody."""
        del thread
        notice = notice_of(message)
        if notice.event == "digest":
            pass
        elif edits is None and notice.event != "resolved":
            self._call("POST", "", alert(notice))
        elif notice.event == "resolved" and (edits is not None or seek_since is not None):
            for name in notice.names:
                self._call("POST", _of(name, "close"), _note(notice))
        elif notice.event != "resolved" and notice.acknowledged:
            for name in notice.names:
                self._call("POST", _of(name, "acknowledge"), _note(notice))
        elif notice.event != "resolved":
            name = notice.names[0]
            if name != notice.incident:
                self._call("POST", "", alert(notice))  # of one that is there already nothing new is made
            self._call("PUT", _of(name, "priority"), {"priority": PRIORITIES[notice.severity]})
            self._call("POST", _of(name, "notes"), _note(notice))
        return edits or Receipt(self._to.address, message.key)

    def _call(self, method: str, path: str, said: dict[str, Any]) -> None:
        key = self._to.secret
        web.call(
            f"Opsgenie ({self._to.name})",
            (self._to.url or URL).rstrip("/") + "/v2/alerts" + path,
            said,
            {"Authorization": f"GenieKey {key}"},
            secret=key,
            method=method,
        )


def alert(notice: Notice) -> dict[str, Any]:
    """The fields of a new alert."""
    services = dict.fromkeys(part.service for part in notice.parts)
    text = notice.text + (f"\n\nThe change: {notice.change}" if notice.change else "")
    said: dict[str, Any] = {
        "message": clipped(notice.title, MOST_MESSAGE),
        "alias": notice.names[0],
        "description": fit_lines(text, MOST_DESCRIPTION),
        "priority": PRIORITIES[notice.severity],
        "source": "Stillwatch",
        "entity": clipped(", ".join(services), MOST_ENTITY),
        "details": {"severity": notice.severity, "incident": notice.incident},
    }
    return said


def _of(name: str, what: str) -> str:
    return f"/{quote(name, safe='')}/{what}?identifierType=alias"


def _note(notice: Notice) -> dict[str, str]:
    return {"source": "Stillwatch", "note": fit_lines(f"{notice.title}\n{notice.text}", MOST_NOTE)}
