"""The same engine gives the same lines, whether it watched as it happened or reads what was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alerts import jsonl
from alerts.incidents import Event
from alerts.packed import pack, unpack
from collector import dataset
from collector.bins import Bins, SeriesKey, SeriesTable
from collector.deployments import Deployment
from collector.points import NANOS, Readings, Stream
from collector.words import Word
from detectors.plan import Plan, lay
from detectors.signals import Budget, Signal, Term
from stillwatch.engine import State, advance
from stillwatch.live import Judgement, Live
from stillwatch.store import News, Store

W, GRACE = 60, 15
T0 = 1_650_000_000 // W * W
HOURS = 6
SIGNALS = (
    Signal(
        "importer",
        "imports",
        "error_ratio",
        (Term("importer", "failed", sparse=True),),
        (Term("importer", "started"),),
    ),
    Signal("parser", "opens", "throughput", (Term("parser", "stored"),)),
    Signal("parser", "kept", "flow", (Term("parser", "stored"),), (Term("parser", "received"),), within=120),
)


def counted(minute: int, rng: np.random.Generator) -> dict[SeriesKey, float]:
    """What the services of this world count in a minute; from 4:00 to 4:30 version 2 of all is bad."""
    bad = 240 <= minute < 270
    version = "2" if bad else "1"
    started, received = rng.poisson(300), rng.poisson(2000)
    stored = rng.binomial(received, 0.7 if bad else 1.0)
    counts = {
        SeriesKey("importer", "started", version): started,
        SeriesKey("importer", "failed", version): rng.binomial(started, 0.4 if bad else 0.003),
        SeriesKey("parser", "received", version): received,
        SeriesKey("parser", "stored", version): stored,
    }
    return {key: float(value) for key, value in counts.items()}


def export_of(counts: dict[SeriesKey, float], service: str, start: int) -> Readings:
    """What the process of this service and version says at the end of the minute that begins at `start`."""
    mine = {key: value for key, value in counts.items() if key.service == service}
    n = len(mine)
    process = Stream(f"{service} {next(iter(mine)).version}", "")
    return Readings(
        tuple(mine), (process,), np.zeros(n, np.int64), np.full(n, start * NANOS),
        np.full(n, (start + W) * NANOS), np.array(list(mine.values())), np.zeros(n, np.bool_),
    )  # fmt: skip


RELEASES = (
    Deployment("r1", T0 + 3600, "parser", "1", "0"),
    Deployment("r2", T0 + 240 * 60, "parser", "2", "1"),
    Deployment("r2", T0 + 240 * 60, "importer", "2", "1"),
    Deployment("r3", T0 + 270 * 60, "parser", "1", "2", kind="rollback"),
    Deployment("r3", T0 + 270 * 60, "importer", "1", "2", kind="rollback"),
)


def live(
    path: Path, restart_at: set[int], said: Mapping[int, Word] | None = None
) -> tuple[Store, list[Event]]:
    """Push the world through the daemon's own steps, with crashes after these minutes, and words in
    them of the first incident."""
    events: list[Event] = []

    def news(event: Event) -> News:
        events.append(event)
        return News(event.incident.id, event.number, event.time, pack(event), ())

    judgement = Judgement(
        plan=lambda table: lay(SIGNALS, table, W, Budget()), news=news, sight=lambda since, sees: ()
    )
    store = Store(path)
    watch = Live(store, judgement, W, GRACE, T0)
    rng = np.random.default_rng(7)
    held: list[Readings] = []
    for minute in range(HOURS * 60):
        start = T0 + minute * W
        for second in (20, 40, 55):
            watch.tick(start + second)
        for one in RELEASES:
            if start <= one.time < start + W:
                watch.deployments([one], one.time + 57)
        if said and minute in said:
            whole = replace(said[minute], incident=events[0].incident.id, time=start + 57)
            watch.word(whole, start + 57)
        if minute in restart_at:
            store.close()
            store = Store(path)
            watch = Live(store, judgement, W, GRACE, start + 58)
        counts = counted(minute, rng)
        exports = [export_of(counts, service, start) for service in ("importer", "parser")]
        if minute % 50 == 7:
            exports.pop()  # a process that did not get through
        if minute == 250:
            held.append(exports.pop())  # one that gets through later
        if minute == 252:
            exports += held
        for export in exports:
            watch.readings(export, start + W + 1)
        watch.tick(start + W + GRACE)
    return store, events


@pytest.mark.slow
def test_what_people_said_gives_the_same_news_live_with_crashes_and_replayed(tmp_path: Path) -> None:
    said = {
        244: Word("", "not this deployment", "anna", 0, deployment="r2", service="importer"),
        245: Word("", "acknowledge", "ben", 0),
        248: Word("", "not a problem", "anna", 0),
    }
    store, _ = live(tmp_path / "s.db", restart_at=set(), said=said)
    crashed, _ = live(tmp_path / "c.db", {243, 244, 245, 248, 249}, said)
    told = store.lines()
    assert any('"operator"' in line for line in told)
    assert crashed.lines() == told
    for step in (HOURS * 60, 17):
        assert replayed(*store.export(), step, store.words()) == told
    dataset.write(tmp_path / "export", *store.export(), store.words())
    again = dataset.read(tmp_path / "export", W, GRACE)
    assert again.words == store.words()
    assert replayed(again.table, again.bins, again.deployments, 500, again.words) == told
    store.close()
    crashed.close()


def replayed(
    table: SeriesTable,
    bins: Bins,
    deployments: tuple[Deployment, ...],
    step: int,
    words: tuple[Word, ...] = (),
) -> list[str]:
    plan: Plan = lay(SIGNALS, table, W, Budget())
    state, events = State.empty(), list[Event]()
    for first in range(0, len(bins), step):
        block = bins.cut(first, min(first + step, len(bins)))
        after = int(bins.closed[first - 1]) if first else -1
        said = [word for word in words if after < word.known <= int(block.closed[-1])]
        state, news = advance(state, block, deployments, plan, words=said)
        events += news
    return [pack(event) for event in events]


@pytest.mark.slow
def test_what_was_recorded_gives_the_same_news_in_blocks_of_any_size(tmp_path: Path) -> None:
    store, _ = live(tmp_path / "s.db", restart_at=set())
    told = store.lines()
    assert any('"event":"opened"' in line for line in told)
    assert any('"event":"resolved"' in line for line in told)
    assert any('"r2"' in line for line in told)
    recorded = store.export()
    assert recorded[1].late.start.tolist() == [T0 + 250 * W] * 2
    assert np.isnan(recorded[1].values).any()
    for step in (len(recorded[1]), 17):
        assert replayed(*recorded, step) == told
    store.close()


@pytest.mark.slow
def test_crashes_in_the_middle_change_no_news(tmp_path: Path) -> None:
    store, _ = live(tmp_path / "s.db", restart_at=set())
    crashed, found = live(tmp_path / "c.db", restart_at={0, 50, 239, 241, 244, 250, 269, 272})
    assert crashed.lines() == store.lines()
    assert len(found) > len(crashed.lines()), "crashes found news again, and it was told once"
    store.close()
    crashed.close()


@pytest.mark.slow
def test_what_was_exported_and_read_again_gives_the_same_news(tmp_path: Path) -> None:
    store, _ = live(tmp_path / "s.db", restart_at={120})
    table, bins, deployments = store.export()
    dataset.write(tmp_path / "export", table, bins, deployments)
    again = dataset.read(tmp_path / "export", W, GRACE)
    assert replayed(again.table, again.bins, again.deployments, 500) == store.lines()
    store.close()


RATIO = (
    Signal(
        "importer", "imports", "error_ratio", (Term("importer", "failed"),), (Term("importer", "started"),)
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("down", [(3725, 3745), (3725, 3905), (3725, 4500)], ids=["20 s", "3 min", "13 min"])
def test_a_stop_in_the_middle_of_a_fault_forgets_no_count_and_replays_the_same(
    tmp_path: Path, down: tuple[int, int]
) -> None:
    """Running totals every 10 seconds; from 3600 s on, for half an hour, 3 of 10 fail instead of 1 of 100."""
    judgement = Judgement(
        plan=lambda table: lay(RATIO, table, W, Budget()),
        news=lambda event: News(event.incident.id, event.number, event.time, pack(event), ()),
        sight=lambda since, sees: (),
    )
    store = Store(tmp_path / "s.db")
    watch = Live(store, judgement, W, GRACE, T0)
    rng, process = np.random.default_rng(3), Stream("one", "")
    totals, lost = np.zeros(2), 0.0
    keys = (SeriesKey("importer", "started", "1"), SeriesKey("importer", "failed", "1"))
    for second in range(5, 7200, 5):
        now = T0 + second
        if second % 10 == 0:
            bad = 3600 < second <= 5400
            started = rng.poisson(50)
            usual = rng.binomial(started, 0.01)
            more = rng.binomial(started - usual, 0.3 if bad else 0.0)
            lost += more
            totals += started, usual + more
        if down[0] <= second < down[1]:
            continue
        if second == down[1]:
            store.close()
            store = Store(tmp_path / "s.db")
            watch = Live(store, judgement, W, GRACE, now)
        watch.tick(now)
        if second % 10 == 0:
            said = Readings(
                keys, (process,), np.zeros(2, np.int64), np.full(2, T0 * NANOS),
                np.full(2, now * NANOS), totals.copy(), np.ones(2, np.bool_),
            )  # fmt: skip
            watch.readings(said, now)
    last = jsonl.read(jsonl.line(unpack(Event, store.lines()[-1])))
    assert last["event"] == "resolved"
    (signal,) = last["signals"]
    assert signal["lost_low"] <= lost <= signal["lost_high"]
    assert signal["lost"] == pytest.approx(lost, rel=0.02)
    table, bins, deployments = store.export()
    dataset.write(tmp_path / "export", table, bins, deployments)
    again = dataset.read(tmp_path / "export", W, GRACE)
    assert again.bins.watched.tolist() == bins.watched.tolist()
    plan, state, events = lay(RATIO, again.table, W, Budget()), State.empty(), list[Event]()
    state, events = advance(state, again.bins, again.deployments, plan)
    assert [pack(event) for event in events] == store.lines()
    store.close()
