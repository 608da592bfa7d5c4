"""Contact importer: lists of contacts that people upload.

In: an upload, rows and a mapping from columns to fields. Out: a list of contacts that campaigns are sent to.
Never: half an import. What cannot be read fails whole, so that nobody mails half a list.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stillwatch.demo.serving import Surroundings, counting_failures, serve

SERVICE = "contact-importer"

Row = Mapping[str, str]
Known = Mapping[str, Any]  # address -> fields; None for a suppressed contact, whose data were erased


def mapped_in_version_1(row: Row, mapping: Mapping[str, str], known: Known) -> dict[str, str]:
    """The cells of a row under the names of the fields that their columns are mapped to."""
    return {field: row.get(column, "") for column, field in mapping.items()}


def mapped_in_version_2(row: Row, mapping: Mapping[str, str], known: Known) -> dict[str, str]:
    """Version 2, a bug fix: an empty cell no longer wipes out what was known of the contact."""
    before = known.get(row["email"], {})
    return {field: row.get(column, "") or before.get(field, "") for column, field in mapping.items()}


MAPPED = {"1": mapped_in_version_1, "2": mapped_in_version_2}


def contacts_of(upload: Mapping[str, Any], known: Known, version: str) -> dict[str, dict[str, str]]:
    """Address -> fields of everybody in the upload; suppressed contacts are read like all, then left out.

    Raises KeyError for a row without an address: such an upload is not a list of contacts.
    """
    mapped = MAPPED[version]
    read = {row["email"]: mapped(row, upload["mapping"], known) for row in upload["rows"]}
    return {email: fields for email, fields in read.items() if known.get(email, {}) is not None}


def opened(around: Surroundings) -> sqlite3.Connection:
    """The importer's database: what is known of contacts, and the lists."""
    database = sqlite3.connect(around.folder / "contacts.db", isolation_level=None)
    database.executescript(
        """
        PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA busy_timeout = 5000;
        CREATE TABLE IF NOT EXISTS contact (email TEXT PRIMARY KEY, fields TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS list (name TEXT PRIMARY KEY, emails TEXT NOT NULL);
        """
    )
    return database


def known_of(database: sqlite3.Connection, emails: list[str]) -> dict[str, Any]:
    """What the database holds of these contacts."""
    marks = ",".join("?" * len(emails))
    rows = database.execute(f"SELECT email, fields FROM contact WHERE email IN ({marks})", emails)  # noqa: S608 -- marks only
    return {email: json.loads(fields) for email, fields in rows}


def keep(database: sqlite3.Connection, name: str, contacts: Mapping[str, Mapping[str, str]]) -> None:
    """Store what is now known of the contacts, and the list of them: all or nothing."""
    with database:
        database.execute("BEGIN IMMEDIATE")
        database.executemany(
            "INSERT OR REPLACE INTO contact VALUES (?, ?)",
            [(email, json.dumps(fields)) for email, fields in contacts.items()],
        )
        database.execute("INSERT OR REPLACE INTO list VALUES (?, ?)", (name, json.dumps(list(contacts))))


def app(around: Surroundings) -> Starlette:
    """POST /imports, GET /lists/NAME, POST /suppressed."""
    database = opened(around)
    started = around.meter.create_counter("imports_started")
    failed = around.meter.create_counter("imports_failed")
    started.add(0)
    failed.add(0)

    async def imports(request: Request) -> Response:
        upload = json.loads(await request.body())
        started.add(1)
        with counting_failures(failed):
            known = known_of(database, [row.get("email", "") for row in upload["rows"]])
            contacts = contacts_of(upload, known, around.version)
            keep(database, upload["list"], contacts)
        return JSONResponse({"contacts": len(contacts)}, status_code=201)

    async def contacts_in(request: Request) -> Response:
        row = database.execute(
            "SELECT emails FROM list WHERE name = ?", (request.path_params["name"],)
        ).fetchone()
        return Response(status_code=404) if row is None else JSONResponse(json.loads(row[0]))

    async def suppressed(request: Request) -> Response:
        emails = json.loads(await request.body())
        database.executemany(
            "INSERT OR REPLACE INTO contact VALUES (?, 'null')", [(email,) for email in emails]
        )
        return Response(status_code=204)

    return Starlette(
        routes=[
            Route("/imports", imports, methods=["POST"]),
            Route("/lists/{name}", contacts_in),
            Route("/suppressed", suppressed, methods=["POST"]),
        ]
    )


if __name__ == "__main__":
    serve(SERVICE, app)
