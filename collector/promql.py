"""Asks a server that speaks Prometheus' query API (Prometheus, Mimir, Thanos, VictoriaMetrics) for counters.

In: selectors of counters, how far we are. Out: their samples as running totals, as they were scraped.
Never: rate() or increase(), which extrapolate; a sample of which no target was scraped; a token in a message.

Asked for is `selector[RANGE]`: an instant query of it answers with the samples themselves, each with the moment of
its scrape (https://prometheus.io/docs/prometheus/latest/querying/basics/#range-vector-selectors). The counters of a
process begin with it: where a target says when that was (process_start_time_seconds), its first total counts too.
One that was not there when its target was scraped before (`up`) was 0 then.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx2

from collector.asked import Answer, Rows, SourceFailed, named, plain
from collector.bins import SeriesKey
from collector.moments import LATEST
from collector.points import NANOS, Stream
from collector.scraped import START, UP, where
from collector.scrapes import Scrapes

RAW = 3600  # seconds of time above which samples are asked for by the interval, not each scrape
LARGEST = 128 << 20  # bytes of an answer
MOST_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Selection:
    """Counters, and what they are called here.

    select: a selector of PromQL. metric: its name here, "" = its own. service: fixed, or "" = the label
    `service_label`. version_label: whose value is the version. attributes: labels that tell series apart; over all
    others is summed.
    """

    select: str
    metric: str = ""
    service: str = ""
    service_label: str = "job"
    version_label: str = "version"
    attributes: tuple[str, ...] = ()

    def key(self, labels: Mapping[str, str]) -> SeriesKey | None:
        """The series that these labels count into; None where they name no service or metric."""
        service = self.service or labels.get(self.service_label, "")
        metric = self.metric or labels.get("__name__", "")
        if not service or not metric:
            return None
        version = plain(labels.get(self.version_label, ""))
        return SeriesKey(plain(service), plain(metric), version, named(labels, self.attributes))


@dataclass(frozen=True, slots=True)
class Access:
    """How to come in. headers: with a tenant, if any. user, password or token: empty where none is needed."""

    url: str
    token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 10.0


class Birth(NamedTuple):
    """A counter that was 0 at the scrape before its first sample: before, epoch seconds; start: see Readings."""

    key: SeriesKey
    stream: Stream
    start: int
    before: float


Life = tuple[str, str, int]  # selection, labels, start of the process


class PromQL:
    """One server. width: of an interval, seconds.

    again: seconds that are asked for a second time, for samples that the server has later than their moment.
    """

    settle = 0

    def __init__(
        self,
        name: str,
        access: Access,
        selections: Sequence[Selection],
        width: int = 60,
        every: int = 15,
        again: int = 300,
        history: int = 0,
    ) -> None:
        self.name = name
        self.every = every
        self.most = 6 * 3600
        self.history = history
        self._selections = tuple(selections)
        self._width = width
        self._again = again
        auth = httpx2.BasicAuth(access.user, access.password) if access.user else None
        headers = dict(access.headers)
        if access.token:
            headers["Authorization"] = f"Bearer {access.token}"
        self._seen: set[Life] = set()  # counters in the last answer
        self._last: dict[Stream, float] = {}  # the newest sample of each that is known to be kept
        self._answered: tuple[int, dict[Stream, float]] = (
            0,
            {},
        )  # the last answer: until, the newest samples
        self._url = access.url.rstrip("/")
        self._client = httpx2.Client(timeout=access.timeout, headers=headers, auth=auth)

    def close(self) -> None:
        self._client.close()

    def ask(self, since: int, now: int, memo: str) -> Answer:
        """See Source. What was scraped before `since` and came later is in the answer too: a total counts once."""
        del memo
        if since == self._answered[0]:
            self._last = self._answered[1]  # the last answer was kept: its samples need not be told again
        rows = Rows(cumulative=True)
        newest: dict[Stream, float] = {}
        found = [self._samples(one.select, since, now) for one in self._selections]
        scrapes = self._scrapes(
            {s["metric"].get("job", "") for samples in found for s in samples}, since, now
        )
        first = now - self._span(since, now)
        seen: set[Life] = set()
        for selection, samples in zip(self._selections, found, strict=True):
            old: set[str] | None = None
            for series in samples:
                for born in self._take(rows, selection, series, scrapes, newest):
                    life = (selection.select, born.stream.scope, born.start)
                    seen.add(life)
                    if life in self._seen:
                        continue
                    if born.start < first * NANOS:  # it may have been there before
                        old = self._names(selection.select, first) if old is None else old
                        if born.stream.scope in old:
                            continue
                    rows.add(born.key, born.stream, born.start, round(born.before * NANOS), 0.0)
        self._seen, self._answered = seen, (now, newest)
        return Answer(rows.readings(), now)

    def check(self, now: int) -> str:
        """See Source."""
        said = []
        for one in self._selections:
            answer = self._query("query", {"query": f"count({one.select})", "time": str(now)})
            value = float(answer[0]["value"][1]) if answer and "value" in answer[0] else 0.0
            count = int(value) if math.isfinite(value) else 0
            said.append(f"{one.select}: {count or 'no'} series")
        return "; ".join(said)

    def _take(
        self,
        rows: Rows,
        selection: Selection,
        series: Mapping[str, Any],
        scrapes: Scrapes,
        newest: dict[Stream, float],
    ) -> Iterator[Birth]:
        """Take the samples of a series; births are where it was not there when its process was scraped before."""
        labels: dict[str, str] = series["metric"]
        key = selection.key(labels)
        if key is None:
            raise SourceFailed(
                f"{selection.select}: a series without the label {selection.service_label!r}: name another in "
                "`service_label`, or set `service`"
            )
        target = where(labels)
        # Within one selection: of a selection that is new to us no counter is new because we had not asked for it.
        stream = Stream(json.dumps([self.name, selection.select, *target]), _name(labels))
        life, told = -1, self._last.get(stream, -1.0)
        for moment, text in series.get("values", ()):
            value = float(text)
            if not math.isfinite(value):
                continue
            start = scrapes.start(target, moment)
            if start != life:
                before = scrapes.before(target, moment)
                if before is not None:
                    yield Birth(key, stream, start, before)
            life = start
            if moment > told:
                rows.add(key, stream, start, round(moment * NANOS), value)
            newest[stream] = moment

    def _scrapes(self, jobs: Iterable[str], since: int, now: int) -> Scrapes:
        """Of all targets of these jobs. What is of one scrape has one moment."""
        names = "|".join(sorted(re.escape(job).replace("\\-", "-") for job in jobs if job))
        asked = f'{{__name__=~"{UP}|{START}",job=~{json.dumps(names)}}}'
        return Scrapes(self._samples(asked, since, now) if names else ())

    def _names(self, select: str, at: int) -> set[str]:
        """The series that were there in the day before `at` (epoch seconds)."""
        told = self._query("query", {"query": f"last_over_time({select}[1d])", "time": str(at)})
        return {_name(series["metric"]) for series in told}

    def _span(self, since: int, now: int) -> int:
        """Seconds that are asked for."""
        return now - since + (self._again if now - since <= RAW else 0)

    def _samples(self, select: str, since: int, now: int) -> list[dict[str, Any]]:
        """Series with their samples: each scrape, or of a long time the newest of each interval."""
        if now - since <= RAW:
            span = self._span(since, now)
            return self._query("query", {"query": f"{select}[{span}s]", "time": str(now)})
        first = -(-since // self._width) * self._width
        asked = f"last_over_time({select}[{self._width}s])"
        return self._query(
            "query_range",
            {"query": asked, "start": str(first), "end": str(now), "step": str(self._width)},
        )

    def _query(self, what: str, form: Mapping[str, str]) -> list[dict[str, Any]]:
        """The result of a query. Raises SourceFailed."""
        try:
            with self._client.stream("POST", f"{self._url}/api/v1/{what}", data=dict(form)) as got:
                body = bytearray()
                for part in got.iter_bytes():
                    body += part
                    if len(body) > LARGEST:
                        raise SourceFailed(
                            f"{form['query']}: an answer of more than {LARGEST >> 20} MB; narrow `select`"
                        )
        except httpx2.TimeoutException:
            raise SourceFailed(
                f"no answer from {self._url} in time; is it overloaded? Else raise `timeout`", passing=True
            ) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise SourceFailed(
                f"{self._url} cannot be reached ({type(error).__name__}); is `url` right, and the server up?",
                passing=True,
            ) from None
        return self._result(got.status_code, bytes(body), form["query"])

    def _result(self, status: int, body: bytes, query: str) -> list[dict[str, Any]]:
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            told = None
        if status in (401, 403):
            raise SourceFailed(
                f"{self._url} answers {status}: check `token_env`, or `user` and `password_env`"
            )
        if not isinstance(told, dict) or told.get("status") not in ("success", "error"):
            said = f"{self._url} answers {status}, and no JSON of Prometheus' query API; is `url` its root?"
            raise SourceFailed(said, passing=status >= 500 or status == 429)
        if told["status"] == "error":
            why = str(told.get("error", ""))[:MOST_SHOWN]
            raise SourceFailed(f"{query[:MOST_SHOWN]}: {why}", passing=status >= 500 or status == 429)
        try:
            result = told["data"]["result"]
            if not isinstance(result, list):
                raise TypeError
            for series in result:
                _check(series)
        except (KeyError, TypeError, ValueError):
            said = f"{self._url} answers something else than series to {query[:MOST_SHOWN]}"
            raise SourceFailed(said) from None
        return result


def _check(series: Any) -> None:
    """Labels, and samples of a moment and a number as text. Raises KeyError, TypeError or ValueError."""
    labels, samples = series["metric"], series.get("values", [series["value"]] if "value" in series else [])
    if not isinstance(labels, dict) or not isinstance(samples, list):
        raise TypeError
    for text in (*labels, *labels.values()):
        if not isinstance(text, str):
            raise TypeError
        text.encode()  # half of a character cannot be written down, or asked for
    for moment, text in samples:
        if type(moment) not in (int, float) or not isinstance(text, str) or not 0 <= moment < LATEST:
            raise TypeError
        float(text)


def _name(labels: Mapping[str, str]) -> str:
    return json.dumps(sorted(labels.items()))
