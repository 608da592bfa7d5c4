"""A daemon, services that report to it, a Slack behind it; and one fault after the other.

In: a folder, the name of a fault, how often. Out: what was lost and doubled, and how long each took to get over.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slack_server import SlackServer

from stillwatch.config import load
from tortured.account import Account, account
from tortured.faults import FAULTS
from tortured.senders import Senders
from tortured.watch import GRACE, WIDTH, Watch

SERVICES = ("billing", "imports", "mails", "search")
APART = 4.0  # seconds at most between a recovery and the next fault


@dataclass(frozen=True, slots=True)
class Outcome:
    """recovered: seconds from the end of each fault until the daemon was well and on time again."""

    fault: str
    recovered: tuple[float, ...]
    account: Account


def trials(
    folder: Path, fault: str, count: int, rng: random.Random, progress: Callable[[int], object]
) -> Outcome:
    """Raises TimeoutError where the daemon does not get over it."""
    recovered: list[float] = []
    with SlackServer() as slack:
        watch = Watch(folder, slack.base_url, slack.token, SERVICES)
        senders = Senders(watch.url, SERVICES, rng.randrange(1 << 30))
        try:
            watch.until_well(120)
            senders.start()
            for _ in range(count):
                time.sleep(rng.uniform(0.0, APART))
                FAULTS[fault](watch, slack, rng)
                recovered.append(watch.until_well())
                progress(1)
            slack.forget_faults()
            senders.calm = True
            _until(watch.is_done, 300)
            senders.stop()
            time.sleep(2 * WIDTH + GRACE)  # the last counts are judged
            watch.until_well()
            _until(watch.is_done, 300)
            watch.end()
            settings = load(watch.folder / "stillwatch.yaml", os.environ)
            messages = slack.channel("C0ALERTS").messages
            return Outcome(fault, tuple(recovered), account(watch, senders.acknowledged, messages, settings))
        finally:
            if watch.process.poll() is None:
                watch.kill()


def _until(what: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError("what was wrong is not over, or not told")
        time.sleep(0.5)
