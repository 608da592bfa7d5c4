"""What a Prometheus server sends, made without one: bodies of remote write, and processes that are scraped."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
PLAIN_NAN = float("nan")
Sample = tuple[float, int]  # value, ms


def varint(n: int) -> bytes:
    n &= 2**64 - 1
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*out, n])


def number(at: int, n: int) -> bytes:
    return varint(at << 3) + varint(n) if n else b""


def double(at: int, value: float) -> bytes:
    raw = struct.pack("<d", value)
    return varint(at << 3 | 1) + raw if raw != bytes(8) else b""


def part(at: int, body: bytes) -> bytes:
    return varint(at << 3 | 2) + varint(len(body)) + body


def labels(pairs: Mapping[str, str]) -> bytes:
    """Sorted by name, as Prometheus sends them."""
    return b"".join(part(1, part(1, n.encode()) + part(2, v.encode())) for n, v in sorted(pairs.items()))


def sample(value: float, ms: int) -> bytes:
    return double(1, value) + number(2, ms)


def series(pairs: Mapping[str, str], samples: Iterable[Sample], histograms: Iterable[bytes] = ()) -> bytes:
    """A TimeSeries of 1.0."""
    body = labels(pairs) + b"".join(part(2, sample(*one)) for one in samples)
    return body + b"".join(part(4, one) for one in histograms)


def native(count: int, ms: int, total: float = 1.0, hint: int = 0) -> bytes:
    """A native histogram, whole numbers, as 1.0 and 2.0 have it."""
    return number(1, count) + double(3, total) + part(11, number(2, 1)) + number(14, hint) + number(15, ms)


def metadata(family: str, type_: int) -> bytes:
    return number(1, type_) + part(2, family.encode()) + part(4, b"What it counts.")


def first(all_series: Iterable[bytes], told: Iterable[bytes] = ()) -> bytes:
    """A WriteRequest of 1.0, unpacked."""
    return b"".join([part(1, one) for one in all_series] + [part(3, one) for one in told])


@dataclass(frozen=True)
class Typed:
    """A series of 2.0."""

    pairs: Mapping[str, str]
    samples: Sequence[tuple[float, int, int]] = ()  # value, ms, start in ms
    histograms: Sequence[bytes] = ()
    type_: int = 0
    created: int = 0


def second(all_series: Iterable[Typed]) -> bytes:
    """An io.prometheus.write.v2.Request, unpacked."""
    symbols: dict[str, int] = {"": 0}
    parts = []
    for one in all_series:
        texts = [text for pair in sorted(one.pairs.items()) for text in pair]
        refs = b"".join(varint(symbols.setdefault(text, len(symbols))) for text in texts)
        body = part(1, refs)
        body += b"".join(part(2, sample(v, ms) + number(3, start)) for v, ms, start in one.samples)
        body += b"".join(part(3, histogram) for histogram in one.histograms)
        body += part(5, number(1, one.type_)) + number(6, one.created)
        parts.append(part(5, body))
    return b"".join(part(4, text.encode()) for text in symbols) + b"".join(parts)


def snappy(body: bytes) -> bytes:
    return bytes(pa.Codec("snappy").compress(body, asbytes=True))


@dataclass
class Target:
    """One address that is scraped, behind which processes come and go. Labels are those of the target."""

    labels: dict[str, str]
    began: float = 0.0
    wrong: float = 0.0  # s by which it is wrong about when it began
    totals: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)

    def start(self, at: float) -> None:
        """A new process serves there, and has counted nothing."""
        self.began, self.totals = at, {}

    def count(self, n: float, **of: str) -> None:
        pairs = tuple(sorted(of.items()))
        self.totals[pairs] = self.totals.get(pairs, 0) + n

    def scrape(self, ms: int, outside: Mapping[str, str] | None = None) -> list[bytes]:
        """The series of one scrape. outside: the external labels of the server."""
        base = self.labels | dict(outside or {})
        found = [
            series({**base, **dict(pairs)}, [(total, ms)]) for pairs, total in sorted(self.totals.items())
        ]
        about = [("process_start_time_seconds", self.began + self.wrong), ("up", 1.0)]
        return found + [series({**base, "__name__": name}, [(value, ms)]) for name, value in about]
