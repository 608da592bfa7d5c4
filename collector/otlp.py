"""The body of an OTLP metrics request becomes Readings.

In: bytes, unpacked already (protobuf or JSON). Out: Readings, or BadRequest with a reason.
Never: a clock, an answer to the sender, a count made of a gauge: what counts nothing is skipped and tallied.

Exporters send the same series again and again, in the same bytes. What they mean is looked up, and only what was
never seen before is read. In protobuf the fields of a data point come in the order of their numbers, so the
attributes of a sum are what is left behind two times and a value, 27 bytes; those of a histogram stand between
its buckets and its extremes. That it is so is checked of every point, and where it is not, the fields are read.
"""

from __future__ import annotations

import base64
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage

from collector import otlp_json, otlp_wire
from collector.otlp_names import REFUSALS, Choice, Group, Resource, Scope, text
from collector.points import Catalogue, Readings

Encoding = Literal["protobuf", "json"]

MOST = (
    1_000_000  # data points, metrics, scopes and resources of a request; more that say something are no 16 MB
)
_DELTA, _CUMULATIVE = 1, 2
_TEMPORALITIES = {
    f"AGGREGATION_TEMPORALITY_{name}": i for i, name in enumerate(("UNSPECIFIED", "DELTA", "CUMULATIVE"))
}
_NO_RECORDED_VALUE = 1  # bit of a data point's flags
_LATEST = 2**63 - 1  # ns; what claims to be later is refused as far future in any case
_COUNTING = ("sum", "histogram", "exponential_histogram")
_HEAD = np.dtype([("a", "u1"), ("start", "<u8"), ("b", "u1"), ("time", "<u8"), ("c", "u1"), ("bits", "<u8")])
_HEAD_SIZE = _HEAD.itemsize  # 27
_START, _TIME, _DOUBLE, _INT = (
    0x11,
    0x19,
    0x21,
    0x31,
)  # tags of a number's fields; a count has that of a double
_ATTRIBUTE, _ATTRIBUTE_OF_HISTOGRAM = 0x3A, 0x4A
_EXTREMES = 18  # bytes of a histogram's min and max


class BadRequest(ValueError):  # noqa: N818  named for what was sent
    """The body is not what it says it is; the text says in one line why, for the sender."""


class Decoder:
    """Reads requests, and remembers the names in them. Safe to call from several threads.

    Taken: monotonic sums, and of histograms and exponential histograms how many values they hold, delta or
    cumulative. `service.name`, `service.version` of the resource name the series; the environment and the
    attributes of the data point become its attributes, values as text, as far as `choice` wants them; the rest
    (pod, process, `service.instance.id`, the scope with its attributes) only tells the streams apart. The attribute
    `entered` is no part of a series' name: it says when the events had entered.

    most: counters, and most_bytes: bytes of names, that are remembered; beyond them it begins anew.
    """

    def __init__(
        self, choice: Choice | None = None, most: int = 400_000, most_bytes: int = 128 * 1024 * 1024
    ) -> None:
        self._choice = choice or Choice()
        self._most = most
        self._most_bytes = most_bytes
        self._memory = _Memory(self._choice)
        self._turn = threading.Lock()  # a request takes many times its size while it is read: one at a time

    def decode(self, body: bytes, encoding: Encoding) -> Readings:
        """The counts in an ExportMetricsServiceRequest. Raises BadRequest."""
        with self._turn:
            return self._decode(body, encoding)

    def _decode(self, body: bytes, encoding: Encoding) -> Readings:
        memory = self._memory
        if len(memory.catalogue) > self._most or memory.bytes > self._most_bytes:
            memory = self._memory = _Memory(self._choice)
        try:
            if encoding == "json":
                return _from_json(otlp_json.parse(body), memory)
            return _from_protobuf(body, memory)
        except DecodeError:
            raise BadRequest("not an ExportMetricsServiceRequest in protobuf: broken or cut") from None
        except BadRequest:
            raise
        except ValueError as error:
            raise BadRequest(f"not an ExportMetricsServiceRequest in JSON: {error}") from None


