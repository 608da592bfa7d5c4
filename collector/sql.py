"""Asks a database for counts by interval, with a query of somebody's own. SQLAlchemy speaks to it.

In: an address, a query that gives `time` and `count`. Out: by how much each interval has grown since it was told.
Never: a write, a query without an end, more rows than were allowed; a password in a message.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import URL, Connection, DateTime, Engine, bindparam, create_engine, make_url, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from collector import moments
from collector.asked import Answer, Counted, SourceFailed, Told, grown, named, nothing, plain
from collector.bins import SeriesKey
from collector.errors import shown

OURS = ("time", "count", "service", "metric", "version")
ASKED = ("since", "until", "since_epoch", "until_epoch")
DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}
EXTRAS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql", "mssql": "mssql"}
MOST_SHOWN = 200
# The transaction reads only, and the server ends what takes too long. By dialect; {ms}, {s}: the time allowed.
GUARDS = {
    "postgresql": (
        "SET TRANSACTION READ ONLY", "SET LOCAL statement_timeout = {ms}", "SET LOCAL TIME ZONE 'UTC'",
    ),
    "mysql": (
        "SET SESSION TRANSACTION READ ONLY", "SET SESSION max_execution_time = {ms}",
        "SET SESSION time_zone = '+00:00'",
    ),
    "mariadb": (
        "SET SESSION TRANSACTION READ ONLY", "SET SESSION max_statement_time = {s}",
        "SET SESSION time_zone = '+00:00'",
    ),
    "mssql": ("SET LOCK_TIMEOUT {ms}",),
    "sqlite": ("PRAGMA query_only = ON",),
}  # fmt: skip
# As SQLite's own functions write times: those with a fraction of a second would sort behind them.
_MOMENT = DateTime().with_variant(
    sqlite.DATETIME(  # type: ignore[no-untyped-call]
        storage_format="%(year)04d-%(month)02d-%(day)02d %(hour)02d:%(minute)02d:%(second)02d"
    ),
    "sqlite",
)


@dataclass(frozen=True, slots=True)
class Question:
    """query: with :since and :until (UTC; :since_epoch and :until_epoch are the same in seconds) and columns time,
    count, and where there are any service, metric, version; all others are attributes. service, metric: where the
    query names none. timeout: seconds; rows: at most.
    """

    query: str
    service: str = ""
    metric: str = ""
    timeout: int = 30
    rows: int = 10_000


class Sql:
    """One query. url: of SQLAlchemy's kind. width: of an interval, seconds; again: see `grown`."""

    settle = 0

    def __init__(
        self,
        name: str,
        url: str,
        question: Question,
        width: int = 60,
        every: int = 30,
        again: int = 600,
        history: int = 0,
    ) -> None:
        """Raises ValueError: no address, its driver is not installed, or a query with other names than ours."""
        self.name = name
        self.every = every
        self.most = max(3600, width)
        self.history = history
        self._question = question
        self._width = width
        self._again = -(-again // width) * width
        self._engine = _engine(url)
        self._where = _place(make_url(url))
        types = {"since": _MOMENT, "until": _MOMENT}
        clause = text(question.query)
        names = [name for name in clause._bindparams if name in types]
        self._clause = clause.bindparams(*(bindparam(name, type_=types[name]) for name in names))
        self._asks = frozenset(clause._bindparams)
        strange = sorted(self._asks - set(ASKED))
        if strange:
            raise ValueError(
                f"the query names :{strange[0]}, expected only :{', :'.join(ASKED)}; a colon of its own is "
                "written \\:"
            )

    def close(self) -> None:
        self._engine.dispose()

    def ask(self, since: int, now: int, memo: str) -> Answer:
        """See Source. Whole intervals that are over, and once more those of a while before."""
        until = now // self._width * self._width
        first = since // self._width * self._width - self._again
        told = Told.unpack(memo)
        first = max(first, told.begun)
        if until <= first or (not memo and until <= since):
            return Answer(nothing(), since, memo)
        counts = self._counts(first, until)
        told = told if memo else replace(told, begun=since // self._width * self._width)
        readings, after = grown(self.name, counts, told, (first, until), self._again, now, self._width)
        return Answer(readings, max(until, since), after.pack())

    def check(self, now: int) -> str:
        """See Source: the last hour."""
        until = now // self._width * self._width
        counts = self._counts(until - max(3600, self._width), until)
        total = sum(sum(of.values()) for of in counts.values())
        return f"{len(counts)} series, {total:,.10g} counted in the last hour"

    def _counts(self, first: int, until: int) -> Counted:
        counts: Counted = {}
        for row in self._rows(first, until):
            key, begin, count = self._read(row, first, until)
            of = counts.setdefault(key, {})
            of[begin] = of.get(begin, 0.0) + count
        return counts

    def _rows(self, first: int, until: int) -> list[Mapping[str, Any]]:
        """All rows of the answer. Raises SourceFailed."""
        asked = {
            "since": datetime.fromtimestamp(first, UTC).replace(tzinfo=None),
            "until": datetime.fromtimestamp(until, UTC).replace(tzinfo=None),
            "since_epoch": first,
            "until_epoch": until,
        }
        most = self._question.rows
        try:
            connection = self._engine.connect()
        except (DBAPIError, SQLAlchemyError) as error:
            raise SourceFailed(
                f"{self._where} cannot be reached: {_said(error)}; is its address right, is it up, and may we "
                "read it?",
                passing=isinstance(error, OperationalError),
            ) from None
        try:
            with connection, _guarded(connection, self._question.timeout):
                given = {name: value for name, value in asked.items() if name in self._asks}
                result: CursorResult[Any] = connection.execution_options(
                    stream_results=True, max_row_buffer=1000
                ).execute(self._clause, given)
                if not result.returns_rows:
                    raise SourceFailed("the query gives no rows; expected a SELECT")
                names = list(result.keys())
                rows = result.fetchmany(most + 1)
                result.close()
        except (DBAPIError, SQLAlchemyError) as error:
            raise _failed(error, self._question.timeout) from None
        for name in ("time", "count"):
            if names.count(name) > 1:
                raise SourceFailed(f"the query gives more than one column `{name}`: keep one")
            if name not in names:
                found = ", ".join(names)
                raise SourceFailed(
                    f"the query gives no column `{name}` (it gives {found}): name one so with AS"
                )
        if len(rows) > most:
            raise SourceFailed(
                f"the query gives more than {most} rows: group by the interval, or raise `rows`"
            )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _read(self, row: Mapping[str, Any], first: int, until: int) -> tuple[SeriesKey, int, float]:
        moment, count = _seconds(row["time"]), row["count"]
        if count is None:
            raise SourceFailed("column count: found NULL, expected a number: COALESCE makes 0 of it")
        if isinstance(count, bool) or not isinstance(count, (int, float, Decimal)):
            raise SourceFailed(f"column count: found {shown(count)}, expected a number")
        if not math.isfinite(count) or count < 0:
            raise SourceFailed(f"column count: found {shown(count)}, expected a number from 0 on")
        if not first <= moment < until:
            said = moments.rfc3339(int(moment)) if 0 <= moment < moments.LATEST else shown(row["time"])
            raise SourceFailed(
                f"column time: found {said}, expected one from :since to before :until; is it UTC, cut to no "
                "more than `interval`, and in seconds where it is a number?"
            )
        names = {name: "" if value is None else str(value) for name, value in row.items()}
        service = names.get("service") or self._question.service
        metric = names.get("metric") or self._question.metric
        if not service or not metric:
            what = "service" if not service else "metric"
            raise SourceFailed(f"found a row without {what}: set `{what}`, or give a column {what}")
        rest = named(names, names.keys() - set(OURS))
        key = SeriesKey(plain(service), plain(metric), plain(names.get("version", "")), rest)
        return key, int(moment // self._width) * self._width, float(count)


class _guarded:  # noqa: N801  (it reads as a word)
    """The connection reads only, and what takes too long is ended."""

    def __init__(self, connection: Connection, timeout: int) -> None:
        self._connection = connection
        self._timeout = timeout
        self._timer: threading.Timer | None = None

    def __enter__(self) -> None:
        name = self._connection.dialect.name
        if getattr(self._connection.dialect, "is_mariadb", False):
            name = "mariadb"
        for guard in GUARDS.get(name, ()):
            self._connection.exec_driver_sql(guard.format(ms=self._timeout * 1000, s=self._timeout))
        driver = self._connection.connection.driver_connection
        if name == "sqlite" and driver is not None:
            self._timer = threading.Timer(self._timeout, driver.interrupt)
            self._timer.daemon = True
            self._timer.start()
        elif name == "mssql" and driver is not None:
            driver.timeout = self._timeout

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        with suppress(SQLAlchemyError):
            self._connection.rollback()


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError(
            "no address of a database; expected for example postgresql://USER@HOST/NAME"
        ) from None
    kind = parsed.get_backend_name()
    if "+" not in parsed.drivername:
        parsed = parsed.set(drivername=DRIVERS.get(kind, parsed.drivername))
    try:
        return create_engine(_read_only(parsed), poolclass=NullPool, hide_parameters=True)
    except NoSuchModuleError:
        raise ValueError(f"{parsed.drivername} is no kind of database that is known") from None
    except ImportError as error:
        extra = EXTRAS.get(kind)
        how = f": pip install 'stillwatch[{extra}]'" if extra else ""
        raise ValueError(f"the driver {error.name} is not installed{how}") from None


def _place(url: URL) -> str:
    """Which database it is, without who asks and with which password."""
    host = f"{url.host}:{url.port}" if url.port else url.host or ""
    return f"the database {'/'.join(part for part in (host, url.database) if part)}".strip()


def _read_only(url: URL) -> URL:
    """A file of SQLite is opened for reading, and none is made."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return url
    return url.set(database=f"file:{url.database}", query={**url.query, "mode": "ro", "uri": "true"})


def _seconds(value: object) -> float:
    """Epoch seconds of a time as databases give it; without a time zone it is UTC."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        with suppress(ValueError):
            return moments.seconds(value)
        with suppress(ValueError):
            return moments.in_utc(value)
    if value is None:
        raise SourceFailed(
            "column time: found NULL, expected a timestamp or epoch seconds: leave such rows out"
        )
    raise SourceFailed(f"column time: found {shown(value)}, expected a timestamp or epoch seconds")


def _failed(error: SQLAlchemyError, timeout: int) -> SourceFailed:
    said = _said(error)
    if any(word in said.lower() for word in ("timeout", "interrupted", "max_statement_time")):
        return SourceFailed(
            f"the query took more than {timeout} s: add an index, or raise `timeout` ({said})"
        )
    lost = isinstance(error, OperationalError) or getattr(error, "connection_invalidated", False)
    return SourceFailed(said, passing=lost)


def _said(error: SQLAlchemyError) -> str:
    said = str(getattr(error, "orig", None) or error).strip().partition("\n")[0][:MOST_SHOWN]
    return said or type(error).__name__
