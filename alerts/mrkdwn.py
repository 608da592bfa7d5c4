"""Text from outside, made safe for Slack. Pure.

In: any text. Out: text that Slack shows as it is, within a length that counts after escaping.
Never: a mention, a link or a format that came from outside.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from alerts.terminal_lines import clean

LONGEST_URL = 1000  # Slack takes 3000; a text has room for less
LOOKALIKES = str.maketrans({"*": "∗", "~": "∼", "`": "ˋ", "_": "ˍ"})
INERT = str.maketrans(
    {
        "<": "‹", ">": "›", "&": "＆", "@": "＠", "#": "＃", "*": "∗", "~": "∼", "`": "ˋ", "_": "ˍ",
        "[": "［", "]": "］", "{": "｛", "}": "｝", "|": "∣", "\\": "∖",
    }
)  # fmt: skip
DOT_OF_A_HOST = re.compile(r"(?<=[^\W_])\.(?=[^\W\d_]{2})")
INSIDE_WORD = re.compile(r"(?<=[^\W_])_+(?=[^\W_])")
SAFE_IN_URL = "!#$%&'()*+,-./:;=?@[]_~"  # what a URL may hold and what cannot end `<url|label>`


def escape(text: str) -> str:
    """The three characters with which Slack's markup begins, as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fit(text: str, most: int) -> str:
    """One line, not escaped yet, of at most `most` characters once it is; an ellipsis where it was cut."""
    one = clean(text).strip()
    if len(escape(one)) <= most:
        return one
    used, kept = 1, 0
    for character in one:
        used += len(escape(character))
        if used > most:
            break
        kept += 1
    return one[:kept].rstrip() + "…"


def code(text: str, most: int = 80) -> str:
    """As it is, in backticks: the one place in which nothing is a format."""
    return f"`{escape(fit(text.replace('`', ''), most)) or '?'}`"


def plain(text: str, most: int = 150) -> str:
    """As running text: characters that would be a format become ones that look alike."""
    kept = INSIDE_WORD.sub(lambda found: "\0" * len(found[0]), fit(text, most))
    return escape(kept.translate(LOOKALIKES).replace("\0", "_"))


def inert(text: str) -> str:
    """As text that no place takes for a mention, a link, markup or a template: lookalikes of the characters
    with which these begin. Its length stays; letters of every script stay."""
    kept = INSIDE_WORD.sub(lambda found: "\0" * len(found[0]), text).translate(INERT).replace("\0", "_")
    return DOT_OF_A_HOST.sub("․", kept.replace("://", ":∕∕"))


def address(url: str) -> str:
    """An http or https address that may stand in a link or a button; empty for anything else."""
    bare = clean(url).strip()
    try:
        parts = urlsplit(bare)
        host = parts.hostname
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not host:
        return ""
    encoded = parts.scheme + quote(bare[len(parts.scheme) :], safe=SAFE_IN_URL)  # HTTPS:// is no URL to Slack
    return encoded if len(encoded) <= LONGEST_URL else ""


def unbroken(text: str) -> str:
    """With no end of a line between a number and its per cent, which narrow screens would put there."""
    return text.replace(" %", "\u00a0%")


def link(url: str, label: str) -> str:
    """`<url|label>` where it is an address of the web, not too long; else the label alone. `label` is ours."""
    target = address(url).replace("&", "&amp;")
    return f"<{target}|{label}>" if 0 < len(target) <= LONGEST_URL else label


def fit_lines(text: str, most: int) -> str:
    """Several lines of plain text of at most `most` characters; the last that has no room is cut."""
    kept: list[str] = []
    room = most
    for line in text.split("\n"):
        if room <= 1:
            break
        kept.append(clipped(line, room))
        room -= len(kept[-1]) + 1
    return "\n".join(kept)


def clipped(text: str, most: int) -> str:
    """One line of plain text of at most `most` characters, which are counted as they are."""
    one = clean(text).strip()
    return one if len(one) <= most else one[: most - 1].rstrip() + "…"
