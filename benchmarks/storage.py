"""Bytes on disk of a stored count, and what it takes to store an interval.

In: nothing, or --series N --minutes N. Out: lines on stdout. Made counts: a third of the series count less often
than once a minute, the others up to 5,000 times, all by the hour of the day; one in twenty is not measured.
Never: a number without the check that what is read back is what was stored.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from collector.bins import Bins, SeriesKey, SeriesTable
from stillwatch.store import Closing, Store

DAY = 1440
WEEKS = 5


def counts(rate: np.ndarray, minutes: int, random: np.random.Generator) -> np.ndarray:
    """float64[minutes, series]"""
    by_hour = 1 + 0.6 * np.sin(np.arange(minutes) * 2 * np.pi / DAY)
    return random.poisson(rate * by_hour[:, None]).astype(np.float64)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--series", type=int, default=10_000)
    options.add_argument("--minutes", type=int, default=240)
    chosen = options.parse_args()
    random, series = np.random.default_rng(1), chosen.series
    rate = np.exp(random.uniform(np.log(0.05), np.log(5000.0), series))
    rate[: series // 3] = np.exp(random.uniform(np.log(0.001), 0.0, series // 3))
    values = counts(rate, chosen.minutes, random)
    values[:, random.random(series) < 0.05] = np.nan
    table = SeriesTable(
        SeriesKey(f"service-{i // 100}", f"m{i % 100}", "1.0", (("route", f"/{i % 10}"),))
        for i in range(series)
    )
    with tempfile.TemporaryDirectory() as folder:
        path, work, sizes = Path(folder) / "stillwatch.db", 0.0, []
        store = Store(path)
        store.settle_width(60)
        for minute, row in enumerate(values):
            closed = np.array([60 * minute + 75])
            bins = Bins(60 * minute, 60, closed, row[None], np.ones(1, dtype=np.bool_))
            begun = time.process_time()
            store.commit(Closing(bins), table)
            work += time.process_time() - begun
            if minute in (0, chosen.minutes - 1):
                with store.engine.connect() as c:
                    c.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                sizes.append(path.stat().st_size)
        read = np.concatenate([block.values for block in store.history()])
        np.testing.assert_array_equal(read, values)
        store.close()
    each = (sizes[1] - sizes[0]) / (series * (chosen.minutes - 1))
    print(f"{each:.2f} bytes a count, {sizes[0] / series:.0f} a series")
    print(f"{work / chosen.minutes * 1e3:.1f} ms of work to store an interval")
    print(f"{WEEKS} weeks of {series:,} series at one minute: {each * series * WEEKS * 7 * DAY / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
