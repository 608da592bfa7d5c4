"""A copy is made while the daemon works, and another goes on from it: no gap before it, nothing told twice."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from slack_server import SlackServer
from test_live import GRACE, T0, W, World

from alerts.deliver import deliver
from alerts.places import SENDERS
from alerts.receivers import Receiver
from stillwatch import backup, cli
from stillwatch.mailbox import Mailbox
from stillwatch.store import Store
from stillwatch.tables import StoreTrouble


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "stillwatch.db")
    yield made
    made.store.close()


def counts(store: Store) -> float:
    return sum(float(np.nansum(block.values)) + float(block.late.count.sum()) for block in store.history())


def copied(world: World, name: str = "copy.db") -> Path:
    """By the command, from the folder of the database."""
    copy = world.path.with_name(name)
    config = world.path.with_name("stillwatch.yaml")
    config.write_text(f"database: {world.path}\n")
    told = CliRunner().invoke(cli.cli, ["backup", str(copy), "--config", str(config)])
    assert told.exit_code == 0, told.output
    assert told.output == f"{copy}: {copy.stat().st_size / 1e6:.1f} MB\n"
    return copy


def restored(world: World, copy: Path, now: int) -> None:
    """As docs/operations.md says."""
    world.store.close()
    for name in ("", "-wal", "-shm"):
        world.path.with_name(world.path.name + name).unlink(missing_ok=True)
    shutil.copy(copy, world.path)
    world.start(now)


def test_who_goes_on_from_a_copy_has_all_that_was_acknowledged_before_it(world: World) -> None:
    for minute in range(5):
        world.count(T0 + minute * W + 5, 3.0)
        world.live.tick(T0 + minute * W + 6)
    world.count(T0 + 5 * W + 1, 7.0)  # acknowledged, in no interval yet
    copy = copied(world)
    world.count(T0 + 5 * W + 20, 100.0)  # after it
    restored(world, copy, T0 + 5 * W + 22)
    world.count(T0 + 5 * W + 25, 1.0)
    world.wind(5 * W + 22, 7 * W + GRACE)
    assert counts(world.store) == 5 * 3 + 7 + 1
    starts = [block.start + i * W for block in world.store.history() for i in range(len(block))]
    assert starts == list(range(starts[0], starts[0] + len(starts) * W, W))


def test_what_waited_in_the_copy_and_was_told_since_is_not_told_again(world: World) -> None:
    world.count(T0 + 5, 13.0)  # it makes news
    world.wind(1, W + GRACE)
    now = T0 + W + GRACE + 1
    with SlackServer() as slack:
        place = SENDERS["slack"](Receiver("slack", "slack", slack.base_url, slack.token), lambda: now)
        slack.add_channel("C0A", "a")
        assert world.told() != []
        copy = copied(world)
        assert deliver(Mailbox(world.store), place, lambda: now) == 1
        restored(world, copy, now + 60)
        assert world.told() != []  # as far as the copy knows
        deliver(Mailbox(world.store), place, lambda: now + 60)
        assert world.told() == []
        assert slack.count("chat.postMessage") == 1
        # What nobody has told yet is told.
        world.wind(2 * W + GRACE, 3 * W)
        world.count(T0 + 3 * W + 5, 13.0)
        world.wind(3 * W, 4 * W + GRACE)
        deliver(Mailbox(world.store), place, lambda: T0 + 5 * W)
        assert slack.count("chat.postMessage") == 2


def test_a_copy_is_of_one_moment_whoever_writes_meanwhile(world: World) -> None:
    """Each count stands in the journal with its number in it: in a copy there is no number without those before."""
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            world.store.note(b"x" * 2000, T0)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for i in range(5):
            copy = world.path.with_name(f"{i}.db")
            backup.backup(str(world.path), copy)
            with sqlite3.connect(copy) as c:
                many, newest = c.execute("SELECT count(*), max(number) FROM journal").fetchone()
                first = c.execute("SELECT min(number) FROM journal").fetchone()[0]
            c.close()
            assert many == (newest - first + 1 if many else 0)
    finally:
        stop.set()
        writer.join()


def test_what_cannot_be_copied_is_said_in_a_line_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    for database, copy, why in (
        (tmp_path / "none.db", tmp_path / "a.db", "there is no database"),
        (world.path, world.path, "is there already"),
        (world.path, tmp_path / "nowhere" / "a.db", "unable to open"),
        (Path(__file__), tmp_path / "a.db", "this is no Stillwatch database"),
    ):
        with pytest.raises(StoreTrouble, match=why):
            backup.backup(str(database), copy)
    damaged = tmp_path / "damaged.db"
    for i in range(300):
        world.store.note(bytes([i % 251]) * 5000, T0 + i)
    world.store.close()
    shutil.copy(world.path, damaged)
    raw = bytearray(damaged.read_bytes())
    for at in range(40_000, len(raw) - 40_000, 9_000):
        raw[at : at + 100] = b"\xff" * 100
    damaged.write_bytes(raw)
    with pytest.raises(StoreTrouble, match="damaged"):
        backup.backup(str(damaged), tmp_path / "a.db")
    assert not list(tmp_path.glob("*a.db*"))
