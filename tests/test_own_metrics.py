"""Stillwatch measures itself: /metrics and OTLP out say what is so, by the names that the documents give."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from programs import needs
from prometheus_client.parser import text_string_to_metric_families
from test_daemon import Daemon, Service, eventually
from web_server import Reply, Request, WebServer

from alerts.messages import Message
from alerts.outbox import Receipt, SendFailed
from stillwatch.live import Figures
from stillwatch.own_metrics import INSTRUMENTS, STAGES, OwnMetrics, Standing

ROOT = Path(__file__).parent.parent
RULES = ROOT / "deploy" / "alerts.yaml"
promtool = needs("promtool")


def prometheus_name(name: str, unit: str, kind: str) -> str:
    """As OpenTelemetry's "Prometheus and OpenMetrics Compatibility" has it."""
    known = {"s": "_seconds", "By": "_bytes"}
    return name.replace(".", "_") + known.get(unit, "") + ("_total" if kind == "counter" else "")


class Somebody:
    """A place that takes one message, and no second."""

    taken = 0

    def send(self, message: Message, **_: Any) -> Receipt:
        self.taken += 1
        if self.taken > 1:
            raise SendFailed("full", "refused")
        return Receipt("C1", "1")


FULL = Standing(
    now=1000,
    watch=Figures(taken=7, refused={"late": 2, "too old": 3}, watermark=940, snapshot_bytes=9, blind=60),
    waiting=(990, 400),
    given_up=1,
    answered={"prom": 930, "new": 0},
    failing={"prom": 0, "new": 1},
    beats={"taken": 1},
    reloads={"taken": 1},
)


def full(reader: InMemoryMetricReader | None = None) -> OwnMetrics:
    own = OwnMetrics(lambda: 1000, [reader] if reader else [])
    own.watch(lambda: FULL)
    with own.stage("tick"), own.stage("close"):
        pass
    counted = own.counting(Somebody(), "slack")
    counted.send(Message("k", "C1", "text"))
    with pytest.raises(SendFailed):
        counted.send(Message("k", "C1", "text"))
    return own


def test_metrics_exports_the_table_and_nothing_else() -> None:
    own = full()
    found = {f.name: f for f in text_string_to_metric_families(own.text()[0].decode())}
    wanted = {prometheus_name(i.name, i.unit, i.kind): i for i in INSTRUMENTS}
    assert {f"{n}_total" if f.type == "counter" else n for n, f in found.items()} == {*wanted, "target_info"}
    for name, instrument in wanted.items():
        family = found[name.removesuffix("_total")]
        assert (family.type, family.documentation) == (instrument.kind, instrument.means)
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels == {label.replace(".", "_") for label in instrument.labels}


def test_otlp_carries_the_same_names_and_units() -> None:
    reader = InMemoryMetricReader()
    full(reader)
    data = reader.get_metrics_data()
    assert data is not None
    (of,) = data.resource_metrics
    assert of.resource.attributes["service.name"] == "stillwatch"
    told = {(m.name, m.unit) for scope in of.scope_metrics for m in scope.metrics}
    assert told == {(i.name, i.unit) for i in INSTRUMENTS}


def test_what_is_exported_is_what_is_so() -> None:
    own = full()
    samples = {
        (s.name, *sorted(s.labels.values())): s.value
        for family in text_string_to_metric_families(own.text()[0].decode())
        for s in family.samples
    }
    assert samples["stillwatch_points_taken_total",] == 7
    assert samples["stillwatch_points_late_total",] == 2
    assert samples["stillwatch_points_refused_total", "too old"] == 3
    assert ("stillwatch_points_refused_total", "late") not in samples
    assert samples["stillwatch_watermark_age_seconds",] == 60
    assert samples["stillwatch_outbox_waiting",] == 2
    assert samples["stillwatch_outbox_oldest_age_seconds",] == 600
    assert samples["stillwatch_source_answer_age_seconds", "prom"] == 70
    assert ("stillwatch_source_answer_age_seconds", "new") not in samples  # it never did
    assert samples["stillwatch_source_failing", "new"] == 1
    assert samples["stillwatch_deliveries_total", "sent", "slack"] == 1
    assert samples["stillwatch_deliveries_total", "refused", "slack"] == 1
    assert samples["stillwatch_tick_duration_seconds_count",] == 1
    assert samples["process_memory_usage_bytes",] > 1_000_000


