"""Who is told of an event, in which words: routes, and whoever has heard of the incident before.

In: an event. Out: news with its messages, the same for the same event after any restart.
Never: a place that hears how something began and not how it ended; a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

from alerts import jsonl, messages, plain, routes, timing
from alerts.incidents import Event
from alerts.messages import Hold, Message
from alerts.notices import is_address
from alerts.routes import Asked, Route
from stillwatch.config import Settings
from stillwatch.history import History
from stillwatch.store import News

# A channel, the route that leads there, and after how many seconds (0 = it is the route's own channel).
Target = tuple[str, Route, int]


class Telling:
    """told: the channels that the store knows to have messages of an incident. history: what people said of it."""

    def __init__(
        self, settings: Settings, told: Callable[[str], Collection[str]], history: History | None = None
    ) -> None:
        self._settings = settings
        self._told = told
        self._history = history
        self._plain = {receiver.address for receiver in settings.receivers}
        # What is not in the store yet: incident -> channel -> number of the event that it heard of first.
        self._fresh: dict[str, dict[str, int]] = {}

    def news(self, event: Event) -> News:
        """The event as it is kept. Routes are asked anew each time, for a severity may have risen."""
        incident = event.incident
        fresh = self._fresh.setdefault(incident.id, {})
        before = {channel for channel, number in fresh.items() if number < event.number}
        if event.event != "opened":
            before |= set(self._told(incident.id))
        remarks = self._history.remarks(event, event.time) if self._history else ()
        said: list[Message] = []
        for channel, route, after in self._targets(event, before):
            if event.event == "resolved" and before and channel not in before:
                continue  # who never heard of it need not hear that it is over
            fresh.setdefault(channel, event.number)
            said += self._said(event, channel, route, after, channel not in before, remarks)
        if event.event == "resolved":
            del self._fresh[incident.id]
        line = jsonl.line(event)
        return News(incident.id, event.number, event.time, line, tuple(said), event, remarks)

    def hold(self, event: Event, channel: str, now: int) -> tuple[int, Hold]:
        """Until when (epoch seconds), and why, a channel is not to hear what is said of an event at `now`, when
        nothing more is to be waited for but the night, the digest, or somebody who looks at it."""
        found = targets(routes.asked(event.incident), self._settings)
        _, route, after = next((one for one in found if one[0] == channel), self._usual(channel))
        until = self._until(replace(event, time=now), route, after, True)
        return (0, "") if until[1] == "grouped" else until

    def _until(self, event: Event, route: Route, after: int, first: bool) -> tuple[int, Hold]:
        zone = ZoneInfo(self._settings.timezone)
        if after:
            return timing.escalation(route, after, event, zone)
        return timing.hold(route, event, first, zone)

    def _targets(self, event: Event, before: Collection[str]) -> list[Target]:
        """Those of the routes, and those that heard of it before."""
        found = targets(routes.asked(event.incident), self._settings)
        reached = {channel for channel, _, _ in found}
        return found + [self._usual(channel) for channel in sorted(before) if channel not in reached]

    def _usual(self, channel: str) -> Target:
        """How a channel is told that no route leads to now."""
        for route in self._settings.routes:
            if route.channel == channel:
                return channel, route, 0
        for route in self._settings.routes:
            for step in route.escalate:
                if step.channel == channel:
                    return channel, route, step.after
        return channel, Route(channel), 0

    def _said(
        self, event: Event, channel: str, route: Route, after: int, first: bool, remarks: Sequence[str]
    ) -> list[Message]:
        until = self._until(event, route, after, first)
        said = [timing.held(one, until) for one in self._words(event, channel, first, remarks)]
        if first and not after and route.repeat and event.event != "resolved":
            again = plain.again if channel in self._plain else messages.again
            reminder = again(event, channel)
            due = max(event.time, until[0]) + route.repeat
            said.append(replace(reminder, due=due, hold="to repeat", repeat=route.repeat))
        return said

    def _words(self, event: Event, channel: str, first: bool, remarks: Sequence[str]) -> tuple[Message, ...]:
        if channel in self._plain:
            return plain.word(event, channel, first)
        pressable = self._history is not None and self._history.pressable
        offers = self._history.offers(event.incident) if self._history is not None else ()
        said = messages.word(event, channel, remarks, pressable, first, offers)
        if not is_address(self._settings.fallback):
            return said
        fields = plain.notice(event)  # for a fallback that reads no blocks
        return tuple(one if one.reply_to else replace(one, notice=fields) for one in said)


def targets(asked: Asked, settings: Settings) -> list[Target]:
    """Each channel once: those of the routes that match, in order, then those to escalate to.

    Where no route matches a signal of it, the default as well.
    """
    matched, left = routes.matching(asked, settings.routes)
    found: list[Target] = [(route.channel, route, 0) for route in matched]
    if left:
        found.append((settings.default, Route(settings.default), 0))
    # What waits for a digest is not worth a page, so nobody is woken by it the day after.
    pages = [route for route in matched if route.digest is None or asked.severity != "info"]
    found += [(step.channel, route, step.after) for route in pages for step in route.escalate]
    once: dict[str, Target] = {}
    for target in found:
        once.setdefault(target[0], target)
    return list(once.values())
