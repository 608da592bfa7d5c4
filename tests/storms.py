"""Hours in which 200 services fail at once, from a seed.

In: how they fail. Out: a world (world.py), and what is told of it. Never: a release that is not asked for.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from world import DAY, START, World, arrivals, passes_on, requests

from alerts.incidents import Event
from collector.bins import Bins
from collector.deployments import Deployment
from detectors.plan import Plan
from stillwatch.config import Settings, Slack
from stillwatch.engine import State, advance
from stillwatch.telling import Telling

FAULT = DAY + 600  # minute at which it begins
HOUR = 60
SERVICES = 200


class Hour(NamedTuple):
    """What was told, and the longest step (seconds of the processor) of those that judged one interval."""

    events: list[Event]
    longest: float


def failing(services: int = SERVICES, spread: int = 2, seed: int = 1) -> World:
    """All fail for an hour, beginning within `spread` minutes of each other, over within five: most fail requests,
    some lose what they store. Small and large: 10 to 1,000 events a minute."""
    world = World(FAULT + HOUR + 60, seed)
    for i in range(services):
        rate = float(10 ** world.random.uniform(1, 3))
        start = FAULT + int(world.random.integers(spread))
        minutes = HOUR + int(world.random.integers(6))
        name = f"service-{i:03}"
        if i % 10 < 7:
            requests(world, name, rate, 0.003, world.random.uniform(0.2, 1.0), start, minutes)
        elif i % 10 < 9:
            passes_on(world, name, rate, world.random.uniform(0.3, 0.9), start, minutes)
        else:
            arrivals(world, name, rate, world.random.uniform(0.7, 1.0), start, minutes)
    return world


def healthy(services: int = SERVICES, seed: int = 2) -> World:
    """All go well."""
    world = World(FAULT + HOUR + 60, seed)
    for i in range(services):
        requests(world, f"service-{i:03}", float(10 ** world.random.uniform(1, 3)), 0.003)
    return world


def silent(bins: Bins) -> Bins:
    """The first half of the series is measured no more for that hour."""
    values = bins.values.copy()
    values[FAULT : FAULT + HOUR, : values.shape[1] // 2] = np.nan
    return replace(bins, values=values)


def release(services: int = SERVICES) -> list[Deployment]:
    """One release of all of them, a minute before."""
    return [
        Deployment("release", START + 60 * FAULT - 60, f"service-{i:03}", "2", "1") for i in range(services)
    ]


def hour(bins: Bins, plan: Plan, deployments: Sequence[Deployment] = (), size: int = 1) -> Hour:
    """Judged in blocks of `size` intervals from shortly before it begins."""
    state, events = advance(State.empty(), bins.cut(0, FAULT - 10), deployments, plan)
    longest = 0.0
    for at in range(FAULT - 10, len(bins), size):
        began = time.process_time()
        state, news = advance(state, bins.cut(at, min(at + size, len(bins))), deployments, plan)
        longest = max(longest, time.process_time() - began)
        events += news
    return Hour(events, longest)


def messages(events: list[Event]) -> Counter[str]:
    """Posts in Slack's channel, replies, pictures, and edits (which nobody hears)."""
    telling = Telling(Settings(slack=Slack("#alerts")), lambda incident: ())
    found: Counter[str] = Counter()
    for event in events:
        for one in telling.news(event).messages:
            kind = "picture" if one.chart else "edit" if one.replaces else "reply" if one.reply_to else "post"
            found[kind] += 1
    return found
