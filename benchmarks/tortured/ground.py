"""Where a fault is done: one daemon or two, their database, the Slack that they tell.

In: a folder, on what they keep their counts. Out: the daemons, and when they are well. Never: a fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from postgres_server import PostgresServer
from slack_server import SlackServer

from stillwatch.store import Store
from tortured.watch import Watch, with_past

FILE, SERVER, PAIR = "a file", "PostgreSQL", "two daemons on PostgreSQL"
SERVICES = ("billing", "imports", "mails", "search")


@dataclass(frozen=True, slots=True)
class Ground:
    """disk: where the file with the counts is, server: the one that has them, if there is one. began: epoch seconds
    from which on counts are sent."""

    disk: Path
    watches: tuple[Watch, ...]
    slack: SlackServer
    server: PostgresServer | None
    began: int

    @property
    def watch(self) -> Watch:
        """The one that leads; the first where none says so."""
        return next((one for one in self.watches if one.leads()), self.watches[0])

    @property
    def postgres(self) -> PostgresServer:
        assert self.server is not None
        return self.server

    def store(self) -> Store:
        return Store(self.watches[0].database)

    def all_up(self, seconds: float = 400) -> None:
        """As a supervisor does: start those that have ended, and wait until all are well. Raises TimeoutError."""
        for one in self.watches:
            if one.sleeps:
                one.wake()

        def up() -> bool:
            for one in self.watches:
                if not one.runs:
                    one.start()
            return all(one.is_well() for one in self.watches)

        _until(up, seconds, self._said)

    def until_well(self, seconds: float = 120) -> float:
        """Seconds until one judges, on time. Raises TimeoutError with the end of the logs."""
        began = time.monotonic()
        _until(lambda: any(one.leads() and one.is_well() for one in self.watches), seconds, self._said)
        return time.monotonic() - began

    def until_done(self, seconds: float = 300) -> None:
        """Nothing is wrong any more, and all of it has been told. Raises TimeoutError."""

        def done() -> bool:
            said = self.watch.asked("/status")
            return said.get("open") == [] and said.get("outbox") == 0

        _until(done, seconds, self._said)

    def _said(self) -> str:
        return "\n\n".join(one.newest_log() for one in self.watches)


@contextmanager
def ground(folder: Path, disk: Path, on: str, environ: Mapping[str, str]) -> Iterator[Ground]:
    """folder, disk: empty ones, for daemons and counts. on: FILE, SERVER or PAIR. environ: variables that daemons
    have besides."""
    with SlackServer() as slack, nullcontext() if on == FILE else PostgresServer() as server:
        database = str(disk / "stillwatch.db") if server is None else server.database()
        began = with_past(database, SERVICES)
        watches = []
        for name in "ab" if on == PAIR else "a":
            (folder / name).mkdir()
            watches.append(Watch(folder / name, database, slack.base_url, slack.token, SERVICES, environ))
        try:
            yield Ground(disk, tuple(watches), slack, server, began)
        finally:
            for one in watches:
                if one.runs:
                    one.kill()


def _until(what: Callable[[], bool], seconds: float, said: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(f"what was wrong is not over after {seconds:g} s:\n{said()}")
        time.sleep(0.05)
