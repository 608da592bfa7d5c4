"""The body of an OTLP request becomes Readings, the same from protobuf and from JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    NumberDataPoint,
)

from collector import otlp_wire
from collector.bins import SeriesKey
from collector.otlp import BadRequest, Decoder, Encoding
from collector.otlp_names import Choice
from collector.points import Readings

NOON = 1_649_851_200 * 10**9


def decode(body: bytes, encoding: Encoding) -> Readings:
    """What a decoder reads that has seen nothing before."""
    return Decoder().decode(body, encoding)


def request(
    *metrics: dict[str, Any], resource: dict[str, str] | None = None, scope: str = ""
) -> ExportMetricsServiceRequest:
    named = {"service.name": "event-parser"} if resource is None else resource
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in named.items()]
    said = {
        "resourceMetrics": [
            {
                "resource": {"attributes": attributes},
                "scopeMetrics": [{"scope": {"name": scope}, "metrics": list(metrics)}],
            }
        ]
    }
    return json_format.ParseDict(said, ExportMetricsServiceRequest())


def counter(
    name: str = "opens", temporality: int = 2, monotonic: bool = True, **point: Any
) -> dict[str, Any]:
    said = {"timeUnixNano": str(NOON), "asInt": "3"} | point
    if "asDouble" in said:
        del said["asInt"]
    return {
        "name": name,
        "sum": {"dataPoints": [said], "aggregationTemporality": temporality, "isMonotonic": monotonic},
    }


def both(said: ExportMetricsServiceRequest) -> Readings:
    """What is read from protobuf, after asserting that JSON says the same."""
    binary = decode(said.SerializeToString(), "protobuf")
    text = decode(json_format.MessageToJson(said).encode(), "json")
    assert (binary.keys, binary.streams) == (text.keys, text.streams)
    assert (binary.refused, binary.skipped) == (text.refused, text.skipped)
    for name in ("stream", "start", "time", "value", "cumulative"):
        np.testing.assert_array_equal(getattr(binary, name), getattr(text, name))
    return binary


def test_a_sum_is_read_with_its_times_and_its_name() -> None:
    resource = {"service.name": "event-parser", "service.version": "2.0", "service.instance.id": "i7"}
    got = both(request(counter(startTimeUnixNano=str(NOON - 5)), resource=resource))
    assert got.keys == (SeriesKey("event-parser", "opens", "2.0"),)
    assert (got.start.tolist(), got.time.tolist(), got.value.tolist()) == ([NOON - 5], [NOON], [3.0])
    assert got.cumulative.tolist() == [True]
    assert "i7" in got.streams[0].instance


def test_delta_is_told_apart_from_cumulative_and_unsaid_start_is_zero() -> None:
    got = both(request(counter(temporality=1), counter(temporality=2)))
    assert got.cumulative.tolist() == [False, True]
    assert got.start.tolist() == [0, 0]


@pytest.mark.parametrize("kind", ["histogram", "exponentialHistogram"])
@pytest.mark.parametrize("count", [0, 7])
def test_of_a_histogram_it_is_read_how_many_values_it_holds(kind: str, count: int) -> None:
    point = {"timeUnixNano": str(NOON), "count": str(count), "sum": 12.5}
    got = both(request({"name": "took", kind: {"dataPoints": [point], "aggregationTemporality": 1}}))
    assert got.value.tolist() == [count]


def test_what_counts_nothing_is_skipped_and_tallied() -> None:
    gauge = {"name": "g", "gauge": {"dataPoints": [{"asDouble": 1}, {"asDouble": 2}]}}
    summary = {"name": "s", "summary": {"dataPoints": [{"count": "3"}]}}
    got = both(request(gauge, summary, counter(monotonic=False), counter(flags=1), {"name": "empty"}))
    assert len(got) == 0
    assert got.skipped == {"gauge": 2, "summary": 1, "non-monotonic sum": 1, "no recorded value": 1}
    assert got.refused == {}


def test_what_is_at_fault_is_refused_by_reason_and_the_rest_is_read() -> None:
    without = counter()
    del without["sum"]["dataPoints"][0]["asInt"]
    got = both(
        request(counter(name=""), counter(temporality=0), counter(timeUnixNano="0"), without, counter())
    )
    assert got.refused == {"no metric name": 1, "no temporality": 1, "no time": 1, "no value": 1}
    assert len(got) == 1


def test_attributes_are_sorted_and_their_values_are_text_whatever_the_type() -> None:
    values = {
        "text": {"stringValue": "eu"},
        "whole": {"intValue": "200"},
        "whole.double": {"doubleValue": 200},
        "half": {"doubleValue": 0.5},
        "yes": {"boolValue": True},
        "list": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "ä"}]}},
        "map": {"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": False}}]}},
        "bytes": {"bytesValue": "AAE="},
        "nothing": {},
    }
    said = [{"key": key, "value": value} for key, value in values.items()]
    got = both(request(counter(attributes=said)))
    assert got.keys[0].attributes == (
        ("bytes", "AAE="),
        ("half", "0.5"),
        ("list", '[1, "ä"]'),
        ("map", '{"k": false}'),
        ("nothing", ""),
        ("text", "eu"),
        ("whole", "200"),
        ("whole.double", "200"),
        ("yes", "true"),
    )


@pytest.mark.parametrize("name", ["deployment.environment.name", "deployment.environment"])
def test_environments_are_not_mixed(name: str) -> None:
    got = both(request(counter(), resource={"service.name": "s", name: "staging"}))
    assert got.keys[0].attributes == (("deployment.environment.name", "staging"),)


def test_a_resource_without_a_name_is_the_unknown_service() -> None:
    assert both(request(counter(), resource={})).keys[0].service == "unknown_service"


def test_scope_unit_and_kind_tell_streams_apart_and_not_series() -> None:
    said = request(counter(), counter() | {"unit": "1"}, scope="a")
    said.MergeFrom(request(counter(), scope="b"))
    got = both(said)
    assert len(set(got.keys)) == 1
    assert got.stream.tolist() == [0, 1, 2]
    assert len({stream.instance for stream in got.streams}) == 1


def test_when_events_had_entered_is_no_part_of_their_name() -> None:
    minute = NOON // 10**9 - 120
    attributes = [
        [{"key": "entered", "value": value}, {"key": "queue", "value": {"stringValue": "a"}}]
        for value in (
            {"intValue": str(minute)},
            {"stringValue": "2022-04-13T11:57:12Z"},
            {"stringValue": "noon"},
        )
    ]
    plain = {"timeUnixNano": str(NOON), "asInt": "3"}
    points = [plain | {"startTimeUnixNano": "5", "attributes": one} for one in attributes]
    said = counter()
    said["sum"]["dataPoints"] = [*points, plain]
    found = both(request(said))
    queue = SeriesKey("event-parser", "opens", "", (("queue", "a"),))
    assert found.keys == (queue, queue, SeriesKey("event-parser", "opens"))
    assert found.entered is not None
    assert (found.entered // 10**9).tolist() == [minute, minute - 48, 0]
    assert len({found.streams[i] for i in found.stream}) == 3, "a counter of its own for each entry"
    assert found.start.tolist()[:2] == found.entered.tolist()[:2], "which can't have begun before it"
    assert found.refused == {"entered is no time": 1}


def test_absurd_times_are_kept_for_refusal() -> None:
    got = both(request(counter(timeUnixNano=str(2**64 - 1), startTimeUnixNano=str(2**64 - 1))))
    assert got.time.tolist() == [2**63 - 1]


def test_null_and_unknown_fields_in_json_are_as_if_absent() -> None:
    body = (
        b'{"new":1,"resourceMetrics":[{"resource":null,"scopeMetrics":[{"scope":null,"metrics":[{"name":"m","unit":'
        b'null,"sum":{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[{"asInt":"3","timeUnixNano":1,'
        b'"attributes":null,"startTimeUnixNano":null,"x":[]}]}},{"name":"e","sum":{"dataPoints":null}}]}]}]}'
    )
    got = decode(body, "json")
    assert got.keys == (SeriesKey("unknown_service", "m"),)


def test_the_reason_of_a_bad_request_names_the_place() -> None:
    with pytest.raises(BadRequest, match=r"Expected `array.*resourceMetrics\[0\]\.scopeMetrics"):
        decode(b'{"resourceMetrics":[{"scopeMetrics":3}]}', "json")
    with pytest.raises(BadRequest, match="protobuf: broken or cut"):
        decode(b"\x0a\x05", "protobuf")


text = st.text(st.characters(codec="utf-8"), max_size=5)
numbers = st.one_of(
    st.builds(lambda n: {"asInt": str(n)}, st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda x: {"asDouble": x}, st.floats(allow_nan=False, allow_infinity=False)),
    st.sampled_from([{"asDouble": "NaN"}, {"asDouble": "Infinity"}, {}]),
)
attributes = st.lists(
    st.builds(
        lambda key, value: {"key": key, "value": value},
        text,
        st.one_of(
            st.builds(lambda x: {"stringValue": x}, text),
            st.builds(lambda x: {"intValue": str(x)}, st.integers(-(2**63), 2**63 - 1)),
            st.builds(lambda x: {"doubleValue": x}, st.floats(allow_nan=False, allow_infinity=False)),
        ),
    ),
    max_size=3,
)
points = st.builds(
    lambda number, attributes_, start, time: (
        number
        | {"attributes": attributes_}
        | {"startTimeUnixNano": str(start)}
        | ({"timeUnixNano": str(time)} if time else {})
    ),
    numbers,
    attributes,
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
)
metrics = st.builds(
    lambda name, said, temporality, monotonic: {
        "name": name,
        "sum": {"dataPoints": said, "aggregationTemporality": temporality, "isMonotonic": monotonic},
    },
    text,
    st.lists(points, max_size=4),
    st.integers(0, 2),
    st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(metrics, max_size=3), st.dictionaries(text, text, max_size=2), text)
def test_protobuf_and_json_say_the_same(
    said: list[dict[str, Any]], resource: dict[str, str], scope: str
) -> None:
    both(request(*said, resource=resource, scope=scope))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["protobuf", "json"]))
def test_any_bytes_are_readings_or_a_bad_request(body: bytes, encoding: Any) -> None:
    try:
        decode(body, encoding)
    except BadRequest as error:
        assert "\n" not in str(error)


def field(number: int, *contents: bytes) -> bytes:
    """Length-delimited fields on the wire."""
    said = b""
    for content in contents:
        length, left = b"", len(content)
        while left > 0x7F:
            length, left = length + bytes([left & 0x7F | 0x80]), left >> 7
        said += bytes([number << 3 | 2]) + length + bytes([left]) + content
    return said


def of_wire(kind: str, points: list[bytes]) -> bytes:
    """A request with one metric of data points as they are on the wire."""
    data = (
        b"".join(field(1, point) for point in points) + b"\x10\x02" + (b"\x18\x01" if kind == "sum" else b"")
    )
    number = {"sum": 7, "histogram": 9, "exponential_histogram": 10}[kind]
    resource = request().resource_metrics[0].resource.SerializeToString()
    metric = field(1, b"opens") + field(number, data)
    return field(1, field(1, resource) + field(2, field(2, metric)))


def twin(raw: bytes, kind: str) -> list[tuple[SeriesKey, int, int, float]]:
    """What the points of one metric say, read with OTLP's own schema."""
    whole = ExportMetricsServiceRequest.FromString(raw)
    said = []
    for point in getattr(whole.resource_metrics[0].scope_metrics[0].metrics[0], kind).data_points:
        pairs = tuple(sorted({one.key: one.value.string_value for one in point.attributes}.items()))
        value = point.as_int + point.as_double if kind == "sum" else point.count
        if not point.flags and point.time_unix_nano and (kind != "sum" or point.WhichOneof("value")):
            key = SeriesKey("event-parser", "opens", "", pairs)
            said.append((key, point.start_time_unix_nano, point.time_unix_nano, float(value)))
    return said


