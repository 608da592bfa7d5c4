"""How the collector goes into the store with each interval, and comes out of it again."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from collector.asked import Rows
from collector.binner import Binner
from collector.bins import SeriesKey, SeriesTable
from collector.counters import Counters
from collector.points import NANOS, Stream
from stillwatch import kept
from stillwatch.store import Closing, Store

T0 = 1_650_000_000


def counted(table: SeriesTable, counters: Counters, at: int) -> None:
    rows = Rows(cumulative=True)
    for i in range(500):
        key = SeriesKey("shop", "orders", "1.0", (("región", "süd"),))
        rows.add(key, Stream("{}", f'["pod-{i}","ünïcode 🦄"]'), T0 * NANOS, (T0 + at) * NANOS, 10.0 * at + i)
    counters.count(rows.readings(), table, T0 + at)


def test_the_collector_comes_back_as_it_was_and_takes_a_byte_for_each_letter(tmp_path: Path) -> None:
    table, counters, binner = SeriesTable(), Counters(T0 - 600), Binner(60, 15, T0 - 600)
    for at in (10, 20):
        counted(table, counters, at)
    raw = kept.packed(counters, binner)
    arrays = {name: np.asarray(of).nbytes for name, of in counters.state().items() if name != "rest"}
    assert len(raw) < sum(arrays.values()) + len(counters.state()["rest"]) + 20_000
    # As it was written before: text as an array of text.
    before = {f"counters.{name}": of for name, of in counters.state().items()}
    before |= {f"binner.{name}": of for name, of in binner.state().items()}
    buffer = io.BytesIO()
    np.savez(buffer, **before)
    assert len(buffer.getvalue()) > 2 * len(raw)
    for number, one in enumerate((raw, buffer.getvalue())):
        store = Store(tmp_path / f"{number}.db")
        store.commit(Closing(collector=(one, 0)), table)
        found = kept.collector(store, table)
        store.close()
        assert found is not None
        assert found[0].state()["rest"] == counters.state()["rest"]
        counted(table, found[0], 30)
        again = Counters.restore(counters.state())
        counted(table, again, 30)
        assert found[0].state()["rest"] == again.state()["rest"]
        assert np.array_equal(found[0].state()["total"], again.state()["total"])
