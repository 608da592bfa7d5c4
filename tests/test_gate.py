"""The verdict for a pipeline: from a dataset, as JSON, as lines, as an exit status."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from world import World

from collector import dataset
from stillwatch import gate
from stillwatch.cli import _run

SETTINGS = """
services:
  api:
    signals:
      failing: {kind: error_ratio, errors: errors, total: requests}
      side_by_side: {kind: rollout, errors: errors, total: requests}
"""


def recorded(folder: Path, new: float) -> Path:
    world = World(60, 1)
    for version, rate, share in (("2", 60, new), ("1", 600, 0.005)):
        total = world.random.poisson(rate, 60)
        world.add("api", "requests", total, version)
        world.add("api", "errors", world.random.binomial(total, share), version)
    dataset.write(folder, world.table(), world.bins(), [])
    (folder / "stillwatch.yaml").write_text(SETTINGS)
    return folder


def asked(folder: Path, *more: str) -> int:
    return _run(["gate", "api", "--candidate", "2", "--baseline", "1", "--dataset", str(folder), *more])


@pytest.mark.parametrize(
    ("share", "status", "said"),
    [(0.08, 1, "bad; roll it back"), (0.001, 0, "as good; promote it"), (0.008, 3, "not enough yet; wait")],
)
def test_the_exit_status_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], share: float, status: int, said: str
) -> None:
    assert asked(recorded(tmp_path / "d", share)) == status
    first, *signals = capsys.readouterr().out.splitlines()
    assert first == f"api 2 beside 1: {said}"
    assert len(signals) == 1  # the same counts are asked about twice, and compared once


def test_the_answer_as_json_holds_both_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(recorded(tmp_path / "d", 0.08), "--json", "--risk", "0.1%") == 1
    told = json.loads(capsys.readouterr().out)
    (one,) = told["signals"]
    assert (told["verdict"], one["verdict"], one["intervals"]) == ("bad", "bad", 60)
    assert one["needed"] == pytest.approx(np.log(1000))
    assert one["candidate"]["failed"] / one["candidate"]["of"] == pytest.approx(0.08, abs=0.02)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (("--margin", "-5%"), "margin"),
        (("--risk", "0"), "risk"),
        (("--tolerance", "x"), "tolerance"),
        (("--wait", "10"), "wait"),
        (("--baseline", "2"), "same version"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], named: str
) -> None:
    assert asked(tmp_path, *more) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line


def test_nobody_at_home_is_no_reason_to_roll_back(capsys: pytest.CaptureFixture[str]) -> None:
    status = _run(["gate", "api", "--candidate", "2", "--baseline", "1", "--url", "http://127.0.0.1:9"])
    assert status == 3
    assert "no verdict: nobody answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"service": "a", "candidate": "2", "baseline": "1"}, "expected since"),
        (
            {"service": "a", "candidate": "2", "baseline": "1", "since": "x"},
            "since: found 'x', expected a number",
        ),
        ({"service": "a", "x": "1"}, "found 'x', expected service"),
        ({"service": "a", "candidate": "2", "baseline": "1", "since": "0", "risk": "nan"}, "risk: expected"),
    ],
)
def test_a_bad_question_names_what_was_expected(written: dict[str, str], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        gate.question(written)


def test_waiting_looks_again_until_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = iter(["not enough yet", "not enough yet", "bad"])
    monkeypatch.setattr(gate, "PAUSE", 0.01)
    said: list[str] = []
    told = gate.wait_for(lambda: {"verdict": next(verdicts)}, 60, said.append)
    assert told["verdict"] == "bad"
    assert len(said) == 2


def test_a_service_that_nobody_watches_is_said_to_be_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded(tmp_path / "d", 0.005)
    assert _run(["gate", "apy", "--candidate", "2", "--baseline", "1", "--dataset", str(folder)]) == 3
    assert "no signal of apy is watched; expected api" in capsys.readouterr().out


@pytest.mark.parametrize("names", [("", "2", "1"), ("api", " ", "1"), ("api", "2", "")])
def test_a_name_that_is_missing_is_no_question(
    names: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    service, candidate, baseline = names
    assert _run(["gate", service, "--candidate", candidate, "--baseline", baseline]) == 2
    assert "found nothing, expected a name" in capsys.readouterr().err
