"""How grave a fault is: by what it does to people, not by how surprising it is. Pure.

In: a finding, what earlier faults of its service were like, deployments. Out: a severity, and why it is graver than
the numbers alone say.
Never: the evidence for the fault; a clock (what lasts, lasts in intervals in which it was seen to fail).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from alerts.blips import Blips, habit, is_usual, lasted, share_of, usual_of
from collector.deployments import Deployment
from detectors.findings import Finding, FindingKind

Severity = Literal["critical", "warning", "info"]
RANKS: tuple[Severity, ...] = ("info", "warning", "critical")

CRITICAL_SHARE, CRITICAL_LEAST = (
    0.05,
    10.0,
)  # a share, and events: a handful wakes nobody before it has lasted
CRITICAL_LOSS = 1000.0  # events that are gone
CRITICAL_FAILED = 10_000.0  # events that failed: some are tried again
# What is small and lasts is worth to wake somebody for from such a share on, or from so many events; or from so few
# where they are all of what an objective of 99.9 % leaves to fail.
WORTH_SHARE, WORTH_EVENTS = 0.01, 1000.0
SPENT_SHARE, SPENT_EVENTS = 0.001, 50.0
TIMES = 3  # as long as the service's blips last, it is none
LEAST_LASTING = 600  # seconds, however short its blips are
UNKNOWN_LASTING = 900  # seconds, where too few are known
NOTICE = 300  # seconds since it was told: who looked at once could act on it


@dataclass(frozen=True, slots=True)
class Lasting:
    """It outlasts the blips of its service, and is graver for it.

    after: seconds for which it has failed. Of the last `of` blips `ended` were over within `within` seconds; of 0:
    too few are known. deployed: those at deployments are meant.
    """

    service: str
    signal: str
    kind: FindingKind
    after: int
    within: int = 0
    ended: int = 0
    of: int = 0
    deployed: bool = False


def severity_of(finding: Finding) -> Severity:
    """By the share that fails and by what is lost."""
    if finding.young:
        return "info"
    if share_of(finding) >= CRITICAL_SHARE and finding.lost >= CRITICAL_LEAST:
        return "critical"
    gone = finding.kind in ("data_loss", "no_data")
    return "critical" if finding.lost >= (CRITICAL_LOSS if gone else CRITICAL_FAILED) else "warning"


def weighed(
    finding: Finding, blips: Blips, deployments: Sequence[Deployment], width: int, told: int
) -> tuple[Severity, Lasting | None]:
    """The severity by all that is known: what is no more than the usual blip at a deployment is `info`; what is
    small and outlasts the blips of its service is a step graver.

    deployments: those known by now. width: seconds of an interval. told: when the incident was opened.
    """
    plain = severity_of(finding)
    if finding.young:
        return plain, None
    why: Lasting | None = None
    usual = habit(blips, finding, deployments, width) if blips.of else None
    if usual is not None:
        if is_usual(finding, usual):
            return "info", None
        began, known_by = usual.deployment.time, usual.usual
        if lasted(finding, began) > known_by.within:
            why = _lasting(finding, known_by.within, known_by.ended, known_by.of, began)
    if plain == "critical" or finding.phase == "cleared" or not _is_worth_it(finding):
        return plain, why
    known = usual_of(blips, finding.signal.service, finding.onset)
    limit = max(TIMES * known.within, LEAST_LASTING) if known is not None else UNKNOWN_LASTING
    if lasted(finding) <= limit or finding.seen - told < NOTICE:
        return plain, why
    return "critical", (
        _lasting(finding, known.within, known.ended, known.of) if known is not None else _lasting(finding)
    )


def _lasting(finding: Finding, within: int = 0, ended: int = 0, of: int = 0, deployed: int = 0) -> Lasting:
    signal, after = finding.signal, lasted(finding, deployed)
    return Lasting(signal.service, signal.name, finding.kind, after, within, ended, of, deployed > 0)


def _is_worth_it(finding: Finding) -> bool:
    share, lost = share_of(finding), finding.lost
    spent = share >= SPENT_SHARE and lost >= SPENT_EVENTS
    return spent or share >= WORTH_SHARE or lost >= WORTH_EVENTS
