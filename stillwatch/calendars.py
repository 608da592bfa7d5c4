"""Calendars in .ics files (RFC 5545): when something is planned, with everything that recurs.

In: a file, or a folder of them. Out: the events around a moment. icalendar lives here and only here.
Never: an alert muted by a calendar that cannot be read; a file read again that has not changed.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from stillwatch.maintenance import Busy

log = logging.getLogger(__name__)

LARGEST = 10_000_000  # bytes of a file
MOST_FILES = 1000
DAY = 86400  # seconds; events are looked up for a day at a time
LONGEST_NAME = 200
MOST_A_DAY = 24  # times that a rule names
DAYS_OF_RULES = ("BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYDAY", "BYSETPOS")

Stamp = tuple[int, int]  # when a file was changed, its size


class Calendars:
    """Reads files when they are first asked for, when they change, and once a day.

    timezone: whose midnight begins a whole day, and whose times are those without a zone.
    """

    def __init__(self, timezone: str) -> None:
        self._zone = ZoneInfo(timezone)
        self._read: dict[Path, tuple[Stamp, Any]] = {}
        self._events: dict[Path, tuple[Stamp, int, tuple[Busy, ...]]] = {}
        self._trouble: dict[str, str] = {}
        self._lock = threading.Lock()  # who looks at the same time waits rather than reads it as well

    def events(self, place: str, now: int) -> Sequence[Busy]:
        """What the calendars at `place` hold of the day around `now` (epoch seconds). A file that cannot be read
        holds nothing, which is said once in the log."""
        found: list[Busy] = []
        try:
            for file in calendar_files(place):
                with self._lock:
                    found += self._of_file(file, now)
            self._say(place, "")
        except OSError as error:
            self._say(place, f"{error.filename or place}: {error.strerror or error}")
        return found

    def _of_file(self, file: Path, now: int) -> tuple[Busy, ...]:
        status = file.stat()
        stamp, day = (status.st_mtime_ns, status.st_size), now // DAY
        known = self._events.get(file)
        if known is not None and known[:2] == (stamp, day):
            return known[2]
        found: tuple[Busy, ...] = ()
        try:
            read = self._read.get(file)
            if read is None or read[0] != stamp:
                read = self._read[file] = (stamp, parsed(file))
            found = tuple(_around(read[1], day * DAY, (day + 1) * DAY, self._zone))
            self._say(f"in {file}", "")
        except ValueError as error:
            self._say(f"in {file}", f"{file}: {' '.join(str(error).split())[:200]}")
        self._events[file] = (stamp, day, found)
        return found

    def _say(self, place: str, trouble: str) -> None:
        if trouble and self._trouble.get(place) != trouble:
            log.error("a calendar mutes nothing, for it cannot be read: %s", trouble)
        self._trouble[place] = trouble


def calendar_files(place: str) -> list[Path]:
    """The file, or the .ics files of the folder. Raises OSError where there is neither."""
    path = Path(place)
    if not path.is_dir():
        path.stat()
        return [path]
    return sorted(one for one in path.iterdir() if one.suffix.lower() == ".ics")[:MOST_FILES]


def parsed(file: Path) -> list[Any]:
    """The calendars in a file. Raises OSError, or ValueError in words."""
    import icalendar

    raw = file.read_bytes()
    if len(raw) > LARGEST:
        raise ValueError(f"found {len(raw)} bytes, expected at most {LARGEST}")
    try:
        found = icalendar.Calendar.from_ical(raw, multiple=True)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"found what is no iCalendar ({str(error)[:100]}), expected RFC 5545") from None
    if not found or any(one.name != "VCALENDAR" for one in found):
        raise ValueError("found no VCALENDAR, expected one at least")
    for event in (event for one in found for event in one.walk("VEVENT")):
        rules = event.get("RRULE", [])
        for rule in rules if isinstance(rules, list) else [rules]:
            if isinstance(rule, Mapping) and _is_too_much(rule):
                raise ValueError(
                    "found what recurs by the minute, or by the hour of some days; expected fewer"
                )
    return list(found)


def _is_too_much(rule: Mapping[str, Any]) -> bool:
    """Occurrences are counted from the first on: by the minute that takes minutes, in which nothing is told, and
    without a step it takes for ever."""
    often = {str(one).upper() for one in rule.get("FREQ", [])}
    a_day = math.prod(max(1, len(rule.get(part, []))) for part in ("BYHOUR", "BYMINUTE", "BYSECOND"))
    still = any(step < 1 for step in rule.get("INTERVAL", []))
    on_days = "HOURLY" in often and any(rule.get(part) for part in DAYS_OF_RULES)
    return still or on_days or a_day > MOST_A_DAY or not often.isdisjoint({"SECONDLY", "MINUTELY"})


def _around(calendars: Sequence[Any], start: int, end: int, zone: ZoneInfo) -> list[Busy]:
    """Events that touch start..end. Raises ValueError where one cannot be understood."""
    import recurring_ical_events

    # A time without a zone may be anywhere within a day of what it says.
    first = datetime.fromtimestamp(start, UTC) - timedelta(days=1)
    last = datetime.fromtimestamp(end, UTC) + timedelta(days=1)
    found: list[Busy] = []
    for calendar in calendars:
        try:
            for event in recurring_ical_events.of(calendar).between(first, last):
                if str(event.get("STATUS", "")).upper() == "CANCELLED":
                    continue
                begin, over = _moment(event.start, zone), _moment(event.end, zone)
                if begin < end and over > start:
                    found.append(Busy(begin, over, str(event.get("SUMMARY", ""))[:LONGEST_NAME]))
        except Exception as error:  # noqa: BLE001  the library raises what it likes about what stands in a file
            raise ValueError(f"found an event that cannot be understood ({str(error)[:100]})") from None
    return sorted(found, key=lambda one: (one.start, one.end, one.name))


def _moment(at: date | datetime, zone: ZoneInfo) -> int:
    if not isinstance(at, datetime):
        at = datetime(at.year, at.month, at.day, tzinfo=zone)
    elif at.tzinfo is None:
        at = at.replace(tzinfo=zone)
    return int(at.timestamp())
