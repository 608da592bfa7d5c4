"""A dataset folder <-> closed intervals, deployments and the truth.

In: a folder as in FORMATS (metrics, deployments, words, labels, gaps). Out: Dataset; and back, by `write`.
Never: a count known before it was received, an interval without any row taken for one that was watched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from collector import measured, tabular
from collector.bins import Bins, Late, SeriesKey, SeriesTable
from collector.deployments import Deployment
from collector.errors import BadInput
from collector.measured import Cells
from collector.small_tables import (
    Label,
    read_deployments,
    read_gaps,
    read_labels,
    read_words,
    write_deployments,
    write_gaps,
    write_words,
)
from collector.words import Word

MOST_CELLS = 500_000_000  # intervals x series: 4 GB


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a folder holds. table: rows in order of first appearance in time, ties by key.

    labelled: does it say what was wrong? No labels at all may also mean that nothing was.
    """

    table: SeriesTable
    bins: Bins
    deployments: tuple[Deployment, ...]
    labels: tuple[Label, ...]
    labelled: bool = False
    words: tuple[Word, ...] = ()


def read(folder: Path, width: int, grace: int, start: int | None = None, end: int | None = None) -> Dataset:
    """The dataset in `folder`, in intervals of `width` seconds that close `grace` seconds after their end.

    start, end: epoch seconds; only intervals that begin at or after `start` and before `end`, deployments
    that were known by then and labels that overlap. Rows of one series and interval that were received at
    different moments add up; what was received after the last interval closed is not known to anybody.
    Raises BadInput.
    """
    if not folder.is_dir():
        raise BadInput(
            str(folder),
            0,
            "",
            "a file" if folder.exists() else "no such folder",
            "a dataset: a folder with metrics.csv or .parquet",
        )
    sheets = [tabular.read(path, name, ("time", "value", "received")) for path, name in _metric_files(folder)]
    found = measured.cells(sheets, width)
    found = _between(found, start, end)
    if not len(found.time):
        raise BadInput(folder.name, 0, "", "no rows of metrics in that time", "at least one")
    table, bins = _bins(found, width, grace, folder.name)
    for first, last in read_gaps(folder):
        # An interval is not watched where a gap touches it.
        at, after = (first - bins.start) // width, -((bins.start - last) // width)
        bins.watched[max(at, 0) : max(after, 0)] = False
    deployments = tuple(d for d in read_deployments(folder) if d.known <= bins.closed[-1])
    truth = read_labels(folder)
    labels = tuple(x for x in truth or () if x.start < bins.end and x.end > bins.start)
    words = tuple(w for w in read_words(folder) if w.known <= bins.closed[-1])
    return Dataset(table, bins, deployments, labels, truth is not None, words)


def _metric_files(folder: Path) -> list[tuple[Path, str]]:
    """The files of metrics, with their names for messages."""
    parts = folder / "metrics"
    single = [folder / f"metrics{suffix}" for suffix in tabular.SUFFIXES]
    there = [path for path in (*single, parts) if path.exists()]
    if len(there) != 1:
        found = " and ".join(path.name for path in there) or "no metrics"
        expected = "one of metrics.csv, metrics.parquet, or a folder metrics"
        raise BadInput(folder.name or str(folder), 0, "", found, expected)
    if not parts.is_dir():
        return [(there[0], there[0].name)]
    files = [path for path in sorted(parts.iterdir()) if not path.name.startswith((".", "_"))]
    for path in files:
        if path.suffix not in tabular.SUFFIXES:
            raise BadInput(f"metrics/{path.name}", 0, "", "another kind of file", "a .csv or .parquet file")
    if not files:
        raise BadInput(folder.name, 0, "", "an empty folder metrics", "files of .csv or .parquet")
    return [(path, f"metrics/{path.name}") for path in files]


def _between(found: Cells, start: int | None, end: int | None) -> Cells:
    if start is None and end is None:
        return found
    kept = np.ones(len(found.time), dtype=np.bool_)
    if start is not None:
        kept &= found.time >= start
    if end is not None:
        kept &= found.time < end
    return replace(
        found,
        time=found.time[kept],
        value=found.value[kept],
        received=found.received[kept],
        series=found.series[kept],
    )


def _bins(found: Cells, width: int, grace: int, name: str) -> tuple[SeriesTable, Bins]:
    start = int(found.time.min())
    interval = (found.time - start) // width
    length, series = int(interval.max()) + 1, len(np.unique(found.series))
    if length * series > MOST_CELLS:
        raise BadInput(
            name, 0, "", f"{series} series over {length} intervals of {width} s",
            f"at most {MOST_CELLS} of both multiplied; is a time wrong, or `interval` too short?",
        )  # fmt: skip
    closed = start + width * np.arange(1, length + 1, dtype=np.int64) + grace
    late = found.received > closed[interval]
    known = np.where(late, np.searchsorted(closed, found.received), interval)
    table, row = _table(found, known)
    values = np.full((length, len(table)), np.nan)
    counted = np.flatnonzero(~late & ~np.isnan(found.value))
    cell = interval[counted] * len(table) + row[counted]
    values.reshape(-1)[cell] = 0.0
    np.add.at(values.reshape(-1), cell, found.value[counted])
    watched = np.zeros(length, dtype=np.bool_)
    watched[interval] = True
    came = late & ~np.isnan(found.value) & (known < length)
    return table, Bins(start, width, closed, values, watched, _late(found, np.flatnonzero(came), row, known))


