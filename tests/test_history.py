"""What is silenced is not told and not lost: from a real database through the real round of delivery."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import examples
import pytest
from test_alerts_deliver import Hand, Wall

from alerts import jsonl, messages
from alerts.deliver import Place, deliver
from alerts.incidents import Event
from alerts.outbox import Receipt, SendFailed
from alerts.silences import Silence, matcher
from collector.bins import SeriesTable
from collector.words import Word, WordKind
from stillwatch import history
from stillwatch.history import History
from stillwatch.mailbox import Mailbox
from stillwatch.store import Closing, News, Store

OPENED = examples.at("06:37")


class Desk:
    """A database with one incident in it, a wall that is told, and a clock wound by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wall, self.hand = Wall(), Hand()
        self.hand.now = OPENED
        self.start()

    def start(self) -> None:
        self.store = Store(self.path)
        self.history = History(self.store)

    def restart(self) -> None:
        self.store.close()
        self.start()

    def news(self, event: Event) -> None:
        remarks = self.history.remarks(event, event.time)
        words = messages.word(event, "#a", remarks)
        one = News(event.incident.id, event.number, event.time, jsonl.line(event), words, event, remarks)
        self.store.commit(Closing(news=(one,)), SeriesTable())
        self.hand.now = max(self.hand.now, event.time)

    def silence(self, *matchers: str, starts: int = 0, lasts: int = 3600, name: str = "s1") -> None:
        begin = starts or self.hand.now
        wanted = Silence(
            name, tuple(map(matcher, matchers)), begin, begin + lasts if lasts else 0, "anna", "known"
        )
        self.history.silence(wanted)

    def say(self, kind: WordKind, who: str = "anna", **more: str) -> None:
        self.store.add_word(Word(ID, kind, who, self.hand.now, **more))

    def round(self, later: int = 1) -> list[str]:
        """What was sent, `later` seconds after the last time."""
        self.hand.now += later
        before = len(self.wall.calls)
        for _ in range(4):
            self.history.refresh(self.hand.now)
            deliver(Mailbox(self.store, self.history), Place(self.wall, 0), self.hand)
            self.hand.now += 1
        return [key for key, *_ in self.wall.calls[before:]]

    @property
    def states(self) -> dict[str, str]:
        with self.store.reading() as c:
            rows = c.exec_driver_sql("SELECT key, state FROM outbox ORDER BY number").all()
        return {str(key): str(state) for key, state in rows}

    @property
    def card(self) -> str:
        """All that the card says, as it was sent or edited last."""
        with self.store.reading() as c:
            sent = "SELECT message FROM outbox WHERE state = 'sent' ORDER BY number"
            rows = [json.loads(row[0]) for row in c.exec_driver_sql(sent).all()]
        newest = [row for row in rows if row["key"] == ID or row["replaces"] == ID][-1]
        return json.dumps(newest, ensure_ascii=False)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "s.db")
    yield made
    made.store.close()


SPIKE = examples.error_spike()
ID = SPIKE.incident.id


def worse(number: int, clock: str) -> Event:
    """More imports fail."""
    it = examples.incident((examples.imports_fail(clock, phase="standing", lost=200.0),))
    return Event(examples.at(clock), "updated", "grew", it, number)


def over(number: int, clock: str) -> Event:
    """The same imports succeed again."""
    it = examples.incident((replace(examples.imports_over(), at=examples.at(clock)),))
    return Event(
        examples.at(clock), "resolved", "recovered", replace(it, resolved=examples.at(clock)), number
    )


def test_what_is_silenced_is_not_told_but_stays_in_the_history(desk: Desk) -> None:
    desk.silence("service=contact-importer")
    desk.news(SPIKE)
    desk.news(worse(2, "06:40"))
    assert desk.round() == []
    assert desk.states[ID] == "waiting"
    assert desk.states[f"{ID}:2"] == "silenced"
    assert len(desk.store.lines()) == 2
    [kept] = desk.history.incidents()
    assert (kept.id, kept.muted) == (ID, True)


def test_what_is_still_open_when_its_silence_ends_is_told_then_with_its_card_as_it_is_now(desk: Desk) -> None:
    desk.silence("service=contact-importer", lasts=600)
    desk.news(SPIKE)
    desk.news(worse(2, "06:40"))
    assert desk.round() == []
    desk.restart()
    sent = desk.round(600)
    assert sent[0] == ID, "the card first"
    assert len(sent) == 3, "the card, that it was silenced, the chart"
    assert desk.wall.sent[0] == messages.plain_text(worse(2, "06:40"))
    assert desk.wall.sent[1].startswith("🔔 Silenced until now, and not over: ")
    assert desk.round() == []


