"""Counts of an interval add up to what scraped services counted, whatever happens on the way here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus import STALE, Target, first, series

from collector.binner import Binner
from collector.bins import SeriesKey, SeriesTable
from collector.counters import SETTLE, SPEAKS, Counters
from collector.points import Limits
from collector.remote_write import Reader

NOON = 1_795_780_800
WIDTH = 10


def key(metric: str, **attributes: str) -> SeriesKey:
    return SeriesKey("shop", metric, "", tuple(sorted(attributes.items())))


class Collector:
    """Everything between the bytes of a request and closed intervals. Listens from noon on, restarts when told."""

    def __init__(self) -> None:
        self.table = SeriesTable()
        self.reader = Reader()
        self.counters = Counters(NOON)
        self.binner = Binner(WIDTH, 5, NOON, self.table)
        self.got: Counter[tuple[SeriesKey, int]] = Counter()
        self.now = float(NOON)

    def take(self, body: bytes, now: float) -> None:
        self.now = max(self.now, now)
        readings = self.reader.read(body, "1.0").readings
        assert readings.refused == {}
        assert self.binner.add(self.counters.count(readings, self.table, self.now), self.now) == {}

    def restart(self) -> None:
        self.counters = Counters.restore(self.counters.state())
        self.binner = Binner.restore(self.binner.state(), self.table, self.now)
        self.reader = Reader(self.counters.processes)

    def close(self, until: float) -> None:
        block = self.binner.close(until)
        for i, values in enumerate(block.values):
            for row in np.flatnonzero(values > 0).tolist():
                self.got[self.table.keys[row], (block.start + i * WIDTH - NOON) // WIDTH] += int(values[row])
        for start, row, count in zip(block.late.start, block.late.row, block.late.count, strict=True):
            if count:
                self.got[self.table.keys[row], int(start - NOON) // WIDTH] += int(count)


@dataclass(repr=False)
class Story:
    """Targets behind one service, scraped at the edges of intervals: a scrape says all that was counted in one.

    requests: (time of arrival, body), in seconds after noon; complete: no scrape failed.
    """

    truth: Counter[tuple[SeriesKey, int]] = field(default_factory=Counter)
    requests: list[tuple[float, bytes]] = field(default_factory=list)
    complete: bool = True
    lines: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return "\n".join(["Story:", *self.lines])

    def count(self, target: Target, at: int, n: int, metric: str, **attributes: str) -> None:
        target.count(n, __name__=metric, **attributes)
        self.truth[key(metric, **attributes), (at - 1) // WIDTH] += n
        self.lines.append(f"{at} {target.labels['instance']} counts {n} {metric} {attributes}")


ROUNDS = range(WIDTH, 16 * WIDTH, WIDTH)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    story = Story()
    for i in range(draw(st.integers(1, 3))):
        target = Target({"job": "shop", "instance": f"10.0.0.{i}:80", "pod": f"shop-{i}"})
        target.wrong = draw(st.sampled_from([0.0, -0.9, 0.9]))
        old = draw(st.booleans())  # runs for days when we begin to listen
        if old:
            target.start(NOON - 500_000)
            target.count(draw(st.sampled_from([0, 7, 10**9])), __name__="orders_total", region="eu")
        else:
            target.start(NOON + draw(st.integers(1, 9)))
        heard = owed = 0
        for at in ROUNDS:
            if (
                not old or heard
            ):  # what a process counts before it is first heard of, if it is old, is not ours
                n = draw(st.integers(0, 3))
                if n:
                    story.count(target, at, n, "orders_total", region="eu")
                # A counter of errors is born with its first error. Of a process that is a stranger nobody can say
                # whether it was there before.
                if (not old or at - heard > SETTLE) and draw(st.integers(0, 4)) == 0:
                    story.count(target, at, 1, "failed_total", code=draw(st.sampled_from(["500", "503"])))
                    n = 1
                owed += n
            if at != ROUNDS[-1] and draw(st.integers(0, 9)) == 9:
                story.complete = False
                gone = [("up", 0.0, {}), ("orders_total", STALE, {"region": "eu"})]
                body = first(
                    [
                        series(target.labels | {"__name__": name} | more, [(value, (NOON + at) * 1000)])
                        for name, value, more in gone
                    ]
                )
                story.requests.append((at + 0.5, body))
                story.lines.append(f"{at} {target.labels['instance']} is not reached")
                continue
            # Whose a series is is known from the first `up` on. Until then it is a stranger's: nothing is lost, but
            # what it counted comes with the next scrape.
            _scraped(draw, story, target, at, whole=not heard)
            heard, owed = heard or at, 0
            if draw(st.integers(0, 3)) == 3:
                target.start(NOON + at + draw(st.integers(4, 9)))
                story.lines.append(f"{target.began - NOON} {target.labels['instance']} begins anew")
                old = False
    story.requests.sort(key=lambda one: one[0])
    return story


def _scraped(draw: st.DrawFn, story: Story, target: Target, at: int, whole: bool) -> None:
    """One scrape arrives in one request or two, before the next, and perhaps again later."""
    parts = draw(st.permutations(target.scrape((NOON + at) * 1000)))
    cut = len(parts) if whole else draw(st.integers(0, len(parts)))
    for piece in (parts[:cut], parts[cut:]):
        if not piece:
            continue
        arrives = at + draw(st.integers(1, 9 * 4)) / 4
        again = [arrives + draw(st.integers(0, 400)) / 4] * (draw(st.integers(0, 3)) == 3)
        for moment in (arrives, *again):
            story.requests.append((moment, first(piece)))
            said = [one[one.index(b"\x12") + 2 :][:12] for one in piece]
            story.lines.append(f"{moment} of {at} {target.labels['instance']}: {said}")


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stories(), st.sets(st.integers(0, 60), max_size=3), st.integers(0, 2**32 - 1))
def test_counts_are_what_the_services_counted(story: Story, restarts: set[int], closes: int) -> None:
    """Restarts that no total shows, counters born above zero, several instances, requests that are split,
    re-ordered and told again, scrapes that fail, and restarts of ours."""
    collector = Collector()
    for i, (at, body) in enumerate(story.requests):
        if i in restarts:
            collector.restart()
        collector.take(body, NOON + at)
        if (closes >> (i % 32)) & 1:
            collector.close(NOON + at - 5)
    collector.close(NOON + 1000)
    assert whole(collector.got) == whole(story.truth)
    if story.complete:
        assert collector.got == story.truth


def whole(counts: Counter[tuple[SeriesKey, int]]) -> Counter[SeriesKey]:
    """By series, over all intervals."""
    total: Counter[SeriesKey] = Counter()
    for (name, _), n in counts.items():
        total[name] += n
    return total


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=30, max_size=30),
    st.integers(-4000, 4000),
    st.integers(0, 4000),
    st.integers(5, 29),
    st.booleans(),
)
def test_two_equal_servers_count_once_though_their_clocks_differ(
    counted: list[int], skew: int, slow: int, dies: int, forgets: bool
) -> None:
    """Each scrapes every 10 s, the second by a clock `skew` ms off; an answer is made up to `slow` ms after the
    time that the scrape is stamped with. One of them dies."""
    target = Target({"job": "shop", "instance": "10.0.0.1:80"})
    target.start(NOON + 0.5)
    collector = Collector()
    for i, n in enumerate(counted):
        at = NOON + 10 * (i + 1)
        target.count(n // 2, __name__="orders_total")
        late = (at + 4) * 1000 - slow  # the other's, of the state in between
        bodies = [(at + 4.5, target.scrape(late + skew, {"prometheus_replica": "b"}))]
        target.count(n - n // 2, __name__="orders_total")
        if i < dies:
            bodies.append((at + 5, target.scrape((at + 5) * 1000 - slow, {"prometheus_replica": "a"})))
        for moment, parts in bodies:
            collector.take(first(parts), moment)
        if i == dies and forgets:
            collector.restart()
    at = NOON + 10 * (len(counted) + 1) + SPEAKS
    for moment in (at, at + SPEAKS + 1):  # whoever is heard by now
        collector.take(first(target.scrape(moment * 1000 - 5000, {"prometheus_replica": "b"})), moment)
    collector.close(at + 1000)
    assert whole(collector.got) == Counter({key("orders_total"): sum(counted)} if sum(counted) else {})


@pytest.mark.parametrize("total", [10**9, 3])
def test_we_begin_to_listen_to_what_has_run_for_days_without_a_burst(total: int) -> None:
    """Also where its exporter has just begun."""
    for name, age in (("shop", 500_000), ("mysqld", 30)):
        target = Target({"job": name, "instance": "10.0.0.1:80"})
        target.start(NOON - age if name == "shop" else NOON + 5)
        collector = Collector()
        for i in range(30):
            target.totals[(("__name__", "queries_total"),)] = total + i
            if name == "mysqld":
                target.totals[(("__name__", "mysqld_exporter_build_info"),)] = 1
                if i == 20:
                    target.began = NOON + 10 * i + 5  # the exporter restarts, its database does not
                    target.totals[(("__name__", "slow_queries_total"),)] = total
            collector.take(first(target.scrape((NOON + 10 * (i + 1)) * 1000)), NOON + 10 * (i + 1) + 1)
        collector.close(NOON + 1000)
        assert sum(collector.got.values()) == 29


def test_a_target_that_is_not_reached_is_not_measured_and_one_that_does_nothing_is_zero() -> None:
    collector, block = Collector(), None
    target = Target({"job": "shop", "instance": "10.0.0.1:80"})
    target.start(NOON + 1)
    target.count(7, __name__="orders_total")
    for i in range(6):
        at = NOON + 10 * (i + 1)
        parts = target.scrape(at * 1000)
        if i in (3, 4):
            gone = [("up", 0.0), ("orders_total", STALE)]
            parts = [series(target.labels | {"__name__": n}, [(value, at * 1000)]) for n, value in gone]
        collector.take(first(parts), at + 1)
        if i == 4:
            block = collector.binner.close(at)
    assert block is not None
    np.testing.assert_array_equal(block.values[:, 0], [7, 0, 0, np.nan, np.nan])
    again = collector.binner.close(NOON + 60)
    assert again.values[:, 0].tolist() == [0]
    assert again.late.start.tolist() == [NOON + 30, NOON + 40]  # it was idle meanwhile, as is known now
    assert again.late.count.tolist() == [0, 0]


@pytest.mark.parametrize("wrong", [-3600, -20, -8, 8, 20, 3600])
def test_a_service_whose_clock_is_wrong_is_never_counted_twice(wrong: float) -> None:
    """A restart that the totals show is exact; one that they do not show is seen or not, and makes no burst."""
    collector, truth = Collector(), 0
    target = Target({"job": "shop", "instance": "10.0.0.1:80"}, wrong=wrong)
    target.start(NOON + 1)
    for i in range(40):
        if i == 20:
            target.start(NOON + 10 * i + 5)
        n = 1000 if i < 20 else 1
        target.count(n, __name__="orders_total")
        truth += n if i else 0  # whether the first scrape counts depends on what the clock says
        collector.take(first(target.scrape((NOON + 10 * (i + 1)) * 1000)), NOON + 10 * (i + 1) + 1)
    collector.close(NOON + 1000)
    assert sum(collector.got.values()) in (truth, truth + 1000)


def test_clocks_of_senders_may_differ_from_ours_by_less_than_what_is_refused() -> None:
    for skew in (-3600, -30, 30, 200):
        collector, target = Collector(), Target({"job": "shop", "instance": "10.0.0.1:80"})
        target.start(NOON + 4000 + skew)
        for i in range(5):
            target.count(2, __name__="orders_total")
            at = NOON + 4010 + 10 * i
            collector.take(first(target.scrape((at + skew) * 1000)), at)
        collector.close(NOON + 9000)
        assert sum(collector.got.values()) == 10


def test_what_is_far_ahead_is_refused_and_said_so() -> None:
    counters = Counters(NOON, Limits())
    target = Target({"job": "shop", "instance": "10.0.0.1:80"})
    target.count(2, __name__="orders_total")
    readings = Reader().read(first(target.scrape((NOON + 4000) * 1000)), "1.0").readings
    points = counters.count(readings, SeriesTable(), NOON + 10)
    assert points.refused == {"far future": 1}
    assert counters.processes == ()
