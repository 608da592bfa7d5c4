"""What came in as bytes, and back: what is written down before a sender is told that we have it. Pure.

In: Readings of one request, or what was told of deployments and incidents. Out: bytes for the journal, or the same.
Never: a clock, a file, code that is run on reading.
"""

from __future__ import annotations

import json
import zlib

import numpy as np

from alerts.packed import pack, unpack
from collector.bins import SeriesKey
from collector.deployments import Deployment
from collector.points import Readings, Sign, Stream
from collector.words import Word

TOLD: dict[bytes, type[Deployment] | type[Word]] = {b"D": Deployment, b"W": Word}  # what bytes begin with


def pack_told(one: Deployment | Word) -> bytes:
    """What somebody told us, for the daemon that judges."""
    mark = next(mark for mark, kind in TOLD.items() if isinstance(one, kind))
    return mark + pack(one).encode()


def unpack_noted(packed: bytes) -> tuple[Readings, str] | Deployment | Word:
    """What pack_readings (with the source) or pack_told wrote. Raises ValueError where it is no such thing."""
    kind = TOLD.get(packed[:1])
    return unpack_readings(packed) if kind is None else unpack(kind, packed[1:].decode())


def pack_readings(readings: Readings, source: str = "") -> bytes:
    """All of a request that counts (what was refused or skipped was answered, and is not kept). source: of ours,
    that was asked for it."""
    # A request repeats services, metrics and attributes much more than it has distinct ones.
    whose: dict[tuple[str, ...], int] = {}
    attributes: dict[tuple[tuple[str, str], ...], int] = {}
    counted = [whose.setdefault(key[:3], len(whose)) for key in readings.keys]
    described = [attributes.setdefault(key.attributes, len(attributes)) for key in readings.keys]
    texts = [*whose, *(_flat(pairs) for pairs in attributes)]
    names = np.stack([np.array(counted, dtype="<i8"), np.array(described, dtype="<i8") + len(whose)], axis=1)
    said = () if readings.entered is None else (readings.entered.astype("<i8"),)
    head = json.dumps(
        {
            "texts": texts,
            "streams": readings.streams,
            "entered": len(said),
            "signs": readings.signs,
            "tellers": readings.tellers,
            "source": source,
        }
    ).encode()
    columns = (
        names,
        readings.stream.astype("<i8"),
        readings.start.astype("<i8"),
        readings.time.astype("<i8"),
        readings.value.astype("<f8"),
        readings.cumulative.astype("<i8"),
        *said,
    )
    body = b"".join(column.tobytes() for column in columns)
    return zlib.compress(len(head).to_bytes(4, "little") + head + body, 1)


def unpack_readings(packed: bytes) -> tuple[Readings, str]:
    """What pack_readings wrote, and the source. Raises ValueError where it is no such thing."""
    try:
        raw = zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError(f"not stored readings: {error}") from None
    split = 4 + int.from_bytes(raw[:4], "little")
    head = json.loads(raw[4:split])
    whole = np.frombuffer(raw, dtype="<i8", offset=split)
    said = head.get("entered", 0)  # what was written before senders could say it has none
    n = len(whole) // (7 + said)
    whose, attributes = whole[: 2 * n].reshape(n, 2).T
    stream, start, time, value, cumulative, *entered = whole[2 * n :].reshape(5 + said, n)
    texts = head["texts"]
    pairs = {i: _pairs(texts[i]) for i in np.unique(attributes).tolist()}
    readings = Readings(
        keys=tuple(
            SeriesKey(texts[i][0], texts[i][1], texts[i][2], pairs[j])
            for i, j in zip(whose.tolist(), attributes.tolist(), strict=True)
        ),
        streams=tuple(Stream(*one) for one in head["streams"]),
        stream=stream.astype(np.int64),
        start=start.astype(np.int64),
        time=time.astype(np.int64),
        value=value.copy().view("<f8").astype(np.float64),
        cumulative=cumulative.astype(np.bool_),
        entered=entered[0].astype(np.int64) if said else None,
        signs=tuple(Sign(*one) for one in head.get("signs", ())),
        tellers=tuple(head.get("tellers", ())),
    )
    return readings, head.get("source", "")


def _flat(pairs: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return tuple(text for pair in pairs for text in pair)


def _pairs(flat: list[str]) -> tuple[tuple[str, str], ...]:
    return tuple(zip(flat[::2], flat[1::2], strict=True))
