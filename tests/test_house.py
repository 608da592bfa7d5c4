"""The laws of the house: who may import whom, one room per outside library, no clock in pure files."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("collector", "detectors", "alerts", "stillwatch")
FILES = sorted(f for room in ROOMS for f in (ROOT / room).rglob("*.py"))
DOORSTEPS = {
    "collector": (),
    "detectors": ("collector.bins", "collector.deployments"),
    "alerts": ("collector.deployments", "detectors.findings", "detectors.signals"),
}
HOMES = {  # outside library: the files that may import it
    "numba": ("detectors/compiled.py",),
    "sklearn": ("detectors/season.py",),
    "slack_sdk": ("alerts/slack", "stillwatch/check.py"),
    "apscheduler": ("stillwatch/daemon.py",),
    "matplotlib": ("alerts/charts.py",),
    "sqlalchemy": ("stillwatch/",),
    "pyarrow": ("collector/",),
}
CLOCKS = {"time", "random", "secrets"}


def imported(file: Path) -> set[str]:
    """Every module that a file names in an import, wherever it stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_a_room_imports_only_the_doorsteps_of_those_before_it(file: Path) -> None:
    room = file.relative_to(ROOT).parts[0]
    if room == "stillwatch":
        return
    for name in imported(file):
        other = name.split(".")[0]
        if other in ROOMS and other != room:
            allowed = any(name == d or name.startswith(d + ".") for d in DOORSTEPS[room])
            whole = name == other and any(d.startswith(name + ".") for d in DOORSTEPS[room])
            assert allowed or whole, f"{file.name} imports {name}"


@pytest.mark.parametrize("library", sorted(HOMES))
def test_an_outside_library_has_one_room(library: str) -> None:
    users = [
        f.relative_to(ROOT).as_posix() for f in FILES if any(n.split(".")[0] == library for n in imported(f))
    ]
    strangers = [user for user in users if not user.startswith(HOMES[library])]
    assert users
    assert strangers == []


def test_no_detector_asks_for_the_time_or_for_chance() -> None:
    for file in (ROOT / "detectors").glob("*.py"):
        assert not {n.split(".")[0] for n in imported(file)} & CLOCKS, file.name
        assert ".now(" not in file.read_text(), file.name


def test_no_file_is_a_drawer() -> None:
    drawers = {"utils", "common", "core", "base", "types", "helpers"}
    assert not [f for f in FILES if f.stem in drawers or f.parent.name in drawers]


def test_the_rooms_open_with_a_docstring_and_nothing_else() -> None:
    for room in ROOMS:
        body = ast.parse((ROOT / room / "__init__.py").read_text()).body
        assert len(body) == 1
        assert isinstance(body[0], ast.Expr)
