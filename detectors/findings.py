"""What the detectors hand on: a doorstep of types.

Evidence is columns over charts; a Finding is one row that is worth a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from detectors.signals import Signal

FindingKind = Literal["error_spike", "data_loss", "no_data", "rollout"]
Phase = Literal["raised", "standing", "cleared"]
Cleared = Literal["", "recovered", "late_data", "expired"]


@dataclass(frozen=True, slots=True)
class Trace:
    """The last intervals of one chart, for a picture: float64[n] each, NaN = not measured.

    start: epoch seconds of the first interval; width: seconds. expected with its 95 % band low..high.
    out_of: what observed is a share of (error_ratio, rollout), else NaN. Of a flow that was judged by cohorts:
    missing, out of what entered in each interval.
    """

    start: int
    width: int
    observed: NDArray[np.float64]
    expected: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    out_of: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of a service and a version that it served, "" where counts name none.

    since: when it began to, 0 = before all that is remembered. fails: when its failures began, 0 = it has none.
    """

    name: str
    version: str
    since: int
    fails: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One chart that a person may have to read about.

    at: close of the interval that it was judged on. Times are epoch seconds, counts are events.
    onset: most likely start of the fault, onset_low..onset_high its 95 % range.
    observed, expected: events counted since the onset (errors, or what came out), and how many would
        have been.
    lost: events failed or missing because of the fault, lost_low..lost_high its 95 % interval;
        failed, missing: what it is made of, where a flow counts its failures; late: how many of the missing
        arrived after all.
    out_of: exposure since the onset (total, or what should have come), to say a share.
    strength: log evidence in nats.
    seen: end of the last interval that spoke of the fault (0 = not known).
    recovered: start of the first interval that was as before (cleared only).
    cleared: why a cleared one is over.
    young: too little history to wake anybody.
    versions: (version, counted, out_of) since the onset, where series carry versions.
    instances: of errors, what is known of each instance, where the signal is split by what names them.
    slice: the attribute values that explain it (or of which alone it is known); slice_share: what they hold of the
        failures, or of what is missing, and of the traffic, 0 where it is not known; slice_extra: of the failures
        beyond the usual.
    """

    signal: Signal
    kind: FindingKind
    phase: Phase
    at: int
    onset: int
    onset_low: int
    onset_high: int
    observed: float
    expected: float
    lost: float
    lost_low: float
    lost_high: float
    out_of: float
    strength: float
    failed: float = 0.0
    missing: float = 0.0
    late: float = 0.0
    seen: int = 0
    recovered: int = 0
    cleared: Cleared = ""
    young: bool = False
    version: str = ""
    versions: tuple[tuple[str, float, float], ...] = ()
    slice: tuple[tuple[str, str], ...] = ()
    slice_share: tuple[float, float] = (0.0, 0.0)
    slice_extra: float = 0.0
    trace: Trace | None = None
    instances: tuple[Instance, ...] = ()
