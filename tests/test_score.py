"""Scores: hand-made events against hand-made labels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from alerts.incidents import Event, EventName, Incident
from alerts.messages import Message
from alerts.suspects import Suspect
from collector.deployments import Deployment
from collector.small_tables import Label
from detectors.findings import Finding
from detectors.signals import Budget, Signal, Term
from stillwatch.score import WEEK, Watched, messages_per_week, score

T0 = 1_650_000_000
WATCHED = Watched(T0 - WEEK, T0 + WEEK, 60)
LABEL = Label(T0, T0 + 1800, "parser", "data_loss", "kept", "r1", "parser", T0 + 1700, 1000.0)


def finding(
    at: int, onset: int = T0, service: str = "parser", kind: Any = "data_loss", **more: Any
) -> Finding:
    signal = Signal(
        service, more.pop("name", "kept"), "flow", (Term(service, "out"),), (Term(service, "in"),), 120
    )
    lost = {"lost": 900.0, "lost_low": 800.0, "lost_high": 1100.0} | more
    return Finding(
        signal,
        kind,
        "raised",
        at,
        onset,
        onset,
        onset,
        observed=1.0,
        expected=2.0,
        out_of=10.0,
        strength=9.0,
        **lost,
    )


def suspect(probability: float, release: str = "r1", service: str = "parser") -> Suspect:
    return Suspect(Deployment(release, T0 - 60, service, "2"), probability)


def event(
    at: int, *findings: Finding, name: EventName = "opened", key: str = "i1", suspects: Any = None
) -> Event:
    blamed = (suspect(0.9),) if suspects is None else tuple(suspects)
    none = 1.0 - sum(s.probability for s in blamed)
    resolved = at if name == "resolved" else 0
    return Event(
        at,
        name,
        "rollback" if resolved else "",
        Incident(key, at, "critical", findings, blamed, none, (), resolved),
    )


def scored(events: list[Event], *labels: Label) -> dict[str, Any]:
    return score(events, labels or (LABEL,), WATCHED, Budget())


def test_a_fault_that_is_told_is_found_with_its_delay_and_its_count() -> None:
    last = finding(T0 + 1900, T0 + 30, lost=990.0, lost_low=950.0, lost_high=1010.0)
    told = scored([event(T0 + 135, finding(T0 + 135, T0 - 60)), event(T0 + 2000, last, name="resolved")])
    (one,) = told["labels"]
    assert (told["found"], told["misses"], told["false_alerts"]) == (1, 0, 0)
    assert (one["delay"], one["onset_error_at_first"], one["onset_error"]) == (135, -60, 30)
    assert (one["lost"], one["lost_true"], one["interval_holds_truth"]) == (990, 1000, True)
    assert (one["right_release"], one["right_member"]) == (True, True)
    assert (one["resolved_after"], one["reason"]) == (200, "rollback")


@pytest.mark.parametrize(
    ("low", "high", "holds"), [(1000, 1001, True), (0, 1000, True), (1001, 2000, False), (0, 999, False)]
)
def test_an_interval_holds_the_truth_or_does_not(low: float, high: float, holds: bool) -> None:
    (one,) = scored([event(T0 + 60, finding(T0 + 60, lost_low=low, lost_high=high))])["labels"]
    assert one["interval_holds_truth"] is holds


def test_where_the_truth_is_not_known_nothing_is_said_of_it() -> None:
    (one,) = scored([event(T0 + 60, finding(T0 + 60))], replace(LABEL, lost=math.nan))["labels"]
    assert "interval_holds_truth" not in one
    assert one["found"]


@pytest.mark.parametrize(
    "other",
    [
        finding(T0 + 60, service="importer"),
        finding(T0 + 7200, onset=T0 + 7200),
        finding(T0 - 3600, onset=T0 - 7200),
        finding(T0 + 60, onset=T0 - 7200),
    ],
    ids=["another service", "after it", "before it", "begun long before it"],
)
def test_what_no_fault_explains_is_a_false_alert_and_finds_nothing(other: Finding) -> None:
    told = scored([event(other.at, other)])
    assert (told["found"], told["misses"], told["false_alerts"]) == (0, 1, 1)
    assert told["false_alerts_per_week"] == 0.5
    assert told["false_incidents"] == ["i1"]


def test_another_kind_in_the_same_service_is_no_false_alert_but_does_not_find_it() -> None:
    told = scored([event(T0 + 90, finding(T0 + 90, kind="error_spike"))])
    (one,) = told["labels"]
    assert (told["found"], told["misses"], told["false_alerts"]) == (0, 1, 0)
    assert (one["noticed_as"], one["noticed_after"]) == (["error_spike"], 90)


def test_the_delay_counts_to_the_message_that_says_what_it_is() -> None:
    spike = finding(T0 + 90, kind="error_spike", name="parsing")
    both = event(T0 + 300, spike, finding(T0 + 300), name="updated")
    (one,) = scored([event(T0 + 90, spike), both])["labels"]
    assert one["delay"] == 300


def test_one_incident_may_hold_two_faults_and_name_both_members() -> None:
    importer = replace(
        LABEL, service="importer", kind="error_spike", signal="imports", deployment_service="importer"
    )
    findings = finding(T0 + 60), finding(T0 + 60, service="importer", kind="error_spike", name="imports")
    blamed = [suspect(0.5), suspect(0.49, service="importer")]
    told = scored([event(T0 + 60, *findings, suspects=blamed)], LABEL, importer)
    assert [(one["right_release"], one["right_member"]) for one in told["labels"]] == [(True, True)] * 2
    assert told["probabilities"]["brier"] == pytest.approx(2 * 0.01**2, abs=1e-4)


@pytest.mark.parametrize(
    ("suspects", "release", "member"),
    [
        ([suspect(0.6, service="sender"), suspect(0.3)], True, False),
        ([suspect(0.6, "r2"), suspect(0.3)], False, False),
        ([suspect(0.3)], False, False),
        ([], False, False),
    ],
    ids=["the other member", "another release", "nobody is likelier", "nobody"],
)
def test_blame_is_right_only_when_it_comes_first(
    suspects: list[Suspect], release: bool, member: bool
) -> None:
    (one,) = scored([event(T0 + 60, finding(T0 + 60), suspects=suspects)])["labels"]
    assert (one["right_release"], one["right_member"]) == (release, member)


def test_where_no_deployment_did_it_nobody_is_the_right_answer() -> None:
    label = replace(LABEL, deployment="", deployment_service="")
    (one,) = scored([event(T0 + 60, finding(T0 + 60), suspects=[suspect(0.2)])], label)["labels"]
    assert one["right_release"]
    (one,) = scored([event(T0 + 60, finding(T0 + 60), suspects=[suspect(0.8)])], label)["labels"]
    assert not one["right_release"]


def test_probabilities_are_scored_against_what_was_so() -> None:
    sure = event(T0 + 60, finding(T0 + 60), suspects=[suspect(1.0)])
    wrong = event(T0 - 3600, finding(T0 - 3600, onset=T0 - 3600), key="i2", suspects=[suspect(1.0)])
    told = scored([wrong, sure])["probabilities"]
    assert (told["incidents"], told["brier"], told["brier_no_deployment"]) == (2, 1.0, 0.5)
    assert [(b["from"], b["said"], b["right"], b["cases"]) for b in told["bands"]] == [
        (0.0, 0.0, 0.5, 2),
        (0.8, 1.0, 0.5, 2),
    ]


def test_the_budget_is_for_the_time_that_was_watched() -> None:
    false = [event(T0 - 9000, finding(T0 - 9000, onset=T0 - 9000), key=str(i)) for i in range(3)]
    told = score(false, (), WATCHED, Budget(1, 7 * 86400))
    assert told["budget"] == {"false_alerts_allowed": 2.0, "spent": 3, "kept": False}
    told = score(false[:1], (), WATCHED, Budget(0.1, 7 * 86400))
    assert told["budget"] == {"false_alerts_allowed": 0.2, "spent": 1, "kept": False}


def test_what_is_shorter_than_the_period_of_the_budget_has_all_of_it() -> None:
    false = [event(T0 - 9000, finding(T0 - 9000, onset=T0 - 9000))]
    told = score(false, (), WATCHED, Budget(1, 30 * 86400))
    assert told["budget"] == {"false_alerts_allowed": 1.0, "spent": 1, "kept": True}


def test_messages_are_counted_by_channel_and_edits_wake_nobody() -> None:
    said = [
        Message("1", "#a", "x"),
        Message("2", "#a", "x", reply_to="1"),
        Message("3", "#a", "x", replaces="1"),
        Message("1", "#b", "x"),
    ]
    assert messages_per_week(said, WATCHED) == {"#a": 1.0, "#b": 0.5}


def test_nothing_happened_and_nothing_was_said() -> None:
    told = score([], [], WATCHED, Budget())
    assert (told["labels"], told["misses"], told["false_alerts"]) == ([], 0, 0)
    assert told["probabilities"]["brier"] is None
