"""What every sender's file works with: a call, what it tells, and fields that outside systems fill in.

In: nothing (types and checks of fields). Out: Call, Told, Passed, models that name the field that does not fit.
Never: a clock; a field of the sender's refused for being new.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from collector.deployments import DeploymentKind
from collector.fault import fault
from collector.otlp import BadRequest

M = TypeVar("M")
_MOST = 1e15  # epoch milliseconds of the year 33,658; JSON has numbers that no float can hold


class Passed(Exception):  # noqa: N818  (it reads as what happened)
    """All is well, but the call tells of no deployment; the reason is for whoever reads the sender's log."""

    def __init__(self, reason: str) -> None:
        super().__init__("".join(c if c.isprintable() else " " for c in reason[:400]))


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came. headers: names in lower case. now: epoch seconds."""

    headers: Mapping[str, str]
    body: bytes
    now: float


@dataclass(frozen=True, slots=True)
class Told:
    """What a sender tells of one deployment.

    source: what it calls the thing that was shipped (a repository, a project, an application), by which the
    settings may name the services; service: the one that it is without such a word. time: epoch seconds, 0 = the
    sender says none. id: the same whenever the same is told again.
    """

    source: str
    service: str
    version: str
    id: str
    time: int = 0
    previous_version: str = ""
    environment: str = ""
    url: str = ""
    revision: str = ""
    author: str = ""
    kind: DeploymentKind = "deploy"
    description: str = ""


class Part(BaseModel):
    """A part of a sender's body; what is not named in it is nobody's business."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


def _nothing(value: object) -> object:
    return "" if value is None else value


def _when(value: object) -> object:
    """Epoch seconds of RFC 3339 and its relatives; epoch milliseconds are known by their size."""
    if isinstance(value, str):
        text = re.sub(r" ?(UTC|Z)$", "+00:00", value.strip())
        try:
            moment = datetime.fromisoformat(re.sub(r" ([+-]\d{2}:?\d{2})$", r"\1", text))
        except ValueError:
            moment = None
        if moment is not None and moment.tzinfo is not None and len(text) >= 16:
            return math.floor(moment.timestamp())
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST:
        return math.floor(value / 1000 if value > 1e11 else value)
    raise ValueError("expected a time: RFC 3339 with an offset, or epoch seconds")


Word = Annotated[str, Field(min_length=1, max_length=2000)]
Maybe = Annotated[str, BeforeValidator(_nothing)]  # text that is null or left out where there is none
Id = Annotated[str | int, Field()]
When = Annotated[int, BeforeValidator(_when)]
MaybeWhen = Annotated[int, BeforeValidator(lambda value: 0 if value in (None, "") else _when(value))]


def read(body: bytes, shape: type[M]) -> M:
    """The JSON in `body` as a `shape`. Raises BadRequest, which names the first field that does not fit."""
    try:
        return TypeAdapter(shape).validate_json(body)
    except ValidationError as error:
        raise BadRequest(fault(error)) from None


def last_of(path: str) -> str:
    """The last part of a path, by which a service is mostly called: `shop/contact-importer`."""
    return path.rstrip("/").rpartition("/")[2] or path


def tag(ref: str) -> str:
    """The version that a Git ref names (`v1.4.2`, `refs/tags/release-7`), or "" for a branch."""
    if ref.startswith("refs/tags/"):
        return ref.removeprefix("refs/tags/")
    return ref if re.fullmatch(r"v?\d+(\.\d+)+([.+_-][\w.+-]*)?", ref) else ""


def short(revision: str) -> str:
    """A commit as people and builds write it."""
    return revision[:12] if re.fullmatch(r"[0-9a-f]{40,64}", revision) else revision


def image_tag(image: str) -> tuple[str, str]:
    """(name, version) of a container image: of `registry:5000/shop/mail-sender:1.4.2`, mail-sender and 1.4.2."""
    path, _, digest = image.partition("@")
    name, colon, version = path.rpartition("/")[2].partition(":")
    return name, version if colon else digest.removeprefix("sha256:")[:12]
