"""A clock that jumps while the daemon runs: whom it believes, and what people hear of it."""

from __future__ import annotations

import glob
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_daemon import Daemon, eventually

from alerts.messages import Message
from stillwatch import selfwatch
from stillwatch.clock import BELIEVED, CONTRADICTED, JUMP, Steady
from stillwatch.selftold import SelfTold
from stillwatch.tables import StoreTrouble

LIBRARY = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), "")
if not LIBRARY and os.environ.get("CI") == "true":
    raise RuntimeError("libfaketime is missing")
T0 = 1_800_000_000.0
HOURS = st.floats(JUMP + 1, 12 * 3600) | st.floats(-12 * 3600, -JUMP - 1)


class Machine:
    """passes: seconds go by. off: what its clock shows too much."""

    def __init__(self) -> None:
        self.ran = 50.0
        self.off = 0.0
        self.clock = Steady(lambda: T0 + self.ran + self.off, lambda: self.ran)

    def passes(self, seconds: float) -> float:
        """The time then, beside the right one."""
        self.ran += seconds
        return round(self.clock.now() - T0 - self.ran, 3)


@given(HOURS, st.lists(st.floats(0.1, 200), min_size=1, max_size=20))
def test_a_jump_that_senders_contradict_never_counts_however_long_it_lasts(
    off: float, pauses: list[float]
) -> None:
    machine = Machine()
    machine.off = off
    for pause in pauses:
        assert machine.passes(pause) == pytest.approx(0)
        assert "jumped" in machine.clock.doubt
        machine.clock.counted_until(T0 + machine.ran - 3)
    machine.off = 0
    assert machine.passes(1) == pytest.approx(0)
    assert machine.clock.doubt == ""


@given(HOURS)
def test_a_jump_by_which_a_sender_reports_is_the_time_at_once(off: float) -> None:
    machine = Machine()
    machine.off = off
    assert machine.passes(1) == pytest.approx(0)
    machine.clock.counted_until(T0 + machine.ran + off - 3)
    assert machine.passes(1) == pytest.approx(off, abs=0.01)
    assert machine.clock.doubt == ""


def test_senders_that_disagree_change_nothing_and_who_may_be_right_is_to_come_again() -> None:
    machine = Machine()
    machine.off = -7200
    machine.passes(1)
    for _ in range(30):
        assert machine.clock.counted_until(T0 + machine.ran)
        assert machine.passes(60) == 0
        assert not machine.clock.counted_until(T0 + machine.ran - 7200)
        assert machine.clock.counted_until(T0 + machine.ran - 3600), "late, by any time"
    machine.passes(CONTRADICTED)
    assert machine.clock.counted_until(T0 + machine.ran - 7200)
    assert machine.passes(1) == -7200


def test_a_jump_of_which_nobody_says_anything_is_believed_in_the_end() -> None:
    machine = Machine()
    machine.off = 7200
    machine.passes(0)
    assert machine.passes(BELIEVED - 1) == pytest.approx(0)
    assert machine.passes(2) == pytest.approx(7200)
    machine.off = 0
    assert machine.passes(1) == pytest.approx(7200), "and so is the way back"


@given(st.lists(st.tuples(st.floats(0.1, 100), st.floats(-JUMP / 2, JUMP / 2)), max_size=20))
def test_what_a_machine_corrects_day_by_day_is_followed(steps: list[tuple[float, float]]) -> None:
    machine = Machine()
    for pause, by in steps:
        machine.off = by
        assert machine.passes(pause) == pytest.approx(by, abs=0.01)
        assert machine.clock.doubt == ""


def test_a_jump_and_its_end_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    with caplog.at_level(logging.INFO):
        machine.off = -3600
        for _ in range(5):
            machine.passes(1)
        machine.off = 0
        machine.passes(1)
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "the clock of this machine is not trusted: it jumped by -3600 s",
        "the clock of this machine is right again",
    ]


