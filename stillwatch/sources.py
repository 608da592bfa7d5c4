"""The sources that the settings name, ready to be asked.

In: what is written of each under `sources`, and its secret. Out: Source.
Never: a library loaded that no source needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from collector.asked import Source
from collector.bins import SeriesKey

if TYPE_CHECKING:
    from stillwatch import config_sources as schema


@dataclass(frozen=True, slots=True)
class Asked:
    """A source as it is set. secret: its token, password or address; empty where it needs none."""

    name: str
    written: schema.AnySource
    secret: str = field(default="", repr=False)


def opened(asked: Sequence[Asked], interval: int) -> list[Source]:
    """interval: seconds. Nothing is asked yet. Raises ValueError with what is missing."""
    sources = []
    for one in asked:
        try:
            sources.append(OPENERS[one.written.kind](one, interval))
        except ValueError as error:
            raise ValueError(f"source {one.name}: {error}") from None
    return sources


def _promql(one: Asked, interval: int) -> Source:
    from collector.promql import Access, PromQL, Selection
    from stillwatch.config_sources import PromQL as Written

    written = one.written
    assert isinstance(written, Written)
    user = written.user or ""
    access = Access(
        url=written.url,
        token="" if user else one.secret,
        user=user,
        password=one.secret if user else "",
        headers={"X-Scope-OrgID": written.tenant} if written.tenant else {},
        timeout=float(written.timeout),
    )
    selections = [
        Selection(
            select=of.select,
            metric=of.metric or "",
            service=of.service or "",
            service_label=of.service_label,
            version_label=of.version_label,
            attributes=tuple(of.attributes),
        )
        for of in written.counters
    ]
    return PromQL(one.name, access, selections, interval, written.every, written.again, written.history)


def _sql(one: Asked, interval: int) -> Source:
    from collector.sql import Question, Sql
    from stillwatch.config_sources import Sql as Written

    written = one.written
    assert isinstance(written, Written)
    question = Question(
        written.query, written.service or "", written.metric or "", written.timeout, written.rows
    )
    return Sql(
        one.name,
        written.url or one.secret,
        question,
        interval,
        written.every,
        written.again,
        written.history,
    )


def _files(one: Asked, interval: int) -> Source:
    from collector.files import Files, Rule
    from stillwatch.config_sources import Files as Written

    written = one.written
    assert isinstance(written, Written)
    rules = tuple(
        Rule(rule.count, tuple((name, tuple(of)) for name, of in rule.where.items()), tuple(rule.by))
        for rule in written.counts
    )
    return Files(
        one.name,
        tuple(written.paths),
        written.format,
        written.service or "",
        rules,
        written.time or "",
        interval,
        written.every,
        written.series,
    )


def _cloudwatch(one: Asked, interval: int) -> Source:
    from stillwatch.config_sources import CloudWatch as Written

    try:
        from collector.cloudwatch import CloudWatch, Metric
    except ModuleNotFoundError:
        raise ValueError("boto3 is not installed: pip install 'stillwatch[cloudwatch]'") from None
    written = one.written
    assert isinstance(written, Written)
    metrics = [
        Metric(
            of.namespace,
            of.name,
            tuple(of.dimensions.items()),
            SeriesKey(of.service, of.metric or of.name, of.version, tuple(sorted(of.attributes.items()))),
        )
        for of in written.metrics
    ]
    return CloudWatch(
        one.name,
        written.region,
        metrics,
        written.endpoint or "",
        written.timeout,
        interval,
        written.every,
        written.again,
        written.history,
    )


OPENERS: dict[str, Callable[[Asked, int], Source]] = {
    "promql": _promql,
    "sql": _sql,
    "files": _files,
    "cloudwatch": _cloudwatch,
}
