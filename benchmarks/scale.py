"""How many signals one core watches: a year of twenty of a kind, a tick over many, and a restart with them.

usage: python benchmarks/scale.py [SIGNALS]

Made worlds at one-minute intervals. SIGNALS (default 250,000, which takes 4 GB of memory) are shares of errors, in
the tick and in the restart. Seconds are those of one core's work (the step is not parallel), beside those by the
clock for a restart. Compiling is not counted.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from collector.bins import Bins, SeriesKey, SeriesTable
from detectors.memory import CHART, SEASON, Floats, Wholes
from detectors.plan import lay
from detectors.signals import Budget, Signal, Term
from stillwatch import kept, snapshot
from stillwatch.engine import State, advance
from stillwatch.heap import settling
from stillwatch.store import Closing, Store

START = 1_646_006_400
DAY = 1440
BUDGET = Budget()
OPENED = 0.3  # of what is sent, over two days, half of it within eight hours


class Clock:
    """Runs from when it was made."""

    def __init__(self) -> None:
        self._begun = perf_counter(), process_time()

    def since(self) -> str:
        return f"{perf_counter() - self._begun[0]:.1f} s, of work {process_time() - self._begun[1]:.1f} s"


def errors(count: int) -> tuple[SeriesTable, list[Signal]]:
    """Shares of errors: series of requests, then series of errors."""
    names = [f"service-{i}" for i in range(count)]
    table = SeriesTable(SeriesKey(name, metric) for metric in ("requests", "errors") for name in names)
    asked = [Signal(n, "failing", "error_ratio", (Term(n, "errors"),), (Term(n, "requests"),)) for n in names]
    return table, asked


def arrivals(count: int) -> tuple[SeriesTable, list[Signal]]:
    """Throughputs, of a series each."""
    names = [f"service-{i}" for i in range(count)]
    return SeriesTable(SeriesKey(n, "sent") for n in names), [
        Signal(n, "sent", "throughput", (Term(n, "sent"),)) for n in names
    ]


def passing_on(count: int, within: int) -> tuple[SeriesTable, list[Signal]]:
    """Flows: series of what goes in, then series of what comes out within so many seconds."""
    names = [f"service-{i}" for i in range(count)]
    table = SeriesTable(SeriesKey(name, metric) for metric in ("received", "stored") for name in names)
    asked = [
        Signal(n, "kept", "flow", (Term(n, "stored"),), (Term(n, "received"),), within=within) for n in names
    ]
    return table, asked


def block(kind: str, first: int, minutes: int, signals: int, random: np.random.Generator) -> Bins:
    """Requests at 100 a minute, of which one in a thousand fails; what is sent follows the hour of the day.

    Of what goes into a short flow a third comes out a minute later, and by midnight all of it. What goes into a
    long one is opened later, or never.
    """
    if kind == "errors":
        total = random.poisson(100.0, (minutes, signals))
        values = np.concatenate([total, random.binomial(total, 0.001)], axis=1).astype(np.float64)
    elif kind == "short flows":
        total = random.poisson(_by_hour(first + np.arange(minutes)), (minutes, signals))
        later = random.binomial(total, 0.33)
        later[-1] = 0
        came = total - later
        came[1:] += later[:-1]
        values = np.concatenate([total, came], axis=1).astype(np.float64)
    elif kind == "long flows":
        ago = np.arange(2 * DAY)
        opened = OPENED * np.exp(-ago / 700.0) / np.exp(-ago / 700.0).sum()
        sent = _by_hour(np.arange(first - 2 * DAY + 1, first + minutes))[:, 0]
        came = np.convolve(sent, opened, mode="valid")[:, None]
        both = (
            random.poisson(sent[-minutes:, None], (minutes, signals)),
            random.poisson(came, (minutes, signals)),
        )
        values = np.concatenate(both, axis=1).astype(np.float64)
    else:
        values = random.poisson(_by_hour(first + np.arange(minutes)), (minutes, signals)).astype(np.float64)
    begun = START + 60 * first
    ends = begun + 60 * np.arange(1, minutes + 1, dtype=np.int64)
    return Bins(begun, 60, ends + 15, values, np.ones(minutes, dtype=np.bool_))


def _by_hour(minutes: Wholes) -> Floats:
    """float64[minutes, 1]: expected events at these minutes, a hundred on a middling one."""
    return np.asarray(100.0 * np.exp(0.7 * np.sin(minutes / DAY * 2.0 * np.pi))[:, None])


KINDS = {
    "errors": errors,
    "throughputs": arrivals,
    "short flows": partial(passing_on, within=120),
    "long flows": partial(passing_on, within=2 * 86400),
}


def over(days: int, kind: str, signals: int = 20) -> None:
    """The step over so many days, day by day as a backtest takes it."""
    random = np.random.default_rng(1)
    table, asked = KINDS[kind](signals)
    plan, state, taken, news = lay(asked, table, 60, BUDGET), State.empty(), 0.0, 0
    for day in range(days):
        bins = block(kind, day * DAY, DAY, signals, random)
        if day == 0:
            advance(state, bins.cut(0, 1), [], plan)
        begun = process_time()
        state, events = advance(state, bins, [], plan, spend=True)
        taken += process_time() - begun
        news += len(events)
    rate = signals * days * DAY / taken
    print(
        f"{days} days of {signals} {kind}: {taken:.1f} s, {rate / 1e6:.2f} M signal-bins/s, {news} events",
        flush=True,
    )


def many(signals: int) -> None:
    """A tick over many shares of errors, and a restart with what is remembered of them."""
    random = np.random.default_rng(2)
    table, asked = errors(signals)
    plan, state, ticks = lay(asked, table, 60, BUDGET), State.empty(), []
    for minute in range(40):
        bins = block("errors", minute, 1, signals, random)
        begun = process_time()
        state, _ = advance(state, bins, [], plan, spend=True)
        ticks.append(process_time() - begun)
    tick = float(np.median(ticks[10:]))
    print(
        f"a tick over {signals:,}: {tick * 1e3:.0f} ms, {signals / tick / 1e6:.2f} M signal-bins/s",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "s.db")
        begun = Clock()
        store.commit(Closing(snapshot=(bins.end, snapshot.dump(state))), table)
        print(f"a snapshot of {signals:,} written: {begun.since()}", flush=True)
        del state, plan, table
        begun = whole = Clock()
        with settling():
            table = store.table()
            print(f"series read again: {begun.since()}", flush=True)
            begun = Clock()
            state, _ = kept.remembered(store)
            print(f"memory read again: {begun.since()}", flush=True)
            begun = Clock()
            plan = lay(asked, table, 60, BUDGET)
            print(f"laid out: {begun.since()}", flush=True)
        advance(state, block("errors", 40, 1, signals, random), [], plan, spend=True)
        print(f"a restart with {signals:,}, to the end of the first tick: {whole.since()}", flush=True)
        store.close()


def main() -> None:
    both = CHART.itemsize + SEASON.itemsize
    print(f"bytes remembered of a share of errors: {CHART.itemsize}, of a throughput: {both}")
    over(365, "errors")
    over(365, "throughputs")
    over(365, "short flows")
    over(90, "long flows")
    many(int(sys.argv[1]) if len(sys.argv) > 1 else 250_000)


if __name__ == "__main__":
    main()
