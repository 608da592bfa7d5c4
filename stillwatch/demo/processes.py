"""The demo's processes: started one by one, awaited, and stopped by the one who started them.

In: command lines. Out: running children whose words go to log files. Never: a process left behind, nor a
signal to one that was not started here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 30.0  # seconds for a process to come up on a busy machine


LOOK_AGAIN = 0.1  # seconds


class DemoError(Exception):
    """The demo cannot go on; the message says why, the log says more."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process of the demo. name: also that of its log; url: where it serves, empty when it does not."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    url: str = ""


class Children:
    """All processes of one demo. As a context: stops whatever still runs at the end, last started first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[Child] = []
        self._pause = threading.Event()  # never set: a wait that needs no clock

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self._running):
            child.process.terminate()
        for child in list(reversed(self._running)):
            self.stop(child)

    def start(
        self,
        name: str,
        command: list[str],
        *,
        ready: str = "",
        aloud: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """Start a process; with `ready`, wait for that file, in which it says where it serves.

        aloud: its standard output is ours. environment: a plain one if left out.
        Raises DemoError when it ends, or is not ready within PATIENCE.
        """
        log = self._folder / f"{name}.log"
        with log.open("ab") as words:
            process = subprocess.Popen(  # noqa: S603 -- our own commands, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=None if aloud else words,
                stderr=words,
                env=plain_environment() if environment is None else environment,
                start_new_session=True,  # Ctrl-C is for the director, who stops the children in order
            )
        child = Child(name, process, log)
        self._running.append(child)
        if not ready:
            return child
        file = self._folder / ready
        if not self.wait(file.exists, PATIENCE):
            raise DemoError(f"{name} was not ready within {PATIENCE:.0f} s: see {log}")
        answering = Child(name, process, log, json.loads(file.read_text())["url"])
        self._running[self._running.index(child)] = answering
        return answering

    def start_service(self, module: str, service: str, version: str, counts_to: str, every: float) -> Child:
        """Start a version of one of the platform's services."""
        name = f"{service}-{version}"
        (self._folder / f"{name}.ready").unlink(missing_ok=True)
        command = [sys.executable, "-m", f"stillwatch.demo.{module}", "--version", version]
        command += ["--folder", str(self._folder), "--counts-to", counts_to, "--every", str(every)]
        return self.start(name, command, ready=f"{name}.ready")

    def stop(self, child: Child) -> None:
        """Ask it to stop and wait; what does not stop within ten seconds is ended."""
        if child.process.poll() is None:
            child.process.send_signal(signal.SIGTERM)
        try:
            child.process.wait(10)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        self._running.remove(child)

    def wait(self, until: Callable[[], bool], seconds: float) -> bool:
        """Look every tenth of a second until it is so; False when the time is over first.

        Raises DemoError when a child ends meanwhile.
        """
        for _ in range(max(1, round(seconds / LOOK_AGAIN))):
            if until():
                return True
            for child in self._running:
                if child.process.poll() is not None:
                    raise DemoError(
                        f"{child.name} ended with status {child.process.returncode}: see {child.log}"
                    )
            self._pause.wait(LOOK_AGAIN)
        return until()


def plain_environment() -> dict[str, str]:
    """The environment without what would lead loopback traffic elsewhere or change what the SDK does."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("OTEL_") and not name.lower().endswith("_proxy")
    }
