"""A webhook: what its reader gets, how it knows that it came from us, and what each answer means."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket

import examples
import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_server import Reply, Request, WebServer

from alerts import jsonl, plain
from alerts.messages import Message
from alerts.outbox import Receipt, SendFailed
from alerts.receivers import Receiver
from alerts.web import refusal
from alerts.webhook import Webhook, signature
from stillwatch.selfwatch import sight

SECRET = "a-long-secret"
NOW = 1_649_831_820


def verified(request: Request, now: int) -> bool:
    """What the documents tell a reader to do."""
    fields = dict(part.split("=", 1) for part in request.headers["stillwatch-signature"].split(","))
    wanted = hmac.new(SECRET.encode(), f"{fields['t']}.".encode() + request.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, fields["v1"]) and abs(now - int(fields["t"])) <= 300


def hook(server: WebServer, secret: str = SECRET) -> Webhook:
    return Webhook(Receiver("hook", "webhook", server.url + "/in", secret), lambda: NOW)


def opened() -> Message:
    (message,) = plain.word(examples.error_spike(), "webhook:hook", first=True)
    return message


def test_a_reader_that_knows_the_secret_lets_it_in_and_reads_the_line_and_the_words() -> None:
    def let_in(request: Request) -> Reply:
        return Reply(204 if verified(request, NOW) else 401)

    with WebServer(let_in) as server:
        receipt = hook(server).send(opened())
        (request,) = server.requests
    assert receipt == Receipt("webhook:hook", opened().key)
    said = json.loads(request.body)
    assert {k: v for k, v in said.items() if k not in ("key", "title", "text")} == jsonl.read(
        jsonl.line(examples.error_spike())
    )
    assert said["title"].startswith("🔴 Errors: 31 % of imports fail")
    assert "Suspect: contact-importer" in said["text"]
    assert "`" not in said["text"]
    assert said["key"] == request.headers["stillwatch-key"] == opened().key
    assert SECRET.encode() not in request.body


@pytest.mark.parametrize("how", ["another body", "another secret", "an old time"])
def test_a_reader_refuses_what_was_changed_on_the_way(how: str) -> None:
    with WebServer() as server:
        hook(server, "guessed" if how == "another secret" else SECRET).send(opened())
        (request,) = server.requests
    body = request.body + b" " if how == "another body" else request.body
    changed = Request(request.method, request.path, request.headers, body)
    assert not verified(changed, NOW + (301 if how == "an old time" else 0))


def test_without_a_secret_nothing_is_signed() -> None:
    with WebServer() as server:
        hook(server, "").send(opened())
        assert "stillwatch-signature" not in server.requests[0].headers


@given(st.binary(max_size=50), st.integers(0, 2**40), st.text(min_size=1, max_size=10))
def test_the_signature_holds_for_its_time_and_body_alone(body: bytes, now: int, secret: str) -> None:
    signed = signature(secret, now, body)
    assert signed.startswith(f"t={now},v1=")
    assert signed != signature(secret, now + 1, body).replace(f"t={now + 1}", f"t={now}")
    assert signed != signature(secret, now, body + b"x")


def test_the_end_of_an_incident_says_which_one_ended() -> None:
    event = examples.rolled_back()
    (message,) = plain.word(event, "webhook:hook", first=False)
    assert message.replaces == event.incident.id
    with WebServer() as server:
        stands = Receipt("webhook:hook", event.incident.id)
        assert hook(server).send(message, edits=stands) == stands
        said = json.loads(server.requests[0].body)
    assert (said["event"], said["incident"], said["reason"]) == ("resolved", event.incident.id, "rollback")
    assert "That ended it." in said["text"]


def test_what_stillwatch_says_of_itself_goes_there_as_well() -> None:
    with WebServer() as server:
        for sees in (False, True):
            hook(server).send(sight("webhook:hook", NOW, sees)[0])
        blind, again = (json.loads(one.body) for one in server.requests)
    assert (blind["event"], again["event"]) == ("opened", "resolved")
    assert blind["incident"] == again["incident"]
    assert blind["title"].startswith("Stillwatch is blind since")


@pytest.mark.parametrize(
    ("reply", "outcome", "wait"),
    [
        (Reply(429, headers=(("Retry-After", "30"),)), "refused", 30),
        (Reply(429), "refused", 0),
        (Reply(503, headers=(("Retry-After", "7"),)), "refused", 7),
        (Reply(500, b"oops"), "unknown", 0),
        (Reply(401), "no_credentials", 0),
        (Reply(403), "no_credentials", 0),
        (Reply(404), "permanent", 0),
        (Reply(400, b"bad \x1b[2J field"), "permanent", 0),
        (Reply(301, headers=(("Location", "http://127.0.0.1:9/"),)), "permanent", 0),
        (Reply(cut=True), "unknown", 0),
    ],
)
def test_every_answer_has_its_outcome(reply: Reply, outcome: str, wait: float) -> None:
    with WebServer() as server:
        server.script(reply)
        with pytest.raises(SendFailed) as failed:
            hook(server).send(opened())
        assert len(server.requests) == 1, "no retry of its own, no redirect followed"
    assert (failed.value.outcome, failed.value.retry_after) == (outcome, wait)
    assert str(failed.value).isprintable()
    assert "127.0.0.1" not in str(failed.value), "an address may hold a secret"


def test_a_secret_that_is_quoted_back_is_not_shown() -> None:
    with WebServer() as server:
        server.script(Reply(400, f"wrong key {SECRET}".encode()))
        with pytest.raises(SendFailed, match=r"wrong key …$"):
            hook(server).send(opened())


@pytest.mark.parametrize("quoted", ["Cannot POST /hooks/T0/hidden", "no route for /hooks/T0/hidden?key=too"])
def test_an_address_that_is_quoted_back_is_not_shown(quoted: str) -> None:
    with WebServer() as server:
        server.script(Reply(404, quoted.encode()))
        place = Webhook(Receiver("hook", "webhook", server.url + "/hooks/T0/hidden?key=too"), lambda: NOW)
        with pytest.raises(SendFailed) as failed:
            place.send(opened())
    assert "hidden" not in str(failed.value)
    assert str(failed.value).endswith("…")


def test_nobody_listening_means_not_taken() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        with pytest.raises(SendFailed) as failed:
            Webhook(Receiver("hook", "webhook", url), lambda: NOW).send(opened())
    assert failed.value.outcome == "refused"


@given(st.integers(100, 599), st.text(max_size=12), st.text(max_size=300))
def test_a_refusal_is_one_printable_line_whatever_was_answered(status: int, wait: str, text: str) -> None:
    failure = refusal("it", status, {"retry-after": wait}, text)
    assert len(str(failure)) <= 230
    assert "\n" not in str(failure)
    assert 0 <= failure.retry_after <= 86_400


def test_a_message_that_was_worded_for_slack_is_refused_for_good() -> None:
    with WebServer() as server, pytest.raises(SendFailed) as failed:
        hook(server).send(Message("k", "webhook:hook", "words"))
    assert failed.value.outcome == "permanent"
