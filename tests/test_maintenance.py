"""Maintenance mutes what matches while it lasts: once, by the week, or as calendars have it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_history import ID, SPIKE, Desk

from alerts.silences import matcher
from stillwatch import config
from stillwatch.calendars import Calendars
from stillwatch.check import lines, reach
from stillwatch.config import Settings
from stillwatch.history import History
from stillwatch.maintenance import Busy, Window, active

BERLIN = "Europe/Berlin"


def at(written: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(written).replace(tzinfo=ZoneInfo(zone)).timestamp())


def none(place: str, now: int) -> Sequence[Busy]:
    raise AssertionError("no calendar is asked for")


def is_open(window: Window, now: int, zone: str = BERLIN) -> bool:
    return bool(active([window], now, zone, none))


# By the week.


def weekly(days: Sequence[int], begins: int, ends: int) -> Window:
    return Window((matcher("service=a"),), days=tuple(days), begins=begins, ends=ends)


@pytest.mark.parametrize(
    ("moment", "opened"),
    [
        ("2022-04-12T21:59", False),  # a Tuesday
        ("2022-04-12T22:00", True),
        ("2022-04-13T01:29", True),
        ("2022-04-13T01:30", False),
        ("2022-04-13T22:30", False),
        ("2022-04-17T23:00", True),  # a Sunday, into Monday
        ("2022-04-18T01:00", True),
        ("2022-04-16T23:00", False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(moment: str, opened: bool) -> None:
    assert is_open(weekly((1, 6), 22 * 60, 90), at(moment, BERLIN)) is opened


def test_local_time_is_meant_also_after_the_clocks_have_changed() -> None:
    night = weekly(range(7), 120, 180)
    assert is_open(night, at("2022-03-26T01:30"))  # UTC+1
    assert is_open(night, at("2022-03-28T00:30"))  # UTC+2
    assert not is_open(night, at("2022-03-28T01:30"))


@given(
    day=st.integers(0, 6),
    begins=st.integers(0, 1439),
    ends=st.integers(0, 1439),
    minute=st.integers(0, 7 * 1440 - 1),
)
def test_a_weekly_window_is_open_for_as_long_as_it_says(
    day: int, begins: int, ends: int, minute: int
) -> None:
    monday = at("2022-04-11T00:00")
    lasts = ends - begins if ends > begins else ends - begins + 1440
    since = (minute - (day * 1440 + begins)) % (7 * 1440)
    assert is_open(weekly((day,), begins, ends), monday + 60 * minute, "UTC") is (since < lasts)


# Once, and what it says of itself.


def test_a_window_is_a_silence_with_a_name_and_the_same_id_while_it_lasts() -> None:
    window = Window((matcher("service=a"),), "migration", start=1000, end=2000)
    assert active([window], 999, "UTC", none) == []
    assert active([window], 2000, "UTC", none) == []
    [silence] = active([window], 1000, "UTC", none)
    assert (silence.author, silence.comment, silence.starts, silence.ends) == (
        "maintenance",
        "migration",
        1000,
        2000,
    )
    assert active([window], 1999, "UTC", none) == [silence]


# Calendars.

CALENDAR = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//ours//EN
BEGIN:VEVENT
UID:1
SUMMARY:Nightly import
DTSTART;TZID=Europe/Berlin:20220301T020000
DTEND;TZID=Europe/Berlin:20220301T040000
RRULE:FREQ=WEEKLY;BYDAY=TU,WE
EXDATE;TZID=Europe/Berlin:20220412T020000
END:VEVENT
BEGIN:VEVENT
UID:2
SUMMARY:Move
DTSTART;VALUE=DATE:20220415
DTEND;VALUE=DATE:20220417
END:VEVENT
BEGIN:VEVENT
UID:3
SUMMARY:Somewhere
DTSTART:20220420T100000
DURATION:PT30M
END:VEVENT
BEGIN:VEVENT
UID:4
SUMMARY:Called off
STATUS:CANCELLED
DTSTART:20220421T100000Z
DTEND:20220421T110000Z
END:VEVENT
END:VCALENDAR
"""


@pytest.fixture
def ics(tmp_path: Path) -> Path:
    path = tmp_path / "plan.ics"
    path.write_text(CALENDAR.replace("\n", "\r\n"))
    return path


