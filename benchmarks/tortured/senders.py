"""Services that count, and send every count until somebody says that it was taken.

In: the doors' addresses. Out: what was acknowledged, series by series. Never: a count given up, or sent as another.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx2

EVERY = 0.5  # seconds between two reports of a service
PERIOD, BAD = 120, 45  # seconds: how often a service fails, and for how long
USUAL, WORSE = 0.004, 0.4  # shares that fail
NANOS = 1_000_000_000

Series = tuple[str, str]  # service, metric


@dataclass
class Senders:
    """Threads that report deltas over OTLP/HTTP, to one door after the other.

    acknowledged: events by series; refused: answers that said so.
    """

    urls: tuple[str, ...]
    services: tuple[str, ...]
    seed: int
    acknowledged: Counter[Series] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    calm: bool = False  # from now on nothing fails

    def __post_init__(self) -> None:
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._report, args=(i,), daemon=True) for i in range(len(self.services))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 120) -> None:
        """Once everything that was counted is acknowledged. Raises TimeoutError."""
        self._ending.set()
        for thread in self._threads:
            thread.join(seconds)
            if thread.is_alive():
                raise TimeoutError("a report was never taken")

    def _report(self, which: int) -> None:
        rng = random.Random(f"{self.seed}.{which}")
        service = self.services[which]
        since = time.time_ns()
        doors = itertools.cycle(self.urls[which % len(self.urls) :] + self.urls[: which % len(self.urls)])
        with httpx2.Client(trust_env=False, timeout=5) as client:
            while not self._ending.wait(EVERY):
                upto = time.time_ns()
                fails = not self.calm and (upto / NANOS + which * PERIOD / len(self.services)) % PERIOD < BAD
                started = rng.randint(15, 25)
                failed = sum(rng.random() < (WORSE if fails else USUAL) for _ in range(started))
                counts = {"started": started, "failed": failed}
                self._until_taken(client, doors, _body(service, counts, since, upto))
                with self._lock:
                    self.acknowledged.update({(service, name): n for name, n in counts.items()})
                since = upto

    def _until_taken(self, client: httpx2.Client, doors: Iterator[str], body: dict[str, object]) -> None:
        for door in doors:
            try:
                answer = client.post(f"{door}/v1/metrics", json=body)
                if answer.status_code == 200:
                    if answer.json().get("partialSuccess"):
                        raise RuntimeError(f"a part was refused for good: {answer.text}")
                    return
                self.refused[answer.status_code] += 1
            except httpx2.HTTPError:
                self.refused[0] += 1
            time.sleep(0.2)


def _body(service: str, counts: dict[str, int], since: int, upto: int) -> dict[str, object]:
    metrics = [
        {
            "name": name,
            "sum": {
                "aggregationTemporality": 1,
                "isMonotonic": True,
                "dataPoints": [
                    {"startTimeUnixNano": str(since), "timeUnixNano": str(upto), "asInt": str(count)}
                ],
            },
        }
        for name, count in counts.items()
    ]
    named = {"key": "service.name", "value": {"stringValue": service}}
    return {
        "resourceMetrics": [{"resource": {"attributes": [named]}, "scopeMetrics": [{"metrics": metrics}]}]
    }
