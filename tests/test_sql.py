"""Counts from databases: a real PostgreSQL and SQLite, asked with a query of a user's own.

Needs PostgreSQL's programs (Debian's package postgresql) for half of it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from collector.asked import Answer, SourceFailed
from collector.bins import SeriesKey
from collector.points import NANOS
from collector.sql import Question, Sql

W = 60
T0 = 1_650_000_000 // W * W
OPENS = """
SELECT date_trunc('minute', opened_at) AS time, campaign AS campaign, count(*) AS count
FROM opens WHERE opened_at >= :since AND opened_at < :until GROUP BY 1, 2
"""
IN_SQLITE = """
SELECT strftime('%Y-%m-%d %H:%M:00', opened_at) AS time, campaign, count(*) AS count
FROM opens WHERE opened_at >= :since AND opened_at < :until GROUP BY 1, 2
"""


@pytest.fixture
def table(postgres: str) -> Iterator[str]:
    """An empty table of opens, in a server that is not in UTC."""
    engine = create_engine(postgres.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as c:
        c.execute(text("DROP TABLE IF EXISTS opens"))
        c.execute(text("CREATE TABLE opens (opened_at timestamptz NOT NULL, campaign text)"))
    engine.dispose()
    yield postgres


def opened(url: str, *opens: tuple[int, str]) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as c:
        for at, campaign in opens:
            c.execute(
                text("INSERT INTO opens VALUES (:at, :campaign)"),
                {"at": datetime.fromtimestamp(T0 + at, UTC), "campaign": campaign},
            )
    engine.dispose()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mail.db"
    with sqlite3.connect(path) as c:
        c.execute("CREATE TABLE opens (opened_at TEXT, campaign TEXT)")
    c.close()
    return path


def opened_in(file: Path, *opens: tuple[int, str]) -> None:
    with sqlite3.connect(file) as c:
        c.executemany(
            "INSERT INTO opens VALUES (datetime(?, 'unixepoch'), ?)", [(T0 + at, name) for at, name in opens]
        )
    c.close()


def source(url: str, query: str, timeout: int = 5, rows: int = 1000, again: int = 600) -> Sql:
    return Sql("mail", url, Question(query, "event-parser", "opens_stored", timeout, rows), W, again=again)


def told(answer: Answer) -> dict[tuple[str, int], float]:
    """(campaign, seconds after T0) -> count."""
    found: dict[tuple[str, int], float] = {}
    readings = answer.readings
    for key, start, value in zip(
        readings.keys, readings.start.tolist(), readings.value.tolist(), strict=True
    ):
        at = dict(key.attributes).get("campaign", ""), start // NANOS // W * W - T0
        found[at] = found.get(at, 0.0) + value
    return found


def test_opens_stored_per_minute_by_a_real_postgres(table: str) -> None:
    opened(table, (0, "a"), (59, "a"), (60, "b"), (130, "a"), (185, "a"))
    one = source(table, OPENS)
    first = one.ask(T0, T0 + 185, "")
    assert told(first) == {
        ("a", 0): 2, ("a", 60): 0, ("a", 120): 1, ("b", 0): 0, ("b", 60): 1, ("b", 120): 0,
    }  # fmt: skip
    assert first.until == T0 + 180
    assert first.readings.keys[0][:3] == ("event-parser", "opens_stored", "")
    opened(table, (70, "b"), (181, "b"))  # one of them a transaction that took its time
    second = one.ask(first.until, T0 + 250, first.memo)
    assert told(second) == {("b", 60): 1, ("a", 180): 1, ("b", 180): 1}
    assert told(one.ask(second.until, T0 + 255, second.memo)) == {}
    assert one.check(T0 + 250) == "2 series, 7 counted in the last hour"
    one.close()


def test_nothing_is_written_by_a_real_postgres(table: str) -> None:
    opened(table, (0, "a"))
    engine = create_engine(table.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as c:
        c.execute(text("CREATE SEQUENCE IF NOT EXISTS turns"))
    engine.dispose()
    sly = "SELECT cast(:since as timestamp) AS time, nextval('turns') AS count, :until AS until"
    with pytest.raises(SourceFailed, match="read-only transaction"):
        source(table, sly).ask(T0, T0 + 60, "")
    plain = "DELETE FROM opens WHERE opened_at >= :since OR opened_at < :until RETURNING now() AS time, 1 AS count"
    with pytest.raises(SourceFailed):
        source(table, plain).ask(T0, T0 + 60, "")
    assert told(source(table, OPENS).ask(T0, T0 + 60, ""))["a", 0] == 1


def test_a_query_that_takes_too_long_is_ended_by_a_real_postgres(table: str) -> None:
    query = "SELECT pg_sleep(60), cast(:since as timestamp) AS time, 1 AS count, :until"
    began = time.monotonic()
    with pytest.raises(SourceFailed, match="took more than 1 s"):
        source(table, query, timeout=1).ask(T0, T0 + 60, "")
    assert time.monotonic() - began < 20


def test_a_postgres_that_is_not_there_may_pass() -> None:
    with pytest.raises(SourceFailed) as failed:
        source("postgresql://u:hush@127.0.0.1:9/x", OPENS).ask(T0, T0 + 60, "")
    assert failed.value.passing
    assert "hush" not in str(failed.value)
    assert str(failed.value).startswith("the database 127.0.0.1:9/x cannot be reached: ")
    assert str(failed.value).endswith("is its address right, is it up, and may we read it?")


def test_opens_stored_per_minute_by_sqlite(file: Path) -> None:
    opened_in(file, (0, "a"), (59, "a"), (60, "b"))
    one = source(f"sqlite:///{file}", IN_SQLITE)
    first = one.ask(T0, T0 + 125, "")
    assert told(first) == {("a", 0): 2, ("a", 60): 0, ("b", 0): 0, ("b", 60): 1}
    opened_in(file, (60, "b"))
    assert told(one.ask(first.until, T0 + 130, first.memo)) == {("b", 60): 1}


def test_nothing_is_asked_again_from_before_the_beginning(file: Path) -> None:
    opened_in(file, (-300, "a"), (0, "a"))
    one = source(f"sqlite:///{file}", IN_SQLITE)
    first = one.ask(T0, T0 + 60, "")
    second = one.ask(first.until, T0 + 120, first.memo)
    assert told(first) == {("a", 0): 1}
    assert told(second) == {("a", 60): 0}


def test_nothing_is_written_to_sqlite_and_no_file_is_made(file: Path, tmp_path: Path) -> None:
    query = (
        "DELETE FROM opens WHERE opened_at >= :since OR opened_at < :until RETURNING 1 AS time, 1 AS count"
    )
    opened_in(file, (0, "a"))
    with pytest.raises(SourceFailed, match="readonly"):
        source(f"sqlite:///{file}", query).ask(T0, T0 + 60, "")
    with pytest.raises(
        SourceFailed,
        match=f"the database {tmp_path}/none.db cannot be reached: unable to open .*address right",
    ):
        source(f"sqlite:///{tmp_path}/none.db", IN_SQLITE).ask(T0, T0 + 60, "")
    assert not (tmp_path / "none.db").exists()


def test_a_query_without_end_is_ended_in_sqlite(file: Path) -> None:
    query = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
               SELECT :since_epoch AS time, count(*) AS count, :until_epoch FROM n"""
    with pytest.raises(SourceFailed, match="took more than 1 s"):
        source(f"sqlite:///{file}", query, timeout=1).ask(T0, T0 + 60, "")


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ("count(*) AS count, min(opened_at) AS at", "no column `time` (it gives count, at)"),
        (f"{T0} AS time, count(*) AS n", "no column `count`"),
        (f"{T0} AS time, 'many' AS count", "column count: found 'many', expected a number"),
        (f"{T0} AS time, -1 AS count", "expected a number from 0 on"),
        (f"{T0} AS time, 9e999 AS count", "expected a number from 0 on"),
        ("'yesterday' AS time, 1 AS count", "column time: found 'yesterday', expected a timestamp"),
        ("NULL AS time, 1 AS count", "column time: found NULL"),
        (f"{T0} AS time, NULL AS count", "column count: found NULL, expected a number: COALESCE"),
        (f"{T0} AS time, 1 AS count, 2 AS count", "more than one column `count`"),
        (f"{T0}000 AS time, 1 AS count", f"column time: found '{T0}000', expected one from"),
        (f"{T0}000000000 AS time, 1 AS count", "and in seconds where it is a number?"),
        ("9e999 AS time, 1 AS count", "column time: found 'inf'"),
        ("'0001-01-01T00:00:00+10:00' AS time, 1 AS count", "column time: found '0001-01-01T00:00:00+10:00'"),
        (f"{T0 + 60} AS time, 1 AS count", "column time: found 2022-04-15T05:21:00Z, expected one from"),
        (f"{T0 // 86400 * 86400} AS time, 1 AS count", "cut to no more than `interval`"),
        ("nonsense AS time, 1 AS count", "no such column: nonsense"),
    ],
)
def test_what_is_wrong_with_a_query_is_one_line(file: Path, select: str, said: str) -> None:
    opened_in(file, (0, "a"))
    query = f"SELECT {select} FROM opens WHERE opened_at >= :since AND opened_at < :until"
    with pytest.raises(SourceFailed) as failed:
        source(f"sqlite:///{file}", query).ask(T0, T0 + 60, "")
    assert said in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    "time",
    [
        "2022-04-15T05:20:00Z", "2022-04-15 05:20:00", "2022-04-15 07:20:00+02", "2022-04-15T03:20:00-0200",
        "2022-04-15 07:20:00.123456+02:00", str(T0),
    ],
)  # fmt: skip
def test_a_time_that_is_text_is_read_with_its_offset(file: Path, time: str) -> None:
    query = f"SELECT '{time}' AS time, 1 AS count WHERE :since < :until"
    told = source(f"sqlite:///{file}", query).ask(T0, T0 + 60, "").readings
    assert sum(told.value) == 1


