"""The HTTP door, with the real OpenTelemetry SDK and with rude strangers at the other end."""

from __future__ import annotations

import gzip
import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx2
import numpy as np
import pytest
import uvicorn
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from collector.binner import Binner
from collector.bins import SeriesKey
from collector.counters import Counters
from collector.deployments import Deployment
from collector.otlp import Decoder
from collector.otlp_names import Choice
from collector.points import Limits, Readings
from collector.server import Busy, Door, app
from collector.tokens import of_one

ROOT = Path(__file__).parent.parent
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
DELTA = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}


@dataclass
class Behind:
    """What lies behind the door in these tests: the collector itself, and lists."""

    counters: Counters = field(default_factory=lambda: Counters(time.time() - 60))
    binner: Binner = field(default_factory=lambda: Binner(5, 10, time.time() - 60))
    lock: threading.Lock = field(default_factory=threading.Lock)
    told: list[Deployment] = field(default_factory=list)
    health: dict[str, object] = field(default_factory=lambda: {"ok": True})
    busy: bool = False
    gate: threading.Event = field(default_factory=threading.Event)
    held: bool = False

    def metrics(self, readings: Readings) -> Mapping[str, int]:
        if self.held:
            assert self.gate.wait(10)
        if self.busy:
            raise Busy(7)
        with self.lock:
            now = time.time()
            return self.binner.add(self.counters.count(readings, self.binner.table, now), now)

    def deployments(self, told: Sequence[Deployment]) -> list[Deployment]:
        if self.busy:
            raise Busy(7)
        known = {(one.id, one.service): one for one in self.told}
        self.told += told
        kept = [(one, known.get((one.id, one.service), one)) for one in told]
        return [before for one, before in kept if not one.is_the_same_as(before)]

    def counted(self) -> dict[SeriesKey, float]:
        """All that arrived so far, by series."""
        with self.lock:
            block = self.binner.close(time.time() + 60)
            total = np.nansum(block.values, axis=0)
            np.add.at(total, block.late.row, block.late.count)
            return dict(zip(self.binner.table.keys, total.tolist(), strict=True))


