"""Memory that a known series takes, from the door to closed intervals, by what is sent.

In: nothing, or --series N. Out: one line per door, on stdout: bytes that this process holds for each series once
all are known and told again (names, totals, open intervals), and while they are written down.
Never: the memory of detectors (see scale.py).
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import otlp
import remote_write

from collector.binner import Binner
from collector.counters import Counters
from collector.otlp import Decoder
from collector.points import Limits, Readings
from collector.remote_write import Reader
from stillwatch.kept import packed

AT_ONCE = 10_000  # series of a request


def resident() -> int:
    """Bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def measure(door: str, count: int) -> None:
    limits = Limits(series=2 * count, per_service=2 * count, counters=2 * count)
    noon = otlp.NOON if door == "OTLP" else remote_write.NOON
    counters, binner = Counters(noon, limits), Binner(60, 15, noon, limits=limits)
    decoder, reader = Decoder(), Reader()

    def read(part: int, at: int) -> Readings:
        if door == "OTLP":
            return decoder.decode(
                otlp.body(1, AT_ONCE // 5, at, new=f"{part}/").SerializeToString(), "protobuf"
            )
        return reader.read(remote_write.scrape(AT_ONCE, at, new=f"{part}/"), "1.0").readings

    read(0, 5)  # what takes memory only once
    before = resident()
    for at in (60, 120):
        for part in range(count // AT_ONCE):
            binner.add(counters.count(read(part, at), binner.table, noon + at), noon + at)
        binner.close(noon + at - 15)
    assert len(counters.state()["lives"]) == count
    known = resident() - before
    state = packed(counters, binner)
    written = resident() - before
    assert len(state)
    print(
        f"{door:12} {count:9,} running totals of {len(binner.table):,} series: {known / count:5,.0f} bytes each, "
        f"{written / count:5,.0f} while written down ({len(state) / count:,.0f} bytes on disk)"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--series", type=int, default=100_000)
    options.add_argument("--door")
    chosen = options.parse_args()
    if chosen.door:
        return measure(chosen.door, chosen.series)
    for door in ("OTLP", "remote write"):  # each in a process of its own
        subprocess.run([sys.executable, __file__, "--door", door, "--series", str(chosen.series)], check=True)
    return None


if __name__ == "__main__":
    main()
