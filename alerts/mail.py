"""E-mail: one letter for each event, those of an incident in one thread.

In: a message. Out: a receipt, or SendFailed. Never: a password or a letter over an open line, save on this machine;
a header that came from outside.
Takes: url (`smtp://host:587` with STARTTLS, `smtps://host:465`), sender, to; user and secret if it asks for them.

A letter whose answer was lost is sent again with the same Message-ID, and most mailboxes then show it once.
"""

from __future__ import annotations

import hashlib
import logging
import smtplib
import socket
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import urlsplit

from alerts.jsonl import utc
from alerts.messages import Message
from alerts.mrkdwn import clipped, fit_lines
from alerts.notices import Notice
from alerts.outbox import Outcome, Receipt, SendFailed
from alerts.receivers import Receiver, notice_of
from alerts.web import is_loopback

log = logging.getLogger(__name__)

TIMEOUT = 10  # seconds
MOST_SUBJECT, MOST_TEXT = 200, 20_000
PORTS = {"smtp": 587, "smtps": 465}
NEVER_SENT = (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)


class Mail:
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
        """Hand it to the server. Raises SendFailed."""
        del thread, seek_since
        self._hand_over(letter(self._to, message.key, notice_of(message), self._now()))
        return edits or Receipt(self._to.address, message.key)

    def _hand_over(self, one: EmailMessage) -> None:
        name = f"the mail server ({self._to.name})"
        try:
            server = self._connected()
            try:
                refused = server.send_message(one, self._to.sender, list(self._to.to))
            finally:
                server.close()  # without QUIT: what it answers to that says nothing about the letter
        except smtplib.SMTPAuthenticationError as error:
            raise SendFailed(f"{name} lets us not in ({error.smtp_code})", "no_credentials") from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            said = f"{name} takes letters for none of the recipients"
            raise SendFailed(f"{said} ({', '.join(map(str, codes))})", "permanent") from None
        except smtplib.SMTPResponseException as error:
            # 421 is said of everything; the rest of this letter alone, and a greylist wants minutes anyhow.
            outcome: Outcome = "refused" if error.smtp_code == 421 else "permanent"
            raise SendFailed(f"{name} refuses ({error.smtp_code})", outcome) from None
        except smtplib.SMTPNotSupportedError:
            raise SendFailed(f"{name} offers no STARTTLS or no login", "permanent") from None
        except (OSError, smtplib.SMTPException) as error:
            outcome = "refused" if isinstance(error, NEVER_SENT) else "unknown"
            raise SendFailed(f"no answer from {name} ({type(error).__name__})", outcome) from None
        for code, _ in refused.values():
            log.warning("%s refuses some recipients (%d)", name, code)

    def _connected(self) -> smtplib.SMTP:
        parts = urlsplit(self._to.url)
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        context = ssl.create_default_context()
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=context)
        else:
            server = smtplib.SMTP(host, port, timeout=TIMEOUT)
        try:
            server.ehlo_or_helo_if_needed()
            if parts.scheme == "smtp" and (server.has_extn("starttls") or not is_loopback(self._to.url)):
                server.starttls(context=context)
            if self._to.user:
                server.login(self._to.user, self._to.secret)
        except BaseException:
            server.close()
            raise
        return server


def letter(to: Receiver, key: str, notice: Notice, now: int) -> EmailMessage:
    """Plain text. The id comes from the key: the same news is the same letter."""
    one = EmailMessage(policy=SMTP)
    one["Subject"] = clipped(notice.title, MOST_SUBJECT)
    one["From"] = to.sender
    one["To"] = ", ".join(to.to)
    one["Date"] = format_datetime(utc(now))
    one["Message-ID"] = _id(to, key)
    if key != notice.incident:
        one["In-Reply-To"] = one["References"] = _id(to, notice.incident)
    one["Auto-Submitted"] = "auto-generated"
    change = f"\n\nThe change: {notice.change}" if notice.change else ""
    one.set_content(fit_lines(notice.text, MOST_TEXT) + change + "\n", cte="quoted-printable")
    return one


def _id(to: Receiver, key: str) -> str:
    digest = hashlib.sha256(f"{to.name}/{key}".encode("utf-8", "replace")).hexdigest()[:32]
    return f"<{digest}@{to.sender.rpartition('@')[2]}>"
