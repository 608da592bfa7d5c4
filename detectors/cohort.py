"""Of what went in together, is more missing than usual, now that it should all have come out? Pure.

Where the sender says of what comes out when it had entered, there is no lag to be guessed: of the n events that
entered in one interval c have come out so far, and n - c are missing. Once nearly all that comes has come, that is
an error ratio (error_ratio.py): x = n - c of n, against the share that is usually missing at that age; exact at 0,
1, 2 missing. A cohort is judged once, at the age a for which a + 1 + NATS / KL(a) is least: the wait, and the
intervals that a loss of DUE would take to show by the share still missing at age a (more, where that share scatters
by more than chance). What held up a cohort for longer and was made up for moves that age. Rings and sums of such a
chart are of cohorts: slot k is of what entered in interval k.

In: what went in and came out by age. Out: columns of Memory. Never: a cohort that was not wholly seen (an interval
in which nobody listened, counts that do not say when they entered); a loss that came after all.
Not for: flows in which most of what goes in never comes out.
"""

from __future__ import annotations

import math

import numpy as np

from detectors import error_ratio
from detectors.compiled import compiled
from detectors.expect import SLOW_KEEPS, evidence
from detectors.judge import BELIEVED, EXPIRED, LATE, mean_of, settle, spread_of
from detectors.memory import AGES, LEVELS, PRIOR_SHARE, RING, SIZES, Columns, Floats, Record
from detectors.plan import Entries

READY, FEW = 20, 5  # whole cohorts that must have been seen; until so many nobody knows what is usual
MEMORY = float(SLOW_KEEPS[2])  # of the shares that are missing by age, a factor per cohort
DUE, NATS = 0.01, 10.0  # the loss, and the evidence for it, for which the wait is chosen
YOUNG = 720  # cohorts until which no less is waited than the flow may take
STRAYS = 30.0  # intervals for which a lag that wanders is off in one direction
# Of what goes in, so much is taken to be missing always: that nothing ever was does not mean that nothing ever will
# be. It stands in rings and sums. Smaller losses than LEAST are not told: lags wander.
FLOOR, LEAST = 5e-5, 0.003
HELD = 8.0  # nats that something was held up
SHARP = 0.03  # a flow is judged by its cohorts alone where they show a loss of so much


@compiled
def speaks(entries: Entries, i: int, values: Floats) -> bool:
    """Does anything that comes out say when it had entered? values: float64[series], of one interval."""
    for e in range(entries.first[i], entries.first[i + 1]):
        if not entries.enters[e] and entries.age[e] >= 0 and _at(values, entries.row[e]) > 0.0:
            return True
    return False


@compiled
def judge(
    chart: Record,
    record: Record,
    fleet: Record,
    entries: Entries,
    i: int,
    values: Floats,
    now: int,
    measured: bool,
    cap: float,
    lasts: int,
) -> None:
    """One interval of cohort chart i. values: float64[series]; measured: is all known that went in and came out."""
    reach, news = entries.reach[i], np.zeros(AGES)
    record.entered[now % AGES] = now
    record.went[now % AGES], record.came[now % AGES] = 0.0, 0.0
    chart.ring_x[now % RING], chart.ring_n[now % RING] = np.nan, np.nan
    if not _count(record, entries, i, values, now, news) or not measured or now == chart.first:
        record.hole = now
    _take_stragglers(chart, record, news, now, reach)
    if chart.raised == 0 and chart.total < BELIEVED:
        _learn(record, now, reach)
        _choose_wait(chart, record, reach)
    if record.taught < READY:
        return
    for k in range(max(record.judged + 1, now - reach), now - record.wait + 1):
        record.judged = k
        went = record.went[k % AGES]
        if record.entered[k % AGES] != k or k <= record.hole or went <= 0.0:
            continue
        missing = max(went - record.came[k % AGES], 0.0)
        missing += FLOOR * went
        chart.ring_x[k % RING], chart.ring_n[k % RING] = missing, went
        error_ratio.judge(chart, fleet, k, missing, went, cap, lasts, LEAST)
    if chart.raised == 1 and chart.phase == 0 and now - chart.onset >= lasts:
        settle(chart, now, EXPIRED, 1.0)  # for long, nothing says when it entered


