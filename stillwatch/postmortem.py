"""The draft of a post-incident report: what happened, when, how much of it, and who said what. Pure.

In: all that is known of an incident, a time zone. Out: Postmortem: words with styles, rows, and the data that each
row leads to.
Never: a markup (postmortem_markdown.py and postmortem_page.py escape what comes from outside); a sum of signals,
which may count the same events; a number that is not in the data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any, TypeVar

from alerts.blame import OTHERWISE, WHAT, culprits
from alerts.incidents import Event, Incident
from alerts.jsonl import moment
from alerts.mrkdwn import address, fit
from alerts.silences import Silence
from alerts.suspects import Suspect
from alerts.terminal_lines import Line, Piece
from alerts.wording import between, chance, count, percent
from collector.deployments import Deployment
from collector.words import Word
from detectors.findings import Finding, Trace
from stillwatch.postmortem_words import SHORT, Times, code, ended, ours, over, part, summary, told, words_of

T = TypeVar("T")

MOST_DEPLOYMENTS = 12  # in the timeline


@dataclass(frozen=True, slots=True)
class Sent:
    """The first message that a channel took: time in epoch seconds. exact: the channel says when; else it is the
    moment from which it was to be sent."""

    channel: str
    key: str
    time: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Record:
    """All that is known of an incident. event: its newest, whole. lines: its lines of alerts.jsonl, in order.

    replayed: it comes of a dataset that was judged again, so nothing was sent.
    """

    event: Event
    lines: tuple[str, ...]
    sent: tuple[Sent, ...] = ()
    words: tuple[Word, ...] = ()
    silences: tuple[Silence, ...] = ()
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """To a page (an address of the web) or to a Datum of the report (`#line-3`)."""

    label: str
    target: str


@dataclass(frozen=True, slots=True)
class Row:
    """Something that happened. time: epoch seconds; when: the same in words."""

    time: int
    when: str
    what: Line
    data: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Datum:
    """What a row leads to. anchor: `line-3`, and its heading `Line 3`. text: JSON on one line."""

    anchor: str
    heading: str
    text: str

    @property
    def link(self) -> Link:
        return Link(self.heading.lower(), f"#{self.anchor}")


@dataclass(frozen=True, slots=True)
class Postmortem:
    """notes: what to know of times and numbers. paragraphs: of sentences. signals, suspects: cells of a row each,
    and where they lead. chances: of the suspects, in per cents of a bar. counts: where those of the
    charts are."""

    incident: Incident
    title: Line
    notes: tuple[Line, ...]
    paragraphs: tuple[tuple[Line, ...], ...]
    timeline: tuple[Row, ...]
    signals: tuple[tuple[tuple[Line, ...], tuple[Link, ...]], ...]
    suspects: tuple[tuple[tuple[Line, ...], tuple[Link, ...]], ...]
    chances: tuple[str, ...]
    said: tuple[Row, ...]
    data: tuple[Datum, ...]
    drawn: bool
    counts: Line


SIGNALS = ("signal", "what", "began", "as before", "counted", "usual", "lost", "95 %", "share")
SUSPECTS = ("probability", "deployment", "release", "served from", "by", "what it changes", "why")


def postmortem(record: Record, zone: tzinfo, zone_name: str) -> Postmortem:
    """The draft. zone: of all times in it; zone_name: as people write it."""
    event = record.event
    incident = event.incident
    began = min([*(f.onset for f in incident.findings), *(one.began for one in incident.earlier)])
    times = Times(zone, began, event.time - began < SHORT and _in_seconds(incident))
    lines = _paired("line", record.lines, str)
    found = _paired("signal", incident.findings, _finding)
    known = _deployments(event)
    shown = sorted(known[:MOST_DEPLOYMENTS], key=lambda d: (d.time, d.service, d.id))
    deployed = _paired("deployment", shown, _deployment)
    sent = _paired("message", record.sent, _sent)
    words = _paired("word", record.words, _word)
    silences = _paired("silence", record.silences, _silence)
    said = [_row(times, one.time, words_of(one), datum.link) for one, datum in words]
    said += _silenced(silences, incident.opened, times)
    rows = [_row(times, one.time, _shipped(one, event), *_of(one, datum)) for one, datum in deployed]
    onsets = [(_first_fault(incident, one), datum) for one, datum in found]
    rows += [_row(times, one.onset, _onset(one, times), datum.link) for one, datum in onsets]
    rows += _events(lines, times)
    rows += [_row(times, one.time, _first(one), datum.link) for one, datum in sent]
    rows += said
    rows += [_row(times, one.recovered, over(one), datum.link) for one, datum in found if ended(one)]
    chances = (*(s.probability for s in incident.suspects), incident.no_deployment)
    traces = [f.trace for f in incident.findings if f.trace is not None]
    kept = (lines, found, deployed, sent, words, silences)
    return Postmortem(
        incident=incident,
        title=(("Incident ", ""), code(incident.id)),
        notes=_notes(record, times, zone_name, len(known) - len(shown)),
        paragraphs=summary(event, record.words, [(one.channel, one.time) for one in record.sent], times),
        timeline=tuple(sorted(rows, key=lambda row: row.time)),
        signals=tuple((_signal(one, times), (datum.link,)) for one, datum in found),
        suspects=_suspects(incident, dict(deployed), times),
        chances=tuple(f"{100 * one:.1f}" for one in chances),
        said=tuple(sorted(said, key=lambda row: row.time)),
        data=tuple(datum for pairs in kept for _, datum in pairs),
        drawn=bool(traces),
        counts=_counts(traces, record.replayed),
    )


def _in_seconds(incident: Incident) -> bool:
    """Was it judged in intervals of less than a minute?"""
    moments = [m for f in incident.findings for m in (f.onset, f.onset_low, f.onset_high, f.recovered)]
    return any(m % 60 for m in moments)


def _row(times: Times, at: int, what: Line, *data: Link) -> Row:
    return Row(at, times.at(at), what, data)


def _notes(record: Record, times: Times, zone_name: str, left_out: int) -> tuple[Line, ...]:
    event, incident = record.event, record.event.incident
    state = "over" if incident.resolved else f"not over as of {times.at(event.time)}: numbers are so far"
    owners = list(dict.fromkeys(f.signal.owner for f in incident.findings if f.signal.owner.strip()))
    owned: list[Piece] = []
    for owner in owners:
        owned += [(", " if owned else "; owner ", ""), code(owner)]
    # The data keep UTC, so that they are the same for everybody.
    where = "" if zone_name == "UTC" else "; in the data and the charts, in UTC"
    notes: list[Line] = [
        ((f"Severity {incident.severity}, {state}", ""), *owned, (".", "")),
        ours(f"All times are in {zone_name} ({times.day(times.began)} unless another day is named){where}."),
    ]
    if record.replayed:
        notes.append(ours("Made by judging a dataset again: no message was sent."))
    if any(f.young for f in incident.findings):
        notes.append(
            ours("It was still being learned what is usual here: take the numbers for a first guess.")
        )
    if left_out:
        notes.append(ours(f"{left_out} more deployments are left out of the timeline."))
    return tuple(notes)


# What happened.


def _deployments(event: Event) -> list[Deployment]:
    """What the believed release shipped, what else may well have done it, and what was put back; what matters
    most first."""
    incident = event.incident
    blamed = {s.deployment.id for s in culprits(incident)}
    by_name: dict[tuple[str, str], Deployment] = {}
    likely = [s.deployment for s in incident.suspects if s.deployment.id in blamed]
    likely += [s.deployment for s in incident.suspects if s.probability >= OTHERWISE]
    for one in (*likely, *incident.rollbacks, *event.bystanders):
        by_name.setdefault((one.id, one.service), one)
    return list(by_name.values())


def _of(deployment: Deployment, datum: Datum) -> tuple[Link, ...]:
    url = address(deployment.url)
    return (Link("the change", url), datum.link) if url else (datum.link,)


def _shipped(deployment: Deployment, event: Event) -> Line:
    """`event-parser` `2.13.0` is deployed (release `r`, by `events-team`: new processing)."""
    back = deployment in event.incident.rollbacks
    does = " is put back to " if back else " "
    after = "" if back else f" is deployed{WHAT[deployment.kind]}"
    said: list[Piece] = [code(deployment.service), (does, ""), code(deployment.version), (after, "")]
    if not back:
        said += [(", release ", ""), code(deployment.id, 60)]
    if deployment.author.strip():
        said += [(", by ", ""), code(deployment.author)]
    if deployment.description.strip():
        said += [(f": “{fit(deployment.description, 150)}”", "")]
    if deployment in event.bystanders:
        said += [(" (nothing points to it)", "")]
    return (*said, (".", ""))


def _first_fault(incident: Incident, finding: Finding) -> Finding:
    """With the onset of the first of its faults, where it came back."""
    before = incident.before(finding)
    if before is None:
        return finding
    return replace(finding, onset=before.began, onset_low=before.began, onset_high=before.began)


def _onset(finding: Finding, times: Times) -> Line:
    what = {
        "error_spike": "Errors begin in ",
        "data_loss": "Loss begins in ",
        "no_data": "No more data from ",
        "rollout": "A version begins to be worse than the others in ",
    }[finding.kind]
    low, high = finding.onset_low, finding.onset_high
    unsure = f", most likely; between {times.at(low)} and {times.at(high)}" if low < high else ""
    return ((what, ""), code(finding.signal.service), (" (", ""), code(finding.signal.name),
            (f"){unsure}.", ""))  # fmt: skip


def _first(one: Sent) -> Line:
    return (("First message, to ", ""), code(one.channel), ("." if one.exact else ", or soon after.", ""))


def _events(lines: Sequence[tuple[str, Datum]], times: Times) -> list[Row]:
    rows, before = [], dict[str, Any]()
    for line, datum in lines:
        event = json.loads(line)
        at = int(datetime.fromisoformat(event["time"]).timestamp())
        rows.append(_row(times, at, told(event, before), datum.link))
        before = event
    return rows


def _silenced(silences: Sequence[tuple[Silence, Datum]], opened: int, times: Times) -> list[Row]:
    rows = []
    for one, datum in silences:
        end = f" until {times.at(one.ends)}" if one.ends else " until it is over"
        why = f": “{fit(one.comment, 150)}”" if one.comment.strip() else ""
        what: Line = (("Silenced by ", ""), code(one.author), (f"{end}{why}.", ""))
        rows.append(_row(times, max(one.starts, opened), what, datum.link))
        if one.ended_by:
            ends: Line = (("Silence ended by ", ""), code(one.ended_by), (".", ""))
            rows.append(_row(times, one.ends, ends, datum.link))
    return rows


# The tables.


def _signal(finding: Finding, times: Times) -> tuple[Line, ...]:
    share = part(finding)
    cells = (
        finding.kind.replace("_", " "),
        times.at(finding.onset),
        times.at(finding.recovered) if ended(finding) else "",
        *(_counted(value) for value in (finding.observed, finding.expected, finding.lost)),
        between(finding),
        percent(share) if share > 0 else "",
    )
    return (
        (code(finding.signal.service), (" ", ""), code(finding.signal.name)),
        *map(ours, cells),
    )


def _counted(value: float) -> str:
    return count(value) if math.isfinite(value) else "not measured"


def _counts(traces: Sequence[Trace], replayed: bool) -> Line:
    """Where the counts of the charts are."""
    if not traces:
        return ours("No counts were kept for a chart.")
    start = moment(min(t.start for t in traces))
    end = moment(max(t.start + t.width * len(t.observed) for t in traces))
    if replayed:
        return ours(f"Their counts are those of the dataset from {start} to {end}.")
    return (
        ("Their counts: ", ""),
        (f"stillwatch export --from {start} --to {end} FOLDER", "code"),
        (".", ""),
    )


def _suspects(
    incident: Incident, by_deployment: Mapping[Deployment, Datum], times: Times
) -> tuple[tuple[tuple[Line, ...], tuple[Link, ...]], ...]:
    rows = []
    for suspect in incident.suspects:
        datum = by_deployment.get(suspect.deployment)
        url = address(suspect.deployment.url)
        links = _of(suspect.deployment, datum) if datum else ((Link("the change", url),) if url else ())
        rows.append((_suspect(suspect, times), links))
    nobody: tuple[Line, ...] = (((chance(incident.no_deployment), ""),), (("no deployment", ""),))
    return (*rows, (nobody + ((("", ""),),) * (len(SUSPECTS) - 2), ()))


def _suspect(suspect: Suspect, times: Times) -> tuple[Line, ...]:
    one = suspect.deployment
    return (
        ((chance(suspect.probability), ""),),
        (code(one.service), (" ", ""), code(one.version), (WHAT[one.kind], "")),
        (code(one.id, 60),),
        ((times.at(one.time), ""),),
        (code(one.author),) if one.author.strip() else (("", ""),),
        ((fit(one.description, 150), ""),),
        (("; ".join(fit(reason, 150) for reason in suspect.evidence), ""),),
    )


# The data.


def _paired(
    kind: str, things: Sequence[T], shape: Callable[[T], str | dict[str, Any]]
) -> list[tuple[T, Datum]]:
    """Each with what it leads to; shape: its line of JSON, or plain values for one."""
    return [(one, _datum(kind, i, shape(one))) for i, one in enumerate(things, 1)]


def _datum(kind: str, number: int, value: str | dict[str, Any]) -> Datum:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=True, allow_nan=False)
    return Datum(f"{kind}-{number}", f"{kind.capitalize()} {number}", text)


def _number(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None


def _finding(finding: Finding) -> dict[str, Any]:
    counts = (
        "observed",
        "expected",
        "out_of",
        "lost",
        "lost_low",
        "lost_high",
        "failed",
        "missing",
        "late",
        "strength",
    )
    return {
        "service": finding.signal.service,
        "signal": finding.signal.name,
        "kind": finding.kind,
        "as_of": moment(finding.at),
        **{name: moment(getattr(finding, name)) for name in ("onset", "onset_low", "onset_high")},
        "recovered": moment(finding.recovered) if finding.recovered else None,
        **{name: _number(getattr(finding, name)) for name in counts},
        "versions": [{"version": v, "counted": _number(x), "out_of": _number(n)} for v, x, n in finding.versions],
        "slice": dict(finding.slice),
        "slice_share": [_number(share) for share in finding.slice_share],
        "slice_extra": _number(finding.slice_extra),
    }  # fmt: skip


def _deployment(one: Deployment) -> dict[str, Any]:
    return {
        "id": one.id,
        "time": moment(one.time),
        "reported": moment(one.known),
        **{
            name: getattr(one, name)
            for name in ("service", "version", "previous_version", "kind", "environment", "revision", "author",
                         "description", "url")
        },
    }  # fmt: skip


def _sent(one: Sent) -> dict[str, Any]:
    return {"channel": one.channel, "key": one.key, "time": moment(one.time), "exact": one.exact}


def _word(one: Word) -> dict[str, Any]:
    return {
        "time": moment(one.time), "word": one.kind, "by": one.who, "deployment": one.deployment,
        "service": one.service,
    }  # fmt: skip


def _silence(one: Silence) -> dict[str, Any]:
    return {
        "id": one.id,
        "matchers": [str(matcher) for matcher in one.matchers],
        "starts": moment(one.starts),
        "ends": moment(one.ends) if one.ends else None,
        "author": one.author,
        "comment": one.comment,
        "ended_by": one.ended_by,
    }
