"""When each instance of a service began to serve a version, and when its failures began. Pure.

In: what the cells of a signal counted of late, interval by interval. Out: an Instance for each and its versions.
Never: a guess at what was before the counts that are remembered; an instance that was hardly asked anything.

Known where the signal is split by an attribute that names instances (NAMES). The begin of failures is the interval
from which on a greater share than usual explains the counts best: of all intervals the one with the greatest
likelihood ratio (Page 1954), of counts that scatter as Poisson's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from detectors.findings import Instance
from detectors.memory import Floats

# Names of OpenTelemetry's and Prometheus's, and what people call it.
NAMES = (
    "service.instance.id", "service_instance_id", "instance", "replica", "k8s.pod.name", "k8s.pod.uid", "pod",
    "container.id", "host.name", "host",
)  # fmt: skip
SURE = 4.0  # nats that say that an instance fails
ROLLS = 60  # intervals before an onset in which a deployment may have begun to roll over the instances
BEFORE = 5  # intervals that have to be known from before an instance began to serve
LEAST_SHARE = 1e-6  # that usually fails
ENOUGH = 3.0  # failures that an instance would have if it failed as the others do
MOST = 50  # instances that are told of; of more, those that serve most

Names = Sequence[tuple[tuple[str, str], ...]]


def attribute(split_by: Sequence[str]) -> str:
    """Of the attributes that a signal is split by, the one that names instances; empty where none does."""
    return next((name for name in split_by if name.lower() in NAMES), "")


def instances(
    names: Names,
    by: str,
    counted: Floats,
    out_of: Floats,
    usual: float,
    share: float,
    onset: int,
    version: str,
    times: Sequence[int],
) -> tuple[Instance, ...]:
    """Facts of each instance, by name and version.

    names: the attributes of each cell; by: the one that names instances; version: the one that names versions.
    counted, out_of: float64[cells, intervals], failures and what could fail, in order of time. usual, share: the
    part that usually fails, and that fails since the interval `onset`. times: epoch seconds at which each starts.
    """
    rows: dict[str, dict[str, list[int]]] = {}
    for i, name in enumerate(names):
        held = dict(name)
        if by in held:
            rows.setdefault(held[by], {}).setdefault(held.get(version, ""), []).append(i)
    whole = {one: [i for mine in versions.values() for i in mine] for one, versions in rows.items()}
    busiest = sorted(rows, key=lambda one: (-float(out_of[whole[one]].sum()), one))[:MOST]
    found = []
    for one in sorted(busiest) if len(rows) > 1 else ():
        x, n = counted[whole[one]].sum(axis=0), out_of[whole[one]].sum(axis=0)
        fails = _change(x, n, max(usual, LEAST_SHARE))
        for which, mine in sorted(rows[one].items()):
            served = np.flatnonzero(out_of[mine].sum(axis=0) > 0.0)
            if not len(served):
                continue
            began = int(served[0])
            if fails < 0 and n[max(began, onset) :].sum() * max(share - usual, 0.0) < ENOUGH:
                continue  # it was hardly asked anything since
            since = times[began] if began >= BEFORE else 0
            found.append(Instance(one, which, since, times[fails] if fails >= 0 else 0))
    return tuple(found)


def _change(x: Floats, n: Floats, usual: float) -> int:
    """The interval from which on more fails than usual, -1 where none does."""
    failed, of = np.cumsum(x[::-1])[::-1], np.cumsum(n[::-1])[::-1]
    more = (failed > usual * of) & (failed > 0.0)
    ratio = np.full(len(x), -math.inf)
    ratio[more] = failed[more] * np.log(failed[more] / (usual * of[more])) - failed[more] + usual * of[more]
    best = len(x) - 1 - int(np.argmax(ratio[::-1]))  # not those in which it was asked nothing
    return best if ratio[best] >= SURE else -1
