"""What was said of suspects and how often it was right: tables and a picture, the worst first.

In: answers (tests/reliability.py). Out: docs/suspects-results.md and its picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from reliability import Answer, Band, bands, brier_none, pairs

Floats = NDArray[np.float64]
ENOUGH = 50  # cases from which a band is judged
GOAL, GOAL_BRIER = 0.05, 0.15
NEAR = (  # deployments in the day before: words, from, to
    ("no deployment near", 0, 0),
    ("1 to 4", 1, 4),
    ("5 to 30", 5, 30),
    ("more than 30", 31, 10_000),
)
HEAD = (
    "faults", "no deployment did it", "said so", "worst band", "given", "right", "cases", "Brier of none", "first",
    "in the first three",
)  # fmt: skip
MOMENTS = ((False, "first told"), (True, "when it is over"))
WORDS = Path(__file__).with_name("words.md")


def tables(answers: Sequence[Answer]) -> str:
    """All tables, as they stand in the document."""
    parts = []
    for over, words in MOMENTS:
        parts.append(f"## All kinds together, {words}\n\n{_bands([a for a in answers if a.over == over])}")
    parts.append(f"## By kind of company, the worst first\n\n{_kinds(answers)}")
    parts.append(f"## By deployments in the day before, and by services that fail\n\n{_near(answers)}")
    parts.append(f"## Beside a plain peer\n\n{_peer(answers)}")
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _bands(answers: Sequence[Answer]) -> str:
    rows = []
    for b in bands(pairs(answers)):
        far = b.cases >= ENOUGH and abs(b.right - b.given) > GOAL
        numbers = [
            f"{b.given:.3f}",
            f"{b.right:.3f}",
            f"{b.right - b.given:+.3f}{' !' * far}",
            f"{b.cases:,}",
        ]
        rows.append([f"{b.low:.1f} to {b.low + 0.1:.1f}", *numbers])
    return _table(["probability", "given", "right", "difference", "cases"], rows)


def _kinds(answers: Sequence[Answer]) -> str:
    rows = []
    for kind in dict.fromkeys(a.kind for a in answers):
        for over, words in MOMENTS:
            of = [a for a in answers if a.kind == kind and a.over == over]
            rows.append((_worst(of), [kind, words, *_row(of)]))
    rows.sort(key=lambda row: -abs(row[0].right - row[0].given))
    return _table(["kind", "asked", *HEAD], [row for _, row in rows])


def _row(of: Sequence[Answer]) -> list[str]:
    worst = _worst(of)
    far = abs(worst.right - worst.given) > GOAL
    brier = brier_none(of)
    return [
        f"{len(of):,}",
        f"{np.mean([a.none[1] for a in of]):.0%}",
        f"{np.mean([a.none[0] for a in of]):.0%}",
        f"{worst.low:.1f} to {worst.low + 0.1:.1f}{' !' * far}",
        f"{worst.given:.2f}",
        f"{worst.right:.2f} ± {1.96 * worst.error:.2f}",
        f"{worst.cases:,}",
        f"{brier:.3f}{' !' * (brier > GOAL_BRIER)}",
        f"{np.mean([a.place == 1 for a in of]):.0%}",
        f"{np.mean([1 <= a.place <= 3 for a in of]):.0%}",
    ]


def _worst(of: Sequence[Answer]) -> Band:
    """The band that is furthest from what it says, of those with enough cases."""
    judged = [b for b in bands(pairs(of)) if b.cases >= ENOUGH]
    return max(judged, key=lambda b: abs(b.right - b.given))


def _near(answers: Sequence[Answer]) -> str:
    first = [a for a in answers if not a.over]
    groups = {name: [a for a in first if low <= a.near <= high] for name, low, high in NEAR}
    groups["one service fails"] = [a for a in first if a.services == 1]
    groups["several fail"] = [a for a in first if a.services > 1]
    rows = [[name, *_row(of)] for name, of in groups.items() if len(of) >= ENOUGH]
    return _table(["first told, with", *HEAD], rows)


def _peer(answers: Sequence[Answer]) -> str:
    rows = []
    for over, words in MOMENTS:
        of = [a for a in answers if a.over == over]
        none, last = np.array([a.none[1] for a in of]), np.array([a.last for a in of])
        true = np.array([sum(p * t for p, t in (*a.said, a.none)) for a in of])
        said = np.array([a.none[0] for a in of])
        rows.append([words, "Stillwatch", *_compared(said, none, true, [a.place == 1 for a in of])])
        given = _given_by_peer(of)
        true, right = given * last + (1 - given) * none, np.where(given > 0.5, last, none)
        name = f"the last deployment, with {given.max():.2f}"
        rows.append([words, name, *_compared(1 - given, none, true, right)])
    return _table(["asked", "who", "Brier of none", "probability of what was true", "right one first"], rows)


def _given_by_peer(of: Sequence[Answer]) -> Floats:
    """It gives the last deployment of the service always the same, the best there is, and the rest to none."""
    there = np.array([a.has_last for a in of])
    return np.where(there, np.mean([a.last for a in of if a.has_last]), 0.0)


def _compared(given: Floats, none: Floats, true: Floats, right: Sequence[float] | Floats) -> list[str]:
    return [f"{((given - none) ** 2).mean():.3f}", f"{true.mean():.2f}", f"{np.mean(right):.0%}"]


def write(folder: Path, answers: Sequence[Answer], companies: int) -> None:
    """suspects-results.md and its picture."""
    _draw(folder / "suspects-reliability.svg", answers)
    faults = sum(a.over for a in answers)
    words = WORDS.read_text(encoding="utf-8")
    text = words.format(faults=f"{faults:,}", companies=f"{companies:,}", tables=tables(answers))
    (folder / "suspects-results.md").write_text(text.rstrip() + "\n", encoding="utf-8")


def _draw(path: Path, answers: Sequence[Answer]) -> None:
    """How often right, by what was given; a dot for each band, a faint line for each kind of company."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "suspects"
    figure = Figure(figsize=(4.6, 8.4), layout="constrained")
    for i, (over, words) in enumerate(MOMENTS, 1):
        plot = figure.add_subplot(2, 1, i)
        of = [a for a in answers if a.over == over]
        plot.plot([0, 1], [0, 1], color="0.35", linewidth=1, linestyle="--")
        plot.fill_between([0, 1], [-GOAL, 1 - GOAL], [GOAL, 1 + GOAL], color="0.9", label="within .05")
        for j, kind in enumerate(dict.fromkeys(a.kind for a in of)):
            found = [b for b in bands(pairs([a for a in of if a.kind == kind])) if b.cases >= ENOUGH]
            plot.plot(
                [b.given for b in found], [b.right for b in found], color="tab:blue", alpha=0.25, linewidth=1,
                label=None if j else "one kind of company",
            )  # fmt: skip
        whole = bands(pairs(of))
        plot.errorbar(
            [b.given for b in whole], [b.right for b in whole], yerr=[1.96 * b.error for b in whole],
            color="tab:red", marker="o", markersize=5, linestyle="none", label="all, with 95 %",
        )  # fmt: skip
        given = _given_by_peer(of)
        said = [(g, a.last) for g, a in zip(given, of, strict=True) if a.has_last]
        peer = bands([*said, *((1 - g, a.none[1]) for g, a in zip(given, of, strict=True))])
        plot.plot(
            [b.given for b in peer], [b.right for b in peer], color="black", marker="x", markersize=8,
            linestyle="none", label="last deployment",
        )  # fmt: skip
        plot.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        plot.set_title(words, fontsize=13)
        plot.set_xlabel("probability given", fontsize=12)
        plot.set_ylabel("share that was right", fontsize=12)
        plot.tick_params(labelsize=11)
        plot.legend(fontsize=10, loc="lower right")
    figure.savefig(path, metadata={"Date": None})
