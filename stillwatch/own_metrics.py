"""What Stillwatch measures of itself: one table of instruments, named as OpenTelemetry names things.

In: how the watch, the outbox and the sources stand, asked when somebody reads; what a tick's stages took.
Out: the text of /metrics; the same to readers of OTLP (see telemetry.py).
Never: a look at a model or a lock held while a tick or a sender waits; a reading that fails because the store does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.trace import NoOpTracer, Tracer
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from alerts.messages import Message
from alerts.outbox import Receipt, SendFailed
from alerts.places import Sender
from stillwatch.live import Figures

STAGES = ("close", "advance", "word", "snapshot", "commit")  # of a tick, in order
LATE = "late"  # the reason under which Figures counts what came after its interval was judged
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds
PAGE = os.sysconf("SC_PAGE_SIZE")

Values = Iterable[tuple[float, dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Standing:
    """All that is asked for at one reading. Times: epoch seconds, 0 = never.

    waiting: since when each delivery that is due waits. answered: of each source, when it last did.
    failing: 1 of each that does not. beats: of the heart, by outcome.
    reloads: of the settings, by outcome; refused: what is in their file is not in force.
    """

    now: int
    watch: Figures = field(default_factory=Figures)
    waiting: Sequence[int] = ()
    given_up: int = 0
    answered: Mapping[str, int] = field(default_factory=dict)
    failing: Mapping[str, int] = field(default_factory=dict)
    beats: Mapping[str, int] = field(default_factory=dict)
    reloads: Mapping[str, int] = field(default_factory=dict)
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Instrument:
    """One line of the table. labels: its attributes. read: None where it is counted as things happen."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    means: str
    labels: tuple[str, ...] = ()
    read: Callable[[Standing], Values] | None = None


def _plain(of: Callable[[Standing], float]) -> Callable[[Standing], Values]:
    return lambda standing: [(of(standing), {})]


def _by(label: str, of: Callable[[Standing], Mapping[str, float]]) -> Callable[[Standing], Values]:
    return lambda standing: [(value, {label: name}) for name, value in sorted(of(standing).items())]


def _without_late(standing: Standing) -> Mapping[str, float]:
    return {reason: count for reason, count in standing.watch.refused.items() if reason != LATE}


def _ages(standing: Standing) -> Mapping[str, float]:
    return {name: standing.now - at for name, at in standing.answered.items() if at}


