"""Where something would go, and why: the routes one by one.

In: what happened in a few words (JSON), the settings, a moment. Out: lines for a person.
Never: a message sent; another answer than the daemon would give.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from alerts import routes, timing
from alerts.harm import RANKS, Severity
from alerts.incidents import Event, Incident
from alerts.jsonl import KINDS, moment
from alerts.routes import Asked
from collector import moments
from collector.errors import BadInput, printable, shown
from stillwatch.config import Settings
from stillwatch.telling import Target, targets

WHERE = "--route"
KEYS = ("owner", "service", "kind", "severity", "environment", "time")


@dataclass(frozen=True, slots=True)
class Question:
    """time: epoch seconds at which it opens."""

    asked: Asked
    severity: Severity
    time: int


def question(text: str, settings: Settings, now: int) -> Question:
    """What `{"service": "x", "severity": "critical"}` asks. Raises BadInput.

    owner: that of the service in the settings, if left out. severity: warning, if left out.
    """
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        raise BadInput(WHERE, 0, "", shown(text), 'an object of texts such as {"service": "a"}')
    for key in said:
        if key not in KEYS:
            raise BadInput(WHERE, 0, "", shown(key), "one of " + ", ".join(KEYS))
    for key, known in (("kind", KINDS), ("severity", RANKS)):
        if said.get(key) not in (None, *known):
            raise BadInput(WHERE, 0, "", f"{key} {shown(said[key])}", "one of " + ", ".join(known))
    try:
        at = int(moments.seconds(said["time"])) if "time" in said else now
    except ValueError as error:
        raise BadInput(WHERE, 0, "", f"time {shown(said['time'])}", str(error)) from None
    service = said.get("service", "")
    owner = said.get("owner") or next((s.owner for s in settings.signals if s.service == service), "")
    severity: Severity = said.get("severity", "warning")
    environments = frozenset({said["environment"]} if "environment" in said else ())
    return Question(Asked(severity, environments, ((owner, service, said.get("kind", "")),)), severity, at)


def lines(asked: Question, settings: Settings) -> list[str]:
    """Each route: does it match, and if not, which condition failed; then who is told, and when."""
    matched, _ = routes.matching(asked.asked, settings.routes)
    said, ended = list[str](), 0
    for number, route in enumerate(settings.routes, 1):
        name = f"route {number}  {route.channel}:"
        if ended:
            said.append(f"{name} not asked, for route {ended} matched and does not say `continue`")
            continue
        objection = routes.objection(route, asked.asked)
        if objection:
            said.append(f"{name} no, {objection}")
            continue
        said.append(f"{name} yes" + (", and later routes are asked as well" if route.go_on else ""))
        ended = 0 if route.go_on else number
    if not matched:
        said.append("no route matches" if settings.routes else "there are no routes")
    zone = ZoneInfo(settings.timezone)
    told = [_told(target, asked, zone) for target in targets(asked.asked, settings)]
    return [printable(line) for line in (*said, "", "told:", *told)]


def _told(target: Target, asked: Question, zone: ZoneInfo) -> str:
    channel, route, after = target
    event = Event(asked.time, "opened", "", Incident("", asked.time, asked.severity, (), (), 1.0))
    if after:
        until = _when(timing.escalation(route, after, event, zone))
        return f"  {channel} {until}, unless somebody looks at it before"
    again = f", again every {route.repeat // 60} min while it is open and nobody looks at it"
    return f"  {channel} {_when(timing.hold(route, event, True, zone))}" + (again if route.repeat else "")


def _when(until: tuple[int, str]) -> str:
    due, why = until
    return f"at {moment(due)} ({why})" if due else "at once"
