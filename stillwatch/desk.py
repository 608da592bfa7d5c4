"""The desk: what people ask over HTTP of incidents and silences, and what they say of them.

In: a request that may come in, the history. Out: a status and plain values for JSON, or ValueError with what was
expected. Never: a judgement, a token, a word to Slack (what follows is seen to by the history).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from alerts.incidents import Incident
from alerts.packed import pack
from alerts.rollbacks import answered
from alerts.silences import LONGEST, Silence, check, matcher, until
from alerts.suspects import release_of
from alerts.why import why
from alerts.wording import summary
from collector import moments
from collector.server import Asked, Busy
from collector.words import Word, WordKind
from stillwatch.config_kinds import seconds
from stillwatch.engine import LOOK_BACK
from stillwatch.history import History, Kept
from stillwatch.rollbacks import Rollbacks
from stillwatch.tables import StoreTrouble

LATELY = 30 * 86400  # seconds: how far back incidents are listed
AHEAD = 366 * 86400  # seconds: what lies further ahead is a slip

Answer = tuple[int, object]


class Desk:
    """Answers requests. now: gives epoch seconds. say: takes a word, False where it was said before. health: how
    the watch is, see Live.health. back: asks pipelines; without it nothing can be put back. deployed: what was
    deployed since a moment, see Live.deployed."""

    def __init__(
        self,
        history: History,
        now: Callable[[], int],
        say: Callable[[Word], bool],
        health: Callable[[], Mapping[str, object]],
        back: Rollbacks | None = None,
        deployed: Callable[[int], Sequence[Mapping[str, Any]]] = lambda since: (),
    ) -> None:
        self._history = history
        self._back = back
        self._now = now
        self._say = say
        self._health = health
        self._deployed = deployed
        self._ways: dict[tuple[str, str], Callable[[Asked], Answer]] = {
            ("GET", "/silences"): self._silences,
            ("POST", "/silences"): self._silence,
            ("GET", "/silences/{id}"): self._one_silence,
            ("DELETE", "/silences/{id}"): self._end_silence,
            ("GET", "/incidents"): self._incidents,
            ("GET", "/incidents/{id}"): self._incident,
            ("POST", "/incidents/{id}/words"): self._word,
            ("GET", "/status"): self._status,
            ("GET", "/deployments"): self._deployments,
        }

    def answer(self, asked: Asked) -> Answer:
        """Raises ValueError for what makes no sense, Busy when it cannot be kept or looked up now."""
        try:
            return self._ways[asked.method, asked.path](asked)
        except StoreTrouble as trouble:
            raise Busy from trouble

    def _silences(self, asked: Asked) -> Answer:
        now = self._now()
        every = _flag(asked, "all")
        return 200, {"silences": [shown(one, now) for one in self._history.silences(None if every else now)]}

    def _silence(self, asked: Asked) -> Answer:
        now = self._now()
        wanted = silence_from(asked.body, now)
        self._history.silence(wanted)
        return 200, shown(wanted, now)

    def _one_silence(self, asked: Asked) -> Answer:
        which = asked.named["id"]
        now = self._now()
        known = (*self._history.silences(), *self._history.silences(now))  # the second has what is planned
        found = next((one for one in known if one.id == which), None)
        return _no_silence(which) if found is None else (200, shown(found, now))

    def _end_silence(self, asked: Asked) -> Answer:
        which, who = asked.named["id"], _who(asked.named.get("by", ""))
        now = self._now()
        ended = self._history.end_silence(which, who, now)
        return _no_silence(which) if ended is None else (200, shown(ended, now))

    def _incidents(self, asked: Asked) -> Answer:
        now = self._now()
        since = now - LATELY if _flag(asked, "all") else None
        return 200, {"incidents": [self._brief(kept, now) for kept in self._history.incidents(since)]}

    def _incident(self, asked: Asked) -> Answer:
        which, now = asked.named["id"], self._now()
        kept = self._history.incident(which)
        if kept is None:
            return _no_incident(which)
        return 200, self._brief(kept, now) | {"why": why(kept.event), "history": self._told(kept, now)}

    def _word(self, asked: Asked) -> Answer:
        which, now = asked.named["id"], self._now()
        told = read(_Said, asked.body)
        kept = self._history.incident(which)
        if kept is None:
            return _no_incident(which)
        if kept.event.incident.resolved:
            return 409, {"error": f"incident {which} is over since {_moment(kept.event.incident.resolved)}"}
        if told.word == "roll back":
            return self._roll_back(kept.event.incident, told)
        word = Word(which, told.word, _who(told.by), now, *_blamed(kept.event.incident, told))
        fresh = self._say(word)
        return 200, {"incident": which, "word": word.kind, "by": word.who, "deployment": word.deployment,
                     "service": word.service, "new": fresh}  # fmt: skip

    def _roll_back(self, incident: Incident, told: _Said) -> Answer:
        """Its pipeline is asked in a moment, once: who asks for the same later hears who did before."""
        if self._back is None:
            raise ValueError("word: found 'roll back', but no service has a `rollback` in the settings")
        now, who = self._now(), _who(told.by)
        wanted, kept = self._back.choose(incident, told.deployment, told.service)
        new = False
        if kept is None:
            self._say(Word(incident.id, "roll back", who, now, wanted.deployment, wanted.service))
            kept, new = self._back.ask(replace(wanted, who=who, time=now))
        return 200, {"incident": incident.id, "word": "roll back", "by": kept.who, "time": _moment(kept.time),
                     "deployment": kept.deployment, "service": kept.service, "from": kept.version, "to": kept.to,
                     "state": kept.state, "answer": answered(kept), "new": new}  # fmt: skip

    def _status(self, asked: Asked) -> Answer:
        del asked
        now, health = self._now(), self._health()
        blind, last = health.get("blind_since"), health.get("last_taken")
        return 200, dict(health) | {
            "blind_since": _moment(blind) if isinstance(blind, int) and blind else None,
            "last_taken": _moment(last) if isinstance(last, int) and last else None,
            "open": [self._brief(kept, now) for kept in self._history.incidents()],
            "silences": [shown(one, now) for one in self._history.silences(now)],
        }

    def _deployments(self, asked: Asked) -> Answer:
        service = asked.named.get("service", "")
        since = self._now() - (LATELY if _flag(asked, "all") else LOOK_BACK)
        return 200, {"deployments": [d for d in self._deployed(since) if service in ("", d["service"])]}

    def _brief(self, kept: Kept, now: int) -> dict[str, Any]:
        """An incident in a line."""
        it = kept.event.incident
        mutes = () if it.resolved else self._history.muting(kept.event, now)
        end = until(mutes, it) if mutes else 0
        words = self._history.words(kept.id)
        suspect, probability = release_of(it.suspects)
        return {
            "id": kept.id,
            "severity": it.severity,
            "opened": _moment(it.opened),
            "resolved": _moment(it.resolved) if it.resolved else None,
            "reason": kept.event.reason if it.resolved else "",
            "headline": summary(it, kept.event.time, lambda name: name),
            "suspect": suspect if probability >= it.no_deployment else "",
            "acknowledged_by": list(
                dict.fromkeys(w.who for w in words if w.kind in ("acknowledge", "roll back"))
            ),
            "silenced": bool(mutes),
            "silenced_until": _moment(end) if end else None,
        }

    def _told(self, kept: Kept, now: int) -> list[dict[str, Any]]:
        """All that happened to it, in order: its events, what was said, its silences."""
        told = [
            {"time": event["time"], "what": event["event"], "who": "", "more": _why(event)}
            for event in map(json.loads, self._history.lines(kept.id))
        ]
        for word in self._history.words(kept.id):
            of = " of ".join(part for part in (word.service, word.deployment) if part)
            told.append({"time": _moment(word.time), "what": word.kind, "who": word.who, "more": of})
        for one in self._history.rollbacks(kept.event.incident):
            more = f"{one.service} back to {one.to}, asked by {one.who}: {answered(one)}"
            told.append({"time": _moment(one.time), "what": "rollback", "who": "", "more": more})
        for silence in self._history.silences_of(kept.event, now):
            end = "until it is over" if silence.ends == 0 else f"until {_moment(silence.ends)}"
            more = f"{' '.join(map(str, silence.matchers))} {end}{silence.comment and ': '}{silence.comment}"
            begun = _moment(max(silence.starts, kept.event.incident.opened))
            told.append({"time": begun, "what": "silenced", "who": silence.author, "more": more})
            if silence.ended_by:
                ended = {"what": "silence ended", "who": silence.ended_by, "more": ""}
                told.append({"time": _moment(silence.ends)} | ended)
        return sorted(told, key=lambda one: str(one["time"]))


def _why(event: Mapping[str, Any]) -> str:
    """What an event of alerts.jsonl says, in a few words."""
    parts = [event["severity"], event.get("reason", "")]
    parts += [f"{one['service']}/{one['signal']} {one['kind']}" for one in event["signals"]]
    first = next(iter(event["suspects"]), None)
    if first is not None and first["probability"] >= event["no_deployment"]:
        parts.append(f"suspect {first['service']} {first['version']} ({first['deployment']})")
    return ", ".join(part for part in parts if part)


def _blamed(incident: Incident, told: _Said) -> tuple[str, str]:
    """The deployment that it was not, and its service. ValueError where none of that is suspected."""
    if told.word != "not this deployment":
        if told.deployment or told.service:
            raise ValueError("deployment: expected only with the word 'not this deployment'")
        return "", ""
    name = told.deployment or release_of(incident.suspects)[0]
    members = [s.deployment for s in incident.suspects if s.deployment.id == name]
    if told.service:
        members = [d for d in members if d.service == told.service]
    if not members:
        suspected = ", ".join(dict.fromkeys(s.deployment.id for s in incident.suspects)) or "none"
        asked = " of ".join(part for part in (told.service, name) if part) or "nothing"
        raise ValueError(
            f"deployment: found {asked[:100]!r}, expected one that is suspected: {suspected[:500]}"
        )
    return name, told.service


def _no_incident(which: str) -> Answer:
    return 404, {
        "error": f"no incident {which[:40]!r}; GET /incidents?all=true lists those of the last 30 days"
    }


def shown(silence: Silence, now: int) -> dict[str, Any]:
    """A silence as JSON: times in RFC 3339, `ends` null where it lasts until its incident is over."""
    state = "active" if silence.is_active(now) else "pending" if silence.starts > now else "expired"
    return {
        "id": silence.id,
        "state": state,
        "matchers": [str(one) for one in silence.matchers],
        "starts": _moment(silence.starts),
        "ends": _moment(silence.ends) if silence.ends else None,
        "author": silence.author,
        "comment": silence.comment,
        "ended_by": silence.ended_by,
    }


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _no_silence(which: str) -> Answer:
    return 404, {"error": f"no silence {which[:40]!r}; GET /silences?all=true lists them"}


def _flag(asked: Asked, name: str) -> bool:
    said = asked.named.get(name, "false")
    if said not in ("true", "false"):
        raise ValueError(f"{name}: found {said[:40]!r}, expected true or false")
    return said == "true"


def _who(said: str) -> str:
    who = said.strip()
    if not who or len(who) > 200 or not who.isprintable():
        raise ValueError("by: expected who wants it, at most 200 characters")
    return who


# What is wanted, from JSON.


def _time(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"expected {moments.EXPECTED}")
    try:
        return int(moments.seconds(str(value)))
    except ValueError as error:
        raise ValueError(f"expected {error}") from None


def _duration(value: object) -> int:
    try:
        return seconds(value)
    except ValueError as error:
        raise ValueError(f"expected {error}") from None


Line = Annotated[str, Field(max_length=LONGEST, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    word: WordKind
    by: Line
    deployment: Line = ""
    service: Line = ""


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    matchers: Annotated[list[Annotated[str, Field(max_length=2 * LONGEST)]], Field(max_length=100)]
    starts: Annotated[int, BeforeValidator(_time)] | None = None
    ends: Annotated[int, BeforeValidator(_time)] | None = None
    for_: Annotated[int, BeforeValidator(_duration)] | None = Field(alias="for", default=None)
    author: Line
    comment: Line = ""


def silence_from(body: bytes, now: int) -> Silence:
    """A silence from JSON: `matchers` (a list of texts), `author`, `starts` (now), `ends` or `for` (a duration;
    neither only for one incident: until that is over), `comment`. Raises ValueError."""
    told = read(_Wanted, body)
    starts = now if told.starts is None else told.starts
    if told.ends is not None and told.for_ is not None:
        raise ValueError("for: found ends beside it, expected one of the two")
    ends = told.ends or 0
    if told.for_ is not None:
        ends = starts + told.for_
    if ends and ends <= now:
        raise ValueError("ends: found a time that is over, expected one to come")
    if max(starts, ends) > now + AHEAD:
        raise ValueError("ends: found a time more than a year ahead, expected one within it")
    return silence([matcher(one) for one in told.matchers], starts, ends, told.author, told.comment)


def silence(matchers: Sequence[Any], starts: int, ends: int, author: str, comment: str) -> Silence:
    """With an id of what it says, so that the same said twice is one. Raises ValueError."""
    made = Silence("", tuple(matchers), starts, ends, author.strip(), comment.strip())
    check(made)
    name = hashlib.sha256(pack(made).encode()).hexdigest()[:12]
    return Silence(name, made.matchers, starts, ends, made.author, made.comment)


def read(kind: type[Any], body: bytes) -> Any:
    """A model of pydantic from JSON. ValueError names the first wrong field and what was expected there."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        known = ", ".join(field.alias or name for name, field in kind.model_fields.items())
        said = {
            "extra_forbidden": f"unknown field; expected one of {known}",
            "missing": "missing; expected it",
            "json_invalid": "expected a JSON object",
            "model_type": "expected a JSON object",
        }.get(first["type"], first["msg"].removeprefix("Value error, "))
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place[:100]}: {said}" if place else said) from None
