"""What is to be said stands in Slack once, whatever happens to the answers."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slack_server import Fault, SlackServer, broken, cut, garbage, hang, refuse, too_many

import alerts
from alerts.incidents import Incident
from alerts.messages import Message
from alerts.outbox import Receipt, SendFailed
from alerts.slack import Slack
from alerts.slack_errors import BODY, CARD_LOST, CREDENTIALS, FOR_GOOD, FOR_NOW, from_answer

SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "*41,000 opens lost*"}}
CARD = Message("inc1:card", "#alerts", "41,000 opens lost", (SECTION,))
EDIT = Message("inc1:2", "#alerts", "over", ({"type": "divider"},), replaces="inc1:card")
REPLY = Message("inc1:3", "#alerts", "rolled back", reply_to="inc1:card")
INCIDENT = Incident("inc1", 1_649_831_820, "critical", (), (), 1.0)
CHART = Message("inc1:chart", "#alerts", "opens &amp; clicks", reply_to="inc1:card", chart=INCIDENT)
LONG_AGO = 1_700_000_000
TROUBLE = [make(taken=taken) for make in (broken, cut, garbage) for taken in (True, False)] + [
    refuse("internal_error", taken=True),
    refuse("fatal_error"),
    refuse("a_word_of_next_year", taken=True),
]


@pytest.fixture(scope="module")
def running() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


@pytest.fixture
def server(running: SlackServer) -> SlackServer:
    clean(running)
    return running


@pytest.fixture
def slack(server: SlackServer) -> Slack:
    return Slack(server.token, server.base_url, timeout=5)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Incident]:
    asked: list[Incident] = []

    def draw(incident: Incident) -> bytes:
        asked.append(incident)
        return b"\x89PNG"

    monkeypatch.setattr(alerts, "charts", SimpleNamespace(draw=draw), raising=False)
    return asked


def clean(server: SlackServer) -> None:
    fresh = SlackServer()
    fresh.space.upload_url = server.space.upload_url
    server.space = fresh.space
    server.calls.clear()
    server.forget_faults()
    server.restore()


def failure(call: Callable[[], Any]) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        call()
    return caught.value


def standing(server: SlackServer) -> list[str | None]:
    return [one.key for one in server.channel("C0ALERTS").messages]


# What goes right.


def test_a_card_is_posted_and_its_receipt_holds_the_ids_of_the_answer(
    server: SlackServer, slack: Slack
) -> None:
    receipt = slack.send(CARD)
    (stands,) = server.channel("C0ALERTS").top
    assert receipt == Receipt("C0ALERTS", stands.ts)
    assert (stands.text, stands.blocks, stands.key) == (CARD.text, [SECTION], "inc1:card")


def test_an_edit_changes_text_and_blocks_in_place_and_keeps_the_key(
    server: SlackServer, slack: Slack
) -> None:
    card = slack.send(CARD)
    assert slack.send(EDIT, edits=card) == card
    (stands,) = server.channel("C0ALERTS").messages
    assert (stands.text, stands.blocks, stands.key) == ("over", [{"type": "divider"}], "inc1:card")
    slack.send(Message("inc1:4", "#alerts", "plain", replaces="inc1:card"), edits=card)
    assert stands.blocks == []


def test_a_reply_goes_into_the_thread_and_into_the_channel_only_when_told(
    server: SlackServer, slack: Slack
) -> None:
    card = slack.send(CARD)
    slack.send(REPLY, thread=card)
    slack.send(Message("inc1:4", "#alerts", "worse", reply_to="inc1:card", broadcast=True), thread=card)
    assert [(one.text, one.broadcast) for one in server.channel("C0ALERTS").replies(card.id)] == [
        ("rolled back", False),
        ("worse", True),
    ]


def test_one_request_is_made_for_one_message(server: SlackServer, slack: Slack) -> None:
    slack.send(CARD)
    assert [one.method for one in server.calls] == ["chat.postMessage"]


# What an answer means.


@pytest.mark.parametrize(
    ("fault", "outcome", "retry_after"),
    [
        (too_many(30), "refused", 30),
        (too_many(None), "refused", 0),
        (refuse("message_limit_exceeded"), "refused", 0),
        (refuse("channel_not_found"), "permanent", 0),
        (refuse("restricted_action_read_only_channel"), "permanent", 0),
        (refuse("token_expired"), "no_credentials", 0),
        (refuse("fatal_error"), "unknown", 0),
        (refuse("a_word_of_next_year"), "unknown", 0),
        (Fault(status=503, headers=(("retry-after", "9"),)), "unknown", 9),
        (Fault(status=500, body='{"ok":false,"error":"channel_not_found"}'), "unknown", 0),
        (broken(502), "unknown", 0),
        (garbage(), "unknown", 0),
        (garbage("[1]"), "unknown", 0),
        (garbage("7"), "unknown", 0),
        (garbage("null"), "unknown", 0),
        (garbage('{"ok":true}'), "unknown", 0),
        (garbage('{"ok":true,"ts":7,"channel":"C0ALERTS"}'), "unknown", 0),
        (garbage("{"), "unknown", 0),
        (garbage(""), "unknown", 0),
        (cut(), "unknown", 0),
    ],
)
def test_every_bad_answer_has_its_outcome(
    server: SlackServer, slack: Slack, fault: Fault, outcome: str, retry_after: float
) -> None:
    server.script("chat.postMessage", fault)
    failed = failure(lambda: slack.send(CARD))
    assert (failed.outcome, failed.retry_after) == (outcome, retry_after)
    assert server.count("chat.postMessage") == 1


def test_no_answer_in_time_is_unknown(server: SlackServer) -> None:
    server.script("chat.postMessage", hang(taken=True))
    hasty = Slack(server.token, server.base_url, timeout=0.2)
    assert failure(lambda: hasty.send(CARD)).outcome == "unknown"
    assert hasty.send(CARD, seek_since=LONG_AGO).id == server.channel("C0ALERTS").messages[0].ts
    assert standing(server) == ["inc1:card"]


def test_a_connection_that_never_stood_is_refused_and_needs_no_look() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        port = taken.getsockname()[1]
        nobody = Slack("xoxb-1", f"http://127.0.0.1:{port}/api/")
        assert failure(lambda: nobody.send(CARD)).outcome == "refused"


def test_no_code_is_in_two_minds() -> None:
    assert not FOR_NOW & CREDENTIALS
    assert not FOR_NOW & FOR_GOOD
    assert not CREDENTIALS & FOR_GOOD
    assert not BODY & CARD_LOST


@given(st.text(max_size=80), st.integers(100, 599), st.text(max_size=20))
def test_a_strange_answer_is_never_success_nor_shown(error: str, status: int, wait: str) -> None:
    failed = from_answer(status, {"Retry-After": wait}, {"error": error + "\x1b<!channel>"})
    assert failed.outcome == ("refused" if status == 429 else "unknown")
    assert 0 <= failed.retry_after <= 86400
    assert "channel>" not in str(failed)


# Exactly once.


def deliver(server: SlackServer, message: Message, restarts: list[bool], **where: Any) -> Receipt:
    """An outbox in small: what is unknown is looked for before it is sent again, by a fresh client or not."""
    slack = Slack(server.token, server.base_url, timeout=5)
    seek: int | None = None
    for restart in [*restarts, *[False] * 30]:
        if restart:  # killed in "being sent": nobody knows, and nothing is remembered
            slack, seek = Slack(server.token, server.base_url, timeout=5), LONG_AGO
        try:
            return slack.send(message, seek_since=seek, **where)
        except SendFailed as failed:
            assert failed.outcome in ("refused", "unknown")
            seek = LONG_AGO if failed.outcome == "unknown" else seek
    raise AssertionError("never delivered")


FAULTS = st.lists(st.sampled_from([None, too_many(1), *TROUBLE]), max_size=4)
RESTARTS = st.lists(st.booleans(), max_size=5)
QUICK = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@QUICK
@given(posts=FAULTS, looks=FAULTS, restarts=RESTARTS)
def test_a_card_stands_exactly_once_after_any_faults(
    running: SlackServer, posts: list[Fault | None], looks: list[Fault | None], restarts: list[bool]
) -> None:
    clean(running)
    running.script("chat.postMessage", *posts)
    running.script("conversations.history", *looks)
    running.script("conversations.list", *looks[::-1])
    receipt = deliver(running, CARD, restarts)
    assert standing(running) == ["inc1:card"]
    assert receipt == Receipt("C0ALERTS", running.channel("C0ALERTS").messages[0].ts)


@QUICK
@given(posts=FAULTS, looks=FAULTS, restarts=RESTARTS, deleted=st.booleans())
def test_a_reply_stands_exactly_once_after_any_faults_even_when_the_card_is_deleted(
    running: SlackServer,
    posts: list[Fault | None],
    looks: list[Fault | None],
    restarts: list[bool],
    deleted: bool,
) -> None:
    clean(running)
    card = Slack(running.token, running.base_url).send(CARD)
    if deleted:
        running.channel("C0ALERTS").delete(card.id)
    running.script("chat.postMessage", *posts)
    running.script("conversations.replies", *looks)
    receipt = deliver(running, REPLY, restarts, thread=card)
    assert standing(running) == (["inc1:3"] if deleted else ["inc1:card", "inc1:3"])
    assert receipt.id == running.channel("C0ALERTS").messages[-1].ts


@QUICK
@given(edits=FAULTS, posts=FAULTS, looks=FAULTS, restarts=RESTARTS, deleted=st.booleans())
def test_an_edited_card_stands_exactly_once_after_any_faults_even_when_it_was_deleted(
    running: SlackServer,
    edits: list[Fault | None],
    posts: list[Fault | None],
    looks: list[Fault | None],
    restarts: list[bool],
    deleted: bool,
) -> None:
    clean(running)
    card = Slack(running.token, running.base_url).send(CARD)
    if deleted:
        running.channel("C0ALERTS").delete(card.id)
    running.script("chat.update", *edits)
    running.script("chat.postMessage", *posts)
    running.script("conversations.history", *looks)
    deliver(running, EDIT, restarts, edits=card)
    (stands,) = running.channel("C0ALERTS").messages
    assert (stands.text, stands.key) == ("over", "inc1:card")


def test_a_second_edit_of_a_lost_card_edits_the_new_one_with_the_old_receipt(
    server: SlackServer, slack: Slack
) -> None:
    card = slack.send(CARD)
    server.channel("C0ALERTS").delete(card.id)
    new = slack.send(EDIT, edits=card)
    assert new.id != card.id
    third = Message("inc1:5", "#alerts", "late data", replaces="inc1:card")
    assert slack.send(third, edits=card) == new
    assert [one.text for one in server.channel("C0ALERTS").messages] == ["late data"]


def test_a_card_that_is_closed_to_edits_gets_a_successor(server: SlackServer, slack: Slack) -> None:
    card = slack.send(CARD)
    server.script("chat.update", refuse("edit_window_closed"))
    new = slack.send(EDIT, edits=card)
    assert [one.text for one in server.channel("C0ALERTS").messages] == [CARD.text, "over"]
    assert new.id == server.channel("C0ALERTS").messages[1].ts


def test_a_failed_look_is_not_taken_for_absence(server: SlackServer, slack: Slack) -> None:
    server.script("chat.postMessage", cut(taken=True))
    failure(lambda: slack.send(CARD))
    server.space.scopes.discard("channels:history")
    failed = failure(lambda: slack.send(CARD, seek_since=LONG_AGO))
    assert failed.outcome == "unknown"
    assert "channels:history" in str(failed)
    assert standing(server) == ["inc1:card"]


def test_a_look_with_a_dead_token_is_a_matter_of_credentials(server: SlackServer, slack: Slack) -> None:
    server.revoke()
    assert failure(lambda: slack.send(CARD, seek_since=LONG_AGO)).outcome == "no_credentials"
    assert server.count("chat.postMessage") == 0


def test_a_look_reads_all_pages_from_two_minutes_before_the_try(server: SlackServer, slack: Slack) -> None:
    server.script("chat.postMessage", cut(taken=True))
    failure(lambda: slack.send(CARD))
    for number in range(40):
        slack.send(Message(f"other{number}", "C0ALERTS", "noise"))
    server.space.page_limit = 15
    tried = int(server.channel("C0ALERTS").messages[0].ts[:10])
    slack.send(CARD, seek_since=tried)
    assert standing(server).count("inc1:card") == 1
    looks = [one.args for one in server.calls if one.method == "conversations.history"]
    assert len(looks) == 3
    assert {one["oldest"] for one in looks} == {f"{tried - 120}.000000"}


def test_a_look_of_one_short_page_a_minute_still_ends(server: SlackServer, slack: Slack) -> None:
    server.script("chat.postMessage", cut(taken=True))
    failure(lambda: slack.send(CARD))
    for number in range(40):
        slack.send(Message(f"other{number}", "C0ALERTS", "noise"))
    server.space.page_limit = 15
    server.script("conversations.history", None, too_many(60), None, too_many(60), None)
    waits = [failure(lambda: slack.send(CARD, seek_since=LONG_AGO)).retry_after for _ in range(2)]
    slack.send(CARD, seek_since=LONG_AGO)
    assert waits == [60, 60]
    assert standing(server).count("inc1:card") == 1


def test_what_is_not_there_is_sent_after_the_look(server: SlackServer, slack: Slack) -> None:
    slack.send(CARD, seek_since=LONG_AGO)
    methods = [one.method for one in server.calls]
    assert methods == ["conversations.list", "conversations.history", "chat.postMessage"]


def test_a_look_into_an_unheard_of_channel_sends_nothing(server: SlackServer, slack: Slack) -> None:
    failed = failure(lambda: slack.send(Message("a", "#nowhere", "x"), seek_since=LONG_AGO))
    assert failed.outcome == "unknown"
    assert server.count("chat.postMessage") == 0


# What Slack will not take.


@pytest.mark.parametrize(
    "code", ["invalid_blocks", "msg_too_long", "msg_blocks_too_long", "metadata_too_large"]
)
def test_a_refused_body_is_said_at_once_as_plain_text(server: SlackServer, slack: Slack, code: str) -> None:
    server.script("chat.postMessage", refuse(code))
    slack.send(CARD)
    (stands,) = server.channel("C0ALERTS").messages
    assert (stands.text, stands.blocks) == (CARD.text, [])
    assert server.count("chat.postMessage") == 2


def test_a_body_that_breaks_the_limits_still_says_its_text_and_logs_where(
    server: SlackServer, slack: Slack, caplog: pytest.LogCaptureFixture
) -> None:
    header = {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}
    slack.send(Message("a", "#alerts", "fish &amp; chips " * 400, (header,)))
    (stands,) = server.channel("C0ALERTS").messages
    assert stands.key == "a"
    assert len(stands.text) < 3000
    assert "/blocks/0/text/text" in caplog.text or "msg_too_long" in caplog.text


def test_an_edit_that_is_refused_takes_the_old_blocks_away(server: SlackServer, slack: Slack) -> None:
    card = slack.send(CARD)
    server.script("chat.update", refuse("invalid_blocks"))
    slack.send(EDIT, edits=card)
    (stands,) = server.channel("C0ALERTS").messages
    assert (stands.text, stands.blocks) == ("over", [])


def test_a_plain_text_that_is_refused_too_ends_there(server: SlackServer, slack: Slack) -> None:
    server.script("chat.postMessage", refuse("invalid_blocks"), refuse("invalid_blocks"))
    assert failure(lambda: slack.send(CARD)).outcome == "permanent"
    assert server.count("chat.postMessage") == 2


@pytest.mark.parametrize("end", ["&amp;", "<https://example.com/a|the release>"])
@pytest.mark.parametrize("shift", range(0, 40, 3))
def test_a_text_is_never_cut_inside_an_entity_or_a_link(
    server: SlackServer, slack: Slack, end: str, shift: int
) -> None:
    server.script("chat.postMessage", refuse("msg_too_long"))
    slack.send(Message("a", "#alerts", "x" * (2900 - shift) + end + "y" * 200))
    (stands,) = server.channel("C0ALERTS").messages
    cut_text = stands.text.removesuffix(" …").strip("xy")
    assert cut_text in ("", end)


# Where it can't go.


def test_a_public_channel_is_joined_once_when_that_is_allowed(server: SlackServer, slack: Slack) -> None:
    server.add_channel("C0OTHERS", "others", member=False)
    message = Message("a", "#others", "x")
    failed = failure(lambda: slack.send(message))
    assert failed.outcome == "permanent"
    assert "not_in_channel" in str(failed)
    server.space.scopes.add("channels:join")
    assert slack.send(message).channel == "C0OTHERS"


def test_a_revoked_token_says_so_and_the_backlog_goes_out_when_it_works_again(
    server: SlackServer, slack: Slack
) -> None:
    server.revoke()
    failed = failure(lambda: slack.send(CARD))
    assert failed.outcome == "no_credentials"
    assert "token_revoked" in str(failed)
    server.restore()
    slack.send(CARD)
    assert standing(server) == ["inc1:card"]


@pytest.mark.parametrize(
    "url", ["http://slack.com/api/", "ftp://127.0.0.1/", "slack.com/api", "http://127.0.0.1.example.com/", ""]
)
def test_a_token_never_travels_in_the_clear(url: str) -> None:
    with pytest.raises(ValueError, match="expected https"):
        Slack("xoxb-1", url)


@pytest.mark.parametrize(
    "url", ["https://slack-gov.com/api/", "http://localhost:1/api", "http://[::1]:1/api/"]
)
def test_https_and_loopback_are_taken(url: str) -> None:
    Slack("xoxb-1", url)


def test_no_secret_is_in_an_error_or_in_the_log(
    server: SlackServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    slack = Slack(server.token, server.base_url, timeout=5)
    echo = f"<pre>Authorization: Bearer {server.token}</pre>"
    said: list[str] = []
    for fault in (garbage(echo), Fault(status=500, body=echo), refuse(server.token), cut(), too_many()):
        server.script("chat.postMessage", fault)
        failed = failure(lambda: slack.send(CARD))
        said.append(f"{failed!r} {failed} {failed.__cause__} {failed.__suppress_context__}")
    broken_header = Slack(server.token + "\r\nX: y", server.base_url)
    said.append(str(failure(lambda: broken_header.send(CARD))))
    assert all(server.token not in one for one in [*said, caplog.text])
    assert all("None True" in one for one in said[:-1])


# Pictures.


def test_a_chart_is_uploaded_into_the_thread_with_its_description(
    server: SlackServer, slack: Slack, drawn: list[Incident]
) -> None:
    card = slack.send(CARD)
    receipt = slack.send(CHART, thread=card)
    (reply,) = server.channel("C0ALERTS").replies(card.id)
    assert reply.files[0]["alt_txt"] == "opens & clicks"
    assert reply.files[0]["name"] == "inc1-chart.png"
    assert receipt == Receipt("C0ALERTS", reply.files[0]["id"])
    assert server.space.uploads[receipt.id].data == b"\x89PNG"
    assert drawn == [INCIDENT]


@pytest.mark.parametrize("step", ["files.getUploadURLExternal", "upload", "files.completeUploadExternal"])
@pytest.mark.parametrize("fault", [too_many(3), *TROUBLE[:4]])
def test_a_chart_stands_once_after_any_fault(
    server: SlackServer, slack: Slack, drawn: list[Incident], step: str, fault: Fault
) -> None:
    card = slack.send(CARD)
    server.script(step, fault)
    deliver(server, CHART, [], thread=card)
    assert len(server.channel("C0ALERTS").replies(card.id)) == 1


def test_a_missing_scope_for_files_loses_the_picture_and_not_the_credentials(
    server: SlackServer, slack: Slack, drawn: list[Incident]
) -> None:
    card = slack.send(CARD)
    server.space.scopes.discard("files:write")
    assert failure(lambda: slack.send(CHART, thread=card)).outcome == "permanent"


# The check.


def test_the_check_is_silent_when_all_is_well(slack: Slack) -> None:
    assert slack.check(["#alerts", "C0FALLBACK"]) == []


def test_the_check_names_missing_scopes_and_channels_that_cannot_be_read(
    server: SlackServer, slack: Slack
) -> None:
    server.space.scopes -= {"files:write", "groups:history"}
    server.add_channel("C0OTHERS", "others", member=False)
    problems = slack.check(["#alerts", "#others", "#nowhere"])
    assert [word in line for word, line in zip(["files:write", "groups:history"], problems, strict=False)]
    assert problems[2].startswith("#others: Slack refused: not_in_channel")
    assert problems[3].startswith("#nowhere: Slack refused: channel_not_found")
    assert len(problems) == 4


def test_the_check_of_a_wrong_token_says_so(server: SlackServer) -> None:
    assert Slack("xoxb-wrong", server.base_url).check() == [
        "Slack refused: invalid_auth (Slack does not know this token)"
    ]
