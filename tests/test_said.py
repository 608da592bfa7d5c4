"""What the desk answers, in words."""

from __future__ import annotations

from typing import Any

from stillwatch.said import status_lines

NEWEST = {"start": 1_795_780_800, "seconds": 60, "counts": {"web/requests": 412.0}, "metrics": 1}
SOURCE = {"ok": True, "until": 1_795_780_860}


def said(taken: int, newest: dict[str, Any], **sources: object) -> list[str]:
    told = {
        "ok": True, "trouble": "", "blind_since": "", "lag": 0, "learning": [], "judged": 1, "series": 2,
        "taken": taken, "last_taken": "2026-11-27T12:01:10Z", "refused": {}, "crowded": {}, "outbox": 0,
        "open": [], "silences": [], "newest": newest, "sources": sources,
    }  # fmt: skip
    return status_lines(told)[1:-2]


def test_what_is_sent_is_told_beside_the_counts_of_the_newest_interval() -> None:
    assert said(2, NEWEST) == [
        "counts: 2 data points taken, the last at 2026-11-27T12:01:10Z",
        "newest counts, of 60 s from 2026-11-27T12:00:00Z on:",
        "  web/requests  412",
    ]
    assert said(2, {})[1] == "newest counts: none in an interval that is over"
    assert said(0, {})[0] == "counts: none have come since the start"


def test_what_a_source_tells_later_stands_beside_what_was_sent() -> None:
    later = {**NEWEST, "source": "cloud", "start": 1_795_780_500, "metrics": 3}
    behind = [
        "newest counts of source cloud, of 60 s from 2026-11-27T11:55:00Z on:",
        "  web/requests  412",
        "  and 2 more",
    ]
    assert said(2, {**NEWEST, "later": [later]})[3:] == behind
    assert said(2, {"later": [later]})[1:] == behind


def test_the_first_line_names_what_is_not_seen() -> None:
    told = {
        "ok": True, "trouble": "", "blind_since": "", "lag": 0, "learning": [], "judged": 1, "series": 2,
        "outbox": 0, "open": [], "silences": [], "failing": {"front": 1_795_780_860},
    }  # fmt: skip
    assert status_lines(told)[0] == (
        "well, but without source front since 2026-11-27T12:01:00Z; 1 signal judged, 2 series"
    )


def test_where_sources_are_asked_it_is_not_said_that_no_counts_have_come() -> None:
    assert said(0, NEWEST, front=SOURCE) == [
        "source front: told until 2026-11-27T12:01:00Z",
        "newest counts, of 60 s from 2026-11-27T12:00:00Z on:",
        "  web/requests  412",
    ]
    assert said(3, NEWEST, front=SOURCE)[0].startswith("counts: 3 data points taken")
