"""The whole range on one line: where incidents lie and what was deployed when. Pure.

In: incidents, deployments, the range. Out: places in a drawing of 1000 units width.
Never: an incident too short to be seen, or hidden behind another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from alerts.incidents import Incident
from alerts.mrkdwn import fit
from collector.deployments import Deployment

WIDTH = 1000.0
LEAST = 6.0  # units of width: shorter incidents are drawn so long
LABEL = 26.0  # units that an incident's number takes
LANE = 26  # units of height
STEPS = (300, 900, 1800, 3600, 7200, 14400, 43200, 86400, 2 * 86400, 7 * 86400, 28 * 86400, 91 * 86400)


@dataclass(frozen=True, slots=True)
class Bar:
    """An incident: number in the report, severity, where it lies."""

    number: int
    severity: str
    open: bool
    x: float
    width: float
    lane: int
    said: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """bars; ticks: (x, kind, words) of deployments; times: (x, words) of the axis; height in units."""

    bars: list[Bar]
    ticks: list[tuple[float, str, str]]
    times: list[tuple[float, str]]
    lanes: int

    @property
    def height(self) -> int:
        return self.lanes * LANE


def timeline(
    incidents: Sequence[Incident], deployments: Sequence[Deployment], start: int, end: int
) -> Timeline:
    """incidents in the order of their numbers; start, end: epoch seconds."""
    span = max(end - start, 1)

    def place(moment: float) -> float:
        return round(min(max((moment - start) / span, 0.0), 1.0) * WIDTH, 1)

    bars: list[Bar] = []
    for number, incident in enumerate(incidents, 1):
        began = min(f.onset for f in incident.findings)
        over = max((f.recovered for f in incident.findings), default=0) or incident.resolved
        x = min(place(began), WIDTH - LEAST)
        width = max(place(over if incident.resolved else end) - x, LEAST)
        lane = 0
        while any(b.lane == lane and b.x < x + width + LABEL and x < b.x + b.width + LABEL for b in bars):
            lane += 1
        said = ", ".join(dict.fromkeys(fit(f.signal.service, 40) for f in incident.findings))
        bars.append(
            Bar(
                number,
                incident.severity,
                not incident.resolved,
                x,
                round(width, 1),
                lane,
                f"{number}: {said}",
            )
        )
    ticks: list[tuple[float, str, str]] = [
        (place(d.time), d.kind, f"{_moment(d.time)} {fit(d.service, 60)} {fit(d.version, 40)} ({d.kind})")
        for d in sorted(deployments, key=lambda d: (d.time, d.service))
        if start <= d.time <= end
    ]
    lanes = max((b.lane for b in bars), default=0) + 1
    return Timeline(bars, ticks, [(place(t), _tick(t, span)) for t in _times(start, end)], lanes)


def _times(start: int, end: int) -> list[int]:
    """At most nine round moments."""
    step = next(
        (s for s in STEPS if end - start <= 8 * s), STEPS[-1] * max(1, (end - start) // (6 * STEPS[-1]))
    )
    first = -(-start // step) * step
    return [t for t in range(first, end + 1, step) if (t - start) > 0.03 * (end - start)][:9]


def _tick(moment: int, span: int) -> str:
    then = datetime.fromtimestamp(moment, UTC)
    return f"{then.day} {then:%b}" if span > 2 * 86400 else f"{then:%H:%M}"


def _moment(moment: int) -> str:
    then = datetime.fromtimestamp(moment, UTC)
    return f"{then.day} {then:%b %H:%M}"
