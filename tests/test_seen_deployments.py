"""A fault of a version that nobody told of: the suspect is seen in the counts, and a replay sees the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from world import START, World

from alerts import jsonl
from alerts.incidents import Event
from collector.bins import Bins
from collector.deployments import Deployment
from collector.words import Word
from detectors.plan import Plan
from detectors.same_deployment import one_of_each
from detectors.signals import Signal, Term
from stillwatch.deployed_lately import deployed_lately
from stillwatch.engine import State, advance
from stillwatch.said import deployment_line
from stillwatch.snapshot import dump, load

MINUTES, BEGUN, BACK = 500, 300, 340
LATE = Deployment("r7", START + 60 * BEGUN - 20, "importer", "v2", reported=START + 60 * (BEGUN + 25))


@pytest.fixture(scope="module")
def world() -> tuple[Bins, Plan]:
    """Version 2 fails, from its first minute until it is taken back."""
    made = World(MINUTES, 5)
    new = np.zeros(MINUTES)
    new[BEGUN:BACK] = np.clip(np.arange(1, BACK - BEGUN + 1) / 5, 0, 1)
    failed, started = (Term("importer", "failed", sparse=True),), (Term("importer", "started"),)
    made.signals.append(Signal("importer", "imports", "error_ratio", failed, started))
    for version, share, bad in (("1", 1 - new, 0.003), ("2", new, 0.3)):
        count = made.random.poisson(400 * share)
        made.add("importer", "started", count, version)
        made.add("importer", "failed", made.random.binomial(count, bad), version)
    return made.bins(), made.plan()


def run(
    world: tuple[Bins, Plan], told: Sequence[Deployment], edges: Sequence[int]
) -> tuple[State, list[Event]]:
    bins, plan = world
    state, events = State.empty(), list[Event]()
    for first, last in pairwise(edges):
        block = bins.cut(first, last)
        after = int(bins.closed[first - 1]) if first else -1
        now = [d for d in told if after < d.known <= int(block.closed[-1])]
        state, news = advance(load(dump(state)), block, now, plan)
        events += news
    return state, events


def test_the_suspect_is_seen_where_nobody_told(world: tuple[Bins, Plan]) -> None:
    state, events = run(world, [], [0, MINUTES])
    opened = events[0]
    suspect = opened.incident.suspects[0]
    assert opened.event == "opened" and suspect.probability > 0.8
    assert (suspect.deployment.version, suspect.deployment.previous_version) == ("2", "1")
    assert suspect.deployment.seen and suspect.deployment.time == START + 60 * BEGUN
    assert "nobody told of it: it was seen to serve" in suspect.evidence
    assert suspect.deployment.known <= opened.time
    assert [(d.version, d.kind) for d in state.deployments] == [("2", "deploy"), ("1", "rollback")]


def test_told_late_it_is_the_same_suspect(world: tuple[Bins, Plan]) -> None:
    _, events = run(world, [LATE], [0, MINUTES])
    suspects = [event.incident.suspects[0].deployment for event in events]
    assert suspects[0].seen and not suspects[-1].seen
    assert (suspects[-1].id, suspects[-1].version) == ("r7", "2")
    probabilities = [event.incident.suspects[0].probability for event in events]
    assert min(probabilities) > 0.8  # never halved between what was seen and what was told


@pytest.mark.parametrize("minutes", [5, 30], ids=["before it is told", "after"])
@pytest.mark.parametrize("service", ["", "importer"])
def test_what_it_was_not_as_it_was_seen_it_is_not_as_it_is_told_either(
    world: tuple[Bins, Plan], service: str, minutes: int
) -> None:
    bins, plan = world
    first = run(world, [], [0, MINUTES])[1][0]
    it = first.incident.suspects[0].deployment
    said = Word(first.incident.id, "not this deployment", "anna", first.time + 60 * minutes, it.id, service)
    for told in ([], [LATE]):
        events = advance(State.empty(), bins, told, plan, words=[said])[1]
        after = [event for event in events if event.time > said.known]
        assert after and not any(event.incident.suspects for event in after)


@pytest.mark.parametrize("told", [[], [LATE], [replace(LATE, reported=0)]], ids=["seen", "late", "told"])
def test_blocks_and_stops_change_nothing(world: tuple[Bins, Plan], told: list[Deployment]) -> None:
    state, events = run(world, told, [0, MINUTES])
    lines = [jsonl.line(event) for event in events]
    assert lines
    for edges in ([0, 301, 303, 330, MINUTES], [0, *range(290, 360), MINUTES]):
        other, again = run(world, told, edges)
        assert [jsonl.line(event) for event in again] == lines
        assert one_of_each(other.deployments, 60) == one_of_each(state.deployments, 60)
        np.testing.assert_array_equal(other.serving.versions, state.serving.versions)


def test_what_was_deployed_is_listed_with_how_far_it_has_come(world: tuple[Bins, Plan]) -> None:
    bins, plan = world
    half, _ = advance(State.empty(), bins.cut(0, BEGUN + 4), [], plan)
    (one,) = deployed_lately([], half, 60, START)
    assert (one["service"], one["version"], one["previous_version"]) == ("importer", "2", "1")
    assert one["known"] == "seen" and 0.3 < one["share"] < 0.7 and one["full"] is None
    line = "2022-02-28T05:00:00Z  importer 2 after 1  deploy, seen in the counts, nobody told, serves "
    assert deployment_line(one) == f"{line}{one['share']:.0%}"
    state, _ = advance(State.empty(), bins.cut(0, BACK - 5), [LATE], plan)
    (told,) = deployed_lately([LATE], state, 60, START)
    assert (told["id"], told["version"], told["known"], told["share"]) == ("r7", "2", "told", 1.0)
    assert told["full"] is not None and told["full"] > told["time"]
    state, _ = advance(State.empty(), bins, [LATE], plan)
    back, shipped = deployed_lately([LATE], state, 60, START)
    assert (back["version"], back["kind"], back["share"]) == ("1", "rollback", 1.0)
    assert (shipped["version"], shipped["share"]) == ("2", 0.0)
    assert deployed_lately([LATE], state, 60, START + 60 * (BACK + 1)) == []
    finished = deployed_lately([replace(LATE, version="9", finished=LATE.time + 90)], half, 60, START)
    assert [one["full"] for one in finished if one["version"] == "9"] == ["2022-02-28T05:01:10Z"]


def test_a_state_of_before_loads_without_what_serves(world: tuple[Bins, Plan]) -> None:
    raw = dump(State.empty())
    assert load(raw).serving.names == ()
