"""Compiled code is kept in a cache; several processes that fill it at once never get each other's code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

SUM = """
import random, sys, time
from numba.core import caching, config
import numpy as np
import detectors.compiled
config.CACHE_DIR = sys.argv[1]

def slowly(save):
    def saved(*given):
        time.sleep(random.random() * 0.03)  # what goes wrong once in a while goes wrong each time
        save(*given)
    return saved

for name in ("_save_index", "_save_data"):
    setattr(caching.IndexDataCacheFile, name, slowly(getattr(caching.IndexDataCacheFile, name)))

@detectors.compiled.compiled
def last(record):
    return record.a + record.z

for width in eval(sys.argv[2]):
    kind = np.dtype([("a", "f8"), ("gap", "f8", width), ("z", "f8")])
    one = np.zeros(1, dtype=kind).view(np.recarray)
    one.a, one.z = 1.0, width
    assert last(one[0]) == 1.0 + width, (width, last(one[0]))
"""


@pytest.mark.slow
def test_processes_that_compile_at_once_do_not_mix_up_their_code(tmp_path: Path) -> None:
    script = tmp_path / "last.py"
    script.write_text(SUM)

    def run(widths: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(script), str(tmp_path / "cache"), widths]
        return subprocess.Popen(command, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"})

    both = [run("range(2, 40)"), run("range(39, 1, -1)")]
    assert [one.wait() for one in both] == [0, 0]
    assert run("range(2, 40)").wait() == 0


KEPT = """
import sys
from pathlib import Path
from numba.core import config
import detectors.compiled
config.CACHE_DIR = sys.argv[1]
detectors.compiled.CACHE = Path(sys.argv[1])
import double
print(detectors.compiled.CACHE.exists(), detectors.compiled.is_cached(double.double))
assert double.double(2.0) == 4.0
print(detectors.compiled.is_cached(double.double))
"""


def test_it_is_known_whether_the_first_use_will_take_a_while(tmp_path: Path) -> None:
    (tmp_path / "kept.py").write_text(KEPT)
    text = "from detectors.compiled import compiled\n\n@compiled\ndef double(x):\n    return 2 * x\n"
    (tmp_path / "double.py").write_text(text)
    command = [sys.executable, str(tmp_path / "kept.py"), str(tmp_path / "cache")]
    said = [
        subprocess.run(
            command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert said == ["True False\nTrue\n", "True True\nTrue\n"]
