"""Maintenance: times in which what matchers match is muted, as a silence would. Pure.

In: windows as the settings name them, events of calendars, a moment. Out: silences that are active then.
Never: a file (see calendars.py), a clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from alerts.silences import Matcher, Silence

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
AUTHOR = "maintenance"


@dataclass(frozen=True, slots=True)
class Window:
    """One entry: once (start, end: epoch seconds), weekly (days: 0 = Monday; begins, ends: minutes since local
    midnight, an end that is not after the begin is on the next day), or of a calendar (a file or folder of .ics).
    """

    matchers: tuple[Matcher, ...]
    name: str = ""
    start: int = 0
    end: int = 0
    days: tuple[int, ...] = ()
    begins: int = 0
    ends: int = 0
    calendar: str = ""


@dataclass(frozen=True, slots=True)
class Busy:
    """An event of a calendar. start, end: epoch seconds."""

    start: int
    end: int
    name: str = ""


def active(
    windows: Iterable[Window], now: int, timezone: str, events: Callable[[str, int], Sequence[Busy]]
) -> list[Silence]:
    """The windows that are open at `now` (epoch seconds), as silences. events: of a calendar around a moment."""
    found: list[Silence] = []
    for window in windows:
        if window.calendar:
            times = [(one.start, one.end, one.name) for one in events(window.calendar, now)]
        elif window.days:
            times = [(start, end, "") for start, end in _weekly(window, now, timezone)]
        else:
            times = [(window.start, window.end, "")]
        found += [_silence(window, *one) for one in times if one[0] <= now < one[1]]
    return found


def _weekly(window: Window, now: int, timezone: str) -> list[tuple[int, int]]:
    """The window that began today and the one that began yesterday, of the local calendar."""
    zone = ZoneInfo(timezone)
    today = datetime.fromtimestamp(now, UTC).astimezone(zone).date()
    found = []
    for day in (today - timedelta(days=1), today):
        if day.weekday() in window.days:
            last = day if window.ends > window.begins else day + timedelta(days=1)
            begin = datetime.combine(day, _clock(window.begins), zone)
            end = datetime.combine(last, _clock(window.ends), zone)
            found.append((int(begin.timestamp()), int(end.timestamp())))
    return found


def _clock(minutes: int) -> time:
    return time(minutes // 60, minutes % 60)


def _silence(window: Window, start: int, end: int, name: str) -> Silence:
    said = ": ".join(part for part in (window.name, name) if part)
    whole = repr((window.matchers, said, start, end))
    identity = hashlib.sha256(whole.encode()).hexdigest()[:12]
    return Silence(identity, window.matchers, start, end, AUTHOR, said)
