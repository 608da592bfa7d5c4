"""The tables as SQLite files had them in format 2.

A file of format 1, or of an early format 2, has some of them: those are left as they are, and get what they lack.
"""

from __future__ import annotations

import json

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    inspect,
    text,
)

revision = "1"
down_revision = None

Whole = Integer().with_variant(BigInteger, "postgresql")
OPEN, WAITING = text("resolved = 0"), text("state = 'waiting'")
TABLES = {
    "settled": (Column("name", Text, primary_key=True), Column("value", Whole, nullable=False)),
    "series": (
        Column("row", Whole, primary_key=True, autoincrement=False),
        Column("service", Text, nullable=False),
        Column("metric", Text, nullable=False),
        Column("version", Text, nullable=False),
        Column("attributes", Text, nullable=False),
    ),
    "intervals": (
        Column("start", Whole, primary_key=True, autoincrement=False),
        Column("closed", Whole, nullable=False),
        Column("watched", Whole, nullable=False),
        Column("counts", LargeBinary, nullable=False),
        Column("late", LargeBinary),
    ),
    "deployments": (
        Column("id", Text, primary_key=True),
        Column("service", Text, primary_key=True),
        Column("known", Whole, nullable=False, index=True),
        Column("whole", Text, nullable=False),
    ),
    "snapshots": (
        Column("upto", Whole, primary_key=True, autoincrement=False),
        Column("crc", Whole, nullable=False),
        Column("state", LargeBinary, nullable=False),
    ),
    "snapshot_parts": (
        Column("upto", Whole, primary_key=True, autoincrement=False),
        Column("number", Whole, primary_key=True, autoincrement=False),
        Column("state", LargeBinary, nullable=False),
    ),
    "journal": (
        Column("number", Whole, primary_key=True),
        Column("received", Float, nullable=False),
        Column("body", LargeBinary, nullable=False),
    ),
    "collector": (
        Column("only", Whole, primary_key=True, autoincrement=False),
        Column("journal", Whole, nullable=False),
        Column("state", LargeBinary, nullable=False),
    ),
    "asked": (
        Column("source", Text, primary_key=True),
        Column("until", Whole, nullable=False),
        Column("memo", Text, nullable=False),
    ),
    "news": (
        Column("incident", Text, primary_key=True),
        Column("number", Whole, primary_key=True, autoincrement=False),
        Column("time", Whole, nullable=False),
        Column("line", Text, nullable=False),
    ),
    "incidents": (
        Column("id", Text, primary_key=True),
        Column("opened", Whole, nullable=False, index=True),
        Column("resolved", Whole, nullable=False),
        Column("number", Whole, nullable=False),
        Column("event", Text, nullable=False),
        Column("shown", Text, nullable=False),
        Column("muted", Whole, nullable=False),
        Column("edits", Whole, nullable=False),
        Index("open", "opened", sqlite_where=OPEN, postgresql_where=OPEN),
    ),
    "words": (
        Column("number", Whole, primary_key=True),
        Column("incident", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("who", Text, nullable=False),
        Column("deployment", Text, nullable=False),
        Column("service", Text, nullable=False),
        Column("known", Whole, nullable=False, index=True),
        Column("whole", Text, nullable=False),
        UniqueConstraint("incident", "kind", "who", "deployment", "service"),
    ),
    "rollbacks": (
        Column("number", Whole, primary_key=True),
        Column("key", Text, nullable=False, unique=True),
        Column("incident", Text, nullable=False, index=True),
        Column("service", Text, nullable=False, index=True),
        Column("state", Text, nullable=False, index=True),
        Column("tries", Whole, nullable=False),
        Column("whole", Text, nullable=False),
    ),
    "silences": (
        Column("id", Text, primary_key=True),
        Column("starts", Whole, nullable=False, index=True),
        Column("ends", Whole, nullable=False, index=True),
        Column("whole", Text, nullable=False),
    ),
    "outbox": (
        Column("number", Whole, primary_key=True),
        Column("incident", Text, nullable=False),
        Column("channel", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("message", Text, nullable=False),
        Column("entered", Whole, nullable=False),
        Column("state", Text, nullable=False),
        Column("tries", Whole, nullable=False),
        Column("unknown_since", Whole, nullable=False),
        Column("not_before", Whole, nullable=False),
        Column("receipt_channel", Text),
        Column("receipt_id", Text),
        Column("why", Text, nullable=False),
        UniqueConstraint("channel", "key"),
        Index("waiting", "number", sqlite_where=WAITING, postgresql_where=WAITING),
    ),
    "pauses": (Column("channel", Text, primary_key=True), Column("until", Whole, nullable=False)),
}
NEVER_AGAIN = {"journal", "outbox"}  # tables whose numbers are never used again


def upgrade() -> None:
    """Make what is not there."""
    there = inspect(op.get_bind()).get_table_names()
    if "rollbacks" in there:
        _name_services()
    for name, parts in TABLES.items():
        if name not in there:
            op.create_table(name, *parts, sqlite_autoincrement=name in NEVER_AGAIN)


def _name_services() -> None:
    """At first, what was put back was looked up by its deployment."""
    bind = op.get_bind()
    names = {column["name"] for column in inspect(bind).get_columns("rollbacks")}
    if "service" in names:
        return
    op.add_column("rollbacks", Column("service", Text, nullable=False, server_default=""))
    for number, whole in bind.execute(text("SELECT number, whole FROM rollbacks")).all():
        named = {"service": json.loads(whole)["service"], "number": number}
        bind.execute(text("UPDATE rollbacks SET service = :service WHERE number = :number"), named)
    op.drop_index("ix_rollbacks_deployment", "rollbacks")
    op.drop_column("rollbacks", "deployment")
    op.create_index("ix_rollbacks_service", "rollbacks", ["service"])
