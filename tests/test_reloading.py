"""Settings are read again while the daemon runs: noticed however they are saved, taken whole or refused."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from slack_server import SlackServer, hang
from test_daemon import Daemon, Service, eventually, free_port
from test_live import GRACE, T0, W, delta
from test_own_metrics import scraped

from alerts.messages import Message
from collector.bins import SeriesKey
from collector.server import Busy
from stillwatch import config, daemon
from stillwatch.config import Settings
from stillwatch.daemon import judgement
from stillwatch.live import Live
from stillwatch.reloading import Reloads, fixed_in
from stillwatch.store import Store


def written(many: int) -> str:
    return f"budget: {{false_alerts: {many}}}\n"


class File:
    """A file of settings, and whoever looks at it once a second."""

    def __init__(self, folder: Path, path: Path | None = None) -> None:
        self.path = path or folder / "stillwatch.yaml"
        if path is None:
            self.path.write_text(written(1))
        self.current = self.read()
        self.reloads = Reloads(self.path, self.read, daemon._usable, lambda: T0)

    def read(self) -> Settings:
        return config.load(self.path, {}, live=True)

    def looks(self, many: int = 3) -> list[float]:
        """What was taken, by its budget."""
        taken = []
        for _ in range(many):
            fresh = self.reloads.look(self.current)
            if fresh is not None:
                taken.append(fresh.budget.false_alerts)
                self.current = fresh
                self.reloads.took()
        return taken


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def by_rename(path: Path, text: str) -> None:
    new = path.with_name(".stillwatch.yaml.new")
    new.write_text(text)
    new.replace(path)


def with_a_backup(path: Path, text: str) -> None:
    """As vim does."""
    path.replace(path.with_name("stillwatch.yaml~"))
    path.write_text(text)


def same_length_and_time(path: Path, text: str) -> None:
    """A copy that keeps the time of what it copies."""
    of = path.stat()
    new = path.with_name("new")
    new.write_text(text)
    os.utime(new, ns=(of.st_atime_ns, of.st_mtime_ns))
    new.replace(path)


@pytest.mark.parametrize("save", [in_place, by_rename, with_a_backup, same_length_and_time])
def test_a_change_is_noticed_however_it_is_saved(save: Callable[[Path, str], None], file: File) -> None:
    assert file.looks() == []
    save(file.path, written(2))
    assert file.looks() == [2]
    save(file.path, written(3))
    assert file.looks() == [3]
    assert file.looks() == []
    assert file.reloads.counts == {"taken": 2}


def test_a_mounted_config_map_is_noticed_when_its_link_is_swapped(tmp_path: Path) -> None:
    """Kubernetes: stillwatch.yaml -> ..data/stillwatch.yaml, ..data -> a folder with a time in its name."""

    def publish(many: int) -> None:
        folder = tmp_path / f"..2026_{many}"
        folder.mkdir()
        (folder / "stillwatch.yaml").write_text(written(many))
        (tmp_path / "..data_tmp").symlink_to(folder.name)
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")

    publish(1)
    (tmp_path / "stillwatch.yaml").symlink_to("..data/stillwatch.yaml")
    file = File(tmp_path, tmp_path / "stillwatch.yaml")
    assert file.looks() == []
    publish(2)
    assert file.looks() == [2]


def test_a_file_that_is_being_written_or_is_away_is_waited_for(file: File) -> None:
    file.path.write_text("budget: {false_")
    assert file.looks(1) == []
    file.path.write_text(written(2))
    assert file.looks(1) == []
    assert file.looks(1) == [2]
    file.path.unlink()
    assert file.looks() == []
    assert (file.reloads.refused, file.reloads.counts) == ("", {"taken": 1})


def test_who_asks_has_it_read_at_once(file: File) -> None:
    file.path.write_text(written(2))
    file.reloads.ask()
    assert file.looks(1) == [2]
    file.reloads.ask()
    assert file.looks() == []  # nothing has changed
    assert file.reloads.counts == {"taken": 1}


WRONG = {
    "no YAML": ("budget: {", "stillwatch.yaml:"),
    "an unknown key": ("bugdet: {}", "bugdet: found an unknown key"),
    "another interval": ("interval: 30s", "interval cannot change while Stillwatch runs"),
    "another door": ("listen: 127.0.0.1:9\ndatabase: b.db", "database, listen cannot change while"),
    "a secret that is not there": ("listen: {token_env: NOT_SET}", "a variable that is not set"),
    "a source that cannot be opened": (
        'sources: {a: {kind: sql, url: "nosuch://h/d", query: "select :since, :until", metric: m, service: s}}',
        "source a: ",
    ),
    "routes without a last one": (
        'slack: {token_env: TOKEN}\nroutes: [{match: {owner: a}, channel: "#a"}]', "there are routes, but no"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong_settings_are_refused_once_with_the_reason_and_the_old_ones_stay(
    what: str, file: File, caplog: pytest.LogCaptureFixture
) -> None:
    text, reason = WRONG[what]
    file.read = lambda: config.load(file.path, {"TOKEN": "xoxb-1"}, live=True)  # type: ignore[method-assign]
    file.reloads._read = file.read
    file.path.write_text(text)
    assert file.looks(5) == []
    assert reason in str(file.reloads.health()["refused"])
    assert len([r for r in caplog.records if "refused" in r.getMessage()]) == 1
    assert "xoxb" not in caplog.text
    file.path.write_text(written(2))
    assert file.looks() == [2]
    assert file.reloads.health() == {"since": T0, "refused": ""}


def test_what_breaks_while_it_is_read_ends_nothing(file: File) -> None:
    def broken() -> Settings:
        raise RecursionError

    file.reloads._read = broken
    file.reloads.ask()
    assert file.looks() == []
    assert "broke" in file.reloads.refused


def test_without_a_file_who_asks_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    reloads = Reloads(None, Settings, daemon._usable, lambda: T0)
    reloads.ask()
    assert reloads.look(Settings()) is None
    assert "no file" in caplog.text


def test_what_breaks_while_it_runs_is_not_taken_for_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="a wire is cut"), daemon._alone(tmp_path / "s.db"):
        raise OSError("a wire is cut")


def test_that_tokens_come_in_the_clear_is_said_by_the_door_and_not_when_settings_are_looked_at(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wanted = "listen: {host: 0.0.0.0, token_env: T}\n"
    daemon._usable(config.parse(wanted, "s.yaml", {"T": "t"}, live=True))
    assert caplog.text == ""


def test_only_what_needs_another_start_is_fixed() -> None:
    new = config.parse("listen: {port: 4318, token_env: T}\ngrace: 5s\n", "s.yaml", {"T": "t"})
    assert fixed_in(Settings(), new) == []


# What it means for what is remembered.


def signals(**metrics: str) -> Settings:
    text = "".join(
        f"  {service}: {{signals: {{done: {{kind: error_ratio, errors: failed, total: {metric}}}}}}}\n"
        for service, metric in metrics.items()
    )
    return config.parse(f"slack: {{channel: C0ALERTS}}\nservices:\n{text}", "s.yaml", None)


class Watch:
    """A store, and a life on it."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path, self.now = path, T0
        self.store = Store(path)
        self.live = self.begin(settings)

    def begin(self, settings: Settings) -> Live:
        told = judgement(settings, self.store, daemon.History(self.store))
        return Live(self.store, told, W, GRACE, self.now, silent=3600, naming=settings.naming)

    def reload(self, settings: Settings) -> None:
        """As the daemon does."""
        self.live.stop()
        self.live = self.begin(settings)

    def restart(self, settings: Settings) -> None:
        self.live.stop()
        self.store.close()
        self.store = Store(self.path)
        self.live = self.begin(settings)

    def minutes(self, many: int, **failing: int) -> None:
        """failing: of about 200 in a minute, by service."""
        for minute in range(many):
            for service, rate in failing.items():
                random = np.random.default_rng([self.now, len(service)])
                for metric, of in (("done", 200), ("failed", rate)):
                    key = SeriesKey(service, metric)
                    self.live.readings(delta(self.now + 30, float(random.poisson(of)), key), self.now + 30)
            self.now += W
            if minute % 7 == 3:
                self.live.tick(self.now + GRACE)
        self.live.tick(self.now + GRACE)


