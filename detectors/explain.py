"""Why a signal was, or was not, told of at a moment: what was expected, what speaks for a fault, what held it back.
Pure.

In: the memory right after the interval in question, and the plan. Out: an Explained for every chart of a service.
Never: a second opinion: all numbers are those by which it was judged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors.cohort import FLOOR, covers
from detectors.error_ratio import CAP as ERROR_CAP
from detectors.flow import CAP as FLOW_CAP
from detectors.flow import SOON
from detectors.judge import OTHER_DAY, cap_of, stretched
from detectors.learning import WORDS, Learning, learning
from detectors.memory import DAYS_LIKE, RING, Columns, Wholes
from detectors.plan import COHORT, ERROR, FLOW, ROLLOUT, ROLLOUT_FLOW, TALLY, THROUGHPUT, Plan
from detectors.prior import EASED, EASED_JOINING
from detectors.tell import Z95
from detectors.throughput import TOO_NEAR
from detectors.watch import LEAST_EXCESS, Laid, enough_for, is_explained, laid_out, sizes_of

NEARLY = 3.0  # nats
DAYS = ("a Sunday", "an hour earlier", "an hour later", "an ordinary day")
YEAR_AGO = "the same day a year ago"


@dataclass(frozen=True, slots=True)
class Explained:
    """One signal, or a slice or version of it. state: "quiet", "told", "silent".

    observed, expected, low..high: of the interval, counts with a 95 % band; NaN = not measured, nothing expected.
    out_of: the total, of shares. evidence: nats; enough: what the budget asks; eased: by how much less just now.
    size: the fault that is most likely, as a factor on what is expected, since `since` (epoch seconds); NaN without
    evidence. held_back: reasons, in words.
    """

    signal: str
    part: str
    state: str
    observed: float
    expected: float
    low: float
    high: float
    out_of: float
    evidence: float
    enough: float
    eased: float
    size: float
    since: int
    held_back: tuple[str, ...]


def explain(
    columns: Columns, plan: Plan, number: int, watched: bool, release: Wholes, service: str
) -> list[Explained]:
    """Of interval `number` (since the epoch), the last that `columns` have seen; of what is judged later, of an
    interval before it. release: see prior.releases."""
    laid = laid_out(plan)
    begun = 1.0 + np.count_nonzero((columns.charts.first >= 0) & (plan.kind != TALLY))
    enough = enough_for(columns.fleet, begun, laid)
    known = learning(columns, plan)
    found = []
    for c, chart in enumerate(plan.charts):
        signal = plan.signals[chart.family]
        one = columns.charts[c]
        gone = chart.kind in (ROLLOUT, ROLLOUT_FLOW) and np.isnan(one.ring_n[number % RING])
        if signal.service != service or chart.kind == TALLY or gone:
            continue
        slot = number % RING
        if chart.kind == COHORT:  # the one that was judged last
            slot = int(columns.cohorts[plan.cohort[c]].judged) % RING
        observed, mean, scatter = float(one.ring_x[slot]), float(one.ring_m[slot]), float(one.ring_a[slot])
        sd = math.sqrt(max(mean + mean * mean * scatter, 0.0)) if not np.isnan(mean) else np.nan
        eased = _eased(columns, release, c)
        factor = max(float(observed), 0.25) / float(mean) if mean > 0.0 else 1.0
        size, since = _fault(columns, plan, c, factor)
        state = "told" if one.raised else "silent" if one.s_raised else "quiet"
        part = ", ".join(f"{k}={v}" for k, v in chart.slice) or (
            f"version {chart.version}" if chart.version else ""
        )
        if chart.kind == COHORT:
            part = f"{part}, missing of what entered together" if part else "missing of what entered together"
            observed -= FLOOR * float(one.ring_n[slot])
        reasons = _reasons(columns, plan, laid, c, watched, observed, Learning(known[chart.family]))
        found.append(
            Explained(
                signal=signal.name,
                part=part,
                state=state,
                observed=float(observed),
                expected=float(mean),
                low=max(float(mean - Z95 * sd), 0.0),
                high=float(mean + Z95 * sd),
                out_of=float(one.ring_n[slot]) if plan.kind[c] in (ERROR, ROLLOUT, COHORT) else np.nan,
                evidence=float(one.strength if one.raised else _counts(columns, laid, c)),
                enough=float(enough[laid.pool[c]]),
                eased=eased,
                size=size,
                since=(since - int(plan.waits[chart.family])) * plan.width if since else 0,
                held_back=tuple(reasons) if state == "quiet" else (),
            )
        )
    return found


def _counts(columns: Columns, laid: Laid, c: int) -> float:
    """The evidence of chart c as it counts: see judge.stretched."""
    pool = laid.pool[c]
    return float(stretched(columns.charts[c], columns.fleet[pool], LEAST_EXCESS[pool]))


def _eased(columns: Columns, release: Wholes, c: int) -> float:
    """By how much less is enough just now: see prior.py."""
    if release[c] < 0:
        return 0.0
    members = np.flatnonzero(release == release[c])
    return EASED_JOINING if columns.charts.raised[members].any() else EASED


def _fault(columns: Columns, plan: Plan, c: int, factor: float) -> tuple[float, int]:
    """(factor, number of its first interval) of the fault that the evidence speaks for, or that was told.

    factor: this interval's count by what was expected.
    """
    one = columns.charts[c]
    if one.raised:
        return float(one.ratio), int(one.onset)
    flow = columns.flows[plan.lag[c]] if plan.kind[c] == FLOW else None
    owed = flow is not None and flow.settled <= SOON  # what is owed has no sizes
    # One odd interval gives the same to sizes of very different kinds: of those, the latest and the nearest to it.
    near = np.flatnonzero((one.w > 0.0) & (one.w >= one.w.max() - NEARLY))
    if owed or one.total <= 0.0 or len(near) == 0:
        return np.nan, 0
    sizes = sizes_of(int(plan.kind[c]))
    best = max(near, key=lambda j: (one.since[j], -abs(np.log(sizes[j] / factor))))
    return float(sizes[best]), int(one.since[best])


def _reasons(
    columns: Columns, plan: Plan, laid: Laid, c: int, watched: bool, observed: float, known: Learning
) -> list[str]:
    one, kind = columns.charts[c], plan.kind[c]
    found: list[str] = []
    if not watched:
        return ["nobody listened in this interval"]
    if np.isnan(observed):
        found.append("it was not measured in this interval")
    if known is not Learning.READY:
        found.append(WORDS[known])
    if kind in (ROLLOUT, ROLLOUT_FLOW) and one.run > 0:
        return ["no other version serves beside it"]
    if kind == THROUGHPUT:
        found += _holiday(columns.seasons[plan.season[c]])
    if one.total <= 0.0:
        return [*found, "nothing speaks for a fault"]
    i = plan.cohort[c] if kind == FLOW else -1
    if i >= 0 and covers(columns.charts[c + 1], columns.cohorts[i]):
        found.append("it is judged by what entered together")
    counts = _counts(columns, laid, c)
    if counts < one.total - 0.05:
        found.append(f"its evidence often peaks for nothing: {one.total:.1f} nats count as {counts:.1f}")
    found += _limits(columns, plan, laid, c)
    if kind == THROUGHPUT:
        words = DAYS if columns.seasons[plan.season[c]].again == 0.0 else (*DAYS[:-1], YEAR_AGO)
        days = [words[i] for i in range(DAYS_LIKE) if one.like[i] >= OTHER_DAY]
        found += [f"it looks like {day}" for day in days]
    if is_explained(columns, laid, c):
        found.append("what goes into its flow comes out as usual: less was sent, nothing is missing")
    return found


def _holiday(season: Any) -> list[str]:
    """What is not told on a holiday."""
    if season.unsure <= 0.0:
        return []
    judged = [size for size in sizes_of(THROUGHPUT) if -math.log(size) >= TOO_NEAR * season.unsure]
    return [f"today is a holiday: losses of less than {1.0 - max(judged, default=0.0):.0%} are not told"]


def _limits(columns: Columns, plan: Plan, laid: Laid, c: int) -> list[str]:
    kind, fleet = plan.kind[c], columns.fleet[laid.pool[c]]
    if kind in (ROLLOUT, ROLLOUT_FLOW):
        return []
    cap = cap_of(fleet, ERROR_CAP if kind in (ERROR, COHORT) else FLOW_CAP)
    if columns.charts[c].odd:
        return [f"one odd interval may add {cap:.1f} nats at most: so rarely are intervals odd for nothing"]
    return []
