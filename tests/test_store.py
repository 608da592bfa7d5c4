"""What is kept comes back exactly, in one piece or not at all, and a file that cannot be used says why."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alerts.messages import Message
from collector.bins import Bins, Late, SeriesKey, SeriesTable
from collector.deployments import Deployment
from collector.points import Readings, Stream
from stillwatch import tables
from stillwatch.blobs import pack_counts, unpack_counts
from stillwatch.journal import pack_readings, unpack_readings
from stillwatch.mailbox import Mailbox
from stillwatch.sqlite_file import FORMAT
from stillwatch.store import Closing, News, Store
from stillwatch.tables import StoreTrouble

TABLE = SeriesTable(
    [SeriesKey("a", "m"), SeriesKey("a", "m", "2", (("path", "ü"), ("x", ""))), SeriesKey("b", "n")]
)
NAN = float("nan")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    kept = str(tmp_path / "s.db") if request.param == "SQLite" else request.getfixturevalue("postgres")
    assert isinstance(kept, str)
    return kept


def begun(where: Path | str) -> Iterator[Store]:
    made = Store(where)
    made.settle_width(60)
    yield made
    made.close()


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    yield from begun(where)


@pytest.fixture
def in_file(path: Path) -> Iterator[Store]:
    yield from begun(path)


def block(
    start: int, rows: list[list[float]], watched: list[bool] | None = None, late: Late | None = None
) -> Bins:
    values = np.array(rows, dtype=np.float64)
    count = len(rows)
    return Bins(
        start, 60, start + 60 * np.arange(1, count + 1) + 15, values,
        np.array(watched or [True] * count), late or Late.none(),
    )  # fmt: skip


def news(number: int, *messages: Message) -> News:
    return News("i1", number, 100, f'{{"number":{number}}}', messages)


def same(one: Bins, other: Bins) -> None:
    assert (one.start, one.width) == (other.start, other.width)
    for name in ("closed", "values", "watched"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("interval", "start", "row", "count"):
        np.testing.assert_array_equal(getattr(one.late, name), getattr(other.late, name))


@given(arrays(np.float64, st.integers(0, 50), elements=st.floats(allow_infinity=False)))
def test_counts_come_back_exactly(values: np.ndarray) -> None:
    np.testing.assert_array_equal(unpack_counts(pack_counts(values)), values)


@given(arrays(np.float64, st.integers(1, 50), elements=st.integers(0, 2**24).map(float)))
def test_whole_counts_are_kept_half_as_wide(values: np.ndarray) -> None:
    assert pack_counts(values)[0] == 4


@pytest.mark.parametrize("packed", [b"", b"\x04", b"\x04junk", b"\x07" + b"x" * 20])
def test_a_damaged_column_is_a_value_error(packed: bytes) -> None:
    with pytest.raises(ValueError, match="not a stored column"):
        unpack_counts(packed)


texts = st.text(max_size=5)
keys = st.builds(SeriesKey, texts, texts, texts, st.lists(st.tuples(texts, texts), max_size=3).map(tuple))


@given(st.data(), st.lists(keys, max_size=8), st.lists(st.tuples(texts, texts), min_size=1, max_size=3))
def test_readings_come_back_exactly(
    data: st.DataObject, names: list[SeriesKey], streams: list[tuple[str, str]]
) -> None:
    n = len(names)
    whole = st.integers(0, 2**62)
    readings = Readings(
        keys=tuple(names),
        streams=tuple(Stream(*one) for one in streams),
        stream=data.draw(arrays(np.int64, n, elements=st.integers(0, len(streams) - 1))),
        start=data.draw(arrays(np.int64, n, elements=whole)),
        time=data.draw(arrays(np.int64, n, elements=whole)),
        value=data.draw(arrays(np.float64, n, elements=st.floats())),
        cumulative=data.draw(arrays(np.bool_, n)),
        entered=data.draw(st.none() | arrays(np.int64, n, elements=whole)),
    )
    back, _ = unpack_readings(pack_readings(readings))
    assert (back.keys, back.streams) == (readings.keys, readings.streams)
    assert (back.entered is None) == (readings.entered is None)
    for name in (
        "stream",
        "start",
        "time",
        "value",
        "cumulative",
        *("entered",) * (back.entered is not None),
    ):
        np.testing.assert_array_equal(getattr(back, name), getattr(readings, name))
        assert getattr(back, name).dtype == getattr(readings, name).dtype


def test_intervals_come_back_as_they_were_judged_with_what_came_late(store: Store, where: str) -> None:
    late = Late(np.array([0, 1, 1]), np.array([0, 60, 0]), np.array([0, 2, 1]), np.array([1.0, 2.5, 0.0]))
    first = block(600, [[1.0, NAN, 0.0], [NAN, NAN, 1e300]], late=late)
    store.commit(Closing(first), TABLE)
    store.commit(Closing(block(720, [[3.0, 4.0, 5.0]])), TABLE)
    again = Store(where)
    whole = list(again.history())
    assert len(whole) == 1
    same(whole[0].cut(0, 2), first)
    assert again.table().keys == TABLE.keys
    assert again.end() == 780
    assert [len(b) for b in again.history(720)] == [1]
    assert [b.start for b in again.history(0, 700)] == [600]
    again.close()


def test_what_nobody_watched_is_told_so_and_series_that_came_later_were_not_measured(store: Store) -> None:
    store.commit(Closing(block(600, [[1.0], [2.0]], [True, False])), SeriesTable(TABLE.keys[:1]))
    store.commit(Closing(block(720, [[3.0, 4.0, 0.0]])), TABLE)
    table, bins, _ = store.export()
    assert table.keys == TABLE.keys
    np.testing.assert_array_equal(bins.values, [[1, NAN, NAN], [2, NAN, NAN], [3, 4, 0]])
    assert bins.watched.tolist() == [True, False, True]


def test_an_export_fills_what_was_never_recorded_as_not_watched(store: Store) -> None:
    store.commit(Closing(block(600, [[1.0, 1.0, 1.0]])), TABLE)
    store.commit(Closing(block(780, [[2.0, 2.0, 2.0]])), TABLE)
    _, bins, _ = store.export(600, 840)
    assert bins.watched.tolist() == [True, False, False, True]
    assert bins.closed.tolist() == [675, 735, 795, 855]
    assert np.isnan(bins.values[1:3]).all()


def test_an_export_of_nothing_says_so(store: Store) -> None:
    with pytest.raises(StoreTrouble, match="no interval was recorded"):
        store.export(0, 60)


def test_a_year_of_intervals_is_read_in_blocks(store: Store) -> None:
    many = block(0, [[float(i), 0.0, NAN] for i in range(3000)])
    store.commit(Closing(many), TABLE)
    blocks = list(store.history())
    assert [len(b) for b in blocks] == [1440, 1440, 120]
    np.testing.assert_array_equal(np.concatenate([b.values for b in blocks]), many.values)


def test_news_is_told_once_however_often_it_is_found(store: Store) -> None:
    assert len(store.commit(Closing(news=(news(1, Message("i1", "#a", "x")),)), TABLE)) == 1
    again = Closing(news=(news(1, Message("i1", "#a", "x")), news(2, Message("i1:2", "#a", "y"))))
    assert [one.number for one in store.commit(again, TABLE)] == [2]
    assert store.lines() == ['{"number":1}', '{"number":2}']
    assert [d.message.key for d in Mailbox(store).waiting()] == ["i1", "i1:2"]


def test_a_commit_that_fails_half_way_leaves_nothing(store: Store) -> None:
    bins = block(600, [[1.0, 2.0, 3.0]])
    store.commit(Closing(bins), TABLE)
    store.note(b"body", 1.0)
    bigger = SeriesTable([*TABLE.keys, SeriesKey("c", "o")])
    both = Closing(bins, (news(1, Message("i1", "#a", "x")),), (b"state", 99), (660, b"state"))
    with pytest.raises(StoreTrouble):  # the interval is there already
        store.commit(both, bigger)
    assert store.lines() == []
    assert Mailbox(store).depth(1 << 40) == 0
    assert len(store.table()) == 3
    assert list(store.snapshots()) == []
    assert store.collector() is None
    assert [body for _, _, body in store.noted()] == [b"body"]


def test_the_journal_holds_what_no_collector_state_holds(store: Store) -> None:
    numbers = [store.note(f"{i}".encode(), float(i)) for i in range(250)]
    store.commit(Closing(collector=(b"one", numbers[239])), TABLE)
    assert [body for _, _, body in store.noted()] == [str(i).encode() for i in range(240, 250)]
    store.commit(Closing(collector=(b"two", numbers[-1])), TABLE)
    assert store.collector() == b"two"
    assert store.note(b"x", 1.0) > numbers[-1], "a number is never used again"


def test_only_the_newest_snapshots_are_kept_and_a_broken_one_is_passed_over(store: Store) -> None:
    for i in range(1, 6):
        store.commit(Closing(snapshot=(i * 60, b"state %d" % i)), TABLE)
    assert [upto for upto, _ in store.snapshots()] == [300, 240, 180]
    with store.writing() as c:
        c.execute(tables.snapshots.update().where(tables.snapshots.c.upto == 300).values(state=b"\0"))
    assert next(store.snapshots()) == (240, b"state 4")


def test_a_snapshot_that_one_value_cannot_hold_is_kept_in_parts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillwatch.store.PART", 1000)
    long, longer = os.urandom(3500), os.urandom(9001)
    store.commit(Closing(snapshot=(60, longer)), TABLE)
    store.commit(Closing(snapshot=(120, longer)), TABLE)
    store.commit(Closing(snapshot=(120, long)), TABLE)
    assert list(store.snapshots()) == [(120, long), (60, longer)]
    with store.writing() as c:
        c.exec_driver_sql("DELETE FROM snapshot_parts WHERE upto = 120 AND number = 1")
    assert list(store.snapshots()) == [(60, longer)]
    for i in range(3, 6):
        store.commit(Closing(snapshot=(i * 60, b"short")), TABLE)
    with store.reading() as c:
        assert c.exec_driver_sql("SELECT count(*) FROM snapshot_parts").scalar_one() == 0


def test_a_deployment_told_twice_is_kept_as_it_was_told_first(store: Store) -> None:
    one = Deployment("r1", 100, "a", "2", author="Ü", reported=105)
    assert store.add_deployments([one, one]) == [one]
    assert store.add_deployments([Deployment("r1", 100, "a", "3"), Deployment("r1", 90, "b", "2")]) == [
        Deployment("r1", 90, "b", "2")
    ]
    assert store.deployments() == (Deployment("r1", 90, "b", "2"), one)
    assert store.deployments(after=90) == (one,)
    assert store.deployments(after=90, upto=104) == ()


def test_another_width_is_refused(store: Store) -> None:
    with pytest.raises(StoreTrouble, match="recorded with `interval: 60s`, not 10s"):
        store.settle_width(10)


def one_line(error: pytest.ExceptionInfo[StoreTrouble]) -> str:
    said = str(error.value)
    assert "\n" not in said
    return said


def test_a_newer_file_is_refused_and_left_as_it_is(path: Path) -> None:
    Store(path).close()
    raw = sqlite3.connect(path)
    raw.execute(f"PRAGMA user_version = {FORMAT + 1}")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(StoreTrouble) as error:
        Store(path)
    assert "newer Stillwatch" in one_line(error)
    assert path.read_bytes() == before


def test_another_programs_database_is_refused_and_left_as_it_is(path: Path) -> None:
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE theirs (x)")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(StoreTrouble) as error:
        Store(path)
    assert "another program's" in one_line(error)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"PK\x03\x04 a zip file, really" * 100, os.urandom(5000)])
def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreTrouble) as error:
        Store(path)
    assert "no Stillwatch database" in one_line(error)
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreTrouble) as error:
        Store(tmp_path / "nowhere" / "s.db")
    assert "does not exist" in one_line(error)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreTrouble) as error:
        Store(tmp_path)
    assert "cannot be written" in one_line(error)


def test_a_damaged_file_says_so_wherever_the_damage_is(path: Path) -> None:
    store = Store(path)
    store.settle_width(60)
    rng = np.random.default_rng(1)
    for i in range(200):
        store.commit(Closing(block(600 + 60 * i, [rng.integers(0, 10**6, 3000).tolist()])), TABLE)
    store.close()
    whole = path.read_bytes()
    seen = set()
    for at in range(100, len(whole), len(whole) // 60):
        path.write_bytes(whole[:at] + os.urandom(4096) + whole[at + 4096 :])
        try:
            hurt = Store(path)
            blocks = list(hurt.history())
            hurt.close()
            assert sum(map(len, blocks)) <= 200
        except StoreTrouble as error:
            assert "\n" not in str(error)
            seen.add("damaged" in str(error))
    assert True in seen


def test_a_full_disk_is_said_and_nothing_is_half_kept(in_file: Store) -> None:
    in_file.commit(Closing(block(600, [[1.0, 2.0, 3.0]])), TABLE)
    with in_file.reading() as c:
        most = c.exec_driver_sql("PRAGMA page_count").scalar_one()
        c.exec_driver_sql(f"PRAGMA max_page_count = {most}")
    with pytest.raises(StoreTrouble) as error:
        in_file.commit(Closing(snapshot=(660, os.urandom(10**6))), TABLE)
    assert "no space left" in one_line(error)
    with in_file.reading() as c:
        c.exec_driver_sql("PRAGMA max_page_count = 1000000")
    in_file.commit(Closing(snapshot=(660, os.urandom(10**6))), TABLE)


def test_a_locked_file_is_said_and_goes_on_when_the_other_lets_go(
    in_file: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillwatch.sqlite_file.WAIT", 0)
    mine = Store(path)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreTrouble) as error:
        mine.note(b"x", 1.0)
    assert "another program holds it" in one_line(error)
    other.rollback()
    other.close()
    mine.note(b"x", 1.0)
    mine.close()


READER = """
import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM intervals").fetchone()[0])
"""


def test_readers_in_other_processes_do_not_disturb_and_see_whole_commits(in_file: Store, path: Path) -> None:
    in_file.commit(Closing(block(600, [[1.0, 2.0, 3.0]])), TABLE)
    with in_file.writing() as c:
        c.exec_driver_sql("DELETE FROM intervals")
        told = subprocess.run(
            [sys.executable, "-c", READER, str(path)], capture_output=True, text=True, check=True
        )
        assert told.stdout.strip() == "1"
        c.rollback()


WRITER = """
import sys
from pathlib import Path
import numpy as np
from alerts.messages import Message
from collector.bins import Bins, SeriesKey, SeriesTable
from stillwatch.store import Closing, News, Store