@contextmanager
def serving(door: Door) -> Iterator[str]:
    """The door, open on loopback while the block runs; its address."""
    server = uvicorn.Server(uvicorn.Config(app(door), "127.0.0.1", 0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        thread.join(0.01)
    try:
        host, port = server.servers[0].sockets[0].getsockname()
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def door(behind: Behind) -> Door:
    return Door(behind.metrics, behind.deployments, lambda: 1_700_000_000.5, lambda: behind.health)


@pytest.fixture
def at(door: Door) -> Iterator[str]:
    with serving(door) as address:
        yield address


@contextmanager
def instrumented(
    address: str, service: str = "contact-importer", **exporter: object
) -> Iterator[MeterProvider]:
    """A service that reports when it is told to, and at its end."""
    to = OTLPMetricExporter(endpoint=f"{address}/v1/metrics", **exporter)  # type: ignore[arg-type]
    reader = PeriodicExportingMetricReader(to, export_interval_millis=3_600_000)
    resource = Resource.create({"service.name": service, "service.version": "1.4.2"})
    provider = MeterProvider([reader], resource, shutdown_on_exit=False)
    try:
        yield provider
    finally:
        provider.shutdown()


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
@pytest.mark.parametrize("temporality", [{}, DELTA], ids=["cumulative", "delta"])
def test_what_a_real_sdk_counts_is_what_is_counted(
    at: str, behind: Behind, temporality: object, compression: Compression
) -> None:
    with instrumented(at, preferred_temporality=temporality, compression=compression) as provider:
        meter = provider.get_meter("imports")
        started = meter.create_counter("imports_started")
        took = meter.create_histogram("import.duration")
        meter.create_up_down_counter("in_flight").add(1)
        meter.create_gauge("temperature").set(20)
        for round_ in range(5):
            started.add(10 + round_, {"region": "eu", "size": 3})
            started.add(1, {"size": 3, "region": "us"})
            took.record(0.2)
            assert provider.force_flush()
    eu, us = (("region", "eu"), ("size", "3")), (("region", "us"), ("size", "3"))
    assert behind.counted() == {
        SeriesKey("contact-importer", "imports_started", "1.4.2", eu): 60,
        SeriesKey("contact-importer", "imports_started", "1.4.2", us): 5,
        SeriesKey("contact-importer", "import.duration", "1.4.2"): 5,
    }


@pytest.mark.parametrize("temporality", [{}, DELTA], ids=["cumulative", "delta"])
def test_two_instances_of_a_service_count_into_one_series(
    at: str, behind: Behind, temporality: object
) -> None:
    with (
        instrumented(at, preferred_temporality=temporality) as one,
        instrumented(at, preferred_temporality=temporality) as other,
    ):
        counters = [
            provider.get_meter("imports").create_counter("imports_started") for provider in (one, other)
        ]
        for added in (5, 1, 7):
            for provider, counter in zip((one, other), counters, strict=True):
                counter.add(added)
                provider.force_flush()
    assert list(behind.counted().values()) == [26]


PROCESS = """
import sys
sys.path.insert(0, "tests")
from test_collector_server import instrumented
with instrumented(sys.argv[1]) as provider:
    counter = provider.get_meter("imports").create_counter("imports_started")
    for _ in range(3):
        counter.add(int(sys.argv[2]))
        provider.force_flush()
"""


@pytest.mark.slow
def test_two_processes_and_a_restart_count_into_one_series(at: str, behind: Behind) -> None:
    def start(added: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", PROCESS, at, str(added)], cwd=ROOT)

    both = [start(10), start(1)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert start(100).wait(60) == 0
    key = SeriesKey("contact-importer", "imports_started", "1.4.2")
    assert behind.counted() == {key: 333}


def body(
    service: str = "s",
    value: float = 3,
    temporality: int = 1,
    name: str = "m",
    stamped: bool = True,
    monotonic: bool = True,
) -> bytes:
    """A request of one delta sum in protobuf."""
    request = ExportMetricsServiceRequest()
    of_resource = request.resource_metrics.add()
    of_resource.resource.attributes.add(key="service.name").value.string_value = service
    metric = of_resource.scope_metrics.add().metrics.add(name=name)
    metric.sum.is_monotonic = monotonic
    metric.sum.aggregation_temporality = temporality
    point = metric.sum.data_points.add(as_double=value)
    point.attributes.add(key="region").value.string_value = "eu"
    if stamped:
        now = time.time_ns()
        point.start_time_unix_nano, point.time_unix_nano = now - 10**9, now
    return request.SerializeToString()


def in_json(**point: object) -> bytes:
    now = time.time_ns()
    said = {"startTimeUnixNano": str(now - 10**9), "timeUnixNano": str(now), "asInt": "3"} | point
    if "asDouble" in said:
        del said["asInt"]
    counted = {"dataPoints": [said], "isMonotonic": True, "aggregationTemporality": 1}
    metrics = [{"name": "m", "sum": counted}]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]}
    return json.dumps(
        {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]}
    ).encode()


def bomb(size: int = 200 * 1024 * 1024) -> bytes:
    return gzip.compress(bytes(size), 9)


GZIP = {"content-encoding": "gzip"}
DEEP = b'{"resourceMetrics":' + b'[{"resource":' * 50_000
NEST = b'{"kvlistValue":{"values":[{"key":"a","value":' * 400
KEEP = b'{"resourceMetrics":[{"resource":{"attributes":[{"key":"a","value":'
WRONG: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "noise": (400, b"\xff" * 100, PROTOBUF),
    "text": (400, b"hello", PROTOBUF),
    "JSON said to be protobuf": (400, b'{"resourceMetrics":[]}', PROTOBUF),
    "a group that never ends": (400, b"\x0b" * 10_000, PROTOBUF),
    "a length beyond the end": (400, b"\x0a\xff\xff\xff\xff\x0f", PROTOBUF),
    "a varint without end": (400, b"\x0a" + b"\xff" * 20, PROTOBUF),
    "a name that is no UTF-8": (400, body(service="abcd").replace(b"abcd", b"\xff\xfe\xfd\xfc"), PROTOBUF),
    "protobuf said to be JSON": (400, body(), JSON),
    "empty JSON": (400, b"", JSON),
    "JSON list": (400, b"[]", JSON),
    "JSON text": (400, b'"resourceMetrics"', JSON),
    "JSON null": (400, b"null", JSON),
    "JSON no UTF-8": (400, b'{"resourceMetrics":"\xff"}', JSON),
    "JSON UTF-16": (400, in_json().decode().encode("utf-16"), JSON),
    "JSON lone surrogate": (400, b'{"resourceMetrics":[{"schemaUrl":"\\ud800"}]}', JSON),
    "JSON twice": (400, in_json() + in_json(), JSON),
    "JSON nested deep": (400, DEEP, JSON),
    "JSON lists nested deep": (400, b"[" * 1_000_000, JSON),
    "JSON attribute nested deep": (400, KEEP + NEST, JSON),
    "JSON metrics as object": (400, b'{"resourceMetrics":{}}', JSON),
    "JSON metrics as text": (400, b'{"resourceMetrics":"x"}', JSON),
    "JSON endless digits": (400, b'{"resourceMetrics":' + b"9" * 100_000 + b"}", JSON),
    "gzip that is none": (400, body(), PROTOBUF | GZIP),
    "gzip of noise": (400, gzip.compress(b"\xff" * 100), PROTOBUF | GZIP),
    "gzip cut": (400, gzip.compress(body())[:-9], PROTOBUF | GZIP),
    "gzip with a wrong sum": (400, gzip.compress(body())[:-8] + b"12345678", PROTOBUF | GZIP),
    "gzip and then noise": (400, gzip.compress(body()) + b"noise", PROTOBUF | GZIP),
    "gzip of nothing": (400, b"", PROTOBUF | GZIP),
    "gzip bomb": (413, bomb(), PROTOBUF | GZIP),
    "gzip of countless empty members": (400, gzip.compress(b"") * 100_000, PROTOBUF | GZIP),
    "gzip bomb of many members": (413, bomb(2**20) * 64, PROTOBUF | GZIP),
    "gzip bomb in JSON": (413, bomb(), JSON | GZIP),
    "too large": (413, bytes(17 * 1024 * 1024), PROTOBUF),
    "no type": (415, body(), {}),
    "another type": (415, body(), {"content-type": "text/plain"}),
    "a form": (415, b"a=b", {"content-type": "application/x-www-form-urlencoded"}),
    "brotli": (415, body(), PROTOBUF | {"content-encoding": "br"}),
    "packed twice": (415, body(), PROTOBUF | {"content-encoding": "gzip, gzip"}),
}
WRONG |= {
    f"JSON point with {field_} {value!r}": (400, in_json(**{field_: value}), JSON)
    for field_, value in [
        ("asInt", "three"),
        ("asInt", 2**63),
        ("asInt", "1" * 5000),
        ("asInt", 1.5),
        ("asInt", []),
        ("asDouble", "x"),
        ("asDouble", {}),
        ("timeUnixNano", -1),
        ("timeUnixNano", 2**64),
        ("timeUnixNano", "noon"),
        ("timeUnixNano", float("nan")),
        ("startTimeUnixNano", [1]),
        ("attributes", "a=b"),
        ("attributes", [["a", "b"]]),
        ("attributes", [{"key": 1}]),
        ("attributes", [{"key": "a", "value": "b"}]),
        ("attributes", [{"key": "a", "value": {"intValue": "x"}}]),
        ("flags", "yes"),
    ]
}
WRONG |= {f"JSON cut at {n}": (400, in_json()[:n], JSON) for n in range(1, len(in_json()) - 1, 7)}


