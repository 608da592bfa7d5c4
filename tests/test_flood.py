"""A flood of new series: what is kept of it has a bound, and series that are known go on as fast as before."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus import first, series

from collector.binner import Binner
from collector.counters import Counters
from collector.otlp import Decoder
from collector.points import Limits, Readings
from collector.remote_write import Reader

NOON = 1_795_780_800
WIDTH = 10
KNOWN, NEW = 400, 1500


def of_otlp(service: str, paths: list[str], at: int, total: int, began: int) -> bytes:
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    data = resource.scope_metrics.add().metrics.add(name="orders").sum
    data.is_monotonic, data.aggregation_temporality = True, 2
    for path in paths:
        point = data.data_points.add(start_time_unix_nano=(NOON + began) * 10**9, as_int=total)
        point.time_unix_nano = (NOON + at) * 10**9
        point.attributes.add(key="http.route").value.string_value = path
    return request.SerializeToString()


def of_prometheus(service: str, paths: list[str], at: int, total: int, began: int) -> bytes:
    target = {"job": service, "instance": f"{service}:80"}
    said = {"up": 1.0, "process_start_time_seconds": float(NOON + began)}
    made = [
        series(target | {"__name__": name}, [(value, (NOON + at) * 1000)]) for name, value in said.items()
    ]
    named = target | {"__name__": "orders_total"}
    made += [series(named | {"path": path}, [(float(total), (NOON + at) * 1000)]) for path in paths]
    return first(made)


class Watch:
    """From the bytes of a request to closed intervals, with room for some series more than are known."""

    def __init__(self, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
        limits = Limits(series=3 * KNOWN, per_service=2 * KNOWN, counters=4 * KNOWN)
        self.counters, self.binner = Counters(NOON, limits), Binner(WIDTH, 5, NOON, limits=limits)
        self.door, self.got, self.refused = door, 0.0, 0
        monkeypatch.setattr("collector.known_series.MOST_SERIES", 5_000)
        self._otlp, self._prometheus = Decoder(most=5_000), Reader()

    def read(self, body: bytes) -> Readings:
        if self.door == "otlp":
            return self._otlp.decode(body, "protobuf")
        return self._prometheus.read(body, "1.0").readings

    def take(self, service: str, paths: list[str], at: int, total: int, began: int = 1) -> float:
        """Seconds of processor time that it takes."""
        body = (of_otlp if self.door == "otlp" else of_prometheus)(service, paths, at, total, began)
        begun = process_time()
        readings = self.counters.count(self.read(body), self.binner.table, NOON + at)
        self.refused += sum(self.binner.add(readings, NOON + at).values())
        return process_time() - begun

    def close(self, until: int) -> None:
        block = self.binner.close(NOON + until)
        shop = [i for i, key in enumerate(self.binner.table.keys) if key.service == "shop"]
        self.got += float(np.nansum(block.values[:, [i for i in shop if i < block.values.shape[1]]]))
        assert not len(block.late)


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("door", ["otlp", "prometheus"])
def test_in_a_flood_of_new_series_known_ones_go_on_and_memory_has_a_bound(
    door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, paths, rounds = Watch(door, monkeypatch), [f"/{i}" for i in range(KNOWN)], 24
    calm, stormy, held = [], [], []
    for i in range(rounds):
        at = WIDTH * (i + 1)
        if i >= rounds // 3:
            watch.take("flooder", [f"/{i}/{k}" for k in range(NEW)], at, 7, at - 5)
            held.append(resident())
        (stormy if i >= rounds // 3 else calm).append(watch.take("shop", paths, at, 3 * (i + 1)))
        watch.close(at)
    watch.close(WIDTH * rounds)
    assert watch.got == 3 * rounds * KNOWN
    assert watch.counters.crowded["flooder"] >= (rounds - rounds // 3) * NEW - 2 * KNOWN
    assert len(watch.binner.table) == 3 * KNOWN
    assert median(stormy) < 3 * median(calm)
    # In its second half, which brings 12,000 series more, nothing grows by what they would take (1 KB each).
    assert held[-1] - held[len(held) // 2] < 6 * 1024 * 1024
