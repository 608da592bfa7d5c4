"""The desk: what people ask over HTTP of incidents and silences, and what they want of them.

In: a request that may come in, the history. Out: a status and plain values for JSON, or ValueError with what was
expected. Never: a judgement, a token, a word to Slack (what follows is seen to by the history).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from alerts.packed import pack
from alerts.silences import LONGEST, Silence, check, matcher
from collector import moments
from collector.server import Asked, Busy
from stillwatch.config_schema import seconds
from stillwatch.history import History
from stillwatch.tables import StoreTrouble

AHEAD = 366 * 86400  # seconds: what lies further ahead is a slip

Answer = tuple[int, object]


class Desk:
    """Answers requests. now: gives epoch seconds."""

    def __init__(self, history: History, now: Callable[[], int]) -> None:
        self._history = history
        self._now = now
        self._ways: dict[tuple[str, str], Callable[[Asked], Answer]] = {
            ("GET", "/silences"): self._silences,
            ("POST", "/silences"): self._silence,
            ("GET", "/silences/{id}"): self._one_silence,
            ("DELETE", "/silences/{id}"): self._end_silence,
        }

    def answer(self, asked: Asked) -> Answer:
        """Raises ValueError for what makes no sense, Busy when it cannot be kept or looked up now."""
        try:
            return self._ways[asked.method, asked.path](asked)
        except StoreTrouble as trouble:
            raise Busy from trouble

    def _silences(self, asked: Asked) -> Answer:
        now = self._now()
        every = _flag(asked, "all")
        return 200, {"silences": [shown(one, now) for one in self._history.silences(None if every else now)]}

    def _silence(self, asked: Asked) -> Answer:
        now = self._now()
        wanted = silence_from(asked.body, now)
        self._history.silence(wanted)
        return 200, shown(wanted, now)

    def _one_silence(self, asked: Asked) -> Answer:
        which = asked.named["id"]
        found = next((one for one in self._history.silences() if one.id == which), None)
        return _no_silence(which) if found is None else (200, shown(found, self._now()))

    def _end_silence(self, asked: Asked) -> Answer:
        which, who = asked.named["id"], _who(asked.named.get("by", ""))
        now = self._now()
        ended = self._history.end_silence(which, who, now)
        return _no_silence(which) if ended is None else (200, shown(ended, now))


def shown(silence: Silence, now: int) -> dict[str, Any]:
    """A silence as JSON: times in RFC 3339, `ends` null where it lasts until its incident is over."""
    state = "active" if silence.is_active(now) else "pending" if silence.starts > now else "expired"
    return {
        "id": silence.id,
        "state": state,
        "matchers": [str(one) for one in silence.matchers],
        "starts": _moment(silence.starts),
        "ends": _moment(silence.ends) if silence.ends else None,
        "author": silence.author,
        "comment": silence.comment,
        "ended_by": silence.ended_by,
    }


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _no_silence(which: str) -> Answer:
    return 404, {"error": f"no silence {which[:40]!r}; GET /silences?all=true lists them"}


def _flag(asked: Asked, name: str) -> bool:
    said = asked.named.get(name, "false")
    if said not in ("true", "false"):
        raise ValueError(f"{name}: found {said[:40]!r}, expected true or false")
    return said == "true"


def _who(said: str) -> str:
    who = said.strip()
    if not who or len(who) > 200 or not who.isprintable():
        raise ValueError("by: expected who wants it, at most 200 characters")
    return who


# What is wanted, from JSON.


def _time(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"expected {moments.EXPECTED}")
    try:
        return int(moments.seconds(str(value)))
    except ValueError as error:
        raise ValueError(f"expected {error}") from None


def _duration(value: object) -> int:
    try:
        return seconds(value)
    except ValueError as error:
        raise ValueError(f"expected {error}") from None


Line = Annotated[str, Field(max_length=LONGEST, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    matchers: Annotated[list[Annotated[str, Field(max_length=2 * LONGEST)]], Field(max_length=100)]
    starts: Annotated[int, BeforeValidator(_time)] | None = None
    ends: Annotated[int, BeforeValidator(_time)] | None = None
    for_: Annotated[int, BeforeValidator(_duration)] | None = Field(alias="for", default=None)
    author: Line
    comment: Line = ""


def silence_from(body: bytes, now: int) -> Silence:
    """A silence from JSON: `matchers` (a list of texts), `author`, `starts` (now), `ends` or `for` (a duration;
    neither only for one incident: until that is over), `comment`. Raises ValueError."""
    told = read(_Wanted, body)
    starts = now if told.starts is None else told.starts
    if told.ends is not None and told.for_ is not None:
        raise ValueError("for: found ends beside it, expected one of the two")
    ends = told.ends or 0
    if told.for_ is not None:
        ends = starts + told.for_
    if ends and ends <= now:
        raise ValueError("ends: found a time that is over, expected one to come")
    if max(starts, ends) > now + AHEAD:
        raise ValueError("ends: found a time more than a year ahead, expected one within it")
    return silence([matcher(one) for one in told.matchers], starts, ends, told.author, told.comment)


def silence(matchers: Sequence[Any], starts: int, ends: int, author: str, comment: str) -> Silence:
    """With an id of what it says, so that the same said twice is one. Raises ValueError."""
    made = Silence("", tuple(matchers), starts, ends, author.strip(), comment.strip())
    check(made)
    name = hashlib.sha256(pack(made).encode()).hexdigest()[:12]
    return Silence(name, made.matchers, starts, ends, made.author, made.comment)


def read(kind: type[Any], body: bytes) -> Any:
    """A model of pydantic from JSON. ValueError names the first wrong field and what was expected there."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        known = ", ".join(field.alias or name for name, field in kind.model_fields.items())
        said = {
            "extra_forbidden": f"unknown field; expected one of {known}",
            "missing": "missing; expected it",
            "json_invalid": "expected a JSON object",
            "model_type": "expected a JSON object",
        }.get(first["type"], first["msg"].removeprefix("Value error, "))
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place[:100]}: {said}" if place else said) from None
