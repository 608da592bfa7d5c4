"""Signals by names: what is obvious is found, what is not is left alone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from collector import dataset
from collector.bins import SeriesKey, SeriesTable
from detectors.discover import discover
from detectors.plan import lay
from detectors.signals import Budget, Signal

SAMPLES = Path(__file__).parent.parent / "sample_data"


def found(*metrics: str | SeriesKey) -> dict[str, Signal]:
    table = SeriesTable(m if isinstance(m, SeriesKey) else SeriesKey("a", m) for m in metrics)
    signals = discover(table)
    assert len({(s.service, s.name) for s in signals}) == len(signals)
    return {s.name: s for s in signals}


def sides(signal: Signal) -> tuple[list[str], list[str]]:
    return [t.metric for t in signal.counted], [t.metric for t in signal.out_of]


@pytest.mark.parametrize(
    ("errors", "total"),
    [
        ("imports_failed", "imports_total"),
        ("imports_failed", "imports_started"),
        ("imports_failed", "imports_received"),
        ("imports_failed", "imports"),
        ("import_failed", "imports"),
        ("imports_failed_total", "imports_total"),
        ("imports_failed_total", "imports_started_total"),
        ("import_errors", "imports"),
        ("jobs.errors", "jobs.total"),
        ("job.failures", "jobs.started"),
        ("errors", "requests"),
        ("errors_total", "requests_total"),
        ("batch_failures", "batches"),
    ],
)
def test_errors_are_paired_with_what_they_are_errors_of(errors: str, total: str) -> None:
    (ratio,) = [s for s in found(errors, total, "stray").values() if s.kind == "error_ratio"]
    assert sides(ratio) == ([errors], [total])
    assert ratio.counted[0].sparse
    assert not ratio.out_of[0].sparse


@pytest.mark.parametrize(
    "metrics",
    [
        ("imports_failed", "exports_total"),
        ("queue_depth", "cpu"),
        ("failed",),
        ("imports_failed",),
        ("errors",),
    ],
)
def test_what_has_no_total_is_no_ratio(metrics: tuple[str, ...]) -> None:
    assert all(s.kind == "throughput" for s in found(*metrics).values())


def test_a_total_is_watched_by_itself_too_and_errors_are_not() -> None:
    counted = [
        s.counted[0].metric for s in found("imports_failed", "imports").values() if s.kind == "throughput"
    ]
    assert counted == ["imports"]


def test_services_are_not_mixed() -> None:
    assert not [s for s in found(SeriesKey("a", "x_failed"), SeriesKey("b", "x_total")).values() if s.out_of]


def test_an_obvious_flow_is_found_and_an_ambiguous_one_is_not() -> None:
    flow = found("events_received", "events_stored", "events_failed")["events_kept"]
    assert sides(flow) == (["events_stored", "events_failed"], ["events_received"])
    assert flow.within > 0
    assert "events_kept" not in found("events_received", "events_stored", "events_saved")
    assert "events_kept" not in found("events_received", "opens_stored")


def test_versions_are_compared_side_by_side() -> None:
    signals = found(SeriesKey("a", "x_failed", "1"), SeriesKey("a", "x_total", "1"))
    assert signals["x_side_by_side"].kind == "rollout"
    assert "x_side_by_side" not in found("x_failed", "x_total")


@pytest.mark.parametrize(
    ("attributes", "where"),
    [
        (
            [(("error.type", "timeout"),), (("error.type", "500"), ("http.response.status_code", "500")), ()],
            [(("error.type", "500"),), (("error.type", "timeout"),)],
        ),
        (
            [(("http.response.status_code", c),) for c in ("200", "404", "500", "503")],
            [(("http.response.status_code", "500"),), (("http.response.status_code", "503"),)],
        ),
    ],
    ids=["error.type", "status code"],
)
def test_opentelemetry_says_by_attributes_which_calls_failed(
    attributes: list[tuple[tuple[str, str], ...]], where: list[tuple[tuple[str, str], ...]]
) -> None:
    keys = [SeriesKey("a", "http.server.request.duration", "", pairs) for pairs in attributes]
    ratio = found(*keys)["http.server.request"]
    assert [t.where for t in ratio.counted] == where
    assert sides(ratio)[1] == ["http.server.request.duration"]
    assert ratio.out_of[0].where == ()


@pytest.mark.parametrize(
    ("metric", "attribute", "failures", "others"),
    [
        ("http.server.request.duration", "http.response.status_code", ["500", "503"], ["200", "404", "429"]),
        ("http.server.duration", "http.status_code", ["500"], ["200", "404"]),
        ("http.server.requests", "status", ["502"], ["201", "400"]),
        (
            "rpc.server.call.duration",
            "rpc.response.status_code",
            ["DATA_LOSS", "UNAVAILABLE"],
            ["OK", "NOT_FOUND"],
        ),
        ("rpc.server.duration", "rpc.grpc.status_code", ["13", "14"], ["0", "5", "16"]),
        ("messaging.process.duration", "error.type", ["amqp:decode-error"], []),
        ("messaging.client.sent.messages", "error.type", ["KAFKA_STORAGE_ERROR"], []),
        ("messaging.client.consumed.messages", "error.type", ["timeout"], []),
    ],
)
def test_conventions_are_understood(
    metric: str, attribute: str, failures: list[str], others: list[str]
) -> None:
    keys = [SeriesKey("a", metric, "", ((attribute, value),)) for value in (*failures, *others)]
    signals = found(SeriesKey("a", metric), *keys)
    ratio = signals[metric.removesuffix(".duration")]
    assert [term.where for term in ratio.counted] == [((attribute, value),) for value in failures]
    assert sides(ratio)[1] == [metric]
    assert signals[f"{metric}_arriving"].kind == "throughput"


def test_a_call_that_two_attributes_call_failed_is_counted_once() -> None:
    both = (("error.type", "500"), ("http.response.status_code", "500"))
    (term,) = found(SeriesKey("a", "http.server.request.duration", "", both))["http.server.request"].counted
    assert term.where == (("error.type", "500"),)


def test_what_fails_in_another_environment_is_another_signal_and_production_keeps_its_name() -> None:
    def keys(environment: str) -> list[SeriesKey]:
        pairs = (("deployment.environment.name", environment),) if environment else ()
        return [SeriesKey("a", name, "", pairs) for name in ("x_failed", "x_total")]

    alone = found(*keys("production"))
    assert set(alone) == {"x", "x_total_arriving"}
    assert alone["x"].out_of[0].where == ()
    both = found(*keys("production"), *keys("staging"), *keys(""))
    assert set(both) == {f"{name}{of}" for name in alone for of in ("", " (staging)")}
    table = SeriesTable([*keys("production"), *keys("staging"), *keys("")])
    plan = lay(discover(table), table, 60, Budget())
    of, summed = plan.out_of, {}
    for c, chart in enumerate(plan.charts):
        first, last = (of.members[of.groups[of.terms[i]]] for i in (c, c + 1))
        summed[plan.signals[chart.family].name] = {table.keys[row].attributes for row in of.row[first:last]}
    environment = "deployment.environment.name"
    assert summed["x"] == {(), ((environment, "production"),)}
    assert summed["x (staging)"] == {((environment, "staging"),)}
    assert set(found(*keys("staging"))) == {"x (staging)", "x_total_arriving (staging)"}


def test_the_order_of_series_is_nothing() -> None:
    keys = list(dataset.read(SAMPLES / "quiet_night", 60, 15).table.keys)
    keys += [
        SeriesKey("b", m, v) for m in ("x_failed", "x_errors", "xs", "x_received", "x_stored") for v in "12"
    ]
    expected = discover(SeriesTable(keys))
    for seed in range(5):
        random.Random(seed).shuffle(keys)
        assert discover(SeriesTable(keys)) == expected


def test_two_counters_of_errors_of_one_thing_are_two_signals() -> None:
    ratios = [s for s in found("x_failed", "x_errors", "x_total").values() if s.kind == "error_ratio"]
    assert sorted(s.counted[0].metric for s in ratios) == ["x_errors", "x_failed"]


def test_what_is_found_can_be_laid_onto_the_series() -> None:
    table = dataset.read(SAMPLES / "quiet_night", 60, 15).table
    signals = discover(table)
    assert len(lay(signals, table, 60, Budget()).charts) >= len(signals) > 0


# As Prometheus has it.


def series(metric: str, **attributes: str) -> SeriesKey:
    return SeriesKey("a", metric, "", tuple(sorted(attributes.items())))


@pytest.mark.parametrize(
    ("metric", "label", "good", "bad", "name"),
    [
        ("http_requests_total", "code", "200", "503", "http_requests"),
        ("http_requests_total", "status", "404", "500", "http_requests"),
        ("http_requests_total", "status_code", "2xx", "5xx", "http_requests"),
        ("http_request_duration_seconds_count", "code", "200", "500", "http_request"),
        ("http_server_requests_seconds_count", "status", "200", "500", "http_server_requests"),
        (
            "http_server_request_duration_seconds_count", "http_response_status_code", "200", "502",
            "http_server_request",
        ),
        ("http_server_request_duration_seconds", "http_response_status_code", "200", "502", "http_server_request"),
        ("http_server_request_duration_seconds_count", "error_type", "", "timeout", "http_server_request"),
        ("http_server_duration_milliseconds_count", "http_status_code", "200", "500", "http_server"),
        ("grpc_server_handled_total", "grpc_code", "OK", "DeadlineExceeded", "grpc_server_handled"),
        ("grpc_server_handled_total", "grpc_code", "NOT_FOUND", "UNAVAILABLE", "grpc_server_handled"),
        ("rpc_server_duration_milliseconds_count", "rpc_grpc_status_code", "0", "13", "rpc_server"),
        ("messaging_client_consumed_messages_total", "error_type", "", "x.Y", "messaging_client_consumed_messages"),
        ("istio_requests_total", "response_code", "200", "503", "istio_requests"),
    ],
)  # fmt: skip
def test_what_prometheus_calls_requests_becomes_a_ratio_by_its_labels(
    metric: str, label: str, good: str, bad: str, name: str
) -> None:
    signals = found(series(metric, **{label: good}), series(metric, **{label: bad}))
    ratio = signals[name]
    assert ratio.kind == "error_ratio"
    assert [(t.metric, t.where, t.sparse) for t in ratio.counted] == [(metric, ((label, bad),), True)]
    assert [(t.metric, t.where) for t in ratio.out_of] == [(metric, ())]
    assert [s for s in signals.values() if s.kind != "error_ratio"] == [signals[f"{metric}_arriving"]]


def test_requests_that_are_counted_and_timed_are_one_signal() -> None:
    codes = ("200", "500")
    counted = [series("http_requests_total", code=code) for code in codes]
    timed = [series("http_request_duration_seconds_count", code=code) for code in codes]
    assert set(found(*counted, *timed)) == {"http_requests", "http_requests_total_arriving"}
    assert set(found(*timed)) == {"http_request", "http_request_duration_seconds_count_arriving"}


@pytest.mark.parametrize(
    ("errors", "total"),
    [
        ("orders_errors_total", "orders_total"),
        ("order_failures_total", "orders_total"),
        ("prometheus_rule_evaluation_failures_total", "prometheus_rule_evaluations_total"),
    ],
)
def test_errors_of_prometheus_are_paired_as_any_other(errors: str, total: str) -> None:
    signals = found(errors, total)
    (ratio,) = [s for s in signals.values() if s.kind == "error_ratio"]
    assert sides(ratio) == ([errors], [total])
    assert len(signals) == 1 + (not total.startswith("prometheus_"))


RUNTIME = (
    "go_memstats_alloc_bytes_total", "go_memstats_mallocs_total", "go_gc_cycles_total_gc_cycles_total",
    "go_sched_latencies_seconds_count", "process_cpu_seconds_total", "process_network_receive_bytes_total",
    "python_gc_collections_total", "python_gc_objects_collected_total", "jvm_gc_collection_seconds_count",
    "jvm.gc.duration", "process.cpu.time", "process.runtime.cpython.gc_count", "nodejs_gc_duration_seconds_count",
    "promhttp_metric_handler_requests_total", "scrape_samples_total", "prometheus_tsdb_head_series_created_total",
    "container_cpu_usage_seconds_total", "node_network_receive_bytes_total", "dotnet.gc.collections",
)  # fmt: skip


def test_what_a_process_tells_of_itself_is_no_signal() -> None:
    of_itself = [series(name, code=code) for name in RUNTIME for code in ("200", "500")]
    assert not found(*of_itself)
    assert set(found(*of_itself, "orders_received_total")) == {"orders_received_total_arriving"}
    # What a service does may be called like a part of one.
    assert "process_jobs" in found("process_jobs_failed_total", "process_jobs_total")
    assert "go_orders" in found("go_orders_failed_total", "go_orders_total")


def test_what_a_service_asks_of_others_is_no_failure_of_its_own() -> None:
    signals = found(*(series("http_client_requests_total", code=code) for code in ("200", "500")))
    assert all(s.kind == "throughput" for s in signals.values())
