"""The picture: what came against what should have come, with what was deployed meanwhile. Pure.

In: an incident whose findings carry traces. Out: a PNG for chat, or an SVG for a page; the same bytes each time.
Never: a line over what was not measured; pyplot, or any other state that figures share.
"""

from __future__ import annotations

import io
import re
import textwrap
from dataclasses import dataclass
from functools import cache
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from alerts.blame import culprits
from alerts.incidents import Incident
from alerts.mrkdwn import fit
from alerts.panels import Mark, Panel, panel
from alerts.together import many
from alerts.wording import clock, details, lead, usually, verdict, when, worst
from detectors.findings import Finding

MOST = 3  # panels in one picture
WIDTH, DPI = 7.2, 200  # inches; 1440 pixels, legible when a phone shows a quarter of them
FONT = "DejaVu Sans"  # comes with matplotlib
TITLE, LABEL = 17, 13  # points
ROW = 0.26  # inches between rows of labels
LETTER = 0.0165  # of the width that one letter of a label takes
LINE = 44  # characters of a title in one line

# Told apart by people who do not tell red from green (after Okabe and Ito), and on a page by its own theme.
COLOURS = {
    "paper": "#ffffff",
    "ink": "#1d1c1d",
    "quiet": "#616770",
    "grid": "#e3e6ea",
    "band": "#cfd8e3",
    "usual": "#7d8a99",
    "observed": "#0063a8",
    "tint": "#fdf3ea",
    "lost": "#f5bf94",
    "fault": "#c44e00",
    "change": "#8e2f6b",
    "good": "#00755a",
}


def draw(incident: Incident) -> bytes:
    """A PNG of 1440 pixels width. Raises ValueError where no finding has a trace."""
    figure = _figure(incident)
    FigureCanvasAgg(figure)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DPI, metadata={"Software": None})
    return picture.getvalue()


def svg(incident: Incident) -> str:
    """An `<svg>` element for a page, whose colours the page may set: --chart-ink and so on, as in COLOURS.

    Raises ValueError where no finding has a trace.
    """
    return page_svg(_figure(incident), incident.id)


def page_svg(figure: Figure, salt: str) -> str:
    """A figure as an `<svg>` element for a page. salt: a name of its own among the pictures of the page."""
    picture = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        figure.savefig(picture, format="svg", metadata={"Date": None, "Creator": None, "Format": None})
    text = picture.getvalue()
    text = text[text.index("<svg") :]
    # The page has one style and many pictures: what would reach beyond this one, or be there twice, goes.
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 class="chart" role="img"', text, count=1)
    text = re.sub(r' id="(?:figure|axes|patch|text|line2d|[xy]tick|matplotlib|\w+Collection)[^"]*"', "", text)
    return re.sub(r' style="[^"<>]*"', _themed, text)


def _themed(style: re.Match[str]) -> str:
    text = style[0].replace(f"'{FONT}'", "inherit")
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--chart-{name}, {colour})")
    return text


