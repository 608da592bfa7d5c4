"""Make the sample data: `python sample_data/generate.py [NAME] [--out DIR]`.

In: the name of a story (all of them when none is given). Out: one dataset folder a story.
Never: anything that differs from one run to the next.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from writing import write_csv, write_deployments, write_labels, write_parquet

STORIES = {"release_day": write_parquet, "quiet_month": write_parquet, "quiet_night": write_csv}


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the sample data.")
    parser.add_argument("name", nargs="?", choices=list(STORIES), help="one story; without it, all of them")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, metavar="DIR", help="where to")
    wanted = parser.parse_args()
    for name in [wanted.name] if wanted.name else STORIES:
        make(name, wanted.out / name)


def make(name: str, folder: Path) -> None:
    """Tell the story and write its dataset into `folder`."""
    telling = importlib.import_module(f"story_{name}")
    story = telling.story()
    folder.mkdir(parents=True, exist_ok=True)
    STORIES[name](story, folder)
    write_deployments(story, folder)
    write_labels(story, folder)
    (folder / "stillwatch.yaml").write_text(telling.STILLWATCH, encoding="utf-8")
    (folder / "README.md").write_text(telling.README, encoding="utf-8")


if __name__ == "__main__":
    main()
