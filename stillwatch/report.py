"""One page that tells what happened: a timeline, a card and a chart for each incident, the scores.

In: events in order, deployments, a summary of plain values, the range. Out: HTML that needs nothing else.
Never: a script, anything fetched from elsewhere, a word from outside that is not escaped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from alerts import charts, courses, messages, strips
from alerts.incidents import Event, Incident
from alerts.mrkdwn import address
from alerts.terminal_lines import Line, clean, mrkdwn
from alerts.wording import between, chance, clock, lasted
from collector.deployments import Deployment
from collector.moments import rfc3339
from detectors.blindspots import Blindspot
from stillwatch import blind
from stillwatch.evidence import NONE, Evidence
from stillwatch.pages import render
from stillwatch.timeline import Timeline, timeline


def page(
    title: str,
    events: Sequence[Event],
    summary: Mapping[str, Any],
    deployments: Sequence[Deployment],
    start: int,
    end: int,
    spots: Sequence[Blindspot] = (),
    evidence: Evidence = NONE,
) -> str:
    """The page as text. start, end: epoch seconds of the whole range; events in the order in which they came.

    summary: plain values, mappings of them and lists of mappings; each of these becomes a table of its own.
    spots: see blind.reported. evidence: see evidence.evidence.
    """
    stories = _stories(events, evidence)
    drawn: Timeline = timeline([s.last.incident for s in stories], deployments, start, end)
    return render(
        "report.html",
        title=clean(title) or "Report",
        range=f"{_moment(start)} to {_moment(end)} UTC",
        numbers=_numbers(stories, deployments),
        facts=_facts(summary),
        tables=_tables(summary),
        timeline=drawn,
        stories=stories,
        faults=[
            {"heading": clean(heading), "why": _why([course], f"fault {i}")}
            for i, (heading, course) in enumerate(evidence.faults)
        ],
        left_out=evidence.left_out,
        blind=_blind(spots),
        deployments=[_deployed(d) for d in sorted(deployments, key=lambda d: (d.time, d.service))],
    )


@dataclass(frozen=True, slots=True)
class Story:
    """An incident from its first event to its last, in the words of the template."""

    number: int
    last: Event
    blocks: list[dict[str, Any]]
    news: list[tuple[str, str, list[Line]]]
    chart: Markup
    why: dict[str, Any]
    signals: list[tuple[str, ...]]
    suspects: list[dict[str, str]] = field(default_factory=list)


def _stories(events: Sequence[Event], evidence: Evidence) -> list[Story]:
    by_id: dict[str, list[Event]] = {}
    for event in events:
        by_id.setdefault(event.incident.id, []).append(event)
    return [
        _story(number, its, evidence.by_incident.get(name, ()))
        for number, (name, its) in enumerate(by_id.items(), 1)
    ]


def _story(number: int, events: Sequence[Event], weighed: Sequence[courses.Course]) -> Story:
    last = events[-1]
    incident = last.incident
    traced = any(f.trace is not None for f in incident.findings)
    # matplotlib escapes what it writes; nothing of ours is put into it afterwards.
    chart = Markup(charts.svg(incident)) if traced else Markup("")  # noqa: S704
    return Story(
        number=number,
        last=last,
        blocks=[_block(block) for block in messages.card(last)],
        news=[_news(event, incident.opened) for event in events],
        chart=chart,
        why=_why(weighed, incident.id),
        signals=_signals(incident, last.time),
        suspects=_suspects(incident),
    )


def _why(weighed: Sequence[courses.Course], salt: str) -> dict[str, Any]:
    """The course of the evidence as a picture, and in words."""
    if not weighed:
        return {}
    said = [(clean(f"{one.service} {one.signal}"), clean(one.said)) for one in weighed[: courses.MOST]]
    return {"picture": Markup(courses.svg(weighed, salt)), "said": said}  # noqa: S704  (matplotlib escapes)


def _blind(spots: Sequence[Blindspot]) -> dict[str, Any]:
    """What would not be seen: a picture, its bands, and the best and the worst hour of each signal in words."""
    if not spots:
        return {}
    by_signal: dict[tuple[str, str], list[Blindspot]] = {}
    for spot in sorted(spots, key=lambda s: s.start % 86400):
        by_signal.setdefault((spot.service, spot.signal), []).append(spot)
    hours = max(by_signal.values(), key=len)
    labels = [rfc3339(s.start)[11:16] for s in hours] if len(hours) > 1 else []
    # matplotlib escapes what it writes.
    picture = Markup(strips.svg([_strip(by_signal[name]) for name in sorted(by_signal)], labels))  # noqa: S704
    edges = ["0", *(f"{100 * most:.0f}" for most, _, _ in strips.BANDS)]
    bands = [(strips.BANDS[i][1], f"{a} to {b} %") for i, (a, b) in enumerate(pairwise(edges))]
    return {
        "picture": picture,
        "bands": [*bands, (strips.BLIND[0], "not even everything")],
        "rows": [[clean(cell) for cell in row] for row in blind.table(blind.ends(spots))],
        "more": max(0, len(by_signal) - strips.MOST),
    }


def _strip(its: Sequence[Blindspot]) -> strips.Strip:
    place = blind.REPORTED.index(900)
    word = "failing" if its[0].what == "error share" else "lost"
    word = word if len(its) > 1 else f"{word}, from now on"
    return strips.Strip(its[0].service, its[0].signal, word, tuple(s.smallest[place] for s in its))


def _block(block: Mapping[str, Any]) -> dict[str, Any]:
    """A block of the message as lines of styled text, or as links."""
    links = [
        {"url": one["url"], "text": one["text"]["text"]}
        for one in block.get("elements", ())
        if one.get("type") == "button"
    ]
    return {"type": block["type"], "links": links, "lines": [] if links else _lines(block)}


def _lines(block: Mapping[str, Any]) -> list[Line]:
    found: list[Line] = []
    for text in [block["text"]] if "text" in block else block.get("elements", ()):
        found += mrkdwn(text["text"]) if text["type"] == "mrkdwn" else [((clean(text["text"]), "bold"),)]
    return found


def _news(event: Event, opened: int) -> tuple[str, str, list[Line]]:
    """When, what kind of news, and the words of its reply (of an opened one: the first line of the card)."""
    said = messages.changes(event) or messages.card(event)
    name = event.reason if event.event == "updated" else event.event
    return clock(event.time, opened), name, [line for block in said[:1] for line in _lines(block)]


def _signals(incident: Incident, now: int) -> list[tuple[str, ...]]:
    return [
        (
            f.signal.service,
            f.signal.name,
            f.kind.replace("_", " "),
            clock(f.onset, now),
            clock(f.recovered, now) if f.recovered else "",
            _whole(f.observed),
            _whole(f.expected),
            _whole(f.lost),
            between(f),
        )
        for f in incident.findings
    ]


def _whole(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "not measured"


def _suspects(incident: Incident) -> list[dict[str, str]]:
    rows = [
        {
            "name": f"{s.deployment.service} {s.deployment.version}",
            "release": s.deployment.id,
            "url": address(s.deployment.url),
            "chance": chance(s.probability),
            "width": f"{100 * s.probability:.1f}",
            "why": "; ".join(s.evidence),
        }
        for s in incident.suspects
    ]
    none = incident.no_deployment
    rows.append(
        {
            "name": "no deployment",
            "release": "",
            "url": "",
            "chance": chance(none),
            "width": f"{100 * none:.1f}",
            "why": "none that is known",
        }
    )
    return rows


def _numbers(stories: Sequence[Story], deployments: Sequence[Deployment]) -> list[tuple[str, str]]:
    """The figures at the top: label and value."""
    incidents = [s.last.incident for s in stories]
    spans = [_recovered(i) - _began(i) for i in incidents if i.resolved]
    delays = [i.opened - _began(i) for i in incidents]
    found = [
        ("incidents", str(len(incidents))),
        ("critical", str(sum(i.severity == "critical" for i in incidents))),
        ("still open", str(sum(not i.resolved for i in incidents))),
        ("deployments", str(len(deployments))),
    ]
    if delays:
        found.append(("told after the onset, at worst", lasted(max(0, *delays))))
    if spans:
        found.append(("longest", lasted(max(0, *spans))))
    return found


def _began(incident: Incident) -> int:
    return min(f.onset for f in incident.findings)


def _recovered(incident: Incident) -> int:
    return max(f.recovered for f in incident.findings) or incident.resolved


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(_label(k), _value(v)) for k, v in summary.items() if not isinstance(v, Mapping | list | tuple)]


def _tables(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every mapping and every list of mappings as heading, columns and rows."""
    found = []
    for key, value in summary.items():
        if isinstance(value, Mapping):
            value = [
                {"": _label(k), **(v if isinstance(v, Mapping) else {"value": v})} for k, v in value.items()
            ]
        if isinstance(value, list | tuple) and value:
            rows = [row if isinstance(row, Mapping) else {"value": row} for row in value]
            columns = list(dict.fromkeys(name for row in rows for name in row))
            cells = [[_value(row.get(name, "")) for name in columns] for row in rows]
            found.append({"heading": _label(key), "columns": [_label(c) for c in columns], "rows": cells})
    return found


def _label(key: object) -> str:
    return clean(str(key).replace("_", " "))


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_label(k)} {_value(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value(one) for one in value)
    return clean(str(value))


def _deployed(deployment: Deployment) -> tuple[str, ...]:
    return (
        _moment(deployment.time),
        deployment.service,
        deployment.version,
        deployment.kind,
        deployment.author,
        clean(deployment.description),
        address(deployment.url),
    )


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %b %Y %H:%M").lstrip("0")
