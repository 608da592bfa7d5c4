"""E-mail, to a real SMTP server: over TLS, with a login, in one thread, and what its refusals mean."""

from __future__ import annotations

import email
import email.policy
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import examples
import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from alerts import plain
from alerts.mail import Mail, letter
from alerts.messages import Message
from alerts.outbox import SendFailed
from alerts.receivers import Receiver

NOW = 1_649_831_820
TO = ("on-call@example.com", "imports@example.com")


class Post:
    """Keeps what it is handed; refuses what it is told to refuse."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.refuse: dict[str, str] = {}  # a recipient, or DATA -> an answer

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if "DATA" in self.refuse:
            return self.refuse["DATA"]
        assert isinstance(envelope.content, bytes)
        letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        return "250 OK"


def login(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    assert isinstance(data, LoginPassword)
    good = (data.login, data.password) == (b"stillwatch", b"pa55")
    return AuthResult(success=good, handled=False)


@contextmanager
def running(post: Post, **options: Any) -> Iterator[int]:
    port = free_port()
    server = Controller(post, hostname="127.0.0.1", port=port, **options)
    server.start()
    try:
        yield port
    finally:
        server.stop()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """For the server; clients that read the environment trust it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def receiver(port: int, **changes: Any) -> Receiver:
    made = Receiver("m", "email", f"smtp://127.0.0.1:{port}", sender="stillwatch@example.com", to=TO)
    return replace(made, **changes)


def mail(port: int, **changes: Any) -> Mail:
    return Mail(receiver(port, **changes), lambda: NOW)


def words(event: Any = None, first: bool = True) -> Message:
    (message,) = plain.word(event or examples.error_spike(), "email:m", first)
    return message


def test_a_letter_says_what_happened_to_all_recipients() -> None:
    post = Post()
    with running(post) as port:
        mail(port).send(words())
    (letter,) = post.letters
    assert letter["Subject"].startswith("🔴 Errors: 31 % of imports fail")
    assert letter["To"] == "on-call@example.com, imports@example.com"
    assert letter["From"] == "stillwatch@example.com"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Date"].datetime.timestamp() == NOW
    assert letter.get_content_type() == "text/plain"
    assert "Suspect: contact-importer 3.45.0" in letter.get_content()


def test_letters_of_one_incident_are_one_thread_and_the_same_news_is_the_same_letter() -> None:
    post = Post()
    with running(post) as port:
        place = mail(port)
        place.send(words())
        place.send(words())
        over = replace(examples.error_spike(), event="resolved", reason="recovered", number=2)
        place.send(words(over, first=False))
    first, again, last = post.letters
    assert first["Message-ID"] == again["Message-ID"] != last["Message-ID"]
    assert last["References"] == last["In-Reply-To"] == first["Message-ID"]
    assert first["References"] is None


def test_a_server_with_starttls_gets_login_and_letter_over_tls_only(tls: ssl.SSLContext) -> None:
    post = Post()
    needed = {"auth_required": True, "auth_require_tls": True, "require_starttls": True, "tls_context": tls}
    with running(post, authenticator=login, **needed) as port:
        mail(port, user="stillwatch", secret="pa55").send(words())
        assert len(post.letters) == 1
        with pytest.raises(SendFailed) as failed:
            mail(port, user="stillwatch", secret="wr0ng").send(words())
    assert failed.value.outcome == "no_credentials"
    assert "wr0ng" not in str(failed.value)


def test_smtps_speaks_tls_from_the_beginning(tls: ssl.SSLContext) -> None:
    post = Post()
    with running(post, ssl_context=tls) as port:
        mail(port, url=f"smtps://127.0.0.1:{port}").send(words())
    assert len(post.letters) == 1


def test_a_server_that_nobody_vouches_for_gets_nothing(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    post = Post()
    with running(post, require_starttls=True, tls_context=tls) as port, pytest.raises(SendFailed) as failed:
        mail(port).send(words())
    assert failed.value.outcome == "refused"
    assert post.letters == []


def test_a_server_elsewhere_without_starttls_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.mail.is_loopback", lambda url: False)
    post = Post()
    with running(post) as port, pytest.raises(SendFailed, match="no STARTTLS") as failed:
        mail(port).send(words())
    assert failed.value.outcome == "permanent"
    assert post.letters == []


@pytest.mark.parametrize(
    ("refuse", "outcome"),
    [
        ({"DATA": "421 closing"}, "refused"),
        ({"DATA": "451 greylisted"}, "permanent"),
        ({"DATA": "554 never"}, "permanent"),
        (dict.fromkeys(TO, "550 unknown"), "permanent"),
        ({TO[0]: "550 unknown", TO[1]: "450 full"}, "permanent"),
    ],
)
def test_every_refusal_has_its_outcome(refuse: dict[str, str], outcome: str) -> None:
    post = Post()
    post.refuse = refuse
    with running(post) as port, pytest.raises(SendFailed) as failed:
        mail(port).send(words())
    assert failed.value.outcome == outcome


def test_one_recipient_that_is_refused_takes_the_letter_from_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    post = Post()
    post.refuse = {TO[0]: "550 unknown"}
    with running(post) as port:
        mail(port).send(words())
    assert len(post.letters) == 1
    assert "refuses some recipients (550)" in caplog.text


def test_nobody_there_means_not_taken() -> None:
    with pytest.raises(SendFailed) as failed:
        mail(free_port()).send(words())
    assert failed.value.outcome == "refused"


@pytest.mark.parametrize("title", ["a\r\nBcc: x@example.com", "a\nb", "\r\n\r\n<html>", "x" * 5000])
def test_nothing_in_a_title_becomes_a_header(title: str) -> None:
    notice = words().notice
    assert notice is not None
    one = letter(receiver(25), "k", replace(notice, title=title), NOW)
    raw = one.as_bytes()
    head = raw.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
    assert b"Bcc" not in names
    assert len(names) == len(set(names))
    assert len(str(one["Subject"])) <= 200