@compiled
def covers(chart: Record, record: Record) -> bool:
    """Is its flow judged by these cohorts, and more finely than by what it owes?"""
    if chart.raised == 1:
        return True
    if record.taught < READY or chart.seen < READY or record.judged <= record.hole:
        return False
    least = 2.0 * math.sqrt(max(spread_of(chart, LEVELS - 1), chart.wander))
    return mean_of(chart, 1.0) * math.exp(least) <= SHARP


@compiled
def place_onset(chart: Record, record: Record, now: int) -> None:
    """When did it begin, from the cohorts that lost? What is lost on the way out is lost of cohorts that had
    entered before: in part, and so the first that lost half as much as the others entered then.

    The sums begin with the first that lost anything, and the range takes in all of the wait.
    """
    record.since = chart.onset
    share = 0.5 * max(chart.rx - chart.rm, 0.0) / max(chart.rn, 1.0)
    for k in range(chart.onset, now + 1):
        n = np.float64(chart.ring_n[k % RING])
        lost = np.float64(chart.ring_x[k % RING]) - np.float64(chart.ring_m[k % RING])
        if now - k < RING and lost >= share * n:
            chart.onset = k
            break
    chart.onset_high = max(chart.onset_high, min(chart.onset + record.wait, now))


@compiled
def _at(values: Floats, row: int) -> float:
    """What a series counted, 0 where it was not measured."""
    if row >= len(values) or np.isnan(values[row]):
        return 0.0
    return float(values[row])


@compiled
def _count(record: Record, entries: Entries, i: int, values: Floats, now: int, news: Floats) -> bool:
    """Give every count to its cohort; those that come out to news[age] as well. Did all of them say which?"""
    all_said = True
    for e in range(entries.first[i], entries.first[i + 1]):
        count, age = _at(values, entries.row[e]), entries.age[e]
        if count <= 0.0:
            continue
        if age < 0 and not entries.enters[e]:
            all_said = False
            continue
        age = max(age, 0)
        k = (now - age) % AGES
        if not entries.enters[e]:
            news[age] += count
        if record.entered[k] == now - age:
            if entries.enters[e]:
                record.went[k] += count
            else:
                record.came[k] += count
    return all_said


@compiled
def usual_share(record: Record, age: int) -> float:
    """What is usually missing at this age, of all that entered."""
    return float((record.due[age] + 0.5) / (record.of[age] + 0.5 / PRIOR_SHARE))


@compiled
def _learn(record: Record, now: int, reach: int) -> None:
    for age in range(reach + 1):
        k = now - age
        went = record.went[k % AGES]
        if record.entered[k % AGES] != k or k <= record.hole or went <= 0.0:
            continue
        missing = max(went - record.came[k % AGES], 0.0)
        off = missing - went * usual_share(record, age) if record.taught >= FEW else 0.0
        record.off[age] = record.off[age] * MEMORY + off * off
        record.due[age] = record.due[age] * MEMORY + missing
        record.of[age] = record.of[age] * MEMORY + went
        if age == reach:
            record.taught += 1


