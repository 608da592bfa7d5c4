"""Sources that we ask, in place of waiting for what they send: what each of them answers.

In: nothing (this is a doorstep of types). Out: Source, Answer, SourceFailed, and counts by interval as Readings.
Never: a clock, a count told twice, a zero for what nobody answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from collector.bins import SeriesKey
from collector.points import NANOS, Readings, Stream

LONGEST = 500  # characters of a name or value
FORGET = 86400  # seconds without a count after which a series of a source is no longer taken for 0


class SourceFailed(Exception):  # noqa: N818  (it reads as what happened)
    """One line for a person: what went wrong and what to do, without a secret.

    passing: to ask again soon may help (a server that is slow or restarts); it is no fault of the settings.
    """

    def __init__(self, said: str, passing: bool = False) -> None:
        self.passing = passing
        super().__init__(said)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source told. until: epoch seconds, everything that happened before has been asked for.

    memo: what the source has to remember to go on; it is kept together with `until` and the readings.
    """

    readings: Readings
    until: int
    memo: str = ""


class Source(Protocol):
    """One thing that is asked every `every` seconds, for `most` seconds of its time at once at most.

    history: seconds before the first start that it is asked for. settle: seconds that an interval waits before it
    is asked for at all.
    """

    @property
    def name(self) -> str: ...
    @property
    def every(self) -> int: ...
    @property
    def most(self) -> int: ...
    @property
    def settle(self) -> int: ...
    @property
    def history(self) -> int: ...

    def ask(self, since: int, now: int, memo: str) -> Answer:
        """What happened from `since` to `now` (epoch seconds), and was not told before.

        memo: of the last answer, "" at first. Raises SourceFailed.
        """

    def check(self, now: int) -> str:
        """Ask for a little and keep nothing; what was found, in a line. Raises SourceFailed."""

    def close(self) -> None:
        """Let go of connections."""


@dataclass(slots=True)
class Rows:
    """Readings in the making, row by row."""

    cumulative: bool
    keys: list[SeriesKey] = field(default_factory=list)
    streams: dict[Stream, int] = field(default_factory=dict)
    stream: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    time: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)

    def add(self, key: SeriesKey, stream: Stream, start: int, time: int, value: float) -> None:
        """start, time: epoch nanoseconds, see Readings."""
        self.keys.append(key)
        self.stream.append(self.streams.setdefault(stream, len(self.streams)))
        self.start.append(start)
        self.time.append(time)
        self.value.append(value)

    def readings(self) -> Readings:
        return Readings(
            keys=tuple(self.keys),
            streams=tuple(self.streams),
            stream=np.array(self.stream, dtype=np.int64),
            start=np.array(self.start, dtype=np.int64),
            time=np.array(self.time, dtype=np.int64),
            value=np.array(self.value, dtype=np.float64),
            cumulative=np.full(len(self.keys), self.cumulative),
        )


Counted = dict[SeriesKey, dict[int, float]]  # of each series: start of the interval (epoch seconds) -> events


@dataclass(frozen=True, slots=True)
class Told:
    """What a source has told of its newest intervals, and the moment (epoch seconds) of each series' last count.

    begun: epoch seconds of the first interval that it was asked for.
    """

    counts: Counted = field(default_factory=dict)
    last: Mapping[SeriesKey, int] = field(default_factory=dict)
    begun: int = 0

    def pack(self) -> str:
        """As JSON."""
        told = [
            [key.service, key.metric, key.version, key.attributes, at, list(self.counts.get(key, {}).items())]
            for key, at in self.last.items()
        ]
        return json.dumps([self.begun, told])

    @staticmethod
    def unpack(memo: str) -> Told:
        """The inverse; nothing was told where `memo` is empty."""
        counts: Counted = {}
        last: dict[SeriesKey, int] = {}
        begun, rest = json.loads(memo) if memo else (0, ())
        for service, metric, version, attributes, at, told in rest:
            key = SeriesKey(service, metric, version, tuple((name, value) for name, value in attributes))
            last[key] = at
            counts[key] = dict(told)
        return Told(counts, last, begun)


def grown(
    source: str, counts: Counted, told: Told, window: tuple[int, int], again: int, now: int, width: int,
    quiet: bool = True,
) -> tuple[Readings, Told]:  # fmt: skip
    """By how much the intervals of `window` (epoch seconds, multiples of `width`) have grown since `told`.

    counts: as the source counts them now, whole intervals. An interval that it leaves out, of a series that it
    knew within the last day, is 0 where `quiet`. What became less stays as it was told. now: the moment of asking.
    again: seconds; so much of the end of this window is part of the next one as well.
    """
    first, end = max(window[0], told.begun), window[1]
    rows = Rows(cumulative=False)
    last = {key: at for key, at in told.last.items() if at > end - FORGET}
    for key, mine in counts.items():
        last[key] = max(max(mine, default=0), last.get(key, 0))
    fresh: Counted = {}
    for key in last:
        mine, before = counts.get(key, {}), told.counts.get(key, {})
        kept: dict[int, float] = {}
        for begin in range(first, end, width) if quiet else sorted(mine):
            count = mine.get(begin, 0.0)
            known = before.get(begin)
            if known is None or count > known:
                rows.add(key, of(source, key), *stretch(begin, now, width), count - (known or 0.0))
            if begin >= end - again:
                kept[begin] = max(count, known or 0.0)
        fresh[key] = kept
    return rows.readings(), Told(fresh, last, told.begun)


def of(source: str, key: SeriesKey) -> Stream:
    """Each series by itself: what one of them leaves out says nothing of the others."""
    return Stream(json.dumps([source, *key]), "")


def stretch(begin: int, now: int, width: int) -> tuple[int, int]:
    """(start, time) in nanoseconds of what is told `now` of an interval.

    What is told again counts once, so what more of it is told later must differ: it begins as many nanoseconds
    later as seconds have passed.
    """
    start = begin * NANOS + min(max(now - begin, 0), width * NANOS // 2)
    return start, (begin + width) * NANOS


def plain(text: str) -> str:
    """A text from outside as a name of a series may hold it: of bounded length, and such as can be written down."""
    return text[:LONGEST].encode("utf-8", "replace").decode()


def nothing() -> Readings:
    """No readings at all."""
    return Rows(cumulative=False).readings()


def named(labels: Mapping[str, str], names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The (name, value) pairs of `labels` that are in `names`, sorted; an empty value is none."""
    return tuple((plain(name), plain(labels[name])) for name in sorted(set(names)) if labels.get(name))
