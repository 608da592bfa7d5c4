"""What is done to daemons. Each fault is over when its function returns; who has ended since is started again.

In: the daemons, the Slack that they tell, chance. Out: nothing. Never: more than one fault at a time; a hook into a
daemon: what is done to it is done from outside.
"""

from __future__ import annotations

import glob
import os
import random
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from postgres_server import programs
from slack_server import broken, cut, too_many

from tortured.ground import FILE, PAIR, SERVER, Ground

DISK = "48m"


def killed(ground: Ground, rng: random.Random) -> None:
    """kill -9 at a random moment, sometimes before it is up again"""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        time.sleep(rng.uniform(0.0, 6.0))
        ground.watch.kill()
        ground.watch.start()


def killed_while_slack_fails(ground: Ground, rng: random.Random) -> None:
    """kill -9 while Slack loses answers, is overloaded, or breaks"""
    faults = [cut(taken=True), cut(), broken(taken=True), broken(503), too_many(1), None]
    for method in ("chat.postMessage", "chat.update"):
        ground.slack.script(method, *rng.choices(faults, k=3))
    killed(ground, rng)


def slack_away(ground: Ground, rng: random.Random) -> None:
    """Slack refuses the token for up to 20 s"""
    ground.slack.revoke()
    time.sleep(rng.uniform(5.0, 20.0))
    ground.slack.restore()


def asleep(ground: Ground, rng: random.Random) -> None:
    """the machine sleeps for up to 20 s"""
    _sleeps(ground, rng.uniform(1.0, 20.0))


def long_asleep(ground: Ground, rng: random.Random) -> None:
    """the machine sleeps for two to five minutes"""
    _sleeps(ground, rng.uniform(120.0, 300.0))


def _sleeps(ground: Ground, seconds: float) -> None:
    watch = ground.watch
    watch.sleep()
    time.sleep(seconds)
    watch.wake()


def clock_jumps(ground: Ground, rng: random.Random) -> None:
    """its clock jumps up to 6 hours back or forth for up to 20 s, sometimes from one into the other"""
    for _ in range(rng.choice((1, 1, 2))):
        _offset(ground.disk).write_text(f"{rng.choice((-1, 1)) * rng.randint(600, 6 * 3600):+d}\n")
        time.sleep(rng.uniform(1.0, 20.0))
    _offset(ground.disk).write_text("+0\n")


def locked(ground: Ground, rng: random.Random) -> None:
    """another program holds the database for up to 15 s"""
    other = sqlite3.connect(ground.disk / "stillwatch.db", isolation_level=None, timeout=30)
    try:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(rng.uniform(1.0, 15.0))
        other.execute("ROLLBACK")
    finally:
        other.close()


def damaged_snapshot(ground: Ground, rng: random.Random) -> None:
    """the newest snapshot is damaged, and kill -9"""
    time.sleep(rng.uniform(0.0, 6.0))
    ground.watch.kill()
    with sqlite3.connect(ground.disk / "stillwatch.db") as c:
        c.execute(
            "UPDATE snapshots SET state = zeroblob(length(state)) WHERE upto = (SELECT max(upto) FROM snapshots)"
        )
    c.close()
    ground.watch.start()


def disk_full(ground: Ground, rng: random.Random) -> None:
    """the disk is full for up to 15 s"""
    filler = ground.disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
    time.sleep(rng.uniform(2.0, 15.0))
    filler.unlink()


def read_only(ground: Ground, rng: random.Random) -> None:
    """killed; its disk is read-only for up to 15 s, in which it is started again and again"""
    watch = ground.watch
    watch.kill()
    _mounted(ground.disk, "ro")
    until = time.monotonic() + rng.uniform(2.0, 15.0)
    while time.monotonic() < until:
        watch.start()
        if watch.process.wait(timeout=60) != 1 or "read-only" not in watch.newest_log().lower():
            raise RuntimeError(f"it did not say that it cannot write:\n{watch.newest_log()}")
        time.sleep(1.0)
    _mounted(ground.disk, "rw")
    watch.start()


