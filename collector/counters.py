"""Running totals become counts: resets, births, restarts, repeats.

In: Readings (totals or deltas as senders report them). Out: Points (counts over the time they cover).
Never: a clock, a guess that makes a burst: what cannot be known to have happened in our time is not counted.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from operator import itemgetter
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from collector.bins import SeriesTable, not_aged
from collector.doubts import Doubts, Owed
from collector.lives import Lives, counter
from collector.points import NANOS, Catalogue, Limits, Points, Readings, Sign, Stream, tally, why_not

FORGET = 86400  # s of silence after which a process and its totals are forgotten
SETTLE = 75  # s for which a process must be known before a new counter of it is believed to be new
REPEAT = 180  # s for which a delta is remembered, so that one sent again counts once
MOST_TOLD = 4_000_000  # deltas that are remembered, however many come in REPEAT seconds
PRESSED = 900  # s of silence after which a process is forgotten when there is hardly room for more
YOUNG = 900  # s: what a process counted before we first heard of it counts if it began no longer ago
SAME_START = (
    2  # s by which what is said of a start may be wrong: Linux knows it from a clock of whole seconds
)
STARTS = 4  # of a process that are remembered
SPEAKS = (
    30  # s: who was silent for so long does not tell of a process any more; another sender of the same may
)
NAMED = 1000  # services of which it is said how many points were refused; those of the others are added up

# row, start, end, count of Points, and int64[n]: the place of the reading that says it, -1 = none does
Columns = tuple[
    NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]
]


_NEVER = [(0, 0)]  # as in Counters._starts


class Heard(NamedTuple):
    """Of one process: times (ns) of its first export, of the last but one, and of the last."""

    first: int
    previous: int
    last: int

    def before(self, time: int) -> int:
        """Time of the export before `time`, 0 if none is known."""
        return next((heard for heard in (self.last, self.previous, self.first) if heard < time), 0)

    def and_at(self, time: int) -> Heard:
        if time > self.last:
            return Heard(self.first, self.last, time)
        return self._replace(first=min(self.first, time))


class _Places:
    """What the numbers of a catalogue have turned out to mean: row of the table, slot and start of the life.

    -1 where that is not known yet.
    """

    def __init__(self) -> None:
        self.row, self.slot, self.start = np.zeros((3, 0), dtype=np.int64)

    def cover(self, catalogue: Catalogue) -> None:
        """Make room for all numbers."""
        more = len(catalogue) - len(self.row)
        if more > 0:
            unknown = np.full(more + len(catalogue) // 4, -1, dtype=np.int64)
            self.row, self.slot, self.start = (
                np.concatenate([column, unknown]) for column in (self.row, self.slot, self.start)
            )


class Counters:
    """What each counter of each process last said.

    A life is one counter of one process between two starts: (series row, stream, start time). A restart
    is another life, so an old process' last report may come after the new one's first: both add up.

    1. A total later than the last of its life: the difference counts, over the time between the two.
    2. Not later: a repeat or out of order; what it holds is counted already.
    3. A total that fell: the counter began anew without saying so; all of it counts.
    4. The first of a life that started while we listened: all of it counts, since its start.
    5. The first of a life that started earlier or unsaid, of a process heard for SETTLE seconds or more:
       a process exports all that it has, so this began since its last export; all of it counts. Not if SETTLE
       seconds before that export there was no room for something of that process: it may be this.
    6. Any other first, as when we begin to listen to a process that has run for days: nothing counts,
       it is where we go on from. After FORGET seconds of silence a process is a stranger again.
    7. Who does not say in the readings when it started may say it beside them (`Sign`), before or after: then
       a restart is seen though the total did not fall, and rule 4 holds if it started less than YOUNG seconds
       before it was first heard.
    8. Of several equal senders one is heard of each process, until it has been silent for SPEAKS seconds: their
       clocks differ, and a total that seems to fall by that would count whole.
    9. A delta counts as it is, once. One that a heard process leaves out of an export is measured 0:
       exporters leave out deltas in which nothing happened.
    10. A start that lies before the last export of the same counters, none of which fell, is none of a restart
       after it: the counters go on, until an earlier start is told again. Then these are several processes with
       one name, and rules 4 and 5 hold after all (see `Doubts`). A start not before its reading says nothing.

    crowded: points refused for want of room, by service, since we began.

    One thread at a time. `state` and `restore` carry it over a restart of ours.
    """

    def __init__(self, now: float, limits: Limits | None = None) -> None:
        """now: epoch seconds at which we begin to listen."""
        self._limits = limits or Limits()
        self._listening = int(now * NANOS)
        self._swept = now
        self._streams: dict[Stream, int] = {}
        self._lives = Lives()
        self._doubts = Doubts()
        self._unsaid: dict[str, array[int]] = {}  # process -> slots of its lives that say no start
        # process -> its starts (ns), each as said, and the first scrape that said it; in the order of scrapes
        self._starts: dict[str, list[tuple[int, int]]] = {}
        self._speaks: dict[str, tuple[str, int]] = {}  # process -> who tells of it, and when last (ns)
        self._heard: dict[str, Heard] = {}
        # process that is heard -> its last export (ns) of which something was refused for want of room
        self._partly: dict[str, int] = {}
        self._naming = ""
        self._turned_away: set[str] = set()  # the same, of this request, heard or not
        self._deltas: dict[str, set[int]] = {}  # process -> rows that it reports as deltas
        self._seen: dict[tuple[int, int, int], tuple[int, set[int]]] = {}  # export -> arrival, its rows
        self._now: Callable[[], dict[str, list[int]]] = dict  # see _moments
        self.crowded: Counter[str] = Counter()
        self._told = 0  # rows in all of `_seen`
        self._sizes: Counter[str] = Counter()  # service -> its rows
        self._sized = 0  # rows of the table that are in `_sizes`
        self._places: WeakKeyDictionary[Catalogue, _Places] = WeakKeyDictionary()

    def count(self, readings: Readings, table: SeriesTable, now: float) -> Points:
        """What `readings`, arrived at `now` (epoch seconds), add to what was known.

        Series never seen before get a row in `table`. Points.refused holds, by reason, those readings that
        were refused here and in the decoder. What is refused changes nothing.
        """
        self._sweep(now)
        why = why_not(readings.time, readings.value, now, self._limits, readings.entered)
        places = self._known(readings)
        rows, no_room = self._rows(readings, table, why, places)
        taken = self._of_one_sender(readings, rows >= 0, now)
        running = taken & readings.cumulative
        passing = taken & ~readings.cumulative
        numbers = np.array([self._number(stream) for stream in readings.streams], dtype=np.int64)
        self._now = cache(partial(self._moments, readings, taken, now))  # seldom asked for
        begun = self._begun(readings.signs, now)
        totals, crowd = self._running(rows, numbers, readings, np.flatnonzero(running), places)
        parts = [
            begun,
            totals,
            self._passing(rows, numbers, readings, np.flatnonzero(passing), now),
            self._silent(rows, readings, taken),
        ]
        self._hear(readings, taken, now)
        self._partly |= {who: self._heard[who].last for who in self._turned_away if who in self._heard}
        self._turned_away.clear()
        refused = _add(readings.refused, tally(why), no_room, {"too many counters": crowd})
        row, start, end, count, of = (np.concatenate(column) for column in zip(*parts, strict=True))
        entered = None if readings.entered is None else np.append(readings.entered, 0)[of]
        return Points(row, start, end, count, refused, entered)

    def _moments(self, readings: Readings, taken: NDArray[np.bool_], now: float) -> dict[str, list[int]]:
        """Of each process the moments (ns) at which these readings saw it, in order: after an outage of ours there
        are many in one request."""
        found = {who: np.unique(readings.time[place]) for who, place in _by_instance(readings, taken)}
        for sign in readings.signs:
            if self._timely(sign.time, now):
                found[sign.instance] = np.append(
                    found.get(sign.instance, np.zeros(0, dtype=np.int64)), sign.time
                )
        return {who: np.unique(times).tolist() for who, times in found.items()}

    def _known(self, readings: Readings) -> _Places | None:
        """What is known of the numbers that these readings bring."""
        if readings.catalogue is None:
            return None
        places = self._places.setdefault(readings.catalogue, _Places())
        places.cover(readings.catalogue)
        return places

    def _rows(
        self, readings: Readings, table: SeriesTable, why: NDArray[np.int64], places: _Places | None
    ) -> tuple[NDArray[np.int64], dict[str, int]]:
        """int64[n] row of each reading, -1 where refused, and how many there was no room for, by reason."""
        rows = np.full(len(readings), -1, dtype=np.int64)
        if places is not None and readings.counter is not None:
            rows = np.where(why == 0, places.row[readings.counter], -1)
        no_room: Counter[str] = Counter()
        unknown = np.flatnonzero((why == 0) & (rows < 0))
        keys = [readings.keys[i] for i in unknown.tolist()]
        if self._fit(Counter(map(itemgetter(0), keys)), table):
            rows[unknown] = table.rows(keys)
            if places is not None and readings.counter is not None:
                places.row[readings.counter[unknown]] = rows[unknown]
            return rows, no_room
        for i, key in zip(unknown.tolist(), keys, strict=True):
            row = table.find(key)
            full = self._full(key.service, table) if row < 0 else ""
            if full:
                no_room[full] += 1
                named = key.service in self.crowded or len(self.crowded) < NAMED
                self.crowded[key.service if named else "other services"] += 1
                self._turned_away.add(readings.streams[readings.stream[i]].instance)
                continue
            rows[i] = row if row >= 0 else table.row(key)
            if places is not None and readings.counter is not None:
                places.row[readings.counter[i]] = rows[i]
        return rows, no_room

    def _fit(self, more: Mapping[str, int], table: SeriesTable) -> bool:
        """Is there room for so many more series of each service?"""
        self._measure(table)
        most = self._limits.per_service
        return len(table) + sum(more.values()) <= self._limits.series and all(
            self._sizes[service] + count <= most for service, count in more.items()
        )

    def _full(self, service: str, table: SeriesTable) -> str:
        """Why there is no room for one more series of a service; "" where there is."""
        self._measure(table)
        if len(table) >= self._limits.series:
            return "too many series"
        return "too many series of one service" if self._sizes[service] >= self._limits.per_service else ""

    def _measure(self, table: SeriesTable) -> None:
        """Count the series that each service has by now: one for all ages."""
        if self._sized < len(table):
            self._sizes.update(map(itemgetter(0), not_aged(table.keys[self._sized :])))
            self._sized = len(table)

    def _number(self, stream: Stream) -> int:
        return self._streams.setdefault(stream, len(self._streams))

    def _running(
        self,
        rows: NDArray[np.int64],
        numbers: NDArray[np.int64],
        readings: Readings,
        at: NDArray[np.int64],
        places: _Places | None,
    ) -> tuple[Columns, int]:
        """The counts of the running totals at the places `at`, and how many lives there was no room for."""
        slot_of, owed = self._slots(rows, numbers, readings, at, places)
        crowd, lives = int(np.count_nonzero(slot_of < 0)), self._lives
        at, slot_of = at[slot_of >= 0], slot_of[slot_of >= 0]
        row, time, value = rows[at], readings.time[at], readings.value[at]
        start, said = self._began(readings, at)
        between = _joined(owed, self._between(slot_of, row, time, value, said, at))
        later = np.flatnonzero(time > lives.time[slot_of])
        order = later[np.lexsort((time[later], slot_of[later]))]
        slot_of, row, time, value, of = slot_of[order], row[order], time[order], value[order], at[order]
        # Within a request a life may report several times: each goes on from the one before it.
        follows = np.zeros(len(order), dtype=np.bool_)
        follows[1:] = slot_of[1:] == slot_of[:-1]
        last_total = np.where(follows, np.roll(value, 1), lives.total[slot_of])
        last_time = np.where(follows, np.roll(time, 1), lives.time[slot_of])
        fresh = time > last_time  # false for the same moment told twice in one request
        slot_of, row, time, value, of = slot_of[fresh], row[fresh], time[fresh], value[fresh], of[fresh]
        last_total, last_time, start, said = (
            column[fresh] for column in (last_total, last_time, start[order], said[order])
        )
        # Which scrape was the first of another process is certain; when that began is by another clock.
        other = said > last_time
        anew = (value < last_total) | (other & (start > last_time - SAME_START * NANOS))
        lives.total[slot_of] = value  # sorted by time, and the last assignment to a slot stays
        lives.time[slot_of] = time
        lives.total_before[slot_of] = last_total
        lives.time_before[slot_of] = last_time
        lives.anew[slot_of] = anew
        count = np.where(anew, value, value - last_total)
        since = np.where(anew & other, np.clip(start, last_time, time - 1), last_time)
        for i in np.flatnonzero(anew).tolist():
            # A process exports all that it has: what was not there the last time began after that.
            instance = readings.streams[readings.stream[of[i]]].instance
            since[i] = max(since[i], self._before(instance, int(time[i])))
        return _joined((row, since, time, count, of), between), crowd

    def _slots(
        self,
        rows: NDArray[np.int64],
        numbers: NDArray[np.int64],
        readings: Readings,
        at: NDArray[np.int64],
        places: _Places | None,
    ) -> tuple[NDArray[np.int64], Columns]:
        """int64[n] slot of the life of each running total at the places `at`, -1 where there is no room for it; and
        what turns out to be owed."""
        slots, owed = np.full(len(at), -1, dtype=np.int64), _columns([])
        start, which = readings.start[at], None if readings.counter is None else readings.counter[at]
        ignored = np.zeros(len(at), dtype=np.bool_)
        if self._doubts.ignored:
            ignored = self._doubts.ignores(numbers)[readings.stream[at]]
        if places is not None and which is not None:
            slots = np.where((places.start[which] == start) | ignored, places.slot[which], -1)
        rest = np.flatnonzero(slots < 0)
        if not len(rest):
            return slots, owed
        lives, number, start = self._lives, numbers[readings.stream[at[rest]]], start[rest]
        row, time = rows[at[rest]], readings.time[at[rest]]
        present = lives.present(row, number)
        found = np.where((lives.start[present] == start) | ignored[rest], present, -1)
        other = np.flatnonzero((present >= 0) & (found < 0))
        if len(other):
            found[other] = lives.other(row[other], number[other], start[other])
            self._came_back_by_chance(readings.value[at[rest]], time, number, present, found)
            other = other[(found[other] >= 0) & (found[other] != present[other])]
            owed = self._told_again(found[other], present[other], time[other])
            lives.lead(found[other[time[other] > lives.time[present[other]]]])
        born = np.flatnonzero(found < 0)
        if len(born):
            found[born] = self._born(rows, numbers, readings, at, at[rest[born]], present[born])
        slots[rest] = found
        if places is not None and which is not None:
            places.slot[which[rest]], places.start[which[rest]] = found, start
        return slots, owed

    def _came_back_by_chance(
        self,
        value: NDArray[np.float64],
        time: NDArray[np.int64],
        number: NDArray[np.int64],
        present: NDArray[np.int64],
        found: NDArray[np.int64],
    ) -> None:
        """Where a start that wobbles in steps is one of before again, it means nothing from now on."""
        lives = self._lives
        ahead = (present >= 0) & (time > lives.time[present])
        for which in np.unique(number[ahead & (found >= 0) & (found != present)]).tolist():
            its = ahead & (number == which)
            if self._doubts.wobbles(which) and (value[its] >= lives.total[present[its]]).all():
                self._disbelieve(which)
                its = (number == which) & (present >= 0)
                found[its] = present[its]

    def _disbelieve(self, number: int) -> None:
        self._doubts.ignore(number)
        self._lives.forget_others(number)
        self._places.clear()

    def _told_again(
        self, slots: NDArray[np.int64], present: NDArray[np.int64], time: NDArray[np.int64]
    ) -> Columns:
        """What is owed where another life goes on beside the present one: they are of two processes (rule 10)."""
        lives = self._lives
        beside = (time > lives.time[slots]) & (time > lives.start[present])
        beside &= lives.time[present] > lives.start[slots]
        number, time = lives.number[slots[beside]], time[beside]
        found: list[tuple[int, int, int, float, int]] = []
        for which in np.unique(number).tolist():
            for slot, one in self._doubts.told_again(which, int(time[number == which].max())).items():
                found.append((int(lives.row[slot]), one.since, one.time, one.total, -1))
        return _columns(found)

    def _born(
        self,
        rows: NDArray[np.int64],
        numbers: NDArray[np.int64],
        readings: Readings,
        at: NDArray[np.int64],
        born: NDArray[np.int64],
        present: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """int64[m] slots of the lives that the readings at `born` speak of first, -1 where there is no room.

        at: the places of all running totals; present: the slots of the lives that the counters lead, -1 = none.
        """
        stream, start, time = (column[born] for column in (readings.stream, readings.start, readings.time))
        which = counter(rows[born], numbers[stream])
        order = np.lexsort((time, start, which))
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = (np.diff(which[order]) != 0) | (np.diff(start[order]) != 0)
        life = np.empty(len(order), dtype=np.int64)
        life[order] = np.cumsum(first) - 1
        found = np.full(int(first.sum()), -1, dtype=np.int64)
        room = np.argsort(time[order[first]], kind="stable")[
            : max(self._limits.counters - len(self._lives), 0)
        ]
        if len(room) < len(found):
            for i in born[~np.isin(life, room)].tolist():
                self.crowded[readings.keys[i].service] += 1
                self._turned_away.add(readings.streams[readings.stream[i]].instance)
        new = order[first][room]
        found[room] = self._birth(rows, numbers, readings, at, born[new], present[new])
        return found[life]

    def _birth(
        self,
        rows: NDArray[np.int64],
        numbers: NDArray[np.int64],
        readings: Readings,
        at: NDArray[np.int64],
        born: NDArray[np.int64],
        present: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """int64[m] slots of new lives, the first totals of which stand at `born` in the order of time; set to what
        they go on from (rules 4 to 6, and 10)."""
        lives = self._lives
        stream, start, time = (column[born] for column in (readings.stream, readings.start, readings.time))
        total = readings.value[born]
        number, said = numbers[stream], np.where(start < time, start, 0)
        export, settled, began, heard = self._exports(readings, stream, time)
        settled, heard = settled[export], heard[export]
        begun = np.where(said > 0, said, began[export])
        earliest = np.maximum(time - np.where(said > 0, FORGET, YOUNG) * NANOS, self._listening)
        whole = settled | (begun >= earliest)
        since = np.where(settled | (said == 0), np.maximum(begun, heard), begun)
        since = np.minimum(since, time - 1)
        last, last_total = self._last(rows, numbers, readings, at, born, present)
        fell = np.bincount(export, (last > 0) & (total < last_total))[export] > 0
        goes_on = (last > 0) & (said <= last) & ~fell & ~self._doubts.are_several(number)
        slots = lives.add(rows[born], number, start, (present < 0) | (time > lives.time[present]))
        before = np.where(goes_on, last_total, 0.0)
        counts = whole | (goes_on & (said == 0))  # who says no start does not say that it is another process
        lives.total[slots] = lives.total_before[slots] = np.where(counts, before, total)
        lives.time[slots] = np.where(counts, np.where(goes_on, last, since), time)
        lives.time_before[slots] = lives.time[slots]
        lives.first_total[slots] = np.where(counts, 0.0, total)
        lives.first_time[slots] = np.where(counts, 0, time)
        for i in np.flatnonzero(whole & (before > 0)).tolist():
            owed = Owed(float(before[i]), int(since[i]), int(time[i]))
            self._doubts.owe(int(number[i]), int(slots[i]), owed)
        evident = np.flatnonzero(goes_on & (before > 0))  # a total of 0 begins anew as it goes on
        for i in np.unique(export[evident], return_index=True)[1].tolist():
            which = evident[i]
            if self._doubts.went_on(int(number[which]), int(time[which])):
                self._disbelieve(int(number[which]))
        self._index(readings.streams, stream, slots)
        return slots

    def _exports(
        self, readings: Readings, stream: NDArray[np.int64], time: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
        """Of these readings which export each is of, int64[n]; and of each export: is the process known for long
        enough for rule 5, when it began if that is said beside the readings, and when it was heard before."""
        moments, moment = np.unique(time, return_inverse=True)
        distinct, first, export = np.unique(
            stream * len(moments) + moment, return_index=True, return_inverse=True
        )
        settled = np.zeros(len(distinct), dtype=np.bool_)
        began, before = np.zeros((2, len(distinct)), dtype=np.int64)
        for i, one in enumerate(first.tolist()):
            instance, at = readings.streams[stream[one]].instance, int(time[one])
            heard = self._heard.get(instance)
            known = heard is not None and at - heard.first >= SETTLE * NANOS
            settled[i] = known and heard is not None and self._whole(instance, heard, at)
            began[i] = min(self._start_at(instance, at)[0], at - 1)
            before[i] = self._before(instance, at) if settled[i] or began[i] else 0
        return export, settled, began, before

    def _last(
        self,
        rows: NDArray[np.int64],
        numbers: NDArray[np.int64],
        readings: Readings,
        at: NDArray[np.int64],
        born: NDArray[np.int64],
        present: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Time and total that the counters of the readings at `born` said last before, in this request or an
        earlier one; 0 where they said none, or a later one as well."""
        last, total, lives = np.zeros(len(born), dtype=np.int64), np.zeros(len(born)), self._lives
        new = counter(rows[born], numbers[readings.stream[born]])
        known = present >= 0
        if not known.any() and len(np.unique(new)) == len(new):
            return last, total
        which, time = counter(rows[at], numbers[readings.stream[at]]), readings.time[at]
        order = np.lexsort((time, which))
        which, time = which[order], time[order]
        moment = np.ones(len(order), dtype=np.bool_)
        moment[1:] = (np.diff(which) != 0) | (np.diff(time) != 0)
        begins = np.flatnonzero(moment)[
            np.cumsum(moment) - 1
        ]  # of each reading: the first of its counter and time
        place = np.empty(len(readings), dtype=np.int64)
        place[at[order]] = begins - 1
        before = place[born]
        here = (before >= 0) & (which[before] == new)
        last[here], total[here] = time[before[here]], readings.value[at[order[before[here]]]]
        earlier = known & (lives.time[present] > last)
        last[earlier], total[earlier] = lives.time[present[earlier]], lives.total[present[earlier]]
        last[last >= readings.time[born]] = 0
        return last, total

    def _began(
        self, readings: Readings, at: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of the readings at `at` that say no start: the start of their process, as far as it is known, and the
        first scrape that said so; else 0."""
        latest = np.array(
            [self._starts.get(one.instance, _NEVER)[-1] for one in readings.streams] or _NEVER, dtype=np.int64
        )
        time = readings.time[at]
        known = np.where((readings.start[at] == 0)[:, None], latest[readings.stream[at]], 0)
        for i in np.flatnonzero(known[:, 1] > time).tolist():
            known[i] = self._start_at(readings.streams[readings.stream[at[i]]].instance, int(time[i]))
        return known[:, 0], known[:, 1]

    def _start_at(self, instance: str, time: int) -> tuple[int, int]:
        """The start of the process that a scrape at `time` reached, and the first scrape that said so, or zeros."""
        known = [one for one in self._starts.get(instance, ()) if one[1] <= time]
        return known[-1] if known else (0, 0)

    def _before(self, instance: str, time: int) -> int:
        """When (ns) a process was last heard of before `time`, in this request or an earlier one, 0 if never."""
        heard, now = self._heard.get(instance), self._now().get(instance, [])
        here = bisect_left(now, time)
        return max(0 if heard is None else heard.before(time), now[here - 1] if here else 0)

    def _between(
        self,
        slot_of: NDArray[np.int64],
        row: NDArray[np.int64],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        said: NDArray[np.int64],
        at: NDArray[np.int64],
    ) -> Columns:
        """What came after its successor, and still adds something: the last word of a process before it began
        anew, and what was there before a first total that did not count."""
        lives = self._lives
        before = lives.time_before[slot_of]
        of_old = lives.anew[slot_of] & (time > before) & (said <= before)
        of_old &= value >= lives.total_before[slot_of]
        of_first = (time < lives.first_time[slot_of]) & (value <= lives.first_total[slot_of])
        found: list[tuple[int, int, int, float, int]] = []
        places = np.flatnonzero((time < lives.time[slot_of]) & (of_old | of_first))
        for i in places[np.argsort(time[places], kind="stable")].tolist():
            slot, moment, total = slot_of[i], int(time[i]), float(value[i])
            last, last_total = int(lives.time_before[slot]), float(lives.total_before[slot])
            first, first_total = int(lives.first_time[slot]), float(lives.first_total[slot])
            if moment < first and total <= first_total:
                found.append((int(row[i]), moment, first, first_total - total, int(at[i])))
                lives.first_time[slot], lives.first_total[slot] = moment, total
            elif of_old[i] and last < moment and total >= last_total:
                found.append((int(row[i]), last, moment, total - last_total, int(at[i])))
                lives.time_before[slot], lives.total_before[slot] = moment, total
        return _columns(found)

    def _begun(self, signs: Iterable[Sign], now: float) -> Columns:
        """Learn when processes started, and count what their last readings turn out to have meant (rule 7)."""
        found: list[tuple[int, int, int, float, int]] = []
        for sign in signs:
            if not sign.start or not self._timely(sign.time, now) or not self._is_welcome(sign.instance):
                continue
            known = self._starts.get(sign.instance, [])
            same = [one for one in known if abs(sign.start - one[0]) <= SAME_START * NANOS]
            if same and same[0][1] <= sign.time:
                continue
            others = [one for one in known if one not in same]
            start = (same[0][0] if same else sign.start, sign.time)
            self._starts[sign.instance] = sorted([*others, start], key=lambda one: one[1])[-STARTS:]
            for slot in self._unsaid.get(sign.instance, ()):
                found += self._restarted(slot, sign)
        return _columns(found)

    def _restarted(self, slot: int, sign: Sign) -> list[tuple[int, int, int, float, int]]:
        """What was not counted of the first total of a life or in its last step, now that it is known which process
        said it."""
        lives = self._lives
        row, time, before = int(lives.row[slot]), int(lives.time[slot]), int(lives.time_before[slot])
        total, first = float(lives.total_before[slot]), int(lives.first_time[slot])
        if first and self._start_at(sign.instance, first)[1] == sign.time:
            start = min(sign.start, first - 1)
            if start < max(self._listening, first - YOUNG * NANOS):
                return []
            lives.first_time[slot] = 0
            since = max(start, self._before(sign.instance, first))
            return [(row, since, first, float(lives.first_total[slot]), -1)]
        if not before < sign.time <= time or lives.anew[slot] or sign.start <= before - SAME_START * NANOS:
            return []
        lives.anew[slot] = True
        start = min(max(sign.start, before), time - 1)
        return [(row, max(start, self._before(sign.instance, time)), time, total, -1)]

    def _timely(self, time: int, now: float) -> bool:
        return (now - self._limits.age) * NANOS <= time <= (now + self._limits.ahead) * NANOS

    def _whole(self, instance: str, heard: Heard, time: int) -> bool:
        """Did we take all that there was of a process in its export before `time`?"""
        before, partly = heard.before(time), self._partly.get(instance)
        return before > 0 and (partly is None or before - partly >= SETTLE * NANOS)

    def _of_one_sender(self, readings: Readings, taken: NDArray[np.bool_], now: float) -> NDArray[np.bool_]:
        """`taken` without what another of several equal senders tells of a process (rule 8)."""
        if not readings.tellers:
            return taken
        heard = np.ones(len(readings.streams), dtype=np.bool_)
        at = int(now * NANOS)
        for i in np.unique(readings.stream[taken]).tolist():
            instance, teller = readings.streams[i].instance, readings.tellers[i]
            speaks, last = self._speaks.get(instance, (teller, 0))
            if teller and not self._is_welcome(instance):
                continue
            if teller and speaks != teller and at - last <= SPEAKS * NANOS:
                heard[i] = False
            elif teller:
                self._speaks[instance] = (teller, at)
        return taken & heard[readings.stream]

    def _passing(
        self,
        rows: NDArray[np.int64],
        numbers: NDArray[np.int64],
        readings: Readings,
        at: NDArray[np.int64],
        now: float,
    ) -> Columns:
        """The counts of the deltas at the places `at`; one that came before is left out."""
        keep, since = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for export in _by_export(readings, at):
            stream, start, time = (
                int(column[export[0]]) for column in (readings.stream, readings.start, readings.time)
            )
            instance = readings.streams[stream].instance
            of = (int(numbers[stream]), start, time)
            told = self._seen.setdefault(of, (int(now * NANOS), set()))[1]
            its = rows[export].tolist()
            fresh = set(its) - told
            if len(fresh) < len(its):
                first = dict(zip(reversed(its), reversed(export.tolist()), strict=True))
                export = np.array(sorted(first[row] for row in fresh), dtype=np.int64)
            told |= fresh
            self._told += len(fresh)
            heard = self._heard.get(instance)
            if heard is not None or self._room:
                self._deltas.setdefault(instance, set()).update(fresh)
            if start == 0 and heard is not None:
                start = heard.before(time)
            keep.append(export)
            since.append(np.full(len(export), start if 0 < start < time else time, dtype=np.int64))
        kept = np.concatenate(keep)
        order = np.argsort(kept)
        kept = kept[order]
        return rows[kept], np.concatenate(since)[order], readings.time[kept], readings.value[kept], kept

    def _silent(self, rows: NDArray[np.int64], readings: Readings, taken: NDArray[np.bool_]) -> Columns:
        """A count of 0 for each delta that a heard process left out of this export (rule 9)."""
        row: list[int] = []
        since: list[int] = []
        until: list[int] = []
        for instance, place in _by_instance(readings, taken):
            heard, known = self._heard.get(instance), self._deltas.get(instance)
            time = int(readings.time[place].max())
            if heard is None or known is None or time <= heard.last:
                continue
            left_out = sorted(known.difference(rows[place].tolist()))
            row += left_out
            since += [heard.last] * len(left_out)
            until += [time] * len(left_out)
        return (
            np.array(row, dtype=np.int64),
            np.array(since, dtype=np.int64),
            np.array(until, dtype=np.int64),
            np.zeros(len(row)),
            np.full(len(row), -1, dtype=np.int64),
        )

    def _hear(self, readings: Readings, taken: NDArray[np.bool_], now: float) -> None:
        for sign in readings.signs:
            if self._timely(sign.time, now):
                self._hear_at(sign.instance, sign.time)
        for instance, place in _by_instance(readings, taken):
            for time in np.unique(readings.time[place]).tolist():
                self._hear_at(instance, time)

    def _hear_at(self, instance: str, time: int) -> None:
        heard = self._heard.get(instance)
        if heard is not None:
            self._heard[instance] = heard.and_at(time)
        elif self._room:
            self._heard[instance] = Heard(time, time, time)

    def _is_welcome(self, instance: str) -> bool:
        """Is it a process that is known, or is there room for one more?"""
        return instance in self._heard or self._room

    @property
    def _room(self) -> bool:
        """Is there room for one more process? Deltas are counted without."""
        return len(self._heard) < self._limits.counters

    def _sweep(self, now: float) -> None:
        """Forget what was silent for so long that it would never be asked for again; sooner when it is much."""
        while self._seen:
            export, (arrived, told) = next(iter(self._seen.items()))
            if arrived >= (now - REPEAT) * NANOS and self._told <= MOST_TOLD:
                break
            self._told -= len(told)
            del self._seen[export]
        most = self._limits.counters
        much = (
            len(self._lives) > most * 9 // 10 or len(self._heard) > most // 4 or len(self._streams) > 2 * most
        )
        if now - self._swept >= FORGET / 24:
            self._forget(now, FORGET + self._limits.age)
        elif much and now - self._swept >= PRESSED / 15:
            self._forget(now, PRESSED)

    def _forget(self, now: float, silence: float) -> None:
        """Forget processes that were silent for so many seconds, and with them all that they counted.

        As a whole: a total of a process that is known would be taken for one that began since its last export.
        """
        self._swept = now
        self._places.clear()
        oldest, ancient = (int((now - age) * NANOS) for age in (silence, FORGET + self._limits.age))
        self._heard = {who: heard for who, heard in self._heard.items() if heard.last >= oldest}
        self._deltas = {who: rows for who, rows in self._deltas.items() if who in self._heard}
        self._starts = {who: starts for who, starts in self._starts.items() if who in self._heard}
        self._speaks = {who: one for who, one in self._speaks.items() if who in self._heard}
        self._partly = {who: last for who, last in self._partly.items() if who in self._heard}
        self._doubts.forget(int(now * NANOS))
        lives, known = self._lives, np.zeros(len(self._streams) + 1, dtype=np.bool_)
        known[[number for stream, number in self._streams.items() if stream.instance in self._heard]] = True
        number = lives.number[: lives.used]
        stays = (lives.time[: lives.used] >= ancient) & known[number]
        used = {*np.unique(number[stays]).tolist(), *(number for number, _, _ in self._seen)}
        names = [stream for stream, number in self._streams.items() if number in used]
        new = {self._streams[stream]: number for number, stream in enumerate(names)}
        numbers = np.full(len(self._streams) + 1, -1, dtype=np.int64)
        numbers[list(new)] = list(new.values())
        self._streams = {stream: number for number, stream in enumerate(names)}
        self._seen = {(new[old], start, time): told for (old, start, time), told in self._seen.items()}
        self._doubts.renumber(new, lives.keep(stays, numbers))
        self._unsaid = {}
        self._index(tuple(names), lives.number[: lives.used], np.arange(lives.used))

    def named(self, naming: str, now: float) -> None:
        """From `now` on (epoch seconds) keys and streams are made as `naming` says.

        If they were made in another way so far, a counter that seems to be new is one that was counted under
        another name: what it counted until now does not count again.
        """
        if self._naming and naming != self._naming:
            self._listening = int(now * NANOS)
            self._partly = {who: heard.last for who, heard in self._heard.items()}
        self._naming = naming

    @property
    def processes(self) -> tuple[str, ...]:
        """Those that are not forgotten."""
        return tuple(self._heard)

    def _index(self, streams: Sequence[Stream], stream: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
        """Note which of these lives say no start, by process. stream: int64[n], of each its place in `streams`."""
        unsaid = np.flatnonzero(self._lives.start[slots] == 0)
        unsaid = unsaid[np.argsort(stream[unsaid], kind="stable")]
        edges = np.flatnonzero(np.diff(stream[unsaid])) + 1
        for some in np.split(unsaid, edges) if len(unsaid) else ():
            instance = streams[stream[some[0]]].instance
            self._unsaid.setdefault(instance, array("q")).extend(slots[some].tolist())

    def state(self) -> dict[str, Any]:
        """All that is known, as arrays and texts (`restore` takes it back; `np.savez` can write it)."""
        return self._lives.state() | {
            "rest": json.dumps(
                {
                    "listening": self._listening,
                    "swept": self._swept,
                    "streams": list(self._streams),
                    "heard": list(self._heard.items()),
                    "deltas": [(who, sorted(rows)) for who, rows in self._deltas.items()],
                    "starts": list(self._starts.items()),
                    "speaks": list(self._speaks.items()),
                    "partly": list(self._partly.items()),
                    "naming": self._naming,
                    "seen": [(export, at, sorted(rows)) for export, (at, rows) in self._seen.items()],
                    "doubts": self._doubts.state(),
                }
            ),
        }

    @staticmethod
    def restore(state: Mapping[str, Any], limits: Limits | None = None) -> Counters:
        """The Counters whose `state` this is; rows must mean the same in the series table as they did."""
        rest = json.loads(str(state["rest"]))
        self = Counters(0.0, limits)
        self._listening, self._swept = rest["listening"], rest["swept"]
        self._streams = {Stream(*stream): number for number, stream in enumerate(rest["streams"])}
        self._lives = Lives.restore(state)
        self._doubts = Doubts.restore(rest.get("doubts", {}))
        self._heard = {who: Heard(*heard) for who, heard in rest["heard"]}
        self._deltas = {who: set(rows) for who, rows in rest["deltas"]}
        self._starts = {
            who: [(said, start) for said, start in known] for who, known in rest.get("starts", ())
        }
        self._speaks = {who: (teller, last) for who, (teller, last) in rest.get("speaks", ())}
        self._partly = dict(rest.get("partly", ()))
        self._naming = rest.get("naming", "")
        number = self._lives.number[: self._lives.used]
        self._index(tuple(self._streams), number, np.arange(self._lives.used))
        self._seen = {(export[0], export[1], export[2]): (at, set(rows)) for export, at, rows in rest["seen"]}
        self._told = sum(len(rows) for _, rows in self._seen.values())
        return self


def _columns(found: list[tuple[int, int, int, float, int]]) -> Columns:
    row, start, end, count, of = zip(*found, strict=True) if found else ((), (), (), (), ())
    return (
        np.array(row, dtype=np.int64),
        np.array(start, dtype=np.int64),
        np.array(end, dtype=np.int64),
        np.array(count, dtype=np.float64),
        np.array(of, dtype=np.int64),
    )


def _joined(one: Columns, other: Columns) -> Columns:
    row, start, end, count, of = (np.concatenate(both) for both in zip(one, other, strict=True))
    return row, start, end, count, of


def _by_export(readings: Readings, at: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The places `at`, those of one stream, start and time together."""
    if not len(at):
        return []
    columns = np.stack([readings.time[at], readings.start[at], readings.stream[at]])
    order = np.lexsort(columns)
    sorted_ = columns[:, order]
    edges = np.flatnonzero((sorted_[:, 1:] != sorted_[:, :-1]).any(axis=0)) + 1
    return np.split(at[order], edges)


def _by_instance(readings: Readings, taken: NDArray[np.bool_]) -> list[tuple[str, NDArray[np.int64]]]:
    """Each process of the request with the places of its readings that were taken."""
    distinct: dict[str, int] = {}
    which = [distinct.setdefault(stream.instance, len(distinct)) for stream in readings.streams]
    at = np.flatnonzero(taken)
    if not len(at):
        return []
    of = np.array(which, dtype=np.int64)[readings.stream[at]]
    order = np.argsort(of, kind="stable")
    sizes = np.bincount(of, minlength=len(distinct))
    places = np.split(at[order], np.cumsum(sizes)[:-1])
    return [(instance, place) for instance, place in zip(distinct, places, strict=True) if len(place)]


def _add(*tallies: Mapping[str, int]) -> dict[str, int]:
    """The tallies added up, without zeros."""
    total: dict[str, int] = {}
    for one in tallies:
        for reason, n in one.items():
            if n:
                total[reason] = total.get(reason, 0) + n
    return total
