"""stillwatch.yaml: every wrong file is pointed at; every right one means what it says; secrets stay secret."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.routes import Route, Step
from collector.errors import BadInput
from collector.points import Limits
from collector.tokens import of_one
from detectors.signals import Budget, Signal, Term
from stillwatch import config
from stillwatch.config import Settings

BAD = sorted((Path(__file__).parent / "bad" / "settings").iterdir())
WHOLE = """
interval: 30s
grace: 2m
timezone: Europe/Berlin
budget: {false_alerts: 0.5, per: month}
database: /var/lib/stillwatch.db
slack: {channel: "#alerts", token_env: MY_TOKEN, base_url: "http://127.0.0.1:9/api"}
listen: {host: 0.0.0.0, port: 1, token_env: DOOR}
metrics: {events_failed: {sparse: true}}
routes:
  - {match: {owner: [a, b], severity: critical}, channel: "#ab", continue: true}
  - {match: {kind: [data_loss, no_data], environment: production, service: parser}, channel: "#lost"}
  - {channel: "#rest"}
services:
  parser:
    owner: events-team
    signals:
      ratio: {kind: error_ratio, errors: events_failed, total: [received, resent], split_by: path}
      count: {kind: throughput, count: {metric: stored, where: {b: "2", a: "1"}}}
      kept:
        kind: flow
        from: {service: sender, metric: sent}
        to: [stored, {metric: events_failed}]
        within: 48h
  resizer:
    depends_on: [store, parser]
    signals:
      side: {kind: rollout, errors: failed, total: done}
      flows: {kind: rollout, from: in, to: out, within: 2m}
