"""Small worlds with services, faults and the truth, from a seed.

In: a seed and what should happen. Out: counts by minute as Bins, the signals that ask about them, and when and
how much was really lost. The counts are events that are thinned: what is lost has happened and was not stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from collector.bins import ENTERED_AGO, Bins, SeriesKey, SeriesTable
from detectors.plan import Plan, lay
from detectors.signals import Budget, Signal, Term

START = 1_646_006_400  # Monday 28 February 2022, 00:00 UTC
DAY = 1440  # minutes
GRACE = 15

Counts = NDArray[np.int64]


@dataclass
class World:
    """Series by name, the signals put to them, and what is known of the faults."""

    length: int
    seed: int
    series: dict[SeriesKey, NDArray[np.float64]] = field(default_factory=dict)
    signals: list[Signal] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def add(self, service: str, metric: str, counts: Counts, version: str = "", **attributes: str) -> None:
        key = SeriesKey(service, metric, version, tuple(sorted(attributes.items())))
        self.series[key] = np.asarray(counts, dtype=np.float64)

    def table(self) -> SeriesTable:
        return SeriesTable(self.series)

    def plan(
        self, budget: Budget | None = None, timezone: str = "UTC", holidays: Mapping[int, str] | None = None
    ) -> Plan:
        return lay(self.signals, self.table(), 60, budget or Budget(), timezone, holidays)

    def bins(self) -> Bins:
        ends = START + 60 * np.arange(1, self.length + 1, dtype=np.int64)
        values = np.stack(list(self.series.values()), axis=1)
        return Bins(START, 60, ends + GRACE, values, np.ones(self.length, dtype=np.bool_))


def demand(
    world: World,
    rate: float,
    season: float = 1.0,
    weekend: float = 0.6,
    scatter: float = 0.05,
    drift: float = 0.02,
) -> NDArray[np.float64]:
    """Expected events a minute: a day's wave, calmer weekends, fast scatter, slow drift (standard deviations)."""
    minute = np.arange(world.length)
    wave = np.exp(season * np.sin(2 * np.pi * (minute % DAY / DAY - 0.3)))
    calm = np.where((minute // DAY) % 7 >= 5, weekend, 1.0)
    slow = _autoregressive(world, drift, 2880)
    fast = _autoregressive(world, scatter, 15)
    return rate * wave * calm * np.exp(slow + fast)


def _autoregressive(world: World, sd: float, tau: float) -> NDArray[np.float64]:
    keep = np.exp(-1 / tau)
    noise = world.random.normal(0, sd * np.sqrt(1 - keep * keep), world.length)
    first = world.random.normal(0, sd) if sd else 0.0
    out, _ = lfilter([1.0], [1.0, -keep], noise, zi=np.array([keep * first]))
    return np.asarray(out)


def restless(
    world: World, rate: float, habit: str, holiday: int = -1, clocks: bool = False
) -> NDArray[np.float64]:
    """Expected events a minute of a service with its own shape, and a habit: "growth" of 1 % a day, "bursts" of
    up to an hour, new "level"s, "gamma" scatter of 14 % from minute to minute, or "plain".

    holiday: a day that is like a Sunday. clocks: local time is that of Berlin, where clocks go forward on 27 March.
    """
    random, minute = world.random, np.arange(world.length)
    local = minute + (np.where(minute >= 27 * DAY - 22 * 60, 120, 60) if clocks else 0)
    wave = np.exp(
        random.uniform(0.5, 1.5) * np.sin(2 * np.pi * (local % DAY / DAY - random.uniform(0.25, 0.35)))
    )
    weekend = random.uniform(0.4, 0.9)
    calm = np.where(((local // DAY) % 7 >= 5) | (local // DAY == holiday), weekend, 1.0)
    noise = _autoregressive(world, 0.02, 2880) + _autoregressive(world, 0.05, 15)
    usual = np.asarray(rate * wave * calm * np.exp(noise))
    if habit == "growth":
        usual *= np.exp(0.01 * minute / DAY)
    if habit == "bursts":
        for day in range(world.length // DAY):
            if random.random() < 0.6:
                start = day * DAY + random.integers(420, 1200)
                usual[start : start + random.integers(10, 60)] *= random.uniform(1.5, 5)
    if habit == "level":
        for _ in range(3):
            usual[random.integers(8 * DAY, world.length) :] *= random.choice([1.15, 1.3, 0.95])
    if habit == "gamma":
        usual *= random.gamma(50, 1 / 50, world.length)
    return usual


def between(world: World, start: int, minutes: int) -> NDArray[np.bool_]:
    """bool[length]: the minutes in which a fault lasts."""
    minute = np.arange(world.length)
    return (minute >= start) & (minute < start + minutes)


def asks(world: World, service: str, **ratios: tuple[str, str]) -> None:
    """Ask for an error ratio by name: asks(world, "importer", imports=("failed", "started"))."""
    for name, (errors, total) in ratios.items():
        world.signals.append(
            Signal(service, name, "error_ratio", (Term(service, errors),), (Term(service, total),))
        )


def requests(
    world: World,
    service: str,
    rate: float,
    share: float,
    fault: float = 0.0,
    start: int = 0,
    minutes: int = 0,
    **attributes: str,
) -> None:
    """A service that fails a share of its requests, `fault` more of them for some minutes."""
    total = world.random.poisson(demand(world, rate))
    usual = world.random.binomial(total, share)
    extra = world.random.binomial(total - usual, np.where(between(world, start, minutes), fault, 0.0))
    world.add(service, "requests", total, **attributes)
    world.add(service, "errors", usual + extra, **attributes)
    world.lost[service] = int(extra.sum())
    asks(world, service, failing=("errors", "requests"))


def arrivals(
    world: World,
    service: str,
    rate: float,
    loss: float = 0.0,
    start: int = 0,
    minutes: int = 0,
    scatter: float = 0.05,
    season: float = 1.0,
    weekend: float = 0.6,
) -> None:
    """A service whose arrivals are partly lost for some minutes; nobody counts what goes in."""
    happened = world.random.poisson(demand(world, rate, season=season, weekend=weekend, scatter=scatter))
    lost = world.random.binomial(happened, np.where(between(world, start, minutes), loss, 0.0))
    world.add(service, "stored", happened - lost)
    world.lost[service] = int(lost.sum())
    world.signals.append(Signal(service, "arriving", "throughput", (Term(service, "stored"),)))


def passes_on(
    world: World,
    service: str,
    rate: float,
    loss: float = 0.0,
    start: int = 0,
    minutes: int = 0,
    lag: float = 20.0,
) -> None:
    """A service that stores what it receives within some seconds (mean `lag`), less what it loses."""
    received = world.random.poisson(demand(world, rate))
    lost = world.random.binomial(received, np.where(between(world, start, minutes), loss, 0.0))
    kept = received - lost
    moment = np.repeat(np.arange(world.length) * 60.0, kept) + world.random.uniform(0, 60, int(kept.sum()))
    stored = np.bincount(
        ((moment + world.random.exponential(lag, len(moment))) // 60).astype(np.int64), minlength=world.length
    )[: world.length]
    world.add(service, "received", received)
    world.add(service, "stored", stored)
    world.lost[service] = int(lost.sum())
    world.signals.append(
        Signal(service, "kept", "flow", (Term(service, "stored"),), (Term(service, "received"),), within=180)
    )


def carries(
    world: World,
    service: str,
    rate: float,
    loss: float = 0.0,
    start: int = 0,
    minutes: int = 0,
    lag: tuple[float, float] = (60.0, 180.0),
    usual: float = 0.0,
    within: int = 300,
    at_the_door: bool = False,
    cohorts: bool = True,
) -> None:
    """A service that stores what it receives after `lag` (seconds, from..to, all alike), says of each when it had
    entered, and loses some: a share `usual` always, `loss` more of what comes out in some minutes (or, at the door,
    of what enters in them)."""
    random = world.random
    received = random.poisson(demand(world, rate))
    entered = np.repeat(np.arange(world.length) * 60.0, received) + random.uniform(0, 60, int(received.sum()))
    out = entered + random.uniform(*lag, len(entered))
    moment = entered if at_the_door else out
    hit = (moment >= start * 60) & (moment < (start + minutes) * 60) & (random.random(len(out)) < loss)
    kept = ~hit & (random.random(len(out)) >= usual) & (out < world.length * 60)
    minute = (out[kept] // 60).astype(np.int64)
    age = minute - (entered[kept] // 60).astype(np.int64)
    world.add(service, "received", received)
    if not cohorts:
        world.add(service, "stored", np.bincount(minute, minlength=world.length))
    for old in np.unique(age).tolist() if cohorts else ():
        counts = np.bincount(minute[age == old], minlength=world.length)
        world.add(service, "stored", counts, **{ENTERED_AGO: str(old)})
    world.lost[service] = int(hit.sum())
    world.signals.append(
        Signal(service, "kept", "flow", (Term(service, "stored"),), (Term(service, "received"),), within)
    )
