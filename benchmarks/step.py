"""Signal-intervals a second of the one step, for few signals over long and many signals over short.

usage: python benchmarks/step.py

Made worlds of requests with errors at one-minute intervals; beside it, as a peer, the share of errors against a
rolling mean and standard deviation in pandas, which finds far less. Compiling is not counted.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from collector.bins import Bins, SeriesKey, SeriesTable
from detectors.plan import lay
from detectors.signals import Budget, Signal, Term
from stillwatch.engine import State, advance

START = 1_646_006_400


def world(signals: int, minutes: int) -> tuple[Bins, SeriesTable, list[Signal]]:
    """Requests at 100 a minute, of which one in a thousand fails."""
    random = np.random.default_rng(1)
    total = random.poisson(100.0, (minutes, signals))
    values = np.concatenate([total, random.binomial(total, 0.001)], axis=1).astype(np.float64)
    names = [f"service-{i}" for i in range(signals)]
    table = SeriesTable([SeriesKey(n, m) for m in ("requests", "errors") for n in names])
    asked = [Signal(n, "failing", "error_ratio", (Term(n, "errors"),), (Term(n, "requests"),)) for n in names]
    ends = START + 60 * np.arange(1, minutes + 1, dtype=np.int64)
    return Bins(START, 60, ends + 15, values, np.ones(minutes, dtype=np.bool_)), table, asked


def main() -> None:
    for signals, minutes in ((20, 60 * 1440), (10_000, 60)):
        bins, table, asked = world(signals, minutes)
        plan = lay(asked, table, 60, Budget())
        state, _ = advance(State.empty(), bins.cut(0, 10), [], plan)
        begun = time.perf_counter()
        advance(state, bins.cut(10, minutes), [], plan)
        ours = (time.perf_counter() - begun) / (signals * (minutes - 10))
        begun = time.perf_counter()
        share = pd.DataFrame(bins.values[:, signals:] / np.maximum(bins.values[:, :signals], 1.0))
        rolling = share.rolling(60)
        _ = (share - rolling.mean()) / rolling.std()
        peer = (time.perf_counter() - begun) / (signals * minutes)
        print(
            f"{signals:6d} signals x {minutes:6d} intervals: {1 / ours / 1e6:.2f} M signal-bins/s "
            f"({ours * 1e9:.0f} ns each); rolling z-score in pandas {1 / peer / 1e6:.2f} M/s"
        )


if __name__ == "__main__":
    main()
