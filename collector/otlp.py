"""The body of an OTLP metrics request becomes Readings.

In: bytes, unpacked already (protobuf or JSON). Out: Readings, or BadRequest with a reason.
Never: a clock, an answer to the sender, a count made of a gauge: what counts nothing is skipped and tallied.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collector import moments, otlp_json
from collector.bins import SeriesKey
from collector.points import NANOS, Readings, Stream

Encoding = Literal["protobuf", "json"]

_DELTA, _CUMULATIVE = 1, 2
_NO_RECORDED_VALUE = 1  # bit of a data point's flags
_LATEST = 2**63 - 1  # ns; what claims to be later is refused as far future in any case
ENTERED = "entered"  # attribute: when the events that a point counts had entered
_ENVIRONMENT = "deployment.environment.name"
_OLD_ENVIRONMENT = "deployment.environment"


class BadRequest(ValueError):  # noqa: N818  named for what was sent
    """The body is not what it says it is; the text says in one line why, for the sender."""


def decode(body: bytes, encoding: Encoding) -> Readings:
    """The counts in an ExportMetricsServiceRequest.

    Taken: monotonic sums, and of histograms and exponential histograms how many values they hold, delta or
    cumulative. `service.name`, `service.version` of the resource name the series; the environment and the
    attributes of the data point become its attributes, values as text; the rest of the resource (pod,
    process, `service.instance.id`) and the scope only tell the streams apart. The attribute `entered` is no
    part of a series' name: it says when the events had entered. Raises BadRequest.
    """
    try:
        request = (
            ExportMetricsServiceRequest.FromString(body) if encoding == "protobuf" else otlp_json.parse(body)
        )
    except DecodeError:
        raise BadRequest("not an ExportMetricsServiceRequest in protobuf: broken or cut") from None
    except ValueError as error:
        raise BadRequest(f"not an ExportMetricsServiceRequest in JSON: {error}") from None
    columns = _Columns()
    for of_resource in request.resource_metrics or ():
        columns.enter(_pairs(of_resource.resource.attributes if of_resource.resource else None))
        for of_scope in of_resource.scope_metrics or ():
            of = of_scope.scope
            scope = (of.name or "", of.version or "") if of else ("", "")
            for metric in of_scope.metrics or ():
                _metric(columns, scope, metric)
    return columns.readings()


@dataclass(slots=True)
class _Columns:
    """Readings in the making. Of the resource being read: its text, service, version and environment."""

    instance: str = ""
    service: str = ""
    version: str = ""
    environment: str = ""

    keys: list[SeriesKey] = field(default_factory=list)
    streams: dict[Stream, int] = field(default_factory=dict)
    stream: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    time: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    cumulative: list[bool] = field(default_factory=list)
    entered: list[int] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    def enter(self, resource: dict[str, str]) -> None:
        """What follows was counted by this resource."""
        self.instance = json.dumps(sorted(resource.items()))
        self.service = resource.get("service.name") or "unknown_service"
        self.version = resource.get("service.version", "")
        self.environment = resource.get(_ENVIRONMENT) or resource.get(_OLD_ENVIRONMENT, "")

    def readings(self) -> Readings:
        return Readings(
            keys=tuple(self.keys),
            streams=tuple(self.streams),
            stream=np.array(self.stream, dtype=np.int64),
            start=np.array(self.start, dtype=np.int64),
            time=np.array(self.time, dtype=np.int64),
            value=np.array(self.value, dtype=np.float64),
            cumulative=np.array(self.cumulative, dtype=np.bool_),
            refused=dict(self.refused),
            skipped=dict(self.skipped),
            entered=np.array(self.entered, dtype=np.int64) if any(self.entered) else None,
        )


def _metric(columns: _Columns, scope: tuple[str, str], metric: Any) -> None:
    """Append the data points of one metric, or say why not."""
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    points = getattr(metric, kind).data_points or ()
    if not points:
        return
    if kind not in ("sum", "histogram", "exponential_histogram"):
        columns.skipped[kind] += len(points)
        return
    data = getattr(metric, kind)
    if kind == "sum" and not data.is_monotonic:
        columns.skipped["non-monotonic sum"] += len(points)
        return
    why = (
        "no metric name"
        if not metric.name
        else "no temporality"
        if data.aggregation_temporality not in (_DELTA, _CUMULATIVE)
        else ""
    )
    if why:
        columns.refused[why] += len(points)
        return
    stream = Stream(columns.instance, json.dumps([*scope, kind, metric.unit or ""]))
    cumulative = data.aggregation_temporality == _CUMULATIVE
    for point in points:
        _point(columns, metric.name, kind, stream, cumulative, point)


def _point(
    columns: _Columns,
    metric: str,
    kind: str,
    stream: Stream,
    cumulative: bool,
    point: Any,
) -> None:
    if (point.flags or 0) & _NO_RECORDED_VALUE:
        columns.skipped["no recorded value"] += 1
        return
    if kind == "sum":
        which = point.WhichOneof("value")
        if which is None:
            columns.refused["no value"] += 1
            return
        value = float(getattr(point, which))
    else:
        value = float(point.count or 0)  # the wire leaves out a count of 0: absent is a measured 0 here
    if not point.time_unix_nano:
        columns.refused["no time"] += 1
        return
    attributes = _pairs(point.attributes)
    said, entered, start = attributes.pop(ENTERED, ""), 0, min(point.start_time_unix_nano or 0, _LATEST)
    if said:
        try:
            entered = int(moments.seconds(said)) * NANOS
        except ValueError:
            columns.refused["entered is no time"] += 1
            return
        # A counter of its own for each entry; it can't have begun before that.
        stream = stream._replace(scope=f"{stream.scope} {entered}")
        start = max(start, entered) if cumulative else start
    if columns.environment:
        attributes.setdefault(_ENVIRONMENT, columns.environment)
    columns.keys.append(
        SeriesKey(columns.service, metric, columns.version, tuple(sorted(attributes.items())))
    )
    columns.stream.append(columns.streams.setdefault(stream, len(columns.streams)))
    columns.start.append(start)
    columns.entered.append(entered)
    columns.time.append(min(point.time_unix_nano, _LATEST))
    columns.value.append(value)
    columns.cumulative.append(cumulative)


def _pairs(attributes: Any) -> dict[str, str]:
    return {one.key or "": _text(one.value) for one in attributes or ()}


def _text(value: Any) -> str:
    """An attribute's value as text; a whole number is the same whichever type a language sends it as."""
    if value is not None and value.string_value:
        return str(value.string_value)
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    which = value.WhichOneof("value") if value is not None else None
    if which is None:
        return ""
    plain = getattr(value, which)
    if which == "double_value" and plain.is_integer() and abs(plain) < 2**53:
        return int(plain)
    if which == "bytes_value" and isinstance(plain, bytes):
        return base64.b64encode(plain).decode()
    if which == "array_value":
        return [_plain(one) for one in plain.values or ()]
    if which == "kvlist_value":
        return {one.key or "": _plain(one.value) for one in plain.values or ()}
    return plain
