"""Counts from a real MariaDB, asked with a query of a user's own. Needs Debian's package mariadb-server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from test_sql import T0, source, told

from collector.asked import SourceFailed

NEEDED = "needs MariaDB (on Debian or Ubuntu: apt-get install mariadb-server)"
OPENS = """
SELECT from_unixtime(unix_timestamp(opened_at) div 60 * 60) AS time, campaign, count(*) AS count
FROM opens WHERE opened_at >= :since AND opened_at < :until GROUP BY 1, 2
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server of our own, on loopback, with a user who may write."""
    programs = [shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("mariadbd", "mariadb-install-db")]
    if None in programs:
        if os.environ.get("CI"):
            pytest.fail(NEEDED)
        pytest.skip(NEEDED)
    run, install = map(str, programs)
    with (
        tempfile.TemporaryDirectory() as name,
        socket.socket() as free,
    ):  # pytest's own folders are for one user
        root = os.geteuid() == 0
        user = ["--user=mysql"] if root else []
        if root:
            shutil.chown(name, "mysql")  # it refuses to run as root
        data, folder = f"--datadir={name}/data", Path(name)
        made = [
            install,
            "--no-defaults",
            data,
            *user,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]
        subprocess.run(made, check=True, capture_output=True, cwd="/")
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        options = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/s"]
        options.append("--default-time-zone=+02:00")
        process = subprocess.Popen(
            [run, "--no-defaults", data, *user, *options, f"--pid-file={folder}/pid"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip
        try:
            yield _ready(f"mariadb://root@127.0.0.1:{port}/mysql", process)
        finally:
            process.kill()
            process.wait(20)


def _ready(url: str, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 120
    while True:
        try:
            _do(url, "CREATE DATABASE IF NOT EXISTS mail")
        except OperationalError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return url.replace("/mysql", "/mail")


def _do(url: str, *statements: str) -> None:
    engine = create_engine(url.replace("mariadb:", "mariadb+pymysql:"))
    try:
        with engine.begin() as c:
            for statement in statements:
                c.execute(text(statement))
    finally:
        engine.dispose()


@pytest.fixture
def table(server: str) -> str:
    """An empty table of opens, in a server that is not in UTC."""
    _do(
        server,
        "DROP TABLE IF EXISTS opens",
        "CREATE TABLE opens (opened_at TIMESTAMP NOT NULL, campaign VARCHAR(50)) ENGINE=InnoDB",
    )
    return server


def opened(url: str, *opens: tuple[int, str]) -> None:
    stamps = [(datetime.fromtimestamp(T0 + at, UTC), campaign) for at, campaign in opens]
    rows = ", ".join(f"('{at:%Y-%m-%d %H:%M:%S}', '{campaign}')" for at, campaign in stamps)
    _do(url, "SET time_zone = '+00:00'", f"INSERT INTO opens VALUES {rows}")


@pytest.mark.parametrize("kind", ["mariadb", "mysql", "mysql+pymysql"])
def test_opens_stored_per_minute(table: str, kind: str) -> None:
    opened(table, (0, "a"), (59, "a"), (60, "b"), (130, "a"), (185, "a"))
    one = source(table.replace("mariadb:", f"{kind}:"), OPENS)
    first = one.ask(T0, T0 + 185, "")
    assert told(first) == {
        ("a", 0): 2, ("a", 60): 0, ("a", 120): 1, ("b", 0): 0, ("b", 60): 1, ("b", 120): 0,
    }  # fmt: skip
    opened(table, (70, "b"), (181, "b"))  # one of them a transaction that took its time
    second = one.ask(first.until, T0 + 250, first.memo)
    assert told(second) == {("b", 60): 1, ("a", 180): 1, ("b", 180): 1}
    assert one.check(T0 + 250) == "2 series, 7 counted in the last hour"
    one.close()


def test_nothing_is_written(table: str) -> None:
    opened(table, (0, "a"))
    sly = "DELETE FROM opens WHERE opened_at >= :since OR opened_at < :until RETURNING now() AS time, 1 AS count"
    with pytest.raises(SourceFailed, match="READ ONLY transaction"):
        source(table, sly).ask(T0, T0 + 60, "")
    assert told(source(table, OPENS).ask(T0, T0 + 60, ""))["a", 0] == 1


def test_a_query_that_takes_too_long_is_ended(table: str) -> None:
    opened(table, (0, "a"))
    query = (
        "SELECT sleep(60) AS count, opened_at AS time FROM opens WHERE opened_at BETWEEN :since AND :until"
    )
    began = time.monotonic()
    with pytest.raises(SourceFailed, match="took more than 1 s"):
        source(table, query, timeout=1).ask(T0, T0 + 60, "")
    assert time.monotonic() - began < 20


def test_one_that_is_not_there_may_pass_and_a_wrong_password_is_not_shown(table: str) -> None:
    with pytest.raises(SourceFailed) as failed:
        source("mysql://u:hush@127.0.0.1:9/x", OPENS).ask(T0, T0 + 60, "")
    assert failed.value.passing
    with pytest.raises(SourceFailed, match="Access denied") as denied:
        source(table.replace("root@", "root:hush@"), OPENS).ask(T0, T0 + 60, "")
    assert "hush" not in str(failed.value) + str(denied.value)
    with pytest.raises(SourceFailed, match="doesn't exist"):
        source(table, OPENS.replace("opens", "opened")).ask(T0, T0 + 60, "")
