"""Are the probabilities of suspects right as often as they say? Over made companies, beside a plain peer.

usage: python benchmarks/suspects.py [--faults N] [--write]

Each kind of company (tests/company.py) is made anew from seeds until it has had N faults; each fault is asked when
it is first told and when it is over. With --write, docs/suspects-results.md and its picture are made anew.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from company import KINDS, company
from reliability import Answer, asked
from suspected import pages
from tqdm import tqdm

DOCS = Path(__file__).resolve().parent.parent / "docs"
SEEDS = 1_000_000  # of a kind; the constants were chosen on others


def of(job: tuple[int, int]) -> list[Answer]:
    """What is said of the faults of one company."""
    kind, seed = job
    return asked(company(KINDS[kind], SEEDS * (kind + 1) + seed))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--faults", type=int, default=3000, help="of each kind of company  [default: 3000]")
    options.add_argument("--write", action="store_true", help="make docs/suspects-results.md anew")
    given = options.parse_args()
    answers: list[Answer] = []
    companies = 0
    with ProcessPoolExecutor(2) as pool, tqdm(total=len(KINDS), unit=" kinds", disable=None) as bar:
        for kind in range(len(KINDS)):
            found: list[Answer] = []
            for first in count(0, 8):
                for said in pool.map(of, [(kind, first + i) for i in range(8)]):
                    found += said
                    companies += 1
                if len(found) >= 2 * given.faults:
                    break
            answers += found
            bar.update()
    print(pages.tables(answers))
    if given.write:
        pages.write(DOCS, answers, companies)


if __name__ == "__main__":
    main()
