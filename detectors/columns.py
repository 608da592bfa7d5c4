"""Which column of the counts each series is for a signal, where some are judged later than others. Pure.

In: signals, the series table, after how many intervals what a source tells is whole. Out: Places.
Never: a wait for a signal that has nothing to wait for.

A source that is late by nature (a cloud tells of a minute minutes later) must not hold up what is sent to us. So
each signal waits for the slowest of its own series: behind the columns of the series stand those that are seen
later, with the counts of so many intervals before. What crosses both, such as a flow, sees both sides later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.bins import SeriesKey, SeriesTable
from detectors.serving import Versions, versions
from detectors.signals import Signal, Term

# The series of each service and metric, with the column of the counts that each is.
ByMetric = dict[tuple[str, str], list[tuple[int, SeriesKey]]]


class Slow(NamedTuple):
    """The columns of what is judged later.

    Behind the columns of the series there is one more for each of these: series row[i] (int64[n], sorted, and for
    one row by wait) as it was wait[i] intervals before. own: bool[n], is it late itself, and not only beside what
    is? at_once: bool[series], is it judged without a wait as well? There are none where nothing waits.
    """

    row: NDArray[np.int64]
    wait: NDArray[np.int64]
    own: NDArray[np.bool_]
    at_once: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Places:
    """waits: int64[signals], intervals. services: wait -> name -> its number. row_service: int64[columns], such a
    number. by_wait: the columns by metric, as a signal of this wait sees them."""

    slow: Slow
    waits: NDArray[np.int64]
    services: Mapping[int, Mapping[str, int]]
    row_service: NDArray[np.int64]
    versions: Versions
    by_wait: Mapping[int, ByMetric]

    def of(self, family: int) -> ByMetric:
        """The columns for a signal, by its index."""
        return self.by_wait[int(self.waits[family])]


def places(
    signals: Sequence[Signal], table: SeriesTable, by_metric: ByMetric, waits: Mapping[str, int]
) -> Places:
    """by_metric: the rows of the table. waits: by source, intervals."""
    own = np.zeros(len(table), dtype=np.int64)
    for row, source in table.sources.items():
        own[row] = waits.get(source, 0)
    of_row = [key[0] for key in table.keys]
    names = dict.fromkeys(of_row)
    names |= dict.fromkeys([term.service for s in signals for side in (s.counted, s.out_of) for term in side])
    number = dict(zip(names, range(len(names)), strict=True))
    row_service = np.array([number[name] for name in of_row], dtype=np.int64)
    services: dict[int, Mapping[str, int]] = {0: number}
    laid, whole, yes = versions(table.keys), np.int64, np.bool_
    if not own.any():
        none = np.zeros(0, dtype=whole)
        slow = Slow(none, none, np.zeros(0, dtype=yes), np.zeros(0, dtype=yes))
        return Places(slow, np.zeros(len(signals), dtype=whole), services, row_service, laid, {0: by_metric})
    of_signal = [_wait(signal, by_metric, own) for signal in signals]
    of_versions = _waits_of_versions(laid, own)
    needed, at_once = _needed(signals, of_signal, table, by_metric)
    needed |= {
        (row, wait) for s, wait in enumerate(of_versions) if wait for row in _rows_of(laid, s).tolist()
    }
    ordered = sorted(needed)
    column = {one: len(table) + i for i, one in enumerate(ordered)}
    by_wait = {0: by_metric}
    for wait in sorted(set(of_signal) - {0}):
        seen: defaultdict[tuple[str, str], list[tuple[int, SeriesKey]]] = defaultdict(list)
        for row, key in enumerate(table.keys):
            if (row, wait) in column:
                seen[key[:2]].append((column[row, wait], key))
        by_wait[wait] = dict(seen)
    for wait in sorted({*of_signal, *of_versions} - {0}):
        services[wait] = {name: i + len(services) * len(names) for name, i in number.items()}
    behind = [services[wait][table.keys[row].service] for row, wait in ordered]
    counted = laid.row.copy()
    for s, wait in enumerate(of_versions):
        if wait:
            first, last = _span(laid, s)
            counted[first:last] = [column[r, wait] for r in laid.row[first:last].tolist()]
    rows = np.array([r for r, _ in ordered], dtype=whole)
    return Places(
        Slow(rows, np.array([wait for _, wait in ordered], dtype=whole), own[rows] > 0, at_once),
        np.array(of_signal, dtype=whole),
        services,
        np.concatenate([row_service, np.array(behind, dtype=whole)]),
        laid._replace(row=counted, wait=np.array(of_versions, dtype=whole)),
        by_wait,
    )


def holds(key: SeriesKey, where: tuple[tuple[str, str], ...]) -> bool:
    """Does a series have these attributes? See Term."""
    return not where or all(
        pair in key.attributes or (not pair[1] and pair[0] not in dict(key.attributes)) for pair in where
    )


def _terms(signal: Signal) -> tuple[Term, ...]:
    return (*signal.counted, *signal.out_of)


def _summed(term: Term, by_metric: ByMetric) -> list[int]:
    return [row for row, key in by_metric.get((term.service, term.metric), ()) if holds(key, term.where)]


def _wait(signal: Signal, by_metric: ByMetric, own: NDArray[np.int64]) -> int:
    """The longest of what it sums."""
    rows = [row for term in _terms(signal) for row in _summed(term, by_metric)]
    return int(own[rows].max(initial=0)) if rows else 0


def _needed(
    signals: Sequence[Signal], waits: Sequence[int], table: SeriesTable, by_metric: ByMetric
) -> tuple[set[tuple[int, int]], NDArray[np.bool_]]:
    """Which series are seen after which wait, and which are seen at once."""
    needed, at_once = set[tuple[int, int]](), np.zeros(len(table), dtype=np.bool_)
    whole: dict[str, list[int]] = {}
    for signal, wait in zip(signals, waits, strict=True):
        for term in _terms(signal):
            rows = _summed(term, by_metric)
            if not wait:
                at_once[rows] = True
                continue
            if term.sparse:  # whether its service was measured at all is asked of all that it counts
                if not whole:
                    for row, key in enumerate(table.keys):
                        whole.setdefault(key.service, []).append(row)
                rows = [*rows, *whole.get(term.service, ())]
            needed.update((row, wait) for row in rows)
    return needed, at_once


def _span(laid: Versions, service: int) -> tuple[int, int]:
    """Which of `laid.row` are of a service."""
    return int(laid.first[laid.start[service]]), int(laid.first[laid.start[service + 1]])


def _rows_of(laid: Versions, service: int) -> NDArray[np.int64]:
    first, last = _span(laid, service)
    return laid.row[first:last]


def _waits_of_versions(laid: Versions, own: NDArray[np.int64]) -> list[int]:
    """Of each service with versions, the longest wait."""
    return [int(own[_rows_of(laid, s)].max(initial=0)) for s in range(len(laid.start) - 1)]
