"""Data points per second from the body of an OTLP request to open intervals, beside the plain use of its schema.

In: nothing, or --points N. Out: one line per way, on stdout.
Never: a number without the check that all ways read the same.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collector.binner import Binner
from collector.bins import SeriesKey
from collector.counters import Counters
from collector.otlp import decode

NOON = 1_649_851_200


def body(resources: int, metrics: int, points: int, at: int) -> ExportMetricsServiceRequest:
    """A request of cumulative sums, three attributes each, taken `at` seconds after noon."""
    request = ExportMetricsServiceRequest()
    for r in range(resources):
        of_resource = request.resource_metrics.add()
        for key, value in (("service.name", f"service-{r}"), ("service.version", "1.4.2"), ("pod", f"p{r}")):
            of_resource.resource.attributes.add(key=key).value.string_value = value
        of_scope = of_resource.scope_metrics.add()
        for m in range(metrics):
            metric = of_scope.metrics.add(name=f"events_{m}")
            metric.sum.aggregation_temporality, metric.sum.is_monotonic = 2, True
            for p in range(points):
                point = metric.sum.data_points.add(
                    start_time_unix_nano=NOON * 10**9, time_unix_nano=(NOON + at) * 10**9, as_int=at * p
                )
                for key, value in (("region", "eu"), ("http.route", f"/path/{p}"), ("status", str(p % 7))):
                    point.attributes.add(key=key).value.string_value = value
    return request


def plain(raw: bytes) -> list[tuple[SeriesKey, int, int, float]]:
    """What anybody would write: parse, walk, sort the attributes."""
    rows = []
    for of_resource in ExportMetricsServiceRequest.FromString(raw).resource_metrics:
        resource = {one.key: one.value.string_value for one in of_resource.resource.attributes}
        service, version = resource["service.name"], resource["service.version"]
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                for point in metric.sum.data_points:
                    pairs = tuple(sorted((one.key, one.value.string_value) for one in point.attributes))
                    key = SeriesKey(service, metric.name, version, pairs)
                    rows.append((key, point.start_time_unix_nano, point.time_unix_nano, float(point.as_int)))
    return rows


def best(run: Callable[[], object], tries: int = 5) -> float:
    """Seconds of the fastest of some runs."""
    seconds = []
    for _ in range(tries):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def through(raw: list[bytes]) -> float:
    """Seconds per request from bytes to open intervals, the names of all series known."""
    counters, binner = Counters(NOON), Binner(5, 10, NOON)
    seconds = []
    for i, one in enumerate(raw):
        now = NOON + 5.0 * (i + 1)
        begin = time.perf_counter()
        binner.add(counters.count(decode(one, "protobuf"), binner.table, now), now)
        binner.close(now - 10)
        seconds.append(time.perf_counter() - begin)
    return min(seconds[1:])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--points", type=int, default=10_000)
    total = options.parse_args().points
    for name, resources, per in (("wide", 1, total // 5), ("small", max(total // 100, 1), 20)):
        requests = [body(resources, 5, per, 5 * (i + 1)) for i in range(5)]
        raw = [one.SerializeToString() for one in requests]
        text = json_format.MessageToJson(requests[0], indent=None).encode()
        count = resources * 5 * per
        read = decode(raw[0], "protobuf")
        assert plain(raw[0]) == list(
            zip(read.keys, read.start.tolist(), read.time.tolist(), read.value.tolist(), strict=True)
        )
        assert decode(text, "json").keys == read.keys
        ways: dict[str, float] = {
            "parse alone": best(lambda raw=raw: ExportMetricsServiceRequest.FromString(raw[0])),  # type: ignore[misc]
            "plain use of the schema": best(lambda raw=raw: plain(raw[0])),  # type: ignore[misc]
            "ours, protobuf": best(lambda raw=raw: decode(raw[0], "protobuf")),  # type: ignore[misc]
            "ours, JSON": best(lambda text=text: decode(text, "json")),  # type: ignore[misc]
            "ours, into open intervals": through(raw),
        }
        for way, seconds in ways.items():
            print(f"{name:6} {count:6} points  {way:26} {count / seconds:12,.0f} points/s")


if __name__ == "__main__":
    main()
