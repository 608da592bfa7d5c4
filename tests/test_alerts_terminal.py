"""A message in a terminal reads as it would in chat, and nothing from outside moves the cursor."""

from __future__ import annotations

import io
import math
import os
import pty
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.incidents import Incident
from alerts.messages import Message
from alerts.outbox import Receipt, SendFailed
from alerts.sparkline import sparklines
from alerts.terminal import Terminal
from alerts.terminal_lines import cells, lines, mrkdwn, words, wrap
from detectors.findings import Finding, Trace
from detectors.signals import Signal

ONSET = 1_649_831_580  # 06:33 UTC


def mrk(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}


HEADER = {"type": "header", "text": {"type": "plain_text", "text": "Opens are being lost"}}
CARD = Message(
    "inc1:card",
    "#alerts",
    "Opens are being lost",
    (HEADER, {"type": "section", "text": mrk("About *41,000* so far\nowner `events-team`")}),
)


class Screen(io.StringIO):
    """What was written, and a terminal on it."""

    def __init__(self, width: int = 60, colour: bool = False) -> None:
        super().__init__()
        self.terminal = Terminal(self, width=width, colour=colour, now=lambda: ONSET)

    def shown(self) -> list[str]:
        said = self.getvalue().splitlines()
        self.seek(0)
        self.truncate()
        return said


def incident(observed: list[float], onset: int = ONSET + 180, width: int = 60) -> Incident:
    count = len(observed)
    flat = np.full(count, 100.0)
    trace = Trace(ONSET, width, np.array(observed), flat, flat - 20, flat + 20, np.full(count, math.nan))
    finding = Finding(
        Signal("event-parser", "opens", "flow", ()), "data_loss", "raised", ONSET + 600, onset, onset, onset,
        1.0, 2.0, 3.0, 2.0, 4.0, 5.0, 9.0, trace=trace,
    )  # fmt: skip
    return Incident("inc1", ONSET + 600, "critical", (finding,), (), 1.0)


def test_a_card_is_a_rounded_box_with_name_channel_and_time() -> None:
    screen = Screen()
    receipt = screen.terminal.send(CARD)
    assert receipt == Receipt("#alerts", "inc1:card")
    assert screen.shown() == [
        "╭─ Stillwatch ─────────────────────── #alerts · 06:33 UTC ─╮",
        "│ Opens are being lost                                     │",
        "│                                                          │",
        "│ About 41,000 so far                                      │",
        "│ owner `events-team`                                      │",
        "╰──────────────────────────────────────────────────────────╯",
        "",
    ]


def test_a_message_without_blocks_shows_its_text() -> None:
    screen = Screen(width=40)
    screen.terminal.send(Message("a", "#alerts", "fish &amp; chips"))
    assert "│ fish & chips                         │" in screen.shown()


def test_a_reply_is_indented_and_names_its_thread() -> None:
    screen = Screen()
    card = screen.terminal.send(CARD)
    screen.shown()
    screen.terminal.send(Message("inc1:3", "#alerts", "Rolled back", reply_to="inc1:card"), thread=card)
    assert screen.shown() == [
        "    ↳ in the thread of Opens are being lost",
        "    ╭─ Stillwatch ───────────────────────────── 06:33 UTC ─╮",
        "    │ Rolled back                                          │",
        "    ╰──────────────────────────────────────────────────────╯",
        "",
    ]


def test_a_reply_that_is_also_sent_to_the_channel_says_so() -> None:
    screen = Screen()
    card = screen.terminal.send(CARD)
    screen.shown()
    screen.terminal.send(Message("b", "#alerts", "worse", reply_to="inc1:card", broadcast=True), thread=card)
    assert "#alerts · 06:33 UTC" in screen.shown()[1]


def edit(text: str, key: str = "inc1:2") -> Message:
    blocks = (HEADER, {"type": "section", "text": mrk(text)})
    return Message(key, "#alerts", "Opens are being lost", blocks, replaces="inc1:card")


def test_an_edit_shows_only_what_changed_and_against_the_last_edit() -> None:
    screen = Screen()
    card = screen.terminal.send(CARD)
    screen.shown()
    assert screen.terminal.send(edit("About *52,300* so far\nowner `events-team`"), edits=card) == card
    assert screen.shown() == ["✎ edited: Opens are being lost  06:33 UTC", "▎ About 52,300 so far", ""]
    screen.terminal.send(edit("About *52,300* so far", "inc1:4"), edits=card)
    assert screen.shown()[1:] == ["▎ − owner `events-team`", ""]


