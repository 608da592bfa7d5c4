"""When something is told: laws over all moments and zones, and what the words in the settings mean."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import examples
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.incidents import Event
from alerts.messages import Message
from alerts.routes import Route
from alerts.timing import escalation, following, hold, is_quiet, next_time

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
MOMENTS = st.integers(1_640_000_000, 1_900_000_000)
MINUTES = st.integers(0, 1439)
NIGHT = Route("#a", quiet=(22 * 60, 7 * 60))
CRITICAL = examples.error_spike()


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp())


def event(severity: Any, moment: str, **changes: Any) -> Event:
    incident = replace(CRITICAL.incident, severity=severity, opened=at(moment))
    return replace(CRITICAL, time=at(moment), incident=incident, **changes)


@given(MINUTES, MOMENTS, ZONES)
def test_the_next_time_is_later_within_two_days_and_is_what_clocks_show(
    minute: int, after: int, zone: str
) -> None:
    found = next_time(minute, after, ZoneInfo(zone))
    assert after < found <= after + 2 * 86400 + 3600
    local = datetime.fromtimestamp(found, ZoneInfo(zone))
    exists = local.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    if local.hour * 60 + local.minute != minute:  # clocks jumped over it
        assert abs(local.hour * 60 + local.minute - minute) <= 60
    assert exists == local.replace(tzinfo=None)


@given(MINUTES, MINUTES, MOMENTS, ZONES)
def test_quiet_hours_are_over_at_their_end(begins: int, ends: int, moment: int, zone: str) -> None:
    route = Route("#a", quiet=(begins, ends))
    found = hold(route, replace(CRITICAL, time=moment, incident=warning()), True, ZoneInfo(zone))
    if is_quiet(route, moment, ZoneInfo(zone)):
        assert found[1] == "quiet hours"
        assert moment < found[0] <= moment + (ends - begins) % 1440 * 60 + 3600
    else:
        assert found == (0, "")


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-10-25T00:15Z", "2026-10-25T00:30Z"),  # 02:15, for the first time
        ("2026-10-25T00:45Z", ""),  # 02:45, past the end for the first time
        ("2026-10-25T01:15Z", "2026-10-25T01:30Z"),  # 02:15 again: the end comes again, not a day later
        ("2026-10-25T01:45Z", ""),
    ],
)
def test_a_night_that_ends_in_the_hour_that_comes_twice_ends_in_that_night(now: str, until: str) -> None:
    route = Route("#a", quiet=(22 * 60, 2 * 60 + 30))
    moment = int(datetime.fromisoformat(now).timestamp())
    found, _ = hold(route, replace(CRITICAL, time=moment, incident=warning()), True, BERLIN)
    assert found == (int(datetime.fromisoformat(until).timestamp()) if until else 0)


def warning() -> Any:
    return replace(CRITICAL.incident, severity="warning")


@given(MOMENTS, ZONES, MINUTES, MINUTES)
def test_nothing_critical_is_ever_held_by_the_night_or_for_a_digest(
    moment: int, zone: str, begins: int, ends: int
) -> None:
    route = Route("#a", quiet=(begins, ends), digest=begins)
    assert hold(route, replace(CRITICAL, time=moment), True, ZoneInfo(zone)) == (0, "")


@pytest.mark.parametrize(
    ("severity", "moment", "expected"),
    [
        ("warning", "2026-03-10T23:00", "2026-03-11T07:00"),
        ("warning", "2026-03-11T06:59", "2026-03-11T07:00"),
        ("info", "2026-03-10T22:00", "2026-03-11T07:00"),
        ("warning", "2026-03-28T23:00", "2026-03-29T07:00"),  # clocks go forward in this night
        ("warning", "2026-03-11T07:00", ""),
        ("warning", "2026-03-10T21:59", ""),
        ("critical", "2026-03-10T23:00", ""),
    ],
)
def test_what_can_wait_waits_for_the_morning(severity: str, moment: str, expected: str) -> None:
    found = hold(NIGHT, event(severity, moment), True, BERLIN)
    assert found == ((at(expected), "quiet hours") if expected else (0, ""))


def test_what_is_only_info_waits_for_the_digest_and_the_rest_does_not() -> None:
    route = Route("#a", digest=510)
    assert hold(route, event("info", "2026-03-10T09:00"), True, BERLIN) == (
        at("2026-03-11T08:30"), "for the digest",
    )  # fmt: skip
    assert hold(route, event("warning", "2026-03-10T09:00"), True, BERLIN) == (0, "")


def test_the_first_news_is_grouped_for_a_while_and_later_news_by_intervals_since_it_opened() -> None:
    route = Route("#a", wait=30, interval=300)
    opened = event("warning", "2026-03-10T09:00")
    began = opened.time
    assert hold(route, opened, True, BERLIN) == (began + 30, "grouped")

    def later(seconds: int, **changes: Any) -> tuple[int, str]:
        return hold(route, replace(opened, event="updated", time=began + seconds, **changes), False, BERLIN)

    assert later(60) == later(300) == (began + 300, "grouped")
    assert later(301) == (began + 600, "grouped")
    assert later(60, rose=True) == (0, "")
    assert hold(route, replace(opened, event="resolved", time=began + 60), False, BERLIN) == (0, "")


def test_the_next_target_waits_from_when_the_first_was_told_and_not_into_the_night() -> None:
    assert escalation(NIGHT, 900, event("critical", "2026-03-10T23:00"), BERLIN) == (
        at("2026-03-10T23:15"), "to escalate",
    )  # fmt: skip
    assert escalation(NIGHT, 900, event("warning", "2026-03-10T23:00"), BERLIN)[0] == at("2026-03-11T07:15")
    assert escalation(NIGHT, 900, event("warning", "2026-03-10T21:50"), BERLIN)[0] == at("2026-03-11T07:00")


@given(st.integers(300, 10**6), st.integers(1, 10**9), st.integers(0, 10**7))
def test_a_reminder_after_a_pause_is_the_next_one_not_all_that_were_missed(
    every: int, due: int, late: int
) -> None:
    one = Message("i:again:1", "#a", "t", due=due, hold="to repeat", repeat=every)
    after = following(one, due + late)
    assert due + late < after.due <= due + late + every
    assert (after.due - due) % every == 0
    assert after.key == f"i:again:{1 + (after.due - due) // every}"
