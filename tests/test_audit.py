"""The audit of dependencies: a vulnerability fails it; a service that does not answer is said, not passed over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from audit import NOT_AUDITED, verdict

GOOD = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited: b (1)"}
BAD = {"name": "c", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"], "aliases": []},
                                               {"id": "PYSEC-2", "fix_versions": []}]}  # fmt: skip


def told(*packages: dict[str, object]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_a_known_vulnerability_fails_the_build_and_says_what_mends_it() -> None:
    status, lines = verdict(told(GOOD, BAD, SKIPPED), "")
    assert status == 1
    assert lines == [
        "audited 2 packages: 2 known vulnerabilities; 1 could not be asked about",
        "  c 2.0: PYSEC-1, mended in 2.1",
        "  c 2.0: PYSEC-2, mended in no version yet",
    ]


def test_nothing_found_is_said_with_how_many_were_asked_about() -> None:
    assert verdict(told(GOOD), "") == (0, ["audited 1 packages: no known vulnerabilities"])


@pytest.mark.parametrize("answer", ["", "{", "[]", "{}", told(), told(SKIPPED, SKIPPED)])
def test_a_service_that_does_not_answer_is_said_and_fails_nothing(answer: str) -> None:
    status, (line,) = verdict(answer, "x\nConnectionError: no route\n")
    assert status == 0 and line.startswith(NOT_AUDITED)


def test_it_runs_in_ci() -> None:
    assert "./script/audit" in (Path(__file__).parent.parent / ".ci" / "run").read_text()