def rows(read: Readings) -> list[tuple[SeriesKey, int, int, float]]:
    return list(zip(read.keys, read.start.tolist(), read.time.tolist(), read.value.tolist(), strict=True))


POINTS = {
    "sum": NumberDataPoint,
    "histogram": HistogramDataPoint,
    "exponential_histogram": ExponentialHistogramDataPoint,
}
awkward = st.sampled_from(["", "eu", "a" * 18 + "Y12345678a12345678", "\x11\x19!", "ä" * 60])


@st.composite
def laid_out(draw: st.DrawFn, kind: str) -> bytes:
    """A data point, mostly as exporters write it, at times with its fields in another order."""
    point = POINTS[kind]()
    point.time_unix_nano = draw(st.sampled_from([NOON, NOON + 1, 0]))
    point.start_time_unix_nano = draw(st.sampled_from([NOON - 9, NOON - 9, 0]))
    for name in draw(st.lists(st.sampled_from(["a", "b", "c"]), max_size=3)):
        point.attributes.add(key=name).value.string_value = draw(awkward)
    if kind == "sum":
        which = draw(st.sampled_from(["as_int", "as_double", ""]))
        if which:
            setattr(point, which, draw(st.integers(0, 2**40)))
    else:
        point.count = draw(st.sampled_from([7, 7, 0, 2**40]))
        if draw(st.booleans()):
            point.sum = 3.5
        if draw(st.booleans()):
            point.min, point.max = 1.0, 2.0
    if kind == "histogram" and draw(st.booleans()):
        point.bucket_counts.extend([1, 2, 4])
        if draw(st.integers(0, 3)):
            point.explicit_bounds.extend([1.0, draw(st.sampled_from([2.0, 3.0]))])
    point.flags = draw(st.sampled_from([0, 0, 0, 1]))
    if draw(st.integers(0, 5)) == 0:
        point.exemplars.add(as_double=1.0, span_id=b"12345678")
    parts = []
    for descriptor, _ in point.ListFields():
        alone = POINTS[kind]()
        alone.MergeFrom(point)
        for other, _ in point.ListFields():
            if other is not descriptor:
                alone.ClearField(other.name)
        parts.append(alone.SerializeToString())
    return b"".join(draw(st.permutations(parts)) if draw(st.integers(0, 3)) == 0 else parts)


