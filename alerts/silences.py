"""Silences: what is not to be said aloud, for how long, and who wanted it so. Pure.

In: matchers as people write them, an incident, silences, a moment. Out: which silences mute the incident.
Never: an incident muted of which one standing finding is not.

Matchers mean what they mean in Alertmanager: all of a silence must hold; a label that is not there is empty; `=~`
and `!~` are RE2 and match the whole value; a silence needs a matcher that does not match what is empty, or it would
mute everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

import re2

from alerts.incidents import Incident
from detectors.findings import Finding

How = Literal["=", "!=", "=~", "!~"]
LABELS = ("service", "signal", "kind", "severity", "owner", "environment", "version", "incident")
LONGEST = 500  # characters of a value
MOST_MATCHERS = 20
WRITTEN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
QUOTED = re.compile(r'"((?:[^"\\]|\\["\\n])*)"', re.DOTALL)
UNQUOTED = {r"\"": '"', r"\\": "\\", r"\n": "\n"}


@dataclass(frozen=True, slots=True)
class Matcher:
    """label: one of LABELS."""

    label: str
    how: How
    value: str

    def __str__(self) -> str:
        escaped = self.value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        return f'{self.label}{self.how}"{escaped}"'


@dataclass(frozen=True, slots=True)
class Silence:
    """starts, ends: epoch seconds, the end is not in it; ends 0: until the incident that it names is over.

    ended_by: who ended it before its time.
    """

    id: str
    matchers: tuple[Matcher, ...]
    starts: int
    ends: int
    author: str
    comment: str = ""
    ended_by: str = ""

    def is_active(self, now: int) -> bool:
        return self.starts <= now and (self.ends == 0 or now < self.ends)


def matcher(written: str) -> Matcher:
    """`service=image-resizer`, `kind=~"error.*"`. ValueError says what was found and what was expected."""
    found = WRITTEN.fullmatch(written)
    if found is None:
        raise ValueError(
            f"found {written[:80]!r}, expected a matcher such as service=image-resizer, kind!=rollout, "
            'version=~"4[.].*" or owner!~"mail.*"'
        )
    label, how, value = found[1], found[2], found[3]
    if value.startswith('"') or value.endswith('"'):
        quoted = QUOTED.fullmatch(value)
        if quoted is None:
            raise ValueError(f"{label}: found {value[:80]!r}, expected a closed pair of quotes")
        value = re.sub(r"\\.", lambda pair: UNQUOTED[pair[0]], quoted[1])
    one = Matcher(label, cast(How, how), value)
    check_matcher(one)
    return one


def check_matcher(one: Matcher) -> None:
    """ValueError where the label is unknown, the value too long, or no expression."""
    if one.label not in LABELS:
        raise ValueError(f"found the label {one.label[:40]!r}, expected one of {', '.join(LABELS)}")
    if len(one.value) > LONGEST:
        raise ValueError(f"{one.label}: expected at most {LONGEST} characters")
    if one.how in ("=~", "!~"):
        _expression(one.value)


def check(silence: Silence) -> None:
    """ValueError where it would mute everything, nothing, or for ever."""
    if not 0 < len(silence.matchers) <= MOST_MATCHERS:
        raise ValueError(f"found {len(silence.matchers)} matchers, expected 1 to {MOST_MATCHERS}")
    for one in silence.matchers:
        check_matcher(one)
    if holds_for_all(silence.matchers):
        raise ValueError(
            "these matchers hold for everything; expected one at least that does not match an empty value"
        )
    if not silence.author.strip():
        raise ValueError("author: found nothing, expected who wants it")
    if silence.ends == 0:
        if not any(one.label == "incident" and one.how == "=" and one.value for one in silence.matchers):
            raise ValueError("found no end, expected one (or the matcher incident=ID: until that is over)")
    elif silence.ends <= silence.starts:
        raise ValueError("found an end that is not after the start, expected a later one")


def holds_for_all(matchers: Sequence[Matcher]) -> bool:
    """Would these mute everything: does each match what is empty?"""
    return all(_holds(one, "") for one in matchers)


def labels_of(incident: Incident) -> tuple[Mapping[str, str], ...]:
    """What matchers are held against: the labels of each finding that stands (of all, once none does).

    severity, incident, environment are the incident's; a count does not say where it was counted, so the
    environment is that of the likeliest suspect. version: the finding's own, or that of the likeliest suspect in
    its service.
    """
    standing = [f for f in incident.findings if f.phase != "cleared"] or incident.findings
    environment = incident.suspects[0].deployment.environment if incident.suspects else ""
    return tuple(
        {
            "service": finding.signal.service,
            "signal": finding.signal.name,
            "kind": finding.kind,
            "severity": incident.severity,
            "owner": finding.signal.owner,
            "environment": environment,
            "version": finding.version or _version(incident, finding),
            "incident": incident.id,
        }
        for finding in standing
    )


def muting(incident: Incident, silences: Iterable[Silence], now: int) -> tuple[Silence, ...]:
    """The silences that mute this incident at `now`, last to end first; () where a finding is not muted."""
    active = [s for s in silences if s.is_active(now)]
    found: set[Silence] = set()
    for labels in labels_of(incident):
        mutes = [s for s in active if mutes_labels(s, labels)]
        if not mutes:
            return ()
        found.update(mutes)
    return tuple(sorted(found, key=lambda s: (-_last(s), s.id)))


def mutes_labels(silence: Silence, labels: Mapping[str, str]) -> bool:
    """Do all matchers hold?"""
    return all(_holds(one, labels.get(one.label, "")) for one in silence.matchers)


def until(silences: Sequence[Silence], incident: Incident) -> int:
    """Epoch seconds at which none of `silences` (of `muting`) is left to mute all; 0: when the incident is over."""
    ends = [max(_last(s) for s in silences if mutes_labels(s, labels)) for labels in labels_of(incident)]
    first = min(ends)
    return 0 if first == _NEVER else first


_NEVER = 1 << 62


def _last(silence: Silence) -> int:
    return silence.ends or _NEVER


def _version(incident: Incident, finding: Finding) -> str:
    own = (s.deployment.version for s in incident.suspects if s.deployment.service == finding.signal.service)
    return next(own, "")


def _holds(one: Matcher, value: str) -> bool:
    if one.how in ("=", "!="):
        return (value == one.value) == (one.how == "=")
    return (_expression(one.value).fullmatch(value) is not None) == (one.how == "=~")


@lru_cache(maxsize=1000)
def _expression(written: str) -> re2._Regexp:
    """RE2, as in Alertmanager: no expression that anybody hands in can keep us busy."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(written, options)
    except re2.error as error:
        why = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"found the expression {written[:80]!r} ({why[:80]}), expected one of RE2") from None
