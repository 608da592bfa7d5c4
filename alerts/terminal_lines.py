"""Blocks as lines of styled words, for a reader without Slack. Pure.

In: the text and the blocks of a message. Out: lines, each a few pieces of text with a style, wrapped to a width.
Never: colours or boxes (terminal.py has them), a control character from outside.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Literal

Style = Literal["", "bold", "italic", "code", "dim", "alarm"]
Piece = tuple[str, Style]
Line = tuple[Piece, ...]

ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)|\x1b.?|\x9b[0-?]*[ -/]*[@-~]"
)
ANGLE = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")
MARKS = re.compile(
    r"`(?P<code>[^`\n]+)`"
    r"|(?<![\w*])\*(?P<bold>[^\s*](?:[^*\n]*[^\s*])?)\*(?![\w*])"
    r"|(?<![\w_])_(?P<italic>[^\s_](?:[^_\n]*[^\s_])?)_(?![\w_])"
    r"|(?<![\w~])~(?P<dim>[^\s~](?:[^~\n]*[^\s~])?)~(?![\w~])"
)
BULLET = re.compile(r"\s*(?:[•◦▪–-]|\d+\.)\s+|\s+")


def clean(text: str) -> str:
    """One line without escape sequences, control characters, bidirectional overrides, zero-width characters."""
    bare = ESCAPES.sub("", text)
    for blank in "\n\t\u2028\u2029":
        bare = bare.replace(blank, " ")
    return "".join(one for one in bare if unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Co"))


def cells(text: str) -> int:
    """Columns that a terminal needs for it."""
    return sum(_cell(one) for one in text)


def _cell(one: str) -> int:
    if unicodedata.combining(one) or one in "\ufe0e\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1


def cut(text: str, room: int) -> str:
    """The beginning of a text, with an ellipsis where it goes on."""
    if cells(text) <= room:
        return text
    kept = text
    while kept and cells(kept) > room - 1:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def words(line: Line) -> str:
    """The line without its styles."""
    return "".join(text for text, _ in line)


def lines(text: str, blocks: Sequence[dict[str, Any]], width: int | None) -> list[Line]:
    """What a person would read; the first line is bold. An empty line stands between blocks.

    width: columns to wrap to; None leaves every line whole, so that two versions can be compared.
    """
    found: list[Line] = []
    for block in blocks or [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]:
        shown = _block(block, width)
        if found and shown:
            found.append(())
        found += shown
    if found:
        found[0] = tuple((piece, "bold") for piece, _ in found[0])
    return found


def _block(block: dict[str, Any], width: int | None) -> list[Line]:
    kind = block.get("type")
    if kind == "divider":
        return [(("─" * (width or 3), "dim"),)]
    if kind == "context":
        said = [_said(one) for one in block.get("elements", ())]
        joined = "   ".join(words(line) for one in said for line in one)
        return wrap(((joined, "dim"),), width)
    if kind == "actions":
        return wrap(tuple(_button(one) for one in block.get("elements", ())), width)
    if kind == "image":
        return wrap(((f"[picture: {clean(str(block.get('alt_text', '')))}]", "dim"),), width)
    if kind in ("header", "section", "markdown"):
        found = [piece for line in _said(block.get("text")) for piece in wrap(line, width)]
        return found + _fields(block.get("fields", ()), width)
    return wrap(((" ".join(_strings(block)), ""),), width)


def _button(element: dict[str, Any]) -> Piece:
    label = " ".join(words(line) for line in _said(element.get("text") or element.get("placeholder")))
    url = clean(str(element.get("url", "")))
    return (f"[ {label} ]".replace(" ", "\u00a0") + (f" ({url})" if url else "") + "  ", "dim")


def _fields(fields: Iterable[Any], width: int | None) -> list[Line]:
    """Two columns, as Slack lays them out; one where the terminal is narrow."""
    shown = list(fields)
    half = ((width or 0) - 2) // 2
    if half < 24:
        return [piece for one in shown for line in _said(one) for piece in wrap(line, width)]
    found: list[Line] = []
    for at in range(0, len(shown), 2):
        pair = [[p for line in _said(one) for p in wrap(line, half)] for one in shown[at : at + 2]]
        for row in range(max(len(column) for column in pair)):
            left = pair[0][row] if row < len(pair[0]) else ()
            right = pair[1][row] if len(pair) > 1 and row < len(pair[1]) else ()
            gap = " " * (half + 2 - cells(words(left)))
            found.append((*left, (gap, ""), *right) if right else left)
    return found


def _strings(node: Any) -> Iterable[str]:
    if isinstance(node, dict):
        if isinstance(node.get("text"), str):
            yield clean(node["text"])
        for key, value in node.items():
            if key != "text" or not isinstance(value, str):
                yield from _strings(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _strings(value)


def _said(text: Any) -> list[Line]:
    """A text object as lines, not wrapped yet."""
    if isinstance(text, str):
        return mrkdwn(text)
    if not isinstance(text, dict):
        return []
    said = str(text.get("text", ""))
    if text.get("type") == "plain_text":
        return [((clean(one), ""),) for one in said.split("\n")]
    return mrkdwn(said)


def mrkdwn(text: str) -> list[Line]:
    """Slack's markup as lines: marks become styles, links `label (url)`, entities what they stand for."""
    found: list[Line] = []
    parts = ESCAPES.sub("", text).split("```")
    for number, part in enumerate(parts):
        if number % 2:
            found += [((_entities(raw), "code"),) for raw in part.strip("\n").split("\n")]
        elif part.strip("\n") or len(parts) == 1:
            found += [_marked(raw) for raw in (part if len(parts) == 1 else part.strip("\n")).split("\n")]
    return found


