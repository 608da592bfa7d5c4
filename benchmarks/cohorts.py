"""How soon a flow tells a loss with and without cohorts, beside a CUSUM that knows all but the moment.

Run: script/bench cohorts, or with the name of one part: delays, quiet. Worlds from seeds of services that pass on
what they receive after 1 to 3 minutes and usually lose 0.1 %. Delay: minutes from the first lost event to the end
of the interval that tells of it. At the door: what enters is lost. On the way: what would come out is.
"""

from __future__ import annotations

import math
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from world import DAY, START, World, demand

from collector.bins import ENTERED_AGO
from detectors.memory import empty
from detectors.signals import Budget, Signal, Term
from detectors.watch import watch

Floats = NDArray[np.float64]
SERVICES, FAULTY = 20, 240  # services in a world, minutes of a fault
USUAL, AGES = 0.001, 16
WEEK = 7 * DAY
RATES, LOSSES = (50, 500, 5000), (0.005, 0.01, 0.02, 0.05, 0.2)
PER_SERVICE = Budget(float(SERVICES), 7 * 86400)  # one false alert per service and week


@dataclass(frozen=True)
class Lag:
    """A lag in minutes: uniform from `low` to `high`, or log-normal around `low` with a spread in logs, whose
    middle wanders by `wanders` (a standard deviation, in logs) within the hour."""

    low: float
    high: float = 0.0
    spread: float = 0.0
    wanders: float = 0.0


EVEN = Lag(1.0, 3.0)


def by_age(world: World, lag: Lag) -> Floats:
    """float64[minutes, AGES]: the share that comes out at each age, of all that entered in a minute."""
    from scipy.stats import lognorm

    entry = (np.arange(40) + 0.5) / 40
    edges = np.arange(1, AGES + 1)[:, None] - entry
    if not lag.spread:
        reached = np.clip((edges - lag.low) / (lag.high - lag.low), 0, 1).mean(axis=1)
        return np.tile(np.diff(reached, prepend=0.0), (world.length, 1))
    middle = np.ones(world.length)
    if lag.wanders:
        noise = world.random.normal(0, 1, world.length)
        window = np.ones(30) / math.sqrt(30)
        middle = np.exp(lag.wanders * np.convolve(noise, window)[: world.length])
    scaled = edges[None] / (lag.low * middle[:, None, None])
    return np.diff(lognorm.cdf(scaled, lag.spread).mean(axis=2), prepend=0.0, axis=1)


def flow(
    world: World, name: str, rate: float, lost: float, start: int, at_the_door: bool, lag: Lag, usual: float
) -> Floats:
    """Add a service whose sender says when its events entered; float64[minutes]: what is lost of each cohort."""
    random, minute = world.random, np.arange(world.length)
    received = random.poisson(demand(world, rate, season=0.5))
    ages = random.multinomial(received, np.append(by_age(world, lag), np.zeros((world.length, 1)), axis=1))
    missing = received - ages.sum(axis=1)
    world.add(name, "received", received)
    for age in range(AGES):
        when = minute if at_the_door else minute + age
        share = np.where((when >= start) & (when < start + FAULTY), lost, 0.0)
        kept = random.binomial(ages[:, age], (1.0 - share) * (1.0 - usual))
        missing += ages[:, age] - kept
        out = np.zeros(world.length)
        out[age:] = kept[: world.length - age]
        world.add(name, "stored", out, **{ENTERED_AGO: str(age)})
    counted = (Term(name, "stored"),)
    world.signals.append(Signal(name, "kept", "flow", counted, (Term(name, "received"),), within=300))
    return np.asarray(missing, dtype=np.float64)


def plain(world: World) -> World:
    """The same world without a word of when anything entered."""
    other = World(world.length, world.seed, signals=world.signals)
    for key, counts in world.series.items():
        bare = key._replace(attributes=key.ageless)
        other.series[bare] = other.series.get(bare, 0.0) + counts
    return other


