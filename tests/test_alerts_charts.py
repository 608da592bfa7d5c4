"""A picture shows what was measured, and a hole where nothing was."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import examples
import matplotlib.image
import matplotlib.pyplot
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import charts
from alerts.incidents import Incident
from alerts.panels import Panel, panel
from detectors.findings import Finding, Trace

OBSERVED = charts.COLOURS["observed"]

PNG = b"\x89PNG\r\n"


def pixels(picture: bytes) -> Any:
    """float32[height, width, 4]"""
    return matplotlib.image.imread(io.BytesIO(picture), format="png")


def coloured(picture: bytes, name: str) -> int:
    """How many pixels have just this colour."""
    wanted = [int(charts.COLOURS[name][i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return int((np.abs(pixels(picture)[..., :3] - wanted).max(axis=2) < 0.004).sum())


def with_trace(trace: Trace, **parts: Any) -> Incident:
    event = examples.data_loss()
    finding = replace(event.incident.findings[0], trace=trace, **parts)
    return replace(event.incident, findings=(finding,))


def flat(observed: list[float], **parts: Any) -> Trace:
    count = len(observed)
    whole = np.full(count, 100.0)
    start = examples.at("06:33") - 60 * (count // 2)
    given = {"observed": np.array(observed), "expected": whole, "low": whole - 20, "high": whole + 20}
    return Trace(**{"start": start, "width": 60, **given, "out_of": np.full(count, math.nan), **parts})


def seen(incident: Incident) -> Panel:
    return panel(incident.findings[0], incident, incident.suspects)


def finding(incident: Incident) -> Finding:
    return incident.findings[0]


# What is drawn.


@pytest.mark.parametrize("name", ["error_spike", "rolled_back", "no_data", "bad_version", "young"])
def test_a_picture_is_a_png_wide_enough_for_a_phone_at_twice_its_density(name: str) -> None:
    picture = charts.draw(examples.EVENTS[name]().incident)
    assert picture.startswith(PNG)
    height, width, _ = pixels(picture).shape
    assert width == 1440
    assert 700 <= height <= 2400


def test_the_same_incident_is_the_same_bytes_and_another_is_not() -> None:
    first = charts.draw(examples.trickle().incident)
    assert charts.draw(examples.trickle().incident) == first
    assert charts.draw(examples.error_spike().incident) != first
    assert charts.svg(examples.trickle().incident) == charts.svg(examples.trickle().incident)


def test_drawing_leaves_no_figure_and_no_setting_behind() -> None:
    before = dict(matplotlib.rcParams)
    charts.draw(examples.trickle().incident)
    charts.svg(examples.trickle().incident)
    assert matplotlib.pyplot.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


def test_the_parts_are_all_there() -> None:
    picture = charts.draw(examples.rolled_back().incident)
    for name in ("ink", "band", "observed", "lost", "fault", "change", "good"):
        assert coloured(picture, name) > 100, name
    unblamed = charts.draw(examples.no_deployment().incident)
    assert coloured(unblamed, "change") == coloured(unblamed, "good") == 0


def test_more_findings_are_stacked_three_at_most() -> None:
    event = examples.rolled_back()
    one = pixels(charts.draw(replace(event.incident, findings=event.incident.findings[:1]))).shape[0]
    heights = [
        pixels(charts.draw(replace(event.incident, findings=event.incident.findings * many))).shape[0]
        for many in (1, 2, 4)
    ]
    assert one < heights[0] < heights[1] == heights[2]


def test_the_first_panel_is_what_the_message_speaks_of() -> None:
    text = charts.svg(examples.joined().incident)
    assert text.index("Data loss: about 3,450") < text.index("Errors: 39 %")


def test_an_incident_without_traces_cannot_be_drawn() -> None:
    event = examples.error_spike()
    bare = replace(event.incident, findings=(replace(event.incident.findings[0], trace=None),))
    for draw in (charts.draw, charts.svg):
        with pytest.raises(ValueError, match="no finding has a trace"):
            draw(bare)


# Not measured is a hole.


def strokes(text: str) -> list[int]:
    """For each line of what was observed: of how many pieces it is made."""
    paths = re.findall(r'<path d="([^"]*)"[^>]*stroke: var\(--chart-observed[^>]*>', text)
    return [path.count("M ") for path in paths]


def test_a_hole_in_the_measurements_is_a_hole_in_the_line() -> None:
    whole = [100.0] * 30
    holed = [*whole[:10], math.nan, *whole[11:]]
    assert max(strokes(charts.svg(with_trace(flat(whole))))) == 1
    assert max(strokes(charts.svg(with_trace(flat(holed))))) == 2


def test_nought_is_drawn_and_is_no_hole() -> None:
    values = [100.0] * 15 + [0.0] * 15
    assert max(strokes(charts.svg(with_trace(flat(values))))) == 1
    assert seen(with_trace(flat(values))).observed[-1] == 0.0


def test_a_lonely_measurement_is_a_dot() -> None:
    values = [math.nan, 100.0, math.nan, 100.0, 100.0, math.nan]
    assert seen(with_trace(flat(values))).alone().tolist() == [False, True, False, False, False, False]
    assert seen(with_trace(flat([5.0, math.nan, 5.0]))).alone().tolist() == [True, False, True]


def test_shares_are_of_what_was_tried_and_of_nothing_there_is_none() -> None:
    trace = flat([5.0, 0.0, 3.0, math.nan], out_of=np.array([50.0, 10.0, 0.0, 10.0]))
    shown = seen(with_trace(trace))
    assert shown.share
    assert shown.observed[:2].tolist() == [0.1, 0.0]
    assert np.isnan(shown.observed[2:]).all()


# The window.


def test_the_window_holds_the_fault_what_was_before_and_a_little_after() -> None:
    lost = examples.rolled_back().incident.findings[1]
    shown = panel(lost, examples.rolled_back().incident, ())
    assert shown.begin <= examples.at("06:03")
    assert shown.end >= examples.at("07:08")
    assert shown.edges() == [examples.at("06:33"), examples.at("07:06")]
    faulty = shown.time[shown.faulty]
    assert (faulty.min(), faulty.max()) == (examples.at("06:33") + 30, examples.at("07:06") - 30)


def test_marks_are_the_culprits_of_the_service_and_what_put_them_back() -> None:
    event = examples.rolled_back()
    marks = panel(event.incident.findings[1], event.incident, event.incident.suspects).marks
    assert [(m.time, m.text, m.back) for m in marks] == [
        (examples.at("06:31"), "2.13.0 deployed", False),
        (examples.at("07:05"), "2.12.0 back", True),
    ]


def test_the_axis_says_what_is_counted() -> None:
    slow = with_trace(flat([1.0] * 9, width=300)), with_trace(flat([1.0] * 9, width=10))
    assert [seen(i).unit for i in (examples.data_loss().incident, *slow)] == [
        "opens per minute", "opens per 5 min", "opens per 10 s",
    ]  # fmt: skip
    assert seen(examples.error_spike().incident).unit == "share of imports that fail"


def test_a_culprit_of_another_service_is_named_with_it() -> None:
    event = examples.error_spike()
    marks = panel(finding(event.incident), event.incident, [replace(event.incident.suspects[0],
        deployment=examples.SENDER)]).marks  # fmt: skip
    assert [m.text for m in marks] == ["mail-sender 5.23.0 deployed"]


@given(st.floats(1e-9, 1e15), st.booleans())
def test_the_axis_has_two_to_five_round_ticks(top: float, share: bool) -> None:
    values, labels = replace(seen(examples.data_loss().incident), top=top, share=share).ticks()
    assert 2 <= len(values) <= 5
    assert values[0] == 0.0
    assert values[-1] <= top * (1 + 1e-9)
    assert all(labels)


@given(st.integers(10, 400 * 86400), st.integers(0, 2_000_000_000))
def test_the_axis_of_time_is_never_crowded(span: int, begin: int) -> None:
    shown = replace(seen(examples.data_loss().incident), begin=float(begin), end=float(begin + span))
    times = shown.times()
    assert len(times) <= 6
    assert all(begin <= t <= begin + span for t in times)


# Whatever comes.


@pytest.mark.parametrize("value", [math.nan, 0.0, 1e-9, 1e300, math.inf])
def test_odd_values_are_drawn_all_the_same(value: float) -> None:
    odd = np.full(20, value)
    for out_of in (np.full(20, math.nan), odd):
        drawn = charts.draw(with_trace(flat([value] * 20, expected=odd, low=odd, high=odd, out_of=out_of)))
        assert drawn.startswith(PNG)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("onset", [-86400, 0, 86400])
def test_short_traces_and_far_onsets_are_drawn_all_the_same(count: int, onset: int) -> None:
    assert charts.draw(with_trace(flat([100.0] * count), onset=examples.at("06:33") + onset)).startswith(PNG)
    over = {"phase": "cleared", "cleared": "recovered", "recovered": examples.at("06:33") + 2 * onset}
    drawn = charts.draw(with_trace(flat([100.0] * count), onset=examples.at("06:33") + onset, **over))
    assert drawn.startswith(PNG)


NAMES = st.sampled_from(
    [
        "$x^2$",
        "$\\frac",
        "日本語",
        "<svg onload=x>",
        "a\nb",
        "]]>",
        '"&',
        "\ud83d",
        "\0",
        "",
        "x" * 300,
        "# ffffff",
    ]
) | st.text(max_size=20)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(NAMES, NAMES)
def test_names_from_outside_are_text_and_nothing_else(service: str, version: str) -> None:
    event = examples.error_spike()
    signal = replace(examples.IMPORTS, service=service)
    culprit = replace(examples.IMPORTER, service=service, version=version)
    incident = replace(
        event.incident,
        findings=(replace(finding(event.incident), signal=signal),),
        suspects=(replace(event.incident.suspects[0], deployment=culprit),),
    )
    charts.draw(incident)
    root = ElementTree.fromstring(charts.svg(incident))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "g", "path", "defs", "use", "text", "clipPath", "rect", "tspan"}
    names = {name for element in root.iter() for name in element.attrib}
    assert not [name for name in names if name.lower().startswith("on")]


def test_an_svg_takes_its_colours_from_the_page_and_shares_no_name_with_another() -> None:
    one, other = (
        charts.svg(examples.joined().incident),
        charts.svg(replace(examples.trickle().incident, id="b")),
    )
    assert one.startswith("<svg ")
    assert "var(--chart-observed, #0063a8)" in one
    assert not re.search(r"(fill|stroke): #", one)
    ids = [set(re.findall(r' id="([^"]*)"', text)) for text in (one, other)]
    assert ids[0]
    assert ids[0].isdisjoint(ids[1])
    assert "<style" not in one
