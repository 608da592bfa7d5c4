"""What the labels of a Prometheus series mean: which service counted what, and who did the counting. Pure.

In: labels, and what is known of metric names. Out: Meaning.
Never: a count made of a gauge, or of what only might be a counter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from collector.bins import SeriesKey
from collector.points import Stream

NAME = "__name__"
SERVICE = ("service_name", "service", "job")  # the first that is there names the service
VERSION = ("service_version", "version")
ENVIRONMENT = ("deployment_environment_name", "deployment_environment", "environment", "env")
# One of a pair of equal Prometheus servers; both say the same. The names are those of the operator and of Mimir.
TELLER = ("prometheus_replica", "__replica__")
# Of the one process among many; it counts into the same series as the others.
ONE_OF_MANY = (
    "job",
    "instance",
    "prometheus",
    "pod",
    "pod_name",
    "pod_ip",
    "pod_uid",
    "pod_template_hash",
    "container",
    "container_name",
    "container_id",
    "node",
    "nodename",
    "hostname",
    "service_instance_id",
    "exported_instance",
)
UP, START = "up", "process_start_time_seconds"
# A target that serves what another process counted says so by the name of its version, as
# prometheus/common's version collector has it.
EXPORTER = "_exporter_build_info"
EXPORTERS = ("kube_state_metrics_build_info", "cadvisor_version_info", "pushgateway_build_info")
_ONE_OF_MANY, _SENDER = frozenset(ONE_OF_MANY), frozenset((NAME, *TELLER))
Place = tuple[str, str]  # job, instance
BETWEEN = "\0"
SERVES = "exporter"
MOST = 50_000  # families, and targets, of which something is remembered


class Type(IntEnum):
    """Of a metric, with the numbers of the wire (the same in both protocols)."""

    UNKNOWN = 0
    COUNTER = 1
    GAUGE = 2
    HISTOGRAM = 3
    GAUGE_HISTOGRAM = 4
    SUMMARY = 5


class Role(IntEnum):
    """What a sample is to us."""

    NOT_NEEDED = 0
    COUNT = 1
    UP = 2  # a sign of life, as the two below
    START = 3
    EXPORTER = 4


class Meaning(NamedTuple):
    """role, and of all but NOT_NEEDED: the series, who counts, and by which of two equal servers it is told."""

    role: Role
    key: SeriesKey
    stream: Stream
    teller: str


class Lore:
    """What is known of metric names and targets beyond the labels at hand.

    types: of families, as metadata says. summed: families of which a sum or a bucket was seen, so that their
    `_count` is a count. targets: (job, instance) -> the labels of its `up`, one set for each such target, and the
    name of its process: every series scraped there has them all. exporters: (job, instance) that serve what other
    processes counted.
    """

    def __init__(self) -> None:
        self.types: dict[str, Type] = {}
        self.summed: dict[str, bool] = {}
        self.targets: dict[Place, list[tuple[dict[str, str], str]]] = {}
        self.exporters: dict[Place, bool] = {}

    def type(self, family: str, said: int) -> bool:
        """Metadata says a type; True where that is news."""
        if not 0 < said <= Type.SUMMARY or self.types.get(family) == said:
            return False
        self.types[family] = Type(said)
        _bound(self.types)
        return True

    def remember(self, process: str) -> None:
        """Know again what was known when this name was given to a process (see `process`)."""
        texts = process.split(BETWEEN)
        if texts[0] == SERVES and len(texts) == 3:
            self.exporters[texts[1], texts[2]] = True
        elif len(texts) % 2 == 0 and NAME not in texts[::2]:
            self._target(dict(zip(texts[::2], texts[1::2], strict=True)))

    def _target(self, labels: dict[str, str]) -> bool:
        """Remember the labels of a target; True where they are news."""
        known = self.targets.setdefault(where(labels), [])
        process = _text(sorted(labels.items()))
        if any(process == name for _, name in known):
            return False
        known.append((labels, process))
        del known[:-4]  # of as many Prometheus servers, each with external labels of its own
        _bound(self.targets)
        return True

    def look(self, labels: Mapping[str, str]) -> str | Place:
        """Learn what the sight of a series teaches; the family or place of which something is new, or ""."""
        name = labels.get(NAME, "")
        for ending in ("_sum", "_bucket"):
            family = name.removesuffix(ending)
            if family != name and family not in self.summed:
                self.summed[family] = True
                _bound(self.summed)
                return family
        place = where(labels)
        if name == UP:
            if self._target({label: value for label, value in labels.items() if label not in _SENDER}):
                return place
        elif _serves(name) and place not in self.exporters:
            self.exporters[place] = True
            _bound(self.exporters)
            return place
        return ""

    def process(self, labels: Mapping[str, str]) -> str:
        """The process that counts a series: its target, by the labels that its `up` has.

        Where no `up` was seen, and at an exporter, whose counters began before it, each series stands for itself:
        nothing can be said of it from others.
        """
        place = where(labels)
        if place not in self.exporters:
            for target, process in self.targets.get(place, ()):
                if target.items() <= labels.items():
                    return process
        return _text(sorted([pair for pair in labels.items() if pair[0] not in TELLER]))

    def counts(self, name: str, said: int = 0) -> bool:
        """Is a series of this name a running total of events? said: its own type, where the sender says it.

        By what is said of the type first; else `_total` is a counter, and `_count` is one where a sum or buckets
        of the same name were seen: gauges are called `_count` as well.
        """
        type_ = said or self.types.get(name, 0)
        if name.endswith("_count"):
            family = name.removesuffix("_count")
            type_of = said or self.types.get(family, 0)
            if type_of in (Type.HISTOGRAM, Type.SUMMARY) or type_ == Type.COUNTER:
                return True
            return not type_ and not type_of and family in self.summed
        if name.endswith(("_sum", "_bucket", "_created")):
            return False
        if name.endswith("_total"):
            return (type_ or self.types.get(name.removesuffix("_total"), 0)) in (Type.UNKNOWN, Type.COUNTER)
        return type_ == Type.COUNTER


def meaning(labels: Mapping[str, str], lore: Lore, said: int = 0, histogram: bool = False) -> Meaning:
    """What a series is to us. said: its type, where the sender says it; histogram: it is a native one.

    `service_name`, `service` or `job` names the service, `service_version` or `version` its version; what tells a
    process from its like (target, pod, container, node) names the stream; all other labels are attributes. A native
    histogram counts under its own name, a classic one under that of its `_count`.
    """
    name = labels[NAME]
    if histogram:
        role = Role.NOT_NEEDED if said == Type.GAUGE_HISTOGRAM else Role.COUNT
    elif name in (UP, START):
        role = Role.UP if name == UP else Role.START
    elif _serves(name):
        # Said of a process of that name, so that it is known after a restart of ours as well.
        return Meaning(Role.EXPORTER, NOTHING.key, Stream(BETWEEN.join((SERVES, *where(labels))), ""), "")
    elif "le" in labels or "quantile" in labels or not lore.counts(name, said):
        role = Role.NOT_NEEDED
    else:
        role = Role.COUNT
    if role == Role.NOT_NEEDED:
        return NOTHING
    service, version = _first(labels, SERVICE), _first(labels, VERSION)
    environment = _first(labels, ENVIRONMENT)
    attributes: list[tuple[str, str]] = []
    told_apart: list[tuple[str, str]] = []
    for pair in sorted(labels.items()):
        label, value = pair
        if label in _ONE_OF_MANY or label in (service, version):
            told_apart.append(pair)
        elif label == environment:
            attributes.append(("deployment.environment.name", value))
        elif value and label not in _SENDER:
            attributes.append(pair)
    if environment:
        attributes.sort()
    key = SeriesKey(labels.get(service, "unknown_service"), name, labels.get(version, ""), tuple(attributes))
    stream = Stream(lore.process(labels), _text(told_apart))
    return Meaning(role, key, stream, labels.get(_first(labels, TELLER), ""))


def _first(labels: Mapping[str, str], names: Iterable[str]) -> str:
    """The first of these labels that says something, or ""."""
    for name in names:
        if labels.get(name):
            return name
    return ""


def _serves(name: str) -> bool:
    return name.endswith(EXPORTER) or name in EXPORTERS


def where(labels: Mapping[str, str]) -> Place:
    """Where a series was scraped, as its Prometheus calls it; another may have a target of the same name."""
    return labels.get("job", ""), labels.get("instance", "")


def _text(pairs: Iterable[tuple[str, str]]) -> str:
    """Labels as one text; none of them holds what stands between them."""
    return BETWEEN.join([text for pair in pairs for text in pair])


def _bound(memory: dict[Any, Any]) -> None:
    """Forget the oldest rather than grow without end."""
    while len(memory) > MOST:
        del memory[next(iter(memory))]


NOTHING = Meaning(Role.NOT_NEEDED, SeriesKey("", ""), Stream("", ""), "")