def _figure(incident: Incident) -> Figure:
    ordered = worst(incident) if many(incident.findings) else incident.findings
    findings = [f for f in ordered if f.trace is not None]
    if not findings:
        raise ValueError("there is nothing to draw: no finding has a trace")
    first = lead(incident)
    findings.sort(key=lambda f: f is not first)
    sheets = [_sheet(panel(f, incident, culprits(incident)), len(findings) > 1) for f in findings[:MOST]]
    top = whole = sum(s.height for s in sheets) + 0.1
    figure = Figure(figsize=(WIDTH, whole), dpi=DPI, facecolor=COLOURS["paper"])
    for sheet in sheets:
        _titles(figure, sheet, top, whole)
        foot = top - sheet.height + 0.5
        axes = figure.add_axes((0.115, foot / whole, 0.855, sheet.tall / whole))
        _draw(axes, sheet)
        top -= sheet.height
    return figure


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A panel and the room it takes, in inches; rows: of the labels over it, one for each mark."""

    shown: Panel
    title: list[str]
    under: str
    rows: list[int]
    tall: float

    @property
    def height(self) -> float:
        return 0.33 * len(self.title) + 0.5 + ROW * (1 + max(self.rows, default=0)) + self.tall + 0.5


def _sheet(shown: Panel, one_of_many: bool) -> _Sheet:
    title, under = _head(shown.finding)
    return _Sheet(shown, title, under, _rows(shown), 1.75 if one_of_many else 2.3)


def _head(finding: Finding) -> tuple[list[str], str]:
    """The verdict in at most two lines, and where and when."""
    said = verdict(finding, lambda name: fit(name, 24))
    parts = [fit(finding.signal.service, 34), when(finding, finding.at), usually(finding)]
    if len(parts[0]) < 24:
        parts += details(finding)
    title = textwrap.wrap(drawable(said), LINE, max_lines=2, placeholder=" …")
    return title, drawable(" · ".join(part for part in parts if part))


def _titles(figure: Figure, sheet: _Sheet, top: float, whole: float) -> None:
    at = top - 0.18
    for line in sheet.title:
        _write(
            figure, 0.025, at / whole, line, fontsize=TITLE, fontweight="bold", color=COLOURS["ink"], va="top"
        )
        at -= 0.33
    _write(figure, 0.025, at / whole, sheet.under, fontsize=LABEL, color=COLOURS["quiet"], va="top")


def _write(where: Figure | Axes, x: float, y: float, text: str, **look: Any) -> Any:
    # A `$` from outside is no formula.
    return where.text(x, y, text, fontfamily=FONT, parse_math=False, **look)


def _draw(axes: Axes, sheet: _Sheet) -> None:
    shown = sheet.shown
    axes.set_facecolor(COLOURS["paper"])
    fault = max(shown.onset, shown.begin), min(shown.recovered or shown.end, shown.end)
    if fault[0] < fault[1]:
        axes.axvspan(*fault, color=COLOURS["tint"], linewidth=0, zorder=0.2)
    axes.fill_between(shown.time, shown.low, shown.high, color=COLOURS["band"], linewidth=0, zorder=2)
    axes.fill_between(
        shown.time,
        shown.observed,
        shown.expected,
        where=shown.faulty.tolist(),
        color=COLOURS["lost"],
        linewidth=0,
        zorder=3,
    )
    axes.plot(shown.time, shown.expected, color=COLOURS["usual"], linewidth=1.4, zorder=4)
    axes.plot(shown.time, shown.observed, color=COLOURS["observed"], linewidth=2.4, zorder=5)
    alone = shown.alone()
    axes.plot(shown.time[alone], shown.observed[alone], ".", color=COLOURS["observed"], zorder=5)
    axes.set_xlim(shown.begin, shown.end)
    axes.set_ylim(0, shown.top)
    _frame(axes, shown)
    for row, mark in zip(sheet.rows, shown.marks, strict=True):
        _mark(axes, shown, mark, 1 + (0.1 + ROW * row) / sheet.tall)
    if all(left > LETTER * len(shown.unit) for _, left, _ in _spans(shown)):
        # The row of the labels has room for what is counted.
        _write(
            axes, 0, 1 + 0.1 / sheet.tall, drawable(shown.unit), transform=axes.transAxes, fontsize=LABEL - 1,
            color=COLOURS["quiet"], va="center",
        )  # fmt: skip
    _usual(axes, shown)
    _edges(axes, shown)


def _usual(axes: Axes, shown: Panel) -> None:
    """Says what the band is: above it where it lies low, below it where it lies high."""
    height, over = shown.clear()
    axes.annotate(
        "usual", (shown.begin, height), xytext=(5, 4 if over else -4), textcoords="offset points",
        va="bottom" if over else "top", fontsize=LABEL - 1, fontfamily=FONT, color=COLOURS["quiet"], zorder=7,
    )  # fmt: skip


def _frame(axes: Axes, shown: Panel) -> None:
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(COLOURS["usual"])
    axes.grid(axis="y", color=COLOURS["grid"], linewidth=1, zorder=0)
    axes.set_axisbelow(True)
    ticks, labels = shown.ticks()
    axes.set_yticks(ticks, labels)
    axes.tick_params(
        axis="both", length=0, labelsize=LABEL, labelcolor=COLOURS["quiet"], labelfontfamily=FONT
    )
    axes.tick_params(axis="x", pad=8)
    times = [t for t in shown.times() if all(abs(t - edge) > shown.room(0.11) for edge in shown.edges())]
    axes.set_xticks(times, [clock(t, t) for t in times])


def _edges(axes: Axes, shown: Panel) -> None:
    """Where it began and where it was as before, on the axis of time."""
    looks = (("fault", shown.onset), ("good", shown.recovered))
    for colour, moment in looks:
        if not shown.begin <= moment <= shown.end:
            continue
        axes.plot([moment], [0], "^", color=COLOURS[colour], markersize=11, clip_on=False, zorder=8)
        place = min(max(moment, shown.begin + shown.room(0.03)), shown.end - shown.room(0.03))
        axes.annotate(
            clock(moment, moment), (place, 0), xytext=(0, -8), textcoords="offset points", ha="center",
            va="top", fontsize=LABEL, fontfamily=FONT, fontweight="bold", color=COLOURS[colour],
            annotation_clip=False,
        )  # fmt: skip


def _mark(axes: Axes, shown: Panel, mark: Mark, high: float) -> None:
    colour = COLOURS["good" if mark.back else "change"]
    axes.plot(
        [mark.time, mark.time], [high, 0], transform=axes.get_xaxis_transform(), color=colour, linewidth=2,
        linestyle=(0, (4, 2)) if mark.back else "-", clip_on=False, zorder=6,
    )  # fmt: skip
    left = shown.part(mark.time) > 0.5
    axes.annotate(
        drawable(mark.text), (mark.time, high), xycoords=axes.get_xaxis_transform(),
        xytext=(-5 if left else 5, 0), textcoords="offset points", ha="right" if left else "left", va="center",
        fontsize=LABEL, fontfamily=FONT, color=colour, annotation_clip=False, parse_math=False,
    )  # fmt: skip


def _rows(shown: Panel) -> list[int]:
    """Which row of labels each mark is written in: the lowest in which no other label stands."""
    return [row for row, _, _ in _spans(shown)]


def _spans(shown: Panel) -> list[tuple[int, float, float]]:
    """Row, left and right end of each mark's label, in parts of the width."""
    taken: list[tuple[int, float, float]] = []
    for mark in shown.marks:
        at, length = shown.part(mark.time), LETTER * len(mark.text) + 0.015
        left, right = (at - length, at) if at > 0.5 else (at, at + length)
        row = 0
        while any(r == row and a < right and left < b for r, a, b in taken):
            row += 1
        taken.append((row, left, right))
    return taken


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=FONT))).get_charmap())


def drawable(text: str) -> str:
    """Characters that the font lacks would be boxes, and a warning each."""
    return "".join(one if ord(one) in _glyphs() else "?" for one in text)
