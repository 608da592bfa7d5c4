"""How each service of the demo runs: as a process of its own, counted by the OpenTelemetry SDK.

In: a command line (which version, which folder, where counts go). Out: HTTP on a free loopback port, and
counts as OTLP/HTTP, cumulative. Never: anything that a service of somebody else's company would not do.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Counter, Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from starlette.applications import Starlette


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a service is told at its start. version: "1" or "2"; folder: where the platform keeps its data."""

    version: str
    folder: Path
    meter: Meter


@contextmanager
def counting_failures(counter: Counter, attributes: Mapping[str, str] | None = None) -> Iterator[None]:
    """Whatever is raised inside is counted as one failure, and raised all the same."""
    succeeded = False
    try:
        yield
        succeeded = True
    finally:
        if not succeeded:
            counter.add(1, attributes)


def metered(service: str, version: str, endpoint: str, seconds: float) -> MeterProvider:
    """The SDK as its documentation sets it up; `endpoint` is the URL of OTLP/HTTP without /v1/metrics."""
    resource = Resource.create(
        {"service.name": service, "service.version": version, "service.instance.id": str(uuid.uuid4())}
    )
    exporter = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics", timeout=seconds)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=seconds * 1000)
    return MeterProvider(metric_readers=[reader], resource=resource)


def serve(service: str, app: Callable[[Surroundings], Starlette]) -> None:
    """Run a service by its command line until it is told to stop (SIGTERM), counts sent to the last one."""
    parser = argparse.ArgumentParser(description=f"the {service} of the demo's mail platform")
    parser.add_argument("--version", choices=("1", "2"), default="1", help="which version of the code serves")
    parser.add_argument("--folder", type=Path, required=True, help="where the platform keeps its data")
    parser.add_argument("--counts-to", required=True, help="URL of an OTLP/HTTP receiver")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two exports")
    given = parser.parse_args()

    release = f"{given.version}.0.0"
    provider = metered(service, release, given.counts_to, given.every)
    around = Surroundings(given.version, given.folder, provider.get_meter(service, release))
    answer(given.folder, f"{service}-{given.version}", app(around))
    provider.shutdown()


def answer(folder: Path, name: str, app: Starlette) -> None:
    """Serve on a free loopback port, say where in `folder`/`name`.ready, and return after SIGTERM."""
    # uvicorn raises the signal again once it has stopped: it must not end us before the last counts are sent.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    door.listen(256)
    announce(folder, name, door.getsockname()[1])
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5, timeout_keep_alive=60)
    uvicorn.Server(config).run(sockets=[door])


def announce(folder: Path, name: str, port: int) -> None:
    """Say where this process serves: whoever started it waits for the file."""
    draft = folder / f"{name}.{os.getpid()}"
    draft.write_text(json.dumps({"url": f"http://127.0.0.1:{port}", "pid": os.getpid()}))
    os.replace(draft, folder / f"{name}.ready")