def _marked(raw: str) -> Line:
    raw = ANGLE.sub(_angle, raw)
    if raw.startswith(("&gt; ", "> ")):
        return (("▏ ", "dim"), *_marked(raw.partition(" ")[2]))
    found: list[Piece] = []
    at = 0
    for mark in MARKS.finditer(raw):
        found.append((_entities(raw[at : mark.start()]), ""))
        style = mark.lastgroup
        inside = _entities(mark[str(style)])
        if style == "code":
            found.append((f"`{inside}`", "code"))
        else:
            found.append((inside, "bold" if style == "bold" else "italic" if style == "italic" else "dim"))
        at = mark.end()
    found.append((_entities(raw[at:]), ""))
    return tuple((piece, style) for piece, style in found if piece)


def _angle(found: re.Match[str]) -> str:
    target, label = found[1], found[2]
    if target.startswith(("http://", "https://", "mailto:")):
        return f"{label} ({target})" if label and label != target else target
    if target.startswith("!"):
        return label or "@" + target[1:].partition("^")[0]
    return label or target


def _entities(text: str) -> str:
    return clean(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def wrap(line: Line, width: int | None) -> list[Line]:
    """Broken between words; what follows a bullet stands under its text. A word longer than a line is cut."""
    if width is None:
        return [line]
    start = BULLET.match(words(line))
    hang = " " * min(cells(start[0]) if start else 0, width // 2)
    found: list[list[Piece]] = [[]]
    used = 0
    for piece, style in line:
        for word in re.findall(r"[^ ]+| +", piece):
            rest = word
            if used + cells(rest) > width and used > cells(hang):
                found.append([(hang, "")] if hang else [])
                used = cells(hang)
                rest = rest.lstrip(" ")
            while cells(rest) > width - used:
                head = _head(rest, width - used)
                found[-1].append((head, style))
                found.append([(hang, "")] if hang else [])
                used, rest = cells(hang), rest[len(head) :]
            if rest:
                found[-1].append((rest, style))
                used += cells(rest)
    return [_joined(one) for one in found]


def _head(word: str, room: int) -> str:
    """As many characters as fit, at least one."""
    end = 1
    while end < len(word) and cells(word[: end + 1]) <= room:
        end += 1
    return word[:end]


def _joined(pieces: list[Piece]) -> Line:
    """Neighbours of one style in one piece, without blanks at the end."""
    found: list[Piece] = []
    for text, style in pieces:
        if found and found[-1][1] == style:
            found[-1] = (found[-1][0] + text, style)
        else:
            found.append((text, style))
    while found and not found[-1][0].rstrip(" "):
        found.pop()
    if found:
        found[-1] = (found[-1][0].rstrip(" "), found[-1][1])
    return tuple(found)
