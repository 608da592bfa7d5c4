"""The demo's last word: what really happened beside what Stillwatch said. Pure.

In: faults, what was told about them, and the truth. Out: lines, and whether all was seen.
Never: a kinder figure than the true one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from stillwatch.demo.parser import SERVICE as PARSER
from stillwatch.demo.truth import Truth
from stillwatch.demo.verdict import Fault, Told


def summary(seen: Sequence[tuple[Fault, Told]], truth: Truth) -> tuple[bool, list[str]]:
    """(everything was alerted, rightly blamed and seen to be over; the lines of the summary)."""
    lines = ["", "What happened, and what Stillwatch made of it", ""]
    good = True
    for fault, told in seen:
        began = truth.began(fault.service, fault.deployed)
        lines += [f"{fault.service}", *(f"    {line}" for line in _about(fault, told, began)), ""]
        good = good and bool(told.alerted and told.resolved) and told.rightly(fault)
        if fault.service == PARSER:
            lines[-1:-1] = [f"    {line}" for line in _lost(told, len(truth.lost_opens))]
    lines.append("All of it was seen." if good else "NOT ALL OF IT WAS SEEN.")
    return good, lines


def _about(fault: Fault, told: Told, began: int | None) -> list[str]:
    lines = [f"version {fault.version} of {fault.release} deployed {_clock(fault.deployed)}"]
    lines.append("harmed nobody yet" if began is None else f"first harm    {_clock(began)}")
    if not told.alerted:
        return [*lines, "NOT ALERTED"]
    after = "" if began is None else f", {told.alerted - began} s after the first harm"
    lines.append(f"alerted       {_clock(told.alerted)}{after}")
    right = "" if told.rightly(fault) else "   WRONG"
    lines.append(
        f"suspect       {told.blamed or 'no deployment'} ({told.blame:.0%}), this member {told.member:.0%}{right}"
    )
    lines.append(
        f"over          {_clock(told.resolved)}, {told.reason}" if told.resolved else "NEVER SAID TO BE OVER"
    )
    return lines


def _lost(told: Told, lost: int) -> list[str]:
    lines = [f"opens lost    {lost} (sent by readers, not in the database)"]
    counted = _best(told.signals)
    if counted is None:
        return [*lines, "estimated     no count was given"]
    low, high = counted["lost_low"], counted["lost_high"]
    holds = "which holds it" if low <= lost <= high else "which does NOT hold it"
    said = f"estimated     {counted['lost']:.0f}, 95 % interval {low:.0f} to {high:.0f}, {holds}"
    return [*lines, f"{said} ({counted['signal']}: {counted['kind']})"]


def _best(signals: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The count of lost data, else of failed events; of several the one with the narrowest interval."""

    def width(signal: Mapping[str, Any]) -> tuple[bool, float]:
        return signal["kind"] != "data_loss", signal["lost_high"] - signal["lost_low"]

    counts = [signal for signal in signals if signal["lost_high"] is not None]
    return min(counts, key=width, default=None)


def _clock(when: int) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%H:%M:%S")
