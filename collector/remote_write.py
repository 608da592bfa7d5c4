"""The body of a Prometheus remote-write request, 1.0 or 2.0, becomes Readings.

In: bytes as they came (snappy). Out: Written, or BadRequest with a reason.
Never: a clock; memory for what a length only claims; a count made of a gauge: what counts nothing is tallied.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from collector.alike import Meanings, counted, looks, meanings, why_not
from collector.bins import SeriesKey
from collector.labels import Block, Labels, alike
from collector.otlp import BadRequest
from collector.points import Catalogue, Readings, Sign, Stream
from collector.scraped import BETWEEN, Lore, Place, Role, Type

Protocol = Literal["1.0", "2.0"]

MILLIS = 1_000_000  # ns
MOST_SERIES = 500_000  # whose labels are remembered, and
MOST_BYTES = 128 * 1024 * 1024  # of their labels; beyond either all are read anew
MOST_LABEL = 2048  # bytes of a label's value
BETWEEN_BYTES = BETWEEN.encode()
_BROKEN = b"\xff"  # no label
STALE = 0x7FF0000000000002  # the NaN that ends a series (prometheus/model/value)
_LATEST = 2**63 // MILLIS - 1  # ms; what claims to be later is refused as far future in any case
_GAUGE_HISTOGRAM = 3  # Histogram.reset_hint
# The most that snappy's elements unpack to: a copy of 64 bytes takes 3.
_MOST_TIMES = 22

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


class _Unread(NamedTuple):
    """Labels never seen before: how each stands in _Known, and of all that are alike in `said` and `native` the raw
    labels, one series after the other, and how many each has."""

    at: Sequence[object]
    raw: Sequence[bytes]
    sizes: NDArray[np.int64]
    said: int = 0
    native: bool = False


@dataclass(slots=True)
class _Known:
    """Series whose labels were read before: labels -> number of the meaning, 0 = not needed.

    Labels are their bytes as 1.0 has them, or (type, native, texts or bytes). told: of streams, by number, the
    stream and who tells of it. hinges: what to judge again when something is learned of a family or of a place
    where series are scraped.
    """

    number: dict[object, int] = field(default_factory=dict)
    catalogue: Catalogue = field(default_factory=Catalogue)  # of the meanings, by the same numbers
    roles: NDArray[np.int8] = field(default_factory=lambda: np.zeros(1024, dtype=np.int8))
    stream_of: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1024, dtype=np.int64))
    told: list[tuple[Stream, str]] = field(default_factory=list)
    streams: dict[tuple[Stream, str], int] = field(default_factory=dict)  # the numbers of `told`
    hinges: dict[str | Place, list[object]] = field(default_factory=dict)
    labels: Labels = field(default_factory=lambda: Labels(_pairs))
    size: int = 0

    def __post_init__(self) -> None:
        self.catalogue.add(SeriesKey("", ""), Stream("", ""))

    def learn(self, unread: Iterable[_Unread], lore: Lore) -> dict[object, str]:
        """Remember what labels mean, and judge again what is known where they teach something. Returns which of
        them could not be read, and why."""
        why: dict[object, str] = {}
        found = [(some, block) for some in unread for block in self._blocks(some, why)]
        # The sight of a sum tells what a count is, that of `up` whose it is: look at all before judging any.
        news = {lore.look(one) for _, block in found for one in looks(block, self.labels)} - {""}
        again = dict.fromkeys(at for hinge in news for at in self.hinges.pop(hinge, ()))
        found += [(some, block) for some in _unread(again) for block in self._blocks(some, why)]
        for some, block in found:
            self._judge(some, block, lore)
        return why

    def _blocks(self, some: _Unread, why: dict[object, str]) -> Iterator[Block]:
        for block in self.labels.blocks(some.raw, some.sizes):
            reason = why_not(block)
            if reason:
                why.update((some.at[i], reason) for i in block.place.tolist())
            else:
                yield block

    def _judge(self, some: _Unread, block: Block, lore: Lore) -> None:
        """Remember the meaning of the series of a block."""
        numbers = np.zeros(len(some.at), dtype=np.int64)
        for means in meanings(block, self.labels, lore, some.said, some.native):
            numbers[means.place] = self._add(means)
            for rows in alike(means.who):
                hinge = self.hinges.setdefault(means.tellers[means.who[rows[0]]].place, [])
                hinge += [some.at[i] for i in means.place[rows].tolist()]
        places = block.place.tolist()
        for i, family in counted(block, self.labels):
            if not numbers[places[i]]:
                self.hinges.setdefault(family, []).append(some.at[places[i]])
        number = numbers[block.place].tolist()
        at = [some.at[i] for i in places]
        self.size += sum(map(len, at)) if isinstance(at[0], bytes) else sum(map(_size, at))
        self.number.update(zip(at, number, strict=True))

    def _add(self, means: Meanings) -> range:
        """The numbers of these."""
        places = np.array([self.catalogue.place(who.stream) for who in means.tellers], dtype=np.int64)
        added = self.catalogue.add_each(means.keys, places[means.who].tolist())
        if added.stop > len(self.roles):
            more = max(added.stop - len(self.roles), len(self.roles) // 2)
            self.roles = np.concatenate([self.roles, np.zeros(more, dtype=np.int8)])
            self.stream_of = np.concatenate([self.stream_of, np.zeros(more, dtype=np.int64)])
        streams = [self._stream(who.stream, who.teller) for who in means.tellers]
        self.roles[added.start : added.stop] = means.role
        self.stream_of[added.start : added.stop] = np.array(streams, dtype=np.int64)[means.who]
        return added

    def _stream(self, stream: Stream, teller: str) -> int:
        number = self.streams.setdefault((stream, teller), len(self.told))
        if number == len(self.told):
            self.told.append((stream, teller))
        return number

    @property
    def full(self) -> bool:
        most = max(len(self.number), len(self.catalogue), len(self.labels))
        return most > MOST_SERIES or self.size + self.labels.size > MOST_BYTES


class _Columns(NamedTuple):
    """Samples, a row each. place: of its series in the request; number: of its meaning, -1 = it has none; time,
    start: ms, start 0 = not said."""

    place: NDArray[np.int64]
    number: NDArray[np.int64]
    value: NDArray[np.float64]
    time: NDArray[np.int64]
    start: NDArray[np.int64]

    def at(self, rows: NDArray[np.int64]) -> _Columns:
        """These rows."""
        return _Columns(
            self.place[rows], self.number[rows], self.value[rows], self.time[rows], self.start[rows]
        )


class _Apart(NamedTuple):
    """A series that was read by itself: its place in the request, its labels as they stand in _Known, whole, and
    the starts of its samples."""

    place: int
    at: object
    whole: Any
    starts: Sequence[int]


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
        signs of life. Staleness markers and other NaN say that nothing was measured. Samples stay in the order of
        the request. Raises BadRequest.
        """
        try:
            request = (_FIRST if protocol == "1.0" else _SECOND).FromString(body)
        except DecodeError:
            name = "prometheus.WriteRequest" if protocol == "1.0" else "io.prometheus.write.v2.Request"
            raise BadRequest(f"not a {name} in protobuf: broken or cut") from None
        if protocol == "1.0":
            self._types(request.metadata)
        known = self._known  # another thread may put another one in its place meanwhile
        refused: Counter[str] = Counter()
        if protocol == "2.0":
            return self._read(_Laid.none(), None, list(_of_second(request)), known, refused)
        series = list(request.timeseries)
        laid = _laid(series)
        missing = np.flatnonzero(laid.numbers(known) < 0).tolist()
        new = None
        if missing:
            unread = dict.fromkeys([laid.labels[i] for i in missing])
            unread.pop(b"", None)
            new = _split(list(unread))
            if new is None:
                for i in missing:
                    laid.labels[i] = b""
        apart = [i for i in missing if not laid.labels[i]]
        return self._read(laid, new, list(_of_first(series, apart, known, refused)), known, refused)

    def _read(
        self, laid: _Laid, new: _Unread | None, apart: Sequence[_Apart], known: _Known, refused: Counter[str]
    ) -> Written:
        """What the samples say, those in columns and those read apart. new: unknown labels of the first."""
        unread = [new] if new is not None else []
        unread += _unread(dict.fromkeys([one.at for one in apart if one.at not in known.number]))
        why = self._learn(unread, known) if unread else {}
        columns = laid.columns(known)
        unknown = columns.number < 0
        if unknown.any():
            refused.update(
                [why[at] for i in np.flatnonzero(unknown).tolist() if (at := laid.labels[columns.place[i]])]
            )
            columns = columns.at(np.flatnonzero(~unknown))
        histograms = 0
        if apart:
            more, histograms = _rows(apart, known, why, refused)
            columns = _Columns(*(np.concatenate(both) for both in zip(columns, more, strict=True)))
            columns = columns.at(np.argsort(columns.place, kind="stable"))
        return _written(known, columns, histograms, refused)

    def _types(self, metadata: Iterable[Any]) -> None:
        if not metadata:
            return
        with self._learning:
            told = [
                self._lore.type(one.metric_family_name.decode(errors="replace"), one.type) for one in metadata
            ]
            if any(told):
                self._known = _Known()

    def _learn(self, unread: Iterable[_Unread], known: _Known) -> dict[object, str]:
        with self._learning:
            why = known.learn(unread, self._lore)
            if known.full:
                self._known = _Known()
        return why