def test_one_reading_looks_once() -> None:
    looks = []
    own = OwnMetrics(lambda: 1000)
    own.watch(lambda: looks.append(1) or FULL)  # type: ignore[func-returns-value]
    own.text()
    assert len(looks) == 1


def test_the_table_in_the_documents_is_what_is_exported() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `((?:stillwatch|process)\.[\w.]+)` \| (\w+) \| (.*?) \| (.*?) \|", text, re.M)
    assert rows == [
        (i.name, i.kind, f"`{i.unit}`" if i.unit else "", ", ".join(f"`{one}`" for one in i.labels))
        for i in INSTRUMENTS
    ]


# Of a real daemon.


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    made: list[Daemon] = []

    def one(name: str, **kwargs: Any) -> Daemon:
        folder = tmp_path / name
        folder.mkdir()
        made.append(Daemon(folder, interval="5s", **kwargs))
        return made[-1]

    yield one
    for daemon in made:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()


def scraped(daemon: Daemon, token: str = "let-me-in") -> dict[str, float]:
    """By name and labels, as they are written."""
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx2.get(f"{daemon.url}/metrics", headers=headers, trust_env=False)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.mark.slow
@promtool
def test_a_daemon_says_what_it_took_and_how_long_its_ticks_take(make: Callable[..., Daemon]) -> None:
    daemon = make("a").start()
    service = Service(daemon, deltas=True)
    for _ in range(3):
        service.started.add(5)
        service.export()
    service.close()
    assert httpx2.get(f"{daemon.url}/metrics", trust_env=False).status_code == 401
    eventually(lambda: scraped(daemon)["stillwatch_intervals_judged_total"] >= 2)
    said = scraped(daemon)
    assert said["stillwatch_points_taken_total"] == 3
    assert said["stillwatch_series"] == 1
    assert said["stillwatch_evidence_judged_total"] == said["stillwatch_intervals_judged_total"]  # one signal
    assert said["stillwatch_tick_duration_seconds_count"] <= said["stillwatch_intervals_judged_total"] + 1
    for stage in STAGES:
        assert said[f'stillwatch_tick_stage_duration_seconds_count{{stage="{stage}"}}'] >= 1
    assert said["stillwatch_store_usable"] == 1
    assert said["stillwatch_watermark_age_seconds"] < 20
    text = httpx2.get(f"{daemon.url}/metrics", headers={"Authorization": "Bearer let-me-in"}, trust_env=False)
    lint = subprocess.run(
        ["promtool", "check", "metrics"], input=text.content, capture_output=True, timeout=60
    )
    assert (lint.returncode, lint.stderr.decode()) == (0, "")


@pytest.mark.slow
def test_one_stillwatch_watches_another_over_otlp(make: Callable[..., Daemon]) -> None:
    watcher = make("watcher").start()
    telemetry = f'telemetry: {{url: "{watcher.url}", token_env: DOOR_TOKEN, every: 5s}}\n'
    daemon = make("watched", more=telemetry).start()
    service = Service(daemon, deltas=True)
    for _ in range(2):
        service.started.add(5)
        service.export()
        time.sleep(6)
    service.close()

    def told() -> set[str]:
        store = watcher.store()
        try:
            return {key.metric for key in store.table().keys if key.service == "stillwatch"}
        finally:
            store.close()

    counters = {i.name for i in INSTRUMENTS if i.kind == "counter" and i.read and not i.labels}
    eventually(lambda: counters <= told(), 40)
    watcher.end()
    eventually(lambda: "does not take our metrics" in daemon.said(), 40)
    begun = time.monotonic()
    assert daemon.end() == 0
    assert time.monotonic() - begun < 5  # though nobody takes its last words
    assert daemon.said().count("does not take our metrics") == 1
    assert "let-me-in" not in daemon.said()


@pytest.mark.slow
def test_a_tick_is_a_trace_with_its_stages(make: Callable[..., Daemon]) -> None:
    spans: dict[str, set[str]] = {}

    def take(request: Request) -> Reply:
        if request.path == "/v1/traces":
            for of in ExportTraceServiceRequest.FromString(request.body).resource_spans:
                for span in (one for scope in of.scope_spans for one in scope.spans):
                    spans.setdefault(span.trace_id.hex(), set()).add(span.name)
        return Reply()

    with WebServer(take) as receiver:
        make("a", more=f'telemetry: {{url: "{receiver.url}", every: 5s, traces: true}}\n').start()
        eventually(lambda: any({"tick", "close", "advance", "commit"} <= of for of in spans.values()), 40)


