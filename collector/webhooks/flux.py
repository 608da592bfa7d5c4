"""Flux's notification controller: a Provider of type `generic-hmac` or `generic`.

In: a call. Out: Told. Never: a reconciliation that failed, or an event of a source.
Fields and signature: https://fluxcd.io/flux/components/notification/providers/ and /events/
"""

from __future__ import annotations

from collections.abc import Mapping

from collector.deployments import DeploymentKind
from collector.webhooks import signed
from collector.webhooks.told import Call, Maybe, Part, Passed, Told, When, Word, short, tag
from collector.webhooks.told import read as read_body

# What brings something new into service. Others (progress, failures, artifacts of sources) do not.
_REASONS: Mapping[str, DeploymentKind] = {
    "ReconciliationSucceeded": "deploy",
    "InstallSucceeded": "deploy",
    "UpgradeSucceeded": "deploy",
    "RollbackSucceeded": "rollback",
}


class _Object(Part):
    kind: Word
    name: Word
    namespace: Maybe = ""


class _Event(Part):
    involvedObject: _Object  # noqa: N815
    reason: Word
    timestamp: When
    message: Maybe = ""
    metadata: dict[str, str] | None = None


def verify(call: Call, secret: str) -> None:
    """The signature of generic-hmac, or the token that a generic Provider brings as a header. Raises Unsigned."""
    if "x-signature" in call.headers:
        signed.hexadecimal(call, secret, "X-Signature")
    else:
        signed.token(call, secret)


def read(call: Call) -> list[Told]:
    """Raises BadRequest, Passed."""
    body = read_body(call.body, _Event)
    of = body.involvedObject
    if of.kind not in ("Kustomization", "HelmRelease"):
        raise Passed("not an event of a Kustomization or HelmRelease")
    if body.reason not in _REASONS:
        raise Passed(f"nothing new serves; expected one of {', '.join(_REASONS)}")
    metadata = {name.rpartition("/")[2]: value for name, value in (body.metadata or {}).items()}
    revision = metadata.get("revision", "")  # main@sha1:4f2c..., v1.4.2@sha1:4f2c..., or a chart's version
    branch, at, digest = revision.partition("@")
    commit = digest.partition(":")[2] if at else branch.rpartition("/")[2]
    version = metadata.get("app-version") or tag(branch) or short(commit) or revision or "unknown"
    return [
        Told(
            source=f"{of.namespace}/{of.name}" if of.namespace else of.name,
            service=of.name,
            version=version,
            id=f"flux-{of.kind}-{of.namespace}-{of.name}-{revision}-{body.reason}-{body.timestamp}",
            time=body.timestamp,
            environment=metadata.get("env", metadata.get("environment", "")),
            revision=commit if at else "",
            kind=_REASONS[body.reason],
            description=body.message,
        )
    ]
