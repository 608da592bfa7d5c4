"""What can be pressed on a card in Slack, and what a press says. Pure.

In: an incident for the buttons; an interaction's or a slash command's payload, as Slack sends it. Out: elements of
a block; who said what.
Never: a payload believed: a press may come twice, late, or hold a value of anyone's making.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from alerts.blame import culprits
from alerts.incidents import Incident
from alerts.mrkdwn import fit
from alerts.suspects import release_of

LASTING = {"1h": "for 1 hour", "4h": "for 4 hours", "over": "until it is over"}
WARNING = "It is closed, and as it is now is the usual from here on. What is worse than this will be told."
LONGEST = 2000  # characters of anything that is read of a payload
MOST_VALUE = 1900  # Slack takes 2000

Action = Literal["acknowledge", "silence", "not a problem", "not this deployment", "roll back", "why"]
ACTIONS: dict[str, Action] = {
    "acknowledge": "acknowledge",
    "silence": "silence",
    "not_a_problem": "not a problem",
    "not_this_deployment": "not this deployment",
    "roll_back": "roll back",
    "why": "why",
}


@dataclass(frozen=True, slots=True)
class Press:
    """who: as Slack names them. incident: its id, as it stood in the value. lasting: of a silence, a key of
    LASTING. deployment, service: what it was not, or what is to be put back. time: epoch seconds, 0 where Slack
    does not say. answer_to: where an answer may be posted."""

    who: str
    action: Action
    incident: str
    lasting: str = ""
    deployment: str = ""
    service: str = ""
    time: int = 0
    answer_to: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command: who typed which text."""

    who: str
    text: str
    answer_to: str = ""


def buttons(incident: Incident) -> list[dict[str, Any]]:
    """The elements for an open incident."""
    made = [
        _button("Acknowledge", "acknowledge", incident.id, style="primary"),
        {
            "type": "static_select",
            "placeholder": _plain("Silence…"),
            "action_id": "silence",
            "options": [
                {"text": _plain(f"Silence {words}"), "value": f"{incident.id}:{lasting}"}
                for lasting, words in LASTING.items()
            ],
        },
        _button(
            "Not a problem",
            "not_a_problem",
            incident.id,
            confirm={
                "title": _plain("Not a problem?"),
                "text": _plain(WARNING),
                "confirm": _plain("Not a problem"),
                "deny": _plain("Cancel"),
            },
        ),
    ]
    blamed = culprits(incident)
    if blamed:
        release, _ = release_of(incident.suspects)
        # One member that is blamed is named by the card; of several, their release.
        service = blamed[0].deployment.service if len(blamed) == 1 else ""
        value = json.dumps([incident.id, release, service])
        if len(value) <= MOST_VALUE:
            name = "Not this deployment" if service else "Not this release"
            made.append(_button(name, "not_this_deployment", value))
    return [*made, _button("Why?", "why", incident.id)]


def press(payload: Mapping[str, Any]) -> Press | None:
    """The press of one of our buttons; None for anything else (links are pressed too)."""
    if payload.get("type") != "block_actions":
        return None
    done = payload.get("actions")
    first = done[0] if isinstance(done, list) and done and isinstance(done[0], Mapping) else {}
    action = ACTIONS.get(_text(first, "action_id").partition("-")[0])  # of several the number follows
    if action is None:
        return None
    user = payload.get("user")
    who = _who(user if isinstance(user, Mapping) else {}, ("username", "name", "id"))
    chosen = first.get("selected_option")
    value = _text(chosen if isinstance(chosen, Mapping) else first, "value")
    said = Press(who, action, value, time=_seconds(first), answer_to=_text(payload, "response_url"))
    if action == "silence":
        incident, _, lasting = value.partition(":")
        return _with(said, incident, lasting=lasting) if lasting in LASTING else None
    if action in ("not this deployment", "roll back"):
        parts = _parts(value)
        return None if parts is None else _with(said, parts[0], deployment=parts[1], service=parts[2])
    return said


def command(payload: Mapping[str, Any]) -> Command:
    """The slash command that somebody typed."""
    return Command(
        _who(payload, ("user_name", "user_id")), _text(payload, "text"), _text(payload, "response_url")
    )


def _with(said: Press, incident: str, **more: str) -> Press:
    return Press(said.who, said.action, incident, time=said.time, answer_to=said.answer_to, **more)


def _parts(value: str) -> tuple[str, str, str] | None:
    try:
        parts = json.loads(value)
    except (ValueError, RecursionError):  # the latter of brackets without end
        return None
    if not isinstance(parts, list) or len(parts) != 3 or not all(isinstance(one, str) for one in parts):
        return None
    return parts[0], parts[1], parts[2]


def _who(named: Mapping[str, Any], names: tuple[str, ...]) -> str:
    found = (fit(_text(named, name), 80) for name in names)
    return next((one for one in found if one), "somebody in Slack")


def _seconds(action: Mapping[str, Any]) -> int:
    whole, _, _ = _text(action, "action_ts").partition(".")
    return int(whole) if whole.isascii() and whole.isdigit() and len(whole) <= 10 else 0


def _text(of: Mapping[str, Any], name: str) -> str:
    value = of.get(name)
    return value if isinstance(value, str) and len(value) <= LONGEST else ""


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def _button(text: str, action_id: str, value: str, **more: Any) -> dict[str, Any]:
    return {"type": "button", "text": _plain(text), "action_id": action_id, "value": value, **more}
