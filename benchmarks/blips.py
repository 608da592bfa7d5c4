"""Blips at deployments, and what comes and goes: how many are told as pages, and how soon a real fault is one.

Run: script/bench blips, or with the name of one part: deployments, returning. Worlds from seeds of one service of
200 requests a minute that usually fails 0.4 %. Delay: minutes from the first failing minute to the end of the
interval that tells of it, the median and in brackets the longest. By numbers alone: as if no blip were remembered.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from world import DAY, START, World, asks, demand

from alerts.harm import severity_of
from alerts.incidents import Event
from collector.deployments import Deployment
from stillwatch.engine import State, advance

SEEDS, WEEKS = 20, 6
USUAL, TIMES, LASTS = (
    0.004,
    5,
    90,
)  # the usual share, that of a blip in parts of it, minutes of the real fault
NEAR = 10  # minutes between an onset and the fault that it is of
REAL = (0.02, 0.04, 0.1)
CYCLES = ((3, 12), (3, 25), (10, 10), (5, 40))


class Told(NamedTuple):
    """blips: that there were; told: of them; pages: of those. Of the real fault, minutes until it was told, and as
    what; infinity = never: first, a page, critical, critical by its numbers alone."""

    blips: int
    told: int
    pages: int
    delays: tuple[float, float, float, float]


def judged(world: World, shares: np.ndarray, deployments: Sequence[Deployment] = ()) -> list[Event]:
    total = world.random.poisson(demand(world, 200))
    world.add("api", "requests", total)
    world.add("api", "errors", world.random.binomial(total, shares))
    asks(world, "api", failing=("errors", "requests"))
    return advance(State.empty(), world.bins(), deployments, world.plan())[1]


def deployments(case: tuple[int, float]) -> Told:
    """Blips of two or three minutes at the deployments of five weeks; at the last one, a fault of a share."""
    seed, real = case
    world, random = World(WEEKS * 7 * DAY, seed), np.random.default_rng(1000 + seed)
    shares, known, start = np.full(world.length, USUAL), list[Deployment](), 0
    days = [day for day in range(7, WEEKS * 7) if day % 7 < 5]
    for number, day in enumerate(days, 1):
        at = day * DAY + int(random.integers(9 * 60, 17 * 60))
        moment = START + 60 * at + int(random.integers(60))
        known.append(Deployment(f"r{number}", moment, "api", str(number + 1), str(number)))
        start, lasts = at + int(random.integers(2)), int(random.integers(2, 4))
        if day == days[-1]:
            shares[start : start + LASTS] = real
        else:
            shares[start : start + lasts] = USUAL * TIMES * random.uniform(0.7, 1.3)
    events = judged(world, shares, known)
    own = [e for e in events if abs(_minute(e.incident.findings[0].onset) - start) < NEAR]
    others = [e for e in events if e not in own]
    return Told(
        len(days) - 1,
        len({e.incident.id for e in others}),
        len({e.incident.id for e in others if e.incident.severity != "info"}),
        (
            _delay(own, start),
            _delay([e for e in own if e.incident.severity != "info"], start),
            _delay([e for e in own if e.incident.severity == "critical"], start),
            _delay([e for e in own if severity_of(e.incident.findings[0]) == "critical"], start),
        ),
    )


def _minute(moment: float) -> float:
    return (moment - START) / 60


def _delay(events: Sequence[Event], start: int) -> float:
    return min((_minute(e.time) - start for e in events), default=float("inf"))


def returning(case: tuple[int, int]) -> str:
    """Six hours of a fault that lasts `on` minutes, then is gone for `off`."""
    on, off = case
    world = World(8 * DAY, 1)
    shares, faults = np.full(world.length, USUAL), 360 // (on + off)
    for i in range(faults):
        at = 7 * DAY + 600 + i * (on + off)
        shares[at : at + on] = 0.03
    events = judged(world, shares)
    told = sum(e.event == "opened" or (e.event == "updated" and e.reason == "worse") for e in events)
    return f"| {on} min, {off} min | {faults} | {told} | {len({e.incident.id for e in events})} |"


def _in_minutes(delays: Sequence[float]) -> str:
    middle = median(delays)
    return "never" if middle == float("inf") else f"{middle:.1f} min ({max(delays):.1f})"


def main() -> None:
    wanted = sys.argv[1:] or ["deployments", "returning"]
    with ProcessPoolExecutor(2) as pool:
        if "deployments" in wanted:
            print("| real fault | blips | told | pages | first told | page | critical | by numbers alone |")
            print("|---|---|---|---|---|---|---|---|")
            for real in REAL:
                told = list(pool.map(deployments, [(seed, real) for seed in range(SEEDS)]))
                counts = [str(sum(one[i] for one in told)) for i in range(3)]
                delays = [_in_minutes([one.delays[i] for one in told]) for i in range(4)]
                print(f"| {real:.0%} | {' | '.join([*counts, *delays])} |", flush=True)
        if "returning" in wanted:
            print("\n| fails for, then not for | faults | seen | incidents |\n|---|---|---|---|")
            for line in pool.map(returning, CYCLES):
                print(line, flush=True)


if __name__ == "__main__":
    main()
