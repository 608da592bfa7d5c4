"""What counts, by resource, scope, metric and attributes: the series it belongs to, and the stream it is of. Pure.

In: attributes as (name, plain value), as a decoder reads them. Out: a Group of counters with one name, and numbers
in a catalogue.
Never: bytes of a request, a name without a bound.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from collector import moments
from collector.bins import SeriesKey, series_key
from collector.points import NANOS, Catalogue, Stream

ENTERED = "entered"  # attribute: when the events that a point counts had entered
ENVIRONMENT = "deployment.environment.name"
OLD_ENVIRONMENT = "deployment.environment"
LONGEST_NAME = 8192  # characters of all texts in the name of a series
REFUSALS = {-2: "entered is no time", -3: "name too long"}  # instead of a number in the catalogue

Pairs = Iterable[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which attributes make series; None = all that data points have.

    Named ones are looked for in the data point, then in its scope, then in its resource. services: the choice of
    single services, in place of `everywhere`. What makes no series still tells counters apart.
    """

    everywhere: Collection[str] | None = None
    services: Mapping[str, Collection[str]] = field(default_factory=dict)

    def of(self, service: str) -> Collection[str] | None:
        return self.services.get(service, self.everywhere)


@dataclass(frozen=True, slots=True)
class Resource:
    """instance: the whole of it as text, or a digest where that is long."""

    instance: str
    service: str
    version: str
    environment: str
    attributes: Mapping[str, str]

    @staticmethod
    def read(pairs: Pairs) -> Resource:
        said = _texts(pairs)
        return Resource(
            instance=_bounded(json.dumps(sorted(said.items()))),
            service=said.get("service.name") or "unknown_service",
            version=said.get("service.version", ""),
            environment=said.get(ENVIRONMENT) or said.get(OLD_ENVIRONMENT, ""),
            attributes=said,
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """text: name, version and attributes, which together tell scopes apart."""

    text: tuple[Any, ...]
    attributes: Mapping[str, str]

    @staticmethod
    def read(name: str, version: str, pairs: Pairs) -> Scope:
        said = _texts(pairs)
        return Scope((name, version, sorted(said.items())) if said else (name, version), said)


@dataclass(frozen=True, slots=True)
class Group:
    """The counters of one metric in one scope of one resource. known: their numbers, by attributes as they came;
    room: characters that are left for attributes."""

    resource: Resource
    scope: Scope
    metric: str
    stream: Stream
    room: int
    known: dict[Any, int]

    @staticmethod
    def of(resource: Resource, scope: Scope, metric: str, kind: str, unit: str) -> Group:
        told = [*scope.text[:2], kind, unit, *scope.text[2:]]
        stream = Stream(resource.instance, _bounded(json.dumps(told)))
        room = LONGEST_NAME - len(resource.service) - len(resource.version) - len(metric)
        return Group(resource, scope, metric, stream, room, {})

    def names(
        self,
        all_pairs: Sequence[Sequence[tuple[str, str]]],
        sizes: Sequence[int],
        choice: Choice,
        catalogue: Catalogue,
    ) -> list[int]:
        """The numbers of many counters (see `name`)."""
        service, version, environment = (
            self.resource.service,
            self.resource.version,
            self.resource.environment,
        )
        named = [dict(pairs) for pairs in all_pairs]
        plain = choice.of(service) is None and max(sizes) + len(ENVIRONMENT) + len(environment) <= self.room
        if not plain or not {ENTERED}.isdisjoint(chain.from_iterable(named)):
            return [self.name(pairs, n, choice, catalogue) for pairs, n in zip(all_pairs, sizes, strict=True)]
        if environment:
            for attributes in named:
                attributes.setdefault(ENVIRONMENT, environment)
        keys = [
            series_key((service, self.metric, version, tuple(sorted(attributes.items()))))
            for attributes in named
        ]
        return list(catalogue.add_all(keys, self.stream))

    def name(self, pairs: Iterable[tuple[str, str]], size: int, choice: Choice, catalogue: Catalogue) -> int:
        """The number of the counter with these attributes; below 0 where it cannot be one (see REFUSALS).

        size: bytes of the attributes as they came; what is short then is not measured again.
        """
        attributes, stream, entered = dict(pairs), self.stream, 0
        wanted = choice.of(self.resource.service)
        said = attributes.pop(ENTERED, "")
        if said:
            try:
                entered = int(moments.seconds(said)) * NANOS
            except ValueError:
                return -2
            # A counter of its own for each entry.
            stream = stream._replace(scope=f"{stream.scope} {entered}")
        if wanted is not None:
            attributes, rest = self._chosen(attributes, wanted)
            if rest:
                stream = stream._replace(scope=f"{stream.scope} {_bounded(json.dumps(rest))}")
        if self.resource.environment:
            attributes.setdefault(ENVIRONMENT, self.resource.environment)
        named = tuple(sorted(attributes.items()))
        whole = wanted is None and size + len(ENVIRONMENT) + len(self.resource.environment) <= self.room
        if not whole and sum([len(name) + len(value) for name, value in named]) > self.room:
            return -3
        key = SeriesKey(self.resource.service, self.metric, self.resource.version, named)
        return catalogue.add(key, stream, entered)

    def _chosen(
        self, attributes: Mapping[str, str], wanted: Collection[str]
    ) -> tuple[dict[str, str], list[tuple[str, str]]]:
        """The attributes that make the series, and those of the data point that do not."""
        chosen = {}
        for name in wanted:
            for holder in (attributes, self.scope.attributes, self.resource.attributes):
                if name in holder:
                    chosen[name] = holder[name]
                    break
        if ENVIRONMENT in attributes:
            chosen[ENVIRONMENT] = attributes[ENVIRONMENT]
        return chosen, sorted(pair for pair in attributes.items() if pair[0] not in chosen)


def text(value: Any) -> str:
    """An attribute's value as text; a whole number is the same whichever type a language sends it as."""
    return value if isinstance(value, str) else json.dumps(_alike(value), ensure_ascii=False)


def _alike(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_alike(one) for one in value]
    if isinstance(value, dict):
        return {key: _alike(one) for key, one in value.items()}
    return value


def _texts(pairs: Pairs) -> dict[str, str]:
    return {name: text(value) for name, value in pairs}


def _bounded(said: str) -> str:
    """What only tells one from another may be told by a digest, where it is long."""
    return said if len(said) <= LONGEST_NAME else "sha256:" + hashlib.sha256(said.encode()).hexdigest()
