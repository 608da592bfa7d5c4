"""When is a fault likelier than usual: just after a deployment of the service. Pure.

In: deployments known by then. Out: by how much less evidence is enough, per chart and interval.
Never: a deployment before it was known.

The evidence that is enough is the log odds against a fault. Of a hundred deployments some two do harm, most of
them at once (alerts/suspects.py), so that in the hour after one a fault of that service is many times as likely
as at other times: 2 nats at least. While another member of the same release stands raised, a second finding
adds no false alert to the first, but joins it: 6 nats. Deployments fill a few hours of a week, so that the
budget pays little for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from collector.bins import Bins
from collector.deployments import Deployment
from detectors.memory import Floats, Wholes
from detectors.plan import Plan

AFTER = 3600  # seconds in which a deployment is suspicious
EASED, EASED_JOINING = 2.0, 6.0  # nats


class Window(NamedTuple):
    """Intervals first..last-1 of a block, in which the charts of a member are eased; mates: of its release."""

    first: int
    last: int
    charts: Wholes
    mates: Wholes


def suspicious(plan: Plan, bins: Bins, deployments: Sequence[Deployment]) -> list[Window]:
    """The windows of `bins` in which a deployment is recent, and whom it concerns."""
    found: list[Window] = []
    ends = bins.start + bins.width * np.arange(1, len(bins) + 1)
    service_of = [plan.signals[f].service for f in plan.family]
    for d in deployments:
        first = int(np.searchsorted(np.minimum(bins.closed - d.known, ends - d.time - 1), 0))
        last = int(np.searchsorted(ends, d.time + AFTER, side="right"))
        if first >= last:
            continue
        release = {m.service for m in deployments if m.id == d.id and m.service != d.service}
        charts = [c for c, s in enumerate(service_of) if s == d.service]
        mates = [c for c, s in enumerate(service_of) if s in release]
        found.append(Window(first, last, np.array(charts, dtype=np.int64), np.array(mates, dtype=np.int64)))
    return found


def ease(windows: Sequence[Window], at: int, charts: int, raised: Wholes) -> Floats:
    """float64[charts]: by how many nats less is enough in interval `at`, with these charts raised before it."""
    eased = np.zeros(charts)
    for window in windows:
        if window.first <= at < window.last:
            joining = bool(raised[window.mates].any()) or bool(raised[window.charts].any())
            eased[window.charts] = np.maximum(eased[window.charts], EASED_JOINING if joining else EASED)
    return eased
