"""Is a candidate worse than the version beside which it serves, or as good, or is that not known yet? Pure.

In: the intervals in which both served, a plan. Out: a Verdict for every signal that tells versions apart.
Never: an interval in which only one of them served; a usual share: a shift of both says nothing.

Of e errors in one interval the candidate has x; if the odds of failing are R times the baseline's, x is binomial
with share R s / (R s + 1 - s), s being its part of the traffic. Products of likelihood ratios are e-processes: they
exceed 1/risk with a probability of at most `risk`, however often one looks (Ville 1939; Shafer et al. 2011).
bad:  mixture over R in WORSE against R = 1; one interval adds half of what is needed at most: one odd minute is no
      verdict.
good: mixture over R in ALIKE against R = 1 + margin, and over shares below `tolerance` against it, for what fails
      so rarely that there are no errors to divide. Either speaks against "the candidate is worse than both".
A flow fails by what is missing for certain: gone in longer ago than `within`, and still owed by the running sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from collector.bins import Bins
from detectors.memory import QUICK, Floats
from detectors.plan import ROLLOUT, ROLLOUT_FLOW, TALLY, Plan, gather

WORSE = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0)
ALIKE = (1.0, 0.7, 0.4, 0.1)
BELOW = (0.5, 0.2, 0.05, 0.002)  # of the tolerance


class Verdict(StrEnum):
    """What is known of a candidate."""

    BAD = "bad"
    AS_GOOD = "as good"
    NOT_YET = "not enough yet"


@dataclass(frozen=True, slots=True)
class Asked:
    """margin: the candidate's odds of failing may be (1 + margin) times the baseline's, and are as good. tolerance:
    so may any share of failures below this. risk: of a wrong verdict, over all signals and all looks."""

    margin: float = 1.0
    tolerance: float = 0.001
    risk: float = 0.01


@dataclass(frozen=True, slots=True)
class Side:
    """Events that failed (or are missing) of all, while both served."""

    failed: float
    of: float

    @property
    def share(self) -> float:
        return self.failed / self.of if self.of > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Compared:
    """One signal. bad, good: evidence in nats for either, `needed`: what a verdict takes. intervals: in which both
    served; losses: of a flow."""

    signal: str
    losses: bool
    verdict: Verdict
    candidate: Side
    baseline: Side
    bad: float
    good: float
    needed: float
    intervals: int


def compare(
    bins: Bins, plan: Plan, service: str, candidate: str, baseline: str, asked: Asked
) -> list[Compared]:
    """Every signal of `service` whose series carry both versions; empty where none does. plan: one
    that waits for nothing."""
    last = np.full(len(plan.row_service), -1, dtype=np.int64)
    x, n = gather(bins.settled().values, plan.counted, plan.out_of, plan.row_service, plan.services, last, 0)
    pairs = _pairs(plan, service, candidate, baseline)
    return [_compare(plan, x, n, new, old, asked, len(pairs)) for new, old in pairs]


def overall(compared: Sequence[Compared]) -> Verdict:
    """Bad if one signal is, as good if all are."""
    if any(one.verdict is Verdict.BAD for one in compared):
        return Verdict.BAD
    if compared and all(one.verdict is Verdict.AS_GOOD for one in compared):
        return Verdict.AS_GOOD
    return Verdict.NOT_YET


def _pairs(plan: Plan, service: str, candidate: str, baseline: str) -> list[tuple[int, int]]:
    """Charts of the candidate and of the baseline: what has both a count and a total of its own, each pair once."""
    by_signal: dict[tuple[object, ...], dict[str, int]] = {}
    for c, chart in enumerate(plan.charts):
        signal = plan.signals[chart.family]
        kinds = chart.kind in (ROLLOUT, ROLLOUT_FLOW, TALLY) and signal.kind != "throughput"
        if signal.service == service and kinds and signal.within <= QUICK and _has_total(plan, c):
            by_signal.setdefault((signal.counted, signal.out_of, signal.within), {}).setdefault(
                chart.version, c
            )
    both = [found for found in by_signal.values() if candidate in found and baseline in found]
    return [(found[candidate], found[baseline]) for found in both]


def _has_total(plan: Plan, c: int) -> bool:
    first, last = plan.out_of.terms[c], plan.out_of.terms[c + 1]
    return bool(last > first and plan.out_of.groups[last] > plan.out_of.groups[first])


def _compare(plan: Plan, x: Floats, n: Floats, new: int, old: int, asked: Asked, signals: int) -> Compared:
    signal = plan.signals[plan.charts[new].family]
    if signal.within:
        wait = -(-signal.within // plan.width) + 1
        sides = [_missing(x[:, c], n[:, c], wait) for c in (new, old)]
    else:
        # Errors of a version that were never counted are none: counters are born with their first event.
        sides = [
            (np.minimum(np.nan_to_num(x[:, c]), np.nan_to_num(n[:, c])), np.nan_to_num(n[:, c]))
            for c in (new, old)
        ]
    (new_x, new_n), (old_x, old_n) = sides
    both = (new_n > 0) & (old_n > 0)
    new_x, new_n, old_x, old_n = (side[both] for side in (new_x, new_n, old_x, old_n))
    needed = float(np.log(1.0 / asked.risk))
    bad = _most(_mixture([_against(new_x, new_n, old_x, old_n, r, 1.0, needed / 2.0) for r in WORSE]))
    limit = 1.0 + asked.margin
    alike = [_against(new_x, new_n, old_x, old_n, r * min(limit, 1.0), limit, np.inf) for r in ALIKE]
    rare = (
        [_below(new_x, new_n, part * asked.tolerance, asked.tolerance) for part in BELOW]
        if asked.tolerance > 0
        else []
    )
    good = _most(_mixture(alike + rare))
    verdict = Verdict.NOT_YET
    if bad >= needed + np.log(signals):
        verdict = Verdict.BAD
    elif good >= needed:
        verdict = Verdict.AS_GOOD
    return Compared(
        signal.name,
        bool(signal.within),
        verdict,
        Side(float(new_x.sum()), float(new_n.sum())),
        Side(float(old_x.sum()), float(old_n.sum())),
        bad,
        good,
        needed,
        int(both.sum()),
    )


def _missing(came_out: Floats, went_in: Floats, wait: int) -> tuple[Floats, Floats]:
    """By interval: newly certain losses, and of how many that went in `wait` intervals before."""
    due = np.concatenate([np.zeros(wait), np.nan_to_num(went_in)[: len(went_in) - wait]])[: len(went_in)]
    owed = np.maximum(np.cumsum(due) - np.cumsum(np.nan_to_num(came_out)), 0.0)
    certain = np.maximum.accumulate(owed)
    return np.minimum(np.diff(certain, prepend=0.0), due), due


def _against(
    new_x: Floats, new_n: Floats, old_x: Floats, old_n: Floats, odds: float, other: float, cap: float
) -> Floats:
    """float64[intervals]: running log likelihood ratio of the candidate's odds being `odds` times against `other`
    times the baseline's."""
    share = new_n / (new_n + old_n)
    here, there = odds * share / (odds * share + 1.0 - share), other * share / (other * share + 1.0 - share)
    gains = new_x * np.log(here / there) + old_x * np.log((1.0 - here) / (1.0 - there))
    return np.asarray(np.cumsum(np.minimum(gains, cap)))


def _below(x: Floats, n: Floats, share: float, limit: float) -> Floats:
    """float64[intervals]: running log likelihood ratio of a failing share against `limit`."""
    return np.asarray(np.cumsum(x * np.log(share / limit) + (n - x) * np.log((1.0 - share) / (1.0 - limit))))


def _mixture(sums: Sequence[Floats]) -> Floats:
    return np.asarray(np.logaddexp.reduce(np.array(sums), axis=0) - np.log(len(sums)))


def _most(sums: Floats) -> float:
    return float(max(sums.max(initial=0.0), 0.0))
