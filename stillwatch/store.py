"""What the daemon keeps: intervals as they were judged, deployments, news, and how to go on after a stop.

In: closed intervals with the events they caused. Out: the same, exactly, after any crash.
Never: half of a commit, a clock, a NaN that became 0.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, delete, func, insert, select

from alerts.incidents import Event
from alerts.messages import Message
from alerts.packed import pack, unpack
from collector.bins import Bins, SeriesTable, series_key
from collector.deployments import Deployment
from collector.words import Word
from stillwatch import tables
from stillwatch.blobs import in_one, joined, pack_counts, pack_late, unpack_counts, unpack_late
from stillwatch.database import clear, database_at, opened
from stillwatch.tables import NoDatabase, StoreTrouble
from stillwatch.upserts import add, put

SNAPSHOTS = 3  # the newest so many are kept
PART = (
    1 << 20
)  # bytes of a snapshot in one value: larger ones are slower to read, and from a gigabyte on not taken
BLOCK = 1440  # stored intervals that are read at once


@dataclass(frozen=True, slots=True)
class News:
    """An event as it is kept: number within its incident, its line of alerts.jsonl, what people are told.

    event: the whole of it. remarks: what its card says beside it (see alerts.remarks).
    """

    incident: str
    number: int
    time: int
    line: str
    messages: tuple[Message, ...]
    event: Event | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Closing:
    """What is kept together when intervals close; each part may be missing.

    collector: the collector's state, and the last journal number that is in it; those rows go.
    snapshot: the end of the last interval that is in it (epoch seconds), and the engine's state.
    """

    bins: Bins | None = None
    news: tuple[News, ...] = ()
    collector: tuple[bytes, int] | None = None
    snapshot: tuple[int, bytes] | None = None


class Store:
    """One database (see database.py). Safe to use from several threads. Every method may raise StoreTrouble."""

    def __init__(self, where: Path | str) -> None:
        self._database = database_at(where)
        self._engine = opened(self._database)
        self._writer = self._engine.execution_options(writes=True)
        self._turn = threading.Lock()  # our own threads queue here, not at the database's own lock
        self._fence: Callable[[Connection], None] | None = None
        self._unsure = False  # is it not known whether the last commit came about?
        with self.reading() as c:
            self._rows = _series(c)
            self._told_by = _told_by(c)

    @property
    def name(self) -> str:
        """How the database is called before people."""
        return self._database.name

    def close(self) -> None:
        self._engine.dispose()

    def lead(self, fence: Callable[[Connection], None]) -> None:
        """From now on what is written is written as by the one that judges and tells: `fence` is called at the end
        of each transaction that writes, and raises where it must not come about."""
        self._fence = fence
        self._unsure = True  # another one has written until now

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction: it sees one state of everything."""
        with clear(self._database), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of it is on disk when this ends, or nothing. Nobody else writes meanwhile.

        Where it raises, it may have come about all the same, when the connection was lost in the moment of its end.
        """
        with self._turn, clear(self._database), self._writer.begin() as connection:
            yield connection
            if self._fence is not None:
                self._fence(connection)

    # Intervals, and the news that they brought.

    def settle_width(self, width: int) -> None:
        """A file holds intervals of one width, in seconds. Raises StoreTrouble for another."""
        with self.writing() as c:
            add(c, tables.settled, {"name": "width", "value": width})
        if self._width() != width:
            raise StoreTrouble(
                f"{self.name}: recorded with `interval: {self._width()}s`, not {width}s; "
                "set it back or name another file in `database`"
            )

    def _width(self) -> int:
        width = self._settled("width")
        if width is None:
            raise StoreTrouble(f"{self.name}: nothing was recorded here yet")
        return width

    def _settled(self, name: str) -> int | None:
        of = tables.settled.c
        with self.reading() as c:
            return c.execute(select(of.value).where(of.name == name)).scalar_one_or_none()

    def still_alive(self, now: int) -> None:
        """Keep the moment (epoch seconds) of a sign of our own life: after a crash, since when nobody listened."""
        row = {"name": "alive", "value": now}
        with self.writing() as c:
            put(c, tables.settled, row, "name", row)

    def last_alive(self) -> int | None:
        """The newest sign of life, epoch seconds; None when there is none."""
        return self._settled("alive")

    def commit(self, closing: Closing, table: SeriesTable) -> list[News]:
        """Keep closed intervals, what became news, and how to go on, in one transaction.

        News that is known already is ignored; returns what was new. `table` has the rows of all series.
        """
        with self.writing() as c:
            fresh: list[News] = []
            known = _series(c) if self._unsure else self._rows
            told_by = _told_by(c) if self._unsure else self._told_by
            came_about = self._unsure and _holds(c, closing.bins)
            self._unsure = True
            if not came_about:
                self._keep_series(c, table, known, told_by)
                if closing.bins is not None:
                    self._keep_intervals(c, closing.bins)
                fresh = [one for one in closing.news if self._is_new(c, one)]
                self._keep_collector(c, closing.collector)
                if closing.snapshot is not None:
                    self._keep_snapshot(c, *closing.snapshot)
        self._rows, self._told_by, self._unsure = len(table), dict(table.sources), False
        return fresh

    def _keep_series(self, c: Connection, table: SeriesTable, known: int, told_by: Mapping[int, str]) -> None:
        added = [
            {
                "row": row,
                "service": key.service,
                "metric": key.metric,
                "version": key.version,
                "attributes": json.dumps(key.attributes),
            }
            for row, key in enumerate(table.keys[known:], known)
        ]
        if added:
            c.execute(insert(tables.series), added)
        for row, source in table.sources.items() - told_by.items():
            told = {"row": row, "source": source}
            put(c, tables.told_by, told, "row", told)

    def _keep_intervals(self, c: Connection, bins: Bins) -> None:
        kept = []
        for i in range(len(bins)):
            one = bins.cut(i, i + 1)
            # No columns at all are read back as not measured: years of silence cost next to nothing.
            values = one.values[0, :0] if np.isnan(one.values).all() else one.values[0]
            kept.append(
                {
                    "start": one.start,
                    "closed": int(one.closed[0]),
                    "watched": int(one.watched[0]),
                    "counts": pack_counts(values),
                    "late": pack_late(one.late) if len(one.late) else None,
                }
            )
        if kept:
            c.execute(insert(tables.intervals), kept)

    def _is_new(self, c: Connection, one: News) -> bool:
        place = select(func.coalesce(func.max(tables.news.c.place), 0) + 1)  # nobody else writes meanwhile
        row = {"incident": one.incident, "number": one.number, "time": one.time, "line": one.line}
        if not add(c, tables.news, {**row, "place": place.scalar_subquery()}):
            return False
        post(c, one.incident, one.messages, one.time)
        if one.event is not None:
            _keep_incident(c, one.event, one.remarks)
        return True

    def _keep_collector(self, c: Connection, collector: tuple[bytes, int] | None) -> None:
        if collector is None:
            return
        state, upto = collector
        row = {"only": 1, "journal": upto, "state": state}
        put(c, tables.collector, row, "only", row)
        c.execute(delete(tables.journal).where(tables.journal.c.number <= upto))

    def _keep_snapshot(self, c: Connection, upto: int, state: bytes) -> None:
        whole, of, rest = memoryview(state), tables.snapshots.c, tables.snapshot_parts.c
        row = {"upto": upto, "crc": zlib.crc32(state), "state": whole[:PART]}
        put(c, tables.snapshots, row, "upto", row)
        c.execute(delete(tables.snapshot_parts).where(rest.upto == upto))
        for number, at in enumerate(range(PART, len(whole), PART)):
            part = {"upto": upto, "number": number, "state": whole[at : at + PART]}
            c.execute(insert(tables.snapshot_parts).values(part))
        newest = select(of.upto).order_by(of.upto.desc()).limit(SNAPSHOTS)
        c.execute(delete(tables.snapshots).where(of.upto.not_in(newest)))
        c.execute(delete(tables.snapshot_parts).where(rest.upto.not_in(newest)))

    def say(self, incident: str, messages: Sequence[Message], now: int) -> None:
        """Put messages into the outbox that no interval caused; those known already are ignored."""
        with self.writing() as c:
            post(c, incident, messages, now)

    def told(self, incident: str) -> frozenset[str]:
        """The channels that have, or will have, messages of this incident."""
        of = tables.outbox.c
        with self.reading() as c:
            return frozenset(c.execute(select(of.channel).where(of.incident == incident)).scalars())

    # Reading back.

    def table(self) -> SeriesTable:
        """All series in their rows."""
        of = tables.series.c
        asked = select(of.service, of.metric, of.version, of.attributes).order_by(of.row)
        with self.reading() as c:
            found = c.execute(asked).all()
            told_by = _told_by(c)
        keys = (
            series_key((service, metric, version, _attributes(attributes)))
            for service, metric, version, attributes in found
        )
        return SeriesTable(keys, told_by)

    def end(self) -> int | None:
        """Epoch seconds at which the last stored interval ends; None when there is none."""
        with self.reading() as c:
            last = c.execute(select(func.max(tables.intervals.c.start))).scalar_one()
        return None if last is None else int(last) + self._width()

    def forget(self, before: int) -> int:
        """Delete the oldest BLOCK intervals at most of those that began before `before` (epoch seconds); how many.

        The file does not shrink: its pages are used again.
        """
        of = tables.intervals
        oldest = select(of.c.start).where(of.c.start < before).order_by(of.c.start).limit(BLOCK)
        with self.writing() as c:
            return c.execute(delete(of).where(of.c.start.in_(oldest))).rowcount

    def history(self, start: int | None = None, end: int | None = None) -> Iterator[Bins]:
        """Stored intervals from `start` to before `end` (epoch seconds), in blocks of consecutive ones."""
        width = self._width()
        of = tables.intervals.c
        at = -1 if start is None else start - 1
        while True:
            asked = select(tables.intervals).where(of.start > at).order_by(of.start).limit(BLOCK)
            if end is not None:
                asked = asked.where(of.start < end)
            with self.reading() as c:
                found = c.execute(asked).all()
            if not found:
                return
            at = found[-1].start
            starts = np.array([row.start for row in found])
            for part in np.split(np.arange(len(found)), np.flatnonzero(np.diff(starts) != width) + 1):
                yield self._block([found[i] for i in part], width)

    def _block(self, rows: Sequence[Row[Any]], width: int) -> Bins:
        try:
            counts = [unpack_counts(row.counts) for row in rows]
            late = [unpack_late(row.late, i) for i, row in enumerate(rows) if row.late is not None]
        except ValueError as error:
            raise StoreTrouble(f"{self.name}: damaged at interval {rows[0].start}: {error}") from error
        values = np.full((len(rows), max(map(len, counts))), np.nan)
        for i, column in enumerate(counts):
            values[i, : len(column)] = column
        return Bins(
            start=rows[0].start,
            width=width,
            closed=np.array([row.closed for row in rows], dtype=np.int64),
            values=values,
            watched=np.array([row.watched for row in rows], dtype=np.bool_),
            late=joined(late),
        )

    def export(
        self, start: int | None = None, end: int | None = None
    ) -> tuple[SeriesTable, Bins, tuple[Deployment, ...]]:
        """Everything recorded from `start` to before `end` (epoch seconds), as a dataset holds it.

        Raises StoreTrouble when nothing was recorded then.
        """
        blocks = list(self.history(start, end))
        if not blocks:
            raise StoreTrouble(f"{self.name}: no interval was recorded in that time")
        table = self.table()
        bins = in_one(blocks, len(table))
        return table, bins, self.deployments(upto=int(bins.closed[-1]))

    def lines(self) -> list[str]:
        """All news in the order in which it was made: the lines of alerts.jsonl."""
        with self.reading() as c:
            return list(c.execute(select(tables.news.c.line).order_by(tables.news.c.place)).scalars())

    # Deployments.

    def add_deployments(self, told: Sequence[Deployment]) -> list[Deployment]:
        """Keep those that are not known by (id, service) yet; returns these. Of others, when they were finished is
        kept if that was not known."""
        with self.writing() as c:
            return [one for one in told if self._add_deployment(c, one) or self._finish(c, one)]

    def _add_deployment(self, c: Connection, one: Deployment) -> bool:
        row = {"id": one.id, "service": one.service, "known": one.known, "whole": pack(one)}
        return add(c, tables.deployments, row)

    def _finish(self, c: Connection, one: Deployment) -> bool:
        if one.finished:
            of = tables.deployments
            this = (of.c.id == one.id) & (of.c.service == one.service)
            kept = unpack(Deployment, c.execute(select(of.c.whole).where(this)).scalar_one())
            if not kept.finished:
                c.execute(of.update().where(this).values(whole=pack(replace(kept, finished=one.finished))))
        return False

    def deployment(self, name: str, service: str) -> Deployment | None:
        """The one that was told by this id for this service."""
        of = tables.deployments.c
        with self.reading() as c:
            whole = c.execute(select(of.whole).where((of.id == name) & (of.service == service))).scalar()
        return None if whole is None else unpack(Deployment, whole)

    def deployments(self, after: int | None = None, upto: int | None = None) -> tuple[Deployment, ...]:
        """Those that became known after `after` and not after `upto` (epoch seconds), oldest first."""
        of = tables.deployments.c
        asked = select(of.whole).order_by(of.known, of.id, of.service)
        if after is not None:
            asked = asked.where(of.known > after)
        if upto is not None:
            asked = asked.where(of.known <= upto)
        with self.reading() as c:
            return tuple(unpack(Deployment, whole) for whole in c.execute(asked).scalars())

    # What people said.

    def add_word(self, one: Word) -> bool:
        """Keep it; False where the same person has said the same before."""
        row = {
            "incident": one.incident,
            "kind": one.kind,
            "who": one.who,
            "deployment": one.deployment,
            "service": one.service,
            "known": one.known,
            "whole": pack(one),
        }
        with self.writing() as c:
            return add(c, tables.words, row)

    def words(self, after: int | None = None, upto: int | None = None) -> tuple[Word, ...]:
        """Those that became known after `after` and not after `upto` (epoch seconds), as they were said."""
        of = tables.words.c
        asked = select(of.whole).order_by(of.known, of.number)
        if after is not None:
            asked = asked.where(of.known > after)
        if upto is not None:
            asked = asked.where(of.known <= upto)
        with self.reading() as c:
            return tuple(unpack(Word, whole) for whole in c.execute(asked).scalars())

    # How to go on: snapshots, the collector's state, the journal.

    def snapshots(self) -> Iterator[tuple[int, memoryview]]:
        """(end of the last interval that is in it, the engine's state), newest first; broken ones left out."""
        of, rest = tables.snapshots.c, tables.snapshot_parts.c
        with self.reading() as c:
            found = c.execute(select(of.upto, of.crc).order_by(of.upto.desc())).all()
        for upto, crc in found:  # one at a time: of many signals they are large
            with self.reading() as c:
                first, more = of.upto == upto, rest.upto == upto
                size = c.execute(select(func.length(of.state)).where(first)).scalar_one()
                size += int(
                    c.execute(select(func.sum(func.length(rest.state))).where(more)).scalar_one() or 0
                )
                state = np.empty(size, dtype=np.uint8)  # not cleared: each byte of it is touched once
                at = seen = 0
                asked = (
                    select(of.state).where(first),
                    select(rest.state).where(more).order_by(rest.number),
                )
                for question in asked:
                    for part in c.execute(question).scalars():
                        state[at : at + len(part)] = np.frombuffer(part, dtype=np.uint8)
                        seen = zlib.crc32(part, seen)
                        at += len(part)
            if seen == crc:
                yield upto, state.data

    def collector(self) -> bytes | None:
        """The collector's state as of the last commit."""
        with self.reading() as c:
            return c.execute(select(tables.collector.c.state)).scalar_one_or_none()

    def note(self, body: bytes, received: float) -> int:
        """Journal what is about to be acknowledged; returns its number. On disk when this returns."""
        with self.writing() as c:
            added = c.execute(insert(tables.journal).values(received=received, body=body))
            number: int = added.inserted_primary_key[0]  # type: ignore[index]  # there is one
        return number

    def note_asked(self, source: str, until: int, memo: str, body: bytes | None, received: float) -> int:
        """How far a source has told, and in the same transaction what it told (None: nothing).

        Returns the number of the journal row, 0 where there is none.
        """
        row = {"source": source, "until": until, "memo": memo}
        number = 0
        with self.writing() as c:
            put(c, tables.asked, row, "source", row)
            if body is not None:
                added = c.execute(insert(tables.journal).values(received=received, body=body))
                number = added.inserted_primary_key[0]  # type: ignore[index]  # there is one
        return number

    def asked(self, source: str) -> tuple[int, str] | None:
        """(until, memo) of the last answer of a source; None where it was never asked."""
        of = tables.asked.c
        with self.reading() as c:
            found = c.execute(select(of.until, of.memo).where(of.source == source)).one_or_none()
        return None if found is None else (found.until, found.memo)

    def filling(self, is_filling: bool | None = None) -> bool:
        """Is the history from before the first start being filled in? With an argument: from now on it is so."""
        if is_filling is not None:
            row = {"name": "filling", "value": int(is_filling)}
            with self.writing() as c:
                put(c, tables.settled, row, "name", row)
        return bool(self._settled("filling"))

    def noted(self, after: int = 0, before: int | None = None) -> Iterator[tuple[int, float, bytes]]:
        """(number, received, body) of what is in no collector state yet, in order; after, before: numbers."""
        of = tables.journal.c
        at = after
        while True:
            asked = select(of.number, of.received, of.body).where(of.number > at)
            if before is not None:
                asked = asked.where(of.number < before)
            asked = asked.order_by(of.number).limit(100)
            with self.reading() as c:
                found = c.execute(asked).all()
            if not found:
                return
            yield from ((number, received, body) for number, received, body in found)
            at = found[-1].number


@contextmanager
def existing(where: Path | str) -> Iterator[Store]:
    """What a daemon keeps there, to be looked into. Raises NoDatabase where none ever did, StoreTrouble."""
    database = database_at(where)
    if not database.exists():
        raise NoDatabase(f"{database.name}: no such database; name the daemon's in `database`")
    store = Store(where)
    try:
        yield store
    finally:
        store.close()


def _attributes(written: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in json.loads(written)) if written != "[]" else ()


def _told_by(c: Connection) -> dict[int, str]:
    return {one.row: one.source for one in c.execute(select(tables.told_by))}


def _series(c: Connection) -> int:
    """How many are kept."""
    return c.execute(select(func.count()).select_from(tables.series)).scalar_one()


def _holds(c: Connection, bins: Bins | None) -> bool:
    """Are these intervals kept? They are all or none of them, and with them all that closed with them."""
    of = tables.intervals.c
    return bins is not None and c.execute(select(of.start).where(of.start == bins.start)).first() is not None


def post(c: Connection, incident: str, messages: Sequence[Message], now: int) -> None:
    """Put messages into the outbox within a transaction; those known already are ignored."""
    for message in messages:
        row = {
            "incident": incident,
            "channel": message.channel,
            "key": message.key,
            "message": pack(message),
            "entered": now,
            "state": "waiting",
            "tries": 0,
            "unknown_since": 0,
            "not_before": 0,
            "why": "",
        }
        add(c, tables.outbox, row)


def _keep_incident(c: Connection, event: Event, remarks: Sequence[str]) -> None:
    of = event.incident
    newest: dict[str, Any] = {"resolved": of.resolved, "number": event.number, "event": pack(event)}
    newest["shown"] = json.dumps(remarks)
    row = {"id": of.id, "opened": of.opened, "muted": 0, "edits": 0, **newest}
    put(c, tables.incidents, row, "id", newest)
