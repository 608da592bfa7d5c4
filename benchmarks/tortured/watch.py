"""A daemon in a folder of its own, started as anybody would, with a past that it can judge by.

In: a folder, a database, a Slack to tell. Out: a process that can be killed, and what it says of itself.
Never: a hook into the daemon: what is done to it is done from outside.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx2
import numpy as np

from collector.bins import Bins, SeriesKey, SeriesTable
from stillwatch.store import Closing, Store

WIDTH, GRACE = 5, 2  # seconds
PAST = 1440  # intervals
CONFIG = """
interval: {width}s
grace: {grace}s
listen: {{port: {port}, grpc_port: 0}}
database: {database}
slack: {{channel: C0ALERTS, base_url: "{slack}"}}
services:
{services}
"""
SERVICE = "  {name}: {{signals: {{jobs: {{kind: error_ratio, errors: failed, total: started}}}}}}"


class Watch:
    """database: as the settings name it; `with_past` has made it. slack, token: of the Slack. services: their
    names. environ: variables that the daemon has besides."""

    def __init__(
        self,
        folder: Path,
        database: str,
        slack: str,
        token: str,
        services: tuple[str, ...],
        environ: Mapping[str, str],
    ) -> None:
        self.folder = folder
        self.database = database
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{port}"
        self.config = folder / "stillwatch.yaml"
        self.log = folder / "log"
        self.sleeps = False
        named = "\n".join(SERVICE.format(name=name) for name in services)
        self.config.write_text(
            CONFIG.format(width=WIDTH, grace=GRACE, port=port, database=database, slack=slack, services=named)
        )
        self._environ = {
            k: v for k, v in os.environ.items() if not k.startswith(("SLACK", "OTEL", "STILLWATCH"))
        }
        self._environ |= {"SLACK_BOT_TOKEN": token, **environ}
        self.process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "stillwatch", "run", "--config", str(self.config)],
                stdout=log, stderr=log, env=self._environ, cwd="/",
            )  # fmt: skip

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def start(self) -> None:
        self.process = self._spawn()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.sleeps = False

    def sleep(self) -> None:
        """It does nothing any more, and notices nothing."""
        self.process.send_signal(signal.SIGSTOP)
        self.sleeps = True

    def wake(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.sleeps = False

    def end(self) -> int:
        """Its exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def asked(self, path: str) -> dict[str, object]:
        """What it answers; empty when nobody does."""
        if self.sleeps or not self.runs:
            return {}
        try:
            said: dict[str, object] = httpx2.get(self.url + path, trust_env=False, timeout=5).json()
        except (httpx2.HTTPError, ValueError):
            return {}
        return said

    def leads(self) -> bool:
        """Does it judge and tell?"""
        return self.asked("/healthz").get("role") in ("alone", "leads")

    def is_well(self) -> bool:
        """It says that it is well, and all but the newest two intervals are judged."""
        said = self.asked("/healthz")
        judged = said.get("watermark")
        return (
            said.get("ok") is True and isinstance(judged, int) and judged >= time.time() - 3 * WIDTH - GRACE
        )

    def newest_log(self) -> str:
        return self.log.read_text()[-3000:]


def with_past(database: str, services: tuple[str, ...]) -> int:
    """A database with two hours in which nothing was wrong; returns their end, epoch seconds."""
    start = int(time.time()) // WIDTH * WIDTH - (PAST + 2) * WIDTH
    rng = np.random.default_rng(1)
    started = rng.poisson(200, (PAST, len(services)))
    failed = rng.binomial(started, 0.004)
    table = SeriesTable(SeriesKey(name, metric) for metric in ("started", "failed") for name in services)
    closed = start + WIDTH * np.arange(1, PAST + 1) + GRACE
    values = np.concatenate([started, failed], axis=1).astype(np.float64)
    store = Store(database)
    store.settle_width(WIDTH)
    store.commit(Closing(Bins(start, WIDTH, closed, values, np.ones(PAST, np.bool_))), table)
    store.close()
    return start + PAST * WIDTH
