"""Real counts with exact faults in them: how soon they are told, how many are missed, what else is told.

usage: python benchmarks/real_traffic.py [--write] [--faults N]

The records are sample_data/real_calls and sample_data/real_flights. With --write, docs/real-traffic-results.md and
its picture are made anew; what is said there in words (real/words.md) is written by hand and speaks of one run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from real import alerts, pages, race, records

WORDS = Path(__file__).resolve().parent / "real" / "words.md"
DOCS = Path(__file__).resolve().parent.parent / "docs"
LOST = (0.1, 0.2, 0.5, 1.0)
RECORDS = (("real_calls", None), ("real_calls", 0.0), ("real_calls", 20.0), ("real_flights", None))
SIZES = {"throughput": LOST, "error_ratio": (0.05, *LOST), "flow": LOST}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--write", action="store_true", help="make docs/real-traffic-results.md anew")
    options.add_argument("--faults", type=int, default=20, help="of each size and signal  [default: 20]")
    given = options.parse_args()
    raced, told, weeks = [], {}, {}
    for name, closed in RECORDS:
        of = records.record(name, closed)
        kinds = {s.kind for s in of.settings.signals}
        raced += race.run(of, {k: v for k, v in SIZES.items() if k in kinds}, given.faults)
        told[of.name], weeks[of.name] = alerts.told(of), of.weeks
    parts = [pages.delays(raced), pages.counted(told, weeks)]
    parts += [pages.alerts([one for of in told.values() for one in of])]
    print("\n".join(parts))
    if given.write:
        pages.draw(DOCS / "real-traffic.svg", raced)
        words = WORDS.read_text(encoding="utf-8")
        page = words.format(faults=given.faults, delays=parts[0], counted=parts[1], alerts=parts[2])
        (DOCS / "real-traffic-results.md").write_text(page.rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
