"""The kinds of values that stillwatch.yaml is made of: durations, names, addresses, lists of one.

In: plain values, as YAML gives them. Out: values, or an error that says what was expected.
Never: a section of the settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
EXAMPLE = "a duration such as 60s, 2m or 48h"


def seconds(value: object) -> int:
    """`60s`, `2m`, `48h`, `1d` or `1w` in seconds. ValueError for all else, 48:00 and bare numbers too."""
    found = re.fullmatch(r"([0-9]{1,9})([smhdw])", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(EXAMPLE)
    return int(found[1]) * UNITS[found[2]]


def within(least: int, most: int, words: str) -> BeforeValidator:
    def check(value: object) -> int:
        duration = seconds(value)
        if not least <= duration <= most:
            raise ValueError(words)
        return duration

    return BeforeValidator(check)


def secure_address(value: object) -> object:
    """A token must not travel in the clear."""
    if not isinstance(value, str):
        return value
    parts = urlsplit(value)
    loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        raise ValueError("an address that begins with https:// (http:// on loopback only)")
    return value if value.endswith("/") else value + "/"


def web_address(value: object) -> object:
    """Of a place to tell. What it hears may travel in the clear within a company; a password may not."""
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in parts.netloc or not value.isprintable() or " " in value:
        raise ValueError("an address that begins with https:// or http://, without a password in it")
    return value


def listed(value: object) -> object:
    """One thing is a list of one."""
    return value if isinstance(value, list) else [value]


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x20]([^\x00-\x1f]*[^\x00-\x20])?$"),
]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,199}$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, value: object) -> object:
        """The same as extra="forbid", but it says what would have been right."""
        if isinstance(value, Mapping):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in value:
                if key not in known:
                    raise PydanticCustomError("unknown_key", "", {"key": str(key), "known": known})
        return value


WebAddress = Annotated[str, BeforeValidator(web_address)]


def one_of(given: Mapping[str, object], words: str) -> None:
    """Exactly one of these is given. Raises an error that says so."""
    if sum(value is not None for value in given.values()) != 1:
        raise PydanticCustomError("one_of", words, {"given": [k for k, v in given.items() if v is not None]})


Split = Annotated[list[Name], BeforeValidator(listed)]
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
