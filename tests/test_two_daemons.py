"""Two daemons on one PostgreSQL, as processes: one is killed, one sleeps, the database is gone."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import httpx2
import numpy as np
import pytest
from postgres_server import PostgresServer
from slack_server import SlackServer, hang
from test_daemon import Daemon, eventually, record_a_bad_release

from stillwatch.lease import lasts
from stillwatch.store import Store

pytestmark = pytest.mark.slow(seconds=60)
WIDTH = 10  # seconds of an interval
LASTS = lasts(WIDTH)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Callable[..., tuple[Daemon, Daemon]]]:
    """Makes two daemons on one database, the first of which leads."""
    made: list[Daemon] = []

    def two(database: str, **settings: str) -> tuple[Daemon, Daemon]:
        for name in "ab":
            (tmp_path / name).mkdir()
            made.append(Daemon(tmp_path / name, database=database, **settings))
            made[-1].command = [sys.executable, "-m", "stillwatch", "run", "--config", str(made[-1].config)]
        made[0].start()
        eventually(lambda: made[0].health()["role"] == "leads")
        made[1].start()
        eventually(lambda: made[1].health()["role"] == "stands by")
        return made[0], made[1]

    yield two
    for daemon in made:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.process.send_signal(signal.SIGCONT)
            daemon.kill()


class Sender:
    """A process that counts and exports its running total to one daemon after the other, and again where none takes
    it, as exporters behind a load balancer do."""

    def __init__(self, *daemons: Daemon) -> None:
        self._daemons = cycle(daemons)
        self._start = time.time_ns()
        self.total = 0
        self.acknowledged = 0

    def export(self) -> None:
        self.total += 7
        now = time.time_ns()
        point = {"startTimeUnixNano": str(self._start), "timeUnixNano": str(now), "asInt": str(self.total)}
        metric = {
            "name": "started",
            "sum": {"isMonotonic": True, "aggregationTemporality": 2, "dataPoints": [point]},
        }
        name = {"key": "service.name", "value": {"stringValue": "importer"}}
        scope = {"scopeMetrics": [{"metrics": [metric]}], "resource": {"attributes": [name]}}
        for daemon in self._daemons:
            try:
                answer = httpx2.post(
                    f"{daemon.url}/v1/metrics",
                    json={"resourceMetrics": [scope]},
                    headers={"Authorization": "Bearer let-me-in"},
                    timeout=2,
                    trust_env=False,
                )
            except httpx2.HTTPError:
                time.sleep(0.1)
                continue
            if answer.status_code == 200:
                self.acknowledged = self.total
                return
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
            time.sleep(0.1)

    def go_on(self, until: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, "it did not come about in time"
            self.export()
            time.sleep(0.5)


def role(daemon: Daemon) -> object:
    try:
        return daemon.health()["role"]
    except httpx2.HTTPError:
        return "gone"


def kept(database: str) -> tuple[float, list[int]]:
    """What was counted in all, and the starts of intervals that nobody watched."""
    store = Store(database)
    counted, deaf = 0.0, []
    for bins in store.history():
        counted += float(np.nansum(bins.values)) + float(bins.late.count.sum())
        deaf += [bins.start + i * bins.width for i in np.flatnonzero(~bins.watched).tolist()]
    store.close()
    return counted, deaf


def test_both_take_counts_in_and_when_the_leader_dies_or_sleeps_none_is_lost_and_none_counts_twice(
    postgres_server: PostgresServer, pair: Callable[..., tuple[Daemon, Daemon]]
) -> None:
    database = postgres_server.ready()
    one, other = pair(database, interval=f"{WIDTH}s")
    listening = time.time()
    sender = Sender(one, other)
    sender.go_on(lambda: kept(database)[0] > 0 and sender.total > 100, 60)
    one.kill()
    died = time.monotonic()
    sender.go_on(lambda: role(other) == "leads", 2 * WIDTH)
    print(f"taken over after {time.monotonic() - died:.1f} s")
    one.start()
    sender.go_on(lambda: role(one) == "stands by", 30)
    # A leader that falls asleep and wakes up when another one leads finds its hands tied.
    assert other.process is not None
    other.process.send_signal(signal.SIGSTOP)
    slept = time.monotonic()
    sender = _goes_on(sender, one)
    sender.go_on(lambda: role(one) == "leads", 2 * WIDTH + LASTS)
    print(f"taken over from one asleep after {time.monotonic() - slept:.1f} s")
    other.process.send_signal(signal.SIGCONT)
    sender.go_on(lambda: other.process is not None and other.process.poll() is not None, 30)
    assert other.process.returncode == 1
    assert "another daemon judges and tells by now; ending" in other.said()
    sender.go_on(lambda: time.monotonic() - slept > 40, 60)
    deadline = time.monotonic() + 4 * WIDTH
    while kept(database)[0] != sender.acknowledged:
        assert time.monotonic() < deadline, (kept(database), sender.acknowledged, listening)
        time.sleep(1)
    _, deaf = kept(database)
    assert [start for start in deaf if start > listening] == []
    assert one.end() == 0
    assert "Traceback" not in one.said() + other.said()


def _goes_on(sender: Sender, to: Daemon) -> Sender:
    """The same process, which is led to one daemon only from now on."""
    sender._daemons = cycle([to])
    return sender


def test_what_the_leader_was_telling_when_it_died_is_told_once(
    postgres_server: PostgresServer, pair: Callable[..., tuple[Daemon, Daemon]]
) -> None:
    database = postgres_server.ready()
    record_a_bad_release(database)
    with SlackServer() as slack:
        slack.script("chat.postMessage", hang(taken=True))
        one, other = pair(database, slack=slack.base_url, token=slack.token)
        eventually(lambda: slack.count("chat.postMessage") >= 1, 60)
        one.kill()
        eventually(lambda: role(other) == "leads" and other.health()["outbox"] == 0, 120)
        messages = slack.channel("C0ALERTS").messages
        assert len([m for m in messages if not m.thread_ts]) == 1
        assert len({m.text for m in messages}) == len(messages)
        store = Store(database)
        lines = store.lines()
        store.close()
        assert len(set(lines)) == len(lines) > 0
        assert other.end() == 0
        assert "Traceback" not in one.said() + other.said()


def test_while_the_database_is_away_it_is_said_everywhere_and_goes_on_by_itself(
    pair: Callable[..., tuple[Daemon, Daemon]],
) -> None:
    with PostgresServer() as own, SlackServer() as slack:
        database = own.ready()
        one, other = pair(database, interval=f"{WIDTH}s", slack=slack.base_url, token=slack.token)
        sender = Sender(one, other)
        sender.go_on(lambda: sender.total > 50, 60)
        own.stop()
        for daemon in (one, other):
            eventually(lambda daemon=daemon: "cannot be reached" in str(daemon.health()["trouble"]))
            answer = httpx2.get(f"{daemon.url}/healthz", trust_env=False)
            assert answer.status_code == 503
            answer = httpx2.post(
                f"{daemon.url}/deployments",
                json={"id": "r1", "service": "importer", "version": "2"},
                headers={"Authorization": "Bearer let-me-in"},
                trust_env=False,
            )
            assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
        channel = slack.channel("C0ALERTS")
        eventually(lambda: len(channel.messages) == 2, 60)  # one of each: neither knows of the other
        assert all("cannot use its database since" in one.text for one in channel.messages)
        own.start()
        eventually(lambda: one.health()["ok"] is True and other.health()["ok"] is True, 60)
        assert (role(one), role(other)) == ("leads", "stands by"), "who led goes on"
        sender.go_on(lambda: len(channel.messages) == 4, 90)
        assert all("can use its database again" in one.text for one in channel.messages[2:])
        eventually(lambda: kept(database)[0] == sender.acknowledged, 60)
        assert (one.end(), other.end()) == (0, 0)
        assert "Traceback" not in one.said() + other.said()


def test_one_that_stands_by_takes_new_settings_and_refuses_wrong_ones(
    postgres_server: PostgresServer, pair: Callable[..., tuple[Daemon, Daemon]]
) -> None:
    with SlackServer() as slack:
        one, other = pair(
            postgres_server.ready(), interval=f"{WIDTH}s", slack=slack.base_url, token=slack.token
        )
        good = other.config.read_text()
        other.config.write_text(good + "bugdet: {}\n")
        eventually(lambda: "bugdet" in str(other.health()["settings"]))
        assert role(other) == "stands by"
        other.config.write_text(good.replace("importer", "exporter"))
        eventually(
            lambda: other.said().count("the new ones are in force") == 1 and role(other) == "stands by"
        )
        assert "bugdet" not in str(other.health()["settings"])
        one.kill()
        eventually(lambda: role(other) == "leads", 60)
        eventually(lambda: other.health()["ok"] is True)
        # What one that leads refuses, people hear of.
        other.config.write_text(good + "bugdet: {}\n")
        channel = slack.channel("C0ALERTS")
        eventually(lambda: any("refuses its new settings" in m.text for m in channel.messages), 60)
        assert [m.text.count("bugdet") for m in channel.messages] == [1]
        other.config.write_text(good)
        eventually(lambda: len(channel.messages) == 2, 60)
        assert "goes on by what is in its file" in channel.messages[1].text
        assert other.end() == 0
        assert "Traceback" not in one.said() + other.said()
