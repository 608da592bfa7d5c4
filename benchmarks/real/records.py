"""Real records, and faults that are put into them.

In: the datasets real_calls and real_flights. Out: blocks of counts, as they were or with one fault.
A loss is a binomial draw from what was counted, and so is an error from what succeeded: all else stays true.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector import dataset
from collector.bins import Bins, SeriesKey
from collector.dataset import Dataset
from detectors.plan import Plan
from detectors.signals import Signal
from stillwatch.config import Settings, load
from stillwatch.replaying import Replay, plan_of, replay

SAMPLES = Path(__file__).resolve().parent.parent.parent / "sample_data"
WEEK = 7 * 86400  # seconds
LEARNED = 3 * WEEK  # seconds that are never touched
SHORTEST, LONGEST = 2 * 3600, 6 * 3600  # seconds of a fault


@dataclass(frozen=True, slots=True)
class Record:
    """A dataset with its settings and how it is judged untouched.

    open: bool[intervals], what the source speaks of.
    """

    name: str
    settings: Settings
    dataset: Dataset
    plan: Plan
    untouched: Replay
    open: NDArray[np.bool_]

    def counts(self, service: str, metric: str) -> NDArray[np.float64]:
        """float64[intervals], NaN = not measured."""
        return self.dataset.bins.values[:, self.row(service, metric)]

    def row(self, service: str, metric: str) -> int:
        return self.dataset.table.keys.index(SeriesKey(service, metric))

    @property
    def weeks(self) -> float:
        return (self.dataset.bins.end - self.dataset.bins.start) / WEEK


class Moment(NamedTuple):
    """A fault's place: the index of its first interval, and how many it lasts."""

    first: int
    length: int


@cache
def record(name: str, closed: float | None = None) -> Record:
    """closed: what is said of hours of which the source says nothing: nothing; or, invented, so many events an
    interval on average, as of a counter that runs on (0) or a line at which hardly anybody calls."""
    settings = load(SAMPLES / name / "stillwatch.yaml", {})
    read = dataset.read(SAMPLES / name, settings.interval, settings.grace)
    spoken = read.bins.watched
    if closed is not None:
        invented = np.random.default_rng(0).poisson(closed, read.bins.values.shape)
        values = np.where(np.isnan(read.bins.values), invented, read.bins.values)
        read = replace(read, bins=replace(read.bins, values=values, watched=np.ones_like(spoken)))
        name += f", {closed:g} by night"
    return Record(name, settings, read, plan_of(settings, read.table), replay(read, settings), spoken)


def moments(of: Record, signal: Signal, many: int, seed: int) -> list[Moment]:
    """Moments at random, by time: in open hours, busy (an event an interval a week earlier), and nothing said.

    Nothing said: without the fault no incident of the service is open at any time of it.
    """
    bins = of.dataset.bins
    week = WEEK // bins.width
    busy = of.counts(*_busy(signal))
    random = np.random.default_rng(seed)
    found: list[Moment] = []
    told = _told(of, signal.service)
    while len(found) < many:
        length = int(random.integers(SHORTEST // bins.width, LONGEST // bins.width + 1))
        first = int(random.integers(LEARNED // bins.width, len(bins) - length))
        before = busy[first - week : first + length - week]
        is_open = of.open[first : first + length].all()
        if is_open and np.nan_to_num(before).mean() >= 1 and not told[first - 1 : first + length].any():
            found.append(Moment(first, length))
    return sorted(found)


def _busy(signal: Signal) -> tuple[str, str]:
    term = signal.out_of[0] if signal.kind == "error_ratio" else signal.counted[0]
    return term.service, term.metric


def _told(of: Record, service: str) -> NDArray[np.bool_]:
    """bool[intervals]: is an incident of the service open at the end of it?"""
    closed = of.dataset.bins.closed
    out = np.zeros(len(closed), dtype=np.bool_)
    resolved = {e.incident.id: e.time for e in of.untouched.events if e.event == "resolved"}
    for event in of.untouched.events:
        if any(f.signal.service == service for f in event.incident.findings):
            until = resolved.get(event.incident.id, int(closed[-1]) + 1)
            out |= (closed >= event.incident.opened) & (closed <= until)
    return out


def faulty(of: Record, signal: Signal, moment: Moment, size: float, seed: int, since: int) -> Bins:
    """Intervals `since` to the end of the fault, with the fault in them.

    size: the share that is lost; of an error ratio, the share of successes that turn into errors.
    """
    random = np.random.default_rng([seed, moment.first, round(1000 * size)])
    bins = of.dataset.bins.cut(since, moment.first + moment.length)
    values, at = bins.values.copy(), slice(moment.first - since, moment.first - since + moment.length)
    counted = of.row(signal.counted[0].service, signal.counted[0].metric)
    if signal.kind == "error_ratio":
        total = of.row(signal.out_of[0].service, signal.out_of[0].metric)
        succeeded = (values[at, total] - values[at, counted]).astype(np.int64)
        values[at, counted] += random.binomial(succeeded, size)
    else:
        values[at, counted] = random.binomial(values[at, counted].astype(np.int64), 1.0 - size)
    return replace(bins, values=values)
