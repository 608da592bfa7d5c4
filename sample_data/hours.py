"""When people are awake, at work, or keen on sending: the shape of a week, minute by minute.

In: a span of time with its time zone and holidays. Out: float64[minutes] curves and slow demand noise.
Never: counts of anything (mails.py, services.py), files, randomness that was not handed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import NamedTuple
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

DAY = 86400


class Week(NamedTuple):
    """Activity in each local hour (24 numbers a day), relative to an average working hour."""

    working: tuple[float, ...]
    saturday: tuple[float, ...]
    sunday: tuple[float, ...]


# fmt: off
READING = Week(
    (.14, .08, .06, .06, .09, .26, .75, 1.35, 1.70, 1.75, 1.70, 1.60,
     1.50, 1.40, 1.38, 1.34, 1.30, 1.28, 1.25, 1.30, 1.30, 1.10, .72, .34),
    (.22, .13, .09, .07, .08, .14, .33, .68, 1.05, 1.30, 1.38, 1.30,
     1.15, 1.02, .98, .95, .95, 1.00, 1.02, 1.02, .98, .85, .60, .38),
    (.26, .16, .10, .07, .07, .11, .25, .50, .90, 1.20, 1.32, 1.25,
     1.08, .98, .98, 1.00, 1.05, 1.12, 1.20, 1.28, 1.30, 1.08, .66, .30),
)
WORKING = Week(
    (.05, .03, .02, .02, .03, .08, .30, .95, 1.90, 2.55, 2.70, 2.50,
     1.95, 2.10, 2.45, 2.35, 1.95, 1.20, .65, .45, .38, .30, .18, .09),
    (.06, .04, .02, .02, .02, .04, .09, .18, .32, .45, .50, .48,
     .42, .40, .38, .36, .34, .32, .28, .26, .24, .20, .14, .09),
    (.06, .04, .02, .02, .02, .03, .06, .12, .22, .33, .38, .36,
     .32, .30, .32, .34, .36, .38, .40, .42, .40, .30, .18, .08),
)
SENDING = Week(
    (.10, .06, .05, .08, .20, .70, 1.70, 2.60, 3.00, 2.90, 2.60, 2.00,
     1.40, 1.40, 1.60, 1.60, 1.40, 1.10, .80, .50, .30, .20, .15, .12),
    (.10, .06, .05, .06, .12, .30, .60, .90, 1.10, 1.10, .90, .60,
     .40, .35, .35, .35, .35, .35, .30, .25, .20, .15, .12, .10),
    (.10, .06, .05, .05, .10, .22, .40, .60, .80, .85, .70, .50,
     .35, .35, .40, .50, .60, .80, .95, .80, .45, .25, .15, .10),
)
# fmt: on


@dataclass(frozen=True)
class Span:
    """A stretch of time: `shown`..`end` is published, `warm_up` seconds before it are lived but not shown.

    holidays: local date -> how far that day is like a Sunday, 0 to 1.
    """

    shown: int
    end: int
    timezone: str
    holidays: Mapping[date, float] = field(default_factory=dict)
    warm_up: int = 3 * DAY

    @property
    def first(self) -> int:
        """Epoch seconds of index 0 of every array by the second."""
        return self.shown - self.warm_up

    @property
    def seconds(self) -> int:
        return self.end - self.first

    @property
    def minutes(self) -> int:
        return self.seconds // 60


def epoch(text: str) -> int:
    """Epoch seconds of a time in UTC such as `2022-04-13 06:31:00`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def randomness(seed: int, part: str) -> np.random.Generator:
    """A stream of its own for each part of a story, so that a change in one leaves the others alone."""
    return np.random.default_rng([seed, crc32(part.encode())])


def curve(span: Span, week: Week) -> Floats:
    """float64[minutes]: the week's shape in local time, straight lines between the middles of hours."""
    zone = ZoneInfo(span.timezone)
    # Hours of UTC, each asked for its local time: a day of 23 or 25 hours then needs no special case.
    knots = np.arange(span.first - 3600, span.end + 7200, 3600)
    levels = np.array([_level(datetime.fromtimestamp(int(at) + 1800, zone), week, span) for at in knots])
    middles = np.arange(span.first, span.end, 60) + 30
    rates: Floats = np.interp(middles, knots + 1800, levels)
    return rates


def _level(local: datetime, week: Week, span: Span) -> float:
    day = local.weekday()
    own = week.sunday if day == 6 else week.saturday if day == 5 else week.working
    like_sunday = span.holidays.get(local.date(), 0.0)
    return (1 - like_sunday) * own[local.hour] + like_sunday * week.sunday[local.hour]


def demand(rng: np.random.Generator, span: Span, hourly: float, daily: float, growth: float = 0.0) -> Floats:
    """float64[minutes] around 1: how much more or less people want than usual.

    hourly, daily: standard deviations of what lasts for hours and for days; growth: share a week.
    """
    hours = span.seconds // 3600 + 2
    drift = _ar1(rng, hours, hourly, 5.0) + _ar1(rng, hours, daily, 40.0)
    minute = np.arange(span.minutes)
    trend = np.log1p(growth) * (minute - span.warm_up / 60) / (7 * 1440)
    factor: Floats = np.exp(np.interp(minute / 60, np.arange(hours), drift) + trend)
    return factor


def _ar1(rng: np.random.Generator, steps: int, sd: float, memory: float) -> Floats:
    """A first-order autoregression in its steady state; `memory` in steps."""
    keep = float(np.exp(-1 / memory))
    shocks = rng.normal(0, sd * np.sqrt(1 - keep * keep), steps)
    shocks[0] = rng.normal(0, sd)
    level = np.empty(steps)
    level[0] = shocks[0]
    for step in range(1, steps):
        level[step] = keep * level[step - 1] + shocks[step]
    return level


def by_second(per_minute: Floats) -> Floats:
    """float64[seconds] rates from float64[minutes] rates."""
    return np.repeat(per_minute / 60, 60)


def by_minute(per_second: Counts) -> Counts:
    """int64[minutes] counts from int64[seconds] counts."""
    counts: Counts = per_second.reshape(-1, 60).sum(axis=1)
    return counts
