"""Bitbucket Pipelines: the build status of a commit.

In: a call. Out: Told. Never: a build of a branch that is not shipped (see `branches` below).
Fields and signature: https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/ and
https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/
Of deployments Bitbucket sends no webhook; where only one step of a pipeline deploys, `POST /deployments` from there
is more exact.
"""

from __future__ import annotations

from collector.otlp import BadRequest
from collector.webhooks import signed
from collector.webhooks.told import Call, Maybe, Part, Passed, Told, When, Word, last_of, short, tag
from collector.webhooks.told import read as read_body

SHIPPED = ("main", "master", "production", "release")  # branches whose pipelines deploy; and every tag


class _Repository(Part):
    full_name: Word


class _Author(Part):
    raw: Maybe = ""


class _Commit(Part):
    hash: Word
    message: Maybe = ""
    author: _Author | None = None


class _Status(Part):
    state: Word
    key: Word
    updated_on: When
    name: Maybe = ""
    url: Maybe = ""
    refname: Maybe = ""
    commit: _Commit


class _Body(Part):
    repository: _Repository
    commit_status: _Status


def verify(call: Call, secret: str) -> None:
    """Raises Unsigned."""
    signed.hexadecimal(call, secret, "X-Hub-Signature")


def read(call: Call) -> list[Told]:
    """Raises BadRequest, Passed."""
    event = call.headers.get("x-event-key", "")
    if not event:
        raise BadRequest("X-Event-Key: missing; expected repo:commit_status_updated")
    if event not in ("repo:commit_status_created", "repo:commit_status_updated"):
        raise Passed("not an event repo:commit_status_created or repo:commit_status_updated")
    body = read_body(call.body, _Body)
    status, repository = body.commit_status, body.repository.full_name
    if status.state != "SUCCESSFUL":
        raise Passed(f"a build whose state is {status.state[:40]}; SUCCESSFUL is waited for")
    version = tag(status.refname)
    if not version and status.refname.split("/")[0] not in SHIPPED:
        raise Passed(f"a build of neither a tag nor one of the branches {', '.join(SHIPPED)}")
    return [
        Told(
            source=repository,
            service=last_of(repository),
            version=version or short(status.commit.hash),
            id=f"bitbucket-{repository}-{status.key}-{status.commit.hash}",
            time=status.updated_on,
            url=status.url,
            revision=status.commit.hash,
            author=status.commit.author.raw if status.commit.author else "",
            description=status.commit.message or status.name,
        )
    ]
