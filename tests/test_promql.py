"""A real Prometheus that scrapes a real little service, asked for its counters.

Needs the program `prometheus` (Debian's package of that name).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from promql_service import Service
from web_server import Reply, WebServer

from collector.asked import SourceFailed
from collector.binner import Binner
from collector.bins import SeriesKey
from collector.counters import Counters
from collector.promql import Access, PromQL, Selection

PROGRAM = shutil.which("prometheus")
NEEDED = "needs prometheus (on Debian or Ubuntu: apt-get install prometheus)"
SCRAPES = """
global: {scrape_interval: 1s, scrape_timeout: 900ms}
scrape_configs:
  - job_name: shop
    file_sd_configs: [{files: ["FOLDER/targets*.json"], refresh_interval: 1s}]
"""
CALLS = Selection("calls_total", metric="calls", attributes=("code",))
W = 5


class Prometheus:
    """A server of our own in `folder`."""

    ready = "/-/ready"

    def command(self, folder: Path, address: str) -> list[str]:
        return [
            str(PROGRAM), f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}",
        ]  # fmt: skip

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "prometheus.yml").write_text(SCRAPES.replace("FOLDER", str(folder)))
        self.targets()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with (folder / "log").open("w") as log:
            command = self.command(folder, self.url.removeprefix("http://"))
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self.is_ready, 30)

    def is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}{self.ready}", trust_env=False).status_code == 200
        except httpx2.HTTPError:
            return False

    def targets(self, *services: Service) -> None:
        """Whom to scrape from now on."""
        file = self.folder / "targets.json"
        new = file.with_name("new")
        new.write_text(json.dumps([{"targets": [f"127.0.0.1:{one.port}" for one in services]}]))
        new.replace(file)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def eventually(what: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def needed() -> None:
    if PROGRAM is None:
        if os.environ.get("CI"):
            pytest.fail(NEEDED)
        pytest.skip(NEEDED)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    needed()
    server = Prometheus(tmp_path_factory.mktemp("prometheus"))
    yield server
    server.close()


@pytest.fixture
def service() -> Iterator[Service]:
    one = Service()
    yield one
    one.close()


OPEN: list[PromQL] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def source(url: str, *selections: Selection, access: Access | None = None) -> PromQL:
    one = PromQL("prom", access or Access(url, timeout=5.0), selections or (CALLS,), W, again=60)
    OPEN.append(one)
    return one


class Collected:
    """What one source tells, laid into intervals."""

    def __init__(self, asked: PromQL, now: int) -> None:
        self.source = asked
        self.counters = Counters(now)
        self.binner = Binner(W, 0, now)
        self.since = now

    def ask(self, now: int) -> None:
        answer = self.source.ask(self.since, now, "")
        self.binner.add(self.counters.count(answer.readings, self.binner.table, now), self.binner.next)
        self.since = answer.until

    def close(self, until: int) -> dict[tuple[str, tuple[tuple[str, str], ...]], list[float]]:
        bins = self.binner.close(until)
        return {
            (key.metric, key.attributes): bins.values[:, row].tolist()
            for row, key in enumerate(self.binner.table.keys)
        }


def wait_for_scrape(prometheus: Prometheus, service: Service) -> None:
    """Until what was counted by now is in the server."""
    total = sum(service._totals.values())

    def scraped() -> bool:
        asked = {"query": f'sum(calls_total{{instance="127.0.0.1:{service.port}"}})'}
        told = httpx2.get(f"{prometheus.url}/api/v1/query", params=asked, trust_env=False).json()
        result = told["data"]["result"]
        return bool(result) and float(result[0]["value"][1]) == total

    eventually(scraped)


def sleep_into(width: int, second: float) -> int:
    """Sleep until `second` of the next interval; its start."""
    now = time.time()
    start = (int(now) // width + 1) * width
    time.sleep(start + second - now)
    return start


@pytest.mark.slow(seconds=60)
def test_counts_are_those_of_the_service_over_births_restarts_and_outages(
    prometheus: Prometheus, service: Service
) -> None:
    """Work is done in the middle of intervals, so that every scrape lies on one side of it."""
    other = Service()
    try:
        service.work("calls_total", 'code="200"', 1_000_000)  # from before we began to listen
        prometheus.targets(service)
        wait_for_scrape(prometheus, service)
        began = sleep_into(W, 0.0)
        got = Collected(source(prometheus.url), began)
        starts = []

        def interval(*work: tuple[Service, str, int], first: Callable[[], object] = lambda: None) -> None:
            starts.append(sleep_into(W, 1.0))
            first()
            for whose, labels, count in work:
                whose.work("calls_total", labels, count)
            prometheus.targets(*dict.fromkeys((service, *(whose for whose, *_ in work))))
            for whose in dict.fromkeys(whose for whose, *_ in work):
                wait_for_scrape(prometheus, whose)  # a new target is found within a second or two
            got.ask(int(time.time()))

        interval((service, 'code="200"', 7))
        interval((service, 'code="500"', 3))  # born above zero: its first increment counts
        wait_for_scrape(prometheus, service)
        interval(first=service.restart)  # nothing is done, and it begins anew
        interval((service, 'code="200"', 11), (service, 'code="500"', 2))
        interval((other, 'code="200"', 5), first=other.restart)  # a new pod
        interval((service, 'code="200"', 20), (other, 'code="200"', 4))
        wait_for_scrape(prometheus, service)
        wait_for_scrape(prometheus, other)
        end = sleep_into(W, 0.5)
        got.ask(end)
        told = got.close(end)
        for code in ("200", "500"):
            own = [
                service.between("calls_total", at, at + W).get(f'code="{code}"', 0)
                + other.between("calls_total", at, at + W).get(f'code="{code}"', 0)
                for at in starts
            ]
            index = [(at - began) // W for at in starts]
            counted = np.nan_to_num(np.array(told["calls", (("code", code),)]))
            assert [int(counted[i]) for i in index] == own, code
            assert counted.sum() == sum(own)
        # Nobody was there: not measured, and not zero.
        service.is_up = other.is_up = False
        time.sleep(1.5)
        dark = sleep_into(W, 0.0)
        sleep_into(W, 1.5)
        got.ask(int(time.time()))
        told = got.close(dark + W)
        assert np.isnan(told["calls", (("code", "200"),)][-1])
    finally:
        other.close()


@pytest.mark.slow
def test_the_history_is_asked_for_by_the_interval(prometheus: Prometheus, service: Service) -> None:
    service.work("calls_total", 'code="200"', 3)
    prometheus.targets(service)
    wait_for_scrape(prometheus, service)
    begun = sleep_into(W, 2.5)
    service.work("calls_total", 'code="200"', 8)
    wait_for_scrape(prometheus, service)
    end = sleep_into(W, 0.5)
    select = Selection(f'calls_total{{instance="127.0.0.1:{service.port}"}}', service="shop")
    answer = source(prometheus.url, select).ask(end - 7200, end, "")
    by_start = Counters(end - 7200).count(answer.readings, Binner(W, 0, end).table, end)
    assert by_start.count.sum() == 11.0
    assert int(by_start.end.max()) <= end * 10**9
    assert set(answer.readings.keys) == {SeriesKey("shop", "calls_total")}
    assert begun * 10**9 in (answer.readings.time // (W * 10**9) * (W * 10**9)).tolist()


@pytest.mark.slow
def test_a_check_says_how_many_series_there_are(prometheus: Prometheus, service: Service) -> None:
    service.work("calls_total", 'code="200"')
    prometheus.targets(service)
    wait_for_scrape(prometheus, service)
    select = Selection(f'calls_total{{instance="127.0.0.1:{service.port}"}}')
    assert source(prometheus.url, select).check(int(time.time()) + 1).endswith(": 1 series")
    assert source(prometheus.url, Selection("calls_totl")).check(int(time.time())) == "calls_totl: no series"


@pytest.mark.slow
def test_a_wrong_query_is_said_in_the_words_of_the_server(prometheus: Prometheus) -> None:
    with pytest.raises(SourceFailed, match="parse error") as failed:
        source(prometheus.url, Selection("calls_total{")).ask(0, 60, "")
    assert not failed.value.passing


# A server that we play ourselves: what it may answer wrongly.


def matrix(values: list[Any], **labels: str) -> bytes:
    series = {"metric": {"__name__": "calls_total", "job": "shop", **labels}, "values": values}
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": [series]}}).encode()


@pytest.mark.parametrize(
    ("reply", "said", "passing"),
    [
        (Reply(503), "answers 503", True),
        (Reply(429, b"{}"), "answers 429", True),
        (Reply(404, b"<html>"), "is `url` its root", False),
        (Reply(401), "check `token_env`", False),
        (Reply(200, b"[" * 100_000), "no JSON", False),
        (Reply(200, b'{"status": "success", "data": []}'), "something else", False),
        (Reply(200, b'{"status": "success", "data": {"result": [1]}}'), "something else", False),
        (Reply(200, matrix([[1, "x"]])), "something else", False),
        (Reply(200, matrix([["a", "1"]])), "something else", False),
        (Reply(422, b'{"status": "error", "error": "too many samples"}'), "too many samples", False),
        (Reply(200, matrix([[1, "1"]], job="")), "without the label 'job'", False),
        (Reply(cut=True), "cannot be reached", True),
    ],
)
def test_what_a_server_answers_wrongly_is_one_line(reply: Reply, said: str, passing: bool) -> None:
    with WebServer(lambda _: reply) as server, pytest.raises(SourceFailed, match=said) as failed:
        source(server.url).ask(0, 60, "")
    assert failed.value.passing is passing
    assert "\n" not in str(failed.value)


def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.promql.LARGEST", 1000)
    with (
        WebServer(lambda _: Reply(200, b"x" * 100_000)) as server,
        pytest.raises(SourceFailed, match="narrow"),
    ):
        source(server.url).ask(0, 60, "")


def test_a_token_and_a_tenant_are_sent_and_shown_nowhere() -> None:
    with WebServer(lambda _: Reply(500)) as server:
        access = Access(server.url, token="hush", headers={"X-Scope-OrgID": "team"})
        assert "hush" not in repr(access)
        with pytest.raises(SourceFailed) as failed:
            source(server.url, access=access).ask(0, 60, "")
    assert "hush" not in str(failed.value)
    assert server.requests[0].headers["authorization"] == "Bearer hush"
    assert server.requests[0].headers["x-scope-orgid"] == "team"


def test_samples_are_told_again_until_it_is_known_that_they_are_kept() -> None:
    values = [[float(at), str(at)] for at in (10, 20, 30)]
    with WebServer(lambda _: Reply(200, matrix(values))) as server:
        one = source(server.url)
        assert len(one.ask(0, 30, "").readings) == 3
        assert len(one.ask(0, 35, "").readings) == 3  # it was not
        values.append([40.0, "41"])
        assert one.ask(35, 40, "").readings.value.tolist() == [41.0]


def test_one_query_for_each_selection_and_one_for_the_starts() -> None:
    with WebServer(lambda _: Reply(200, matrix([[30, "1"], [45, "NaN"], [60, "4"]]))) as server:
        answer = source(server.url, CALLS, Selection("others_total")).ask(0, 60, "")
    assert len(server.requests) == 3
    assert len(answer.readings) == 4  # NaN is no count
    assert len(set(answer.readings.streams)) == 2


def _nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _nodes(inner, (*path, key))


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = _with(value[path[0]], path[1:], new)
    return copied


GOOD = json.loads(matrix([[10, "1"], [20.5, "4"]], instance="a:1", code="200"))
JUNK = st.sampled_from(
    [
        None,
        True,
        -1,
        1e308,
        10**400,
        "",
        "x",
        "NaN",
        "-Inf",
        "1e400",
        [],
        {},
        [[]],
        [1, 2, 3],
        {"a": [1]},
        "\ud800",
    ]
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(list(_nodes(GOOD))), junk=JUNK)
def test_whatever_stands_in_an_answer_it_is_readings_or_one_line(path: tuple[Any, ...], junk: Any) -> None:
    body = json.dumps(_with(GOOD, path, junk)).encode()
    one = source("http://127.0.0.1:9")
    one._query = lambda what, form: one._result(200, body, form["query"])  # type: ignore[method-assign]
    try:
        answer = one.ask(0, 60, "")
        Counters(0).count(answer.readings, Binner(W, 0, 0).table, 60)
        assert all(text.encode() is not None for key in answer.readings.keys for text in key[:3])
    except SourceFailed as failed:
        assert "\n" not in str(failed)
    finally:
        OPEN.pop().close()
