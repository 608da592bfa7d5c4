"""What people use instead, each as a statistic minute by minute: the higher, the more suspicious.

In: tracks. Out: float64[services, minutes]. Thresholds are found elsewhere, so that all are wrong equally often.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from race.tracks import DAY, WARM, WEEK, Case, Floats, Tracks

Peer = Callable[[Case, Tracks], Floats]


def rolling(values: Floats, minutes: int) -> Floats:
    """Sums over the last `minutes` minutes, fewer at the start."""
    sums = np.cumsum(values, axis=1)
    sums[:, minutes:] -= sums[:, :-minutes].copy()
    return sums


def _bad(case: Case, made: Tracks, minutes: int) -> Floats:
    """What people plot: the share that failed or went missing; for throughput, the count turned round."""
    if case.kind == "throughput":
        return -rolling(made.x, minutes) / minutes
    share = rolling(made.x, minutes) / np.maximum(rolling(made.n, minutes), 1.0)
    return share if case.kind == "error_ratio" else 1.0 - share


def static(case: Case, made: Tracks) -> Floats:
    """A fixed threshold on the last 15 minutes."""
    return _bad(case, made, 15)


def last_week(case: Case, made: Tracks) -> Floats:
    """z-score of the last 5 minutes against the hour around this minute of last week."""
    value = _bad(case, made, 5)
    sums, squares = rolling(value, 60), rolling(value * value, 60)
    mean = sums / 60
    sd = np.sqrt(np.maximum(squares / 60 - mean * mean, 0.0)) + 1e-3 * np.abs(mean) + 1e-6
    z = np.zeros_like(value)
    z[:, WEEK:] = (value[:, WEEK:] - mean[:, 30 : 30 + value.shape[1] - WEEK]) / sd[
        :, 30 : 30 + value.shape[1] - WEEK
    ]
    return z


def burn_rate(case: Case, made: Tracks) -> Floats:
    """The SRE workbook's pages: an hour and 5 minutes at 14.4 times, or 6 hours and 30 minutes at 6 times.

    The threshold scales both pairs.
    """
    hour, six = (
        np.minimum(_bad(case, made, long), _bad(case, made, short)) for long, short in ((60, 5), (360, 30))
    )
    return np.maximum(hour / 14.4, six / 6.0)


def page_hinkley(case: Case, made: Tracks) -> Floats:
    """river's PageHinkley on the share, or on the log of the count against last week's hour."""
    from river import drift

    if case.kind == "throughput":
        usual = rolling(made.x, 60) / 60
        value = np.zeros_like(made.x)
        earlier = usual[:, 30 : 30 + made.x.shape[1] - WEEK]
        value[:, WEEK:] = -np.log((made.x[:, WEEK:] + 0.5) / (earlier + 0.5))
    else:
        value = _bad(case, made, 1)
    scale = value[:, WEEK:WARM].std() + 1e-12
    out = np.zeros_like(value)
    for row, line in zip(out, value / scale, strict=True):
        detector = drift.PageHinkley(min_instances=1, delta=0.5, threshold=1e18, alpha=0.9999, mode="up")
        for t, one in enumerate(line.tolist()):
            detector.update(one)
            row[t] = detector._sum_increase - detector._min_increase
    return out


def isolation_forest(case: Case, made: Tracks) -> Floats:
    """scikit-learn's IsolationForest on the last minute, 5 minutes and hour, and the time of the day."""
    from sklearn.ensemble import IsolationForest

    minute = np.arange(made.x.shape[1])
    phase = 2 * np.pi * (minute % DAY) / DAY
    out = np.zeros_like(made.x)
    short, middle, long = (_bad(case, made, m) for m in (1, 5, 60))
    for i in range(len(out)):
        seen = np.stack([short[i], middle[i], middle[i] - long[i], np.sin(phase), np.cos(phase)], axis=1)
        forest = IsolationForest(n_estimators=50, random_state=0).fit(seen[60:WARM])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out[i, WARM:] = -forest.score_samples(seen[WARM:])
    return out


PEERS: dict[str, Peer] = {
    "static 15 min": static,
    "z, last week": last_week,
    "burn rate": burn_rate,
    "river Page-Hinkley": page_hinkley,
    "IsolationForest": isolation_forest,
}