@pytest.mark.parametrize(
    ("moment", "name"),
    [
        ("2022-04-13T00:00", "Nightly import"),  # 02:00 in Berlin, in summer
        ("2022-04-13T01:59", "Nightly import"),
        ("2022-04-13T02:00", ""),
        ("2022-04-12T01:00", ""),  # the exception
        ("2022-03-02T01:00", "Nightly import"),  # in winter
        ("2022-03-02T00:30", ""),
        ("2022-04-14T22:00", "Move"),  # the local midnight
        ("2022-04-16T21:59", "Move"),
        ("2022-04-16T22:00", ""),
        ("2022-04-20T08:15", "Somewhere"),  # without a zone: local
        ("2022-04-20T10:15", ""),
        ("2022-04-21T10:30", ""),
    ],
)
def test_events_of_a_calendar_with_recurrence_exceptions_zones_and_whole_days(
    ics: Path, moment: str, name: str
) -> None:
    window = Window((matcher("service=a"),), "plan", calendar=str(ics))
    found = active([window], at(moment), BERLIN, Calendars(BERLIN).events)
    assert [one.comment for one in found] == ([f"plan: {name}"] if name else [])


def names(calendars: Calendars, place: str, now: int) -> list[str]:
    return [one.name for one in calendars.events(place, now) if one.name != "Nightly import"]


def test_a_folder_of_calendars_is_read_again_when_it_changes(ics: Path) -> None:
    calendars, now = Calendars(BERLIN), at("2022-04-20T08:15")
    folder = str(ics.parent)
    assert names(calendars, folder, now) == ["Somewhere"]
    (ics.parent / "second.ICS").write_text(CALENDAR.replace("Somewhere", "Elsewhere").replace("\n", "\r\n"))
    (ics.parent / "notes.txt").write_text("nothing")
    assert names(calendars, folder, now) == ["Somewhere", "Elsewhere"]
    ics.write_text(CALENDAR.replace("Somewhere", "Anywhere").replace("\n", "\r\n"))
    os.utime(ics, (now, now))
    assert set(names(calendars, folder, now)) == {"Anywhere", "Elsewhere"}
    ics.unlink()
    assert set(names(calendars, folder, now)) == {"Elsewhere"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "no iCalendar"),
        ("", "no VCALENDAR"),
        ("BEGIN:VEVENT\r\nUID:1\r\nEND:VEVENT\r\n", "no VCALENDAR"),
        (CALENDAR.replace("20220420T100000", "soon"), "cannot be understood"),
        (CALENDAR.replace("FREQ=WEEKLY", "FREQ=OFTEN"), "cannot be understood"),
        (CALENDAR.replace("FREQ=WEEKLY", "FREQ=MINUTELY"), "recurs by the minute"),
        (CALENDAR.replace("FREQ=WEEKLY", "FREQ=WEEKLY;INTERVAL=0"), "recurs by the minute"),
        (CALENDAR.replace("FREQ=WEEKLY", "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30"), "recurs by the minute"),
    ],
)
def test_a_calendar_that_cannot_be_read_mutes_nothing_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, said: str
) -> None:
    path = tmp_path / "plan.ics"
    path.write_text(text.replace("\n", "\r\n"))
    calendars, now = Calendars(BERLIN), at("2022-04-20T08:15")
    for _ in range(3):
        assert list(calendars.events(str(path), now)) == []
    assert caplog.text.count("mutes nothing") == 1
    assert said in caplog.text
    path.write_text(CALENDAR.replace("\n", "\r\n"))
    assert names(calendars, str(path), now) == ["Somewhere"]


