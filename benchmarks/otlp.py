"""Data points per second and core, by what exporters send, beside the plain use of OTLP's own schema.

In: nothing, or --points N. Out: one line per way, on stdout: from the body of a request to columns, to open
intervals, through the doors (HTTP, gRPC) to open intervals, and kept on disk as the daemon does before it answers.
Processor time of this process, the fastest of some runs; of the doors, where another process sends, of all runs.
Never: a number without the check that what is read is what the plain way reads.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collector.binner import Binner
from collector.bins import SeriesKey
from collector.counters import Counters
from collector.grpc_door import listen
from collector.otlp import Decoder, Encoding
from collector.points import Limits, Readings
from collector.server import Door, app
from detectors.plan import lay
from detectors.signals import Budget
from stillwatch.live import Judgement, Live
from stillwatch.store import News, Store

NOON = 1_649_851_200
TRIES = 7
Plain = list[tuple[SeriesKey, int, int, float]]


def body(
    resources: int,
    points: int,
    at: int,
    kind: str = "sum",
    new: str = "",
    odd: bool = False,
    delta: bool = False,
) -> ExportMetricsServiceRequest:
    """A request of five metrics, cumulative or `delta`, three attributes each, taken `at` seconds after noon.

    new: makes all series other ones. odd: with flags and an exemplar, as no fast way knows it.
    """
    request = ExportMetricsServiceRequest()
    for r in range(resources):
        of_resource = request.resource_metrics.add()
        for key, value in (("service.name", f"service-{r}"), ("service.version", "1.4.2"), ("pod", f"p{r}")):
            of_resource.resource.attributes.add(key=key).value.string_value = value
        of_scope = of_resource.scope_metrics.add()
        for m in range(5):
            metric = of_scope.metrics.add(name=f"events_{m}")
            data = getattr(metric, kind)
            data.aggregation_temporality = 1 if delta else 2
            if kind == "sum":
                data.is_monotonic = True
            for p in range(points):
                point = data.data_points.add(
                    start_time_unix_nano=(NOON + (at - 5) * delta) * 10**9, time_unix_nano=(NOON + at) * 10**9
                )
                if kind == "sum":
                    point.as_int = at * p + 1
                else:
                    point.count, point.sum, point.min, point.max = at * p + 1, at / 7, 0.001, 9.0
                    if kind == "histogram":
                        point.explicit_bounds.extend(range(14))
                        point.bucket_counts.extend([at * p + 1, *[0] * 14])
                for key, value in (
                    ("region", "eu"),
                    ("http.route", f"/path/{new}{p}"),
                    ("status", str(p % 7)),
                ):
                    point.attributes.add(key=key).value.string_value = value
                if odd:
                    point.flags = 2
                    point.exemplars.add(time_unix_nano=NOON * 10**9 + at, as_double=p, span_id=bytes(8))
    return request


def plain(raw: bytes, kind: str) -> Plain:
    """What anybody would write: parse, walk, sort the attributes."""
    rows = []
    for of_resource in ExportMetricsServiceRequest.FromString(raw).resource_metrics:
        resource = {one.key: one.value.string_value for one in of_resource.resource.attributes}
        service, version = resource["service.name"], resource["service.version"]
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                for point in getattr(metric, kind).data_points:
                    pairs = tuple(sorted((one.key, one.value.string_value) for one in point.attributes))
                    key = SeriesKey(service, metric.name, version, pairs)
                    value = float(point.as_int if kind == "sum" else point.count)
                    rows.append((key, point.start_time_unix_nano, point.time_unix_nano, value))
    return rows


def ours(decoder: Decoder, raw: bytes, encoding: Encoding) -> Plain:
    read = decoder.decode(raw, encoding)
    return list(zip(read.keys, read.start.tolist(), read.time.tolist(), read.value.tolist(), strict=True))


def seconds(run: Callable[[Any], object], each: Sequence[object]) -> float:
    """Processor seconds of the fastest call, one for each argument."""
    taken = []
    for one in each:
        begin = time.process_time()
        run(one)
        taken.append(time.process_time() - begin)
    return min(taken)


def through(raw: Sequence[bytes], encoding: Encoding) -> float:
    """Processor seconds per request from bytes to open intervals, the names of all series known."""
    limits = Limits(per_service=10**6, series=10**6)
    counters, binner, decoder = Counters(NOON, limits), Binner(5, 10, NOON, limits=limits), Decoder()
    moments = iter(range(5, 5 * len(raw) + 1, 5))

    def take(one: bytes) -> None:
        now = NOON + float(next(moments))
        binner.add(counters.count(decoder.decode(one, encoding), binner.table, now), now)
        binner.close(now - 10)

    take(raw[0])
    return seconds(take, raw[1:])


def ways(total: int) -> Iterator[tuple[str, str, float]]:
    """(what is sent, how it is read, data points per second)."""
    several = range(5, 5 * TRIES + 1, 5)
    shapes = (
        ("sums, one service", 1, total // 5, "sum", False),
        ("sums, many services", max(total // 100, 1), 20, "sum", False),
        ("histograms", 1, total // 5, "histogram", False),
        ("exponential histograms", 1, total // 5, "exponential_histogram", False),
        ("sums with exemplars and flags", 1, total // 5, "sum", True),
    )
    for name, resources, per, kind, odd in shapes:
        count = resources * 5 * per
        requests = [body(resources, per, at, kind, odd=odd) for at in several]
        raw = [one.SerializeToString() for one in requests]
        text = [json_format.MessageToJson(one, indent=None).encode() for one in requests]
        decoder = Decoder()
        for one, written in zip(raw[:2], text[:2], strict=True):
            assert ours(decoder, one, "protobuf") == plain(one, kind) == ours(decoder, written, "json")
        yield name, "plain use of the schema", count / seconds(lambda one, k=kind: plain(one, k), raw[:3])
        yield name, "protobuf", count / seconds(lambda one, d=decoder: d.decode(one, "protobuf"), raw)
        yield name, "JSON", count / seconds(lambda one, d=decoder: d.decode(one, "json"), text)
        yield name, "protobuf, into open intervals", count / through(raw, "protobuf")
        yield name, "JSON, into open intervals", count / through(text, "json")
    deltas = [body(1, total // 5, at, delta=True).SerializeToString() for at in several]
    yield "sums, deltas", "protobuf, into open intervals", total // 5 * 5 / through(deltas, "protobuf")
    fresh = [body(1, total // 5, at, new=f"{at}/").SerializeToString() for at in several]
    of_json = [
        json_format.MessageToJson(body(1, total // 5, at, new=f"{at}/"), indent=None).encode()
        for at in several
    ]
    decoder, count = Decoder(), total // 5 * 5
    yield (
        "all series new",
        "plain use of the schema",
        count / seconds(lambda one: plain(one, "sum"), fresh[:3]),
    )
    yield "all series new", "protobuf", count / seconds(lambda one: decoder.decode(one, "protobuf"), fresh)
    yield "all series new", "JSON", count / seconds(lambda one: decoder.decode(one, "json"), of_json)
    yield "all series new", "protobuf, into open intervals", count / through(fresh, "protobuf")


NOBODY_JUDGES = Judgement(
    plan=lambda table: lay((), table, 60, Budget()),
    news=lambda event: News(event.incident.id, event.number, event.time, "", ()),
    sight=lambda since, sees: (),
)
SEND = {
    "gRPC": """
