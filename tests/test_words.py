"""What people say of an incident changes what follows, the same in whatever blocks it is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from world import DAY, START, World, arrivals, asks, passes_on, requests

from alerts import jsonl
from alerts.incidents import Event
from alerts.packed import pack
from collector.bins import Bins
from collector.deployments import Deployment
from collector.words import Word, WordKind
from detectors.plan import Plan
from detectors.signals import Signal, Term
from stillwatch.engine import State, advance
from stillwatch.snapshot import dump, load

FAULT = DAY + 600  # minute at which it begins
LASTS = 600
FOUR = Deployment("r4", START + 60 * FAULT - 90, "importer", "4", "3")
FIVE = Deployment("r5", START + 60 * FAULT - 200, "importer", "5", "4")


def judged(
    world: World, words: Sequence[Word] = (), deployments: Sequence[Deployment] = (), size: int = 0
) -> list[Event]:
    bins, plan = world.bins(), world.plan()
    if not size:
        return advance(State.empty(), bins, deployments, plan, words=words)[1]
    state, events = State.empty(), list[Event]()
    for at in range(0, len(bins), size):
        block = bins.cut(at, min(at + size, len(bins)))
        said = [w for w in words if _of(block, w, at, bins)]
        state, news = advance(load(dump(state)), block, deployments, plan, words=said)
        events += news
    return events


def _of(block: Bins, word: Word, at: int, bins: Bins) -> bool:
    before = int(bins.closed[at - 1]) if at else -1
    return before < word.known <= int(block.closed[-1])


def opened(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.event == "opened"]


def word(event: Event, kind: WordKind, later: int = 300, who: str = "anna", **more: str) -> Word:
    return Word(event.incident.id, kind, who, event.time + later, **more)


# Not a problem.


def failing(world: World) -> None:
    requests(world, "importer", 100, 0.002, fault=0.2, start=FAULT, minutes=LASTS)


def losing(world: World) -> None:
    arrivals(world, "importer", 200, loss=0.6, start=FAULT, minutes=LASTS)


def leaking(world: World) -> None:
    passes_on(world, "importer", 200, loss=0.3, start=FAULT, minutes=LASTS)


def silent(world: World) -> None:
    arrivals(world, "importer", 200)
    for key in world.series:
        world.series[key][FAULT : FAULT + LASTS] = np.nan


def beside(world: World) -> None:
    """A new version that fails more than the old one beside it."""
    for version, fails in (("1", 0.01), ("2", 0.2)):
        served = world.random.poisson(100, world.length)
        world.add("importer", "requests", served, version)
        world.add("importer", "errors", world.random.binomial(served, fails), version)
    for key in world.series:
        if key.version == "2":
            world.series[key][:FAULT] = np.nan
            world.series[key][FAULT + LASTS :] = np.nan
    requested, errors = Term("importer", "requests"), Term("importer", "errors")
    world.signals.append(Signal("importer", "both", "rollout", (errors,), (requested,)))


CASES = [failing, losing, leaking, silent, beside]


def made(case: Callable[[World], None], days: int = 3) -> World:
    world = World(days * DAY, 11)
    case(world)
    return world


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_problem_is_closed_and_becomes_the_usual(case: Callable[[World], None]) -> None:
    world = made(case)
    [first, *_] = opened(judged(world))
    said = word(first, "not a problem")
    events = judged(world, [said])
    closed = next(event for event in events if event.event == "resolved")
    assert (closed.reason, closed.incident.closed_by) == ("operator", "anna")
    assert 0 <= closed.time - said.known < 60, "with the next interval"
    during = [e for e in opened(events) if first.time < e.time <= START + 60 * (FAULT + LASTS)]
    assert during == [], "the same is not told again while it goes on"
    assert jsonl.read(jsonl.line(closed))["reason"] == "operator"


def test_what_is_worse_than_what_was_no_problem_is_told() -> None:
    world = made(failing)
    [first, *_] = opened(judged(world))
    errors, total = (next(k for k in world.series if k.metric == m) for m in ("errors", "requests"))
    later = slice(FAULT + 120, FAULT + LASTS)
    world.series[errors][later] = np.floor(world.series[total][later] * 0.6)
    again = opened(judged(world, [word(first, "not a problem")]))[1:]
    assert [(e.time - START) // 60 - FAULT in range(120, 135) for e in again[:1]] == [True]
    finding = again[0].incident.findings[0]
    assert 0.15 < finding.expected / finding.out_of < 0.25, "against the new usual"


def test_a_slice_of_what_is_no_problem_is_not_told_in_its_place() -> None:
    world = World(2 * DAY, 5)
    for path, fault in (("a", 0.2), ("b", 0.0), ("c", 0.04)):
        total = world.random.poisson(60, world.length)
        bad = np.where(np.arange(world.length) >= FAULT, fault, 0.0)
        world.add("importer", "requests", total, path=path)
        world.add("importer", "errors", world.random.binomial(total, 0.002 + bad), path=path)
    asks(world, "importer", failing=("errors", "requests"))
    world.signals[0] = replace(world.signals[0], split_by=("path",))
    [first, *_] = opened(judged(world))
    events = judged(world, [word(first, "not a problem")])
    assert len(opened(events)) == 1


def once_more(kind: str, again: int, lasts: int = 60) -> World:
    """A fault for an hour (or `lasts` minutes), and a smaller one `again` minutes after its end."""
    world = World(2 * DAY + 600 + lasts, 11)
    minute, came = np.arange(world.length), world.random.poisson(150, world.length)
    second = FAULT + lasts + again
    bad = np.where((minute >= FAULT) & (minute < FAULT + lasts), 0.3, 0.0)
    bad = np.where((minute >= second) & (minute < second + 120), 0.05, bad)
    if kind == "flow":
        world.add("importer", "received", came)
        world.add("importer", "stored", came - world.random.binomial(came, bad))
        out, into = (Term("importer", "stored"),), (Term("importer", "received"),)
        world.signals.append(Signal("importer", "kept", "flow", out, into, within=180))
    else:
        world.add("importer", "requests", came)
        world.add("importer", "errors", world.random.binomial(came, 0.002 + bad))
        asks(world, "importer", failing=("errors", "requests"))
    return world


@pytest.mark.parametrize("kind", ["error_ratio", "flow"])
def test_once_it_is_as_before_for_an_hour_the_next_fault_is_seen_as_ever(kind: str) -> None:
    world = once_more(kind, again=70)
    [first, *_] = opened(judged(world))
    said = [word(first, "not a problem")]
    _, again = opened(judged(world, said))
    assert 0 < (again.time - START) // 60 - (FAULT + 130) <= 15
    assert [pack(e) for e in judged(world, said, size=731)] == [pack(e) for e in judged(world, said)]


@pytest.mark.parametrize("levels", [(0.05, 0.4), (0.2, 0.5)])
def test_what_was_no_problem_twice_is_forgotten_as_one_when_it_is_over(levels: tuple[float, float]) -> None:
    """What was believed between the two is no more the usual than the worse of them."""
    world = World(2 * DAY + 600, 11)
    minute, came = np.arange(world.length), world.random.poisson(150, world.length)
    over = FAULT + 240
    bad = np.where((minute >= FAULT) & (minute < FAULT + 120), levels[0], 0.0)
    bad = np.where((minute >= FAULT + 120) & (minute < over), levels[1], bad)
    bad = np.where(minute >= over + 100, levels[0], bad)
    world.add("importer", "requests", came)
    world.add("importer", "errors", world.random.binomial(came, 0.002 + bad))
    asks(world, "importer", failing=("errors", "requests"))
    said = [word(opened(judged(world))[0], "not a problem")]
    said.append(word(opened(judged(world, said))[1], "not a problem"))
    again = opened(judged(world, said))[2:]
    assert [0 < (e.time - START) // 60 - (over + 100) <= 15 for e in again[:1]] == [True]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["error_ratio", "flow"])
def test_after_what_lasted_for_so_long_that_it_was_taken_for_usual_the_next_fault_is_seen_as_ever(
    kind: str,
) -> None:
    """A flow was deaf, then: the end of the fault had taught it how much its sums scatter."""
    world = once_more(kind, again=120, lasts=DAY + 400)
    events = judged(world)
    assert next(e.reason for e in events if e.event == "resolved") == "expired"
    _, again = opened(events)
    assert 0 < (again.time - START) // 60 - (FAULT + DAY + 400 + 120) <= 15
    assert [pack(e) for e in judged(world, size=731)] == [pack(e) for e in events]


# Not this deployment.


def test_what_it_was_not_is_suspected_no_more() -> None:
    world = made(failing, days=2)
    [first] = opened(judged(world, deployments=[FOUR, FIVE]))
    likeliest = first.incident.suspects[0].deployment
    assert {s.deployment.id for s in first.incident.suspects} == {"r4", "r5"}
    other = FIVE if likeliest == FOUR else FOUR
    said = word(first, "not this deployment", deployment=likeliest.id)
    events = judged(world, [said], [FOUR, FIVE])
    [anew] = [e for e in events if e.reason == "suspect"]
    assert 0 <= anew.time - said.known < 60
    for event in events:
        if event.number >= anew.number:
            assert [s.deployment for s in event.incident.suspects] == [other]
            total = sum(s.probability for s in event.incident.suspects) + event.incident.no_deployment
            assert total == pytest.approx(1.0)


def test_one_member_that_it_was_not_leaves_the_others_suspected() -> None:
    world = made(failing, days=2)
    twin = replace(FOUR, service="mail-sender")
    [first] = opened(judged(world, deployments=[FOUR, twin]))
    said = word(first, "not this deployment", deployment="r4", service="importer")
    last = judged(world, [said], [FOUR, twin])[-1]
    assert FOUR not in [s.deployment for s in last.incident.suspects]
    assert last.incident.excluded == (("r4", "importer"),)


def test_what_is_not_suspected_changes_no_news() -> None:
    world = made(failing, days=2)
    before = judged(world, deployments=[FOUR])
    said = word(opened(before)[0], "not this deployment", deployment="r9")
    after = judged(world, [said], [FOUR])
    assert [jsonl.line(e) for e in after] == [jsonl.line(e) for e in before]


# Acknowledge.


def test_who_has_taken_it_on_is_kept_and_is_no_news() -> None:
    world = made(failing, days=2)
    before = judged(world)
    first = opened(before)[0]
    after = judged(world, [word(first, "acknowledge"), word(first, "acknowledge", 400, "ben")])
    assert [jsonl.line(e) for e in after] == [jsonl.line(e) for e in before]
    assert {e.incident.acknowledged for e in after if e.time > first.time + 360} == {"anna"}
    assert first.incident.acknowledged == ""


# All of them.


def test_what_is_said_of_an_incident_that_is_over_or_unknown_changes_nothing() -> None:
    world = made(failing, days=2)
    before = judged(world)
    over = before[-1]
    assert over.event == "resolved"
    late = [word(over, kind, 60) for kind in ("acknowledge", "not a problem", "not this deployment")]  # type: ignore[arg-type]
    strange = [replace(one, incident="nothing") for one in late]
    assert [pack(e) for e in judged(world, [*late, *strange])] == [pack(e) for e in before]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_size_of_blocks_and_stops_in_between_change_nothing(seed: int) -> None:
    world = made(failing, days=2)
    passes_on(world, "parser", 200, loss=0.3, start=FAULT + 60, minutes=200)
    [first, *_] = opened(judged(world, deployments=[FOUR, FIVE]))
    random = np.random.default_rng(seed)
    words = [
        word(first, "acknowledge", int(random.integers(0, 600))),
        word(first, "not this deployment", int(random.integers(0, 600)), deployment="r4"),
        word(first, "not a problem", int(random.integers(600, 1200))),
    ]
    whole = [pack(e) for e in judged(world, words, [FOUR, FIVE])]
    assert any('"operator"' in one for one in whole)
    assert [pack(e) for e in judged(world, words, [FOUR, FIVE], size=977)] == whole
    bins, plan = world.bins(), world.plan()
    assert [pack(e) for e in _in_blocks(bins, plan, words, random)] == whole


def _in_blocks(bins: Bins, plan: Plan, words: Sequence[Word], random: np.random.Generator) -> list[Event]:
    inside = random.choice(np.arange(FAULT - 5, FAULT + 60), 25, replace=False)
    state, events = State.empty(), list[Event]()
    for first, last in pairwise([0, *sorted(inside.tolist()), len(bins)]):
        block = bins.cut(first, last)
        said = [w for w in words if _of(block, w, first, bins)]
        state, news = advance(load(dump(state)), block, [FOUR, FIVE], plan, words=said)
        events += news
    return events


def test_the_order_in_which_words_are_handed_over_does_not_matter() -> None:
    world = made(failing, days=2)
    [first, *_] = opened(judged(world))
    words = [word(first, "acknowledge"), word(first, "not a problem"), word(first, "acknowledge", who="ben")]
    assert [pack(e) for e in judged(world, words)] == [pack(e) for e in judged(world, words[::-1])]
