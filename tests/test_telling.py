"""Who heard how it began hears how it ends, whatever routes say meanwhile; words fit the place."""

from __future__ import annotations

from dataclasses import replace

import examples

from alerts.incidents import Event
from alerts.receivers import Receiver
from alerts.routes import Route, Step
from stillwatch.backtest import worded
from stillwatch.config import Settings, Slack
from stillwatch.telling import Telling

HOOK = Receiver("hook", "webhook", "https://example.com")
SETTINGS = Settings(
    slack=Slack("#rest"),
    receivers=(HOOK,),
    routes=(Route(HOOK.address, severity=("critical",)), Route("#warn", severity=("warning",))),
)


def steps() -> tuple[Event, Event, Event]:
    """It opens as a warning, becomes critical, and is over."""
    event = examples.error_spike()
    warning = replace(event, incident=replace(event.incident, severity="warning"))
    worse = replace(event, event="updated", reason="worse", number=2, rose=True)
    over = replace(event, event="resolved", reason="recovered", number=3)
    return warning, worse, over


def heard(telling: Telling, event: Event) -> dict[str, list[str]]:
    """For each channel, the keys of what is said there, edits in brackets."""
    found: dict[str, list[str]] = {}
    for message in telling.news(event).messages:
        key = message.key.removeprefix(event.incident.id)
        found.setdefault(message.channel, []).append(f"({key})" if message.replaces else key)
    return found


def test_who_heard_how_it_began_hears_how_it_ends_and_who_hears_later_gets_it_whole() -> None:
    telling = Telling(SETTINGS, lambda incident: ())
    opened, worse, over = steps()
    assert heard(telling, opened) == {"#warn": ["", ":1:chart"]}
    assert heard(telling, worse) == {HOOK.address: [""], "#warn": ["(:2:card)", ":2"]}
    assert heard(telling, over) == {HOOK.address: ["(:3)"], "#warn": ["(:3:card)", ":3", ":3:chart"]}


def test_after_a_restart_the_store_knows_who_heard() -> None:
    opened, worse, over = steps()
    known = Telling(SETTINGS, lambda incident: {"#warn"} if incident == opened.incident.id else ())
    assert set(heard(known, worse)) == {HOOK.address, "#warn"}
    assert heard(known, over)["#warn"][0] == "(:3:card)"


def test_the_same_event_judged_again_has_the_same_messages() -> None:
    """A step that raised is taken again before anything of it was kept."""
    telling = Telling(SETTINGS, lambda incident: ())
    opened, worse, _ = steps()
    once = [telling.news(one) for one in (opened, worse)]
    assert [telling.news(one) for one in (opened, worse)] == once


def test_an_incident_that_another_one_follows_is_not_remembered() -> None:
    telling = Telling(SETTINGS, lambda incident: ())
    for event in steps():
        telling.news(event)
    assert telling._fresh == {}


def test_places_without_blocks_get_fields_and_slack_gets_blocks() -> None:
    telling = Telling(SETTINGS, lambda incident: ())
    _, worse, _ = steps()
    (hook,) = [m for m in telling.news(worse).messages if m.channel == HOOK.address]
    assert hook.notice is not None
    assert not hook.blocks
    assert all(m.notice is None for m in telling.news(steps()[0]).messages)


def test_who_never_heard_of_it_is_not_told_that_it_is_over() -> None:
    opened, _, over = steps()
    known = Telling(SETTINGS, lambda incident: {"#warn"})
    assert set(heard(known, over)) == {"#warn"}
    assert opened.incident.id == over.incident.id
    nobody = Telling(SETTINGS, lambda incident: ())
    assert set(heard(nobody, over)) == {HOOK.address}, "rather that than nothing at all"


def test_a_replay_has_the_messages_of_the_daemon_but_those_that_depend_on_people() -> None:
    next_one = Route(HOOK.address, severity=("critical",), repeat=600, escalate=(Step("#boss", 900),))
    settings = replace(SETTINGS, routes=(next_one, *SETTINGS.routes[1:]))
    telling = Telling(settings, lambda incident: ())
    live = [message for event in steps() for message in telling.news(event).messages]
    assert {message.hold for message in live} == {"", "to escalate", "to repeat"}
    said = [(one.channel, one.key, one.text) for one in worded(steps(), settings)]
    assert said == [(one.channel, one.key, one.text) for one in live if not one.hold]
