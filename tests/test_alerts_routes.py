"""Who is told of what."""

from __future__ import annotations

import examples
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.incidents import Incident
from alerts.routes import Route, channels

RELEASE = examples.joined().incident  # critical: imports of imports-team fail, opens of events-team are lost
ALONE = examples.no_deployment().incident


@pytest.mark.parametrize(
    ("route", "matches"),
    [
        (Route("#x"), True),
        (Route("#x", owner=("events-team",)), True),
        (Route("#x", owner=("images-team",)), False),
        (Route("#x", service=("mail-sender", "contact-importer")), True),
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
    assert channels(RELEASE, [route], "#rest") == (("#x",) if matches else ("#rest",))


def test_the_first_match_wins_and_continue_asks_the_next() -> None:
    first = Route("#first", kind=("data_loss",))
    on = Route("#on", service=("contact-importer",), go_on=True)
    no = Route("#no", severity=("info",))
    assert channels(RELEASE, [no, first, on], "#rest") == ("#first",)
    assert channels(RELEASE, [on, no, first, Route("#never")], "#rest") == ("#on", "#first")
    assert channels(RELEASE, [on, no], "#rest") == ("#on",)


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
    assert set(told) <= {r.channel for r in routes} or told == ("#rest",)


@given(st.lists(ROUTES, max_size=5))
def test_routes_after_the_last_that_matched_and_stopped_change_nothing(routes: list[Route]) -> None:
    stop = Route("#stop")
    assert channels(RELEASE, [stop, *routes], "#rest") == ("#stop",)
