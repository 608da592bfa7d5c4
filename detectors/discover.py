"""Signals from the names of metrics, when nobody configured any. Pure.

In: the series table. Out: signals, the same for the same series in any order.
Never: a signal that only might be meant: what is not named as errors of something, or as its way in and out,
is watched as a plain count or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from collector.bins import SeriesKey, SeriesTable
from detectors.signals import Signal, Term

WITHIN = 300  # seconds: far end of a flow inside one service
FAILED = ("failed", "failures", "failure", "errors", "error")
TOTALS = ("total", "started", "received", "count", "attempted", "attempts", "requests")
STORED = ("stored", "processed", "saved", "written")
DONE = (*STORED, "sent", "delivered", "completed", "handled")
# OpenTelemetry's semantic conventions, present and past (https://opentelemetry.io/docs/specs/semconv/): how many
# calls or messages there were. Spring Boot's http.server.requests goes by the status as well.
CALLS = (
    "http.server.request.duration",
    "http.server.duration",
    "http.server.requests",
    "rpc.server.call.duration",
    "rpc.server.duration",
    "messaging.client.sent.messages",
    "messaging.client.published.messages",
    "messaging.client.consumed.messages",
    "messaging.client.operation.duration",
    "messaging.process.duration",
    "messaging.publish.messages",
    "messaging.publish.duration",
    "messaging.receive.messages",
    "messaging.receive.duration",
    "messaging.process.messages",
)
# What says that a call failed, the surest first: an attribute, and the values that are failures of the server.
ERROR_TYPE = ("error.type", "error_type")
_HTTP = re.compile("5([0-9][0-9]|xx)")
# The codes that the conventions take for errors of a server, as names (also as Go spells them) and gRPC's numbers.
_RPC = re.compile(
    "UNKNOWN|DEADLINE_EXCEEDED|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS|"
    "Unknown|DeadlineExceeded|Unimplemented|Internal|Unavailable|DataLoss|2|4|12|13|14|15"
)
STATUS = {
    "http.response.status_code": _HTTP,
    "http.status_code": _HTTP,
    "http_response_status_code": _HTTP,
    "http_status_code": _HTTP,
    "status_code": _HTTP,
    "response_code": _HTTP,
    "code": _HTTP,
    "status": _HTTP,
    "rpc.response.status_code": _RPC,
    "rpc.grpc.status_code": _RPC,
    "rpc_response_status_code": _RPC,
    "rpc_grpc_status_code": _RPC,
    "grpc_code": _RPC,
}
# The same as Prometheus has them: points become underscores, units and kinds are appended
# (https://prometheus.io/docs/practices/naming/), and what is no OpenTelemetry is called by its requests.
_KIND, _UNIT = re.compile("_(total|count)$"), re.compile("_(seconds|milliseconds|ms)$")
_SPELLED = frozenset(name.replace(".", "_") for name in CALLS)
_REQUESTS = re.compile("(.+_)?(requests?|handled)(_duration|_latency)?")
# What a process tells of itself, and no service of its work: the client libraries of Prometheus and the runtime
# conventions of OpenTelemetry. A server of Prometheus counts hundreds of its own doings: what fails is asked.
_RUNTIME = re.compile(
    "(go_(memstats|gc|cgo|sched|cpu|sync|godebug)_|process_(cpu|network)_|python_gc_|jvm[._]|nodejs[._]|dotnet[._]|"
    "ruby_|promhttp_|scrape_|process[.](runtime|cpu|memory|disk|network|paging|context_switches)|(cpython|v8js)[.]|"
    "go[.](memory|schedule|processor|goroutine|config)).*"
)
_SERVER = "prometheus_"
_NO_EVENTS = re.compile(".*[._](seconds|milliseconds|bytes|octets|joules)([._]total)?")
ENVIRONMENT = "deployment.environment.name"
PRODUCTION = ("production", "prod", "prd", "live", "")


def discover(table: SeriesTable) -> tuple[Signal, ...]:
    """Signals for all services of `table`, sorted by service and name."""
    by_service: dict[str, list[SeriesKey]] = {}
    runtime = {name for name in {key.metric for key in table.keys} if _RUNTIME.fullmatch(name)}
    for key in table.keys:
        if key.metric in runtime:
            continue
        by_service.setdefault(key.service, []).append(key)
    found = [signal for service in by_service for signal in _of_service(service, by_service[service])]
    return tuple(sorted(found, key=lambda s: (s.service, s.name)))


def _of_service(service: str, keys: Sequence[SeriesKey]) -> list[Signal]:
    """Production has the plain names; what fails in another environment is another signal."""
    by_environment: dict[str, list[SeriesKey]] = {}
    for key in keys:
        said = _environment(key)
        by_environment.setdefault("" if said in PRODUCTION else said, []).append(key)
    apart = len(by_environment) > 1
    found: dict[str, Signal] = {}
    for environment, its in by_environment.items():
        for signal in _of_environment(_Metrics(service, its, apart)):
            name = f"{signal.name} ({environment})" if environment else signal.name
            found[name] = replace(signal, name=name)
    return list(found.values())


def _environment(key: SeriesKey) -> str:
    return next((value for name, value in key.attributes if name == ENVIRONMENT), "")


class _Metrics:
    """The metrics of a service in one environment. apart: the service has others, to be left out."""

    def __init__(self, service: str, keys: Sequence[SeriesKey], apart: bool) -> None:
        self.service = service
        self.keys: dict[str, list[SeriesKey]] = {}
        self.versions = any(key.version for key in keys)
        self._apart = apart
        for key in keys:
            self.keys.setdefault(key.metric, []).append(key)

    def terms(
        self, metric: str, where: tuple[tuple[str, str], ...] = (), sparse: bool = False
    ) -> tuple[Term, ...]:
        """All series of a metric that hold `where`."""
        if not self._apart:
            return (Term(self.service, metric, where, sparse),)
        environments = sorted({_environment(key) for key in self.keys[metric]})
        return tuple(Term(self.service, metric, (*where, (ENVIRONMENT, one)), sparse) for one in environments)


def _of_environment(metrics: _Metrics) -> list[Signal]:
    ratios = [*_by_name(metrics), *_by_attribute(metrics)]
    found: list[Signal] = []
    for stem, errors, total in sorted(ratios, key=lambda one: (one[0], one[1][0].metric)):
        # Two counters of errors of one thing are two signals.
        name = stem if [one[0] for one in ratios].count(stem) == 1 else errors[0].metric
        found.append(Signal(metrics.service, name, "error_ratio", errors, total))
        if metrics.versions:
            found.append(Signal(metrics.service, f"{name}_side_by_side", "rollout", errors, total))
    totals = {total[0].metric for _, _, total in ratios}
    failures = {errors[0].metric for _, errors, _ in ratios} - totals
    twice = {metric for metric in metrics.keys if metric not in totals and _same(metric) & totals}
    for metric in sorted(set(metrics.keys) - failures - twice):
        if (metric in totals and not metric.startswith(_SERVER)) or _counts(metric):
            found.append(Signal(metrics.service, f"{metric}_arriving", "throughput", metrics.terms(metric)))
    found += _flows(metrics)
    return list({signal.name: signal for signal in reversed(found)}.values())


def _by_name(metrics: _Metrics) -> Iterator[tuple[str, tuple[Term, ...], tuple[Term, ...]]]:
    """X_failed of X_total, errors of requests: (stem, errors, total)."""
    for metric in metrics.keys:
        stem = _stem(metric, FAILED)
        if stem is None:
            continue
        total = next((name for name in _totals(stem) if name in metrics.keys and name != metric), None)
        if total is not None:
            # A service that never failed reports no such counter: then it is zero.
            yield stem or metric, metrics.terms(metric, sparse=True), metrics.terms(total)


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


def _by_attribute(metrics: _Metrics) -> Iterator[tuple[str, tuple[Term, ...], tuple[Term, ...]]]:
    """Calls whose attributes say that they failed: (stem, errors, total).

    error.type is set on every failed call, where it is used at all; without it the status tells. Requests that are
    counted, and counted again by how long they took, are one signal.
    """
    there = [metric for metric in CALLS if metric in metrics.keys]
    calls = (metric for metric in metrics.keys if _is_calls(metric))
    there += sorted(calls, key=lambda metric: (len(_same(metric)), metric))
    found = set[str]()
    for metric in there:
        if _same(metric) & found:
            continue
        pairs = {pair for key in metrics.keys.get(metric, ()) for pair in key.attributes}
        failed = {pair for pair in pairs if pair[0] in ERROR_TYPE and pair[1]}
        for name, failures in STATUS.items():
            # One attribute only: a call that two of them call failed would count twice.
            failed = failed or {pair for pair in pairs if pair[0] == name and failures.fullmatch(pair[1])}
        if failed:
            errors = tuple(
                term for pair in sorted(failed) for term in metrics.terms(metric, (pair,), sparse=True)
            )
            found.add(metric)
            yield _bare(metric).removesuffix(".duration"), errors, metrics.terms(metric)


def _bare(metric: str) -> str:
    """A name of Prometheus without kind, unit and what was measured."""
    bare = _UNIT.sub("", _KIND.sub("", metric))
    return re.sub("_(duration|latency)$", "", bare) if "_" in metric else bare


def _same(metric: str) -> set[str]:
    """The names under which the requests of this metric may be counted, if it counts how long they take."""
    stem = _bare(metric)
    if not re.search("_(duration|latency|seconds|milliseconds|ms)(_|$)", metric):
        return set()
    return {f"{one}_total" for one in (stem, f"{stem}s")}


def _is_calls(metric: str) -> bool:
    """Does Prometheus call what a service was asked for like that? What it asks of others is theirs."""
    name = _UNIT.sub("", _KIND.sub("", metric))
    asks = {"client", "outgoing", "upstream"} & set(metric.split("_"))
    return "_" in metric and (name in _SPELLED or (not asks and _REQUESTS.fullmatch(name) is not None))


def _counts(metric: str) -> bool:
    """Is it a count of things that come in or get done, by its name?"""
    if metric.startswith(_SERVER) or (_NO_EVENTS.fullmatch(metric) and not _is_calls(metric)):
        return False
    return metric in CALLS or metric == "requests" or _stem(metric, (*TOTALS, *DONE)) is not None


def _flows(metrics: _Metrics) -> Iterator[Signal]:
    """What was received is stored, or failed."""
    for metric in sorted(metrics.keys):
        stem = _stem(metric, ("received",))
        if stem is None:
            continue
        stored = [name for name in metrics.keys if _stem(name, STORED) == stem]
        if len(stored) != 1:
            continue
        failed = [name for name in metrics.keys if _stem(name, FAILED) == stem]
        out = (
            *metrics.terms(stored[0]),
            *(term for name in sorted(failed) for term in metrics.terms(name, sparse=True)),
        )
        yield Signal(metrics.service, f"{stem or metric}_kept", "flow", out, metrics.terms(metric), WITHIN)
