"""What takes long is done by a process of its own, from the recorded history."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_daemon import record_a_bad_release

from stillwatch import aside
from stillwatch.config import Settings


@pytest.mark.slow
def test_the_last_interval_is_explained_from_the_database_in_another_process(tmp_path: Path) -> None:
    at = record_a_bad_release(tmp_path)
    settings = Settings(database=str(tmp_path / "stillwatch.db"))
    first, *rest = aside.explain(settings, "importer", "")
    assert first.startswith("importer, ")
    assert any("failed" in line for line in rest)
    assert aside.explain(settings, "importer", str(at - 3600))[0] != first
    with pytest.raises(ValueError, match="expected importer"):
        aside.explain(settings, "nobody", "")
    with pytest.raises(ValueError, match="found 'noon', expected a time"):
        aside.explain(settings, "importer", "noon")
    with pytest.raises(ValueError, match="no such database"):
        aside.explain(replace(settings, database=str(tmp_path / "empty.db")), "importer", "")