class _Laid(NamedTuple):
    """Series of 1.0 as Prometheus lays them out: labels, and one sample at the end.

    labels: of each series, b"" where it is laid out otherwise; value, time: of the sample, time in ms.
    """

    labels: list[bytes]
    value: NDArray[np.float64]
    time: NDArray[np.int64]

    @staticmethod
    def none() -> _Laid:
        return _Laid([], np.zeros(0), np.zeros(0, dtype=np.int64))

    def numbers(self, known: _Known) -> NDArray[np.int64]:
        """int64[n]: what the labels mean, -1 where that is not known."""
        found = map(known.number.get, self.labels, repeat(-1))
        return np.fromiter(found, dtype=np.int64, count=len(self.labels))

    def columns(self, known: _Known) -> _Columns:
        """All samples, in order.

        What comes before the sample is known only if it was read as nothing but labels, so the bytes after it can
        be nothing but the sample.
        """
        number = self.numbers(known)
        return _Columns(np.arange(len(number)), number, self.value, self.time, np.zeros_like(number))


def _laid(series: Sequence[bytes]) -> _Laid:
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
    return _Laid(labels, np.where(valued, tails["value"], 0.0), millis.astype(np.int64))


def _split(ats: Sequence[bytes]) -> _Unread | None:
    """The labels of series, all read in one; None where one of them holds anything else, or is written in more
    bytes than need be."""
    try:
        raw = list(_LABELS.FromString(b"".join(ats)).labels)
    except DecodeError:
        return None
    size = _sizes(raw)
    end = np.concatenate([[0], np.cumsum(_headers(size) + size)])
    edges = np.cumsum([0, *map(len, ats)])
    at = np.searchsorted(end, edges)
    if end[-1] != edges[-1] or (end[at] != edges).any():
        return None
    return _Unread(ats, raw, np.diff(at))


