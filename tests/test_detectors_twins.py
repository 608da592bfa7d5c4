"""All signals together, compiled, are what each is alone in plain Python: missing values, zeros and 1e9 included.

The slow twin of the step is the same functions before they are compiled, in a process where nothing is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from world import World, arrivals, carries, passes_on, requests

from detectors.memory import Columns, empty
from detectors.plan import Plan, lay
from detectors.signals import Budget
from detectors.watch import watch

LENGTH = 400  # minutes
FAULT = 300


def made() -> World:
    """A signal of each kind, with holes and zeros; from FAULT on the importer fails; 1e9 comes last."""
    world = World(LENGTH, 11)
    requests(world, "importer", 60, 0.01, fault=0.5, start=FAULT, minutes=60, path="a")
    world.signals[0] = replace(world.signals[0], split_by=("path",))
    requests(world, "odd", 3, 0.1)
    passes_on(world, "parser", 200)
    arrivals(world, "forms", 50)
    carries(world, "mails", 80, 0.3, FAULT - 100, 60)
    for i, counts in enumerate(world.series.values()):
        counts[20 + i : 23 + i] = np.nan
        counts[50 + i : 52 + i] = 0.0
        counts[LENGTH - 5] = 1e9
    return world


def judged(world: World, plan: Plan) -> tuple[Columns, list[str]]:
    """The columns after all of it, and what was found on the way, as texts."""
    memory = empty(plan)
    said = [
        f"{at} {f.signal.name} {f.phase} {f.onset} {f.lost:.6g} {f.lost_low:.6g} {f.lost_high:.6g}"
        for at, findings in watch(memory, world.bins(), plan)
        for f in findings
    ]
    return memory.columns, said


def flat(columns: Columns) -> dict[str, NDArray[np.float64]]:
    return {
        f"{part}.{name}": np.asarray(getattr(columns, part)[name], dtype=np.float64)
        for part in ("charts", "flows", "seasons", "cohorts", "cells")
        for name in getattr(columns, part).dtype.names
    }


if __name__ == "__main__":  # the twin's process
    found, words = judged(made(), made().plan())
    np.savez(sys.argv[1], words=np.array(words), **flat(found))


def test_compiled_and_plain_are_the_same(tmp_path: Path) -> None:
    world = made()
    compiled, said = judged(world, world.plan())
    assert any("raised" in line for line in said)
    assert any("cleared" in line for line in said)
    subprocess.run(
        [sys.executable, __file__, str(tmp_path / "twin.npz")],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        timeout=300,
    )
    with np.load(tmp_path / "twin.npz") as twin:
        assert twin["words"].tolist() == said
        for name, values in flat(compiled).items():
            np.testing.assert_allclose(values, twin[name], rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("which", range(4))
def test_what_is_expected_of_a_signal_does_not_depend_on_the_others(which: int) -> None:
    """What one interval may add does: how rarely intervals are odd and no fault is learned from the whole fleet."""
    world = made()
    never = Budget(1e-300)
    plan = world.plan(never)
    alone = lay([plan.signals[which]], world.table(), 60, never)
    one, together = empty(alone), empty(plan)
    quiet = world.bins().cut(0, FAULT)
    assert list(watch(one, quiet, alone)) == []
    assert list(watch(together, quiet, plan)) == []
    chart = plan.keys.index(alone.keys[0])
    for name in ("alpha", "beta", "num", "den", "ring_x", "ring_n", "ring_e", "ring_m", "ring_a", "seen"):
        mine, theirs = one.columns.charts[name][0], together.columns.charts[name][chart]
        np.testing.assert_array_equal(mine, theirs, err_msg=name)
