"""Azure DevOps service hooks: a release that was deployed, a stage or a run of a pipeline that ended well.

In: a call. Out: Told. Never: a build, which serves nobody yet.
Fields: https://learn.microsoft.com/en-us/azure/devops/service-hooks/events
"""

from __future__ import annotations

from collector.webhooks import signed
from collector.webhooks.told import Call, Id, Maybe, MaybeWhen, Part, Passed, Told, When, Word, short, tag
from collector.webhooks.told import read as read_body

RELEASE = "ms.vss-release.deployment-completed-event"
STAGE = "ms.vss-pipelines.stage-state-changed-event"
RUN = "ms.vss-pipelines.run-state-changed-event"


class _Kind(Part):
    eventType: Word  # noqa: N815


class _Named(Part):
    name: Maybe = ""


class _Release(Part):
    id: Id = ""
    name: Word


class _Environment(Part):
    name: Word
    status: Word
    release: _Release
    releaseDefinition: _Named | None = None  # noqa: N815


class _Deployed(Part):
    environment: _Environment
    project: _Named | None = None


class _ReleaseEvent(Part):
    id: Id
    createdDate: When  # noqa: N815
    resource: _Deployed


class _Pipeline(Part):
    name: Word


class _Change(Part):
    version: Maybe = ""
    message: Maybe = ""


class _Repository(Part):
    change: _Change | None = None


class _Run(Part):
    id: Id
    name: Maybe = ""
    state: Maybe = ""
    result: Maybe = ""
    finishedDate: MaybeWhen = 0  # noqa: N815


class _Stage(Part):
    name: Word
    displayName: Maybe = ""  # noqa: N815
    state: Maybe = ""
    result: Maybe = ""


class _Ran(Part):
    run: _Run
    pipeline: _Pipeline
    stage: _Stage | None = None
    repositories: tuple[_Repository, ...] = ()


class _RunEvent(Part):
    createdDate: When  # noqa: N815
    resource: _Ran


verify = signed.token


def read(call: Call) -> list[Told]:
    """Raises BadRequest, Passed."""
    kind = read_body(call.body, _Kind).eventType
    if kind == RELEASE:
        return [_release(read_body(call.body, _ReleaseEvent))]
    if kind in (STAGE, RUN):
        return [_ran(read_body(call.body, _RunEvent), kind)]
    raise Passed(f"not one of the events {RELEASE}, {STAGE}, {RUN}")


def _release(body: _ReleaseEvent) -> Told:
    of = body.resource.environment
    if of.status.lower() != "succeeded":
        raise Passed("a deployment that has not succeeded")
    project = body.resource.project.name if body.resource.project else ""
    name = (of.releaseDefinition.name if of.releaseDefinition else "") or project or of.release.name
    return Told(
        source=name,
        service=name,
        version=of.release.name,
        id=f"azure-devops-{project}-{name}-{of.release.id}-{of.name}-{body.createdDate}",
        time=body.createdDate,
        environment=of.name,
    )


def _ran(body: _RunEvent, kind: str) -> Told:
    run, stage = body.resource.run, body.resource.stage
    ended = stage if kind == STAGE and stage is not None else run
    if ended.state != "completed" or ended.result != "succeeded":
        raise Passed("a run or a stage that has not ended well")
    name = body.resource.pipeline.name
    if kind == RUN and "deploy" not in name.lower():
        raise Passed("a pipeline without `deploy` in its name; subscribe to its stages")
    changes = [one.change for one in body.resource.repositories if one.change is not None]
    revision = changes[0].version if changes else ""
    return Told(
        source=name,
        service=name,
        version=tag(run.name) or short(revision) or run.name or str(run.id),
        id=f"azure-devops-{name}-run-{run.id}-{stage.name if kind == STAGE and stage else ''}",
        time=run.finishedDate or body.createdDate,
        environment=(stage.displayName or stage.name) if kind == STAGE and stage else "",
        revision=revision,
        description=changes[0].message if changes else "",
    )
