"""How often is a slice named of a fault that is everywhere, and how often rightly where there is one?

Run: script/bench slices. Made faults (tests/sliced.py) of a service that is split by 5 attributes of 20 values.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from sliced import Where, fault

WORLDS = 500
Job = tuple[Where, int, float, bool]


def jobs() -> Iterator[Job]:
    """Where the fault is, how many fail because of it, the share that fails always, is it a loss."""
    yield from product(("everywhere", "unevenly", "value", "pair"), (10, 30, 300), (1e-5,), (False,))
    yield from product(("everywhere", "unevenly", "value"), (2000,), (0.0,), (True,))


def of(job: Job) -> tuple[Job, float, float]:
    """(job, share of faults of which a slice was named, share that was right)."""
    named, right = 0, 0
    for seed in range(WORLDS):
        one = fault(1_000_000 + seed, *job)
        said = one.named()
        named += said is not None
        right += one.is_right(said)
    return job, named / WORLDS, right / WORLDS


def main() -> None:
    print("| fault | failures because of it | usually fail | named | right |\n|---|---|---|---|---|")
    with ProcessPoolExecutor(2) as pool:
        for (where, failures, usual, loss), named, right in pool.map(of, jobs()):
            usually = "missing instead" if loss else f"{usual:.3%}"
            print(f"| {where} | {failures:,} | {usually} | {named:.1%} | {right:.1%} |", flush=True)


if __name__ == "__main__":
    main()
