"""What is done to a daemon. Each fault is over when its function returns, and the daemon has been started again.

In: the daemon, the Slack that it tells, chance. Out: nothing. Never: more than one fault at a time.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress

from slack_server import SlackServer, broken, cut, too_many

from tortured.watch import Watch

Fault = Callable[[Watch, SlackServer, random.Random], None]


def killed(watch: Watch, slack: SlackServer, rng: random.Random) -> None:
    """kill -9 at a random moment, sometimes before it is up again"""
    del slack
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        time.sleep(rng.uniform(0.0, 6.0))
        watch.kill()
        watch.start()


def killed_while_slack_fails(watch: Watch, slack: SlackServer, rng: random.Random) -> None:
    """kill -9 while Slack loses answers, is overloaded, or breaks"""
    faults = [cut(taken=True), cut(), broken(taken=True), broken(503), too_many(1), None]
    for method in ("chat.postMessage", "chat.update"):
        slack.script(method, *rng.choices(faults, k=3))
    killed(watch, slack, rng)


def asleep(watch: Watch, slack: SlackServer, rng: random.Random) -> None:
    """the machine sleeps for up to 20 s"""
    del slack
    watch.process.send_signal(signal.SIGSTOP)
    time.sleep(rng.uniform(1.0, 20.0))
    watch.process.send_signal(signal.SIGCONT)


def locked(watch: Watch, slack: SlackServer, rng: random.Random) -> None:
    """another program holds the database for up to 15 s"""
    del slack
    other = sqlite3.connect(watch.folder / "stillwatch.db", isolation_level=None, timeout=30)
    try:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(rng.uniform(1.0, 15.0))
        other.execute("ROLLBACK")
    finally:
        other.close()


def damaged_snapshot(watch: Watch, slack: SlackServer, rng: random.Random) -> None:
    """the newest snapshot is damaged, and kill -9"""
    del slack
    time.sleep(rng.uniform(0.0, 6.0))
    watch.kill()
    with sqlite3.connect(watch.folder / "stillwatch.db") as c:
        c.execute(
            "UPDATE snapshots SET state = zeroblob(length(state)) WHERE upto = (SELECT max(upto) FROM snapshots)"
        )
    c.close()
    watch.start()


def disk_full(watch: Watch, slack: SlackServer, rng: random.Random) -> None:
    """the disk is full for up to 15 s"""
    del slack
    filler = watch.folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
    time.sleep(rng.uniform(2.0, 15.0))
    filler.unlink()


def slack_away(watch: Watch, slack: SlackServer, rng: random.Random) -> None:
    """Slack refuses the token for up to 20 s"""
    del watch
    slack.revoke()
    time.sleep(rng.uniform(5.0, 20.0))
    slack.restore()


def can_mount() -> bool:
    """A disk of our own, to be filled, is for the superuser."""
    return os.geteuid() == 0


FAULTS: dict[str, Fault] = {
    "killed": killed,
    "slack": killed_while_slack_fails,
    "away": slack_away,
    "asleep": asleep,
    "locked": locked,
    "snapshot": damaged_snapshot,
    "full": disk_full,
}
NEEDS_DISK = ("full",)
