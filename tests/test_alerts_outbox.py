"""When a message is tried again: decisions by a table, pauses by their laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.incidents import Incident
from alerts.messages import Message
from alerts.outbox import (
    GIVE_UP,
    LONGEST_PAUSE,
    Delivery,
    Muted,
    Receipt,
    SendFailed,
    begun,
    decide,
    failed,
    lane_pause,
    pause,
    sent,
    with_news,
)
from alerts.packed import pack, unpack
from alerts.suspects import Suspect
from collector.deployments import Deployment
from detectors.findings import Finding, Trace
from detectors.signals import Signal, Term

CARD = Delivery(1, "i1", Message("i1", "#alerts", "card"), entered=1000)
STANDS = replace(CARD, state="sent", receipt=Receipt("C1", "1.1"))
EDIT = Delivery(2, "i1", Message("i1:2", "#alerts", "edit", replaces="i1"), entered=1000)
REPLY = Delivery(3, "i1", Message("i1:2:r", "#alerts", "reply", reply_to="i1"), entered=1000)
OUTCOMES = ("refused", "permanent", "unknown", "no_credentials")


@pytest.mark.parametrize(
    ("delivery", "card", "newer", "expected"),
    [
        (CARD, None, False, "first"),
        (replace(CARD, tries=1), None, False, "retry due"),
        (replace(CARD, tries=1, unknown_since=990), None, False, "look first"),
        (replace(CARD, tries=1, not_before=1001), None, False, "waiting"),
        (replace(CARD, tries=1, not_before=1000), None, False, "retry due"),
        (REPLY, CARD, False, "waiting for the card"),
        (REPLY, STANDS, False, "first"),
        (REPLY, replace(CARD, state="given up"), False, "given up"),
        (REPLY, STANDS, True, "first"),
        (EDIT, CARD, False, "waiting for the card"),
        (EDIT, STANDS, False, "first"),
        (EDIT, STANDS, True, "superseded"),
        (replace(EDIT, tries=3, unknown_since=9, not_before=9999), STANDS, True, "superseded"),
        # Its card is unknown here (kept elsewhere, or long gone): better said anew than never.
        (REPLY, None, False, "first"),
    ],
)
def test_every_decision_has_its_reason(
    delivery: Delivery, card: Delivery | None, newer: bool, expected: str
) -> None:
    assert decide(delivery, 1000, card=card, newer_edit=newer) == expected


@pytest.mark.parametrize(
    ("delivery", "card", "muted", "expected"),
    [
        (CARD, None, "for now", "silenced for now"),
        (CARD, None, "for good", "silenced"),
        (replace(CARD, tries=1, unknown_since=990), None, "for now", "silenced for now"),
        (REPLY, CARD, "for now", "silenced"),
        (REPLY, STANDS, "for now", "silenced"),
        (REPLY, STANDS, "for good", "silenced"),
        (EDIT, CARD, "for now", "waiting for the card"),
        (EDIT, STANDS, "for now", "first"),
        (EDIT, STANDS, "for good", "first"),
        (EDIT, replace(CARD, state="silenced"), "no", "silenced"),
        (EDIT, replace(CARD, state="given up"), "for now", "given up"),
    ],
)
def test_what_is_silenced_is_not_said_but_a_card_that_stands_is_kept_true(
    delivery: Delivery, card: Delivery | None, muted: Muted, expected: str
) -> None:
    assert decide(delivery, 1000, card=card, newer_edit=False, muted=muted) == expected


def test_words_for_slack_alone_are_no_words_for_another_place() -> None:
    blocks_only = replace(CARD, message=Message("i1", "webhook:hook", "card"))
    assert decide(blocks_only, 1000, card=None, newer_edit=False) == "superseded"


def test_a_try_that_is_recorded_before_the_request_is_looked_for_if_we_die_now() -> None:
    recorded = begun(CARD, 1000)
    assert decide(recorded, 1000, card=None, newer_edit=False) == "waiting"
    assert decide(recorded, recorded.not_before, card=None, newer_edit=False) == "look first"
    assert recorded.not_before > 1000, "a read may lag behind a write"


def test_not_taken_says_nothing_about_an_earlier_try_that_nobody_knows_of() -> None:
    lost = failed(CARD, SendFailed("cut", "unknown"), 1000)
    limited = failed(lost, SendFailed("ratelimited", "refused", 30), 1010)
    assert limited.unknown_since == 1000
    assert decide(limited, 1040, card=None, newer_edit=False) == "look first"


def test_a_first_try_that_was_refused_is_not_looked_for() -> None:
    after = failed(CARD, SendFailed("ratelimited", "refused", 30), 1000)
    assert after.unknown_since == 0
    assert decide(after, 1029, card=None, newer_edit=False) == "waiting"
    assert decide(after, 1030, card=None, newer_edit=False) == "retry due"


def test_what_is_refused_for_good_is_tried_for_a_day_as_a_person_may_let_us_in() -> None:
    no = SendFailed("channel_not_found", "permanent")
    assert failed(CARD, no, 1000 + GIVE_UP).state == "waiting"
    assert failed(CARD, no, 1001 + GIVE_UP).state == "given up"


def test_a_picture_that_is_refused_for_good_is_given_up_at_once() -> None:
    picture = replace(REPLY, message=replace(REPLY.message, chart=_incident()))
    assert failed(picture, SendFailed("no", "permanent"), 1000).state == "given up"
    assert failed(picture, SendFailed("no", "refused"), 1000).state == "waiting"


def test_a_picture_is_tried_a_few_times_only() -> None:
    picture = replace(REPLY, message=replace(REPLY.message, chart=_incident()))
    assert decide(replace(picture, tries=4), 1000, card=STANDS, newer_edit=False) == "retry due"
    assert decide(replace(picture, tries=5), 1000, card=STANDS, newer_edit=False) == "given up"
    assert decide(replace(REPLY, tries=500), 1000, card=STANDS, newer_edit=False) == "retry due"


@pytest.mark.parametrize("outcome", ["refused", "unknown", "no_credentials"])
def test_nothing_else_is_ever_given_up(outcome: str) -> None:
    after = failed(CARD, SendFailed("x", outcome), 1000 + 100 * GIVE_UP)  # type: ignore[arg-type]
    assert after.state == "waiting"


@given(st.integers(1, 10**6), st.sampled_from(OUTCOMES), st.floats(0, 1e5))
def test_a_pause_is_at_least_what_was_asked_for_and_never_forever(
    tries: int, outcome: str, asked: float
) -> None:
    seconds = pause(tries, outcome, asked)  # type: ignore[arg-type]
    assert seconds >= 1
    if outcome == "refused":
        assert seconds >= asked
        assert lane_pause("refused", tries, asked) == seconds
    if asked == 0 and outcome != "permanent":
        assert seconds <= LONGEST_PAUSE


def test_a_card_that_never_went_out_takes_the_words_of_the_newest_edit_and_keeps_its_key() -> None:
    merged = with_news(CARD, EDIT)
    assert (merged.message.key, merged.message.text, merged.message.replaces) == ("i1", "edit", "")
    assert merged.number == CARD.number


def test_what_was_taken_is_done() -> None:
    done = sent(failed(CARD, SendFailed("cut", "unknown"), 1), Receipt("C1", "1.1"))
    assert (done.state, done.unknown_since, done.why) == ("sent", 0, "")


def _incident() -> Incident:
    term = Term("parser", "opens", (("path", "a<b"),), sparse=True)
    nan = np.array([np.nan, 0.0, 1e9])
    finding = Finding(
        Signal("parser", "kept", "flow", (term,), (term,), 120, "team", ("path",)),
        "data_loss", "raised", 100, 60, 30, 90, 1.0, 2.0, 3.0, 2.5, 3.5, float("nan"), 7.5,
        versions=(("1", 2.0, 3.0), ("2", 4.0, 5.0)), slice=(("path", "a<b"),), slice_share=(0.9, 0.1),
        trace=Trace(0, 60, nan, nan, nan, nan, nan),
    )  # fmt: skip
    deployment = Deployment("r1", 50, "parser", "2", url="https://x", kind="rollback")
    return Incident(
        "i1", 100, "critical", (finding,), (Suspect(deployment, 0.9, ("a", "ü")),), 0.1, (deployment,)
    )


def test_a_message_with_its_picture_is_kept_exactly_nan_included() -> None:
    message = Message("k", "#c", "tëxt", ({"type": "header", "deep": [1, None, True]},), chart=_incident())
    back = unpack(Message, pack(message))
    assert back.chart is not None
    finding = back.chart.findings[0]
    assert finding.trace is not None
    np.testing.assert_array_equal(finding.trace.observed, [np.nan, 0.0, 1e9])
    assert np.isnan(finding.out_of)
    assert isinstance(back.blocks, tuple)
    assert pack(back) == pack(message)
    assert replace(finding, trace=None, out_of=0.0) == replace(
        _incident().findings[0], trace=None, out_of=0.0
    )


def test_a_field_that_came_later_gets_its_default_and_one_that_is_gone_is_left_out() -> None:
    assert unpack(Message, '{"key":"k","channel":"c","text":"t","gone":1}') == Message("k", "c", "t")


@pytest.mark.parametrize(
    "text", ['{"key":"k"}', "[]", "{", '{"key":"k","channel":"c","text":"t","blocks":3}']
)
def test_text_that_holds_no_message_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(Message, text)
