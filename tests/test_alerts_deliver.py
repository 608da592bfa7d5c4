"""Delivery from a real database: order, collapse, pauses, and a stop at every point."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from slack_server import SlackServer, broken, cut, too_many

from alerts.deliver import deliver
from alerts.messages import Message
from alerts.outbox import Outcome, Receipt, SendFailed
from alerts.places import Place, slack
from alerts.receivers import Receiver
from alerts.slack import lane
from stillwatch.mailbox import Mailbox
from stillwatch.store import Store


class Wall:
    """A place that keeps what it was sent, and fails as it is told."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.messages: list[Message] = []
        self.calls: list[tuple[str, Receipt | None, Receipt | None, int | None]] = []
        self.failures: dict[str, list[Exception]] = {}

    def send(
        self,
        message: Message,
        *,
        edits: Receipt | None = None,
        thread: Receipt | None = None,
        seek_since: int | None = None,
    ) -> Receipt:
        self.calls.append((message.key, edits, thread, seek_since))
        waiting = self.failures.get(message.key) or self.failures.get(message.channel)
        if waiting:
            raise waiting.pop(0)
        self.sent.append(message.text)
        self.messages.append(message)
        return edits or Receipt(message.channel, f"ts-{message.key}")


class Hand:
    """A clock wound by hand."""

    def __init__(self) -> None:
        self.now = 1000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "s.db")
    yield made
    made.close()


def card(key: str = "i1", channel: str = "#a", text: str = "card") -> Message:
    return Message(key, channel, text)


def edit(number: int, key: str = "i1", channel: str = "#a") -> Message:
    return Message(f"{key}:{number}", channel, f"edit {number}", replaces=key)


def reply(number: int, key: str = "i1", channel: str = "#a") -> Message:
    return Message(f"{key}:{number}:r", channel, f"reply {number}", reply_to=key)


def rounds(store: Store, wall: Wall, hand: Hand, count: int = 1, pace: int = 0) -> None:
    for _ in range(count):
        deliver(Mailbox(store), Place(wall, pace), hand)
        hand.now += 1


def test_a_card_comes_before_its_replies_and_later_edits_collapse_into_the_newest(store: Store) -> None:
    wall, hand = Wall(), Hand()
    store.say("i1", [card()], 1000)
    rounds(store, wall, hand)
    store.say("i1", [edit(2), reply(2), edit(3), reply(3), edit(4)], 1000)
    rounds(store, wall, hand)
    assert wall.sent == ["card", "reply 2", "reply 3", "edit 4"]
    assert wall.calls[-1] == ("i1:4", Receipt("#a", "ts-i1"), None, None)
    assert wall.calls[1] == ("i1:2:r", None, Receipt("#a", "ts-i1"), None)
    assert Mailbox(store).waiting() == []


def test_a_card_that_could_not_go_out_is_sent_in_its_newest_state(store: Store) -> None:
    wall, hand = Wall(), Hand()
    store.say("i1", [card(), edit(2), reply(2), edit(3)], 1000)
    rounds(store, wall, hand, 2)
    assert wall.sent == ["edit 3"], "the newest state says what the replies would have said"
    assert Mailbox(store).waiting() == []


@pytest.mark.parametrize("outcome", ["refused", "no_credentials"])
def test_what_opened_and_resolved_during_an_outage_is_one_message(store: Store, outcome: Outcome) -> None:
    wall, hand = Wall(), Hand()
    wall.failures["#a"] = [SendFailed("away", outcome) for _ in range(99)]
    store.say("i1", [card()], 1000)
    rounds(store, wall, hand, 10)
    store.say("i1", [edit(2), reply(2)], 1010)
    rounds(store, wall, hand, 10)
    store.say("i1", [edit(3), reply(3)], 1020)
    rounds(store, wall, hand, 300)
    assert wall.sent == []
    wall.failures.clear()
    rounds(store, wall, hand, 70)
    assert wall.sent == ["edit 3"]
    assert Mailbox(store).waiting() == []


def test_a_card_that_may_stand_there_is_looked_for_as_it_was_and_then_edited(store: Store) -> None:
    wall, hand = Wall(), Hand()
    wall.failures["i1"] = [SendFailed("cut", "unknown")]
    store.say("i1", [card()], 1000)
    rounds(store, wall, hand)
    store.say("i1", [edit(2), reply(2)], 1001)
    rounds(store, wall, hand, 10)
    assert wall.sent == ["card", "edit 2", "reply 2"]


