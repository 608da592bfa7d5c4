"""What was deployed lately, told or seen, each once, and how far its version has come. Pure.

In: deployments as they were told, the engine's state. Out: plain values for JSON. Never: a word that nobody said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from collector import moments
from collector.deployments import Deployment
from detectors.same_deployment import one_of_each
from detectors.serving import Name, Rollout, Serving, rollout
from stillwatch.engine import State

WORDS = (
    "service",
    "version",
    "previous_version",
    "environment",
    "kind",
    "url",
    "revision",
    "author",
    "description",
)


def deployed_lately(told: Sequence[Deployment], state: State, width: int, since: int) -> list[dict[str, Any]]:
    """Newest first, from `since` on (epoch seconds). width: seconds of an interval.

    share: of the counts of its service that the version has now, full: when it had taken over; null where its
    counts do not say, or where another deployment of that version came later.
    """
    known = one_of_each([*told, *(d for d in state.deployments if d.seen)], width)
    newest = {(d.service, d.version): i for i, d in enumerate(known) if d.kind in ("deploy", "rollback")}
    found = []
    for i, d in enumerate(known):
        if d.time >= since:
            how = _rollout(state.serving, d, width) if newest.get((d.service, d.version)) == i else None
            found.append(_plain(d, how))
    return found[::-1]


def _rollout(serving: Serving, d: Deployment, width: int) -> Rollout | None:
    for name in (Name(d.service, d.environment, d.version), Name(d.service, "", d.version)):
        how = rollout(serving, name, width)
        if how is not None:
            return how
    return None


def _plain(d: Deployment, how: Rollout | None) -> dict[str, Any]:
    full = d.finished or (how.full if how is not None else 0)
    return {
        "id": d.id,
        "time": moments.rfc3339(d.time),
        **{name: getattr(d, name) for name in WORDS},
        "known": "seen" if d.seen else "told",
        "share": None if how is None else round(how.share, 3),
        "full": moments.rfc3339(full) if full else None,
    }
