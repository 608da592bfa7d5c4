"""The suspects, in words: which change did it, why we think so, what to put back. Pure.

In: an incident, and the members of its likeliest release that nothing points to. Out: lines of Slack's markup.
Never: an unescaped word from outside; a deployment named as the culprit when none is the likelier answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from alerts.clues import undoes
from alerts.incidents import Event, Incident
from alerts.mrkdwn import code, link, plain
from alerts.suspects import Suspect, release_of
from alerts.together import many
from alerts.wording import chance, clock
from collector.deployments import Deployment

MOST_MEMBERS = 3
SURE = 900  # seconds after the onset in which another member would have shown that it fails as well
OTHERWISE = 0.05  # probability from which another release is worth a line
WHAT = {"deploy": "", "rollback": " (a rollback)", "config": " (its settings)", "flag": " (a feature flag)"}


def culprits(incident: Incident) -> tuple[Suspect, ...]:
    """The members to put back of the release that is believed to have done it; empty when none is."""
    release, probability = release_of(incident.suspects)
    if probability < incident.no_deployment:
        return ()
    members = [s for s in incident.suspects if s.deployment.id == release]
    return tuple(s for s in members if s.probability >= members[0].probability / 4)


def sureness(probability: float) -> str:
    """A probability in words."""
    for least, words in ((0.9, "almost certainly"), (0.7, "very likely"), (0.5, "probably")):
        if probability >= least:
            return words
    return "possibly"


def suspicion(event: Event) -> list[str]:
    """Who did it: lines for the card and for a reply."""
    incident = event.incident
    blamed = culprits(incident)
    if not blamed:
        lines = [f"*No deployment explains it* ({chance(incident.no_deployment)})."]
        if event.event != "resolved":
            lines[0] += f" {_elsewhere(incident)}"
        return [*lines, *_otherwise(incident, "")]
    release, probability = release_of(incident.suspects)
    sure = f"{sureness(probability)} ({chance(probability)})"
    if len(blamed) == 1:
        (only,) = blamed
        lines = [f"*Suspect:* {_member(only.deployment)}, {sure}", f"Why: {_why(only, event.time)}"]
    else:
        lines = [f"*Suspect:* release {code(release, 60)}, {sure}"]
        for one in blamed[:MOST_MEMBERS]:
            lines.append(f"• {_member(one.deployment)}: {_why(one, event.time)}")
        if len(blamed) > MOST_MEMBERS:
            lines.append(f"• and {len(blamed) - MOST_MEMBERS} more members")
    return [*lines, *_otherwise(incident, release)]


def _elsewhere(incident: Incident) -> str:
    """Where to look when nothing that was deployed did it."""
    if many(incident.findings):
        return "What so many share may have failed: a network, a database, a queue, a zone."
    services = list(dict.fromkeys(one.signal.service for one in incident.findings))
    if len(services) > 1:
        return "Look at what these services share."
    return f"Look at what {code(services[0], 60)} calls, and at what feeds it."


def advice(event: Event) -> list[str]:
    """What was put back, what to put back, and what to leave."""
    incident = event.incident
    blamed = culprits(incident)
    back, to_do = [], []
    for suspect in blamed[:MOST_MEMBERS]:
        done = undone(incident, suspect.deployment)
        if done is not None:
            back.append(put_back(done, event.time))
        elif event.event != "resolved":
            to_do.append(_undo(suspect.deployment))
    lines = [f"Rolled back: {', '.join(back)}."] if back else []
    if to_do and is_usual(incident):
        lines.append(
            "*To do:* nothing yet: it is usual at its deployments, and told again if it becomes more."
        )
    elif to_do:
        lines.append(f"*To do:* {', and '.join(to_do)}{_leave(event, blamed)}.")
    return lines


def is_usual(incident: Incident) -> bool:
    """Is it no more than what comes at every deployment of the service?"""
    return incident.severity == "info" and not any(f.young for f in incident.findings)


def undone(incident: Incident, suspect: Deployment) -> Deployment | None:
    """The deployment that put it back, if one did."""
    return next((d for d in incident.rollbacks if undoes(d, suspect)), None)


def put_back(rollback: Deployment, now: int) -> str:
    """`event-parser` to `2.12.0` at 07:05 UTC."""
    to = f"to {code(rollback.version, 40)} at {clock(rollback.time, now)} UTC"
    return f"{code(rollback.service, 60)} {to}"


def named(incident: Incident) -> str:
    """Whom the first line of a notification names: the member, or the release where several did it."""
    blamed = culprits(incident)
    if not blamed:
        return ""
    if len(blamed) > 1:
        return f"release {code(blamed[0].deployment.id, 60)}"
    return _member(blamed[0].deployment)


def changed(event: Event) -> list[str]:
    """For a reply: who is suspected now, with a link to the change."""
    lines = suspicion(event)
    for suspect in culprits(event.incident)[:1]:
        if (linked := link(suspect.deployment.url, "the change")) != "the change":
            lines.append(linked)
    return lines


def _member(deployment: Deployment) -> str:
    return f"{code(deployment.service, 60)} {code(deployment.version, 40)}{WHAT[deployment.kind]}"


def _why(suspect: Suspect, now: int) -> str:
    """`deployed 2 min before it began, at 06:31 UTC by events-team: “new processing”; version 2 fails …`."""
    deployment = suspect.deployment
    first, *more = suspect.evidence or ("deployed",)
    said = f"{plain(first, 100)}, at {clock(deployment.time, now)} UTC"
    if deployment.author.strip():
        said += f", by {plain(deployment.author, 40)}"
    if deployment.description.strip():
        said += f": “{plain(deployment.description, 100)}”"
    return "; ".join([said, *(plain(one, 100) for one in more[:2])])


def _undo(deployment: Deployment) -> str:
    service = code(deployment.service, 60)
    if deployment.kind == "rollback":
        # What it was put back from was taken back for a reason.
        return f"look at {service}: going back to {code(deployment.version, 40)} may have brought this about"
    if deployment.kind == "config":
        return f"undo the change to the settings of {service}"
    if deployment.kind == "flag":
        return f"switch the flag of {service} back"
    to = (
        f"to {code(deployment.previous_version, 40)}"
        if deployment.previous_version.strip()
        else "one version"
    )
    return f"put {service} back {to}"


def _leave(event: Event, blamed: Sequence[Suspect]) -> str:
    release, _ = release_of(event.incident.suspects)
    spared = [s.deployment for s in event.incident.suspects if s.deployment.id == release and s not in blamed]
    services = sorted(
        {d.service for d in (*spared, *event.bystanders)} - {s.deployment.service for s in blamed}
    )
    if not services:
        return ""
    named = ", ".join(code(one, 40) for one in services[:MOST_MEMBERS])
    more = len(services) - MOST_MEMBERS
    named += f" and {more} more" if more > 0 else ""
    began = min(f.onset for f in event.incident.findings)
    if event.time - began < SURE:
        return f"; nothing points to {named} of this release so far"
    return f"; leave {named} of this release"


def _otherwise(incident: Incident, release: str) -> list[str]:
    """The best of the rest, where it is worth a line."""
    rest = [s for s in incident.suspects if s.deployment.id != release or not release]
    for suspect in rest[:1]:
        if suspect.probability >= OTHERWISE:
            return [f"Otherwise {_member(suspect.deployment)} ({chance(suspect.probability)})"]
    return []
