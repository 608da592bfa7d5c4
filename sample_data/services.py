"""What the services do with the events that reach them, failures and losses included.

In: events by second and version. Out: counts by second of what was started, failed, stored.
Never: what is requested in the first place (mails.py), when a version serves (fleets.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from fleets import Fleet
from hours import DAY, Counts, Floats, Span, by_second, demand
from numpy.typing import NDArray


class Loss(NamedTuple):
    """What a faulty version does to events. Shares by the second, float64[seconds], or one for all."""

    raised: Floats | float  # fails and says so
    silent: Floats | float = 0.0  # neither fails nor is stored


@dataclass(frozen=True)
class Handled:
    """By the second: what was done with the events of one version; raised and silent are the fault's."""

    received: Counts
    failed: Counts
    stored: Counts
    raised: Counts
    silent: Counts


def handle(
    rng: np.random.Generator, received: Counts, usual: Floats, lag: Floats, loss: Loss | None = None
) -> Handled:
    """Thin the events one by one. usual: float64[seconds], share that fails anyway; lag: mean seconds."""
    failed = rng.binomial(received, np.minimum(usual, 0.5))
    sound = received - failed
    raised, silent = np.zeros_like(sound), np.zeros_like(sound)
    if loss is not None:
        raised = rng.binomial(sound, loss.raised)
        silent = rng.binomial(sound - raised, np.asarray(loss.silent) / (1 - np.asarray(loss.raised)))
    stored = sound - raised - silent
    return Handled(received, delayed(rng, failed + raised, lag), delayed(rng, stored, lag), raised, silent)


def delayed(rng: np.random.Generator, counts: Counts, lag: Floats) -> Counts:
    """Every event a little later, by an exponential wait of mean `lag` (float64[seconds])."""
    later = np.zeros(len(counts), dtype=np.int64)
    for begin in range(0, len(counts), DAY):
        at = begin + np.repeat(np.arange(len(counts[begin : begin + DAY])), counts[begin : begin + DAY])
        when = (at + rng.random(len(at)) + rng.exponential(lag[at])).astype(np.int64)
        np.add.at(later, when[when < len(counts)], 1)
    return later


def usual_share(rng: np.random.Generator, span: Span, share: float, scatter: float) -> Floats:
    """float64[seconds]: the share that always fails. It wanders over hours, and from minute to minute."""
    by_the_minute = rng.gamma(1 / scatter**2, scatter**2, span.minutes)
    wandering = demand(rng, span, hourly=0.15, daily=0.10)
    return np.repeat(share * wandering * by_the_minute, 60)


def queue_lag(rng: np.random.Generator, span: Span, fleet: Fleet, mean: float) -> Floats:
    """float64[seconds]: mean time in the queue; four times as long while instances are replaced."""
    lag = np.repeat(mean * demand(rng, span, hourly=0.2, daily=0.1), 60)
    for change in fleet.changes:
        for switch in change.switches:
            at = switch - span.first
            lag[max(0, at) : at + 25] *= 4
    return lag


def arrivals(rng: np.random.Generator, per_minute: Floats) -> Counts:
    """int64[seconds]: events that know nothing of each other. per_minute: float64[minutes]."""
    return rng.poisson(by_second(per_minute))


def editing(rng: np.random.Generator, per_minute: Floats) -> Counts:
    """int64[seconds]: images that people load in the editor, a handful at once when they open a mail.

    per_minute: float64[minutes], expected images.
    """
    openings = arrivals(rng, per_minute / 6.0)
    at = np.repeat(np.arange(len(openings)), openings)
    images = rng.geometric(1 / 6.0, len(at))
    waits = rng.exponential(25.0, int(images.sum())) * (rng.random(int(images.sum())) < 0.7)
    when = (np.repeat(at, images) + waits).astype(np.int64)
    return np.bincount(when[when < len(openings)], minlength=len(openings))


@dataclass(frozen=True)
class Imports:
    """One row an import. times: float64, seconds since the span's first; by_bug: failed by the fault alone."""

    started: Floats
    finished: Floats
    version: NDArray[np.str_]
    failed: NDArray[np.bool_]
    by_bug: NDArray[np.bool_]


def imports(rng: np.random.Generator, span: Span, fleet: Fleet, started: Counts, bad: str = "") -> Imports:
    """Import lists of contacts. Version `bad` fails at a suppressed contact whose mapped fields are empty.

    started: int64[seconds]. About 0.3 % fail anyway: a broken file, which many people try once more.
    """
    at = np.repeat(np.arange(len(started)), started) + rng.random(int(started.sum()))
    broken = rng.random(len(at)) < 0.0023
    again = at[broken & (rng.random(len(at)) < 0.35)]
    at = np.concatenate([at, again + 40 + rng.exponential(60.0, len(again))])
    broken = np.concatenate([broken, np.ones(len(again), dtype=bool)])

    rows = np.ceil(rng.lognormal(np.log(220), 1.7, len(at))).astype(np.int64)
    suppressed = rng.binomial(rows, rng.beta(0.7, 28.0, len(at)))
    # Half of the lists fill every field that they map; in the others each contact has its gaps.
    gaps = np.where(rng.random(len(at)) < 0.5, 0.0, rng.beta(1.0, 5.0, len(at)))
    hits = rng.binomial(suppressed, gaps) > 0

    version = fleet.serving(rng, span.first + at.astype(np.int64))
    by_bug = (version == bad) & hits & ~broken
    # 600 rows a second; what fails does so at some row on the way, a broken file at once.
    seconds = 1.2 + rows / 600 * rng.lognormal(0, 0.2, len(at)) * np.where(by_bug, rng.random(len(at)), 1.0)
    return Imports(at, at + np.where(broken, 1.0, seconds), version, broken | by_bug, by_bug)


def per_second(times: Floats, seconds: int) -> Counts:
    """int64[seconds]: how many of the times fall into each second of the span."""
    return np.bincount(times[times < seconds].astype(np.int64), minlength=seconds)
