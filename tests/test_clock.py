"""A clock that jumps while the daemon runs: whom it believes, and what people hear of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.messages import Message
from stillwatch import selfwatch
from stillwatch.clock import BELIEVED, JUMP, Steady
from stillwatch.selftold import SelfTold
from stillwatch.tables import StoreTrouble

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
    assert [record.getMessage()[:40] for record in caplog.records] == [
        "the clock of this machine jumped by -360",
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
