"""What people said of an incident, as it stands on its card and is told; RENEW_GOLDEN=1 writes the words anew."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import examples
import pytest
from slack_blocks import complaints, too_long

from alerts.incidents import Event
from alerts.messages import Message, word
from alerts.remarks import answered, edited, remarks, told_now
from alerts.rollbacks import Rollback
from alerts.silences import Silence, matcher
from collector.words import Word

GOLDEN = Path(__file__).parent / "golden"
SPIKE = examples.error_spike()
ID = SPIKE.incident.id
AT = SPIKE.time
SAID = (
    Word(ID, "acknowledge", "anna", AT + 120),
    Word(ID, "not this deployment", "ben", AT + 180, "release-20220413-0631", "mail-sender"),
    Word(ID, "not a problem", "ben", AT + 240),
)
SILENCE = Silence("s1", (matcher("service=contact-importer"),), AT, AT + 7200, "anna", "known, see #31")
ASKED = Rollback(
    ID, "release-20220413-0631", "contact-importer", "3.45.0", "3.44.0", "anna", AT + 120, "production", 0.97
)
TAKEN = replace(
    ASKED, state="taken", said="the pipeline answered 202", page="https://ci.example/contact-importer/runs/7"
)
REFUSED = replace(ASKED, state="failed", said="the pipeline answered 404: no such service")
NOBODY_KNOWS = replace(ASKED, state="unknown", said="no answer from the pipeline (ReadTimeout)")


def closed() -> Event:
    it = replace(SPIKE.incident, resolved=AT + 300, closed_by="ben", acknowledged="anna")
    return Event(AT + 300, "resolved", "operator", it, 2)


SPOKEN: dict[str, tuple[Message, ...]] = {
    "card": (edited(SPIKE, "#alerts", f"{ID}:said:1:card", remarks(SPIKE, [SILENCE], SAID), pressable=True),),
    "put_back": (
        edited(SPIKE, "#alerts", f"{ID}:said:1:card", remarks(SPIKE, [], (), [ASKED]), pressable=True),
        *(answered(one, "#alerts", 1, AT + 130) for one in (TAKEN, REFUSED, NOBODY_KNOWS)),
    ),
    "told_now": told_now(SPIKE, "#alerts", f"{ID}:said:2", stands=True),
    "told_first": told_now(SPIKE, "#alerts", f"{ID}:said:2", stands=False),
    "no_problem": word(closed(), "#alerts", remarks(closed(), [], SAID), pressable=True),
}


@pytest.mark.parametrize("name", list(SPOKEN))
def test_the_words_are_as_they_were_agreed(name: str) -> None:
    shown = [
        {"key": m.key, "text": m.text, "blocks": m.blocks, "replaces": m.replaces, "reply_to": m.reply_to,
         "broadcast": m.broadcast, "chart": m.chart is not None}
        for m in SPOKEN[name]
    ]  # fmt: skip
    text = json.dumps(shown, indent=1, ensure_ascii=False) + "\n"
    file = GOLDEN / f"spoken_{name}.json"
    if os.environ.get("RENEW_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
    for message in SPOKEN[name]:
        assert complaints(list(message.blocks)) == []
        assert not too_long(list(message.blocks))


def test_no_golden_file_is_left_over() -> None:
    assert {f.stem for f in GOLDEN.glob("spoken_*")} == {f"spoken_{name}" for name in SPOKEN}


def test_however_much_is_said_the_card_keeps_slacks_limits() -> None:
    said = [
        Word(ID, "not this deployment", "<!channel>" * 30, AT, f"{'&' * 300}{i}", "`" * 300)
        for i in range(50)
    ]
    said += [Word(ID, "acknowledge", "&" * 200, AT + i) for i in range(50)]
    silences = [replace(SILENCE, author="&" * 200, comment="<" * 500) for _ in range(9)]
    message = edited(SPIKE, "#alerts", "k", remarks(SPIKE, silences, said), pressable=True)
    assert complaints(list(message.blocks)) == []
    assert not too_long(list(message.blocks))
    assert "<!channel>" not in json.dumps(message.blocks)


def test_what_is_over_speaks_of_nothing_to_come() -> None:
    lines = remarks(closed(), [SILENCE], SAID)
    assert len(lines) == 2
    assert not any("Silenced" in line or "closed when" in line for line in lines)
