"""Why it was told then, or missed: the intervals around it, judged again just as they were."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from world import DAY, START, World, arrivals, requests

from alerts import courses
from collector.dataset import Dataset
from collector.small_tables import Label
from detectors import memory
from stillwatch import config, evidence, replaying
from stillwatch.evidence import Evidence

FAULT = 2 * DAY + 600
SETTINGS = config.parse(
    """
services:
  api: {signals: {failing: {kind: error_ratio, errors: errors, total: requests}}}
  forms: {signals: {arriving: {kind: throughput, count: stored}}}
""",
    "stillwatch.yaml",
    None,
)


@cache
def recorded() -> Dataset:
    """Errors that are told, and a loss too small to be told before a week is known."""
    world = World(2 * DAY + 720, 1)
    requests(world, "api", 100, 0.005, 0.05, FAULT, 60)
    arrivals(world, "forms", 100, 0.3, FAULT, 60)
    start, end = START + 60 * FAULT, START + 60 * (FAULT + 60)
    labels = [Label(start, end, "api", "error_spike"), Label(start, end, "forms", "data_loss")]
    return Dataset(world.table(), world.bins(), (), tuple(labels))


@cache
def weighed() -> Evidence:
    done = replaying.replay(recorded(), SETTINGS)
    missed = {"found": False, "kind": "data_loss"}
    told = {"labels": [{"found": True, "delay": 100, "kind": "error_spike"}, missed]}
    return evidence.evidence(recorded(), SETTINGS, done, told)


def test_what_is_judged_again_is_judged_as_it_was() -> None:
    done = replaying.replay(recorded(), SETTINGS)
    assert [at for at, _ in done.kept] == [0, DAY, 2 * DAY]
    *_, (index, state, _) = replaying.retraced(recorded(), SETTINGS, done, FAULT - 5, FAULT + 5)
    until = replace(recorded(), bins=recorded().bins.cut(0, FAULT + 6))
    assert index == FAULT + 5
    assert memory.dump(state.memory) == memory.dump(replaying.replay(until, SETTINGS).state.memory)


def test_an_incident_shows_its_evidence_until_it_was_enough() -> None:
    ((course,),) = weighed().by_incident.values()
    assert (course.service, course.signal) == ("api", "failing")
    time, grown, enough = (np.array(row) for row in (course.times, course.evidence, course.enough))
    before = time < course.told - 60
    assert np.all(grown[before][:-1] < enough[before][:-1])
    assert np.all(grown[~before][:-1] >= enough[~before][:-1])
    assert course.began <= course.told
    assert course.said.startswith("at 10:0")
    assert "nats of evidence, " in course.said


def test_what_was_missed_says_how_near_it_came_and_what_held_it_back() -> None:
    ((heading, course),) = weighed().faults
    assert heading == "forms: data loss missed"
    assert course.told == 0
    assert np.nanmax(course.evidence) < np.nanmin(course.enough)
    assert "Held back: still learning" in course.said


def test_hundreds_of_incidents_do_not_make_hundreds_of_pictures() -> None:
    done = replaying.replay(recorded(), SETTINGS)
    one = done.events[0]
    many = tuple(replace(one, incident=replace(one.incident, id=str(i))) for i in range(40))
    found = evidence.evidence(recorded(), SETTINGS, replace(done, events=many), {})
    assert len(found.by_incident) == evidence.MOST_EXPLAINED
    assert found.left_out == 40 - evidence.MOST_EXPLAINED


def test_a_course_is_drawn_whatever_was_not_judged() -> None:
    ((course,),) = weighed().by_incident.values()
    blank = tuple(float("nan") for _ in course.times)
    assert "<svg" in courses.svg([replace(course, evidence=blank, enough=blank)], "x")
    assert "<svg" in courses.svg([replace(course, times=(1.0,), evidence=(1.0,), enough=(2.0,))], "x")
