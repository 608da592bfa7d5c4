"""The services of a mail platform, wired: mails and people's work become each service's counts.

In: a story's span and fleets, events by the second. Out: series added to the story; what was truly lost.
Never: when and what is deployed (the stories decide), files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from fleets import Fleet
from hours import READING, Counts, Floats, curve, randomness
from mails import Mailing, Post, WakingTime, post
from services import Handled, Imports, Loss, arrivals, handle, imports, per_second, queue_lag, usual_share
from writing import Story


def send(story: Story, seed: int, mailings: Iterator[Mailing], fleet: Fleet, *, sent: bool = True) -> Post:
    """mail-sender: emails_sent (unless `sent` is false) and emails_delivered."""
    span = story.span
    mail = post(randomness(seed, "post"), span, mailings, WakingTime(curve(span, READING)))
    rng = randomness(seed, fleet.service)
    if sent:
        story.add(fleet, "emails_sent", fleet.split(rng, span.first, mail.sent))
    story.add(fleet, "emails_delivered", fleet.split(rng, span.first, mail.delivered))
    return mail


def parse(story: Story, seed: int, opened: Counts, fleet: Fleet, losses: Mapping[str, Loss]) -> list[Handled]:
    """event-parser: open events received, failed, stored. Returns what the versions in `losses` did."""
    span, rng = story.span, randomness(seed, fleet.service)
    usual, lag = usual_share(rng, span, 0.0002, 0.7), queue_lag(rng, span, fleet, 2.5)
    handled = {
        version: handle(rng, received, usual, lag, losses.get(version))
        for version, received in fleet.split(rng, span.first, opened).items()
    }
    story.add(fleet, "events_received", {version: one.received for version, one in handled.items()})
    story.add(fleet, "events_failed", {version: one.failed for version, one in handled.items()})
    story.add(fleet, "opens_stored", {version: one.stored for version, one in handled.items()})
    return [handled[version] for version in losses]


def resize(
    story: Story, seed: int, asked: Mapping[str, Counts], fleet: Fleet, losses: Mapping[tuple[str, str], Loss]
) -> list[Handled]:
    """image-resizer: resizes and resizes_failed by path. Returns what each (version, path) in `losses` did."""
    span, rng = story.span, randomness(seed, fleet.service)
    quick = np.full(span.seconds, 0.3)
    faulty = {}
    for path, wanted in asked.items():
        usual = usual_share(rng, span, 0.0002, 0.7)
        handled = {
            version: handle(rng, requests, usual, quick, losses.get((version, path)))
            for version, requests in fleet.split(rng, span.first, wanted).items()
        }
        story.add(fleet, "resizes", {version: one.received for version, one in handled.items()}, path)
        story.add(fleet, "resizes_failed", {version: one.failed for version, one in handled.items()}, path)
        faulty.update({(version, path): one for version, one in handled.items() if (version, path) in losses})
    return [faulty[which] for which in losses]


def import_lists(story: Story, seed: int, per_minute: Floats, fleet: Fleet, bad: str = "") -> Imports:
    """contact-importer: imports_started and imports_failed. per_minute: float64[minutes], expected imports."""
    span, rng = story.span, randomness(seed, fleet.service)
    done = imports(rng, span, fleet, arrivals(rng, per_minute), bad)
    served = {version: done.version == version for version in fleet.versions()}
    started = {version: per_second(done.started[own], span.seconds) for version, own in served.items()}
    failed = {
        version: per_second(done.finished[own & done.failed], span.seconds) for version, own in served.items()
    }
    story.add(fleet, "imports_started", started)
    story.add(fleet, "imports_failed", failed)
    return done
