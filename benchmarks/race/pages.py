"""The results as tables and pictures, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from race.peers import PEERS
from race.results import Result
from race.tracks import Floats

INTRODUCTION = """# How soon, measured

Made by `script/bench detection` on {cases} cases of {faults} faults each; the worst of each kind stand
first.

Each case is a fleet of 20 services alike, on seeded traffic with a day, calm weekends, fast scatter (5 %)
and slow drift (2 %); two weeks are quiet, then each service fails once, for six hours, at a random minute
of the third week. Delays are medians in minutes from the start of the fault (at a whole minute, so that 1
is the least there is) to the close of the interval that told; `-` is more than six hours. Stillwatch sets
its thresholds itself, from a budget of one false alert a week for the fleet; its own false alerts are
counted in all quiet weeks. All others know the budget too: each has the threshold, found on 600 quiet weeks
of just this traffic, at which it gives one false alert a week for the fleet, which nobody has in life.

- **optimum**: a CUSUM that knows the profile, the noise and the size of the fault; nothing is sooner
  (Lorden 1971).
- **bound**: log(time between false alarms) / KL divergence at the mean rate: what counts without any noise
  but chance allow at best.
- A row is marked where Stillwatch is later than it should be: more than 1.5 times the optimum and a minute
  (flows: more than 10 minutes, at 50 a minute or more and 5 % lost or more), or where a peer is more than a
  minute sooner.
"""


def tables(found: Sequence[Result]) -> str:
    """A table for each kind."""
    parts = []
    for kind in dict.fromkeys(one.case.kind for one in found):
        of = sorted((one for one in found if one.case.kind == kind), key=_badness, reverse=True)
        names = [n for n in ("optimum", *PEERS) if n in of[0].delays]
        head = [
            "",
            "a minute",
            *(["usual"] if kind == "error_ratio" else []),
            "fault",
            "bound",
            "Stillwatch",
            "90 %",
        ]
        head += ["missed", *names, "false"]
        rows = [head, ["---"] * len(head), *([*_row(one, names)] for one in of)]
        weeks = sum(one.weeks for one in of)
        false = sum(one.false for one in of)
        parts.append(f"## {kind}\n\n" + "\n".join("| " + " | ".join(row) + " |" for row in rows))
        parts.append(
            f"False alerts of Stillwatch: {false} in {weeks:.0f} weeks of a fleet; one a week is allowed."
        )
    return "\n\n".join(parts) + "\n"


def _row(one: Result, names: Sequence[str]) -> list[str]:
    case = one.case
    own = one.delays["stillwatch"]
    errors = case.kind == "error_ratio"
    return [
        "!" if is_late(one) else "",
        f"{case.rate:,.0f}",
        *([f"{case.usual * 100:g} %"] if errors else []),
        f"x {case.size:g}" if errors else f"{case.size * 100:g} % lost",
        f"{one.bound:.1f}",
        f"**{_minutes(own)}**",
        _minutes(own, 0.9),
        f"{np.isinf(own).mean() * 100:.0f} %",
        *(_minutes(one.delays[name]) for name in names),
        str(one.false),
    ]


def _minutes(delays: Floats, part: float = 0.5) -> str:
    value = float(np.quantile(delays, part, method="higher"))
    return "-" if np.isinf(value) else f"{value:.0f}"


def median(delays: Floats) -> float:
    return float(np.quantile(delays, 0.5, method="higher"))


def is_late(one: Result) -> bool:
    """Is it later than the goals allow, or a peer more than an interval sooner?"""
    own = median(one.delays["stillwatch"])
    peers = min(median(one.delays[name]) for name in PEERS if name in one.delays)
    if peers < own - 1:
        return True
    if "optimum" not in one.delays:
        return one.case.rate >= 50 and one.case.size >= 0.05 and own > 10
    return own > max(1.5 * median(one.delays["optimum"]), median(one.delays["optimum"]) + 1)


def _badness(one: Result) -> float:
    own = median(one.delays["stillwatch"])
    best = min(median(delays) for name, delays in one.delays.items() if name != "stillwatch")
    if np.isinf(best):
        return 0.0
    return 1e9 if np.isinf(own) else own / best


def write(folder: Path, found: Sequence[Result], worlds: int) -> None:
    """detection-results.md and a picture for each kind."""
    faults = len(found[0].delays["stillwatch"])
    text = INTRODUCTION.format(cases=len(found), faults=faults)
    for kind in dict.fromkeys(one.case.kind for one in found):
        picture = f"detection-{kind.replace('_', '-')}.svg"
        _draw(folder / picture, [one for one in found if one.case.kind == kind])
        text += f"\n![Delay by rate: {kind}]({picture})\n"
    (folder / "detection-results.md").write_text(text + "\n" + tables(found), encoding="utf-8")


def _draw(path: Path, found: Sequence[Result]) -> None:
    """Delay by rate for each size: Stillwatch, the optimum, the best peer."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib.figure import Figure

    sizes = list(dict.fromkeys((one.case.usual, one.case.size) for one in found))
    figure = Figure(figsize=(11, 2.9 * -(-len(sizes) // 4)), layout="constrained")
    for i, size in enumerate(sizes, 1):
        plot = figure.add_subplot(-(-len(sizes) // 4), 4, i)
        of = [one for one in found if (one.case.usual, one.case.size) == size]
        rates = [one.case.rate for one in of]
        lines = {"Stillwatch": "stillwatch", "optimum": "optimum"}
        for label, name in lines.items():
            if name in of[0].delays:
                plot.plot(rates, [_shown(one.delays[name]) for one in of], marker="o", label=label)
        best = [min(_shown(d) for n, d in one.delays.items() if n in PEERS) for one in of]
        plot.plot(rates, best, marker="x", linestyle=":", label="best of the others")
        kind, (usual, factor) = of[0].case.kind, size
        plot.set_title(
            f"{usual * 100:g} % x {factor:g}" if kind == "error_ratio" else f"{factor * 100:g} % lost"
        )
        plot.set(xscale="log", yscale="log", ylim=(0.8, 500), xlabel="events a minute")
        if i % 4 == 1:
            plot.set_ylabel("median delay, minutes")
        if i == 1:
            plot.legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None})


def _shown(delays: Floats) -> float:
    return min(median(delays), 400.0)  # missed: at the upper edge
