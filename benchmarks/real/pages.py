"""The results as a page with a picture, the worst first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from real.alerts import Told
from real.race import Raced

LIMIT = 360.0  # minutes of the longest fault: where missed ones are drawn
WORDS = {"throughput": "of what came is lost", "flow": "of what comes out is lost",
         "error_ratio": "of what succeeded fails"}  # fmt: skip


def _minutes(delays: NDArray[np.float64], part: float = 0.5) -> str:
    value = float(np.quantile(delays, part, method="higher"))
    return "-" if np.isinf(value) else f"{value:.0f}"


def delays(found: Sequence[Raced]) -> str:
    """One table, the worst first: by the share that Stillwatch missed, then by its delay."""
    peers = list(dict.fromkeys(n for one in found for n in one.delays if n != "stillwatch"))
    head = ["record", "kind", "a minute", "fault", "Stillwatch", "90 %", "missed"]
    head += [f"{n} (missed)" for n in peers]
    rows = []
    for one in found:
        for size, own in one.delays["stillwatch"].items():
            cells = [one.record, one.kind, f"{one.rate:.2g}", f"{size:.0%} {WORDS[one.kind]}"]
            cells += [f"**{_minutes(own)}**", _minutes(own, 0.9), f"{np.isinf(own).mean():.0%}"]
            for name in peers:
                other = one.delays.get(name, {}).get(size)
                cells.append("" if other is None else f"{_minutes(other)} ({np.isinf(other).mean():.0%})")
            rows.append((size >= 0.5, np.isinf(own).mean(), np.minimum(own, LIMIT).mean(), cells))
    # A large loss that is missed is worse than a small one.
    rows.sort(key=lambda row: (row[0] and row[1] > 0, row[1], row[2]), reverse=True)
    lines = [head, ["---"] * len(head), *(row[3] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def alerts(found: Sequence[Told]) -> str:
    """One line for each incident of an untouched record."""
    lines = [
        "| opened (UTC) | signal | counted | expected | usual then | by chance | other days alike | it was |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for one in found:
        moment = time.strftime("%a %d %b %H:%M", time.gmtime(one.opened))
        lines.append(
            f"| {moment} | {one.service} {one.signal} | {one.observed:.0f} | {one.expected:.1f} | {one.usual:.1f} "
            f"| {one.chance:.0e} | {one.alike} of {one.days} | {one.verdict}{', learning' * one.learning} |"
        )
    return "\n".join(lines) + "\n"


def counted(found: dict[str, Sequence[Told]], weeks: dict[str, float]) -> str:
    """How many incidents an untouched record had, by kind, and how many of them were false."""
    lines = ["| record | weeks | kind | told | rare | not rare | false, first three weeks | false, later |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name, told in found.items():
        for kind in dict.fromkeys(one.kind for one in told) or ["throughput"]:
            of = [one for one in told if one.kind == kind]
            verdicts = [one.verdict for one in of]
            learning = sum(one.learning for one in of if one.verdict == "false")
            lines.append(
                f"| {name} | {weeks[name]:.0f} | {kind} | {len(of)} | {verdicts.count('rare')} "
                f"| {verdicts.count('not rare')} | {learning} | {verdicts.count('false') - learning} |"
            )
    return "\n".join(lines) + "\n"


def draw(path: Path, found: Sequence[Raced]) -> None:
    """Median delay by size, a plot for each record and kind."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.9 * len(found), 3.2), layout="constrained")
    for i, one in enumerate(found, 1):
        plot = figure.add_subplot(1, len(found), i)
        for name, of in one.delays.items():
            middle = [min(float(np.quantile(v, 0.5, method="higher")), LIMIT) for v in of.values()]
            own = name == "stillwatch"
            plot.plot(
                [100 * q for q in of], middle, marker="o" if own else "x", linestyle="-" if own else ":",
                label="Stillwatch" if own else name,
            )  # fmt: skip
        plot.set_title("\n".join((*one.record.split(", "), one.kind)), fontsize=8)
        plot.set(yscale="log", ylim=(4, 450), xlabel="% lost or failing")
        if i == 1:
            plot.set_ylabel("median delay, minutes\n(at the top: missed)")
        plot.legend(fontsize=6)
    figure.savefig(path, metadata={"Date": None})
