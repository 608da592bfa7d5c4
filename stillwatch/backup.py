"""A copy of the database while the daemon works on it, from which another may go on.

In: the path of the database and of the copy. Out: a whole copy, as of one moment, or a reason in one line.
Never: half a copy under the name that was asked for; a message that went out after the copy told again from it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from stillwatch.config import POSTGRESQL
from stillwatch.sqlite_file import OURS, SqliteFile
from stillwatch.tables import StoreTrouble

# What waits in the copy may have been delivered since: who goes on from it is to look first.
LOOK_FIRST = "UPDATE outbox SET unknown_since = entered WHERE state = 'waiting' AND unknown_since = 0"


def backup(where: str, copy: Path) -> int:
    """Make the copy; returns its size in bytes. where: as `database` in the settings says.

    Raises StoreTrouble: no such database, the copy is there already, no space, or what was copied is damaged.
    """
    if where.startswith(POSTGRESQL):
        raise StoreTrouble("what is in PostgreSQL is copied by pg_dump; see docs/operations.md")
    database = Path(where)
    if not database.is_file():
        raise StoreTrouble(f"{database}: there is no database; name another file in `database`")
    if copy.exists():
        raise StoreTrouble(f"{copy}: is there already; name another file")
    part = copy.with_name(copy.name + ".part")
    try:
        part.unlink(missing_ok=True)
        _copy(database, part)
        part.rename(copy)
    except sqlite3.Error as error:
        raise SqliteFile(copy).trouble(error) from error
    except OSError as error:
        raise StoreTrouble(f"{copy}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return copy.stat().st_size


def _copy(database: Path, part: Path) -> None:
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as source:
        if source.execute("PRAGMA application_id").fetchone()[0] != OURS:
            raise StoreTrouble(f"{database}: this is no Stillwatch database")
        with closing(sqlite3.connect(part)) as target:
            source.backup(target)  # all at once: of one moment, and no writer waits for it
            target.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
            with target:
                target.execute(LOOK_FIRST)
            if target.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise StoreTrouble(
                    f"{database}: is damaged, the copy was thrown away; see docs/operations.md"
                )