@pytest.mark.slow
@pytest.mark.parametrize("how", [Watch.reload, Watch.restart])
def test_to_reload_is_to_stop_and_start_and_keeps_what_others_have_learnt(
    how: Callable[[Watch, Settings], None], tmp_path: Path
) -> None:
    """The same counts, with and without a change of one signal in the middle of a fault of another."""
    old, new = signals(opens="done", clicks="done"), signals(opens="done", clicks="other", imports="done")
    told: dict[str, list[str]] = {}
    for name in ("changed", "as it was"):
        watch = Watch(tmp_path / f"{name}.db", old)
        watch.minutes(45, opens=2, clicks=2)
        watch.minutes(9, opens=60, clicks=2)
        if name == "changed":
            how(watch, new)
        watch.minutes(15, opens=60, clicks=2)
        watch.minutes(25, opens=2, clicks=2)
        watch.live.stop()
        told[name] = watch.store.lines()
        watch.store.close()
    events = {name: [line for line in lines if '"opens"' in line] for name, lines in told.items()}
    assert len(events["as it was"]) >= 2
    assert [line.split('"event"')[1][:12] for line in events["changed"]] == [
        line.split('"event"')[1][:12] for line in events["as it was"]
    ]


@pytest.mark.slow
def test_reload_and_restart_tell_the_very_same(tmp_path: Path) -> None:
    old, new = signals(opens="done", clicks="done"), signals(opens="done", clicks="other", imports="done")
    told = []
    for how in (Watch.reload, Watch.restart):
        watch = Watch(tmp_path / f"{how.__name__}.db", old)
        watch.minutes(45, opens=2, clicks=2)
        watch.minutes(9, opens=60, clicks=2)
        how(watch, new)
        watch.minutes(15, opens=60, clicks=2, imports=2)
        how(watch, old)
        watch.minutes(25, opens=2, clicks=2, imports=2)
        watch.live.stop()
        told.append((watch.store.lines(), [bytes(raw) for _, raw in watch.store.snapshots()]))
        watch.store.close()
    assert told[0] == told[1]
    assert any('"resolved"' in line for line in told[0][0])


