"""People read what happened in few words, and nothing from outside says or does more than it is.

The messages of the examples are kept in golden/; RENEW_GOLDEN=1 writes them anew, to be read like code.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import examples
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_blocks import complaints, too_long
from slack_sdk.models.blocks import Block

from alerts.blame import sureness
from alerts.incidents import Event, Reason
from alerts.messages import Message, metadata, title, word
from alerts.mrkdwn import address, code, escape, fit, link, plain
from alerts.rollbacks import offers
from alerts.suspects import Suspect
from alerts.wording import chance, clock, count, headline, lasted, lead, noun, percent, verb
from detectors.signals import Term

GOLDEN = Path(__file__).parent / "golden"


def said(event: Event) -> list[Message]:
    return list(word(event, "#alerts"))


def everything(message: Message) -> str:
    """All text of a message, as one."""
    return "\n".join(text for _, text in texts(list(message.blocks))).replace("\u00a0", " ")


def texts(node: Any) -> Iterator[tuple[str, str]]:
    """(mrkdwn or plain_text, text) of all text objects."""
    if isinstance(node, dict):
        if node.get("type") in ("mrkdwn", "plain_text"):
            yield node["type"], node["text"]
        else:
            for value in node.values():
                yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)


# Golden files.


def shown(message: Message) -> dict[str, Any]:
    plain = {f.name: getattr(message, f.name) for f in fields(message) if f.name != "chart"}
    kept = {name: value for name, value in plain.items() if value not in ("", False, (), None)}
    return {**kept, **({"chart": "of the incident"} if message.chart is not None else {})}


@pytest.mark.parametrize("name", examples.EVENTS)
def test_the_words_are_as_they_were_agreed(name: str) -> None:
    event = examples.EVENTS[name]()
    back = offers(event.incident, examples.WAYS)
    agreed = word(event, "#alerts", pressable=True, offers=back)
    text = json.dumps([shown(m) for m in agreed], indent=1, ensure_ascii=False) + "\n"
    file = GOLDEN / f"message_{name}.json"
    if os.environ.get("RENEW_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    assert {f.stem for f in GOLDEN.glob("message_*")} == {f"message_{name}" for name in examples.EVENTS}


# What is posted where.


def test_a_new_incident_is_a_card_and_its_chart_in_the_thread() -> None:
    event = examples.error_spike()
    card, chart = said(event)
    assert card.key == event.incident.id
    assert (card.replaces, card.reply_to, card.broadcast) == ("", "", False)
    assert (chart.key, chart.reply_to) == (f"{card.key}:1:chart", card.key)
    assert chart.chart is event.incident
    assert chart.text.startswith("Chart. Errors: 31 % of imports fail")
    assert chart.blocks == ()


def test_an_update_edits_the_card_and_replies_with_what_changed() -> None:
    edit, reply = said(examples.grew())
    assert edit.replaces == reply.reply_to == examples.grew().incident.id
    assert edit.key != reply.key
    assert len(everything(reply)) < 120 < len(everything(edit))


def test_the_end_is_an_edit_a_reply_and_the_whole_chart() -> None:
    edit, reply, chart = said(examples.rolled_back())
    assert edit.replaces == reply.reply_to == chart.reply_to == examples.rolled_back().incident.id
    assert chart.chart is not None


def test_keys_are_the_same_after_a_restart_and_different_for_different_news() -> None:
    for make in examples.EVENTS.values():
        assert [m.key for m in said(make())] == [m.key for m in said(make())]
    story = [examples.joined(), examples.recovering(), examples.grew(), examples.rolled_back()]
    keys = [m.key for event in story for m in said(event)]
    assert len(set(keys)) == len(keys)


def test_the_channel_hears_again_only_when_it_becomes_graver_or_is_over() -> None:
    assert [m.broadcast for m in said(examples.joined())] == [False, True]
    assert not any(m.broadcast for m in said(replace(examples.joined(), rose=False)))
    for name in ("recovering", "grew"):
        assert not any(m.broadcast for m in said(examples.EVENTS[name]()))
    for name in ("rolled_back", "late_data"):
        over = examples.EVENTS[name]()
        assert [m.broadcast for m in said(over)] == [False, True, False]
        blip = replace(over, incident=replace(over.incident, severity="info"))
        assert not any(m.broadcast for m in said(blip)), "what is not worth a page is over without a word"


@pytest.mark.parametrize("name", [name for name, make in examples.EVENTS.items() if make().event != "opened"])
def test_what_the_channel_hears_names_the_service_and_since_when_in_its_one_line(name: str) -> None:
    event = examples.EVENTS[name]()
    for message in said(event):
        if message.broadcast:
            assert "\n" not in message.text
            where = [f.signal.service for f in event.incident.findings]
            assert any(one in message.text for one in where) or "services" in message.text
            assert re.search(r"\d\d:\d\d( to \d\d:\d\d)? UTC", message.text)


def test_nothing_to_draw_is_no_chart() -> None:
    event = examples.error_spike()
    bare = replace(event.incident, findings=(replace(event.incident.findings[0], trace=None),))
    assert len(said(replace(event, incident=bare))) == 1


def test_metadata_carries_the_key() -> None:
    (card, _) = said(examples.error_spike())
    assert metadata(card) == {"event_type": "stillwatch_message", "event_payload": {"key": card.key}}


# What is said.


@pytest.mark.parametrize(
    ("name", "first"),
    [
        (
            "error_spike",
            "🔴 Errors: 31 % of imports fail (contact-importer, since 06:33 UTC), usually 0.34 %",
        ),
        (
            "data_loss",
            "🔴 Data loss: about 3,450 opens not stored (event-parser, since 06:33 UTC; 3,180 to 3,730)",
        ),
        ("no_data", "🔴 No data: opens stopped (event-parser, since 06:33 UTC; 23,800 would have come)"),
        ("trickle", "🟠 Errors: 0.69 % of resizes fail (image-resizer, since 08:04 UTC), usually 0.062 %"),
        (
            "bad_version",
            "🟠 Bad version: 1.31.0 fails 2.1 % of resizes, the others 0.076 % (image-resizer, since 07:57 UTC)",
        ),
        (
            "rolled_back",
            "🟢 Over. Data loss: about 37,700 opens not stored "
            "(event-parser, 06:33 to 07:06 UTC; 36,200 to 39,100)",
        ),
        ("late_data", "🟢 Over. Late data: 12,000 opens came after all (event-parser, 06:33 to 07:19 UTC)"),
        (
            "young",
            "🔵 Data missing: about 500 fewer opens stored than usual (event-parser, since 06:33 UTC; 480 to 520)",
        ),
    ],
)
def test_the_first_line_says_verdict_number_service_and_since_when(name: str, first: str) -> None:
    assert title(examples.EVENTS[name]()) == first


def test_the_card_names_the_member_to_put_back_and_those_to_leave() -> None:
    card = everything(said(examples.error_spike())[0])
    assert "*Suspect:* `contact-importer` `3.45.0`, almost certainly (97 %)" in card
    assert "deployed 2 min before it began, at 06:31 UTC, by imports-team" in card
    assert "version 3.45.0 fails, the others do not" in card
    to_do = "*To do:* put `contact-importer` back to `3.44.0`; "
    assert to_do + "nothing points to `event-parser`, `mail-sender` of this release so far." in card
    event = examples.error_spike()
    later = everything(said(replace(event, time=event.time + 900))[0])
    assert to_do + "leave `event-parser`, `mail-sender` of this release." in later


def test_a_rollback_that_is_suspected_is_not_taken_back_blindly() -> None:
    event = examples.error_spike()
    suspect = event.incident.suspects[0]
    back = replace(suspect.deployment, kind="rollback", version="3.44.0", previous_version="3.45.0")
    incident = replace(event.incident, suspects=(replace(suspect, deployment=back),))
    card = everything(said(replace(event, incident=incident))[0])
    assert "look at `contact-importer`: going back to `3.44.0` may have brought this about" in card
    assert "back to `3.45.0`" not in card


def test_a_release_that_broke_two_services_is_named_with_both_members_once() -> None:
    card = everything(said(examples.joined())[0])
    assert "*Suspect:* release `release-20220413-0631`, almost certainly (97 %)" in card
    assert (
        "put `contact-importer` back to `3.44.0`, and put `event-parser` back to `2.12.0`; "
        "nothing points to `mail-sender` of this release so far"
    ) in card


def test_what_was_put_back_is_not_asked_for_again() -> None:
    card = everything(said(examples.recovering())[0])
    assert "Rolled back: `contact-importer` to `3.44.0` at 06:45 UTC." in card
    assert "*To do:* put `event-parser` back to `2.12.0`; leave `mail-sender` of this release." in card
    assert "*To do:*" not in everything(said(examples.rolled_back())[0])


def test_no_deployment_is_said_to_explain_it_when_none_does() -> None:
    card = everything(said(examples.no_deployment())[0])
    assert (
        "*No deployment explains it* (96 %). Look at what `contact-importer` calls, and at what feeds it."
        in card
    )
    assert "Suspect" not in card
    assert "To do" not in card
    assert "button" not in json.dumps(said(examples.no_deployment())[0].blocks)


def test_a_likely_second_release_is_mentioned() -> None:
    event = examples.error_spike()
    other = Suspect(examples.RESIZER, 0.2, ("another service",))
    first = replace(event.incident.suspects[0], probability=0.75)
    incident = replace(event.incident, suspects=(first, other), no_deployment=0.05)
    card = everything(said(replace(event, incident=incident))[0])
    assert "very likely (75 %)" in card
    assert "Otherwise `image-resizer` `1.31.0` (20 %)" in card


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("deploy", "put `contact-importer` back to `3.44.0`"),
        ("config", "undo the change to the settings of `contact-importer`"),
        ("flag", "switch the flag of `contact-importer` back"),
    ],
)
def test_the_advice_fits_the_kind_of_change(kind: Any, advice: str) -> None:
    event = examples.error_spike()
    changed = replace(event.incident.suspects[0], deployment=replace(examples.IMPORTER, kind=kind))
    incident = replace(event.incident, suspects=(changed,))
    assert advice in everything(said(replace(event, incident=incident))[0])


def test_a_slice_says_what_it_holds_of_failures_and_traffic() -> None:
    assert "`path=editor` holds 97 % of the failures and 8 % of the traffic" in everything(
        said(examples.trickle())[0]
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"slice": (("path", "editor"), ("region", "eu")), "slice_share": (1.0, 0.04)},
         "`path=editor, region=eu` holds all of the failures and 4 % of the traffic"),
        ({"slice_share": (0.6, 0.08), "slice_extra": 0.97},
         "`path=editor` holds 60 % of the failures (97 % of those beyond the usual) and 8 % of the traffic"),
        ({"kind": "data_loss"}, "`path=editor` holds 97 % of what is missing and 8 % of the traffic"),
        ({"slice_share": (0.0, 0.0)},
         "Seen in `path=editor`; too little is known to say that it is only there"),
        ({"slice": (("path", "<!here> `*_b_"), ("to", "<http://a.b|c>"))},
         "`path=&lt;!here&gt; *_b_, to=&lt;http://a.b|c&gt;` holds"),
    ],
)  # fmt: skip
def test_a_slice_is_told_as_it_is_known(changed: dict[str, Any], words: str) -> None:
    event = examples.trickle()
    one = replace(event.incident.findings[0], **changed)
    assert words in everything(said(replace(event, incident=replace(event.incident, findings=(one,))))[0])


def test_of_several_signals_each_slice_names_its_service() -> None:
    event = examples.trickle()
    one = event.incident.findings[0]
    two = replace(one, signal=replace(one.signal, service="thumbnailer"), slice=(("version", "4.2.1"),))
    card = everything(said(replace(event, incident=replace(event.incident, findings=(one, two))))[0])
    assert "`version=4.2.1` holds 97 % of the failures and 8 % of the traffic, `thumbnailer`" in card


def test_what_several_signals_of_a_service_say_of_one_slice_is_said_once() -> None:
    event = examples.trickle()
    one = event.incident.findings[0]
    two = replace(one, kind="data_loss", signal=replace(one.signal, name="kept"))
    card = everything(said(replace(event, incident=replace(event.incident, findings=(one, two))))[0])
    assert card.count("`path=editor`") == 1


def test_what_a_loss_is_made_of_is_told_where_it_is_known() -> None:
    event = examples.data_loss()
    parts = replace(event.incident.findings[0], failed=2000.0, missing=1450.0)
    card = everything(said(replace(event, incident=replace(event.incident, findings=(parts,))))[0])
    assert "So far 2,000 failed, 1,450 vanished." in card
    assert card.count("3,180 to 3,730") == 1, "the title has it"


def test_a_young_signal_says_that_it_is_still_learning() -> None:
    assert "Still learning" in everything(said(examples.young())[0])
    assert "Still learning" not in everything(said(examples.error_spike())[0])


def test_the_end_says_since_when_what_was_lost_in_all_and_what_ended_it() -> None:
    reply = everything(said(examples.rolled_back())[1])
    assert "as before since 07:06 UTC (began 06:33 UTC, lasted 33 min)" in reply
    assert "about 37,700 opens not stored (36,200 to 39,100), `event-parser`" in reply
    assert "about 178 imports failed because of it (150 to 181), `contact-importer`" in reply
    assert "`event-parser` to `2.12.0` at 07:05 UTC. That ended it." in reply


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("recovered", "Nobody put anything back that we know of."),
        ("expired", "Closed, not over: it goes on since"),
        ("operator", "Closed by hand: not a problem."),
        ("late_data", "Late, not lost:"),
    ],
)
def test_every_end_says_why(reason: Reason, words: str) -> None:
    reply = everything(said(replace(examples.rolled_back(), reason=reason))[1])
    assert words in reply
    assert "That ended it" not in reply


def test_a_fault_that_comes_back_says_so() -> None:
    again = examples.imports_fail("06:52")
    incident = replace(examples.grew().incident, findings=(again,))
    reply = everything(said(replace(examples.grew(), reason="worse", incident=incident))[1])
    assert reply.startswith("Again: Errors: 31 % of imports fail")


def test_a_new_suspect_comes_with_a_link_to_the_change() -> None:
    reply = everything(said(replace(examples.grew(), reason="suspect"))[1])
    assert reply.splitlines()[-1] == f"<{examples.IMPORTER.url}|the change>"


def test_a_graver_incident_says_how_grave_it_is_in_the_first_line() -> None:
    reply = said(examples.joined())[1]
    assert reply.text.startswith("🔴 Now critical. Also: Data loss: about 3,450 opens not stored")


def test_the_day_is_told_when_it_is_not_today() -> None:
    event = examples.error_spike()
    later = replace(event, time=event.time + 86400)
    assert "since 13 Apr 06:33 UTC" in title(later)
    assert "since 13 Apr 2022 06:33 UTC" in title(replace(event, time=event.time + 366 * 86400))


def test_what_is_over_does_not_lead_while_something_else_is_wrong() -> None:
    incident = examples.recovering().incident
    worst = replace(incident.findings[1], lost=1.0)
    assert lead(replace(incident, findings=(incident.findings[0], worst))) is worst


def test_that_it_was_silent_for_a_while_does_not_lead_once_it_is_heard() -> None:
    silent, failing = examples.no_data().incident.findings[0], examples.imports_over()
    heard = replace(silent, phase="cleared", cleared="recovered", signal=failing.signal)
    assert lead(replace(examples.recovering().incident, findings=(failing, heard))) is failing


# Pieces.


@pytest.mark.parametrize(
    ("metric", "what", "done"),
    [
        ("opens_stored", "opens", "stored"),
        ("imports_started", "imports", "started"),
        ("http.server.requests_total", "http server requests", ""),
        ("emails_delivered_total", "emails delivered", ""),
        ("requests", "requests", ""),
        ("stored", "events", "stored"),
        ("*<!here>*", "here", ""),
        ("", "events", ""),
    ],
)
def test_words_come_from_the_names_of_metrics(metric: str, what: str, done: str) -> None:
    terms = (Term("s", "events_failed"), Term("s", metric))
    if metric == "emails_delivered_total":
        what, done = "emails", ""
    assert (noun(terms), verb(terms)) == (what, done)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"),
        (0.4, "0"),
        (80.4, "80"),
        (999.6, "1,000"),
        (41_237.0, "41,200"),
        (1_234_567.0, "1,230,000"),
        (3e300, "3e+300"),
        (float("nan"), "an unknown number of"),
    ],
)
def test_counts_are_told_to_three_digits(value: float, words: str) -> None:
    assert count(value) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "0 %"),
        (0.00003, "under 0.01 %"),
        (0.0031, "0.31 %"),
        (0.0312, "3.1 %"),
        (0.096, "9.6 %"),
        (0.0999, "10 %"),
        (0.31, "31 %"),
        (0.998, "over 99 %"),
        (1.0, "100 %"),
        (float("nan"), "an unknown share"),
    ],
)
def test_shares_are_told_to_two_digits(share: float, words: str) -> None:
    assert percent(share) == words


def test_a_probability_is_never_nothing_and_never_certain() -> None:
    assert [chance(p) for p in (0.0, 0.004, 0.5, 0.986, 0.996, 1.0)] == [
        "under 1 %", "under 1 %", "50 %", "99 %", "over 99 %", "over 99 %",
    ]  # fmt: skip
    assert [sureness(p) for p in (0.95, 0.75, 0.6, 0.3)] == [
        "almost certainly", "very likely", "probably", "possibly",
    ]  # fmt: skip


def test_spans_and_moments() -> None:
    assert [lasted(s) for s in (45, 33 * 60, 3600, 7500)] == ["45 s", "33 min", "1 h", "2 h 5 min"]
    assert clock(examples.at("06:33"), examples.at("09:00")) == "06:33"


# Nothing from outside does more than it is.

HOSTILE = [
    "<!channel>", "<!here|x>", "<@U012AB3CD>", "<!subteam^S1>", "<https://evil.example|the change>", "@channel",
    "*bold* _it_ ~no~ `code` ```x```", "&lt;!here&gt; &amp;", "> quoted\n\n> more", "• item", "\u202egnp.exe\u202c",
    "zero\u200bwidth\ufeff", "bell\x07\x1b[31m", "line\u2028sep\u2029", "$x^2$", "\ud83d", "", " ", "`", "&" * 300,
    "x" * 5000, "https://evil.example/", "mailto:a@b.example", "<", ">", "|", "日本語のサービス", "a_b_c",
    "_a_", "\0",
]  # fmt: skip
OUTSIDE = st.sampled_from(HOSTILE) | st.text(max_size=60) | st.text("*_~`<>|&!@ \n", max_size=30)
URLS = st.sampled_from(
    [
        "https://ok.example/a?b=1&c=2|x>y<z",
        "javascript:alert(1)",
        "http://[bad",
        "https://e.example/" + "a" * 4000,
        "//no.scheme",
        "https:///nohost",
        "HTTPS://UP.example/ü b\n\tc",
        "data:text/html,x",
        "https://e.example/`*_~`",
    ]
) | st.builds("https://e.example/{}".format, OUTSIDE)


def infested(value: Any, draw: Any) -> Any:
    """Every text of it replaced by something hostile, except what is ours."""
    if is_dataclass(value) and not isinstance(value, type):
        changed = {}
        for f in fields(value):
            if f.name == "url":
                changed[f.name] = draw(URLS)
            elif f.name not in OURS:
                changed[f.name] = infested(getattr(value, f.name), draw)
        return replace(value, **changed)
    if isinstance(value, tuple):
        return tuple(infested(one, draw) for one in value)
    return draw(OUTSIDE) if isinstance(value, str) else value


OURS = {"kind", "phase", "cleared", "severity", "trace", "event", "reason"}
MOST_AT_RANDOM = 6  # signals: to spoil hundreds of names takes too long to do it hundreds of times


def few(name: str) -> Event:
    event = examples.EVENTS[name]()
    return replace(event, incident=replace(event.incident, findings=event.incident.findings[:MOST_AT_RANDOM]))


EVENTS = st.sampled_from(sorted(examples.EVENTS)).map(few)


@st.composite
def hostile_events(draw: Any) -> Event:
    event: Event = draw(EVENTS)
    incident = infested(event.incident, draw)
    many = draw(st.integers(1, 12))
    bystanders = tuple(
        replace(examples.SENDER, service=draw(OUTSIDE)) for _ in range(draw(st.integers(0, 6)))
    )
    found = replace(
        incident,
        id="5f3c9a1b2d4e",
        findings=incident.findings * many,
        suspects=incident.suspects * draw(st.integers(1, 5)),
    )
    return replace(event, incident=found, bystanders=bystanders)


OUR_MARKS = re.compile(
    r"\*(?:Suspect:|To do:|No deployment explains it)\*"
    r"|_Still learning what is usual here: take the numbers for a first guess\._"
)
OUR_LINK = re.compile(r"<https?://[^\s<>|`]+\|the change>", re.IGNORECASE)


def inert(text: str) -> None:
    """No mention, link or format but ours."""
    bare = OUR_LINK.sub("", text)
    assert "<" not in bare
    assert ">" not in bare
    assert not re.search(r"&(?!amp;|lt;|gt;)", bare)
    assert bare.count("`") % 2 == 0
    assert not re.search(r"`[^`\n]*\n[^`]*`", re.sub(r"`[^`\n]*`", "", bare))
    running = OUR_MARKS.sub("", re.sub(r"`[^`\n]+`", "", bare))
    assert "`" not in running
    assert "*" not in running
    assert "~" not in running
    assert not re.search(r"(?<![^\W_])_|_(?![^\W_])", running)
    assert not any(line.startswith("&gt;") for line in running.splitlines())


@given(hostile_events())
def test_whatever_comes_from_outside_the_blocks_are_valid_and_inert(event: Event) -> None:
    for message in word(event, "#alerts"):
        blocks = list(message.blocks)
        assert complaints(blocks) == []
        assert not too_long(blocks)
        assert [b.to_dict() for b in Block.parse_all(blocks)] == blocks
        assert 0 < len(message.text) <= 3000
        assert "\n" not in message.text
        if message.chart is not None:  # a description, which nobody reads as mrkdwn; escaped all the same
            assert not set(message.text) & set("<>")
            continue
        for kind, text in [("mrkdwn", message.text), *texts(blocks)]:
            control = {"Cc", "Cf", "Cs", "Co"}
            assert not [c for c in text if c != "\n" and unicodedata.category(c) in control]
            if kind == "mrkdwn":
                inert(text)


def test_every_piece_of_running_text_is_kept_from_linking_itself() -> None:
    for make in examples.EVENTS.values():
        for message in said(make()):
            found = [node for node in nodes(list(message.blocks)) if node["type"] == "mrkdwn"]
            assert all(node.get("verbatim") is True for node in found)


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "type" in node:
            yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


@given(OUTSIDE, st.integers(2, 200))
def test_a_cut_is_made_at_characters_and_counts_after_escaping(text: str, most: int) -> None:
    cut = fit(text, most)
    assert len(escape(cut)) <= most
    assert cut == fit(cut, most)
    assert len(code(text, most)) <= most + 2
    inert(code(text, most))
    inert(f"x{plain(text, most)}x")


@given(URLS)
def test_an_address_is_one_of_the_web_or_nothing(url: str) -> None:
    found = address(url)
    assert found == "" or re.fullmatch(r"https?://[!-~]+", found)
    assert not set(found) & set("<>| `\n")
    assert len(found) <= 1000


@pytest.mark.parametrize(
    ("url", "linked"),
    [
        ("https://a.example/x?a=1&b=2", "<https://a.example/x?a=1&amp;b=2|go>"),
        ("https://a.example/a|b>c d", "<https://a.example/a%7Cb%3Ec%20d|go>"),
        ("javascript:alert(1)", "go"),
        ("", "go"),
    ],
)
def test_a_link_is_built_for_addresses_of_the_web_only(url: str, linked: str) -> None:
    assert link(url, "go") == linked


def test_names_in_the_first_line_go_through_the_callers_hands() -> None:
    finding = examples.imports_fail()
    assert "<SAFE>" in headline(finding, finding.at, lambda name: "<SAFE>")
    assert finding.signal.service not in headline(finding, finding.at, lambda name: "<SAFE>")


def test_what_goes_on_and_became_the_usual_is_nowhere_said_to_be_over() -> None:
    told = said(replace(examples.rolled_back(), reason="expired"))
    words = " ".join(everything(message) for message in told)
    assert "Closed, not over" in words
    assert "Until now" in words
    assert not {"Over.", "In all", "Resolved", "🟢"} & set(words.replace("🟢", " 🟢 ").split())
    assert "In all" not in words
    assert "🟢" not in words
