"""Nights, digests, reminders and escalation, from an event through a real database to a place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import examples
import pytest
from test_alerts_deliver import Hand, Wall

from alerts.deliver import acknowledge, deliver
from alerts.incidents import Event
from alerts.outbox import SendFailed
from alerts.places import Place
from alerts.receivers import Receiver
from alerts.routes import Route, Step
from stillwatch.config import Settings, Slack
from stillwatch.mailbox import Mailbox
from stillwatch.store import Closing, Store
from stillwatch.telling import Telling

HOOK = Receiver("hook", "webhook", "https://example.com")
MIDNIGHT = examples.MIDNIGHT  # in UTC
HOUR = 3600


class Watch:
    """A store, what tells, a place that keeps what it is told, and a clock wound by hand."""

    def __init__(self, store: Store, *routes: Route) -> None:
        self.store = store
        settings = Settings(slack=Slack("#rest"), receivers=(HOOK,), routes=routes)
        self.telling = Telling(settings, store.told)
        self.wall, self.hand = Wall(), Hand()
        self.mailbox = Mailbox(store)

    def happens(self, event: Event) -> None:
        self.hand.now = max(self.hand.now, event.time)
        self.store.commit(Closing(news=(self.telling.news(event),)), self.store.table())

    def until(self, moment: int, step: int = 60) -> None:
        while self.hand.now <= moment:
            deliver(self.mailbox, Place(self.wall, 0), self.hand)
            self.hand.now += step
        self.hand.now = moment

    def told_at(self, channel: str) -> int:
        """How often this channel was told of something."""
        return sum(message.channel == channel for message in self.wall.messages)


class Wakeful(Mailbox):
    """Somebody looks at everything since this moment."""

    since = 0

    def acknowledged(self, incident: str) -> int:
        return self.since


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "s.db")
    yield made
    made.close()


def event(severity: Any, moment: int, number: int = 1, **changes: Any) -> Event:
    """Of one incident, with no pictures; words begin with the severity's circle."""
    base = examples.error_spike()
    findings = tuple(replace(f, trace=None) for f in base.incident.findings)
    incident = replace(base.incident, severity=severity, findings=findings)
    return replace(base, time=moment, number=number, incident=incident, **changes)


def worse(severity: Any, moment: int, number: int = 2) -> Event:
    return event(severity, moment, number, event="updated", reason="worse", rose=True)


def over(severity: Any, moment: int, number: int = 3) -> Event:
    return event(severity, moment, number, event="resolved", reason="recovered")


def marks(watch: Watch) -> str:
    """The first character of everything that was said."""
    return "".join(text[0] for text in watch.wall.sent)


NIGHT = Route("#a", quiet=(22 * 60, 7 * 60))


def test_a_warning_of_the_night_is_told_in_the_morning_once_as_it_stands_then(store: Store) -> None:
    watch = Watch(store, NIGHT)
    watch.happens(event("warning", MIDNIGHT + HOUR))
    watch.happens(over("warning", MIDNIGHT + 2 * HOUR))
    watch.until(MIDNIGHT + 7 * HOUR - 60)
    assert marks(watch) == ""
    watch.until(MIDNIGHT + 7 * HOUR + 60)
    assert marks(watch) == "🟢"
    assert watch.mailbox.waiting() == []


def test_what_becomes_critical_at_night_is_told_at_once(store: Store) -> None:
    watch = Watch(store, NIGHT)
    watch.happens(event("warning", MIDNIGHT + HOUR))
    watch.until(MIDNIGHT + 2 * HOUR)
    watch.happens(worse("critical", MIDNIGHT + 2 * HOUR))
    watch.until(MIDNIGHT + 2 * HOUR + 60)
    assert marks(watch) == "🔴"
    assert watch.mailbox.waiting() == []


