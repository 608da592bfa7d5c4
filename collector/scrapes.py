"""When targets were scraped, and since when their processes run: what a counter's absence means. Pure.

In: samples of `up` and `process_start_time_seconds`. Out: the start of a process, the scrape before another.
Never: a scrape that failed taken for one without the counter.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

from collector.moments import LATEST
from collector.points import NANOS
from collector.scraped import START, UP, Place, where


class Scrapes:
    """series: of UP and START, as the server answers them: labels, and (moment, value) in order."""

    def __init__(self, series: Iterable[Mapping[str, Any]] = ()) -> None:
        self._scraped: dict[Place, list[float]] = {}
        self._starts: dict[Place, list[tuple[float, int]]] = {}
        for one in series:
            target, name = where(one["metric"]), one["metric"].get("__name__")
            for moment, text in one.get("values", ()):
                value = float(text)
                if name == UP and value > 0:
                    self._scraped.setdefault(target, []).append(moment)
                elif name == START and 0 < value < LATEST:
                    self._starts.setdefault(target, []).append((moment, round(value * NANOS)))

    def start(self, target: Place, moment: float) -> int:
        """Epoch nanoseconds at which the process began that was scraped at `moment`, 0 = it does not say.

        A target says it in every scrape or never; a life must not be cut in two where one of them lacks it.
        """
        known = self._starts.get(target)
        if not known:
            return 0
        at = bisect_right(known, (moment, 1 << 62)) - 1
        return known[max(at, 0)][1]

    def before(self, target: Place, moment: float) -> float | None:
        """The scrape before `moment`, if it was one of the same process."""
        scraped = self._scraped.get(target, [])
        at = bisect_left(scraped, moment) - 1
        if at < 0 or self.start(target, scraped[at]) != self.start(target, moment):
            return None
        return scraped[at]
