"""What was told of the untouched records, and whether there was something.

In: a record. Out: one line an incident. Judged with hindsight and without any detector: what was counted between
onset and alert, beside what was counted between the same hours of the other days of the record.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

from detectors.findings import Finding
from real.records import LEARNED, Record

DAY = 86400  # seconds
CHANCE = 1e-6  # what chance does so rarely has happened
RARE = 0.01  # of the other days


class Told(NamedTuple):
    """One incident. observed, expected: from the onset to the alert, as it was told.

    learning: in the first three weeks. usual: mean of the other days. alike: of `days` others, those with as little
    (as many errors). chance: of so little (so many), were this day like the others (Poisson).
    """

    opened: int
    service: str
    signal: str
    kind: str
    learning: bool
    observed: float
    expected: float
    usual: float
    alike: int
    days: int
    chance: float

    @property
    def verdict(self) -> str:
        if self.chance >= CHANCE:
            return "false"
        return "rare" if self.alike <= RARE * self.days else "not rare"


def told(of: Record) -> list[Told]:
    """By time."""
    opened = [e for e in of.untouched.events if e.event == "opened"]
    return [_one(of, event.time, event.incident.findings[0]) for event in opened]


def _one(of: Record, opened: int, finding: Finding) -> Told:
    bins, signal = of.dataset.bins, finding.signal
    counts = of.counts(signal.counted[0].service, signal.counted[0].metric)
    first, last = (finding.onset - bins.start) // bins.width, (opened - bins.start) // bins.width
    here, others = float(np.nansum(counts[first:last])), _other_days(of, counts, first, last)
    usual = float(others.mean())
    errors = signal.kind == "error_ratio"
    alike = others >= here if errors else others <= here
    chance = poisson.sf(here - 1, usual) if errors else poisson.cdf(here, usual)
    learning = opened - bins.start <= LEARNED
    return Told(
        opened, signal.service, signal.name, signal.kind, learning, finding.observed, finding.expected,
        usual, int(alike.sum()), len(others), float(chance),
    )  # fmt: skip


def _other_days(of: Record, counts: NDArray[np.float64], first: int, last: int) -> NDArray[np.float64]:
    """float64[days]: the sums between the same hours of all other days that were open, or closed, as this one."""
    day, is_open = DAY // of.dataset.bins.width, of.open[first:last].any()
    begins = [b for b in range(first % day, len(counts) - (last - first), day) if b != first]
    alike = [b for b in begins if of.open[b : b + last - first].any() == is_open]
    return np.array([np.nansum(counts[b : b + last - first]) for b in alike])
