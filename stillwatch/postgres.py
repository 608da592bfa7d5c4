"""A database of a PostgreSQL server: how it is connected to, whose it is, what is wrong when it cannot be used.

In: an address. Out: see database.py. Never: a password in a message; another program's tables touched; a wait for a
server that is gone without an end.

Writers queue at one lock, also those of another daemon, as they do at a SQLite file: what holds there holds here,
and what a reader finds was committed in the order of its numbers.
"""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from stillwatch import schema
from stillwatch.tables import StoreTrouble, Unreachable

log = logging.getLogger(__name__)

WRITER = 0x53744C77  # "StLw", the advisory lock of who writes
WAIT = 5  # seconds for which we wait for a connection, and for another who writes
LEFT = 15  # seconds after which the server takes back the lock of somebody who stopped in the middle
GONE = {  # seconds, as libpq names them: a server that is silent is given up in a quarter of a minute
    "connect_timeout": WAIT,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # this one in milliseconds
}
SESSION = (
    f"SET lock_timeout = '{WAIT}s'",
    f"SET idle_in_transaction_session_timeout = '{LEFT}s'",
    # What is acknowledged outlives a loss of power, whatever else is usual there.
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
)
SAID = {  # SQLSTATE -> what it means here
    "53100": "no space left at the server; free some, Stillwatch goes on when it can write",
    "55P03": "another one writes there for long; Stillwatch goes on when that one lets go",
    "42501": "its user may not do that; let that user own the database",
    "25006": "it is read only (a standby?); name the one that can be written in `database`",
}
PASSING = (
    "08",
    "53",
    "55",
    "57",
    "40",
    "25",
)  # classes of SQLSTATE that end without anything being done here


class Postgres:
    """See database.Database."""

    def __init__(self, address: str) -> None:
        """address: postgresql://USER:PASSWORD@HOST:PORT/NAME. Raises StoreTrouble."""
        try:
            self._url = make_url(address).set(drivername="postgresql+psycopg")
        except ArgumentError:
            raise StoreTrouble("`database`: found no address, expected postgresql://USER@HOST/NAME") from None
        self.name = _shown(self._url)

    def exists(self) -> bool:
        """See database.Database."""
        engine = self.connected()
        try:
            with engine.begin() as connection:
                return schema.version(connection) is not None
        except DBAPIError as error:
            raise self.in_words(error) from error
        finally:
            engine.dispose()

    def connected(self) -> Engine:
        """See database.Database. Raises StoreTrouble where the driver is missing."""
        try:
            engine = create_engine(
                self._url,
                connect_args={name: value for name, value in GONE.items() if name not in self._url.query},
                pool_pre_ping=True,  # a connection that was dropped while nobody used it troubles nobody
                max_overflow=30,
                pool_timeout=WAIT,
                hide_parameters=True,
            )
        except ImportError as error:
            raise StoreTrouble(
                f"{self.name}: the driver {error.name} is not installed: pip install 'stillwatch[postgres]'"
            ) from None
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
        return engine

    def claim(self, engine: Engine) -> None:
        """See database.Database."""
        with engine.begin() as connection:
            found = inspect(connection).get_table_names()
            weak = [
                name
                for name in ("fsync", "full_page_writes")
                if connection.exec_driver_sql(f"SHOW {name}").scalar_one() == "off"
            ]
        if found and schema.VERSIONS not in found:
            raise StoreTrouble(
                f"{self.name}: this database is another program's; make one for Stillwatch alone and name it in "
                "`database`"
            )
        if weak:
            log.warning("%s: %s is off there, a loss of power may destroy it", self.name, ", ".join(weak))
        schema.upgrade(engine, self.name)

    def in_words(self, error: DBAPIError) -> StoreTrouble:
        """See database.Database."""
        state = getattr(error.orig, "sqlstate", None) or ""
        said = " ".join(str(error.orig).strip().partition("\n")[0].split())[:300]
        if error.connection_invalidated or not state:
            return Unreachable(f"{self.name}: cannot be reached; Stillwatch goes on when it answers ({said})")
        kind = Unreachable if state.startswith(PASSING) else StoreTrouble
        return kind(f"{self.name}: {SAID.get(state, said)}")


def _shown(url: URL) -> str:
    """Without a password, and without options, which may hold one."""
    return URL.create("postgresql", url.username, None, url.host, url.port, url.database).render_as_string()


def _on_connect(connection: Any, record: Any) -> None:
    del record
    with connection.cursor() as cursor:
        cursor.execute("; ".join(SESSION))
    connection.commit()


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    if writes:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER})")
    else:
        # As in SQLite, a reader sees one state of everything from its first question to its last.
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