# What may be alerted about it.


@promtool
def test_the_alerts_about_ourselves_are_rules_that_prometheus_takes() -> None:
    done = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, timeout=60, text=True)
    assert done.returncode == 0, done.stderr


def test_the_alerts_ask_for_what_is_exported_and_are_explained() -> None:
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    exported = {prometheus_name(i.name, i.unit, i.kind) for i in INSTRUMENTS}
    for rule in rules:
        asked = set(re.findall(r"\b(?:stillwatch|process)_\w+", rule["expr"]))
        assert asked <= exported
        assert asked or rule["alert"] == "StillwatchDown"
    text = (ROOT / "docs" / "operations.md").read_text()
    explained = re.findall(r"^\| `(Stillwatch\w+)` \|", text, re.M)
    assert explained == [rule["alert"] for rule in rules]


WRONG = {  # alert: (the series that shows it, its values from minute to minute, the labels that it has)
    "StillwatchDown": ('up{job="stillwatch"}', "0x30", 'job="stillwatch"'),
    "StillwatchBehind": ("stillwatch_tick_lag_seconds{}", "0 90x30", ""),
    "StillwatchBlind": ("stillwatch_blind_duration_seconds_total{}", "0+60x30", ""),
    "StillwatchDatabaseUnusable": ("stillwatch_store_usable{}", "0x30", ""),
    "StillwatchNotDelivering": ("stillwatch_outbox_oldest_age_seconds{}", "0+60x30", ""),
    "StillwatchGaveUp": ("stillwatch_outbox_given_up{}", "0x25 1x5", ""),
    "StillwatchSourceSilent": ('stillwatch_source_answer_age_seconds{source="p"}', "0+60x30", 'source="p"'),
    "StillwatchRefuses": ('stillwatch_points_refused_total{reason="too old"}', "0+5x30", 'reason="too old"'),
    "StillwatchSettingsRefused": ("stillwatch_settings_refused{}", "0 1x30", ""),
    "StillwatchHearsNobody": ("stillwatch_points_taken_total{}", "7x40", ""),
}


@promtool
@pytest.mark.parametrize("alert", sorted(WRONG))
def test_an_alert_about_ourselves_fires_when_it_should_and_not_else(alert: str, tmp_path: Path) -> None:
    series, values, labels = WRONG[alert]
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    (rule,) = (one for one in rules if one["alert"] == alert)
    well = {
        'up{job="stillwatch"}': "1x40", "stillwatch_tick_lag_seconds{}": "0 2 0x40",
        "stillwatch_blind_duration_seconds_total{}": "60x40", "stillwatch_store_usable{}": "1x40",
        "stillwatch_outbox_oldest_age_seconds{}": "0 90 0x40", "stillwatch_outbox_given_up{}": "3x40",
        'stillwatch_source_answer_age_seconds{source="p"}': "30x40",
        'stillwatch_source_failing{source="p"}': "0x40",
        "stillwatch_settings_refused{}": "0 1x3 0x40",
        'stillwatch_points_refused_total{reason="too old"}': "5x40", "stillwatch_points_taken_total{}": "0+5x40",
    }  # fmt: skip
    ill = dict(well) | {series: values}
    if alert == "StillwatchHearsNobody":  # of a daemon that asks nobody either
        ill = {name: of for name, of in ill.items() if "source" not in name}
    severity = {"severity": rule["labels"]["severity"]}
    named = {k: v.strip('"') for k, v in (one.split("=") for one in labels.split(",") if one)}
    tests = []
    for name, given in (("ill", ill), ("well", well)):
        fires = [{"exp_labels": severity | named}] if name == "ill" else []
        for_test = [{"series": k, "values": v} for k, v in given.items()]
        asked = {"eval_time": "30m", "alertname": alert, "exp_alerts": fires}
        tests.append({"name": name, "interval": "1m", "input_series": for_test, "alert_rule_test": [asked]})
    for one in rules:
        one.pop("annotations")  # their words hold the values
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))
    whole = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(whole))
    done = subprocess.run(
        ["promtool", "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, timeout=60, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
