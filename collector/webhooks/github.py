"""GitHub: the events deployment_status, workflow_run and release.

In: a call. Out: Told. Never: a preview or a failed deployment taken for one that serves.
Fields: https://docs.github.com/en/webhooks/webhook-events-and-payloads; the signature:
https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries. A call is signed without a moment:
told again, it is the same deployment (GitHub's own id and time), and changes nothing.
"""

from __future__ import annotations

from typing import Any

from collector.otlp import BadRequest
from collector.webhooks import signed
from collector.webhooks.told import (
    Call,
    Id,
    Maybe,
    MaybeWhen,
    Part,
    Passed,
    Told,
    When,
    Word,
    last_of,
    short,
    tag,
)
from collector.webhooks.told import read as read_body

EVENTS = "deployment_status, workflow_run or release"


class _Login(Part):
    login: Maybe = ""


class _Repository(Part):
    full_name: Word


class _Deployment(Part):
    id: Id
    sha: Word
    ref: Maybe = ""
    task: Maybe = ""
    environment: Maybe = ""
    description: Maybe = ""
    creator: _Login | None = None
    payload: Any = None  # what the workflow put in, as text or as a mapping


class _Status(Part):
    state: Word
    created_at: When
    environment: Maybe = ""
    environment_url: Maybe = ""
    log_url: Maybe = ""
    target_url: Maybe = ""


class _DeploymentStatus(Part):
    repository: _Repository
    deployment: _Deployment
    deployment_status: _Status


class _Run(Part):
    id: Id
    name: Maybe = ""
    head_branch: Maybe = ""
    head_sha: Word
    conclusion: Maybe = ""
    html_url: Maybe = ""
    display_title: Maybe = ""
    updated_at: When
    run_attempt: int = 1
    actor: _Login | None = None


class _WorkflowRun(Part):
    action: Word
    repository: _Repository
    workflow_run: _Run


class _Release(Part):
    id: Id
    tag_name: Word
    name: Maybe = ""
    html_url: Maybe = ""
    draft: bool = False
    prerelease: bool = False
    published_at: MaybeWhen = 0
    author: _Login | None = None


class _Released(Part):
    action: Word
    repository: _Repository
    release: _Release


def verify(call: Call, secret: str) -> None:
    """Raises Unsigned."""
    signed.hexadecimal(call, secret, "X-Hub-Signature-256")


def read(call: Call) -> list[Told]:
    """Raises BadRequest, Passed."""
    event = call.headers.get("x-github-event", "")
    if event == "ping":
        raise Passed("a ping: the webhook works")
    if event == "deployment_status":
        return [_status(read_body(call.body, _DeploymentStatus))]
    if event == "workflow_run":
        return [_run(read_body(call.body, _WorkflowRun))]
    if event == "release":
        return [_released(read_body(call.body, _Released))]
    if not event:
        raise BadRequest(f"X-GitHub-Event: missing; expected {EVENTS}")
    raise Passed(f"not one of the events {EVENTS}")


def _status(body: _DeploymentStatus) -> Told:
    one, status = body.deployment, body.deployment_status
    if status.state != "success":
        raise Passed(f"a deployment whose state is {status.state[:40]}; success is waited for")
    said = one.payload.get("version") if isinstance(one.payload, dict) else None
    return Told(
        source=body.repository.full_name,
        service=last_of(body.repository.full_name),
        version=said if isinstance(said, str) and said.strip() else tag(one.ref) or short(one.sha),
        id=f"github-{body.repository.full_name}-{one.id}",
        time=status.created_at,
        environment=status.environment or one.environment,
        url=status.log_url or status.target_url or status.environment_url,
        revision=one.sha,
        author=one.creator.login if one.creator else "",
        kind="rollback" if "rollback" in one.task.lower() else "deploy",
        description=one.description,
    )


def _run(body: _WorkflowRun) -> Told:
    run, what = body.workflow_run, body.workflow_run.name.lower()
    if body.action != "completed" or run.conclusion != "success":
        raise Passed("a workflow that has not ended well")
    if not any(word in what for word in ("deploy", "rollback", "roll back")):
        raise Passed("a workflow without `deploy` or `rollback` in its name")
    return Told(
        source=body.repository.full_name,
        service=last_of(body.repository.full_name),
        version=tag(run.head_branch) or short(run.head_sha),
        id=f"github-{body.repository.full_name}-run-{run.id}-{run.run_attempt}",
        time=run.updated_at,
        url=run.html_url,
        revision=run.head_sha,
        author=run.actor.login if run.actor else "",
        kind="deploy" if "deploy" in what else "rollback",
        description=run.display_title,
    )


def _released(body: _Released) -> Told:
    one = body.release
    if body.action != "released" or one.draft or one.prerelease:
        raise Passed("not a release that is out (its action is not `released`)")
    return Told(
        source=body.repository.full_name,
        service=last_of(body.repository.full_name),
        version=one.tag_name,
        id=f"github-{body.repository.full_name}-release-{one.id}",
        time=one.published_at,
        url=one.html_url,
        author=one.author.login if one.author else "",
        description=one.name,
    )
