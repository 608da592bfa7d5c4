"""Which attribute values explain a fault: the smallest description that chance does not. Pure.

In: what cells of a signal counted since the onset, and what they usually do. Out: a Slice, or None.
Never: a slice that is merely busy; a pair where one of its values says nearly as much.

Given how many failed in all, how many of them are of slice S? If the fault is everywhere, S gets its part of the
extra failures, as traffic or as failures are usually spread (whichever fits better); if it is in S, S gets at least
EXPLAINS of them. The evidence is the likelihood ratio of the two, binomial, and so exact at counts of 0, 1, 2; the
second is a mean over PARTS, so that by chance alone the ratio exceeds K with a probability of at most 1/K, however
often one looks (Ville 1939). Of n slices that are looked at it must exceed n/CHANCE. What is missing is asked about
in the same way: extra is negative then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from detectors.expect import evidence
from detectors.memory import Floats, Wholes

Names = Sequence[tuple[tuple[str, str], ...]]

EXPLAINS = 0.8  # of what is extra, the least part that explains a fault
PARTS = (0.8, 0.9, 0.97, 0.995)  # of what is extra, that a slice which has the fault may hold
TOO_LIKE = 1.5  # by so much its part of the fault must exceed its part of the traffic
NEARLY_ALL = 0.9  # of what one of its values holds, the least that a pair must hold
CHANCE = (
    0.005  # that any slice is named of a fault that is everywhere: once for all values and once for all pairs
)
UNEVEN = (
    0.15  # standard deviation, relative, of what a slice gets of a fault, or of traffic, that is everywhere
)
SAME = 1e-9  # nats
LEAST = 3.0  # extra failures; fewer are no share of anything


@dataclass(frozen=True, slots=True)
class Slice:
    """The attribute values that explain a fault. counted: their part of the failures, or of what is missing; extra:
    of those beyond the usual; traffic: of all. Parts are 0 to 1."""

    attributes: tuple[tuple[str, str], ...]
    counted: float
    extra: float
    traffic: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Since the onset, float64[cells] or float64[slices] each: what was counted, its exposure, how much would be
    counted without the fault, and by how many counts that is known. extra: counted beyond the usual, negative where
    counts are missing, of all cells."""

    counted: Floats
    out_of: Floats
    usual: Floats
    known: Floats
    extra: float


def search(names: Names, cells: Counts) -> Slice | None:
    """The best single value, or the pair of values of two attributes that explains it significantly better.

    names: the attributes of each cell, () = unknown. Attributes named first are preferred where two say the same.
    """
    if abs(cells.extra) < LEAST or cells.counted.sum() <= 0.0 or cells.out_of.sum() <= 0.0:
        return None
    cells = _to_scale(cells)
    attributes = list(dict.fromkeys(name for cell in names for name, _ in cell))
    codes = {name: _codes(names, name) for name in attributes}
    singles = [(name,) for name in attributes]
    values, tried = _candidates(singles, codes, cells)
    likely = [(gain, s) for s in values if (gain := _gain(cells, s, None)) >= math.log(tried / CHANCE)]
    best = _strongest(likely)
    pairs, tried = _candidates(list(combinations(attributes, 2)), codes, cells)
    enough = math.log(max(tried, 1) / CHANCE)
    better = [
        (gain, pair)
        for pair in pairs
        if (gain := _gain(cells, pair, None)) >= enough
        and all(_says_more(cells, pair, codes, name) for name in pair.attributes)
    ]
    best = _strongest(better) or best
    return None if best is None else _named(names, cells, best)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """attributes: their names; members: bool[cells]."""

    attributes: tuple[str, ...]
    members: NDArray[np.bool_]


def _strongest(found: Sequence[tuple[float, _Candidate]]) -> _Candidate | None:
    """The slice with the most evidence; none where two that share nothing have as much: neither explains it."""
    if not found:
        return None
    gain, best = max(found, key=lambda one: one[0])
    rivals = [other for g, other in found if g > gain - SAME and not (other.members & best.members).any()]
    return None if rivals else best


def _to_scale(cells: Counts) -> Counts:
    """What is usual, so that it and what is extra are what was counted."""
    whole, rest = cells.usual.sum(), max(cells.counted.sum() - cells.extra, 0.0)
    usual = cells.usual * (rest / whole) if whole > 0.0 else cells.out_of * (rest / cells.out_of.sum())
    return Counts(cells.counted, cells.out_of, usual, cells.known, float(cells.counted.sum() - rest))


