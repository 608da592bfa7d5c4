"""docs/reliability.md: what was done, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tortured.faults import FAULTS
from tortured.trials import Outcome

COLUMNS = (
    "fault", "trials", "counts", "lost", "doubled", "news", "not as without faults",
    "messages", "missing", "doubled", "well again, median and longest",
)  # fmt: skip
WORDS = Path(__file__).with_name("words.md")


def page(outcomes: Sequence[Outcome]) -> str:
    head = ["| " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * (len(COLUMNS) - 1)]
    return WORDS.read_text(encoding="utf-8") + "\n" + "\n".join([*head, *map(row, outcomes)]) + "\n"


def row(one: Outcome) -> str:
    """One fault, as a row of a table."""
    it = one.account
    said = FAULTS[one.fault].__doc__ or one.fault
    cells = [
        said, len(one.recovered), f"{it.counts:,}", it.lost, it.doubled,
        it.news, it.other, it.told, it.untold, it.twice,
        f"{median(one.recovered):.1f} s, {max(one.recovered):.1f} s" if one.recovered else "-",
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"
