"""Flows whose sender says when its events had entered: from files and from the door to what is told."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from world import DAY, START, World, carries

from alerts import jsonl
from alerts.incidents import Event
from alerts.packed import pack
from collector import dataset
from collector.bins import Bins, Late
from collector.otlp import Decoder
from detectors.blindspots import blindspots
from detectors.findings import Finding
from detectors.memory import dump, empty, load
from detectors.plan import COHORT, lay
from detectors.signals import Budget, Signal, Term
from detectors.watch import watch
from stillwatch import config
from stillwatch.engine import State, advance
from stillwatch.live import Judgement, Live
from stillwatch.replaying import replay
from stillwatch.store import News, Store

FAULT = DAY + 200
SETTINGS = """
services:
  s:
    signals:
      kept: {kind: flow, from: received, to: stored, within: 5m}
"""


def judged(world: World, bins: Bins | None = None) -> list[tuple[int, Finding]]:
    plan = world.plan()
    found = watch(empty(plan), world.bins() if bins is None else bins, plan)
    return [(at, finding) for at, findings in found for finding in findings]


def lossy(seed: int, rate: float, loss: float, door: bool, minutes: int = 60) -> World:
    world = World(DAY + 500, seed)
    carries(world, "s", rate, loss, FAULT, minutes, usual=0.001, at_the_door=door)
    return world


def rows(world: World) -> str:
    """The world as metrics.csv, with the time at which what is counted had entered."""
    lines = ["time,service,metric,entered,value"]
    for minute in range(world.length):
        for key, counts in world.series.items():
            time = START + 60 * minute
            entered = "" if key.age < 0 else str(time - 60 * key.age + 17)  # any moment of that minute
            lines.append(f"{time},{key.service},{key.metric},{entered},{counts[minute]:.0f}")
    return "\n".join([*lines, ""])


def test_a_loss_of_one_percent_is_told_from_a_file_as_soon_as_the_formula_of_errors_and_the_lag_allow(
    tmp_path: Path,
) -> None:
    world = lossy(1, 1000, 0.01, door=True)
    (tmp_path / "metrics.csv").write_text(rows(world))
    settings = config.parse(SETTINGS, "stillwatch.yaml", None)
    done = replay(dataset.read(tmp_path, 60, 15), settings)
    told = [event for event in done.events if event.event == "opened"]
    p0, p1, rate = 0.001, 0.011, 500  # the world's calm hours
    nats = rate * (p1 * math.log(p1 / p0) + (1 - p1) * math.log((1 - p1) / (1 - p0)))
    soonest = max(1, math.log(7 * DAY) / nats)
    assert len(told) == 1
    delay = (told[0].time - (START + 60 * FAULT)) / 60
    assert (
        delay <= math.ceil(soonest) + 3 + 1.25
    )  # whole intervals, the lag, the one in which it began, the grace
    # The plain flow of the same counts takes several times as long.
    alone = World(world.length, 1)
    carries(alone, "s", 1000, 0.01, FAULT, 60, usual=0.001, at_the_door=True, cohorts=False)
    assert judged(alone)[0][0] - FAULT > 3 * delay


@pytest.mark.parametrize("door", [False, True])
@pytest.mark.parametrize(("rate", "loss"), [(50, 0.2), (300, 0.05), (1000, 0.01)])
def test_what_was_lost_is_known_nearly_exactly(rate: float, loss: float, door: bool) -> None:
    inside, width = 0, 0.0
    for seed in range(4):
        world = lossy(seed, rate, loss, door)
        found = judged(world)
        assert {f.kind for _, f in found} == {"data_loss"}
        last = found[-1][1]
        assert (last.phase, last.cleared) == ("cleared", "recovered")
        true = world.lost["s"]
        inside += last.lost_low <= true <= last.lost_high
        width = max(width, (last.lost_high - last.lost_low) / true)
        assert last.onset_low <= START + 60 * FAULT <= last.onset_high + 60
        assert abs(last.expected - last.observed - last.lost) < 1
        trace = last.trace
        assert trace is not None
        since = (last.onset - trace.start) // 60
        shown, entered = trace.observed[since : since + 60], trace.out_of[since : since + 60]
        assert np.nansum(shown) / np.nansum(entered) == pytest.approx(loss, rel=0.25)
    assert inside >= 3
    assert width < (0.3 if rate * loss > 9 else 0.6)


def test_quiet_worlds_are_quiet() -> None:
    world = World(3 * DAY, 5)
    for i in range(8):
        carries(
            world, f"s{i}", (20, 100)[i % 2], usual=(0.0, 0.002)[i // 4], lag=((60, 180), (0, 40))[i // 2 % 2]
        )
    told = [f for _, f in judged(world) if f.phase == "raised"]
    assert len(told) <= 2, "the budget is one a week"


def test_a_hold_up_that_is_made_up_for_loses_nothing() -> None:
    """The writer stands still for four minutes: all comes out afterwards, some of it later than it should."""
    world = World(DAY, 3)
    carries(world, "s", 300)
    ages = {key.age: counts for key, counts in world.series.items() if key.age >= 0}
    received = next(key for key in world.series if key.age < 0)
    name = next(key for key in world.series if key.age >= 0)
    for age in range(8):
        ages.setdefault(age, np.zeros(world.length))
    for minute in range(800, 804):
        for age in (3, 2, 1):
            ages[age + 804 - minute][804] += ages[age][minute]
            ages[age][minute] = 0.0
    world.series = {received: world.series[received]} | {name.aged(a): c for a, c in ages.items()}
    found = judged(world)
    assert all(f.cleared != "recovered" for _, f in found)
    if found:
        assert found[-1][1].phase == "cleared"
        assert found[-1][1].cleared == "late_data"
        assert found[-1][1].lost_low <= 1.0


def test_what_nobody_listened_to_is_not_lost() -> None:
    world = World(DAY, 4)
    carries(world, "s", 300)
    bins = world.bins()
    bins.watched[700:705] = False
    bins.values[700:705] = np.nan  # what came out then is known to nobody
    bins.values[900:903, 1:] = np.nan  # the storing service was not measured
    bins.watched[1100:1102] = False  # and here it was, by chance
    assert judged(world, bins) == []


def test_what_arrives_late_closes_what_it_opened() -> None:
    """Of three minutes the counts of the storing service come when the loss is told already."""
    world = World(DAY, 6)
    carries(world, "s", 300)
    bins = world.bins()
    late = [(t, row) for t in range(1000, 1006) for row in range(1, len(world.series))]
    counts = np.array([bins.values[t, row] for t, row in late])
    for t, row in late:
        bins.values[t, row] = 0.0
    known = np.full(len(late), 1007)
    start = np.array([START + 60 * t for t, _ in late])
    late_of = Late(known, start, np.array([row for _, row in late]), counts)
    found = judged(world, replace(bins, late=late_of))
    assert found[0][1].phase == "raised"
    assert 1000 <= found[0][0] <= 1008
    assert found[-1][1].phase == "cleared"
    assert found[-1][1].cleared == "late_data"
    assert found[-1][1].lost <= 1.0
    assert found[-1][0] <= 1008


def test_counts_that_do_not_say_when_they_entered_leave_it_to_the_plain_flow() -> None:
    world = lossy(2, 300, 0.3, door=True)
    named = [key for key in world.series if key.age >= 0]
    bare = named[0]._replace(attributes=())
    counts = np.zeros(world.length)
    for key in named:
        counts[700:] += world.series[key][700:]
        world.series[key][700:] = 0.0
    world.series[bare] = counts
    found = judged(world)
    assert found[0][1].phase == "raised"
    assert 0 < found[0][0] - FAULT <= 10


def told(events: list[Event]) -> list[str]:
    return [jsonl.line(event) for event in events]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_blocks_and_restarts_change_no_event(seed: int) -> None:
    world = lossy(7, 200, 0.05, door=False, minutes=30)
    bins, plan = world.bins(), world.plan()
    whole = told(advance(State.empty(), bins, [], plan)[1])
    assert any('"opened"' in line for line in whole)
    inside = np.random.default_rng(seed).choice(np.arange(FAULT - 50, FAULT + 80), 40, replace=False)
    state, events = State.empty(), list[Event]()
    for first, last in pairwise([0, *sorted(inside.tolist()), len(bins)]):
        state, news = advance(state, bins.cut(first, last), [], plan)
        events += news
        packed = b"".join(dump(state.memory))
        state = replace(state, memory=load(memoryview(bytearray(packed))))
    assert told(events) == whole


def test_ages_that_are_seen_for_the_first_time_change_nothing_that_was_known() -> None:
    """Live, a series of an age is there from its first count on; in a replay from the beginning."""
    world = lossy(8, 200, 0.05, door=True, minutes=30)
    bins, whole = world.bins(), world.plan()
    expected = told(advance(State.empty(), bins, [], whole)[1])
    table, series = world.table(), world.table().keys
    state, events = State.empty(), list[Event]()
    for first, last, many in ((0, 1, 1), (1, 2, 2), (2, 3, 3), (3, len(bins), len(series))):
        known = type(table)(series[:many])
        plan = lay(world.signals, known, 60, Budget())
        part = bins.cut(first, last)
        state, news = advance(state, replace(part, values=part.values[:, :many]), [], plan)
        events += news
    assert told(events) == expected


def test_blind_spots_know_of_cohorts() -> None:
    world, bare = World(DAY + 300, 9), World(DAY + 300, 9)
    carries(world, "s", 500, usual=0.001)
    carries(bare, "s", 500, usual=0.001, cohorts=False)
    smallest = []
    for one in (world, bare):
        plan, bins = one.plan(), one.bins()
        memory = empty(plan)
        assert list(watch(memory, bins, plan)) == []
        spots = blindspots(memory, plan, one.table(), bins, (900,), every=12)
        smallest.append([spot.smallest[0] or 1.0 for spot in spots])
    assert max(smallest[0]) < 0.02
    assert max(smallest[0]) < 0.5 * min(smallest[1])


# Through the door.

W, T0 = 60, 1_650_000_000 // 60 * 60
SIGNALS = (Signal("s", "kept", "flow", (Term("s", "stored"),), (Term("s", "received"),), within=180),)


def export(metric: str, points: dict[int, int], start: int, end: int, cumulative: bool) -> bytes:
    """What an SDK says of a counter whose attribute `entered` is the minute (epoch seconds) of entry."""
    request = ExportMetricsServiceRequest()
    of = request.resource_metrics.add()
    service = of.resource.attributes.add()
    service.key, service.value.string_value = "service.name", "s"
    counter = of.scope_metrics.add().metrics.add()
    counter.name = metric
    counter.sum.is_monotonic = True
    counter.sum.aggregation_temporality = 2 if cumulative else 1
    for entered, count in points.items():
        point = counter.sum.data_points.add()
        point.start_time_unix_nano, point.time_unix_nano = start * 10**9, end * 10**9
        point.as_int = count
        pair = point.attributes.add()
        pair.key, pair.value.int_value = "entered", entered
    return request.SerializeToString()


@pytest.mark.slow
@pytest.mark.parametrize("cumulative", [False, True])
def test_a_loss_of_one_percent_is_told_through_the_door(tmp_path: Path, cumulative: bool) -> None:
    """Exports of 20 seconds that do not fit the minutes; a restart of ours in between."""
    events: list[Event] = []

    def news(event: Event) -> News:
        events.append(event)
        return News(event.incident.id, event.number, event.time, pack(event), ())

    judgement = Judgement(
        plan=lambda t: lay(SIGNALS, t, W, Budget()), news=news, sight=lambda since, sees: ()
    )
    store = Store(tmp_path / "s.db")
    live = Live(store, judgement, W, 25, T0)
    rng = np.random.default_rng(1)
    fault, minutes, totals = T0 + 100 * W, 115, dict[str, dict[int, int]](received={}, stored={})
    entered = T0 + np.sort(rng.uniform(0, minutes * W, 1000 * minutes))
    out = entered + rng.uniform(60, 180, len(entered))
    out[(entered >= fault) & (rng.random(len(out)) < 0.01)] = np.inf
    for begin in range(T0 + 7, T0 + (minutes - 1) * W, 20):
        end = begin + 20
        for metric, moments in (("received", entered), ("stored", out)):
            here = (moments >= begin) & (moments < end)
            minute, counts = np.unique(entered[here] // W * W, return_counts=True)
            said = {int(m): int(c) for m, c in zip(minute, counts, strict=True)}
            if cumulative:
                for m, c in said.items():
                    totals[metric][m] = totals[metric].get(m, 0) + c
                said = totals[metric]
            body = export(metric, said, T0 if cumulative else begin, end, cumulative)
            live.readings(Decoder().decode(body, "protobuf"), end + 1)
        live.tick(end + 5)
        live.tick(end + 19)
        if begin == T0 + 7 + 20 * 180:
            store.close()
            store = Store(tmp_path / "s.db")
            live = Live(store, judgement, W, 25, end + 17)
    opened = [event for event in events if event.event == "opened"]
    assert len(opened) == 1
    assert fault < opened[0].time <= fault + 12 * W  # of a flow that is known for a hundred minutes
    found = opened[0].incident.findings[0]
    true = int(np.isinf(out[entered < found.at]).sum())
    assert found.lost <= true + 1
    table = store.table()
    # As many series as ages, however long it runs; where an export ends in the next minute, some seem older.
    assert {key.age for key in table.keys} == {-1, 0, 1, 2, 3, 4}
    assert any(chart.kind == COHORT for chart in lay(SIGNALS, table, W, Budget()).charts)
    store.close()
