"""A terminal in place of Slack: each message in a rounded box, as a person would see it in chat.

In: a message, and the receipts of what it edits or answers. Out: lines on a stream, and a receipt.
Never: a control character from outside; colours where the stream is no terminal or NO_COLOR is set.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from difflib import SequenceMatcher
from typing import TextIO

from alerts.messages import Message
from alerts.outbox import Receipt, SendFailed
from alerts.sparkline import sparklines
from alerts.terminal_lines import Line, Piece, Style, cells, clean, cut, lines, words, wrap

APP = "Stillwatch"
NARROWEST, WIDEST = 40, 92
INDENT = 4  # of what stands in a thread
CODES: dict[Style, str] = {
    "": "", "bold": "1", "italic": "3", "code": "36", "dim": "2", "alarm": "31",
}  # fmt: skip
# For a stream that knows no more than ASCII.
PLAIN = str.maketrans("╭╮╰╯─│▏▎↳✎▲·…•−▁▂▃▄▅▆▇█\u00a0", "++++-||||*^..*-_.:-=+*# ")


class Terminal:
    """Messages for whoever looks at a terminal.

    stream: where to write (standard output). width: columns (as wide as the terminal is). colour: None asks
    the stream. now: gives epoch seconds, to show when a message came; left out, no time is shown.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        width: int | None = None,
        colour: bool | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._width = width
        self._colour = self._stream.isatty() and not os.environ.get("NO_COLOR") if colour is None else colour
        self._now = now
        self._told: dict[str, Receipt] = {}  # key -> receipt
        self._shown: dict[str, tuple[str, list[str]]] = {}  # receipt's id -> title, lines as they are now

    def send(
        self,
        message: Message,
        *,
        edits: Receipt | None = None,
        thread: Receipt | None = None,
        seek_since: int | None = None,
    ) -> Receipt:
        """Show it; of an edit only what changed. What this terminal has shown already is not shown again.

        Raises SendFailed (refused) when nobody can read it: the stream is closed.
        """
        if message.key in self._told:
            return self._told[message.key]
        width = self._columns()
        under = INDENT if thread is not None else 0
        receipt = edits or Receipt(message.channel, message.key)
        if message.chart is not None:
            body = sparklines(message.chart, width - under - 4)
        else:
            body = lines(message.text, message.blocks, width - under - 4)
        whole = body if message.chart is not None else lines(message.text, message.blocks, None)
        if edits is not None:
            self._edited(edits, whole, width)
        elif body:
            self._box(message, body, thread, width)
        title = next((words(line) for line in whole if line), "")
        self._shown[receipt.id] = (title, [words(line) for line in whole])
        self._told[message.key] = receipt
        return receipt

    def _columns(self) -> int:
        wanted = shutil.get_terminal_size((80, 24)).columns if self._width is None else self._width
        return max(NARROWEST, min(WIDEST, wanted))

    def _time(self) -> str:
        return "" if self._now is None else datetime.fromtimestamp(self._now(), UTC).strftime("%H:%M UTC")

    def _box(self, message: Message, body: Sequence[Line], thread: Receipt | None, width: int) -> None:
        """A rounded box with who, where and when in its upper edge."""
        under = INDENT if thread is not None else 0
        inner = width - under - 4
        margin = " " * under
        where = clean(message.channel)
        if thread is not None:
            about = self._shown.get(thread.id, ("", []))[0]
            self._write(
                ((margin, ""), ("↳ in the thread of ", "dim"), (cut(about, inner - 18) or where, "dim"))
            )
        said = (where if not under or message.broadcast else "", self._time())
        right = cut(" · ".join(part for part in said if part), inner - cells(APP) - 5)
        rule = "─" * (inner - cells(APP) - 1 - (cells(right) + 3 if right else 0))
        edge: list[Piece] = [(margin + "╭─ ", "dim"), (APP, "bold"), (f" {rule}", "dim")]
        edge += [(f" {right} ─╮" if right else "─╮", "dim")]
        self._write(tuple(edge))
        for line in body:
            gap = " " * max(0, inner - cells(words(line)))
            self._write(((margin + "│ ", "dim"), *line, (gap + " │", "dim")))
        self._write(((margin + "╰" + "─" * (inner + 2) + "╯", "dim"), ("\n", "")))

    def _edited(self, card: Receipt, body: Sequence[Line], width: int) -> None:
        """What an edit changed: new lines as they are, lines that went away behind a minus."""
        title, before = self._shown.get(card.id, ("", []))
        changed = _changes(before, body)
        if not changed:
            return
        when = self._time()
        # A card from before a restart is known by what it says now.
        title = title or next((words(line) for line in body if line), clean(card.channel))
        head = cut(title, width - 14 - cells(when))
        self._write((("✎ edited: ", "bold"), (head, ""), (f"  {when}" if when else "", "dim")))
        for line in changed:
            for piece in wrap(line, width - 2):
                self._write((("▎ ", "dim"), *piece))
        self._write((("", ""),))

    def _write(self, line: Line) -> None:
        said = "".join(self._styled(text, style) for text, style in line).rstrip(" ") + "\n"
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            said.encode(encoding)
        except (UnicodeEncodeError, LookupError):
            said = said.translate(PLAIN).encode("ascii", "replace").decode("ascii")
        try:
            self._stream.write(said)
            self._stream.flush()
        except (OSError, ValueError) as error:  # closed, or the reader of a pipe is gone
            raise SendFailed(f"the terminal is gone ({type(error).__name__})", "refused") from None

    def _styled(self, text: str, style: Style) -> str:
        code = CODES[style] if self._colour and text.strip() else ""
        return f"\x1b[{code}m{text}\x1b[0m" if code else text


def _changes(before: Sequence[str], after: Sequence[Line]) -> list[Line]:
    found: list[Line] = []
    matcher = SequenceMatcher(None, before, [words(line) for line in after], autojunk=False)
    for kind, start, end, first, last in matcher.get_opcodes():
        if kind == "delete":
            found += [(("− " + one, "dim"),) for one in before[start:end] if one]
        elif kind != "equal":
            found += [line for line in after[first:last] if line]
    return found
