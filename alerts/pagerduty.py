"""PagerDuty, by its Events API v2: an incident of ours is an alert there.

In: a message. Out: a receipt, or SendFailed. Never: a page for what is over already.
Takes: secret (the integration key of a service), url (another region's, if any).

The incident's id is the `dedup_key`, so what is sent twice is one alert. What came back
has another (plain.alerts).
"""

from __future__ import annotations

from typing import Any

from alerts import web
from alerts.jsonl import moment
from alerts.messages import Message
from alerts.mrkdwn import clipped, fit_lines
from alerts.notices import Notice
from alerts.outbox import Receipt
from alerts.receivers import Receiver, notice_of

URL = "https://events.pagerduty.com"
MOST_SUMMARY = 1024
MOST_DETAIL = 8000  # characters; a whole event may have 512 KB


class PagerDuty:
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
        """Trigger, acknowledge or resolve. What was over before it could be told wakes nobody."""
        del thread
        notice = notice_of(message)
        late = notice.event == "resolved" and edits is None and seek_since is None
        if not late and notice.event != "digest":
            url = (self._to.url or URL).rstrip("/") + "/v2/enqueue"
            for said in events(notice):
                body = {"routing_key": self._to.secret, **said}
                web.call(f"PagerDuty ({self._to.name})", url, body, secret=self._to.secret)
        return edits or Receipt(self._to.address, message.key)


def events(notice: Notice) -> list[dict[str, Any]]:
    """The fields of what is sent, without its key: one event, or one for each alert that is to ring no longer.
    PagerDuty knows our severities by the same names."""
    action = "resolve" if notice.event == "resolved" else "acknowledge" if notice.acknowledged else "trigger"
    if action != "trigger":
        return [{"event_action": action, "dedup_key": name} for name in notice.names]
    said: dict[str, Any] = {"event_action": action, "dedup_key": notice.names[0]}
    services = ", ".join(dict.fromkeys(part.service for part in notice.parts))
    payload = {
        "summary": clipped(notice.title, MOST_SUMMARY),
        "source": clipped(services, MOST_SUMMARY) or "stillwatch",
        "severity": notice.severity,
        "timestamp": moment(min((part.since for part in notice.parts), default=notice.time)),
        "component": notice.parts[0].signal if notice.parts else "",
        "group": notice.parts[0].owner if notice.parts else "",
        "class": notice.parts[0].kind if notice.parts else "",
        "custom_details": {"text": fit_lines(notice.text, MOST_DETAIL)},
    }
    said |= {"client": "Stillwatch", "payload": {k: v for k, v in payload.items() if v}}
    return [said | ({"links": [{"href": notice.change, "text": "The change"}]} if notice.change else {})]