def test_a_calendar_that_is_not_there_is_said_and_found_by_check(
    ics: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert list(Calendars("UTC").events("/nowhere/plan.ics", 0)) == []
    assert "/nowhere/plan.ics: No such file" in caplog.text
    windows = tuple(
        Window((matcher("service=a"),), calendar=place) for place in ("/nowhere/plan.ics", str(ics))
    )
    said = lines(list(reach(Settings(maintenance=windows, database=str(ics.parent / "s.db")))))
    assert any(line.startswith("NO  calendar  /nowhere/plan.ics: No such file") for line in said)
    assert any(line.endswith("plan.ics: 1 files, 4 events") for line in said)


# In the settings, and what follows.


def test_maintenance_is_set(ics: Path) -> None:
    text = f"""
maintenance:
  - match: [service=contact-importer, 'kind=~"data.*"']
    name: nightly import
    weekly: {{days: [mon, tue], from: 22:00, to: "01:30"}}
  - match: service=a
    start: 2027-01-01T22:00:00Z
    end: 2027-01-02T02:00+01:00
  - match: owner=b
    calendar: {ics}
"""
    first, second, third = config.parse(text, "stillwatch.yaml", {}).maintenance
    assert (first.days, first.begins, first.ends, first.name) == ((0, 1), 1320, 90, "nightly import")
    assert [str(one) for one in first.matchers] == ['service="contact-importer"', 'kind=~"data.*"']
    assert (second.start, second.end) == (at("2027-01-01T22:00"), at("2027-01-02T01:00"))
    assert third.calendar == str(ics)
    every = config.parse("maintenance: {match: service=a, weekly: {from: 1:00, to: 2:00}}", "f", {})
    assert every.maintenance[0].days == (0, 1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{match: service, calendar: x}", "maintenance.match: found 'service', expected a matcher such as"),
        ("{match: service=~(, calendar: x}", "expected one of RE2"),
        ("{calendar: x}", "maintenance.match: found nothing, expected it"),
        ("{match: service=a, start: 2027-01-01T22:00:00Z}", "either start and end, or weekly, or calendar"),
        ("{match: service=a, start: 2027-01-01T22:00:00, end: 2027-01-02T22:00:00Z}", "an offset from UTC"),
        (
            "{match: service=a, start: 2027-01-02T22:00Z, end: 2027-01-02T21:00Z}",
            "an end that is after the start",
        ),
        ("{match: service=a, weekly: {days: monday, from: 1:00, to: 2:00}}", "'mon', 'tue'"),
        ("{match: service=a, weekly: {from: 1:00}}", "weekly.to: found nothing"),
        ("{match: service=a, weekly: {from: 7, to: 2:00}}", "expected a time of day such as 22:00"),
    ],
)
def test_maintenance_that_makes_no_sense_is_refused(text: str, said: str) -> None:
    with pytest.raises(config.BadInput) as error:
        config.parse(f"maintenance: {text}", "stillwatch.yaml", {})
    assert said in str(error.value)


def test_what_fails_during_maintenance_is_told_when_it_still_fails_afterwards(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "s.db")
    window = Window(
        (matcher("service=contact-importer"),), "move", start=SPIKE.time - 60, end=SPIKE.time + 600
    )
    desk.history = History(desk.store, planned=lambda now: active([window], now, "UTC", none))
    desk.news(SPIKE)
    assert desk.round() == []
    [planned] = desk.history.silences(desk.hand.now)
    assert desk.history.silences() == []
    assert desk.history.silences_of(SPIKE, desk.hand.now) == [planned]
    assert desk.history.muting(SPIKE, desk.hand.now) == (planned,)
    assert ID in desk.round(600)
    assert any("Silenced until now" in text for text in desk.wall.sent)
    desk.store.close()


def test_a_day_is_looked_up_once(ics: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calendars, now = Calendars(BERLIN), at("2022-04-20T08:15")
    calendars.events(str(ics), now)

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("stillwatch.calendars._around", never)
    assert calendars.events(str(ics), now + 60)
    with pytest.raises(AssertionError):
        calendars.events(str(ics), now + int(timedelta(days=1).total_seconds()))
    assert datetime.fromtimestamp(now, UTC).day == 20


@pytest.mark.parametrize("written", ["22:05", '"22:05"', "'22:05'"])
def test_times_of_day_are_alike_wherever_they_stand_with_quotes_or_without(written: str) -> None:
    weekly = f"maintenance: {{match: service=a, weekly: {{from: {written}, to: {written}}}}}"
    digest = f"routes: [{{channel: a, digest: {written}}}]"
    [window] = config.parse(weekly, "f", {}).maintenance
    [route] = config.parse(digest, "f", {}).routes
    assert (window.begins, window.ends, route.digest) == (22 * 60 + 5,) * 3