def test_a_silence_that_is_ended_by_hand_ends_at_once(desk: Desk) -> None:
    desk.silence("service=contact-importer")
    desk.news(SPIKE)
    desk.round()
    ended = desk.history.end_silence("s1", "ben", desk.hand.now)
    assert ended is not None
    assert (ended.ended_by, ended.ends) == ("ben", desk.hand.now)
    assert ID in desk.round()
    again = desk.history.end_silence("s1", "carl", desk.hand.now + 100)
    assert again == ended, "what has ended is left as it is"
    assert desk.history.end_silence("s9", "ben", desk.hand.now) is None


def test_what_is_over_before_its_silence_is_never_told(desk: Desk) -> None:
    desk.silence("service=contact-importer", "kind=error_spike", lasts=7200)
    desk.news(SPIKE)
    desk.round()
    desk.news(over(2, "06:50"))
    assert desk.round() == []
    assert desk.round(7200) == []
    assert set(desk.states.values()) == {"silenced"}


def test_a_card_that_stands_shows_its_silence_and_is_kept_true_without_a_sound(desk: Desk) -> None:
    desk.news(SPIKE)
    assert ID in desk.round()
    desk.silence(f"incident={ID}", lasts=0)
    [shown] = desk.round()
    assert shown == f"{ID}:said:1:card"
    assert "🔕 Silenced until it is over by `anna`: `known`" in desk.card
    desk.news(worse(2, "06:40"))
    assert desk.round() == [f"{ID}:2:card"], "an edit, no reply"
    assert "🔕" in desk.card
    desk.news(over(3, "06:50"))
    assert desk.round() == [f"{ID}:3:card"]
    assert "🔕" not in desk.card
    assert desk.history.silences(desk.hand.now) == [], "a silence of one incident has ended with it"


def test_a_channel_hears_again_of_what_it_knew_when_the_silence_ends(desk: Desk) -> None:
    desk.news(SPIKE)
    desk.round()
    desk.silence("severity=~.+", lasts=300)
    desk.round()
    sent = desk.round(300)
    assert sent == [f"{ID}:said:2:card", f"{ID}:said:2"]
    reply = Mailbox(desk.store).find("#a", f"{ID}:said:2")
    assert reply is not None
    assert reply.message.broadcast
    assert reply.message.reply_to == ID


def test_what_joins_and_is_not_muted_brings_the_incident_out(desk: Desk) -> None:
    desk.silence("service=contact-importer")
    desk.news(SPIKE)
    assert desk.round() == []
    desk.news(examples.joined())
    assert desk.round()[0] == ID


def test_another_incident_is_told_while_one_is_silenced(desk: Desk) -> None:
    desk.silence("service=contact-importer")
    desk.news(SPIKE)
    other = examples.data_loss()
    desk.news(replace(other, incident=replace(other.incident, id="0ther")))
    assert "0ther" in desk.round()
    assert desk.states[ID] == "waiting"


def test_what_may_stand_already_waits_for_the_end_of_the_silence_and_is_looked_for_then(desk: Desk) -> None:
    desk.wall.failures[ID] = [SendFailed("cut", "unknown")]
    desk.news(SPIKE)
    deliver(Mailbox(desk.store), Place(desk.wall, 0), desk.hand)
    desk.silence("service=contact-importer", lasts=60)
    assert desk.round() == []
    assert desk.round(60)[0] == ID
    looked = next(call for call in desk.wall.calls[1:] if call[0] == ID)
    assert looked[3] is not None


def test_silences_come_back_from_the_database_and_those_that_ended_are_kept(desk: Desk) -> None:
    desk.silence("service=a", lasts=60, name="s1")
    desk.silence('owner!~"x|y"', lasts=600, name="s2")
    desk.silence("service=b", name="s2")  # the id is known
    desk.restart()
    assert [one.id for one in desk.history.silences()] == ["s1", "s2"]
    assert [str(m) for one in desk.history.silences(desk.hand.now + 60) for m in one.matchers] == [
        'owner!~"x|y"'
    ]


def test_an_edit_that_fails_while_silenced_is_tried_again(desk: Desk) -> None:
    desk.news(SPIKE)
    desk.round()
    desk.silence("service=contact-importer")
    desk.wall.failures[f"{ID}:said:1:card"] = [SendFailed("ratelimited", "refused", 2)]
    assert desk.round() == [f"{ID}:said:1:card"] * 2
    assert [one.message.key for one in Mailbox(desk.store).waiting()] == []
    assert desk.wall.calls[-1][1] == Receipt("#a", f"ts-{ID}")


