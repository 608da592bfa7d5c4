"""GitLab: deployment events.

In: a call. Out: Told. Never: a failed or a running deployment taken for one that serves.
Fields: https://docs.gitlab.com/user/project/integrations/webhook_events/#deployment-events
A secret token, or a signing token (`whsec_...`), which signs the moment as well:
https://docs.gitlab.com/user/project/integrations/webhooks/
"""

from __future__ import annotations

from collector.webhooks import signed
from collector.webhooks.told import Call, Id, Maybe, Part, Passed, Told, When, Word, last_of, short, tag
from collector.webhooks.told import read as read_body


class _Kind(Part):
    object_kind: Word


class _Project(Part):
    path_with_namespace: Word


class _User(Part):
    username: Maybe = ""
    name: Maybe = ""


class _Deployed(Part):
    status: Word
    status_changed_at: When
    deployment_id: Id
    project: _Project
    environment: Maybe = ""
    environment_tier: Maybe = ""
    deployable_url: Maybe = ""
    short_sha: Maybe = ""
    commit_url: Maybe = ""
    commit_title: Maybe = ""
    ref: Maybe = ""
    user: _User | None = None


def verify(call: Call, secret: str) -> None:
    """Raises Unsigned."""
    if secret.startswith("whsec_"):
        signed.standard(call, secret)
    else:
        signed.header(call, secret, "X-Gitlab-Token")


def read(call: Call) -> list[Told]:
    """Raises BadRequest, Passed."""
    kind = read_body(call.body, _Kind).object_kind
    if kind != "deployment":
        raise Passed("not a deployment event")
    body = read_body(call.body, _Deployed)
    if body.status != "success":
        raise Passed(f"a deployment whose status is {body.status[:40]}; success is waited for")
    commit = body.commit_url.rpartition("/commit/")[2]
    path = body.project.path_with_namespace
    version = tag(body.ref) or short(commit) or body.short_sha or body.ref
    return [
        Told(
            source=path,
            service=last_of(path),
            version=version,
            id=f"gitlab-{path}-{body.deployment_id}",
            time=body.status_changed_at,
            # Names are free (`prod-eu-1`); the tier says which of them is production.
            environment="production" if body.environment_tier == "production" else body.environment,
            url=body.deployable_url or body.commit_url,
            revision=commit or body.short_sha,
            author=(body.user.username or body.user.name) if body.user else "",
            description=body.commit_title,
        )
    ]