def _of_first(
    series: Sequence[bytes], places: Iterable[int], known: _Known, refused: Counter[str]
) -> Iterator[_Apart]:
    """Those series of 1.0 that stand at `places`, one by one."""
    for place in places:
        try:
            whole = _SERIES.FromString(series[place])
        except DecodeError:
            refused["broken series"] += 1
            continue
        raw = list(whole.labels)
        at: object = series[place][: sum(map(len, raw)) + 2 * len(raw)]
        if at not in known.number or max(map(len, raw)) >= 0x80:
            at = _joined(raw)
        if whole.histograms:
            at = (_hinted(whole, 0), True, at)
        yield _Apart(place, at, whole, [0] * (len(whole.histograms) or len(whole.samples)))


def _of_second(request: Any) -> Iterator[_Apart]:
    """Series of 2.0: labels are numbers of texts, and each says its type."""
    symbols = list(request.symbols)
    for place, whole in enumerate(request.timeseries):
        try:
            texts = tuple([symbols[i] for i in whole.labels_refs])
        except IndexError:
            texts = (b"",)
        created = whole.created_timestamp
        starts = [one.start_timestamp or created for one in whole.histograms or whole.samples]
        yield _Apart(
            place, (_hinted(whole, whole.metadata.type), bool(whole.histograms), texts), whole, starts
        )


def _rows(
    apart: Iterable[_Apart], known: _Known, why: Mapping[object, str], refused: Counter[str]
) -> tuple[_Columns, int]:
    """The samples of series that were read one by one, and how many of them are native histograms."""
    places: list[int] = []
    numbers: list[int] = []
    values: list[float] = []
    times: list[int] = []
    starts: list[int] = []
    histograms = 0
    for place, at, whole, began in apart:
        number = known.number.get(at)
        if number is None:
            refused[why[at]] += max(len(whole.samples) + len(whole.histograms), 1)
            continue
        histograms += len(whole.histograms)
        if whole.histograms:  # never both in one series; the sum of one says whether it is stale
            values += [
                one.sum if _is_stale(one.sum) else one.count_int or one.count_float
                for one in whole.histograms
            ]
            times += [one.timestamp for one in whole.histograms]
        else:
            values += [one.value for one in whole.samples]
            times += [one.timestamp for one in whole.samples]
        places += [place] * len(began)
        numbers += [number] * len(began)
        starts += began
    value = np.array(values, dtype=np.float64)
    wholes = [np.array(column, dtype=np.int64) for column in (places, numbers, times, starts)]
    return _Columns(wholes[0], wholes[1], value, wholes[2], wholes[3]), histograms


def _is_stale(value: float) -> bool:
    return value != value and bool(np.float64(value).view(np.int64) == STALE)


def _hinted(whole: Any, said: int) -> int:
    """The type that is said of a series, or what its histograms say themselves."""
    if whole.histograms and whole.histograms[0].reset_hint == _GAUGE_HISTOGRAM:
        return Type.GAUGE_HISTOGRAM
    return said