def test_after_an_outage_incidents_are_told_in_the_order_in_which_they_began(store: Store) -> None:
    wall, hand = Wall(), Hand()
    wall.failures["#a"] = [SendFailed("away", "refused") for _ in range(4)]
    for i in range(5):
        store.say(f"i{9 - i}", [card(f"i{9 - i}", text=f"{i}")], 1000 + i)
    rounds(store, wall, hand, 60, pace=1)
    assert wall.sent == ["0", "1", "2", "3", "4"]


def test_nothing_of_an_incident_overtakes_its_card_while_others_go_on(store: Store) -> None:
    wall, hand = Wall(), Hand()
    wall.failures["i1"] = [SendFailed("cut", "unknown")]
    store.say("i1", [card(), reply(2)], 1000)
    store.say("i2", [card("i2", "#b", "other channel")], 1000)
    store.say("i3", [card("i3", "#a", "same channel")], 1000)
    rounds(store, wall, hand, 4)
    assert wall.sent == ["other channel", "same channel"]
    rounds(store, wall, hand, 4)
    assert wall.sent == ["other channel", "same channel", "card", "reply 2"]
    assert wall.calls[-2][3] == 1000, "it looked for what the first try may have left"


def test_a_channel_that_asks_for_a_pause_gets_it_also_after_a_restart_and_holds_up_no_other(
    store: Store, tmp_path: Path
) -> None:
    wall, hand = Wall(), Hand()
    wall.failures["i1"] = [SendFailed("ratelimited", "refused", 30)]
    store.say("i1", [card()], 1000)
    store.say("i2", [card("i2", "#a", "same channel")], 1000)
    store.say("i3", [card("i3", "#b", "other channel")], 1000)
    rounds(store, wall, hand)
    again = Store(tmp_path / "s.db")
    rounds(again, wall, hand, 28)
    assert wall.sent == ["other channel"]
    rounds(again, wall, hand, 2)
    assert wall.sent == ["other channel", "card", "same channel"]
    again.close()


def test_one_message_a_second_and_channel_where_the_place_wants_it_so(store: Store) -> None:
    wall, hand = Wall(), Hand()
    for i in range(3):
        store.say(f"i{i}", [card(f"i{i}", "#a", f"{i}")], 1000)
    store.say("j", [card("j", "#b", "b")], 1000)
    rounds(store, wall, hand, pace=1)
    assert wall.sent == ["0", "b"]
    rounds(store, wall, hand, 2, pace=1)
    assert wall.sent == ["0", "b", "1", "2"]


