"""Bodies that nobody should send, made from one that is right."""

from __future__ import annotations

import copy
import gzip
import json
import random
from typing import Any

STRANGE: list[Any] = [
    None, True, -1, 1e308, "", "\x00", "x" * 100_000, [], {}, [[[]]], {"a": {}}, float("nan"), float("-inf"),
    10**300, "\u202e", "9999-12-31T23:59:59Z", 253_402_300_799, "\ud800", ["a"] * 2000,
]  # fmt: skip


def malformed(whole: bytes, chance: random.Random) -> bytes:
    """JSON that was cut, flipped, nested deep, written twice, or whose values are of other types, negative, no
    numbers, enormous or of the far future."""
    raw, how = bytearray(whole), chance.randrange(7)
    if how == 0:
        return bytes(raw[: chance.randrange(len(raw))])
    if how == 1:
        for _ in range(chance.randrange(1, 9)):
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        return bytes(raw)
    if how == 2:
        depth = chance.choice([300, 50_000])
        return b"[" * depth + b"]" * chance.choice([0, depth])
    if how == 3:
        return whole + chance.choice([whole, b"\xff", b"\x00", b"}"])
    value = json.loads(raw)
    for _ in range(chance.randrange(1, 6)):
        part = value
        while isinstance(part, dict | list) and part:
            key = chance.choice(list(part) if isinstance(part, dict) else range(len(part)))
            if not isinstance(part[key], dict | list) or not part[key] or chance.random() < 0.3:
                part[key] = copy.deepcopy(chance.choice(STRANGE))
                break
            part = part[key]
    return json.dumps(value).encode()


def packed(body: bytes, chance: random.Random) -> tuple[bytes, dict[str, str]]:
    """The same, packed now and then, and then cut or a bomb now and then; with the header that says so."""
    how = chance.randrange(12)
    if how > 2:
        return body, {}
    whole = gzip.compress(bytes(20_000_000) if how == 0 else body, 1)
    return (whole[: chance.randrange(len(whole))] if how == 1 else whole), {"content-encoding": "gzip"}
