"""A real PostgreSQL as the store: what it says in words, and its connection lost in the middle of anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from postgres_server import PostgresServer, answers_lost
from sqlalchemy import event
from test_live import GRACE, T0, W, World, delta

from alerts.messages import Message
from collector.asked import Answer
from collector.bins import Bins, Late, SeriesKey, SeriesTable
from collector.deployments import Deployment
from collector.server import Busy
from collector.words import Word
from stillwatch import config
from stillwatch.check import lines, reach
from stillwatch.journal import pack_readings
from stillwatch.mailbox import Mailbox
from stillwatch.store import Closing, News, Store
from stillwatch.tables import StoreTrouble, Unreachable

T = TypeVar("T")
TRIES = (Phase.explicit, Phase.reuse, Phase.generate)  # to make a failing example smaller takes minutes
TABLE = SeriesTable([SeriesKey("a", "m"), SeriesKey("a", "n")])


@contextmanager
def troubled(server: PostgresServer, store: Store, address: str, after: int) -> Iterator[list[int]]:
    """Of all that is asked, the connection is lost right before the question with this number (0 is the first)."""
    asked = [0]

    def cut(*_: object) -> None:
        if asked[0] == after:
            server.cut(address)
        asked[0] += 1

    event.listen(store._engine, "before_cursor_execute", cut)
    try:
        yield asked
    finally:
        event.remove(store._engine, "before_cursor_execute", cut)


def insistent(do: Callable[[], T]) -> T:
    """As everybody does who is told that it does not work now."""
    for _ in range(5):
        try:
            return do()
        except (StoreTrouble, Busy):
            pass
    return do()


def block(start: int, value: float) -> Bins:
    return Bins(
        start,
        W,
        np.array([start + W + GRACE]),
        np.array([[value, np.nan]]),
        np.ones(1, np.bool_),
        Late.none(),
    )


def night(store: Store) -> None:
    """Everything that is ever kept, twice over."""
    for i in (1, 2):
        insistent(lambda: store.settle_width(W))
        insistent(lambda i=i: store.add_deployments([Deployment(f"r{i}", 600 + i, "a", "1")]))
        insistent(lambda i=i: store.add_word(Word("i1", "acknowledge", f"pia{i}", 600 + i)))
        insistent(lambda i=i: store.say("i1", [Message(f"said {i}", "#a", "x")], 600))
        news = News("i1", i, 600, f"line {i}", (Message(f"i1:{i}", "#a", "y"),))
        closing = Closing(block(600 + W * i, i), (news,), (b"collector", 0), (600 + W * i, b"snapshot" * i))
        insistent(lambda closing=closing: store.commit(closing, TABLE))
        mailbox = Mailbox(store)
        for delivery in insistent(mailbox.waiting):
            insistent(partial(mailbox.record, delivery, lane="#a", pause=i))
        insistent(lambda i=i: store.still_alive(600 + i))


def all_of(store: Store) -> tuple[object, ...]:
    (bins,) = store.history()
    return (
        str(bins.values.tolist()),
        store.lines(),
        [one.message.key for one in Mailbox(store).waiting()],
        store.deployments(),
        store.words(),
        [bytes(state) for _, state in store.snapshots()],
        store.table().keys,
        store.last_alive(),
        Mailbox(store).paused("#a"),
    )


@pytest.mark.slow
def test_a_connection_lost_before_any_question_changes_nothing_that_is_kept(
    postgres_server: PostgresServer,
) -> None:
    store = Store(postgres_server.ready())
    with troubled(postgres_server, store, "", -1) as asked:
        night(store)
    wanted, whole = all_of(store), asked[0]
    store.close()
    assert whole > 50
    for after in range(0, whole, 7):
        address = postgres_server.ready()
        store = Store(address)
        with troubled(postgres_server, store, address, after):
            night(store)
        assert all_of(store) == wanted
        store.close()


@pytest.mark.slow
@given(st.sets(st.integers(1, 30), max_size=4))
@settings(max_examples=8, phases=TRIES)
def test_an_answer_lost_after_a_commit_changes_nothing_that_is_kept(
    postgres_server: PostgresServer, which: set[int]
) -> None:
    store = Store(postgres_server.ready())
    with answers_lost(store, set()):
        night(store)
    wanted = all_of(store)
    store.close()
    store = Store(postgres_server.ready())
    with answers_lost(store, which):
        night(store)
    assert all_of(store) == wanted
    store.close()


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=8, phases=TRIES)
def test_every_acknowledged_count_is_kept_once_whenever_connections_are_lost(
    postgres_server: PostgresServer, data: st.DataObject
) -> None:
    address = postgres_server.ready()
    world = World(address)
    acknowledged, asked, now = 0.0, 0, T0 + 1
    for _ in range(data.draw(st.integers(1, 12))):
        now += data.draw(st.integers(1, 40))
        lost = data.draw(st.sampled_from([{1}, {2}, {1, 2}, set[int]()]))
        if data.draw(st.booleans()):
            postgres_server.cut(address)
        with answers_lost(world.store, lost):
            match data.draw(st.sampled_from(["count", "ask", "tick", "crash"])):
                case "count":
                    insistent(lambda now=now: world.live.readings(delta(now, 3.0, start=now - 1), now))
                    acknowledged += 3.0
                case "ask":
                    # A source is asked from where it has told; how often that was is part of what it tells.
                    def told(now: int = now) -> None:
                        nonlocal asked
                        until, memo = world.live.asked_until("warehouse")
                        asked = int(memo or 0)
                        reading = delta(T0 + asked + 1, 5.0, SeriesKey("a", "n"), T0 + asked)
                        world.live.asked("warehouse", Answer(reading, until, str(asked + 1)), now)

                    insistent(told)
                case "tick":
                    world.live.tick(now)
                case "crash":
                    world.store.close()
                    insistent(lambda now=now: world.start(now))
    insistent(lambda: world.live.tick(now + W + GRACE + 1))
    insistent(lambda: world.live.tick(now + 2 * W + GRACE + 1))
    insistent(lambda: world.live.tick(now + 2 * W + GRACE + 2))
    kept = dict.fromkeys(("m", "n"), 0.0)
    names = [key.metric for key in world.store.table().keys]
    for bins in world.store.history():
        for row, name in enumerate(names[: bins.values.shape[1]]):
            kept[name] += float(np.nansum(bins.values[:, row]))
        for row, count in zip(bins.late.row.tolist(), bins.late.count.tolist(), strict=True):
            kept[names[row]] += count
    assert kept["m"] == acknowledged
    until = insistent(lambda: world.store.asked("warehouse"))
    assert kept["n"] == 5.0 * int(until[1] if until else 0)
    assert list(world.store.noted()) == []
    world.store.close()


def test_while_it_is_away_senders_are_told_so_and_it_goes_on_by_itself() -> None:
    with PostgresServer() as own:
        address = own.ready()
        world = World(address)
        world.count(T0 + 10, 1)
        own.stop()
        with pytest.raises(Busy):
            world.count(T0 + 20, 2)
        world.wind(21, 80)
        assert "cannot be reached; Stillwatch goes on when it answers" in world.live.trouble
        assert world.live.health(T0 + 80)["ok"] is False
        assert world.judge.seen == []
        own.start()
        world.count(T0 + 20, 2, now=T0 + 81)  # the sender comes again
        world.wind(81, 140)
        assert world.judge.values == {0: 3.0, 60: pytest.approx(float("nan"), nan_ok=True)}
        assert world.live.trouble == ""
        assert world.live.health(T0 + 140)["ok"] is True
        world.store.close()


@given(
    st.lists(st.tuples(st.text(max_size=4), st.text(alphabet="\\\0a0", max_size=6)), max_size=6, unique=True)
)
@settings(max_examples=8, phases=TRIES)
def test_names_of_any_characters_come_back(
    postgres_server: PostgresServer, names: list[tuple[str, str]]
) -> None:
    store = Store(postgres_server.ready())
    keys = [SeriesKey(service, metric, metric, ((service, metric),)) for service, metric in names]
    store.commit(Closing(), SeriesTable(keys))
    assert store.table().keys == SeriesTable(keys).keys
    store.close()


def test_what_is_wrong_is_said_in_one_line_without_the_password(postgres_server: PostgresServer) -> None:
    away = "postgresql://me:hush-hush@127.0.0.1:9/nowhere"
    missing = f"postgresql://postgres:hush-hush@127.0.0.1:{postgres_server.port}/nowhere"
    nobody = f"postgresql://nobody:hush-hush@127.0.0.1:{postgres_server.port}/postgres"
    for address, said in ((away, "refused"), (missing, "does not exist"), (nobody, "does not exist")):
        with pytest.raises(Unreachable) as error:
            Store(address)
        told = str(error.value)
        assert "hush" not in told
        assert "\n" not in told
        assert told.startswith(address.replace(":hush-hush", ""))
        assert "cannot be reached; Stillwatch goes on when it answers" in told
        assert said in told


def test_another_programs_database_is_refused_and_left_as_it_is(postgres_server: PostgresServer) -> None:
    address = postgres_server.database("theirs")
    postgres_server.ask("CREATE TABLE news (title text)", database="theirs")
    with pytest.raises(StoreTrouble, match="this database is another program's"):
        Store(address)
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    assert postgres_server.ask(tables, database="theirs") == [("news",)]


def test_one_that_stops_in_the_middle_holds_up_others_for_a_few_seconds_only(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillwatch.postgres.LEFT", 1)
    asleep, other = Store(postgres), Store(postgres)
    with pytest.raises(Unreachable), asleep.writing() as c:
        c.exec_driver_sql("SELECT 1")
        assert other.note(b"x", 1.0) == 1  # waits until the server has taken back the lock
        c.exec_driver_sql("SELECT 1")
    asleep.close()
    other.close()


def test_the_password_comes_from_a_variable_or_a_file_and_is_shown_nowhere(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("hu/sh@:%\n")
    at = f"url: postgresql://postgres@127.0.0.1:{postgres_server.port}/postgres"
    monkeypatch.setenv("PW", "hu/sh@:%")
    for secret in ("password_env: PW", f"password_file: {file}"):
        for environ in (os.environ, None):
            read = config.parse(f"database: {{{at}, {secret}}}", "s.yaml", environ)
            assert "hu%2Fsh%40%3A%25@" in read.database
            assert "hu" not in repr(read).replace("hush", "")
            (said,) = (line for line in lines(list(reach(read))) if "database" in line)
            assert said == "ok  database  empty as yet, `stillwatch run` makes its tables"


def test_what_a_source_told_counts_where_only_the_answer_to_its_commit_was_lost(
    postgres_server: PostgresServer,
) -> None:
    world = World(postgres_server.ready())
    world.wind(1, 60)
    answer = Answer(delta(T0 + 5, 5.0, start=T0 + 4), T0 + 60, "told")
    with answers_lost(world.store, {1}), pytest.raises(Busy):
        world.live.asked("warehouse", answer, T0 + 61)
    assert world.live.asked_until("warehouse") == (T0 + 60, "told")  # it will not be asked for that again
    world.wind(61, 80)
    assert world.judge.values == {0: 5.0}
    world.store.close()


def test_what_others_wrote_to_the_journal_meanwhile_counts_in_their_order(
    postgres_server: PostgresServer,
) -> None:
    address = postgres_server.ready()
    world, other = World(address), Store(address)
    for at in (10, 20, 30):
        other.note(pack_readings(delta(T0 + at, 1.0)), T0 + at)
        world.count(T0 + at + 5, 10.0)
    other.note(pack_readings(delta(T0 + 40, 100.0)), T0 + 40)
    world.wind(41, 80)
    assert world.judge.values == {0: 133.0}
    assert list(world.store.noted()) == []
    other.close()
    world.store.close()