@pytest.mark.parametrize("kind", sorted(POINTS))
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_whatever_the_layout_and_whatever_came_before_the_same_is_read(
    kind: str, data: st.DataObject
) -> None:
    decoder = Decoder(most=8)
    seen: list[bytes] = []
    for _ in range(3):
        points = data.draw(st.lists(laid_out(kind) | st.sampled_from(seen) if seen else laid_out(kind)))
        seen += points
        raw = of_wire(kind, points)
        assert rows(decoder.decode(raw, "protobuf")) == twin(raw, kind)


def test_what_exporters_repeat_is_looked_up_and_not_read() -> None:
    decoder = Decoder()
    said = counter(startTimeUnixNano=str(NOON - 5), attributes=[{"key": "a", "value": {"stringValue": "b"}}])
    bucketed = {"name": "took", "histogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": str(NOON), "startTimeUnixNano": "9", "count": "3", "sum": 1, "min": 1, "max": 2,
         "bucketCounts": ["1", "2"], "explicitBounds": [1]}]}}  # fmt: skip
    whole = request(said, bucketed)
    first = decoder.decode(whole.SerializeToString(), "protobuf")
    with pytest.MonkeyPatch.context() as patch:
        for one in ("OpenRequest", "NumberPoint", "HistogramPoint"):
            patch.setattr(otlp_wire, one, None)
        again = decoder.decode(whole.SerializeToString(), "protobuf")
    assert (again.keys, again.counter is not None) == (first.keys, True)
    np.testing.assert_array_equal(again.counter, first.counter)


