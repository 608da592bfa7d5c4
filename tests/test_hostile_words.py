"""Text from outside is shown at every place and can do nothing there: no mention, no link, no markup, no header.

Events are infested in every text that comes from outside, and every place's request is looked at as it goes out.
"""

from __future__ import annotations

import email
import email.policy
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from slack_blocks import complaints
from test_alerts_messages import HOSTILE, OUTSIDE, hostile_events
from test_alerts_pagers import KEY, OurPagerDuty

from alerts import digest, messages, plain
from alerts.alertmanager import alerts
from alerts.anywhere import text as words_for_apprise
from alerts.fallback import diverted
from alerts.incidents import Event
from alerts.mail import letter
from alerts.messages import Message
from alerts.mrkdwn import address, inert
from alerts.notices import Notice
from alerts.opsgenie import alert
from alerts.outbox import Delivery
from alerts.pagerduty import events as pager_events
from alerts.receivers import Receiver
from alerts.teams import fitting
from alerts.webhook import body

LAW = settings(max_examples=30, deadline=None)
NOW = 1_649_831_820
CONTROL = {"Cc", "Cf", "Cs", "Co"}
BEGINS_SOMETHING = set("<>&@#*~`[]{}|\\")  # a mention, a link, markup, a template
BARE_HOST = re.compile(r"[^\W_]\.[^\W\d_]{2}")
POST = Receiver(
    "m", "email", "smtp://localhost", sender="stillwatch@example.com", to=("on-call@example.com",)
)


def harmless(text: str, lines: bool = False) -> None:
    """It can do nothing wherever it is shown."""
    assert not set(text) & BEGINS_SOMETHING
    assert "://" not in text
    assert not BARE_HOST.search(text)
    assert not re.search(r"(?<![^\W_])_|_(?![^\W_])", text)
    assert not [c for c in text if c != "\n" and unicodedata.category(c) in CONTROL]
    assert lines or "\n" not in text


def notice(event: Event) -> Notice:
    (message,) = plain.word(event, "x:x", first=True)
    assert message.notice is not None
    return message.notice


def without_change(text: str, of: Notice) -> str:
    """The words, without our own line with the address of the change."""
    return text.removesuffix(f"\n\nThe change: {of.change}") if of.change else text


@LAW
@given(OUTSIDE)
def test_inert_text_is_harmless_and_as_long_and_inert_again(text: str) -> None:
    one = inert("".join(c for c in text if unicodedata.category(c) not in CONTROL))
    harmless(one)
    assert inert(one) == one


@LAW
@given(st.text("abcdefghij ÄÖΩж漢字0123456789-,;!?()/%+='\"^", max_size=50))
def test_ordinary_words_of_every_script_stay_as_they_are(text: str) -> None:
    assert inert(text) == text
    assert inert("opens_kept 3.45.0, 31 %") == "opens_kept 3.45.0, 31 %"


@LAW
@given(hostile_events())
def test_the_words_for_people_are_harmless(event: Event) -> None:
    said = notice(event)
    harmless(said.title)
    harmless(said.text, lines=True)
    assert len(said.title) <= 145
    assert said.change == address(said.change)
    for part in said.parts:
        harmless(part.said)
        for name in (part.service, part.signal, part.owner):
            assert len(name) <= 200
            assert not [c for c in name if unicodedata.category(c) in CONTROL]


@LAW
@given(hostile_events())
def test_a_webhook_gets_valid_json_whose_words_are_harmless(event: Event) -> None:
    said = json.loads(json.dumps(body("k", notice(event))))
    harmless(said["title"])
    harmless(said["text"], lines=True)
    assert [one["service"] for one in said["signals"]] == [f.signal.service for f in event.incident.findings]


@LAW
@given(hostile_events())
def test_alertmanager_gets_labels_that_are_one_line_and_notes_that_are_harmless(event: Event) -> None:
    for one in alerts(notice(event), event.time):
        for name, value in one["labels"].items():
            assert re.fullmatch(r"[a-z]+", name)
            assert value.strip()
            assert not [c for c in value if unicodedata.category(c) in CONTROL]
        notes = one["annotations"]
        harmless(notes["summary"])
        harmless(notes["description"], lines=True)
        assert len(notes["description"]) <= 4000
        assert one.get("generatorURL", "") == notes.get("change", "")


@LAW
@given(hostile_events())
def test_pagerduty_and_opsgenie_get_what_they_take(event: Event) -> None:
    said = notice(event)
    strict = OurPagerDuty()
    (sent,) = pager_events(said)
    assert list(strict.wrong({"routing_key": KEY, **sent})) == []
    made = alert(said)
    assert 0 < len(made["message"]) <= 130
    assert len(made["description"]) <= 15_000
    assert len(made["entity"]) <= 512
    harmless(made["message"])
    harmless(without_change(made["description"], said), lines=True)
    if "payload" in sent:
        harmless(sent["payload"]["summary"])


@LAW
@given(hostile_events())
def test_teams_gets_a_small_card_of_plain_runs_without_a_mention(event: Event) -> None:
    said = fitting(notice(event))
    assert len(json.dumps(said, ensure_ascii=False).encode()) <= 25_000
    card = said["attachments"][0]["content"]
    assert "entities" not in card["msteams"]
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    for text in runs(card):
        harmless(text)
    for action in card.get("actions", []):
        assert action["url"].startswith(("http://", "https://"))


def runs(card: dict[str, Any]) -> Iterator[str]:
    for block in card["body"]:
        for run in block["inlines"]:
            yield run["text"]


@LAW
@given(hostile_events(), OUTSIDE)
def test_a_letter_has_its_own_headers_only_and_is_plain_text(event: Event, key: str) -> None:
    said = notice(event)
    raw = letter(POST, key, said, NOW).as_bytes()
    read = email.message_from_bytes(raw, policy=email.policy.default)
    names = [name.lower() for name in read]
    assert len(names) == len(set(names))
    assert set(names) <= {
        "subject", "from", "to", "date", "message-id", "in-reply-to", "references", "auto-submitted",
        "content-type", "content-transfer-encoding", "mime-version",
    }  # fmt: skip
    assert (read["To"], read["From"]) == (POST.to[0], POST.sender)
    assert read.get_content_type() == "text/plain"
    harmless(read["Subject"])
    assert not read.defects


@LAW
@given(hostile_events())
def test_apprise_gets_no_word_that_it_could_take_for_a_mention(event: Event) -> None:
    said = notice(event)
    harmless(without_change(words_for_apprise(said), said), lines=True)


@LAW
@given(
    st.lists(hostile_events(), min_size=1, max_size=3),
    st.sampled_from(["#a", "x:x"]),
    st.sampled_from(HOSTILE),
)
def test_a_digest_and_a_fallback_add_nothing_that_does_something(
    events: list[Event], channel: str, why: str
) -> None:
    kept = []
    for number, event in enumerate(events):
        word = plain.word if channel == "x:x" else messages.word
        first = word(event, channel, first=True)[0]
        kept.append(Delivery(number, f"i{number}", replace(first, due=NOW, hold="for the digest"), NOW))
    (told,) = digest.compose(kept)
    assert complaints(list(told.blocks)) == []
    if told.notice is not None:
        harmless(told.notice.text, lines=True)
    moved = diverted(replace(told, notice=told.notice or notice(events[0])), "#b", why)
    assert isinstance(moved, Message)
    assert moved.notice is not None
    assert complaints(list(moved.blocks)) == []
    harmless(moved.notice.text, lines=True)
    assert not re.search(r"<[!@#]", json.dumps(moved.blocks[-1]))
