"""Stillwatch in the race: when the one step raises which signal."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from collector.bins import Bins, SeriesKey, SeriesTable
from detectors import memory
from detectors.plan import lay
from detectors.signals import Budget, Signal, Term
from detectors.watch import watch
from race.tracks import FAULTY, Case, Floats, Tracks

START = 1_646_006_400  # Monday 28 February 2022, 00:00 UTC


class Seen(NamedTuple):
    """delays: minutes from the start of each fault to the close of the interval that raised it, inf = missed.
    false: alarms that began before or long after the fault of their service."""

    delays: Floats
    false: int


def race(case: Case, made: Tracks) -> Seen:
    """Delays and false alarms of all services of one world, with one false alert a week allowed to all."""
    services, minutes = made.x.shape
    names = [f"service-{i}" for i in range(services)]
    keys = [SeriesKey(n, "counted") for n in names]
    values = made.x.T
    signals = [_signal(case, n) for n in names]
    if case.kind != "throughput":
        keys += [SeriesKey(n, "all") for n in names]
        values = np.concatenate([made.x, made.n]).T
    table = SeriesTable(keys)
    ends = START + 60 * np.arange(1, minutes + 1, dtype=np.int64)
    bins = Bins(START, 60, ends, np.ascontiguousarray(values), np.ones(minutes, dtype=np.bool_))
    plan = lay(signals, table, 60, Budget())
    delays, false = np.full(services, np.inf), 0
    for index, findings in watch(memory.fit(memory.nothing(), plan), bins, plan, []):
        for one in findings:
            if one.phase != "raised":
                continue
            service = names.index(one.signal.service)
            after = index + 1 - made.start[service]
            if 0 < after <= FAULTY:
                delays[service] = min(delays[service], after)
            elif after <= 0 or after > FAULTY + 60:
                false += 1
    return Seen(delays, false)


def _signal(case: Case, name: str) -> Signal:
    counted, of = (Term(name, "counted"),), (Term(name, "all"),)
    if case.kind == "throughput":
        return Signal(name, "signal", "throughput", counted)
    if case.kind == "error_ratio":
        return Signal(name, "signal", "error_ratio", counted, of)
    return Signal(name, "signal", "flow", counted, of, within=180)