# Words.


def test_who_has_acknowledged_stands_on_the_card_within_a_round_and_stays_there(desk: Desk) -> None:
    desk.news(SPIKE)
    desk.round()
    desk.say("acknowledge")
    assert desk.round() == [f"{ID}:said:1:card"]
    assert "✋ Acknowledged by `anna` at 06:37 UTC" in desk.card
    assert Mailbox(desk.store).acknowledged(ID) == desk.store.words()[0].time
    assert Mailbox(desk.store).acknowledged("another") == 0
    desk.say("acknowledge", "ben")
    desk.say("acknowledge", "ben")
    assert desk.round() == [f"{ID}:said:2:card"]
    assert "`anna` at 06:37 UTC, `ben` at 06:37 UTC" in desk.card
    assert desk.round() == []
    desk.news(over(2, "06:50"))
    desk.round()
    assert "✋ Acknowledged by `anna`" in desk.card


def test_that_more_is_lost_is_not_said_again_to_whoever_is_on_it(desk: Desk) -> None:
    desk.news(SPIKE)
    desk.round()
    grew = worse(2, "06:40")
    desk.news(replace(grew, incident=replace(grew.incident, acknowledged="anna")))
    assert desk.round() == [f"{ID}:2:card"]
    desk.news(worse(3, "06:44"))
    assert desk.round() == [f"{ID}:3:card", f"{ID}:3"]


def test_what_it_is_said_not_to_be_stands_on_the_card(desk: Desk) -> None:
    desk.news(SPIKE)
    desk.round()
    desk.say("not this deployment", deployment="r<1>", service="mail-`sender`")
    desk.say("not a problem", "b*e*n")
    desk.round()
    assert "❌ Not `mail-sender` of `r&lt;1&gt;`, says `anna`" in desk.card
    assert "⚪ Not a problem, says `b*e*n`: closed when this interval is judged" in desk.card


def test_what_is_closed_by_a_person_says_by_whom_and_what_is_learned(desk: Desk) -> None:
    desk.news(SPIKE)
    desk.round()
    it = replace(SPIKE.incident, resolved=SPIKE.time + 120, closed_by="anna")
    desk.news(Event(SPIKE.time + 120, "resolved", "operator", it, 2))
    desk.round()
    assert "⚪ Closed, not a problem. Errors: 31 % of imports fail" in desk.card
    [said] = [one.blocks[0]["text"]["text"] for one in desk.wall.messages if one.reply_to and one.blocks]
    assert said.startswith("⚪ Closed by `anna`: not a problem.")


def test_a_card_is_edited_once_for_all_that_was_said_meanwhile(desk: Desk) -> None:
    desk.news(SPIKE)
    desk.round()
    desk.say("acknowledge")
    desk.silence(f"incident={ID}", lasts=60)
    assert desk.round() == [f"{ID}:said:1:card"]
    assert "✋" in desk.card
    assert "🔕 Silenced until 06:38 UTC" in desk.card


def test_what_was_open_before_there_was_a_history_is_known_and_left_where_it_is_known(desk: Desk) -> None:
    desk.history.adopt([SPIKE.incident])
    [kept] = desk.history.incidents()
    assert (kept.id, kept.event.time, kept.event.number) == (ID, SPIKE.incident.findings[0].at, 0)
    desk.news(SPIKE)
    desk.history.adopt([SPIKE.incident])
    [kept] = desk.history.incidents()
    assert kept.event.number == 1


def test_however_many_are_open_a_look_reads_again_only_what_is_new(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"{i:012x}" for i in range(150)]
    for which in ids:
        desk.news(replace(SPIKE, incident=replace(SPIKE.incident, id=which)))
    desk.history.refresh(desk.hand.now)
    read: list[object] = []
    real = history.unpack
    monkeypatch.setattr(history, "unpack", lambda kind, text: read.append(kind) or real(kind, text))
    desk.history.refresh(desk.hand.now + 1)
    assert read == []
    desk.store.add_word(Word(ids[7], "acknowledge", "anna", desk.hand.now))
    worse_now = worse(2, "06:40")
    desk.news(replace(worse_now, incident=replace(worse_now.incident, id=ids[3])))
    desk.history.refresh(desk.hand.now + 2)
    assert read.count(Event) <= 2 and read.count(Word) == 1
    shown = {kept.id: kept.shown for kept in desk.history.incidents()}
    assert [which for which, lines in shown.items() if lines] == [ids[7]]
    assert desk.history.incident(ids[3]).event.number == 2  # type: ignore[union-attr]
