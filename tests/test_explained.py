"""Why was it told, or not: the numbers are those by which it was judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from world import DAY, START, World, arrivals, passes_on, requests

from collector import dataset
from collector.dataset import Dataset
from collector.deployments import Deployment
from stillwatch import config, explained
from stillwatch.cli import _run

FAULT = 2 * DAY + 600
SETTINGS = """
services:
  api: {signals: {failing: {kind: error_ratio, errors: errors, total: requests}}}
  forms: {signals: {arriving: {kind: throughput, count: stored}}}
  parser: {signals: {kept: {kind: flow, from: received, to: stored, within: 3m}}}
"""


@pytest.fixture(scope="module")
def recorded() -> Dataset:
    world = World(2 * DAY + 700, 1)
    requests(world, "api", 100, 0.005, 0.05, FAULT, 60)
    arrivals(world, "forms", 100)
    passes_on(world, "parser", 100)
    shipped = Deployment("r", START + 60 * FAULT - 30, "api", "2", "1")
    return Dataset(world.table(), world.bins(), (shipped,), ())


def ask(recorded: Dataset, service: str, minute: int) -> list[str]:
    settings = config.parse(SETTINGS, "stillwatch.yaml", None)
    told = explained.explained(recorded, settings, service, START + 60 * minute + 30, lambda done: None)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    return explained.lines(told)


@pytest.mark.slow
def test_a_quiet_minute_says_what_was_expected_and_that_nothing_speaks_for_a_fault(recorded: Dataset) -> None:
    said = ask(recorded, "parser", FAULT)
    assert said[1] == "  kept: quiet"
    assert said[2].startswith("    counted ")
    assert "nats of" in said[3]


def test_a_fault_that_begins_says_how_much_is_lacking(recorded: Dataset) -> None:
    said = "\n".join(ask(recorded, "api", FAULT))
    assert "failing: quiet" in said
    assert "times as many fail, since" in said
    assert "less 2 just after a deployment" in said


def test_a_fault_that_was_told_says_since_when(recorded: Dataset) -> None:
    said = "\n".join(ask(recorded, "api", FAULT + 20))
    assert "failing: told" in said
    assert "nats of evidence" in said


def test_what_still_learns_says_so(recorded: Dataset) -> None:
    assert any("held back: still learning" in line for line in ask(recorded, "forms", 300))


def test_a_gap_says_that_nobody_listened(recorded: Dataset) -> None:
    bins = recorded.bins
    values, watched = bins.values.copy(), bins.watched.copy()
    values[500], watched[500] = np.nan, False
    deaf = Dataset(
        recorded.table, type(bins)(bins.start, 60, bins.closed, values, watched), recorded.deployments, ()
    )
    said = ask(deaf, "api", 500)
    assert "    not measured" in said
    assert "    held back: nobody listened in this interval" in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nobody", "--at", "{in}"], "no such service has a signal; expected api, forms, parser"),
        (["api", "--at", "2001-01-01T00:00Z"], "expected a time in what was recorded"),
        (["api", "--at", "yesterday"], "--at"),
    ],
)
def test_a_bad_question_is_answered_in_a_line(
    recorded: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    dataset.write(tmp_path / "d", recorded.table, recorded.bins.cut(0, 60), [])
    (tmp_path / "d" / "stillwatch.yaml").write_text(SETTINGS)
    asked = [one.replace("{in}", str(START + 60)) for one in arguments]
    assert _run(["explain", *asked, "--dataset", str(tmp_path / "d")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line


def test_without_a_database_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run(["explain", "api", "--at", "2022-03-01T00:00Z"]) == 2
    assert "or give --dataset" in capsys.readouterr().err


def test_the_most_likely_fault_is_near_what_was_counted(recorded: Dataset) -> None:
    """Of 100 some 5 fail where one in 200 did: ten times as many, as of this minute."""
    likely = next(line for line in ask(recorded, "api", FAULT) if "most likely" in line)
    assert 3 <= float(likely.split()[2]) <= 30
    assert likely.endswith("10:00")


def test_a_holiday_is_named_with_what_is_not_told_on_it() -> None:
    world = World(9 * DAY, 3)
    arrivals(world, "forms", 100)
    settings = config.parse(SETTINGS + "holidays: 2022-03-08\n", "stillwatch.yaml", None)
    recorded = Dataset(world.table(), world.bins(), (), ())
    told = explained.explained(recorded, settings, "forms", START + 60 * (8 * DAY + 600), lambda done: None)
    said = explained.lines(told)
    assert said[0].endswith(", a holiday (2022-03-08)")
    assert "    held back: today is a holiday: losses of less than 80% are not told" in said
