"""The heartbeat: there while all is well, away when no tick was finished or nothing would reach Slack."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from slack_server import SlackServer
from test_daemon import Daemon, eventually
from web_server import Reply, WebServer

from alerts.incidents import Incident
from alerts.messages import Message
from alerts.outbox import Delivery
from collector.errors import BadInput
from stillwatch import config
from stillwatch.heartbeat import PROVEN, STUCK, Heart, Way
from stillwatch.live import Figures
from stillwatch.tables import StoreTrouble

T0 = 1_650_000_000
SECRET = "/ping/7f3a-secret"
WELL = Figures(judged_until=T0)
OLD = Delivery(1, "i", Message("k", "C1", "text"), T0 - STUCK - 1, tries=3, why="is archived")


class Patient:
    """A heart whose surroundings can be made ill."""

    def __init__(self, url: str, fails: bool = False) -> None:
        self.now, self.figures, self.slack = T0 + 20, WELL, ""
        self.asked = 0
        self.box: list[Delivery] | StoreTrouble = []
        self.way = Way(self.ask, lambda: self.now)
        wanted = config.Heartbeat(url + SECRET, 60, fails)
        self.heart = Heart(wanted, lambda now: self.figures, 105, self, self.way, lambda: self.now)

    def ask(self) -> str:
        self.asked += 1
        return self.slack

    def waiting(self) -> list[Delivery]:
        if isinstance(self.box, StoreTrouble):
            raise self.box
        return self.box


@pytest.fixture
def watcher() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


def test_while_all_is_well_it_beats(watcher: WebServer) -> None:
    patient = Patient(watcher.url)
    patient.heart.beat()
    assert [(r.method, r.path) for r in watcher.requests] == [("GET", SECRET)]
    assert patient.heart.health() == {"last": T0 + 20, "withheld": "", "lost": ""}


ILL: dict[str, tuple[Callable[[Patient], object], str]] = {
    "no tick was finished": (
        lambda p: setattr(p, "now", T0 + 106), "no interval was judged in time"),
    "blind": (lambda p: setattr(p, "figures", replace(WELL, blind_since=T0)), "intervals cannot be judged"),
    "no database": (lambda p: setattr(p, "figures", replace(WELL, trouble="no space left")), "no space left"),
    "no outbox": (lambda p: setattr(p, "box", StoreTrouble("is damaged")), "is damaged"),
    "Slack is away": (lambda p: setattr(p, "slack", "no answer"), "no answer"),
    "words are stuck": (lambda p: setattr(p, "box", [OLD]), "not delivered to C1: is archived"),
}  # fmt: skip


@pytest.mark.parametrize("what", ILL)
def test_when_something_is_not_well_it_stays_away_and_says_why(
    what: str, watcher: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    make_ill, why = ILL[what]
    patient = Patient(watcher.url)
    make_ill(patient)
    for _ in range(3):
        patient.heart.beat()
    assert watcher.requests == []
    assert patient.heart.health() == {"last": 0, "withheld": why, "lost": ""}
    assert patient.heart.counts == {"withheld": 3}
    patient.now, patient.figures, patient.slack, patient.box = T0 + 20, WELL, "", []
    patient.heart.beat()
    assert [r.path for r in watcher.requests] == [SECRET]
    said = [r.getMessage() for r in caplog.records if r.name == "stillwatch.heartbeat"]
    assert said == [f"no heartbeat: {why}", "the heartbeat goes on"]


@pytest.mark.parametrize("what", ILL)
def test_where_it_is_wanted_the_watcher_is_told_at_once(what: str, watcher: WebServer) -> None:
    patient = Patient(watcher.url, fails=True)
    ILL[what][0](patient)
    patient.heart.beat()
    assert [r.path for r in watcher.requests] == [SECRET + "/fail"]
    assert patient.heart.health()["last"] == 0


def test_what_waits_or_is_a_picture_keeps_no_heartbeat_back(watcher: WebServer) -> None:
    patient = Patient(watcher.url)
    picture = replace(OLD.message, chart=Incident("i", T0, "critical", (), (), 1.0))
    patient.box = [
        replace(OLD, why=""),
        replace(OLD, entered=T0),
        replace(OLD, message=replace(OLD.message, due=T0 + 10)),
        replace(OLD, message=picture),
    ]
    assert patient.heart.why_not() == ""


def test_slack_is_asked_only_where_nothing_was_delivered_lately(watcher: WebServer) -> None:
    patient = Patient(watcher.url)
    patient.way.went("sent")
    patient.figures = replace(WELL, judged_until=T0 + 2 * PROVEN)
    for seconds in range(0, PROVEN, 60):
        patient.now = T0 + 20 + seconds
        assert patient.heart.why_not() == ""
    assert patient.asked == 0
    patient.now = T0 + 20 + PROVEN
    assert (patient.heart.why_not(), patient.heart.why_not(), patient.asked) == ("", "", 1)
    patient.way.went("permanent")  # of one channel
    assert (patient.heart.why_not(), patient.asked) == ("", 1)
    patient.slack = "invalid_auth"
    patient.way.went("no_credentials")
    assert (patient.heart.why_not(), patient.heart.why_not(), patient.asked) == ("invalid_auth",) * 2 + (3,)


@pytest.mark.parametrize(
    "reply", [Reply(503), Reply(302, headers=(("Location", "/elsewhere"),)), Reply(cut=True)]
)
def test_a_watcher_that_does_not_answer_is_spoken_of_once_and_without_its_address(
    reply: Reply, watcher: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    watcher.script(reply, reply)
    patient = Patient(watcher.url)
    patient.heart.beat()
    patient.heart.beat()
    assert len([r for r in caplog.records if "does not reach" in r.getMessage()]) == 1
    assert SECRET not in caplog.text
    assert SECRET not in str(patient.heart.health())
    assert {r.path for r in watcher.requests} == {SECRET}  # a redirect leads nowhere
    patient.heart.beat()
    assert patient.heart.health()["lost"] == ""


def test_its_address_is_a_secret_that_is_read_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"https://watcher.example{SECRET}\n")
    for text, environ in (
        ("heartbeat: {url_env: BEAT, fail: true, every: 30s}", {"BEAT": f"https://watcher.example{SECRET}"}),
        (f"heartbeat: {{url_file: {tmp_path}/url, fail: true, every: 30s}}", {}),
    ):
        found = config.parse(text, "s.yaml", environ)
        assert found.heartbeat == config.Heartbeat(f"https://watcher.example{SECRET}", 30, True)
        assert SECRET not in repr(found)
    with pytest.raises(BadInput, match=r"heartbeat\.url_env: found no address") as bad:
        config.parse("heartbeat: {url_env: BEAT}", "s.yaml", {"BEAT": SECRET})
    assert SECRET not in str(bad.value)


@pytest.mark.slow
def test_a_daemon_beats_after_its_first_tick_and_not_while_slack_or_the_database_is_away(
    tmp_path: Path,
) -> None:
    with SlackServer() as slack, WebServer() as watcher:
        slack.revoke()
        daemon = Daemon(
            tmp_path, interval="5s", slack=slack.base_url, token=slack.token,
            more="heartbeat: {url_env: BEAT, every: 5s, fail: true}\n",
        )  # fmt: skip
        daemon.environ["BEAT"] = watcher.url + SECRET

        def newest() -> str:
            return watcher.requests[-1].path if watcher.requests else ""

        def withheld() -> Any:
            return daemon.health()["heartbeat"]["withheld"]  # type: ignore[index]

        try:
            daemon.start()
            eventually(lambda: "token" in withheld() and newest() == SECRET + "/fail")
            slack.restore()
            eventually(lambda: newest() == SECRET)
            assert not any(call.method == "chat.postMessage" for call in slack.calls)
            other = sqlite3.connect(tmp_path / "stillwatch.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            eventually(lambda: newest() == SECRET + "/fail", 60)
            assert withheld()
            other.execute("ROLLBACK")
            other.close()
            eventually(lambda: newest() == SECRET and daemon.health()["ok"] is True, 60)
            assert SECRET not in daemon.said()
            assert SECRET not in str(daemon.health())
        finally:
            daemon.end()
