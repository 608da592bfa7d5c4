"""One case of the race, run: thresholds that are wrong equally often, then the delays of all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from race import optimum, ours
from race.peers import PEERS
from race.tracks import FAULTY, FLEET, WARM, WEEK, Case, Floats, Tracks, tracks

ARL_WEEKS = FLEET  # one false alert a week for the fleet: a service has one in so many weeks
NATS = float(np.log(ARL_WEEKS * WEEK))
QUIET_SERVICES, QUIET_MINUTES = 100, 8 * WEEK
FOREST = 20  # services that show how often the slowest peer is wrong
BLOCK = 360  # minutes: more than one crossing in them is one false alarm


class Result(NamedTuple):
    """delays: by name ("stillwatch", "optimum", the peers), minutes of each fault, inf = missed.
    false: false alarms of Stillwatch; weeks: of the fleet, in which one a week is allowed."""

    case: Case
    bound: float
    delays: dict[str, Floats]
    false: int
    weeks: float


def run(case: Case, worlds: int) -> Result:
    """All of one case over `worlds` fleets, each service with one fault."""
    made = [tracks(case, 100 + seed, FLEET, 3 * WEEK, True) for seed in range(worlds)]
    seen = [ours.race(case, one) for one in made]
    delays = {"stillwatch": np.concatenate([one.delays for one in seen])}
    quiet = tracks(case, 1, QUIET_SERVICES, QUIET_MINUTES, False)
    racers = {**PEERS} if case.kind != "throughput" else {k: v for k, v in PEERS.items() if k != "burn rate"}
    if case.kind != "flow":
        racers["optimum"] = optimum.statistic
    for name, racer in racers.items():
        of = Tracks(*(part[:FOREST] for part in quiet)) if name == "IsolationForest" else quiet
        most = _threshold(racer(case, of)[:, WARM:])
        delays[name] = np.concatenate([_delays(racer(case, one), one.start, most) for one in made])
    return Result(case, optimum.bound(case, NATS), delays, sum(one.false for one in seen), worlds * 3.0)


def _threshold(quiet: Floats) -> float:
    """What is exceeded in one block of six hours in ARL_WEEKS."""
    blocks = quiet[:, : quiet.shape[1] // BLOCK * BLOCK].reshape(len(quiet), -1, BLOCK).max(axis=2).ravel()
    allowed = round(len(blocks) * BLOCK / (ARL_WEEKS * WEEK))
    return float(np.sort(blocks)[-allowed - 1])


def _delays(statistic: Floats, start: NDArray[np.int64], most: float) -> Floats:
    found = np.full(len(start), np.inf)
    for i, first in enumerate(start):
        over = np.flatnonzero(statistic[i, first : first + FAULTY] > most)
        if len(over):
            found[i] = over[0] + 1
    return found