def test_what_is_wrong_with_ourselves_is_said_once_where_it_began_and_again_when_it_is_over() -> None:
    said: list[Message] = []
    broken = [True]

    def say(messages: Sequence[Message], now: int) -> None:
        del now
        if broken:
            raise StoreTrouble("away")
        said.extend(messages)

    told = SelfTold(say)

    def words(since: int, what: str, over: bool) -> Sequence[Message]:
        return selfwatch.settings(channel, since, what, over)

    channel = "#a"
    told.look("", 60, words)
    with pytest.raises(StoreTrouble):
        told.look("s.yaml:3 <!channel>", 61, words)
    broken.clear()
    for now in range(62, 70):
        told.look("s.yaml:3 <!channel>", now, words)
    channel = "#b"
    for now in range(70, 80):
        told.look("", now, words)
    told.look("again", 130, words)
    assert [(one.channel, one.key, one.reply_to) for one in said] == [
        ("#a", "settings:62", ""), ("#a", "settings:62:over", "settings:62"), ("#b", "settings:130", "")
    ]  # fmt: skip
    assert "refuses its new settings since 00:01 UTC" in said[0].text
    assert "s.yaml:3" in said[0].text and "<!channel>" not in said[0].text
    assert "goes on by what is in its file" in said[1].text
    assert "<!channel>" not in selfwatch.time_of_day("#a", 60, "<!channel>", False)[0].text


def counted_at(daemon: Daemon, moment: float) -> None:
    """A sender whose clock shows this has counted something."""
    until = round(moment * 1e9)
    point = {"startTimeUnixNano": str(until - 10**9), "timeUnixNano": str(until), "asInt": "3"}
    metric = {
        "name": "started",
        "sum": {"isMonotonic": True, "aggregationTemporality": 1, "dataPoints": [point]},
    }
    named = {"key": "service.name", "value": {"stringValue": "importer"}}
    of = {"scopeMetrics": [{"metrics": [metric]}], "resource": {"attributes": [named]}}
    answer = httpx2.post(
        f"{daemon.url}/v1/metrics",
        json={"resourceMetrics": [of]},
        headers={"Authorization": "Bearer let-me-in"},
        trust_env=False,
        timeout=30,
    )
    assert answer.status_code == 200


@pytest.mark.slow
@pytest.mark.skipif(not LIBRARY, reason="needs libfaketime (apt-get install libfaketime)")
def test_a_daemon_whose_clock_jumps_says_so_and_goes_on_by_the_time_that_senders_have(tmp_path: Path) -> None:
    hours = 3 * 3600
    offset = tmp_path / "offset"

    def jump(by: int) -> None:
        offset.write_text(f"{by:+d}\n")

    def said_of_clock() -> str:
        return str(daemon.health()["clock"])

    jump(0)
    daemon = Daemon(tmp_path, interval="5s")
    daemon.environ |= {
        "LD_PRELOAD": LIBRARY,
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    daemon.start()
    time.sleep(3)  # nothing is counted of before it listened
    try:
        for number, by in enumerate((hours, -hours), 1):
            jump(by)
            eventually(lambda: "jumped by" in said_of_clock())
            counted_at(daemon, time.time() - 1)
            before = time.time()
            eventually(lambda: int(str(daemon.health()["watermark"])) > before)  # noqa: B023
            assert abs(int(str(daemon.health()["watermark"])) - time.time()) < 60
            assert daemon.health()["ok"] is True
            jump(0)
            eventually(lambda: said_of_clock() == "")
            eventually(lambda: daemon.said().count(":over") == number)  # noqa: B023
        assert daemon.health()["refused"] == {}
        # Senders whose clocks went the same way: nobody can know better.
        jump(-hours)
        eventually(lambda: "jumped by" in said_of_clock())
        counted_at(daemon, time.time() - hours - 1)
        eventually(lambda: "none is judged until then" in said_of_clock())
        assert daemon.health()["ok"] is False
        jump(0)
        eventually(lambda: "jumped by" in daemon.said().rpartition("is followed")[2])
        counted_at(daemon, time.time() - 1)
        eventually(lambda: said_of_clock() == "" and daemon.health()["ok"] is True, 60)
        assert daemon.end() == 0
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()
