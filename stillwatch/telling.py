"""Who is told of an event, in which words: routes, and whoever has heard of the incident before.

In: an event. Out: news with its messages, the same for the same event after any restart.
Never: a place that hears how something began and not how it ended; a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from alerts import jsonl, messages, plain, routes
from alerts.incidents import Event
from alerts.messages import Message
from stillwatch.config import Settings
from stillwatch.store import News


class Telling:
    """told: the channels that the store knows to have messages of an incident."""

    def __init__(self, settings: Settings, told: Callable[[str], Collection[str]]) -> None:
        self._settings = settings
        self._told = told
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
        now = routes.channels(incident, self._settings.routes, self._settings.default)
        said: list[Message] = []
        for channel in dict.fromkeys((*now, *sorted(before))):
            fresh.setdefault(channel, event.number)
            said += self._words(event, channel, channel not in before)
        if event.event == "resolved":
            del self._fresh[incident.id]
        return News(incident.id, event.number, event.time, jsonl.line(event), tuple(said))

    def _words(self, event: Event, channel: str, first: bool) -> tuple[Message, ...]:
        word = plain.word if channel in self._plain else messages.word
        return word(event, channel, first)
