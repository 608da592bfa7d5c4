"""OTLP in JSON: its shape, and the numbers and attributes in it.

In: bytes. Out: Request, attributes as (name, plain value), or ValueError with a reason in one line. Unknown
fields are ignored, as OTLP says; null is the same as absent.
Never: more nesting than the parser bears, a number where a text belongs.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

Whole = int | str | None  # 64-bit numbers may come as text, as JavaScript cannot hold them
Real = float | str | None
_NOTHING = Raw(b"null")
_UNSIGNED, _SIGNED = (0, 2**64), (-(2**63), 2**63)
_T = TypeVar("_T")


class _Message(Struct, rename="camel", gc=False):
    pass


class Point(_Message):
    """A data point of a sum or of a histogram; attributes as they are written."""

    attributes: Raw = _NOTHING
    start_time_unix_nano: Whole = None
    time_unix_nano: Whole = None
    as_int: Whole = None
    as_double: Real = None
    count: Whole = None
    flags: Whole = None


class Data(_Message):
    data_points: list[Point] | None = None
    aggregation_temporality: int | str | None = None
    is_monotonic: bool | None = None


class Unread(_Message):
    data_points: list[Raw] | None = None


class Metric(_Message):
    name: str | None = None
    unit: str | None = None
    sum: Data | None = None
    histogram: Data | None = None
    exponential_histogram: Data | None = None
    gauge: Unread | None = None
    summary: Unread | None = None


class ScopeMetrics(_Message):
    scope: Raw = _NOTHING
    metrics: list[Metric] | None = None


class ResourceMetrics(_Message):
    resource: Raw = _NOTHING
    scope_metrics: list[ScopeMetrics] | None = None


class Request(_Message):
    """ExportMetricsServiceRequest."""

    resource_metrics: list[ResourceMetrics] | None = None


class _ArrayValue(_Message):
    values: list[_AnyValue | None] | None = None


class _KeyValueList(_Message):
    values: list[_KeyValue] | None = None


class _AnyValue(_Message):
    string_value: str | None = None
    int_value: Whole = None
    bool_value: bool | None = None
    double_value: Real = None
    array_value: _ArrayValue | None = None
    kvlist_value: _KeyValueList | None = None
    bytes_value: str | None = None


class _KeyValue(_Message):
    key: str | None = None
    value: _AnyValue | None = None


class _Holder(_Message):
    """A resource or a scope."""

    name: str | None = None
    version: str | None = None
    attributes: list[_KeyValue] | None = None


Pairs = list[tuple[str, Any]]

_request = msgspec.json.Decoder(Request)
_attributes = msgspec.json.Decoder(list[_KeyValue] | None)
_holder = msgspec.json.Decoder(_Holder | None)


def parse(body: bytes) -> Request:
    """The request that `body` holds. Raises ValueError (the place and what was expected)."""
    return _read(_request, body)


def attributes(raw: bytes) -> Pairs:
    """A list of attributes; values as Python's plain ones. Raises ValueError."""
    return _pairs(_read(_attributes, raw))


def holder(raw: bytes) -> tuple[str, str, Pairs]:
    """Name, version and attributes of a resource or a scope. Raises ValueError."""
    read = _read(_holder, raw) or _Holder()
    return read.name or "", read.version or "", _pairs(read.attributes)


def unsigned(said: Whole) -> int:
    """A number of 0 to 2^64 - 1, 0 if it is absent. Raises ValueError."""
    return _whole(said, _UNSIGNED)


def signed(said: Whole) -> int:
    """A number of -2^63 to 2^63 - 1, 0 if it is absent. Raises ValueError."""
    return _whole(said, _SIGNED)


def real(said: Real) -> float:
    """A number, NaN and infinity as text. Raises ValueError."""
    try:
        return float(said or 0.0)
    except ValueError:
        raise ValueError("expected a number in asDouble or doubleValue") from None


def _whole(said: Whole, within: tuple[int, int]) -> int:
    if isinstance(said, str):
        digits = said[1:] if said[:1] == "-" else said
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 25):
            raise ValueError("expected a whole number, or one as text")
        said = int(said)
    said = said or 0
    if not within[0] <= said < within[1]:
        raise ValueError(f"expected a whole number from {within[0]} to {within[1] - 1}")
    return said


def _read(decoder: msgspec.json.Decoder[_T], raw: bytes) -> _T:
    try:
        return decoder.decode(raw)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except UnicodeDecodeError:
        raise ValueError("expected UTF-8") from None
    except msgspec.MsgspecError as error:
        raise ValueError(" ".join(str(error).split())[:200]) from None


def _pairs(said: list[_KeyValue] | None) -> Pairs:
    return [
        (one.key or "", of.string_value)
        if (of := one.value) is not None and of.string_value is not None
        else (one.key or "", _plain(of))
        for one in said or ()
    ]


def _plain(value: _AnyValue | None) -> Any:
    if value is None:
        return ""
    for plain in (value.string_value, value.bool_value, value.bytes_value):
        if plain is not None:
            return plain
    if value.int_value is not None:
        return signed(value.int_value)
    if value.double_value is not None:
        return real(value.double_value)
    if value.array_value is not None:
        return [_plain(one) for one in value.array_value.values or ()]
    if value.kvlist_value is not None:
        return dict(_pairs(value.kvlist_value.values))
    return ""
