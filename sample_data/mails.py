"""Mails: sent, delivered, opened, each of them an event with its second.

In: mailings (who sends how much, when, how well liked). Out: Post, counts by the second.
Never: what a service makes of these events (services.py), files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from hours import DAY, SENDING, Counts, Floats, Span, by_second, curve

OPENED_WITHIN = 2 * DAY


@dataclass(frozen=True)
class Mailing:
    """One sender's mails. start: index of a second; sent: int64[n], mails in each second from there."""

    start: int
    sent: Counts
    delivered: float
    opened: float
    prefetched: float  # share of the opens that come from a mail program by itself, day or night


@dataclass(frozen=True)
class Post:
    """int64[seconds] each: what was sent, what arrived, what was opened."""

    sent: Counts
    delivered: Counts
    opened: Counts


class WakingTime:
    """Time that passes as fast as people are awake: a mail of the night waits until the morning."""

    def __init__(self, reading: Floats) -> None:
        """reading: float64[minutes], activity around 1."""
        self._at = np.arange(len(reading) + 1) * 60.0
        self._passed = np.concatenate([[0.0], np.cumsum(reading * 60)])

    def after(self, at: Floats, waking: Floats) -> Floats:
        """The moments `waking` seconds of waking time after `at`; the end of the span if that is later."""
        passed = np.interp(at, self._at, self._passed) + waking
        moments: Floats = np.interp(passed, self._passed, self._at)
        return moments


def campaigns(
    rng: np.random.Generator, span: Span, wanted: Floats, *, per_day: float, median: float, spread: float
) -> list[Mailing]:
    """Campaigns at times at which marketers send, many on the full or half hour; sizes log-normal.

    wanted: float64[minutes], demand around 1; median: recipients; spread: standard deviation of log size.
    """
    starting = rng.poisson(curve(span, SENDING) * wanted * per_day / 1440)
    starts = np.repeat(np.arange(span.minutes), starting) * 60
    planned = rng.random(len(starts)) < 0.6
    # Planned for the half hour that is begun; the queue takes them up within some seconds.
    starts = np.where(planned, starts // 1800 * 1800, starts) + rng.integers(0, 45, len(starts))
    sizes = np.minimum(np.exp(rng.normal(np.log(median), spread, len(starts))), 120 * median).astype(int) + 20
    return [
        campaign(rng, int(at), int(size), float(rng.beta(4.2, 14)))
        for at, size in zip(starts, sizes, strict=True)
    ]


def campaign(rng: np.random.Generator, start: int, size: int, opened: float) -> Mailing:
    """One campaign: a big one is sent faster, and still takes longer."""
    per_second = 4.0 * float(np.sqrt(size / 100)) * float(np.exp(rng.normal(0, 0.25)))
    seconds = max(3, int(size / per_second))
    # Blocks of some seconds are handed to the mail exchangers: the speed flickers.
    speed = np.repeat(rng.gamma(9.0, 1 / 9.0, seconds // 10 + 1), 10)[:seconds]
    sent = rng.multinomial(size, speed / speed.sum())
    delivered = 1 - float(rng.beta(1.8, 110))
    return Mailing(start, sent, delivered, opened, float(rng.beta(7, 18)))


def automated(rng: np.random.Generator, span: Span, wanted: Floats, per_minute: float) -> Iterable[Mailing]:
    """Receipts, welcomes, reminders: a steady stream, cut into hours that differ a little.

    wanted: float64[minutes], around 1 on average.
    """
    sent = rng.poisson(by_second(wanted * per_minute))
    for start in range(0, span.seconds, 3600):
        yield Mailing(
            start,
            sent[start : start + 3600],
            1 - float(rng.beta(3, 300)),
            float(rng.beta(60, 110)),
            float(rng.beta(14, 56)),
        )


def post(rng: np.random.Generator, span: Span, mailings: Iterable[Mailing], waking: WakingTime) -> Post:
    """Send, deliver and open every mail of the mailings that falls into the span."""
    sent, delivered, opened = (np.zeros(span.seconds, dtype=np.int64) for _ in range(3))
    for mailing in mailings:
        _add(sent, mailing.start, mailing.sent)
        arrived = _deliver(rng, mailing)
        _add(delivered, mailing.start, arrived)
        openers = rng.binomial(arrived, mailing.opened)
        at = mailing.start + np.repeat(np.arange(len(openers)), openers) + rng.random(openers.sum())
        when = _open(rng, at, mailing.prefetched, waking).astype(np.int64)
        np.add.at(opened, when[when < span.seconds], 1)
    return Post(sent, delivered, opened)


def _deliver(rng: np.random.Generator, mailing: Mailing) -> Counts:
    """int64[n] by the second since the mailing's start: most within seconds, some put off by the receiver."""
    arriving = rng.binomial(mailing.sent, mailing.delivered)
    put_off = rng.binomial(arriving, 0.03)
    arrived = np.zeros(len(arriving) + 3600, dtype=np.int64)
    prompt = rng.multinomial(arriving - put_off, [0.45, 0.35, 0.15, 0.05])
    for column, lag in enumerate((1, 3, 8, 21)):
        _add(arrived, lag, prompt[:, column])
    waits = rng.lognormal(np.log(240), 1.0, put_off.sum())
    at = (np.repeat(np.arange(len(put_off)), put_off) + waits).astype(np.int64)
    # Who is still put off after an hour has bounced.
    return arrived + np.bincount(at[(waits < 3600) & (at < len(arrived))], minlength=len(arrived))


def _open(rng: np.random.Generator, at: Floats, prefetched: float, waking: WakingTime) -> Floats:
    """When the mails that arrived `at` and that somebody opens are opened; later than two days is never."""
    by_itself = rng.random(len(at)) < prefetched
    soon = at + rng.lognormal(np.log(150), 1.3, len(at))
    by_people = waking.after(at, rng.lognormal(np.log(2.2 * 3600), 1.6, len(at)))
    when = np.where(by_itself, soon, by_people)
    return when[when - at <= OPENED_WITHIN]


def _add(total: Counts, start: int, part: Counts) -> None:
    """Add `part` to `total` from index `start` on; what lies beyond the end is outside of the story."""
    end = min(len(total), start + len(part))
    if end > start:
        total[start:end] += part[: end - start]
