"""Programs at the other end of a test: without them it is skipped where somebody works, and fails in CI."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(program: str) -> pytest.MarkDecorator:
    """For tests that run it."""
    absent = shutil.which(program) is None and not os.environ.get("CI")
    return pytest.mark.skipif(absent, reason=f"{program} is not installed")
