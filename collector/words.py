"""What somebody said of an incident: a doorstep of one type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WordKind = Literal["acknowledge", "not a problem", "not this deployment", "roll back"]


@dataclass(frozen=True, slots=True)
class Word:
    """incident: its id. who said it: as people know them. time: when, epoch seconds. reported: from when on a
    judgement may know of it; 0 means from `time` on.

    deployment, service: of "not this deployment", the member of the release that it was not; without a service all
    of its members. Of "roll back", the member that somebody wants put back.
    """

    incident: str
    kind: WordKind
    who: str
    time: int
    deployment: str = ""
    service: str = ""
    reported: int = 0

    @property
    def known(self) -> int:
        """From when on a judgement may know of it."""
        return max(self.time, self.reported)
