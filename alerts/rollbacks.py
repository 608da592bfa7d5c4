"""To put back what probably did it: what is offered on a card, what a pipeline is asked, how it went. Pure.

In: an incident, the ways of its services. Out: offers, buttons, the body of a request, lines in mrkdwn.
Never: an offer for a suspect that is not likely, for what has no version to go back to, for what was put back; a
secret in a repr.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from alerts.blame import culprits, is_usual, undone
from alerts.incidents import Incident
from alerts.jsonl import moment
from alerts.mrkdwn import address, code, fit, link, plain
from alerts.suspects import release_of
from alerts.wording import chance, clock
from collector.deployments import Deployment

# From this probability of its release on a member is offered to be put back: what the card calls "very likely". Of
# suspects of which that is said, seven in ten and more did it (docs/suspects-results.md).
LIKELY = 0.7
MOST_OFFERS = 3  # buttons; a release of hundreds is put back by its pipeline
FINISHED = 900  # seconds after which it should be known to be put back, or people are reminded
MOST_VALUE = 1900  # characters of a button's value; Slack takes 2000
PLACES = (
    "service",
    "version",
    "from",
    "deployment",
    "environment",
    "incident",
)  # what a link may name, in braces

THEN: dict[str, str] = {
    "failed": ". Nothing was begun: ask again, or put it back in the pipeline.",
    "unknown": ". It may have begun: look at the pipeline before anybody puts it back there.",
}  # what to do, by state

# taken: the pipeline said so. failed: it was not begun. unknown: nobody knows.
State = Literal["asked", "sending", "taken", "failed", "unknown"]
ONCE: tuple[State, ...] = ("asked", "sending", "taken", "unknown")  # it is not asked for again, then


@dataclass(frozen=True, slots=True)
class Way:
    """How a service is put back: either its pipeline's webhook, or the address of a page on which people do it."""

    url: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    link: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """A member that may be put back. probability: of its release."""

    deployment: Deployment
    way: Way
    probability: float


@dataclass(frozen=True, slots=True)
class Rollback:
    """What somebody asked for: `service` from `version`, which came with `deployment`, back to `to`.

    time: when, epoch seconds. said: what became of it, in plain words. page: where it can be followed. followed:
    since when it is known that it was put back, or people were reminded that it is not, 0 = neither yet.
    """

    incident: str
    deployment: str
    service: str
    version: str
    to: str
    who: str
    time: int
    environment: str = ""
    probability: float = 0.0
    state: State = "asked"
    said: str = ""
    page: str = ""
    followed: int = 0

    @property
    def key(self) -> str:
        """The same for the same member of the same release, whoever asks, of whichever incident."""
        return key_of(self.deployment, self.service)


def asks_for(wanted: Rollback, member: Deployment) -> bool:
    """Was this member asked for? A version that was seen to serve gets its release's name when that is told."""
    same = (wanted.service, wanted.version) == (member.service, member.version) and member.time <= wanted.time
    return same or wanted.key == key_of(member.id, member.service)


def key_of(deployment: str, service: str) -> str:
    return hashlib.sha256(f"{deployment}\0{service}".encode()).hexdigest()[:16]


# What may be put back.


def offers(incident: Incident, ways: Mapping[str, Way]) -> tuple[Offer, ...]:
    """The members that may be put back, likeliest first."""
    _, probability = release_of(incident.suspects)
    members = [one.deployment for one in culprits(incident) if one.deployment.service in ways]
    return tuple(
        Offer(one, ways[one.service], probability)
        for one in members
        if not _barred(incident, one, probability)
    )


def why_not(incident: Incident, deployment: Deployment) -> str:
    """Why a member is not to be put back from here; empty where it may be."""
    if deployment not in {one.deployment for one in culprits(incident)}:
        return f"{deployment.service} {deployment.version} is not what is suspected"
    return _barred(incident, deployment, release_of(incident.suspects)[1])


