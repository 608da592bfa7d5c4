"""Made faults of a service that is split by attributes: in one value, in a pair of them, or everywhere.

In: a seed and where the fault is. Out: what the cells counted before and since the onset, and the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from detectors.cells import Since, without_fault
from detectors.slices import Slice, search

Where = Literal["everywhere", "unevenly", "value", "pair"]
ATTRIBUTES, VALUES, SERIES = 5, 20, 600
MINUTES, BEFORE, TRAFFIC = 15, 600, 2000.0  # minutes of the fault and before it; requests a minute
LEAST, MOST = 0.002, 0.5  # traffic of a faulty slice; and of a pair, in the traffic of each of its values


@dataclass(frozen=True, slots=True)
class Fault:
    """extra: failed beyond the usual, as the whole chart would say. faulty: bool[cells], None if everywhere."""

    since: Since
    extra: float
    faulty: NDArray[np.bool_] | None

    def named(self) -> Slice | None:
        return search(self.since.names, without_fault(self.since, True, self.extra))

    def is_right(self, named: Slice | None) -> bool:
        """Does it mean the same traffic, give or take a hundredth? Some values only ever come together."""
        if named is None or self.faulty is None:
            return named is None and self.faulty is None
        meant = np.array([set(named.attributes) <= set(cell) for cell in self.since.names])
        traffic = self.since.out_of if self.since.out_of.any() else self.since.usually_counted
        return bool((meant != self.faulty) @ traffic < 0.01 * (self.faulty @ traffic))


def fault(seed: int, where: Where, failures: int, usual: float, loss: bool = False) -> Fault:
    """`failures` because of the fault, beside a share `usual` that fails always. loss: of a count without exposure,
    so many go missing instead; or four of five of a faulty slice, which has 5 % of the traffic and more."""
    random = np.random.default_rng(seed)
    codes = _series(random)
    weight = random.lognormal(0.0, 1.0, len(codes))
    weight /= weight.sum()
    own = random.lognormal(0.0, random.choice([0.0, 0.7]), len(codes))
    own /= own @ weight
    n, n_before = (random.poisson(TRAFFIC * minutes * weight).astype(float) for minutes in (MINUTES, BEFORE))
    x, x_before = (random.poisson(np.minimum(usual * own, 0.5) * of).astype(float) for of in (n, n_before))
    part, faulty = _spread(random, codes, n, n * own, where, 0.05 if loss else LEAST)
    extra = random.multinomial(failures, part).astype(float)
    names = tuple(tuple((f"a{j}", f"v{v}") for j, v in enumerate(row)) for row in codes.tolist())
    if loss:
        zeros = np.zeros(len(codes))
        came = (
            np.maximum(n - extra, 0.0)
            if faulty is None
            else random.binomial(n.astype(int), 1.0 - 0.8 * faulty)
        )
        came = came.astype(float)
        return Fault(Since(names, came, zeros, n_before, zeros), came.sum() - TRAFFIC * MINUTES, faulty)
    x += extra
    return Fault(
        Since(names, x, n, x_before, n_before), x.sum() - n.sum() * x_before.sum() / n_before.sum(), faulty
    )


def _series(random: np.random.Generator) -> NDArray[np.int64]:
    """int64[series, attributes]: the value of each, some values being more common than others."""
    columns = [
        random.choice(
            VALUES, 3 * SERIES, p=random.dirichlet(np.full(VALUES, random.choice([0.5, 2.0, 20.0])))
        )
        for _ in range(ATTRIBUTES)
    ]
    return np.unique(np.stack(columns, axis=1), axis=0)[:SERIES].astype(np.int64)


def _spread(
    random: np.random.Generator,
    codes: NDArray[np.int64],
    traffic: NDArray[np.float64],
    failing: NDArray[np.float64],
    where: Where,
    least: float,
) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    """float64[cells]: what each gets of the fault; and which are faulty."""
    if where in ("everywhere", "unevenly"):
        by = random.choice([0.0, 0.5, 1.0])
        part = by * traffic / traffic.sum() + (1.0 - by) * failing / failing.sum()
        if where == "unevenly":  # each value by a factor of its own
            for j in range(ATTRIBUTES):
                part *= random.lognormal(0.0, 0.5, VALUES)[codes[:, j]]
        return part / part.sum(), None
    while True:
        at = random.choice(ATTRIBUTES, 1 if where == "value" else 2, replace=False)
        like = codes[:, at] == codes[random.integers(len(codes)), at]
        faulty = like.all(axis=1)
        mine = traffic[faulty].sum()
        wider = (
            min(traffic[like[:, i]].sum() for i in range(len(at))) if where == "pair" else 2.0 * traffic.sum()
        )
        if least * traffic.sum() < mine < MOST * min(wider, traffic.sum()):
            return np.where(faulty, traffic, 0.0) / mine, faulty
