"""The messages of OTLP metrics, declared so that protobuf reads no more of them than is needed. Pure.

In: nothing. Out: two message classes for one wire format, and one for the rest of a data point.
Never: a field whose number or type differs from OTLP's.

On the wire a message inside another is a length and bytes. Declared as `bytes`, protobuf checks that length and
hands over a slice: whatever stands in it is read only where nobody has seen these bytes before.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

_Field = tuple[
    str, int, str
]  # name, number, type; "*" ahead of the type: repeated; "?" ahead: one of the data
_TYPES = {
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "string": FieldDescriptorProto.TYPE_STRING,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "fixed64": FieldDescriptorProto.TYPE_FIXED64,
    "sfixed64": FieldDescriptorProto.TYPE_SFIXED64,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
}
_ENVELOPE: dict[str, tuple[_Field, ...]] = {
    "Request": (("resource_metrics", 1, "*ResourceMetrics"),),
    "ResourceMetrics": (("resource", 1, "bytes"), ("scope_metrics", 2, "*ScopeMetrics")),
    "ScopeMetrics": (("scope", 1, "bytes"), ("metrics", 2, "*Metric")),
    "Metric": (
        ("name", 1, "string"),
        ("unit", 3, "string"),
        ("gauge", 5, "?Unread"),
        ("sum", 7, "?Sum"),
        ("histogram", 9, "?Histogram"),
        ("exponential_histogram", 10, "?ExponentialHistogram"),
        ("summary", 11, "?Unread"),
    ),
    "Unread": (("data_points", 1, "*bytes"),),
}
_START_AND_TIME = (("start_time_unix_nano", 2, "fixed64"), ("time_unix_nano", 3, "fixed64"))
_POINTS: dict[str, tuple[_Field, ...]] = {
    "NumberPoint": (
        *_START_AND_TIME,
        ("as_double", 4, "?double"),
        ("exemplars", 5, "*bytes"),
        ("as_int", 6, "?sfixed64"),
        ("attributes", 7, "*bytes"),
        ("flags", 8, "uint32"),
    ),
    "HistogramPoint": (
        *_START_AND_TIME,
        ("count", 4, "fixed64"),
        ("exemplars", 8, "*bytes"),
        ("attributes", 9, "*bytes"),
        ("flags", 10, "uint32"),
        ("min", 11, "?double"),
        ("max", 12, "?double"),
    ),
    "ExponentialHistogramPoint": (
        *_START_AND_TIME,
        ("count", 4, "fixed64"),
        ("attributes", 1, "*bytes"),
        ("flags", 10, "uint32"),
    ),
}


def _data(points: str) -> tuple[_Field, ...]:
    return (("data_points", 1, points), ("aggregation_temporality", 2, "int32"), ("is_monotonic", 3, "bool"))


def _classes(package: str, messages: dict[str, tuple[_Field, ...]]) -> dict[str, Any]:
    """A message class for each name."""
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            declared = message.field.add(name=field, number=number)
            declared.label = (
                FieldDescriptorProto.LABEL_REPEATED if kind[0] == "*" else FieldDescriptorProto.LABEL_OPTIONAL
            )
            if kind[0] == "?":
                if not message.oneof_decl:
                    message.oneof_decl.add(name="data")
                declared.oneof_index = 0
            kind = kind.lstrip("*?")
            if kind in _TYPES:
                declared.type = _TYPES[kind]
            else:
                declared.type, declared.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in messages
    }


_shut = _ENVELOPE | dict.fromkeys(("Sum", "Histogram", "ExponentialHistogram"), _data("*bytes")) | _POINTS
_open = _ENVELOPE | _POINTS
_open |= {
    name: _data(f"*{point}")
    for name, point in (
        ("Sum", "NumberPoint"),
        ("Histogram", "HistogramPoint"),
        ("ExponentialHistogram", "ExponentialHistogramPoint"),
    )
}
_shut_classes = _classes("stillwatch_shut", _shut)

Request: Any = _shut_classes["Request"]  # each data point as the bytes of it
OpenRequest: Any = _classes("stillwatch_open", _open)[
    "Request"
]  # the fields of each, its attributes as bytes
NumberPoint: Any = _shut_classes["NumberPoint"]
HistogramPoint: Any = _shut_classes["HistogramPoint"]
