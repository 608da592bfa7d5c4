"""Stillwatch in the demo: the real daemon and the real commands, with a configuration and a database of their own.

In: a folder, an interval, a channel if messages go to Slack. Out: a running daemon, and the alerts it made.
Never: a short cut. What the demo knows of the alerts it reads from the daemon's database.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from stillwatch.clock import now
from stillwatch.demo.processes import PATIENCE, Child, Children, DemoError, plain_environment
from stillwatch.demo.verdict import Alert

if TYPE_CHECKING:
    from stillwatch.store import Store

TOKEN = "SLACK_BOT_TOKEN"  # noqa: S105 -- the name of a variable

COMMAND = (sys.executable, "-m", "stillwatch")

CONFIG = """\
# Written by the demo. What there is to say about services of your own looks like `services` below.
interval: {interval}s
grace: {grace}s
listen: {{host: 127.0.0.1, port: {port}}}
database: {database}
{notify}
services:
  contact-importer:
    owner: imports-team
    signals:
      imports: {{kind: error_ratio, errors: imports_failed, total: imports_started}}
  event-parser:
    owner: events-team
    signals:
      parsing: {{kind: error_ratio, errors: events_failed, total: events_received}}
      opens: {{kind: throughput, count: opens_stored}}
      kept: {{kind: flow, from: events_received, to: opens_stored, within: 10s}}
      opens_kept:
        kind: flow
        from: {{service: mail-sender, metric: emails_delivered}}
        to: opens_stored
        within: 2m
  image-resizer:
    owner: images-team
    signals:
      resizing: {{kind: error_ratio, errors: resizes_failed, total: resizes, split_by: [path]}}
      side_by_side: {{kind: rollout, errors: resizes_failed, total: resizes}}
  mail-sender:
    owner: delivery-team
    signals:
      sending: {{kind: throughput, count: emails_delivered}}
"""


class Watcher:
    """The daemon of one demo. url: its door for counts and deployments."""

    def __init__(self, children: Children, folder: Path, interval: int, slack_channel: str) -> None:
        self._children = children
        self._folder = folder
        self._slack_channel = slack_channel
        self._config = folder / "stillwatch.yaml"
        self._seen: list[Alert] = []
        self._store: Store | None = None
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._config.write_text(
            CONFIG.format(
                interval=interval,
                grace=interval + 1,
                port=port,
                database=json.dumps(str(folder / "stillwatch.db")),
                notify=f"slack: {{channel: {json.dumps(slack_channel)}}}" if slack_channel else "",
            )
        )

    def open(self) -> Child:
        """Start the daemon and wait until its door is open. Raises DemoError."""
        # To reach Slack it needs the token and the proxies that are set; else it must not even see them.
        outside = dict(os.environ) if self._slack_channel else plain_environment()
        if not self._slack_channel:
            outside.pop(TOKEN, None)
        daemon = self._children.start(
            "stillwatch",
            [*COMMAND, "run", "--config", str(self._config)],
            aloud=True,
            environment=outside,
        )
        if not self._children.wait(self._answers, 2 * PATIENCE):
            raise DemoError(f"Stillwatch was not ready within {2 * PATIENCE:.0f} s: see {daemon.log}")
        return daemon

    def deployed(self, service: str, version: str, *options: str) -> None:
        """Tell of a deployment, as a pipeline would: `stillwatch deployed`. Raises DemoError."""
        command = [*COMMAND, "deployed", service, version, "--url", self.url, *options]
        told = subprocess.run(  # noqa: S603 -- our own command, no shell
            command, capture_output=True, text=True, env=plain_environment(), timeout=PATIENCE, check=False
        )
        if told.returncode != 0:
            raise DemoError(f"`stillwatch deployed` ended with {told.returncode}: {told.stderr.strip()}")

    def alerts(self) -> Sequence[Alert]:
        """All alerts so far, each with the moment at which it was first seen here."""
        if self._store is None:
            from stillwatch.store import (
                Store,
            )  # late: SQLAlchemy takes a while, and the daemon makes the file

            self._store = Store(self._folder / "stillwatch.db")
        lines = self._store.lines()
        self._seen += [Alert(now(), json.loads(line)) for line in lines[len(self._seen) :]]
        return self._seen

    def progress(self) -> str:
        """How many signals are judged, and what the others wait for, as /healthz says it."""
        try:
            health = httpx2.get(f"{self.url}/healthz", timeout=5.0, trust_env=False).json()
        except (httpx2.HTTPError, ValueError):
            return "it does not say"
        by_reason: dict[str, list[str]] = {}
        for name, reason in health["learning"].items():
            by_reason.setdefault(reason, []).append(name)
        waiting = [f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()]
        return "; ".join([f"{health['judged']} signals are judged", *waiting])

    def close(self) -> None:
        """No more alerts are read."""
        if self._store is not None:
            self._store.close()

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/healthz", timeout=1.0, trust_env=False).status_code < 500
        except httpx2.HTTPError:
            return False


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])
