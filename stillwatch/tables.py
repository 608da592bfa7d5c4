"""The database file: its tables, how it is opened, what is wrong when it cannot be used.

In: a path. Out: an engine on a file that is ours, or StoreTrouble with one line for a person.
Never: a question asked or a fact kept (see store.py and mailbox.py); another program's file touched.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    text,
)
from sqlalchemy.exc import DBAPIError

OURS = 0x53744C77  # "StLw", SQLite's application_id: this file is Stillwatch's
FORMAT = 2  # SQLite's user_version
WAIT = 5  # seconds for which we wait for another program that writes

meta = MetaData()

settled = Table(
    "settled", meta, Column("name", Text, primary_key=True), Column("value", Integer, nullable=False)
)
series = Table(
    "series",
    meta,
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("service", Text, nullable=False),
    Column("metric", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("attributes", Text, nullable=False),  # JSON, sorted pairs
)
# The interval as it was judged, with the counts for earlier ones that were known by then.
intervals = Table(
    "intervals",
    meta,
    Column("start", Integer, primary_key=True, autoincrement=False),
    Column("closed", Integer, nullable=False),
    Column("watched", Integer, nullable=False),
    Column("counts", LargeBinary, nullable=False),
    Column("late", LargeBinary),
)
deployments = Table(
    "deployments",
    meta,
    Column("id", Text, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("known", Integer, nullable=False, index=True),
    Column("whole", Text, nullable=False),  # JSON
)
# A cache: what is missing or broken is made again from the intervals.
snapshots = Table(
    "snapshots",
    meta,
    Column("upto", Integer, primary_key=True, autoincrement=False),
    Column("crc", Integer, nullable=False),
    Column("state", LargeBinary, nullable=False),
)
# The database holds no value above a gigabyte: what a large snapshot has beyond its first part, in order.
snapshot_parts = Table(
    "snapshot_parts",
    meta,
    Column("upto", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", LargeBinary, nullable=False),
)
# What was acknowledged to a sender and is in no stored interval or collector state yet.
journal = Table(
    "journal",
    meta,
    Column("number", Integer, primary_key=True),
    Column("received", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
    sqlite_autoincrement=True,  # numbers are never used again: the collector's state names the last it holds
)
collector = Table(
    "collector",
    meta,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("journal", Integer, nullable=False),  # number of the last journal row that is in it
    Column("state", LargeBinary, nullable=False),
)
# How far each source that we ask has told, and what it has to remember to go on.
asked = Table(
    "asked",
    meta,
    Column("source", Text, primary_key=True),
    Column("until", Integer, nullable=False),
    Column("memo", Text, nullable=False),
)
news = Table(
    "news",
    meta,
    Column("incident", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("time", Integer, nullable=False),
    Column("line", Text, nullable=False),  # as in alerts.jsonl
)
# Each incident as of its newest event, what stands on its card beside that, and whether a silence muted it when we
# looked last. edits: how often the card was edited for the sake of what people said.
incidents = Table(
    "incidents",
    meta,
    Column("id", Text, primary_key=True),
    Column("opened", Integer, nullable=False, index=True),
    Column("resolved", Integer, nullable=False),
    Column("number", Integer, nullable=False),  # of the event, within the incident
    Column("event", Text, nullable=False),  # alerts.packed
    Column("shown", Text, nullable=False),  # JSON, lines
    Column("muted", Integer, nullable=False),
    Column("edits", Integer, nullable=False),
    Index("open", "opened", sqlite_where=text("resolved = 0")),
)
# What people said of incidents. The same said twice by the same person is one.
words = Table(
    "words",
    meta,
    Column("number", Integer, primary_key=True),
    Column("incident", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("deployment", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("known", Integer, nullable=False, index=True),
    Column("whole", Text, nullable=False),  # alerts.packed
    UniqueConstraint("incident", "kind", "who", "deployment", "service"),
)
# What people asked to be put back, each once: it is asked for again only where it was surely not begun.
rollbacks = Table(
    "rollbacks",
    meta,
    Column("number", Integer, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("incident", Text, nullable=False, index=True),
    Column("service", Text, nullable=False, index=True),
    Column("state", Text, nullable=False, index=True),
    Column("tries", Integer, nullable=False),
    Column("whole", Text, nullable=False),  # alerts.packed
)
silences = Table(
    "silences",
    meta,
    Column("id", Text, primary_key=True),
    Column("starts", Integer, nullable=False, index=True),
    Column("ends", Integer, nullable=False, index=True),  # 0: until its incident is over
    Column("whole", Text, nullable=False),  # alerts.packed
)
outbox = Table(
    "outbox",
    meta,
    Column("number", Integer, primary_key=True),
    Column("incident", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("message", Text, nullable=False),  # alerts.packed
    Column("entered", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("unknown_since", Integer, nullable=False),
    Column("not_before", Integer, nullable=False),
    Column("receipt_channel", Text),
    Column("receipt_id", Text),
    Column("why", Text, nullable=False),
    UniqueConstraint("channel", "key"),
    Index("waiting", "number", sqlite_where=text("state = 'waiting'")),
    sqlite_autoincrement=True,
)
pauses = Table(
    "pauses", meta, Column("channel", Text, primary_key=True), Column("until", Integer, nullable=False)
)


class StoreTrouble(Exception):  # noqa: N818  (it reads as what happened)
    """The database cannot be used now; the text is one line that says what to do."""


def open_file(path: Path) -> Engine:
    """An engine on the database at `path`, made if absent. Raises StoreTrouble."""
    if not path.parent.is_dir():
        raise StoreTrouble(f"{path}: the folder {path.parent} does not exist; create it or set `database`")
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": WAIT})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    try:
        with clear(path):
            _claim(engine, path)
    except StoreTrouble:
        engine.dispose()
        raise
    return engine


@contextmanager
def clear(path: Path) -> Iterator[None]:
    """Turns what the database says is wrong into StoreTrouble with one line for a person."""
    try:
        yield
    except DBAPIError as error:
        raise StoreTrouble(f"{path}: {_in_words(path, str(error.orig))}") from error
    except sqlite3.Error as error:
        raise StoreTrouble(f"{path}: {_in_words(path, str(error))}") from error


def _in_words(path: Path, said: str) -> str:
    if "full" in said:
        return f"no space left in {path.parent}; free some, Stillwatch goes on when it can write"
    if "locked" in said:
        return "another program holds it; Stillwatch goes on when that one lets go"
    if "not a database" in said:
        return "this is no Stillwatch database; name another file in `database`"
    if "malformed" in said:
        return "the file is damaged; put it aside (or restore a copy) and start again"
    if "readonly" in said or "unable to open" in said:
        return f"cannot be written ({said}); check the permissions of the file and of {path.parent}"
    return said


def _on_connect(connection: sqlite3.Connection, record: Any) -> None:
    del record
    connection.isolation_level = None  # the driver's own BEGIN comes too late to cover reads
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA busy_timeout = {WAIT * 1000}")


def _on_begin(connection: Connection) -> None:
    # A writer takes its lock at once: one that began by reading could not wait for another.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _claim(engine: Engine, path: Path) -> None:
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        whose, which, objects = (
            cursor.execute(question).fetchone()[0]
            for question in (
                "PRAGMA application_id",
                "PRAGMA user_version",
                "SELECT count(*) FROM sqlite_master",
            )
        )
        if objects and whose != OURS:
            raise StoreTrouble(f"{path}: this database is another program's; name another file in `database`")
        if which > FORMAT:
            raise StoreTrouble(
                f"{path}: written by a newer Stillwatch (format {which}, this one knows {FORMAT}); "
                "update Stillwatch or name another file in `database`"
            )
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA application_id = {OURS}")
        cursor.execute(f"PRAGMA user_version = {FORMAT}")
    finally:
        raw.close()
    with engine.execution_options(writes=True).begin() as connection:
        meta.create_all(connection)
