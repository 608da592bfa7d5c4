"""Series of Prometheus that are new, many at a time: what most labels mean is asked once for all alike. Pure.

In: labels as they came, each as bytes. Out: the labels that series have in common, and those of their own.
Never: a guess at labels of another layout than expected; they are read one by one (see remote_write.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from collector.points import Stream
from collector.scraped import (
    BETWEEN,
    ENVIRONMENT,
    NAME,
    ONE_OF_MANY,
    SERVICE,
    START,
    TELLER,
    UP,
    VERSION,
    Lore,
    Meaning,
    meaning,
    serves,
)

_COMMON = frozenset((NAME, "le", "quantile", *SERVICE, *VERSION, *ENVIRONMENT, *TELLER, *ONE_OF_MANY))
_SIGNS = (UP, START)
Pair = tuple[str, str]
Split = tuple[tuple[bytes, ...], list[Pair]]


class Kind(NamedTuple):
    """What series with these labels in common are. process: "" = each stands for itself."""

    common: dict[str, str]
    means: Meaning
    process: str


class Alike:
    """Labels that tell what a series is, as far as others have them too, and what those mean."""

    def __init__(self) -> None:
        self.kinds: dict[tuple[bytes, ...], Kind] = {}
        self._common: dict[bytes, Pair] = {}
        self._read: dict[bytes, Any] = {}  # a label of its own -> Pair, one in common -> False
        self._plain: dict[tuple[bytes, ...], bool] = {}
        self._names = _COMMON

    def __len__(self) -> int:
        return len(self._read) + len(self._plain)

    def forget(self, lore: Lore) -> None:
        """Something was learned: what labels mean is asked again."""
        self.kinds, self._plain = {}, {}
        if not lore.of_targets <= self._names:
            self._names = _COMMON | lore.of_targets
            self._common, self._read = {}, {}

    def split(self, labels: Sequence[bytes]) -> Split | None:
        """The labels in common, and those of its own; None where they must be read one by one."""
        shared: list[bytes] = []
        own: list[Any] = []
        read = self._read.get
        for label in labels:
            found = read(label)
            if found is None:
                found = pair = _pair(label)
                if pair is None:
                    return None
                if pair[0] in self._names:
                    self._common[label], found = pair, False
                self._read[label] = found
            if found is False:
                shared.append(label)
            else:
                own.append(found)
        return (tuple(shared), own) if len(dict(own)) == len(own) else None

    def named(self, shared: tuple[bytes, ...]) -> dict[str, str]:
        """The labels in common."""
        return dict([self._common[label] for label in shared])

    def are_plain(self, shared: tuple[bytes, ...]) -> bool:
        """Are these labels of a series of which nothing but its name says whether it is needed?"""
        plain = self._plain.get(shared)
        if plain is None:
            common = self.named(shared)
            name = common.get(NAME, "")
            plain = len(common) == len(shared) and bool(name) and name not in _SIGNS and not serves(name)
            self._plain[shared] = plain
        return plain

    def kind(self, shared: tuple[bytes, ...], lore: Lore) -> Kind:
        """What they mean, if they are plain."""
        kind = self.kinds.get(shared)
        if kind is None:
            common = self.named(shared)
            kind = self.kinds[shared] = Kind(common, meaning(common, lore), lore.target(common))
        return kind


def series_of(kind: Kind, own: Sequence[Pair]) -> tuple[tuple[str, str, str, tuple[Pair, ...]], Stream]:
    """The key of a series of this kind with labels of its own, and who counts it."""
    of = kind.means.key
    key = (of.service, of.metric, of.version, tuple(sorted([*of.attributes, *own])))
    if kind.process:
        return key, kind.means.stream
    named = {**kind.common, **dict(own)}
    pairs = sorted([pair for pair in named.items() if pair[0] not in TELLER])
    return key, Stream(BETWEEN.join([text for pair in pairs for text in pair]), kind.means.stream.scope)


def labels_of(written: bytes) -> tuple[list[bytes], int]:
    """The labels that a series begins with, and where they end; none where they are not laid out as usual."""
    found, at, end = [], 0, len(written)
    try:
        while at < end and written[at] == 0x0A:
            size, begin = written[at + 1], at + 2
            if size >= 0x80:
                more, begin = written[begin], begin + 1
                if not 0 < more < 0x80:
                    return [], 0
                size = size & 0x7F | more << 7
            at = begin + size
            found.append(written[begin:at])
    except IndexError:
        return [], 0
    return (found, at) if at <= end else ([], 0)


def _pair(label: bytes) -> Pair | None:
    """Name and value of a short label; None where it is not laid out as usual."""
    try:
        size = label[1]
        then = size + 2
        if label[0] != 0x0A or label[then] != 0x12 or then + 2 + label[then + 1] != len(label):
            return None
        if size >= 0x80 or label[then + 1] >= 0x80:
            return None
        name, value = label[2:then].decode(), label[then + 2 :].decode()
    except (IndexError, UnicodeDecodeError):
        return None
    return (name, value) if name and value and BETWEEN not in name and BETWEEN not in value else None
