"""What begins together in many services is one incident and a handful of messages; what merely coincides is not.

The hours that are measured: `pytest -s tests/test_together.py -k hour` shows their numbers.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from itertools import pairwise

import examples
import numpy as np
import pytest
import storms
from hypothesis import given
from hypothesis import strategies as st
from slack_blocks import complaints, too_long
from storms import FAULT, HOUR, Hour

from alerts import jsonl, plain
from alerts.incidents import Event, Incident, fold
from alerts.messages import word
from alerts.together import MANY, WITHIN, coincidences, crowds
from collector.deployments import Deployment
from detectors.findings import Finding
from detectors.signals import Signal, Term
from stillwatch.engine import State, advance

HANDFUL = (
    10  # posts, replies and pictures in Slack in an hour in which 200 services fail; edits are not heard
)
MIN = 60
NOON = 1_649_851_200


def fails(service: str, onset: int, now: int, phase: str = "raised") -> Finding:
    """`onset`, `now`: minutes since noon."""
    signal = Signal(
        service, "failing", "error_ratio", (Term(service, "errors"),), (Term(service, "requests"),)
    )
    began, at = NOON + MIN * onset, NOON + MIN * now
    over = {"cleared": "recovered", "recovered": at - 3 * MIN} if phase == "cleared" else {}
    parts = {"lost": 40.0, "lost_low": 30.0, "lost_high": 50.0, "out_of": 90.0, "strength": 40.0, **over}
    return Finding(
        signal,
        "error_spike",
        phase,
        at,
        began,
        began - MIN,
        began + MIN,
        41.0,
        1.0,
        **parts,  # type: ignore[arg-type]
    )


def take(
    incidents: tuple[Incident, ...],
    now: int,
    findings: list[Finding],
    deployments: tuple[Deployment, ...] = (),
) -> tuple[tuple[Incident, ...], list[Event]]:
    return fold(incidents, findings, deployments, NOON + MIN * now, MIN)


def shipped(release: str, service: str, minute: float) -> Deployment:
    return Deployment(release, int(NOON + MIN * minute), service, "2", "1")


# From how many on.


def test_so_many_together_by_chance_is_rarer_than_once_in_ten_years() -> None:
    assert coincidences(MANY) < 0.1 <= coincidences(MANY - 1)
    assert MANY == 5


def test_the_formula_agrees_with_faults_thrown_at_random() -> None:
    years, draw = 400, np.random.default_rng(3)
    times = np.sort(draw.uniform(0, years * 8766 * 3600.0, years * 8766))  # one an hour
    three = np.count_nonzero(times[2:] - times[:-2] <= WITHIN) / years
    assert three == pytest.approx(coincidences(3), rel=0.1)


@given(st.lists(st.integers(0, 40).map(lambda m: m * MIN), max_size=30), st.randoms(use_true_random=False))
def test_crowds_are_all_that_lie_in_a_window_of_many(onsets: list[int], order: random.Random) -> None:
    named = [(onset, str(i)) for i, onset in enumerate(onsets)]
    inside = {
        name
        for start in onsets
        for onset, name in named
        if start <= onset <= start + WITHIN and sum(start <= o <= start + WITHIN for o in onsets) >= MANY
    }
    found = crowds(named)
    assert set().union(*found) == inside
    assert sum(map(len, found)) == len(inside), "each is in one crowd"
    order.shuffle(named)
    assert crowds(named) == found


# What is joined, and what is not.


def test_a_few_that_coincide_stay_apart() -> None:
    for few in range(1, MANY):
        assert len(take((), 2, [fails(f"s{i}", 0, 2) for i in range(few)])[0]) == few


def test_as_many_that_do_not_begin_together_stay_apart() -> None:
    assert len(take((), 70, [fails(f"s{i}", 10 * i, 70) for i in range(MANY + 2)])[0]) == MANY + 2


def test_many_that_begin_together_are_one_incident_and_one_event() -> None:
    incidents, events = take((), 2, [fails(f"s{i}", i % 3, 2) for i in range(200)])
    assert [e.event for e in events] == ["opened"]
    assert len(incidents[0].findings) == 200


def test_what_was_told_apart_stays_so_and_the_rest_joins_one_of_it() -> None:
    open_now, _ = take((), 2, [fails("a", 0, 2), fails("b", 0, 2)])
    open_now, events = take(open_now, 3, [fails(f"s{i}", 0, 3) for i in range(50)])
    assert sorted(len(i.findings) for i in open_now) == [1, 51]
    assert [(e.event, e.reason) for e in events] == [("updated", "joined")]


def test_one_that_its_own_release_explains_and_was_told_is_not_taken_for_the_cause_of_all() -> None:
    usual = tuple(shipped(f"r{i}", f"other-{i}", -120.0 * i) for i in range(1, 150))
    mine = (*usual, shipped("mine", "a", -30))
    new_version_fails = replace(fails("a", 0, 2), versions=(("1", 0.0, 45.0), ("2", 41.0, 45.0)))
    open_now, _ = take((), 2, [new_version_fails], mine)
    assert open_now[0].suspects[0].probability > 0.5
    open_now, events = take(open_now, 3, [fails(f"s{i}", 1, 3) for i in range(50)], mine)
    assert sorted(len(i.findings) for i in open_now) == [1, 50]
    assert [e.event for e in events] == ["opened"]


def test_one_release_of_all_explains_all() -> None:
    shared = tuple(shipped("release", f"s{i}", -1.5) for i in range(50))
    incidents, _ = take((), 2, [fails(f"s{i}", 0, 2) for i in range(50)], shared)
    assert len(incidents) == 1
    assert incidents[0].no_deployment < 0.05


def test_what_begins_later_joins_unless_a_release_of_its_own_explains_it_or_it_is_much_later() -> None:
    crowd, _ = take((), 2, [fails(f"s{i}", 0, 2) for i in range(50)])
    assert len(take(crowd, 14, [fails("later", 12, 14)])[0]) == 1
    assert len(take(crowd, 14, [fails("later", 12, 14)], (shipped("own", "later", 10.5),))[0]) == 2
    assert len(take(crowd, 42, [fails("much-later", 40, 42)])[0]) == 2


def test_of_many_it_is_news_when_the_number_doubles_or_halves() -> None:
    open_now, _ = take((), 2, [fails(f"s{i:02}", 0, 2) for i in range(10)])
    told = []
    for minute in range(3, 43):
        open_now, events = take(open_now, minute, [fails(f"s{minute + 7:02}", minute % 5, minute)])
        told += [(e.reason, len(e.incident.findings)) for e in events]
    assert told == [("joined", 20), ("joined", 40)]
    over = []
    for minute in range(50):
        open_now, events = take(open_now, 60 + minute, [fails(f"s{minute:02}", 0, 60 + minute, "cleared")])
        over += [(e.event, e.incident.failing) for e in events]
    assert over == [
        ("updated", 20), ("updated", 10), ("updated", 5), ("updated", 2), ("updated", 1), ("resolved", 0),
    ]  # fmt: skip


@given(st.permutations(range(12)))
def test_order_is_nothing(order: list[int]) -> None:
    def told(places: list[int]) -> list[str]:
        lines, open_now = [], ()
        for now in (3, 4, 9):
            found = [fails(f"s{i}", i % 4, now) for i in places if i < 2 or now > 3]
            open_now, events = take(open_now, now, found)  # type: ignore[assignment]
            lines += [jsonl.line(e) for e in events]
        return lines

    assert told(order) == told(sorted(order))


def test_an_interval_in_which_hundreds_begin_is_folded_quickly() -> None:
    """Not by a clock: what is asked of the suspects grows with the services, not with their square."""
    asked = [0]

    def count_asked(services: int) -> int:
        from alerts import incidents

        real, asked[0] = incidents.rank, 0

        def counted(*given: object) -> object:
            asked[0] += 1
            return real(*given)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(incidents, "rank", counted)
            shared = tuple(shipped("release", f"s{i}", -1.5) for i in range(services))
            take((), 2, [fails(f"s{i}", 0, 2) for i in range(services)], shared)
            take((), 2, [fails(f"s{i}", 0, 2) for i in range(services)])
        return asked[0]

    assert count_asked(60) <= 3 * 60 + 10


# Words.


@pytest.mark.parametrize("name", ["together", "together_half", "together_over"])
def test_a_card_of_hundreds_is_as_short_as_any(name: str) -> None:
    event = examples.EVENTS[name]()
    for message in word(event, "#alerts"):
        assert complaints(list(message.blocks)) == []
        assert not too_long(list(message.blocks))
    notice = plain.notice(event)
    assert len(notice.text) < 2000
    assert "services" in notice.title
    assert len(jsonl.read(jsonl.line(event))["signals"]) == len(event.incident.findings) == 214


def test_what_goes_on_is_an_edit_that_nobody_hears() -> None:
    assert [bool(m.replaces) for m in word(examples.together_half(), "#alerts")] == [True]
    grew = replace(examples.together(), event="updated", reason="grew", number=2)
    assert [bool(m.replaces) for m in word(grew, "#alerts")] == [True]


# Hours in which 200 services fail.


def told(name: str, got: Hour) -> int:
    """How many messages people hear of; shown with -s."""
    said = storms.messages(got.events)
    incidents = len({e.incident.id for e in got.events})
    print(
        f"\n{name}: {incidents} incidents, {len(got.events)} events, {dict(said)}, "
        f"longest step {got.longest:.2f} s of the processor"
    )
    return said.total() - said["edit"]


@pytest.fixture(scope="module")
def failing() -> storms.World:
    return storms.failing()


@pytest.mark.slow
def test_an_hour_in_which_200_services_fail_is_a_handful_of_messages(failing: storms.World) -> None:
    got = storms.hour(failing.bins(), failing.plan())
    assert told("no release", got) <= HANDFUL
    last = [e for e in got.events if e.event == "resolved"]
    assert sum(len({f.signal.service for f in e.incident.findings}) for e in last) >= 195
    assert all(e.incident.no_deployment > 0.9 for e in last)


@pytest.mark.slow
def test_so_it_is_where_one_release_explains_them(failing: storms.World) -> None:
    got = storms.hour(failing.bins(), failing.plan(), storms.release())
    assert told("one release", got) <= HANDFUL
    begins = failing.bins().start + 60 * FAULT  # of 200 signals one may be told wrongly in the day before
    first = next(e for e in got.events if e.event == "opened" and e.time > begins)
    assert first.incident.no_deployment < 0.05
    assert sum(e.event == "opened" and e.time < begins for e in got.events) <= 1


def test_so_it_is_where_half_of_them_are_measured_no_more() -> None:
    world = storms.healthy()
    got = storms.hour(storms.silent(world.bins()), world.plan())
    assert told("half are silent", got) <= HANDFUL
    assert {f.kind for e in got.events for f in e.incident.findings} == {"no_data"}
    gap_ends = world.bins().start + 60 * (FAULT + HOUR)
    assert all(e.time > gap_ends for e in got.events if e.event == "resolved"), "a gap resolves nothing"


@pytest.mark.slow
def test_the_size_of_blocks_changes_nothing() -> None:
    world = storms.failing(30)
    bins, plan = world.bins(), world.plan()
    edges = [0, FAULT - 7, FAULT + 1, FAULT + 3, FAULT + 4, FAULT + 40, FAULT + 63, len(bins)]
    state, events = State.empty(), list[Event]()
    for first, last in pairwise(edges):
        state, news = advance(state, bins.cut(first, last), [], plan)
        events += news
    whole = advance(State.empty(), bins, [], plan)[1]
    assert [jsonl.line(e) for e in events] == [jsonl.line(e) for e in whole]


def test_the_fold_of_hundreds_is_measured() -> None:
    """Shown with -s; nothing depends on it."""
    shared = tuple(shipped("release", f"s{i}", -1.5) for i in range(200))
    for name, known in (("no release", ()), ("a release of 200", shared)):
        began = time.process_time()
        open_now, _ = take((), 2, [fails(f"s{i}", 0, 2) for i in range(200)], known)
        first = time.process_time() - began
        take(open_now, 3, [fails(f"s{i}", 0, 3) for i in range(200)], known)
        print(f"\n{name}: {first:.2f} s, then {time.process_time() - began - first:.2f} s an interval")
        assert len(open_now) == 1
