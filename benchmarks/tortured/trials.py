"""Daemons, services that report to them, a Slack behind them; and one fault after the other.

In: a folder, a fault, how often. Out: what was lost and doubled, and how long each took to get over.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stillwatch.config import load
from tortured.account import Account, account
from tortured.faults import FAULTS, environ
from tortured.ground import SERVICES, ground
from tortured.senders import Senders
from tortured.watch import GRACE, WIDTH

APART = 4.0  # seconds at most between a recovery and the next fault
# Seconds for each trial to wait for the end, if there are many: what came and went is over once it stays away for
# twice as long as it ever did before, and among many trials one pause is long.
LONG = 25.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """recovered: seconds from the end of each fault until intervals were judged on time again."""

    fault: str
    recovered: tuple[float, ...]
    account: Account


def trials(
    folder: Path, disk: Path, fault: str, count: int, rng: random.Random, progress: Callable[[int], object]
) -> Outcome:
    """Raises TimeoutError where the daemon does not get over it."""
    recovered: list[float] = []
    of = FAULTS[fault]
    with ground(folder, disk, of.on, environ(of, disk)) as here:
        senders = Senders(tuple(one.url for one in here.watches), SERVICES, rng.randrange(1 << 30))
        here.all_up()
        senders.start()
        for _ in range(count):
            here.all_up()
            time.sleep(rng.uniform(0.0, APART))
            of.do(here, rng)
            recovered.append(here.until_well())
            progress(1)
        here.slack.forget_faults()
        here.all_up()
        senders.calm = True
        here.until_done(max(300.0, LONG * count))
        senders.stop()
        time.sleep(2 * WIDTH + GRACE)  # the last counts are judged
        here.until_well()
        here.until_done()
        for one in sorted(here.watches, key=lambda one: one is here.watch):
            one.end()
        settings = load(here.watches[0].config, os.environ)
        messages = here.slack.channel("C0ALERTS").messages
        made = account(here, senders.acknowledged, messages, settings)
        return Outcome(fault, tuple(recovered), made)
