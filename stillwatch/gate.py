"""A verdict on a candidate for a pipeline: promote, roll back, or wait.

In: a question; what was counted while both versions served, here or at the daemon. Out: the answer as JSON, as
lines, and as an exit status. Never: "roll back" because nobody could be asked: that is no evidence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from collector.bins import Bins
from detectors.plan import Plan
from detectors.side_by_side import Asked, Verdict, compare, overall
from stillwatch.caller import NoAnswer, call

USUAL = Asked()
PATIENCE = 30.0  # seconds
MOST_NAMED = 20  # services
PAUSE = 15.0  # seconds between two looks
STATUS = {Verdict.AS_GOOD: 0, Verdict.BAD: 1, Verdict.NOT_YET: 3}
DONE = {Verdict.AS_GOOD: "promote it", Verdict.BAD: "roll it back", Verdict.NOT_YET: "wait"}


@dataclass(frozen=True, slots=True)
class Question:
    """since: epoch seconds, intervals before it do not count. For the rest see side_by_side.Asked."""

    service: str
    candidate: str
    baseline: str
    since: int
    margin: float = USUAL.margin
    tolerance: float = USUAL.tolerance
    risk: float = USUAL.risk


def question(written: Mapping[str, str]) -> Question:
    """From the parameters of an address. ValueError, whose text names what is wrong and what was expected."""
    known = {field.name: field for field in fields(Question)}
    if unknown := sorted(set(written) - set(known)):
        raise ValueError(f"found {unknown[0][:40]!r}, expected {', '.join(known)}")
    if missing := [name for name in ("service", "candidate", "baseline", "since") if not written.get(name)]:
        raise ValueError(f"expected {missing[0]}")
    numbers: dict[str, Any] = {}
    for name in set(written) & {"since", "margin", "tolerance", "risk"}:
        try:
            numbers[name] = int(written[name]) if name == "since" else float(written[name])
        except ValueError:
            raise ValueError(f"{name}: found {written[name][:40]!r}, expected a number") from None
    asked = Question(written["service"], written["candidate"], written["baseline"], **numbers)
    check(asked)
    return asked


def check(asked: Question) -> None:
    """ValueError where a name is missing or a number makes no sense."""
    for name in ("service", "candidate", "baseline"):
        if not getattr(asked, name).strip():
            raise ValueError(f"{name}: found nothing, expected a name")
    if asked.candidate == asked.baseline:
        raise ValueError("candidate and baseline are the same version")
    if not 0.0 < asked.margin <= 100.0:
        raise ValueError("margin: expected more than 0 and at most 100 (1 = twice the odds of failing)")
    if not 0.0 <= asked.tolerance < 0.5:
        raise ValueError("tolerance: expected a share from 0 to 0.5")
    if not 1e-6 <= asked.risk < 0.5:
        raise ValueError("risk: expected a probability from 0.000001 to 0.5")


def answer(asked: Question, bins: Bins | None, plan: Plan) -> dict[str, Any]:
    """The verdict, what it rests on, and who is watched at all. bins: None where nothing was recorded since."""
    how = Asked(asked.margin, asked.tolerance, asked.risk)
    found = compare(bins, plan, asked.service, asked.candidate, asked.baseline, how) if bins else []
    return asdict(asked) | {
        "verdict": str(overall(found)),
        "signals": [asdict(one) | {"verdict": str(one.verdict)} for one in found],
        "services": sorted({signal.service for signal in plan.signals}),
    }


def ask(url: str, token: str, asked: Question) -> Mapping[str, Any]:
    """The answer of the daemon at `url`. Raises NoAnswer."""
    got = call("GET", url, "/gate", token, PATIENCE, params=asdict(asked))
    if got.status == 200 and "verdict" in got.told:
        return got.told
    raise NoAnswer(f"{url} answered {got.status}: {got.error[:200] or 'is that the daemon of Stillwatch?'}")


def wait_for(
    look: Callable[[], Mapping[str, Any]], patience: int, say: Callable[[str], object]
) -> Mapping[str, Any]:
    """Look until there is a verdict, or for `patience` seconds. say: is told when the first look was not enough."""
    until = time.monotonic() + patience
    told = look()
    while told["verdict"] == Verdict.NOT_YET and (left := until - time.monotonic()) > 0:
        say(f"not enough yet; {left:.0f} s left")
        time.sleep(min(PAUSE, left))
        told = look()
    return told


def status(told: Mapping[str, Any]) -> int:
    """0 promote, 1 roll back, 3 not enough evidence yet."""
    return STATUS[Verdict(told["verdict"])]


def lines(told: Mapping[str, Any]) -> list[str]:
    """The answer for whoever reads the pipeline's log."""
    verdict = Verdict(told["verdict"])
    said = [f"{told['service']} {told['candidate']} beside {told['baseline']}: {verdict}; {DONE[verdict]}"]
    if told["service"] not in told.get("services", [told["service"]]):
        known = ", ".join(told["services"][:MOST_NAMED]) or "none yet"
        return [*said, f"  no signal of {told['service']} is watched; expected {known}"]
    if not told["signals"]:
        return [*said, "  no signal of it has counts of both versions; do its metrics carry service.version?"]
    return said + ["  " + _line(one) for one in told["signals"]]


def _line(one: Mapping[str, Any]) -> str:
    what = "lost" if one["losses"] else "failed"
    sides = " against ".join(_side(one[side], what) for side in ("candidate", "baseline"))
    lead = "bad" if one["bad"] / one["needed"] > one["good"] / one["needed"] else "good"
    part = min(one[lead] / one["needed"], 1.0)
    toward = "" if one["verdict"] != Verdict.NOT_YET else f", {part:.0%} of the evidence for {WORD[lead]}"
    together = f"{one['intervals']} interval{'' if one['intervals'] == 1 else 's'} side by side"
    return f"{one['signal']}: {one['verdict']}; {sides}, {together}{toward}"


WORD = {"bad": "bad", "good": "as good"}


def _side(side: Mapping[str, float], what: str) -> str:
    share = side["failed"] / side["of"] if side["of"] else 0.0
    return f"{side['failed']:,.0f} of {side['of']:,.0f} {what} ({share:.2%})"
