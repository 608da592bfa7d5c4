"""Rolling deployments from a seed, and what is seen of each instance: faults of the deployment, and of others.

In: a seed, whose fault it is. Out: the ratio of the clue (alerts/clues.py). Never: the clue's formula turned round.

Instances get the deployment one after the other, at an uneven pace, and what each is asked differs. A fault of the
deployment begins on each when it serves there, at once or with the first use; now and then everywhere (a changed
table). Another fault begins everywhere at once, on a part of the instances, or runs from one to the next.
"""

from __future__ import annotations

import numpy as np

from alerts import clues
from collector.deployments import Deployment
from detectors.findings import Finding
from detectors.instances import instances
from detectors.signals import Signal, Term

MINUTES, BEGUN, AT = 100, 50, 1_646_006_400
API = Term("api", "x")
SIGNAL = Signal("api", "failing", "error_ratio", (API,), (API,), split_by=("pod",))


def ratio(seed: int, guilty: bool) -> float:
    """How many times as likely what is seen of the instances is if the deployment did it."""
    random = np.random.default_rng([seed, guilty])
    count, lasts = int(random.integers(3, 16)), random.uniform(3, 30)
    got = BEGUN + np.sort(random.uniform(0, lasts, count))
    begins = _by_it(random, got) if guilty else _by_another(random, got, lasts)
    told = int(min(np.nanmin(begins) + random.uniform(2, 30), MINUTES))
    share, usual = np.exp(random.uniform(np.log(0.02), np.log(0.6))), 0.002
    rate = np.exp(random.uniform(np.log(5), np.log(500))) * random.lognormal(0, 0.4, count)
    new = np.clip(np.arange(MINUTES) + 1 - got[:, None], 0, 1)  # the part of each minute for which it has it
    bad = np.clip(np.arange(MINUTES) + 1 - np.nan_to_num(begins, nan=1e9)[:, None], 0, 1)
    stays = bool(random.random() < 0.5)
    out_of, counted, names = [], [], []
    for version, part in (("1", 1 - new), ("2", new)):
        n = random.poisson(rate[:, None] * part)
        out_of.append(n)
        counted.append(random.binomial(n, usual + share * bad))
        names += [
            (("pod", f"{i}" if stays else f"{version}-{i}"), *((("version", version),) if stays else ()))
            for i in range(count)
        ]
    x, n = (np.concatenate(part)[:, :told].astype(float) for part in (counted, out_of))
    onset = int(np.nanmin(begins))
    failing = float(x[:, onset:].sum() / max(n[:, onset:].sum(), 1.0))
    times = [AT + 60 * i for i in range(told)]
    known = instances(tuple(names), "pod", x, n, usual, failing, onset, "version", times)
    at = AT + 60 * told
    finding = Finding(
        SIGNAL, "error_spike", "raised", at, AT + 60 * onset, AT + 60 * onset, AT + 60 * onset,
        50.0, 1.0, 49.0, 40.0, 60.0, 600.0, 30.0, instances=known,
    )  # fmt: skip
    deployment = Deployment("r", AT + 60 * BEGUN, "api", "2", "1")
    return clues.instances(deployment, [finding], 60, 0)


def _by_it(random: np.random.Generator, got: np.ndarray) -> np.ndarray:
    """Minutes at which each instance begins to fail, NaN = it does not."""
    if random.random() < 0.1:  # what all of them use was changed
        return np.full(len(got), got[0] + random.exponential(1.0))
    wait = random.choice([0.0, 0.3, 2.0])  # until it is used, if it is not at once
    begins = got + random.exponential(wait, len(got)) if wait else got.copy()
    begins[1:][random.random(len(got) - 1) < 0.05] = np.nan
    return np.asarray(begins)


def _by_another(random: np.random.Generator, got: np.ndarray, lasts: float) -> np.ndarray:
    start = BEGUN + random.uniform(0, lasts)
    how = random.random()
    if how < 0.7:
        return np.asarray(start + random.uniform(0, 0.5, len(got)))
    if how < 0.85:  # a zone, a shard
        begins = np.full(len(got), start)
        begins[random.permutation(len(got))[: max(1, len(got) // 3)]] = np.nan
        return begins
    return np.asarray(start + random.uniform(0, 20, len(got)))
