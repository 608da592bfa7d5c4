"""The gRPC door, with the real OpenTelemetry SDK and with rude strangers at the other end."""

from __future__ import annotations

import contextlib
import gzip
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from test_collector_server import DELTA, WRONG, Behind, body, bomb, door
from test_daemon import eventually

from collector.bins import SeriesKey
from collector.grpc_door import EXPORT, listen
from collector.server import Door
from collector.tokens import of_one
from stillwatch import doors
from stillwatch.config import Settings
from stillwatch.starting import CannotStart

__all__ = ["door"]  # a fixture
Call = grpc.UnaryUnaryMultiCallable


@pytest.fixture
def behind() -> Behind:
    return Behind()


@contextmanager
def serving(door: Door, most: int = 64) -> Iterator[int]:
    server, port = listen(door, "127.0.0.1", 0, most=most)
    try:
        yield port
    finally:
        server.stop(1).wait(10)


@contextmanager
def calling(port: int) -> Iterator[Call]:
    """Export, with bytes of any kind."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.max_send_message_length", -1)]) as channel:
        yield channel.unary_unary(EXPORT)


@pytest.fixture
def export(door: Door) -> Iterator[Call]:
    with serving(door) as port, calling(port) as call:
        yield call


def refused(call: Call, sent: bytes, **options: object) -> tuple[str, str, int]:
    """The code, the reason, and after how many seconds to come again (0 = not said)."""
    with pytest.raises(grpc.RpcError) as raised:
        call(sent, timeout=20, **options)
    error = raised.value
    after = 0
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if details:
        status = Status.FromString(details)
        assert (status.code, status.message) == (error.code().value[0], error.details())
        info = RetryInfo()
        assert status.details[0].Unpack(info)
        after = info.retry_delay.seconds
    return error.code().name, error.details(), after


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
@pytest.mark.parametrize("temporality", [{}, DELTA], ids=["cumulative", "delta"])
def test_what_a_real_sdk_counts_is_what_is_counted(
    door: Door, behind: Behind, temporality: object, compression: grpc.Compression
) -> None:
    with serving(door) as port:
        to = OTLPMetricExporter(
            endpoint=f"127.0.0.1:{port}",
            insecure=True,
            compression=compression,
            preferred_temporality=temporality,  # type: ignore[arg-type]
        )
        reader = PeriodicExportingMetricReader(to, export_interval_millis=3_600_000)
        resource = Resource.create({"service.name": "contact-importer", "service.version": "1.4.2"})
        provider = MeterProvider([reader], resource, shutdown_on_exit=False)
        meter = provider.get_meter("imports")
        started, took = meter.create_counter("imports_started"), meter.create_histogram("import.duration")
        for round_ in range(5):
            started.add(10 + round_, {"region": "eu"})
            took.record(0.2)
            assert provider.force_flush()
        provider.shutdown()
    assert behind.counted() == {
        SeriesKey("contact-importer", "imports_started", "1.4.2", (("region", "eu"),)): 60,
        SeriesKey("contact-importer", "import.duration", "1.4.2"): 5,
    }


def test_there_are_so_many_connections_and_no_more(door: Door, behind: Behind) -> None:
    with serving(door, most=20) as port, calling(port) as call, contextlib.ExitStack() as stack:
        call(body(), timeout=20)
        strangers = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(60)
        ]
        eventually(lambda: sum(is_closed(one) for one in strangers) >= 60 - 20)
        assert sum(is_closed(one) for one in strangers) < 60
        for _ in range(3):
            call(body(), timeout=20)  # a connection that stands goes on
        for one in strangers:
            one.close()
        eventually(lambda: is_served(port))
    assert sum(behind.counted().values()) > 0


def test_a_port_that_was_taken_since_it_was_looked_at_ends_the_start_with_one_line(door: Door) -> None:
    with (
        serving(door) as port,
        pytest.raises(CannotStart, match=f"cannot listen on 127.0.0.1:{port}"),
        doors.serving_grpc(door, Settings(), port, None),
    ):
        pass


def is_closed(wire: socket.socket) -> bool:
    """By the other end."""
    wire.setblocking(False)
    try:
        while said := wire.recv(4096):
            del said
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_served(port: int) -> bool:
    with calling(port) as call:
        try:
            call(body(), timeout=5)
        except grpc.RpcError:
            return False
    return True


def test_only_who_brings_the_token_comes_in(door: Door, behind: Behind) -> None:
    with serving(replace(door, tokens=of_one("s3cret"))) as port, calling(port) as call:
        for brought in ([], [("authorization", "Bearer wrong")], [("authorization", "Basic s3cret")]):
            code, reason, after = refused(call, body(), metadata=brought)
            assert (code, after) == ("UNAUTHENTICATED", 0)
            assert "s3cret" not in reason
        call(body(), metadata=[("authorization", "bearer s3cret")])
    assert list(behind.counted().values()) == [3]


def test_busy_senders_are_told_when_to_come_again(export: Call, behind: Behind) -> None:
    behind.busy = True
    assert refused(export, body()) == ("UNAVAILABLE", "not now", 7)


def test_what_is_refused_of_a_good_body_is_told_as_partial_success(export: Call, behind: Behind) -> None:
    answer = ExportMetricsServiceResponse.FromString(export(body() + body(value=-1) + body(temporality=0)))
    assert answer.partial_success.rejected_data_points == 2
    assert answer.partial_success.error_message == "1 negative, 1 no temporality"
    assert export(body()) == b""
    assert list(behind.counted().values()) == [6]


def test_more_calls_than_there_is_room_for_are_sent_away_to_come_again(door: Door, behind: Behind) -> None:
    behind.held = True
    answers: list[object] = []
    with serving(replace(door, at_once=2)) as port, calling(port) as call:

        def send() -> None:
            try:
                answers.append(call(body(), timeout=20))
            except grpc.RpcError as error:
                answers.append((error.code().name, error.details()))

        threads = [threading.Thread(target=send) for _ in range(6)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 10
        while len(answers) < 4 and time.monotonic() < deadline:
            threads[0].join(0.01)
        assert answers == [("UNAVAILABLE", "too many requests at once")] * 4
        behind.gate.set()
        for thread in threads:
            thread.join(10)
    assert answers.count(b"") == 2


def test_what_is_too_large_is_refused_for_good_packed_or_not(export: Call, behind: Behind) -> None:
    for sent, options in (
        (bytes(17 * 1024 * 1024), {}),
        (bytes(200 * 1024 * 1024), {"compression": grpc.Compression.Gzip}),
        (bomb(), {}),
        (gzip.compress(b"") * 100_000, {}),
    ):
        code, _, after = refused(export, sent, **options)
        assert (code, after) in (("RESOURCE_EXHAUSTED", 0), ("INVALID_ARGUMENT", 0))
    assert len(behind.binner.table) == 0
    export(body())


def test_who_dawdles_is_told_to_come_again(door: Door, behind: Behind) -> None:
    with serving(replace(door, patience=0.2, at_once=1)) as port:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            never = threading.Event()

            def nothing() -> Iterator[bytes]:
                never.wait(10)
                yield b""

            slow = channel.stream_unary(EXPORT).future(nothing(), timeout=20)
            assert slow.code() is grpc.StatusCode.CANCELLED
            never.set()
        with calling(port) as call:
            deadline = time.monotonic() + 10
            while True:
                try:
                    call(body())
                    break
                except grpc.RpcError as error:  # until the place of the slow one is free
                    assert error.code() is grpc.StatusCode.UNAVAILABLE
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
    assert list(behind.counted().values()) == [3]


def test_other_services_are_not_implemented_and_a_port_is_ours_alone(door: Door) -> None:
    with serving(door) as port:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            traces = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            assert refused(traces, b"")[0] == "UNIMPLEMENTED"
        with pytest.raises(OSError, match="cannot listen"):
            listen(door, "127.0.0.1", port)


def test_malformed_messages_are_refused_with_a_reason_and_the_door_goes_on(
    export: Call, behind: Behind
) -> None:
    whole, rng = body(), random.Random(5)
    flipped = []
    for _ in range(200):
        broken = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        flipped.append(bytes(broken))
    foreign = [sent for _, sent, headers in WRONG.values() if len(sent) < 1_000_000 and not headers.get("x")]
    cut = [whole[:n] for n in range(len(whole))]
    seen = set()
    for sent in (*flipped, *foreign, *cut):
        try:
            export(sent, timeout=20)
            seen.add("OK")
        except grpc.RpcError as error:
            assert error.code().name in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"), (sent[:99], error)
            assert 5 < len(error.details()) < 300
            seen.add(error.code().name)
    assert len((*flipped, *foreign, *cut)) > 300
    assert seen >= {"OK", "INVALID_ARGUMENT"}
    export(body(service="healthy", name="fine"))
    assert behind.counted()[SeriesKey("healthy", "fine", "", (("region", "eu"),))] == 3


def test_what_is_no_http2_harms_nobody(door: Door, behind: Behind) -> None:
    with serving(door) as port:
        for sent in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(50),
            b"\xff" * 5000,
        ):
            with socket.create_connection(("127.0.0.1", port), 5) as wire:
                wire.sendall(sent)
        with calling(port) as call:
            call(body())
    assert list(behind.counted().values()) == [3]


def test_any_message_is_taken_or_an_invalid_argument() -> None:
    taken = Behind()
    with serving(Door(taken.metrics, taken.deployments, time.time, dict)) as port, calling(port) as call:

        @settings(max_examples=100, deadline=None)
        @given(st.binary(max_size=100) | st.binary(max_size=30).map(lambda noise: body() + noise))
        def check(sent: bytes) -> None:
            try:
                call(sent, timeout=20)
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT

        check()
