"""State as bytes, exactly, and back. Pure.

In: a State. Out: bytes that `load` turns into an equal State. Never: pickle, which would run what it reads.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from alerts.blips import Blip, Blips
from alerts.harm import Lasting
from alerts.incidents import Earlier, Incident
from alerts.suspects import Past, Suspect
from collector.deployments import Deployment
from collector.words import Word
from detectors import memory
from detectors.findings import Finding, Instance, Trace
from detectors.serving import Name, Serving
from detectors.signals import Signal, Term
from detectors.taught import Taught
from stillwatch.engine import State

MARK = b"stillwatch state 3\n"


def dump(state: State) -> bytes:
    """The state as bytes: a mark, the length of the JSON part, incidents and deployments in JSON, the memory."""
    whole = {
        "incidents": state.incidents,
        "deployments": state.deployments,
        "past": state.past,
        "taught": state.taught,
        "serving": state.serving,
    }
    told = json.dumps({name: _plain(value) for name, value in whole.items()}).encode()
    told += b" " * (-len(MARK + told) % 8)  # what the memory holds stays where its numbers are read at once
    return b"".join([MARK, len(told).to_bytes(8, "big"), told, *memory.dump(state.memory)])


def load(raw: bytes | memoryview) -> State:
    """What `dump` wrote; the memory looks into `raw`. Raises KeyError, TypeError or ValueError where the bytes are
    no such thing."""
    if raw[: len(MARK)] != MARK:
        raise ValueError("not a snapshot of this version of Stillwatch")
    start = len(MARK) + 8
    size = int.from_bytes(raw[len(MARK) : start], "big")
    told = json.loads(bytes(raw[start : start + size]))
    incidents = tuple(_incident(i) for i in told["incidents"])
    deployments = tuple(_deployment(d) for d in told["deployments"])
    taught = tuple(
        Taught(**{name: _deep(value) for name, value in one.items()}) for one in told.get("taught", ())
    )
    past = Past(**dict(told["past"], blips=_blips(told["past"].get("blips", {}))))
    remembered = memory.load(memoryview(raw)[start + size :])
    return State(remembered, incidents, deployments, past, taught, _serving(told.get("serving")))


def _serving(told: dict[str, Any] | None) -> Serving:
    if told is None or not told["names"]:
        return Serving.nothing()
    names = tuple(Name(*one) for one in told["names"])
    return Serving(names, np.array(told["versions"]), np.array(told["services"]))


def _plain(value: Any) -> Any:
    """Dataclasses, tuples and arrays as what JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value


def _deep(value: Any) -> Any:
    """Lists as tuples, all the way down."""
    return tuple(_deep(v) for v in value) if isinstance(value, list) else value


def _blips(told: dict[str, Any]) -> Blips:
    of = {service: tuple(Blip(**one) for one in blips) for service, blips in told.get("of", {}).items()}
    return Blips(of, {service: tuple(times) for service, times in told.get("deployed", {}).items()})


def _deployment(told: dict[str, Any]) -> Deployment:
    seen_as = told.get("seen_as", [])
    if isinstance(seen_as, str):  # earlier there was but one
        seen_as = [seen_as] if seen_as else []
    return Deployment(**dict(told, seen_as=tuple(seen_as)))


def _incident(told: dict[str, Any]) -> Incident:
    parts = dict(
        told,
        findings=tuple(_finding(f) for f in told["findings"]),
        suspects=tuple(
            Suspect(_deployment(s["deployment"]), s["probability"], _deep(s["evidence"]))
            for s in told["suspects"]
        ),
        rollbacks=tuple(_deployment(d) for d in told["rollbacks"]),
        excluded=_deep(told.get("excluded", [])),
        lasting=Lasting(**told["lasting"]) if told.get("lasting") else None,
        wanted_back=tuple(Word(**word) for word in told.get("wanted_back", ())),
        earlier=tuple(Earlier(**one) for one in told.get("earlier", ())),
    )
    return Incident(**parts)


def _finding(told: dict[str, Any]) -> Finding:
    signal = {name: _deep(value) for name, value in told["signal"].items()}
    for side in ("counted", "out_of"):
        signal[side] = tuple(
            Term(t["service"], t["metric"], _deep(t["where"]), t["sparse"]) for t in signal[side]
        )
    parts = {name: _deep(value) for name, value in told.items()}
    parts["signal"] = Signal(**signal)
    parts["instances"] = tuple(Instance(**one) for one in told.get("instances", ()))
    if told["trace"] is not None:
        arrays = {k: np.array(v, dtype=np.float64) for k, v in told["trace"].items() if isinstance(v, list)}
        parts["trace"] = Trace(told["trace"]["start"], told["trace"]["width"], **arrays)
    return Finding(**parts)
