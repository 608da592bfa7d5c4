"""Where timing, receivers, silences and words meet: each says when the other may speak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import examples
import pytest
from test_alerts_deliver import Hand

from alerts.deliver import acknowledge, deliver
from alerts.incidents import Event
from alerts.messages import Message
from alerts.outbox import Receipt, SendFailed
from alerts.places import Place
from alerts.receivers import Receiver, notice_of
from alerts.routes import Route, Step
from alerts.silences import Silence, matcher
from collector.bins import SeriesTable
from collector.words import Word, WordKind
from stillwatch.config import Settings, Slack
from stillwatch.history import History
from stillwatch.mailbox import Mailbox
from stillwatch.store import Closing, Store
from stillwatch.telling import Telling

HOOK = Receiver("hook", "webhook", "https://example.com")
PAGER = Receiver("night", "pagerduty", secret="k")
OPENED = examples.at("06:37")
SPIKE = examples.error_spike()
ID = SPIKE.incident.id


class Ear:
    """A place that notes (key, event or text) of what it takes; fields are needed where `fields` is set."""

    def __init__(self, fields: bool) -> None:
        self.heard: list[tuple[str, str]] = []
        self.fields = fields
        self.fails: SendFailed | None = None

    def send(self, message: Message, *, edits: Receipt | None = None, **_: object) -> Receipt:
        if self.fails is not None:
            raise self.fails
        what = notice_of(message).event if self.fields else message.text
        key = f"({message.key})" if edits is not None else message.key
        self.heard.append((key.replace(ID, "*"), what))
        return edits or Receipt(message.channel, message.key)


class Office:
    """A database, the places of `routes`, and a clock wound by hand."""

    def __init__(self, path: Path, routes: Sequence[Route]) -> None:
        self.settings = Settings(slack=Slack("#rest"), receivers=(HOOK, PAGER), routes=tuple(routes))
        self.path, self.hand = path, Hand()
        self.hand.now = OPENED
        self.slack, self.hook, self.pager = Ear(False), Ear(True), Ear(True)
        self.start()

    def start(self) -> None:
        self.store = Store(self.path)
        hold = Telling(self.settings, self.store.told).hold
        self.history = History(self.store, hold=hold)
        self.telling = Telling(self.settings, self.store.told, self.history)

    def news(self, event: Event) -> None:
        self.hand.now = max(self.hand.now, event.time)
        self.store.commit(Closing(news=(self.telling.news(event),)), SeriesTable())

    def silence(self, *matchers: str, lasts: int) -> None:
        now = self.hand.now
        self.history.silence(Silence(f"s{now}", tuple(map(matcher, matchers)), now, now + lasts, "anna", "x"))

    def say(self, kind: WordKind, **more: str) -> None:
        self.store.add_word(Word(ID, kind, "anna", self.hand.now, **more))

    def round(self, later: int = 1) -> dict[str, list[str]]:
        """What each place took, `later` seconds after the last time; receivers come first, as they may."""
        self.hand.now += later
        ears = {HOOK.address: self.hook, PAGER.address: self.pager, "#": self.slack}
        before = {name: len(ear.heard) for name, ear in ears.items()}
        mailbox = Mailbox(self.store, self.history)
        for _ in range(4):
            for name in (HOOK.address, PAGER.address):
                deliver(mailbox, Place(ears[name], 0), self.hand, name.__eq__)
            self.history.refresh(self.hand.now)
            deliver(mailbox, Place(self.slack, 0), self.hand, lambda channel: ":" not in channel)
            acknowledge(mailbox, PAGER.address, self.hand.now)
            self.hand.now += 1
        found = {
            name: [f"{key} {what}" for key, what in ear.heard[before[name] :]] for name, ear in ears.items()
        }
        return {name: told for name, told in found.items() if told}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


def warning(event: Event = SPIKE) -> Event:
    return replace(event, incident=replace(event.incident, severity="warning"))


def info(event: Event = SPIKE) -> Event:
    return replace(event, incident=replace(event.incident, severity="info"))


def worse(clock: str, number: int = 2) -> Event:
    """It has become critical."""
    return replace(SPIKE, time=examples.at(clock), event="updated", reason="worse", number=number, rose=True)


def joined(clock: str, number: int = 2) -> Event:
    return replace(warning(), time=examples.at(clock), event="updated", reason="worse", number=number)


def over(clock: str, number: int) -> Event:
    at = examples.at(clock)
    it = examples.incident((replace(examples.imports_over(), at=at),))
    return Event(at, "resolved", "recovered", replace(it, resolved=at), number)


def test_a_receiver_hears_of_what_was_silenced_when_the_silence_ends(path: Path) -> None:
    office = Office(path, [Route(HOOK.address, go_on=True), Route("#a")])
    office.silence("service=contact-importer", lasts=600)
    office.news(SPIKE)
    assert office.round() == {}
    told = office.round(600)
    assert told[HOOK.address] == ["* opened"]
    assert told["#"][0].startswith("* ")


def test_a_remark_takes_no_news_away_from_a_receiver(path: Path) -> None:
    office = Office(path, [Route(HOOK.address)])
    office.news(warning())
    office.round()
    office.hook.fails = SendFailed("down", "refused")
    office.news(worse("06:40"))
    office.round()
    office.say("acknowledge")
    office.round()
    office.hook.fails = None
    assert office.round(60) == {HOOK.address: ["(*:2) updated"]}


def test_a_remark_takes_nothing_from_a_card_that_a_receiver_has_not_taken(path: Path) -> None:
    office = Office(path, [Route(HOOK.address)])
    office.hook.fails = SendFailed("down", "refused")
    office.news(warning())
    office.round()
    office.say("acknowledge")
    office.round()
    office.hook.fails = None
    assert office.round(60) == {HOOK.address: ["* opened"]}


@pytest.mark.parametrize("word", ["acknowledge", "not this deployment"])
def test_a_remark_does_not_break_quiet_hours(path: Path, word: WordKind) -> None:
    office = Office(path, [Route("#a", quiet=(0, 12 * 60))])
    office.news(warning())
    office.say(word, deployment="x" if word != "acknowledge" else "")
    assert office.round() == {}
    [(key, *_)] = [office.round(6 * 3600)["#"][:1]]
    assert key.startswith("* ")


def test_a_remark_does_not_post_what_waits_for_the_digest(path: Path) -> None:
    office = Office(path, [Route("#a", digest=12 * 60)])
    office.news(info())
    office.say("acknowledge")
    assert office.round() == {}
    told = office.round(6 * 3600)["#"]
    assert [line.split()[0] for line in told] == ["digest:" + told[0].split()[0].split(":")[1]]
    office.say("not this deployment", deployment="x")
    assert office.round() == {}, "the channel has no card of it"


def test_a_remark_escalates_nothing(path: Path) -> None:
    steps = (Step(PAGER.address, 900), Step("#boss", 900))
    office = Office(path, [Route("#a", escalate=steps)])
    office.news(SPIKE)
    office.round()
    office.say("not this deployment", deployment="x")
    told = office.round()
    assert list(told) == ["#"]
    assert len(told["#"]) == 1
    told = office.round(900)
    assert told[PAGER.address] == ["* opened"]


def test_when_a_silence_ends_at_night_what_can_wait_waits(path: Path) -> None:
    office = Office(path, [Route("#a", quiet=(7 * 60, 12 * 60))])
    office.news(warning())
    assert office.round()
    office.silence("service=contact-importer", lasts=1800)
    office.round()
    told = office.round(1800).get("#", [])  # 07:07
    assert [line for line in told if "Silenced until now" in line] == []
    told = office.round(5 * 3600)["#"]
    assert [line for line in told if "Silenced until now" in line] != []


def test_what_was_silenced_before_the_night_is_not_told_in_it(path: Path) -> None:
    office = Office(
        path, [Route("#a", quiet=(7 * 60, 12 * 60), go_on=True), Route(HOOK.address, quiet=(420, 720))]
    )
    office.silence("service=contact-importer", lasts=1800)
    office.news(warning())
    office.news(joined("06:50"))
    office.round()
    assert office.round(1800) == {}, "it is 07:07"
    assert set(office.round(5 * 3600)) == {"#", HOOK.address}


def test_two_that_look_at_once_say_it_once(path: Path) -> None:
    office = Office(path, [Route("#a")])
    office.news(SPIKE)
    office.round()
    office.say("acknowledge")
    [kept] = office.history.incidents()
    for _ in range(2):
        office.history._show(kept, ("x",), False, office.hand.now)
    assert office.history.incidents()[0].edits == 1


def test_when_a_silence_ends_somebody_has_time_to_look_before_others_are_woken(path: Path) -> None:
    steps = (Step(PAGER.address, 900),)
    office = Office(path, [Route("#a", repeat=1800, escalate=steps)])
    office.silence("service=contact-importer", lasts=3600)
    office.news(SPIKE)
    office.round()
    told = office.round(3600)
    assert list(told) == ["#"]
    assert not [line for line in told["#"] if "Still open" in line]
    assert office.round(920) == {PAGER.address: ["* opened"]}
    assert "Still open" in office.round(1000)["#"][0]


def test_an_acknowledgement_ends_reminders_and_escalation_also_while_silenced(path: Path) -> None:
    office = Office(path, [Route("#a", repeat=1800, escalate=(Step(PAGER.address, 900),))])
    office.silence("service=contact-importer", lasts=3600)
    office.news(SPIKE)
    office.round()
    office.say("acknowledge")
    told = office.round(3600)
    assert list(told) == ["#"]
    assert office.round(9000) == {}


def test_a_receiver_takes_a_digest_and_what_follows(path: Path) -> None:
    office = Office(path, [Route(HOOK.address, digest=400)])
    office.news(info())
    [named] = office.round(300)[HOOK.address]
    assert named.endswith(" digest")
    office.say("acknowledge")
    office.silence("service=contact-importer", lasts=100)
    assert office.round(200) == {}
    office.news(worse("06:50"))
    assert office.round() == {HOOK.address: ["*:2 updated"]}


def test_a_digest_names_nothing_that_is_silenced_and_the_next_one_does(path: Path) -> None:
    office = Office(path, [Route("#a", digest=12 * 60)])
    office.silence("service=contact-importer", lasts=7 * 3600)
    office.news(info())
    assert office.round(6 * 3600) == {}
    told = office.round(86400)["#"]
    assert "Digest" in told[0]


def test_a_receiver_is_left_alone_while_it_is_silenced_and_hears_afterwards(path: Path) -> None:
    office = Office(path, [Route(HOOK.address)])
    office.news(warning())
    office.round()
    office.silence("service=contact-importer", lasts=1800)
    office.news(joined("06:50"))
    assert office.round() == {}
    assert [one.split()[-1] for one in office.round(1800)[HOOK.address]] == ["updated"]
    assert office.round(60) == {}


def test_a_receiver_hears_the_end_of_what_it_knew_also_while_silenced(path: Path) -> None:
    office = Office(path, [Route(HOOK.address, go_on=True), Route(PAGER.address)])
    office.news(SPIKE)
    office.round()
    office.silence("service=contact-importer", lasts=3600)
    office.news(over("06:50", 2))
    assert office.round() == {HOOK.address: ["(*:2) resolved"], PAGER.address: ["(*:2) resolved"]}


def test_a_pager_hears_of_an_acknowledgement_once(path: Path) -> None:
    office = Office(path, [Route(PAGER.address)])
    office.news(SPIKE)
    office.round()
    office.say("acknowledge")
    assert office.round() == {PAGER.address: ["(*:acknowledged) updated"]}
    office.news(worse("06:50"))
    assert office.round() == {PAGER.address: ["(*:2) updated"]}


def test_a_pager_that_may_have_taken_it_hears_the_end_of_what_was_silenced_meanwhile(path: Path) -> None:
    """Its answer was lost: whether it rings, nobody knows."""
    office = Office(path, [Route(PAGER.address)])
    office.pager.fails = SendFailed("no answer", "unknown")
    office.news(SPIKE)
    office.round()
    office.pager.fails = None
    office.silence("service=contact-importer", lasts=7200)
    assert office.round(60) == {}
    office.news(over("06:50", 2))
    assert office.round(60)[PAGER.address] == ["*:2 resolved"]
    assert office.round(3600) == {}


def test_a_pager_that_never_took_it_hears_nothing_of_what_was_silenced(path: Path) -> None:
    office = Office(path, [Route(PAGER.address)])
    office.pager.fails = SendFailed("not now", "refused")
    office.news(SPIKE)
    office.round()
    office.pager.fails = None
    office.silence("service=contact-importer", lasts=7200)
    office.news(over("06:50", 2))
    assert office.round(60) == {}
