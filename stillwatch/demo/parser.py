"""Event parser: what readers' mail programs report, stored so that senders see who opened their mail.

In: batches of events. Out: opens in the database. Never: an answer that depends on what an event holds:
a batch is acknowledged at once and worked through afterwards, so an event that fails then is lost.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Mapping, Sequence

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stillwatch.demo.serving import Surroundings, counting_failures, serve

LOG = logging.getLogger(__name__)

SERVICE = "event-parser"
OPENS = "opens.db"


def reader_in_version_1(agent: str) -> str:
    """Which mail program opened the mail: the first word of what it calls itself."""
    return agent.split("/", 1)[0] or "unknown"


def reader_in_version_2(agent: str) -> str:
    """Version 2 knows the reader's system as well: it stands first between the brackets."""
    system = agent[agent.index("(") + 1 : agent.index(")")].split(";")[0]
    return f"{agent.split('/', 1)[0]} on {system}"


READER = {"1": reader_in_version_1, "2": reader_in_version_2}


def open_of(event: Mapping[str, str], version: str) -> tuple[str, str, str]:
    """(event, mail, reader) as it is stored. Raises KeyError for an event that names no mail."""
    return event["id"], event["mail"], READER[version](event["user_agent"])


def opened(around: Surroundings) -> sqlite3.Connection:
    """The parser's database of opens."""
    database = sqlite3.connect(around.folder / OPENS, isolation_level=None)
    database.executescript(
        """
        PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA busy_timeout = 5000;
        CREATE TABLE IF NOT EXISTS open (event TEXT PRIMARY KEY, mail TEXT NOT NULL, reader TEXT NOT NULL);
        """
    )
    return database


def app(around: Surroundings) -> Starlette:
    """POST /events: a JSON list of events."""
    database = opened(around)
    received = around.meter.create_counter("events_received")
    failed = around.meter.create_counter("events_failed")
    stored = around.meter.create_counter("opens_stored")
    for counter in (received, failed, stored):
        counter.add(0)

    async def store(event: Mapping[str, str]) -> None:
        with counting_failures(failed):
            database.execute("INSERT OR IGNORE INTO open VALUES (?, ?, ?)", open_of(event, around.version))
        stored.add(1)

    async def work_through(batch: Sequence[Mapping[str, str]]) -> None:
        # An event that fails must not hold up the others: each has its own outcome.
        for outcome in await asyncio.gather(*map(store, batch), return_exceptions=True):
            if isinstance(outcome, BaseException):
                LOG.error("an event was lost: %r", outcome)

    async def events(request: Request) -> Response:
        batch = json.loads(await request.body())
        received.add(len(batch))
        return Response(status_code=202, background=BackgroundTask(work_through, batch))

    return Starlette(routes=[Route("/events", events, methods=["POST"])])


if __name__ == "__main__":
    serve(SERVICE, app)
