"""The SQLite file: how it is opened, whose it is, what is wrong when it cannot be used.

In: a path. Out: see database.py. Never: another program's file touched.
A commit is on disk when it returns: write-ahead log, synchronous = FULL.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from stillwatch import schema
from stillwatch.tables import StoreTrouble

OURS = 0x53744C77  # "StLw", SQLite's application_id: this file is Stillwatch's
FORMAT = 3  # SQLite's user_version; from 3 on the file says its schema's version itself
WAIT = 5  # seconds for which we wait for another program that writes


class SqliteFile:
    """See database.Database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    def exists(self) -> bool:
        """Is there such a file?"""
        return self._path.exists()

    def connected(self) -> Engine:
        """An engine on the file, which is made if absent. Raises StoreTrouble."""
        if not self._path.parent.is_dir():
            raise StoreTrouble(
                f"{self.name}: the folder {self._path.parent} does not exist; create it or set `database`"
            )
        engine = create_engine(
            URL.create("sqlite", database=self.name), connect_args={"timeout": WAIT}, hide_parameters=True
        )
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
        return engine

    def claim(self, engine: Engine) -> None:
        """See database.Database."""
        try:
            self._claim(engine)
        except sqlite3.Error as error:
            raise self.trouble(error) from error
        schema.upgrade(engine, self.name)

    def _claim(self, engine: Engine) -> None:
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
                raise StoreTrouble(
                    f"{self.name}: this database is another program's; name another file in `database`"
                )
            if which > FORMAT:
                raise StoreTrouble(
                    f"{self.name}: written by a newer Stillwatch (format {which}, this one knows {FORMAT}); "
                    "update Stillwatch or name another file in `database`"
                )
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute(f"PRAGMA application_id = {OURS}")
        finally:
            raw.close()

    def in_words(self, error: DBAPIError) -> StoreTrouble:
        """See database.Database."""
        return self.trouble(error.orig)

    def trouble(self, error: BaseException | None) -> StoreTrouble:
        """What is wrong, and what to do, of what SQLite says."""
        return StoreTrouble(f"{self.name}: {self._said(str(error))}")

    def _said(self, said: str) -> str:
        folder = self._path.parent
        if "full" in said:
            return f"no space left in {folder}; free some, Stillwatch goes on when it can write"
        if "locked" in said:
            return "another program holds it; Stillwatch goes on when that one lets go"
        if "not a database" in said:
            return "this is no Stillwatch database; name another file in `database`"
        if "malformed" in said:
            return "the file is damaged; put it aside (or restore a copy) and start again"
        if "readonly" in said or "unable to open" in said:
            return f"cannot be written ({said}); check the permissions of the file and of {folder}"
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
