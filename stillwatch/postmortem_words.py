"""The sentences of a post-incident report. Pure.

In: an incident's newest event, its lines of alerts.jsonl, what people said, how to write times. Out: styled lines.
Never: a name from outside that is no piece of its own or not cleaned; a cause where no deployment is believed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any

from alerts.blame import culprits, sureness, undone
from alerts.incidents import Event, Incident
from alerts.mrkdwn import fit
from alerts.suspects import release_of
from alerts.terminal_lines import Line, Piece
from alerts.wording import (
    chance,
    count,
    described,
    holds,
    lasted,
    lead,
    lost_words,
    missing,
    percent,
    spelled,
    subject,
    usually,
    verdict,
    whole,
)
from collector.words import Word
from detectors.findings import Finding

SHORT = 300  # seconds of an incident whose times are told to the second, where intervals are that short
MOST_NAMED = 4
NOTICED = {
    "error_spike": "errors in ",
    "data_loss": "data loss in ",
    "no_data": "no data from ",
    "rollout": "a bad version of ",
}
ENDS = {
    "recovered": "Over: as before.",
    "rollback": "Over: as before after the rollback.",
    "late_data": "Over: late, not lost.",
    "expired": "Closed, not over: it is taken for the new usual from here on.",
    "operator": "Closed as not a problem.",
}


@dataclass(frozen=True, slots=True)
class Times:
    """How moments are written, in `zone`. began: of the day that needs no naming. seconds: are they shown?"""

    zone: tzinfo
    began: int
    seconds: bool = False

    def at(self, moment: int) -> str:
        """`06:33`, with its day where that is not the day of the onset."""
        then = datetime.fromtimestamp(moment, self.zone)
        same = then.date() == datetime.fromtimestamp(self.began, self.zone).date()
        return self.clock(moment) if same else f"{then.day} {then:%b} {self.clock(moment)}"

    def clock(self, moment: int) -> str:
        """Without its day."""
        then = datetime.fromtimestamp(moment, self.zone)
        return f"{then:%H:%M:%S}" if self.seconds else f"{then:%H:%M}"

    def day(self, moment: int) -> str:
        """`13 April 2022`."""
        then = datetime.fromtimestamp(moment, self.zone)
        return f"{then.day} {then:%B %Y}"


def code(text: str, most: int = 80) -> Piece:
    """A name from outside, cleaned and cut."""
    return fit(text, most) or "?", "code"


def ours(text: str) -> Line:
    """Words without a style."""
    return ((text, ""),)


def part(finding: Finding) -> float:
    """Of all since the onset, the part that failed, as the card says it, or that is lost; 0 = not known."""
    told = finding.observed if finding.kind == "error_spike" else finding.lost
    return told / finding.out_of if finding.out_of > 0 and math.isfinite(told) else 0.0


def ended(finding: Finding) -> bool:
    """It is known when it was as before."""
    return finding.phase == "cleared" and finding.cleared != "expired" and finding.recovered > 0


# The paragraph.


def summary(
    event: Event, words: Sequence[Word], sent: Sequence[tuple[str, int]], times: Times
) -> tuple[tuple[Line, ...], ...]:
    """Paragraphs of sentences: which release, what happened, how long, what was lost; how soon it was seen, what
    ended it.

    sent: (channel, epoch seconds) of the first message to each.
    """
    incident = event.incident
    return (_cause(event, times), *_harm(incident, times)), (
        _seen(incident, words, sent, times),
        *_end(event, times),
    )


def _cause(event: Event, times: Times) -> Line:
    """`On 13 April 2022 at 06:31, release x deployed a 2 and b 3; it is almost certainly the cause (97 %).`"""
    incident = event.incident
    blamed = culprits(incident)
    if event.reason == "late_data" or not blamed:
        day = (
            f"On {times.day(times.began)}, from about {times.at(times.began)} on, something was not as usual"
        )
        why = (
            ""
            if event.reason == "late_data"
            else f"; no deployment explains it ({chance(incident.no_deployment)})"
        )
        return ours(f"{day}{why}.")
    first = min(blamed, key=lambda s: s.deployment.time).deployment
    release, probability = release_of(incident.suspects)
    when = f"On {times.day(first.time)} at {times.clock(first.time)}, release "
    said: list[Piece] = [(when, ""), code(release, 60), (" deployed ", "")]
    said += _named([(code(s.deployment.service), (" ", ""), code(s.deployment.version)) for s in blamed])
    return (*said, (f", {sureness(probability)} ({chance(probability)}) the cause of what followed.", ""))


def _harm(incident: Incident, times: Times) -> list[Line]:
    """A sentence for each service, of the signal that says most: several may count the same events."""
    services = list(dict.fromkeys(f.signal.service for f in sorted(incident.findings, key=lambda f: f.onset)))
    lines = [_lost(incident, service, times) for service in services[:MOST_NAMED]]
    more = len(services) - MOST_NAMED
    return [*lines, ours(f"{more} more services were touched.")] if more > 0 else lines


def _lost(incident: Incident, service: str, times: Times) -> Line:
    its = tuple(f for f in incident.findings if f.signal.service == service)
    one = lead(replace(incident, findings=its))
    where = code(service)
    span = f"From {times.at(one.onset)}"
    span += f" to {times.at(one.recovered)} ({_length(one)})" if ended(one) else " on"
    if one.kind == "data_loss" and one.cleared == "late_data":
        return ((f"{span}, data of ", ""), where, (f" came late, {missing(one)}.", ""))
    said: list[Piece] = [(f"{span}, ", "")]
    if one.kind == "error_spike":
        usual = f" ({usually(one)})" if usually(one) else ""
        share = f"{percent(part(one))} of {subject(one)}" if one.out_of > 0 else subject(one)
        said += [(f"{share} failed in ", ""), where, (f"{usual}: {lost_words(one)}", "")]
    elif one.kind == "data_loss":
        of = f"{percent(part(one))} of what was due" if part(one) > 0 else "data"
        said += [where, (f" lost {of}: {lost_words(one)}", "")]
    elif one.kind == "no_data":
        said += [(f"no {subject(one)} came from ", ""), where, (f": {lost_words(one)}", "")]
    else:
        worse = verdict(one, lambda name: fit(name, 40)).removeprefix("Bad version: ")
        said += [where, (f" served a version that did worse: {worse}; {lost_words(one)}", "")]
    before = incident.before(one)
    if before is not None:
        faults = f"{spelled(before.faults + 1)} faults from {times.at(before.began)} on"
        said.append((f"; in all {faults}, {lost_words(whole(incident, one))}", ""))
    if one.slice:
        named = code(described(one, lambda pair: fit(pair, 60)), 130)
        known = holds(one)
        said += [("; ", ""), named, (f" {known}", "")] if known else [("; seen in ", ""), named]
    return (*said, (".", ""))


def _length(finding: Finding) -> str:
    return lasted(max(0, finding.recovered - finding.onset))


def _seen(incident: Incident, words: Sequence[Word], sent: Sequence[tuple[str, int]], times: Times) -> Line:
    """`It was seen at 06:35, 2 min after it began; the first message went to #alerts at 06:35.`"""
    delay = max(0, incident.opened - times.began)
    said: list[Piece] = [(f"It was seen at {times.at(incident.opened)}, {lasted(delay)} after it began", "")]
    for channel, at in sorted(sent, key=lambda one: one[1])[:1]:
        said += [("; the first message went to ", ""), code(channel), (f" at {times.at(at)}", "")]
    on_it = [word for word in words if word.kind == "acknowledge"]
    for word in sorted(on_it, key=lambda one: one.time)[:1]:
        said += [("; ", ""), code(word.who), (f" acknowledged it at {times.at(word.time)}", "")]
    return (*said, (".", ""))


def _end(event: Event, times: Times) -> list[Line]:
    incident = event.incident
    lines: list[Line] = []
    undoing = [undone(incident, s.deployment) for s in culprits(incident)]
    back = list(dict.fromkeys(d for d in undoing if d is not None))
    if back:
        put: list[tuple[Piece, ...]] = [
            (code(d.service), (" to ", ""), code(d.version), (f" at {times.at(d.time)}", ""))
            for d in sorted(back, key=lambda d: d.time)
        ]
        lines.append((("Put back: ", ""), *_named(put), (".", "")))
    if not incident.resolved:
        return [*lines, ours(f"It is not over as of {times.at(event.time)}.")]
    if event.reason in ("recovered", "rollback"):
        recovered = max(f.recovered for f in incident.findings)
        whole = f", {lasted(max(0, recovered - times.began))} after it began" if recovered else ""
        since = f" since {times.at(recovered)}{whole}" if recovered else ""
        ended_it = {"rollback": "; the rollback ended it", "recovered": ""}[event.reason]
        if event.reason == "recovered" and not back:
            ended_it = "; nobody put anything back that we know of"
            if incident.wanted_back:
                ended_it = "; a rollback had been asked for, and nobody told us of one"
        return [*lines, ours(f"All is as before{since}{ended_it}.")]
    by: tuple[Piece, ...] = ()
    if event.reason == "operator" and incident.closed_by:
        by = ((" So said ", ""), code(incident.closed_by), (".", ""))
    return [*lines, ((ENDS[event.reason], ""), *by)]


def _named(parts: Sequence[tuple[Piece, ...]]) -> list[Piece]:
    """`a, b and c`; beyond the first few only how many."""
    kept, more = list(parts[:MOST_NAMED]), len(parts) - MOST_NAMED
    if more > 0:
        kept.append(((f"{more} more", ""),))
    said: list[Piece] = []
    for i, part in enumerate(kept):
        said += [(" and " if i == len(kept) - 1 else ", ", "")] if i else []
        said += part
    return said


# Rows of the timeline.


def told(event: Mapping[str, Any], before: Mapping[str, Any]) -> Line:
    """What a line of alerts.jsonl says that the one before it did not; `before` is empty for the first."""
    if event["event"] == "resolved":
        return ((ENDS[event["reason"]], ""), (" ", ""), *_so_far(event, "In all"), (".", ""))
    if not before:
        signals = [_noticed(one) for one in event["signals"]]
        said: list[Piece] = [
            ("Seen: ", ""),
            *_named(signals),
            (" (", ""),
            *_so_far(event, "so far"),
            (")", ""),
        ]
        said += [("; suspect: ", ""), *_suspect(event)] if _believed(event) else []
        return (*said, (".", ""))
    known = {_key(one): _faults(one) for one in before["signals"]}
    news: list[Piece] = []
    again = [_noticed(one) for one in event["signals"] if _faults(one) > known.get(_key(one), _faults(one))]
    if again:
        news += [("Again: ", ""), *_named(again), (". ", "")]
    joined = [_noticed(one) for one in event["signals"] if _key(one) not in known]
    if joined:
        news += [("Also: ", ""), *_named(joined), (". ", "")]
    if event["severity"] != before["severity"]:
        news += [(f"Now {event['severity']}. ", "")]
    if _believed(event) != _believed(before):
        news += [("Suspect now: ", ""), *(_suspect(event) or [("no deployment", "")]), (". ", "")]
    return (*news, *_so_far(event, "So far"), (".", ""))


def _key(signal: Mapping[str, Any]) -> tuple[str, str, str]:
    return signal["service"], signal["signal"], signal["kind"]


def _faults(signal: Mapping[str, Any]) -> int:
    """How often it came back."""
    return int(signal.get("earlier", {}).get("faults", 0))


def _noticed(signal: Mapping[str, Any]) -> tuple[Piece, ...]:
    return (
        (NOTICED[signal["kind"]], ""),
        code(signal["service"]),
        (" (", ""),
        code(signal["signal"]),
        (")", ""),
    )


def _so_far(event: Mapping[str, Any], begin: str) -> list[Piece]:
    """What was lost by each signal, in the words of the line."""
    parts: list[tuple[Piece, ...]] = []
    for one in event["signals"]:
        numbers = one["lost"], one.get("earlier", {}).get("lost", 0)
        lost = count(sum(math.nan if number is None else number for number in numbers))
        parts.append(((f"{lost} ", ""), code(f"{one['service']}/{one['signal']}", 100)))
    return [(f"{begin} lost: ", ""), *_named(parts)]


def _believed(event: Mapping[str, Any]) -> str:
    """The likeliest release, where it is likelier than none."""
    by_release: dict[str, float] = {}
    for one in event["suspects"]:
        by_release[one["deployment"]] = by_release.get(one["deployment"], 0.0) + one["probability"]
    best = max(by_release, key=lambda name: by_release[name], default="")
    return best if best and by_release[best] >= event["no_deployment"] else ""


def _suspect(event: Mapping[str, Any]) -> list[Piece]:
    release = _believed(event)
    if not release:
        return []
    sure = sum(one["probability"] for one in event["suspects"] if one["deployment"] == release)
    return [code(release, 60), (f" ({chance(sure)})", "")]


def over(finding: Finding) -> Line:
    """When a signal was as before."""
    return (
        code(finding.signal.service), (" (", ""), code(finding.signal.name),
        (f") is as before, after {_length(finding)}: {lost_words(finding)}.", ""),
    )  # fmt: skip


def words_of(word: Word) -> Line:
    if word.kind == "acknowledge":
        return (("Acknowledged by ", ""), code(word.who), (".", ""))
    if word.kind == "not a problem":
        return (("Not a problem, says ", ""), code(word.who), (".", ""))
    of: tuple[Piece, ...] = (code(word.service), (" of ", "")) if word.service else ()
    if word.kind == "roll back":
        return (code(word.who), (" asked to put back ", ""), *of, code(word.deployment, 60), (".", ""))
    return (("Not ", ""), *of, code(word.deployment, 60), (", says ", ""), code(word.who), (".", ""))
