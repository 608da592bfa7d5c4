"""Rows of `metrics` become cells: which series, which interval, how many, known since when.

In: sheets with the columns of FORMATS. Out: Cells, every row of every sheet checked; or BadInput.
Never: a row passed over, an empty value that became 0, a meaning for the order of rows or files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from collector import moments
from collector.bins import MOST_AGE, SeriesKey
from collector.errors import shown
from collector.tabular import A_NAME, Column, Sheet, is_name

NEEDED = ("time", "service", "metric", "value")
TOLD_BY = "told_by"  # which source of ours told a series
NAMED = (*NEEDED, "version", "received", "entered", TOLD_BY)
ESCAPE = "attribute."  # before an attribute that is called like one of our columns
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

Whole = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cells:
    """All rows. time: int64[rows], start of the interval; value: float64[rows], NaN = not measured;
    received: int64[rows], epoch seconds, 0 = in time; series: int64[rows], index into keys. told_by: the source
    that is asked for a series, where there is one."""

    time: Whole
    value: Floats
    received: Whole
    series: Whole
    keys: list[SeriesKey]
    told_by: Mapping[SeriesKey, str] = field(default_factory=dict)


def _taken(attribute: str) -> bool:
    """Can no column be called like that? Its name is one of ours, or blank."""
    return attribute in NAMED or attribute.startswith(ESCAPE) or not attribute.strip()


def attribute_of(column: str) -> str:
    """The attribute that a column holds."""
    rest = column.removeprefix(ESCAPE)
    return rest if rest != column and _taken(rest) else column


def column_of(attribute: str) -> str:
    """The column that holds an attribute; the inverse of `attribute_of`."""
    return ESCAPE + attribute if _taken(attribute) else attribute


def cells(sheets: Sequence[Sheet], width: int) -> Cells:
    """Rows of all `sheets`, for intervals of `width` seconds. Raises BadInput."""
    for sheet in sheets:
        for name in NEEDED:
            if name not in sheet.columns:
                raise sheet.bad(-1, name, "no such column", f"the columns {', '.join(NEEDED)}")
    time = np.concatenate([_times(sheet, width) for sheet in sheets])
    value = np.concatenate([_values(sheet) for sheet in sheets])
    received = np.concatenate([_received(sheet) for sheet in sheets])
    entered = np.concatenate([_entered(sheet, width) for sheet in sheets])
    series, keys = _series(sheets)
    told_by = _told_by(sheets, series, keys)
    found = Cells(time, value, received, series, keys, told_by)
    _check_order(sheets, found)
    _check_repeats(sheets, found, entered)
    if (entered > 0).any():
        age = np.where(entered > 0, np.minimum((time - entered) // width, MOST_AGE), -1)
        series, keys = _by_age(series, keys, age)
        found = Cells(time, value, received, series, keys, told_by)
    return found


def _by_age(series: Whole, keys: list[SeriesKey], age: Whole) -> tuple[Whole, list[SeriesKey]]:
    """A series of its own for each age: int64[rows], and the keys that it points at.

    age: int64[rows], intervals since the entry, -1 = not said.
    """
    pairs, series = np.unique(series * (MOST_AGE + 2) + age + 1, return_inverse=True)
    told = [divmod(pair, MOST_AGE + 2) for pair in pairs.tolist()]
    return series.astype(np.int64), [keys[i].aged(old - 1) if old else keys[i] for i, old in told]


def _locate(sheets: Sequence[Sheet], row: int) -> tuple[Sheet, int]:
    """The sheet that holds row number `row` of all, and the number that it has there."""
    for sheet in sheets[:-1]:
        if row < sheet.rows:
            return sheet, row
        row -= sheet.rows
    return sheets[-1], row


# Columns of one sheet.


def _each(sheet: Sheet, name: str, read: Callable[[str], float], default: float, must: str = "") -> Floats:
    """float64[rows]: `read` of each text, asked once for each. default: where empty. must: what is expected
    where nothing may be missing. ValueError from `read` says what was expected."""
    column = sheet.columns[name]
    if column.numbers is not None:
        numbers = column.numbers
        missing = np.isnan(numbers)
    else:
        known = np.full(len(column.texts) + 1, default)
        wrong: dict[int, str] = {}
        for code, text in enumerate(column.texts):
            try:
                known[code] = read(text)
            except ValueError as error:
                wrong[code] = str(error)
        if wrong:
            bad = np.flatnonzero(np.isin(column.codes, list(wrong)))
            if len(bad):
                code = int(column.codes[bad[0]])
                raise sheet.bad(int(bad[0]), name, shown(column.texts[code]), wrong[code])
        numbers = known[column.codes]  # the code -1 is the last place
        missing = column.codes < 0
    if must and missing.any():
        raise sheet.bad(int(np.argmax(missing)), name, "nothing", must)
    return np.where(missing, default, numbers)


def _in_range(sheet: Sheet, name: str, times: Floats) -> Floats:
    """Times that a file holds as numbers were not looked at one by one."""
    wrong = ~((times >= 0) & (times < moments.LATEST))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise sheet.bad(
            row,
            name,
            shown(f"{times[row]:.15g}"),
            "a time between 1970 and 2100 (epoch seconds, not milliseconds)",
        )
    return times


def _times(sheet: Sheet, width: int) -> Whole:
    times = _in_range(sheet, "time", _each(sheet, "time", moments.seconds, math.nan, moments.EXPECTED))
    off = times % width != 0
    if off.any():
        row = int(np.argmax(off))
        column = sheet.columns["time"]
        found = f"{times[row]:.15g}" if column.numbers is not None else column.texts[int(column.codes[row])]
        expected = f"the start of an interval of {width} s (a multiple of {width} s since 1970)"
        raise sheet.bad(row, "time", shown(found), expected)
    return times.astype(np.int64)


def _received(sheet: Sheet) -> Whole:
    if "received" not in sheet.columns:
        return np.zeros(sheet.rows, dtype=np.int64)
    times = _in_range(sheet, "received", _each(sheet, "received", moments.seconds, 0.0))
    # Known in the course of a second is known at its end: never early.
    return np.ceil(times).astype(np.int64)


def _entered(sheet: Sheet, width: int) -> Whole:
    """int64[rows]: start of the interval in which the events entered, 0 = not said."""
    if "entered" not in sheet.columns:
        return np.zeros(sheet.rows, dtype=np.int64)
    times = _in_range(sheet, "entered", _each(sheet, "entered", moments.seconds, 0.0))
    entered = times.astype(np.int64) // width * width
    later = entered > _times(sheet, width)
    if later.any():
        row = int(np.argmax(later))
        found = shown(moments.rfc3339(int(times[row])))
        raise sheet.bad(row, "entered", found, "a time in the interval in which it is counted, or before it")
    return entered


def _values(sheet: Sheet) -> Floats:
    values = _each(sheet, "value", _number, math.nan)
    wrong = (values < 0) | np.isinf(values)
    if wrong.any():
        row = int(np.argmax(wrong))
        expected = (
            "a finite number" if np.isinf(values[row]) else "a count of 0 or more (empty = not measured)"
        )
        raise sheet.bad(row, "value", shown(f"{values[row]:.15g}"), expected)
    return values


def _number(text: str) -> float:
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    if text.lower().lstrip("+-") in ("inf", "infinity"):
        return math.inf
    if text.lower() == "nan" or not text:
        return math.nan
    raise ValueError("a number (empty = not measured)")


# Which series.


def _series(sheets: Sequence[Sheet]) -> tuple[Whole, list[SeriesKey]]:
    """int64[rows], and the keys that it points at."""
    attributes = sorted({name for sheet in sheets for name in sheet.columns} - set(NAMED))
    names = ["service", "metric", "version", *attributes]
    series = np.zeros(sum(sheet.rows for sheet in sheets), dtype=np.int64)
    told: list[tuple[str, ...]] = [()]
    for name in names:
        codes, texts = _joined(sheets, name)
        # Numbered anew after each column, so that many columns do not overflow.
        pairs, series = np.unique(series * (len(texts) + 1) + codes + 1, return_inverse=True)
        told = [
            (
                *told[pair // (len(texts) + 1)],
                texts[pair % (len(texts) + 1) - 1] if pair % (len(texts) + 1) else "",
            )
            for pair in pairs.tolist()
        ]
    columns = [attribute_of(name) for name in attributes]
    keys = [
        SeriesKey(
            service,
            metric,
            version,
            tuple(sorted((a, value) for a, value in zip(columns, values, strict=True) if value)),
        )
        for service, metric, version, *values in told
    ]
    return series.astype(np.int64), keys


def _told_by(sheets: Sequence[Sheet], series: Whole, keys: list[SeriesKey]) -> dict[SeriesKey, str]:
    """The source of each series that names one in any of its rows; of several the first."""
    if not any(TOLD_BY in sheet.columns for sheet in sheets):
        return {}
    codes, names = _joined(sheets, TOLD_BY)
    rows = np.flatnonzero(codes >= 0)
    mine, first = np.unique(series[rows], return_index=True)
    return {keys[i]: names[code] for i, code in zip(mine.tolist(), codes[rows][first].tolist(), strict=True)}


def _joined(sheets: Sequence[Sheet], name: str) -> tuple[Whole, list[str]]:
    """One column of all sheets: int64[rows], index into texts, -1 = empty."""
    places: dict[str, int] = {}
    parts: list[Whole] = []
    for sheet in sheets:
        column = sheet.columns.get(name, Column(np.full(sheet.rows, -1, dtype=np.int64), []))
        if name in ("service", "metric") and (column.codes < 0).any():
            raise sheet.bad(int(np.argmax(column.codes < 0)), name, "nothing", f"the name of a {name}")
        by_hand = name in NAMED and sheet.path.suffix == ".csv"
        odd = [i for i, text in enumerate(column.texts) if by_hand and not is_name(text)]
        if odd and (rows := np.flatnonzero(np.isin(column.codes, odd))).size:
            text = column.texts[int(column.codes[rows[0]])]
            raise sheet.bad(int(rows[0]), name, shown(text), A_NAME)
        place = np.array(
            [places.setdefault(text, len(places)) for text in column.texts] + [-1], dtype=np.int64
        )
        parts.append(place[column.codes])
    return np.concatenate(parts), list(places)


# What no single row shows.


def _check_order(sheets: Sequence[Sheet], found: Cells) -> None:
    """Within a CSV file, rows of one series are in order of time; what was received late is exempt."""
    sheet_of = np.repeat(np.arange(len(sheets)), [sheet.rows for sheet in sheets])
    csv = np.array([sheet.path.suffix == ".csv" for sheet in sheets])
    rows = np.flatnonzero((found.received == 0) & csv[sheet_of])
    line = found.series[rows] * len(sheets) + sheet_of[rows]
    order = rows[np.argsort(line, kind="stable")]
    line, time = found.series[order] * len(sheets) + sheet_of[order], found.time[order]
    back = (line[1:] == line[:-1]) & (time[1:] < time[:-1])
    if back.any():
        at = int(order[1:][back].min())
        before = int(order[:-1][order[1:] == at][0])
        sheet, row = _locate(sheets, at)
        said = f"{moments.rfc3339(int(found.time[at]))} after {moments.rfc3339(int(found.time[before]))}"
        raise sheet.bad(row, "time", said, "the rows of a series in order of time")


def _check_repeats(sheets: Sequence[Sheet], found: Cells, entered: Whole) -> None:
    """One row for each series, interval and entry, or several that became known at different moments."""
    keys = (found.received, found.time, found.series) if found.received.any() else (found.time, found.series)
    if entered.any():
        keys = (entered, *keys)
    order = np.lexsort(keys)
    same = np.ones(max(len(order) - 1, 0), dtype=np.bool_)
    for key in keys:
        same &= key[order[1:]] == key[order[:-1]]
    if same.any():
        sheet, row = _locate(sheets, int(np.maximum(order[1:], order[:-1])[same].min()))
        said = "a second row of the same series and interval"
        if "received" in sheet.columns:
            said += ", received at the same time"
        raise sheet.bad(row, "time", said, "one row for each")
