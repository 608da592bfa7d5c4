"""Fleets: a service's instances, which version each of them runs, and the deployments that change it.

In: deployments, and when each instance was replaced. Out: counts split by version; who was alive when.
Never: what a version does to the events that it serves (services.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
from hours import DAY, Counts, Span
from numpy.typing import NDArray


@dataclass(frozen=True)
class Deployed:
    """A row of deployments.csv; time in epoch seconds."""

    time: int
    id: str
    service: str
    version: str
    previous_version: str
    author: str
    kind: str = "deploy"
    description: str = ""
    revision: str = ""
    environment: str = "production"

    @property
    def url(self) -> str:
        return f"https://deploys.example/{self.id}"


@dataclass(frozen=True)
class Change:
    """From one version to the next, instance by instance; switches: epoch seconds, one an instance."""

    version: str
    switches: tuple[int, ...]


@dataclass
class Fleet:
    """The instances of one service. Changes are in order of time and don't overlap."""

    service: str
    instances: int
    version: str  # at the beginning
    changes: list[Change] = field(default_factory=list)

    @property
    def latest(self) -> str:
        """The version after the last change so far."""
        return self.changes[-1].version if self.changes else self.version

    def versions(self) -> list[str]:
        """Every version that ever served, each once, in order of appearance."""
        return list(dict.fromkeys([self.version, *(change.version for change in self.changes)]))

    def split(self, rng: np.random.Generator, first: int, counts: Counts) -> dict[str, Counts]:
        """Events by the second (index 0 = epoch second `first`) -> the same by version that served them."""
        served = {version: np.zeros_like(counts) for version in self.versions()}
        now, done = self.version, 0
        for change in self.changes:
            begin, end = change.switches[0] - first, change.switches[-1] - first
            served[now][done:begin] += counts[done:begin]
            share = replaced(change, np.arange(first + begin, first + end))
            new = rng.binomial(counts[begin:end], share)
            served[change.version][begin:end] += new
            served[now][begin:end] += counts[begin:end] - new
            now, done = change.version, end
        served[now][done:] += counts[done:]
        return served

    def serving(self, rng: np.random.Generator, times: Counts) -> NDArray[np.str_]:
        """The version of the instance that each of the events at `times` (epoch seconds) fell to."""
        versions = np.full(len(times), self.version, dtype="U32")
        for change in self.changes:
            versions[rng.random(len(times)) < replaced(change, times)] = change.version
        return versions

    def alive(self, first: int, minutes: int) -> dict[str, NDArray[np.bool_]]:
        """bool[minutes] a version: did at least one instance of it report in that minute."""
        reporting = {version: np.zeros(minutes, dtype=bool) for version in self.versions()}
        since, now = 0, self.version
        for change in self.changes:
            reporting[now][since : (change.switches[-1] - first) // 60 + 1] = True
            now, since = change.version, (change.switches[0] - first) // 60
        reporting[now][since:] = True
        return reporting


def replaced(change: Change, times: Counts) -> NDArray[np.float64]:
    """The share of instances that run the new version at `times` (epoch seconds)."""
    return np.searchsorted(np.array(change.switches), times, side="right") / len(change.switches)


def rolling(rng: np.random.Generator, fleet: Fleet, deployed: Deployed) -> Change:
    """One instance after the other: a minute or two until the first serves, half a minute for each more."""
    begin = deployed.time + int(rng.integers(50, 130))
    steps = np.cumsum(rng.integers(22, 48, fleet.instances))
    return Change(deployed.version, tuple(int(begin + step - steps[0]) for step in steps))


def everyday(
    rng: np.random.Generator, span: Span, fleet: Fleet, team: str, *, per_week: float, until: int
) -> list[Deployed]:
    """A team's usual deployments in working hours, before epoch second `until`; rolls the fleet along.

    At most one a day: rollings never overlap. Two in ten are configuration or flags: no new version.
    """
    zone = ZoneInfo(span.timezone)
    rows: list[Deployed] = []
    for midnight in range(span.shown, until, DAY):
        local = datetime.fromtimestamp(midnight + DAY // 2, zone)
        chance, hour, minute = rng.random(), rng.integers(9, 17), rng.integers(0, 60)
        kind = str(rng.choice(["deploy", "config", "flag"], p=[0.8, 0.12, 0.08]))
        revision = rng.bytes(20).hex()
        if local.weekday() >= 5 or local.date() in span.holidays or chance >= per_week / 5:
            continue
        at = int(local.replace(hour=int(hour), minute=int(minute), second=0).timestamp())
        if not span.shown < at < until - 1800:
            continue
        rows.append(_everyday_row(rng, fleet, team, at, kind, revision))
        if kind == "deploy":
            fleet.changes.append(rolling(rng, fleet, rows[-1]))
    return rows


def _everyday_row(
    rng: np.random.Generator, fleet: Fleet, team: str, at: int, kind: str, revision: str
) -> Deployed:
    now = fleet.latest
    big, small, patch = (int(part) for part in now.split("."))
    fix = rng.random() < 0.3
    after = now if kind != "deploy" else f"{big}.{small}.{patch + 1}" if fix else f"{big}.{small + 1}.0"
    words = {"deploy": "routine release", "config": "changed settings", "flag": "switched a feature flag"}[
        kind
    ]
    day = datetime.fromtimestamp(at, UTC).strftime("%Y%m%d-%H%M")
    return Deployed(at, f"{fleet.service}-{day}", fleet.service, after, now, team, kind, words, revision)