def _joined(labels: Iterable[bytes]) -> bytes:
    """Labels as they stand on the wire."""
    return b"".join([b"\n" + _varint(len(label)) + label for label in labels])


def _varint(n: int) -> bytes:
    return bytes([n]) if n < 0x80 else bytes([n & 0x7F | 0x80]) + _varint(n >> 7)


def _unread(ats: Iterable[object]) -> list[_Unread]:
    """Labels as they stand in _Known, to be read; those written in bytes hold nothing but labels."""
    like: dict[tuple[int, bool], list[object]] = {}
    for at in ats:
        like.setdefault(at[:2] if isinstance(at, tuple) else (0, False), []).append(at)
    unread = []
    for (said, native), some in like.items():
        raw = [_raw(at) for at in some]
        sizes = np.array(list(map(len, raw)), dtype=np.int64)
        unread.append(_Unread(some, list(chain.from_iterable(raw)), sizes, said, native))
    return unread


def _raw(at: Any) -> Sequence[bytes]:
    """The labels that stand in _Known, each as 1.0 has it."""
    texts = at[2] if isinstance(at, tuple) else at
    if isinstance(texts, bytes):
        return list(_LABELS.FromString(texts).labels)
    if len(texts) % 2:
        return [_BROKEN]
    return [_field(1, texts[i]) + _field(2, texts[i + 1]) for i in range(0, len(texts), 2)]


def _size(at: Any) -> int:
    """How many bytes of labels stand in _Known."""
    return len(at[2]) if isinstance(at[2], bytes) else sum(map(len, at[2]))


def _field(number: int, text: bytes) -> bytes:
    """A text of protobuf on the wire."""
    return bytes([number << 3 | 2]) + _varint(len(text)) + text


def _pairs(raw: Sequence[bytes]) -> list[tuple[str, str]]:
    """Name and value of labels of 1.0; "" and why of what is none.

    All names and all values are read in one. They are those of each label if each has a name first, then a value,
    and nothing else; where that is not so, each is read by itself.
    """
    joined = b"".join(raw)
    try:
        read = _PAIRS.FromString(joined)
    except DecodeError:
        return list(map(_pair, raw))
    names, values = list(read.names), list(read.values)
    if len(names) != len(raw) or len(values) != len(raw) or BETWEEN_BYTES in joined:
        return list(map(_pair, raw))
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
        return list(map(_pair, raw))
    try:
        texts = {name: name.decode() for name in set(names)}
        return list(zip(map(texts.__getitem__, names), map(bytes.decode, values), strict=True))
    except UnicodeDecodeError:
        return list(map(_pair, raw))


def _pair(raw: bytes) -> tuple[str, str]:
    """As _pairs, of one."""
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


def _written(known: _Known, rows: _Columns, histograms: int, refused: Mapping[str, int]) -> Written:
    """What the samples say."""
    number, value = rows.number, rows.value
    time, start = rows.time.clip(0, _LATEST), rows.start.clip(0, _LATEST)
    role = known.roles[number]
    missing = np.isnan(value)
    stale = missing & (value.view(np.int64) == STALE)
    needed = role != Role.NOT_NEEDED
    skipped = {
        "no count": int(np.count_nonzero(~needed)),
        "stale": int(np.count_nonzero(needed & stale)),
        "not a number": int(np.count_nonzero(needed & missing & ~stale)),
    }
    told, stream_of = known.told, known.stream_of
    signs = [
        Sign(told[stream_of[number[i]]][0].instance, int(time[i]) * MILLIS, _began(role[i], float(value[i])))
        for i in np.flatnonzero((role >= Role.UP) & (value > 0) & np.isfinite(value)).tolist()
    ]
    counts = np.flatnonzero((role == Role.COUNT) & ~missing)
    number = number[counts]
    distinct, which = np.unique(stream_of[number], return_inverse=True)
    streams = [told[i] for i in distinct.tolist()]
    tellers = tuple([teller for _, teller in streams])
    keys = known.catalogue.keys
    readings = Readings(
        keys=tuple([keys[i] for i in number.tolist()]),
        streams=tuple([stream for stream, _ in streams]),
        stream=which.astype(np.int64).ravel(),
        start=start[counts] * MILLIS,
        time=time[counts] * MILLIS,
        value=value[counts],
        cumulative=np.ones(len(counts), dtype=np.bool_),
        refused=dict(refused),
        skipped={reason: n for reason, n in skipped.items() if n},
        signs=tuple(signs),
        tellers=tellers if any(tellers) else (),
        catalogue=known.catalogue,
        counter=number,
    )
    return Written(readings, len(role) - histograms, histograms)


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
_FIRST, _SECOND = _MESSAGES["First"], _MESSAGES["Second"]
_SERIES, _LABELS, _LABEL, _PAIRS = (_MESSAGES[name] for name in ("Series", "Labels", "Label", "Pairs"))
