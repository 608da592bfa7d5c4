"""Who is told: an incident becomes the channels that hear of it. Pure.

In: an incident, routes in order, where everything else goes. Out: channels, each once.
Never: an incident that nobody hears of while there is a default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alerts.incidents import Incident
from detectors.findings import Finding


@dataclass(frozen=True, slots=True)
class Route:
    """Where what matches goes. Every condition that is given must hold; an empty one always does.

    channel: of Slack's, or the address of a receiver.
    owner, service, kind: of one and the same finding. severity: of the incident. environment: of its
    suspects, for a count does not say where it was counted. go_on: later routes are asked as well.
    """

    channel: str
    owner: tuple[str, ...] = ()
    service: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    go_on: bool = False

    @property
    def asks_nothing(self) -> bool:
        """Whether everything matches."""
        return not (self.owner or self.service or self.kind or self.severity or self.environment)


def channels(incident: Incident, routes: Sequence[Route], default: str) -> tuple[str, ...]:
    """The channels of the first route that matches, and of later ones while routes say `go_on`.

    `default` hears of what no route matches.
    """
    found: list[str] = []
    for route in routes:
        if _matches(route, incident):
            found.append(route.channel)
            if not route.go_on:
                break
    return tuple(dict.fromkeys(found)) or (default,)


def _matches(route: Route, incident: Incident) -> bool:
    environments = {s.deployment.environment for s in incident.suspects}
    return (
        (not route.severity or incident.severity in route.severity)
        and (not route.environment or not environments.isdisjoint(route.environment))
        and any(_concerns(route, finding) for finding in incident.findings)
    )


def _concerns(route: Route, finding: Finding) -> bool:
    asked = (
        (route.owner, finding.signal.owner),
        (route.service, finding.signal.service),
        (route.kind, finding.kind),
    )
    return all(not wanted or value in wanted for wanted, value in asked)
