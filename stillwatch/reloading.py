"""New settings while we run: noticed when the file changes or somebody asks (SIGHUP), used only if they are good.

In: a way to read the file, the settings in force. Out: settings that may take their place.
Never: half of a file in force; a daemon that ends for what somebody wrote into its file.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from collector.errors import BadInput
from stillwatch.config import Settings

log = logging.getLogger(__name__)

Mark = tuple[int, int, int, int]


class Reloads:
    """file: None where there is none. read: its settings, or BadInput. usable: raises ValueError for settings that
    could not be started with. now: epoch seconds. refused: why what is in the file is not in force, "" = it is.
    counts: by outcome (taken, refused)."""

    def __init__(
        self,
        file: Path | None,
        read: Callable[[], Settings],
        usable: Callable[[Settings], None],
        now: Callable[[], int],
    ) -> None:
        self._file = file
        self._read = read
        self._usable = usable
        self._now = now
        self._asked = False
        self._mark = self._seen = None if file is None else _mark_of(file)
        self.since = now()
        self.refused = ""
        self.counts: Counter[str] = Counter()

    def ask(self) -> None:
        """Somebody wants the file to be read again; safe to call from the handler of a signal."""
        self._asked = True  # no lock: a signal may come while somebody holds it

    def look(self, current: Settings) -> Settings | None:
        """Settings that are to take the place of the current ones; None: these stay. Call it once a second: a file
        is read when it has stayed the same from one look to the next."""
        asked, self._asked = self._asked, False
        if self._file is None:
            if asked:
                log.warning("settings: there is no file to be read again; start with --config")
            return None
        mark = _mark_of(self._file)
        settled, self._seen = mark == self._seen, mark
        changed = mark is not None and mark != self._mark and settled
        if not asked and not changed:
            return None
        self._mark = mark
        return self._take(current)

    def _take(self, current: Settings) -> Settings | None:
        try:
            fresh = self._read()
            fixed = fixed_in(current, fresh)
            if fixed:
                raise ValueError(
                    f"{', '.join(fixed)} cannot change while Stillwatch runs: start it again for that"
                )
            self._usable(fresh)
        except (BadInput, ValueError) as reason:
            self.refuse(str(reason))
            return None
        except Exception:  # nothing that stands in a file ends the watch
            log.exception("settings: reading them broke")
            self.refuse("reading them broke; the log says how")
            return None
        self.refused = ""
        if fresh == current:
            log.info("settings: read again, nothing has changed")
            return None
        return fresh

    def took(self) -> None:
        """What `look` gave is in force."""
        self.refused = ""
        self.since = self._now()
        self.counts["taken"] += 1
        log.info("settings: the new ones are in force")

    def refuse(self, reason: str) -> None:
        """What is in the file is not taken, the settings in force stay."""
        self.refused = reason
        self.counts["refused"] += 1
        log.error("settings: the new ones are refused, the old ones stay in force: %s", reason)

    def health(self) -> dict[str, object]:
        """For /healthz. since: epoch seconds from which on these settings are in force."""
        return {"since": self.since, "refused": self.refused}


def fixed_in(current: Settings, fresh: Settings) -> list[str]:
    """What is other in `fresh` and cannot change while we run, as it is called in the file."""
    old, new = current.listen, fresh.listen
    parts = {
        "interval": current.interval == fresh.interval,
        "database": current.database == fresh.database,
        "listen": (old.host, old.port, old.grpc_port) == (new.host, new.port, new.grpc_port),
    }
    return [name for name, same in parts.items() if not same]


def _mark_of(file: Path) -> Mark | None:
    """Changes when the file is written, replaced, or reached by another link; None while it is not there."""
    try:
        of = os.stat(file)
    except OSError:
        return None
    return of.st_dev, of.st_ino, of.st_mtime_ns, of.st_size
