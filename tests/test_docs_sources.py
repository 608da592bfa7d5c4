"""The settings of each page about a source, as they stand there, lead to the first count that the page shows."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3
import pytest
from test_cloudwatch import _credentials, server
from test_docs import ROOT, blocks
from web_server import Reply, Request, WebServer

from stillwatch import clock
from stillwatch.asking import Asker
from stillwatch.check import lines, reach
from stillwatch.config import Settings, parse
from stillwatch.live import Judgement, Live
from stillwatch.replaying import plan_of
from stillwatch.said import status_lines
from stillwatch.sources import opened
from stillwatch.store import News, Store

__all__ = ["_credentials", "server"]
W = 60
START = clock.now() // W * W - 3600  # CloudWatch's stand-in forgets what is old
MINUTES = 12


def page(name: str, starts: str, *changes: tuple[str, str]) -> Settings:
    """The settings on a page in whose block `starts` stands, with other addresses."""
    (text,) = [block for block in blocks(ROOT / "docs" / f"connect-{name}.md", "yaml") if starts in block]
    for theirs, ours in changes:
        assert theirs in text
        text = text.replace(theirs, ours)
    return parse(text, f"connect-{name}.md", {})


def shown(name: str) -> list[str]:
    """What the page says that `stillwatch status` says of counts and sources, without numbers and times."""
    (text,) = [
        block for block in blocks(ROOT / "docs" / f"connect-{name}.md", "text") if "newest counts" in block
    ]
    return [masked(line) for line in text.splitlines() if re.match("source|newest counts|  ", line)]


@pytest.mark.parametrize("name", ["otlp", "prometheus", "promql", "sql", "files", "cloudwatch"])
def test_each_page_ends_with_the_first_count_in_status(name: str) -> None:
    text = (ROOT / "docs" / f"connect-{name}.md").read_text()
    asked, said = re.findall(r"^```(?:sh|text)\n(.*?)^```$", text, re.M | re.S)[-2:]
    assert text.endswith(f"{said}```\n")
    assert "stillwatch status\n" in asked
    assert re.search(r"^newest counts.*, of 60 s from .* on:\n  \S+/\S+  [1-9][\d,]*$", said, re.M)


def masked(line: str) -> str:
    line = re.sub(r"20\d\d-\d\d-\d\dT[\d:]+Z", "TIME", line)
    return re.sub(r"  [\d,.]+$", "  COUNT", line)


def watched(folder: Path, settings: Settings, work: Callable[[int], None]) -> list[str]:
    """What status says after some minutes of asking the sources of `settings`. work: is done in each minute."""
    store, now = Store(folder / "s.db"), START
    judgement = Judgement(
        plan=partial(plan_of, settings),
        news=lambda event: News(event.incident.id, event.number, event.time, "", ()),
        sight=lambda since, sees: (),
        waits=settings.waits,
    )
    live = Live(store, judgement, settings.interval, settings.grace, now)
    sources = opened(settings.sources, settings.interval)
    askers = [Asker(source, live, lambda: now, threading.Event()) for source in sources]
    for minute in range(MINUTES):
        work(START + minute * W + 5)
        for now in range(START + minute * W + 20, START + (minute + 1) * W + 20, 20):
            for asker in askers:
                asker.round()
                assert not asker.trouble
            live.tick(now)
    told = live.health(now) | {"newest": live.newest(), "outbox": 0, "open": [], "silences": []}
    told["sources"] = {asker.name: asker.health() for asker in askers}
    for source in sources:
        source.close()
    store.close()
    return [masked(line) for line in status_lines(told)]


def test_a_database(tmp_path: Path) -> None:
    file = tmp_path / "jobs.db"
    with sqlite3.connect(file) as c:
        c.execute("CREATE TABLE jobs (done_at TEXT)")
    c.close()

    def work(at: int) -> None:
        with sqlite3.connect(file) as c:
            c.execute("INSERT INTO jobs VALUES (datetime(?, 'unixepoch'))", [at])
        c.close()

    settings = page("sql", "sqlite:", ("/var/lib/importer/jobs.db", str(file)))
    assert set(shown("sql")) <= set(watched(tmp_path, settings, work))


def test_logs(tmp_path: Path) -> None:
    front, jobs = tmp_path / "access.log", tmp_path / "jobs.log"

    def work(at: int) -> None:
        moment = datetime.fromtimestamp(at, UTC)
        with front.open("a") as log:
            for status in (200, 200, 500):
                stamp = f"{moment:%d/%b/%Y:%H:%M:%S +0000}"
                log.write(f'127.0.0.1 - - [{stamp}] "GET / HTTP/1.1" {status} 5 "-" "-"\n')
        with jobs.open("a") as log:
            log.write(json.dumps({"time": at, "message": "import done", "result": {"status": "ok"}}) + "\n")

    work(START - 600)
    settings = page(
        "files",
        "format: combined",
        ("/var/log/nginx/access.log", str(front)),
        ("/var/log/importer/*.log", str(jobs)),
    )
    assert set(shown("files")) <= set(watched(tmp_path, settings, work))


def test_cloudwatch(tmp_path: Path, server: str) -> None:
    client: Any = boto3.client("cloudwatch", region_name="eu-west-1", endpoint_url=server)

    def work(at: int) -> None:
        for name, count in (("RequestCount", 500.0), ("HTTPCode_Target_5XX_Count", 1.0)):
            point = {
                "MetricName": name,
                "Dimensions": [{"Name": "LoadBalancer", "Value": "app/front/50dc6c495c0c9188"}],
                "Timestamp": datetime.fromtimestamp(at, UTC),
                "Value": count,
            }
            client.put_metric_data(Namespace="AWS/ApplicationELB", MetricData=[point])

    region = "region: eu-west-1"
    settings = page("cloudwatch", "kind: cloudwatch", (region, f"{region}\n    endpoint: {server}"))
    assert set(shown("cloudwatch")) <= set(watched(tmp_path, settings, work))
    client.close()


@pytest.fixture
def prometheus() -> Iterator[WebServer]:
    """Answers every query with one counter of checkout that grows by ten a scrape, every 15 seconds."""

    def reply(request: Request) -> Reply:
        asked = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        result = []
        if asked["query"].startswith("http_requests_total{"):
            first, last = START - 60, int(asked["time"])
            values = [[at, str(10 * (at - first) // 15)] for at in range(first, last + 1, 15)]
            labels = {"__name__": "http_requests_total", "job": "checkout", "instance": "a:1", "code": "200"}
            result = [{"metric": labels, "values": values}]
        body = {"status": "success", "data": {"resultType": "matrix", "result": result}}
        return Reply(200, json.dumps(body).encode())

    with WebServer(reply) as made:
        yield made


def test_prometheus(tmp_path: Path, prometheus: WebServer) -> None:
    settings = page("promql", "kind: promql", ("http://127.0.0.1:9090", prometheus.url))
    assert set(shown("promql")) <= set(watched(tmp_path, settings, lambda at: None))


def test_a_source_that_cannot_be_opened_is_named_once() -> None:
    settings = page("sql", "sqlite:", ("strftime", "':a' || strftime"))
    (said,) = [line for line in lines(list(reach(settings))) if "source" in line]
    assert said.startswith("NO  source    jobs: the query names :a, expected only :since")
