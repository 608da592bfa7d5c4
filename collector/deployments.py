"""What was deployed where, and when: a doorstep of one type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DeploymentKind = Literal["deploy", "rollback", "config", "flag"]


@dataclass(frozen=True, slots=True)
class Deployment:
    """One member of one release: rows that share an `id` are the services that it shipped.

    time: when it began to serve, epoch seconds. reported: when we learned of it; 0 means at `time`. seen: nobody
    told of it, its version was seen to serve. seen_as: the ids under which it was seen (one in each environment)
    before somebody told of it, for what was said of it then. finished: when it had taken over, if its sender says
    so; for people to read, no judgement knows of it.
    """

    id: str
    time: int
    service: str
    version: str
    previous_version: str = ""
    environment: str = ""
    url: str = ""
    revision: str = ""
    author: str = ""
    kind: DeploymentKind = "deploy"
    description: str = ""
    reported: int = 0
    seen: bool = False
    finished: int = field(default=0, compare=False)
    seen_as: tuple[str, ...] = field(default=(), compare=False)

    @property
    def known(self) -> int:
        """From when on anybody here may speak of it."""
        return max(self.time, self.reported)

    def is_the_same_as(self, kept: Deployment) -> bool:
        """Whether it may be `kept`, told again: both have one id and service, and say the same of what was done."""
        return (self.version, self.kind, self.environment) == (kept.version, kept.kind, kept.environment)
