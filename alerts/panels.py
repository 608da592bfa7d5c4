"""What one chart shows: the window of time, its curves and its marks. Pure.

In: a finding with its trace, the incident, who is blamed. Out: a Panel of plain numbers.
Never: a drawing library; a zero where nothing was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alerts.incidents import Incident
from alerts.mrkdwn import fit
from alerts.suspects import Suspect
from alerts.wording import count, noun, percent, subject
from detectors.findings import Finding, Trace

Floats = NDArray[np.float64]
BEFORE = 30  # intervals before the fault that are always shown, if they were kept
MOST_MARKS = 3
STEPS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Mark:
    """A deployment. time: epoch seconds; back: it put a suspect back."""

    time: int
    text: str
    back: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves over `time` (middles of intervals, epoch seconds): float64[n] each, NaN = not measured.

    faulty: bool[n], from the onset to the recovery. begin, end, top: the window. recovered: 0 = not yet.
    share: values are shares of what was tried, else events in one interval.
    """

    finding: Finding
    time: Floats
    observed: Floats
    expected: Floats
    low: Floats
    high: Floats
    faulty: NDArray[np.bool_]
    begin: float
    end: float
    top: float
    onset: int
    recovered: int
    share: bool
    unit: str
    marks: tuple[Mark, ...]

    def room(self, part: float) -> float:
        """Seconds that take this part of the width."""
        return part * (self.end - self.begin)

    def clear(self) -> tuple[float, bool]:
        """Where the left end of the window has room for a word: how high, and whether over the curves."""
        first = self.time < self.begin + self.room(0.14)
        rows = [row[first] for row in (self.observed, self.low, self.high)]
        known = np.concatenate([row[np.isfinite(row)] for row in rows])
        if not len(known):
            return 0.0, True
        over = float(known.max()) < 0.6 * self.top
        return float(known.max() if over else known.min()), over

    def part(self, moment: float) -> float:
        """Where a moment lies in the window, from 0 to 1."""
        return (moment - self.begin) / (self.end - self.begin)

    def edges(self) -> list[int]:
        """Moments that have a label of their own on the axis."""
        return [t for t in (self.onset, self.recovered) if self.begin <= t <= self.end]

    def alone(self) -> NDArray[np.bool_]:
        """Measured between two that were not: no line would show them."""
        measured = np.concatenate([[False], np.isfinite(self.observed), [False]])
        found: NDArray[np.bool_] = measured[1:-1] & ~measured[:-2] & ~measured[2:]
        return found

    def times(self) -> list[int]:
        """Three to five round moments of the window."""
        days = math.ceil(self.room(0.25) / STEPS[-1]) * STEPS[-1]
        step = next((s for s in STEPS if self.end - self.begin <= 5 * s), days)
        first = math.ceil((self.begin + self.room(0.03)) / step) * step
        return list(range(first, int(self.end - self.room(0.02)) + 1, step))

    def ticks(self) -> tuple[list[float], list[str]]:
        """Nought and at most three round values, with their labels."""
        rough = self.top / 3.2
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
        values = [step * i for i in range(math.floor(self.top / step) + 1)]
        return values, [_label(v, self.share) for v in values]


def _label(value: float, share: bool) -> str:
    if share:
        return percent(value)
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if value >= size:
            return f"{value / (size if size > 1e4 else 1e3):.3g}{unit}"
    return count(value) if value == int(value) else f"{value:.2g}"


def panel(finding: Finding, incident: Incident, blamed: Sequence[Suspect]) -> Panel:
    """The window around the fault. Raises ValueError where the finding has no trace."""
    trace = finding.trace
    if trace is None:
        raise ValueError("the finding has no trace")
    marks = _marks(finding, incident, blamed)
    recovered = finding.recovered if finding.phase == "cleared" and finding.cleared != "expired" else 0
    first, last = _window(trace, finding, recovered)
    begin = float(trace.start + first * trace.width)
    end = float(trace.start + last * trace.width)
    observed, expected, low, high, share = _curves(trace, first, last)
    time = begin + trace.width * (np.arange(last - first, dtype=np.float64) + 0.5)
    return Panel(
        finding=finding,
        time=time,
        observed=observed,
        expected=expected,
        low=low,
        high=high,
        faulty=(time > finding.onset) & ((time < recovered) | (recovered == 0)),
        begin=begin,
        end=end,
        top=_top(observed, high, share),
        onset=finding.onset,
        recovered=recovered,
        share=share,
        unit=_unit(finding, trace, share),
        marks=tuple(m for m in marks if begin <= m.time <= end),
    )


def _window(trace: Trace, finding: Finding, recovered: int) -> tuple[int, int]:
    """First and last interval: the fault with as much before it, and a third after it."""
    count = len(trace.observed)
    onset = (finding.onset - trace.start) // trace.width
    over = (recovered - trace.start) // trace.width if recovered else count
    length = max(over - onset, 0)
    first = min(max(0, onset - max(BEFORE, length)), max(0, count - 2))
    return first, min(count, max(over + max(10, length // 3), first + 2)) if recovered else count


def _curves(trace: Trace, first: int, last: int) -> tuple[Floats, Floats, Floats, Floats, bool]:
    rows = [
        np.where(np.isfinite(row), row, np.nan)[first:last]
        for row in (trace.observed, trace.expected, trace.low, trace.high)
    ]
    out_of = trace.out_of[first:last]
    share = bool(np.isfinite(out_of).any())
    if share:
        whole = np.where(np.isfinite(out_of) & (out_of > 0), out_of, np.nan)
        rows = [np.clip(row / whole, 0.0, 1.0) for row in rows]
    observed, expected, low, high = rows
    return observed, expected, low, high, share


def _top(observed: Floats, high: Floats, share: bool) -> float:
    """All that was observed is in the picture; a band that is wide for once (few were tried) may be cut."""
    peaks = [row[np.isfinite(row)] for row in (observed, high)]
    tall = [float(peaks[0].max())] if len(peaks[0]) else []
    tall += [float(np.quantile(peaks[1], 0.9))] if len(peaks[1]) else []
    top = max(tall, default=0.0) * 1.12
    return top if top > 0 else (0.01 if share else 1.0)


def _unit(finding: Finding, trace: Trace, share: bool) -> str:
    minutes = "minute" if trace.width == 60 else f"{trace.width // 60} min"
    span = f"{trace.width} s" if trace.width % 60 else minutes
    if share and finding.kind == "data_loss":
        return "share of what went in that is missing"
    if share:
        return f"share of {subject(finding)} that fail"
    return f"{noun(finding.signal.counted)} per {span}"


def _marks(finding: Finding, incident: Incident, blamed: Sequence[Suspect]) -> list[Mark]:
    """Who is blamed and what put it back: of this service; if nothing is, the likeliest of another."""
    service = finding.signal.service
    own = [s.deployment for s in blamed if s.deployment.service == service]
    others = [s.deployment for s in blamed[:1]]
    marks = [
        Mark(d.time, _named(d.service, d.version, service, "deployed"), False)
        for d in (own or others)[:MOST_MARKS]
    ]
    services = {d.service for d in (own or others)}
    back = [d for d in incident.rollbacks if d.service in services][:MOST_MARKS]
    marks += [Mark(d.time, _named(d.service, d.version, service, "back"), True) for d in back]
    return sorted(marks, key=lambda m: (m.time, m.text))


def _named(service: str, version: str, here: str, what: str) -> str:
    named = fit(version, 14)
    return f"{named} {what}" if service == here else f"{fit(service, 20)} {named} {what}"
