"""Real counts, with exact faults in them: quiet while nothing is wrong, and a stop is told within minutes.

In: sample_data/real_calls and real_flights. Out: verdicts. More of it: benchmarks/real_traffic.py.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from alerts.incidents import Event
from collector import dataset
from collector.bins import Bins
from collector.dataset import Dataset
from collector.moments import seconds
from stillwatch.config import Settings, load
from stillwatch.engine import State, advance
from stillwatch.replaying import Replay, plan_of, replay

SAMPLES = Path(__file__).parent.parent / "sample_data"


LEARNED = 3 * 7 * 288  # intervals of the record that are judged before a fault


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
    weeks = len(calls().bins) * 300 / (7 * 86400)
    assert weeks > 33
    # A false alert a week is allowed. The record may hold true ones: nobody knows.
    assert sum(event.event == "opened" for event in calls_as_they_were().events) <= weeks / 3


def some_morning(seed: int) -> int:
    """The index of an interval of a morning between 08:00 and 12:00 in the last four weeks."""
    bins = calls().bins
    random, day = np.random.default_rng(seed), 86400 // bins.width
    # The record begins on a Monday at 07:00.
    first = int(7 * random.integers(29, 33) + random.integers(0, 5)) * day + int(random.integers(12, 60))
    return first if bins.watched[first] else first - 7 * day


def first_words(bins: Bins, first: int, lost: float, intervals: int) -> list[Event]:
    """What is told of a loss that begins with the interval `first`: each call is kept by chance, exactly."""
    plan = plan_of(settings("real_calls"), calls().table)
    state, _ = advance(State.empty(), bins.cut(first - LEARNED, first), (), plan)
    block = bins.cut(first, first + intervals)
    kept = np.random.default_rng(first).binomial(block.values.astype(np.int64), 1.0 - lost)
    return advance(state, replace(block, values=kept.astype(np.float64)), (), plan)[1]


@pytest.mark.parametrize("seed", range(6))
def test_a_stop_of_real_calls_is_told_within_ten_minutes(seed: int) -> None:
    bins, first = calls().bins, some_morning(seed)
    (event,) = first_words(bins, first, 1.0, 2)
    (finding,) = event.incident.findings
    assert (event.event, finding.kind) == ("opened", "data_loss")
    assert abs(finding.onset - bins.cut(first, first + 1).start) <= bins.width


def test_half_of_real_calls_lost_is_mostly_told_within_ten_minutes() -> None:
    told = [first_words(calls().bins, some_morning(seed), 0.5, 2) for seed in range(6)]
    kinds = [f.kind for events in told for e in events if e.event == "opened" for f in e.incident.findings]
    assert set(kinds) == {"data_loss"}
    assert len(kinds) >= 5  # of 6


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