def test_a_colon_of_the_query_itself_is_told_from_a_name(file: Path) -> None:
    query = """SELECT :since_epoch AS time, 1 AS count, '{"a":1, "b": "12:30"}' AS x WHERE :since < :until"""
    with pytest.raises(ValueError, match=r"names :1, expected only :since, :until, .* written \\:"):
        source(f"sqlite:///{file}", query)
    one = source(f"sqlite:///{file}", query.replace(":1", "\\:1"))
    (key,) = one.ask(T0, T0 + 60, "").readings.keys
    assert dict(key.attributes) == {"x": '{"a":1, "b": "12:30"}'}


def test_more_rows_than_were_allowed_are_refused(file: Path) -> None:
    opened_in(file, *((0, str(i)) for i in range(11)))
    with pytest.raises(SourceFailed, match="more than 10 rows"):
        source(f"sqlite:///{file}", IN_SQLITE, rows=10).ask(T0, T0 + 60, "")


def test_service_metric_and_version_may_be_columns(file: Path) -> None:
    query = f"""SELECT {T0} AS time, 2.0 AS count, 's' AS service, 'm' AS metric, '1.2' AS version, 7 AS shard,
                NULL AS region WHERE :since < :until"""
    answer = source(f"sqlite:///{file}", query).ask(T0, T0 + 60, "")
    assert answer.readings.keys == (SeriesKey("s", "m", "1.2", (("shard", "7"),)),)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nothing", "no address"),
        ("klingon://x/y", "no kind of database"),
        ("mssql://u:hush@x/y", "not installed"),
    ],
)
def test_an_address_that_cannot_be_used_is_said_without_its_password(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        source(url, OPENS)
    assert "hush" not in str(refused.value)
