"""Which deployment did it, or none. Pure.

In: findings of an incident, deployments known by now. Out: suspects with probabilities that include "none".
Never: the time of the alarm (only onsets count).
"""

from __future__ import annotations

from dataclasses import dataclass

from collector.deployments import Deployment


@dataclass(frozen=True, slots=True)
class Suspect:
    """One member of one release, how probably it did it, and why we think so (short sentences)."""

    deployment: Deployment
    probability: float
    evidence: tuple[str, ...] = ()
