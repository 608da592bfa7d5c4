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


def page(before: str, outcomes: Sequence[Outcome]) -> str:
    """before: the page as it was. Rows of faults that were not done now stay as they are."""
    head = ["| " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * (len(COLUMNS) - 1)]
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in before.splitlines()}
    rows |= {FAULTS[one.fault].said: row(one) for one in outcomes}
    known = [rows[fault.said] for fault in FAULTS.values() if fault.said in rows]
    return WORDS.read_text(encoding="utf-8") + "\n" + "\n".join([*head, *known]) + "\n"


def row(one: Outcome) -> str:
    """One fault, as a row of a table."""
    it = one.account
    cells = [
        FAULTS[one.fault].said, len(one.recovered), f"{it.counts:,}", it.lost, it.doubled,
        it.news, it.other, it.told, it.untold, it.twice,
        f"{median(one.recovered):.1f} s, {max(one.recovered):.1f} s" if one.recovered else "-",
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"
