"""What a place will not take until a person acts is told elsewhere, once, with the reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import examples
import pytest
from slack_blocks import complaints
from slack_server import SlackServer
from test_alerts_deliver import Hand, Wall, card, edit, reply
from web_server import WebServer

from alerts import messages, plain
from alerts.deliver import deliver
from alerts.fallback import diverted
from alerts.incidents import Event
from alerts.messages import Message
from alerts.outbox import SendFailed
from alerts.places import Place, slack
from alerts.receivers import Receiver
from alerts.webhook import Webhook
from stillwatch.config import Settings
from stillwatch.config import Slack as SlackSettings
from stillwatch.mailbox import Mailbox
from stillwatch.store import Closing, Store
from stillwatch.telling import Telling

HOOK = "webhook:hook"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "s.db")
    yield made
    made.close()


def rounds(store: Store, wall: Wall, hand: Hand, count: int, fallback: str) -> None:
    for _ in range(count):
        deliver(Mailbox(store), Place(wall, 0), hand, fallback=fallback)
        hand.now += 1


def heard(wall: Wall, channel: str) -> list[str]:
    return [one.text for one in wall.messages if one.channel == channel]


@pytest.mark.slow
def test_a_channel_that_is_gone_is_told_of_elsewhere_from_beginning_to_end(store: Store) -> None:
    wall, hand = Wall(), Hand()
    wall.failures["#a"] = [SendFailed("is_archived", "permanent") for _ in range(99)]
    store.say("i1", [card(), edit(2), reply(2)], 1000)
    rounds(store, wall, hand, 3, "#b")
    assert heard(wall, "#b") == ["edit 2"]
    assert "Meant for #a, which does not take it: is_archived" in str(wall.messages[0].blocks)
    store.say("i1", [edit(3), reply(3)], 1010)
    rounds(store, wall, hand, 700, "#b")
    assert heard(wall, "#b") == ["edit 2", "edit 3", "reply 3"]
    assert heard(wall, "#a") == []
    assert Mailbox(store).not_taken() == {"#a": "is_archived"}
    wall.failures.clear()
    rounds(store, wall, hand, 700, "#b")
    assert heard(wall, "#a") == ["edit 3"], "a person let us in: it is told there as it stands"
    assert heard(wall, "#b") == ["edit 2", "edit 3", "reply 3"]


def test_a_token_that_is_refused_sends_everything_elsewhere_at_once(store: Store) -> None:
    wall, hand = Wall(), Hand()
    wall.failures["#a"] = [SendFailed("token_revoked", "no_credentials") for _ in range(99)]
    for i in range(5):
        store.say(f"i{i}", [card(f"i{i}", text=f"{i}")], 1000 + i)
    rounds(store, wall, hand, 2, "#b")
    assert heard(wall, "#b") == ["0", "1", "2", "3", "4"]


def test_what_is_only_away_for_a_while_is_told_nowhere_else(store: Store) -> None:
    wall, hand = Wall(), Hand()
    wall.failures["#a"] = [SendFailed("away", "refused"), SendFailed("cut", "unknown")]
    store.say("i1", [card()], 1000)
    rounds(store, wall, hand, 30, "#b")
    assert heard(wall, "#b") == []
    assert heard(wall, "#a") == ["card"]


def test_a_fallback_that_fails_as_well_is_its_own_trouble(store: Store) -> None:
    wall, hand = Wall(), Hand()
    for channel in ("#a", "#b"):
        wall.failures[channel] = [SendFailed("revoked", "no_credentials") for _ in range(99)]
    store.say("i1", [card()], 1000)
    rounds(store, wall, hand, 200, "#b")
    assert len(Mailbox(store).waiting()) == 2
    assert Mailbox(store).not_taken() == {"#a": "revoked", "#b": "revoked"}


def test_who_is_told_of_it_anyway_is_not_told_twice(store: Store) -> None:
    wall, hand = Wall(), Hand()
    wall.failures["#a"] = [SendFailed("is_archived", "permanent") for _ in range(9)]
    store.say("i1", [card(), card(channel="#b")], 1000)
    rounds(store, wall, hand, 3, "#b")
    assert heard(wall, "#b") == ["card"]


def test_an_archived_channel_of_slacks_is_told_of_in_another_and_a_revoked_token_at_a_hook(
    store: Store,
) -> None:
    """The real client, a server that behaves as Slack, and a real web server."""
    settings = Settings(
        slack=SlackSettings("C0OLD"), receivers=(Receiver("hook", "webhook", "x"),), fallback=HOOK
    )
    telling = Telling(settings, store.told)
    hand = Hand()
    with SlackServer() as server, WebServer() as web:
        server.add_channel("C0OLD", "old", archived=True)
        place = slack(Receiver("slack", "slack", server.base_url, server.token), hand)
        hook = Place(Webhook(Receiver("hook", "webhook", web.url), hand), 0)

        def round_of_both(event: Event) -> None:
            hand.now += 1000
            store.commit(Closing(news=(telling.news(event),)), store.table())
            deliver(Mailbox(store), place, hand, lambda channel: channel != HOOK, HOOK)
            deliver(Mailbox(store), hook, hand, HOOK.__eq__, HOOK)

        event = examples.error_spike()
        round_of_both(event)
        server.revoke()
        round_of_both(replace(event, event="resolved", reason="recovered", number=2))
        said = [json.loads(one.body) for one in web.requests]
    assert [one["event"] for one in said] == ["opened", "resolved"]
    assert "Meant for C0OLD, which does not take it: Slack refused: is_archived" in said[0]["text"]
    assert "Slack refused: token_revoked" in said[1]["text"]


HOSTILE = "<!channel> *x* <https://evil.example.com|y> `z` @here"


def test_a_reason_from_outside_is_harmless_in_blocks_and_in_fields() -> None:
    event = examples.error_spike()
    (first, _) = messages.word(event, "#a")
    moved = diverted(replace(first, notice=plain.notice(event)), "#b", HOSTILE)
    assert moved is not None
    assert moved.notice is not None
    assert "<!channel>" not in json.dumps(moved.blocks)
    assert "@" not in moved.notice.text
    assert "<" not in moved.notice.text
    assert complaints(list(moved.blocks)) == []


def test_fields_become_plain_text_in_a_channel_of_slacks() -> None:
    (message,) = plain.word(examples.error_spike(), HOOK, first=True)
    moved = diverted(message, "#b", "gone")
    assert moved is not None
    assert [one["type"] for one in moved.blocks] == ["header", "section", "context"]
    assert moved.blocks[1]["text"]["type"] == "plain_text"
    assert complaints(list(moved.blocks)) == []


def test_a_reply_of_slacks_is_of_no_use_at_a_hook() -> None:
    assert diverted(Message("k", "#a", "words", reply_to="i"), HOOK, "gone") is None
