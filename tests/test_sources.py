"""The daemon as a process with sources that it asks: counts in `stillwatch status`, a kill, a dead server."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from promql_service import Service
from test_daemon import eventually, free_port
from test_promql import Prometheus, needed, wait_for_scrape

CONFIG = """
interval: 5s
grace: 5s
listen: 127.0.0.1:PORT
database: FOLDER/stillwatch.db
services:
  shop: {signals: {calls: {kind: throughput, count: calls}}}
sources:
  metrics:
    kind: promql
    url: PROMETHEUS
    counters: {select: calls_total, metric: calls, attributes: code}
    every: 5s
    grace: 5s
    history: 1h
  mail:
    kind: sql
    url: sqlite:///FOLDER/mail.db
    query: >
      SELECT at / 5 * 5 AS time, count(*) AS count FROM opens
      WHERE at >= :since_epoch AND at < :until_epoch GROUP BY 1
    service: event-parser
    metric: opens_stored
    every: 5s
    grace: 5s
    history: 1h
  front:
    kind: files
    paths: FOLDER/access.log
    format: combined
    service: web
    counts: [{count: requests}, {count: failed, where: {status: "5*"}}]
    every: 5s
    grace: 5s
"""


class Daemon:
    def __init__(self, folder: Path, prometheus: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.config = folder / "stillwatch.yaml"
        text = CONFIG.replace("PORT", str(self.port)).replace("FOLDER", str(folder))
        self.config.write_text(text.replace("PROMETHEUS", prometheus))
        with sqlite3.connect(folder / "mail.db") as c:
            c.execute("CREATE TABLE opens (at INTEGER)")
        c.close()
        (folder / "access.log").touch()
        self.start()

    def start(self) -> None:
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stillwatch", "run", "--config", str(self.config)],
                stderr=log, stdout=log, env={**os.environ, "SLACK_BOT_TOKEN": ""},
            )  # fmt: skip
        eventually(lambda: bool(self.health()), 90)

    def health(self) -> dict[str, Any]:
        try:
            told = httpx2.get(f"http://127.0.0.1:{self.port}/healthz", trust_env=False)
        except httpx2.HTTPError:
            return {}
        return dict(json.loads(told.text))

    def said(self, command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "stillwatch", command, "--config", str(self.config)],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return done.stdout

    def opens(self, *at: int) -> None:
        with sqlite3.connect(self.folder / "mail.db") as c:
            c.executemany("INSERT INTO opens VALUES (?)", [(one,) for one in at])
        c.close()

    def requests(self, *at: int) -> None:
        with (self.folder / "access.log").open("a") as log:
            for one in at:
                moment = datetime.fromtimestamp(one, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
                log.write(f'127.0.0.1 - - [{moment}] "GET / HTTP/1.1" 200 5 "-" "-"\n')

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def stop(self) -> None:
        self._process.terminate()
        assert self._process.wait(20) == 0


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[[str], Daemon]]:
    made: list[Daemon] = []

    def make(prometheus: str) -> Daemon:
        made.append(Daemon(tmp_path, prometheus))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def recorded(daemon: Daemon) -> dict[str, float]:
    """All that was ever counted, by service and metric, in time or late."""
    from stillwatch.store import Store

    store = Store(daemon.folder / "stillwatch.db")
    blocks, table = list(store.history()), store.table()  # in this order: series are added meanwhile
    sums: dict[str, float] = {}
    for block in blocks:
        for row, key in enumerate(table.keys[: block.values.shape[1]]):
            name = f"{key.service}/{key.metric}"
            column = block.values[:, row]
            sums[name] = sums.get(name, 0.0) + float(column[~(column != column)].sum())
        for row, count in zip(block.late.row.tolist(), block.late.count.tolist(), strict=True):
            name = f"{table.keys[row].service}/{table.keys[row].metric}"
            sums[name] = sums.get(name, 0.0) + count
    store.close()
    return sums


@pytest.mark.slow
def test_counts_are_seen_over_a_kill_with_one_server_dead(daemon: Callable[[str], Daemon]) -> None:
    one = daemon("http://127.0.0.1:9")
    began = int(time.time())
    at = began + 1
    one.opens(at, at, at)
    one.requests(at, at)
    eventually(lambda: recorded(one) == {"event-parser/opens_stored": 3.0, "web/requests": 2.0}, 60)
    health = one.health()
    assert health["sources"]["metrics"]["ok"] is False
    assert "cannot be reached" in health["sources"]["metrics"]["trouble"]
    assert health["sources"]["mail"]["ok"] is True
    assert health["failing"] == {"metrics": health["sources"]["metrics"]["failing_since"]}
    assert health["lag"] <= 5
    one.kill()
    later = int(time.time())
    one.opens(later, later)
    one.requests(later)
    one.start()
    eventually(lambda: recorded(one) == {"event-parser/opens_stored": 5.0, "web/requests": 3.0}, 60)
    said = one.said("status")
    assert "source metrics: failing since" in said
    assert "source mail: told until" in said
    assert "event-parser/opens_stored" in said
    checked = one.said("check")
    assert "NO  source    metrics: http://127.0.0.1:9 cannot be reached" in checked
    assert "ok  source    mail: 1 series, 5 counted in the last hour" in checked
    assert "ok  source    front: 3 of the first 3 lines can be read" in checked


@pytest.mark.slow
def test_prometheus_is_asked_for_its_history_and_from_then_on(
    daemon: Callable[[str], Daemon], tmp_path_factory: pytest.TempPathFactory
) -> None:
    needed()
    service, prometheus = Service(), Prometheus(tmp_path_factory.mktemp("prometheus"))
    try:
        service.work("calls_total", 'code="200"', 100)
        prometheus.targets(service)
        wait_for_scrape(prometheus, service)
        for _ in range(3):
            service.work("calls_total", 'code="200"', 4)
            wait_for_scrape(prometheus, service)
        time.sleep(6)  # the interval of it is over
        one = daemon(prometheus.url)
        service.work("calls_total", 'code="200"', 5)
        service.work("calls_total", 'code="500"', 2)
        # The process began within the history: all that it ever did counts.
        eventually(lambda: recorded(one).get("shop/calls") == 119.0, 60)
        assert "shop/calls" in one.said("status")
        assert "calls_total: 2 series" in one.said("check")
    finally:
        service.close()
        prometheus.close()