def _memory(standing: Standing) -> float:
    del standing
    return float(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def _processor(standing: Standing) -> Values:
    del standing
    spent = os.times()
    return [(spent.user, {"cpu.mode": "user"}), (spent.system, {"cpu.mode": "system"})]


INSTRUMENTS = (
    Instrument("stillwatch.points.taken", "counter", "{point}", "data points that senders were told are kept",
        read=_plain(lambda of: of.watch.taken)),
    Instrument("stillwatch.points.refused", "counter", "{point}", "data points refused, or left out in part",
        ("reason",), _by("reason", _without_late)),
    Instrument("stillwatch.points.late", "counter", "{point}", "counts that came after their interval was judged",
        read=_plain(lambda of: of.watch.refused.get(LATE, 0))),
    Instrument("stillwatch.series", "gauge", "{series}", "series that are known",
        read=_plain(lambda of: of.watch.series)),
    Instrument("stillwatch.tick.duration", "histogram", "s", "a tick that had something to do"),
    Instrument("stillwatch.tick.stage.duration", "histogram", "s",
        f"a stage of it: {', '.join(STAGES)}", ("stage",)),
    Instrument("stillwatch.tick.lag", "gauge", "s", "by how much the closing of an interval is overdue",
        read=_plain(lambda of: of.watch.lag)),
    Instrument("stillwatch.watermark.age", "gauge", "s", "since the start of the interval that is open",
        read=_plain(lambda of: of.now - of.watch.watermark)),
    Instrument("stillwatch.intervals.judged", "counter", "{interval}", "intervals that were judged",
        read=_plain(lambda of: of.watch.intervals)),
    Instrument("stillwatch.evidence.judged", "counter", "{signal}", "signals judged, in each interval",
        read=_plain(lambda of: of.watch.evidence)),
    Instrument("stillwatch.signals.judged", "gauge", "{signal}", "signals that have learnt what they need",
        read=_plain(lambda of: of.watch.judged)),
    Instrument("stillwatch.signals.learning", "gauge", "{signal}", "signals that still learn",
        read=_plain(lambda of: of.watch.learning)),
    Instrument("stillwatch.blind.duration", "counter", "s", "intervals that could not be judged when they closed",
        read=_plain(lambda of: of.watch.blind)),
    Instrument("stillwatch.store.usable", "gauge", "", "1, or 0 where the database cannot be used",
        read=_plain(lambda of: float(not of.watch.trouble))),
    Instrument("stillwatch.snapshot.size", "gauge", "By", "the newest snapshot",
        read=_plain(lambda of: of.watch.snapshot_bytes)),
    Instrument("stillwatch.deliveries", "counter", "{try}", "messages sent, and tries that failed",
        ("place", "outcome")),
    Instrument("stillwatch.outbox.waiting", "gauge", "{message}", "messages that are due and not delivered yet",
        read=_plain(lambda of: len(of.waiting))),
    Instrument("stillwatch.outbox.oldest.age", "gauge", "s", "since when the oldest of them waits",
        read=_plain(lambda of: of.now - min(of.waiting, default=of.now))),
    Instrument("stillwatch.outbox.given_up", "gauge", "{message}", "messages that were given up, ever",
        read=_plain(lambda of: of.given_up)),
    Instrument("stillwatch.source.answer.age", "gauge", "s", "since a source that is asked last answered",
        ("source",), _by("source", _ages)),
    Instrument("stillwatch.source.failing", "gauge", "", "1 where its last answer was an error, else 0",
        ("source",), _by("source", lambda of: of.failing)),
    Instrument("stillwatch.heartbeats", "counter", "{ping}", "pings to the watcher outside, and those withheld",
        ("outcome",), _by("outcome", lambda of: of.beats)),
    Instrument("stillwatch.settings.reloads", "counter", "{reload}", "new settings, taken or refused",
        ("outcome",), _by("outcome", lambda of: of.reloads)),
    Instrument("stillwatch.settings.refused", "gauge", "", "1 where what is in the file is not in force, else 0",
        read=_plain(lambda of: float(of.refused))),
    Instrument("process.memory.usage", "gauge", "By", "physical memory of the daemon",
        read=_plain(_memory)),
    Instrument("process.cpu.time", "counter", "s", "processor time of the daemon", ("cpu.mode",), _processor),
)  # fmt: skip


def us() -> Resource:
    """Who measured it."""
    return Resource.create({SERVICE_NAME: "stillwatch", SERVICE_VERSION: version("stillwatch")})


class OwnMetrics:
    """The instruments of one daemon. look: how it stands now; is asked at most once a second.

    now: epoch seconds. readers: of OTLP, beside the one behind /metrics.
    """

    def __init__(
        self,
        now: Callable[[], int],
        readers: Sequence[MetricReader] = (),
        tracer: Tracer | None = None,
    ) -> None:
        self._now = now
        self._look: Callable[[], Standing] | None = None
        self._seen = Standing(0)
        self._registry = CollectorRegistry()
        self._tracer = tracer or NoOpTracer()
        behind = PrometheusMetricReader(scope_info_enabled=False, registry=self._registry)
        self._provider = MeterProvider((behind, *readers), resource=us(), shutdown_on_exit=False)
        meter = self._provider.get_meter("stillwatch")
        for one in INSTRUMENTS:
            if one.kind == "histogram":
                made = meter.create_histogram(
                    one.name, one.unit, one.means, explicit_bucket_boundaries_advisory=BOUNDS
                )
                if one.labels:
                    self._stages = made
                else:
                    self._ticks = made
            elif one.read is None:
                self._deliveries = meter.create_counter(one.name, one.unit, one.means)
            elif one.kind == "counter":
                meter.create_observable_counter(one.name, [self._observe(one.read)], one.unit, one.means)
            else:
                meter.create_observable_gauge(one.name, [self._observe(one.read)], one.unit, one.means)

    def watch(self, look: Callable[[], Standing]) -> None:
        """From now on this says how the daemon stands."""
        self._look = look

    def text(self) -> tuple[bytes, str]:
        """All of it as Prometheus reads it, and the Content-Type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures a tick, or a stage of it; a span of a trace, where somebody wants traces."""
        begun = time.perf_counter()
        with self._tracer.start_as_current_span(name):
            try:
                yield
            finally:
                took = time.perf_counter() - begun
                if name == "tick":
                    self._ticks.record(took)
                else:
                    self._stages.record(took, {"stage": name})

    def counting(self, sender: Sender, place: str, told: Callable[[str], object] | None = None) -> Sender:
        """The same place to tell, with its outcomes counted. told: hears of each as well."""

        def count(outcome: str) -> None:
            self._deliveries.add(1, {"place": place, "outcome": outcome})
            if told is not None:
                told(outcome)

        return _Counting(sender, count)

    def shutdown(self, seconds: float) -> None:
        """Say the last, as far as there is time."""
        self._provider.shutdown(seconds * 1000)

    def _observe(self, read: Callable[[Standing], Values]) -> Callable[[CallbackOptions], list[Observation]]:
        def observe(options: CallbackOptions) -> list[Observation]:
            del options
            standing = self._standing()
            return (
                [] if standing is None else [Observation(value, labels) for value, labels in read(standing)]
            )

        return observe

    def _standing(self) -> Standing | None:
        """One look for all instruments of a reading."""
        if self._look is None:
            return None
        if self._seen.now != self._now():
            self._seen = self._look()
        return self._seen


class _Counting:
    def __init__(self, sender: Sender, count: Callable[[str], None]) -> None:
        self._sender = sender
        self._count = count

    def send(
        self,
        message: Message,
        *,
        edits: Receipt | None = None,
        thread: Receipt | None = None,
        seek_since: int | None = None,
    ) -> Receipt:
        try:
            receipt = self._sender.send(message, edits=edits, thread=thread, seek_since=seek_since)
        except SendFailed as failure:
            self._count(failure.outcome)
            raise
        self._count("sent")
        return receipt
