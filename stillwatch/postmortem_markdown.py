"""The draft of a post-incident report as Markdown, for a wiki, a repository or an issue. Pure.

In: a Postmortem, the name of its picture. Out: text that GitHub, GitLab and CommonMark read alike.
Never: a mention, a link, an image, HTML or a format that came from outside.
"""

from __future__ import annotations

from collections.abc import Sequence

from alerts.mrkdwn import inert
from alerts.terminal_lines import Line, clean
from stillwatch.postmortem import SIGNALS, SUSPECTS, Link, Postmortem

# A code span is as it is, but for what would end it or the cell of a table around it.
IN_CODE = str.maketrans({"`": "ˋ", "|": "∣"})
TEAM = "- [ ] what, who, until when"


def markdown(told: Postmortem, picture: str = "") -> str:
    """The whole text. picture: file name of the charts beside it; empty where there is none."""
    parts = [
        f"# {styled(told.title)}",
        "  \n".join(styled(note) for note in told.notes),
        *(" ".join(map(styled, sentences)) for sentences in told.paragraphs),
        "## Timeline",
        table(("time", "what", "data"), [(r.when, styled(r.what), links(r.data)) for r in told.timeline]),
        "## Numbers",
        "Signals may count the same events, so they are not summed.",
        table((*SIGNALS, "data"), [(*map(styled, cells), links(data)) for cells, data in told.signals]),
        "## Suspects",
        table((*SUSPECTS, "data"), [(*map(styled, cells), links(data)) for cells, data in told.suspects]),
        "## Charts",
        _charts(told, picture),
        "## What people said",
        "\n".join(f"- {r.when}: {styled(r.what)} {links(r.data)}" for r in told.said)
        or "Nothing that was recorded.",
        "## What we change",
        TEAM,
        "## Data",
        *(f"### {datum.heading}\n\n```json\n{datum.text}\n```" for datum in told.data),
    ]
    return "\n\n".join(parts) + "\n"


def _charts(told: Postmortem, picture: str) -> str:
    counts = styled(told.counts)
    if not told.drawn:
        return counts
    if not picture:
        return f"They are in this report as HTML, and beside a file that is written with `--out`. {counts}"
    return f"![What came against what was usual](<{picture}>)\n\n{counts}"


def styled(line: Line) -> str:
    """Pieces as Markdown. Our own words have nothing in them that escaping would change."""
    return "".join(code(text) if style == "code" else inert(clean(text)) for text, style in line)


def code(text: str) -> str:
    """A code span of one line, which may stand in a table."""
    return f"`{clean(text).translate(IN_CODE).strip() or '?'}`"


def links(data: Sequence[Link]) -> str:
    """Links to parts of the report or to pages; addresses are encoded already (see mrkdwn.address)."""
    return ", ".join(f"[{inert(link.label)}](<{link.target.replace('&', '&amp;')}>)" for link in data)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
