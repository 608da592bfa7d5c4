"""How grave it is, what outlasts a service's blips, what comes with each deployment, and what comes and goes."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import DAY, GRACE, START, World, asks, demand

from alerts import jsonl, plain
from alerts.blips import (
    KEPT,
    LEAST,
    NONE,
    Blip,
    Blips,
    habit,
    pause_before,
    usual,
    usual_of,
    with_deployments,
    with_faults,
)
from alerts.harm import RANKS, Lasting, severity_of, weighed
from alerts.incidents import Event
from alerts.messages import changes, word
from alerts.routes import Route
from alerts.wording import clock, count, lasting_words, spelled
from collector.bins import Bins
from collector.deployments import Deployment
from detectors.findings import Finding
from detectors.signals import Signal, Term
from stillwatch.config import Settings, Slack
from stillwatch.engine import LOOK_BACK, State, advance
from stillwatch.snapshot import dump, load
from stillwatch.telling import Telling

NOW = 1_649_831_400
MIN, HOUR, DAYS = 60, 3600, 86400
SIGNAL = Signal("api", "failing", "error_ratio", (Term("api", "errors"),), (Term("api", "requests"),))


def fails(minutes: float = 2, **parts: Any) -> Finding:
    """A small fault that was seen to last so long."""
    seen = NOW + int(minutes * MIN)
    given: dict[str, Any] = {"phase": "standing", "at": seen + GRACE, "onset": NOW, "seen": seen}
    given |= {"observed": 70.0, "expected": 10.0, "lost": 60.0, "lost_low": 40.0, "lost_high": 80.0}
    given |= {"out_of": 5000.0, "strength": 30.0, "onset_low": NOW - MIN, "onset_high": NOW}
    return Finding(SIGNAL, **{"kind": "error_spike", **given, **parts})


def blip(
    ago: float, minutes: float, share: float = 0.02, signal: str = "failing", kind: str = "error_spike"
) -> Blip:
    """`ago`: days."""
    return Blip(signal, kind, NOW - int(ago * DAYS), int(minutes * MIN), share)


def deployed(ago: float, **parts: Any) -> Deployment:
    return Deployment(f"r{ago:g}", NOW - int(ago * DAYS) - 30, "api", "2", "1", **parts)


def gravity(finding: Finding, blips: Blips = NONE, deployments: Any = (), told: int = NOW + 2 * MIN) -> Any:
    return weighed(finding, blips, deployments, MIN, told)


# By what it does to people.


@pytest.mark.parametrize(
    ("parts", "severity"),
    [
        ({}, "warning"),
        ({"lost": 300.0}, "critical"),  # a share of 6 %
        ({"lost": 9.0, "out_of": 10.0}, "warning"),  # a handful
        ({"lost": 10_000.0, "out_of": 1e7}, "critical"),
        ({"lost": 9_000.0, "out_of": 1e7}, "warning"),
        ({"lost": 1_000.0, "out_of": 1e6, "kind": "data_loss"}, "critical"),
        ({"lost": 900.0, "out_of": 1e6, "kind": "data_loss"}, "warning"),
        ({"lost": 300.0, "young": True}, "info"),
        ({"lost": 60.0, "out_of": 0.0}, "warning"),
    ],
)
def test_severity_is_what_is_lost_and_which_share(parts: dict[str, Any], severity: str) -> None:
    assert severity_of(fails(**parts)) == severity
    surprising = fails(strength=1e6, **parts)
    assert severity_of(surprising) == severity


@given(
    st.floats(0, 1e7), st.floats(0, 1e7), st.floats(0, 600), st.floats(0, 600),
    st.sampled_from(["error_spike", "data_loss", "no_data", "rollout"]), st.lists(st.integers(1, 60), max_size=12),
)  # fmt: skip
def test_who_loses_more_for_longer_is_not_less_grave(
    lost: float, more: float, minutes: float, longer: float, kind: Any, blips: list[int]
) -> None:
    known = Blips({"api": tuple(blip(20 - i, m) for i, m in enumerate(blips))})
    one = fails(minutes, lost=lost, out_of=2e7, kind=kind)
    other = fails(minutes + longer, lost=lost + more, out_of=2e7, kind=kind)
    assert RANKS.index(gravity(one, known)[0]) <= RANKS.index(gravity(other, known)[0])


# What is usual, and what outlasts it.


@given(st.lists(st.integers(1, 10_000), max_size=KEPT), st.randoms(use_true_random=False))
def test_what_is_usual_holds_most_of_them_and_no_order_matters(lasted: list[int], chance: Any) -> None:
    found = usual(lasted)
    shuffled = list(lasted)
    chance.shuffle(shuffled)
    assert usual(shuffled) == found
    if len(lasted) < LEAST:
        assert found is None
    if found is not None:
        assert found.of == len(lasted)
        assert found.ended == sum(one <= found.within for one in lasted) >= 0.75 * found.of
        assert found.within <= 2 * float(np.median(lasted))


NINE = Blips({"api": tuple(blip(20 - i, 2 + i % 2) for i in range(9))})


def test_a_trickle_that_outlasts_the_blips_of_its_service_becomes_graver_and_says_so() -> None:
    assert gravity(fails(10), NINE) == ("warning", None)
    severity, lasting = gravity(fails(12), NINE)
    assert severity == "critical"
    said = "Still failing after 12 minutes; the last nine blips of this service ended within three."
    assert lasting_words(lasting) == said


def test_where_blips_are_longer_it_takes_longer() -> None:
    longer = Blips({"api": tuple(blip(20 - i, 8) for i in range(9))})
    assert gravity(fails(23), longer)[0] == "warning"
    assert gravity(fails(25), longer)[0] == "critical"


def test_where_no_blips_are_known_a_quarter_of_an_hour_is_enough() -> None:
    assert gravity(fails(15)) == ("warning", None)
    severity, lasting = gravity(fails(16))
    assert (severity, lasting_words(lasting)) == (
        "critical",
        "Still failing after 16 minutes: no blip any more.",
    )


@pytest.mark.parametrize(
    "parts",
    [
        {"young": True},
        {"lost": 20.0},
        {"out_of": 1e5},
        {"phase": "cleared", "cleared": "recovered", "recovered": NOW + HOUR},
    ],
)
def test_what_is_young_too_little_or_over_does_not_become_graver_for_lasting(parts: dict[str, Any]) -> None:
    assert gravity(fails(60, **parts)) == (severity_of(fails(60, **parts)), None)


def test_a_share_of_few_is_worth_it_as_well() -> None:
    assert gravity(fails(16, lost=6.0, out_of=300.0))[0] == "critical"
    assert gravity(fails(16, lost=1000.0, out_of=1e7))[0] == "critical"


def test_whoever_was_told_just_now_has_time_to_look() -> None:
    assert gravity(fails(60), told=NOW + 56 * MIN)[0] == "warning"
    assert gravity(fails(60), told=NOW + 55 * MIN)[0] == "critical"


def test_blips_of_several_signals_that_overlap_are_one_and_later_ones_are_none() -> None:
    both = [blip(9 - i, 3) for i in range(4)] + [blip(9 - i, 4, signal="kept") for i in range(4)]
    found = usual_of(Blips({"api": (*both, blip(-1, 50))}), "api", NOW)
    assert found is not None
    assert (found.within, found.of) == (4 * MIN, 4)
    assert usual_of(Blips({"other": tuple(both)}), "api", NOW) is None


@pytest.mark.parametrize(
    ("lasting", "said"),
    [
        (
            Lasting("api", "kept", "data_loss", 1500, 360, 8, 9),
            "Still losing after 25 minutes; of the last nine blips of this service eight ended within six.",
        ),
        (
            Lasting("api", "failing", "no_data", 300, 61, 4, 4, deployed=True),
            "Still silent after 5 minutes; the last four blips of this service at deployments ended within two.",
        ),
        (
            Lasting("api", "failing", "error_spike", 2 * HOUR + 300, 1000, 12, 12),
            "Still failing after 2 h 5 min; the last twelve blips of this service ended within 17 minutes.",
        ),
    ],
)
def test_the_sentence_fits_what_is_lost_and_how_long(lasting: Lasting, said: str) -> None:
    assert lasting_words(lasting) == said


def test_faults_that_ended_by_themselves_are_remembered_and_no_more_than_so_many() -> None:
    blips = NONE
    for i in range(KEPT + 5):
        onset = NOW - (40 - i) * DAYS
        ended = fails(onset=onset, phase="cleared", cleared="recovered", recovered=onset + (2 + i) * MIN)
        blips = with_faults(blips, [ended, replace(ended, kind="data_loss", cleared="expired")])
    assert [b.lasted // MIN for b in blips.of["api"]] == list(range(7, 7 + KEPT))
    assert {b.kind for b in blips.of["api"]} == {"error_spike"}


def test_deployments_of_long_ago_are_remembered_for_what_came_of_them() -> None:
    long_ago = with_deployments(NONE, [deployed(40 - i) for i in range(20)])
    assert len(long_ago.deployed["api"]) == KEPT
    assert with_deployments(long_ago, [deployed(1, kind="flag")]) == long_ago


# At each deployment.

WEEKLY = [deployed(7 * i) for i in range(9, -1, -1)]  # the last of them now
AT_EACH = Blips({"api": tuple(blip(7 * i, 2 + i % 2) for i in range(9, 0, -1))})


def test_what_the_service_shows_at_each_deployment_can_wait_until_it_is_more() -> None:
    assert gravity(fails(3, lost=100.0), AT_EACH, WEEKLY) == ("info", None)
    assert gravity(fails(3, lost=200.0), AT_EACH, WEEKLY) == ("warning", None)  # of 5,000: twice as much
    severity, lasting = gravity(fails(4, lost=100.0), AT_EACH, WEEKLY)
    assert severity == "warning"
    assert lasting_words(lasting).endswith(
        "the last nine blips of this service at deployments ended within three."
    )


@pytest.mark.parametrize(
    ("finding", "blips", "deployments"),
    [
        (fails(onset=NOW + HOUR, seen=NOW + HOUR + 120), AT_EACH, WEEKLY),  # an hour after it
        (fails(kind="data_loss"), AT_EACH, WEEKLY),  # another kind
        (fails(), AT_EACH, [replace(d, service="other") for d in WEEKLY]),
        (fails(), AT_EACH, [replace(d, kind="flag") for d in WEEKLY]),
        (
            fails(),
            AT_EACH,
            [*WEEKLY, *(deployed(3.5 * i + 2) for i in range(20))],
        ),  # at less than half of them
        (fails(), Blips({"api": AT_EACH.of["api"][:3]}), WEEKLY),  # too few
        (
            fails(),
            Blips({"api": tuple(replace(b, onset=b.onset + 2 * HOUR) for b in AT_EACH.of["api"])}),
            WEEKLY,
        ),
    ],
)
def test_what_is_not_its_usual_blip_is_not_taken_for_it(
    finding: Finding, blips: Blips, deployments: Any
) -> None:
    assert habit(blips, finding, deployments, MIN) is None
    assert gravity(finding, blips, deployments)[0] == "warning"


def test_an_onset_that_is_estimated_too_early_is_that_of_a_deployment_within_its_range() -> None:
    early = {"onset": NOW - 6 * MIN, "onset_low": NOW - 30 * MIN}
    assert gravity(fails(**early, onset_high=NOW), AT_EACH, WEEKLY) == ("info", None)
    assert gravity(fails(**early, onset_high=NOW - 3 * MIN), AT_EACH, WEEKLY)[0] == "warning"
    severity, lasting = gravity(fails(4, **early, onset_high=NOW), AT_EACH, WEEKLY)
    assert (severity, lasting.after, lasting.deployed) == ("warning", 4 * MIN + 30, True)


def test_deployments_that_are_forgotten_elsewhere_count() -> None:
    known = [d for d in WEEKLY if NOW - d.time < LOOK_BACK]
    blips = with_deployments(AT_EACH, [d for d in WEEKLY if d not in known])
    found = habit(blips, fails(), known, MIN)
    assert found == habit(AT_EACH, fails(), WEEKLY, MIN)
    assert found is not None
    assert (found.at, found.deployments) == (9, 9)


# In whole worlds.


class Weeks:
    """A service that blips at each of its deployments, on working days of three weeks from the second on: two or
    three minutes of five times its errors. At the last one, `minutes` of a real fault."""

    def __init__(self, seed: int = 0, minutes: int = 40, share: float = 0.02) -> None:
        world = World(28 * DAY, seed)
        total = world.random.poisson(demand(world, 300))
        failing = np.full(world.length, 0.004)
        self.deployments: list[Deployment] = []
        for day in [d for d in range(7, 28) if d % 7 < 5]:
            start = day * DAY + int(world.random.integers(9 * 60, 17 * 60))
            number = str(len(self.deployments) + 1)
            self.deployments.append(Deployment(f"r{number}", START + MIN * start - 20, "api", number))
            self.last, lasts = start, int(world.random.integers(2, 4))
            failing[start : start + lasts] = 0.02
        failing[self.last : self.last + minutes] = share
        world.add("api", "requests", total)
        world.add("api", "errors", world.random.binomial(total, failing))
        asks(world, "api", failing=("errors", "requests"))
        self.bins, self.plan = world.bins(), world.plan()

    def told(self, *edges: int) -> tuple[State, list[Event]]:
        state, events = State.empty(), list[Event]()
        for first, last in pairwise([0, *edges, len(self.bins)]):
            if last > first:
                state, news = advance(
                    load(dump(state)), self.bins.cut(first, last), self.deployments, self.plan
                )
                events += news
        return state, events


@pytest.fixture(scope="module")
def weeks() -> tuple[Weeks, State, list[Event]]:
    made = Weeks()
    return (made, *made.told())


def pages(events: list[Event]) -> int:
    return len({e.incident.id for e in events if e.incident.severity != "info"})


def test_blips_at_each_deployment_are_told_as_what_can_wait_once_they_are_known(
    weeks: tuple[Weeks, State, list[Event]],
) -> None:
    made, _, events = weeks
    before = [e for e in events if e.time < START + MIN * made.last]
    opened = [e for e in before if e.event == "opened"]
    assert len(opened) >= 10
    assert [e.incident.severity for e in opened[:LEAST]] == ["warning"] * LEAST
    assert pages(before) <= LEAST + 3
    evidence = opened[-1].incident.suspects[0].evidence[1]
    assert evidence.startswith("blips at ")
    assert "ended within" in evidence


def test_a_real_fault_at_a_deployment_waits_no_longer_than_its_blips_last_and_an_interval(
    weeks: tuple[Weeks, State, list[Event]],
) -> None:
    made, state, events = weeks
    real = [e for e in events if e.time > START + MIN * made.last]
    page = next(e for e in real if e.incident.severity != "info")
    assert page.rose
    assert page.reason == "lasting"
    assert page.incident.lasting is not None
    onset = made.deployments[-1].time  # its estimate may be some minutes too early
    assert page.time - onset <= page.incident.lasting.within + MIN + GRACE
    (section,) = changes(page)
    assert "Now warning. Still failing after" in section["text"]["text"]
    assert "blips of this service at deployments" in section["text"]["text"]
    critical = next(e for e in real if e.incident.severity == "critical")
    assert critical.time - onset <= 3 * page.incident.lasting.within + 10 * MIN
    assert load(dump(state)).past == state.past
    assert state.past.blips.of["api"]


def test_a_digest_takes_the_blips_and_hears_at_once_what_is_more(
    weeks: tuple[Weeks, State, list[Event]],
) -> None:
    made, _, events = weeks
    settings = Settings(slack=Slack("#rest"), routes=(Route("#api", digest=8 * 60),))
    telling = Telling(settings, lambda incident: ())
    holds = [(e, {m.hold for m in telling.news(e).messages}) for e in events]
    assert {hold for e, held in holds if e.incident.severity == "info" for hold in held} == {"for the digest"}
    assert {hold for e, held in holds if e.incident.severity != "info" for hold in held} == {""}
    assert any(e.rose and e.time > START + MIN * made.last for e, _ in holds)


def test_stops_and_blocks_change_nothing_of_it(weeks: tuple[Weeks, State, list[Event]]) -> None:
    made, _, events = weeks
    inside = np.random.default_rng(3).choice(np.arange(1, len(made.bins)), 40, replace=False).tolist()
    near = [made.last + i for i in (1, 2, 3, 5, 9)]
    again = made.told(*sorted({*inside, *near}))[1]
    assert [jsonl.line(e) for e in again] == [jsonl.line(e) for e in events]
    assert [(e.reason, e.rose, e.incident.lasting) for e in again] == [
        (e.reason, e.rose, e.incident.lasting) for e in events
    ]


def test_a_larger_fault_at_a_deployment_is_told_at_once() -> None:
    made = Weeks(seed=1, share=0.1)
    _, events = made.told()
    opened = next(e for e in events if e.time > START + MIN * made.last)
    assert opened.incident.severity != "info"
    assert opened.time <= START + MIN * (made.last + 2) + GRACE


# A trickle, and gaps.


def world_of(shares: dict[int, float], rate: float = 200, days: int = 9) -> tuple[Bins, Any]:
    """Errors by minute of the last day."""
    world = World(days * DAY, 5)
    total = world.random.poisson(demand(world, rate))
    failing = np.full(world.length, 0.004)
    for minute, share in shares.items():
        failing[(days - 1) * DAY + minute] = share
    world.add("api", "requests", total)
    world.add("api", "errors", world.random.binomial(total, failing))
    asks(world, "api", failing=("errors", "requests"))
    return world.bins(), world.plan()


def test_nothing_ends_or_becomes_graver_in_a_gap() -> None:
    bins, plan = world_of(dict.fromkeys(range(600, 720), 0.03))
    day = 8 * DAY
    for blind in (True, False):  # nobody listened; or nothing was measured
        values, watched = bins.values.copy(), bins.watched.copy()
        values[day + 606 : day + 680] = np.nan
        watched[day + 606 : day + 680] = not blind
        events = advance(State.empty(), replace(bins, values=values, watched=watched), [], plan)[1]
        own = [e for e in events if e.incident.findings[0].kind == "error_spike"]
        opened, *later, over = own
        assert opened.time < START + MIN * (day + 607)
        amid = [e for e in later if e.time < START + MIN * (day + 680)]
        told = {f.kind for e in amid for f in e.incident.findings if f.at == e.time}
        assert told == (set() if blind else {"no_data"})  # that nothing is measured is a fault of its own
        assert (over.event, over.reason) == ("resolved", "recovered")
        assert over.time > START + MIN * (day + 720)


# What comes and goes.


def test_what_comes_and_goes_is_two_incidents_and_does_not_flap() -> None:
    shares = {600 + 20 * k + i: 0.03 for k in range(12) for i in range(8)}
    bins, plan = world_of(shares)
    state, events = State.empty(), list[Event]()
    edges = [0, *range(8 * DAY + 590, 8 * DAY + 900, 7), len(bins)]
    for first, last in pairwise(edges):
        state, news = advance(load(dump(state)), bins.cut(first, last), [], plan)
        events += news
    assert [jsonl.line(e) for e in advance(State.empty(), bins, [], plan)[1]] == [
        jsonl.line(e) for e in events
    ]
    assert len({e.incident.id for e in events}) == 2
    last = events[-1]
    assert (last.event, last.reason, state.incidents) == ("resolved", "recovered", ())
    assert last.incident.returns >= 8
    its = [e.incident.findings[0] for e in events if e.incident.id == last.incident.id]
    each = {one.onset: one.lost for one in its}  # as it was told last of each fault
    [before], [end] = last.incident.earlier, its[-1:]
    assert (
        (before.faults, before.began) == (len(each) - 1, min(each)) == (last.incident.returns, its[0].onset)
    )
    assert before.lost + end.lost == pytest.approx(sum(each.values()))
    assert json.loads(jsonl.line(last))["signals"][0]["earlier"]["lost"] == pytest.approx(
        before.lost, abs=0.01
    )
    card, reply = (m for m in word(last, "#a") if m.blocks)
    since = f"faults since {clock(before.began, last.time)} UTC"
    assert f"In all about {count(before.lost + end.lost)} " in str(card.blocks)
    assert f"{since}." in str(card.blocks) and since in str(reply.blocks)
    came = f"began {clock(before.began, last.time)} UTC, came back {spelled(last.incident.returns)} times"
    assert came in str(reply.blocks)
    recovered = last.incident.findings[0].recovered
    assert 2 * last.incident.pause <= last.time - recovered <= 2 * last.incident.pause + 2 * MIN
    grave = [e.incident.severity for e in events if e.incident.id == last.incident.id]
    assert grave == sorted(grave, key=RANKS.index), "it never becomes less grave while it is open"
    turns = [e for e in events if e.reason in ("worse", "recovering")]
    replies = [m for e in turns for m in word(e, "#a") if m.reply_to]
    assert len(turns) >= 18
    assert len(replies) <= 9  # one end, then the first, second, fourth and eighth return and its end
    assert len([m for e in turns for m in plain.word(e, "pager", first=False)]) == len(replies)
    returns = [e for e in turns if e.reason == "worse"]
    assert all(e.back for e in returns) and not any(e.back for e in events if e not in returns)
    assert 2 <= sum(m.broadcast for m in replies) <= 4, "what comes back is said in the channel"
    assert any(
        "It comes and goes: this is over if it stays as before until" in str(m.blocks) for m in replies
    )


def test_a_pause_of_more_than_an_hour_is_no_coming_and_going() -> None:
    assert pause_before(Blips({"api": (blip(1 / 24, 10),)}), fails()) == 50 * MIN
    assert pause_before(Blips({"api": (blip(1 / 12, 10),)}), fails()) == 0
    assert pause_before(Blips({"api": (blip(1 / 24, 10, kind="no_data"),)}), fails()) == 0
    assert pause_before(NONE, fails()) == 0


def test_a_snapshot_from_before_there_were_blips_is_read() -> None:
    state = State.empty()
    raw = dump(state).replace(b', "blips": {"of": {}, "deployed": {}}', b" " * 37)
    assert raw != dump(state)
    assert load(raw).past == state.past
