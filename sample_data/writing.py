"""A dataset on disk, as FORMATS describes it: metrics, deployments, labels.

In: counts by the minute, deployments, the truth. Out: files whose bytes depend on nothing else.
Never: a row for what was not measured; a made-up number.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fleets import Deployed, Fleet
from hours import Counts, Span, by_minute
from numpy.typing import NDArray


class Series(NamedTuple):
    """values: int64[minutes] of the whole span; reported: bool[minutes], was it measured then."""

    service: str
    metric: str
    version: str
    path: str
    values: Counts
    reported: NDArray[np.bool_]


class Label(NamedTuple):
    """One fault, as labels.csv wants it. Times in epoch seconds; lost: how many events, truly."""

    start: int
    end: int
    service: str
    kind: str
    signal: str
    deployment: str
    deployment_service: str
    mitigated: int
    lost: int
    note: str


@dataclass
class Story:
    """What a folder of sample data holds."""

    span: Span
    series: list[Series] = field(default_factory=list)
    deployments: list[Deployed] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    def add(
        self, fleet: Fleet, metric: str, by_version: dict[str, Counts], path: str = "", sparse: bool = False
    ) -> None:
        """Count events by the second (int64[seconds] a version) into minutes.

        A version's zeros are written while an instance of it is alive, unless the metric is sparse.
        """
        alive = fleet.alive(self.span.first, self.span.minutes)
        for version, counts in by_version.items():
            values = by_minute(counts)
            reported = values > 0 if sparse else alive[version] | (values > 0)
            self.series.append(Series(fleet.service, metric, version, path, values, reported))

    def merge_versions(self) -> None:
        """Report each metric for the whole service, whatever versions served."""
        whole: dict[tuple[str, str, str], Series] = {}
        for one in self.series:
            which = (one.service, one.metric, one.path)
            values, reported = one.values, one.reported
            if which in whole:
                values, reported = values + whole[which].values, reported | whole[which].reported
            whole[which] = Series(one.service, one.metric, "", one.path, values, reported)
        self.series = list(whole.values())

    def forget(self, service: str, start: int, minutes: int) -> None:
        """Lose what `service` (empty: every service) reported from epoch second `start` on."""
        at = (start - self.span.first) // 60
        for series in self.series:
            if service in ("", series.service):
                series.reported[at : at + minutes] = False


def rfc3339(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def columns(story: Story) -> dict[str, NDArray[np.generic]]:
    """The rows of metrics, in order of time; within a minute by series."""
    span, series = story.span, sorted(story.series, key=lambda one: one[:4])
    shown = slice(span.warm_up // 60, span.minutes)
    reported = np.array([one.reported[shown] for one in series])
    minute, row = np.nonzero(reported.T)
    values = np.array([one.values[shown] for one in series])
    names = {name: np.array([getattr(one, name) for one in series], dtype=object)[row] for name in _NAMES}
    return {"time": span.shown + 60 * minute, **names, "value": values[row, minute]}


_NAMES = ("service", "metric", "version", "path")


def write_parquet(story: Story, folder: Path) -> None:
    """metrics.parquet, with times in epoch seconds."""
    rows = columns(story)
    table = {"time": pa.array(rows["time"], pa.int64())}
    for name in _NAMES:
        if name == "path" and not any(rows[name]):
            continue
        table[name] = pa.array([text or None for text in rows[name]], pa.string())
    table["value"] = pa.array(rows["value"], pa.int64())
    pq.write_table(
        pa.table(table),
        folder / "metrics.parquet",
        compression="zstd",
        compression_level=12,
        use_dictionary=list(_NAMES),
        column_encoding={"time": "DELTA_BINARY_PACKED", "value": "PLAIN"},
        write_statistics=False,
    )


def write_csv(story: Story, folder: Path) -> None:
    """metrics.csv, with times as people read them; without the columns that would be empty."""
    rows = columns(story)
    names = [name for name in _NAMES if any(rows[name])]
    times = {at: rfc3339(int(at)) for at in np.unique(rows["time"])}
    lines = zip(rows["time"], *(rows[name] for name in names), rows["value"], strict=True)
    _table(
        folder / "metrics.csv",
        ["time", *names, "value"],
        [[times[line[0]], *(str(text) for text in line[1:])] for line in lines],
    )


def write_deployments(story: Story, folder: Path) -> None:
    """deployments.csv, in order of time."""
    names = [*Deployed.__dataclass_fields__, "url"]
    rows = [
        [rfc3339(one.time) if name == "time" else str(getattr(one, name)) for name in names]
        for one in sorted(story.deployments, key=lambda one: (one.time, one.service))
    ]
    _table(folder / "deployments.csv", names, rows)


def write_labels(story: Story, folder: Path) -> None:
    """labels.csv: the faults, or the header alone where nothing was wrong."""
    times = ("start", "end", "mitigated")
    rows = [
        [rfc3339(value) if name in times else str(value) for name, value in label._asdict().items()]
        for label in story.labels
    ]
    _table(folder / "labels.csv", list(Label._fields), rows)


def _table(file: Path, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        lines = csv.writer(out, lineterminator="\n")
        lines.writerow(head)
        lines.writerows(rows)
