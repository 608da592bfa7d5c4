"""Whether the errors of each instance begin when it gets a deployment: through the one step, and against chance."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
import rolling
from hypothesis import given, settings
from hypothesis import strategies as st
from world import START, World

from alerts import clues, jsonl
from alerts.incidents import Event
from alerts.packed import pack, unpack
from alerts.suspects import rank
from collector.deployments import Deployment
from detectors.findings import Finding, Instance
from detectors.instances import BEFORE, attribute, instances
from detectors.signals import Signal, Term
from stillwatch.engine import State, advance
from stillwatch.snapshot import dump, load

MINUTES, BEGUN, COUNT = 800, 600, 6  # from BEGUN on, an instance every three minutes
GOT = [BEGUN + 3 * i for i in range(COUNT)]
RELEASE = Deployment("r7", START + 60 * BEGUN - 20, "api", "2", "1")
EACH = "each of 6 instances began to fail when it got it"
TOGETHER = "instances began to fail together, whether they had it or not"
Hosts = Literal["stay", "new"]


def company(fails: list[int], hosts: Hosts, versions: bool) -> World:
    """A deployment rolls over six instances in 15 minutes; from minute `fails` on, one in twelve requests of each
    fails. hosts: do instances keep their names, or is each put in place of an old one?"""
    world = World(MINUTES, 5)
    minute = np.arange(MINUTES)
    for i in range(COUNT):
        for version, serves in (("1", minute < GOT[i]), ("2", minute >= GOT[i])):
            name = f"10.0.0.{i}:9090" if hosts == "stay" else f"api-{version}-{i}"
            share = np.where(minute >= fails[i], 0.08, 0.002)
            total = world.random.poisson(150 * serves)
            told = {"version": version} if versions else {}
            for metric, counts in (("requests", total), ("errors", world.random.binomial(total, share))):
                key_of = {"instance": name}
                if not versions and hosts == "stay" and version == "2":
                    continue
                world.add("api", metric, counts, **told, **key_of)
    both = (Term("api", "errors"),), (Term("api", "requests"),)
    world.signals.append(Signal("api", "failing", "error_ratio", *both, split_by=("instance",)))
    return world


def events_of(world: World, edges: list[int], deployments: list[Deployment]) -> list[Event]:
    bins, plan = world.bins(), world.plan()
    state, events = State.empty(), list[Event]()
    for first, last in pairwise(edges):
        state, news = advance(load(dump(state)), bins.cut(first, last), deployments, plan)
        events += news
    return events


LOOKS = [("stay", True), ("new", True), ("new", False)]


@pytest.mark.parametrize(("hosts", "versions"), LOOKS)
def test_that_each_instance_fails_from_when_it_got_it_convicts_the_deployment(
    hosts: Hosts, versions: bool
) -> None:
    events = events_of(company(GOT, hosts, versions), [0, MINUTES], [RELEASE])
    first = events[-1].incident.suspects[0]
    assert first.deployment.id == "r7"
    assert EACH in first.evidence
    assert first.probability > 0.99
    findings = tuple(replace(f, instances=()) for f in events[-1].incident.findings)
    if not versions:  # which would say the same, and count once
        assert first.probability > rank(findings, [RELEASE], 60)[0][0].probability


@pytest.mark.parametrize(("hosts", "versions"), LOOKS)
def test_that_all_fail_at_once_whether_they_had_it_or_not_speaks_for_it(hosts: Hosts, versions: bool) -> None:
    at_once = [BEGUN + 7] * COUNT
    events = events_of(company(at_once, hosts, versions), [0, MINUTES], [RELEASE])
    (first, *_), none = events[-1].incident.suspects, events[-1].incident.no_deployment
    assert TOGETHER in first.evidence
    findings = tuple(replace(f, instances=(), versions=()) for f in events[-1].incident.findings)
    assert none > rank(findings, [RELEASE], 60)[1]


def test_blocks_and_stops_change_nothing_and_what_is_known_is_kept() -> None:
    world = company(GOT, "new", False)
    whole = events_of(world, [0, MINUTES], [RELEASE])
    assert any(f.instances for f in whole[0].incident.findings)
    for edges in ([0, 601, 604, 640, MINUTES], [0, *range(BEGUN - 2, BEGUN + 40), MINUTES]):
        again = events_of(world, edges, [RELEASE])
        assert list(map(jsonl.line, again)) == list(map(jsonl.line, whole))
        assert [e.incident.findings[0].instances for e in again] == [
            e.incident.findings[0].instances for e in whole
        ]
    event = whole[-1]
    assert unpack(Event, pack(event)).incident.findings[0].instances == event.incident.findings[0].instances


def test_without_an_attribute_that_names_instances_nothing_is_known() -> None:
    assert attribute(("region", "k8s.pod.name")) == "k8s.pod.name"
    assert attribute(("region", "instances")) == ""
    world = company(GOT, "new", True)
    world.signals = [replace(world.signals[0], split_by=())]
    assert all(f.instances == () for e in events_of(world, [0, MINUTES], []) for f in e.incident.findings)


def fails(*known: Instance, versions: tuple[tuple[str, float, float], ...] = ()) -> Finding:
    term = Term("api", "x")
    signal = Signal("api", "failing", "error_ratio", (term,), (term,))
    at = START + 60 * 700
    return Finding(
        signal, "error_spike", "raised", at, START + 60 * BEGUN, START + 60 * BEGUN, START + 60 * BEGUN,
        50.0, 1.0, 49.0, 40.0, 60.0, 600.0, 30.0, instances=known, versions=versions,
    )  # fmt: skip


def test_what_was_deployed_next_is_another_deployment() -> None:
    """A rollback brings new instances, which are well; they do not speak for what was put back."""
    sick = [Instance(f"a{i}", "", START + 60 * g, START + 60 * g) for i, g in enumerate(GOT)]
    well = [Instance(f"b{i}", "", START + 60 * (650 + i), 0) for i in range(COUNT)]
    ratio = clues.instances(RELEASE, [fails(*sick, *well)], 60, START + 60 * 648)
    assert ratio == clues.instances(RELEASE, [fails(*sick)], 60, 0) > 10


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(-1, 60), st.sampled_from(["", "1", "2"])), max_size=12
    ),
    st.randoms(use_true_random=False),
)
def test_no_clue_is_beyond_what_a_zone_or_a_changed_table_could_bring_about(
    rows: list[tuple[int, int, str]], chance: object
) -> None:
    known = [
        Instance(str(i), v, START + 60 * (BEGUN + g) if g else 0, START + 60 * (BEGUN + f) if f >= 0 else 0)
        for i, (g, f, v) in enumerate(rows)
    ]
    ratio = clues.instances(RELEASE, [fails(*known)], 60, 0)
    assert 0.1 < ratio < 1 / clues.NEW_ODD
    chance.shuffle(known)  # type: ignore[attr-defined]
    assert clues.instances(RELEASE, [fails(*known)], 60, 0) == pytest.approx(ratio)
    if len({(g, f) for g, f, _ in rows}) < 2:
        assert ratio < 3  # that the fault began with the deployment is another clue


def test_who_was_hardly_asked_and_what_was_before_all_that_is_remembered_is_not_guessed_at() -> None:
    n = np.full((3, 30), 100.0)
    n[1, :20], n[2, 1:] = 0.0, 0.0  # one began at 20, one is gone since 1
    x = np.zeros((3, 30))
    x[:2, 20:] = 10.0
    names = tuple((("pod", name),) for name in "abc")
    found = instances(names, "pod", x, n, 0.001, 0.1, 20, "version", range(1000, 1030))
    assert found == (Instance("a", "", 0, 1020), Instance("b", "", 1020, 1020))
    late = instances(
        names, "pod", x[:, 20 - BEFORE + 1 :], n[:, 20 - BEFORE + 1 :], 0.001, 0.1, 4, "version", range(30)
    )
    assert [one.since for one in late] == [0, 0]


def test_the_ratio_is_worth_what_it_says_against_chance() -> None:
    """Over seeded rollouts: of those in which the fault was another's, few are taken for the deployment's; and the
    ratio is no more than how often it comes about under one as under the other."""
    guilty = [rolling.ratio(seed, guilty=True) for seed in range(150)]
    others = [rolling.ratio(seed, guilty=False) for seed in range(150)]
    assert np.mean(np.array(guilty) > 3) > 0.6
    assert np.mean(np.array(others) > 3) < 0.1
    both = np.array(guilty + others)
    share = both / (1 + both)
    truth = np.array([1.0] * len(guilty) + [0.0] * len(others))
    for low, high in ((0.0, 0.3), (0.75, 1.0)):
        inside = (share >= low) & (share <= high)
        assert inside.sum() > 50
        assert abs(share[inside].mean() - truth[inside].mean()) < 0.12
