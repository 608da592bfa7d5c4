"""What a source tells late by nature is judged later, as it would have been in time; nothing else waits for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_same_live_and_replayed import GRACE, T0, W, export_of
from world import DAY, START, World, arrivals, passes_on, requests

from alerts.incidents import Event
from alerts.packed import pack, unpack
from collector import dataset
from collector.asked import Answer, Rows, of, stretch
from collector.bins import Bins, Late, SeriesKey, SeriesTable
from collector.deployments import Deployment
from detectors import memory
from detectors.findings import Finding
from detectors.memory import fit, nothing
from detectors.plan import Plan, lay
from detectors.signals import Budget, Signal, Term
from detectors.slow import hold
from detectors.watch import watch
from stillwatch.config import Settings, parse
from stillwatch.engine import State, advance
from stillwatch.explained import explained
from stillwatch.live import Judgement, Live
from stillwatch.replaying import plan_of, replay
from stillwatch.snapshot import dump, load
from stillwatch.store import News, Store

WAIT = 5  # intervals
CLOUD = {"cloud": WAIT}
Which = Callable[[SeriesKey], bool]


def is_any(key: SeriesKey) -> bool:
    return True


def told_by_a_cloud(world: World, slow: Which, most: int = WAIT, seed: int = 5) -> tuple[SeriesTable, Bins]:
    """The same counts, the slow series told up to `most` intervals later, and now and then in two parts."""
    random, bins, keys = np.random.default_rng(seed), world.bins(), list(world.series)
    values, parts = bins.values.copy(), []
    for row in (row for row, key in enumerate(keys) if slow(key)):
        for at, count in enumerate(bins.values[:, row].tolist()):
            first = float(random.integers(0, int(count) + 1)) if random.random() < 0.3 else count
            values[at, row] = np.nan
            when = sorted(random.integers(0, most + 1, 2).tolist())
            if when[0] == 0:
                values[at, row] = first
            else:
                parts.append((at + when[0], START + 60 * at, row, first))
            if first < count:
                parts.append((at + max(when[1], 1), START + 60 * at, row, count - first))
    parts = sorted(one for one in parts if one[0] < len(bins))
    interval, start, rows = (np.array([one[i] for one in parts], dtype=np.int64) for i in range(3))
    late = Late(interval, start, rows, np.array([one[3] for one in parts]))
    sources = {row: "cloud" for row, key in enumerate(keys) if slow(key)}
    return SeriesTable(keys, sources), replace(bins, values=values, late=late)


def judged(bins: Bins, plan: Plan) -> list[Finding]:
    known = fit(nothing(), plan)
    held, found = known.held, list[Finding]()
    for first in range(0, len(bins), 400):
        block, held = hold(held, bins.cut(first, min(first + 400, len(bins))), plan)
        for _, findings in watch(known, block, plan):
            found += findings
    return found


def shifted(found: list[Finding], waited: int) -> list[Finding]:
    """As if it had been told so many intervals earlier, without the pictures."""
    return [replace(one, at=one.at - 60 * waited, trace=None) for one in found]


def made() -> World:
    world = World(DAY, 3)
    requests(world, "importer", 100, 0.002, fault=0.2, start=600, minutes=30)
    passes_on(world, "parser", 200, loss=0.3, start=900, minutes=40)
    return world


def test_what_is_told_late_is_judged_as_it_would_have_been_in_time_only_later() -> None:
    world = made()
    table, bins = told_by_a_cloud(world, is_any)
    late = judged(bins, lay(world.signals, table, 60, Budget(), waits=CLOUD))
    prompt = judged(world.bins(), world.plan())
    assert {one.phase for one in prompt} == {"raised", "standing", "cleared"}
    assert shifted(late, WAIT) == shifted(prompt, 0)
    traces = [(a.trace, b.trace) for a, b in zip(late, prompt, strict=True)]
    assert all(a and b and a.start == b.start for a, b in traces)


def test_a_flow_from_what_is_sent_to_what_a_cloud_tells_sees_both_sides_of_the_same_minute() -> None:
    world = World(DAY, 4)
    passes_on(world, "parser", 200, loss=0.3, start=900, minutes=40)
    table, bins = told_by_a_cloud(world, lambda key: key.metric == "stored")
    assert len(set(table.sources)) == 1
    late = judged(bins, lay(world.signals, table, 60, Budget(), waits=CLOUD))
    prompt = judged(world.bins(), world.plan())
    assert any(one.phase == "raised" for one in prompt)
    assert shifted(late, WAIT) == shifted(prompt, 0)


def test_what_is_sent_to_us_is_judged_at_once_whatever_else_a_cloud_tells() -> None:
    world = made()
    table, bins = told_by_a_cloud(world, lambda key: key.service == "parser")
    late = judged(bins, lay(world.signals, table, 60, Budget(), waits=CLOUD))
    prompt = judged(world.bins(), world.plan())

    def told(found: list[Finding], service: str) -> list[tuple[str, int, int]]:
        mine = (one for one in found if one.signal.service == service and one.phase != "standing")
        return [(one.phase, one.at, one.onset) for one in mine]

    assert told(late, "importer") == told(prompt, "importer")
    after = [(phase, at - 60 * WAIT, onset) for phase, at, onset in told(late, "parser")]
    assert after == told(prompt, "parser")
    assert after


def test_what_comes_later_than_the_source_may_be_is_late_and_shrinks_what_was_lost() -> None:
    world = World(600, 6)
    arrivals(world, "forms", 200)
    table, bins = told_by_a_cloud(world, is_any)
    gone, values = np.arange(400, 420), bins.values.copy()
    values[gone, 0] = 0.0  # nothing of these is told in time, and all of it later
    mine = np.isin(bins.late.start, START + 60 * gone)
    counts = world.bins().values[gone, 0]
    late = Late(
        np.append(bins.late.interval[~mine], gone + WAIT + 8),
        np.append(bins.late.start[~mine], START + 60 * gone),
        np.append(bins.late.row[~mine], np.zeros(20, dtype=np.int64)),
        np.append(bins.late.count[~mine], counts),
    )
    order = np.argsort(late.interval, kind="stable")
    late = Late(late.interval[order], late.start[order], late.row[order], late.count[order])
    bins = replace(bins, values=values, late=late)
    found = judged(bins, lay(world.signals, table, 60, Budget(), waits=CLOUD))
    raised = next(one for one in found if one.phase == "raised")
    assert abs(raised.onset - (START + 60 * 400)) <= 120
    assert raised.at <= START + 60 * (405 + WAIT) + GRACE
    ended = next(one for one in found if one.phase == "cleared")
    assert 0.4 * counts.sum() < ended.late < counts.sum()
    assert max(one.lost for one in found) > 2 * ended.lost


def test_an_interval_in_which_nobody_listened_hides_nothing_that_a_source_tells_of_it_afterwards() -> None:
    world = made()
    table, bins = told_by_a_cloud(world, is_any)
    bins.watched[300:303] = False
    plan = lay(world.signals, table, 60, Budget(), waits=CLOUD)
    told, _ = hold(fit(nothing(), plan).held, bins, plan)
    whole = world.bins().values
    np.testing.assert_array_equal(told.values[WAIT:, plan.series :], whole[:-WAIT][:, plan.slow.row])
    beside, sent = told_by_a_cloud(world, lambda key: key.metric in ("stored", "failed"))
    sent.watched[300:303] = False
    plan = lay(world.signals, beside, 60, Budget(), waits=CLOUD)
    told, _ = hold(fit(nothing(), plan).held, sent, plan)
    # Of what was sent to us then, nobody knows whether all of it came.
    assert np.isnan(told.values[300 + WAIT : 303 + WAIT, plan.series :][:, ~plan.slow.own]).all()
    assert not np.isnan(told.values[300 + WAIT : 303 + WAIT, plan.series :][:, plan.slow.own]).any()


def test_why_at_a_minute_is_asked_of_the_judgement_of_that_minute() -> None:
    world = made()
    table, bins = told_by_a_cloud(world, lambda key: key.service == "parser")
    slow = Settings(signals=tuple(world.signals), waits=CLOUD)
    prompt = Settings(signals=tuple(world.signals))
    told = [
        explained(dataset.Dataset(*one, (), ()), how, "parser", START + 60 * 902 + 5, lambda done: None)
        for one, how in (((table, bins), slow), ((world.table(), world.bins()), prompt))
    ]
    late, in_time = (one["signals"][0] for one in told)
    assert (late["observed"], late["state"]) == (in_time["observed"], in_time["state"])
    assert late["since"] == in_time["since"] == START + 60 * 900
    read = dataset.Dataset(table, bins.cut(0, 903), (), ())
    with pytest.raises(ValueError, match=r"of which its source tells late: it is judged at .*T15:08:15Z"):
        explained(read, slow, "parser", START + 60 * 902, lambda done: None)


RELEASE = Deployment("release", START + 60 * 598, "importer", "2", "1")


@pytest.mark.parametrize("size", [1, 7, 300])
def test_blocks_and_stops_change_no_event_of_what_is_late(size: int) -> None:
    world = made()
    table, bins = told_by_a_cloud(world, lambda key: key.metric != "started")
    plan = lay(world.signals, table, 60, Budget(), waits=CLOUD)
    _, whole = advance(State.empty(), bins, [RELEASE], plan)
    assert any(event.event == "resolved" for event in whole)
    first, last = (580, 660) if size == 1 else (0, len(bins))
    state, events = (
        advance(State.empty(), bins.cut(0, first), [RELEASE], plan) if first else (State.empty(), [])
    )
    for at in range(first, last, size):
        state, news = advance(load(dump(state)), bins.cut(at, min(at + size, last)), [RELEASE], plan)
        events += news
    if last < len(bins):
        events += advance(state, bins.cut(last, len(bins)), [RELEASE], plan)[1]
    assert [pack(event) for event in events] == [pack(event) for event in whole]


def test_a_new_version_that_a_cloud_tells_of_began_when_it_did() -> None:
    def seen(wait: int) -> list[Deployment]:
        world = World(300, 8)
        old = np.where(np.arange(300) < 200, 100, 0)
        world.add("shop", "sold", world.random.poisson(old), "1")
        world.add("shop", "sold", world.random.poisson(100 - old), "2")
        bins, table = world.bins(), world.table()
        if wait:
            table, bins = told_by_a_cloud(world, is_any)
        state, _ = advance(State.empty(), bins, (), lay((), table, 60, Budget(), waits=CLOUD))
        return [one for one in state.deployments if one.seen]

    (prompt,), (late,) = seen(0), seen(WAIT)
    assert prompt.time == START + 60 * 200
    assert late.reported == prompt.reported + 60 * WAIT
    assert replace(late, reported=0) == replace(prompt, reported=0)


def test_what_was_remembered_before_anything_waited_goes_on_when_it_does() -> None:
    world = made()
    table, bins = told_by_a_cloud(world, is_any, most=0)  # always in time, whatever the settings say
    state, _ = advance(State.empty(), bins.cut(0, 500), (), lay(world.signals, table, 60, Budget()))
    plan = lay(world.signals, table, 60, Budget(), waits=CLOUD)
    after, events = advance(load(dump(state)), bins.cut(500, len(bins)), (), plan)
    opened = {f.signal.service: e.time for e in events for f in e.incident.findings if e.event == "opened"}
    assert START + 60 * (600 + WAIT) < opened["importer"] < START + 60 * (604 + WAIT)
    back, _ = advance(after, bins.cut(len(bins) - 1, len(bins)), (), lay(world.signals, table, 60, Budget()))
    assert len(back.memory.held.row) == 0


def test_what_was_kept_before_anything_could_wait_is_read() -> None:
    world = made()
    state, _ = advance(State.empty(), world.bins().cut(0, 50), (), world.plan())
    _, head, *arrays = memory.dump(state.memory)
    told = json.loads(bytes(head))
    told["series"] = told.pop("columns")
    del told["held"]
    old = json.dumps(told).encode()
    old += b" " * (-len(old) % 8)
    raw = b"".join(map(bytes, [len(old).to_bytes(8, "big"), old, *arrays]))
    again = memory.load(memoryview(raw))
    assert b"".join(map(bytes, memory.dump(again))) == b"".join(map(bytes, memory.dump(state.memory)))


# The same, live.

SIGNALS = (
    Signal(
        "importer", "imports", "error_ratio", (Term("importer", "failed"),), (Term("importer", "started"),)
    ),
    Signal("parser", "kept", "flow", (Term("parser", "stored"),), (Term("parser", "received"),), within=120),
    Signal(
        "parser", "taken", "flow", (Term("parser", "received"),), (Term("importer", "started"),), within=120
    ),
)
HOURS = 3


def counted(minute: int, rng: np.random.Generator) -> dict[SeriesKey, float]:
    """What the services count in a minute; from 2:00 to 2:30 both fail."""
    bad = 120 <= minute < 150
    started = rng.poisson(300)
    received = rng.binomial(started, 0.95)
    counts = {
        SeriesKey("importer", "started"): started,
        SeriesKey("importer", "failed"): rng.binomial(started, 0.4 if bad else 0.01),
        SeriesKey("parser", "received"): received,
        SeriesKey("parser", "stored"): rng.binomial(received, 0.6 if bad else 0.99),
    }
    return {key: float(value) for key, value in counts.items()}


def answer(counts: dict[SeriesKey, float], service: str, start: int, now: int) -> Answer:
    rows = Rows(cumulative=False)
    for key, count in counts.items():
        if key.service == service:
            rows.add(key, of("cloud", key), *stretch(start, now, W), count)
    return Answer(rows.readings(), start + W, "")


def judgement(waits: dict[str, int]) -> Judgement:
    return Judgement(
        plan=lambda table: lay(SIGNALS, table, W, Budget(), waits=waits),
        news=lambda event: News(event.incident.id, event.number, event.time, pack(event), ()),
        sight=lambda since, sees: (),
        waits=waits,
    )


def lived(path: Path, restart_at: set[int]) -> Store:
    """Importers send at once; a cloud tells of parsers four minutes later, and once of twenty minutes together."""
    store = Store(path)
    live = Live(store, judgement(CLOUD), W, GRACE, T0)
    rng, past = np.random.default_rng(7), list[dict[SeriesKey, float]]()
    for minute in range(HOURS * 60):
        start = T0 + minute * W
        past.append(counted(minute, rng))
        for second in (20, 40, 55):
            live.tick(start + second)
        if minute >= 4 and not 60 <= minute < 80:
            for back in range(24 if minute == 80 else 4, 3, -1):
                live.asked(
                    "cloud", answer(past[minute - back], "parser", start - back * W, start + 56), start + 56
                )
        if minute in restart_at:
            store.close()
            store = Store(path)
            live = Live(store, judgement(CLOUD), W, GRACE, start + 58)
        live.readings(export_of(past[-1], "importer", start), start + W + 1)
        live.tick(start + W + GRACE)
        assert live.health(start + W + GRACE)["watermark"] == start + W
    told = live.newest()
    sent = past[-1]
    assert told["counts"] == {
        f"importer/{key.metric}": sent[key] for key in sent if key.service == "importer"
    }
    (later,) = told["later"]
    assert later["start"] == T0 + (len(past) - 1 - WAIT) * W
    known = past[-1 - WAIT]
    assert later["counts"] == {f"parser/{key.metric}": known[key] for key in known if key.service == "parser"}
    refused = live.health(T0)["refused"]
    assert isinstance(refused, dict)
    assert 0 < refused["late"] < 50, "only what the cloud told of the twenty minutes"
    return store


def replayed(read: dataset.Dataset) -> list[str]:
    done = replay(read, Settings(interval=W, signals=SIGNALS, waits=CLOUD))
    return [pack(event) for event in done.events]


@pytest.mark.slow
def test_a_cloud_gives_the_same_news_live_with_crashes_and_replayed(tmp_path: Path) -> None:
    store = lived(tmp_path / "s.db", set())
    told = store.lines()
    found = [(e.time, f) for e in map(_event, told) for f in e.incident.findings if f.onset > T0 + 100 * W]
    fails = min(time for time, f in found if f.signal.name == "imports")
    loses = min(time for time, f in found if f.signal.name == "kept")
    assert T0 + 120 * W < fails <= T0 + 123 * W + GRACE
    assert T0 + (121 + WAIT) * W <= loses <= T0 + (123 + WAIT) * W + GRACE
    assert all(abs(f.onset - (T0 + 120 * W)) <= W for _, f in found)
    crashed = lived(tmp_path / "c.db", {2, 5, 78, 81, 119, 121, 124, 130, 152})
    assert crashed.lines() == told
    table, bins, deployments = store.export()
    assert set(table.sources.values()) == {"cloud"}
    assert len(table.sources) == 2
    assert replayed(dataset.Dataset(table, bins, deployments, ())) == told
    dataset.write(tmp_path / "export", table, bins, deployments)
    again = dataset.read(tmp_path / "export", W, GRACE)
    of_again = {again.table.keys[row]: source for row, source in again.table.sources.items()}
    assert of_again == {table.keys[row]: source for row, source in table.sources.items()}
    assert replayed(again) == told
    store.close()
    crashed.close()


def _event(line: str) -> Event:
    return unpack(Event, line)


def _about(event: Event, service: str) -> bool:
    return any(f.signal.service == service for f in event.incident.findings)


# What the settings say.


def settings(sources: str, top: str = "") -> Settings:
    return parse(f"{top}\nsources:\n{sources}", "stillwatch.yaml", {})


CLOUDWATCH = """
  aws:
    kind: cloudwatch
    region: eu-central-1
    metrics: {namespace: AWS/SQS, name: NumberOfMessagesSent, service: queue}