store = Store(sys.argv[1])
store.settle_width(60)
start = store.end() or 0
table = SeriesTable(SeriesKey("a", str(i)) for i in range(1000))
while True:
    number = store.note(b"x" * 2000, float(start))
    bins = Bins(start, 60, np.array([start + 75]), np.full((1, 1000), float(start)), np.array([True]))
    news = News(str(start), 1, start, str(start), (Message(str(start), "#a", "x"),))
    store.commit(Closing(bins, (news,), (b"s" * 5000, number), (start + 60, b"s" * 9000)), table)
    print(start, flush=True)
    start += 60
"""


@pytest.mark.slow
def test_after_kill_9_every_commit_that_was_confirmed_is_whole(where: str) -> None:
    confirmed = -60
    for kill_after in (3, 17, 30):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, where], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(kill_after):
            confirmed = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.stdout.close()
        writer.wait()
        confirmed = max([confirmed, *map(int, rest[:-1])])
        store = Store(where)
        starts = [b.start + 60 * i for b in store.history() for i in range(len(b))]
        assert starts == list(range(0, starts[-1] + 60, 60))
        assert starts[-1] >= confirmed
        assert store.lines() == [str(s) for s in starts]
        assert Mailbox(store).depth(1 << 40) == len(starts)
        assert next(store.snapshots())[0] == starts[-1] + 60
        store.close()
