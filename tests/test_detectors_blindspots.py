"""Blind spots are what simulation shows: a fault twice as large is seen in time, one of half the size is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from world import DAY, START, World, arrivals, passes_on, requests

from collector import dataset
from collector.bins import Bins
from detectors import memory
from detectors.blindspots import Blindspot, blindspots
from detectors.plan import lay
from detectors.signals import Budget
from detectors.watch import watch
from stillwatch.cli import _run
from stillwatch.store import Closing, Store

HOUR = 15 * DAY + 9 * 60  # minute at which faults begin


def spots(world: World) -> dict[tuple[str, int], Blindspot]:
    plan, bins = world.plan(), world.bins().cut(0, 15 * DAY)
    known = memory.fit(memory.nothing(), plan)
    for _ in watch(known, bins, plan):
        pass
    before = b"".join(memory.dump(known))
    found = blindspots(known, plan, world.table(), bins, (300, 900, 3600))
    assert b"".join(memory.dump(known)) == before
    return {(one.service, (one.start - START) // 60): one for one in found}


def told_after(world: World, service: str) -> float:
    """Minutes from HOUR to the alert."""
    plan = world.plan()
    known = memory.fit(memory.nothing(), plan)
    for _, found in watch(known, world.bins(), plan):
        for one in found:
            at = (one.at - 15 - START) // 60 - HOUR
            if one.phase == "raised" and one.signal.service == service and at > 0:
                return at
    return np.inf


def made(seed: int, rise: float = 0.0, loss: float = 0.0, kept: float = 0.0) -> World:
    world = World(15 * DAY + 11 * 60, seed)
    requests(world, "api", 200, 0.005, rise, HOUR, 90)
    arrivals(world, "forms", 500, loss, HOUR, 90)
    arrivals(world, "pages", 500)
    passes_on(world, "parser", 200, kept, HOUR, 90)
    return world


@pytest.mark.slow
def test_blindspots_are_what_simulation_shows() -> None:
    found = spots(made(1))
    api, forms, parser = (found[name, HOUR] for name in ("api", "forms", "parser"))
    assert all(one.smallest[0] is not None and one.smallest[1] is not None for one in (api, forms, parser))
    rise, loss, kept = api.smallest[1] - api.usual, forms.smallest[1], parser.smallest[1]  # type: ignore[operator]
    assert loss is not None
    assert kept is not None
    large = [made(10 + seed, 1.8 * rise, 1.6 * loss, 1.8 * kept) for seed in range(5)]
    small = [made(10 + seed, 0.4 * rise, 0.4 * loss, 0.3 * kept) for seed in range(5)]
    for service in ("api", "forms", "parser"):
        seen = [told_after(world, service) <= 16 for world in large]
        assert sum(seen) >= 4, service
        seen = [told_after(world, service) <= 15 for world in small]
        assert sum(seen) <= 1, service


def test_more_time_and_more_traffic_show_smaller_faults() -> None:
    found = spots(made(2))
    for one in found.values():
        sizes = [1.1 if size is None else size for size in one.smallest]
        assert sizes == sorted(sizes, reverse=True)
    night, noon = found["api", 15 * DAY + 60], found["api", 15 * DAY + 13 * 60]
    assert noon.smallest[1] < night.smallest[1]  # type: ignore[operator]


def test_the_command_names_what_would_be_seen_and_what_still_learns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(2 * DAY, 3)
    requests(world, "api", 200, 0.005)
    arrivals(world, "forms", 500)
    dataset.write(tmp_path / "d", world.table(), world.bins(), [])
    (tmp_path / "d" / "stillwatch.yaml").write_text(
        "services:\n"
        "  api: {signals: {failing: {kind: error_ratio, errors: errors, total: requests}}}\n"
        "  forms: {signals: {arriving: {kind: throughput, count: stored}}}\n"
    )
    assert _run(["blindspots", "--dataset", str(tmp_path / "d")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in said[1:3]] == [["api", "failing"]] * 2
    assert [line.split()[:2] for line in said[3:5]] == [["forms", "arriving"]] * 2
    assert said[5].startswith("forms arriving: 2 days of data; sees a loss of ")
    assert said[5].endswith(" within 15 min; smaller losses once it has seen a week")
    assert _run(["blindspots", "--dataset", str(tmp_path / "d"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["hours"]) == 48
    assert told["within"] == [300, 900, 3600]


def test_where_nothing_is_watched_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(60, 3)
    world.add("api", "temperature", np.full(60, 20))
    dataset.write(tmp_path / "d", world.table(), world.bins(), [])
    (tmp_path / "d" / "stillwatch.yaml").write_text(
        "services: {api: {signals: {side: {kind: rollout, errors: errors, total: requests}}}}\n"
    )
    assert _run(["blindspots", "--dataset", str(tmp_path / "d")]) == 0
    assert "nothing is watched" in capsys.readouterr().out


def test_an_interval_longer_than_the_time_allowed_can_tell_nothing_in_time() -> None:
    world = World(60 * 24 * 10, 4)
    requests(world, "api", 200, 0.005)
    hourly = World(24 * 10, 4)
    for key, counts in world.series.items():
        hourly.add(key.service, key.metric, counts.reshape(-1, 60).sum(axis=1))
    ends = START + 3600 * np.arange(1, hourly.length + 1, dtype=np.int64)
    values = np.stack(list(hourly.series.values()), axis=1)
    bins = Bins(START, 3600, ends + 15, values, np.ones(hourly.length, dtype=np.bool_))
    plan = lay(world.signals, hourly.table(), 3600, Budget(), "UTC")
    known = memory.fit(memory.nothing(), plan)
    for _ in watch(known, bins, plan):
        pass
    for one in blindspots(known, plan, hourly.table(), bins, (300, 6 * 3600)):
        assert one.smallest[0] is None
        assert one.smallest[1] is not None


def test_recorded_counts_are_judged_in_the_intervals_in_which_they_were_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(90, 5)
    requests(world, "api", 200, 0.005)
    store = Store(tmp_path / "s.db")
    store.settle_width(60)
    store.commit(Closing(world.bins()), world.table())
    store.close()
    (tmp_path / "c.yaml").write_text(f"interval: 30s\ndatabase: {tmp_path / 's.db'}\n")
    assert _run(["blindspots", "--config", str(tmp_path / "c.yaml")]) == 0
    assert "api errors: 1 h 30 min of data; sees " in capsys.readouterr().out
