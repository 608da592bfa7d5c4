"""From how many services on, and within which time, what begins together is one thing. Pure.

In: when incidents began. Out: those that did not begin together by chance.
Never: a deployment, a flow (what these explain is one incident already).

Faults that have nothing to do with each other come as a Poisson process: `rate` an hour. After one of them, k - 1
more come within `within` seconds by chance about (rate * within)^(k - 1) / (k - 1)! times, so in a year of 8,766
hours k do so about

    8766 * rate * (rate * within / 3600)^(k - 1) / (k - 1)!

times (the first term of the distribution of the scan statistic: Naus, 1982). MANY is the least k for which that is
less than once in ten years in a company where a fault comes by itself every hour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import count
from statistics import median_low

from detectors.findings import Finding

HOURS_A_YEAR = 8766
RATE = 1.0  # faults an hour that come by themselves: more than companies of some hundred services have
WITHIN = (
    300  # seconds from the first onset to the last: what is shared is felt at once, and onsets are estimates
)
SELDOM = 0.1  # a year


def coincidences(k: int, rate: float = RATE, within: float = WITHIN) -> float:
    """How often a year k faults begin within `within` seconds by chance; rate: faults an hour."""
    return HOURS_A_YEAR * rate * (rate * within / 3600) ** (k - 1) / math.factorial(k - 1)


MANY = next(k for k in count(2) if coincidences(k) < SELDOM)


def crowds(began: Iterable[tuple[int, str]]) -> list[set[str]]:
    """Of (onset in epoch seconds, name), those of whom MANY and more began within WITHIN; those that overlap are
    one crowd."""
    found: list[set[str]] = []
    last = -1  # place of the last one that is in a crowd
    ordered = sorted(began)
    first = 0
    for i, (onset, _) in enumerate(ordered):
        while ordered[first][0] < onset - WITHIN:
            first += 1
        if i - first + 1 >= MANY:
            if first > last:
                found.append(set())
            found[-1].update(name for _, name in ordered[max(first, last + 1) : i + 1])
            last = i
    return found


def services(findings: Iterable[Finding]) -> set[str]:
    return {f.signal.service for f in findings}


def failing(findings: Iterable[Finding]) -> int:
    """Services that fail still."""
    return len(services(f for f in findings if f.phase != "cleared"))


def many(findings: Sequence[Finding]) -> bool:
    """So many services that people are told numbers, and not of each."""
    return len(findings) >= MANY and len(services(findings)) >= MANY


def usual_onset(findings: Sequence[Finding]) -> int:
    """When it began, where many began: of so many estimates the earliest is too early."""
    return median_low(f.onset for f in findings)
