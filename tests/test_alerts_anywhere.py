"""Every other place: apprise tells it, without a word that could be a mention, and without a secret in the log."""

from __future__ import annotations

import json
import logging

import examples
import pytest
from web_server import Reply, WebServer

from alerts import plain
from alerts.anywhere import Anywhere
from alerts.outbox import SendFailed
from alerts.receivers import Receiver


def test_apprise_tells_the_title_and_the_words() -> None:
    (message,) = plain.word(examples.error_spike(), "apprise:chat", first=True)
    with WebServer() as server:
        Anywhere(Receiver("chat", "apprise", server.url.replace("http", "json", 1))).send(message)
        said = json.loads(server.requests[0].body)
    assert said["title"] == message.text
    assert "Suspect: contact-importer" in said["message"]
    assert said["type"] == "failure"


def test_what_apprise_could_not_tell_is_tried_again_and_no_secret_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (message,) = plain.word(examples.error_spike(), "apprise:chat", first=True)
    with WebServer(lambda _: Reply(500)) as server, caplog.at_level(logging.DEBUG):
        url = server.url.replace("http://", "json://me:s3cret@")
        with pytest.raises(SendFailed) as failed:
            Anywhere(Receiver("chat", "apprise", url)).send(message)
    assert failed.value.outcome == "unknown"
    assert "s3cret" not in caplog.text + str(failed.value)


def test_an_address_that_apprise_does_not_know_is_said_without_showing_it() -> None:
    with pytest.raises(ValueError, match=r"receivers\.chat") as wrong:
        Anywhere(Receiver("chat", "apprise", "nonsense:s3cret"))
    assert "s3cret" not in str(wrong.value)
