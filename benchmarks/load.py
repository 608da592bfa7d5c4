"""A daemon under load: many series at one-minute intervals, received, kept and judged on one machine.

usage: python benchmarks/load.py [--series N] [--minutes N] [--burst N]

Services report running totals over OTLP/HTTP once a minute each, spread over the minute; then for a minute ten
times as often; then as before. Lateness is seen from outside: when /healthz first says that an interval is judged.
Afterwards what was acknowledged is compared with what is kept. Ends with 1 where they differ.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from stillwatch.store import Store

NANOS = 1_000_000_000
WIDTH, GRACE = 60, 65  # who reports once a minute is waited for
ON_TIME = 10.0  # seconds after an interval's close
OPERATIONS, REGIONS = 100, 5  # of a service: two signals and ten series an operation
PER_SERVICE = OPERATIONS * REGIONS * 2
THREADS = 8
MARK = 0x5157_5157_5157_0000  # what stands in a report where a number belongs

CONFIG = """
interval: {width}s
grace: {grace}s
listen: {{port: {port}, grpc_port: 0}}
database: {folder}/stillwatch.db
limits: {{series: {series}, per_service: {per}}}
"""


class Report:
    """What services say, byte for byte alike but for name, times and totals."""

    def __init__(self, began: int) -> None:
        """began: epoch seconds since when all of them count."""
        request = ExportMetricsServiceRequest()
        of = request.resource_metrics.add()
        of.resource.attributes.add(key="service.name").value.string_value = name(0)
        scope = of.scope_metrics.add()
        number = 1
        for word in ("started", "failed"):
            for operation in range(OPERATIONS):
                metric = scope.metrics.add(name=f"operation_{operation:03}_{word}")
                metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 2
                for region in range(REGIONS):
                    point = metric.sum.data_points.add(start_time_unix_nano=began * NANOS)
                    point.time_unix_nano, point.as_int = MARK, MARK + number
                    point.attributes.add(key="region").value.string_value = f"region-{region}"
                    number += 1
        raw = request.SerializeToString()
        self._raw = np.frombuffer(raw, dtype=np.uint8)
        self._name = raw.index(name(0).encode())
        values, times, at = [], [], 0
        for number in range(1, PER_SERVICE + 1):
            times.append(raw.index(MARK.to_bytes(8, "little"), at))
            values.append(at := raw.index((MARK + number).to_bytes(8, "little"), times[-1]))
        eight = np.arange(8)
        self._values = np.array(values)[:, None] + eight
        self._times = np.array(times)[:, None] + eight

    def of(self, service: int, time_ns: int, totals: NDArray[np.int64]) -> bytes:
        """totals: int64[PER_SERVICE]."""
        made = self._raw.copy()
        called = np.frombuffer(name(service).encode(), dtype=np.uint8)
        made[self._name : self._name + len(called)] = called
        made[self._times] = np.frombuffer(time_ns.to_bytes(8, "little"), dtype=np.uint8)
        made[self._values] = totals.astype("<i8").view(np.uint8).reshape(-1, 8)
        return made.tobytes()


def name(service: int) -> str:
    return f"service-{service:05}"


@dataclass
class Services:
    """They count all the time and report in turn. taken: int64[services, series] totals that were acknowledged.

    Whoever is turned away (or hears nothing) says what it has by then the next time.
    """

    port: int
    count: int
    answers: Counter[str] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = int(time.time())
        self._report = Report(self._began)
        self._random = np.random.default_rng(1)
        rates = self._random.lognormal(np.log(30), 1, PER_SERVICE // 2)  # events a minute
        self._rates = np.concatenate([rates, rates * 0.002]) / 60
        self._counted = np.full(self.count, self._began * NANOS, dtype=np.int64)
        self._totals = np.zeros((self.count, PER_SERVICE), dtype=np.int64)
        self.taken = np.zeros_like(self._totals)
        self._lock = threading.Lock()

    def run(self, seconds: float, every: float) -> None:
        """Each service reports once in `every` seconds, for so many seconds."""
        ends = time.monotonic() + seconds
        threads = [threading.Thread(target=self._some, args=(i, every, ends)) for i in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def until_taken(self, seconds: float) -> bool:
        """Say what was not acknowledged yet, until all of it is; False where that took too long."""
        ends = time.monotonic() + seconds
        wire = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while time.monotonic() < ends:
            owing = np.flatnonzero((self.taken != self._totals).any(axis=1)).tolist()
            if not owing:
                return True
            for service in owing:
                wire = self._tell(wire, service, int(self._counted[service]))
            time.sleep(0.2)
        return False

    def _some(self, which: int, every: float, ends: float) -> None:
        wire = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        mine = range(which, self.count, THREADS)
        due = time.monotonic()
        while True:
            for service in mine:
                due += every / len(mine)
                if due >= ends or time.monotonic() >= ends:
                    return
                time.sleep(max(0.0, due - time.monotonic()))
                now = time.time_ns()
                with self._lock:
                    more = self._random.poisson(self._rates * (now - self._counted[service]) / NANOS)
                self._totals[service] += more
                self._counted[service] = now
                wire = self._tell(wire, service, now)

    def _tell(
        self, wire: http.client.HTTPConnection, service: int, time_ns: int
    ) -> http.client.HTTPConnection:
        body, begin = self._report.of(service, time_ns, self._totals[service]), time.monotonic()
        try:
            wire.request("POST", "/v1/metrics", body, {"Content-Type": "application/x-protobuf"})
            answer = wire.getresponse()
            said, status = answer.read(), str(answer.status)
            if status == "200" and said:
                status = "200, but a part refused"
            elif status == "200":
                self.taken[service] = self._totals[service]
            elif not answer.headers.get("Retry-After"):
                status += " without Retry-After"
        except (OSError, http.client.HTTPException):
            status = "no answer"
            wire.close()
            wire = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with self._lock:
            self.answers[status] += 1
            self.took.append(time.monotonic() - begin)
        return wire


def sending(port: int, count: int, minutes: int, burst: int, told: Connection) -> None:
    """A process of its own, so that the daemon's work is the daemon's alone."""
    services = Services(port, count)

    def phase(called: str) -> None:
        took = sorted(services.took) or [0.0]
        told.send(
            (called, dict(services.answers), took[len(took) // 2], took[len(took) * 99 // 100], took[-1])
        )
        services.answers.clear()
        services.took.clear()

    services.run(minutes * WIDTH, WIDTH)
    phase("once a minute")
    if burst:
        services.run(WIDTH, WIDTH / burst)
        phase(f"{burst} times as much, for a minute")
        services.run(3 * WIDTH, WIDTH)
        phase("and once a minute again")
    done = services.until_taken(300)
    told.send(("all of it" if done else "never all of it", services.taken.sum(axis=1)))


@dataclass
class Seen:
    """Of a daemon, from outside. late: seconds after each interval's close. memory: (moment, bytes), spent: of a
    processor, seconds."""

    late: list[float] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)
    spent: float = 0.0
    unwell: Counter[str] = field(default_factory=Counter)


def look(process: subprocess.Popen[bytes], port: int, over: threading.Event, seen: Seen) -> None:
    """Until it is over: once a second what it says of itself, and what the system says of it."""
    known = 0
    while not over.wait(0.5):
        try:
            wire = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            wire.request("GET", "/healthz")
            said: dict[str, Any] = json.loads(wire.getresponse().read())
            wire.close()
        except (OSError, http.client.HTTPException, ValueError):
            seen.unwell["no answer"] += 1
            continue
        if not said["ok"]:
            seen.unwell[f"lag {said['lag'] > 0}, trouble {said['trouble']!r}"] += 1
        if known and said["watermark"] > known:
            seen.late.append(time.time() - said["watermark"] - GRACE)
        known = max(known, said["watermark"])
        of = Path(f"/proc/{process.pid}")
        status = dict(line.split(":", 1) for line in (of / "status").read_text().splitlines())
        seen.memory.append((time.monotonic(), int(status["VmRSS"].split()[0]) * 1024))
        fields = (of / "stat").read_text().rsplit(")", 1)[1].split()
        seen.spent = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def daemon(folder: Path, series: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process and its port, once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = folder / "stillwatch.yaml"
    config.write_text(
        CONFIG.format(width=WIDTH, grace=GRACE, port=port, folder=folder, series=series, per=PER_SERVICE)
    )
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("SLACK", "OTEL", "STILLWATCH"))}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "stillwatch", "run", "--config", str(config)],
            stdout=log, stderr=log, env=environ, cwd=folder,
        )  # fmt: skip
        try:
            while not _answers(port):
                if process.poll() is not None:
                    raise RuntimeError((folder / "log").read_text())
                time.sleep(0.2)
            yield process, port
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as wire:
        return wire.connect_ex(("127.0.0.1", port)) == 0


def kept(folder: Path, services: int) -> tuple[NDArray[np.int64], int]:
    """int64[services] events that are in the database, and in how many points."""
    store = Store(folder / "stillwatch.db")
    sums, points = np.zeros(services), 0
    try:
        of = np.array([int(key.service.rsplit("-", 1)[1]) for key in store.table().keys])
        for bins in store.history():
            wide = of[: bins.values.shape[1]]
            sums += np.bincount(wide, np.nansum(bins.values, axis=0), minlength=services)
            sums += np.bincount(of[bins.late.row], bins.late.count, minlength=services)
            points += int(np.isfinite(bins.values).sum())
    finally:
        store.close()
    return np.round(sums).astype(np.int64), points


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--series", type=int, default=100_000, help="[default: 100,000]")
    options.add_argument("--minutes", type=int, default=10, help="before the burst  [default: 10]")
    options.add_argument("--burst", type=int, default=10, help="times the usual load; 0: none  [default: 10]")
    given = options.parse_args()
    services = max(given.series // PER_SERVICE, 1)
    print(f"{services * PER_SERVICE:,} series, {services * OPERATIONS * 2:,} signals", flush=True)
    with tempfile.TemporaryDirectory(prefix="stillwatch-load-") as place:
        folder = Path(place)
        with daemon(folder, services * PER_SERVICE) as (process, port):
            seen, over = Seen(), threading.Event()
            looking = threading.Thread(target=look, args=(process, port, over, seen))
            looking.start()
            hears, tells = multiprocessing.Pipe(duplex=False)
            sender = multiprocessing.Process(
                target=sending, args=(port, services, given.minutes, given.burst, tells)
            )
            sender.start()
            tells.close()
            taken = _follow(hears, seen)
            sender.join()
            time.sleep(2 * WIDTH + GRACE)  # the last counts are judged
            over.set()
            looking.join()
            process.send_signal(signal.SIGTERM)
            print(f"ended with {process.wait(timeout=60)}")
        sums, points = kept(folder, services)
        size = sum(file.stat().st_size for file in folder.glob("stillwatch.db*"))
        print(
            f"database: {size / 1e6:,.0f} MB, {size / max(points, 1):.1f} bytes for each of {points:,} points"
        )
        lost, doubled = np.maximum(taken - sums, 0).sum(), np.maximum(sums - taken, 0).sum()
        print(f"{taken.sum():,} events acknowledged, {lost:,} lost, {doubled:,} doubled")
        for line in (folder / "log").read_text().splitlines()[-5:]:
            print(f"log: {line}")
    return 0 if not (lost or doubled) else 1


def _follow(hears: Connection, seen: Seen) -> NDArray[np.int64]:
    """Print what each phase was like; the totals that were acknowledged in the end."""
    since, spent = time.monotonic(), seen.spent
    while True:
        called, *rest = hears.recv()
        if len(rest) == 1:
            print(f"acknowledged: {called}")
            totals: NDArray[np.int64] = rest[0]
            return totals
        answers, median, slow, slowest = rest
        now = time.monotonic()
        print(f"{called}:")
        print(f"  answers {answers}; in {median * 1e3:.0f} ms (99 %: {slow:.2f} s, longest {slowest:.2f} s)")
        late = sorted(seen.late) or [0.0]
        share = np.mean([one <= ON_TIME for one in late])
        print(
            f"  {share:.0%} of {len(seen.late)} intervals judged within {ON_TIME:g} s of their close"
            f" (median {late[len(late) // 2]:.1f} s, longest {late[-1]:.1f} s)"
        )
        memory = [used for moment, used in seen.memory if moment >= since] or [0]
        first, most, last = (f"{used / 1e9:.2f} GB" for used in (memory[0], max(memory), memory[-1]))
        print(f"  memory {first} at first, {most} at most, {last} at last")
        print(f"  {(seen.spent - spent) / max(now - since, 1) * 100:.0f} % of a processor", flush=True)
        if seen.unwell:
            print(f"  not well: {dict(seen.unwell)}")
        seen.late.clear()
        seen.unwell.clear()
        since, spent = now, seen.spent


if __name__ == "__main__":
    sys.exit(main())
