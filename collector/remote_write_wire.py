"""What stands on the wire of remote write: its messages, labels and the samples at the end of series. Pure.

In: bytes. Out: message classes for both protocols, labels, samples in columns.
Never: a label or a sample that might be anything else; what is laid out otherwise is left to protobuf.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from collector.scraped import BETWEEN

MOST_LABEL = 2048  # bytes of a label's value
BETWEEN_BYTES = BETWEEN.encode()

# A series whose one sample comes last: 12 10, 09 value, 10 time in six bytes; a value of 0 is left out. By where it
# begins in the last 18 bytes: the bytes before the value, or before the time, and the last eight with the time.
_TAIL = np.dtype(
    {
        "names": ["head", "value", "late_head", "end"],
        "formats": ["<u4", "<f8", "<u4", "<u8"],
        "offsets": [0, 3, 9, 10],
        "itemsize": 18,
    }
)
_WITH_VALUE, _WITHOUT, _THREE = 0x091012, 0x100712, 0xFFFFFF
_TAG, _OF_TAG = 0x10 << 8, 0xFF << 8
_MORE, _OF_MORE = 0x0080_8080_8080 << 16, 0x8080_8080_8080 << 16  # of a whole number in six bytes


class Laid(NamedTuple):
    """Series of 1.0 as Prometheus lays them out: labels, and one sample at the end.

    labels: of each series, b"" where it is laid out otherwise; value, time: of the sample, time in ms.
    """

    labels: list[bytes]
    value: NDArray[np.float64]
    time: NDArray[np.int64]

    @staticmethod
    def none() -> Laid:
        return Laid([], np.zeros(0), np.zeros(0, dtype=np.int64))


def laid_out(series: Sequence[bytes]) -> Laid:
    """Cut the sample off, where one seems to stand at the end."""
    joined = b"".join([one[-18:] for one in series])
    if len(joined) < 18 * len(series):
        joined = b"".join([one[-18:].rjust(18, b"\0") for one in series])
    tails = np.frombuffer(joined, dtype=_TAIL)
    end = np.ascontiguousarray(tails["end"])
    valued = (tails["head"] & _THREE == _WITH_VALUE) & (end & _OF_TAG == _TAG)
    cut = np.where(valued, 18, np.where(tails["late_head"] & _THREE == _WITHOUT, 9, 0))
    cut[end & _OF_MORE != _MORE] = 0
    millis = np.zeros(len(series), dtype=np.uint64)
    for i in range(6):
        millis |= (end >> np.uint64(16 + 8 * i) & np.uint64(0x7F)) << np.uint64(7 * i)
    labels = [one[:-size] for one, size in zip(series, cut.tolist(), strict=True)]
    return Laid(labels, np.where(valued, tails["value"], 0.0), millis.astype(np.int64))


def split(series: Sequence[bytes]) -> tuple[list[bytes], NDArray[np.int64]] | None:
    """The labels of series, all read in one, and how many each has; None where one of them holds anything else, or
    is written in more bytes than need be."""
    try:
        raw = list(LABELS.FromString(b"".join(series)).labels)
    except DecodeError:
        return None
    size = _sizes(raw)
    end = np.concatenate([[0], np.cumsum(_headers(size) + size)])
    edges = np.cumsum([0, *map(len, series)])
    at = np.searchsorted(end, edges)
    if end[-1] != edges[-1] or (end[at] != edges).any():
        return None
    return raw, np.diff(at)


def joined_labels(labels: Iterable[bytes]) -> bytes:
    """Labels as they stand on the wire."""
    return b"".join([b"\n" + _varint(len(label)) + label for label in labels])


def _varint(n: int) -> bytes:
    return bytes([n]) if n < 0x80 else bytes([n & 0x7F | 0x80]) + _varint(n >> 7)


def text_field(number: int, text: bytes) -> bytes:
    """A text of protobuf on the wire."""
    return bytes([number << 3 | 2]) + _varint(len(text)) + text


def pairs(raw: Sequence[bytes]) -> list[tuple[str, str]]:
    """Name and value of labels of 1.0; "" and why of what is none.

    All names and all values are read in one. They are those of each label if each has a name first, then a value,
    and nothing else; where that is not so, each is read by itself.
    """
    joined = b"".join(raw)
    try:
        read = _PAIRS.FromString(joined)
    except DecodeError:
        return list(map(pair, raw))
    names, values = list(read.names), list(read.values)
    if len(names) != len(raw) or len(values) != len(raw) or BETWEEN_BYTES in joined:
        return list(map(pair, raw))
    whole, of_name, of_value = (_sizes(column) for column in (raw, names, values))
    begin = np.cumsum(whole) - whole
    then = _headers(of_name) + of_name  # where in each the value begins
    tags = np.frombuffer(joined, dtype=np.uint8)
    if (
        (whole != then + _headers(of_value) + of_value).any()
        or max(of_name.max(), of_value.max()) > MOST_LABEL
        or (tags[begin] != 0x0A).any()
        or (tags[begin + then] != 0x12).any()
    ):
        return list(map(pair, raw))
    try:
        texts = {name: name.decode() for name in set(names)}
        return list(zip(map(texts.__getitem__, names), map(bytes.decode, values), strict=True))
    except UnicodeDecodeError:
        return list(map(pair, raw))


def pair(raw: bytes) -> tuple[str, str]:
    """As `pairs`, of one."""
    try:
        label = _LABEL.FromString(raw)
        name, value = label.name.decode(), label.value.decode()
    except (DecodeError, UnicodeDecodeError):
        return "", "broken labels"
    if max(len(label.name), len(label.value)) > MOST_LABEL:
        return "", "too long labels"
    return (name, value) if name and BETWEEN not in name + value else ("", "broken labels")


def _sizes(fields: Sequence[bytes]) -> NDArray[np.int64]:
    return np.fromiter(map(len, fields), dtype=np.int64, count=len(fields))


def _headers(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[n]: in how many bytes number and size of a field are written that has so many bytes."""
    header = np.full(len(sizes), 2, dtype=np.int64)
    for bits in (7, 14, 21, 28):
        header += sizes >= 1 << bits
    return header


