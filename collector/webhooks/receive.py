"""What a webhook tells: who sent it, which services are meant, which environments count.

In: a hook and a call. Out: Deployments; Unsigned (401), BadRequest (400) or Passed (200, and why it is none).
Never: a clock; a look into a body before it is known who sent it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from collector.deployments import Deployment
from collector.otlp import BadRequest
from collector.webhooks import (
    argocd,
    azure_devops,
    bitbucket,
    cdevents,
    flux,
    github,
    gitlab,
    jenkins,
    launchdarkly,
    octopus,
)
from collector.webhooks.hook import Hook
from collector.webhooks.signed import Unsigned
from collector.webhooks.told import Call, Passed, Told

BODY = 1024 * 1024  # bytes of a call; the longest that senders make of a deployment is a tenth of it
OLDEST = 7 * 86400  # seconds: what happened earlier is somebody's repeat
AHEAD = 86400  # seconds by which the clock of a sender may be ahead
# Where the settings name no environments, those whose names say that nobody is served there are left out.
_ASIDE = re.compile(
    r"(^|[^a-z])(dev|development|test|testing|tests|qa|uat|stag|stage|staging|preview|review|sandbox|ci|local|"
    r"demo|canary-test|preprod|pre-?production|nonprod|non-?production|integration|ephemeral|pr-?\d+)\d*([^a-z]|$)"
)


@dataclass(frozen=True, slots=True)
class Sender:
    """verify: raises Unsigned. read: raises BadRequest, Passed."""

    verify: Callable[[Call, str], None]
    read: Callable[[Call], list[Told]]


SENDERS: Mapping[str, Sender] = {
    "github": Sender(github.verify, github.read),
    "gitlab": Sender(gitlab.verify, gitlab.read),
    "bitbucket": Sender(bitbucket.verify, bitbucket.read),
    "argocd": Sender(argocd.verify, argocd.read),
    "flux": Sender(flux.verify, flux.read),
    "octopus": Sender(octopus.verify, octopus.read),
    "azure_devops": Sender(azure_devops.verify, azure_devops.read),
    "jenkins": Sender(jenkins.verify, jenkins.read),
    "launchdarkly": Sender(launchdarkly.verify, launchdarkly.read),
}


def receive(hook: Hook, call: Call) -> list[Deployment]:
    """What the call tells of. Raises Unsigned, BadRequest, Passed."""
    sender = SENDERS[hook.sender]
    if not hook.secret:
        raise Unsigned("expected a secret in the settings")
    sender.verify(call, hook.secret)
    return _meant(hook, sender.read(call), call.now)


def receive_events(call: Call) -> list[Deployment]:
    """What CloudEvents tell of, from whoever may tell of deployments at all. Raises BadRequest, Passed."""
    return _meant(Hook("cdevents", ""), cdevents.read(call), call.now)


def _meant(hook: Hook, told: Sequence[Told], now: float) -> list[Deployment]:
    here = [one for one in told if _counts(hook, one.environment)]
    if not here:
        left_out = ", ".join(sorted({_clean(one.environment, 100) for one in told}))
        raise Passed(f"the environment {left_out} is none of those that count")
    found = [one for each in here for one in _deployments(hook, each, now)]
    if not found:
        raise Passed(f"the settings name no service for {_clean(here[0].source, 100)}")
    return found


def _counts(hook: Hook, environment: str) -> bool:
    name = environment.strip().lower()
    if hook.environments:
        return name in hook.environments or not name
    return _ASIDE.search(name) is None


def _deployments(hook: Hook, told: Told, now: float) -> list[Deployment]:
    """One for each service that the settings name for its source; the sender's own word where they name none."""
    time = math.floor(now) if told.time == 0 else told.time
    if not now - OLDEST <= time <= now + AHEAD:
        raise BadRequest(
            "it happened more than 7 days ago, or has yet to happen; tell it by POST /deployments"
        )
    services = hook.services.get(told.source, hook.services.get(told.service, (told.service,)))
    version = _clean(told.version, 500)
    if not version:
        raise BadRequest("expected a version")
    return [
        Deployment(
            id=_clean(told.id, 500),
            time=time,
            service=_clean(service, 500) or "unknown",
            version=version,
            previous_version=_clean(told.previous_version, 500),
            environment=_clean(told.environment, 500),
            url=_link(told.url),
            revision=_clean(told.revision, 500),
            author=_clean(told.author, 500),
            kind=told.kind,
            description=_clean(told.description, 4000),
            reported=math.floor(now),
        )
        for service in services
    ]


def _clean(text: str, most: int) -> str:
    """Without control characters and halves of characters, and not too long: it comes from commit messages."""
    printable = "".join(c if c.isprintable() else " " for c in text[: 2 * most])
    return " ".join(printable.split())[:most]


def _link(url: str) -> str:
    good = (
        url.startswith(("https://", "http://")) and len(url) <= 2000 and url.isprintable() and " " not in url
    )
    return url if good else ""
