"""The daemon as a process: the real SDK at its door, a Slack of our own behind it, kill -9 in between."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as OverGrpc
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from slack_server import SlackServer, cut, hang
from web_server import Reply, WebServer

from alerts.silences import Silence, matcher
from collector.bins import Bins, SeriesKey, SeriesTable
from collector.deployments import Deployment
from stillwatch import doors
from stillwatch.caller import NoAnswer
from stillwatch.config import Listen
from stillwatch.deployed import tell
from stillwatch.history import History
from stillwatch.mailbox import Mailbox
from stillwatch.store import Closing, Store

RUN = """
import os, sys
from pathlib import Path
from stillwatch.config import load
from stillwatch.daemon import run
sys.exit(run(load(Path(sys.argv[1]), os.environ)))
"""

CONFIG = """
interval: {interval}
listen: {{port: {port}, grpc_port: {grpc_port}, token_env: DOOR_TOKEN}}
database: {database}
slack: {{channel: C0ALERTS, base_url: "{slack}"}}
services:
  importer:
    owner: imports
    signals:
      imports: {{kind: error_ratio, errors: failed, total: started}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(what: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


class Daemon:
    """`stillwatch run` in a folder, as a process of its own."""

    def __init__(
        self,
        folder: Path,
        interval: str = "60s",
        slack: str = "http://127.0.0.1:9/api/",
        token: str = "",
        grpc_port: int = 0,
        more: str = "",
        database: str = "",
    ) -> None:
        self.folder = folder
        self.database = database or f"{folder}/stillwatch.db"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log"
        self.config = folder / "stillwatch.yaml"
        self.config.write_text(
            CONFIG.format(
                interval=interval, port=self.port, database=self.database, slack=slack, grpc_port=grpc_port
            )
            + more
        )
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith(("SLACK", "OTEL"))}
        self.environ |= {"DOOR_TOKEN": "let-me-in", "PYTHONWARNINGS": "default"}
        if token:
            self.environ["SLACK_BOT_TOKEN"] = token
        self.process: subprocess.Popen[bytes] | None = None
        self.command = [sys.executable, "-c", RUN, str(self.config)]

    def start(self, ready: bool = True) -> Daemon:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.environ)
        if ready:
            eventually(self.answers, 240)  # it may have to compile first
        return self

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said()
        try:
            return "watermark" in self.health()
        except httpx2.HTTPError:
            return False

    def health(self) -> dict[str, object]:
        headers = {"Authorization": f"Bearer {self.environ['DOOR_TOKEN']}"}
        got = httpx2.get(f"{self.url}/healthz", headers=headers, trust_env=False, timeout=5)
        answer: dict[str, object] = got.json()
        return answer

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout=10)

    def said(self) -> str:
        return self.log.read_text()

    def store(self) -> Store:
        return Store(self.database)


@pytest.fixture
def make() -> Iterator[Callable[..., Daemon]]:
    """Makes daemons that are gone when the test is over, whatever became of it."""
    made: list[Daemon] = []

    def one(*args: object, **kwargs: object) -> Daemon:
        made.append(Daemon(*args, **kwargs))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for daemon in made:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()


@pytest.fixture
def daemon(tmp_path: Path, make: Callable[..., Daemon]) -> Daemon:
    return make(tmp_path, interval="5s")  # type: ignore[no-any-return]


class Service:
    """A process that counts, as OpenTelemetry's own SDK has it."""

    def __init__(self, daemon: Daemon, version: str = "1", deltas: bool = False) -> None:
        self._exporter = OTLPMetricExporter(
            endpoint=f"{daemon.url}/v1/metrics",
            headers={"Authorization": "Bearer let-me-in"},
            timeout=5,
            preferred_temporality={Counter: AggregationTemporality.DELTA} if deltas else None,
        )
        reader = PeriodicExportingMetricReader(self._exporter, export_interval_millis=3_600_000)
        resource = Resource.create({"service.name": "importer", "service.version": version})
        self._provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        meter = self._provider.get_meter("imports")
        self.started = meter.create_counter("started")
        self.failed = meter.create_counter("failed")

    def export(self) -> None:
        assert self._provider.force_flush(5000)

    def close(self) -> None:
        self._provider.shutdown(timeout_millis=5000)


