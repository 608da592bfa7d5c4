"""What is wrong with a body, in one line: the first field that does not fit, and what was expected there."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

_WANTED = {
    "missing": "missing; expected text",
    "model_type": "expected a mapping",
    "dict_type": "expected a mapping",
    "list_type": "expected a list",
    "int_type": "expected a whole number",
    "string_type": "expected text",
    "string_too_short": "expected text that is not empty",
    "string_pattern_mismatch": "expected text that is not blank, on one line, without control characters",
}


def fault(error: ValidationError, known: Sequence[str] = ()) -> str:
    """known: the fields that there are, where others are refused. Shows nothing of what was sent."""
    first = error.errors(include_url=False, include_input=False)[0]
    parts, kind = first["loc"], first["type"]
    said = _WANTED.get(kind, first["msg"].removeprefix("Value error, "))
    if kind == "extra_forbidden":
        said = "unknown field; expected one of " + ", ".join(known)
    if kind == "string_too_long":
        said = f"expected at most {first['ctx']['max_length']} characters"
    if kind == "string_type" and parts[-1:] == ("str",):  # of what may be either, each has its own fault
        parts, said = parts[:-1], "expected text or a whole number"
    place = ""
    for part in parts:
        place += f"[{part}]" if isinstance(part, int) else f"{'.' if place else ''}{part}"
    return f"{place[:100]}: {said}" if place else said