def _codes(names: Names, attribute: str) -> Wholes:
    """int64[cells]: a number for each value of an attribute, -1 where there is none."""
    number: dict[str, int] = {}
    found = np.full(len(names), -1, dtype=np.int64)
    for i, cell in enumerate(names):
        for name, value in cell:
            if name == attribute:
                found[i] = number.setdefault(value, len(number))
    return found


def _candidates(
    of: Sequence[tuple[str, ...]], codes: dict[str, Wholes], cells: Counts
) -> tuple[list[_Candidate], int]:
    """Slices by these attributes that hold enough of the fault and not too much traffic; and how many there are."""
    found: list[_Candidate] = []
    tried = 0
    total, exposure = cells.extra, cells.out_of.sum()
    for attributes in of:
        code = codes[attributes[0]]
        for name in attributes[1:]:
            other = codes[name]
            code = np.where((code < 0) | (other < 0), -1, code * (other.max(initial=0) + 1) + other)
        which, group = np.unique(code, return_inverse=True)
        counted, out_of, usual = (
            np.bincount(group, weights=w, minlength=len(which))
            for w in (cells.counted, cells.out_of, cells.usual)
        )
        real = (which >= 0) & (out_of > 0.0)
        tried += int(real.sum())
        extra, traffic = (counted - usual) / total, out_of / exposure
        fits = real & (extra >= EXPLAINS) & (extra >= TOO_LIKE * traffic)
        found += [_Candidate(attributes, group == g) for g in np.flatnonzero(fits)]
    return found, tried


def _says_more(cells: Counts, pair: _Candidate, codes: dict[str, Wholes], name: str) -> bool:
    """Of the fault in one value of the pair, is nearly all in the pair, and is that no chance among its pairs?"""
    wide = codes[name] == codes[name][np.argmax(pair.members)]
    inside = float((cells.counted - cells.usual)[pair.members].sum())
    whole = float((cells.counted - cells.usual)[wide].sum())
    if whole == 0.0 or inside / whole < NEARLY_ALL:
        return False
    seen = wide & (cells.out_of > 0.0)
    tried = sum(
        np.count_nonzero(np.unique(code[seen]) >= 0) for other, code in codes.items() if other != name
    )
    return _gain(cells, pair, wide) >= math.log(tried / CHANCE)


def _gain(cells: Counts, one: _Candidate, inside: NDArray[np.bool_] | None) -> float:
    """Evidence (nats) that the fault is in this slice, not everywhere, or not everywhere `inside` a wider one."""
    mine, wide = one.members, np.ones(len(one.members), dtype=np.bool_) if inside is None else inside
    counted, usual = float(cells.counted[mine].sum()), float(cells.usual[mine].sum())
    trials, extra = float(cells.counted[wide].sum()), float((cells.counted - cells.usual)[wide].sum())
    if trials <= 0.0:
        return -math.inf  # all of it is lost
    parts = [float(w[mine].sum() / w[wide].sum()) for w in (cells.out_of, cells.usual) if w[wide].sum() > 0.0]
    # What is usual here is known by so many counts.
    known = float(cells.known[mine].sum()) + 1.0
    logs: list[float] = []
    for part in parts:
        mean = min(max(usual + extra * part, 1e-9), trials)
        # No fault is everywhere alike; nor does traffic come from everywhere as it did before.
        uneven = UNEVEN * (extra * part if extra > 0.0 else mean) / mean
        scatter = uneven**2 * (1.0 - mean / trials) + (usual / mean) ** 2 / known - 1.0 / trials
        ratios = [
            evidence(counted, mean, min(usual + held * extra, trials), scatter)
            if usual + held * extra > 0.0
            else -math.inf
            for held in PARTS
        ]
        logs.append(float(np.logaddexp.reduce(ratios)) - math.log(len(PARTS)))
    return min(logs)


def _named(names: Names, cells: Counts, one: _Candidate) -> Slice:
    held = dict(names[int(np.argmax(one.members))])
    mine = one.members
    extra = float((cells.counted - cells.usual)[mine].sum() / cells.extra)
    counted = extra if cells.extra < 0.0 else float(cells.counted[mine].sum() / cells.counted.sum())
    traffic = float(cells.out_of[mine].sum() / cells.out_of.sum())
    return Slice(
        tuple((name, held[name]) for name in one.attributes), min(counted, 1.0), min(extra, 1.0), traffic
    )
