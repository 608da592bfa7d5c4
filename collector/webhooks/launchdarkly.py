"""LaunchDarkly: what was done to a feature flag.

In: a call. Out: Told of kind `flag`. Never: a flag that was only described, commented or created switched off.
Fields and signature: https://launchdarkly.com/docs/integrations/webhooks and the audit log entry of
https://launchdarkly.com/docs/api/audit-log
"""

from __future__ import annotations

import re

from pydantic import Field

from collector.otlp import BadRequest
from collector.webhooks import signed
from collector.webhooks.told import Call, Maybe, Part, Passed, Told, When, Word
from collector.webhooks.told import read as read_body

_RESOURCE = re.compile(r"proj/([^:;]+)[^:]*:env/([^:;]+)[^:]*:flag/([^:;]+)")
# What changes what a flag gives to somebody (https://launchdarkly.com/docs/home/account/roles/role-actions).
_ACTS = {
    "updateOn", "updateRules", "updateTargets", "updateExpiringTargets", "updateFallthrough", "updateOffVariation",
    "updatePrerequisites", "updateFlagVariations", "updateFlagDefaultVariations", "updateRolloutRules",
    "updateFeatureWorkflows", "updateScheduledChanges", "applyApprovalRequest", "copyFlagConfigTo",
    "updateContextTargets", "updateFallthroughWithMeasuredRollout", "updateRulesWithMeasuredRollout",
}  # fmt: skip


class _Access(Part):
    action: Word
    resource: Word


class _Member(Part):
    email: Maybe = ""


class _Entry(Part):
    id: Word = Field(alias="_id")
    date: When
    kind: Word
    name: Maybe = ""
    accesses: tuple[_Access, ...] = ()
    comment: Maybe = ""
    description: Maybe = ""
    titleVerb: Maybe = ""  # noqa: N815
    member: _Member | None = None


def verify(call: Call, secret: str) -> None:
    """Raises Unsigned."""
    signed.hexadecimal(call, secret, "X-LD-Signature", prefix="")


def read(call: Call) -> list[Told]:
    """Raises BadRequest, Passed."""
    entry = read_body(call.body, _Entry)
    if entry.kind != "flag":
        raise Passed("nothing that was done to a flag")
    acts = [one for one in entry.accesses if one.action in _ACTS]
    if entry.accesses and not acts:
        raise Passed("nothing that changes what the flag gives to somebody")
    places = [found for one in acts if (found := _RESOURCE.search(one.resource))]
    if not places:
        raise BadRequest("accesses: expected a resource such as proj/shop:env/production:flag/new-checkout")
    changed = dict.fromkeys(
        (place[1], place[2], place[3]) for place in places
    )  # a change may touch several environments
    said = " ".join(part for part in (entry.titleVerb, entry.name) if part)
    return [
        Told(
            source=f"{project}/{flag}",
            service=project,
            version=flag,
            id=f"launchdarkly-{entry.id}-{environment}",
            time=entry.date,
            environment=environment,
            author=entry.member.email if entry.member else "",
            kind="flag",
            description=". ".join(part for part in (said, entry.comment, entry.description) if part),
        )
        for project, environment, flag in changed
    ]