def test_who_comes_to_a_life_that_is_over_is_to_come_again(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "s.db", signals(opens="done"))
    before = watch.live
    watch.reload(signals(opens="done", clicks="done"))
    with pytest.raises(Busy):
        before.readings(delta(T0 + 30, 1.0), T0 + 30)
    with pytest.raises(Busy):
        before.deployments([], T0)
    assert before.tick(T0 + 3600) == 0
    assert before.figures(T0).series == 0
    watch.store.close()


# The process.


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    made: list[Daemon] = []

    def one(**kwargs: object) -> Daemon:
        made.append(Daemon(tmp_path, interval="5s", **kwargs))  # type: ignore[arg-type]
        made[-1].command = [sys.executable, "-m", "stillwatch", "run", "--config", str(made[-1].config)]
        return made[-1].start()

    yield one
    for one_of_them in made:
        if one_of_them.process is not None and one_of_them.process.poll() is None:
            one_of_them.kill()


MORE = """  parser:
    signals:
      parsing: {kind: throughput, count: parsed}
"""


@pytest.mark.slow
def test_a_daemon_takes_new_settings_without_losing_a_count_or_a_connection(
    running: Callable[..., Daemon],
) -> None:
    port = free_port()
    daemon = running(grpc_port=port)
    process = daemon.process
    service = Service(daemon, deltas=True)
    sent = 0
    good = daemon.config.read_text()
    for i in range(12):
        if i == 3:
            by_rename(daemon.config, good + MORE)
        if i == 6:
            daemon.config.write_text(good + MORE + "bugdet: {}\n")
        if i == 9:
            daemon.config.write_text(good)
            process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
        service.started.add(5)
        sent += 5
        service.export()  # refused by nobody, whenever it comes
        time.sleep(1.5)
        if i == 8:
            eventually(lambda: "bugdet" in daemon.health()["settings"]["refused"])  # type: ignore[index]
            assert daemon.health()["ok"] is True
    service.close()
    eventually(lambda: daemon.said().count("the new ones are in force") == 2)
    assert daemon.said().count("the new ones are refused") == 1
    assert "watching (signals: 2)" in daemon.said()
    assert daemon.health()["settings"]["refused"] == ""  # type: ignore[index]
    assert daemon.process is process
    assert process.poll() is None  # type: ignore[union-attr]
    time.sleep(11)
    assert daemon.end() == 0
    store = daemon.store()
    try:
        _, bins, _ = store.export()
        assert float(np.nansum(bins.values)) + float(bins.late.count.sum()) == sent
    finally:
        store.close()
    assert "Traceback" not in daemon.said()