def _schema() -> dict[str, Any]:
    """The messages of both protocols, as far as they are read. A field that is only handed on, or compared, is
    declared as bytes: on the wire that is the same as a message or a text, and nothing is parsed."""
    many = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
    single = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    types = descriptor_pb2.FieldDescriptorProto
    plain = {
        "bytes": types.TYPE_BYTES,
        "double": types.TYPE_DOUBLE,
        "int64": types.TYPE_INT64,
        "uint64": types.TYPE_UINT64,
        "uint32": types.TYPE_UINT32,
        "int32": types.TYPE_INT32,
    }
    messages = {
        "Label": ["name bytes 1", "value bytes 2"],
        "Pairs": ["names bytes* 1", "values bytes* 2"],
        "Labels": ["labels bytes* 1"],
        "Sample": ["value double 1", "timestamp int64 2", "start_timestamp int64 3"],
        "Histogram": [
            "count_int uint64 1",
            "count_float double 2",
            "sum double 3",
            "reset_hint int32 14",
            "timestamp int64 15",
            "start_timestamp int64 17",
        ],
        "Metadata": ["type int32 1", "metric_family_name bytes 2"],
        "Series": ["labels bytes* 1", "samples Sample* 2", "histograms Histogram* 4"],
        "First": ["timeseries bytes* 1", "metadata Metadata* 3"],
        "SecondSeries": [
            "labels_refs uint32* 1",
            "samples Sample* 2",
            "histograms Histogram* 3",
            "metadata Metadata 5",
            "created_timestamp int64 6",
        ],
        "Second": ["symbols bytes* 4", "timeseries SecondSeries* 5"],
    }
    package = "stillwatch.remote_write"
    file = descriptor_pb2.FileDescriptorProto(name="stillwatch/remote_write.proto", package=package)
    file.syntax = "proto3"
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for one in fields:
            called, kind, number = one.split()
            declared = message.field.add(name=called, number=int(number))
            declared.label = many if kind.endswith("*") else single
            kind = kind.removesuffix("*")
            declared.type = plain.get(kind, types.TYPE_MESSAGE)
            if kind not in plain:
                declared.type_name = f".{package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in messages
    }


_MESSAGES = _schema()
FIRST, SECOND = _MESSAGES["First"], _MESSAGES["Second"]
SERIES, LABELS, _LABEL, _PAIRS = (_MESSAGES[name] for name in ("Series", "Labels", "Label", "Pairs"))