def _mounted(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def connections_cut(ground: Ground, rng: random.Random) -> None:
    """the server ends all connections at random moments, up to five times"""
    for _ in range(rng.randint(1, 5)):
        time.sleep(rng.uniform(0.0, 3.0))
        ground.postgres.cut(ground.watches[0].database)


def server_killed(ground: Ground, rng: random.Random) -> None:
    """the server is killed by kill -9, and up again after up to 15 s"""
    time.sleep(rng.uniform(0.0, 3.0))
    ground.postgres.kill()
    time.sleep(rng.uniform(0.0, 15.0))
    ground.postgres.start()


def leader_killed(ground: Ground, rng: random.Random) -> None:
    """kill -9 of the one that leads; the other takes over"""
    time.sleep(rng.uniform(0.0, 6.0))
    ground.watch.kill()


def leader_asleep(ground: Ground, rng: random.Random) -> None:
    """the one that leads falls asleep, the other takes over, and then it wakes up"""
    time.sleep(rng.uniform(0.0, 6.0))
    ground.watch.sleep()


@dataclass(frozen=True, slots=True)
class Fault:
    """on: which ground (see ground.py). disk, clock: it needs a disk, a clock of our own."""

    do: Callable[[Ground, random.Random], None]
    on: str = FILE
    disk: bool = False
    clock: bool = False

    @property
    def said(self) -> str:
        """What is done, in words."""
        where = "" if self.on == FILE else f"{self.on}: "
        return where + (self.do.__doc__ or "")

    @property
    def lacks(self) -> str:
        """What is missing here to do it, "" = nothing."""
        if self.disk and os.geteuid() != 0:
            return "a disk of our own is for the superuser"
        if self.clock and not _library():
            return "no libfaketime (on Debian or Ubuntu: apt-get install libfaketime)"
        if self.on != FILE and not programs():
            return "no PostgreSQL (on Debian or Ubuntu: apt-get install postgresql)"
        return ""


FAULTS = {
    "killed": Fault(killed),
    "slack": Fault(killed_while_slack_fails),
    "away": Fault(slack_away),
    "asleep": Fault(asleep),
    "long-asleep": Fault(long_asleep),
    "clock": Fault(clock_jumps, clock=True),
    "locked": Fault(locked),
    "snapshot": Fault(damaged_snapshot),
    "full": Fault(disk_full, disk=True),
    "read-only": Fault(read_only, disk=True),
    "server-killed": Fault(killed_while_slack_fails, SERVER),
    "connections": Fault(connections_cut, SERVER),
    "server": Fault(server_killed, SERVER),
    "leader": Fault(leader_killed, PAIR),
    "leader-asleep": Fault(leader_asleep, PAIR),
    "pair-connections": Fault(connections_cut, PAIR),
    "pair-server": Fault(server_killed, PAIR),
}


def environ(fault: Fault, folder: Path) -> Mapping[str, str]:
    """Variables with which the daemon has what the fault needs: a clock that we set (the time of day alone, as when
    a machine's clock is set: what counts seconds goes on)."""
    if not fault.clock:
        return {}
    _offset(folder).write_text("+0\n")
    return {
        "LD_PRELOAD": _library(),
        "FAKETIME_TIMESTAMP_FILE": str(_offset(folder)),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def _library() -> str:
    return next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), "")


def _offset(folder: Path) -> Path:
    return folder / "clock"


@contextmanager
def disk(wanted: bool) -> Iterator[Path]:
    """An empty folder; on a small disk of its own if wanted."""
    with tempfile.TemporaryDirectory(prefix="stillwatch-torture-disk-") as name, ExitStack() as stack:
        if wanted:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", name], check=True)
            stack.callback(subprocess.run, ["umount", name], check=True)
        yield Path(name)
