"""A question put to some series: a doorstep of types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SignalKind = Literal["error_ratio", "throughput", "flow", "rollout"]


@dataclass(frozen=True, slots=True)
class Term:
    """All series of one metric of one service whose attributes hold every pair of `where`; they are summed.

    A pair with an empty value also holds where there is no such attribute.

    sparse: a missing row means 0 in intervals in which the service measured anything at all.
    """

    service: str
    metric: str
    where: tuple[tuple[str, str], ...] = ()
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of `stillwatch.yaml`.

    | kind        | counted          | out_of              |
    |-------------|------------------|---------------------|
    | error_ratio | errors           | total               |
    | throughput  | count            | (empty)             |
    | flow        | to (what came out) | from (what went in) |
    | rollout     | errors, or to    | total, or from      |

    within: seconds, far end of the lag of a flow, 0 where there is none; a rollout with `within` compares
        flows.
    split_by: attribute names whose values are also judged one by one.
    depends_on: services whose deployments can be felt here, as the settings say.
    """

    service: str
    name: str
    kind: SignalKind
    counted: tuple[Term, ...]
    out_of: tuple[Term, ...] = ()
    within: int = 0
    owner: str = ""
    split_by: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """At most this many false alerts in `per` seconds, for everything that is watched together."""

    false_alerts: float = 1.0
    per: int = 7 * 86400
