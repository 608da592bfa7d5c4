"""Strips of cells over the hours of the day, one for each signal: how small a fault would be seen. Pure.

In: shares by hour. Out: an `<svg>` element for a page.
Never: a picture that needs its colours to be understood; a name from outside as a formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alerts.charts import COLOURS, FONT, LABEL, drawable, page_svg
from alerts.mrkdwn import fit

MOST = 24  # strips in one picture
# The largest share of each band, its colour, and that of words on it: light is good, and the last sees nothing.
BANDS = (
    (0.01, "#dcebf7", "#1d1c1d"),
    (0.05, "#a9cfe9", "#1d1c1d"),
    (0.2, "#f6cf9f", "#1d1c1d"),
    (1.0, "#dd8a45", "#1d1c1d"),
)
BLIND = ("#6b3410", "#ffffff")
WIDTH = 5.4  # inches: narrow, so that words are legible on a phone
ROW, HEAD, FOOT = 0.6, 0.1, 0.42  # inches


@dataclass(frozen=True, slots=True)
class Strip:
    """shares: in the order of hours, None = not even everything. word: what the shares are, at the right."""

    service: str
    signal: str
    word: str
    shares: tuple[float | None, ...]


def svg(strips: Sequence[Strip], hours: Sequence[str]) -> str:
    """The first MOST of them. hours: labels of the cells of a strip that has as many; one that has other cells has
    none. Raises ValueError where there is nothing to draw."""
    shown = [strip for strip in strips if strip.shares][:MOST]
    if not shown:
        raise ValueError("there is nothing to draw: no strip has a cell")
    tall = HEAD + FOOT + ROW * len(shown)
    figure = Figure(figsize=(WIDTH, tall))
    axes = figure.add_axes((0.02, FOOT / tall, 0.96, 1 - (HEAD + FOOT) / tall))
    for row, strip in enumerate(shown):
        _row(axes, row, strip)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(shown), 0)
    axes.set_axis_off()
    for i in range(0, len(hours), 3):
        _write(axes, i / len(hours), len(shown) + 0.2, hours[i], "left", COLOURS["quiet"])
    return page_svg(figure, "strips")


def _row(axes: Axes, row: int, strip: Strip) -> None:
    """The name over a strip of cells with a number in each."""
    _write(axes, 0, row + 0.22, f"{fit(strip.service, 34)} {fit(strip.signal, 34)}", "left", COLOURS["ink"])
    _write(axes, 1, row + 0.22, strip.word, "right", COLOURS["quiet"])
    width = 1 / len(strip.shares)
    for i, share in enumerate(strip.shares):
        colour, ink = _band(share)
        axes.broken_barh([(i * width, width)], (row + 0.42, 0.5), facecolors=colour, edgecolor="none")
        _write(axes, (i + 0.5) * width, row + 0.67, _short(share), "center", ink, LABEL - 3)


def _band(size: float | None) -> tuple[str, str]:
    return next(((c, ink) for most, c, ink in BANDS if size is not None and size <= most), BLIND)


def _short(size: float | None) -> str:
    """`3.1 %` as `3.1`; a dash where not even everything is told."""
    if size is None:
        return "–"
    return f"{100 * size:.2g}" if size < 0.0995 else f"{100 * size:.0f}"


def _write(axes: Axes, x: float, y: float, text: str, where: str, colour: str, size: int = LABEL - 1) -> None:
    axes.text(
        x, y, drawable(text), ha=where, va="center", color=colour, fontsize=size, fontfamily=FONT,
        parse_math=False,
    )  # fmt: skip