def _barred(incident: Incident, deployment: Deployment, probability: float) -> str:
    """Of a member that is suspected; probability: of its release."""
    if probability < LIKELY:
        return f"it is {chance(probability)} likely that {deployment.id} did it, expected {chance(LIKELY)} and more"
    if is_usual(incident):
        return f"it is no more than comes at every deployment of {deployment.service}"
    if deployment.kind != "deploy":
        return f"it is no new version but a {deployment.kind}"
    if not deployment.previous_version.strip():
        return "nobody said which version was there before it"
    if undone(incident, deployment) is not None:
        return f"{deployment.service} was put back already"
    return ""


def filled(way: Way, deployment: Deployment, incident: str) -> str:
    """The link of a way for this member, with every value encoded; empty where that is no address of the web."""
    values = {
        "service": deployment.service, "version": deployment.previous_version, "from": deployment.version,
        "deployment": deployment.id, "environment": deployment.environment, "incident": incident,
    }  # fmt: skip
    return address(re.sub(r"\{(\w+)\}", lambda found: quote(values[found[1]], safe=""), way.link))


def elements(incident: Incident, offered: Sequence[Offer], pressable: bool) -> list[dict[str, Any]]:
    """The buttons: a link to a pipeline works wherever Slack does, a press only where it can reach us."""
    made = []
    for number, offer in enumerate(offered[:MOST_OFFERS], 1):
        label = f"Roll back {fit(offer.deployment.service, 50)}"
        button: dict[str, Any] = {
            "type": "button",
            "text": _plain(label),
            "action_id": f"roll_back-{number}",
            "style": "danger",
        }
        if offer.way.link:
            target = filled(offer.way, offer.deployment, incident.id)
            if target:
                made.append(button | {"url": target, "action_id": f"roll_back_page-{number}"})
        elif pressable:
            value = json.dumps([incident.id, offer.deployment.id, offer.deployment.service])
            if len(value) <= MOST_VALUE:
                made.append(button | {"value": value, "confirm": _confirm(offer.deployment)})
    return made


def _confirm(deployment: Deployment) -> dict[str, Any]:
    """Slack shows it to whoever presses, and goes on only when they say yes."""
    where = f" in {fit(deployment.environment, 40)}" if deployment.environment.strip() else ""
    goes = f"{fit(deployment.version, 40)} → {fit(deployment.previous_version, 40)}"
    return {
        "title": _plain(f"Roll back {fit(deployment.service, 50)}?"),
        "text": _plain(
            f"{fit(deployment.service, 50)}{where}: {goes}. Its pipeline is asked once, in your name."
        ),
        "confirm": _plain("Roll back"),
        "deny": _plain("Cancel"),
        "style": "danger",
    }


# How the pipeline is asked, and how it went.


def body(wanted: Rollback) -> dict[str, Any]:
    """What a webhook gets, as JSON."""
    return {
        "event": "roll_back",
        "key": wanted.key,
        "time": moment(wanted.time),
        "by": wanted.who,
        "incident": wanted.incident,
        "service": wanted.service,
        "environment": wanted.environment,
        "deployment": wanted.deployment,
        "from": wanted.version,
        "to": wanted.to,
        "probability": round(wanted.probability, 4),
    }


def line(wanted: Rollback, now: int) -> str:
    """`anna` asked for `event-parser` back to `2.12.0` at 07:04 UTC; the pipeline answered 202."""
    asked = f"{code(wanted.who, 40)} asked for {code(wanted.service, 60)} back to {code(wanted.to, 40)}"
    followed = link(wanted.page, "follow it there")
    page = f", {followed}" if followed != "follow it there" else ""
    said = f"{plain(answered(wanted), 240)}{page}{THEN.get(wanted.state, '')}"
    return f"↩️ {asked} at {clock(wanted.time, now)} UTC; {said}"


def unfinished(wanted: Rollback, now: int) -> str:
    """`event-parser` is not known to be put back to `2.12.0`, for which `anna` asked at 07:04 UTC; …"""
    what = f"{code(wanted.service, 60)} is not known to be put back to {code(wanted.to, 40)}"
    asked = f"for which {code(wanted.who, 40)} asked at {clock(wanted.time, now)} UTC"
    followed = link(wanted.page, "the pipeline")
    return f"⏰ {what}, {asked}. Look at {followed}: nobody told of it, and no count shows it."


def answered(wanted: Rollback) -> str:
    """What became of it, in plain words."""
    return wanted.said or "no answer from its pipeline yet"


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}
