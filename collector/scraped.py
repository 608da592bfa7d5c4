"""What the labels of a Prometheus series mean: which service counted what, and who did the counting. Pure.

In: labels, and what is known of metric names. Out: Meaning.
Never: a count made of a gauge, or of what only might be a counter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

NAME = "__name__"
SERVICE = ("service_name", "service", "job")  # the first that is there names the service
VERSION = ("service_version", "version")
# What Prometheus 3 may send as it was named stands first.
ENVIRONMENT = (
    "deployment.environment.name",
    "deployment_environment_name",
    "deployment_environment",
    "environment",
    "env",
)
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
SENDER = frozenset((NAME, *TELLER))
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


class Lore:
    """What is known of metric names and targets beyond the labels at hand.

    types: of families, as metadata says. summed: families of which a sum or a bucket was seen, so that their
    `_count` is a count. targets: (job, instance) -> the labels of its `up`, one set for each such target, and the
    name of its process: every series scraped there has them all; of_targets: the names of all those labels.
    exporters: (job, instance) that serve what other processes counted.
    """

    def __init__(self) -> None:
        self.types: dict[str, Type] = {}
        self.summed: dict[str, bool] = {}
        self.targets: dict[Place, list[tuple[dict[str, str], str]]] = {}
        self.of_targets: dict[str, bool] = {}
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
        process = text_of(sorted(labels.items()))
        if any(process == name for _, name in known):
            return False
        known.append((labels, process))
        self.of_targets |= dict.fromkeys(labels, True)
        _bound(self.of_targets)
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
            if self._target({label: value for label, value in labels.items() if label not in SENDER}):
                return place
        elif serves(name) and place not in self.exporters:
            self.exporters[place] = True
            _bound(self.exporters)
            return place
        return ""

    def process(self, labels: Mapping[str, str]) -> str | None:
        """The process that counts a series: its target, by the labels that its `up` has, which are all in `labels`.

        None where no `up` was seen, and at an exporter, whose counters began before it: there each series stands
        for itself, and nothing can be said of it from others.
        """
        place = where(labels)
        if place not in self.exporters:
            for target, process in self.targets.get(place, ()):
                if target.items() <= labels.items():
                    return process
        return None

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

    def role(self, name: str, said: int = 0, native: bool = False, graded: bool = False) -> Role:
        """What a series of this name is to us. said: its type, where the sender says it; native: it is a native
        histogram, which counts under its own name; graded: it counts up to a bound (`le`), or is a quantile."""
        if native:
            return Role.NOT_NEEDED if said == Type.GAUGE_HISTOGRAM else Role.COUNT
        if name in (UP, START):
            return Role.UP if name == UP else Role.START
        if serves(name):
            return Role.EXPORTER
        return Role.COUNT if not graded and self.counts(name, said) else Role.NOT_NEEDED


def serves(name: str) -> bool:
    """Does a series of this name say that its target serves what others counted?"""
    return name.endswith(EXPORTER) or name in EXPORTERS


def where(labels: Mapping[str, str]) -> Place:
    """Where a series was scraped, as its Prometheus calls it; another may have a target of the same name."""
    return labels.get("job", ""), labels.get("instance", "")


def text_of(pairs: Iterable[tuple[str, str]]) -> str:
    """Labels as one text; none of them holds what stands between them."""
    return BETWEEN.join([text for pair in pairs for text in pair])


def _bound(memory: dict[Any, Any]) -> None:
    """Forget the oldest rather than grow without end."""
    while len(memory) > MOST:
        del memory[next(iter(memory))]
