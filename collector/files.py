"""Counts what is written into files: access logs and JSON lines by rules, and the rows of a dataset that grows.

In: files as they grow, rules. Out: counts by interval, from the time that each line says.
Never: a line of a log in a message, it may hold a secret; a zero of a file that could not be read.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from collector import moments
from collector.asked import FORGET, Answer, Counted, Rows, SourceFailed, Told, named, of, plain, stretch
from collector.bins import SeriesKey
from collector.followed import Followed, Line, Mark, header_of

Format = Literal["combined", "json", "dataset"]
Fields = Mapping[str, str]
UNREAD = "line not understood"
TIMES = ("time", "timestamp", "@timestamp", "ts")
OURS = ("time", "service", "metric", "value", "version", "received", "entered")
DEEPEST = 5
# The common and combined formats of Apache and nginx; what follows (a duration, a host) is left alone.
_ACCESS = re.compile(
    r'(?P<host>\S+) \S+ (?P<user>\S+) \[(?P<time>[^\]]{20,30})\] "(?P<method>[A-Z]+) (?P<path>[^ "]+)[^"]*" '
    r'(?P<status>\d{3}) (?P<bytes>\d+|-)(?: "(?P<referer>[^"]*)" "(?P<agent>[^"]*)")?.*',
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """Count a line as `metric` where each field of `where` matches one of its patterns (`*` and `?` as in names of
    files), one series for each combination of the fields in `by`.
    """

    metric: str
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    by: tuple[str, ...] = ()

    def counts(self, fields: Fields) -> bool:
        return all(
            any(fnmatchcase(fields.get(name, ""), pattern) for pattern in patterns)
            for name, patterns in self.where
        )


class Files:
    """paths: with `*` and `?`. service: of all counts but a dataset's. time: the field of JSON lines that holds it,
    "" = one of TIMES. width: of an interval, seconds; series: at most.
    """

    settle = 0
    history = 0

    def __init__(
        self,
        name: str,
        paths: tuple[str, ...],
        form: Format,
        service: str = "",
        rules: tuple[Rule, ...] = (),
        time: str = "",
        width: int = 60,
        every: int = 10,
        series: int = 10_000,
    ) -> None:
        self.name = name
        self.every = every
        self.most = FORGET
        self._paths = paths
        self._form = form
        self._service = service
        self._rules = rules
        self._time = time
        self._width = width
        self._series = series
        self._headers: dict[Path, list[str]] = {}

    def close(self) -> None:
        """Nothing is held open."""

    def ask(self, since: int, now: int, memo: str) -> Answer:
        """See Source."""
        before: dict[str, Any] = json.loads(memo) if memo else {"marks": [], "told": ""}
        told = Told.unpack(before["told"])
        told = told if memo else replace(told, begun=since // self._width * self._width)
        followed = Followed(self._where(), tuple(Mark(**mark) for mark in before["marks"]))
        counts: Counted = {}
        refused: dict[str, int] = {}
        read, understood, first_bad = 0, 0, ""
        for line in followed.lines(since):
            if not line.text or self._is_header(line):
                continue
            read += 1
            try:
                told_of = list(self._counted(line))
                understood += 1
            except ValueError as error:
                first_bad = first_bad or f"{line.path}: {error}"
                refused[UNREAD] = refused.get(UNREAD, 0) + 1
                continue
            for key, moment, count in told_of:
                if moment < told.begun:
                    continue
                if key not in counts and len(counts) >= self._series:
                    refused["too many series"] = refused.get("too many series", 0) + 1
                    continue
                of_key = counts.setdefault(key, {})
                begin = int(moment // self._width) * self._width
                of_key[begin] = of_key.get(begin, 0.0) + count
        if read and not understood:
            raise SourceFailed(f"none of {read} new lines could be read; {first_bad}; is `format` right?")
        return self._answer(counts, told, refused, followed, since, now)

    def check(self, now: int) -> str:
        """See Source: the newest lines of each file are not kept, and counted from the next start on."""
        del now
        read, understood, said = 0, 0, ""
        for line in Followed(self._where(), ()).lines(0):
            if not line.text or self._is_header(line):
                continue
            read += 1
            try:
                list(self._counted(line))
                understood += 1
            except ValueError as error:
                said = said or f"; {line.path}: {error}"
            if read == 1000:
                break
        if read and not understood:
            raise SourceFailed(f"none of {read} lines could be read{said}; is `format` right?")
        return f"{understood} of the first {read} lines can be read{said}"

    def _answer(
        self,
        counts: Counted,
        told: Told,
        refused: Mapping[str, int],
        followed: Followed,
        since: int,
        now: int,
    ) -> Answer:
        until = max(now // self._width * self._width, since)
        rows = Rows(cumulative=False)
        for key, by_start in counts.items():
            for begin, count in by_start.items():
                rows.add(key, of(self.name, key), *stretch(begin, now, self._width), count)
        last = {key: at for key, at in told.last.items() if at > until - FORGET}
        if self._form != "dataset":  # where nothing is written, nothing happened; a dataset would say 0
            for key in {**last, **counts}:
                for begin in range(since // self._width * self._width, until, self._width):
                    if begin not in counts.get(key, {}):
                        rows.add(key, of(self.name, key), *stretch(begin, now, self._width), 0.0)
        for key, by_start in counts.items():
            last[key] = max(max(by_start), last.get(key, 0))
        memo = json.dumps(
            {
                "marks": [asdict(mark) for mark in followed.marks],
                "told": Told({}, last, told.begun).pack(),
            }
        )
        return Answer(replace(rows.readings(), refused=refused), until, memo)

    def _where(self) -> tuple[str, ...]:
        """Of a dataset its folder may be named."""
        if self._form != "dataset":
            return self._paths
        parts: list[str] = []
        for path in self._paths:
            inside = Path(path).is_dir()
            parts += [f"{path}/metrics.csv", f"{path}/metrics/*.csv"] if inside else [path]
        return tuple(parts)

    def _is_header(self, line: Line) -> bool:
        return (
            self._form == "dataset"
            and line.number == 1
            and line.text.lstrip("\ufeff") == header_of(line.path)
        )

    def _counted(self, line: Line) -> Iterator[tuple[SeriesKey, float, float]]:
        """(series, epoch seconds, how many) of a line. Raises ValueError: what was expected, not what was found."""
        if self._form == "dataset":
            yield from self._row(line)
            return
        fields, moment = READERS[self._form](line.text, self._time)
        for rule in self._rules:
            if rule.counts(fields):
                yield SeriesKey(self._service, rule.metric, "", named(fields, rule.by)), moment, 1.0

    def _row(self, line: Line) -> Iterator[tuple[SeriesKey, float, float]]:
        header = self._headers.get(line.path) or _cells(header_of(line.path))
        self._headers = {line.path: header}
        missing = [name for name in OURS[:4] if name not in header]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
        cells = _cells(line.text)
        if len(cells) != len(header):
            raise ValueError(f"expected {len(header)} cells")
        row = dict(zip(header, cells, strict=True))
        if not row["value"].strip():
            return  # not measured
        moment, value = moments.seconds(row["time"]), _number(row["value"])
        if not row["service"] or not row["metric"] or not math.isfinite(value) or value < 0:
            raise ValueError("expected a service, a metric and a value from 0 on")
        rest = named(row, row.keys() - set(OURS))
        key = SeriesKey(plain(row["service"]), plain(row["metric"]), plain(row.get("version", "")), rest)
        yield key, moment, value


def _cells(text: str) -> list[str]:
    try:
        return next(csv.reader([text]), [])
    except csv.Error:
        raise ValueError("expected a row of CSV") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("expected a number in column value") from None


def _combined(text: str, time: str) -> tuple[Fields, float]:
    del time
    found = _ACCESS.fullmatch(text)
    if found is None:
        raise ValueError("expected a line of the common or combined log format")
    fields = {name: value for name, value in found.groupdict().items() if value not in (None, "-")}
    try:
        moment = datetime.strptime(fields["time"], "%d/%b/%Y:%H:%M:%S %z").timestamp()
    except ValueError:
        raise ValueError("expected a time such as 13/Apr/2022:06:31:00 +0000") from None
    return fields, moment


def _json(text: str, time: str) -> tuple[Fields, float]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise ValueError("expected an object of JSON")
    fields = dict(_flat(told, "", 0))
    name = time or next((name for name in TIMES if name in fields), "")
    if name not in fields:
        raise ValueError(f"expected a field {time or ' or '.join(TIMES)}")
    return fields, _moment(fields[name])


def _moment(text: str) -> float:
    """Epoch seconds, of seconds, milliseconds (from 2001 on) or RFC 3339; without an offset it is UTC."""
    with suppress(ValueError):
        number = float(text)
        return moments.seconds(f"{number / 1000 if number > 1e12 else number:.6f}")
    return moments.in_utc(text)


def _flat(told: Mapping[str, object], above: str, depth: int) -> Iterator[tuple[str, str]]:
    """Names of what lies deeper are joined by dots."""
    for name, value in told.items():
        if isinstance(value, dict) and depth < DEEPEST:
            yield from _flat(value, f"{above}{name}.", depth + 1)
        elif isinstance(value, bool):
            yield f"{above}{name}", str(value).lower()
        elif isinstance(value, (str, int, float)):
            yield f"{above}{name}", str(value)


READERS: Mapping[str, Callable[[str, str], tuple[Fields, float]]] = {"combined": _combined, "json": _json}
