"""OTLP in JSON, with the names and the shape that the protobuf messages have in Python.

In: bytes. Out: Request, or ValueError with a reason in one line. Unknown fields are ignored, as OTLP says.
Never: more nesting than the parser bears, a number where a text belongs.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

# 64-bit numbers may come as text, as JavaScript cannot hold them.
Signed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Unsigned = Annotated[int, Field(ge=0, lt=2**64)]


_TEMPORALITIES = {
    f"AGGREGATION_TEMPORALITY_{name}": i for i, name in enumerate(("UNSPECIFIED", "DELTA", "CUMULATIVE"))
}
# OTLP says a number; protobuf's own JSON writers say the name.
Temporality = Annotated[
    int, BeforeValidator(lambda said: _TEMPORALITIES.get(said, said) if isinstance(said, str) else said)
]


class _Message(BaseModel):
    """A message of the protocol; null is the same as absent."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")
    oneof: ClassVar[tuple[str, ...]] = ()

    def WhichOneof(self, group: str) -> str | None:  # noqa: N802  the name that protobuf gives it
        """Which alternative is set; `group` is for protobuf's sake, no message here has two groups."""
        return next((name for name in self.oneof if getattr(self, name) is not None), None)


class _ArrayValue(_Message):
    values: list[_AnyValue] | None = None


class _KeyValueList(_Message):
    values: list[_KeyValue] | None = None


class _AnyValue(_Message):
    oneof = (
        "string_value",
        "int_value",
        "bool_value",
        "double_value",
        "array_value",
        "kvlist_value",
        "bytes_value",
    )
    string_value: str | None = None
    int_value: Signed | None = None
    bool_value: bool | None = None
    double_value: float | None = None
    array_value: _ArrayValue | None = None
    kvlist_value: _KeyValueList | None = None
    bytes_value: str | None = None


class _KeyValue(_Message):
    key: str | None = None
    value: _AnyValue | None = None


class _NumberPoint(_Message):
    oneof = ("as_int", "as_double")
    attributes: list[_KeyValue] | None = None
    start_time_unix_nano: Unsigned | None = None
    time_unix_nano: Unsigned | None = None
    as_int: Signed | None = None
    as_double: float | None = None
    flags: Unsigned | None = None


class _HistogramPoint(_Message):
    attributes: list[_KeyValue] | None = None
    start_time_unix_nano: Unsigned | None = None
    time_unix_nano: Unsigned | None = None
    count: Unsigned | None = None
    flags: Unsigned | None = None


class _Sum(_Message):
    data_points: list[_NumberPoint] | None = None
    aggregation_temporality: Temporality | None = None
    is_monotonic: bool | None = None


class _Histogram(_Message):
    data_points: list[_HistogramPoint] | None = None
    aggregation_temporality: Temporality | None = None


class _Unread(_Message):
    data_points: list[object] | None = None


class _Metric(_Message):
    oneof = ("sum", "histogram", "exponential_histogram", "gauge", "summary")
    name: str | None = None
    unit: str | None = None
    sum: _Sum | None = None
    histogram: _Histogram | None = None
    exponential_histogram: _Histogram | None = None
    gauge: _Unread | None = None
    summary: _Unread | None = None


class _Scope(_Message):
    name: str | None = None
    version: str | None = None


class _ScopeMetrics(_Message):
    scope: _Scope | None = None
    metrics: list[_Metric] | None = None


class _Resource(_Message):
    attributes: list[_KeyValue] | None = None


class _ResourceMetrics(_Message):
    resource: _Resource | None = None
    scope_metrics: list[_ScopeMetrics] | None = None


class Request(_Message):
    """ExportMetricsServiceRequest."""

    resource_metrics: list[_ResourceMetrics] | None = None


def parse(body: bytes) -> Request:
    """The request that `body` holds. Raises ValueError (the place and what was expected)."""
    try:
        return Request.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
