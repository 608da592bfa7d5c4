"""One page tells what happened, needs nothing else, and runs nothing from outside."""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import examples
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.courses import Course
from alerts.incidents import Event, Incident
from collector.deployments import Deployment
from detectors.blindspots import Blindspot
from stillwatch import report
from stillwatch.evidence import NONE, Evidence
from stillwatch.pages import POLICY
from stillwatch.timeline import LEAST, WIDTH, timeline

START, END = examples.MIDNIGHT - 13 * 86400, examples.at("12:00")
DEPLOYMENTS = [
    examples.IMPORTER, examples.PARSER, examples.SENDER, examples.IMPORTER_BACK, examples.PARSER_BACK,
    examples.RESIZER,
]  # fmt: skip
RESIZER = replace(examples.trickle(), incident=replace(examples.trickle().incident, id="another"))
STORY = [examples.joined(), examples.recovering(), examples.grew(), examples.rolled_back(), RESIZER]


class Reader(HTMLParser):
    """Tags with their attributes, ids, links, and all text that is shown."""

    VOID = ("meta", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == [], "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def count(self, tag: str, **wanted: str) -> int:
        return sum(t == tag and all(a.get(k) == v for k, v in wanted.items()) for t, a in self.tags)


def page(
    events: list[Event] | None = None,
    summary: dict[str, Any] | None = None,
    deployments: list[Deployment] | None = None,
    title: str = "release_day",
    spots: Sequence[Blindspot] = (),
    evidence: Evidence = NONE,
) -> Reader:
    return Reader(
        report.page(
            title,
            STORY if events is None else events,
            summary or {},
            DEPLOYMENTS if deployments is None else deployments,
            START,
            END,
            spots,
            evidence,
        )
    )


def spot(service: str = "api", signal: str = "failing", hour: int = 0, *sizes: float | None) -> Blindspot:
    return Blindspot(service, signal, "loss", END + 3600 * hour, 100.0, sizes or (None, 0.5, 0.0123, 0.01))


def test_the_page_tells_range_incidents_suspects_and_what_was_said() -> None:
    text = page().text
    assert "release_day" in text
    assert "31 Mar 2022 00:00 to 13 Apr 2022 12:00 UTC" in text
    assert "Over. Data loss: about 37,700 opens not stored (event-parser, 06:33 to 07:06 UTC" in text
    assert "Errors: 0.69 % of resizes fail" in text
    assert "The same release explains it: release-20220413-0631 (97 %)." in text.replace(" :", ":")
    assert "no deployment" in text
    assert "new processing of open events" in text


def test_an_incident_is_one_card_in_its_last_state_with_its_history_and_its_chart() -> None:
    shown = page()
    assert [a["id"] for t, a in shown.tags if t == "section" and "id" in a] == ["incident-1", "incident-2"]
    assert shown.count("svg", **{"class": "chart"}) == 2
    assert shown.count("ol", **{"class": "history"}) == 2
    assert shown.count("li") == len(STORY)
    assert "So far about 13,600 opens not stored" in shown.text


def test_the_figures_at_the_top_are_counted_from_the_events() -> None:
    text = page().text
    for figure in ("incidents 2", "critical 1", "still open 1", "deployments 6", "longest 33 min"):
        assert figure in text


def test_bars_are_as_long_as_the_probabilities() -> None:
    widths = [a["style"] for t, a in page([RESIZER]).tags if t == "i" and "width" in (a["style"] or "")]
    assert [w for w in widths if "%" in str(w)] == ["width: 86.0%", "width: 1.0%", "width: 13.0%"]


def test_the_timeline_leads_to_each_incident_and_has_every_deployment() -> None:
    shown = page()
    assert [a["href"] for t, a in shown.tags if t == "a" and str(a["href"]).startswith("#")] == [
        "#incident-1",
        "#incident-2",
    ]
    ticks = [a["class"] for t, a in shown.tags if t == "line" and str(a["class"]).startswith("tick")]
    assert sorted(map(str, ticks)) == ["tick deploy"] * 4 + ["tick rollback"] * 2


def test_the_summary_becomes_facts_and_tables() -> None:
    summary = {
        "bins": 20160,
        "seconds": 3.2141,
        "nothing_known": None,
        "right_release": True,
        "smallest_effect": {"contact-importer/imports": {"within_10_min": 0.0312}},
        "messages_per_week": {"#alerts": 6.5},
        "labels": [{"service": "event-parser", "delay": 173}, {"service": "image-resizer", "missed": True}],
        "none": [],
    }
    shown = page(summary=summary)
    assert "bins 20,160" in shown.text
    assert "seconds 3.21" in shown.text
    assert "nothing known –" in shown.text
    assert "contact-importer/imports 0.0312" in shown.text
    assert "#alerts 6.5" in shown.text
    assert "service delay missed event-parser 173" in shown.text


def test_a_quiet_range_says_so() -> None:
    shown = page([], deployments=[])
    assert "Nothing happened that anybody had to know." in shown.text
    assert "incidents 0" in shown.text
    assert shown.count("svg", **{"class": "chart"}) == 0


def test_what_was_not_measured_is_said_and_is_not_nought() -> None:
    finding = replace(RESIZER.incident.findings[0], expected=math.nan)
    event = replace(RESIZER, incident=replace(RESIZER.incident, findings=(finding,)))
    assert "not measured" in page([event]).text
    assert "not measured" not in page([RESIZER]).text


def test_an_incident_without_a_trace_has_no_chart() -> None:
    finding = replace(RESIZER.incident.findings[0], trace=None)
    event = replace(RESIZER, incident=replace(RESIZER.incident, findings=(finding,)))
    assert page([event]).count("svg", **{"class": "chart"}) == 0


def test_what_would_not_be_seen_is_a_picture_and_the_best_and_worst_hours() -> None:
    spots = [spot("api", "kept", h) for h in range(0, 22, 2)] + [
        spot("api", "kept", 22, None, None, None, 0.9)
    ]
    shown = page(spots=spots)
    assert shown.count("svg", **{"class": "chart"}) == 3
    assert shown.text.split().count("1.2") == 11 + 1
    assert "api kept 10:00 100 an interval not even all not even all not even all 90 % lost" in shown.text
    assert "What would not be seen" not in page().text


def test_a_fleet_does_not_make_the_picture_endless() -> None:
    many = page(spots=[spot(f"s{i}") for i in range(200)])
    assert "and 176 more: stillwatch blindspots" in many.text


# Alone, and in safety.

ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "h1", "h2", "h3", "p", "dl", "div", "dt",
    "dd", "section", "span", "strong", "em", "code", "br", "a", "table", "tr", "th", "td", "ol", "li", "i", "svg",
    "g", "path", "defs", "use", "text", "clippath", "rect", "line", "details", "summary",
}  # fmt: skip
HOSTILE = st.sampled_from(
    [
        "<script>alert(1)</script>", "</style><script>x</script>", "\"><img src=x onerror=alert(1)>", "{{ 7*7 }}",
        "{% include 'x' %}", "' onmouseover='x", "<!channel>", "&lt;b&gt;", "javascript:alert(1)", "*b* `c` <b>",
        "</svg><script>x</script>", "\u202e", "\0", "\x1b[31mred\a", "", "x" * 2000, "]]>", "<!--", "日本語",
    ]
)  # fmt: skip


