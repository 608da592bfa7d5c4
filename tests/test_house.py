"""The laws of the house: who may import whom, one room per outside library, no clock in pure files."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("collector", "detectors", "alerts", "stillwatch")
FILES = sorted(f for room in ROOMS for f in (ROOT / room).rglob("*.py"))
DOORSTEPS = {
    "collector": (),
    "detectors": ("collector.bins", "collector.deployments"),
    "alerts": ("collector.deployments", "collector.words", "detectors.findings", "detectors.signals"),
}
HOMES = {  # outside library: the files that may import it
    "numba": ("detectors/compiled.py",),
    "sklearn": ("detectors/season.py",),
    "slack_sdk": ("alerts/slack", "stillwatch/check.py"),
    "apprise": ("alerts/anywhere.py",),
    "apscheduler": ("stillwatch/daemon.py",),
    "re2": ("alerts/silences.py", "stillwatch/blind_sources.py"),
    "matplotlib": ("alerts/charts.py", "alerts/strips.py", "alerts/courses.py"),
    "sqlalchemy": (
        "stillwatch/database.py",
        "stillwatch/sqlite_file.py",
        "stillwatch/postgres.py",
        "stillwatch/schema.py",
        "stillwatch/lease.py",
        "stillwatch/migrations/",
        "stillwatch/store.py",
        "stillwatch/tables.py",
        "stillwatch/upserts.py",
        "stillwatch/mailbox.py",
        "stillwatch/history.py",
        "collector/sql.py",
        "stillwatch/rollbacks.py",
    ),
    "alembic": ("stillwatch/schema.py", "stillwatch/migrations/"),
    "tenacity": ("stillwatch/asking.py",),
    "boto3": ("collector/cloudwatch.py",),
    "pyarrow": ("collector/",),
    "kubernetes": ("stillwatch/kubernetes_watch.py",),
    "prometheus_client": ("stillwatch/own_metrics.py",),
    "icalendar": ("stillwatch/calendars.py",),
    "recurring_ical_events": ("stillwatch/calendars.py",),
}
CLOCKS = {"time", "random", "secrets"}
READINGS = {"now", "utcnow", "today", "perf_counter", "monotonic", "time_ns", "default_rng"}
TIMED = {  # outside of the clock's file, who may name a clock or chance, and why
    "stillwatch/clock.py",  # the one clock
    "stillwatch/replaying.py",  # how long a replay took
    "stillwatch/daemon.py",  # sleeps until it is told to stop
    "stillwatch/own_metrics.py",  # how long a tick took
    "stillwatch/gate.py",  # looks again and again
    "stillwatch/cli_token.py",  # makes what nobody can guess
    "stillwatch/demo/people.py",  # what people in the demo do, from a seed
    "stillwatch/demo/town.py",
}


@cache
def read(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


@cache
def imported(file: Path) -> set[str]:
    """Every module that a file names in an import, wherever it stands."""
    found: set[str] = set()
    for node in ast.walk(read(file)):
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


def is_pure(file: Path) -> bool:
    """All of detectors, and whatever else says so of itself at its top."""
    said = ast.get_docstring(read(file)) or ""
    return file.relative_to(ROOT).parts[0] == "detectors" or "Pure." in said.split("\n\n")[0]


def test_what_is_pure_asks_for_neither_the_time_nor_chance() -> None:
    pure = [f for f in FILES if is_pure(f)]
    assert {"engine.py", "incidents.py", "suspects.py", "watch.py"} <= {f.name for f in pure}
    for file in pure:
        assert not {n.split(".")[0] for n in imported(file)} & {*CLOCKS, "logging", "http"}, file.name
        named = {n.attr for n in ast.walk(read(file)) if isinstance(n, ast.Attribute)}
        assert not named & READINGS, file.name


def test_nobody_but_the_clock_asks_for_the_time_save_those_who_say_why() -> None:
    asking = {
        f.relative_to(ROOT).as_posix() for f in FILES if {n.split(".")[0] for n in imported(f)} & CLOCKS
    }
    assert asking == TIMED


def test_nothing_points_out_of_the_house() -> None:
    outside = "/".join(("..", "shared"))
    for folder in (*ROOMS, "tests", "docs", "script"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in {".py", ".md", ".sh", ".yaml", ".html", ""} and file.is_file():
                assert outside not in file.read_text(errors="replace"), file


def test_no_file_is_a_drawer() -> None:
    drawers = {"utils", "common", "core", "base", "types", "helpers"}
    assert not [f for f in FILES if f.stem in drawers or f.parent.name in drawers]


def test_the_rooms_open_with_a_docstring_and_nothing_else() -> None:
    for room in ROOMS:
        body = ast.parse((ROOT / room / "__init__.py").read_text()).body
        assert len(body) == 1
        assert isinstance(body[0], ast.Expr)
