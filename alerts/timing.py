"""When something is told: grouped, after quiet hours, in the digest, or when nobody has looked at it. Pure.

In: a route, what is to be told and since when, a time zone. Out: the moment before which it waits, and why.
Never: a clock; anything critical held by the night.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from alerts.incidents import Event
from alerts.messages import Hold, Message
from alerts.routes import Route

DAY = 1440  # minutes


def hold(route: Route, event: Event, first: bool, zone: ZoneInfo) -> tuple[int, Hold]:
    """The moment (epoch seconds) and the reason; (0, "") = at once.

    first: nobody there has heard of the incident. What was only `info` waits for the digest; what is not critical
    for the end of quiet hours; the first news for `wait` seconds; news of what is open for the next `interval`.
    """
    severity, now = event.incident.severity, event.time
    if route.digest is not None and severity == "info":
        return next_time(route.digest, now, zone), "for the digest"
    if severity != "critical" and is_quiet(route, now, zone):
        return loud_again(route, now, zone), "quiet hours"
    if first:
        return (now + route.wait, "grouped") if route.wait else (0, "")
    if route.interval and event.event != "resolved" and not (event.rose or event.back):
        since = now - event.incident.opened
        return event.incident.opened + -(-since // route.interval) * route.interval, "grouped"
    return 0, ""


def escalation(route: Route, after: int, event: Event, zone: ZoneInfo) -> tuple[int, Hold]:
    """When the next target hears of it, unless somebody looks at it: `after` seconds after the first was told."""
    told, _ = hold(route, event, True, zone)
    moment = max(told, event.time) + after
    if event.incident.severity != "critical" and is_quiet(route, moment, zone):
        moment = loud_again(route, moment, zone)
    return moment, "to escalate"


def held(message: Message, until: tuple[int, Hold]) -> Message:
    due, why = until
    return replace(message, due=due, hold=why)


def following(message: Message, now: int) -> Message:
    """The reminder after this one, due later than `now`: those that nobody could be told of are left out."""
    key, _, number = message.key.rpartition(":")
    steps = max(0, now - message.due) // message.repeat + 1
    return replace(message, key=f"{key}:{int(number) + steps}", due=message.due + steps * message.repeat)


def is_quiet(route: Route, moment: int, zone: ZoneInfo) -> bool:
    if route.quiet is None:
        return False
    begins, ends = route.quiet
    local = datetime.fromtimestamp(moment, zone)
    minute = local.hour * 60 + local.minute
    return (minute - begins) % DAY < (ends - begins) % DAY


def loud_again(route: Route, moment: int, zone: ZoneInfo) -> int:
    """The end of the quiet hours in which `moment` lies."""
    return moment if route.quiet is None else next_time(route.quiet[1], moment, zone)


def next_time(minute: int, after: int, zone: ZoneInfo) -> int:
    """The next moment later than `after` (epoch seconds) at which local clocks show this minute of the day."""
    day = datetime.fromtimestamp(after, zone).date()
    for days in range(3):
        then = datetime.combine(day + timedelta(days=days), datetime.min.time(), zone)
        for fold in (0, 1):  # where clocks are put back, they show it twice
            local = then.replace(hour=minute // 60, minute=minute % 60, fold=fold)
            moment = local.astimezone(UTC).timestamp()
            if moment > after:
                return int(moment)
    raise AssertionError("two days have passed without this minute")
