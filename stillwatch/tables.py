"""The tables in which everything is kept, the same in SQLite and in PostgreSQL.

How they came to be so, version by version, stands in `migrations`; a test holds the two together.
Never: a question asked or a fact kept (see store.py and mailbox.py), a database opened (see database.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

Whole = Integer().with_variant(BigInteger, "postgresql")  # SQLite's own is as wide


class Outside(TypeDecorator[str]):
    """Text as it came from outside. PostgreSQL keeps no character 0, so it is written in another way there."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """As it is written."""
        if value is None or dialect.name != "postgresql":
            return value
        return value.replace("\\", "\\\\").replace("\0", "\\0")

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], str | None] | None:
        """What turns it back; nothing where it is kept as it is, since of many series each call counts."""
        return super().result_processor(dialect, coltype) if dialect.name == "postgresql" else None

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """As it was."""
        if value is None or "\\" not in value:
            return value
        return "\\".join(part.replace("\\0", "\0") for part in value.split("\\\\"))


meta = MetaData()

settled = Table(
    "settled", meta, Column("name", Text, primary_key=True), Column("value", Whole, nullable=False)
)
series = Table(
    "series",
    meta,
    Column("row", Whole, primary_key=True, autoincrement=False),
    Column("service", Outside, nullable=False),
    Column("metric", Outside, nullable=False),
    Column("version", Outside, nullable=False),
    Column("attributes", Text, nullable=False),  # JSON, sorted pairs
)
# The source that is asked for a series; of what is sent to us there is none.
told_by = Table(
    "told_by",
    meta,
    Column("row", Whole, primary_key=True, autoincrement=False),
    Column("source", Outside, nullable=False),
)
# The interval as it was judged, with the counts for earlier ones that were known by then.
intervals = Table(
    "intervals",
    meta,
    Column("start", Whole, primary_key=True, autoincrement=False),
    Column("closed", Whole, nullable=False),
    Column("watched", Whole, nullable=False),
    Column("counts", LargeBinary, nullable=False),
    Column("late", LargeBinary),
)
deployments = Table(
    "deployments",
    meta,
    Column("id", Outside, primary_key=True),
    Column("service", Outside, primary_key=True),
    Column("known", Whole, nullable=False, index=True),
    Column("whole", Text, nullable=False),  # JSON
)
# A cache: what is missing or broken is made again from the intervals.
snapshots = Table(
    "snapshots",
    meta,
    Column("upto", Whole, primary_key=True, autoincrement=False),
    Column("crc", Whole, nullable=False),
    Column("state", LargeBinary, nullable=False),
)
# The database holds no value above a gigabyte: what a large snapshot has beyond its first part, in order.
snapshot_parts = Table(
    "snapshot_parts",
    meta,
    Column("upto", Whole, primary_key=True, autoincrement=False),
    Column("number", Whole, primary_key=True, autoincrement=False),
    Column("state", LargeBinary, nullable=False),
)
# What was acknowledged to a sender and is in no stored interval or collector state yet.
journal = Table(
    "journal",
    meta,
    Column("number", Whole, primary_key=True),
    Column("received", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
    sqlite_autoincrement=True,  # numbers are never used again: the collector's state names the last it holds
)
collector = Table(
    "collector",
    meta,
    Column("only", Whole, primary_key=True, autoincrement=False),
    Column("journal", Whole, nullable=False),  # number of the last journal row that is in it
    Column("state", LargeBinary, nullable=False),
)
# How far each source that we ask has told, and what it has to remember to go on.
asked = Table(
    "asked",
    meta,
    Column("source", Text, primary_key=True),
    Column("until", Whole, nullable=False),
    Column("memo", Text, nullable=False),
)
news = Table(
    "news",
    meta,
    Column("incident", Text, primary_key=True),
    Column("number", Whole, primary_key=True),
    Column("time", Whole, nullable=False),
    Column("line", Text, nullable=False),  # as in alerts.jsonl
    Column("place", Whole, nullable=False, unique=True, index=True),  # in the order in which news was made
)
# Each incident as of its newest event, what stands on its card beside that, and whether a silence muted it when we
# looked last. edits: how often the card was edited for the sake of what people said.
incidents = Table(
    "incidents",
    meta,
    Column("id", Text, primary_key=True),
    Column("opened", Whole, nullable=False, index=True),
    Column("resolved", Whole, nullable=False),
    Column("number", Whole, nullable=False),  # of the event, within the incident
    Column("event", Text, nullable=False),  # alerts.packed
    Column("shown", Text, nullable=False),  # JSON, lines
    Column("muted", Whole, nullable=False),
    Column("edits", Whole, nullable=False),
    Index("open", "opened", sqlite_where=text("resolved = 0"), postgresql_where=text("resolved = 0")),
)
# What people said of incidents. The same said twice by the same person is one.
words = Table(
    "words",
    meta,
    Column("number", Whole, primary_key=True),
    Column("incident", Outside, nullable=False),
    Column("kind", Text, nullable=False),
    Column("who", Outside, nullable=False),
    Column("deployment", Outside, nullable=False),
    Column("service", Outside, nullable=False),
    Column("known", Whole, nullable=False, index=True),
    Column("whole", Text, nullable=False),  # alerts.packed
    UniqueConstraint("incident", "kind", "who", "deployment", "service"),
)
# What people asked to be put back, each once: it is asked for again only where it was surely not begun.
rollbacks = Table(
    "rollbacks",
    meta,
    Column("number", Whole, primary_key=True),
    Column("key", Outside, nullable=False, unique=True),
    Column("incident", Outside, nullable=False, index=True),
    Column("service", Outside, nullable=False, index=True),
    Column("state", Text, nullable=False, index=True),
    Column("tries", Whole, nullable=False),
    Column("whole", Text, nullable=False),  # alerts.packed
)
silences = Table(
    "silences",
    meta,
    Column("id", Text, primary_key=True),
    Column("starts", Whole, nullable=False, index=True),
    Column("ends", Whole, nullable=False, index=True),  # 0: until its incident is over
    Column("whole", Text, nullable=False),  # alerts.packed
)
outbox = Table(
    "outbox",
    meta,
    Column("number", Whole, primary_key=True),
    Column("incident", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("key", Outside, nullable=False),
    Column("message", Text, nullable=False),  # alerts.packed
    Column("entered", Whole, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", Whole, nullable=False),
    Column("unknown_since", Whole, nullable=False),
    Column("not_before", Whole, nullable=False),
    Column("receipt_channel", Text),
    Column("receipt_id", Text),
    Column("why", Outside, nullable=False),
    UniqueConstraint("channel", "key"),
    Index(
        "waiting",
        "number",
        sqlite_where=text("state = 'waiting'"),
        postgresql_where=text("state = 'waiting'"),
    ),
    sqlite_autoincrement=True,
)
pauses = Table(
    "pauses", meta, Column("channel", Text, primary_key=True), Column("until", Whole, nullable=False)
)
# Which of several daemons judges and tells: its holder, until then (epoch seconds of the server).
lease = Table(
    "lease",
    meta,
    Column("only", Whole, primary_key=True, autoincrement=False),
    Column("epoch", Whole, nullable=False),
    Column("holder", Text, nullable=False),
    Column("until", Float, nullable=False),
)


class StoreTrouble(Exception):  # noqa: N818  (it reads as what happened)
    """The database cannot be used now; the text is one line that says what to do."""


class NoDatabase(StoreTrouble):
    """Nothing was ever kept there."""


class Deposed(StoreTrouble):
    """Another daemon judges and tells by now: nothing more is to be written as if we did."""


class Unreachable(StoreTrouble):
    """Nobody answers there now, or not any more: it may answer again without anything being done here."""
