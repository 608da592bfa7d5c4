"""A real PostgreSQL for tests: started, stopped, cut off. Needs its programs (Debian's package postgresql)."""

from __future__ import annotations

import glob
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import pytest

from stillwatch.store import Store

NEEDED = "needs PostgreSQL (on Debian or Ubuntu: apt-get install postgresql)"


def programs() -> str:
    """The folder of PostgreSQL's programs, "" where there is none."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    which = shutil.which("initdb")
    return str(Path(found[-1] if found else which or "initdb").parent) if found or which else ""


class PostgresServer:
    """Runs while it is entered. Its time zone is not UTC."""

    def __enter__(self) -> Self:
        where = programs()
        if not where:
            if os.environ.get("CI"):
                pytest.fail(NEEDED)
            pytest.skip(NEEDED)
        user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self._holder = tempfile.TemporaryDirectory()  # pytest's own folders are for one user only
        folder = Path(self._holder.name)
        if user:
            shutil.chown(folder, "postgres")  # it refuses to run as root
        data = self._data = folder / "data"
        init = [f"{where}/initdb", "-D", str(data), "-A", "trust", "-U", "postgres", "--no-sync"]
        subprocess.run([*user, *init], check=True, capture_output=True, cwd="/")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off -c timezone=Europe/Berlin"
        )
        self._control = [*user, f"{where}/pg_ctl", "-D", str(data), "-w"]
        self._log = str(folder / "log")
        self._numbers = itertools.count(1)
        self._ready = False
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, what: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop("immediate")
        self._holder.cleanup()

    def start(self) -> None:
        """Returns when it answers."""
        subprocess.run(
            [*self._control, "-o", self._options, "-l", self._log, "start"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip

    def stop(self, how: str = "immediate") -> None:
        """immediate: as a crash; fast: cuts everybody off. Does nothing where it is stopped."""
        subprocess.run([*self._control, "-m", how, "stop"], check=False, capture_output=True, cwd="/")

    def kill(self) -> None:
        """kill -9 of the server; returns when the last of its processes, which notice that, has gone."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        mine = [int(one.name) for one in Path("/proc").glob("[0-9]*") if _parent(one) == pid]
        os.kill(pid, signal.SIGKILL)
        while any(Path(f"/proc/{one}").exists() for one in (pid, *mine)):
            time.sleep(0.05)

    def ask(self, question: str, *given: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """What it answers, each question in a connection of its own."""
        address = f"postgresql://postgres@127.0.0.1:{self.port}/{database}"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(question, given)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def database(self, name: str = "", template: str = "template1") -> str:
        """The address of a new database."""
        name = name or f"s{next(self._numbers)}"
        self.ask(f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def ready(self) -> str:
        """The address of a new database that has Stillwatch's tables already."""
        if not self._ready:
            Store(self.database("ready")).close()
            self._ready = True
        return self.database(template="ready")

    def cut(self, address: str) -> int:
        """End every connection to a database; how many there were."""
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        return len(self.ask(ended, address.rpartition("/")[2]))


def _parent(process: Path) -> int:
    """Who has started it; 0 where it has gone."""
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@contextmanager
def answers_lost(store: Store, which: set[int]) -> Iterator[None]:
    """Commits come about, but of these (by number) the answer is lost with the connection."""
    dialect: Any = store._engine.dialect
    commit, number = dialect.do_commit, [0]

    def lose(connection: Any) -> None:
        commit(connection)
        number[0] += 1
        if number[0] in which:
            connection.dbapi_connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    dialect.do_commit = lose
    try:
        yield
    finally:
        del dialect.do_commit
