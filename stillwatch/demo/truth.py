"""What really happened in the demo, from those who know: the people and the parser's database.

In: the folder of a platform that has come to rest. Out: when requests failed, which opens were lost.
Never: a look at what Stillwatch says.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from stillwatch.demo.parser import OPENS
from stillwatch.demo.people import RECORD


@dataclass(frozen=True, slots=True)
class Truth:
    """failed: service -> when requests of people failed; lost_opens: when opens happened that were
    acknowledged and are not stored (epoch seconds, in order)."""

    failed: dict[str, list[int]]
    lost_opens: list[int]

    def began(self, service: str, after: int) -> int | None:
        """When the first request to `service` failed, or its first open was lost, at `after` or later."""
        harm = self.lost_opens if service == "event-parser" else self.failed.get(service, [])
        return next((when for when in harm if when >= after), None)


def known(folder: Path) -> Truth:
    """Read it, once people and services have stopped."""
    record = json.loads((folder / RECORD).read_text())
    with closing(sqlite3.connect(folder / OPENS)) as database:
        stored = {event for (event,) in database.execute("SELECT event FROM open")}
    lost = sorted(when for event, when in record["opens"].items() if event not in stored)
    return Truth({service: sorted(times) for service, times in record["failed"].items()}, lost)