"""
ENVIRON = {"MY_TOKEN": "xoxb-1\n", "DOOR": "knock"}


def parse(text: str, environ: dict[str, str] | None = None) -> Settings:
    return config.parse(text, "stillwatch.yaml", {} if environ is None else environ)


@pytest.mark.parametrize("bad", BAD, ids=lambda path: path.name)
def test_wrong_settings_are_refused_with_one_line_that_points_at_them(bad: Path) -> None:
    with pytest.raises(BadInput) as refused:
        config.load(bad / "stillwatch.yaml", {})
    said = str(refused.value)
    assert said == (bad / "expected.txt").read_text().rstrip("\n")
    assert said.isprintable()
    assert "1234" not in said, "what may be a secret is not shown"


def test_everything_that_can_be_set_is_set() -> None:
    found = parse(WHOLE, ENVIRON)
    failed = Term("parser", "events_failed", sparse=True)
    assert found == Settings(
        interval=30,
        grace=120,
        timezone="Europe/Berlin",
        budget=Budget(0.5, 30 * 86400),
        signals=(
            Signal(
                "parser", "ratio", "error_ratio", (failed,), (Term("parser", "received"), Term("parser", "resent")),
                owner="events-team", split_by=("path",),
            ),
            Signal(
                "parser", "count", "throughput", (Term("parser", "stored", (("a", "1"), ("b", "2"))),),
                owner="events-team",
            ),
            Signal(
                "parser", "kept", "flow", (Term("parser", "stored"), failed), (Term("sender", "sent"),), 48 * 3600,
                "events-team",
            ),
            Signal(
                "resizer", "side", "rollout", (Term("resizer", "failed"),), (Term("resizer", "done"),),
                depends_on=("store", "parser"),
            ),
            Signal(
                "resizer", "flows", "rollout", (Term("resizer", "out"),), (Term("resizer", "in"),), 120,
                depends_on=("store", "parser"),
            ),
        ),
        depends_on={"resizer": ("store", "parser")},
        slack=config.Slack("#alerts", "xoxb-1", "http://127.0.0.1:9/api/"),
        routes=(
            Route("#ab", owner=("a", "b"), severity=("critical",), go_on=True),
            Route("#lost", service=("parser",), kind=("data_loss", "no_data"), environment=("production",)),
            Route("#rest"),
        ),
        listen=config.Listen("0.0.0.0", 1, of_one("knock", "token_env")),
        database="/var/lib/stillwatch.db",
    )  # fmt: skip


def test_attributes_are_chosen_for_all_services_and_for_one() -> None:
    found = parse("limits: {per_service: 7, attributes: [region]}\nservices: {a: {attributes: []}, b: {}}")
    assert (found.limits.per_service, found.limits.series) == (7, 200_000)
    assert found.limits.counters == Limits().counters == 1_000_000
    assert parse("limits: {series: 1000000}").limits.counters == 5_000_000
    assert [found.choice.of(name) for name in "abc"] == [[], ["region"], ["region"]]
    assert Settings().choice.of("a") is None


@pytest.mark.parametrize("empty", ["", "# nothing\n", "{}"])
def test_an_empty_file_means_the_defaults(empty: str) -> None:
    assert parse(empty) == Settings()


@pytest.mark.parametrize(
    ("interval", "grace"), [("5s", 5), ("10s", 10), ("15s", 15), ("60s", 15), ("1h", 15)]
)
def test_the_grace_is_15_seconds_but_never_longer_than_an_interval(interval: str, grace: int) -> None:
    assert parse(f"interval: {interval}").grace == grace


def day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def test_holidays_are_days_of_countries_regions_dates_and_every_year() -> None:
    found = parse('holidays: [DE-BY, 12-24, 02-29, 2027-03-08, "NO"]').holidays
    assert found[day("2026-01-06")] == "Epiphany"  # in Bavaria
    assert found[day("2027-03-08")] == "2027-03-08"
    assert day("2027-05-17") in found  # in Norway
    assert {day("2010-12-24"), day("2040-12-24"), day("2028-02-29")} <= set(found)
    assert day("2027-03-01") not in found
    assert day("2026-01-06") not in parse("holidays: DE").holidays


def test_a_region_that_is_not_known_is_answered_with_those_that_are() -> None:
    with pytest.raises(BadInput, match=r"^stillwatch.yaml:1:16: holidays\.1: found 'DE-XX', .*, DE-BY, "):
        parse("holidays: [DE, DE-XX]")


def test_calendars_are_only_loaded_where_a_country_is_named() -> None:
    code = (
        "import sys; from stillwatch import config; "
        "config.parse('holidays: 12-24', 'f', None); assert 'holidays' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.2:99", "127.0.0.2", 99), ("'[::1]:99'", "::1", 99), ("{port: 99}", "127.0.0.1", 99)],
)
def test_where_to_listen_may_be_said_in_short(text: str, host: str, port: int) -> None:
    listen = parse(f"listen: {text}").listen
    assert (listen.host, listen.port) == (host, port)


def test_secrets_are_in_no_repr() -> None:
    found = parse(WHOLE, ENVIRON)
    assert "xoxb" not in repr(found)
    assert "knock" not in repr(found)


def test_slacks_token_comes_from_the_usual_variable_or_from_a_file(tmp_path: Path) -> None:
    assert parse("", {"SLACK_BOT_TOKEN": "xoxb-2"}).slack.token == "xoxb-2"
    assert config.secrets_from({"SLACK_BOT_TOKEN": "xoxb-2"}).slack.token == "xoxb-2"
    secret = tmp_path / "token"
    secret.write_text("xoxb-3\n")
    assert parse(f"slack: {{token_file: {secret}}}").slack.token == "xoxb-3"


def test_where_nobody_needs_secrets_none_are_looked_for() -> None:
    found = config.parse(WHOLE, "stillwatch.yaml", None)
    assert (found.slack.token, found.listen.tokens.wanted) == ("", False)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(BadInput, match=r"^/nowhere/x\.yaml: found no such file or directory"):
        config.load(Path("/nowhere/x.yaml"), {})


@pytest.mark.slow
def test_aliases_that_grow_without_bound_are_refused() -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 30)}]\n" for i in range(1, 6))
    with pytest.raises(BadInput, match="more than 1000000 values"):
        parse(text)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_settings_or_is_refused_in_one_line(text: str) -> None:
    try:
        parse(text)
    except BadInput as refused:
        assert str(refused).isprintable()
        assert str(refused).startswith("stillwatch.yaml:")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["error_ratio", "flow", "2m", "a", "#x"]),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["services", "signals", "a", "kind", "errors", "total", "from", "to", "within", "where", "routes",
                 "match", "channel", "slack", "listen", "budget", "metric", "metrics", "split_by"]
            ),
            inner,
            max_size=4,
        ),
        max_leaves=12,
    )
)  # fmt: skip
def test_any_shape_is_settings_or_is_refused_in_one_line(shape: object) -> None:
    import yaml

    try:
        parse(yaml.safe_dump(shape))
    except BadInput as refused:
        assert str(refused).isprintable()


ERRORS = """\
services:
  importer:
    signals:
      imports: {kind: error_ratio, errors: [failed, refused], total: started}
      stored: {kind: flow, from: started, to: [stored, failed], within: 2m}
