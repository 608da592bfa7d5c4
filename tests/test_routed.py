"""`stillwatch check --route`: who would hear of it and why, the same as the daemon's answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import examples
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from alerts.routes import Route
from collector.errors import BadInput
from stillwatch import cli, config
from stillwatch.config import Settings, Slack
from stillwatch.routed import lines, question
from stillwatch.telling import Telling

TEXT = """
timezone: Europe/Berlin
slack: {channel: "#rest"}
receivers: {night: {pagerduty: {routing_key_env: KEY}}}
services:
  contact-importer:
    owner: imports-team
    signals: {imports: {kind: error_ratio, errors: imports_failed, total: imports_started}}
routes:
  - {match: {severity: critical}, receiver: night, continue: true}
  - {match: {owner: imports-team, kind: data_loss}, channel: "#imports"}
  - channel: "#all"
    match: {environment: production}
    quiet: 22:00-07:00
    escalate: {after: 15m, channel: "#lead"}
  - {channel: "#last"}
"""


def settings() -> Settings:
    return config.parse(TEXT, "stillwatch.yaml", None)


def told(text: str) -> str:
    return "\n".join(lines(question(text, settings(), 0), settings()))


def test_every_route_says_whether_it_matches_or_which_condition_failed() -> None:
    asked = """{"service": "contact-importer", "severity": "warning", "kind": "error_spike",
                "environment": "production", "time": "2026-03-10T23:00:00+01:00"}"""
    assert told(asked).split("\n") == [
        "route 1  pagerduty:night: no, severity is warning, not critical",
        "route 2  #imports: no, kind is error_spike, not data_loss",
        "route 3  #all: yes",
        "route 4  #last: not asked, for route 3 matched and does not say `continue`",
        "",
        "told:",
        "  #all at 2026-03-11T06:00:00Z (quiet hours)",
        "  #lead at 2026-03-11T06:15:00Z (to escalate), unless somebody looks at it before",
    ]


def test_the_owner_is_known_from_the_settings_and_what_was_not_said_is_not_known() -> None:
    said = told('{"service": "contact-importer", "severity": "critical", "kind": "data_loss"}')
    assert "route 1  pagerduty:night: yes, and later routes are asked as well" in said
    assert "route 2  #imports: yes" in said
    assert said.endswith("told:\n  pagerduty:night at once\n  #imports at once")
    assert "environment is not known, not production" in told("{}")


def test_without_routes_the_default_hears_of_it() -> None:
    alone = Settings(slack=Slack("#rest"))
    assert lines(question("{}", alone, 0), alone) == ["there are no routes", "", "told:", "  #rest at once"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[]", "found '[]'"),
        ("{", "found '{'"),
        ('{"service": 1}', "an object of texts"),
        ('{"servce": "a"}', "expected one of owner, service"),
        ('{"severity": "high"}', "expected one of info, warning, critical"),
        ('{"kind": "errors"}', "expected one of error_spike"),
        ('{"time": "now"}', "a time such as"),
    ],
)
def test_a_question_that_cannot_be_understood_says_what_was_expected(text: str, found: str) -> None:
    with pytest.raises(BadInput) as wrong:
        told(text)
    assert found in str(wrong.value)


def test_the_command_needs_no_secret_and_asks_nobody(tmp_path: Path) -> None:
    (tmp_path / "stillwatch.yaml").write_text(TEXT)
    asked = ["check", "--config", str(tmp_path / "stillwatch.yaml"), "--route", '{"severity": "critical"}']
    done = CliRunner().invoke(cli.cli, asked, standalone_mode=False)
    assert done.output.startswith("route 1  pagerduty:night: yes")


ROUTES = st.lists(
    st.builds(
        Route,
        st.sampled_from(["#a", "#b", "#c"]),
        owner=st.sampled_from([(), ("imports-team",), ("x",)]),
        service=st.sampled_from([(), ("contact-importer",), ("x",)]),
        kind=st.sampled_from([(), ("error_spike",), ("data_loss",)]),
        severity=st.sampled_from([(), ("critical",), ("warning", "info")]),
        environment=st.sampled_from([(), ("production",), ("staging",)]),
        go_on=st.booleans(),
    ),
    max_size=5,
)


@given(ROUTES)
def test_the_answer_is_what_the_daemon_does(routes: list[Route]) -> None:
    given = Settings(slack=Slack("#rest"), routes=tuple(routes))
    event = examples.error_spike()
    event = replace(event, incident=replace(event.incident, severity="critical"))
    asked = """{"owner": "imports-team", "service": "contact-importer", "kind": "error_spike",
                "severity": "critical", "environment": "production"}"""
    said = [line.split()[0] for line in lines(question(asked, given, 0), given) if line.startswith("  ")]
    heard = Telling(given, lambda incident: ()).news(event).messages
    assert said == list(dict.fromkeys(message.channel for message in heard))