def safe(shown: Reader) -> None:
    # Before anything that it could be too late for: a browser would run nothing, fetch nothing, send nothing.
    head = [(tag, attributes) for tag, attributes in shown.tags if tag == "meta"][:2]
    assert head[1] == ("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY})
    assert [tag for tag, _ in shown.tags].index("meta") < [tag for tag, _ in shown.tags].index("style")
    assert "script" not in POLICY and POLICY.startswith("default-src 'none';")
    assert {tag for tag, _ in shown.tags} <= ALLOWED
    for tag, attributes in shown.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("src", "srcset", "action", "formaction")
            if name in ("href", "xlink:href"):
                assert str(value).startswith(("#", "https://", "http://"))
                assert tag == "a" or str(value).startswith("#")


def test_nothing_is_fetched_and_nothing_runs() -> None:
    html = report.page("x", STORY, {"a": 1}, DEPLOYMENTS, START, END)
    safe(Reader(html))
    assert "@import" not in html
    assert "url(" not in html.replace("url(#", "")
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(HOSTILE, HOSTILE)
def test_whatever_comes_from_outside_is_text(one: str, other: str) -> None:
    event = examples.trickle()
    found = event.incident.findings[0]
    signal = replace(found.signal, service=one, name=other, owner=one)
    finding = replace(found, signal=signal, slice=((one, other),))
    culprit = replace(
        examples.RESIZER,
        id=one,
        service=one,
        version=other,
        author=one,
        description=other,
        url=other,
        kind="deploy",
    )
    suspect = replace(event.incident.suspects[0], deployment=culprit, evidence=(one, other))
    incident = replace(event.incident, findings=(finding,), suspects=(suspect,))
    spots = [spot(one, other), spot(other, one, 2)]
    course = Course(one, other, (START + 30.0, START + 90.0), (1.0, 9.0), (8.0, 8.0), START + 60, 0, one)
    weighed = Evidence({incident.id: [course]}, [(other, course)])
    told = [replace(event, incident=incident)]
    shown = page(told, {one: {other: one}, "x": other}, [culprit], one, spots, weighed)
    safe(shown)
    seen = shown.text + "".join(str(value) for _, attributes in shown.tags for value in attributes.values())
    assert not [c for c in seen if (unicodedata.category(c) == "Cc" and c not in "\t\n") or c == "\u202e"]


# The timeline.


def spread(spans: list[tuple[int, int]]) -> list[Incident]:
    event = examples.trickle()
    return [
        replace(
            event.incident,
            findings=(
                replace(event.incident.findings[0], onset=START + begin, recovered=START + begin + length),
            ),
            resolved=START + begin + length,
        )
        for begin, length in spans
    ]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-86400, 14 * 86400), st.integers(0, 3 * 86400)), max_size=15))
def test_every_incident_is_seen_and_none_hides_another(spans: list[tuple[int, int]]) -> None:
    bars = timeline(spread(spans), DEPLOYMENTS, START, END).bars
    assert [b.number for b in bars] == list(range(1, len(spans) + 1))
    for bar in bars:
        assert bar.width >= LEAST
        assert bar.x >= 0
        assert bar.x + bar.width <= WIDTH + LEAST
        for other in bars:
            apart = other.x >= bar.x + bar.width or bar.x >= other.x + other.width
            assert bar is other or bar.lane != other.lane or apart


@pytest.mark.parametrize("span", [1, 60, 3600, 86400, 14 * 86400, 400 * 86400, 5000 * 86400])
def test_the_axis_of_the_timeline_is_never_crowded(span: int) -> None:
    times = timeline([], [], START, START + span).times
    assert len(times) <= 9
    places = [x for x, _ in times]
    assert all(b - a > 60 for a, b in itertools.pairwise(places))


def test_deployments_outside_of_the_range_are_not_drawn() -> None:
    late = replace(examples.SENDER, time=END + 60)
    assert timeline([], [late, examples.SENDER], START, END).ticks[0][1:] == (
        "deploy",
        "13 Apr 06:31 mail-sender 5.23.0 (deploy)",
    )
    assert len(timeline([], [late, examples.SENDER], START, END).ticks) == 1