def test_news_of_the_night_does_not_hold_up_what_became_critical_after_it(store: Store) -> None:
    watch = Watch(store, NIGHT)
    watch.happens(event("warning", MIDNIGHT - 3 * HOUR))
    watch.until(MIDNIGHT)
    watch.happens(event("warning", MIDNIGHT, 2, event="updated", reason="grew"))
    watch.until(MIDNIGHT + HOUR)
    assert marks(watch) == "🟠"
    watch.happens(worse("critical", MIDNIGHT + HOUR, 3))
    watch.until(MIDNIGHT + HOUR + 60)
    assert marks(watch) == "🟠🔴🔴", "the card is edited, and a reply says what changed"
    assert watch.mailbox.waiting() == []


ESCALATING = Route("#a", escalate=(Step(HOOK.address, 900), Step("#boss", 1800)))


def calm(moment: int, number: int) -> Event:
    made = event("critical", moment, number, event="updated", reason="recovering")
    findings = tuple(replace(f, phase="cleared") for f in made.incident.findings)
    return replace(made, incident=replace(made.incident, findings=findings))


def test_nobody_is_woken_by_escalation_for_what_is_as_before_but_at_once_when_it_is_back(
    store: Store,
) -> None:
    watch = Watch(store, ESCALATING)
    watch.happens(event("critical", MIDNIGHT))
    watch.until(MIDNIGHT + 5 * 60)
    watch.happens(calm(MIDNIGHT + 6 * 60, 2))
    watch.until(MIDNIGHT + 25 * 60)
    assert watch.told_at(HOOK.address) == 0
    back = event("critical", MIDNIGHT + 26 * 60, 3, event="updated", reason="worse", back=True)
    watch.happens(back)
    watch.until(MIDNIGHT + 27 * 60)
    assert watch.told_at(HOOK.address) == 1
    watch.happens(calm(MIDNIGHT + 28 * 60, 4))
    watch.happens(over("critical", MIDNIGHT + 50 * 60, 5))
    watch.until(MIDNIGHT + 60 * 60)
    assert watch.told_at("#boss") == 0 and watch.mailbox.waiting() == []


def test_what_comes_back_is_said_aloud_and_at_once_as_a_new_fault_would(store: Store) -> None:
    watch = Watch(store, Route("#a", interval=3600))
    watch.happens(event("critical", MIDNIGHT))
    watch.until(MIDNIGHT + 60)
    for number, (minutes, back) in enumerate(((20, True), (30, False)), 2):
        at = MIDNIGHT + minutes * 60
        watch.happens(event("critical", at, number, event="updated", reason="worse", back=back))
        watch.until(at + 60)
    aloud = [message for message in watch.wall.messages if message.broadcast]
    assert [message.key.rpartition(":")[2] for message in aloud] == ["2"]


def test_what_nobody_looks_at_goes_to_the_next_and_from_there_to_the_next(store: Store) -> None:
    watch = Watch(store, ESCALATING)
    watch.happens(event("critical", MIDNIGHT))
    heard = []
    for minutes in (0, 14, 15, 29, 30, 31):
        watch.until(MIDNIGHT + minutes * 60)
        heard.append(len(watch.wall.sent))
    assert heard == [1, 1, 2, 2, 3, 3]
    watch.happens(over("critical", MIDNIGHT + HOUR, 2))
    watch.until(MIDNIGHT + HOUR + 60)
    assert marks(watch) == "🔴🔴🔴🟢🟢🟢🟢🟢", "whoever heard of it hears at once that it is over"
    assert watch.mailbox.waiting() == []


@pytest.mark.parametrize("how", ["acknowledged", "over"])
def test_what_somebody_looks_at_or_what_is_over_goes_no_further(store: Store, how: str) -> None:
    watch = Watch(store, ESCALATING)
    watch.happens(event("critical", MIDNIGHT))
    watch.until(MIDNIGHT + 600)
    if how == "over":
        watch.happens(over("critical", MIDNIGHT + 600, 2))
    else:
        watch.mailbox = Wakeful(store)
        watch.mailbox.since = MIDNIGHT + 600  # type: ignore[attr-defined]
        watch.happens(worse("critical", MIDNIGHT + 700))
    watch.until(MIDNIGHT + 2 * HOUR)
    watch.happens(over("critical", MIDNIGHT + 2 * HOUR))
    watch.until(MIDNIGHT + 2 * HOUR + 60)
    assert watch.told_at(HOOK.address) == watch.told_at("#boss") == 0
    assert watch.mailbox.waiting() == []


