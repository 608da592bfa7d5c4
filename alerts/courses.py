"""How evidence grew, minute by minute, until it was enough; or did not. Pure.

In: evidence beside what is enough, over some minutes. Out: an `<svg>` element for a page.
Never: a line over what was not judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alerts.charts import COLOURS, FONT, LABEL, drawable, page_svg
from alerts.mrkdwn import fit
from alerts.wording import clock

MOST = 3  # in one picture
WIDTH = 5.4  # inches: narrow, so that words are legible on a phone
TALL, HEAD, FOOT = 1.35, 0.36, 0.42  # inches


@dataclass(frozen=True, slots=True)
class Course:
    """times: middles of intervals, epoch seconds; evidence, enough: nats, NaN = not judged. began: start of the
    fault; told: close of the interval in which it was told, 0 = it was not. said: in words."""

    service: str
    signal: str
    times: tuple[float, ...]
    evidence: tuple[float, ...]
    enough: tuple[float, ...]
    began: int
    told: int
    said: str


def svg(courses: Sequence[Course], salt: str) -> str:
    """The first MOST of them, one under the other. salt: see charts.page_svg. ValueError: there is none."""
    if not courses:
        raise ValueError("there is nothing to draw: no course")
    shown = courses[:MOST]
    tall = len(shown) * (HEAD + TALL + FOOT)
    figure = Figure(figsize=(WIDTH, tall))
    for i, course in enumerate(shown):
        foot = tall - (i + 1) * (HEAD + TALL + FOOT) + FOOT
        axes = figure.add_axes((0.08, foot / tall, 0.9, TALL / tall))
        _draw(axes, course)
    return page_svg(figure, f"evidence {salt}")


def _draw(axes: Axes, course: Course) -> None:
    axes.patch.set_visible(False)
    time, evidence, enough = (np.array(row) for row in (course.times, course.evidence, course.enough))
    axes.fill_between(time, 0, evidence, color=COLOURS["lost"], linewidth=0, step="mid", zorder=2)
    axes.step(time, evidence, where="mid", color=COLOURS["fault"], linewidth=1.8, zorder=4)
    axes.step(
        time, enough, where="mid", color=COLOURS["usual"], linewidth=1.6, linestyle=(0, (4, 2)), zorder=3
    )
    half = (time[1] - time[0]) / 2 if len(time) > 1 else 30.0
    axes.set_xlim(time[0] - half, time[-1] + half)
    most = [v for v in (*course.evidence, *course.enough) if math.isfinite(v)]
    top = 1.25 * max([v for v in course.enough if math.isfinite(v)], default=10.0)
    axes.set_ylim(0, min(max([top, *(1.05 * v for v in most)]), 2 * top))
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(COLOURS["usual"])
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=COLOURS["grid"], linewidth=1)
    axes.tick_params(
        axis="both", length=0, labelsize=LABEL - 1, labelcolor=COLOURS["quiet"], labelfontfamily=FONT
    )
    axes.locator_params(axis="y", nbins=3, integer=True)
    marks = [(course.began, "began", "fault"), (course.told, "told", "change")]
    marks = [mark for mark in marks if axes.get_xlim()[0] <= mark[0] <= axes.get_xlim()[1]]
    axes.set_xticks([t for t, _, _ in marks], [f"{word} {clock(t, t)}" for t, word, _ in marks])
    for moment, _, colour in marks:
        axes.axvline(moment, color=COLOURS[colour], linewidth=2, zorder=5)
    if len(marks) == 2 and marks[1][0] - marks[0][0] < 0.25 * (time[-1] - time[0]):
        left, right = axes.get_xticklabels()
        left.set_horizontalalignment("right")
        right.set_horizontalalignment("left")
    title = fit(f"{course.service} {course.signal}", 30)
    _write(axes, 0, title, "left", COLOURS["ink"])
    _write(axes, 1, "nats of evidence, and enough", "right", COLOURS["quiet"])


def _write(axes: Axes, x: float, text: str, where: str, colour: str) -> None:
    axes.text(
        x, 1 + 0.16 / TALL, drawable(text), transform=axes.transAxes, ha=where, va="center", color=colour,
        fontsize=LABEL - 1, fontfamily=FONT, parse_math=False,
    )  # fmt: skip
