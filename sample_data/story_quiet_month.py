"""A month of a smaller mail platform in which nothing is wrong, and much is unusual.

In: nothing but the seed. Out: the story, without a single fault.
Never: an event that is lost; a failure beyond the usual share.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import chain

import numpy as np
from fleets import Fleet, everyday
from hours import READING, WORKING, Floats, Span, curve, demand, epoch, randomness
from mail_platform import import_lists, parse, resize, send
from mails import Mailing, automated, campaigns
from services import arrivals, editing, handle, queue_lag
from writing import Story

SEED = 20221015
SPAN = Span(
    epoch("2022-10-15 00:00"),
    epoch("2022-11-15 00:00"),
    "Europe/Berlin",  # Clocks go back on 30 October, at 01:00 UTC.
    # The first of November is a holiday to most customers; many take the Monday before it off, too.
    {date(2022, 10, 31): 0.5, date(2022, 11, 1): 1.0},
)
GROWTH = 0.015  # a week
FLEETS = (
    (Fleet("mail-sender", 2, "5.26.1"), "sending-team", 2.0),
    (Fleet("contact-importer", 2, "3.52.0"), "imports-team", 2.0),
    (Fleet("event-parser", 3, "2.19.0"), "events-team", 2.5),
    (Fleet("image-resizer", 3, "1.36.2"), "images-team", 1.5),
    (Fleet("form-handler", 2, "0.14.0"), "forms-team", 1.5),
    (Fleet("list-exporter", 2, "1.3.7"), "imports-team", 1.0),
)


def story() -> Story:
    told = Story(SPAN)
    fleets = {}
    for pattern, team, per_week in FLEETS:
        fleet = Fleet(pattern.service, pattern.instances, pattern.version)
        rng = randomness(SEED, f"{fleet.service} deployments")
        told.deployments += everyday(rng, SPAN, fleet, team, per_week=per_week, until=SPAN.end)
        fleets[fleet.service] = fleet
    mail = send(told, SEED, _mailings(), fleets["mail-sender"])
    parse(told, SEED, mail.opened, fleets["event-parser"], {})
    rng = randomness(SEED, "work")
    wanted = demand(rng, SPAN, hourly=0.06, daily=0.07, growth=GROWTH) * curve(SPAN, WORKING)
    asked = {"editor": editing(rng, 17 * wanted), "campaign": rng.binomial(mail.opened, 0.85)}
    resize(told, SEED, asked, fleets["image-resizer"], {})
    import_lists(told, SEED, 2.2 * wanted, fleets["contact-importer"])
    _export_lists(told, 0.5 * wanted, fleets["list-exporter"])
    _take_forms(told, fleets["form-handler"])
    _forget(told)
    return told


def _mailings() -> Iterator[Mailing]:
    rng = randomness(SEED, "mailings")
    wanted = demand(rng, SPAN, hourly=0.05, daily=0.08, growth=GROWTH)
    many = campaigns(rng, SPAN, wanted, per_day=70, median=3000, spread=1.6)
    return chain(many, automated(rng, SPAN, wanted * curve(SPAN, READING), per_minute=190))


def _export_lists(told: Story, per_minute: Floats, fleet: Fleet) -> None:
    """list-exporter: a handful of exports a minute at most; one in a hundred fails. Writes no zero failures."""
    rng = randomness(SEED, fleet.service)
    usual, slow = np.full(SPAN.seconds, 0.01), np.full(SPAN.seconds, 8.0)
    handled = {
        version: handle(rng, started, usual, slow)
        for version, started in fleet.split(rng, SPAN.first, arrivals(rng, per_minute)).items()
    }
    told.add(fleet, "exports_started", {version: one.received for version, one in handled.items()})
    told.add(fleet, "exports_failed", {version: one.failed for version, one in handled.items()}, sparse=True)


def _take_forms(told: Story, fleet: Fleet) -> None:
    """form-handler: sign-ups, one or two a minute by day; what is not stored is refused, and counted."""
    rng = randomness(SEED, fleet.service)
    wanted = 1.1 * demand(rng, SPAN, hourly=0.10, daily=0.10, growth=GROWTH) * curve(SPAN, READING)
    refused, lag = np.full(SPAN.seconds, 0.04), queue_lag(rng, SPAN, fleet, 1.5)
    handled = {
        version: handle(rng, received, refused, lag)
        for version, received in fleet.split(rng, SPAN.first, arrivals(rng, wanted)).items()
    }
    told.add(fleet, "submissions_received", {version: one.received for version, one in handled.items()})
    told.add(fleet, "submissions_refused", {version: one.failed for version, one in handled.items()})
    told.add(fleet, "submissions_stored", {version: one.stored for version, one in handled.items()})


def _forget(told: Story) -> None:
    """Scrapes fail now and then for one service; once the collector itself is down for twenty minutes."""
    rng = randomness(SEED, "gaps")
    for fleet, *_ in FLEETS:
        for _ in range(int(rng.integers(5, 10))):
            at = SPAN.shown + 60 * int(rng.integers(0, (SPAN.end - SPAN.shown) // 60))
            told.forget(fleet.service, at, int(rng.integers(1, 4)))
    told.forget("", epoch("2022-11-09 13:20"), 20)


STILLWATCH = """\
interval: 60s
timezone: Europe/Berlin
budget: {false_alerts: 1, per: week}
metrics:
  exports_failed: {sparse: true}
services:
  mail-sender:
    owner: sending-team
    signals:
      delivery: {kind: flow, from: emails_sent, to: emails_delivered, within: 1h}
  contact-importer:
    owner: imports-team
    signals:
      imports: {kind: error_ratio, errors: imports_failed, total: imports_started}
      imports_side_by_side: {kind: rollout, errors: imports_failed, total: imports_started}
  event-parser:
    owner: events-team
    signals:
      parsing: {kind: error_ratio, errors: events_failed, total: events_received}
      opens: {kind: throughput, count: opens_stored}
      kept: {kind: flow, from: events_received, to: [opens_stored, events_failed], within: 2m}
      opens_kept: {kind: flow, from: {service: mail-sender, metric: emails_delivered}, to: opens_stored,
                   within: 48h}
      kept_side_by_side: {kind: rollout, from: events_received, to: opens_stored, within: 2m}
  image-resizer:
    owner: images-team
    signals:
      resizing: {kind: error_ratio, errors: resizes_failed, total: resizes, split_by: [path]}
      side_by_side: {kind: rollout, errors: resizes_failed, total: resizes}
  form-handler:
    owner: forms-team
    signals:
      submissions: {kind: throughput, count: submissions_received}
      kept: {kind: flow, from: submissions_received, to: [submissions_stored, submissions_refused], within: 2m}
  list-exporter:
    owner: imports-team
    signals:
      exports: {kind: error_ratio, errors: exports_failed, total: exports_started}
"""

README = """\
# Quiet month

Six services from 15 October to 14 November 2022, living by the clock of Berlin. Nothing is wrong in it.
There are campaign bursts, growth of 1.5 % a week, clocks that go back (30 October), a holiday (Tuesday,
1 November, like a Sunday) and the half-empty Monday before it, innocent deployments, services with 0 to 5 events
a minute, single scrapes that are missing, and twenty minutes without any (9 November, 13:20 UTC).
Every alert on it is a false one. Made by `sample_data/generate.py quiet_month`.
"""
