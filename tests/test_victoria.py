"""A real VictoriaMetrics that scrapes a real little service, asked over the API that it shares with Prometheus.

Needs the program `victoria-metrics` (Debian's package of that name).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from promql_service import Service
from test_promql import Collected, Prometheus, W, eventually, service, sleep_into, source

from collector.asked import SourceFailed
from collector.binner import Binner
from collector.counters import Counters
from collector.promql import Selection

PROGRAM = shutil.which("victoria-metrics")
NEEDED = "needs victoria-metrics (on Debian or Ubuntu: apt-get install victoria-metrics)"
__all__ = ["service"]


class VictoriaMetrics(Prometheus):
    ready = "/health"

    def command(self, folder: Path, address: str) -> list[str]:
        return [
            str(PROGRAM), f"-promscrape.config={folder / 'prometheus.yml'}",
            "-promscrape.fileSDCheckInterval=1s", "-promscrape.config.strictParse=false",
            f"-storageDataPath={folder / 'data'}", f"-httpListenAddr={address}", "-memory.allowedBytes=100MB",
        ]  # fmt: skip


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaMetrics]:
    if PROGRAM is None:
        if os.environ.get("CI"):
            pytest.fail(NEEDED)
        pytest.skip(NEEDED)
    server = VictoriaMetrics(tmp_path_factory.mktemp("victoria"))
    yield server
    server.close()


def wait_for(asked: Selection, url: str, total: int) -> None:
    """Until the newest total that the server knows is this."""

    def there() -> bool:
        now = int(time.time()) + 1
        values = source(url, asked).ask(now - 30, now, "").readings.value
        return bool(len(values)) and values[-1] == total

    eventually(there, 40)


@pytest.mark.slow
def test_counts_are_those_of_the_service(victoria: VictoriaMetrics, service: Service) -> None:
    """Births above zero and a restart; work is done in the middle of intervals."""
    mine = f'{{instance="127.0.0.1:{service.port}"}}'
    selections = [
        Selection(f'calls_total{mine[:-1]},code="{code}"}}', metric="calls", attributes=("code",))
        for code in ("200", "500")
    ]
    good, bad = selections
    service.work("calls_total", 'code="200"', 1_000)  # from before we began to listen
    victoria.targets(service)
    wait_for(good, victoria.url, 1_000)
    began = sleep_into(W, 0.0)
    got = Collected(source(victoria.url, *selections), began)
    starts = []
    for work, asked, total in (
        ((("200", 7),), good, 1_007),
        ((("500", 3),), bad, 3),
        ((("200", 11), ("500", 2)), bad, 5),
    ):
        starts.append(sleep_into(W, 1.0))
        for code, count in work:
            service.work("calls_total", f'code="{code}"', count)
        wait_for(asked, victoria.url, total)
        got.ask(int(time.time()))
    starts.append(sleep_into(W, 1.0))
    service.restart()
    service.work("calls_total", 'code="200"', 5)
    wait_for(good, victoria.url, 5)
    end = sleep_into(W, 0.5)
    got.ask(end)
    told = got.close(end)
    for code in ("200", "500"):
        own = [service.between("calls_total", at, at + W).get(f'code="{code}"', 0) for at in starts]
        counted = np.nan_to_num(np.array(told["calls", (("code", code),)]))
        assert [int(counted[(at - began) // W]) for at in starts] == own, code
        assert counted.sum() == sum(own)


@pytest.mark.slow
def test_the_history_a_check_and_a_wrong_query(victoria: VictoriaMetrics, service: Service) -> None:
    select = Selection(f'calls_total{{instance="127.0.0.1:{service.port}"}}', service="shop")
    service.work("calls_total", 'code="200"', 3)
    victoria.targets(service)
    wait_for(select, victoria.url, 3)
    sleep_into(W, 2.5)
    service.work("calls_total", 'code="200"', 8)
    wait_for(select, victoria.url, 11)
    asked = source(victoria.url, select)
    # What is worked out by the server, and not only told, it shows after half a minute (-search.latencyOffset).
    eventually(lambda: asked.check(int(time.time())).endswith(": 1 series"), 60)
    assert source(victoria.url, Selection("calls_totl")).check(int(time.time())) == "calls_totl: no series"

    def history() -> float:
        end = int(time.time())
        answer = source(victoria.url, select).ask(end - 7200, end, "")
        return float(Counters(end - 7200).count(answer.readings, Binner(W, 0, end).table, end).count.sum())

    eventually(lambda: history() == 11.0, 60)
    with pytest.raises(SourceFailed) as failed:
        source(victoria.url, Selection("calls_total{")).ask(0, 60, "")
    assert not failed.value.passing
    assert "\n" not in str(failed.value)
