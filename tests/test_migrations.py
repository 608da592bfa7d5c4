"""Databases of every version before this one are brought up to it, whole or not at all.

old_databases: written by the Stillwatch of their time, as SQL.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from postgres_server import PostgresServer

from collector.bins import SeriesKey, SeriesTable
from stillwatch import schema, tables
from stillwatch.mailbox import Mailbox
from stillwatch.store import Closing, News, Store
from stillwatch.tables import StoreTrouble

OLD = sorted((Path(__file__).parent / "old_databases").iterdir())
KEYS = (SeriesKey("importer", "started", "1", (("region", "eu"),)), SeriesKey("importer", "failed", "1"))


def made(old: Path, path: Path) -> Path:
    raw = sqlite3.connect(path)
    raw.executescript(old.read_text())
    raw.close()
    return path


def differences(store: Store) -> list[object]:
    with store.reading() as c:
        context = MigrationContext.configure(c, opts={"version_table": schema.VERSIONS})
        return list(compare_metadata(context, tables.meta))


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "SQLite":
        return str(tmp_path / "s.db")
    return str(request.getfixturevalue("postgres"))


def test_the_newest_version_is_the_last_step() -> None:
    config = Config()
    config.set_main_option("script_location", "stillwatch:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [schema.NEWEST]


def test_the_steps_lead_to_the_tables_that_are_in_use(fresh: str) -> None:
    store = Store(fresh)
    assert differences(store) == []
    store.close()


@pytest.mark.parametrize("old", OLD, ids=lambda old: old.stem)
def test_an_old_file_is_brought_up_with_all_that_is_in_it(old: Path, tmp_path: Path) -> None:
    path = made(old, tmp_path / "old.db")
    for _ in range(2):  # the second time nothing is left to do
        store = Store(path)
        assert differences(store) == []
        assert store.table().keys == list(KEYS)
        (bins,) = store.history()
        np.testing.assert_array_equal(bins.values, [[5, np.nan], [7, 1]])
        told = [(one["incident"], one["number"]) for one in map(json.loads, store.lines())]
        assert told == [("zz", 1), ("aa", 1), ("zz", 2)]
        assert [(one.incident, one.message.text) for one in Mailbox(store).waiting()] == [
            ("zz", "first"),
            ("aa", "second"),
            ("zz", "third"),
        ]
        assert [body for _, _, body in store.noted()] == [b"acknowledged"]
        assert store.collector() == b"collector state"
        assert list(store.snapshots()) == [(720, b"engine state")]
        assert [one.id for one in store.deployments()] == ["r1"]
        store.close()


@pytest.mark.parametrize("old", OLD, ids=lambda old: old.stem)
def test_what_is_brought_up_goes_on_where_it_was(old: Path, tmp_path: Path) -> None:
    store = Store(made(old, tmp_path / "old.db"))
    assert store.note(b"next", 740.0) == 2
    (new,) = store.commit(Closing(news=(News("bb", 1, 780, "the newest", ()),)), SeriesTable(KEYS))
    assert store.lines()[-1] == new.line
    store.close()


def test_what_was_put_back_is_found_by_its_service(tmp_path: Path) -> None:
    (old,) = (one for one in OLD if one.stem == "format_2_with_rollbacks_by_deployment")
    store = Store(made(old, tmp_path / "old.db"))
    with store.reading() as c:
        assert c.exec_driver_sql("SELECT service, state FROM rollbacks").all() == [("importer", "asked")]
    store.close()


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = made(OLD[0], tmp_path / "old.db")
    raw = sqlite3.connect(path)
    raw.execute("CREATE INDEX ix_news_place ON news (time)")  # in the way of the last step
    raw.commit()
    before = list(raw.iterdump())
    with pytest.raises(StoreTrouble, match="ix_news_place already exists"):
        Store(path)
    assert list(raw.iterdump()) == before
    assert raw.execute("PRAGMA user_version").fetchone() == (1,)
    raw.execute("DROP INDEX ix_news_place")
    raw.close()
    Store(path).close()


def test_a_newer_database_is_refused_and_left_as_it_is(fresh: str) -> None:
    store = Store(fresh)
    with store.writing() as c:
        c.exec_driver_sql(f"UPDATE {schema.VERSIONS} SET version_num = 'next'")
    store.close()
    for _ in range(2):
        with pytest.raises(StoreTrouble, match="written by a newer Stillwatch"):
            Store(fresh)


def test_two_that_open_an_empty_database_at_once_make_it_once(postgres_server: PostgresServer) -> None:
    empty = postgres_server.database()
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: Store(empty), range(4)))
    for store in stores:
        assert store.table().keys == []
        store.close()


def test_alembic_is_asked_only_where_something_is_to_be_done(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    Store(path).close()
    program = (
        "import sys; from stillwatch.store import Store; Store(sys.argv[1]); print('alembic' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "False\n"
