"""Telling the daemon of a deployment, from a pipeline.

In: a deployment, and where the daemon listens. Out: one line: it was told, or NoAnswer with what to check.
Never: a second try (the pipeline may simply run the command again).
"""

from __future__ import annotations

from collections.abc import Mapping

from collector.deployments import Deployment
from stillwatch.caller import Answer, NoAnswer, call

PATIENCE = 10.0  # seconds


def tell(url: str, token: str, deployment: Deployment) -> str:
    """Post to the daemon at `url` (http://HOST:PORT); returns a line for whoever reads the pipeline's log.

    An empty `id` and a `time` of 0 are left to the daemon (made from the rest; now). token: empty where the
    daemon wants none. Raises NoAnswer.
    """
    answer = call("POST", url, "/deployments", token, PATIENCE, body=_fields(deployment))
    if answer.status == 200:
        return f"told {url}: {deployment.service} {deployment.version} ({deployment.kind})"
    raise NoAnswer(_why(url, answer))


def _fields(deployment: Deployment) -> Mapping[str, object]:
    told = {
        "service": deployment.service,
        "version": deployment.version,
        "id": deployment.id,
        "time": deployment.time,
        "previous_version": deployment.previous_version,
        "environment": deployment.environment,
        "url": deployment.url,
        "revision": deployment.revision,
        "author": deployment.author,
        "kind": deployment.kind,
        "description": deployment.description,
    }
    return {name: value for name, value in told.items() if value or name in ("service", "version")}


def _why(url: str, answer: Answer) -> str:
    if answer.status in (400, 409):
        return f"{url} did not take it: {answer.error or repr(answer.text[:200])}"
    if answer.status == 503:
        return f"{url} cannot keep it just now; try again in a few seconds, and see {url}/healthz"
    return f"{url} answered {answer.status}; is that the daemon of Stillwatch? {answer.error[:200]}".rstrip()
