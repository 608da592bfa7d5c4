"""CloudWatch, played by moto's server: points that come late, pages, no credentials."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import httpx2
import pytest
from moto.server import ThreadedMotoServer
from web_server import Reply, WebServer

from collector.asked import Answer, SourceFailed
from collector.bins import SeriesKey
from collector.cloudwatch import CloudWatch, Metric
from collector.points import NANOS
from stillwatch import clock

W = 60
T0 = clock.now() // W * W - 3600  # moto forgets what is older than two weeks
KEY = SeriesKey("checkout", "requests", "", (("lb", "front"),))
REQUESTS = Metric("AWS/ApplicationELB", "RequestCount", (("LoadBalancer", "front"),), KEY)
FAILED = Metric("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", (), SeriesKey("checkout", "failed"))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a stand-in for AWS."""
    one = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    one.start()
    host, port = one.get_host_and_port()
    httpx2.post(
        f"http://{host}:{port}/moto-api/reset"
    )  # it remembers what other files of this process put in
    yield f"http://{host}:{port}"
    one.stop()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def client(server: str) -> Iterator[Any]:
    one = boto3.client("cloudwatch", region_name="eu-west-1", endpoint_url=server)
    yield one
    one.close()


def put(client: Any, at: int, count: float, metric: Metric = REQUESTS) -> None:
    point = {
        "MetricName": metric.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions],
        "Timestamp": datetime.fromtimestamp(T0 + at, UTC),
        "Value": count,
        "Unit": "Count",
    }
    client.put_metric_data(Namespace=metric.namespace, MetricData=[point])


@pytest.fixture
def source(server: str) -> Iterator[CloudWatch]:
    one = CloudWatch("aws", "eu-west-1", [REQUESTS, FAILED], server)
    yield one
    one.close()


def told(answer: Answer) -> dict[tuple[str, int], float]:
    readings = answer.readings
    return {
        (key.metric, start // NANOS // W * W - T0): value
        for key, start, value in zip(
            readings.keys, readings.start.tolist(), readings.value.tolist(), strict=True
        )
    }


def test_sums_by_the_minute_and_what_comes_late(client: Any, source: CloudWatch) -> None:
    put(client, -60, 99)  # from before we began
    put(client, 0, 5)
    put(client, 59, 2)
    put(client, 120, 4)
    first = source.ask(T0, T0 + 190, "")
    assert told(first) == {("requests", 0): 7, ("requests", 120): 4}  # without a point it is not measured
    assert first.readings.keys[0] == KEY
    put(client, 61, 3)
    put(client, 130, 1)
    put(client, 180, 6)
    second = source.ask(first.until, T0 + 250, first.memo)
    assert told(second) == {("requests", 60): 3, ("requests", 120): 1, ("requests", 180): 6}
    assert told(source.ask(second.until, T0 + 255, second.memo)) == {}
    assert source.check(T0 + 300).startswith("1 of 2 metrics have points in the last 3 hours, ")


def test_without_credentials_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    one = CloudWatch("aws", "eu-west-1", [REQUESTS], server)
    with pytest.raises(SourceFailed, match="no AWS credentials") as failed:
        one.ask(T0, T0 + 120, "")
    assert not failed.value.passing
    one.close()


def test_a_server_in_trouble_may_pass_and_shows_no_secret() -> None:
    with WebServer(lambda _: Reply(500, b"oops")) as web:
        one = CloudWatch("aws", "eu-west-1", [REQUESTS], web.url)
        with pytest.raises(SourceFailed) as failed:
            one.ask(T0, T0 + 120, "")
        one.close()
    assert failed.value.passing
    assert "hush" not in str(failed.value)


def test_nobody_there_may_pass() -> None:
    one = CloudWatch("aws", "eu-west-1", [REQUESTS], "http://127.0.0.1:9", timeout=1)
    with pytest.raises(SourceFailed, match=r"cannot be reached \(.*\); is `region` right") as failed:
        one.ask(T0, T0 + 120, "")
    assert failed.value.passing
    one.close()


def test_intervals_must_be_whole_minutes() -> None:
    with pytest.raises(ValueError, match="whole minutes"):
        CloudWatch("aws", "eu-west-1", [REQUESTS], width=30)