@pytest.mark.slow
def test_what_one_life_remembered_is_gone_with_it(running: Callable[..., Daemon]) -> None:
    daemon = running()
    request = ExportMetricsServiceRequest()
    of = request.resource_metrics.add()
    of.resource.attributes.add(key="service.name").value.string_value = "importer"
    metric = of.scope_metrics.add().metrics.add(name="started")
    metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 1  # deltas
    now = time.time_ns()
    for i in range(15_000):
        point = metric.sum.data_points.add(start_time_unix_nano=now - 10**9, time_unix_nano=now, as_int=1)
        point.attributes.add(key="path").value.string_value = f"/{i}"
    headers = {"Authorization": "Bearer let-me-in", "Content-Type": "application/x-protobuf"}
    body = request.SerializeToString()
    assert httpx2.post(f"{daemon.url}/v1/metrics", content=body, headers=headers, trust_env=False).is_success
    good = daemon.config.read_text()
    assert scraped(daemon)["stillwatch_series"] == 15_000
    memory = []
    for i in range(8):
        daemon.config.write_text(good + (MORE if i % 2 else ""))
        daemon.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
        eventually(lambda: daemon.said().count("the new ones are in force") >= i, 60)  # noqa: B023
        eventually(daemon.answers)
        memory.append(scraped(daemon)["process_memory_usage_bytes"] / 1e6)
    assert memory[-1] - memory[2] < 15, memory


@pytest.mark.slow
def test_a_message_that_is_on_its_way_is_sent_once_though_settings_change(
    running: Callable[..., Daemon], tmp_path: Path
) -> None:
    """Slack takes it and does not answer; whoever delivers by the new settings waits for whoever did by the old."""
    with SlackServer() as slack:
        daemon = running(slack=slack.base_url, token=slack.token)
        slack.script("chat.postMessage", hang(taken=True))
        store = daemon.store()
        store.say("", [Message("one", "C0ALERTS", "said once")], int(time.time()))
        store.close()
        eventually(lambda: slack.count("chat.postMessage") == 1)
        daemon.config.write_text(daemon.config.read_text() + MORE)
        eventually(lambda: "the new ones are in force" in daemon.said())
        lags = []
        for _ in range(25):
            lags.append(int(daemon.health()["lag"]))  # type: ignore[call-overload]
            time.sleep(1)
        assert max(lags) <= 5  # no tick has waited for Slack
        eventually(lambda: daemon.health()["outbox"] == 0, 60)
        assert len(slack.channel("C0ALERTS").messages) == 1
