"""Who answers where: the address book of the demo's platform, one file that everybody reads.

In: services and the URLs at which they serve. Out: one URL for a request, any of those in service.
Never: a check whether somebody is at home.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

BOOK = "addresses.json"


def publish(folder: Path, book: Mapping[str, Sequence[str]]) -> None:
    """Replace the address book at one stroke: a reader sees the old one or the new one, never half of it."""
    draft = folder / (BOOK + ".draft")
    draft.write_text(json.dumps(book))
    os.replace(draft, folder / BOOK)


class Addresses:
    """The book as one reader sees it: read again when it was replaced."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / BOOK
        self._edition = (-1, -1)
        self._book: dict[str, list[str]] = {}
        self._turn = itertools.count()

    def of(self, service: str) -> str:
        """The URL for the next request to `service`: everybody in service takes turns.

        Raises KeyError while nobody serves under that name.
        """
        # The inode is asked as well: two editions within one tick of the file system's clock look alike.
        written = self._path.stat()
        if (written.st_mtime_ns, written.st_ino) != self._edition:
            self._book = json.loads(self._path.read_text())
            self._edition = (written.st_mtime_ns, written.st_ino)
        serving = self._book[service]
        return serving[next(self._turn) % len(serving)]
