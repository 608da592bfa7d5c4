"""What is wrong with a body, in one line: the first field that does not fit, and what was expected there."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError


def fault(error: ValidationError, known: Sequence[str] = ()) -> str:
    """known: the fields that there are, where others are refused. Shows nothing of what was sent."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ""
    for part in first["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f"{'.' if place else ''}{part}"
    wanted = {
        "extra_forbidden": "unknown field; expected one of " + ", ".join(known),
        "missing": "missing; expected text",
        "model_type": "expected a mapping",
    }
    said = wanted.get(first["type"], first["msg"].removeprefix("Value error, "))
    return f"{place[:100]}: {said}" if place else said
