"""Where a secret is: in a variable, or in the file that the variable of the same name with _FILE names.

In: the environment, a name. Out: the secret, or BadInput that shows neither it nor what the variables hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from collector.errors import BadInput

IN_FILE = "_FILE"  # behind the name of a variable, as container images have it
LARGEST = 65_536  # characters; a longer one is another file than was meant


def held(environ: Mapping[str, str], name: str) -> str:
    """Without spaces around it; empty where there is none. Raises BadInput: the file cannot be read."""
    value = environ.get(name, "").strip()
    file = environ.get(f"{name}{IN_FILE}", "").strip()
    if value or not file:
        return value
    try:
        with Path(file).open(encoding="utf-8") as opened:
            return opened.read(LARGEST).strip()
    except (OSError, UnicodeDecodeError):
        raise BadInput(
            f"{name}{IN_FILE}", 0, "", "a file that cannot be read", "one with the secret"
        ) from None
