"""Sources that are asked: off the tick, each thing once, over failures and restarts; the clock is wound by hand."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_live import GRACE, KEY, T0, Judge, W, sight

from collector.asked import Answer, Counted, SourceFailed, Told, grown, nothing
from collector.bins import SeriesKey, SeriesTable
from collector.counters import Counters
from collector.points import NANOS, Limits
from collector.server import Busy
from detectors.plan import lay
from detectors.signals import Budget
from stillwatch import asking
from stillwatch.asking import Asker
from stillwatch.backfill import backfill
from stillwatch.live import Judgement, Live
from stillwatch.store import News, Store
from stillwatch.tables import StoreTrouble


class Shop:
    """A source that counts what was sold, by the minute; what is sold late is there later."""

    name, every, most, settle, history = "shop", 60, 3600, 0, 0

    def __init__(self, again: int = 600) -> None:
        self.sold: list[tuple[int, int]] = []  # (when it happened, when the source knows of it)
        self.asked: list[tuple[int, int]] = []
        self.failures: list[SourceFailed] = []
        self.again = again
        self.closed = False
        self.keys = [KEY]

    def ask(self, since: int, now: int, memo: str) -> Answer:
        self.asked.append((since, now))
        if self.failures:
            raise self.failures.pop(0)
        until = now // W * W
        if until <= since:
            return Answer(nothing(), since, memo)
        first = max(since - self.again, T0 - 40 * 86400)
        counts: Counted = {key: {} for key in self.keys}
        for when, known in self.sold:
            if first <= when < until and known <= now:
                for of in counts.values():
                    of[when // W * W] = of.get(when // W * W, 0.0) + 1.0
        readings, told = grown("shop", counts, Told.unpack(memo), (first, until), self.again, now, W)
        return Answer(readings, until, told.pack())

    def check(self, now: int) -> str:
        return "open"

    def close(self) -> None:
        self.closed = True


class Watch:
    """A watch, its source, and a clock."""

    def __init__(self, folder: Path, shop: Shop) -> None:
        self.store = Store(folder / "stillwatch.db")
        self.judge = Judge()
        self.shop = shop
        self.now = T0
        self.stopping = threading.Event()
        self.start()

    def start(self) -> None:
        self.live = Live(self.store, self.judgement(), W, GRACE, self.now)
        self.asker = Asker(self.shop, self.live, lambda: self.now, self.stopping)

    def judgement(self) -> Judgement:
        return Judgement(
            plan=lambda table: lay([], table, W, Budget(1, 604800)),
            news=lambda event: News(event.incident.id, event.number, event.time, "", ()),
            sight=lambda since, sees: sight("terminal", since, sees),
            advance=self.judge.advance,
        )

    def until(self, moment: int, step: int = 5) -> None:
        """Wind the clock, with a question every minute and a tick every few seconds."""
        while self.now < moment:
            self.now += step
            if self.now % self.shop.every < step:
                self.asker.round()
            self.live.tick(self.now)

    def counted(self) -> dict[int, float]:
        """Start of the interval -> all that was ever said of it, in time or late."""
        found: dict[int, float] = {}
        for block in self.store.history():
            for i in range(len(block)):
                start = block.start + i * W
                if block.values.shape[1] and not np.isnan(block.values[i, 0]):
                    found[start] = found.get(start, 0.0) + float(block.values[i, 0])
            for start, count in zip(block.late.start.tolist(), block.late.count.tolist(), strict=True):
                found[start] = found.get(start, 0.0) + count
        return found

    def sold(self, before: int) -> dict[int, float]:
        return {
            start: float(sum(start <= when < start + W for when, _ in self.shop.sold))
            for start in range(T0, before, W)
        }


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    it = Watch(tmp_path, Shop())
    yield it
    it.store.close()


def test_what_is_asked_in_time_is_judged_in_its_interval(watch: Watch) -> None:
    watch.shop.sold = [(T0 + at, 0) for at in (1, 59, 61, 130, 131, 299)]
    watch.until(T0 + 400)
    assert watch.judge.values == {0: 2.0, 60: 1.0, 120: 2.0, 180: 0.0, 240: 1.0, 300: 0.0}


def test_an_interval_that_a_source_says_nothing_of_is_zero_only_when_it_answered(watch: Watch) -> None:
    watch.shop.sold = [(T0 + 1, 0)]
    watch.until(T0 + 130)
    watch.shop.failures = [SourceFailed("shut")] * 3
    watch.until(T0 + 400)
    values = watch.judge.values
    assert values[0] == 1.0
    assert values[60] == 0.0
    assert np.isnan(values[120])


def test_what_a_failing_source_says_in_the_end_is_late_and_each_thing_counts_once(watch: Watch) -> None:
    watch.shop.sold = [(T0 + at, 0) for at in range(0, 1200, 7)]
    watch.until(T0 + 300)
    watch.shop.failures = [SourceFailed("down")] * 6
    watch.until(T0 + 1300)
    assert watch.counted() == watch.sold(T0 + 1260)
    assert any(len(block.late) for block in watch.judge.seen)


def test_what_becomes_known_later_is_late_data(watch: Watch) -> None:
    watch.shop.sold = [(T0 + 5, 0), (T0 + 6, T0 + 200), (T0 + 7, T0 + 290)]
    watch.until(T0 + 500)
    assert watch.judge.values[0] == 1.0
    assert watch.counted()[T0] == 3.0


def test_a_failing_source_is_said_once_and_when_it_answers_again(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watch.shop.failures = [SourceFailed("shut\x1b[31m")] * 3
    watch.until(T0 + 200)
    assert watch.asker.health()["trouble"] == "shut\\x1b[31m"
    assert watch.asker.health()["ok"] is False
    assert watch.asker.health()["failing_since"] == watch.asker.failing_since == T0 + 60
    watch.until(T0 + 400)
    assert watch.asker.health() == {
        "ok": True, "until": T0 + 360, "answered": T0 + 360, "trouble": "", "failing_since": 0
    }  # fmt: skip
    said = [r.getMessage() for r in caplog.records if r.getMessage().startswith("source ")]
    assert len(said) == 2
    assert "\x1b" not in "".join(said)


def test_what_is_likely_to_pass_is_tried_again_at_once_but_not_for_long(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "SOONEST", 0.001)
    watch.now = T0 + 61
    watch.shop.failures = [SourceFailed("slow", passing=True)] * 2
    watch.asker.round()
    assert (len(watch.shop.asked), watch.asker.trouble) == (3, "")
    watch.now += 60
    watch.shop.failures = [SourceFailed("slow", passing=True)] * 9
    watch.asker.round()
    assert (len(watch.shop.asked), watch.asker.trouble) == (3 + asking.TRIES, "slow")
    watch.shop.failures = [SourceFailed("wrong")] * 9
    watch.asker.round()
    assert len(watch.shop.asked) == 3 + asking.TRIES + 1


def test_a_restart_goes_on_where_it_stopped(watch: Watch) -> None:
    watch.shop.sold = [(T0 + at, 0) for at in range(0, 3000, 11)]
    watch.until(T0 + 310)
    watch.now += 900  # gone, and nobody listened
    watch.start()
    watch.until(T0 + 1800)
    assert (T0 + 300, T0 + 1260) in watch.shop.asked
    assert watch.counted() == watch.sold(T0 + 1740)


def test_what_cannot_be_kept_is_asked_for_again(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.shop.sold = [(T0 + at, 0) for at in range(0, 600, 7)]
    watch.until(T0 + 120)

    def broken(*_: object) -> int:
        raise StoreTrouble("no space left")

    with monkeypatch.context() as full:
        full.setattr(watch.store, "note_asked", broken)
        watch.until(T0 + 240)
    watch.until(T0 + 700)
    assert watch.counted() == watch.sold(T0 + 660)


def test_the_tick_waits_for_no_source(watch: Watch) -> None:
    held, go = threading.Event(), threading.Event()

    def slow(since: int, now: int, memo: str) -> Answer:
        held.set()
        go.wait(10)
        return Answer(nothing(), now)

    watch.shop.ask = slow  # type: ignore[method-assign]
    watch.asker.keep_going()
    try:
        assert held.wait(5)
        watch.now += 600
        watch.live.tick(watch.now)
        assert watch.live.health(watch.now)["lag"] == 0
    finally:
        watch.stopping.set()
        go.set()
        watch.asker.join(5)
    assert watch.shop.closed


def test_what_breaks_in_a_source_is_said_and_does_not_end_its_asking(watch: Watch) -> None:
    def broken(since: int, now: int, memo: str) -> Answer:
        raise ZeroDivisionError

    shop_ask = watch.shop.ask
    watch.shop.ask = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        watch.asker.round()
    assert watch.asker.health()["ok"] is False
    watch.shop.ask = shop_ask  # type: ignore[method-assign]
    watch.now += 60
    watch.asker.round()
    assert watch.asker.health()["ok"] is True


def test_long_gaps_are_asked_for_in_parts(watch: Watch) -> None:
    watch.now = T0 + 4 * 3600 + 5
    watch.asker.round()
    spans = [now - since for since, now in watch.shop.asked]
    assert max(spans) <= watch.shop.most
    assert watch.asker.health()["until"] == T0 + 4 * 3600


def _filled(store: Store, shop: Shop, judge: Judge, now: int, limits: Limits | None = None) -> None:
    judgement = Judgement(
        plan=lambda table: lay([], table, W, Budget(1, 604800)),
        news=lambda event: News(event.incident.id, event.number, event.time, "line", ()),
        sight=lambda since, sees: (),
        advance=judge.advance,
    )
    backfill(store, judgement, [shop], W, GRACE, limits or Limits(), lambda: now, threading.Event())


def test_the_history_from_before_the_first_start_is_judged_and_the_watch_goes_on_from_it(
    tmp_path: Path,
) -> None:
    store, shop, judge = Store(tmp_path / "db"), Shop(), Judge()
    shop.history = 3 * 86400  # type: ignore[misc]
    now = T0 + 3 * 86400 + 17
    shop.sold = [(at, 0) for at in range(T0, now, 301)]
    _filled(store, shop, judge, now)
    values = {
        b.start + i * W: float(b.values[i, 0]) for b in judge.seen for i in range(len(b)) if b.watched[i]
    }
    assert sum(values.values()) == sum(when < T0 + 3 * 86400 for when, _ in shop.sold)
    assert len(values) == 3 * 1440
    assert store.end() == T0 + 3 * 86400
    asked = len(shop.asked)
    _filled(store, shop, judge, now + 600)
    assert len(shop.asked) == asked  # only before the first start
    watch = Watch.__new__(Watch)
    watch.store, watch.judge, watch.shop, watch.now = store, judge, shop, now
    watch.stopping = threading.Event()
    watch.start()
    watch.until(now + 600)
    assert watch.counted() == watch.sold(T0 + 3 * 86400 + 600)
    store.close()


def test_a_history_keeps_to_the_limits_of_the_settings(tmp_path: Path) -> None:
    store, shop, judge = Store(tmp_path / "db"), Shop(), Judge()
    shop.history = 86400  # type: ignore[misc]
    now = T0 + 86400
    shop.keys = [SeriesKey("shop", f"sold {i}") for i in range(3)]
    shop.sold = [(at, 0) for at in range(T0, now, 601)]
    _filled(store, shop, judge, now, Limits(per_service=2))
    assert len(store.table()) == 2
    store.close()


def test_a_source_whose_history_cannot_be_had_does_not_hold_up_the_start(tmp_path: Path) -> None:
    store, shop, judge = Store(tmp_path / "db"), Shop(), Judge()
    shop.history = 86400  # type: ignore[misc]
    shop.failures = [SourceFailed("nothing that old")]
    _filled(store, shop, judge, T0)
    assert len(shop.asked) == 1
    assert not store.filling()
    store.close()


def test_a_stopped_backfill_goes_on_at_the_next_start(tmp_path: Path) -> None:
    store, shop, judge = Store(tmp_path / "db"), Shop(), Judge()
    shop.history = 2 * 86400  # type: ignore[misc]
    now = T0 + 2 * 86400
    shop.sold = [(at, 0) for at in range(T0, now, 601)]
    stopping, asked = threading.Event(), shop.ask

    def third(since: int, until: int, memo: str) -> Answer:
        if len(shop.asked) == 20:
            stopping.set()
        return asked(since, until, memo)

    shop.ask = third  # type: ignore[method-assign]
    judgement = Judgement(
        plan=lambda table: lay([], table, W, Budget(1, 604800)),
        news=lambda event: News(event.incident.id, event.number, event.time, "line", ()),
        sight=lambda since, sees: (),
        advance=judge.advance,
    )
    backfill(store, judgement, [shop], W, GRACE, Limits(), lambda: now, stopping)
    assert store.filling()
    stopping.clear()
    shop.ask = asked  # type: ignore[method-assign]
    backfill(store, judgement, [shop], W, GRACE, Limits(), lambda: now, stopping)
    assert not store.filling()
    total = sum(float(np.nansum(b.values)) + float(b.late.count.sum()) for b in store.history())
    assert total == len(shop.sold)
    store.close()


# The law: however often an interval is asked for again, what was told of it adds up to the most that it ever was.


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30)), max_size=6)),
        min_size=1,
        max_size=8,
    )
)
def test_what_was_told_of_an_interval_adds_up_to_the_most_that_it_was(
    asks: Sequence[tuple[int, Sequence[tuple[int, int]]]],
) -> None:
    table, counters, told, most = SeriesTable(), Counters(T0), Told(), dict[int, float]()
    sums: dict[int, float] = {}
    now = T0
    for steps, seen in asks:
        now += steps * W
        until = now // W * W
        counts = {KEY: {T0 + at * W: float(n) for at, n in seen if T0 + at * W < until}}
        readings, told = grown("s", counts, told, (T0, until), 86400, now, W)
        told = Told.unpack(told.pack())
        points = counters.count(readings, table, now)
        for start, count in zip(points.start.tolist(), points.count.tolist(), strict=True):
            begin = start // NANOS // W * W
            sums[begin] = sums.get(begin, 0.0) + count
        for begin in range(T0, until, W):
            most[begin] = max(most.get(begin, 0.0), counts[KEY].get(begin, 0.0))
    assert sums == {begin: most[begin] for begin in sums}
    assert set(sums) == set(most)


def test_a_series_that_was_not_counted_for_a_day_is_not_taken_for_zero_any_more() -> None:
    key = SeriesKey("a", "m", "", (("k", "v"),))
    told = Told({}, {key: T0})
    readings, after = grown("s", {}, told, (T0 + 86400, T0 + 86400 + W), 0, T0 + 86400 + 2 * W, W)
    assert len(readings) == 0
    assert after.last == {}


def test_busy_leaves_how_far_a_source_has_told(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.until(T0 + 130)

    def broken(*_: object) -> None:
        raise StoreTrouble("locked")

    with monkeypatch.context() as locked, pytest.raises(Busy):
        locked.setattr(watch.store, "asked", broken)
        watch.live.asked_until("shop")
    assert watch.live.asked_until("shop")[0] == T0 + 120
