"""Jenkins: its Notification plugin, or a step of a pipeline that sends the same.

In: a call. Out: Told. Never: a build that failed or goes on.
Fields: https://plugins.jenkins.io/notification/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.deployments import DeploymentKind
from collector.webhooks import signed
from collector.webhooks.told import Call, Maybe, Part, Passed, Told, Word, last_of, short
from collector.webhooks.told import read as read_body

# Parameters of a build that say what it ships, as most jobs call them.
_SAYS = {
    "version": ("VERSION", "TAG", "IMAGE_TAG", "RELEASE"),
    "service": ("SERVICE",),
    "environment": ("ENVIRONMENT", "DEPLOY_ENV", "ENV", "TARGET"),
}


class _Scm(Part):
    branch: Maybe = ""
    commit: Maybe = ""
    culprits: tuple[str, ...] = ()


class _Build(Part):
    number: int
    phase: Word
    status: Maybe = ""
    full_url: Maybe = ""
    timestamp: int = 0  # epoch milliseconds of its begin, in newer versions of the plugin
    duration: int = 0
    scm: _Scm | None = None
    parameters: dict[str, Any] | None = None


class _Body(Part):
    name: Word
    url: Maybe = ""
    build: _Build


verify = signed.token


def read(call: Call) -> list[Told]:
    """Raises BadRequest, Passed."""
    body = read_body(call.body, _Body)
    build, scm = body.build, body.build.scm or _Scm()
    if build.phase not in ("COMPLETED", "FINALIZED") or build.status != "SUCCESS":
        raise Passed("a build that is not COMPLETED or FINALIZED with SUCCESS")
    said = {name: _parameter(build.parameters or {}, names) for name, names in _SAYS.items()}
    kind: DeploymentKind = "rollback" if "rollback" in body.name.lower() else "deploy"
    # A version that was made by this build is called after its commit or, for want of one, its number.
    return [
        Told(
            source=body.name,
            service=said["service"] or last_of(body.name),
            version=said["version"] or short(scm.commit) or str(build.number),
            id=f"jenkins-{body.url or body.name}-{build.number}",
            time=(build.timestamp + build.duration) // 1000,
            environment=said["environment"],
            url=build.full_url,
            revision=scm.commit,
            author=", ".join(scm.culprits[:3]),
            kind=kind,
        )
    ]


def _parameter(given: Mapping[str, Any], names: tuple[str, ...]) -> str:
    by_name = {name.upper(): value for name, value in given.items()}
    found = [by_name[name] for name in names if isinstance(by_name.get(name), str) and by_name[name].strip()]
    return found[0] if found else ""