@pytest.mark.parametrize("kind", ["sum", "histogram"])
def test_exemplars_which_are_new_each_time_are_not_remembered(kind: str) -> None:
    decoder, sizes = Decoder(), set()
    for i in range(1, 5):
        point = POINTS[kind](time_unix_nano=NOON, start_time_unix_nano=NOON - 9)
        point.attributes.add(key="a").value.string_value = "b"
        if kind == "histogram":
            point.count = 3
            point.explicit_bounds.append(1.0)
            point.bucket_counts.extend([1, 2])
        else:
            point.as_double = 3.0
        point.exemplars.add(as_double=float(i), time_unix_nano=NOON + i)
        raw = of_wire(kind, [point.SerializeToString()])
        read = decoder.decode(raw, "protobuf")
        assert rows(read) == twin(raw, kind)
        assert read.catalogue is not None
        sizes.add(len(read.catalogue))
    assert sizes == {1}


def test_what_is_remembered_has_a_bound() -> None:
    decoder = Decoder(most_bytes=10_000)
    for i in range(50):
        attributes = [{"key": "a", "value": {"stringValue": f"{i}" * 200}}]
        read = decoder.decode(request(counter(attributes=attributes)).SerializeToString(), "protobuf")
        assert len(read) == 1
        assert read.catalogue is not None and len(read.catalogue) < 20


