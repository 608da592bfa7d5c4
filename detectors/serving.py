"""Which versions of a service serve, and which has newly begun to: a deployment that nobody had to tell. Pure.

In: counts of closed intervals by version. Out: Serving (what is remembered), Began (what newly serves).
Never: a version of which a trickle comes, such as one man's test, taken for a deployment; a restart; a look ahead.

A version begins to serve when a share of SHARE of its service's counts, over the last WINDOW intervals in which the
service counted anything, is its own, and it came in two of them. It has gone when so much was counted without it
that, at its usual share, chance alone would leave it out once in e^GONE, or when its share is less than TRICKLE.
What served before and begins again, in place of a version that came later, is a rollback; so is what goes on when
the newest version has gone.

Whoever gives each start of a process a version of its own would have a deployment each time: of versions never seen
before, one an hour and three at once are told, and none while more than ALIVE serve side by side.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.bins import Bins, SeriesKey
from detectors.compiled import compiled

SHARE, TRICKLE = 0.05, 0.01
WINDOW = 5  # intervals
TAKEN = 0.95  # share from which a version has taken over
GONE, LEAST_AWAY, AT_ONCE = (
    9.2,
    5,
    50.0,
)  # nats; intervals; counts of one interval that are no surer than so many
CLIPPED = 0.99  # no share is so sure that a single count without it says it has gone
USUAL = 1000.0  # counts over which a share is averaged
SETTLED = 10  # intervals of a service after which a version that comes is new, and not only seen late
ALIVE = 4
TOKENS, REFILL = 3.0, 3600  # new versions at once; seconds for one more
NEVER = -1
ENVIRONMENT = "deployment.environment.name"

# What is remembered of each version, after its counts of WINDOW. Whole numbers are exact in these floats.
_COLUMNS = ("counted", "of", "away", "heard", "serves", "since", "first", "full", "last", "told")
COUNTED, OF, AWAY, HEARD, SERVES, SINCE, FIRST, FULL, LAST, TOLD = range(WINDOW, WINDOW + len(_COLUMNS))
WIDE = WINDOW + len(_COLUMNS)
# And of each service: the totals and the numbers of the last WINDOW intervals, then these.
S_HEARD, S_TOKENS, S_AT = 2 * WINDOW, 2 * WINDOW + 1, 2 * WINDOW + 2
S_WIDE = 2 * WINDOW + 3
DEPLOY, ROLLBACK = 0, 1

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]


class Name(NamedTuple):
    """A version of a service, in an environment if its counts name one."""

    service: str
    environment: str
    version: str


class Versions(NamedTuple):
    """Series rows by version. Version i has rows row[first[i]]..row[first[i + 1]]; service s (of one environment)
    has versions start[s]..start[s + 1] of `names`, which are sorted, and is seen wait[s] intervals later."""

    names: tuple[Name, ...]
    first: Wholes
    row: Wholes
    start: Wholes
    wait: Wholes


@dataclass(frozen=True, slots=True)
class Serving:
    """What is remembered: float64[versions, WIDE], float64[services, S_WIDE], in the order of `names`."""

    names: tuple[Name, ...]
    versions: Floats
    services: Floats

    @staticmethod
    def nothing() -> Serving:
        return Serving((), np.zeros((0, WIDE)), np.zeros((0, S_WIDE)))

    def share(self, of: int) -> float:
        """The share of the service's counts that is this version's now."""
        mine = self.names[of]
        there = [i for i, name in enumerate(self.names) if name[:2] == mine[:2]]
        whole = float(self.versions[there, :WINDOW].sum())
        return float(self.versions[of, :WINDOW].sum()) / whole if whole > 0 else 0.0


class Began(NamedTuple):
    """A version that newly serves. interval: index in the block at whose judgement that was known; since: number of
    the interval in which it began; previous: the version in whose place it serves, "" = not known."""

    interval: int
    name: Name
    previous: str
    since: int
    rollback: bool


class Rollout(NamedTuple):
    """How far a version has come. since, full: epoch seconds of its begin and of when it had taken over, 0 = it has
    not. share: of the counts of its service now."""

    since: int
    full: int
    share: float


def versions(keys: Iterable[SeriesKey]) -> Versions:
    """The rows of all series that name a version."""
    rows: dict[Name, list[int]] = {}
    for row, key in enumerate(keys):
        if key.version:
            environment = ""
            for name, value in key.attributes:
                if name == ENVIRONMENT:
                    environment = value
            rows.setdefault(Name(key.service, environment, key.version), []).append(row)
    names = tuple(sorted(rows))
    start = [i for i, name in enumerate(names) if i == 0 or name[:2] != names[i - 1][:2]]
    return Versions(
        names,
        np.cumsum([0, *(len(rows[name]) for name in names)], dtype=np.int64),
        np.array([row for name in names for row in rows[name]], dtype=np.int64),
        np.array([*start, len(names)], dtype=np.int64),
        np.zeros(len(start), dtype=np.int64),
    )


def follow(serving: Serving, bins: Bins, laid: Versions) -> tuple[Serving, list[Began]]:
    """What the intervals of `bins` add to `serving`, which is not changed, and what newly serves since."""
    if not laid.names:
        return serving, []
    known = _fit(serving, laid)
    began: list[Began] = []
    at, number = 0, bins.start // bins.width
    found = np.zeros((2 * len(laid.names) + 256, 5), dtype=np.int64)
    refill = bins.width / REFILL
    while at < len(bins):
        at, count = _run(
            known.versions, known.services, laid.first, laid.row, laid.start, laid.wait,
            bins.values, bins.watched, at, number, refill, found,
        )  # fmt: skip
        for interval, version, previous, since, kind in found[:count].tolist():
            before = laid.names[previous].version if previous >= 0 else ""
            began.append(Began(interval, laid.names[version], before, since, kind == ROLLBACK))
    return known, began


def rollout(serving: Serving, name: Name, width: int) -> Rollout | None:
    """How far the newest rollout of this version has come; None where it has none."""
    if name not in serving.names:
        return None
    i = serving.names.index(name)
    since, full = int(serving.versions[i, SINCE]), int(serving.versions[i, FULL])
    if since == NEVER:
        return None
    return Rollout(since * width, 0 if full == NEVER else (full + 1) * width, serving.share(i))


def _fit(serving: Serving, laid: Versions) -> Serving:
    """A copy for the versions of `laid`, of which some may be new."""
    if serving.names == laid.names:
        return Serving(laid.names, serving.versions.copy(), serving.services.copy())
    versions = np.zeros((len(laid.names), WIDE))
    versions[:, [SINCE, FIRST, FULL, LAST]] = NEVER
    services = np.zeros((len(laid.start) - 1, S_WIDE))
    services[:, S_TOKENS] = TOKENS
    before = {name: i for i, name in enumerate(serving.names)}
    mine = [(i, before[name]) for i, name in enumerate(laid.names) if name in before]
    versions[[i for i, _ in mine]] = serving.versions[[old for _, old in mine]]
    by_place = {place: i for i, place in enumerate(dict.fromkeys(name[:2] for name in serving.names))}
    for s, start in enumerate(laid.start[:-1].tolist()):
        old = by_place.get(laid.names[start][:2])
        if old is not None:
            services[s] = serving.services[old]
    return Serving(laid.names, versions, services)


@compiled
def _run(
    known: Floats,
    services: Floats,
    first: Wholes,
    row: Wholes,
    start: Wholes,
    wait: Wholes,
    values: Floats,
    watched: NDArray[np.bool_],
    at: int,
    number: int,
    refill: float,
    found: Wholes,
) -> tuple[int, int]:
    """Intervals from `at` on, until `found` may be full: (the next interval, how many rows of it are filled).

    first, row, start, wait: see Versions. found: (interval, version, previous or NEVER, since, kind).
    """
    count = 0
    length, columns = values.shape
    services_there = len(start) - 1
    now = np.zeros(len(first) - 1)
    while at < length and count + 2 * len(now) <= len(found):
        if watched[at]:
            for g in range(len(now)):
                now[g] = 0.0
                for i in range(first[g], first[g + 1]):
                    if row[i] < columns:
                        value = values[at, row[i]]
                        if value > 0.0:
                            now[g] += value
            for s in range(services_there):
                count = _of_service(
                    known[start[s] : start[s + 1]],
                    services[s],
                    now[start[s] : start[s + 1]],
                    start[s],
                    at,
                    number + at - wait[s],
                    refill,
                    found,
                    count,
                )
        at += 1
    return at, count


@compiled
def _of_service(
    known: Floats,
    service: Floats,
    now: Floats,
    offset: int,
    at: int,
    number: int,
    refill: float,
    found: Wholes,
    count: int,
) -> int:
    """One interval of one service; returns how many rows of `found` are filled."""
    total = 0.0
    for g in range(len(now)):
        total += now[g]
    if total <= 0.0:
        return count  # nobody counted: that says nothing about who would have
    slot = int(service[S_HEARD]) % WINDOW
    service[slot], service[WINDOW + slot] = total, number
    service[S_HEARD] += 1.0
    service[S_TOKENS] = min(TOKENS, service[S_TOKENS] + refill * (number - service[S_AT]))
    service[S_AT] = number
    of = 0.0
    for i in range(WINDOW):
        of += service[i]
    alive = 0
    for g in range(len(now)):
        one = known[g]
        one[slot] = now[g]
        alive += one[SERVES] > 0.0
        if now[g] > 0.0:
            # While it is away, its share stays what it was: that is what says whether it has gone.
            among = one[AWAY] + total
            keep = math.exp(-among / USUAL)
            one[COUNTED], one[OF] = one[COUNTED] * keep + now[g], one[OF] * keep + among
            one[LAST], one[HEARD], one[AWAY] = number, service[S_HEARD], 0.0
        else:
            one[AWAY] += min(total, AT_ONCE)
    for g in range(len(now)):
        one = known[g]
        counted, times, since = 0.0, 0, number
        for i in range(WINDOW):
            if one[i] > 0.0:
                counted += one[i]
                times += 1
                if one[i] >= SHARE * service[i]:
                    since = min(since, int(service[WINDOW + i]))
        if one[SERVES] > 0.0:
            if counted >= TAKEN * of and one[FULL] == NEVER:
                one[FULL] = number
            share = min(one[COUNTED] / one[OF], CLIPPED) if one[OF] > 0.0 else CLIPPED
            away = service[S_HEARD] - one[HEARD]
            gone = away >= LEAST_AWAY and -one[AWAY] * math.log1p(-share) > GONE
            if gone or share < TRICKLE:
                one[SERVES] = 0.0
                one[:WINDOW] = 0.0  # what came before it went does not make what straggles in a return
                heir = _newest(known, g)
                if one[TOLD] > 0.0 and heir >= 0 and known[heir, SINCE] < one[SINCE]:
                    # The newest one has gone, and what was there before goes on.
                    found[count, 0], found[count, 1], found[count, 2] = at, offset + heir, offset + g
                    found[count, 3], found[count, 4] = int(one[LAST]) + 1, ROLLBACK
                    count += 1
                one[TOLD] = 0.0
        elif times >= 2 and counted >= SHARE * of and now[g] > 0.0:
            new, previous = one[FIRST] == NEVER, _largest(known, g)
            one[SERVES], one[SINCE], one[FULL] = 1.0, since, NEVER
            one[COUNTED], one[OF], one[AWAY] = counted, of, 0.0
            if new:
                one[FIRST] = since
            one[TOLD] = 0.0
            if service[S_HEARD] > SETTLED and previous >= 0 and alive <= ALIVE:
                if not new or service[S_TOKENS] >= 1.0:
                    back = not new and known[previous, FIRST] > one[FIRST]
                    found[count, 0], found[count, 1], found[count, 2] = at, offset + g, offset + previous
                    found[count, 3], found[count, 4] = since, ROLLBACK if back else DEPLOY
                    count += 1
                    one[TOLD] = 1.0
                if new:
                    service[S_TOKENS] = max(service[S_TOKENS] - 1.0, 0.0)
    return count


@compiled
def _largest(known: Floats, but: int) -> int:
    """The other version that serves most, else the one that served last; NEVER where there was none."""
    best, most, latest = NEVER, -1.0, -1.0
    for g in range(len(known)):
        if g == but or known[g, FIRST] == NEVER:
            continue
        share = known[g, COUNTED] / known[g, OF] if known[g, SERVES] > 0.0 and known[g, OF] > 0.0 else 0.0
        if share > most or (share == most and known[g, LAST] > latest):
            best, most, latest = g, share, known[g, LAST]
    return best


@compiled
def _newest(known: Floats, but: int) -> int:
    """Of the other versions that serve, the one that began last; NEVER where none does."""
    best = NEVER
    for g in range(len(known)):
        newer = best == NEVER or known[g, SINCE] > known[best, SINCE]
        if g != but and known[g, SERVES] > 0.0 and newer:
            best = g
    return best
