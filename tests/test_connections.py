"""Strangers at the doors with real sockets: slow, many, with endless heads. Nobody waits for them."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import grpc
import httpx2
import pytest
import uvicorn
from test_collector_server import HEAD, JSON, PROTOBUF, Behind, body

from collector import connections, grpc_door, server
from collector.connections import affordable, bounded
from collector.server import Door, app
from collector.tokens import of_one
from collector.webhooks.hook import Hook

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def door(behind: Behind) -> Door:
    return Door(behind.metrics, behind.deployments, time.time, lambda: behind.health)


@contextmanager
def serving(door: Door, most: int = 1000, patience: float = 1.0) -> Iterator[int]:
    config = uvicorn.Config(
        app(door), "127.0.0.1", 0, log_level="critical", http=bounded(most, patience), timeout_keep_alive=75
    )
    one = uvicorn.Server(config)
    thread = threading.Thread(target=one.run)
    thread.start()
    while not one.started:
        thread.join(0.01)
    try:
        yield int(one.servers[0].sockets[0].getsockname()[1])
    finally:
        one.should_exit = one.force_exit = True
        thread.join(10)


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


def answered_at_once(port: int) -> None:
    begun = time.monotonic()
    got = httpx2.post(
        f"http://127.0.0.1:{port}/v1/metrics", content=body(), headers=PROTOBUF, trust_env=False, timeout=10
    )
    assert got.status_code == 200
    assert time.monotonic() - begun < 3


RESET = b"reset"


def lasts(wire: socket.socket, drip: bytes, every: float = 0.05, most: float = 10) -> tuple[float, bytes]:
    """Seconds until the other side ends a connection on which one byte after the other comes; what it said."""
    begun, said, sent = time.monotonic(), b"", 0
    wire.settimeout(every)
    while time.monotonic() - begun < most:
        try:
            got = wire.recv(4096)
        except TimeoutError:
            got = None
        except ConnectionResetError:
            # Of what was on its way to it when it closed; its last word may be lost by that.
            return time.monotonic() - begun, said or RESET
        if got == b"":
            return time.monotonic() - begun, said
        said += got or b""
        if drip:
            try:
                wire.sendall(drip[sent % len(drip) :][:1])
            except OSError:
                return time.monotonic() - begun, said
            sent += 1
    return most, said


@pytest.mark.parametrize("drip", [b"", b"GET /" + b"a" * 10_000, GET + b"X-A: b\r\n" * 1000, b"\r\n"])
def test_a_head_that_does_not_come_in_time_ends_its_connection(door: Door, drip: bytes) -> None:
    with serving(door) as port, connected(port) as slow:
        seconds, said = lasts(slow, drip)
        assert 0.5 < seconds < 5
        assert b" 408 " in said or (drip and said == RESET)
        answered_at_once(port)


@pytest.mark.parametrize("drip", [GET * 1000, b"\r\n"])
def test_nor_does_a_later_one_on_the_same_connection(door: Door, drip: bytes) -> None:
    with serving(door) as port, connected(port) as kept:
        for _ in range(2):
            kept.sendall(GET + b"\r\n")
            while b"}" not in kept.recv(4096):
                pass
            time.sleep(1.5)  # between two requests a connection may rest for longer than a head may take
        seconds, said = lasts(kept, drip)
        assert 0.5 < seconds < 5 and b" 408 " in said


def test_what_drips_after_a_refusal_ends_as_well(door: Door) -> None:
    with serving(replace(door, patience=0.3)) as port, connected(port) as slow:
        slow.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
        seconds, said = lasts(slow, b"a" * 1000)
        assert b" 503 " in said and seconds < 5


@pytest.mark.parametrize(
    "endless", [b"X-A: " + b"b" * 1000 + b"\r\n", b"X: y\r\n", b"b"], ids=["long", "many", "one"]
)
def test_a_head_without_end_is_cut_off(door: Door, endless: bytes) -> None:
    with serving(door, patience=30) as port, connected(port) as flood:
        sent, piece = 0, endless * (16_384 // len(endless))
        flood.settimeout(5)
        start = b"GET /" if endless == b"b" else GET
        with contextlib.suppress(OSError):
            flood.sendall(start)
            while sent < 64 << 20:
                flood.sendall(piece)
                sent += len(piece)
        # What lies in the buffers of the system on the way counts as sent.
        assert sent < 16 << 20
        answered_at_once(port)


def test_an_ordinary_head_and_a_body_that_comes_with_it_are_no_flood(door: Door, behind: Behind) -> None:
    many = {f"x-{i}": "b" * 500 for i in range(60)}
    with serving(door) as port:
        got = httpx2.post(
            f"http://127.0.0.1:{port}/v1/metrics", content=body(), headers=PROTOBUF | many, trust_env=False
        )
        assert got.status_code == 200
        whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body()) + body()
        with connected(port) as wire:
            wire.sendall(whole * 200)
            wire.settimeout(20)
            said = b""
            while said.count(b"HTTP/1.1 200") < 200:
                piece = wire.recv(65536)
                assert piece, said[-500:]
                said += piece
    assert list(behind.counted().values()) == [6]  # what is said again counts once


def test_there_are_so_many_connections_and_no_more(door: Door) -> None:
    with serving(door, most=20, patience=30) as port:
        kept = [connected(port) for _ in range(20)]
        try:
            for one in kept:
                one.sendall(GET + b"\r\n")
            for one in kept:
                assert one.recv(4096).startswith(b"HTTP/1.1 200")
            for _ in range(50):
                with connected(port) as late:
                    seconds, said = lasts(late, b"", most=5)
                    assert b" 503 " in said and b"too many connections" in said and seconds < 5
            kept[0].sendall(GET + b"\r\n")
            assert kept[0].recv(4096) != b""
            for one in kept[10:]:
                one.close()
            time.sleep(0.2)
            answered_at_once(port)
        finally:
            for one in kept:
                one.close()


def test_strangers_whose_bodies_dawdle_hold_up_nobody_who_brings_a_token(door: Door) -> None:
    door = replace(
        door, webhooks={"github": Hook("github", "s3cret")}, tokens=of_one("t"), at_once=server.STRANGERS
    )
    with serving(door) as port, contextlib.ExitStack() as held:
        for _ in range(server.STRANGERS):
            wire = held.enter_context(connected(port))
            wire.sendall(
                b"POST /webhooks/github HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
        time.sleep(0.3)
        url = f"http://127.0.0.1:{port}"
        full = httpx2.post(f"{url}/webhooks/github", content=b"{}", headers=JSON, trust_env=False)
        assert full.status_code == 503
        begun = time.monotonic()
        headers = PROTOBUF | {"authorization": "Bearer t"}
        got = httpx2.post(f"{url}/v1/metrics", content=body(), headers=headers, trust_env=False)
        assert got.status_code == 200 and time.monotonic() - begun < 3


def test_who_may_not_come_in_is_told_so_before_the_body(door: Door) -> None:
    with serving(replace(door, tokens=of_one("t"))) as port, connected(port) as wire:
        wire.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n")
        assert b" 401 " in wire.recv(4096)


def test_a_flood_of_questions_how_we_are_costs_what_one_does(door: Door) -> None:
    made: list[int] = []
    release = threading.Event()

    def health() -> dict[str, object]:
        made.append(1)
        assert release.wait(20)
        return {"ok": True}

    with serving(replace(door, health=health)) as port, contextlib.ExitStack() as held:
        asking = [held.enter_context(connected(port)) for _ in range(200)]
        for one in asking:
            one.sendall(GET + b"\r\n")
        time.sleep(0.5)
        answered_at_once(port)  # no thread is missing
        release.set()
        for one in asking:
            assert one.recv(4096).startswith(b"HTTP/1.1 200")
    assert len(made) <= 3


def test_descriptors_are_left_for_everything_else() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, before[1]), before[1]))
        most = affordable()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert hard == before[1] and soft == min(before[1], connections.WANTED)
        assert most >= connections.LEAST and (
            most == connections.LEAST or most <= soft - connections.RESERVED
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# Over gRPC.


@pytest.fixture
def grpc_port(door: Door) -> Iterator[int]:
    one, port = grpc_door.listen(replace(door, patience=1.0), "127.0.0.1", 0)
    yield port
    one.stop(0).wait()


def test_a_connection_that_never_speaks_grpc_is_ended(grpc_port: int) -> None:
    with connected(grpc_port) as silent:
        seconds, _ = lasts(silent, b"")
        assert seconds < 6


def test_long_metadata_is_refused_and_the_next_call_taken(grpc_port: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        call = channel.unary_unary(grpc_door.EXPORT)
        with pytest.raises(grpc.RpcError) as refused:
            call(body(), timeout=10, metadata=[("x-long", "a" * 4 * grpc_door.HEAD)])
        assert refused.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
        call(body(), timeout=10)
