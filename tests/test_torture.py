"""A short form of script/torture: the daemon is killed while Slack fails, and nothing is lost or said twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_said_twice_though_it_is_killed_again_and_again() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks/tortured", "--trials", "5", "slack", "snapshot"],
        capture_output=True, text=True, check=False, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) == 2
    for row in rows:
        assert int(row[2].replace(",", "")) > 1000, "there was something to lose"
        assert int(row[5]) > 0, "there was something to say"