class _Memory:
    """What bytes meant. bytes: how many are remembered; entered: does any counter say when events had entered?"""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.catalogue = Catalogue()
        self.bytes = 0
        self.entered = False
        self.pairs: dict[bytes, tuple[str, str]] = {}
        self._resources: dict[bytes, Resource] = {}
        self._scopes: dict[bytes, Scope] = {}
        self._groups: dict[tuple[bytes, bytes, str, str, str], Group] = {}

    def group(
        self,
        resource: bytes,
        scope: bytes,
        metric: tuple[str, str, str],
        read_resource: Callable[[bytes], Resource],
        read_scope: Callable[[bytes], Scope],
    ) -> Group:
        """The counters of a metric (name, kind, unit); resource and scope as the sender writes them."""
        group = self._groups.get((resource, scope, *metric))
        if group is None:
            of = self._resources.get(resource) or read_resource(resource)
            within = self._scopes.get(scope) or read_scope(scope)
            self._resources[resource], self._scopes[scope] = of, within
            group = self._groups[(resource, scope, *metric)] = Group.of(of, within, *metric)
            self.bytes += len(resource) + len(scope) + len(metric[0]) + 500
        return group

    def learn_all(
        self, group: Group, written: Sequence[bytes], pairs: Sequence[Sequence[tuple[str, str]]]
    ) -> None:
        """The same of many counters, none of which is known."""
        sizes = list(map(len, written))
        numbers = group.names(pairs, sizes, self.choice, self.catalogue)
        group.known.update(zip(written, numbers, strict=True))
        self.bytes += sum(sizes) + 100 * len(sizes)
        entered = self.catalogue.entered
        self.entered = self.entered or any(entered[number] > 0 for number in numbers if number >= 0)

    def learn(self, group: Group, written: Any, size: int, pairs: Iterable[tuple[str, str]]) -> int:
        """The number of a counter not seen before, `size` bytes of attributes written as `written`."""
        number = group.name(pairs, size, self.choice, self.catalogue)
        group.known[written] = number
        self.bytes += size + 100
        self.entered = self.entered or (number >= 0 and self.catalogue.entered[number] > 0)
        return number


