"""Rows that may be there already, in words that SQLite and PostgreSQL share.

In: a connection within a transaction, a table, a row. Out: the row in the table, once.
Never: a transaction begun or ended here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def add(c: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Keep a row unless one with a same key is there; was it new?"""
    wanted = _insert(c, table).values(row).on_conflict_do_nothing()
    return c.execute(wanted, execution_options={"preserve_rowcount": True}).rowcount > 0


def put(c: Connection, table: Table, row: Mapping[str, Any], key: str, after: Mapping[str, Any]) -> None:
    """Keep a row; where one of the same `key` (a column) is there, let `after` hold of that one from now on."""
    c.execute(_insert(c, table).values(row).on_conflict_do_update(index_elements=[key], set_=dict(after)))


def _insert(c: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    return postgresql.insert(table) if c.dialect.name == "postgresql" else sqlite.insert(table)
