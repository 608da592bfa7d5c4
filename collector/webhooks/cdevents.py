"""CDEvents, which are CloudEvents: service.deployed, upgraded, rolledback, removed; binary, structured, in batches.

In: a call. Out: Told. Never: an event of another kind taken for a deployment.
Fields: https://cdevents.dev/docs/continuous-deployment/ and
https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md
"""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import parse_qs, unquote

from collector.deployments import DeploymentKind
from collector.otlp import BadRequest
from collector.webhooks.told import Call, Maybe, Part, Passed, Told, When, Word, last_of
from collector.webhooks.told import read as read_body

ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
MOST = 1000  # events in a batch
_KINDS: dict[str, DeploymentKind] = {
    "deployed": "deploy",
    "upgraded": "deploy",
    "rolledback": "rollback",
    "removed": "deploy",
}


class _Context(Part):
    id: Word
    source: Word
    timestamp: When


class _Place(Part):
    id: Word


class _Content(Part):
    environment: _Place | None = None
    artifactId: Maybe = ""  # noqa: N815


class _Subject(Part):
    id: Word
    content: _Content


class _Event(Part):
    context: _Context
    subject: _Subject


class _Envelope(Part):
    type: Word
    data: Any = None
    data_base64: Maybe = ""


def is_event(call: Call) -> bool:
    """Is it a CloudEvent, and so none of our own bodies?"""
    return _media_type(call) in (ONE, BATCH) or "ce-type" in call.headers


def read(call: Call) -> list[Told]:
    """Raises BadRequest; Passed where none of them is an event of a service."""
    kind = _media_type(call)
    if kind == BATCH:
        events = read_body(call.body, list[_Envelope])
        if len(events) > MOST:
            raise BadRequest(f"expected at most {MOST} events at once")
        told = [one for event in events for one in _enveloped(event)]
    elif kind == ONE:
        told = _enveloped(read_body(call.body, _Envelope))
    else:
        told = _event(call.headers.get("ce-type", ""), call.body)
    if not told:
        raise Passed("not an event dev.cdevents.service.deployed, upgraded, rolledback or removed")
    return told


def _media_type(call: Call) -> str:
    return call.headers.get("content-type", "").partition(";")[0].strip().lower()


def _enveloped(event: _Envelope) -> list[Told]:
    from pydantic_core import to_json

    if event.data_base64:
        try:
            return _event(event.type, base64.b64decode(event.data_base64, validate=True))
        except (binascii.Error, ValueError):
            raise BadRequest("data_base64: expected base64") from None
    return _event(event.type, to_json(event.data))


def _event(name: str, data: bytes) -> list[Told]:
    parts = name.split(".")
    if parts[:3] != ["dev", "cdevents", "service"] or len(parts) < 4 or parts[3] not in _KINDS:
        return []
    if data in (b"", b"null"):
        raise BadRequest("data: missing; expected the event with its context and subject")
    event = read_body(data, _Event)
    of, content = event.subject.id, event.subject.content
    version = "(removed)" if parts[3] == "removed" else _version(content.artifactId)
    if not version:
        raise BadRequest("subject.content.artifactId: expected a package URL such as pkg:oci/app@1.4.2")
    return [
        Told(
            source=of,
            service=last_of(of),
            version=version,
            id=f"cdevents-{event.context.source}-{event.context.id}",
            time=event.context.timestamp,
            environment=last_of(content.environment.id) if content.environment else "",
            kind=_KINDS[parts[3]],
            description=f"service {parts[3]}",
        )
    ]


def _version(artifact: str) -> str:
    """Of a package URL (https://github.com/package-url/purl-spec): the tag it names, else its version."""
    path, _, qualifiers = artifact.partition("#")[0].partition("?")
    tags = parse_qs(qualifiers, max_num_fields=50).get("tag", []) if qualifiers.count("&") < 50 else []
    version = unquote(path.rpartition("/")[2].partition("@")[2])
    return (
        tags[0]
        if tags
        else version.removeprefix("sha256:")[:12]
        if version.startswith("sha256:")
        else version
    )
