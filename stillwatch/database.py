"""Where everything is kept: a SQLite file of ours, or a database of a PostgreSQL server, behind one face.

In: what `database` in the settings says. Out: an engine with all tables as they are now, or StoreTrouble with one
line for a person. Never: a question asked or a fact kept (see store.py and mailbox.py); a password shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoneFree

from stillwatch.config import POSTGRESQL
from stillwatch.tables import StoreTrouble, Unreachable


class Database(Protocol):
    """Of one kind. name: how it is called before people."""

    name: str

    def exists(self) -> bool:
        """False where nothing was ever kept there. May raise StoreTrouble."""
        ...

    def connected(self) -> Engine:
        """An engine; a connection with the option `writes` waits in its beginning until no other one writes."""
        ...

    def claim(self, engine: Engine) -> None:
        """See that it is ours, and bring its tables up to what they are now. Raises StoreTrouble."""
        ...

    def in_words(self, error: DBAPIError) -> StoreTrouble:
        """What is wrong, and what to do."""
        ...


def database_at(where: Path | str) -> Database:
    """The database at a path, or at an address that begins with postgresql://. Raises StoreTrouble."""
    if isinstance(where, str) and where.startswith(POSTGRESQL):
        from stillwatch.postgres import Postgres

        return Postgres(where)
    from stillwatch.sqlite_file import SqliteFile

    return SqliteFile(Path(where))


def opened(database: Database) -> Engine:
    """An engine on it; a file is made if absent. Raises StoreTrouble."""
    engine = database.connected()
    try:
        with clear(database):
            database.claim(engine)
    except StoreTrouble:
        engine.dispose()
        raise
    return engine


@contextmanager
def clear(database: Database) -> Iterator[None]:
    """Turns what the database says is wrong into StoreTrouble with one line for a person."""
    try:
        yield
    except DBAPIError as error:
        raise database.in_words(error) from error
    except NoneFree as error:
        raise Unreachable(
            f"{database.name}: no connection became free in time; it is slow to answer"
        ) from error


def is_writing(connection: Connection) -> bool:
    """Was the connection taken to write?"""
    return bool(connection.get_execution_options().get("writes", False))
