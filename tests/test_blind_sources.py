"""Blind to a source as a whole: one message for it, none for each series, and one when it answers again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_asking import Shop
from test_live import GRACE, T0, W, delta

from alerts.deliver import deliver
from alerts.messages import Message
from alerts.outbox import Receipt
from alerts.places import Place
from alerts.silences import LONGEST, Matcher, Silence, check_matcher, mutes_labels
from collector.asked import SourceFailed
from collector.bins import SeriesKey
from stillwatch import config
from stillwatch.asking import Asker
from stillwatch.blind_sources import AFTER, BlindSources, _matchers
from stillwatch.daemon import judgement
from stillwatch.history import History
from stillwatch.live import Live
from stillwatch.mailbox import Mailbox
from stillwatch.store import Store

SERVICES = ("opens", "clicks", "imports")
SETTINGS = config.parse(
    "slack: {channel: C0ALERTS}\nservices:\n"
    + "".join(f"  {one}: {{signals: {{done: {{kind: throughput, count: done}}}}}}\n" for one in SERVICES),
    "s.yaml",
    None,
)
DOWN = SourceFailed("connection refused <!channel>")


class Company:
    """Three services that count, a source that is asked for them, and what the channel hears."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "s.db")
        self.shop = Shop()
        self.keys = [SeriesKey(one, "done") for one in SERVICES]
        self.shop.keys = self.keys
        self.dead: set[str] = set()
        self.now = T0
        self.said: list[Message] = []
        self.is_down = False
        self.start()

    def start(self) -> None:
        self.history = History(self.store)
        told = judgement(SETTINGS, self.store, self.history)
        self.live = Live(self.store, told, W, GRACE, self.now, silent=120)
        self.asker = Asker(self.shop, self.live, lambda: self.now, threading.Event())
        self.blind = BlindSources([self.asker], self.store, self.history, "C0ALERTS", W, lambda: self.now)

    def send(self, message: Message, **_: object) -> Receipt:
        self.said.append(message)
        return Receipt("C", str(len(self.said)))

    @property
    def posts(self) -> list[Message]:
        """What rings: new messages and what is told under them aloud."""
        return [one for one in self.said if not one.replaces and not one.reply_to and one.chart is None]

    def minutes(self, many: int, asked: bool = True, looked: bool = True) -> None:
        for _ in range(many):
            self.now += W
            if asked:
                self.shop.sold += [(self.now - 30 + i, 0) for i in range(20)]
                self.shop.keys = [key for key in self.keys if key.service not in self.dead]
                self.shop.failures = [DOWN] * 3 if self.is_down else []
                self.asker.round()
                if looked:
                    self.blind.look()
            self.live.tick(self.now + GRACE)
            self.history.refresh(self.now + GRACE)
            deliver(Mailbox(self.store, self.history), Place(self, 0), lambda: self.now + GRACE)


@pytest.fixture
def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Company]:
    monkeypatch.setattr("stillwatch.asking.SOONEST", 0.0)
    monkeypatch.setattr("stillwatch.asking.LATEST", 0.0)
    it = Company(tmp_path)
    yield it
    it.store.close()


@pytest.mark.slow
def test_a_source_that_fails_for_long_is_one_message_and_so_is_its_return(company: Company) -> None:
    company.minutes(60)
    assert company.said == []
    company.is_down = True
    company.minutes(AFTER)
    assert company.said == []  # a restart takes a while
    company.minutes(30)
    (blind,) = company.posts
    assert blind.text == (
        "Stillwatch is blind since 06:21 UTC to what source shop counts: it does not answer "
        f"({blind.text.partition('answer (')[2].partition(')')[0]}). "
        "What is missing of its services is not told one by one; Stillwatch goes on asking."
    )
    assert "<!channel>" not in blind.text
    assert blind.notice is not None
    assert blind.notice.title == "Stillwatch is blind since 06:21 UTC to what source shop counts"
    company.is_down = False
    company.minutes(30)
    assert company.posts == [blind]
    (over,) = (one for one in company.said if one.reply_to == blind.key)
    assert over.text.startswith("Source shop answers again (it was silent since 06:21 UTC)")


def test_it_keeps_back_what_would_have_been_told_of_its_services(company: Company) -> None:
    company.minutes(60, looked=False)
    company.is_down = True
    company.minutes(30, looked=False)
    assert ["No data" in one.text for one in company.posts] == [True]


def test_whoever_is_still_silent_when_the_source_answers_is_told_of(company: Company) -> None:
    company.minutes(60)
    company.is_down = True
    company.minutes(20)
    company.is_down, company.dead = False, {"imports"}
    company.minutes(10)
    first, second = company.posts
    assert first.text.startswith("Stillwatch is blind")
    assert "imports" in second.text
    assert "clicks" not in second.text


def test_a_restart_while_it_is_silent_says_nothing_twice(company: Company) -> None:
    company.minutes(60)
    company.is_down = True
    company.minutes(10)
    company.live.stop()
    company.start()
    company.blind.look()  # before it was asked
    company.minutes(10)
    company.is_down = False
    company.minutes(20)
    assert len(company.posts) == 1
    assert len([one for one in company.said if one.key.endswith(":over")]) == 1
    company.is_down = True
    company.minutes(10)
    assert len(company.posts) == 2  # another time is another message


def test_a_source_that_lets_us_wait_is_silent_as_well(company: Company) -> None:
    company.minutes(60)
    company.asker._began = company.now  # as while it is asked
    for _ in range(10):
        company.now += W
        company.blind.look()
    assert [one.incident for one in Mailbox(company.store).waiting()] == [""]


def test_a_source_that_is_not_asked_any_more_silences_nothing(company: Company) -> None:
    company.minutes(60)
    company.is_down = True
    company.minutes(10)
    assert company.history.silences(company.now)
    BlindSources([], company.store, company.history, "C0ALERTS", W, lambda: company.now).look()
    assert company.history.silences(company.now) == []


def test_without_that_there_is_one_card_for_all_who_are_silent_together(company: Company) -> None:
    """Who sends by itself: the network or a collector is gone."""
    for minute in range(60):
        for key in company.keys:
            company.live.readings(delta(company.now + 30, 20.0 + minute % 3, key), company.now + 30)
        company.minutes(1, asked=False)
    company.minutes(30, asked=False)
    (card,) = company.posts
    assert "No data" in card.text


@given(st.lists(st.text(min_size=1, max_size=60), max_size=200, unique=True))
def test_each_service_is_named_in_matchers_that_may_be_written(services: list[str]) -> None:
    found = list(_matchers(services))
    for kind, service in found:
        assert kind == Matcher("kind", "=", "no_data")
        check_matcher(service)
        assert len(service.value) <= LONGEST
    for name in services:
        mutes = [Silence("i", of, 0, 1, "a") for of in found]
        assert any(mutes_labels(one, {"kind": "no_data", "service": name}) for one in mutes)
        assert not any(mutes_labels(one, {"kind": "no_data", "service": name + "!"}) for one in mutes) or (
            name + "!" in services
        )
        assert not any(mutes_labels(one, {"kind": "data_loss", "service": name}) for one in mutes)
