"""Columns of counts as bytes, and back, exactly. Pure.

In: columns of closed intervals. Out: bytes for the database, and blocks of intervals made from them.
Never: a NaN that became 0, a count that lost a digit.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from collector.bins import Bins, Late


def pack_counts(values: NDArray[np.float64]) -> bytes:
    """float64[n] as bytes, exactly: NaN stays NaN. Half as wide where that loses nothing."""
    with np.errstate(over="ignore"):
        narrow = values.astype("<f4")
    kept = (narrow.astype(np.float64) == values) | np.isnan(values)
    columns = narrow if kept.all() else values.astype("<f8")
    # Bytes of equal weight beside each other: what they have in common is what is squeezed out.
    shuffled = columns.view(np.uint8).reshape(len(values), columns.itemsize).T.tobytes()
    return bytes([columns.itemsize]) + zlib.compress(shuffled, 1)


def unpack_counts(packed: bytes) -> NDArray[np.float64]:
    """What pack_counts wrote. Raises ValueError where it is no such thing."""
    width = packed[0] if packed else 0
    if width not in (4, 8):
        raise ValueError("not a stored column of counts")
    try:
        raw = np.frombuffer(zlib.decompress(packed[1:]), dtype=np.uint8)
    except zlib.error as error:
        raise ValueError(f"not a stored column of counts: {error}") from None
    return (
        np.ascontiguousarray(raw.reshape(width, len(raw) // width).T)
        .view(f"<f{width}")
        .ravel()
        .astype(np.float64)
    )


def pack_late(late: Late) -> bytes:
    columns = (late.start.astype("<i8"), late.row.astype("<i8"), late.count.astype("<f8"))
    return zlib.compress(b"".join(column.tobytes() for column in columns), 1)


def unpack_late(packed: bytes, interval: int) -> Late:
    try:
        raw = zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError(f"not stored late counts: {error}") from None
    n = len(raw) // 24
    whole = np.frombuffer(raw, dtype="<i8", count=2 * n)
    count: NDArray[np.float64] = np.frombuffer(raw, dtype="<f8", offset=16 * n, count=n).astype(np.float64)
    return Late(
        np.full(n, interval, dtype=np.int64), whole[:n].astype(np.int64), whole[n:].astype(np.int64), count
    )


def joined(late: Sequence[Late]) -> Late:
    if not late:
        return Late.none()
    return Late(
        np.concatenate([one.interval for one in late]),
        np.concatenate([one.start for one in late]),
        np.concatenate([one.row for one in late]),
        np.concatenate([one.count for one in late]),
    )


def in_one(blocks: Sequence[Bins], rows: int) -> Bins:
    """Blocks as one; intervals that are missing between them were not watched."""
    first, width = blocks[0].start, blocks[0].width
    grace = int(blocks[-1].closed[-1]) - blocks[-1].end
    count = (blocks[-1].end - first) // width
    closed = first + width * np.arange(1, count + 1, dtype=np.int64) + grace
    values = np.full((count, rows), np.nan)
    watched = np.zeros(count, dtype=np.bool_)
    late = []
    for block in blocks:
        at = (block.start - first) // width
        span = slice(at, at + len(block))
        values[span, : block.values.shape[1]] = block.values
        closed[span], watched[span] = block.closed, block.watched
        late.append(Late(block.late.interval + at, block.late.start, block.late.row, block.late.count))
    return Bins(first, width, closed, values, watched, joined(late))
