"""What a signal can see already and what not yet, in words, while it is young.

In: the detectors' memory, the plan. Out: words by signal, for /healthz, `check`, `blindspots` and the summary.
Never: a table of promises: what it sees is asked of the model, by faults played to a copy of it.
"""

from __future__ import annotations

from alerts.wording import lasted, percent
from collector.bins import SeriesTable
from detectors.blindspots import YOUNG, Blindspot, seen_by_young
from detectors.learning import WORDS, Learning, learning, until_curve
from detectors.memory import Memory
from detectors.plan import Plan

WITHIN = (900, 3600)  # seconds
LATER = {
    Learning.DAY: "; smaller losses once it has seen a whole day",
    Learning.WEEK: "; smaller losses once it has seen a week",
}


def young(
    memory: Memory, plan: Plan, table: SeriesTable, end: int, most: int | None = None
) -> dict[int, str]:
    """By signal of the plan: of those that still learn or have less than a day of data, the first `most`.

    end: of the last interval that was judged, epoch seconds.
    """
    stages = learning(memory.columns, plan)
    most = len(plan.signals) if most is None else most
    found: dict[int, str] = {}
    learns: dict[int, tuple[str, str]] = {}  # what is said before what it sees, and after it
    for c, chart in enumerate(plan.charts):
        family, stage = chart.family, Learning(int(stages[chart.family]))
        if chart.slice or chart.version or plan.signals[family].kind == "rollout" or len(found) >= most:
            continue
        one = memory.columns.charts[c]
        age = end - int(one.first) * plan.width if one.first >= 0 else 0
        if stage == Learning.READY and age >= YOUNG:
            continue
        old = f"{age // 86400} days" if age >= 2 * 86400 else lasted(age)
        if stage == Learning.NOTHING:
            found[family] = WORDS[stage]
        elif one.raised:
            found[family] = f"{old} of data; a fault of it is told just now"
        elif stage == Learning.LAG:
            left = until_curve(memory.columns, plan, c) * plan.width
            found[family] = f"{old} of data; sees no loss yet: {WORDS[stage]}, {lasted(left)} to go"
        else:
            found[family] = ""  # has its place
            learns[family] = f"{old} of data; ", LATER.get(stage, "")
    seen = seen_by_young(memory, plan, table, end, WITHIN, list(learns))
    for family, (before, after) in learns.items():
        found[family] = f"{before}{_sees(seen.get(family))}{after}"
    return found


def _sees(spot: Blindspot | None) -> str:
    if spot is None:
        return "nothing is expected yet"
    smallest = zip(WITHIN, spot.smallest, strict=True)
    within, size = next(((w, s) for w, s in smallest if s is not None), (WITHIN[-1], None))
    if spot.what == "error share":
        if size is None:
            return f"would not tell within {lasted(within)} that all of it fails"
        return f"sees {percent(size)} fail (usual: {percent(spot.usual)}) within {lasted(within)}"
    if size is None:
        return f"would not tell a stop within {lasted(within)}"
    what = "a stop" if size > 0.98 else f"a loss of {percent(size)}"
    return f"sees {what} within {lasted(within)}"
