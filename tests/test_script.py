"""The scripts run anywhere: plain sh, executable, and help before any work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "script").iterdir())


def ran(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # A path without Python or uv shows that help needs neither.
    given = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run(command, capture_output=True, text=True, env=given, timeout=20, check=False)


def test_the_scripts_that_people_are_told_of_exist() -> None:
    assert {"demo", "test", "bench", "setup"} <= {script.name for script in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_is_plain_sh_and_executable(script: Path) -> None:
    assert script.read_text().startswith("#!/bin/sh\n")
    assert os.access(script, os.X_OK)
    assert ran("sh", "-n", str(script)).stderr == ""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_says_how_it_is_used_before_it_does_anything(script: Path) -> None:
    told = ran(str(script), "--help")
    assert told.returncode == 0
    assert told.stdout.startswith(f"usage: script/{script.name}")


def test_the_ci_entry_is_bash_and_executable() -> None:
    entry = ROOT / ".ci" / "run"
    assert os.access(entry, os.X_OK)
    assert ran("bash", "-n", str(entry)).stderr == ""
    assert "script/test" in entry.read_text()


def fake_python(folder: Path, body: str) -> Path:
    folder.mkdir(parents=True)
    python = folder / "python3"
    python.write_text(f"#!/bin/sh\n{body}\n")
    python.chmod(0o755)
    return python


def setup_in(project: Path, path: str) -> subprocess.CompletedProcess[str]:
    (project / "script").mkdir(parents=True)
    setup = project / "script" / "setup"
    setup.write_text((ROOT / "script" / "setup").read_text())
    setup.chmod(0o755)
    (project / "pyproject.toml").write_text("")
    return ran("/bin/sh", str(setup), PATH=path)


def bare_path(folder: Path) -> str:
    """A PATH with the few tools that any system has, and no Python."""
    folder.mkdir()
    for tool in ("cat", "cksum", "dirname"):
        (folder / tool).symlink_to(f"/usr/bin/{tool}")
    return str(folder)


def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    old = fake_python(tmp_path / "old", 'case "$1" in --version) echo "Python 3.9.2";; *) exit 1;; esac')
    told = setup_in(tmp_path / "project", f"{old.parent}:{bare_path(tmp_path / 'bin')}")
    assert told.returncode == 1
    assert "needs Python 3.11 or later, found: Python 3.9.2." in told.stderr
    assert "apt-get install python3 python3-venv" in told.stderr


def test_a_python_without_venv_says_what_to_install(tmp_path: Path) -> None:
    # Debian's python3 without python3-venv: the version is right, ensurepip is not there.
    poor = fake_python(tmp_path / "poor", 'case "$2" in *ensurepip*) exit 1;; *) exit 0;; esac')
    told = setup_in(tmp_path / "project", f"{poor.parent}:{bare_path(tmp_path / 'bin')}")
    assert told.returncode == 1
    assert "apt-get install python3-venv" in told.stderr


def test_a_benchmark_that_does_not_exist_is_a_usage_error() -> None:
    told = ran(str(ROOT / "script" / "bench"), "no-such-benchmark")
    assert told.returncode == 2
    assert "no benchmark is called no-such-benchmark" in told.stderr
