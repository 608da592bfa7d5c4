"""Octopus Deploy: a subscription to deployment events.

In: a call. Out: Told. Never: a deployment that failed, was queued or has only begun.
Fields: https://octopus.com/docs/administration/managing-infrastructure/subscriptions. The message is made for
people; `MessageReferences` says which parts of it are names of documents, and those are read first.
"""

from __future__ import annotations

import re

from collector.otlp import BadRequest
from collector.webhooks import signed
from collector.webhooks.told import Call, Maybe, Part, Passed, Told, When, Word
from collector.webhooks.told import read as read_body

_MESSAGE = re.compile(r"succeeded for (?P<project>.+) release (?P<release>\S+) to (?P<environment>.+)$")


class _Reference(Part):
    ReferencedDocumentId: Maybe = ""
    StartIndex: int = 0
    Length: int = 0


class _Event(Part):
    Category: Word
    Occurred: When
    Message: Maybe = ""
    Id: Maybe = ""
    Username: Maybe = ""
    RelatedDocumentIds: tuple[str, ...] = ()
    MessageReferences: tuple[_Reference, ...] = ()


class _Payload(Part):
    Event: _Event
    ServerUri: Maybe = ""


class _Body(Part):
    Payload: _Payload


verify = signed.token


def read(call: Call) -> list[Told]:
    """Raises BadRequest, Passed."""
    payload = read_body(call.body, _Body).Payload
    event = payload.Event
    if event.Category != "DeploymentSucceeded":
        raise Passed("not an event of the category DeploymentSucceeded")
    said = _MESSAGE.search(event.Message)
    named = {kind: _named(event, kind) for kind in ("Projects", "Releases", "Environments", "Tenants")}
    project = named["Projects"] or (said["project"] if said else "")
    version = named["Releases"] or (said["release"] if said else "")
    if not project or not version:
        raise BadRequest(
            "Payload.Event.MessageReferences: expected the project and the release, or a Message such as "
            "`Deploy to Production succeeded for contact-importer release 1.4.2 to Production`"
        )
    deployment = next((one for one in event.RelatedDocumentIds if one.startswith("Deployments-")), event.Id)
    return [
        Told(
            source=project,
            service=project,
            version=version.removeprefix("release ").strip(),
            id=f"octopus-{deployment or f'{project}-{version}-{event.Occurred}'}",
            time=event.Occurred,
            environment=named["Environments"] or (said["environment"] if said else ""),
            url=payload.ServerUri,
            author=event.Username,
            description=event.Message,
        )
    ]


def _named(event: _Event, kind: str) -> str:
    """The words of the message that name a document of this kind."""
    for one in event.MessageReferences:
        if one.ReferencedDocumentId.startswith(kind + "-") and one.StartIndex >= 0:
            return event.Message[one.StartIndex : one.StartIndex + max(one.Length, 0)].strip()
    return ""
