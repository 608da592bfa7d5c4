"""What is wrong with a file that somebody gave us, in one line.

In: file, row, column, what was found there and what was expected. Out: BadInput.
Never: a line break or a control character from the file in the message; a traceback for its author.
"""

from __future__ import annotations

MOST_SHOWN = 80  # characters of what was found


class BadInput(Exception):  # noqa: N818  (it reads as what happened)
    """One line that names file, row, column, what was found and what was expected.

    row: as an editor counts lines (the header of a CSV file is 1); in Parquet the first row of data is 1; 0
    where the file as a whole is meant. column: a name, or in YAML the column an editor shows. place: the path
    of keys in YAML. found: as it should be shown, see `shown`.
    """

    def __init__(
        self, file: str, row: int, column: str | int, found: str, expected: str, place: str = ""
    ) -> None:
        self.file = file
        self.row = row
        self.column = column
        self.found = found
        self.expected = expected
        self.place = place
        super().__init__(self._line())

    def _line(self) -> str:
        said = f"found {self.found}, expected {self.expected}"
        if isinstance(self.column, int):
            where = f"{self.file}:{self.row}:{self.column}" + (f": {self.place}" if self.place else "")
        else:
            parts = [f"row {self.row}"] * bool(self.row) + [f"column {self.column}"] * bool(self.column)
            where = self.file + (f": {', '.join(parts)}" if parts else "")
        return printable(f"{where}: {said}")


def shown(value: object) -> str:
    """`value` from outside, quoted, on one line and cut, to be shown to people."""
    text = str(value)
    return repr(text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…")


def printable(text: str) -> str:
    """`text` with everything that is not printable (line breaks, terminal escapes) spelt out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
