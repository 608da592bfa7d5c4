"""How soon faults are told, how many are missed, and how often nothing is told of: over worlds from seeds.

Run: script/bench delays [WORLDS]. Each case is one service alone in a world, quiet for some time, then faulty
for six hours. A false alarm is an incident that opened before the fault; "a week" counts the quiet weeks of all
worlds of the case. Delay: from the start of the fault to the event that tells of it, in minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from world import DAY, START, World, arrivals, passes_on, requests

from stillwatch.engine import State, advance

FAULTY = 360  # minutes
Maker = Callable[[World, int], None]  # a world, and the minute at which the fault starts


class Case(NamedTuple):
    """quiet: minutes before the fault."""

    name: str
    quiet: int
    make: Maker


def errors(rate: float, share: float, more: float) -> Maker:
    return lambda world, start: requests(world, "one", rate, share, more, start, FAULTY)


def loss(rate: float, lost: float) -> Maker:
    return lambda world, start: arrivals(world, "one", rate, lost, start, FAULTY)


def kept(rate: float, lost: float, lag: float = 20.0) -> Maker:
    return lambda world, start: passes_on(world, "one", rate, lost, start, FAULTY, lag)


CASES = (
    Case("errors 0.1 -> 0.3 %, 100 a minute", 14 * DAY, errors(100, 0.001, 0.002)),
    Case("errors 0.1 -> 1 %, 10 a minute", 14 * DAY, errors(10, 0.001, 0.009)),
    Case("errors 1 -> 3 %, 1,000 a minute", 14 * DAY, errors(1000, 0.01, 0.02)),
    Case("errors 0.2 -> 10 %, 100 a minute, after 20 minutes", 20, errors(100, 0.002, 0.1)),
    Case("20 % of 1,000 a minute do not come", 14 * DAY, loss(1000, 0.2)),
    Case("nothing of 10 a minute comes", 14 * DAY, loss(10, 1.0)),
    Case("a flow of 100 a minute loses 5 %", 14 * DAY, kept(100, 0.05)),
    Case("a flow of 1,000 a minute loses 2 %", 14 * DAY, kept(1000, 0.02)),
    Case("a flow of 10 a minute loses 20 %", 14 * DAY, kept(10, 0.2)),
    Case("a flow of 300 a minute loses 10 %, after 18 minutes", 18, kept(300, 0.1, 5.0)),
    Case("a flow of 300 a minute loses 10 %, after 60 minutes", 60, kept(300, 0.1)),
)


def played(number: int, seed: int) -> tuple[int, float]:
    """(false alarms, minutes until it was told, or nan) of one world."""
    case = CASES[number]
    # Faults begin at any hour of the week, where there is time.
    quiet = case.quiet + (seed * 3793 % (7 * DAY) if case.quiet >= DAY else 0)
    world = World(quiet + FAULTY, 1000 * number + seed)
    case.make(world, quiet)
    began = START + 60 * quiet
    opened = [
        e.time for e in advance(State.empty(), world.bins(), [], world.plan())[1] if e.event == "opened"
    ]
    after = [moment for moment in opened if moment >= began]
    return sum(moment < began for moment in opened), (after[0] - began) / 60 if after else float("nan")


def main() -> None:
    worlds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    chosen = [i for i, c in enumerate(CASES) if not sys.argv[2:] or any(w in c.name for w in sys.argv[2:])]
    print(f"{'':55}{'median':>8}{'longest':>9}{'missed':>8}{'false a week':>14}")
    with ProcessPoolExecutor(2) as pool:
        for i in chosen:
            results = list(pool.map(played, [i] * worlds, range(worlds)))
            delays = sorted(delay for _, delay in results if delay == delay)
            weeks = worlds * CASES[i].quiet / DAY / 7
            print(
                f"{CASES[i].name:55}{median(delays) if delays else float('nan'):8.1f}"
                f"{delays[-1] if delays else float('nan'):9.1f}{worlds - len(delays):8}"
                f"{sum(false for false, _ in results):7} / {weeks:4.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
