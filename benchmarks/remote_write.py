"""Samples per second from the body of a remote-write request to readings and open intervals, beside plain protobuf.

In: nothing, or --series N. Out: one line per way, on stdout, in seconds of processor time.
Never: a number without the check that both ways read the same.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from collector.binner import Binner
from collector.counters import Counters
from collector.points import Limits
from collector.remote_write import Reader, unpack

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from prometheus import first, series, snappy

NOON = 1_795_780_800
MOST = 1 << 26


def scrape(
    count: int, at: int, zero: int = 0, several: int = 1, name: str = "http_requests_total", new: str = ""
) -> bytes:
    """One scrape of `count` series `at` seconds after noon: `zero` of them at 0, or with several samples each.

    new: makes all series other ones, of the same targets.
    """
    made = []
    for i in range(count):
        target = {
            "instance": f"10.0.{i // 100 % 250}.7:8080",
            "job": "contact-importer",
            "pod": f"api-{i // 100}",
        }
        labels = target | {
            "__name__": name,
            "code": str(200 + i % 5),
            "path": f"/a/{new}{i}",
            "namespace": "prod",
        }
        value = 0.0 if i < zero else float(at + i)
        made.append(series(labels, [(value + k, (NOON + at) * 1000 + k) for k in range(several)]))
    targets = {i // 100 for i in range(count)}
    for pod in targets:
        target = {"instance": f"10.0.{pod % 250}.7:8080", "job": "contact-importer", "pod": f"api-{pod}"}
        made.append(series(target | {"__name__": "up", "namespace": "prod"}, [(1.0, (NOON + at) * 1000)]))
    return first(made)


def plain_schema() -> type:
    """prometheus.WriteRequest as its .proto file has it."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="plain.proto", package="plain", syntax="proto3")
    declared = {
        "Label": [("name", 1, kinds.TYPE_STRING, ""), ("value", 2, kinds.TYPE_STRING, "")],
        "Sample": [("value", 1, kinds.TYPE_DOUBLE, ""), ("timestamp", 2, kinds.TYPE_INT64, "")],
        "TimeSeries": [
            ("labels", 1, kinds.TYPE_MESSAGE, "Label"),
            ("samples", 2, kinds.TYPE_MESSAGE, "Sample"),
        ],
        "WriteRequest": [("timeseries", 1, kinds.TYPE_MESSAGE, "TimeSeries")],
    }
    for name, fields in declared.items():
        message = file.message_type.add(name=name)
        for called, number, kind, of in fields:
            one = message.field.add(name=called, number=number, type=kind)
            one.label = kinds.LABEL_REPEATED if of else kinds.LABEL_OPTIONAL
            if of:
                one.type_name = f".plain.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("plain.WriteRequest"))


PLAIN = plain_schema()


def plain(body: bytes) -> list[tuple[tuple[tuple[str, str], ...], float, int]]:
    """What anybody would write: parse, walk, make a key of the labels."""
    rows = []
    for one in PLAIN.FromString(body).timeseries:  # type: ignore[attr-defined]
        key = tuple((label.name, label.value) for label in one.labels)
        rows += [(key, sample.value, sample.timestamp) for sample in one.samples]
    return rows


def best(run: Callable[[int], object], tries: int = 9) -> float:
    """Seconds of processor time of the fastest of some runs; each is told which it is."""
    seconds = []
    for i in range(tries):
        begin = time.process_time()
        run(i)
        seconds.append(time.process_time() - begin)
    return min(seconds)


def into_intervals(packed: list[bytes]) -> Callable[[int], object]:
    """From the bytes of a request to open intervals; what a request named is known in the next."""
    limits = Limits(series=10**6, per_service=10**6)
    reader, counters, binner = Reader(), Counters(NOON, limits), Binner(15, 10, NOON, limits=limits)

    def one(i: int) -> object:
        now = NOON + 15.0 * (i + 1)
        readings = reader.read(unpack(packed[i], MOST), "1.0").readings
        binner.add(counters.count(readings, binner.table, now), now)
        return binner.close(now - 10)

    return one


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--series", type=int, default=10_000)
    count = options.parse_args().series
    shapes = {
        "as Prometheus sends": [scrape(count, 15 * (i + 1)) for i in range(9)],
        "a third at zero": [scrape(count, 15 * (i + 1), zero=count // 3) for i in range(9)],
        "four samples each": [scrape(count // 4, 15 * (i + 1), several=4) for i in range(9)],
        "no counts (buckets)": [scrape(count, 15 * (i + 1), name="took_bucket") for i in range(9)],
    }
    ways: dict[str, Callable[[int], object]]
    for several in (1, 4):
        each = [scrape(count // several, 15 * (i + 1), several=several, new=f"{i}/") for i in range(9)]
        packed, read, samples = [snappy(body) for body in each], Reader(), len(plain(each[0]))
        ways = {
            "ours": lambda i, packed=packed, read=read: read.read(unpack(packed[i], MOST), "1.0"),  # type: ignore[misc]
            "ours, into open intervals": into_intervals(packed),
        }
        for way, run in ways.items():
            shape = "all series new" + ", four each" * (several == 4)
            print(
                f"{shape:25} {samples:6} samples  {way:26} {samples / best(run):12,.0f} samples/s", flush=True
            )
    for shape, bodies in shapes.items():
        packed = [snappy(body) for body in bodies]
        rows = plain(bodies[0])
        reader = Reader()
        reader.read(bodies[0], "1.0")
        read = reader.read(bodies[0], "1.0").readings
        wanted = [value for key, value, _ in rows if dict(key)["__name__"].endswith("_total")]
        assert sorted(read.value.tolist()) == sorted(wanted)
        ways = {
            "plain protobuf": lambda i, packed=packed: plain(unpack(packed[i], MOST)),  # type: ignore[misc]
            "ours": lambda i, packed=packed, reader=reader: reader.read(unpack(packed[i], MOST), "1.0"),  # type: ignore[misc]
            "ours, into open intervals": into_intervals(packed),
        }
        for way, run in ways.items():
            print(f"{shape:25} {len(rows):6} samples  {way:26} {len(rows) / best(run):12,.0f} samples/s")


if __name__ == "__main__":
    main()
