"""An event as a line of alerts.jsonl, and back. Pure.

In: an event, or a line. Out: the line, or its fields once they have been checked.
Never: a line break inside of a line, a NaN (not JSON; what was not measured is null).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from alerts.incidents import Earlier, Event
from alerts.suspects import Suspect
from detectors.findings import Finding

EXACT = 10_000  # parts of a probability


def line(event: Event) -> str:
    """One line, without its end. Times are RFC 3339 in UTC; probabilities are rounded and still sum to 1."""
    incident = event.incident
    *probabilities, none = _rounded([*(s.probability for s in incident.suspects), incident.no_deployment])
    said = {
        "time": moment(event.time),
        "event": event.event,
        "incident": incident.id,
        "severity": incident.severity,
        "signals": [_signal(f) | _earlier(incident.before(f)) for f in incident.findings],
        "suspects": [_suspect(s, p) for s, p in zip(incident.suspects, probabilities, strict=True)],
        "no_deployment": none,
    }
    if event.event == "resolved":
        said["reason"] = event.reason
    # ASCII: a separator of lines that JSON allows in a text would end the line for some readers.
    return json.dumps(said, ensure_ascii=True, allow_nan=False)


def _signal(finding: Finding) -> dict[str, Any]:
    said: dict[str, Any] = {
        "service": finding.signal.service,
        "signal": finding.signal.name,
        "kind": finding.kind,
        "onset": moment(finding.onset),
        "observed": _number(finding.observed),
        "expected": _number(finding.expected),
        "lost": _number(finding.lost),
        "lost_low": _number(finding.lost_low),
        "lost_high": _number(finding.lost_high),
        **_made_of(finding),
    }
    if finding.late > 0:
        said["late"] = _number(finding.late)
    if finding.slice:
        said["slice"] = dict(finding.slice)
    if finding.slice_share[0] > 0:
        counted, traffic = (_number(share) for share in finding.slice_share)
        of = "missing" if finding.kind == "data_loss" else "failed"
        said["slice_share"] = {of: counted, "traffic": traffic}
    return said


def _earlier(before: Earlier | None) -> dict[str, Any]:
    """What the signal lost in this incident before it came back, which is not in its other numbers."""
    if before is None:
        return {}
    numbers = {name: _number(getattr(before, name)) for name in ("lost", "lost_low", "lost_high")}
    return {"earlier": {"faults": before.faults, "onset": moment(before.began), **numbers}}


def _made_of(finding: Finding) -> dict[str, int | float | None]:
    """What was lost failed, or is missing; a flow that counts its failures knows of both."""
    if finding.failed > 0 or finding.missing > 0:
        return {"failed": _number(finding.failed), "missing": _number(finding.missing)}
    # A rollout compares what fails, or (within a time) what does not come out.
    gone = finding.kind in ("data_loss", "no_data") or (finding.kind == "rollout" and finding.signal.within)
    return {"missing" if gone else "failed": _number(finding.lost)}


def _suspect(suspect: Suspect, probability: float) -> dict[str, Any]:
    return {
        "deployment": suspect.deployment.id,
        "service": suspect.deployment.service,
        "version": suspect.deployment.version,
        "time": moment(suspect.deployment.time),
        "probability": probability,
        "evidence": list(suspect.evidence),
    }


def moment(seconds: int) -> str:
    """RFC 3339 in UTC, to the second."""
    return utc(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _number(value: float) -> int | float | None:
    """Whole counts as integers, estimates to a hundredth, what was not measured as None."""
    if not math.isfinite(value):
        return None
    rounded = round(float(value), 2)
    return int(rounded) if rounded == int(rounded) else rounded


def _rounded(parts: Sequence[float]) -> list[float]:
    """Shares of their sum in ten-thousandths that sum to exactly that many, by largest remainder."""
    whole = sum(parts)
    exact = [part / whole * EXACT for part in parts]
    floors = [math.floor(one) for one in exact]
    by_remainder = sorted(range(len(parts)), key=lambda i: (floors[i] - exact[i], i))
    for i in by_remainder[: EXACT - sum(floors)]:
        floors[i] += 1
    return [one / EXACT for one in floors]


# Reading, and what a line must hold.

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
EVENTS = ("opened", "updated", "resolved")
SEVERITIES = ("critical", "warning", "info")
KINDS = ("error_spike", "data_loss", "no_data", "rollout")
REASONS = ("recovered", "rollback", "late_data", "expired", "operator")
COUNTS = ("observed", "expected", "lost", "lost_low", "lost_high")
OPTIONAL_COUNTS = ("failed", "missing", "late")


def read(text: str) -> dict[str, Any]:
    """The fields of a line. Raises ValueError, which names the field that is not as FORMATS says."""
    said = json.loads(text, parse_constant=lambda name: _wrong("a number", name))
    _keys("line", said, ("time", "event", "incident", "severity", "signals", "suspects", "no_deployment"),
          ("reason",))  # fmt: skip
    _moments("time", said["time"])
    _one_of("event", said["event"], EVENTS)
    _one_of("severity", said["severity"], SEVERITIES)
    _text("incident", said["incident"])
    if said["event"] == "resolved":
        _one_of("reason", said.get("reason"), REASONS)
    elif "reason" in said:
        _wrong("reason", said["reason"])
    for signal in _list("signals", said["signals"]):
        _check_signal(signal)
    suspects = _list("suspects", said["suspects"])
    for suspect in suspects:
        _check_suspect(suspect)
    shares = [*(s["probability"] for s in suspects), said["no_deployment"]]
    if not all(_is_number(p) and 0 <= p <= 1 for p in shares) or not math.isclose(
        sum(shares), 1, abs_tol=1e-9
    ):
        _wrong("probability", shares)
    if shares[:-1] != sorted(shares[:-1], reverse=True):
        _wrong("suspects", "the most likely is not first")
    return dict(said)


def _check_signal(signal: Any) -> None:
    _keys(
        "signals",
        signal,
        ("service", "signal", "kind", "onset", *COUNTS),
        (*OPTIONAL_COUNTS, "slice", "slice_share"),
    )
    _one_of("kind", signal["kind"], KINDS)
    _moments("onset", signal["onset"])
    _text("service", signal["service"])
    _text("signal", signal["signal"])
    for name in (*COUNTS, *OPTIONAL_COUNTS):
        value = signal.get(name)
        if value is not None and not (_is_number(value) and value >= 0):
            _wrong(name, value)
    lost = [signal[name] for name in ("lost_low", "lost", "lost_high")]
    if None not in lost and lost != sorted(lost):
        _wrong("lost", "outside of lost_low to lost_high")
    for name, value in signal.get("slice", {}).items():
        _text("slice", name)
        _text("slice", value)
    for name, value in signal.get("slice_share", {}).items():
        _one_of("slice_share", name, ("failed", "missing", "traffic"))
        if not (_is_number(value) and 0 <= value <= 1):
            _wrong("slice_share", value)


def _check_suspect(suspect: Any) -> None:
    _keys("suspects", suspect, ("deployment", "service", "version", "time", "probability", "evidence"), ())
    for name in ("deployment", "service", "version"):
        _text(name, suspect[name])
    _moments("suspects.time", suspect["time"])
    for sentence in _list("evidence", suspect["evidence"]):
        _text("evidence", sentence)


def _keys(where: str, value: Any, needed: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    if not isinstance(value, dict) or not set(needed) <= set(value) <= {*needed, *allowed}:
        _wrong(where, value)


def _list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        _wrong(where, value)
    return list(value)


def _text(where: str, value: Any) -> None:
    if not isinstance(value, str):
        _wrong(where, value)


def _one_of(where: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        _wrong(where, value)


def _moments(where: str, value: Any) -> None:
    if not isinstance(value, str) or not MOMENT.fullmatch(value):
        _wrong(where, value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong(where: str, value: Any) -> None:
    raise ValueError(f"{where}: found {value!r}")