@compiled
def _choose_wait(chart: Record, record: Record, reach: int) -> None:
    taught = record.taught
    if taught < READY or taught % (10 if taught < 120 else 120) != 0:
        return
    known = (1.0 - MEMORY**taught) / (1.0 - MEMORY)
    usual_n, best, least = record.of[reach] / max(known, 1.0), reach, math.inf
    for age in range(reach + 1):
        share = usual_share(record, age)
        other = share + DUE * (1.0 - share)
        kept = (1.0 - other) * math.log((1.0 - other) / (1.0 - share))
        nats = usual_n * (other * math.log(other / share) + kept)
        strays = (record.off[age] + 1.0) / (record.due[age] * (1.0 - share) + 1.0) - 1.0
        takes = age + 1.0 + NATS / max(nats, 1e-9) * (1.0 + STRAYS * max(strays, 0.0))
        if takes < least:
            best, least = age, takes
    if taught < YOUNG:
        best = max(best, (reach + 1) // 2)
    _wait_for(chart, record, max(best, min(record.pause, reach)))


@compiled
def _wait_for(chart: Record, record: Record, wait: int) -> None:
    """Judge at another age, at which more or less is still missing."""
    if wait == record.wait:
        return
    factor = usual_share(record, record.wait) / usual_share(record, wait)
    record.wait = wait
    if chart.seen == 0:
        return
    for b in range(LEVELS):
        chart.beta[b] *= factor
    for j in range(SIZES):
        chart.jb[j] *= factor


@compiled
def _take_stragglers(chart: Record, record: Record, news: Floats, now: int, reach: int) -> None:
    """What comes out of cohorts that were judged is not missing any more, nor expected to be."""
    for age in range(record.wait + 1, AGES):
        k, slot = now - age, (now - age) % RING
        usual = np.float64(chart.ring_m[slot])
        if k > record.judged or np.isnan(usual) or (news[age] <= 0.0 and age > reach):
            continue
        before = np.float64(chart.ring_x[slot])
        keeps = min(usual_share(record, age) / usual_share(record, age - 1), 1.0) if age <= reach else 1.0
        exposure = np.float64(chart.ring_e[slot])
        chart.ring_x[slot] = max(before - news[age], 0.0)
        chart.ring_e[slot], chart.ring_m[slot] = exposure * keeps, usual * keeps
        scatter = np.float64(chart.ring_a[slot])
        if _is_odd(before, usual, scatter) and not _is_odd(before - news[age], usual * keeps, scatter):
            record.pause = max(record.pause, age)
        if chart.raised == 1 and k >= record.since:
            come = exposure * (1.0 - keeps) * chart.ra / chart.rb
            take_back(chart, k, news[age], come)
    if chart.raised == 1:
        close_if_all_came(chart, now)


@compiled
def _is_odd(missing: float, usual: float, scatter: float) -> bool:
    return missing > usual and evidence(missing, usual, missing, scatter) >= HELD


@compiled
def take_back(chart: Record, k: int, came: float, usual: float) -> None:
    """Of what cohort k of a raised chart lacked, so many came after all, where `usual` do."""
    chart.rx -= came
    chart.rm -= usual
    if chart.v > 0.0 and k >= chart.v_since:
        chart.vx -= came
        chart.vm -= usual
    chart.came_late += max(came - usual, 0.0)


@compiled
def close_if_all_came(chart: Record, now: int) -> None:
    """What was held up is no loss; nor does it go on when it has come."""
    rest = chart.rx - chart.rm
    if rest <= max(1.0, 0.02 * chart.came_late, math.sqrt(chart.rv)) and rest < chart.came_late:
        chart.v_since = now
        settle(chart, now, LATE, 1.0)


def take_late(
    columns: Columns, entries: Entries, c: int, i: int, number: int, row: int, count: float, now: int
) -> bool:
    """Give a count of interval `number` that became known at `now` to its cohort. c: the chart, i: of cohorts.

    Returns whether what a raised chart has lost has changed.
    """
    chart, record = columns.charts[c], columns.cohorts[i]
    changed = False
    for e in range(int(entries.first[i]), int(entries.first[i + 1])):
        k = number - max(int(entries.age[e]), 0)
        if (
            entries.row[e] != row
            or not 0 <= chart.first <= k
            or (entries.age[e] < 0 and not entries.enters[e])
        ):
            continue
        known = record.entered[k % AGES] == k
        if entries.enters[e]:
            record.went[k % AGES] += count if known else 0.0
            continue
        record.came[k % AGES] += count if known else 0.0
        if k <= record.judged and now - k < RING and not np.isnan(chart.ring_m[k % RING]):
            chart.ring_x[k % RING] = max(chart.ring_x[k % RING] - count, 0.0)
        if chart.raised == 1 and record.since <= k <= record.judged:
            take_back(chart, k, count, 0.0)
            chart.phase, changed = 2, True
            close_if_all_came(chart, now)
    return changed
