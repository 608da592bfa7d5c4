"""What is wrong, in a few words: verdicts, counts, shares and times. Pure.

In: a finding, an incident. Out: pieces of sentences for messages, pictures and the report.
Never: a bare word from outside; names go through `name`, which makes them safe where they are shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from alerts.harm import RANKS, Lasting, severity_of
from alerts.incidents import Incident
from alerts.together import failing, many, services, usual_onset
from detectors.findings import Finding
from detectors.signals import Term

Name = Callable[[str], str]

FAILURES = {"failed", "failure", "failures", "error", "errors", "dropped", "rejected", "lost", "exceptions"}
TAILS = {"total", "count", "counts", "counter", "number"}
MOST_NOUN = 40
STILL = {"data_loss": "losing", "no_data": "silent"}
NUMBERS = [
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
MOST_OF_IT = 0.8  # of the failures: where a slice holds less, most of the others are the usual ones


# Numbers and times.


def count(value: float) -> str:
    """Events, to three digits: `80`, `1,240`, `41,200`."""
    if not math.isfinite(value):
        return "an unknown number of"
    if abs(value) >= 1e12:
        return f"{value:.3g}"
    digits = max(0, len(str(int(abs(value)))) - 3)
    return f"{round(value, -digits):,.0f}"


def about(finding: Finding) -> str:
    """What was lost: `about 41,200`, or without "about" where it is known exactly."""
    exact = finding.lost_low == finding.lost_high
    return count(finding.lost) if exact or not math.isfinite(finding.lost) else f"about {count(finding.lost)}"


def between(finding: Finding) -> str:
    """The 95 % interval of what was lost: `39,500 to 42,600`; empty where there is none to speak of."""
    low, high = count(finding.lost_low), count(finding.lost_high)
    return f"{low} to {high}" if low != high and math.isfinite(finding.lost_low + finding.lost_high) else ""


def percent(share: float) -> str:
    """A share from 0 to 1: `31 %`, `0.69 %`."""
    if not math.isfinite(share):
        return "an unknown share"
    if share <= 0:
        return "0 %"
    if share < 0.0001:
        return "under 0.01 %"
    if share < 0.0995:
        return f"{share * 100:.2g} %"
    return "over 99 %" if 0.995 <= share < 1 else f"{share * 100:.0f} %"


def chance(probability: float) -> str:
    """A probability: whole per cents, never quite 0 or 100."""
    if probability < 0.01:
        return "under 1 %"
    return "over 99 %" if probability > 0.99 else f"{probability * 100:.0f} %"


def clock(moment: int, now: int) -> str:
    """`06:33`, with the day where it is not the day of `now`; both epoch seconds, the words in UTC."""
    then, today = datetime.fromtimestamp(moment, UTC), datetime.fromtimestamp(now, UTC)
    if then.date() == today.date():
        return f"{then:%H:%M}"
    year = "" if then.year == today.year else f" {then.year}"
    return f"{then.day} {then:%b}{year} {then:%H:%M}"


def lasted(seconds: int) -> str:
    """`40 s`, `33 min`, `2 h 5 min`."""
    if seconds < 120:
        return f"{seconds} s"
    hours, minutes = divmod(seconds // 60, 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def when(finding: Finding, now: int) -> str:
    """`since 06:33 UTC`, or `06:33 to 06:46 UTC` once it is over."""
    began = clock(finding.onset, now)
    if finding.phase == "cleared" and finding.cleared != "expired" and finding.recovered > finding.onset:
        return f"{began} to {clock(finding.recovered, now)} UTC"
    return f"since {began} UTC"


# What is counted, from the names of metrics.


def _words(metric: str) -> list[str]:
    """Letters and digits only: nothing in it can be markup."""
    return [word for word in re.split(r"[\W_]+", metric) if word]


def noun(terms: tuple[Term, ...]) -> str:
    """`opens_stored` counts opens, `http.requests_total` http requests."""
    words = _words(_spoken(terms))
    while words and (words[-1].lower() in TAILS or _done(words[-1])):
        words.pop()
    return " ".join(words)[:MOST_NOUN].strip() or "events"


def verb(terms: tuple[Term, ...]) -> str:
    """What happened to them: `opens_stored` are stored; empty where the name does not say."""
    words = _words(_spoken(terms))
    return words[-1].lower()[:MOST_NOUN] if words and _done(words[-1]) else ""


def _spoken(terms: tuple[Term, ...]) -> str:
    """The metric to speak of: the first that does not count failures."""
    return next((term.metric for term in terms if not _fails(term)), "")


def _fails(term: Term) -> bool:
    return not FAILURES.isdisjoint(_words(term.metric.lower()))


def _done(word: str) -> bool:
    return len(word) > 3 and word.lower().endswith("ed")


def subject(finding: Finding) -> str:
    """What fails or is missing: imports, opens."""
    ratio = finding.signal.kind == "error_ratio" or (finding.kind == "rollout" and not finding.signal.within)
    return noun(finding.signal.out_of if ratio else finding.signal.counted)


# Verdicts.


def lead(incident: Incident) -> Finding:
    """The finding to speak of first: not over yet, gravest, what cannot be had again before what can."""
    return max(incident.findings, key=_weight)


def worst(incident: Incident) -> list[Finding]:
    """Those to speak of first come first (see lead)."""
    return sorted(incident.findings, key=_weight, reverse=True)


def _weight(finding: Finding) -> tuple[bool, int, int, float]:
    order = {"no_data": 4, "data_loss": 2, "error_spike": 1, "rollout": 0}
    flow = finding.kind == "data_loss" and finding.signal.kind == "flow"
    lost = finding.lost if math.isfinite(finding.lost) else 0.0
    rank = RANKS.index(severity_of(finding))
    kind = 3 if flow else order[finding.kind]
    if finding.kind == "no_data" and finding.phase == "cleared":
        kind = -1  # that it was silent for a while is no news once it is heard
    return finding.phase != "cleared", rank, kind, lost


def summary(incident: Incident, now: int, name: Name) -> str:
    """One line of the whole: its gravest signal, or of many services how many fail.

    `200 services fail together (214 signals), since 14:02 UTC`.
    """
    findings = incident.findings
    if not many(findings):
        return headline(lead(incident), now, name)
    whole, left = len(services(findings)), failing(findings)
    silent = all(f.kind == "no_data" for f in findings)
    began, over = clock(usual_onset(findings), now), max(f.recovered for f in findings)
    start = "No data: " if silent else ""
    signals = f" ({len(findings)} signals)" if len(findings) > whole else ""
    if left == 0:
        span = f"{began} to {clock(over, now)}" if over else f"since {began}"
        return f"{start}{whole} services {'stopped' if silent else 'failed'} together{signals}, {span} UTC"
    if left < whole:
        does = "send nothing" if silent else "fail"
        return f"{start}{left} of {whole} services still {does}{signals}, since {began} UTC"
    return f"{start}{whole} services {'stopped' if silent else 'fail'} together{signals}, since {began} UTC"


def headline(finding: Finding, now: int, name: Name) -> str:
    """One line: verdict, number, service, since when. now: epoch seconds of the message."""
    more = [f"; {part}" for part in details(finding)]
    usual = f", {usually(finding)}" if usually(finding) else ""
    where = name(finding.signal.service)
    return f"{verdict(finding, name)} ({where}, {when(finding, now)}{''.join(more)}){usual}"


def verdict(finding: Finding, name: Name) -> str:
    """What is wrong and how much: `Errors: 31 % of imports fail`."""
    if finding.kind == "error_spike":
        return f"Errors: {_failing(finding)}"
    if finding.kind == "rollout":
        return f"Bad version: {_worse(finding, name)}"
    if finding.kind == "no_data":
        return f"No data: {subject(finding)} stopped"
    if finding.phase == "cleared" and finding.cleared == "late_data":
        return f"Late data: {missing(finding)}"
    return f"{'Data loss' if finding.signal.kind == 'flow' else 'Data missing'}: {missing(finding)}"


def details(finding: Finding) -> list[str]:
    """What the number in the verdict means more exactly: its interval, or what would have come."""
    if finding.kind == "no_data":
        return [f"{count(finding.expected)} would have come"] if finding.expected >= 1 else []
    if finding.kind == "data_loss" and finding.cleared != "late_data" and between(finding):
        return [between(finding)]
    return []


def usually(finding: Finding) -> str:
    """`usually 0.3 %`, where a share fails; else empty."""
    usual = _share(finding.expected, finding.out_of) if finding.kind == "error_spike" else math.nan
    if not math.isfinite(usual):
        return ""
    return "usually none" if usual < 0.00001 else f"usually {percent(usual)}"


def missing(finding: Finding) -> str:
    """`about 41,200 opens not stored`, or for a throughput `about 41,200 fewer opens stored than usual`."""
    what, done = subject(finding), verb(finding.signal.counted)
    if finding.cleared == "late_data":
        return f"{count(finding.late) if finding.late > 0 else 'all'} {what} came after all"
    if finding.signal.kind == "throughput":
        return f"{about(finding)} fewer {what}{f' {done}' if done else ''} than usual"
    return f"{about(finding)} {what} {f'not {done}' if done else 'missing'}"


def lost_words(finding: Finding) -> str:
    """What it cost, in one phrase with its interval: `about 178 imports failed (150 to 181)`."""
    interval = f" ({between(finding)})" if between(finding) else ""
    if finding.kind in ("error_spike", "rollout") and not finding.signal.within:
        return f"{about(finding)} {subject(finding)} failed because of it{interval}"
    if finding.kind == "no_data":
        return f"{about(finding)} {subject(finding)} did not come{interval}"
    if made_of(finding):
        return f"{missing(finding)}{interval}: {made_of(finding)}"
    late = f", {count(finding.late)} came late" if finding.late > 0 and finding.cleared != "late_data" else ""
    return f"{missing(finding)}{late}{interval}"


def whole(incident: Incident, finding: Finding) -> Finding:
    """The finding with all that its signal lost in the incident, also before it came back."""
    before = incident.before(finding)
    if before is None:
        return finding
    return replace(
        finding,
        lost=finding.lost + before.lost,
        lost_low=finding.lost_low + before.lost_low,
        lost_high=finding.lost_high + before.lost_high,
        failed=finding.failed + before.failed,
        missing=finding.missing + before.missing,
    )


def in_faults(incident: Incident, finding: Finding, now: int) -> str:
    """` in nine faults since 12:12 UTC` (with the space before it) of what came back; else empty."""
    before = incident.before(finding)
    if before is None:
        return ""
    return f" in {spelled(before.faults + 1)} faults since {clock(before.began, now)} UTC"


def lasting_words(lasting: Lasting) -> str:
    """Why it is graver than its numbers, in one sentence, with its full stop.

    `Still failing after 12 minutes; the last nine blips of this service ended within three.`
    """
    does = STILL.get(lasting.kind, "failing")
    minutes, within = lasting.after // 60, -(-lasting.within // 60)
    plain = minutes < 120
    still = f"Still {does} after {f'{minutes} minutes' if plain else lasted(lasting.after)}"
    if not lasting.of:
        return f"{still}: no blip any more."
    unit = "" if plain else " minutes"
    blips = f"the last {spelled(lasting.of)} blips of this service{' at deployments' * lasting.deployed}"
    if lasting.ended == lasting.of:
        return f"{still}; {blips} ended within {spelled(within)}{unit}."
    return f"{still}; of {blips} {spelled(lasting.ended)} ended within {spelled(within)}{unit}."


def spelled(number: int) -> str:
    """Small numbers in words: `nine`, `13`."""
    return NUMBERS[number] if 0 <= number < len(NUMBERS) else str(number)


def made_of(finding: Finding) -> str:
    """`21,400 failed, 16,300 vanished`, where a flow counts its failures; else empty."""
    if finding.failed < 1 or finding.missing < 1:
        return ""
    return f"{count(finding.failed)} failed, {count(finding.missing)} vanished"


def described(finding: Finding, name: Name) -> str:
    """Its slice: `path=editor, region=eu`."""
    return ", ".join(name(f"{key}={value}") for key, value in finding.slice)


def holds(finding: Finding) -> str:
    """What its slice has of the fault: `holds 97 % of the failures and 8 % of the traffic`; empty if not known."""
    counted, traffic = finding.slice_share
    if counted <= 0.0:
        return ""
    if finding.kind == "data_loss":
        return f"holds {_part(counted)} of what is missing and {percent(traffic)} of the traffic"
    more = finding.slice_extra
    beyond = f" ({_part(more)} of those beyond the usual)" if counted < MOST_OF_IT <= more else ""
    return f"holds {_part(counted)} of the failures{beyond} and {percent(traffic)} of the traffic"


def _part(share: float) -> str:
    return "all" if share >= 1 else percent(share)


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def _failing(finding: Finding) -> str:
    failed = "failed" if finding.phase == "cleared" else "fail"
    if finding.out_of > 0:
        return f"{percent(_share(finding.observed, finding.out_of))} of {subject(finding)} {failed}"
    return f"{count(finding.observed)} {subject(finding)} failed"


def _worse(finding: Finding, name: Name) -> str:
    """`1.31.0 fails 2.1 % of resizes, the others 0.08 %`."""
    flow = finding.signal.within > 0
    tense = finding.phase == "cleared"
    does = ("lost" if tense else "loses") if flow else ("failed" if tense else "fails")
    others = [v for v in finding.versions if v[0] != finding.version]
    x0, n0 = sum(v[1] for v in others), sum(v[2] for v in others)
    own, usual = _share(finding.observed, finding.out_of), _share(x0, n0)
    if flow:
        own, usual = 1 - own, 1 - usual
    said = f"{name(finding.version)} {does} {percent(own)} of {subject(finding)}"
    return f"{said}, the others {percent(usual)}" if math.isfinite(usual) else said