def test_strangers_are_told_what_is_wrong_and_the_door_goes_on(at: str, behind: Behind) -> None:
    assert len(WRONG) > 100
    with httpx2.Client(base_url=at, timeout=30) as client:
        for name, (status, content, headers) in WRONG.items():
            answer = client.post("/v1/metrics", content=content, headers=headers)
            assert answer.status_code == status, (name, answer.content)
            if headers.get("content-type") == JSON["content-type"]:
                reason = answer.json()["message"]
            else:
                reason = Status.FromString(answer.content).message
            assert 5 < len(reason) < 300 and "\n" not in reason, (name, reason)
        assert len(behind.binner.table) == 0
        assert client.post("/v1/metrics", content=body(), headers=PROTOBUF).status_code == 200
    assert list(behind.counted().values()) == [3]


def test_a_body_with_flipped_bits_is_taken_or_refused_and_never_an_accident(at: str, behind: Behind) -> None:
    rng = random.Random(4)
    seen = set()
    with httpx2.Client(base_url=at, timeout=30) as client:
        for headers, whole in ((PROTOBUF, body()), (JSON, in_json())):
            for _ in range(250):
                broken = bytearray(whole)
                for _ in range(rng.randint(1, 4)):
                    broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
                answer = client.post("/v1/metrics", content=bytes(broken), headers=headers)
                assert answer.status_code in (200, 400), bytes(broken)
                seen.add((answer.status_code, headers["content-type"]))
        assert len(seen) == 4
        for cut in range(len(body())):
            answer = client.post("/v1/metrics", content=body()[:cut], headers=PROTOBUF)
            assert answer.status_code in (200, 400)
        client.post("/v1/metrics", content=body(service="healthy", name="fine"), headers=PROTOBUF)
    key = SeriesKey("healthy", "fine", "", (("region", "eu"),))
    assert behind.counted()[key] == 3


