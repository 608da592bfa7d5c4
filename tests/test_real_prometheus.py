"""A real Prometheus scrapes real services, writes to a daemon and is asked by another: both count what the services
counted.

Needs the program `prometheus` (Debian's package of that name).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import httpx2
import numpy as np
import pytest

from stillwatch.store import Store

PROGRAM = shutil.which("prometheus")
NEEDED = "needs prometheus (on Debian or Ubuntu: apt-get install prometheus)"
WIDTH = 5
# A service as its team writes it, with the client library of Prometheus. It notes down what it counts. It counts
# from the first interval on that begins after its first scrape, and in the middle of intervals only, so that it is
# certain in which of them an event is scraped.
SERVICE = """
import json, random, sys, time
from prometheus_client import REGISTRY, Counter, Histogram, start_http_server

port, notes, seed = int(sys.argv[1]), open(sys.argv[2], "a", buffering=1), int(sys.argv[3])
scrapes = open(sys.argv[2] + ".scrapes", "a", buffering=1)
orders = Counter("orders_started", "Orders begun.", ["region"])
failed = Counter("orders_failed", "Orders that failed.", ["code"])
took = Histogram("order_duration_seconds", "How long one took.", buckets=(0.1, 1))
scraped = []

class Scrapes:
    def describe(self):
        return []

    def collect(self):
        scraped.append(time.time())
        scrapes.write(json.dumps([seed, scraped[-1]]) + "\\n")
        return []

REGISTRY.register(Scrapes())
start_http_server(port, "127.0.0.1")
rng = random.Random(seed)

def count(metric, counter, **labels):
    (counter.labels(**labels) if labels else counter).inc()
    notes.write(json.dumps([time.time(), metric, labels]) + "\\n")

while True:
    now = time.time()
    if scraped and now // 5 > (scraped[0] + 0.5) // 5 and 1.2 < now % 5 < 2.8:
        count("orders_started_total", orders, region=rng.choice(("eu", "us")))
        took.observe(0.2)
        notes.write(json.dumps([time.time(), "order_duration_seconds_count", {}]) + "\\n")
        if rng.random() < 0.05:
            count("orders_failed_total", failed, code=rng.choice(("500", "503")))
    time.sleep(rng.uniform(0.01, 0.05))
"""
PROMETHEUS = """
global: {{scrape_interval: 500ms, scrape_timeout: 500ms, external_labels: {{cluster: here}}}}
scrape_configs:
  - {{job_name: shop, static_configs: [{{targets: [{targets}]}}]}}
remote_write:
  - url: {url}/api/v1/write
    authorization: {{credentials: let-me-in}}
    queue_config: {{batch_send_deadline: 300ms, max_shards: {shards}, max_samples_per_send: {batch}}}
    metadata_config: {{send_interval: 2s}}
"""
CONFIG = """
interval: 5s
grace: 4s
listen: {{port: {port}, token_env: DOOR_TOKEN}}
database: {folder}/stillwatch.db
services:
  shop:
    signals:
      orders: {{kind: error_ratio, errors: orders_failed_total, total: orders_started_total}}
"""
ASKING = """
interval: 5s
grace: 9s
listen: {{port: {port}, grpc_port: 0, token_env: DOOR_TOKEN}}
database: {folder}/asking.db
services:
  shop:
    signals:
      orders: {{kind: error_ratio, errors: orders_failed_total, total: orders_started_total}}
sources:
  scraped:
    kind: promql
    url: {prometheus}
    history: 0s
    every: 5s
    grace: 9s
    counters:
      - {{select: 'orders_started_total{{job="shop"}}', attributes: region}}
      - {{select: 'orders_failed_total{{job="shop"}}', attributes: code}}
      - {{select: 'order_duration_seconds_count{{job="shop"}}'}}
