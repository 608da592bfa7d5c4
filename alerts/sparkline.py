"""A chart in a few rows of text: what came against what should have come. Pure.

In: an incident whose findings carry traces. Out: lines of styled text, one small block a finding.
Never: a guess where nothing was measured (a dot, not the lowest bar).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from alerts.incidents import Incident
from alerts.terminal_lines import Line, Piece, Style, clean, wrap
from detectors.findings import Finding, Trace

BARS = "▁▂▃▄▅▆▇█"
UNMEASURED = "·"
LABEL = 10
FIGURE = 10
MOST = 3  # charts in one message


def sparklines(incident: Incident, width: int) -> list[Line]:
    """A block for each of the first findings that have a trace; empty when none has one."""
    found: list[Line] = []
    for finding in [one for one in incident.findings if one.trace is not None][:MOST]:
        if found:
            found.append(())
        found += _block(finding, width)
    return found


def _block(finding: Finding, width: int) -> list[Line]:
    trace = finding.trace
    if trace is None or len(trace.observed) == 0:
        return []
    room = max(8, width - LABEL - FIGURE)
    each = -(-len(trace.observed) // room)
    rows = {name: _grouped([float(one) for one in getattr(trace, name)], each) for name in COLUMNS}
    observed, expected = rows["observed"], rows["expected"]
    top = max((one for one in [*observed, *expected] if not math.isnan(one)), default=0.0)
    styles = [_style(*three) for three in zip(observed, rows["low"], rows["high"], strict=True)]
    bars = tuple(zip(_bars(observed, top), styles, strict=True))
    signal = f"{clean(finding.signal.service)} · {clean(finding.signal.name)}"
    step = trace.width * each
    means = "" if each == 1 else f", each bar the mean of {each}"
    return [
        *wrap(((signal, "bold"), (f"  per {_span(trace.width)}{means}", "dim")), width),
        (("observed".ljust(LABEL), ""), *bars, (_figure(observed), "")),
        (("expected".ljust(LABEL), "dim"), (_bars(expected, top), "dim"), (_figure(expected), "dim")),
        _axis(trace, finding.onset, step, len(observed)),
    ]


COLUMNS = ("observed", "expected", "low", "high")


def _grouped(values: Sequence[float], each: int) -> list[float]:
    """The mean of every `each` neighbours, of those that were measured; NaN where none was."""
    found = []
    for at in range(0, len(values), each):
        some = [one for one in values[at : at + each] if not math.isnan(one)]
        found.append(sum(some) / len(some) if some else math.nan)
    return found


def _bars(values: Sequence[float], top: float) -> str:
    return "".join(UNMEASURED if math.isnan(one) else _bar(one, top) for one in values)


def _bar(value: float, top: float) -> str:
    if value <= 0 or top <= 0 or not math.isfinite(value / top):
        return BARS[0]
    return BARS[min(len(BARS) - 1, max(1, round(value / top * (len(BARS) - 1))))]


def _style(value: float, low: float, high: float) -> Style:
    """Outside of the band of what is usual. A comparison with NaN is false, so what was not measured is not."""
    return "alarm" if value < low or value > high else ""


def _figure(values: Sequence[float]) -> str:
    last = next((one for one in reversed(values) if not math.isnan(one)), math.nan)
    if not math.isfinite(last):
        return ""
    for size, unit in ((1e9, " G"), (1e6, " M")):
        if last >= 1e13:
            return f"  {last:.2g}"
        if last >= size:
            return f"  {last / size:.1f}{unit}"
    return "  " + (f"{last:,.0f}" if last >= 10 or last == round(last) else f"{last:.1f}")


def _axis(trace: Trace, onset: int, step: int, count: int) -> Line:
    """Times under the bars: where they begin, where the fault began, where they end."""
    begins, ends = _clock(trace.start), _clock(trace.start + trace.width * len(trace.observed))
    at = (onset - trace.start) // step
    mark = f"▲{_clock(onset)}"
    row = [" "] * count
    _write(row, 0, begins)
    _write(row, count - len(ends), ends)
    pieces: list[Piece] = [(" " * LABEL, "")]
    if not 0 <= at < count:
        return (*pieces, ("".join(row), "dim"))
    # The mark goes over the other times where they meet, and stands left of its bar at the right edge.
    start = at if at + len(mark) <= count else max(0, at - len(mark) + 1)
    said = mark if start == at else f"{_clock(onset)}▲"
    for place in (0, count - len(ends)):
        if start - 1 < place + len(begins) and place < start + len(mark) + 1:
            _write(row, place, " " * len(begins))
    pieces += [("".join(row[:start]), "dim"), (said, "bold"), ("".join(row[start + len(said) :]), "dim")]
    return tuple(pieces)


def _write(row: list[str], at: int, text: str) -> None:
    for place, one in enumerate(text, at):
        if 0 <= place < len(row):
            row[place] = one


def _clock(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M")


def _span(seconds: int) -> str:
    return f"{seconds} s" if seconds % 60 else f"{seconds // 60} min"
