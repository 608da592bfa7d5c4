"""Follows files as they grow: each line once, over rotation and restarts.

In: paths, and how far each file was read. Out: whole new lines, and how far they go.
Never: a line that is not finished, a line read twice because its file got another name.

A file is known by its beginning, not by its name or number: a renamed one and a copy go on where it was read, and
one that was emptied begins anew.
"""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from collector.asked import SourceFailed

BEGINNING = 1024  # bytes by which a file is known
AT_ONCE = 1 << 20  # bytes
LONGEST = 1 << 20  # bytes of a line; what is longer is none
PACKED = {".gz", ".bz2", ".xz", ".zst", ".zip"}  # what rotation makes of old files; it says nothing new
_ROTATED = re.compile(r"[.-](\d[\dTZ._-]*|old|bak|prev)")


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a file was read. length, hash: of the beginning that it is known by; inode: its number, as a hint."""

    path: str
    inode: int
    length: int
    hash: str
    offset: int


@dataclass(frozen=True, slots=True)
class Line:
    """number: of the line as far as it was read this time, for messages. text: without its end."""

    path: Path
    number: int
    text: str


class Followed:
    """patterns: paths, with `*` and `?`. marks: of the last time; after `lines` has ended, of this one."""

    def __init__(self, patterns: tuple[str, ...], marks: tuple[Mark, ...]) -> None:
        self._patterns = patterns
        self.marks = marks

    def lines(self, since: int) -> Iterator[Line]:
        """All new whole lines. since: epoch seconds; older files that we never read are left alone.

        Raises SourceFailed: no file, or none that can be read.
        """
        found: list[Mark] = []
        bases = self._bases()
        if not bases:
            raise SourceFailed(
                f"no file matches {', '.join(self._patterns)}; is the path right, and may we look there? "
                "(Packed files are not read.)"
            )
        try:
            for base in bases:
                for path, mark in self._known(base, since):
                    marked = yield from _read(path, mark, base)
                    found.append(marked)
        except OSError as error:
            why = error.strerror or str(error)
            raise SourceFailed(f"{error.filename}: cannot be read ({why}); may we read it?") from None
        self.marks = tuple(found)

    def _bases(self) -> list[Path]:
        """The files that are followed, without those that another one was rotated to."""
        names = {Path(name) for pattern in self._patterns for name in glob.glob(pattern)}
        there = sorted(path for path in names if path.suffix not in PACKED and path.is_file())
        return [path for path in there if not any(_is_rotated(path, base) for base in there)]

    def _known(self, base: Path, since: int) -> list[tuple[Path, Mark]]:
        """The file at `base` and what it was rotated to, oldest first, and how far each was read."""
        before = [mark for mark in self.marks if mark.path == str(base)]
        files = [base] if base.exists() else []
        files += [path for path in base.parent.iterdir() if _is_rotated(path, base) and path.is_file()]
        files.sort(key=lambda path: (path == base, path.stat().st_mtime_ns, path.name))
        taken: dict[Path, Mark] = {}
        for same in (True, False):  # first those that kept their number
            for path in files:
                free = [mark for mark in before if mark not in taken.values() and path not in taken]
                for mark in free:
                    if (path.stat().st_ino == mark.inode or not same) and _begins_as(path, mark):
                        taken[path] = mark
                        break
        new = Mark(str(base), 0, 0, "", 0)
        for path in files:
            copied = any(mark.length and _begins_as(path, mark) for mark in before)
            if path not in taken and not copied and (path == base or path.stat().st_mtime >= since):
                taken[path] = new
        return [(path, taken[path]) for path in files if path in taken]


def _is_rotated(path: Path, base: Path) -> bool:
    rest = path.name.removeprefix(base.name)
    return path.parent == base.parent and rest != path.name and _ROTATED.fullmatch(rest) is not None


def _begins_as(path: Path, mark: Mark) -> bool:
    with path.open("rb") as file:
        start = file.read(mark.length)
    return path.stat().st_size >= mark.offset and _hash(start) == mark.hash


def _hash(start: bytes) -> str:
    return hashlib.sha256(start).hexdigest()[:32]


def _read(path: Path, mark: Mark, base: Path) -> Generator[Line, None, Mark]:
    """The whole lines from `mark` on; returns the mark after them."""
    number, offset, rest, skipping = 0, mark.offset, b"", False
    with path.open("rb") as file:
        file.seek(offset)
        while part := file.read(AT_ONCE):
            *whole, rest = (rest + part).split(b"\n")
            for raw in whole:
                number, offset = number + 1, offset + len(raw) + 1
                if not skipping:
                    yield Line(path, number, raw.decode("utf-8", "replace").rstrip("\r"))
                skipping = False
            if len(rest) > LONGEST:
                offset, rest, skipping = offset + len(rest), b"", True
        file.seek(0)
        start = file.read(min(BEGINNING, offset))
    return Mark(str(base), path.stat().st_ino, len(start), _hash(start), offset)


def header_of(path: Path) -> str:
    """The first line of a file. Raises SourceFailed."""
    try:
        with path.open("rb") as file:
            return file.readline(LONGEST).decode("utf-8-sig", "replace").rstrip("\r\n")
    except OSError as error:
        raise SourceFailed(f"{path}: cannot be read ({error.strerror})") from None