metrics: {refused: {sparse: false}}
"""


def test_live_a_counter_of_errors_that_nobody_has_seen_yet_stands_at_0(tmp_path: Path) -> None:
    def sparse(settings: Settings) -> set[str]:
        return {t.metric for s in settings.signals for t in (*s.counted, *s.out_of) if t.sparse}

    assert sparse(config.parse(ERRORS, "stillwatch.yaml", {}, live=True)) == {"failed"}
    assert sparse(config.parse(ERRORS, "stillwatch.yaml", {})) == set()
    file = tmp_path / "stillwatch.yaml"
    file.write_text(ERRORS)
    again = config.parse(config.as_recorded(file), "stillwatch.yaml", {})
    assert again == config.load(file, {}, live=True), "what was recorded is judged as it was live"


def test_a_file_that_says_all_is_recorded_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "stillwatch.yaml"
    file.write_text(text := ERRORS.replace("refused: {sparse: false}", "refused: {}, failed: {sparse: true}"))
    assert config.as_recorded(file) != text, "`refused: {}` does not say it"
    file.write_text(text := text.replace("refused: {}", "refused: {sparse: false}"))
    assert config.as_recorded(file) == text


def test_the_secrets_for_buttons_come_from_the_environment_and_are_shown_nowhere() -> None:
    usual = {"SLACK_APP_TOKEN": "xapp-1", "SLACK_SIGNING_SECRET": "5ecret"}
    for found in (parse("", usual), config.secrets_from(usual)):
        assert (found.slack.app_token, found.slack.signing_secret) == ("xapp-1", "5ecret")
        assert "xapp" not in repr(found)
        assert "5ecret" not in repr(found)
    named = parse("slack: {app_token_env: A, signing_secret_env: B}", {"A": "xapp-2", "B": "s"})
    assert (named.slack.app_token, named.slack.signing_secret) == ("xapp-2", "s")
    assert config.parse("slack: {app_token_env: A}", "f", None).slack.app_token == ""
    with pytest.raises(
        BadInput, match=r"slack.signing_secret_env: found the name of a variable that is not set"
    ):
        parse("slack: {signing_secret_env: B}", {})
    with pytest.raises(BadInput) as error:
        parse("slack: {signing_secret_env: 8f7d-real-secret}", {})
    assert "8f7d" not in str(error.value)


def test_routes_lead_to_receivers_and_a_last_route_without_conditions_is_the_default() -> None:
    text = """
receivers:
  hook: {webhook: {url_env: HOOK, secret_env: SIGN}}
  plain: {webhook: https://example.com/in}
  am: {alertmanager: "http://alerts:9093"}
  chat: {slack: "#chat"}
routes:
  - {match: {severity: critical}, receiver: hook, continue: true}
  - {match: {owner: a}, receiver: chat}
  - {receiver: am}
"""
    found = parse(text, {"HOOK": "https://example.com/s3cret", "SIGN": "s1gn"})
    assert [(one.address, one.url, one.secret) for one in found.receivers] == [
        ("webhook:hook", "https://example.com/s3cret", "s1gn"),
        ("webhook:plain", "https://example.com/in", ""),
        ("alertmanager:am", "http://alerts:9093", ""),
    ]
    assert [route.channel for route in found.routes] == ["webhook:hook", "#chat", "alertmanager:am"]
    assert found.default == "alertmanager:am"
    assert parse(text + "slack: {channel: '#all'}", {"HOOK": "x", "SIGN": "y"}).default == "#all"
    assert "s3cret" not in repr(found)
    assert "s1gn" not in repr(found)
    assert parse("routes: [{match: {owner: a}, channel: '#a'}]").default == config.TERMINAL


def test_a_route_says_when_and_whom_next() -> None:
    text = """
receivers: {night: {pagerduty: {routing_key_env: KEY}}}
routes:
  - channel: "#a"
    match: {severity: critical}
    group: {wait: 30s, interval: 5m}
    repeat: 1h
    escalate: [{after: 15m, channel: "#b"}, {after: 30m, receiver: night}]
  - {channel: "#a", quiet: 22:00-07:00, digest: 8:30}
"""
    first, second = parse(text, {"KEY": "k"}).routes
    assert (first.wait, first.interval, first.repeat) == (30, 300, 3600)
    assert first.escalate == (Step("#b", 900), Step("pagerduty:night", 1800))
    assert (second.quiet, second.digest, second.escalate) == ((1320, 420), 510, ())


def test_what_decides_the_names_of_series_has_a_name_of_its_own() -> None:
    parse = config.parse
    usual = parse("", "x", {})
    assert parse("grace: 20s\n", "x", {}).naming == usual.naming
    by_region = parse("limits: {attributes: [region]}\n", "x", {})
    of_one = parse("services: {a: {attributes: [region]}}\n", "x", {})
    assert len({usual.naming, by_region.naming, of_one.naming}) == 3


def test_a_secret_may_stand_in_a_file_that_a_variable_names(tmp_path: Path) -> None:
    file = tmp_path / "s3cret-name"
    file.write_text("  from-a-file\n")
    text = "receivers: {t: {teams: {url_env: TEAMS}}}\nlisten: {token_env: DOOR}"
    at = {"TEAMS_FILE": str(file), "DOOR_FILE": str(file), "SLACK_BOT_TOKEN_FILE": str(file)}
    found = parse(text, at)
    assert (found.receivers[0].url, found.slack.token) == ("from-a-file", "from-a-file")
    assert found.listen.tokens.opened_by("acting", "Bearer from-a-file") == "token_env"
    assert parse(text, at | {"TEAMS": "held"}).receivers[0].url == "held"
    assert config.secrets_from(at).slack.token == "from-a-file"
    for broken in (tmp_path / "s3cret-none", tmp_path, file):
        file.write_bytes(b"\xff\xfe")
        with pytest.raises(BadInput) as refused:
            parse(text, at | {"TEAMS_FILE": str(broken)})
        assert "s3cret" not in str(refused.value) and "receivers.t.teams.url_env" in str(refused.value)
        with pytest.raises(BadInput, match="SLACK_BOT_TOKEN_FILE"):
            config.secrets_from({"SLACK_BOT_TOKEN_FILE": str(broken)})
