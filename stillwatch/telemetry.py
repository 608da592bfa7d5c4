"""What is measured of us goes out by OTLP, to the receiver that the settings name.

In: where to, how often. Out: the instruments of this daemon, read by it.
Never: a wait for a receiver, but for a moment when we stop; a token in the log; a word that was said already.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from stillwatch.config import Telemetry
from stillwatch.own_metrics import OwnMetrics, us

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds for an answer, with all tries
LAST = 1.0  # seconds for the last words when we stop


@contextmanager
def sending(wanted: Telemetry, now: Callable[[], int]) -> Iterator[OwnMetrics]:
    """The instruments of this daemon, read by the receiver that is wanted as well."""
    logging.getLogger("opentelemetry").setLevel(
        logging.CRITICAL
    )  # it says each try anew; we say what changes
    reader = PeriodicExportingMetricReader(
        _Exporter(**_way(wanted, "metrics")), wanted.every * 1000, PATIENCE * 1000
    )
    tracing = TracerProvider(resource=us(), shutdown_on_exit=False)
    if wanted.traces:
        tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**_way(wanted, "traces"))))
    tracer = tracing.get_tracer("stillwatch") if wanted.traces else None
    own = OwnMetrics(now, [reader], tracer)
    try:
        yield own
    finally:
        # Both may wait for a receiver that does not answer for longer than they are told to.
        last = [Thread(target=end, daemon=True) for end in (lambda: own.shutdown(LAST), tracing.shutdown)]
        for thread in last:
            thread.start()
        for thread in last:
            thread.join(LAST)


def _way(wanted: Telemetry, what: str) -> dict[str, Any]:
    session = requests.Session()
    session.max_redirects = 0
    # A proxy of the environment would look for our own loopback on its machine.
    session.trust_env = urlsplit(wanted.url).hostname not in ("127.0.0.1", "localhost", "::1")
    return {
        "endpoint": f"{wanted.url.rstrip('/')}/v1/{what}",
        "headers": {"Authorization": f"Bearer {wanted.token}"} if wanted.token else {},
        "timeout": PATIENCE,
        "session": session,
    }


class _Exporter(OTLPMetricExporter):
    """Says when the receiver takes nothing any more, and when it does again."""

    _fails = False

    def export(self, *args: Any, **kwargs: Any) -> MetricExportResult:
        result = super().export(*args, **kwargs)
        fails = result is not MetricExportResult.SUCCESS
        if fails != self._fails:
            self._fails = fails
            if fails:
                log.error("telemetry: %s does not take our metrics; it is tried again", self._endpoint)
            else:
                log.info("telemetry: the receiver takes our metrics again")
        return result
