"""Ten nights with a mailing, then a night without: less of everything, and nothing wrong.

In: nothing but the seed. Out: the story, without a single fault.
Never: an event that is lost; a mailing in the last night.
"""

from __future__ import annotations

from collections.abc import Iterator

from fleets import Fleet, everyday
from hours import DAY, READING, Span, curve, demand, epoch, randomness
from mail_platform import parse, send
from mails import Mailing, automated, campaign
from writing import Story

SEED = 20220512
SPAN = Span(epoch("2022-05-02 00:00"), epoch("2022-05-12 08:00"), "Europe/Berlin")
NIGHTS = 10


def story() -> Story:
    told = Story(SPAN)
    sender, parser = Fleet("mail-sender", 2, "1.8.0"), Fleet("event-parser", 2, "1.11.3")
    for fleet in (sender, parser):
        rng = randomness(SEED, f"{fleet.service} deployments")
        told.deployments += everyday(rng, SPAN, fleet, "mail-team", per_week=1.5, until=SPAN.end)
    mail = send(told, SEED, _mailings(), sender, sent=False)
    parse(told, SEED, mail.opened, parser, {})
    # One process of each, without a version in its metrics.
    told.merge_versions()
    return told


def _mailings() -> Iterator[Mailing]:
    """Half an hour past midnight to everybody, each night but the last; by day some reminders."""
    rng = randomness(SEED, "mailings")
    first = SPAN.shown + 30 * 60
    for midnight in range(first - SPAN.warm_up, first + NIGHTS * DAY, DAY):
        size = int(rng.normal(42_000, 1500))
        at = midnight - SPAN.first + int(rng.integers(0, 40))
        yield campaign(rng, at, size, float(rng.beta(40, 110)))
    wanted = demand(rng, SPAN, hourly=0.05, daily=0.05) * curve(SPAN, READING)
    yield from automated(rng, SPAN, wanted, per_minute=4)


STILLWATCH = """\
interval: 60s
timezone: Europe/Berlin
budget: {false_alerts: 1, per: week}
services:
  event-parser:
    owner: mail-team
    signals:
      parsing: {kind: error_ratio, errors: events_failed, total: events_received}
      kept: {kind: flow, from: events_received, to: [opens_stored, events_failed], within: 2m}
      opens_kept: {kind: flow, from: {service: mail-sender, metric: emails_delivered}, to: opens_stored,
                   within: 48h}
"""

README = """\
# Quiet night

A newsletter goes out half an hour past midnight (UTC), ten nights from 2 to 11 May 2022, and people open it.
In the night to 12 May nothing is sent. Opens fall away with the mails: what goes in and what comes out both fall
to next to nothing, nothing is lost, nothing fails. Who alerts has taken demand for loss: flows are configured here,
and no throughput, since that follows the mailing calendar. Made by `sample_data/generate.py quiet_night`.
"""