import sys, grpc
from pathlib import Path
with grpc.insecure_channel(sys.argv[1], [("grpc.max_send_message_length", -1)]) as channel:
    call = channel.unary_unary("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")
    for name in sys.argv[2:]:
        call(Path(name).read_bytes())
""",
    "HTTP": """
import sys, http.client
from pathlib import Path
wire = http.client.HTTPConnection(sys.argv[1])
for name in sys.argv[2:]:
    kind = "application/json" if name.endswith("json") else "application/x-protobuf"
    wire.request("POST", "/v1/metrics", Path(name).read_bytes(), {"Content-Type": kind})
    assert wire.getresponse().read() in (b"", b"{}")
""",
}


def through_door(door: str, bodies: Sequence[bytes], ending: str) -> float:
    """Processor seconds per request, from another process through a door to open intervals."""
    counters, binner, turn = Counters(NOON), Binner(5, 10, NOON), threading.Lock()
    moments = iter(range(5, 5 * len(bodies) + 1, 5))

    def take(readings: Readings) -> Mapping[str, int]:
        with turn:
            now = NOON + float(next(moments))
            return binner.add(counters.count(readings, binner.table, now), now)

    behind = Door(take, lambda told: None, time.time, dict)
    with ExitStack() as stack:
        if door == "gRPC":
            grpc_server, port = listen(behind, "127.0.0.1", 0)
            stack.callback(grpc_server.stop, 1)
        else:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = listener.getsockname()[1]
            server = uvicorn.Server(uvicorn.Config(app(behind), log_level="error", lifespan="off"))
            thread = threading.Thread(target=server.run, args=([listener],))
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, server, "should_exit", True)
        folder = Path(stack.enter_context(TemporaryDirectory()))
        files = [folder / f"{i}.{ending}" for i in range(len(bodies))]
        for file, one in zip(files, bodies, strict=True):
            file.write_bytes(one)

        def send(some: Sequence[Path]) -> None:
            subprocess.run([sys.executable, "-c", SEND[door], f"127.0.0.1:{port}", *some], check=True)

        send(files[:1])
        begin = time.process_time()
        send(files[1:])
        taken = (time.process_time() - begin) / (len(bodies) - 1)
        assert len(binner.table) > 0
    return taken


def kept(raw: Sequence[bytes]) -> float:
    """Processor seconds per request, from bytes to what the daemon answers once a crash cannot lose it."""
    decoder = Decoder()
    moments = iter(range(5, 5 * len(raw) + 1, 5))
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "stillwatch.db")
        live = Live(store, NOBODY_JUDGES, 60, 15, NOON)

        def take(one: bytes) -> None:
            live.readings(decoder.decode(one, "protobuf"), NOON + next(moments))

        take(raw[0])
        taken = seconds(take, raw[1:])
        store.close()
    return taken


def doors(total: int) -> Iterator[tuple[str, str, float]]:
    requests = [body(1, total // 5, at) for at in range(5, 5 * 31, 5)]
    raw, count = [one.SerializeToString() for one in requests], total // 5 * 5
    text = [json_format.MessageToJson(one, indent=None).encode() for one in requests]
    yield "sums, one service", "protobuf, through HTTP", count / through_door("HTTP", raw, "pb")
    yield "sums, one service", "JSON, through HTTP", count / through_door("HTTP", text, "json")
    yield "sums, one service", "protobuf, through gRPC", count / through_door("gRPC", raw, "pb")
    yield "sums, one service", "protobuf, kept on disk", count / kept(raw)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--points", type=int, default=10_000)
    points = options.parse_args().points
    for sent, way, speed in chain(ways(points), doors(points)):
        print(f"{sent:30} {way:30} {speed:12,.0f} points/s", flush=True)


if __name__ == "__main__":
    main()
