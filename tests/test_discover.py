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
