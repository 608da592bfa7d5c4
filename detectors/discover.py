"""Signals from the names of metrics, when nobody configured any. Pure.

In: the series table. Out: signals, the same for the same series in any order.
Never: a signal that only might be meant: what is not named as errors of something, or as its way in and out,
is watched as a plain count or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from collector.bins import SeriesKey, SeriesTable
from detectors.signals import Signal, Term

WITHIN = 300  # seconds: far end of a flow inside one service
FAILED = ("failed", "failures", "failure", "errors", "error")
TOTALS = ("total", "started", "received", "count", "attempted", "attempts", "requests")
STORED = ("stored", "processed", "saved", "written")
DONE = (*STORED, "sent", "delivered", "completed", "handled")
# OpenTelemetry's semantic conventions: how many calls there were, and what says that one failed.
CALLS = (
    "http.server.request.duration",
    "http.server.duration",
    "http.server.requests",
    "rpc.server.duration",
    "rpc.server.call.duration",
    "messaging.process.duration",
    "messaging.client.consumed.messages",
)
STATUS = ("http.response.status_code", "http.status_code")
ERROR_TYPE = "error.type"


def discover(table: SeriesTable) -> tuple[Signal, ...]:
    """Signals for all services of `table`, sorted by service and name."""
    by_service: dict[str, list[SeriesKey]] = {}
    for key in table.keys:
        by_service.setdefault(key.service, []).append(key)
    found = [signal for service in by_service for signal in _of_service(service, by_service[service])]
    return tuple(sorted(found, key=lambda s: (s.service, s.name)))


def _of_service(service: str, keys: Sequence[SeriesKey]) -> list[Signal]:
    metrics: dict[str, list[SeriesKey]] = {}
    for key in keys:
        metrics.setdefault(key.metric, []).append(key)
    ratios = [*_by_name(service, metrics), *_by_attribute(service, metrics)]
    versions = any(key.version for key in keys)
    found: list[Signal] = []
    for stem, errors, total in sorted(ratios, key=lambda one: (one[0], one[1][0].metric)):
        # Two counters of errors of one thing are two signals.
        name = stem if [one[0] for one in ratios].count(stem) == 1 else errors[0].metric
        found.append(Signal(service, name, "error_ratio", errors, total))
        if versions:
            found.append(Signal(service, f"{name}_side_by_side", "rollout", errors, total))
    totals = {total[0].metric for _, _, total in ratios}
    failures = {errors[0].metric for _, errors, _ in ratios} - totals
    for metric in sorted(set(metrics) - failures):
        if metric in totals or _counts(metric):
            found.append(Signal(service, f"{metric}_arriving", "throughput", (Term(service, metric),)))
    found += _flows(service, metrics)
    return list({signal.name: signal for signal in reversed(found)}.values())


def _by_name(
    service: str, metrics: Mapping[str, object]
) -> Iterator[tuple[str, tuple[Term, ...], tuple[Term, ...]]]:
    """X_failed of X_total, errors of requests: (stem, errors, total)."""
    for metric in metrics:
        stem = _stem(metric, FAILED)
        if stem is None:
            continue
        total = next((name for name in _totals(stem) if name in metrics and name != metric), None)
        if total is not None:
            # A service that never failed reports no such counter: then it is zero.
            yield stem or metric, (Term(service, metric, sparse=True),), (Term(service, total),)


def _stem(metric: str, endings: Iterable[str]) -> str | None:
    """What `metric` is called without one of the endings; "" when it is nothing but an ending."""
    name = re.sub(r"[._]total$", "", metric)
    for ending in endings:
        if name == ending:
            return ""
        for joint in "_.":
            if name.endswith(joint + ending):
                return name[: -len(ending) - 1]
    return None


def _totals(stem: str) -> list[str]:
    """Names that the total of `stem` may have, the likeliest first."""
    if not stem:
        return ["requests", "requests_total", "requests.total", *TOTALS]
    singular = stem[:-1] if stem.endswith("s") else stem
    stems = dict.fromkeys([stem, singular, singular + "s", singular + "es"])
    joined = [f"{one}{joint}{ending}" for one in stems for ending in TOTALS for joint in "_."]
    # Prometheus adds `_total` to the names of all counters.
    return [*joined, *(f"{name}_total" for name in joined), *stems]


def _by_attribute(
    service: str, metrics: Mapping[str, Sequence[SeriesKey]]
) -> Iterator[tuple[str, tuple[Term, ...], tuple[Term, ...]]]:
    """Calls whose attributes say that they failed: (stem, errors, total).

    error.type is set on every failed call, where it is used at all; without it the status tells.
    """
    for metric in CALLS:
        keys = metrics.get(metric, ())
        failed = {
            (name, value) for key in keys for name, value in key.attributes if name == ERROR_TYPE and value
        }
        if not failed:
            failed = {
                (name, value)
                for key in keys
                for name, value in key.attributes
                if name in STATUS and re.fullmatch("5[0-9][0-9]", value)
            }
        if failed:
            errors = tuple(Term(service, metric, (pair,), sparse=True) for pair in sorted(failed))
            yield metric.removesuffix(".duration"), errors, (Term(service, metric),)


def _counts(metric: str) -> bool:
    """Is it a count of things that come in or get done, by its name?"""
    return metric in CALLS or metric == "requests" or _stem(metric, (*TOTALS, *DONE)) is not None


def _flows(service: str, metrics: Mapping[str, object]) -> Iterator[Signal]:
    """What was received is stored, or failed."""
    for metric in sorted(metrics):
        stem = _stem(metric, ("received",))
        if stem is None:
            continue
        stored = [name for name in metrics if _stem(name, STORED) == stem]
        if len(stored) != 1:
            continue
        failed = [name for name in metrics if _stem(name, FAILED) == stem]
        out = (Term(service, stored[0]), *(Term(service, name, sparse=True) for name in sorted(failed)))
        yield Signal(service, f"{stem or metric}_kept", "flow", out, (Term(service, metric),), WITHIN)
