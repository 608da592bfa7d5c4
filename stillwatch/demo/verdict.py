"""Did Stillwatch see what happened? Its alerts held against a fault that the demo made. Pure.

In: alert lines with the moments at which they were seen. Out: per faulty service, what was said about it.
Never: the truth about the fault itself (see truth.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

EARLY = 60  # seconds by which an estimated onset may lie before the deployment and still mean this fault


@dataclass(frozen=True, slots=True)
class Alert:
    """A line of alerts.jsonl, parsed, and when it was seen (epoch seconds)."""

    seen: int
    line: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """A member of a release that does harm. deployed: when it began to serve (epoch seconds)."""

    service: str
    version: str
    release: str
    deployed: int


@dataclass(frozen=True, slots=True)
class Told:
    """What was said about a fault. alerted, resolved: when that was seen, 0 = never (epoch seconds).

    blamed: the release that most of the probability lies on, blame: how much; member: the probability of this
    very member. signals: the latest word on each signal of the service.
    """

    alerted: int = 0
    resolved: int = 0
    reason: str = ""
    blamed: str = ""
    blame: float = 0.0
    member: float = 0.0
    signals: tuple[Mapping[str, Any], ...] = ()

    def rightly(self, fault: Fault) -> bool:
        """The right release, and the member in it that did this."""
        return self.blamed == fault.release and self.blame >= 0.5 and self.member > 0.0


def told(alerts: Iterable[Alert], fault: Fault) -> Told:
    """What was said about `fault` in the first incident that names its service, so far."""
    incident = alerted = None
    last: Alert | None = None
    for alert in alerts:
        ours = _signals(alert.line, fault)
        if incident is None and ours:
            incident, alerted = alert.line["incident"], alert.seen
        if alert.line["incident"] == incident:
            last = alert
    if last is None or alerted is None:
        return Told()
    blamed, blame = _release(last.line["suspects"])
    member = sum(
        s["probability"]
        for s in last.line["suspects"]
        if s["deployment"] == fault.release and s["service"] == fault.service
    )
    over = last.line["event"] == "resolved"
    return Told(
        alerted,
        last.seen if over else 0,
        last.line.get("reason", "") if over else "",
        blamed,
        blame,
        member,
        tuple(_signals(last.line, fault)),
    )


def _signals(line: Mapping[str, Any], fault: Fault) -> list[Mapping[str, Any]]:
    return [
        signal
        for signal in line["signals"]
        if signal["service"] == fault.service
        and datetime.fromisoformat(signal["onset"]).timestamp() >= fault.deployed - EARLY
    ]


def _release(suspects: Sequence[Mapping[str, Any]]) -> tuple[str, float]:
    shares: dict[str, float] = {}
    for suspect in suspects:
        shares[suspect["deployment"]] = shares.get(suspect["deployment"], 0.0) + suspect["probability"]
    return max(shares.items(), key=lambda share: share[1], default=("", 0.0))