def test_a_name_without_end_is_refused_and_a_long_resource_told_by_a_digest() -> None:
    long = counter(attributes=[{"key": "a", "value": {"stringValue": "x" * 9000}}])
    got = both(request(long, counter(), resource={"service.name": "s", "command": "y" * 9000}))
    assert got.refused == {"name too long": 1}
    assert len(got) == 1
    assert len(got.streams[0].instance) < 100
    other = both(request(counter(), resource={"service.name": "s", "command": "z" * 9000}))
    assert other.streams != got.streams


def test_a_body_of_nothing_but_points_is_a_bad_request() -> None:
    metric = {"name": "m", "sum": {"dataPoints": [{}] * 1_000_001}}
    empty = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).encode()
    for body, encoding in (
        (empty, "json"),
        (b'{"resourceMetrics":[' + b"{}," * 1_000_000 + b"{}]}", "json"),
        (of_wire("sum", [b""] * 1_000_001), "protobuf"),
        (field(1, b"\x12\x00" * 1_000_001), "protobuf"),
        (field(1, field(2, b"\x12\x00" * 1_000_001)), "protobuf"),
    ):
        with pytest.raises(BadRequest, match="at most 1,000,000 data points"):
            decode(body, encoding)  # type: ignore[arg-type]


def test_attributes_of_the_scope_tell_counters_apart() -> None:
    said = request(counter(), scope="a")
    other = request(counter(), scope="a")
    other.resource_metrics[0].scope_metrics[0].scope.attributes.add(key="tenant").value.string_value = "b"
    said.MergeFrom(other)
    got = both(said)
    assert len(set(got.keys)) == 1
    assert got.stream.tolist() == [0, 1]


def test_only_chosen_attributes_make_series_and_the_others_tell_counters_apart() -> None:
    def point(**attributes: str) -> dict[str, Any]:
        said = [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
        return counter(attributes=said)

    metrics_ = (point(region="eu", user="1"), point(region="eu", user="2"), point(user="1"))
    said = request(*metrics_, resource={"service.name": "s", "cloud": "x", "deployment.environment": "test"})
    for encoding, raw in (
        ("protobuf", said.SerializeToString()),
        ("json", json_format.MessageToJson(said).encode()),
    ):
        decoder = Decoder(Choice(("region", "cloud"), {"other": ()}))
        got = decoder.decode(raw, encoding)  # type: ignore[arg-type]
        base = (("cloud", "x"), ("deployment.environment.name", "test"))
        eu = SeriesKey("s", "opens", "", (*base, ("region", "eu")))
        assert got.keys == (eu, eu, SeriesKey("s", "opens", "", base))
        assert len({got.streams[i] for i in got.stream[:2]}) == 2
    bare = Decoder(Choice(("region",), {"s": ()})).decode(said.SerializeToString(), "protobuf")
    assert {key.attributes for key in bare.keys} == {(("deployment.environment.name", "test"),)}
    assert len({bare.streams[i] for i in bare.stream}) == 3