def test_news_before_the_next_target_is_due_does_not_bring_it_forward(store: Store) -> None:
    watch = Watch(store, ESCALATING)
    watch.happens(event("critical", MIDNIGHT))
    watch.happens(worse("critical", MIDNIGHT + 300))
    watch.until(MIDNIGHT + 899)
    assert watch.told_at(HOOK.address) == 0
    watch.until(MIDNIGHT + 960)
    assert watch.told_at(HOOK.address) == 1


def test_it_is_told_again_while_it_is_open_and_nobody_looks(store: Store) -> None:
    watch = Watch(store, Route("#a", repeat=1800))
    watch.happens(event("critical", MIDNIGHT))
    watch.until(MIDNIGHT + 2 * HOUR)
    assert [text.startswith("🔴 Still open") for text in watch.wall.sent] == [False, True, True, True, True]
    watch.happens(over("critical", MIDNIGHT + 2 * HOUR + 60, 2))
    watch.until(MIDNIGHT + 5 * HOUR)
    assert marks(watch) == "🔴🔴🔴🔴🔴🟢🟢"
    assert watch.mailbox.waiting() == []


def test_whoever_looks_at_it_is_not_reminded(store: Store) -> None:
    watch = Watch(store, Route("#a", repeat=1800))
    watch.happens(event("critical", MIDNIGHT))
    watch.until(MIDNIGHT + HOUR)
    watch.mailbox = Wakeful(store)
    watch.mailbox.since = MIDNIGHT + HOUR  # type: ignore[attr-defined]
    watch.until(MIDNIGHT + 4 * HOUR)
    assert marks(watch) == "🔴🔴🔴"


def test_after_an_outage_there_is_one_reminder_not_all_that_were_missed(store: Store) -> None:
    watch = Watch(store, Route("#a", repeat=1800))
    watch.happens(event("critical", MIDNIGHT))
    watch.until(MIDNIGHT + 60)
    watch.wall.failures["#a"] = [SendFailed("away", "refused", 5 * HOUR)]
    watch.until(MIDNIGHT + 5 * HOUR + 1700)
    assert marks(watch) == "🔴"
    watch.until(MIDNIGHT + 6 * HOUR - 120)
    assert marks(watch) == "🔴🔴"


def test_a_hook_is_reminded_in_its_own_fields(store: Store) -> None:
    watch = Watch(store, Route(HOOK.address, repeat=1800))
    watch.happens(event("critical", MIDNIGHT))
    watch.until(MIDNIGHT + 1860)
    assert watch.wall.sent[1].startswith("Still open: 🔴 Errors: 31 %")


def of(name: str, severity: Any, moment: int, number: int = 1, **changes: Any) -> Event:
    one = event(severity, moment, number, **changes)
    return replace(one, incident=replace(one.incident, id=name))


DIGEST = Route("#a", digest=8 * 60)


def test_what_was_only_info_comes_in_one_message_a_day(store: Store) -> None:
    watch = Watch(store, DIGEST)
    for i in range(3):
        watch.happens(of(f"i{i}", "info", MIDNIGHT + i * HOUR))
    watch.happens(of("i1", "info", MIDNIGHT + 5 * HOUR, 2, event="resolved", reason="recovered"))
    watch.until(MIDNIGHT + 8 * HOUR - 60)
    assert watch.wall.sent == []
    watch.until(MIDNIGHT + 9 * HOUR)
    assert watch.wall.sent == ["Digest: 3 things that were not worth a page"]
    assert watch.mailbox.waiting() == []
    (digest,) = [m for m in watch.wall.messages if m.key.startswith("digest:")]
    said = digest.blocks[1]["text"]["text"].split("\n")
    assert [line[0] for line in said] == ["🔵", "🟢", "🔵"]


