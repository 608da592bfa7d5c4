"""A webhook as the settings want it. It stands alone, so that to read settings loads no sender.

In: nothing (a type). Out: Hook. Never: its secret in a repr.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Hook:
    """secret: what the sender signs with or brings. services: by what the sender calls the thing that was shipped;
    none = it ships nothing that is watched. environments: in lower case; none named = those that serve people."""

    sender: str
    secret: str = field(repr=False)
    services: Mapping[str, Sequence[str]] = field(default_factory=dict)
    environments: tuple[str, ...] = ()