def _table(found: Cells, known: measured.Whole) -> tuple[SeriesTable, measured.Whole]:
    """The table, and int64[rows]: the series row of each row of the file. known: when each became known."""
    never = np.iinfo(np.int64).max
    first = np.full(len(found.keys), never)
    np.minimum.at(first, found.series, known)
    seen = [i for i in range(len(found.keys)) if first[i] != never]
    seen.sort(key=lambda i: (int(first[i]), found.keys[i]))
    place = np.zeros(len(found.keys), dtype=np.int64)
    place[seen] = np.arange(len(seen))
    sources = {
        row: found.told_by[found.keys[i]] for row, i in enumerate(seen) if found.keys[i] in found.told_by
    }
    return SeriesTable((found.keys[i] for i in seen), sources), place[found.series]


def _late(found: Cells, rows: measured.Whole, row: measured.Whole, known: measured.Whole) -> Late:
    if not len(rows):
        return Late.none()
    cells = np.stack([known[rows], found.time[rows], row[rows]], axis=1).astype(np.int64)
    distinct, where = np.unique(cells, axis=0, return_inverse=True)
    count = np.zeros(len(distinct))
    np.add.at(count, where.ravel(), found.value[rows])
    return Late(distinct[:, 0], distinct[:, 1], distinct[:, 2], count)


def write(
    folder: Path,
    table: SeriesTable,
    bins: Bins,
    deployments: Sequence[Deployment],
    words: Sequence[Word] = (),
) -> None:
    """Write metrics.parquet, deployments.csv, and words.csv and gaps.csv if there are any, so that `read` gives the
    same back.

    The folder is made; files of these names are replaced. What `read` cannot tell: intervals before the first
    and after the last that was watched or measured; late counts for intervals before the block; attributes
    that are "", so that series that differ in nothing else become one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    keys, place = _without_empty_attributes(table)
    rows = _rows(bins, place)
    columns: dict[str, object] = {"time": pa.array(rows.time, pa.int64())}
    for name, texts in _named_columns(keys).items():
        dictionary = sorted(set(texts) - {""})
        codes = {text: i for i, text in enumerate(dictionary)}
        code = np.array([codes.get(text, -1) for text in texts], dtype=np.int32)[rows.series]
        columns[name] = pa.DictionaryArray.from_arrays(
            pa.array(code, pa.int32(), mask=code < 0), pa.array(dictionary, pa.string())
        )
    if table.sources:
        told_by = np.full(len(keys), -1, dtype=np.int32)
        sources = sorted(set(table.sources.values()))
        for row, source in table.sources.items():
            told_by[place[row]] = sources.index(source)
        code = told_by[rows.series]
        columns[measured.TOLD_BY] = pa.DictionaryArray.from_arrays(
            pa.array(code, pa.int32(), mask=code < 0), pa.array(sources, pa.string())
        )
    age = np.array([key.age for key in keys], dtype=np.int64)[rows.series]
    if (age >= 0).any():
        columns["entered"] = pa.array(rows.time - age * bins.width, pa.int64(), mask=age < 0)
    columns["value"] = pa.array(rows.value, pa.float64(), mask=np.isnan(rows.value))
    if rows.received.any():
        columns["received"] = pa.array(rows.received, pa.int64(), mask=rows.received == 0)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / "metrics.parquet", compression="zstd")
    write_deployments(folder / "deployments.csv", deployments)
    if words:
        write_words(folder / "words.csv", words)
    edges = np.diff(np.concatenate([[0], ~bins.watched, [0]]).astype(np.int64))
    gaps = zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True)
    if not bins.watched.all():
        begun = bins.start
        write_gaps(
            folder / "gaps.csv",
            [(begun + bins.width * first, begun + bins.width * last) for first, last in gaps],
        )


def _rows(bins: Bins, place: measured.Whole) -> Cells:
    """A row for each measurement, for each late count, and one for each interval in which none was made."""
    interval, series = np.nonzero(~np.isnan(bins.values))
    # Without a row it would seem that nobody listened.
    silent = np.flatnonzero(bins.watched & np.isnan(bins.values).all(axis=1)) if len(place) else interval[:0]
    late = np.flatnonzero(bins.late.start >= bins.start)
    start = bins.start + bins.width * np.concatenate([interval, silent])
    time = np.concatenate([start, bins.late.start[late]])
    value = np.concatenate(
        [bins.values[interval, series], np.full(len(silent), np.nan), bins.late.count[late]]
    )
    series = place[np.concatenate([series, np.zeros_like(silent), bins.late.row[late]])]
    received = np.zeros(len(time), dtype=np.int64)
    received[len(start) :] = bins.closed[bins.late.interval[late]]
    order = np.lexsort((received, series, time))
    same = np.stack([time, series, received])[:, order]
    new = (
        np.append(True, (same[:, 1:] != same[:, :-1]).any(axis=0))
        if len(order)
        else np.zeros(0, dtype=np.bool_)
    )
    value = value[order] if new.all() else np.add.reduceat(value[order], np.flatnonzero(new))
    return Cells(same[0][new], value, same[2][new], same[1][new], [])


def _without_empty_attributes(table: SeriesTable) -> tuple[list[SeriesKey], measured.Whole]:
    """The keys that a dataset can hold, and int64[series]: which of them each row of the table is."""
    known: dict[SeriesKey, int] = {}
    place = [
        known.setdefault(
            key._replace(attributes=tuple(pair for pair in key.attributes if pair[1])), len(known)
        )
        for key in table.keys
    ]
    return list(known), np.array(place, dtype=np.int64)


def _named_columns(keys: Sequence[SeriesKey]) -> dict[str, list[str]]:
    """The texts of each key by column."""
    columns = {name: [getattr(key, name) for key in keys] for name in ("service", "metric", "version")}
    attributes = [dict(key.ageless) for key in keys]
    for name in sorted({name for of in attributes for name in of}):
        columns[measured.column_of(name)] = [of.get(name, "") for of in attributes]
    return columns