def test_an_edit_that_changes_nothing_anyone_sees_is_not_shown() -> None:
    screen = Screen()
    card = screen.terminal.send(CARD)
    screen.shown()
    screen.terminal.send(edit("About 41,000 so far\nowner `events-team`"), edits=card)
    assert screen.shown() == []


def test_an_edit_of_a_card_from_before_a_restart_shows_all_of_it() -> None:
    screen = Screen()
    screen.terminal.send(edit("About *52,300* so far"), edits=Receipt("#alerts", "inc1:card"))
    assert screen.shown() == [
        "✎ edited: Opens are being lost  06:33 UTC",
        "▎ Opens are being lost",
        "▎ About 52,300 so far",
        "",
    ]


def test_the_same_message_is_shown_once() -> None:
    screen = Screen()
    card = screen.terminal.send(CARD)
    screen.shown()
    assert screen.terminal.send(CARD, seek_since=ONSET) == card
    assert screen.shown() == []


def test_a_closed_stream_is_a_refusal_and_the_message_is_not_taken_for_told() -> None:
    screen = Screen()
    terminal = screen.terminal
    screen.close()
    for _ in range(2):
        with pytest.raises(SendFailed) as caught:
            terminal.send(CARD)
        assert caught.value.outcome == "refused"


# The markup.


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("*bold* and _italic_ and ~gone~", "bold and italic and gone"),
        ("2 * 3 * 4 and snake_case_name", "2 * 3 * 4 and snake_case_name"),
        ("`a*b*c`", "`a*b*c`"),
        ("<https://example.com/a|the release>", "the release (https://example.com/a)"),
        ("<https://example.com/a_b_c>", "https://example.com/a_b_c"),
        ("<https://example.com/?a=1&amp;b=2|x>", "x (https://example.com/?a=1&b=2)"),
        ("&lt;!channel&gt; &amp;lt;", "<!channel> &lt;"),
        ("<!here> <!date^1649831580^{time}|06:33>", "@here 06:33"),
        ("&gt; said before", "▏ said before"),
        ("```\nlet *x*\n```", "let *x*"),
        ("see ```a\n\nb``` and *c*\n\nd", "see \na\n\nb\n and c\n\nd"),
    ],
)
def test_markup_is_shown_and_not_spelt_out(text: str, seen: str) -> None:
    assert "\n".join(words(line) for line in mrkdwn(text)) == seen


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\x1b[31mred\x1b[0m", "ared"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;http://evil\x1b\\b", "ab"),
        ("a\x9b2Jb\rc\x08d\x07", "abcd"),
        ("abc\u202edcba\u200bx\ufeff", "abcdcbax"),
        ("Grüße, 東京, नमस्ते", "Grüße, 東京, नमस्ते"),
    ],
)
def test_nothing_from_outside_moves_the_cursor_and_letters_of_every_script_stay(text: str, seen: str) -> None:
    assert [words(line) for line in mrkdwn(text)] == [seen]
    plain = [{"type": "header", "text": {"type": "plain_text", "text": text}}]
    assert [words(line) for line in lines("", plain, 80)] == [seen]


def test_fields_stand_in_two_columns_where_there_is_room() -> None:
    block = {
        "type": "section",
        "fields": [mrk("*Began*\n06:33"), mrk("*Kind*\ndata loss"), mrk("*Owner*\nx")],
    }
    wide = [words(line) for line in lines("", [block], 60)]
    narrow = [words(line) for line in lines("", [block], 40)]
    assert wide == ["Began" + " " * 26 + "Kind", "06:33" + " " * 26 + "data loss", "Owner", "x"]
    assert narrow == ["Began", "06:33", "Kind", "data loss", "Owner", "x"]


def test_a_button_is_not_broken_and_shows_where_it_leads() -> None:
    element = {
        "type": "button",
        "text": {"type": "plain_text", "text": "Open it"},
        "url": "https://example.com",
    }
    block = {"type": "actions", "elements": [{"type": "button", "text": mrk("Mute 1 h")}, element]}
    (line,) = lines("", [block], 80)
    assert words(line).replace("\u00a0", " ") == "[ Mute 1 h ]  [ Open it ] (https://example.com)"


def test_a_bullet_hangs_when_it_wraps() -> None:
    (line,) = mrkdwn("• one two three four")
    assert [words(one) for one in wrap(line, 11)] == ["• one two", "  three", "  four"]