@dataclass(slots=True)
class _Rows:
    """Readings in the making, metric by metric.

    looked_at: how many data points, metrics, scopes and resources.

    counters: of each row, its number in the catalogue. heads: the first bytes of those rows that were not read,
    just looked up; the columns are of the others. sections: of each metric, how many rows, cumulative or not, are
    they looked up, and is their value a count.
    """

    counters: list[int] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    time: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    looked_at: int = 0
    sections: list[tuple[int, bool, bool, bool]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    def look_at(self, more: int) -> None:
        """Raises BadRequest where it is too much: an empty one is two bytes, and takes its time all the same."""
        self.looked_at += more
        if self.looked_at > MOST:
            raise BadRequest(f"expected at most {MOST:,} data points, metrics, scopes and resources")

    def readings(self, memory: _Memory) -> Readings:
        sizes, cumulative, heads, counts = self._sections()
        looked_up = np.repeat(heads > 0, sizes)
        starts, times = np.zeros((2, len(looked_up)), dtype=np.uint64)
        value = np.zeros(len(looked_up))
        starts[~looked_up], times[~looked_up], value[~looked_up] = self.start, self.time, self.value
        if self.heads:
            head = np.frombuffer(b"".join(self.heads), dtype=_HEAD)
            starts[looked_up], times[looked_up] = head["start"], head["time"]
            value[looked_up] = _values(head, np.repeat(counts > 0, sizes)[looked_up])
        start, time = (np.minimum(column, _LATEST).astype(np.int64) for column in (starts, times))
        counter = np.array(self.counters, dtype=np.int64)
        running = np.repeat(cumulative > 0, sizes)
        good = (time > 0) & (counter >= 0)
        if not good.all():
            self.refused["no time"] += int(np.count_nonzero(time == 0))
            for code, why in REFUSALS.items():
                self.refused[why] += int(np.count_nonzero((time > 0) & (counter == code)))
            start, time, value = start[good], time[good], value[good]
            counter, running = counter[good], running[good]
        catalogue, numbers = memory.catalogue, counter.tolist()
        places = np.array([catalogue.stream[i] for i in numbers], dtype=np.int64)
        distinct, stream = np.unique(places, return_inverse=True)
        entered = None
        if memory.entered:
            said = np.array([catalogue.entered[i] for i in numbers], dtype=np.int64)
            entered = said if said.any() else None
            start = np.where(running, np.maximum(start, said), start)  # it can't have begun before that
        return Readings(
            keys=tuple([catalogue.keys[i] for i in numbers]),
            streams=tuple(catalogue.streams[i] for i in distinct.tolist()),
            stream=stream.ravel().astype(np.int64),
            start=start,
            time=time,
            value=value,
            cumulative=running,
            refused=dict(+self.refused),
            skipped=dict(+self.skipped),
            entered=entered,
            catalogue=catalogue,
            counter=counter,
        )

    def _sections(self) -> NDArray[np.int64]:
        """int64[4, metrics]: the sections as columns."""
        return np.array(self.sections, dtype=np.int64).reshape(len(self.sections), 4).T

    def wrong(self) -> set[int]:
        """The places of the metrics with points of another layout than was thought."""
        if not self.heads:
            return set()
        joined = b"".join(self.heads)
        sizes, _, looked_up, counts = self._sections()
        place = np.repeat(np.arange(len(sizes)), np.where(looked_up > 0, sizes, 0))
        if len(joined) == _HEAD_SIZE * len(self.heads):
            head = np.frombuffer(joined, dtype=_HEAD)
            number = (head["c"] == _DOUBLE) | ((head["c"] == _INT) & (counts[place] == 0))
            fits = (head["a"] == _START) & (head["b"] == _TIME) & number
        else:
            fits = np.array([len(head) == _HEAD_SIZE for head in self.heads])
        return set(place[~fits].tolist())


def _values(head: NDArray[Any], counts: NDArray[np.bool_]) -> NDArray[np.float64]:
    """float64[n]: a count, a double or a whole number, by what stands in `head`."""
    bits = np.ascontiguousarray(head["bits"])
    value = np.where(head["c"] == _INT, bits.view(np.int64).astype(np.float64), bits.view(np.float64))
    return np.where(counts, bits.astype(np.float64), value)


def _why_none(rows: _Rows, metric: str, kind: str, monotonic: bool, temporality: int, points: int) -> bool:
    """Tally the points of a metric that counts nothing, or is at fault."""
    rows.look_at(points)
    if kind not in _COUNTING:
        rows.skipped[kind] += points
    elif kind == "sum" and not monotonic:
        rows.skipped["non-monotonic sum"] += points
    elif not metric:
        rows.refused["no metric name"] += points
    elif temporality not in (_DELTA, _CUMULATIVE):
        rows.refused["no temporality"] += points
    else:
        return False
    return True


# Protobuf.


def _from_protobuf(body: bytes, memory: _Memory) -> Readings:
    try:
        shut = otlp_wire.Request.FromString(body)
    except UnicodeDecodeError:
        raise DecodeError from None
    odd: set[int] = set()
    while True:
        # Which points are not laid out as their metric's first is known only in the end; those metrics are read.
        rows = _walk(shut, body, memory, odd)
        wrong = rows.wrong()
        if not wrong:
            return rows.readings(memory)
        odd |= wrong


def _walk(shut: Any, body: bytes, memory: _Memory, odd: set[int]) -> _Rows:
    """The rows of all metrics; those whose places are in `odd` are read field by field."""
    rows, opened, place = _Rows(), None, -1
    rows.look_at(len(shut.resource_metrics))
    for r, of_resource in enumerate(shut.resource_metrics):
        resource = of_resource.resource
        rows.look_at(len(of_resource.scope_metrics))
        for s, of_scope in enumerate(of_resource.scope_metrics):
            scope = of_scope.scope
            rows.look_at(len(of_scope.metrics))
            for m, metric in enumerate(of_scope.metrics):
                place += 1
                kind = metric.WhichOneof("data")
                data = getattr(metric, kind) if kind else None
                points: Sequence[bytes] = data.data_points if data is not None else ()
                if not points:
                    rows.sections.append((0, False, False, False))
                    continue
                running = getattr(data, "aggregation_temporality", 0)
                if _why_none(
                    rows, metric.name, kind, getattr(data, "is_monotonic", False), running, len(points)
                ):
                    rows.sections.append((0, False, False, False))
                    continue
                group = memory.group(
                    resource, scope, (metric.name, kind, metric.unit), _read_resource, _read_scope
                )
                cumulative = running == _CUMULATIVE
                found = None if place in odd else _look_up(points, kind, group, memory)
                if found is not None:
                    rows.heads += [point[:_HEAD_SIZE] for point in points]
                    rows.counters += found
                    rows.sections.append((len(points), cumulative, True, kind == "histogram"))
                    continue
                if opened is None:
                    opened = otlp_wire.OpenRequest.FromString(body)
                same = opened.resource_metrics[r].scope_metrics[s].metrics[m]
                read = _read(rows, getattr(same, kind).data_points, kind == "sum", group, memory)
                rows.sections.append((read, cumulative, False, False))
    return rows


def _look_up(points: Sequence[bytes], kind: str, group: Group, memory: _Memory) -> list[int] | None:
    """The counters of these points by the bytes of their attributes; None where they must be read."""
    get, first = group.known.get, points[0]
    if len(first) < _HEAD_SIZE or first[0] != _START or first[9] != _TIME:
        return None
    if kind == "sum":
        tails = [point[_HEAD_SIZE:] for point in points]
    elif kind == "histogram":
        cut = _between(points)
        if cut is None:
            return None
        tails = cut
    else:
        return None
    found: list[Any] = [get(tail) for tail in tails]
    if None in found:
        tag = _ATTRIBUTE if kind == "sum" else _ATTRIBUTE_OF_HISTOGRAM
        unknown = list(
            dict.fromkeys([tail for tail, number in zip(tails, found, strict=True) if number is None])
        )
        try:
            pairs = [_pairs(_each(tail, tag), memory) for tail in unknown]
        except (DecodeError, UnicodeDecodeError):
            return None  # broken, or of another layout, as reading it will show
        memory.learn_all(group, unknown, pairs)
        found = [group.known[tail] for tail in tails]
    return found


def _each(written: bytes, tag: int) -> list[bytes]:
    """The messages that `written` holds, each after this tag. Raises DecodeError where it holds anything else."""
    found, at, end = [], 0, len(written)
    while at < end - 1:
        size, begin = written[at + 1], at + 2
        after = begin + size
        if size >= 0x80:
            begin, after = _length_delimited(written, at, tag) or (0, end + 1)
        if written[at] != tag:
            break
        found.append(written[begin:after])
        at = after
    if at != end:
        raise DecodeError
    return found


def _between(points: Sequence[bytes]) -> list[bytes] | None:
    """Of the points of a histogram the bytes between their bounds, which are those of the first one, and their
    extremes; None where one is laid out otherwise."""
    first, summed = points[0], points[0][_HEAD_SIZE : _HEAD_SIZE + 1] == b"\x29"
    at = _HEAD_SIZE + 9 * summed
    buckets = _length_delimited(first, at, 0x32)
    bounds = _length_delimited(first, buckets[1], 0x3A) if buckets else None
    if buckets is None or bounds is None:
        return None
    (held, begin), end = buckets, bounds[1]
    size, same = first[at:held], first[begin:end]
    rest = -_EXTREMES if len(first) >= end + _EXTREMES and first[-18] == 0x59 and first[-9] == 0x61 else None
    tails = []
    for point in points:
        if point[at:held] != size or point[begin:end] != same or (summed and point[_HEAD_SIZE] != 0x29):
            return None
        if rest and (len(point) < end + _EXTREMES or point[-18] != 0x59 or point[-9] != 0x61):
            return None
        tails.append(point[end:rest])
    return tails


def _length_delimited(of: bytes, at: int, tag: int) -> tuple[int, int] | None:
    """Where the contents of a field with this tag begin and end; None where it is another field."""
    if of[at : at + 1] != bytes([tag]):
        return None
    length, shift = 0, 0
    for place in range(at + 1, min(at + 6, len(of))):
        length |= (of[place] & 0x7F) << shift
        shift += 7
        if of[place] < 0x80:
            return (place + 1, place + 1 + length) if place + 1 + length <= len(of) else None
    return None


def _read(rows: _Rows, points: Any, number: bool, group: Group, memory: _Memory) -> int:
    """Append the rows of points field by field; how many there are."""
    get, before = group.known.get, len(rows.counters)
    for point in points:
        if point.flags & _NO_RECORDED_VALUE:
            rows.skipped["no recorded value"] += 1
            continue
        if number:
            which = point.WhichOneof("data")
            if which is None:
                rows.refused["no value"] += 1
                continue
            value = point.as_double if which == "as_double" else float(point.as_int)
        else:
            value = float(point.count)  # the wire leaves out a count of 0: absent is a measured 0 here
        written = tuple(point.attributes)
        counter = get(written)
        if counter is None:
            counter = memory.learn(group, written, sum(map(len, written)), _pairs(written, memory))
        rows.counters.append(counter)
        rows.start.append(point.start_time_unix_nano)
        rows.time.append(point.time_unix_nano)
        rows.value.append(value)
    return len(rows.counters) - before


def _pairs(attributes: Sequence[bytes], memory: _Memory) -> list[Any]:
    """Names and values of attributes; most have been seen, in the company of others."""
    pairs = [memory.pairs.get(written) for written in attributes]
    if None not in pairs:
        return pairs
    for i, written in enumerate(attributes):
        if pairs[i] is None:
            one = KeyValue.FromString(written)
            pairs[i] = memory.pairs[written] = one.key, _text(one.value)
            memory.bytes += len(written) + 300
    return pairs


def _read_resource(written: bytes) -> Resource:
    return Resource.read(
        (one.key, _plain(one.value)) for one in ResourceMessage.FromString(written).attributes
    )


def _read_scope(written: bytes) -> Scope:
    scope = InstrumentationScope.FromString(written)
    return Scope.read(scope.name, scope.version, ((one.key, _plain(one.value)) for one in scope.attributes))


def _text(value: Any) -> str:
    return value.string_value or text(_plain(value))


def _plain(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which is None:
        return ""
    plain = getattr(value, which)
    if which == "bytes_value":
        return base64.b64encode(plain).decode()
    if which == "array_value":
        return [_plain(one) for one in plain.values]
    if which == "kvlist_value":
        return {one.key: _plain(one.value) for one in plain.values}
    return plain


# JSON.


def _from_json(request: otlp_json.Request, memory: _Memory) -> Readings:
    rows = _Rows()
    whens: dict[otlp_json.Whole, int] = {}  # most points of a request have the same times
    rows.look_at(len(request.resource_metrics or ()))
    for of_resource in request.resource_metrics or ():
        rows.look_at(len(of_resource.scope_metrics or ()))
        for of_scope in of_resource.scope_metrics or ():
            rows.look_at(len(of_scope.metrics or ()))
            resource, scope = bytes(of_resource.resource), bytes(of_scope.scope)
            for metric in of_scope.metrics or ():
                unread = metric.gauge or metric.summary
                kinds = {name: getattr(metric, name) for name in _COUNTING}
                kind, data = next(((k, d) for k, d in kinds.items() if d is not None), ("", None))
                if data is None:
                    if unread is not None:
                        rows.skipped["gauge" if metric.gauge else "summary"] += len(unread.data_points or ())
                    continue
                points, name = data.data_points or (), metric.name or ""
                said = data.aggregation_temporality
                running = _TEMPORALITIES.get(said, 0) if isinstance(said, str) else said or 0
                if not points or _why_none(rows, name, kind, bool(data.is_monotonic), running, len(points)):
                    continue
                group = memory.group(
                    resource, scope, (name, kind, metric.unit or ""), _resource_in_json, _scope_in_json
                )
                read = _read_json(rows, points, kind == "sum", group, memory, whens)
                rows.sections.append((read, running == _CUMULATIVE, False, False))
    return rows.readings(memory)


def _read_json(
    rows: _Rows,
    points: Sequence[otlp_json.Point],
    number: bool,
    group: Group,
    memory: _Memory,
    whens: dict[otlp_json.Whole, int],
) -> int:
    """Append the rows of points; how many there are."""
    get, before = group.known.get, len(rows.counters)
    for point in points:
        if point.flags and otlp_json.unsigned(point.flags) & _NO_RECORDED_VALUE:
            rows.skipped["no recorded value"] += 1
            continue
        if not number:
            value = float(otlp_json.unsigned(point.count))
        elif point.as_int is not None:
            value = float(otlp_json.signed(point.as_int))
        elif point.as_double is not None:
            value = point.as_double if type(point.as_double) is float else otlp_json.real(point.as_double)
        else:
            rows.refused["no value"] += 1
            continue
        start, time = whens.get(point.start_time_unix_nano), whens.get(point.time_unix_nano)
        if start is None:
            start = whens[point.start_time_unix_nano] = otlp_json.unsigned(point.start_time_unix_nano)
        if time is None:
            time = whens[point.time_unix_nano] = otlp_json.unsigned(point.time_unix_nano)
        rows.start.append(start)
        rows.time.append(time)
        written = bytes(point.attributes)
        counter = get(written)
        if counter is None:
            pairs = [(name, text(value)) for name, value in otlp_json.attributes(written)]
            counter = memory.learn(group, written, len(written), pairs)
        rows.counters.append(counter)
        rows.value.append(value)
    return len(rows.counters) - before


def _resource_in_json(written: bytes) -> Resource:
    return Resource.read(otlp_json.holder(written)[2])


def _scope_in_json(written: bytes) -> Scope:
    return Scope.read(*otlp_json.holder(written))
