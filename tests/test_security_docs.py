"""Each promise of docs/security.md names a test, and there is one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "security.md").read_text()
TABLES = re.findall(r"^\| promise \| held by \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.M)
PROMISES = [row for table in TABLES for row in re.findall(r"^\| (.+) \| (.+) \|$", table, re.M)]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda row: row[0][:60])
def test_a_promise_is_held_by_a_test(promise: tuple[str, str]) -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", promise[1])
    assert named
    for file, test in named:
        tree = ast.parse((TESTS / file).read_text())
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (
            f"{file}::{test}"
        )


def test_there_are_promises() -> None:
    assert len(PROMISES) > 5
