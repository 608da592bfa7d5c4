"""Who is told: an incident becomes the channels that hear of it. Pure.

In: an incident, routes in order, where everything else goes. Out: channels, each once.
Never: an incident that nobody hears of while there is a default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from alerts.incidents import Incident


@dataclass(frozen=True, slots=True)
class Step:
    """The next target: told `after` seconds in which nobody has said that they look at it."""

    channel: str
    after: int


@dataclass(frozen=True, slots=True)
class Route:
    """Where what matches goes. Every condition that is given must hold; an empty one always does.

    channel: of Slack's, or the address of a receiver.
    owner, service, kind: of one and the same finding. severity: of the incident. environment: of its
    suspects, for a count does not say where it was counted. go_on: later routes are asked as well.
    wait, interval: seconds, see timing.hold. repeat: seconds between reminders, 0 = none.
    quiet: minutes of the day, from and to. digest: minute of the day.
    """

    channel: str
    owner: tuple[str, ...] = ()
    service: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    go_on: bool = False
    wait: int = 0
    interval: int = 0
    repeat: int = 0
    escalate: tuple[Step, ...] = ()
    quiet: tuple[int, int] | None = None
    digest: int | None = None

    @property
    def asks_nothing(self) -> bool:
        """Whether everything matches."""
        return not (self.owner or self.service or self.kind or self.severity or self.environment)


@dataclass(frozen=True, slots=True)
class Asked:
    """What routes ask of an incident. signals: owner, service and kind of each finding."""

    severity: str
    environments: frozenset[str]
    signals: tuple[tuple[str, str, str], ...]


def asked(incident: Incident) -> Asked:
    return Asked(
        incident.severity,
        frozenset(s.deployment.environment for s in incident.suspects),
        tuple((f.signal.owner, f.signal.service, f.kind) for f in incident.findings),
    )


def matching(of: Asked, routes: Sequence[Route]) -> tuple[tuple[Route, ...], bool]:
    """For each signal the first route that matches, and later ones while routes say `go_on`, in the order of
    `routes`; and whether there is a signal that none matches.

    So of an incident of several teams each hears by its own route.
    """
    found: set[int] = set()
    left = not of.signals
    for signal in dict.fromkeys(of.signals):
        alone = replace(of, signals=(signal,))
        mine = [i for i, route in enumerate(routes) if not objection(route, alone)]
        ends = next((n for n, i in enumerate(mine, 1) if not routes[i].go_on), len(mine))
        found.update(mine[:ends])
        left = left or not mine
    return tuple(routes[i] for i in sorted(found)), left


def channels(incident: Incident, routes: Sequence[Route], default: str) -> tuple[str, ...]:
    """The channels of the routes that match, each once. `default` hears of what no route matches."""
    found, left = matching(asked(incident), routes)
    named = [route.channel for route in found]
    return tuple(dict.fromkeys([*named, default] if left else named))


def objection(route: Route, of: Asked) -> str:
    """Why the route does not match; empty where it does."""
    if route.severity and of.severity not in route.severity:
        return _not("severity", of.severity, route.severity)
    if route.environment and of.environments.isdisjoint(route.environment):
        return _not("environment", " and ".join(sorted(of.environments)), route.environment)
    wanted = {"owner": route.owner, "service": route.service, "kind": route.kind}
    if any(_concerns(tuple(wanted.values()), signal) for signal in of.signals):
        return ""
    for i, (name, values) in enumerate(wanted.items()):
        given = sorted({signal[i] for signal in of.signals})
        if values and not set(given) & set(values):
            return _not(name, " and ".join(given), values)
    return "no signal has all of owner, service and kind"


def _concerns(wanted: Sequence[tuple[str, ...]], signal: Sequence[str]) -> bool:
    return all(not values or value in values for values, value in zip(wanted, signal, strict=True))


def _not(name: str, given: str, wanted: Sequence[str]) -> str:
    return f"{name} is {given or 'not known'}, not {' or '.join(wanted)}"
