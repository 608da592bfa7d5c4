"""What a pipeline tells of a deployment becomes Deployments.

In: the bytes of a JSON object, or of a list of such, and the moment at which they came. Out: Deployments,
or BadRequest that names the field and what was expected.
Never: a clock, an unknown field passed over in silence, a link that is not http.
"""

from __future__ import annotations

import hashlib
import math
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from collector.deployments import Deployment, DeploymentKind
from collector.fault import fault
from collector.otlp import BadRequest

_EARLIEST = 946_684_800  # 2000-01-01: before it lie mistakes, such as hours taken for seconds
_AHEAD = 86400  # s; beyond it lie milliseconds taken for seconds


def _time(value: object) -> int:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None or len(value) < len("2022-04-13T06:31Z"):
            raise ValueError("expected RFC 3339 with an offset, or epoch seconds")
        return math.floor(moment.timestamp())
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return math.floor(value)
    raise ValueError("expected RFC 3339 with an offset, or epoch seconds")


def _link(value: object) -> object:
    if isinstance(value, str) and value and not value.startswith(("https://", "http://")):
        raise ValueError("expected a link that begins with https:// or http://")
    return value


Name = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f]*\S[^\x00-\x1f]*$")]
Text = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f]*$")]


class _Announced(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    service: Name
    version: Name
    id: Text = ""
    time: Annotated[int, BeforeValidator(_time)] | None = None
    previous_version: Text = ""
    environment: Text = ""
    url: Annotated[str, BeforeValidator(_link), Field(max_length=2000, pattern=r"^[^\x00-\x20]*$")] = ""
    revision: Text = ""
    author: Text = ""
    kind: DeploymentKind = "deploy"
    description: Annotated[str, Field(max_length=4000, pattern=r"^[^\x00]*$")] = ""


_LIST = TypeAdapter(list[_Announced])


def deployments(body: bytes, now: float) -> list[Deployment]:
    """The deployments that `body` tells of, in its order; `now`: epoch seconds, when it came.

    Time defaults to now. Without an `id` one is made from what it says, and, if it says no time, the minute in
    which it came: the same told twice by a pipeline that tries again is one. Raises BadRequest.
    """
    try:
        many = body.lstrip().startswith(b"[")
        told = _LIST.validate_json(body) if many else [_Announced.model_validate_json(body)]
    except ValidationError as error:
        raise BadRequest(fault(error, tuple(_Announced.model_fields))) from None
    return [_deployment(one, now, f"[{i}]." if many else "") for i, one in enumerate(told)]


def _deployment(told: _Announced, now: float, place: str) -> Deployment:
    time = math.floor(now) if told.time is None else told.time
    if not _EARLIEST <= time <= now + _AHEAD:
        raise BadRequest(f"{place}time: expected epoch seconds between the year 2000 and tomorrow")
    return Deployment(
        id=told.id or _id(told, time),
        time=time,
        service=told.service,
        version=told.version,
        previous_version=told.previous_version,
        environment=told.environment,
        url=told.url,
        revision=told.revision,
        author=told.author,
        kind=told.kind,
        description=told.description,
        reported=math.floor(now),
    )


def _id(told: _Announced, time: int) -> str:
    """Stable for one telling, other for another: the same version may well be deployed again tomorrow."""
    when = time if told.time is not None else time // 60 * 60
    said = (told.service, told.version, told.environment, told.revision, told.kind, str(when))
    return hashlib.sha256("\0".join(said).encode()).hexdigest()[:16]
