"""Incidents: what belongs together, and what of it is news. Pure.

In: findings of one closed interval, the deployments known by then. Out: events (opened, updated, resolved).
Never: a clock, a database, a word for people (see messages.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from alerts.suspects import Suspect
from collector.deployments import Deployment
from detectors.findings import Finding

Severity = Literal["critical", "warning", "info"]
EventName = Literal["opened", "updated", "resolved"]
# reasons of `resolved` are fixed by the format; reasons of `updated` say what changed
Reason = Literal[
    "", "joined", "worse", "suspect", "recovering", "grew",
    "recovered", "rollback", "late_data", "expired", "operator",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that is wrong, as it is known now.

    id: stable, made from the first signal and its onset. opened: close of the interval that opened it.
    findings: one per signal (the latest word on each; cleared ones stay until all is over).
    suspects: most likely first; with no_deployment their probabilities sum to 1.
    rollbacks: deployments that put a suspect back. resolved: 0 while open, else the close at which it ended.
    told: lost events at the last event, to know when it has grown enough to say so.
    """

    id: str
    opened: int
    severity: Severity
    findings: tuple[Finding, ...]
    suspects: tuple[Suspect, ...]
    no_deployment: float
    rollbacks: tuple[Deployment, ...] = ()
    resolved: int = 0
    told: float = 0.0


@dataclass(frozen=True, slots=True)
class Event:
    """News: a line of alerts.jsonl and a reason to write a message. number: 1, 2, 3 … within the incident."""

    time: int
    event: EventName
    reason: Reason
    incident: Incident
    number: int = 1