@pytest.mark.slow
def test_events_that_say_when_they_entered_make_one_series_for_each_age(daemon: Daemon) -> None:
    daemon.start()
    service = Service(daemon, deltas=True)
    now = int(time.time()) // 5 * 5
    for age, many in ((0, 3), (5, 2), (10, 1)):
        service.started.add(many, {"entered": now - age})
    service.started.add(1, {"entered": now + 3600})
    service.export()
    service.close()
    eventually(lambda: daemon.health()["series"] == 4)  # the three ages, and the name without one
    assert daemon.health()["refused"] == {"entered after it was counted": 1}


@pytest.mark.slow
def test_counts_come_over_grpc_and_a_flood_of_series_is_said_and_held_off(
    tmp_path: Path, make: Callable[..., Daemon]
) -> None:
    port = free_port()
    daemon = make(tmp_path, interval="5s", grpc_port=port)
    daemon.config.write_text(daemon.config.read_text() + "limits: {per_service: 5}\n")
    daemon.start()
    to = OverGrpc(
        f"127.0.0.1:{port}", insecure=True, headers={"authorization": "Bearer let-me-in"}, timeout=5
    )
    reader = PeriodicExportingMetricReader(to, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], Resource.create({"service.name": "importer"}), shutdown_on_exit=False)
    started = provider.get_meter("imports").create_counter("started")
    for user in range(9):
        started.add(2, {"user": user})
    provider.force_flush(5000)
    provider.shutdown(timeout_millis=5000)
    health = daemon.health()
    # At its end the SDK exports once more.
    assert (health["series"], health["taken"], health["crowded"]) == (5, 10, {"importer": 8})
    assert health["refused"] == {"too many series of one service": 8}
    told = subprocess.run(
        [sys.executable, "-m", "stillwatch", "status", "--config", str(daemon.config), "--token-env", "DOOR_TOKEN"],
        env=daemon.environ, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip
    assert "counts: 10 data points taken, the last at " in told
    assert "refused or late: 8 too many series of one service\n  importer: 8 of new series\n" in told
    assert "too many series of importer, new ones are refused" in daemon.said()
    assert daemon.end() == 0
    assert f"listening on 127.0.0.1:{daemon.port} (gRPC: {port}), telling" in daemon.said()
    assert "Traceback" not in daemon.said()


@pytest.mark.slow
def test_the_page_for_opentelemetry_leads_to_a_first_count(daemon: Daemon) -> None:
    daemon.start()
    page = (Path(__file__).parent.parent / "docs" / "connect-otlp.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", page, re.S)
    told = dict(re.findall(r"^export (OTEL_\w+)=(\S+)$", page, re.M))
    told |= {
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{daemon.url}/v1/metrics",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20let-me-in",
    }
    service = subprocess.Popen([sys.executable, "-c", program], env=daemon.environ | told)
    ask = [sys.executable, "-m", "stillwatch", "status"]
    ask += ["--config", str(daemon.config), "--token-env", "DOOR_TOKEN"]

    def status() -> str:
        return subprocess.run(ask, env=daemon.environ, capture_output=True, text=True, timeout=60).stdout

    counted = re.compile(r"^newest counts, of \d+ s from .* on:\n  (\S+)  [1-9]", re.M)
    (shown,) = counted.findall(page)
    try:
        eventually(lambda: counted.findall(status()) == [shown], 60)
    finally:
        service.kill()
        service.wait()
    assert re.search(r"^counts: \d+ data points? taken, the last at 20", status(), re.M)
    store = daemon.store()
    eventually(lambda: len(store.table()) > 0)
    key = store.table().keys[0]
    store.close()
    assert (key.service, key.metric, key.version) == ("checkout", "http.server.request.duration", "1.4.2")
    assert ("deployment.environment.name", "production") in key.attributes


def test_a_grpc_port_that_is_set_must_be_free(tmp_path: Path, make: Callable[..., Daemon]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        daemon = make(tmp_path, grpc_port=port).start(ready=False)
        assert daemon.process is not None
        assert daemon.process.wait(30) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in daemon.said()
    assert "grpc_port" in daemon.said()


def test_the_usual_grpc_port_may_belong_to_somebody_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr(doors, "USUAL_GRPC", other.getsockname()[1])
        assert doors.grpc_port(Listen()) == 0
    assert "no OTLP over gRPC, only over HTTP: cannot listen on 127.0.0.1:" in caplog.text
    assert doors.grpc_port(Listen(grpc_port=0)) == 0
    assert doors.grpc_port(Listen()) == doors.USUAL_GRPC


@pytest.mark.slow
def test_a_connection_is_kept_from_one_export_to_the_next(daemon: Daemon) -> None:
    daemon.start()
    with socket.create_connection(("127.0.0.1", daemon.port), 5) as sender:
        for pause in (6, 0):
            sender.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            said = b""
            while not said.endswith(b"}"):  # head and body may come one after the other
                said += sender.recv(1 << 20)
            assert said.startswith(b"HTTP/1.1 200")
            time.sleep(pause)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_within_five_seconds_with_status_0_and_says_where_it_listened(
    daemon: Daemon, how: signal.Signals
) -> None:
    daemon.start()
    begun = time.monotonic()
    assert daemon.end(how) == 0
    assert time.monotonic() - begun < 5
    said = daemon.said()
    assert f"watching (signals: 1), listening on 127.0.0.1:{daemon.port}, telling this terminal" in said
    assert "Traceback" not in said
    assert "Warning" not in said
    assert "let-me-in" not in said


@pytest.mark.slow
def test_it_cannot_start_twice_on_one_database_or_one_port_and_says_why_in_a_line(
    daemon: Daemon, tmp_path: Path, make: Callable[..., Daemon]
) -> None:
    daemon.start()
    twin = make(daemon.folder).start(ready=False)
    assert twin.process is not None
    assert twin.process.wait(20) == 1
    assert "another Stillwatch runs on" in twin.said()
    (tmp_path / "b").mkdir()
    neighbour = make(tmp_path / "b")
    text = neighbour.config.read_text().replace(f"port: {neighbour.port}", f"port: {daemon.port}")
    neighbour.config.write_text(text)
    neighbour.start(ready=False)
    assert neighbour.process is not None
    assert neighbour.process.wait(20) == 1
    assert f"cannot listen on 127.0.0.1:{daemon.port}" in neighbour.said()
    assert "Traceback" not in neighbour.said()


def test_a_database_that_cannot_be_used_ends_the_start_with_one_line(
    tmp_path: Path, make: Callable[..., Daemon]
) -> None:
    (tmp_path / "stillwatch.db").write_text("this is a letter to a friend " * 100)
    daemon = make(tmp_path).start(ready=False)
    assert daemon.process is not None
    assert daemon.process.wait(20) == 1
    assert len(daemon.said().splitlines()) == 1
    assert "no Stillwatch database" in daemon.said()


@pytest.mark.slow
def test_what_the_sdk_was_told_was_taken_survives_kill_9(daemon: Daemon) -> None:
    daemon.start()
    first = int(str(daemon.health()["watermark"]))
    eventually(lambda: time.time() > first)  # what happened before the daemon began is not its own
    service = Service(daemon)
    counted = 0
    for round_ in range(4):
        for _ in range(3):
            service.started.add(7, {"path": "a"})
            counted += 7
            service.export()
        if round_ % 2:
            daemon.kill()
            daemon.start()
    eventually(lambda: int(str(daemon.health()["watermark"])) > time.time() - 7 and time.time() > first + 15)
    service.close()
    assert daemon.end() == 0
    store = daemon.store()
    kept = sum(float(np.nansum(b.values)) + float(b.late.count.sum()) for b in store.history())
    assert kept == counted
    assert store.table().keys[0] == SeriesKey("importer", "started", "1", (("path", "a"),))
    store.close()


@pytest.mark.slow
def test_a_deployment_is_told_once_and_a_wrong_address_token_or_field_says_what_to_check(
    daemon: Daemon,
) -> None:
    daemon.start()
    release = Deployment("r1", 0, "importer", "2", author="Ümit", url="https://example.org/r1")
    for _ in range(2):
        assert "importer 2 (deploy)" in tell(daemon.url, "let-me-in", release)
    store = daemon.store()
    kept = store.deployments()
    store.close()
    assert [(d.id, d.version, d.author) for d in kept] == [("r1", "2", "Ümit")]
    assert abs(kept[0].time - time.time()) < 60
    with pytest.raises(NoAnswer, match="another token"):
        tell(daemon.url, "secret-of-mine", release)
    with pytest.raises(NoAnswer, match=r"did not take it: .*version"):
        tell(daemon.url, "let-me-in", Deployment("r1", 0, "importer", ""))
    with pytest.raises(
        NoAnswer, match=r"did not take it: .*'r1' of 'importer' is '2' .*expected an id of its own"
    ):
        tell(daemon.url, "let-me-in", Deployment("r1", 0, "importer", "1", kind="rollback"))
    with pytest.raises(NoAnswer, match="is that the daemon"):
        tell(f"{daemon.url}/else", "let-me-in", release)
    with pytest.raises(NoAnswer, match=r"nobody answers at .*`stillwatch run`"):
        tell(f"http://127.0.0.1:{free_port()}", "let-me-in", release)
    with pytest.raises(NoAnswer, match="no address"):
        tell("localhost:4318", "let-me-in", release)


def record_a_bad_release(folder: Path | str) -> int:
    """Three hours until a minute ago, recorded and never judged; the last fifteen minutes are bad."""
    width, minutes = 60, 180
    start = int(time.time()) // width * width - minutes * width
    rng = np.random.default_rng(3)
    bad = np.arange(minutes) >= minutes - 15
    started = rng.poisson(300, minutes)
    failed = rng.binomial(started, np.where(bad, 0.4, 0.003))
    closed = start + width * np.arange(1, minutes + 1) + 15
    table = SeriesTable([SeriesKey("importer", "started"), SeriesKey("importer", "failed")])
    values = np.stack([started, failed], axis=1).astype(np.float64)
    store = Store(folder / "stillwatch.db" if isinstance(folder, Path) else folder)
    store.settle_width(width)
    store.commit(Closing(Bins(start, width, closed, values, np.ones(minutes, np.bool_))), table)
    at = start + (minutes - 15) * width
    store.add_deployments([Deployment("r1", at, "importer", "2", "1", author="<!channel> Ümit")])
    store.close()
    return at


@pytest.mark.slow
def test_a_recorded_fault_reaches_slack_once_though_we_die_while_it_is_told(
    tmp_path: Path, make: Callable[..., Daemon]
) -> None:
    record_a_bad_release(tmp_path)
    with SlackServer() as slack:
        slack.script("chat.postMessage", hang(taken=True), cut(taken=True))
        daemon = make(tmp_path, slack=slack.base_url, token=slack.token).start()
        eventually(lambda: slack.count("chat.postMessage") >= 1)
        daemon.kill()
        daemon.start()
        eventually(lambda: daemon.health()["outbox"] == 0, 60)
        assert daemon.end() == 0
        messages = slack.channel("C0ALERTS").messages
        cards = [m for m in messages if not m.thread_ts]
        assert len(cards) == 1
        store = daemon.store()
        assert '"deployment":"r1"' in store.lines()[0].replace(" ", "")
        store.close()
        assert len({m.text for m in messages}) == len(messages)
        assert "<!channel>" not in "".join(m.text for m in messages)
        # Another start, and one without any snapshot: nothing is said again.
        said = len(messages)
        for forget in (False, True):
            if forget:
                store = daemon.store()
                with store.writing() as c:
                    c.exec_driver_sql("DELETE FROM snapshots")
                store.close()
            daemon.start()
            eventually(lambda: daemon.health()["last_tick"] != 0)
            assert daemon.end() == 0
        assert len(slack.channel("C0ALERTS").messages) == said
        assert slack.token not in daemon.said()
        assert "Traceback" not in daemon.said()


@pytest.mark.slow
def test_slack_is_away_and_the_message_comes_when_it_is_back(
    tmp_path: Path, make: Callable[..., Daemon]
) -> None:
    record_a_bad_release(tmp_path)
    with SlackServer() as slack:
        slack.revoke()
        daemon = make(tmp_path, slack=slack.base_url, token=slack.token).start()
        eventually(lambda: "not delivered" in daemon.said())
        assert daemon.health()["outbox"] != 0
        assert daemon.end() == 0
        slack.restore()
        store = daemon.store()
        assert all(d.state == "waiting" for d in Mailbox(store).waiting())
        with store.writing() as c:  # a minute has passed
            c.exec_driver_sql("UPDATE outbox SET not_before = 0")
            c.exec_driver_sql("DELETE FROM pauses")
        store.close()
        daemon.start()
        eventually(lambda: len(slack.channel("C0ALERTS").messages) >= 1)
        assert daemon.end() == 0


@pytest.mark.slow
def test_a_route_leads_to_a_webhook_while_the_rest_goes_to_the_terminal(
    tmp_path: Path, make: Callable[..., Daemon]
) -> None:
    record_a_bad_release(tmp_path)
    with WebServer() as hook:
        daemon = make(tmp_path)
        routed = (
            "receivers: {hook: {webhook: {url: URL, secret_env: HOOK_SECRET}}}\nroutes: [{receiver: hook}]\n"
        )
        daemon.config.write_text(daemon.config.read_text() + routed.replace("URL", hook.url))
        daemon.environ["HOOK_SECRET"] = "never-shown"
        hook.script(Reply(503, b"not now"))
        daemon.start()
        eventually(lambda: daemon.health()["outbox"] == 0 and len(hook.requests) >= 2, 60)
        assert daemon.end() == 0
        said = [json.loads(one.body) for one in hook.requests]
        assert {one["incident"] for one in said} == {said[0]["incident"]}
        assert said[0]["key"] == said[1]["key"], "the same after an answer that says nothing"
        assert hook.requests[0].headers["stillwatch-signature"].startswith("t=")
        assert "never-shown" not in daemon.said()
        assert "webhook:hook" in daemon.said()


@pytest.mark.slow
def test_a_pipeline_asks_which_of_two_versions_is_worse(daemon: Daemon, tmp_path: Path) -> None:
    """Two processes of the real SDK side by side; the command asks the daemon by HTTP."""
    daemon.start()

    def gate(*more: str, token: str = "let-me-in") -> subprocess.CompletedProcess[str]:
        command = "from stillwatch.cli import main; main()"
        asked = ["gate", "importer", "--candidate", "2", "--baseline", "1", "--url", daemon.url, *more]
        environ = daemon.environ | {"STILLWATCH_TOKEN": token}
        return subprocess.run(
            [sys.executable, "-c", command, *asked],
            capture_output=True, text=True, env=environ, cwd=tmp_path, check=False, timeout=90,
        )  # fmt: skip

    early = gate()
    assert (early.returncode, early.stderr) == (3, "")
    assert "no signal of it has counts of both versions" in early.stdout
    stranger = gate(token="guessed")
    assert stranger.returncode == 3
    assert "wants another token" in stranger.stderr
    old, new = Service(daemon, "1"), Service(daemon, "2")
    for service in (old, new):  # a counter is born with its first event
        service.started.add(1)
        service.failed.add(1)
        service.export()
    for _ in range(6):
        time.sleep(2.5)
        for service, failed in ((old, 1), (new, 40)):
            service.started.add(400)
            service.failed.add(failed)
            service.export()
    said = gate("--wait", "1m")
    assert said.returncode == 1, said.stdout + said.stderr
    assert "importer 2 beside 1: bad; roll it back" in said.stdout
    assert re.search(r"imports: bad; \d+ of [\d,]+ failed", said.stdout)
    assert gate("--margin", "no").returncode == 2
    wrong = httpx2.get(
        f"{daemon.url}/gate", params={"service": "a", "candidate": "b"},
        headers={"Authorization": "Bearer let-me-in"}, trust_env=False,
    )  # fmt: skip
    assert (wrong.status_code, wrong.json()) == (400, {"error": "expected baseline"})
    old.close()
    new.close()


@pytest.mark.slow
def test_a_silenced_fault_reaches_slack_when_the_silence_is_ended(
    tmp_path: Path, make: Callable[..., Daemon]
) -> None:
    record_a_bad_release(tmp_path)
    store = Store(tmp_path / "stillwatch.db")
    hour = Silence("s1", (matcher("service=importer"),), 1, int(time.time()) + 3600, "anna")
    History(store).silence(hour)
    store.close()
    with SlackServer() as slack:
        daemon = make(tmp_path, slack=slack.base_url, token=slack.token).start()

        def states() -> set[str]:
            kept = daemon.store()
            with kept.reading() as c:
                found = set(c.exec_driver_sql("SELECT state FROM outbox").scalars())
            kept.close()
            return found

        eventually(lambda: states() == {"waiting", "silenced"})  # the card; its chart
        assert slack.count("chat.postMessage") == 0
        ended = httpx2.delete(
            f"{daemon.url}/silences/s1?by=ben", headers={"Authorization": "Bearer let-me-in"}, trust_env=False
        )
        assert ended.json()["ended_by"] == "ben"
        eventually(lambda: states() <= {"sent", "silenced", "superseded"}, 60)
        assert daemon.end() == 0
        card, *replies = slack.channel("C0ALERTS").messages
        assert not card.thread_ts
        assert any("Silenced until now" in one.text for one in replies)
        assert "Traceback" not in daemon.said()


@pytest.mark.slow
def test_a_button_pressed_in_slack_reaches_the_daemon_over_its_socket(
    tmp_path: Path, make: Callable[..., Daemon]
) -> None:
    record_a_bad_release(tmp_path)
    with SlackServer() as slack:
        daemon = make(tmp_path, slack=slack.base_url, token=slack.token)
        daemon.environ |= {"SLACK_APP_TOKEN": slack.sockets.app_token}
        daemon.environ |= {"SLACK_SIGNING_SECRET": slack.sockets.secret}
        daemon.start()
        slack.sockets.wait_for(1)
        eventually(lambda: daemon.health()["outbox"] == 0 and slack.channel("C0ALERTS").top != [], 60)

        def card() -> str:
            return str(slack.channel("C0ALERTS").top[0].blocks)

        pressed = slack.sockets.pressed(slack.channel("C0ALERTS").top[0], "acknowledge")
        assert slack.sockets.send("interactive", pressed)
        eventually(lambda: "Acknowledged by `anna`" in card())
        body, headers = slack.sockets.signed(slack.sockets.typed("silence service=importer for 1h", "ben"))
        got = httpx2.post(f"{daemon.url}/slack/commands", content=body, headers=headers, trust_env=False)
        assert (got.status_code, got.text) == (200, "")
        assert "active" in slack.sockets.answer()
        eventually(lambda: "Silenced until" in card() and "by `ben`" in card())
        assert slack.sockets.send("slash_commands", slack.sockets.typed("explain importer"))
        assert "importer" in slack.sockets.answer(2)
        assert daemon.end() == 0
        assert "Traceback" not in daemon.said()
        for secret in (slack.token, slack.sockets.app_token, slack.sockets.secret, "ticket"):
            assert secret not in daemon.said()
