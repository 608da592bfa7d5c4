"""What pip-audit found, in lines for people, and whether the build may go on: script/audit hands its answer here.

In: its JSON, and what it said on standard error. Out: lines, and an exit status.
Never: a silence that could be taken for "all is well" where nobody was asked.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NOT_AUDITED = (
    "NOT AUDITED: the advisory service cannot be reached from here; nothing is known of vulnerabilities"
)


def verdict(told: str, trouble: str) -> tuple[int, list[str]]:
    """Exit status and lines. 1: something has a known vulnerability. 0: nothing has, or nobody could be asked."""
    try:
        packages: list[dict[str, Any]] = json.loads(told)["dependencies"]
    except (ValueError, KeyError, TypeError):
        why = trouble.strip().splitlines()[-1:] or ["it said nothing"]
        return 0, [f"{NOT_AUDITED} ({why[0][:200]})"]
    asked = [one for one in packages if "vulns" in one]
    if not asked:
        return 0, [f"{NOT_AUDITED} (it knows none of {len(packages)} packages)"]
    found = [line for one in asked for line in _lines(one)]
    skipped = len(packages) - len(asked)
    rest = f"; {skipped} could not be asked about" if skipped else ""
    said = f"audited {len(asked)} packages: {len(found) or 'no'} known vulnerabilities{rest}"
    return (1 if found else 0), [said, *found]


def _lines(package: dict[str, Any]) -> list[str]:
    def of(one: dict[str, Any]) -> str:
        mended = ", ".join(one.get("fix_versions") or ()) or "no version yet"
        return f"  {package['name']} {package['version']}: {one['id']}, mended in {mended}"

    return [of(one) for one in package["vulns"]]


if __name__ == "__main__":
    status, lines = verdict(*(Path(name).read_text(errors="replace") for name in sys.argv[1:3]))
    for line in lines:
        print(line, file=sys.stderr)
    sys.exit(status)
