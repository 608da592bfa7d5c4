"""One CSV or Parquet file as columns of text and numbers. pyarrow lives here.

In: a path. Out: columns, each text once in a list and a code for it in every row; or BadInput.
Never: a meaning (see metrics_file.py and rows.py), a row left out, a guess at a type.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from collector.errors import BadInput, shown

SUFFIXES = (".csv", ".parquet")
A_NAME = "a name without control characters, and without spaces around it"


def is_name(text: str) -> bool:
    """Can people read it, write it in a configuration, and mean the same?"""
    return text.isprintable() and text == text.strip()


@dataclass(frozen=True, slots=True)
class Column:
    """codes: int64[rows], index into texts, -1 = empty. numbers: float64[rows] where the file holds numbers
    (Parquet), NaN = empty, else None; then there are no texts."""

    codes: NDArray[np.int64]
    texts: list[str]
    numbers: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file's columns by name, all of equal length."""

    path: Path
    file: str
    columns: dict[str, Column]
    rows: int

    def bad(self, record: int, column: str, found: str, expected: str) -> BadInput:
        """What is wrong in row number `record` (0 is the first row of data), placed as an editor counts."""
        return BadInput(self.file, self._line(record), column, found, expected)

    def _line(self, record: int) -> int:
        if self.path.suffix == ".parquet":
            return record + 1
        return next((line for i, (line, _) in enumerate(_records(self.path)) if i == record + 1), 0)


def read(path: Path, file: str, numeric: tuple[str, ...] = ()) -> Sheet:
    """The columns of `path`. file: its name for messages. numeric: columns that may hold numbers as numbers.

    Raises BadInput: unreadable, wrong number of fields, a header without or with repeated names.
    """
    try:
        if path.suffix == ".parquet":
            return _from_parquet(path, file, numeric)
        return _from_csv(path, file)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise BadInput(file, 0, "", str(error).partition("\n")[0][:200], "a sound file") from None
    except OSError as error:
        # pyarrow's own text may be long; the reason of the system is enough.
        reason = error.strerror or str(error).partition("\n")[0]
        raise BadInput(file, 0, "", reason.lower(), "a file to read") from None


def _from_csv(path: Path, file: str) -> Sheet:
    names = _header(path, file)
    text = pa.dictionary(pa.int32(), pa.string())
    try:
        table = pacsv.read_csv(
            path,
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, text),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise _csv_fault(path, file, names, str(error)) from None
    columns = {name: _column(table.column(i)) for i, name in enumerate(names)}
    return Sheet(path, file, columns, table.num_rows)


def _header(path: Path, file: str) -> list[str]:
    try:
        line, names = next(_records(path))
    except StopIteration:
        raise BadInput(file, 1, "", "an empty file", "a header") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise _csv_fault(path, file, [], str(error)) from None
    return _names(names, file, line)


def _names(names: list[str], file: str, line: int) -> list[str]:
    for i, name in enumerate(names):
        if not name.strip():
            raise BadInput(file, line, str(i + 1), "a column without a name", "a name")
        if name in names[:i]:
            raise BadInput(file, line, name, "the same column a second time", "it once")
    return names


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line on which it begins, fields) of each record, the header included; blank lines are none."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines)
        begins = 1
        for fields in reader:
            if fields:
                yield begins, fields
            begins = reader.line_num + 1


def _csv_fault(path: Path, file: str, names: list[str], said: str) -> BadInput:
    """Find the row that pyarrow could not take: it does not say which."""
    try:
        for line, found in _records(path):
            if len(found) != len(names):
                column = names[len(found)] if len(found) < len(names) else str(len(names) + 1)
                noun = "field" if len(found) == 1 else "fields"
                return BadInput(file, line, column, f"{len(found)} {noun}", f"{len(names)}, as in the header")
    except UnicodeDecodeError:
        raw = path.read_bytes()
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            return BadInput(file, line, "", f"the byte {raw[error.start]:#04x}", "UTF-8")
    except csv.Error as error:
        return BadInput(file, 0, "", str(error), "CSV")
    return BadInput(file, 0, "", said.partition("\n")[0][:200], "CSV")


def _from_parquet(path: Path, file: str, numeric: tuple[str, ...]) -> Sheet:
    table = pq.ParquetFile(path).read()
    # pandas writes its row labels as a column; they are no attribute of anything.
    kept = [i for i, name in enumerate(table.column_names) if not name.startswith("__index_level_")]
    names = _names([table.column_names[i] for i in kept], file, 0)
    columns: dict[str, Column] = {}
    for name, i in zip(names, kept, strict=True):
        columns[name] = _parquet_column(table.column(i), name, file, name in numeric)
    return Sheet(path, file, columns, table.num_rows)


def _parquet_column(column: pa.ChunkedArray, name: str, file: str, numeric: bool) -> Column:
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if pa.types.is_timestamp(kind):
        if kind.tz is None:
            raise BadInput(file, 0, name, "timestamps without a time zone", "timestamps in UTC")
        micros = pc.cast(pc.cast(column, pa.timestamp("us", kind.tz), safe=False), pa.int64())
        return _numbers(micros, 1_000_000.0)
    if numeric and is_number:
        return _numbers(column, 1.0)
    if is_number or pa.types.is_boolean(kind):
        column = pc.cast(column, pa.string())
    elif not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise BadInput(file, 0, name, f"a column of type {shown(kind)}", "text or numbers")
    return _column(pc.cast(column, pa.string()).dictionary_encode())


def _numbers(column: pa.ChunkedArray, scale: float) -> Column:
    numbers = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False) / scale
    empty = np.zeros(0, dtype=np.int64)
    return Column(empty, [], np.asarray(numbers, dtype=np.float64))


def _column(column: pa.ChunkedArray) -> Column:
    """A dictionary column; an empty text is nothing."""
    one = column.unify_dictionaries().combine_chunks()
    if isinstance(one, pa.ChunkedArray):
        one = one.chunk(0) if one.num_chunks else pa.array([], pa.string()).dictionary_encode()
    codes = np.asarray(pc.fill_null(one.indices, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
    texts = [str(text) for text in one.dictionary.to_pylist()]
    if "" in texts:
        codes = np.where(codes == texts.index(""), -1, codes)
    return Column(codes, texts)


def records(sheet: Sheet) -> list[dict[str, str]]:
    """The rows of a small sheet as texts by column, "" where empty."""
    texts = {name: _texts(column) for name, column in sheet.columns.items()}
    return [{name: texts[name][i] for name in texts} for i in range(sheet.rows)]


def _texts(column: Column) -> list[str]:
    if column.numbers is not None:
        return ["" if np.isnan(x) else f"{x:.15g}" for x in column.numbers.tolist()]
    return [column.texts[code] if code >= 0 else "" for code in column.codes.tolist()]
