"""Labels of many Prometheus series at once: each is read once, and series of the same layout stand together. Pure.

In: labels as they came, each as bytes. Out: numbers of labels, in columns, and the names that stand in each column.
Never: a label that cannot be read taken for another.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pair = tuple[str, str]  # name, value
Wholes = NDArray[np.int64]


class Head(NamedTuple):
    """What a label says before its value. empty: it says nothing, as if it were not there; why: it is no label."""

    name: str
    empty: bool = False
    why: str = ""


class Block(NamedTuple):
    """Series with the same names of labels in the same order.

    place: int64[n], which of those that were asked about; label: int64[n, len(heads)], numbers of their labels.
    """

    heads: tuple[Head, ...]
    place: Wholes
    label: Wholes


class Labels:
    """The labels that were read so far, by number.

    pairs: name and value of each.
    """

    def __init__(self, read: Callable[[Sequence[bytes]], Sequence[Pair]]) -> None:
        """read: gives name and value of each label; of what is none "", and why."""
        self.pairs: list[Pair] = []
        self.size = 0  # bytes
        self._read = read
        self._numbers: dict[bytes, int] = {}
        self._heads: dict[Head, int] = {}
        self._known: dict[str, int] = {}  # name -> number of the head of a label that says something
        self._head = array("q")  # of each label, the number of its head

    def __len__(self) -> int:
        return len(self.pairs)

    def _number(self, raw: Sequence[bytes]) -> Wholes:
        """int64[n]: the number of each label."""
        known = self._numbers
        numbers = np.fromiter(map(known.get, raw, repeat(-1)), dtype=np.int64, count=len(raw))
        missing = np.flatnonzero(numbers < 0)
        if len(missing):
            new = [raw[i] for i in missing.tolist()]
            self._learn(list(dict.fromkeys(new)))
            numbers[missing] = np.fromiter(map(known.__getitem__, new), dtype=np.int64, count=len(new))
        return numbers

    def _learn(self, raw: Sequence[bytes]) -> None:
        """Read labels that have no number."""
        known, more = self._known, self._read(raw)
        heads = [known.get(name, -1) if value else -1 for name, value in more]
        if -1 in heads:
            heads = [self._head_of(*pair) for pair in more]
        self._head.extend(heads)
        self._numbers.update(zip(raw, range(len(self.pairs), len(self.pairs) + len(raw)), strict=True))
        self.pairs += more
        self.size += sum(map(len, raw))

    def _head_of(self, name: str, value: str) -> int:
        head = Head(name, not value) if name else Head("", why=value)
        number = self._heads.setdefault(head, len(self._heads))
        if name and value:
            self._known[name] = number
        return number

    def blocks(self, raw: Sequence[bytes], sizes: Wholes) -> Iterator[Block]:
        """Series in blocks. raw: their labels, one series after the other; sizes: int64[series], how many each
        has."""
        label = self._number(raw)
        head = np.frombuffer(self._head, dtype=np.int64)[label] if len(label) else label
        begin, heads = np.cumsum(sizes) - sizes, list(self._heads)
        for size in np.unique(sizes).tolist():
            place = np.flatnonzero(sizes == size)
            at = begin[place][:, None] + np.arange(size)
            for rows in alike(distinct(head[at])[1]):
                names = tuple([heads[number] for number in head[at[rows[0]]].tolist()])
                yield Block(names, place[rows], label[at[rows]])

    def column(self, numbers: Wholes) -> list[Pair]:
        """The labels of these numbers."""
        if len(numbers) and (numbers == numbers[0]).all():  # as in most columns
            return [self.pairs[numbers[0]]] * len(numbers)
        return list(map(self.pairs.__getitem__, numbers.tolist()))


def distinct(rows: Wholes) -> tuple[Wholes, Wholes]:
    """The places of the distinct rows of int64[n, k], in the order in which they come first, and int64[n], which of
    them each row is. Rows that follow their like cost next to nothing."""
    if not len(rows):
        return np.zeros((2, 0), dtype=np.int64)[0], np.zeros(0, dtype=np.int64)
    edge = np.ones(len(rows), dtype=np.bool_)
    edge[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    begins = np.flatnonzero(edge)
    numbers: dict[Sequence[int], int] = {}
    which = np.array(
        [numbers.setdefault(tuple(row), len(numbers)) for row in rows[begins].tolist()], dtype=np.int64
    )
    first = begins[np.unique(which, return_index=True)[1]]
    return first, np.repeat(which, np.diff(np.append(begins, len(rows))))


def alike(which: Wholes) -> list[Wholes]:
    """The places of each number in int64[n], those of the lowest first."""
    order = np.argsort(which, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(which[order])) + 1) if len(which) else []
