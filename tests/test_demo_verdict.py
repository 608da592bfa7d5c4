"""The demo's verdict is hard to please: only what was really said in time counts."""

from __future__ import annotations

from typing import Any

import pytest

from stillwatch.demo.summary import summary
from stillwatch.demo.truth import Truth
from stillwatch.demo.verdict import Alert, Fault, Told, told

FAULT = Fault("event-parser", "2.0.0", "bad", 1_649_831_460)  # 2022-04-13 06:31:00 UTC
ONSET = "2022-04-13T06:31:05Z"


def line(event: str = "opened", **changed: Any) -> dict[str, Any]:
    signal = {
        "service": "event-parser",
        "signal": "kept",
        "kind": "data_loss",
        "onset": changed.pop("onset", ONSET),
        "lost": 40.0,
        "lost_low": 35.0,
        "lost_high": 45.0,
    }
    suspects = [
        {"deployment": "bad", "service": "contact-importer", "probability": 0.49},
        {"deployment": "bad", "service": "event-parser", "probability": 0.48},
        {"deployment": "other", "service": "image-resizer", "probability": 0.01},
    ]
    return {
        "event": event,
        "incident": "a",
        "signals": [signal],
        "suspects": suspects,
        "reason": "",
    } | changed


def test_an_alert_and_its_end_are_told_with_the_moments_at_which_they_were_seen() -> None:
    alerts = [Alert(100, line()), Alert(200, line("resolved", reason="rollback"))]
    found = told(alerts, FAULT)
    assert (found.alerted, found.resolved, found.reason) == (100, 200, "rollback")
    assert (found.blamed, round(found.blame, 2), found.member) == ("bad", 0.97, 0.48)
    assert found.rightly(FAULT)


def test_an_alert_of_another_service_or_of_long_before_is_not_this_fault() -> None:
    other = line()
    other["signals"][0]["service"] = "contact-importer"
    before = line(incident="b", onset="2022-04-13T06:25:00Z")
    assert told([Alert(100, other), Alert(101, before)], FAULT) == Told()


def test_a_service_that_joins_later_was_alerted_when_it_joined() -> None:
    first = line()
    first["signals"][0]["service"] = "contact-importer"
    found = told([Alert(100, first), Alert(110, line("updated", reason="joined"))], FAULT)
    assert found.alerted == 110


def test_an_incident_that_was_resolved_and_then_spoken_of_again_is_not_over() -> None:
    alerts = [Alert(100, line()), Alert(200, line("resolved")), Alert(210, line("updated"))]
    assert told(alerts, FAULT).resolved == 0


@pytest.mark.parametrize(
    "suspects",
    [
        [],
        [{"deployment": "other", "service": "event-parser", "probability": 0.9}],
        [{"deployment": "bad", "service": "event-parser", "probability": 0.4}],
        [{"deployment": "bad", "service": "contact-importer", "probability": 0.9}],
    ],
    ids=["nobody", "another release", "hardly", "another member only"],
)
def test_what_is_blamed_wrongly_fails_the_demo(suspects: list[dict[str, Any]]) -> None:
    alerts = [Alert(100, line()), Alert(200, line("resolved", suspects=suspects))]
    good, lines = summary([(FAULT, told(alerts, FAULT))], Truth({}, []))
    assert not good
    assert any("WRONG" in one for one in lines)


def good_story() -> Told:
    return told([Alert(FAULT.deployed + 20, line()), Alert(FAULT.deployed + 60, line("resolved"))], FAULT)


def test_the_true_number_of_lost_opens_stands_beside_the_estimate() -> None:
    truth = Truth({}, [FAULT.deployed + 4] * 41)
    good, lines = summary([(FAULT, good_story())], truth)
    said = "\n".join(lines)
    assert good
    assert "16 s after the first harm" in said
    assert "opens lost    41" in said
    assert "estimated     40, 95 % interval 35 to 45, which holds it" in said


def test_an_interval_that_misses_the_truth_is_said_to() -> None:
    _, lines = summary([(FAULT, good_story())], Truth({}, [FAULT.deployed + 4] * 60))
    assert "does NOT hold it" in "\n".join(lines)


def test_a_fault_that_nobody_was_told_of_fails_the_demo() -> None:
    good, lines = summary([(FAULT, good_story()), (FAULT, Told())], Truth({}, []))
    assert not good
    assert any("NOT ALERTED" in one for one in lines)


def test_a_fault_that_was_never_said_to_be_over_fails_the_demo() -> None:
    good, lines = summary([(FAULT, told([Alert(100, line())], FAULT))], Truth({}, []))
    assert not good
    assert any("NEVER SAID TO BE OVER" in one for one in lines)
