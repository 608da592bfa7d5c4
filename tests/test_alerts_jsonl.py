"""A line of alerts.jsonl holds what FORMATS says, to the letter."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import examples
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.incidents import Event
from alerts.jsonl import line, read
from alerts.suspects import Suspect

FIELDS = ["time", "event", "incident", "severity", "signals", "suspects", "no_deployment"]


def test_an_opened_incident_reads_like_this() -> None:
    assert read(line(examples.error_spike())) == {
        "time": "2022-04-13T06:37:00Z",
        "event": "opened",
        "incident": "5f3c9a1b2d4e",
        "severity": "critical",
        "signals": [
            {
                "service": "contact-importer",
                "signal": "imports",
                "kind": "error_spike",
                "onset": "2022-04-13T06:33:00Z",
                "observed": 55,
                "expected": 0.6,
                "lost": 54.4,
                "lost_low": 41,
                "lost_high": 55,
                "failed": 54.4,
            }
        ],
        "suspects": [
            {
                "deployment": "release-20220413-0631",
                "service": "contact-importer",
                "version": "3.45.0",
                "time": "2022-04-13T06:31:00Z",
                "probability": 0.97,
                "evidence": [
                    "deployed 2 min before it began",
                    "version 3.45.0 fails, the others do not",
                ],
            }
        ],
        "no_deployment": 0.03,
    }


@pytest.mark.parametrize("name", examples.EVENTS)
def test_every_example_is_one_line_with_the_fields_in_their_order(name: str) -> None:
    event = examples.EVENTS[name]()
    text = line(event)
    assert text.splitlines() == [text]
    fields = list(read(text))
    assert fields == FIELDS + ["reason"] * (event.event == "resolved")


def test_a_reason_is_given_when_it_is_over_and_only_then() -> None:
    assert read(line(examples.rolled_back()))["reason"] == "rollback"
    assert read(line(examples.late_data()))["reason"] == "late_data"
    assert "reason" not in read(line(examples.joined()))


def test_what_was_lost_is_named_failed_or_missing_and_what_came_late_is_told() -> None:
    (signal,) = read(line(examples.late_data()))["signals"]
    assert (signal["missing"], signal["late"]) == (0, 12000)
    assert "failed" not in signal
    (signal,) = read(line(examples.bad_version()))["signals"]
    assert signal["failed"] == 29.8
    assert "missing" not in signal


def test_a_flow_that_counts_its_failures_tells_both_parts() -> None:
    event = examples.data_loss()
    parts = replace(event.incident.findings[0], failed=2000.0, missing=1450.0)
    (signal,) = read(line(replace(event, incident=replace(event.incident, findings=(parts,)))))["signals"]
    assert (signal["failed"], signal["missing"], signal["lost"]) == (2000, 1450, 3450)


def test_a_slice_is_an_object_of_attributes() -> None:
    (signal,) = read(line(examples.trickle()))["signals"]
    assert signal["slice"] == {"path": "editor"}


def test_whole_counts_are_integers_and_what_was_not_measured_is_null() -> None:
    event = examples.error_spike()
    finding = replace(event.incident.findings[0], observed=math.nan, lost=1e15, lost_high=2e15)
    text = line(replace(event, incident=replace(event.incident, findings=(finding,))))
    assert '"observed": null' in text
    assert '"lost": 1000000000000000,' in text
    assert read(text)["signals"][0]["observed"] is None


def with_suspects(shares: list[float]) -> Event:
    event = examples.error_spike()
    whole = sum(shares)
    ordered = sorted((s / whole for s in shares[1:]), reverse=True)
    suspects = tuple(Suspect(examples.PARSER, s) for s in ordered)
    return replace(
        event, incident=replace(event.incident, suspects=suspects, no_deployment=shares[0] / whole)
    )


@given(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=40))
def test_probabilities_sum_to_one_after_rounding_and_stay_in_order(shares: list[float]) -> None:
    event = with_suspects(shares)
    said = read(line(event))
    rounded = [*(s["probability"] for s in said["suspects"]), said["no_deployment"]]
    exact = [*(s.probability for s in event.incident.suspects), event.incident.no_deployment]
    assert sum(round(p * 10_000) for p in rounded) == 10_000
    assert all(p == round(p, 4) for p in rounded)
    assert all(abs(p - q) <= 1.0001e-4 for p, q in zip(rounded, exact, strict=True))


@given(st.text(max_size=40))
def test_any_text_from_outside_comes_back_as_it_was_on_one_line(text: str) -> None:
    event = examples.trickle()
    incident = event.incident
    finding = replace(
        incident.findings[0],
        signal=replace(incident.findings[0].signal, service=text, name=text),
        slice=((text, text),),
    )
    suspect = Suspect(replace(examples.RESIZER, id=text, service=text, version=text), 0.5, (text,))
    changed = replace(incident, findings=(finding,), suspects=(suspect,), no_deployment=0.5)
    written = line(replace(event, incident=changed))
    assert written.isascii()
    assert written.splitlines() == [written]
    said = read(written)
    assert said["signals"][0]["service"] == said["signals"][0]["signal"] == text
    assert said["signals"][0]["slice"] == {text: text}
    assert said["suspects"][0]["evidence"] == [text]


def broken(**changes: Any) -> str:
    return json.dumps({**read(line(examples.error_spike())), **changes})


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (broken(time="2022-04-13T06:37:00+00:00"), "time"),
        (broken(event="closed"), "event"),
        (broken(severity="high"), "severity"),
        (broken(incident=7), "incident"),
        (broken(reason="recovered"), "reason"),
        (broken(event="resolved"), "reason"),
        (broken(event="resolved", reason="bored"), "reason"),
        (broken(extra=1), "line"),
        (broken(no_deployment=0.5), "probability"),
        (broken(no_deployment=True), "probability"),
        (broken(signals={}), "signals"),
        (broken(signals=[{}]), "signals"),
        (broken(suspects=[{"deployment": "x"}]), "suspects"),
        (line(examples.error_spike()).replace("54.4", "-1"), "lost"),
        (line(examples.error_spike()).replace('"lost_low": 41', '"lost_low": 99'), "lost"),
        (line(examples.error_spike()).replace("error_spike", "errors"), "kind"),
        (line(examples.error_spike()).replace('"observed": 55', '"observed": NaN'), "number"),
        ("[]", "line"),
    ],
)
def test_what_is_not_as_the_format_says_is_refused_by_name(text: str, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        read(text)


def test_a_line_that_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        read("{")
