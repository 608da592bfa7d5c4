"""Real counts, with exact faults in them: quiet while nothing is wrong, and a stop is told within minutes.

In: sample_data/real_calls and real_flights. Out: verdicts. More of it: benchmarks/real_traffic.py.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from collector import dataset
from collector.dataset import Dataset
from collector.moments import seconds
from stillwatch.backtest import Replay, plan_of, replay
from stillwatch.config import Settings, load
from stillwatch.engine import State, advance

SAMPLES = Path(__file__).parent.parent / "sample_data"


def settings(name: str) -> Settings:
    return load(SAMPLES / name / "stillwatch.yaml", None)


@cache
def calls() -> Dataset:
    set_ = settings("real_calls")
    return dataset.read(SAMPLES / "real_calls", set_.interval, set_.grace)


@cache
def calls_as_they_were() -> Replay:
    return replay(calls(), settings("real_calls"))


def test_the_calls_are_those_of_the_source() -> None:
    counts = calls().bins.values
    assert int(np.nansum(counts)) == 5_323_661
    assert int(calls().bins.watched.sum()) == 164 * 169  # days of 5 minutes from 07:00 to 21:05
    assert counts[0, 0] == 111


def test_33_weeks_of_real_calls_are_quiet() -> None:
    assert len(calls().bins) * 300 > 33 * 7 * 86400
    # A false alert a week is allowed. The record may hold true ones: nobody knows.
    assert sum(event.event == "opened" for event in calls_as_they_were().events) <= 3


@pytest.mark.parametrize("seed", range(6))
def test_a_stop_of_real_calls_is_told_within_ten_minutes(seed: int) -> None:
    bins, set_ = calls().bins, settings("real_calls")
    random = np.random.default_rng(seed)
    day = 86400 // bins.width
    # Any morning of the last four weeks, from 08:00 to 12:00: the record begins on a Monday at 07:00.
    day_of_week = int(random.integers(0, 5))
    first = (7 * int(random.integers(29, 33)) + day_of_week) * day + int(random.integers(12, 60))
    if not bins.watched[first]:
        first -= 7 * day
    plan = plan_of(set_, calls().table)
    state, _ = advance(State.empty(), bins.cut(0, first), (), plan)
    block = bins.cut(first, first + 2)
    _, events = advance(state, replace(block, values=np.zeros_like(block.values)), (), plan)
    assert [event.event for event in events] == ["opened"]
    (finding,) = events[0].incident.findings
    assert finding.kind == "data_loss"
    assert abs(finding.onset - block.start) <= bins.width


def test_the_flights_that_the_storm_of_february_2013_cancelled_are_told_at_each_airport() -> None:
    found = settings("real_flights")
    set_ = replace(found, signals=tuple(s for s in found.signals if s.kind == "error_ratio"))
    start, end = seconds("2013-01-05T05:00:00Z"), seconds("2013-02-09T05:00:00Z")
    storm = seconds("2013-02-07T05:00:00Z")
    read = dataset.read(SAMPLES / "real_flights", set_.interval, set_.grace, int(start), int(end))
    opened = [event for event in replay(read, set_).events if event.event == "opened"]
    told = {f.signal.service for e in opened if e.time > storm for f in e.incident.findings}
    assert told == {"ewr", "jfk", "lga"}
    assert not [e for e in opened if storm - 5 * 86400 < e.time < storm]


def test_every_flight_is_there() -> None:
    set_ = settings("real_flights")
    read = dataset.read(SAMPLES / "real_flights", set_.interval, set_.grace)
    sums = dict.fromkeys(("scheduled", "cancelled", "departed", "arrived"), 0.0)
    for i, key in enumerate(read.table.keys):
        sums[key.metric] += read.bins.values[:, i].sum()
    assert sums == {"scheduled": 336_776, "cancelled": 8_255, "departed": 328_518, "arrived": 327_994}
