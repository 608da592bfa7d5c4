"""Argo CD notifications: the application as it is, in a template of ours (docs/connect-deployments.md).

In: a call. Out: Told. Never: a sync that failed or is under way.
Fields: https://argo-cd.readthedocs.io/en/stable/operator-manual/notifications/services/webhook/ and the Application
of https://argo-cd.readthedocs.io/en/stable/operator-manual/application.yaml
"""

from __future__ import annotations

from collector.webhooks import signed
from collector.webhooks.told import Call, Maybe, Part, Passed, Told, When, Word, image_tag, short
from collector.webhooks.told import read as read_body


class _Metadata(Part):
    name: Word
    namespace: Maybe = ""


class _Initiated(Part):
    username: Maybe = ""


class _Operation(Part):
    initiatedBy: _Initiated | None = None  # noqa: N815


class _Result(Part):
    revision: Maybe = ""
    revisions: tuple[str, ...] = ()


class _State(Part):
    phase: Word
    finishedAt: When  # noqa: N815
    message: Maybe = ""
    operation: _Operation | None = None
    syncResult: _Result | None = None  # noqa: N815


class _Summary(Part):
    images: tuple[str, ...] = ()


class _Status(Part):
    operationState: _State  # noqa: N815
    summary: _Summary | None = None


class _Destination(Part):
    namespace: Maybe = ""


class _Spec(Part):
    destination: _Destination | None = None


class _Application(Part):
    metadata: _Metadata
    status: _Status
    spec: _Spec | None = None


class _Body(Part):
    app: _Application
    url: Maybe = ""  # of the application's page
    environment: Maybe = ""


verify = signed.token


def read(call: Call) -> list[Told]:
    """Raises BadRequest, Passed."""
    body = read_body(call.body, _Body)
    name, state = body.app.metadata.name, body.app.status.operationState
    if state.phase != "Succeeded":
        raise Passed(f"a sync whose phase is {state.phase[:40]}; Succeeded is waited for")
    result = state.syncResult or _Result()
    revision = result.revision or (result.revisions[0] if result.revisions else "")
    by = state.operation.initiatedBy if state.operation else None
    return [
        Told(
            source=name,
            service=name,
            version=_version(name, body.app.status.summary, revision),
            id=f"argocd-{body.app.metadata.namespace}-{name}-{revision}-{state.finishedAt}",
            time=state.finishedAt,
            environment=body.environment,
            url=body.url,
            revision=revision,
            author=by.username if by else "",
            description=state.message,
        )
    ]


def _version(name: str, summary: _Summary | None, revision: str) -> str:
    """The tag of the image that is called as the application, or of the only one; else the manifests' revision."""
    images = [image_tag(image) for image in (summary.images if summary else ())]
    own = [version for image, version in images if image == name or len(images) == 1]
    return (own[0] if own else "") or short(revision) or "unknown"
