"""When is a fault likelier than usual: just after a deployment of the service. Pure.

In: deployments known by then. Out: which charts are suspicious in which intervals, and of which release.
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
from detectors.memory import Wholes
from detectors.plan import Plan

AFTER = 3600  # seconds in which a deployment is suspicious
EASED, EASED_JOINING = 2.0, 6.0  # nats


class Window(NamedTuple):
    """Intervals first..last-1 of a block, in which the charts of a member are eased. release: a number for it."""

    first: int
    last: int
    charts: Wholes
    release: int


def suspicious(plan: Plan, bins: Bins, deployments: Sequence[Deployment]) -> list[Window]:
    """The windows of `bins` in which a deployment is recent, and whom it concerns; the earliest one first."""
    found: list[Window] = []
    if not deployments:
        return found
    ends = bins.start + bins.width * np.arange(1, len(bins) + 1)
    service_of = [plan.signals[f].service for f in plan.family]
    waits = [bins.width * wait for wait in np.unique(plan.waits).tolist()]
    waited = bins.width * plan.waits[plan.family]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(d.id for d in deployments))}
    for d in sorted(deployments, key=lambda d: (d.time, d.id, d.service)):
        for wait in waits:
            first = int(np.searchsorted(np.minimum(bins.closed - d.known, ends - wait - d.time - 1), 0))
            last = int(np.searchsorted(ends - wait, d.time + AFTER, side="right"))
            if first < last:
                charts = [c for c, s in enumerate(service_of) if s == d.service and waited[c] == wait]
                found.append(Window(first, last, np.array(charts, dtype=np.int64), numbers[d.id]))
    return found


def releases(windows: Sequence[Window], at: int, charts: int) -> Wholes:
    """int64[charts]: of which release a chart is a recent member in interval `at`; -1 = of none."""
    release = np.full(charts, -1, dtype=np.int64)
    for window in windows:  # the latest one last
        if window.first <= at < window.last:
            release[window.charts] = window.release
    return release