def test_what_becomes_worse_before_or_after_its_digest_is_told_at_once(store: Store) -> None:
    watch = Watch(store, DIGEST)
    for name in ("before", "after"):
        watch.happens(of(name, "info", MIDNIGHT))
    watch.happens(of("before", "critical", MIDNIGHT + HOUR, 2, event="updated", reason="worse", rose=True))
    watch.until(MIDNIGHT + 2 * HOUR)
    assert marks(watch) == "🔴"
    watch.until(MIDNIGHT + 9 * HOUR)
    assert watch.wall.sent[1:] == ["Digest: 1 thing that were not worth a page".replace("were", "was")]
    watch.happens(
        of("after", "critical", MIDNIGHT + 10 * HOUR, 2, event="updated", reason="worse", rose=True)
    )
    watch.until(MIDNIGHT + 10 * HOUR + 60)
    assert marks(watch) == "🔴D🔴🔴"
    watch.happens(of("after", "critical", MIDNIGHT + 11 * HOUR, 3, event="resolved", reason="recovered"))
    watch.until(MIDNIGHT + 11 * HOUR + 60)
    assert marks(watch) == "🔴D🔴🔴🟢🟢"
    assert watch.wall.calls[-2][1] is not None, "what was posted after the digest is the card that is edited"
    assert watch.mailbox.waiting() == []


def test_a_digest_is_told_once_though_we_die_while_it_is_made(store: Store) -> None:
    watch = Watch(store, DIGEST)
    for i in range(2):
        watch.happens(of(f"i{i}", "info", MIDNIGHT))

    class Dies(Exception):
        """The process ends here."""

    class Dying(Mailbox):
        def record(self, delivery: Any, *, lane: str = "", pause: int = 0) -> None:
            raise Dies

    watch.hand.now = MIDNIGHT + 9 * HOUR
    with pytest.raises(Dies):
        deliver(Dying(store), Place(watch.wall, 0), watch.hand)
    watch.until(MIDNIGHT + 9 * HOUR + 120)
    assert watch.wall.sent == ["Digest: 2 things that were not worth a page"]


def test_what_joins_within_the_wait_is_told_with_it(store: Store) -> None:
    watch = Watch(store, Route("#a", wait=60))
    watch.happens(event("warning", MIDNIGHT))
    watch.until(MIDNIGHT + 30, 10)
    watch.happens(event("warning", MIDNIGHT + 30, 2, event="updated", reason="grew"))
    watch.until(MIDNIGHT + 120, 10)
    assert len(watch.wall.sent) == 1
    assert watch.mailbox.waiting() == []


def test_a_pager_hears_once_that_somebody_looks_at_it(store: Store) -> None:
    watch = Watch(store, Route(HOOK.address))
    watch.happens(event("critical", MIDNIGHT))
    watch.until(MIDNIGHT + 60)
    assert acknowledge(watch.mailbox, HOOK.address, watch.hand.now) == 0
    seen = Wakeful(store)
    seen.since = MIDNIGHT + 90
    for _ in range(3):
        acknowledge(seen, HOOK.address, watch.hand.now)
        watch.until(watch.hand.now + 60)
    _, acknowledged = watch.wall.messages
    assert acknowledged.notice is not None
    assert (acknowledged.notice.event, acknowledged.notice.acknowledged) == ("updated", MIDNIGHT + 90)
    watch.happens(over("critical", MIDNIGHT + HOUR, 2))
    watch.until(MIDNIGHT + HOUR + 60)
    assert acknowledge(seen, HOOK.address, watch.hand.now) == 0
    assert len(watch.wall.messages) == 3


def test_what_waits_for_a_digest_wakes_nobody_the_day_after_unless_it_becomes_worse(store: Store) -> None:
    watch = Watch(store, Route("#a", digest=8 * 60, escalate=(Step("#boss", 900),)))
    watch.happens(event("info", MIDNIGHT))
    watch.until(MIDNIGHT + 10 * HOUR)
    assert watch.told_at("#boss") == 0
    watch.happens(worse("warning", MIDNIGHT + 10 * HOUR))
    watch.until(MIDNIGHT + 10 * HOUR + 960)
    assert watch.told_at("#boss") == 1