"""
FILES = "  logs: {kind: files, paths: x.log, format: dataset}\n"


@pytest.mark.parametrize(
    ("top", "sources", "grace", "waits"),
    [
        ("", CLOUDWATCH, 15, {"aws": 5}),
        ("", FILES, 30, {}),  # a quarter of a minute: hardly worth a minute's wait
        ("", CLOUDWATCH + FILES, 30, {"aws": 5}),
        ("interval: 10s", CLOUDWATCH + FILES, 10, {"aws": 29, "logs": 2}),
        ("interval: 1h", CLOUDWATCH, 300, {}),
        ("grace: 5m", CLOUDWATCH, 300, {}),
        ("grace: 75s", CLOUDWATCH, 75, {"aws": 4}),
    ],
)
def test_only_what_is_slow_waits(top: str, sources: str, grace: int, waits: dict[str, int]) -> None:
    found = settings(sources, top)
    assert (found.grace, found.waits) == (grace, waits)
    for name, wait in waits.items():
        (own,) = [one.written.grace for one in found.sources if one.name == name]
        assert grace + (wait - 1) * found.interval < own <= grace + wait * found.interval


def test_a_plan_waits_for_what_the_settings_say_and_for_nothing_where_all_is_known() -> None:
    table = SeriesTable([SeriesKey("queue", "requests"), SeriesKey("queue", "errors")], {0: "aws", 1: "aws"})
    assert plan_of(settings(CLOUDWATCH), table).waits.tolist() == [5, 5]
    assert plan_of(settings(CLOUDWATCH), table, at_once=True).waits.tolist() == [0, 0]


def test_sources_of_series_are_kept_with_them(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    live = Live(store, judgement({"cloud": 1, "other": 2}), W, GRACE, T0)
    key, start = SeriesKey("shop", "sold"), T0
    for source in ("nobody", "cloud", "other"):
        live.asked(source, answer({key: 1.0}, "shop", start, start + W + 5), start + W + 5)
        start += W
    live.tick(start + W)
    store.close()
    store = Store(tmp_path / "s.db")
    assert store.table().sources == {0: "cloud"}
    live = Live(store, judgement({"other": 2}), W, GRACE, start + W)  # the cloud is asked no more
    live.asked("other", answer({key: 1.0}, "shop", start, start + W + 5), start + W + 5)
    live.tick(start + 2 * W + GRACE)
    assert store.table().sources == {0: "other"}
    store.close()
