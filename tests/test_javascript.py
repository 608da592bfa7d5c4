"""Both doors with OpenTelemetry's JavaScript SDK at the other end: what the program counted is what is counted."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from test_collector_grpc import serving as serving_grpc
from test_collector_server import Behind, door, serving

from collector.bins import SeriesKey
from collector.server import Door

__all__ = ["door"]  # a fixture
PROGRAM = Path(__file__).parent / "javascript"
MISSING = [
    *(["node"] if shutil.which("node") is None else []),
    *(
        ["its packages: npm install --prefix tests/javascript"]
        if not (PROGRAM / "node_modules").is_dir()
        else []
    ),
]
needed = pytest.mark.skipif(
    bool(MISSING) and os.environ.get("CI") != "true", reason=f"not here: {', '.join(MISSING)}"
)


@pytest.fixture
def behind() -> Behind:
    return Behind()


@needed
@pytest.mark.parametrize("temporality", ["CUMULATIVE", "DELTA"])
@pytest.mark.parametrize(
    ("protocol", "compression"),
    [("json", "NONE"), ("json", "GZIP"), ("protobuf", "NONE"), ("protobuf", "GZIP"), ("grpc", "GZIP")],
)
def test_what_a_program_in_javascript_counts_is_what_is_counted(
    door: Door, behind: Behind, protocol: str, compression: str, temporality: str
) -> None:
    assert not MISSING
    with serving(door) as at, serving_grpc(door) as port:
        to = f"http://127.0.0.1:{port}" if protocol == "grpc" else f"{at}/v1/metrics"
        ran = subprocess.run(
            ["node", "counting.mjs", protocol, to, temporality, compression],
            cwd=PROGRAM, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")

    def key(metric: str, **attributes: str) -> SeriesKey:
        return SeriesKey("mail-sender", metric, "2.1", tuple(sorted(attributes.items())))

    assert behind.counted() == {
        key("mails_sent", region="eu", code="250"): 46,
        key("mails_sent", region="us", code="250"): 4,
        key("mail.duration"): 4,
        key("mail.duration", region="eu"): 4,
        key("mail.size"): 4,
    }