def test_good_bodies_come_in_whichever_way_they_are_packed(at: str, behind: Behind) -> None:
    with httpx2.Client(base_url=at) as client:
        ways = [
            (body("a"), PROTOBUF),
            (gzip.compress(body("b")), PROTOBUF | GZIP),
            (gzip.compress(body("c")[:9]) + gzip.compress(body("c")[9:]), PROTOBUF | GZIP),
            (body("d"), {"content-type": "Application/X-Protobuf; charset=x"}),
            (body("e"), PROTOBUF | {"content-encoding": "identity"}),
            (in_json(), JSON),
            (b"", PROTOBUF),
            (b"{}", JSON),
        ]
        for content, headers in ways:
            answer = client.post("/v1/metrics", content=content, headers=headers)
            assert answer.status_code == 200
            assert answer.content in (b"", b"{}")
    assert sorted(behind.counted().values()) == [3.0] * 6


def test_what_is_refused_of_a_good_body_is_told_as_partial_success(at: str, behind: Behind) -> None:
    request = ExportMetricsServiceRequest()
    for one in (
        body(value=5),
        body(value=-1),
        body(value=float("nan")),
        body(stamped=False),
        body(temporality=0),
        body(name=""),
        body(monotonic=False),
    ):
        request.MergeFromString(one)
    content = request.SerializeToString()
    answer = httpx2.post(f"{at}/v1/metrics", content=content, headers=PROTOBUF)
    told = ExportMetricsServiceResponse.FromString(answer.content).partial_success
    assert answer.status_code == 200
    assert told.rejected_data_points == 5
    assert told.error_message == "1 negative, 1 no metric name, 1 no temporality, 1 no time, 1 not finite"
    assert list(behind.counted().values()) == [5]