def raised(world: World, budget: Budget = PER_SERVICE) -> dict[str, list[int]]:
    """By service, the minutes in which it was told of."""
    plan = world.plan(budget)
    told: dict[str, list[int]] = {signal.service: [] for signal in world.signals}
    for _, findings in watch(empty(plan), world.bins(), plan):
        for finding in findings:
            if finding.phase == "raised":
                told[finding.signal.service].append((finding.at - 15 - START) // 60)
    return told


def cusum(world: World, lost: float, missing: dict[str, Floats]) -> dict[str, list[int]]:
    """When a CUSUM over whole cohorts tells, that knows both shares; its threshold is the log of a week."""
    told: dict[str, list[int]] = {}
    usual, faulty = USUAL, USUAL + lost - USUAL * lost
    for key, n in world.series.items():
        if key.metric != "received":
            continue
        x = missing[key.service]
        gains = x * math.log(faulty / usual) + (n - x) * math.log((1.0 - faulty) / (1.0 - usual))
        sums = np.cumsum(gains)
        high = sums - np.minimum(np.minimum.accumulate(sums), 0.0) >= math.log(WEEK)
        told[key.service] = [int(t) + 4 for t in np.flatnonzero(high)]  # whole at the end of age 3
    return told


def delays(rate: float, lost: float) -> str:
    """A line of the table."""
    cells = []
    for at_the_door in (True, False):
        world = World(3 * DAY, int(rate * 1000 + lost * 1000))
        starts = {f"s{i}": 2 * DAY + 45 * i for i in range(SERVICES)}
        missing = {
            name: flow(world, name, rate, lost, start, at_the_door, EVEN, USUAL)
            for name, start in starts.items()
        }
        ways = [raised(plain(world)), raised(world)]
        if at_the_door:
            ways.append(cusum(world, lost, missing))
        for told in ways:
            took = sorted(
                min((t - start for t in told[name] if start < t <= start + FAULTY), default=math.inf)
                for name, start in starts.items()
            )
            cells.append(f"{_minutes(took[SERVICES // 2])} ({_minutes(took[SERVICES * 9 // 10])})")
    door_plain, door, best, way_plain, way = cells
    return f"| {rate:,} | {lost:.1%} | {door_plain} | {door} | {best} | {way_plain} | {way} |"


def _minutes(took: float) -> str:
    return f"{took:.0f}" if took < math.inf else "-"


QUIET = (
    ("1 to 3 minutes", EVEN),
    ("around 20 seconds", Lag(1 / 3, spread=0.8)),
    ("around 20 seconds, wandering by 30 %", Lag(1 / 3, spread=0.8, wanders=0.3)),
)


def quiet(case: tuple[float, float, int, int]) -> str:
    """False alerts in two quiet weeks of all services. case: rate, usual share lost, number of the lag, a seed."""
    rate, usual, number, seed = case
    world = World(2 * WEEK, 7000 + seed)
    for i in range(SERVICES):
        flow(world, f"s{i}", rate, 0.0, 0, True, QUIET[number][1], usual)
    counts = [sum(map(len, raised(w).values())) for w in (plain(world), world)]
    weeks = 2 * SERVICES
    return f"| {rate:,} | {usual:.1%} | {QUIET[number][0]} | {counts[0]} | {counts[1]} | {weeks} |"


def main() -> None:
    wanted = sys.argv[1:] or ["delays", "quiet"]
    with ProcessPoolExecutor(2) as pool:
        if "delays" in wanted:
            print("| a minute | loss | at the door: plain | cohorts | CUSUM | on the way: plain | cohorts |")
            print("|---|---|---|---|---|---|---|")
            cases = [(rate, lost) for rate in RATES for lost in LOSSES]
            for line in pool.map(delays, *zip(*cases, strict=True)):
                print(line, flush=True)
        if "quiet" in wanted:
            print(
                "\n| a minute | usually lost | lag | plain | cohorts | allowed |\n|---|---|---|---|---|---|"
            )
            grid = [(r, u, k, 1) for r in (50, 500) for u in (0.0, 0.001) for k in range(len(QUIET))]
            for line in pool.map(quiet, grid):
                print(line, flush=True)


if __name__ == "__main__":
    main()