def test_blocks_we_do_not_know_still_show_their_text() -> None:
    rich = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [mrk("hello")]}]}
    assert [words(line) for line in lines("", [rich], 40)] == ["hello"]


ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=300) | st.text(
    "*_`~<>|&; \nab•世\x1b[]", max_size=120
)


@given(ANY_TEXT, st.integers(20, 100))
def test_no_line_is_wider_than_the_box_and_no_control_character_gets_through(text: str, width: int) -> None:
    screen = Screen(width)
    header = {"type": "header", "text": {"type": "plain_text", "text": text}}
    block = {"type": "section", "text": mrk(text), "fields": [mrk(text), mrk("x")]}
    context = {"type": "context", "elements": [mrk(text)]}
    screen.terminal.send(Message("a", text[:80], text, (header, block, context)))
    shown = screen.getvalue().split("\n")
    assert not [one for one in "".join(shown) if unicodedata.category(one) in ("Cc", "Cf")]
    boxed = [line for line in shown if line]
    assert {cells(line) for line in boxed} == {max(40, min(92, width))}
    assert {line[0] for line in boxed} <= set("╭│╰")


@given(ANY_TEXT, st.integers(4, 50))
def test_wrapping_loses_nothing_but_blanks(text: str, width: int) -> None:
    for line in mrkdwn(text):
        kept = "".join(words(one) for one in wrap(line, width)).replace(" ", "")
        assert kept == words(line).replace(" ", "")


# Colours.


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    reader, writer = pty.openpty()
    with open(writer, "w") as tty, open(reader, "rb", buffering=0) as seen:

        def card() -> bytes:
            """All of it: a terminal hands over what has come so far."""
            got = b""
            while "╯".encode() not in got:
                got += os.read(seen.fileno(), 4096)
            return got

        Terminal(tty, width=40).send(CARD)
        assert b"\x1b[1mOpens are being lost\x1b[0m" in card()
        monkeypatch.setenv("NO_COLOR", "1")
        Terminal(tty, width=40).send(CARD)
        assert b"\x1b" not in card()
    file = io.StringIO()
    Terminal(file, width=40).send(CARD)
    assert "\x1b" not in file.getvalue()


def test_a_stream_that_knows_only_ascii_gets_ascii() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Terminal(stream, width=40).send(CARD)
    said = raw.getvalue().decode("ascii").splitlines()
    assert said[0] == "+- Stillwatch --------------- #alerts -+"
    assert said[1] == "| Opens are being lost                 |"


# Charts.


def test_a_chart_shows_what_came_against_what_should_have_come_with_the_onset_marked() -> None:
    screen = Screen(width=60)
    values = [100.0, 100.0, math.nan, 10.0, 0.0, 10.0, 100.0, 100.0, 100.0, 100.0]
    screen.terminal.send(Message("c", "#alerts", "chart", chart=incident(values)))
    assert screen.shown()[1:-2] == [
        "│ event-parser · opens  per 1 min                          │",
        "│ observed  ██·▂▁▂████  100                                │",
        "│ expected  ██████████  100                                │",
        "│              ▲06:36                                      │",
    ]


def test_what_was_not_measured_is_neither_zero_nor_an_alarm() -> None:
    found = sparklines(incident([math.nan, 0.0, 100.0]), 60)
    bars = found[1][1:4]
    assert bars == (("·", ""), ("▁", "alarm"), ("█", ""))


def test_a_long_trace_is_averaged_to_fit_and_says_so() -> None:
    found = sparklines(incident([100.0] * 100 + [math.nan] * 100), 60)
    assert words(found[0]).endswith("each bar the mean of 5")
    assert words(found[1]) == "observed  " + "█" * 20 + "·" * 20 + "  100"


@pytest.mark.parametrize("value", [math.nan, 0.0, 0.04, 1234567.0, 1e12, 1e300, math.inf])
def test_odd_traces_are_drawn_all_the_same(value: float) -> None:
    for line in sparklines(incident([value] * 7), 60):
        assert cells(words(line)) <= 60


@given(
    st.lists(st.floats(0, 1e9) | st.just(math.nan), min_size=1, max_size=300),
    st.integers(30, 90),
    st.integers(-1000, 30_000),
)
def test_a_chart_never_leaves_its_width(values: list[float], width: int, later: int) -> None:
    for line in sparklines(incident(values, onset=ONSET + later), width):
        assert cells(words(line)) <= width


def test_an_incident_without_traces_draws_nothing() -> None:
    screen = Screen()
    screen.terminal.send(Message("c", "#alerts", "chart", chart=Incident("i", 0, "info", (), (), 1.0)))
    assert screen.shown() == []
