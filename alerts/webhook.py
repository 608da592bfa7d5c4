"""A webhook of anybody's: each event as JSON, signed so that its reader knows it came from us.

In: a message. Out: a receipt, or SendFailed. Never: a secret in the clear, a clock of its own.
Takes: url, and secret if bodies are to be signed.

A reader checks `Stillwatch-Signature: t=SECONDS,v1=HEX`: HEX is HMAC-SHA256 with the secret over `SECONDS.BODY`.
What was perhaps taken is sent again: `Stillwatch-Key` is the same then.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from alerts import web
from alerts.jsonl import moment
from alerts.messages import Message
from alerts.notices import Notice
from alerts.outbox import Receipt
from alerts.receivers import Receiver, notice_of


class Webhook:
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
        """POST one event. Nothing can be looked for there, nor edited: the reader knows it by its key."""
        del thread, seek_since
        raw = json.dumps(body(message.key, notice_of(message))).encode()
        headers = {"Stillwatch-Key": message.key.encode("ascii", "backslashreplace").decode()}
        if self._to.secret:
            headers["Stillwatch-Signature"] = signature(self._to.secret, self._now(), raw)
        web.call(f"the webhook {self._to.name}", self._to.url, raw, headers, secret=self._to.secret)
        return edits or Receipt(self._to.address, message.key)


def body(key: str, notice: Notice) -> dict[str, Any]:
    """The line of alerts.jsonl, with `key`, and the words for people as `title` and `text`."""
    said: dict[str, Any] = {
        "time": moment(notice.time),
        "event": notice.event,
        "incident": notice.incident,
        "severity": notice.severity,
    }
    if notice.line:
        said = json.loads(notice.line)
    # A reminder is no second opening, whatever the line says that it was made of.
    return {**said, "event": notice.event, "key": key, "title": notice.title, "text": notice.text}


def signature(secret: str, now: int, body: bytes) -> str:
    """Of a body that is sent at `now` (epoch seconds)."""
    signed = f"{now}.".encode() + body
    return f"t={now},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