"""
Counted = Counter[tuple[str, tuple[tuple[str, str], ...], int]]
MOST_APART = 1.0  # seconds: less than what lies between the edge of an interval and its first event
DOOR = {"Authorization": "Bearer let-me-in"}
COMMAND = "from stillwatch.cli import main; main()"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(holds: Callable[[], bool], about: object = "", seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, about
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, trust_env=False, timeout=5).status_code in (200, 503)
    except httpx2.HTTPError:
        return False


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


class Running:
    """Processes that are gone when the test is over, whatever became of it; each logs into a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str, **environ: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **environ}
            )

    def end(self, name: str, how: signal.Signals = signal.SIGKILL) -> int:
        process = self.processes.pop(name)
        process.send_signal(how)
        return process.wait(20)

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    if PROGRAM is None:
        if os.environ.get("CI"):
            pytest.fail(NEEDED)
        pytest.skip(NEEDED)
    made = Running(tmp_path)
    yield made
    for name in list(made.processes):
        made.end(name)


class Shop:
    """A service of several instances, the Prometheus that scrapes it, and the daemon that it writes to."""

    def __init__(self, running: Running, instances: int, shards: int = 1, batch: int = 500) -> None:
        self.running, self.folder = running, running.folder
        self.ports = [free_port() for _ in range(instances)]
        self.url = f"http://127.0.0.1:{free_port()}"
        self.prometheus = f"http://127.0.0.1:{free_port()}"
        self.starts = 0
        (self.folder / "stillwatch.yaml").write_text(
            CONFIG.format(port=self.url.rpartition(":")[2], folder=self.folder)
        )
        targets = ", ".join(f"'127.0.0.1:{port}'" for port in self.ports)
        (self.folder / "prometheus.yml").write_text(
            PROMETHEUS.format(targets=targets, url=self.url, shards=shards, batch=batch)
        )

    def watch(self) -> None:
        command = (sys.executable, "-c", COMMAND, "run", "--config", str(self.folder / "stillwatch.yaml"))
        self.running.start("daemon", *command, DOOR_TOKEN="let-me-in")
        eventually(lambda: answers(f"{self.url}/healthz"), "the daemon", 240)  # it may have to compile first

    def ask(self) -> str:
        """Another daemon, which asks Prometheus for what the first is sent."""
        url = f"http://127.0.0.1:{free_port()}"
        (self.folder / "asking.yaml").write_text(
            ASKING.format(port=url.rpartition(":")[2], folder=self.folder, prometheus=self.prometheus)
        )
        command = (sys.executable, "-c", COMMAND, "run", "--config", str(self.folder / "asking.yaml"))
        self.running.start("asking", *command, DOOR_TOKEN="let-me-in")
        eventually(lambda: answers(f"{url}/healthz"), "the daemon that asks", 240)
        return url

    def scrape(self) -> None:
        port = int(self.prometheus.rpartition(":")[2])
        assert PROGRAM is not None
        self.running.start(
            "prometheus",
            PROGRAM,
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        )
        eventually(lambda: answers(f"{self.prometheus}/-/ready"), "Prometheus is not ready")

    def serve(self, instance: int) -> None:
        """A process begins; there may have been one before."""
        self.starts += 1
        notes, port = str(self.folder / "notes"), str(self.ports[instance])
        self.running.start(f"shop-{instance}", sys.executable, "-c", SERVICE, port, notes, str(self.starts))
        eventually(lambda: listens(int(port)), f"instance {instance}")

    def noted(self) -> Counted:
        """What the services counted, by metric, labels and interval."""
        lines = [json.loads(line) for line in (self.folder / "notes").read_text().splitlines()]
        return Counter((metric, tuple(labels.items()), int(at // WIDTH)) for at, metric, labels in lines)

    def is_in_time(self) -> bool:
        """Was each process scraped often enough to know in which interval it counted? On a machine that is too busy
        it was not, and then only the sums are certain."""
        lines = [json.loads(line) for line in (self.folder / "notes.scrapes").read_text().splitlines()]
        of = {process: sorted(at for one, at in lines if one == process) for process, _ in lines}
        return all(b - a < MOST_APART for at in of.values() for a, b in pairwise(at))

    def agrees(self, expected: Counted, database: str = "stillwatch.db") -> None:
        counted = self.counted(database)
        assert _sums(counted) == _sums(expected)
        if self.is_in_time():
            assert counted == expected

    def counted(self, database: str = "stillwatch.db") -> Counted:
        """What a daemon recorded of it."""
        store = Store(self.folder / database)
        table, bins, _ = store.export()
        store.close()
        found: Counted = Counter()
        cells = [
            (row, bins.start // WIDTH + i, bins.values[i, row])
            for i, row in zip(*np.nonzero(np.nan_to_num(bins.values)), strict=True)
        ]
        cells += zip(bins.late.row.tolist(), bins.late.start // WIDTH, bins.late.count, strict=True)
        for row, interval, count in cells:
            key = table.keys[row]
            if key.service == "shop" and key.metric.startswith("order") and count:
                assert dict(key.attributes).get("cluster", "") == (
                    "here" if database == "stillwatch.db" else ""
                )
                labels = tuple(pair for pair in key.attributes if pair[0] != "cluster")
                found[key.metric, labels, int(interval)] += int(count)
        return found


def _sums(counted: Counted) -> Counter[tuple[str, tuple[tuple[str, str], ...]]]:
    sums: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
    for (metric, labels, _), count in counted.items():
        sums[metric, labels] += count
    return sums


def until(interval_part: float) -> None:
    """Sleep until so many seconds into an interval."""
    time.sleep((interval_part - time.time()) % WIDTH)


@pytest.mark.slow(seconds=60)
@pytest.mark.parametrize(("shards", "batch"), [(1, 500), (4, 20)], ids=["one request", "split and shuffled"])
def test_counts_of_each_interval_are_what_the_service_counted(
    running: Running, shards: int, batch: int
) -> None:
    shop = Shop(running, 3, shards, batch)
    shop.watch()
    until(0.2)
    shop.scrape()
    shop.serve(0)
    shop.serve(1)
    for round_ in range(5):
        until(4.3)  # all that was counted is scraped
        if round_ in (1, 3):
            running.end("shop-0")
            shop.serve(0)
        if round_ == 2:
            running.end("daemon")
            shop.watch()
            shop.serve(2)  # a pod that comes
        if round_ == 4:
            running.end("shop-2")  # and goes
        time.sleep(0.8)
    until(4.3)
    for instance in (0, 1):
        running.end(f"shop-{instance}")
    expected = shop.noted()
    time.sleep(3 * WIDTH)
    health = httpx2.get(f"{shop.url}/healthz", headers=DOOR, trust_env=False).json()
    assert running.end("daemon", signal.SIGTERM) == 0
    assert len({metric for metric, _, _ in expected}) == 3
    shop.agrees(expected)
    assert set(health["refused"]) <= {"late", "too old in part"}, health
    for trouble in ("Traceback", "level=error", "non-recoverable"):
        assert trouble not in running.said("daemon") + running.said("prometheus")


@pytest.mark.slow(seconds=60)
def test_what_is_written_to_one_and_asked_for_by_another_is_what_the_service_counted(
    running: Running,
) -> None:
    shop = Shop(running, 2)
    shop.watch()
    until(0.2)
    shop.scrape()
    asking = shop.ask()
    until(0.2)
    shop.serve(0)
    shop.serve(1)
    for round_ in range(5):
        until(4.3)  # all that was counted is scraped
        if round_ in (1, 3):
            running.end("shop-0")
            shop.serve(0)
        time.sleep(0.8)
    until(4.3)
    for instance in (0, 1):
        running.end(f"shop-{instance}")
    expected = shop.noted()
    time.sleep(5 * WIDTH)
    health = httpx2.get(f"{asking}/healthz", headers=DOOR, trust_env=False).json()
    assert health["sources"]["scraped"]["ok"], health
    assert running.end("daemon", signal.SIGTERM) == 0
    assert running.end("asking", signal.SIGTERM) == 0
    assert len({metric for metric, _, _ in expected}) == 3
    shop.agrees(expected)
    shop.agrees(expected, "asking.db")
