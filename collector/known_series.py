"""Series of Prometheus that were read before: what the bytes of their labels mean, and what may change that.

In: labels never seen before, what is known of names and targets. Out: numbers of meanings, and who told of each.
Never: more memory than its bounds for long (see `full`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.alike import Meanings, counted, looks, meanings, why_not
from collector.bins import SeriesKey
from collector.labels import Block, Labels, alike
from collector.points import Catalogue, Stream
from collector.remote_write_wire import LABELS, pairs, text_field
from collector.scraped import Lore, Place

MOST_SERIES = 500_000  # whose labels are remembered, and
MOST_BYTES = 128 * 1024 * 1024  # of their labels; beyond either all are read anew
_BROKEN = b"\xff"  # no label


class Unread(NamedTuple):
    """Labels never seen before: how each stands in Known, and of all that are alike in `said` and `native` the raw
    labels, one series after the other, and how many each has."""

    at: Sequence[object]
    raw: Sequence[bytes]
    sizes: NDArray[np.int64]
    said: int = 0
    native: bool = False


@dataclass(slots=True)
class Known:
    """Series whose labels were read before: labels -> number of the meaning, 0 = not needed.

    Labels are their bytes as 1.0 has them, or (type, native, texts or bytes). told: of streams, by number, the
    stream and who tells of it. hinges: what to judge again when something is learned of a family or of a place
    where series are scraped.
    """

    number: dict[object, int] = field(default_factory=dict)
    catalogue: Catalogue = field(default_factory=Catalogue)  # of the meanings, by the same numbers
    roles: NDArray[np.int8] = field(default_factory=lambda: np.zeros(1024, dtype=np.int8))
    stream_of: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1024, dtype=np.int64))
    told: list[tuple[Stream, str]] = field(default_factory=list)
    streams: dict[tuple[Stream, str], int] = field(default_factory=dict)  # the numbers of `told`
    hinges: dict[str | Place, list[object]] = field(default_factory=dict)
    labels: Labels = field(default_factory=lambda: Labels(pairs))
    size: int = 0

    def __post_init__(self) -> None:
        self.catalogue.add(SeriesKey("", ""), Stream("", ""))

    def learn(self, new: Iterable[Unread], lore: Lore) -> dict[object, str]:
        """Remember what labels mean, and judge again what is known where they teach something. Returns which of
        them could not be read, and why."""
        why: dict[object, str] = {}
        found = [(some, block) for some in new for block in self._blocks(some, why)]
        # The sight of a sum tells what a count is, that of `up` whose it is: look at all before judging any.
        news = {lore.look(one) for _, block in found for one in looks(block, self.labels)} - {""}
        again = dict.fromkeys(at for hinge in news for at in self.hinges.pop(hinge, ()))
        found += [(some, block) for some in unread(again) for block in self._blocks(some, why)]
        for some, block in found:
            self._judge(some, block, lore)
        return why

    def _blocks(self, some: Unread, why: dict[object, str]) -> Iterator[Block]:
        for block in self.labels.blocks(some.raw, some.sizes):
            reason = why_not(block)
            if reason:
                why.update((some.at[i], reason) for i in block.place.tolist())
            else:
                yield block

    def _judge(self, some: Unread, block: Block, lore: Lore) -> None:
        """Remember the meaning of the series of a block."""
        numbers = np.zeros(len(some.at), dtype=np.int64)
        for means in meanings(block, self.labels, lore, some.said, some.native):
            numbers[means.place] = self._add(means)
            for rows in alike(means.who):
                hinge = self.hinges.setdefault(means.tellers[means.who[rows[0]]].place, [])
                hinge += [some.at[i] for i in means.place[rows].tolist()]
        places = block.place.tolist()
        for i, family in counted(block, self.labels):
            if not numbers[places[i]]:
                self.hinges.setdefault(family, []).append(some.at[places[i]])
        number = numbers[block.place].tolist()
        at = [some.at[i] for i in places]
        self.size += sum(map(len, at)) if isinstance(at[0], bytes) else sum(map(_size, at))
        self.number.update(zip(at, number, strict=True))

    def _add(self, means: Meanings) -> range:
        """The numbers of these."""
        places = np.array([self.catalogue.place(who.stream) for who in means.tellers], dtype=np.int64)
        added = self.catalogue.add_each(means.keys, places[means.who].tolist())
        if added.stop > len(self.roles):
            more = max(added.stop - len(self.roles), len(self.roles) // 2)
            self.roles = np.concatenate([self.roles, np.zeros(more, dtype=np.int8)])
            self.stream_of = np.concatenate([self.stream_of, np.zeros(more, dtype=np.int64)])
        streams = [self._stream(who.stream, who.teller) for who in means.tellers]
        self.roles[added.start : added.stop] = means.role
        self.stream_of[added.start : added.stop] = np.array(streams, dtype=np.int64)[means.who]
        return added

    def _stream(self, stream: Stream, teller: str) -> int:
        number = self.streams.setdefault((stream, teller), len(self.told))
        if number == len(self.told):
            self.told.append((stream, teller))
        return number

    @property
    def full(self) -> bool:
        most = max(len(self.number), len(self.catalogue), len(self.labels))
        return most > MOST_SERIES or self.size + self.labels.size > MOST_BYTES


def unread(ats: Iterable[object]) -> list[Unread]:
    """Labels as they stand in Known, to be read; those written in bytes hold nothing but labels."""
    like: dict[tuple[int, bool], list[object]] = {}
    for at in ats:
        like.setdefault(at[:2] if isinstance(at, tuple) else (0, False), []).append(at)
    found = []
    for (said, native), some in like.items():
        raw = [_raw(at) for at in some]
        sizes = np.array(list(map(len, raw)), dtype=np.int64)
        found.append(Unread(some, list(chain.from_iterable(raw)), sizes, said, native))
    return found


def _raw(at: Any) -> Sequence[bytes]:
    """The labels that stand in Known, each as 1.0 has it."""
    texts = at[2] if isinstance(at, tuple) else at
    if isinstance(texts, bytes):
        return list(LABELS.FromString(texts).labels)
    if len(texts) % 2:
        return [_BROKEN]
    return [text_field(1, texts[i]) + text_field(2, texts[i + 1]) for i in range(0, len(texts), 2)]


def _size(at: Any) -> int:
    """How many bytes of labels stand in Known."""
    return len(at[2]) if isinstance(at[2], bytes) else sum(map(len, at[2]))
