"""The body of a Prometheus remote-write request, 1.0 or 2.0, becomes Readings.

In: bytes as they came (snappy). Out: Written, or BadRequest with a reason.
Never: a clock; memory for what a length only claims; a count made of a gauge: what counts nothing is tallied.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeGuard

import numpy as np
import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from collector.otlp import BadRequest
from collector.points import Catalogue, Readings, Sign, Stream
from collector.scraped import BETWEEN, NAME, NOTHING, Lore, Meaning, Place, Role, Type, meaning, where

Protocol = Literal["1.0", "2.0"]

MILLIS = 1_000_000  # ns
MOST_SERIES = 500_000  # whose labels are remembered, and
MOST_BYTES = 128 * 1024 * 1024  # of their labels; beyond either all are read anew
MOST_LABEL = 2048  # bytes of a label's value
MOST_LABELS = 100
STALE = 0x7FF0000000000002  # the NaN that ends a series (prometheus/model/value)
_LATEST = 2**63 // MILLIS - 1  # ms; what claims to be later is refused as far future in any case
_GAUGE_HISTOGRAM = 3  # Histogram.reset_hint
# The most that snappy's elements unpack to: a copy of 64 bytes takes 3.
_MOST_TIMES = 22

# A series whose one sample comes last: 12 10, 09 value, 10 time in six bytes; a value of 0 is left out.
_TAIL = np.dtype([("head", "u1", 3), ("value", "<f8"), ("tag", "u1"), ("time", "u1", 6)])
_ZERO_TAIL = np.dtype([("head", "u1", 3), ("time", "u1", 6)])
_WITH_VALUE, _WITHOUT = (0x12, 0x10, 0x09), (0x12, 0x07, 0x10)


class Written(NamedTuple):
    """Readings, and how many samples and native histograms the request held."""

    readings: Readings
    samples: int
    histograms: int


class TooLarge(ValueError):  # noqa: N818  named for what was sent
    """It would unpack to more than may come in."""


def unpack(body: bytes, most: int) -> bytes:
    """The contents of a snappy block. Raises TooLarge before anything is unpacked, or BadRequest.

    A block begins with its length unpacked; what it claims beyond that which its size can hold is not believed.
    """
    length = shift = 0
    for byte in body[:5]:
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    else:
        raise BadRequest("Content-Encoding is snappy, the body is not")
    if length > most:
        raise TooLarge(f"expected at most {most} bytes when unpacked")
    if length > _MOST_TIMES * len(body):
        raise BadRequest("the snappy body is broken or cut")
    if not length:
        return b""
    try:
        # (Typed as what it takes and gives: bytes.)
        unpacked: bytes = pa.Codec("snappy").decompress(body, decompressed_size=length, asbytes=True)
    except (pa.ArrowException, OSError):
        raise BadRequest("the snappy body is broken or cut") from None
    return unpacked


@dataclass(slots=True)
class _Known:
    """Series whose labels were read before: labels -> number of the meaning, 0 = not needed.

    Labels are their bytes as 1.0 has them, or (type, native, texts or bytes). hinges: what to judge again when
    something is learned of a family or of a place where series are scraped.
    """

    number: dict[object, int] = field(default_factory=dict)
    meanings: list[Meaning] = field(default_factory=lambda: [NOTHING])
    catalogue: Catalogue = field(default_factory=Catalogue)  # of the meanings, by the same numbers
    roles: NDArray[np.int8] = field(default_factory=lambda: np.zeros(1024, dtype=np.int8))
    streams: dict[tuple[Stream, str], int] = field(default_factory=dict)  # with who tells of each -> number
    stream_of: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1024, dtype=np.int64))
    hinges: dict[str | Place, list[object]] = field(default_factory=dict)
    pairs: dict[bytes, tuple[str, str] | str] = field(default_factory=dict)  # labels as they came, or why not
    size: int = 0

    def __post_init__(self) -> None:
        self.catalogue.add(NOTHING.key, NOTHING.stream)

    def add(self, at: object, labels: _Labels, lore: Lore) -> None:
        """Remember, or judge again."""
        means = meaning(labels.named, lore, labels.said, labels.native)
        number = 0
        if means.role != Role.NOT_NEEDED:
            number = len(self.meanings)
            if number == len(self.roles):
                self.roles = np.concatenate([self.roles, np.zeros(number, dtype=np.int8)])
                self.stream_of = np.concatenate([self.stream_of, np.zeros(number, dtype=np.int64)])
            self.roles[number] = means.role
            self.stream_of[number] = self.streams.setdefault((means.stream, means.teller), len(self.streams))
            self.catalogue.add(means.key, means.stream)
            self.meanings.append(means)
            self.hinges.setdefault(where(labels.named), []).append(at)
        elif labels.named[NAME].endswith("_count"):
            self.hinges.setdefault(labels.named[NAME].removesuffix("_count"), []).append(at)
        self.size += sum(map(len, labels.named.values()))
        self.number[at] = number

    def pair(self, raw: bytes) -> tuple[str, str] | str:
        """Name and value of a label, or why not. The same stand in many series."""
        found = self.pairs.get(raw)
        if found is None:
            self.size += len(raw)
            found = self.pairs[raw] = _pair(raw)
        return found

    @property
    def full(self) -> bool:
        most = max(len(self.number), len(self.meanings), len(self.pairs))
        return most > MOST_SERIES or self.size > MOST_BYTES


class _Labels(NamedTuple):
    """Labels as they were read; said: the type that the sender says of them, native: of a native histogram."""

    named: dict[str, str]
    said: int
    native: bool


@dataclass(slots=True)
class _Samples:
    """Samples in the making, a row each. times, starts: ms, start 0 = not said."""

    numbers: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    histograms: int = 0

    def add(self, number: int, samples: Sequence[Any], starts: Sequence[int]) -> None:
        """Samples of one series."""
        self.numbers += [number] * len(samples)
        self.values += [sample.value for sample in samples]
        self.times += [sample.timestamp for sample in samples]
        self.starts += starts

    def add_histograms(self, number: int, histograms: Sequence[Any], starts: Sequence[int]) -> None:
        """How many values native histograms hold. The sum of one says whether it is stale."""
        self.histograms += len(histograms)
        self.numbers += [number] * len(histograms)
        self.values += [
            one.sum if _is_stale(one.sum) else one.count_int or one.count_float for one in histograms
        ]
        self.times += [one.timestamp for one in histograms]
        self.starts += starts


def _is_stale(value: float) -> bool:
    return value != value and bool(np.float64(value).view(np.int64) == STALE)


@dataclass(slots=True)
class _Unread:
    """What is to be looked up: labels never seen before, and series: labels, whole, the starts of its samples."""

    labels: dict[object, _Labels] = field(default_factory=dict)
    series: list[tuple[object, Any, Sequence[int]]] = field(default_factory=list)


class Reader:
    """Reads requests, and remembers what the labels of series mean. Several threads may read at a time."""

    def __init__(self, processes: Iterable[str] = ()) -> None:
        """processes: of which signs of life came before a restart of ours."""
        self._lore = Lore()
        for process in processes:
            self._lore.remember(process)
        self._known = _Known()
        self._learning = threading.Lock()

    def read(self, body: bytes, protocol: Protocol) -> Written:
        """The counts in an unpacked prometheus.WriteRequest (1.0) or io.prometheus.write.v2.Request (2.0).

        Taken: counters, and how many values histograms and summaries hold. `up` and the start of a process are
        signs of life. Staleness markers and other NaN say that nothing was measured. Raises BadRequest.
        """
        try:
            request = (_FIRST if protocol == "1.0" else _SECOND).FromString(body)
        except DecodeError:
            name = "prometheus.WriteRequest" if protocol == "1.0" else "io.prometheus.write.v2.Request"
            raise BadRequest(f"not a {name} in protobuf: broken or cut") from None
        if protocol == "1.0":
            self._types(request.metadata)
        samples = _Samples()
        known = self._known  # another thread may put another one in its place meanwhile
        if protocol == "2.0":
            self._apart(_of_second(request, known, samples), known, samples)
            return _written(known, samples, *_NONE)
        series = list(request.timeseries)
        number, value, time, rest = _at_once(series, known.number)
        if rest:
            self._apart(_of_first([series[i] for i in rest], known, samples), known, samples)
        return _written(known, samples, number, value, time)

    def _types(self, metadata: Iterable[Any]) -> None:
        if not metadata:
            return
        with self._learning:
            told = [
                self._lore.type(one.metric_family_name.decode(errors="replace"), one.type) for one in metadata
            ]
            if any(told):
                self._known = _Known()

    def _apart(self, unread: _Unread, known: _Known, into: _Samples) -> None:
        """The samples that are read one by one: of any layout, and of series never seen before."""
        if unread.labels:
            self._learn(unread.labels, known)
        number = known.number
        for at, whole, starts in unread.series:
            if whole.histograms:  # never both in one series
                into.add_histograms(number[at], whole.histograms, starts)
            else:
                into.add(number[at], whole.samples, starts)

    def _learn(self, unread: Mapping[object, _Labels], known: _Known) -> None:
        with self._learning:
            # The sight of a sum tells what a count is, that of `up` whose it is: look at all before judging any.
            news = {self._lore.look(labels.named) for labels in unread.values()} - {""}
            again = [at for hinge in news for at in known.hinges.pop(hinge, ())]
            for at, labels in (*((at, _read(at, known)) for at in again), *unread.items()):
                if not isinstance(labels, str):
                    known.add(at, labels, self._lore)
            if known.full:
                self._known = _Known()


def _at_once(
    series: list[bytes], number: Mapping[object, int]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], list[int]]:
    """Of series seen before, with one sample at their end: meanings, values and times (ms); and the places of those
    that must be read otherwise.

    What comes before the sample is a key of `number` only if it was read as nothing but labels, so the bytes
    after it can be nothing but the sample.
    """
    get = number.get
    found = np.array([get(one[:-18], -1) for one in series], dtype=np.int64)
    hit = np.flatnonzero(found >= 0)
    whole = series if len(hit) == len(series) else [series[i] for i in hit.tolist()]
    tails = np.frombuffer(b"".join([one[-18:] for one in whole]), dtype=_TAIL)
    good = (tails["head"] == _WITH_VALUE).all(axis=1) & (tails["tag"] == 0x10) & _six(tails["time"])
    columns = [(hit[good], tails["value"][good], tails["time"][good])]
    missed = np.flatnonzero(found < 0).tolist()
    if missed:
        zeros = np.array([get(series[i][:-9], -1) for i in missed], dtype=np.int64)
        at = np.array(missed, dtype=np.int64)[zeros >= 0]
        found[at] = zeros[zeros >= 0]
        tails = np.frombuffer(b"".join([series[i][-9:] for i in at.tolist()]), dtype=_ZERO_TAIL)
        good = (tails["head"] == _WITHOUT).all(axis=1) & _six(tails["time"])
        columns.append((at[good], np.zeros(int(good.sum())), tails["time"][good]))
    taken = np.concatenate([at for at, _, _ in columns])
    times = np.concatenate([time for _, _, time in columns]).astype(np.int64) & 0x7F
    millis = (times << np.arange(0, 42, 7)).sum(axis=1)
    rest = np.ones(len(series), dtype=np.bool_)
    rest[taken] = False
    values = np.concatenate([value for _, value, _ in columns])
    return found[taken], values, millis, np.flatnonzero(rest).tolist()


def _six(time: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """bool[n]: is each a whole number in exactly six bytes."""
    more = time >= 0x80
    whole: NDArray[np.bool_] = more[:, :5].all(axis=1) & ~more[:, 5]
    return whole


_NONE = (np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0, dtype=np.int64))


def _of_first(series: Iterable[bytes], known: _Known, into: _Samples) -> _Unread:
    """Series of 1.0, one by one."""
    unread = _Unread()
    for one in series:
        try:
            whole = _SERIES.FromString(one)
        except DecodeError:
            into.refused["broken series"] += 1
            continue
        raw = list(whole.labels)
        at: object = _joined(raw)
        if whole.histograms:
            at = (_hinted(whole, 0), True, at)
        if at not in known.number and at not in unread.labels:
            said, native = (at[0], at[1]) if isinstance(at, tuple) else (0, False)
            labels = _labels([known.pair(label) for label in raw], said, native)
            if not _taken(labels, whole, into):
                continue
            unread.labels[at] = labels
        unread.series.append((at, whole, [0] * (len(whole.histograms) or len(whole.samples))))
    return unread


def _of_second(request: Any, known: _Known, into: _Samples) -> _Unread:
    """Series of 2.0: labels are numbers of texts, and each says its type."""
    unread = _Unread()
    symbols = list(request.symbols)
    for whole in request.timeseries:
        try:
            texts = tuple([symbols[i] for i in whole.labels_refs])
        except IndexError:
            texts = (b"",)
        at = (_hinted(whole, whole.metadata.type), bool(whole.histograms), texts)
        if at not in known.number and at not in unread.labels:
            labels = _read(at, known)
            if not _taken(labels, whole, into):
                continue
            unread.labels[at] = labels
        created = whole.created_timestamp
        starts = [one.start_timestamp or created for one in whole.histograms or whole.samples]
        unread.series.append((at, whole, starts))
    return unread


def _hinted(whole: Any, said: int) -> int:
    """The type that is said of a series, or what its histograms say themselves."""
    if whole.histograms and whole.histograms[0].reset_hint == _GAUGE_HISTOGRAM:
        return Type.GAUGE_HISTOGRAM
    return said


def _taken(labels: _Labels | str, whole: Any, into: _Samples) -> TypeGuard[_Labels]:
    """Could the labels be read; else their samples are refused."""
    if isinstance(labels, str):
        into.refused[labels] += max(len(whole.samples) + len(whole.histograms), 1)
        return False
    return True


def _joined(labels: Iterable[bytes]) -> bytes:
    """Labels as they stand on the wire."""
    return b"".join([b"\n" + _varint(len(label)) + label for label in labels])


def _varint(n: int) -> bytes:
    return bytes([n]) if n < 0x80 else bytes([n & 0x7F | 0x80]) + _varint(n >> 7)


def _read(at: object, known: _Known) -> _Labels | str:
    """The labels that stand in _Known.number, or why not."""
    said, native, raw = at if isinstance(at, tuple) else (0, False, at)
    if isinstance(raw, bytes):
        return _labels([known.pair(label) for label in _LABELS.FromString(raw).labels], said, native)
    if len(raw) % 2:
        return "broken labels"
    return _labels([_decoded(raw[i], raw[i + 1]) for i in range(0, len(raw), 2)], said, native)


def _labels(pairs: Sequence[tuple[str, str] | str], said: int, native: bool) -> _Labels | str:
    named: dict[str, str] = {}
    for pair in pairs:
        if isinstance(pair, str):
            return pair
        named[pair[0]] = pair[1]
    if len(named) > MOST_LABELS:
        return "too long labels"
    if not named.get(NAME):
        return "no metric name"
    return _Labels(named, said, native) if len(named) == len(pairs) else "broken labels"


def _pair(raw: bytes) -> tuple[str, str] | str:
    """A label of 1.0, or why not."""
    try:
        label = _LABEL.FromString(raw)
    except DecodeError:
        return "broken labels"
    return _decoded(label.name, label.value)


def _decoded(name: bytes, value: bytes) -> tuple[str, str] | str:
    """A label, or why not."""
    if max(len(name), len(value)) > MOST_LABEL:
        return "too long labels"
    try:
        pair = name.decode(), value.decode()
    except UnicodeDecodeError:
        return "broken labels"
    return pair if name and BETWEEN not in pair[0] and BETWEEN not in pair[1] else "broken labels"


def _written(
    known: _Known,
    apart: _Samples,
    number: NDArray[np.int64],
    value: NDArray[np.float64],
    time: NDArray[np.int64],
) -> Written:
    """What the samples say, those read at once and those read apart."""
    number = np.concatenate([number, np.array(apart.numbers, dtype=np.int64)])
    value = np.concatenate([value, np.array(apart.values, dtype=np.float64)])
    time = np.concatenate([time, np.array(apart.times, dtype=np.int64)]).clip(0, _LATEST)
    start = np.zeros(len(number), dtype=np.int64)
    start[len(number) - len(apart.starts) :] = np.array(apart.starts, dtype=np.int64).clip(0, _LATEST)
    role = known.roles[number]
    missing = np.isnan(value)
    stale = missing & (value.view(np.int64) == STALE)
    needed = role != Role.NOT_NEEDED
    skipped = {
        "no count": int(np.count_nonzero(~needed)),
        "stale": int(np.count_nonzero(needed & stale)),
        "not a number": int(np.count_nonzero(needed & missing & ~stale)),
    }
    meanings = known.meanings
    signs = [
        Sign(meanings[number[i]].stream.instance, int(time[i]) * MILLIS, _began(role[i], float(value[i])))
        for i in np.flatnonzero((role >= Role.UP) & (value > 0) & np.isfinite(value)).tolist()
    ]
    counts = np.flatnonzero((role == Role.COUNT) & ~missing)
    number = number[counts]
    _, first, stream = np.unique(known.stream_of[number], return_index=True, return_inverse=True)
    told = [meanings[i] for i in number[first].tolist()]
    tellers = tuple([one.teller for one in told])
    keys = known.catalogue.keys
    readings = Readings(
        keys=tuple([keys[i] for i in number.tolist()]),
        streams=tuple([one.stream for one in told]),
        stream=stream.astype(np.int64).ravel(),
        start=start[counts] * MILLIS,
        time=time[counts] * MILLIS,
        value=value[counts],
        cumulative=np.ones(len(counts), dtype=np.bool_),
        refused=dict(apart.refused),
        skipped={reason: n for reason, n in skipped.items() if n},
        signs=tuple(signs),
        tellers=tellers if any(tellers) else (),
        catalogue=known.catalogue,
        counter=number,
    )
    return Written(readings, len(role) - apart.histograms, apart.histograms)


def _began(role: int, value: float) -> int:
    """The start (ns) that a sign of life says, 0 = none."""
    return min(int(value * 1000), _LATEST) * MILLIS if role == Role.START else 0


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
_FIRST, _SECOND = _MESSAGES["First"], _MESSAGES["Second"]
_SERIES, _LABELS, _LABEL = (_MESSAGES[name] for name in ("Series", "Labels", "Label"))
