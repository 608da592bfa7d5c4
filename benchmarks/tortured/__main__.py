"""What is lost, and what is told twice, when everything goes wrong?

usage: python benchmarks/tortured [--trials N] [--seed S] [--write] [FAULT ...]

Each fault is done N times to a daemon that is sent counts all the while. Afterwards every count that was
acknowledged must have been kept once, the news must be those of a run to which nothing happened, and each must
stand in Slack once. Ends with 1 if anything was lost or doubled. With --write, these rows of docs/reliability.md
are made anew.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from tqdm import tqdm

from tortured import page
from tortured.faults import FAULTS, disk
from tortured.trials import Outcome, trials

DOCS = Path(__file__).resolve().parents[2] / "docs"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("faults", nargs="*", metavar="FAULT", help=f"of {', '.join(FAULTS)}  [default: all]")
    options.add_argument("--trials", type=int, default=100, help="of each fault  [default: 100]")
    options.add_argument("--seed", type=int, default=1, help="of chance  [default: 1]")
    options.add_argument("--write", action="store_true", help="make these rows of docs/reliability.md anew")
    given = options.parse_args()
    unknown = [name for name in given.faults if name not in FAULTS]
    if unknown:
        options.error(f"found {unknown[0]!r}, expected one of {', '.join(FAULTS)}")
    outcomes: list[Outcome] = []
    for name in given.faults or FAULTS:
        if FAULTS[name].lacks:
            print(f"{name}: left out, {FAULTS[name].lacks}", file=sys.stderr)
            continue
        with (
            tempfile.TemporaryDirectory(prefix="stillwatch-torture-") as folder,
            disk(FAULTS[name].disk) as where,
            tqdm(total=given.trials, desc=name, unit="trial") as bar,
        ):
            one = trials(
                Path(folder), where, name, given.trials, random.Random(f"{given.seed}.{name}"), bar.update
            )
        outcomes.append(one)
        for line in (page.row(one), *one.account.why[:10]):
            tqdm.write(line)
    if given.write:
        where = DOCS / "reliability.md"
        where.write_text(page.page(where.read_text(encoding="utf-8"), outcomes), encoding="utf-8")
    return 0 if all(one.account.is_whole for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
