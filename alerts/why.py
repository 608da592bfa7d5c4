"""Why an incident was told, and why somebody is suspected: all that was weighed, in plain lines. Pure.

In: an incident's newest event. Out: lines of plain text, as many as a person reads.
Never: a markup; a clue that was not weighed.
"""

from __future__ import annotations

from alerts.incidents import Event
from alerts.jsonl import moment
from alerts.suspects import Suspect
from alerts.terminal_lines import clean
from alerts.wording import chance, clock, headline, worst
from detectors.findings import Finding

MOST_SIGNALS = 6
MOST_SUSPECTS = 6


def why(event: Event) -> list[str]:
    """The signals with what was counted and expected; the suspects with all of their clues."""
    incident, now = event.incident, event.time
    lines = []
    for finding in worst(incident)[:MOST_SIGNALS]:
        lines += _signal(finding, now)
    more = len(incident.findings) - MOST_SIGNALS
    lines += [f"and {more} more signals"] if more > 0 else []
    lines.append("Who did it:")
    for suspect in incident.suspects[:MOST_SUSPECTS]:
        lines += _suspect(suspect, now)
    more = len(incident.suspects) - MOST_SUSPECTS
    lines += [f"  and {more} more suspects"] if more > 0 else []
    lines.append(f"  {chance(incident.no_deployment)}  no deployment that we know of")
    beside = sorted({d.service for d in event.bystanders})
    if beside:
        lines.append(f"Nothing points to {', '.join(beside[:MOST_SUSPECTS])} of the same release.")
    lines += [f"Not it, people say: {' of '.join(p for p in (s, d) if p)}" for d, s in incident.excluded]
    first = worst(incident)[0]
    if first.trace is not None:
        last = first.trace.start + first.trace.width * (len(first.trace.observed) - 1)
        lines.append(f"The model then: stillwatch explain {first.signal.service} --at {moment(last)}")
    return [clean(line) for line in lines]


def _signal(finding: Finding, now: int) -> list[str]:
    of = f" of {finding.out_of:,.0f}" if finding.out_of > 0 else ""
    low, high = clock(finding.onset_low, now), clock(finding.onset_high, now)
    began = f"{low} to {high}" if low != high else low
    return [
        headline(finding, now, str),
        f"  since then counted {finding.observed:,.0f}{of}, expected {_few(finding.expected)}",
        f"  began {began} UTC; {finding.strength:.0f} nats of evidence that it is a fault",
    ]


def _suspect(suspect: Suspect, now: int) -> list[str]:
    it = suspect.deployment
    said = (
        f"  {chance(suspect.probability)}  {it.service} {it.version}, {it.kind} at {clock(it.time, now)} UTC"
    )
    return [f"{said} ({it.id})", *(f"    {one}" for one in suspect.evidence)]


def _few(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.2g}"
