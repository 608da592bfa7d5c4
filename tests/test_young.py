"""A ratio or a flow is of use within an hour of its first data, a throughput within a day, and each says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from world import DAY, START, World, arrivals, passes_on, requests

from detectors import blindspots, memory
from detectors.memory import Memory
from detectors.watch import watch
from stillwatch import config
from stillwatch.check import young_lines
from stillwatch.engine import State
from stillwatch.progress import Progress
from stillwatch.snapshot import dump
from stillwatch.store import Closing, Store
from stillwatch.young import young

Build = Callable[[World, int, float], None]


def ratio(world: World, start: int, fault: float) -> None:
    requests(world, "it", 500, 0.001, fault, start, 60)


def flow(world: World, start: int, loss: float) -> None:
    passes_on(world, "it", 500, loss, start, 60)


def throughput(world: World, start: int, loss: float) -> None:
    arrivals(world, "it", 500, loss, start, 60)


def lived(build: Build, start: int, size: float, seed: int) -> tuple[World, Memory]:
    """A world with a fault at minute `start`, and what is remembered right before it; nothing was told by then."""
    world = World(start + 60, seed)
    build(world, start, size)
    known = memory.fit(memory.nothing(), world.plan())
    assert not list(watch(known, world.bins().cut(0, start), world.plan()))
    return world, known


def told_after(build: Build, start: int, size: float, seed: int) -> float:
    """Minutes from the fault to the alert."""
    world, known = lived(build, start, size, seed)
    for _, found in watch(known, world.bins().cut(start, start + 60), world.plan()):
        if any(one.phase == "raised" for one in found):
            return (found[0].at - 15 - START) // 60 - start
    return np.inf


def said(build: Build, start: int, seed: int = 1) -> str:
    world, known = lived(build, start, 0.0, seed)
    words = young(known, world.plan(), world.table(), START + 60 * start)
    return words.get(0, "")


def share(words: str) -> float:
    """The first share that is named."""
    found = re.search(r"([0-9.]+) %", words)
    assert found is not None, words
    return float(found[1]) / 100


@pytest.mark.parametrize(
    ("build", "start", "size", "minutes"),
    [
        (ratio, 60, 0.009, 20),  # ten times as many
        (flow, 60, 0.2, 8),
        (throughput, 60, 1.0, 3),
        (throughput, DAY + 600, 1.0, 3),
        (throughput, DAY + 600, 0.5, 3),
    ],
)
def test_it_is_of_use_soon(build: Build, start: int, size: float, minutes: int) -> None:
    delays = [told_after(build, start, size, seed) for seed in range(5)]
    assert sorted(delays)[3] <= minutes, delays


@pytest.mark.parametrize(("build", "start"), [(ratio, 60), (flow, 60), (throughput, 60)])
def test_what_is_said_to_be_seen_is_seen_and_half_of_it_is_not(build: Build, start: int) -> None:
    size = share(said(build, start))
    large = min(2.0 * size, 1.0)
    assert sum(told_after(build, start, large, seed) <= 16 for seed in range(10, 15)) >= 4
    assert sum(told_after(build, start, 0.4 * size, seed) <= 15 for seed in range(10, 15)) <= 1


def test_with_its_age_a_signal_says_more() -> None:
    assert said(ratio, 60).startswith("1 h of data; sees ")
    assert share(said(ratio, 600)) < share(said(ratio, 60)) < share(said(ratio, 20))
    assert said(ratio, DAY) == ""
    assert "sees no loss yet: still learning how long it takes to come out, " in said(flow, 8)
    assert said(throughput, 3).endswith("smaller losses once it has seen a whole day")
    assert said(throughput, 3 * DAY).endswith("smaller losses once it has seen a week")
    assert said(throughput, DAY + 60).startswith("25 h of data; sees a ")
    assert said(throughput, 3 * DAY).startswith("3 days of data; sees a ")
    assert said(throughput, 7 * DAY) == ""


def test_asking_changes_nothing_of_what_is_remembered() -> None:
    world, known = lived(ratio, 60, 0.0, 1)
    before = memory.dump(known)
    young(known, world.plan(), world.table(), START + 3600)
    assert memory.dump(known) == before


def test_check_says_what_the_daemon_sees_already(tmp_path: Path) -> None:
    world, known = lived(ratio, 60, 0.0, 1)
    file = tmp_path / "s.db"
    settings = config.parse(
        "services: {it: {signals: {failing: {kind: error_ratio, errors: errors, total: requests}}}}\n"
        f"database: {file}",
        "s",
        None,
    )
    assert young_lines(settings) == []
    store = Store(file)
    store.settle_width(60)
    bins = world.bins().cut(0, 60)
    store.commit(Closing(bins, snapshot=(bins.end, dump(State(known, (), ())))), world.table())
    store.close()
    blank, head, line = young_lines(settings)
    assert (blank, head) == ("", "still young at 2022-02-28T01:00:00Z:")
    assert line.startswith("  it failing: 1 h of data; sees ")


def test_what_it_costs_to_ask_a_few_does_not_grow_with_the_many(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(100, 1)
    for i in range(40):
        requests(world, f"it-{i}", 500, 0.001)
    plan, table = world.plan(), world.table()
    known = memory.fit(memory.nothing(), plan)
    assert not list(watch(known, world.bins(), plan))
    laid: list[int] = []
    lay = blindspots.lay
    monkeypatch.setattr(
        blindspots, "lay", lambda signals, near, *more: laid.append(len(near)) or lay(signals, near, *more)
    )
    few = young(known, plan, table, START + 6000, 3)
    assert len(few) == 3
    assert all(" sees " in words for words in few.values())
    assert len(laid) == 1 + 3
    assert max(laid) == 3 * 2  # series of three services
    monkeypatch.undo()
    assert few.items() <= young(known, plan, table, START + 6000).items()


def test_who_asks_while_another_asks_hears_the_answer_before(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(30, 1)
    requests(world, "it", 500, 0.001)
    plan = world.plan()
    known = memory.fit(memory.nothing(), plan)
    assert not list(watch(known, world.bins(), plan))
    progress, within = Progress(), []
    progress.look(known, plan, world.table(), START + 1800)
    before = progress.waiting()
    assert before
    progress.look(known, plan, world.table(), START + 1860)

    def slow(*of: object) -> dict[int, str]:
        within.append(progress.waiting())
        return {}

    monkeypatch.setattr("stillwatch.progress.young", slow)
    assert progress.waiting() == {}
    assert within == [before]
