"""Telling the daemon of a deployment, from a pipeline.

In: a deployment, and where the daemon listens. Out: one line: it was told, or NotTold with what to check.
Never: a token in a message, a second try (the pipeline may simply run the command again).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from collector.deployments import Deployment

PATIENCE = 10.0  # seconds


class NotTold(Exception):  # noqa: N818  (it reads as what happened)
    """The daemon does not know of the deployment; the text is one line that says what to check."""


def tell(url: str, token: str, deployment: Deployment) -> str:
    """Post to the daemon at `url` (http://HOST:PORT); returns a line for whoever reads the pipeline's log.

    An empty `id` and a `time` of 0 are left to the daemon (made from the rest; now). token: empty where the
    daemon wants none. Raises NotTold.
    """
    import httpx2

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotTold(f"{url!r} is no address of a daemon; expected for example http://127.0.0.1:4318")
    to_ourselves = parts.hostname in ("127.0.0.1", "localhost", "::1")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        # A proxy of the environment would look for our own loopback on its machine.
        with httpx2.Client(timeout=PATIENCE, trust_env=not to_ourselves) as client:
            answer = client.post(f"{url.rstrip('/')}/deployments", json=_fields(deployment), headers=headers)
    except httpx2.TimeoutException:
        raise NotTold(
            f"no answer from {url} within {PATIENCE:g} s; is the daemon well? See {url}/healthz"
        ) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise NotTold(
            f"nobody answers at {url} ({error}); check that `stillwatch run` is up and `listen` says this address"
        ) from None
    if answer.status_code == 200:
        return f"told {url}: {deployment.service} {deployment.version} ({deployment.kind})"
    raise NotTold(_why(url, answer.status_code, answer.text))


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


def _why(url: str, status: int, said: str) -> str:
    try:
        reason = json.loads(said)["error"]
    except (ValueError, KeyError, TypeError):
        reason = ""
    if status == 401:
        return f"{url} wants another token; check the variable that `listen: token_env` names"
    if status == 400:
        return f"{url} did not take it: {reason or said[:200]!r}"
    if status == 503:
        return f"{url} cannot keep it just now; try again in a few seconds, and see {url}/healthz"
    return f"{url} answered {status}; is that the daemon of Stillwatch? {str(reason)[:200]}".rstrip()
