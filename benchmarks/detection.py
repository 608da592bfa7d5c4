"""How soon faults are seen, beside the optimum and what people use instead, all wrong equally often.

usage: python benchmarks/detection.py [--worlds N] [--write] [WORD ...]

Each case is a fleet of 20 services alike with one false alert a week for all of them; each fails once. WORD chooses
the kinds of which cases are run (error_ratio, throughput, flow). With --write, docs/detection-results.md and its
pictures are made anew.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from race import pages, results
from race.tracks import Case
from tqdm import tqdm

RATES = (5.0, 50.0, 500.0, 5000.0, 50_000.0)
CASES = (
    *(Case("error_ratio", rate, 0.001, size) for size in (1.5, 3.0, 10.0, 100.0) for rate in RATES),
    *(Case("error_ratio", rate, 0.01, size) for size in (1.5, 3.0, 10.0, 30.0) for rate in RATES),
    *(Case("throughput", rate, 0.0, size) for size in (0.1, 0.2, 0.5, 1.0) for rate in RATES),
    *(Case("flow", rate, 0.001, size) for size in (0.02, 0.05, 0.2, 1.0) for rate in RATES[:4]),
)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--worlds", type=int, default=1, help="fleets of each case  [default: 1]")
    words.add_argument("--write", action="store_true", help="make docs/detection-results.md anew")
    words.add_argument("kinds", nargs="*", metavar="WORD", help="kinds of signals to run  [default: all]")
    given = words.parse_args()
    cases = [case for case in CASES if not given.kinds or case.kind in given.kinds]
    found = []
    with ProcessPoolExecutor(2) as pool:
        for one in tqdm(
            pool.map(partial(results.run, worlds=given.worlds), cases),
            total=len(cases),
            unit=" cases",
            disable=None,
        ):
            found.append(one)
    print(pages.tables(found))
    if given.write:
        pages.write(Path(__file__).resolve().parent.parent / "docs", found, given.worlds)


if __name__ == "__main__":
    main()