def test_only_who_brings_the_token_comes_in(door: Door, behind: Behind) -> None:
    with serving(replace(door, tokens=of_one("s3cret-é"))) as at, httpx2.Client(base_url=at) as client:
        wrong: list[dict[str, str]] = [
            {},
            {"authorization": "Bearer"},
            {"authorization": "Bearer s3cret"},
            {"authorization": "Basic s3cret-é"},
            {"authorization": "s3cret-é"},
        ]
        for brought in wrong:
            headers = [(name.encode(), value.encode()) for name, value in (PROTOBUF | brought).items()]
            answer = client.post("/v1/metrics", content=body(), headers=headers)
            assert answer.status_code == 401
            assert b"s3cret" not in answer.content
            headers = [(name.encode(), value.encode()) for name, value in (JSON | brought).items()]
            assert client.post("/deployments", content=b"[]", headers=headers).status_code == 401
        good = [(b"content-type", b"application/x-protobuf"), (b"authorization", "bearer s3cret-é".encode())]
        assert client.post("/v1/metrics", content=body(), headers=good).status_code == 200
        assert client.get("/healthz").status_code == 200
    assert list(behind.counted().values()) == [3]


def test_busy_senders_are_told_when_to_come_again(at: str, behind: Behind) -> None:
    behind.busy = True
    for path, content, headers in (
        ("/v1/metrics", body(), PROTOBUF),
        ("/deployments", b'{"service":"s","version":"1"}', JSON),
    ):
        answer = httpx2.post(at + path, content=content, headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")


def test_more_requests_than_there_is_room_for_are_sent_away_and_the_rest_is_kept(
    door: Door, behind: Behind
) -> None:
    behind.held = True
    answers: list[int] = []
    with serving(replace(door, at_once=2)) as at:

        def send() -> None:
            answers.append(httpx2.post(f"{at}/v1/metrics", content=body(), headers=PROTOBUF).status_code)

        threads = [threading.Thread(target=send) for _ in range(6)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 10
        while len(answers) < 4 and time.monotonic() < deadline:
            threads[0].join(0.01)
        assert answers == [503] * 4
        behind.gate.set()
        for thread in threads:
            thread.join(10)
    assert sorted(answers) == [200, 200, 503, 503, 503, 503]


@pytest.mark.parametrize("wanted", [None, ["region"]])
def test_a_flood_is_sent_away_in_part_but_nothing_that_was_taken_is_missing(
    door: Door, behind: Behind, wanted: list[str] | None
) -> None:
    """Many senders, each with series of its own in bodies of a megabyte, and room for two of them."""
    behind.counters = Counters(time.time() - 60, Limits(per_service=20_000))
    decoder = Decoder(Choice(wanted), most=5_000)
    taken, sent_away, rejected = [], [], []

    def send(sender: int) -> None:
        with httpx2.Client(timeout=60) as client:
            for turn in range(6):
                request = ExportMetricsServiceRequest()
                for i in range(1000):
                    one = request.resource_metrics.add()
                    one.MergeFromString(body_of_resource(f"{sender}", f"{sender} {turn} {i}" + "x" * 900))
                answer = client.post(
                    f"{at}/v1/metrics", content=request.SerializeToString(), headers=PROTOBUF
                )
                if answer.status_code == 200:
                    told = ExportMetricsServiceResponse.FromString(answer.content).partial_success
                    rejected.append(told.rejected_data_points)
                    taken.append(1000)
                else:
                    sent_away.append((answer.status_code, answer.headers["retry-after"]))

    with serving(replace(door, decode=decoder.decode, at_once=2)) as at:
        threads = [threading.Thread(target=send, args=[sender]) for sender in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert len(taken) + len(sent_away) == 36
    assert set(sent_away) <= {(503, "1")}
    assert sum(behind.counted().values()) == sum(taken) - sum(rejected)
    assert taken


def body_of_resource(service: str, user: str) -> bytes:
    """Metrics of one resource with one delta of 1."""
    request = ExportMetricsServiceRequest.FromString(body(service, 1))
    pair = (
        request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0].attributes.add(key="user")
    )
    pair.value.string_value = user
    return request.resource_metrics[0].SerializeToString()


def raw(at: str, sent: bytes, close: bool = False) -> bytes:
    """What comes back for bytes on the wire."""
    host, port = at.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as wire:
        wire.sendall(sent)
        if close:
            return b""
        return wire.recv(65536)


HEAD = b"POST /v1/metrics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"


def test_who_lies_about_length_dawdles_or_goes_away_harms_nobody(door: Door, behind: Behind) -> None:
    with serving(replace(door, patience=0.2)) as at:
        assert b" 413 " in raw(at, HEAD + b"Content-Length: 99999999999\r\n\r\n")
        assert b" 400 " in raw(at, HEAD + b"Content-Length: -1\r\n\r\n")
        assert b" 503 " in raw(at, HEAD + b"Content-Length: 100\r\n\r\nabc")
        raw(at, HEAD + b"Content-Length: 100\r\n\r\nabc", close=True)
        piece = b"100000\r\n" + bytes(0x100000) + b"\r\n"
        assert b" 413 " in raw(at, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + piece * 17)
        assert httpx2.post(f"{at}/v1/metrics", content=body(), headers=PROTOBUF).status_code == 200
    assert list(behind.counted().values()) == [3]


def test_a_deployment_is_told_and_answered_with_its_id(at: str, behind: Behind) -> None:
    said = {"service": "event-parser", "version": "2.0", "time": "2022-04-13T08:31:00+02:00", "id": "r1"}
    answer = httpx2.post(f"{at}/deployments", json=[said, said | {"service": "contact-importer"}])
    assert answer.status_code == 200
    assert answer.json()["deployments"][0] == {
        "id": "r1",
        "service": "event-parser",
        "version": "2.0",
    }
    assert [one.service for one in behind.told] == ["event-parser", "contact-importer"]
    assert behind.told[0].time == 1_649_831_460
    assert behind.told[0].reported == 1_700_000_000


@pytest.mark.parametrize(
    ("status", "content", "headers"),
    [
        (400, b'{"service":"s"}', JSON),
        (400, b"", JSON),
        (400, b"\xff", JSON),
        (400, b"[" * 100_000, JSON),
        (400, b'[{"service":"s","version":"1"},3]', JSON),
        (413, b" " * (17 * 1024 * 1024), JSON),
        (415, b'{"service":"s","version":"1"}', {"content-type": "text/plain"}),
    ],
)
def test_a_wrong_deployment_is_answered_with_a_reason(
    at: str, behind: Behind, status: int, content: bytes, headers: dict[str, str]
) -> None:
    answer = httpx2.post(f"{at}/deployments", content=content, headers=headers)
    assert answer.status_code == status
    assert len(answer.json()["error"]) > 5
    assert behind.told == []


def test_an_id_that_is_known_for_another_deployment_is_a_conflict(at: str) -> None:
    said = {"service": "event-parser", "version": "2.0", "id": "r1"}
    assert [httpx2.post(f"{at}/deployments", json=said).status_code for _ in range(2)] == [200, 200]
    answer = httpx2.post(f"{at}/deployments", json=said | {"version": "1.9", "kind": "rollback"})
    assert answer.status_code == 409
    assert "the id 'r1' of 'event-parser' is '2.0' (deploy) already; expected an id" in answer.json()["error"]


def test_health_is_what_lies_behind_says(at: str, behind: Behind) -> None:
    assert httpx2.get(f"{at}/healthz").json() == {"ok": True}
    behind.health = {"ok": False, "blind_since": 1_700_000_000}
    answer = httpx2.get(f"{at}/healthz")
    assert (answer.status_code, answer.json()["blind_since"]) == (503, 1_700_000_000)


def test_other_ways_in_are_closed(at: str) -> None:
    assert httpx2.get(f"{at}/v1/metrics").status_code == 405
    assert httpx2.get(f"{at}/").status_code == 404
    answer = httpx2.post(f"{at}/v1/metrics/", content=b"")
    assert answer.status_code == 404  # and not elsewhere: not every exporter follows
    assert "POST /v1/metrics" in answer.json()["error"]
