"""The demo: a platform, its people, Stillwatch watching, and two bad releases that are rolled back again.

In: an interval, a Slack channel if there is one. Out: the story in the terminal as it happens, a summary, and
0 only if each fault was alerted, rightly blamed and seen to be over. Never: a process left behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import click

from stillwatch.clock import now
from stillwatch.demo import importer, parser, resizer
from stillwatch.demo.platform import Platform
from stillwatch.demo.processes import Children, DemoError
from stillwatch.demo.summary import summary
from stillwatch.demo.truth import known
from stillwatch.demo.verdict import Fault, Told, told
from stillwatch.demo.watcher import TOKEN, Watcher

LEARNING = 80  # seconds at least in which nothing happens
LEARNING_INTERVALS = 16  # and intervals at least
UNDERSTANDING = 60  # seconds at most until an alert
RECOVERING = 90  # seconds at most until it is said to be over
REACTING = 5  # seconds that people need to read an alert and to decide


@dataclass(slots=True)
class Demo:
    """One run. faults: what was done to the platform so far."""

    children: Children
    platform: Platform
    watcher: Watcher
    interval: int
    started: int
    faults: list[Fault] = field(default_factory=list)

    def play(self) -> None:
        """The whole story, in order."""
        self.learn()
        first = self.release("release-2022-04-13", (importer.SERVICE, parser.SERVICE))
        self.await_alert(first)
        self.put_back(first)
        # While Stillwatch makes sure that this is over, another team deploys: one more thing to tell apart.
        self.pause(REACTING)
        second = self.release("new-framework", (resizer.SERVICE,))
        self.await_alert(second)
        self.put_back(second)
        self.await_recovery(first + second)

    def learn(self) -> None:
        """Let Stillwatch see what is usual."""
        left = max(LEARNING, LEARNING_INTERVALS * self.interval)
        while left > 0:
            self.say(f"all is well, Stillwatch learns what is usual: {left} s to go")
            self.pause(min(15, left))
            left -= 15
        self.say(f"how far Stillwatch is: {self.watcher.progress()}")

    def release(self, name: str, services: tuple[str, ...]) -> list[Fault]:
        """Version 2 of some services, one release: beside version 1 for an interval, then alone."""
        members = " and ".join(services)
        self.say(f"DEPLOYING version 2.0.0 of {members}: release {name}")
        self.platform.add(services, "2")
        faults = [Fault(service, "2.0.0", name, now()) for service in services]
        for fault in faults:
            self.watcher.deployed(fault.service, fault.version, "--id", name, "--previous-version", "1.0.0")
        self.faults += faults
        self.pause(self.interval)
        self.platform.leave_only_the_newest(services)
        self.say(f"only version 2.0.0 of {members} serves now; nobody has noticed anything yet")
        return faults

    def put_back(self, faults: Iterable[Fault]) -> None:
        """What people do about an alert: version 1 again, and tell so."""
        services = tuple(fault.service for fault in faults)
        self.pause(REACTING)
        self.say(f"ROLLING BACK {' and '.join(services)} to version 1.0.0")
        self.platform.add(services, "1")
        self.platform.leave_only_the_newest(services)
        for fault in faults:
            self.watcher.deployed(
                fault.service,
                "1.0.0",
                *(
                    "--id",
                    f"{fault.release}-rollback",
                    "--previous-version",
                    fault.version,
                    "--kind",
                    "rollback",
                ),
            )

    def await_alert(self, faults: Iterable[Fault]) -> None:
        """Until Stillwatch has spoken of each of them, or has had its time."""
        self.children.wait(lambda: all(self.told(f).alerted for f in faults), UNDERSTANDING)

    def await_recovery(self, faults: Iterable[Fault]) -> None:
        """Until Stillwatch has said of each that it is over, or has had its time."""
        self.children.wait(lambda: all(self.told(f).resolved for f in faults), RECOVERING)

    def told(self, fault: Fault) -> Told:
        """What Stillwatch has said about a fault by now."""
        return told(self.watcher.alerts(), fault)

    def pause(self, seconds: float) -> None:
        """Let time pass; all processes must live on. Alerts that come meanwhile are noted when they come."""

        def never() -> bool:
            self.watcher.alerts()
            return False

        self.children.wait(never, seconds)

    def say(self, line: str) -> None:
        """A line of the story, with the time since it began."""
        passed = now() - self.started
        click.secho(f"{passed // 60:02}:{passed % 60:02}  {line}", fg="cyan")


def run(interval: int = 5, slack_channel: str = "", keep: bool = False) -> int:
    """Play the demo; returns the exit status: 0 all was seen, 1 something was not, 130 interrupted.

    interval: seconds, 5 or more. slack_channel: where messages go when SLACK_BOT_TOKEN is set, else they are
    shown here. keep: leave the folder with database, configuration and logs where it is.
    """
    if slack_channel and not os.environ.get(TOKEN):
        click.echo(f"{TOKEN} is not set: messages are shown here instead of in {slack_channel}", err=True)
        slack_channel = ""
    folder = Path(tempfile.mkdtemp(prefix="stillwatch-demo-"))
    # However we are asked to stop, the children are stopped first.
    for end in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, signal.default_int_handler)
    status = 1
    try:
        status = _play(folder, interval, slack_channel)
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
        status = 130
    except DemoError as trouble:
        click.echo(f"the demo cannot go on: {trouble}", err=True)
    if keep or status == 1:
        click.echo(f"configuration, database and logs are in {folder}", err=True)
    else:
        shutil.rmtree(folder)
    return status


def _play(folder: Path, interval: int, slack_channel: str) -> int:
    with Children(folder) as children, closing(Watcher(children, folder, interval, slack_channel)) as watcher:
        click.secho("starting Stillwatch and a small mail platform on loopback ...", fg="cyan")
        watcher.open()
        platform = Platform(children, folder, watcher.url, interval)
        platform.open()
        demo = Demo(children, platform, watcher, interval, now())
        demo.play()
        platform.close()
        seen = [(fault, demo.told(fault)) for fault in demo.faults]
    good, lines = summary(seen, known(folder))
    click.echo("\n".join(lines))
    return 0 if good else 1
