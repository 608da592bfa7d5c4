"""The watch with a clock wound by hand: late, twice, after sleep or a crash, when the step or the disk fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.incidents import Event, Incident
from alerts.messages import Message
from collector.bins import Bins, SeriesKey, SeriesTable
from collector.deployments import Deployment
from collector.points import NANOS, Readings, Stream
from collector.server import Busy
from collector.words import Word
from detectors.plan import Plan, lay
from detectors.signals import Budget
from stillwatch import config
from stillwatch.engine import State
from stillwatch.live import Judgement, Live
from stillwatch.mailbox import Mailbox
from stillwatch.selfwatch import sight
from stillwatch.store import News, Store
from stillwatch.tables import StoreTrouble

W, GRACE = 60, 15
T0 = 1_650_000_000 // W * W
KEY = SeriesKey("a", "m")


class Judge:
    """A step that remembers what it was shown, and finds news in every interval that holds a 13."""

    def __init__(self) -> None:
        self.seen: list[Bins] = []
        self.deployments: list[Deployment] = []
        self.words: list[Word] = []
        self.broken: Exception | None = None
        self.spoils = False  # when broken, having changed half of the state

    def advance(
        self,
        state: State,
        bins: Bins,
        deployments: Sequence[Deployment],
        plan: Plan,
        *,
        words: Sequence[Word],
    ) -> tuple[State, list[Event]]:
        if self.broken is not None:
            if self.spoils:
                state.memory.columns.fleet[:] = np.nan
            raise self.broken
        assert not np.isnan(state.memory.columns.fleet.judged).any()
        self.seen.append(bins)
        self.deployments += deployments
        self.words += words
        events = [
            _event(int(bins.closed[i])) for i in range(len(bins)) if bins.watched[i] and 13 in bins.values[i]
        ]
        return state, events

    @property
    def values(self) -> dict[int, float]:
        """Interval start in seconds after T0 -> the first series, for watched intervals only."""
        return {
            b.start + i * W - T0: float(b.values[i, 0]) if b.values.shape[1] else float("nan")
            for b in self.seen
            for i in range(len(b))
            if b.watched[i]
        }


def _event(closed: int) -> Event:
    return Event(closed, "opened", "", Incident(f"i{closed}", closed, "critical", (), (), 1.0))


def _news(event: Event) -> News:
    name = event.incident.id
    return News(name, event.number, event.time, name, (Message(name, "#a", name),))


class World:
    """A database and a daemon on it that can die at any moment."""

    def __init__(self, path: Path | str, now: int = T0) -> None:
        self.path = path
        self.start(now)

    def start(self, now: int, grace: int = GRACE) -> None:
        self.judge = Judge()
        self.store = Store(self.path)
        judgement = Judgement(
            plan=lambda table: lay((), table, W, Budget()),
            news=_news,
            sight=lambda since, sees: sight("#a", since, sees),
            advance=self.judge.advance,
        )
        self.live = Live(self.store, judgement, W, grace, now)

    def crash(self, now: int) -> None:
        self.store.close()
        self.start(now)

    def wind(self, first: int, last: int) -> None:
        """Tick at every second from `first` to `last` after T0, as the daemon does."""
        for second in range(first, last + 1):
            self.live.tick(T0 + second)

    def count(self, at: int, value: float, now: int | None = None, key: SeriesKey = KEY) -> None:
        self.live.readings(delta(at, value, key), at if now is None else now)

    def told(self) -> list[str]:
        return [d.message.key for d in Mailbox(self.store).waiting()]


def delta(at: int, value: float, key: SeriesKey = KEY, start: int | None = None) -> Readings:
    begun = at if start is None else start
    return readings(key, begun, at, value, cumulative=False)


def readings(key: SeriesKey, start: int, at: int, value: float, cumulative: bool) -> Readings:
    nanos = 1_000_000_000
    return Readings(
        (key,), (Stream("p1", ""),), np.zeros(1, np.int64), np.array([start * nanos]), np.array([at * nanos]),
        np.array([value]), np.array([cumulative]),
    )  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "s.db")
    yield made
    made.store.close()


def test_an_interval_is_judged_once_its_grace_has_passed_and_never_again(world: World) -> None:
    world.count(T0 + 10, 1)
    world.wind(11, 74)
    assert world.judge.seen == []
    world.live.tick(T0 + 75)
    world.live.tick(T0 + 75)
    world.live.tick(T0 + 80)
    assert [(b.start, len(b)) for b in world.judge.seen] == [(T0, 1)]
    assert world.judge.seen[0].closed.tolist() == [T0 + 75]
    assert world.judge.values == {0: 1.0}


def test_a_tick_that_is_an_hour_late_does_all_intervals_and_they_were_watched(world: World) -> None:
    for minute in range(60):
        for second in (5, 30, 55):
            world.count(T0 + 60 * minute + second, minute)
    world.live.tick(T0 + 3600 + GRACE)
    assert world.judge.values == {60 * m: 3.0 * m for m in range(60)}
    assert sum(map(len, world.judge.seen)) == 60


def test_silence_of_everybody_is_watched_silence(world: World) -> None:
    world.wind(0, 195)
    assert list(world.judge.values) == [0, 60, 120]
    assert all(np.isnan(v) for v in world.judge.values.values())


def test_intervals_that_we_slept_through_are_not_watched(world: World) -> None:
    for second in (*range(100), *range(3700, 3900)):
        world.live.tick(T0 + second)
    assert list(world.judge.values) == [0, 3720, 3780]
    assert sum(map(len, world.judge.seen)) == 64


def test_a_clock_that_goes_back_changes_nothing(world: World) -> None:
    world.wind(0, 79)
    world.live.tick(T0 - 110)
    world.count(T0 + 65, 5, now=T0 - 100)
    world.wind(80, 139)
    assert world.judge.values == {0: pytest.approx(float("nan"), nan_ok=True), 60: 5.0}


def test_what_comes_late_is_handed_over_with_the_moment_at_which_it_was_known(world: World) -> None:
    world.count(T0 + 10, 1)
    world.wind(11, 75)
    world.count(T0 + 20, 4, now=T0 + 90)
    world.wind(76, 139)
    late = world.judge.seen[1].late
    assert (late.start.tolist(), late.row.tolist(), late.count.tolist()) == ([T0], [0], [4.0])
    stored = list(world.store.history())
    assert stored[0].late.interval.tolist() == [1]


def test_counts_that_were_acknowledged_survive_a_crash_at_any_moment(world: World) -> None:
    world.count(T0 + 10, 1)
    world.wind(11, 60)
    world.count(T0 + 61, 2)
    world.wind(61, 75)
    world.count(T0 + 78, 3)
    world.crash(T0 + 80)
    world.count(T0 + 85, 4)
    world.crash(T0 + 90)
    world.wind(91, 135)
    assert world.judge.values == {60: 9.0}
    stored = next(iter(world.store.history()))
    np.testing.assert_array_equal(stored.values[:, 0], [1, 9])


def test_running_totals_go_on_over_a_crash(world: World) -> None:
    total = 0
    for second in range(196):
        if second % 10 == 0:
            total += 7
            world.live.readings(readings(KEY, T0 - 5, T0 + second, total, cumulative=True), T0 + second)
        if second in (33, 74, 75, 76, 119):
            world.crash(T0 + second)
        world.live.tick(T0 + second)
    stored = next(iter(world.store.history()))
    assert stored.start == T0
    assert stored.watched.all()
    assert stored.values[1:, 0].tolist() == [42.0, 42.0]


def test_after_a_long_stop_nothing_was_watched_and_totals_make_no_burst(world: World) -> None:
    for second in range(0, 80, 10):
        world.live.readings(readings(KEY, T0 - 5, T0 + second, second, cumulative=True), T0 + second)
        world.live.tick(T0 + second)
    world.crash(T0 + 7200)
    for second in range(7200, 7400, 10):
        world.live.readings(readings(KEY, T0 - 5, T0 + second, second, cumulative=True), T0 + second)
        world.live.tick(T0 + second)
    assert list(world.judge.values) == [0, 7200, 7260]
    assert max(world.judge.values.values()) == 60.0


def test_news_is_told_once_though_every_restart_finds_it_again(world: World, tmp_path: Path) -> None:
    world.count(T0 + 10, 13)
    world.wind(0, 75)
    assert world.told() == [f"i{T0 + 75}"]
    with sqlite3.connect(tmp_path / "s.db") as raw:
        raw.execute("DELETE FROM snapshots")
    raw.close()
    world.crash(T0 + 77)
    world.live.tick(T0 + 78)
    assert [len(b) for b in world.judge.seen] == [1], "the stored interval was judged again"
    assert world.told() == [f"i{T0 + 75}"]


def test_a_start_after_a_clean_stop_replays_nothing(world: World) -> None:
    world.wind(0, 139)
    world.live.stop()
    world.crash(T0 + 141)
    world.live.tick(T0 + 142)
    assert world.judge.seen == []


def test_a_broken_snapshot_is_made_again_from_the_oldest_interval(world: World, tmp_path: Path) -> None:
    world.count(T0 + 10, 13)
    world.wind(0, 199)
    world.live.stop()
    with sqlite3.connect(tmp_path / "s.db") as raw:
        raw.execute("UPDATE snapshots SET state = x'010203', crc = 0")
    raw.close()
    world.crash(T0 + 201)
    world.live.tick(T0 + 202)
    assert [(b.start, len(b)) for b in world.judge.seen] == [(T0, 3)]
    assert world.told() == [f"i{T0 + 75}"]


def test_a_step_that_raises_leaves_us_blind_but_keeps_everything_and_is_taken_again(world: World) -> None:
    world.wind(0, 76)
    world.judge.broken = ZeroDivisionError("a mistake of ours")
    world.count(T0 + 77, 13)
    world.wind(78, 134)
    for second in range(135, 197):
        with pytest.raises(ZeroDivisionError):
            world.live.tick(T0 + second)
    health = world.live.health(T0 + 196)
    assert (health["ok"], health["blind_since"]) == (False, T0 + 60)
    assert world.store.end() == T0 + 180
    assert world.told() == [f"blind:{T0 + 60}"]
    world.judge.broken = None
    assert world.live.tick(T0 + 197) == 1
    assert world.live.health(T0 + 197)["ok"] is True
    assert world.told() == [f"blind:{T0 + 60}", f"i{T0 + 135}", f"blind:{T0 + 60}:over"]


def test_a_step_that_raises_half_way_is_taken_again_from_the_newest_snapshot(world: World) -> None:
    world.wind(0, 136)  # the first interval made a snapshot, the second one did not
    world.count(T0 + 137, 13)
    world.wind(138, 194)
    world.judge.broken, world.judge.spoils = ZeroDivisionError("a mistake of ours"), True
    for second in (195, 196):
        with pytest.raises(ZeroDivisionError):
            world.live.tick(T0 + second)
    world.judge.broken = None
    world.judge.seen.clear()
    assert world.live.tick(T0 + 197) == 1
    assert list(world.judge.values) == [60, 120]
    assert world.told() == [f"blind:{T0 + 120}", f"i{T0 + 195}", f"blind:{T0 + 120}:over"]


def test_a_blind_start_can_see_later(world: World) -> None:
    world.wind(0, 76)
    world.count(T0 + 77, 13)
    world.wind(77, 134)
    world.judge.broken = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        world.live.tick(T0 + 135)
    world.crash(T0 + 137)
    assert world.live.tick(T0 + 138) == 1
    assert world.told()[-1] == f"i{T0 + 135}"


def _fill(store: Store) -> None:
    with store.reading() as c:
        pages = c.exec_driver_sql("PRAGMA page_count").scalar_one()
        c.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_refuses_senders_is_said_and_goes_on_with_nothing_lost(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(1)
    world.live.tick(T0 + 1)
    _fill(world.store)
    refused = []
    total, told = 0.0, 0.0
    for second in range(2, 200):
        total += 1
        key = SeriesKey("a", "m" * 1500 + str(second))
        try:
            world.count(T0 + second, float(rng.random()), key=key)
            told += 1
        except Busy:
            refused.append((second, key))
        world.live.tick(T0 + second)
    assert refused
    assert world.live.health(T0 + 200)["ok"] is False
    assert caplog.text.count("no space left") == 1
    with world.store.reading() as c:
        c.exec_driver_sql("PRAGMA max_page_count = 1000000")
    for _, key in refused:  # the sender kept it, and says it again
        world.count(T0 + 199, 1.0, key=key)
    world.live.tick(T0 + 200)
    assert world.live.health(T0 + 200)["ok"] is True
    assert sum(map(len, world.store.history())) == 3
    assert len(world.store.table()) == 198


def test_a_deployment_is_shown_to_the_first_judgement_that_could_know_it_also_in_a_replay(
    world: World, tmp_path: Path
) -> None:
    world.wind(0, 75)
    world.live.deployments([Deployment("r1", T0 + 30, "a", "2", reported=T0 + 75)], T0 + 75)
    assert world.judge.deployments == []
    world.wind(76, 135)
    assert [(d.id, d.known) for d in world.judge.deployments] == [("r1", T0 + 76)]
    with sqlite3.connect(tmp_path / "s.db") as raw:
        raw.execute("DELETE FROM snapshots")
    raw.close()
    world.crash(T0 + 140)
    world.live.tick(T0 + 141)
    assert [d.id for d in world.judge.deployments] == ["r1"]
    assert all(d.known > T0 + 75 for d in world.judge.deployments)


def test_a_deployment_that_lies_ahead_waits_for_its_time(world: World) -> None:
    world.live.deployments([Deployment("r1", T0 + 130, "a", "2")], T0 + 1)
    world.wind(1, 135)
    assert [d.id for d in world.judge.deployments] == ["r1"]
    assert len(world.judge.seen) == 2


def test_one_id_for_two_deployments_of_a_service_is_told_to_who_tells_the_second(world: World) -> None:
    first = Deployment("r1", T0, "a", "2", environment="staging")
    assert world.live.deployments([first], T0 + 1) == []
    again = replace(first, time=T0 + 5, author="Ada")
    assert world.live.deployments([again, replace(first, service="b")], T0 + 6) == []
    for other in ({"version": "1"}, {"kind": "rollback"}, {"environment": "production"}):
        told = [replace(first, **other), Deployment(f"r2 {other}", T0, "a", "3")]
        (kept,) = world.live.deployments(told, T0 + 7)
        assert (kept.id, kept.version, kept.kind, kept.environment) == ("r1", "2", "deploy", "staging")
    known = [(one.service, one.version) for one in world.store.deployments()]
    assert sorted(known) == [("a", "2"), *[("a", "3")] * 3, ("b", "2")]


def test_another_grace_goes_on_where_the_last_interval_ended(world: World) -> None:
    world.wind(0, 79)
    world.store.close()
    world.start(T0 + 81, grace=30)
    world.wind(81, 219)
    assert [b.start for b in world.judge.seen] == [T0 + 60, T0 + 120]
    assert [b.closed.tolist() for b in world.judge.seen] == [[T0 + 150], [T0 + 210]]


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whatever_is_done_when_every_acknowledged_count_is_kept_once(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = World(tmp_path_factory.mktemp("w") / "s.db")
    acknowledged = 0.0
    now = T0 + 1
    for _ in range(data.draw(st.integers(1, 25))):
        now += data.draw(st.integers(0, 50))
        match data.draw(st.sampled_from(["count", "count", "again", "tick", "crash", "stop"])):
            case "count":
                value = float(data.draw(st.integers(0, 5)))
                reading = delta(now, value, SeriesKey("a", "m"), now - 1)
                world.live.readings(reading, now)
                world.live.readings(reading, now)  # a sender that missed the answer says it again
                acknowledged += value
                now += 1
            case "again" | "tick":
                world.live.tick(now)
            case "crash":
                world.crash(now)
            case "stop":
                world.live.stop()
                world.crash(now)  # there is nothing left to lose
    world.live.tick(now + W + GRACE + 1)
    world.live.tick(now + 2 * W + GRACE + 1)
    kept = 0.0
    with world.store.reading() as c:
        assert c.exec_driver_sql("SELECT count(*) FROM journal").scalar_one() == 0
    for block in world.store.history():
        kept += float(block.late.count.sum())
        kept += float(np.nansum(block.values))
    assert kept == acknowledged
    world.store.close()


def test_the_table_keeps_its_rows_over_restarts(world: World) -> None:
    keys = [SeriesKey("a", f"m{i}") for i in range(20)]
    for i, key in enumerate(keys):
        world.count(T0 + i, 1, key=key)
        if i % 5 == 0:
            world.crash(T0 + i)
        if i % 7 == 0:
            world.live.tick(T0 + 75 + i)
    world.live.tick(T0 + 140)
    assert world.store.table().keys == keys
    assert SeriesTable(world.store.table().keys).row(keys[7]) == 7


def test_health_counts_what_was_refused_by_reason_and_how_late_we_are(world: World) -> None:
    world.count(T0 + 10, -1, now=T0 + 10)
    world.count(T0 + 9999, 1, now=T0 + 11)
    health = world.live.health(T0 + 100)
    assert health["refused"] == {"negative": 1, "far future": 1}
    assert health["lag"] == 25
    assert replace(_event(1), number=2).number == 2


def test_a_sender_that_reports_less_often_than_the_grace_is_long_is_spoken_of_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for minute in range(5):
        for second in range(0, 60, 20):
            world.live.tick(T0 + 60 * minute + second)
        at = T0 + 60 * minute + 50
        world.live.readings(delta(at, 1, start=at - 60), at)
    assert caplog.text.count("report every 60 s") == 1


def exported(counts: dict[str, float], minute: int) -> Readings:
    """What a process says at the end of a minute, as counts of that minute."""
    keys = tuple(SeriesKey("importer", name, "1") for name in counts)
    n, start = len(keys), T0 + minute * W
    return Readings(
        keys, (Stream("importer", ""),), np.zeros(n, np.int64), np.full(n, start * NANOS),
        np.full(n, (start + W) * NANOS), np.array(list(counts.values())), np.zeros(n, np.bool_),
    )  # fmt: skip


def test_errors_whose_counter_is_born_with_the_first_one_are_told_and_learning_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    settings = config.parse(
        "services: {importer: {signals: {"
        "imports: {kind: error_ratio, errors: failed, total: started}, "
        "arriving: {kind: throughput, count: started}, "
        "kept: {kind: flow, from: started, to: stored, within: 2m}}}}",
        "stillwatch.yaml",
        {},
        live=True,
    )
    store, told = Store(tmp_path / "s.db"), list[Event]()

    def news(event: Event) -> News:
        told.append(event)
        return News(event.incident.id, event.number, event.time, "", ())

    watch = Live(
        store,
        Judgement(lambda table: lay(settings.signals, table, W, Budget()), news, lambda since, sees: ()),
        W,
        GRACE,
        T0,
    )
    for minute in range(60):
        counts = {"started": 100.0, "stored": 100.0}
        if minute >= 50:
            counts = {"started": 100.0, "stored": 80.0, "failed": 20.0}
        for second in (20, 40):
            watch.tick(T0 + minute * W + second)
        watch.readings(exported(counts, minute), T0 + (minute + 1) * W + 1)
        watch.tick(T0 + (minute + 1) * W + GRACE)
        if minute == 5:
            health = watch.health(T0 + 360)
            assert health["judged"] == 1
            learning = health["learning"]
            assert isinstance(learning, dict)
            assert set(learning) == {"importer/arriving", "importer/kept", "importer/imports"}
            assert all(words.startswith("6 min of data; sees ") for words in learning.values())
            assert "smaller losses once it has seen a whole day" in learning["importer/arriving"]
            assert "still learning how long it takes to come out, 4 min to go" in learning["importer/kept"]
            assert "% fail" in learning["importer/imports"]
    soon = {f.kind for e in told if e.time <= T0 + 54 * W for f in e.incident.findings}
    assert soon == {"error_spike", "data_loss"}
    store.close()
    said = [r.message for r in caplog.records if "importer/" in r.message]
    assert said[:2] == [
        "still learning how long it takes to come out: importer/kept",
        "still learning: sees near stops only, until it has seen a day: importer/arriving",
    ]
    assert said[2:] == ["judged: importer/imports", "judged: importer/kept"]


def test_a_word_is_heeded_by_the_first_judgement_that_could_know_it_also_after_a_crash(
    world: World, tmp_path: Path
) -> None:
    world.wind(0, 75)
    said = Word("i1", "acknowledge", "anna", T0 + 70)
    assert world.live.word(said, T0 + 75)
    assert not world.live.word(replace(said, time=T0 + 76), T0 + 76), "said before"
    assert world.judge.words == []
    world.wind(76, 135)
    assert [(w.who, w.time, w.known) for w in world.judge.words] == [("anna", T0 + 70, T0 + 76)]
    with sqlite3.connect(tmp_path / "s.db") as raw:
        raw.execute("DELETE FROM snapshots")
    raw.close()
    world.crash(T0 + 140)
    world.live.tick(T0 + 141)
    assert [w.who for w in world.judge.words] == ["anna"]


def test_a_word_that_cannot_be_kept_is_not_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Word) -> bool:
        raise StoreTrouble("no space left")

    monkeypatch.setattr(world.store, "add_word", full)
    with pytest.raises(Busy):
        world.live.word(Word("i1", "acknowledge", "anna", T0), T0)
    assert world.live.health(T0)["trouble"] == "no space left"


def test_intervals_are_kept_for_as_long_as_asked_and_the_file_grows_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillwatch.live.TIDIED_EVERY", 10 * W)
    world, keep, pages = World(tmp_path / "s.db"), 40 * W, []
    world.live._keep_for = keep
    for second in range(0, 160 * W, W):
        world.count(T0 + second, 3)
        world.live.tick(T0 + second + W + GRACE)
        with world.store.reading() as c:
            pages.append(c.exec_driver_sql("PRAGMA page_count").scalar_one())
    blocks = list(world.store.history())
    newest = blocks[-1].end
    assert newest - keep - 11 * W <= blocks[0].start <= newest - keep + W
    assert pages[-1] <= pages[60]


def test_a_clock_that_runs_away_deletes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "s.db")
    world.live._keep_for = 86400
    for second in range(0, 20 * W, W):
        world.count(T0 + second, 3)
        world.live.tick(T0 + second + W + GRACE)
    for _ in range(3):
        world.live.tick(T0 + 3 * 86400)
    assert next(iter(world.store.history())).start == T0
