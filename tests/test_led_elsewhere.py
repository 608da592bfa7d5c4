"""Nobody leads us elsewhere: a redirect is not followed, and an address that somebody names is not asked.

At the other end of each redirect and of each named address waits a server at which nothing may arrive.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import examples
import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from web_server import Reply, Request, WebServer

from alerts import messages, plain, web
from alerts.messages import Message
from alerts.outbox import Receipt, SendFailed
from alerts.places import SENDERS
from alerts.receivers import Receiver
from alerts.slack import Slack
from alerts.slack_answer import answer
from alerts.slack_socket import Socket
from alerts.slack_web import is_slacks
from collector.asked import SourceFailed
from collector.promql import Access, PromQL, Selection
from stillwatch import kubernetes_watch, telemetry
from stillwatch.caller import call
from stillwatch.config import Telemetry
from stillwatch.heartbeat import _ping

STATUS = (301, 302, 303, 307, 308)
TOKEN = "xoxb-canary"


@pytest.fixture
def elsewhere() -> Iterator[WebServer]:
    """Where nothing may arrive."""
    with WebServer() as server:
        yield server
        assert server.requests == []


@pytest.fixture(params=STATUS)
def leading(request: pytest.FixtureRequest, elsewhere: WebServer) -> Iterator[WebServer]:
    """Answers everything by pointing there."""
    to = (("Location", f"{elsewhere.url}/stolen"),)
    with WebServer(lambda _: Reply(request.param, b"", to)) as server:
        yield server
        assert server.requests, "nobody asked at all"


def card(receiver: str) -> Message:
    (message,) = plain.word(examples.error_spike(), receiver, first=True)
    return message


PLACES = {
    "webhook": lambda url: Receiver("x", "webhook", f"{url}/hook", "s3cret"),
    "alertmanager": lambda url: Receiver("x", "alertmanager", url),
    "pagerduty": lambda url: Receiver("x", "pagerduty", f"{url}/", "s3cret"),
    "opsgenie": lambda url: Receiver("x", "opsgenie", f"{url}/", "s3cret"),
    "teams": lambda url: Receiver("x", "teams", f"{url}/s3cret"),
    "apprise": lambda url: Receiver("x", "apprise", url.replace("http://", "json://me:s3cret@")),
}


def test_every_place_is_tried() -> None:
    """Mail knows no redirect, and the terminal no address."""
    assert set(PLACES) == set(SENDERS) - {"slack", "terminal", "email"}


@pytest.mark.parametrize("place", PLACES)
def test_no_place_leads_elsewhere(place: str, leading: WebServer) -> None:
    receiver = PLACES[place](leading.url)
    with pytest.raises(SendFailed):
        SENDERS[place](receiver, lambda: 1).sender.send(card(receiver.address))


def test_a_pipeline_that_puts_back_leads_nowhere(leading: WebServer) -> None:
    with pytest.raises(SendFailed, match="has moved"):
        web.ask("the pipeline", leading.url, b"{}")


def test_slack_leads_nowhere_and_the_token_least(leading: WebServer) -> None:
    slack = Slack(TOKEN, f"{leading.url}/api/")
    (message, *_) = messages.word(examples.error_spike(), "C1", first=True)
    with pytest.raises(SendFailed):
        slack.send(message)
    assert leading.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert slack.check() != []
    assert answer(f"{leading.url}/actions", f"{leading.url}/api/", "text") is False


def test_a_source_leads_nowhere(leading: WebServer) -> None:
    asked = PromQL("p", Access(leading.url, token="s3cret"), [Selection("up", service="a")])
    with pytest.raises(SourceFailed):
        asked.ask(0, 60, "")
    asked.close()


def test_the_watcher_outside_leads_nowhere(leading: WebServer) -> None:
    assert "it answered 30" in _ping(f"{leading.url}/s3cret")


def test_who_hears_how_we_fare_leads_nowhere(leading: WebServer) -> None:
    way = telemetry._way(Telemetry(leading.url, "s3cret"), "metrics")
    exporter = OTLPMetricExporter(**{**way, "timeout": 1})
    reader = PeriodicExportingMetricReader(exporter, 3_600_000)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("m").create_counter("c").add(1)
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    provider.shutdown()
    assert leading.requests[0].headers["authorization"] == "Bearer s3cret"


def test_a_cluster_leads_nowhere(leading: WebServer, tmp_path: Path) -> None:
    pytest.importorskip("kubernetes")
    from urllib3.exceptions import HTTPError

    file = tmp_path / "kubeconfig"
    file.write_text(
        json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": leading.url}}],
            "users": [{"name": "u", "user": {"token": "s3cret"}}],
        })
    )  # fmt: skip
    with pytest.raises(HTTPError):
        kubernetes_watch.client(str(file)).list_deployment_for_all_namespaces()


def test_our_own_commands_are_led_nowhere_with_their_token(leading: WebServer) -> None:
    assert call("GET", leading.url, "/status", "s3cret", 5).status in STATUS


# Addresses that somebody names.


def reply(fields: dict[str, object]) -> Reply:
    return Reply(200, json.dumps(fields).encode(), (("Content-Type", "application/json"),))


@pytest.mark.parametrize(
    "named", ["{elsewhere}/upload", "file:///etc/passwd", "http://169.254.169.254/", "x"]
)
def test_a_file_goes_to_slack_only(named: str, elsewhere: WebServer) -> None:
    to = named.format(elsewhere=elsewhere.url)

    def slacks(asked: Request) -> Reply:
        if "getUploadURLExternal" in asked.path:
            return reply({"ok": True, "upload_url": to, "file_id": "F1"})
        return reply({"ok": True, "channel": "C1", "ts": "1.0", "channels": [{"id": "C1", "name": "c"}]})

    drawn = [one for one in messages.word(examples.error_spike(), "C1", first=True) if one.chart is not None]
    assert drawn
    with WebServer(slacks) as server:
        with pytest.raises(SendFailed, match="not its own"):
            Slack(TOKEN, f"{server.url}/api/").send(drawn[0], thread=Receipt("C1", "1.0"))
        assert any("getUploadURLExternal" in one.path for one in server.requests)
        assert not any("completeUpload" in one.path for one in server.requests)


def test_a_socket_is_opened_to_slack_only(elsewhere: WebServer) -> None:
    for to in (elsewhere.url.replace("http", "ws"), "wss://slack.com.example/", "ws://169.254.169.254/"):
        with WebServer(lambda _, to=to: reply({"ok": True, "url": to})) as server:  # type: ignore[misc]
            socket = Socket("xapp-canary", f"{server.url}/api/", lambda kind, payload: None)
            socket._connect()
            assert "not its own" in socket.trouble
            assert len(server.requests) == 1


def test_an_answer_is_posted_to_slack_only(elsewhere: WebServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert answer(f"{elsewhere.url}/actions", "https://slack.com/api/", "text") is False
    assert "not Slack's" in caplog.text


@pytest.mark.parametrize(
    ("address", "base", "ours"),
    [
        ("https://files.slack.com/upload/v1/x", "https://slack.com/api/", True),
        ("wss://wss-primary.slack.com/link/?ticket=x", "https://slack.com/api/", True),
        ("https://files.slack-gov.com/upload", "https://slack-gov.com/api/", True),
        ("https://slack.com.example/upload", "https://slack.com/api/", False),
        ("https://notslack.com/upload", "https://slack.com/api/", False),
        ("http://files.slack.com/upload", "https://slack.com/api/", False),
        ("https://files.slack.com:8443/upload", "https://slack.com/api/", False),
        ("https://u@files.slack.com/upload", "https://slack.com/api/", False),
        ("ws://127.0.0.1:9/link", "http://127.0.0.1:9/api/", True),
        ("ws://127.0.0.1:10/link", "http://127.0.0.1:9/api/", False),
        ("file:///etc/passwd", "https://slack.com/api/", False),
        ("https://[", "https://slack.com/api/", False),
    ],
)
def test_where_slack_lives(address: str, base: str, ours: bool) -> None:
    assert is_slacks(address, base) is ours
