"""The small tables of a dataset: what was deployed, what was said of incidents, and what was truly wrong.

In: deployments, words and labels, as CSV or Parquet. Out: Deployment, Word, Label, every row checked; or BadInput.
Never: a column passed over that nobody knows, a time without an offset, a link that is not http.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from collector import moments, tabular
from collector.deployments import Deployment, DeploymentKind
from collector.errors import BadInput, shown
from collector.tabular import Sheet
from collector.words import Word, WordKind

DEPLOYMENT = (
    "time", "service", "version", "id", "previous_version", "environment", "url", "revision", "author", "kind",
    "description", "reported",
)  # fmt: skip
WORD = ("time", "incident", "kind", "who", "deployment", "service", "reported")
GAP = ("start", "end")
LABEL = (
    "start", "end", "service", "kind", "signal", "deployment", "deployment_service", "mitigated", "lost", "note",
)  # fmt: skip
DEPLOYMENT_KINDS = ("deploy", "rollback", "config", "flag")
WORD_KINDS = ("acknowledge", "not a problem", "not this deployment", "roll back")
LABEL_KINDS = ("error_spike", "data_loss", "no_data", "rollout")


@dataclass(frozen=True, slots=True)
class Label:
    """A fault that a perfect watcher would have found. Times in epoch seconds; mitigated: 0 = never rolled back.

    deployment: id of the release that caused it, "" when none did; deployment_service: the member of it.
    lost: true number of events failed or missing, NaN = not known.
    """

    start: int
    end: int
    service: str
    kind: str
    signal: str = ""
    deployment: str = ""
    deployment_service: str = ""
    mitigated: int = 0
    lost: float = math.nan
    note: str = ""


def read_deployments(folder: Path) -> tuple[Deployment, ...]:
    """The deployments of a dataset in the order of their rows, none where there is no file. Raises BadInput."""
    sheet = _sheet(folder, "deployments", DEPLOYMENT, ("time", "service", "version"))
    if sheet is None:
        return ()
    found: dict[tuple[str, str], Deployment] = {}
    for i, row in enumerate(tabular.records(sheet)):
        one = _deployment(sheet, i, row)
        if (one.id, one.service) in found:
            raise sheet.bad(i, "service", shown(one.service), "each service once in a release (same id)")
        found[one.id, one.service] = one
    return tuple(found.values())


def read_words(folder: Path) -> tuple[Word, ...]:
    """What was said of incidents, in the order of the rows, nothing where there is no file. Raises BadInput."""
    sheet = _sheet(folder, "words", WORD, ("time", "incident", "kind", "who"))
    if sheet is None:
        return ()
    return tuple(
        Word(
            incident=_named(sheet, i, row, "incident"),
            kind=cast(WordKind, _one_of(sheet, i, row, "kind", WORD_KINDS)),
            who=row["who"],
            time=_time(sheet, i, row, "time", needed=True),
            deployment=row.get("deployment", ""),
            service=row.get("service", ""),
            reported=_time(sheet, i, row, "reported", needed=False),
        )
        for i, row in enumerate(tabular.records(sheet))
    )


def read_labels(folder: Path) -> tuple[Label, ...] | None:
    """The faults of a dataset in the order of their rows, None where there is no file. Raises BadInput."""
    sheet = _sheet(folder, "labels", LABEL, ("start", "end", "service", "kind"))
    if sheet is None:
        return None
    return tuple(_label(sheet, i, row) for i, row in enumerate(tabular.records(sheet)))


def read_gaps(folder: Path) -> tuple[tuple[int, int], ...]:
    """(start, end), epoch seconds, of the times in which nobody listened. Raises BadInput."""
    sheet = _sheet(folder, "gaps", GAP, GAP)
    if sheet is None:
        return ()
    found = []
    for i, row in enumerate(tabular.records(sheet)):
        start, end = _time(sheet, i, row, "start", True), _time(sheet, i, row, "end", True)
        if end <= start:
            raise sheet.bad(i, "end", shown(row["end"]), "a time after start")
        found.append((start, end))
    return tuple(found)


def write_gaps(path: Path, gaps: Sequence[tuple[int, int]]) -> None:
    """gaps.csv, as `read_gaps` reads it."""
    with path.open("w", encoding="utf-8", newline="") as out:
        lines = csv.writer(out, lineterminator="\n")
        lines.writerow(GAP)
        lines.writerows((moments.rfc3339(start), moments.rfc3339(end)) for start, end in gaps)


def write_deployments(path: Path, deployments: Sequence[Deployment]) -> None:
    """deployments.csv, as `read_deployments` reads it."""
    _write(path, DEPLOYMENT, deployments)


def write_words(path: Path, words: Sequence[Word]) -> None:
    """words.csv, as `read_words` reads it."""
    _write(path, WORD, words)


def _write(path: Path, columns: Sequence[str], rows: Sequence[Deployment | Word]) -> None:
    """A table whose first column is `time` and whose last is `reported`."""
    with path.open("w", encoding="utf-8", newline="") as out:
        lines = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
        lines.writerow(columns)
        for one in rows:
            texts = [str(getattr(one, name)) for name in columns]
            texts[0] = moments.rfc3339(one.time)
            texts[-1] = moments.rfc3339(one.reported) if one.reported else ""
            lines.writerow(texts)


def _sheet(folder: Path, name: str, known: Sequence[str], needed: Sequence[str]) -> Sheet | None:
    there = [
        folder / f"{name}{suffix}" for suffix in tabular.SUFFIXES if (folder / f"{name}{suffix}").exists()
    ]
    if not there:
        return None
    if len(there) > 1:
        raise BadInput(folder.name, 0, "", f"{there[0].name} and {there[1].name}", "one of them")
    sheet = tabular.read(there[0], there[0].name, tuple(n for n in known if n in TIMES or n == "lost"))
    for column in needed:
        if column not in sheet.columns:
            raise sheet.bad(-1, column, "no such column", f"the columns {', '.join(needed)}")
    for column in sheet.columns:
        if column not in known:
            raise sheet.bad(-1, column, "an unknown column", f"one of {', '.join(known)}")
    return sheet


TIMES = ("time", "reported", "start", "end", "mitigated")


def _time(sheet: Sheet, i: int, row: dict[str, str], name: str, needed: bool) -> int:
    text = row.get(name, "")
    if not text:
        if needed:
            raise sheet.bad(i, name, "nothing", moments.EXPECTED)
        return 0
    try:
        return math.floor(moments.seconds(text))
    except ValueError as error:
        raise sheet.bad(i, name, shown(text), str(error)) from None


def _named(sheet: Sheet, i: int, row: dict[str, str], name: str) -> str:
    if not row[name].strip():
        raise sheet.bad(i, name, "nothing", f"a {name}")
    return row[name]


def _one_of(sheet: Sheet, i: int, row: dict[str, str], name: str, known: Sequence[str]) -> str:
    if row[name] not in known:
        found = shown(row[name]) if row[name] else "nothing"
        raise sheet.bad(i, name, found, f"one of {', '.join(known)}")
    return row[name]


def _deployment(sheet: Sheet, i: int, row: dict[str, str]) -> Deployment:
    time = _time(sheet, i, row, "time", needed=True)
    service, version = _named(sheet, i, row, "service"), _named(sheet, i, row, "version")
    if not row.get("kind"):
        row = {**row, "kind": "deploy"}
    if row.get("url") and not row["url"].startswith(("https://", "http://")):
        raise sheet.bad(i, "url", shown(row["url"]), "a link that begins with https:// or http://")
    return Deployment(
        # A row of its own is a release of its own.
        id=row.get("id") or f"{service} {version} {moments.rfc3339(time)}",
        time=time,
        service=service,
        version=version,
        previous_version=row.get("previous_version", ""),
        environment=row.get("environment", ""),
        url=row.get("url", ""),
        revision=row.get("revision", ""),
        author=row.get("author", ""),
        kind=cast(DeploymentKind, _one_of(sheet, i, row, "kind", DEPLOYMENT_KINDS)),
        description=row.get("description", ""),
        reported=_time(sheet, i, row, "reported", needed=False),
    )


def _label(sheet: Sheet, i: int, row: dict[str, str]) -> Label:
    start, end = (_time(sheet, i, row, name, needed=True) for name in ("start", "end"))
    if end <= start:
        raise sheet.bad(i, "end", shown(row["end"]), "a time after start")
    lost = math.nan
    if row.get("lost"):
        try:
            lost = float(row["lost"])
        except ValueError:
            lost = -1.0
        if not (math.isfinite(lost) and lost >= 0):
            raise sheet.bad(i, "lost", shown(row["lost"]), "a number of 0 or more (empty = not known)")
    return Label(
        start=start,
        end=end,
        service=_named(sheet, i, row, "service"),
        kind=_one_of(sheet, i, row, "kind", LABEL_KINDS),
        signal=row.get("signal", ""),
        deployment=row.get("deployment", ""),
        deployment_service=row.get("deployment_service", ""),
        mitigated=_time(sheet, i, row, "mitigated", needed=False),
        lost=lost,
        note=row.get("note", ""),
    )
