"""Who may come in for what: tokens, of which only what they hash to is known here.

In: what a request brings as `Authorization`. Out: the name of its token, or nothing. Pure.
Never: a token kept or shown; a comparison whose time tells how much of it was right.

A token is 32 bytes of chance, so nobody finds it by trying, whichever hash hides it: SHA-256 hides it as well as a
slow one would, and costs an export a microsecond. Slow hashes are for what people think up.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Purpose = Literal["ingest", "deployments", "reading", "acting"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class Tokens:
    """known: by purpose and name, the 32 bytes that a token hashes to.

    Nothing known at all: nobody has to bring one. Else what has no token of its own is closed to everybody.
    """

    known: Mapping[Purpose, Mapping[str, bytes]] = field(default_factory=dict)

    @property
    def wanted(self) -> bool:
        """Whether anybody has to bring one."""
        return any(self.known.values())

    def opened_by(self, purpose: Purpose, authorization: str) -> str | None:
        """The name of the token that comes as `Bearer ...`; "" where none is wanted, None where it is no good."""
        if not self.wanted:
            return ""
        scheme, _, brought = authorization.partition(" ")
        digest = hashlib.sha256(brought.strip().encode("latin-1", "replace")).digest()
        found = None
        for name, right in self.known.get(purpose, {}).items():  # all of them, whichever it is
            if hmac.compare_digest(digest, right):
                found = name
        return found if scheme.lower() == "bearer" else None


def hashed(token: str) -> bytes:
    """What a token is known by."""
    return hashlib.sha256(token.encode()).digest()


def of_one(token: str, name: str = "token") -> Tokens:
    """One token that is good for everything; an empty one is none."""
    return Tokens({purpose: {name: hashed(token)} for purpose in PURPOSES} if token else {})


def written(token: str) -> str:
    """How its hash stands in the settings."""
    return PREFIX + hashed(token).hex()


def read(text: str) -> bytes:
    """The hash that is written so. Raises ValueError."""
    if not re.fullmatch(PREFIX + "[0-9a-f]{64}", text):
        raise ValueError(f"{PREFIX} and 64 hexadecimal digits, as `stillwatch token` prints them")
    return bytes.fromhex(text.removeprefix(PREFIX))


def refusal(purpose: Purpose) -> str:
    """What is said to who brings none that opens."""
    return f"expected Authorization: Bearer with a token for {purpose}"
