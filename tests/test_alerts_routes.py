"""Who is told of what."""

from __future__ import annotations

from dataclasses import replace

import examples
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.incidents import Incident
from alerts.routes import Route, channels

RELEASE = examples.joined().incident  # critical: imports of imports-team fail, opens of events-team are lost
LOSS = replace(RELEASE, findings=RELEASE.findings[1:])
ALONE = examples.no_deployment().incident


@pytest.mark.parametrize(
    ("route", "matches"),
    [
        (Route("#x"), True),
        (Route("#x", owner=("events-team",)), True),
        (Route("#x", owner=("images-team",)), False),
        (Route("#x", service=("mail-sender", "event-parser")), True),
        (Route("#x", kind=("data_loss",)), True),
        (Route("#x", kind=("no_data", "rollout")), False),
        (Route("#x", severity=("critical",)), True),
        (Route("#x", severity=("warning", "info")), False),
        (Route("#x", environment=("production",)), True),
        (Route("#x", environment=("staging",)), False),
        (Route("#x", owner=("events-team",), kind=("data_loss",), severity=("critical",)), True),
        (Route("#x", owner=("imports-team",), kind=("data_loss",)), False),
    ],
)
def test_a_route_matches_when_all_its_conditions_hold_for_one_finding(route: Route, matches: bool) -> None:
    assert channels(LOSS, [route], "#rest") == (("#x",) if matches else ("#rest",))


def test_the_first_match_wins_and_continue_asks_the_next() -> None:
    first = Route("#first", kind=("data_loss",))
    on = Route("#on", service=("event-parser",), go_on=True)
    no = Route("#no", severity=("info",))
    assert channels(LOSS, [no, first, on], "#rest") == ("#first",)
    assert channels(LOSS, [on, no, first, Route("#never")], "#rest") == ("#on", "#first")
    assert channels(LOSS, [on, no], "#rest") == ("#on",)


def test_of_an_incident_of_two_teams_each_hears_by_its_own_route() -> None:
    imports, events = Route("#imports", owner=("imports-team",)), Route("#events", owner=("events-team",))
    assert channels(RELEASE, [imports, events, Route("#all")], "#rest") == ("#imports", "#events")
    assert channels(RELEASE, [imports, Route("#all")], "#rest") == ("#imports", "#all")
    assert channels(RELEASE, [events], "#rest") == ("#events", "#rest"), "nobody asks for the imports"


def test_a_channel_hears_once_of_it_however_many_routes_lead_there() -> None:
    routes = [Route("#a", go_on=True), Route("#b", go_on=True), Route("#a")]
    assert channels(RELEASE, routes, "#rest") == ("#a", "#b")


def test_an_environment_is_known_from_the_suspects_alone() -> None:
    nobody = Incident("x", 0, "critical", ALONE.findings, (), 1.0)
    assert channels(nobody, [Route("#x", environment=("production",))], "#rest") == ("#rest",)


NAMES = st.lists(st.sampled_from(["event-parser", "contact-importer", "mail-sender"]), max_size=2).map(tuple)
ROUTES = st.builds(
    Route,
    st.sampled_from(["#a", "#b", "#c"]),
    service=NAMES,
    kind=st.lists(st.sampled_from(["data_loss", "no_data"]), max_size=1).map(tuple),
    go_on=st.booleans(),
)


@given(st.lists(ROUTES, max_size=5))
def test_somebody_always_hears_and_nobody_twice(routes: list[Route]) -> None:
    told = channels(RELEASE, routes, "#rest")
    assert told
    assert len(set(told)) == len(told)
    assert set(told) <= {r.channel for r in routes} | {"#rest"}
    owners = [
        {"#rest", *channels(replace(RELEASE, findings=(f,)), routes, "#rest")} for f in RELEASE.findings
    ]
    assert set(told) | {"#rest"} == set().union(*owners), "alone or together, the same hear of it"


@given(st.lists(ROUTES, max_size=5))
def test_routes_after_the_last_that_matched_and_stopped_change_nothing(routes: list[Route]) -> None:
    stop = Route("#stop")
    assert channels(RELEASE, [stop, *routes], "#rest") == ("#stop",)
