"""What many Prometheus series mean at once: their labels are told apart by their names, and columns are read. Pure.

In: series with the same names of labels (`labels.Block`), and what is known of names and targets. Out: Meanings.
Never: a count made of a gauge, or of what only might be a counter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import repeat
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from collector.bins import SeriesKey, series_key
from collector.labels import Block, Head, Labels, Pair, Wholes, distinct
from collector.points import Stream
from collector.scraped import (
    BETWEEN,
    ENVIRONMENT,
    NAME,
    ONE_OF_MANY,
    SENDER,
    SERVES,
    SERVICE,
    TELLER,
    UP,
    VERSION,
    Lore,
    Place,
    Role,
    serves,
    text_of,
    where,
)

MOST_LABELS = 100


class Who(NamedTuple):
    """Who counts, by which of two equal servers it is told, and where it was scraped."""

    stream: Stream
    teller: str
    place: Place


class Meanings(NamedTuple):
    """What series of one role are, all but NOT_NEEDED.

    place: int64[n], as in Block; keys: of each, the series that it counts into; who: int64[n], which of `tellers`.
    """

    role: Role
    place: Wholes
    keys: Sequence[SeriesKey]
    who: Wholes
    tellers: Sequence[Who]


class Layout(NamedTuple):
    """In which columns stands what, -1 = in none. why: no series can have such labels.

    environment is one of `attributes`, which stand in the order of the names that they get; apart: what tells a
    process from its like; whose: what says of whom a series is, if more is known of it; all: without TELLER.
    """

    why: str
    name: int
    service: int
    version: int
    environment: int
    teller: int
    graded: bool
    attributes: tuple[int, ...]
    apart: tuple[int, ...]
    whose: tuple[int, ...]
    all: tuple[int, ...]

    @staticmethod
    def of(heads: Sequence[Head], of_targets: Collection[str]) -> Layout:
        """The layout of series with these labels.

        `service_name`, `service` or `job` names the service, `service_version` or `version` its version; what tells
        a process from its like (target, pod, container, node) names the stream; all other labels are attributes.
        of_targets: names of labels that targets have.
        """
        why = next((head.why for head in heads if head.why), "")
        at = {head.name: i for i, head in enumerate(heads) if not head.empty}
        if not why and len(heads) > MOST_LABELS:
            why = "too long labels"
        if not why and NAME not in at:
            why = "no metric name"
        if not why and len({head.name for head in heads}) < len(heads):
            why = "broken labels"
        service, version, environment, teller = (
            next((name for name in names if name in at), "")
            for names in (SERVICE, VERSION, ENVIRONMENT, TELLER)
        )
        apart = sorted(name for name in at if name in ONE_OF_MANY or name in (service, version))
        whose = {*apart, *(name for name in at if name in of_targets), *([teller] if teller else [])}
        called = {(ENVIRONMENT[0] if name == environment else name): i for name, i in at.items()}
        return Layout(
            why,
            at.get(NAME, -1),
            at.get(service, -1),
            at.get(version, -1),
            at.get(environment, -1),
            at.get(teller, -1),
            "le" in at or "quantile" in at,
            tuple(called[name] for name in sorted({*called} - {*apart} - SENDER)),
            tuple(at[name] for name in apart),
            tuple(sorted(at[name] for name in whose)),
            tuple(at[name] for name in sorted(at) if name not in TELLER),
        )


def why_not(block: Block) -> str:
    """Why there can be no series with such labels, "" where there can be."""
    return Layout.of(block.heads, ()).why


def looks(block: Block, labels: Labels) -> Iterator[dict[str, str]]:
    """The labels of those series of a block the sight of which may teach something (see `Lore.look`)."""
    names = block.label[:, Layout.of(block.heads, ()).name].tolist()
    first = dict(zip(reversed(names), range(len(names) - 1, -1, -1), strict=True))
    texts = {name: labels.pairs[name][1] for name in first}
    each = {name for name, text in texts.items() if text == UP or serves(text)}
    places = (
        {*first.values(), *(i for i, name in enumerate(names) if name in each)} if each else first.values()
    )
    for i in sorted(places):
        yield _named(labels.column(block.label[i]))


def counted(block: Block, labels: Labels) -> Iterator[tuple[int, str]]:
    """Which series of a block may count a family of histograms or summaries, and which family."""
    names = block.label[:, Layout.of(block.heads, ()).name].tolist()
    texts = {name: labels.pairs[name][1] for name in set(names)}
    families = {name: text.removesuffix("_count") for name, text in texts.items() if text.endswith("_count")}
    if families:
        yield from ((i, families[name]) for i, name in enumerate(names) if name in families)


def meanings(block: Block, labels: Labels, lore: Lore, said: int, native: bool) -> Iterator[Meanings]:
    """What the series of a block mean that are needed. said: their type, where the sender says it; native: they are
    native histograms."""
    layout = Layout.of(block.heads, lore.of_targets)
    names = block.label[:, layout.name]
    roles = {
        name: lore.role(labels.pairs[name][1], said, native, layout.graded) for name in set(names.tolist())
    }
    for role in sorted(set(roles.values()) - {Role.NOT_NEEDED}):
        its = [name for name, one in roles.items() if one == role]
        rows = np.flatnonzero(np.isin(names, its)) if len(its) < len(roles) else np.arange(len(names))
        label = block.label[rows]
        who, tellers = _tellers(label, layout, labels, lore, role)
        yield Meanings(role, block.place[rows], _keys(label, layout, labels), who, tellers)


def _keys(label: Wholes, layout: Layout, labels: Labels) -> list[SeriesKey]:
    def values(at: int, without: str) -> Iterable[str]:
        return map(itemgetter(1), labels.column(label[:, at])) if at >= 0 else repeat(without)

    columns = [labels.column(label[:, at]) for at in layout.attributes]
    if layout.environment >= 0:
        at = layout.attributes.index(layout.environment)
        columns[at] = [(ENVIRONMENT[0], value) for _, value in columns[at]]
    attributes: Iterable[tuple[Pair, ...]] = zip(*columns, strict=True) if columns else repeat(())
    parts = (values(layout.service, "unknown_service"), values(layout.name, ""), values(layout.version, ""))
    return list(map(series_key, zip(*parts, attributes)))  # noqa: B905  those without end are not as long


def _tellers(
    label: Wholes, layout: Layout, labels: Labels, lore: Lore, role: Role
) -> tuple[Wholes, list[Who]]:
    """As in Meanings."""
    first, who = distinct(label[:, layout.whose])
    tellers: list[Who] = []
    alone = np.zeros(len(first), dtype=np.bool_)
    for i, row in enumerate(first.tolist()):
        one = label[row]
        named = _named(labels.column(one[list(layout.whose)]))
        place, teller = where(named), labels.pairs[one[layout.teller]][1] if layout.teller >= 0 else ""
        if role == Role.EXPORTER:
            # Said of a process of that name, so that it is known after a restart of ours as well.
            tellers.append(Who(Stream(BETWEEN.join((SERVES, *place)), ""), "", place))
            continue
        process = lore.process(named)
        scope = text_of(labels.column(one[list(layout.apart)]))
        tellers.append(Who(Stream(process or "", scope), teller, place))
        alone[i] = process is None
    rows = np.flatnonzero(alone[who])
    if len(rows):
        columns = [labels.column(label[rows, at]) for at in layout.all]
        whole = map(text_of, zip(*columns, strict=True))
        more = [
            tellers[i]._replace(stream=Stream(text, tellers[i].stream.scope))
            for i, text in zip(who[rows].tolist(), whole, strict=True)
        ]
        who[rows] = np.arange(len(tellers), len(tellers) + len(more))
        tellers += more
    return who, tellers


def _named(pairs: Iterable[Pair]) -> dict[str, str]:
    """Labels by name, without those that say nothing."""
    return {name: value for name, value in pairs if value}
