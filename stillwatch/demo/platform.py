"""The mail platform as its operators see it: services in versions, moved from one to the other while they serve.

In: a folder and where counts go. Out: processes that serve, and an address book that says who does.
Never: a moment at which nobody serves.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from stillwatch.demo import importer, parser, people, resizer, sender
from stillwatch.demo.addresses import publish
from stillwatch.demo.processes import Child, Children
from stillwatch.demo.town import draw_originals

MODULES = {
    sender.SERVICE: "sender",
    importer.SERVICE: "importer",
    parser.SERVICE: "parser",
    resizer.SERVICE: "resizer",
}


class Platform:
    """All services with the people around them. interval: seconds between two exports of counts."""

    def __init__(self, children: Children, folder: Path, counts_to: str, interval: float) -> None:
        self._children = children
        self._folder = folder
        self._counts_to = counts_to
        self._interval = interval
        self._serving: dict[str, list[Child]] = {}

    def open(self) -> None:
        """Version 1 of everything, and then the people. Raises DemoError when something does not come up."""
        draw_originals(self._folder)
        for service in MODULES:
            self._serving[service] = [self._started(service, "1")]
        self._publish()
        command = [sys.executable, "-m", people.__name__, "--folder", str(self._folder)]
        crowd = self._children.start(sender.MAILBOXES, command, ready=f"{sender.MAILBOXES}.ready")
        self._serving[sender.MAILBOXES] = [crowd]
        self._publish()

    def add(self, services: Iterable[str], version: str) -> None:
        """This version serves beside the one that did before: each takes its share of the requests."""
        for service in services:
            self._serving[service].append(self._started(service, version))
        self._publish()

    def leave_only_the_newest(self, services: Iterable[str]) -> None:
        """What served before is left by the requests, and then stopped."""
        for service in services:
            *before, newest = self._serving[service]
            self._serving[service] = [newest]
            self._publish()
            for child in before:
                self._children.stop(child)

    def close(self) -> None:
        """The people go home and write down what they know; the services finish what they have begun."""
        for child in self._serving.pop(sender.MAILBOXES):
            self._children.stop(child)
        for service in list(self._serving):
            for child in self._serving.pop(service):
                self._children.stop(child)

    def _started(self, service: str, version: str) -> Child:
        return self._children.start_service(
            MODULES[service], service, version, self._counts_to, self._interval
        )

    def _publish(self) -> None:
        publish(
            self._folder,
            {service: [child.url for child in serving] for service, serving in self._serving.items()},
        )
