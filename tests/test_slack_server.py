"""Our own Slack answers the real client as the public reference says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_server import SlackServer, broken, cut, garbage, hang, refuse, too_many

TEXT = {"type": "mrkdwn", "text": "*hello*"}
SECTION = {"type": "section", "text": TEXT}


@pytest.fixture(scope="module")
def running() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


@pytest.fixture
def slack(running: SlackServer) -> SlackServer:
    running.restore()
    running.space.page_limit = 999
    for channel in running.space.channels.values():
        channel.posted.clear()
    running.calls.clear()
    return running


@pytest.fixture
def client(slack: SlackServer) -> WebClient:
    return WebClient(slack.token, base_url=slack.base_url, timeout=5, retry_handlers=[])


def refused(call: Any, **args: Any) -> str:
    with pytest.raises(SlackApiError) as caught:
        call(**args)
    return str(caught.value.response["error"])


def test_a_message_by_name_gets_the_id_of_the_channel_and_a_ts(slack: SlackServer, client: WebClient) -> None:
    answer = client.chat_postMessage(channel="#alerts", text="hello", blocks=[SECTION])
    assert answer["channel"] == "C0ALERTS"
    (stands,) = slack.channel("C0ALERTS").messages
    assert (stands.ts, stands.text, stands.blocks) == (answer["ts"], "hello", [SECTION])


def test_a_token_is_asked_for_on_every_call(slack: SlackServer, client: WebClient) -> None:
    stranger = WebClient("xoxb-wrong", base_url=slack.base_url, retry_handlers=[])
    nobody = WebClient(base_url=slack.base_url, retry_handlers=[])
    assert refused(stranger.chat_postMessage, channel="#alerts", text="x") == "invalid_auth"
    assert refused(nobody.auth_test) == "not_authed"
    slack.revoke()
    assert refused(client.chat_postMessage, channel="#alerts", text="x") == "token_revoked"
    assert slack.channel("C0ALERTS").messages == []


def test_an_unknown_method_and_an_unknown_argument_are_refused(client: WebClient) -> None:
    assert refused(client.api_call, api_method="chat.posted") == "unknown_method"
    body = {"channel": "C0ALERTS", "text": "x", "client_msg_id": "1"}
    assert refused(client.api_call, api_method="chat.postMessage", json=body) == "invalid_arguments"


@pytest.mark.parametrize(
    ("block", "pointer"),
    [
        ({"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}, "/blocks/0/text/text"),
        ({"type": "header", "text": TEXT}, "/blocks/0/text/type"),
        ({"type": "section"}, "/blocks/0"),
        ({"type": "section", "text": {"type": "mrkdwn", "text": ""}}, "/blocks/0/text/text"),
        ({"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}, "/blocks/0/text/text"),
        ({"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}, "/blocks/0/fields/0/text"),
        ({"type": "section", "fields": [TEXT] * 11}, "/blocks/0/fields"),
        ({"type": "section", "text": TEXT, "txet": 1}, "/blocks/0/txet"),
        ({"type": "section", "text": TEXT, "block_id": None, "accessory": None}, "/blocks/0/accessory/type"),
        ({"type": "context", "elements": [TEXT] * 11}, "/blocks/0/elements"),
        ({"type": "actions", "elements": []}, "/blocks/0/elements"),
        ({"type": "image", "alt_text": "x", "image_url": "http://10.0.0.1/a.png"}, "/blocks/0/image_url"),
        ({"type": "tabel"}, "/blocks/0/type"),
    ],
)
def test_a_block_out_of_bounds_is_refused_with_a_pointer(
    slack: SlackServer, client: WebClient, block: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#alerts", text="x", blocks=[block])
    assert caught.value.response["error"] == "invalid_blocks"
    assert f"[json-pointer:{pointer}" in caught.value.response["errors"][0]
    assert slack.channel("C0ALERTS").messages == []


def test_fifty_blocks_are_taken_and_fifty_one_are_not(client: WebClient) -> None:
    divider = {"type": "divider"}
    client.chat_postMessage(channel="#alerts", text="x", blocks=[divider] * 50)
    assert (
        refused(client.chat_postMessage, channel="#alerts", text="x", blocks=[divider] * 51)
        == "invalid_blocks"
    )


def test_two_buttons_of_one_name_and_a_third_style_are_refused(client: WebClient) -> None:
    button = {"type": "button", "text": {"type": "plain_text", "text": "Mute"}, "action_id": "mute"}
    for elements in ([button, button], [{**button, "style": "green"}], [{**button, "url": "javascript:1"}]):
        block = {"type": "actions", "elements": elements}
        assert (
            refused(client.chat_postMessage, channel="#alerts", text="x", blocks=[block]) == "invalid_blocks"
        )


def test_long_texts_are_refused(client: WebClient) -> None:
    long = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2900}}
    assert refused(client.chat_postMessage, channel="#alerts", text="x" * 4001) == "msg_too_long"
    assert (
        refused(client.chat_postMessage, channel="#alerts", text="x", blocks=[long] * 5)
        == "msg_blocks_too_long"
    )


def test_channels_that_take_nothing_say_why(slack: SlackServer, client: WebClient) -> None:
    slack.add_channel("C0OLD", "old", archived=True)
    slack.add_channel("C0OTHERS", "others", member=False)
    slack.add_channel("G0SECRET", "secret", member=False, private=True)
    errors = [
        refused(client.chat_postMessage, channel=c, text="x") for c in ("#old", "#others", "#secret", "#no")
    ]
    assert errors == ["is_archived", "not_in_channel", "channel_not_found", "channel_not_found"]


def test_a_reply_stands_in_the_thread_and_not_in_the_history(slack: SlackServer, client: WebClient) -> None:
    card = client.chat_postMessage(channel="#alerts", text="card")
    reply = client.chat_postMessage(channel="C0ALERTS", text="reply", thread_ts=card["ts"])
    assert reply["message"]["thread_ts"] == card["ts"]
    history = client.conversations_history(channel="C0ALERTS")
    thread = client.conversations_replies(channel="C0ALERTS", ts=card["ts"])
    assert [one["text"] for one in history["messages"]] == ["card"]
    assert [one["text"] for one in thread["messages"]] == ["card", "reply"]
    assert [one.text for one in slack.channel("C0ALERTS").replies(card["ts"])] == ["reply"]


def test_a_thread_is_a_string_and_a_number_is_refused(client: WebClient) -> None:
    body = {"channel": "C0ALERTS", "text": "x", "thread_ts": 1795540155.792}
    assert refused(client.api_call, api_method="chat.postMessage", json=body) == "invalid_thread_ts"


def test_a_reply_to_a_deleted_message_goes_to_the_channel(slack: SlackServer, client: WebClient) -> None:
    card = client.chat_postMessage(channel="#alerts", text="card")
    slack.channel("C0ALERTS").delete(card["ts"])
    reply = client.chat_postMessage(channel="C0ALERTS", text="reply", thread_ts=card["ts"])
    assert "thread_ts" not in reply["message"]
    assert [one.text for one in slack.channel("C0ALERTS").top] == ["reply"]


def test_a_deleted_parent_of_replies_leaves_a_tombstone(slack: SlackServer, client: WebClient) -> None:
    card = client.chat_postMessage(channel="#alerts", text="card")
    client.chat_postMessage(channel="C0ALERTS", text="first", thread_ts=card["ts"])
    slack.channel("C0ALERTS").delete(card["ts"])
    reply = client.chat_postMessage(channel="C0ALERTS", text="second", thread_ts=card["ts"])
    assert reply["message"]["thread_ts"] == card["ts"]
    assert refused(client.chat_update, channel="C0ALERTS", ts=card["ts"], text="x") == "message_not_found"


def test_an_update_keeps_what_is_left_out_and_an_empty_array_removes(
    slack: SlackServer, client: WebClient
) -> None:
    metadata = {"event_type": "stillwatch_message", "event_payload": {"key": "a"}}
    card = client.chat_postMessage(channel="#alerts", text="one", blocks=[SECTION], metadata=metadata)
    client.chat_update(channel="C0ALERTS", ts=card["ts"], text="two")
    (stands,) = slack.channel("C0ALERTS").messages
    assert (stands.text, stands.before, stands.blocks, stands.key) == ("two", ["one"], [SECTION], "a")
    client.chat_update(channel="C0ALERTS", ts=card["ts"], text="three", blocks=[])
    assert stands.blocks == []
    assert refused(client.chat_update, channel="#alerts", ts=card["ts"], text="x") == "channel_not_found"


def test_a_message_of_someone_else_is_not_ours_to_update(slack: SlackServer, client: WebClient) -> None:
    card = client.chat_postMessage(channel="#alerts", text="one")
    slack.channel("C0ALERTS").messages[0].user = "U0PERSON"
    assert refused(client.chat_update, channel="C0ALERTS", ts=card["ts"], text="x") == "cant_update_message"


def test_the_payload_of_metadata_is_shown_only_when_asked_for(client: WebClient) -> None:
    metadata = {"event_type": "stillwatch_message", "event_payload": {"key": "a"}}
    client.chat_postMessage(channel="#alerts", text="one", metadata=metadata)
    bare = client.conversations_history(channel="C0ALERTS")["messages"][0]
    full = client.conversations_history(channel="C0ALERTS", include_all_metadata=True)["messages"][0]
    assert "event_payload" not in bare["metadata"]
    assert full["metadata"] == metadata


def test_metadata_without_shape_with_nulls_or_too_large_is_refused(client: WebClient) -> None:
    def error(metadata: Any) -> str:
        return refused(client.chat_postMessage, channel="#alerts", text="x", metadata=metadata)

    assert error({"event_type": "a"}) == "invalid_metadata_format"
    assert error({"event_type": "a", "event_payload": {"key": None}}) == "invalid_metadata_schema"
    assert error({"event_type": "a", "event_payload": {"key": "x" * 3000}}) == "metadata_too_large"


def test_the_history_comes_newest_first_and_in_pages(slack: SlackServer, client: WebClient) -> None:
    slack.space.page_limit = 2
    sent = [client.chat_postMessage(channel="#alerts", text=str(number))["ts"] for number in range(5)]
    pages = [
        [one["text"] for one in page["messages"]]
        for page in client.conversations_history(channel="C0ALERTS", limit=200)
    ]
    assert pages == [["4", "3"], ["2", "1"], ["0"]]
    since = client.conversations_history(channel="C0ALERTS", oldest=sent[3])
    assert [one["text"] for one in since["messages"]] == ["4"]


def test_a_file_is_announced_sent_and_shared(slack: SlackServer, client: WebClient) -> None:
    card = client.chat_postMessage(channel="#alerts", text="card")
    client.files_upload_v2(
        channel="C0ALERTS",
        thread_ts=card["ts"],
        file=b"\x89PNG",
        filename="a.png",
        title="t",
        alt_txt="lost opens",
    )
    (reply,) = slack.channel("C0ALERTS").replies(card["ts"])
    assert reply.files == [{"id": "F00000001", "name": "a.png", "title": "t", "alt_txt": "lost opens"}]
    assert slack.space.uploads["F00000001"].data == b"\x89PNG"


def test_a_file_that_was_announced_but_not_sent_is_not_shared(client: WebClient) -> None:
    announced = client.files_getUploadURLExternal(filename="a.png", length=4)
    files: list[dict[str, str | None]] = [{"id": announced["file_id"], "title": "t"}]
    error = refused(client.files_completeUploadExternal, files=files, channel_id="C0ALERTS")
    assert error == "file_not_found"


def test_scripted_faults_hit_in_order_and_then_are_over(slack: SlackServer, client: WebClient) -> None:
    slack.script(
        "chat.postMessage", too_many(7), None, broken(503, taken=True), refuse("fatal_error"), garbage()
    )
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#alerts", text="a")
    assert (caught.value.response.status_code, caught.value.response.headers["Retry-After"]) == (429, "7")
    client.chat_postMessage(channel="#alerts", text="b")
    assert "Server Error" in refused(client.chat_postMessage, channel="#alerts", text="c")
    assert refused(client.chat_postMessage, channel="#alerts", text="d") == "fatal_error"
    assert "hotel" in refused(client.chat_postMessage, channel="#alerts", text="e")
    client.chat_postMessage(channel="#alerts", text="f")
    assert [one.text for one in slack.channel("C0ALERTS").messages] == ["b", "c", "f"]
    assert slack.count("chat.postMessage") == 6


@pytest.mark.parametrize("taken", [True, False])
def test_a_cut_or_hanging_connection_hides_whether_it_was_taken(slack: SlackServer, taken: bool) -> None:
    hasty = WebClient(slack.token, base_url=slack.base_url, timeout=1, retry_handlers=[])
    hasty.timeout = 0.2  # type: ignore[assignment]  # urllib takes parts of a second
    slack.script("chat.postMessage", cut(taken), hang(taken))
    with pytest.raises(OSError):
        hasty.chat_postMessage(channel="#alerts", text="cut")
    with pytest.raises(OSError):
        hasty.chat_postMessage(channel="#alerts", text="hang")
    assert [one.text for one in slack.channel("C0ALERTS").messages] == (["cut", "hang"] if taken else [])
