"""One kind of fault in a real record: how soon it is told, by Stillwatch and by what people use instead.

In: a record, its signals of one kind, sizes. Out: delays. The peers have the threshold at which they were wrong as
often on the same untouched record as Stillwatch was, found with hindsight; Stillwatch has its default budget.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from race.peers import Peer, burn_rate, last_week, static
from race.tracks import Case, Tracks

from detectors.signals import Signal, Term
from real.records import LEARNED, WEEK, Moment, Record, faulty, moments
from stillwatch.engine import State, advance

Floats = NDArray[np.float64]
PEERS: dict[str, Peer] = {"static 15 min": static, "z, last week": last_week, "burn rate": burn_rate}
BLOCK = 6 * 3600  # seconds: more than one crossing in them is one false alarm
TRACK = 8 * 86400  # seconds before a fault that a peer looks back at most


class Raced(NamedTuple):
    """One kind of signal of one record.

    rate: events a minute while there are faults. delays: minutes by racer and size, float64[faults], inf = missed.
    false: alarms on the untouched record after the weeks of learning; weeks: without those.
    """

    record: str
    kind: str
    rate: float
    delays: dict[str, dict[float, Floats]]
    false: int
    weeks: float


def run(of: Record, sizes: dict[str, tuple[float, ...]], many: int) -> list[Raced]:
    """By kind: `many` moments for each signal, each with a fault of every size, one at a time."""
    places = {s: moments(of, s, many, i) for i, s in enumerate(of.settings.signals)}
    told = _told(of, places, sizes)
    out = []
    for kind, given in sizes.items():
        signals = [s for s in places if s.kind == kind]
        wrong = false(of, kind)
        delays = {"stillwatch": {q: np.concatenate([told[s][q] for s in signals]) for q in given}}
        for name in PEERS if kind != "throughput" else [n for n in PEERS if n != "burn rate"]:
            level = _threshold(of, name, signals, wrong)
            delays[name] = {
                q: np.array([_peer(of, name, s, place, q, level) for s in signals for place in places[s]])
                for q in given
            }
        rate = float(np.mean([_rate(of, s, places[s]) for s in signals]))
        out.append(Raced(of.name, kind, rate, delays, wrong, of.weeks - LEARNED / WEEK))
    return out


def _rate(of: Record, signal: Signal, places: Sequence[Moment]) -> float:
    """Events a minute at those moments without faults: of an error ratio and of a flow, what could go wrong."""
    term = signal.out_of[0] if signal.kind == "error_ratio" else signal.counted[0]
    events = of.counts(term.service, term.metric)
    in_all = [events[place.first : place.first + place.length].mean() for place in places]
    return float(np.mean(in_all)) * 60 / of.dataset.bins.width


def false(of: Record, kind: str) -> int:
    """Incidents that opened on the untouched record, after the weeks of learning, with a signal of that kind."""
    since = of.dataset.bins.start + LEARNED
    opened = [e for e in of.untouched.events if e.event == "opened" and e.time > since]
    return sum(any(f.signal.kind == kind for f in e.incident.findings) for e in opened)


def _told(
    of: Record, places: dict[Signal, list[Moment]], sizes: dict[str, tuple[float, ...]]
) -> dict[Signal, dict[float, Floats]]:
    """Minutes from each fault to the first word of it, by the step of the daemon."""
    bins, day = of.dataset.bins, 86400 // of.dataset.bins.width
    state, at = State.empty(), 0
    out = {s: {q: np.full(len(of_it), np.inf) for q in sizes[s.kind]} for s, of_it in places.items()}
    for place, i, signal in sorted(
        ((place, i, s) for s, of_it in places.items() for i, place in enumerate(of_it)),
        key=lambda one: one[0],
    ):
        while at < place.first:
            until = min(at + day, place.first)
            state, _ = advance(state, bins.cut(at, until), (), of.plan)
            at = until
        began = bins.start + place.first * bins.width
        for size in sizes[signal.kind]:
            block = faulty(of, signal, place, size, 0, place.first)
            try:
                _, events = advance(state, block, (), of.plan)
            except ZeroDivisionError as error:  # a step that breaks tells nothing
                print(f"broken: {of.name}, {size:.0%} of {signal}, {place}: {error}", file=sys.stderr)
                continue
            words = [
                e.time for e in events if signal.service in {f.signal.service for f in e.incident.findings}
            ]
            if words:
                out[signal][size][i] = (words[0] - of.settings.grace - began) / 60  # all need the grace
    return out


def _peer(of: Record, name: str, signal: Signal, place: Moment, size: float, level: float) -> float:
    width = of.dataset.bins.width
    since = place.first - TRACK // width
    statistic = _statistic(of, name, signal, faulty(of, signal, place, size, 0, since).values, since)
    over = np.flatnonzero(statistic[-place.length :] > level)
    return float((over[0] + 1) * width / 60) if len(over) else np.inf


def _statistic(of: Record, name: str, signal: Signal, values: Floats, since: int = 0) -> Floats:
    """float64[intervals]: a peer's, -inf where it was closed in the last 15 minutes.

    values: from interval `since` on.

    Peers count by the minute: an interval's counts are spread evenly over it, and known when it is over.
    """
    minutes = of.dataset.bins.width // 60

    def spread(term: Term) -> Floats:
        return np.nan_to_num(np.repeat(values[:, of.row(term.service, term.metric)] / minutes, minutes))[None]

    x = spread(signal.counted[0])
    n = spread(signal.out_of[0]) if signal.out_of else np.full_like(x, np.nan)
    case = Case("throughput" if signal.kind == "throughput" else "error_ratio", 0.0, 0.0, 0.0)
    if signal.kind == "flow":
        case = case._replace(kind="flow")
    found = PEERS[name](case, Tracks(x, n, x, np.zeros(1, dtype=np.int64)))[0, minutes - 1 :: minutes].copy()
    missing = ~of.open[since : since + len(values)]
    for back in range(15 // minutes):
        found[back:][missing[: len(missing) - back]] = -np.inf
    return found


def _threshold(of: Record, name: str, signals: Sequence[Signal], allowed: int) -> float:
    """What a peer exceeds, untouched, in as many blocks of six hours as Stillwatch had false alarms."""
    size, first = BLOCK // of.dataset.bins.width, LEARNED // of.dataset.bins.width
    untouched = [_statistic(of, name, s, of.dataset.bins.values)[first:] for s in signals]
    blocks = [one[: len(one) // size * size].reshape(-1, size).max(axis=1) for one in untouched]
    return float(np.sort(np.concatenate(blocks))[-allowed - 1])
