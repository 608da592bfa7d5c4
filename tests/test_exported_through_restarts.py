"""Services with OpenTelemetry's SDK count on while the daemon is killed and begins anew: all of it is kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_daemon import Daemon, eventually, free_port, make  # noqa: F401  (make: a fixture)

# It exports twice a second until its input ends; then it says what it counted.
SERVICE = """
import json, random, sys, time
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as OverGrpc
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as OverHttp
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

name, over, says, to = sys.argv[1:]
how = {"headers": {"authorization": "Bearer let-me-in"}, "timeout": 60}
how |= {"preferred_temporality": {Counter: AggregationTemporality[says]}}
exporter = OverGrpc(to, insecure=True, **how) if over == "grpc" else OverHttp(f"{to}/v1/metrics", **how)
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=500, export_timeout_millis=60_000)
provider = MeterProvider([reader], Resource.create({"service.name": name}), shutdown_on_exit=False)
meter = provider.get_meter("shop")
orders, failed = meter.create_counter("orders"), meter.create_counter("failed")
counted = {"orders": 0, "failed": 0}
print("counting", flush=True)
ends = time.monotonic() + 9
while time.monotonic() < ends:
    orders.add(1, {"region": random.choice(("eu", "us"))})
    counted["orders"] += 1
    if random.random() < 0.05:
        failed.add(1)
        counted["failed"] += 1
    time.sleep(random.uniform(0.001, 0.01))
assert provider.force_flush(60_000)
print(json.dumps(counted), flush=True)
"""
WAYS = [(over, says) for over in ("http", "grpc") for says in ("DELTA", "CUMULATIVE")]


@pytest.mark.slow
def test_what_is_exported_while_the_daemon_is_killed_and_begins_anew_is_kept_once(
    tmp_path: Path,
    make: Callable[..., Daemon],  # noqa: F811
) -> None:
    port = free_port()
    daemon = make(tmp_path, interval="5s", grpc_port=port).start()
    services = {
        f"{over}-{says.lower()}": subprocess.Popen(
            [sys.executable, "-c", SERVICE, f"{over}-{says.lower()}", over, says,
             f"127.0.0.1:{port}" if over == "grpc" else daemon.url],
            stdout=subprocess.PIPE, text=True,
        )
        for over, says in WAYS
    }  # fmt: skip
    try:
        for service in services.values():
            assert service.stdout is not None
            assert service.stdout.readline() == "counting\n"
        time.sleep(4.3)
        daemon.kill()  # once: the SDK tries six times, the last one half a minute after the first
        time.sleep(0.7)
        daemon.start()
        truth = {name: json.loads(service.communicate(timeout=120)[0]) for name, service in services.items()}
    finally:
        for service in services.values():
            service.kill()
            service.wait()
    last = int(time.time())
    eventually(lambda: int(str(daemon.health()["watermark"])) > last)
    assert daemon.end(signal.SIGTERM) == 0
    store = daemon.store()
    table, bins, _ = store.export()
    store.close()
    kept = np.nansum(bins.values, axis=0)
    np.add.at(kept, bins.late.row, bins.late.count)
    found: dict[str, dict[str, int]] = {name: {"orders": 0, "failed": 0} for name in services}
    for key, count in zip(table.keys, kept, strict=True):
        if key.service in found:
            found[key.service][key.metric] += round(float(count))
    assert found == truth
    assert "Traceback" not in daemon.said()