def test_replies_to_a_card_that_was_given_up_are_given_up_too_and_the_log_says_so(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    wall, hand = Wall(), Hand()
    store.say("i1", [card(), reply(2)], 1000)
    wall.failures["#a"] = [SendFailed("channel_not_found", "permanent")] * 3
    rounds(store, wall, hand)
    assert len(Mailbox(store).waiting()) == 2
    hand.now += 2 * 86400
    rounds(store, wall, hand)
    assert Mailbox(store).waiting() == []
    assert [r.levelno for r in caplog.records] == [logging.ERROR] * 3
    assert "channel_not_found" in caplog.text


def test_the_same_failure_is_logged_once_and_another_one_again(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    wall, hand = Wall(), Hand()
    store.say("i1", [card()], 1000)
    wall.failures["i1"] = [SendFailed("revoked", "no_credentials")] * 3 + [SendFailed("cut", "unknown")]
    for _ in range(5):
        rounds(store, wall, hand)
        hand.now += 100
    assert [r.message.count("revoked") for r in caplog.records] == [1, 0]
    assert wall.sent == ["card"]


def test_a_sender_that_breaks_puts_the_message_aside_and_the_next_round_goes_on(store: Store) -> None:
    wall, hand = Wall(), Hand()
    wall.failures["i1"] = [ZeroDivisionError("a mistake of ours")] * 2
    store.say("i1", [card()], 1000)
    store.say("i2", [card("i2", text="other")], 1000)
    with pytest.raises(ZeroDivisionError):
        rounds(store, wall, hand)
    rounds(store, wall, hand)
    assert wall.sent == ["other"]


def test_a_card_that_was_lost_and_posted_anew_is_edited_in_its_new_place(store: Store) -> None:
    wall, hand = Wall(), Hand()
    store.say("i1", [card()], 1000)
    rounds(store, wall, hand)
    wall.send = lambda message, **_: Receipt("#a", "new")  # type: ignore[method-assign]
    store.say("i1", [edit(2)], 1000)
    rounds(store, wall, hand)
    found = Mailbox(store).find("#a", "i1")
    assert found is not None
    assert found.receipt == Receipt("#a", "new")


def test_the_same_key_is_kept_once_for_each_channel(store: Store) -> None:
    store.say("i1", [card(), card()], 1000)
    store.say("i1", [card(), card(channel="#b")], 1000)
    assert [d.message.channel for d in Mailbox(store).waiting()] == ["#a", "#b"]


@pytest.mark.parametrize("fault", [cut(taken=True), cut(), broken(taken=True), broken(503), too_many(1)])
def test_slack_holds_each_message_once_whatever_happens_to_the_answer(store: Store, fault: object) -> None:
    with SlackServer() as server:
        hand = Hand()
        server.script("chat.postMessage", fault)  # type: ignore[arg-type]
        place = slack(Receiver("slack", "slack", server.base_url, server.token), hand)
        store.say("i1", [card(channel="C0ALERTS"), reply(2, channel="C0ALERTS")], 1000)
        for _ in range(20):
            deliver(Mailbox(store), place, hand)
            hand.now += 2
        assert [m.text for m in server.channel("C0ALERTS").messages] == ["card", "reply 2"]


def test_a_stop_between_the_request_and_its_record_leads_to_a_look_and_no_second_message(
    store: Store, tmp_path: Path
) -> None:
    with SlackServer() as server:
        hand = Hand()
        place = slack(Receiver("slack", "slack", server.base_url, server.token), hand)
        store.say("i1", [card(channel="C0ALERTS")], 1000)

        class Dies(Exception):
            """The process ends here."""

        class Dying(Mailbox):
            def record(self, delivery: object, *, lane: str = "", pause: int = 0) -> None:
                if delivery.state == "sent":  # type: ignore[attr-defined]
                    raise Dies
                super().record(delivery, lane=lane, pause=pause)  # type: ignore[arg-type]

        with pytest.raises(Dies):
            deliver(Dying(store), place, hand)
        again = Store(tmp_path / "s.db")
        hand.now += 10
        deliver(Mailbox(again), slack(Receiver("slack", "slack", server.base_url, server.token), hand), hand)
        assert Mailbox(again).waiting() == []
        assert server.count("conversations.history") >= 1
        assert len(server.channel("C0ALERTS").messages) == 1
        again.close()


def test_a_method_that_is_refused_for_now_pauses_what_the_place_counts_with_it_and_nothing_else(
    store: Store,
) -> None:
    wall, hand = Wall(), Hand()
    place = Place(wall, 0, lane=lane)
    store.say("i1", [card()], 1000)
    store.say("i2", [card("i2", "#b", "other channel")], 1000)
    deliver(Mailbox(store), place, hand)
    wall.failures["i1:2"] = [SendFailed("ratelimited", "refused", 30)]
    store.say("i1", [edit(2)], 1000)
    store.say("i2", [edit(2, "i2", "#b")], 1000)
    store.say("i3", [card("i3", "#a", "posted meanwhile")], 1000)
    for _ in range(5):
        deliver(Mailbox(store), place, hand)
        hand.now += 1
    assert wall.sent == ["card", "other channel", "posted meanwhile"]
    hand.now += 26
    deliver(Mailbox(store), place, hand)
    assert wall.sent[3:] == ["edit 2", "edit 2"]


def test_a_damaged_message_is_given_up_loudly_and_holds_up_no_other(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    wall, hand = Wall(), Hand()
    store.say("i1", [card()], 1000)
    store.say("i2", [card("i2", "#a", "whole")], 1000)
    with store.writing() as c:
        c.exec_driver_sql("UPDATE outbox SET message = '{' WHERE incident = 'i1'")
    assert Mailbox(store).depth(1000) == 2
    rounds(store, wall, hand, 3)
    assert wall.sent == ["whole"]
    assert [record.getMessage() for record in caplog.records if "given up" in record.getMessage()] == [
        "given up: i1 to #a: damaged in the database: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)"
    ]
    assert Mailbox(store).find("#a", "i1") is None
    assert Mailbox(store).depth(1000) == 0


def test_what_waits_for_its_time_is_not_counted_as_waiting(store: Store) -> None:
    store.say("i1", [replace(card(), due=2000, hold="to repeat")], 1000)
    assert (Mailbox(store).depth(1999), Mailbox(store).depth(2000)) == (0, 1)
