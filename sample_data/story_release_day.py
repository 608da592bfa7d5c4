"""Two weeks of a mail platform, and the morning of 13 April 2022 on which two deployments went wrong.

In: nothing but the seed. Out: the story, with the truth about its three faults.
Never: a lost event that did not happen; a number that fits some detector.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
from fleets import Change, Deployed, Fleet, everyday
from hours import READING, WORKING, Counts, Floats, Span, curve, demand, epoch, randomness
from mail_platform import import_lists, parse, resize, send
from mails import Mailing, automated, campaigns
from services import Handled, Imports, Loss, editing
from writing import Label, Story

SEED = 20220413
SPAN = Span(epoch("2022-03-30 00:00"), epoch("2022-04-13 10:30"), "Europe/Berlin")
DAY = "2022-04-13"
RELEASE = "release-20220413-0631"
UPGRADE = "image-resizer-20220413-0757"
TEAMS = {
    "mail-sender": "sending-team",
    "contact-importer": "imports-team",
    "event-parser": "events-team",
    "image-resizer": "images-team",
}


def story() -> Story:
    told = Story(SPAN)
    fleets = {
        "mail-sender": Fleet("mail-sender", 5, "5.18.2"),
        "contact-importer": Fleet("contact-importer", 4, "3.41.0"),
        "event-parser": Fleet("event-parser", 6, "2.9.4"),
        "image-resizer": Fleet("image-resizer", 4, "1.27.0"),
    }
    for service, fleet in fleets.items():
        rng = randomness(SEED, f"{service} deployments")
        until = epoch(f"{DAY} 00:00")
        told.deployments += everyday(rng, SPAN, fleet, TEAMS[service], per_week=2.8, until=until)
    versions = _the_day(told, fleets)
    mail = send(told, SEED, _mailings(), fleets["mail-sender"])
    wanted = demand(randomness(SEED, "work"), SPAN, hourly=0.05, daily=0.06) * curve(SPAN, WORKING)
    imported = import_lists(told, SEED, 17 * wanted, fleets["contact-importer"], versions["contact-importer"])
    told.labels.append(_importer_label(imported))
    told.labels.append(_parser_label(_parse(told, mail.opened, fleets["event-parser"], versions)))
    told.labels.append(_resizer_label(_resize(told, mail.opened, wanted, fleets["image-resizer"], versions)))
    return told


def _mailings() -> Iterator[Mailing]:
    rng = randomness(SEED, "mailings")
    wanted = demand(rng, SPAN, hourly=0.04, daily=0.06)
    many = campaigns(rng, SPAN, wanted, per_day=800, median=3500, spread=1.5)
    return chain(many, automated(rng, SPAN, wanted * curve(SPAN, READING), per_minute=1700))


def _the_day(told: Story, fleets: dict[str, Fleet]) -> dict[str, str]:
    """Deploy and roll back as it was done on the day; returns the version that each service got."""
    rng = randomness(SEED, "the day")
    versions: dict[str, str] = {}

    def deploy(service: str, release: str, at: str, first: str, step: int, words: str, to: str = "") -> None:
        """Instance by instance from `first` on, one every `step` seconds; `to` an old version rolls back."""
        fleet = fleets[service]
        now = fleet.latest
        big, small, _ = now.split(".")
        after = to or f"{big}.{int(small) + 1}.0"
        versions.setdefault(service, after)
        begin = epoch(f"{DAY} {first}")
        fleet.changes.append(Change(after, tuple(begin + step * one for one in range(fleet.instances))))
        kind = "rollback" if to else "deploy"
        revision = rng.bytes(20).hex()
        row = Deployed(
            epoch(f"{DAY} {at}"), release, service, after, now, TEAMS[service], kind, words, revision
        )
        told.deployments.append(row)

    before = {service: fleet.latest for service, fleet in fleets.items()}
    deploy("contact-importer", RELEASE, "06:31:00", "06:33:04", 34, "fix for empty mapped fields")
    deploy("event-parser", RELEASE, "06:31:00", "06:33:11", 29, "new processing of open events")
    deploy("mail-sender", RELEASE, "06:31:00", "06:33:20", 31, "updated libraries")
    back = before["contact-importer"]
    deploy(
        "contact-importer", "contact-importer-20220413-0645", "06:45:00", "06:45:12", 14, "imports fail", back
    )
    back = before["event-parser"]
    deploy("event-parser", "event-parser-20220413-0705", "07:05:00", "07:05:10", 11, "opens lost", back)
    told.deployments.append(_settings(versions["mail-sender"], rng.bytes(20).hex()))
    deploy("image-resizer", UPGRADE, "07:57:00", "07:58:24", 36, "new framework version")
    back = before["image-resizer"]
    deploy("image-resizer", "image-resizer-20220413-0918", "09:18:00", "09:18:15", 20, "images missing", back)
    return versions


def _settings(version: str, revision: str) -> Deployed:
    """An innocent change in the middle of it all."""
    at, team = epoch(f"{DAY} 07:41:00"), TEAMS["mail-sender"]
    name = "mail-sender-20220413-0741"
    return Deployed(at, name, "mail-sender", version, version, team, "config", "changed settings", revision)


def _parse(told: Story, opened: Counts, fleet: Fleet, versions: dict[str, str]) -> Handled:
    """Three in ten messages have the shape that the new version stumbles over: some raise, some vanish."""
    rng = randomness(SEED, "messages")
    mix = np.repeat(rng.normal(1, 0.04, SPAN.minutes), 60)
    loss = Loss(raised=0.17 * mix, silent=0.13 * mix)
    return parse(told, SEED, opened, fleet, {versions["event-parser"]: loss})[0]


def _resize(told: Story, opened: Counts, wanted: Floats, fleet: Fleet, versions: dict[str, str]) -> Handled:
    """The new version fails for one editor image in a hundred, once an instance's cache has filled up."""
    rng = randomness(SEED, "images")
    asked = {"editor": editing(rng, 175 * wanted), "campaign": rng.binomial(opened, 0.85)}
    bad = versions["image-resizer"]
    switches = next(change.switches for change in fleet.changes if change.version == bad)
    full = np.array(switches) + rng.integers(332, 352, len(switches))
    seconds = np.arange(SPAN.first, SPAN.end)
    share = 0.01 * np.searchsorted(np.sort(full), seconds, side="right") / len(full)
    return resize(told, SEED, asked, fleet, {(bad, "editor"): Loss(raised=share)})[0]


def _importer_label(done: Imports) -> Label:
    times = SPAN.first + done.finished[done.by_bug].astype(np.int64)
    rolled_back = epoch(f"{DAY} 06:45:00")
    return Label(
        int(times.min()), int(times.max()) + 1, "contact-importer", "error_spike", "imports",
        RELEASE, "contact-importer", rolled_back, len(times),
        "imports with a suppressed contact and empty mapped fields fail whole",
    )  # fmt: skip


def _parser_label(done: Handled) -> Label:
    raised, silent = int(done.raised.sum()), int(done.silent.sum())
    start, end = _from_to(done.raised + done.silent)
    return Label(
        start, end, "event-parser", "data_loss", "kept",
        RELEASE, "event-parser", epoch(f"{DAY} 07:05:00"), raised + silent,
        f"opens that were never stored: {raised} raised and were counted as failed; {silent} vanished silently",
    )  # fmt: skip


def _resizer_label(done: Handled) -> Label:
    start, end = _from_to(done.raised)
    return Label(
        start, end, "image-resizer", "error_spike", "resizing",
        UPGRADE, "image-resizer", epoch(f"{DAY} 09:18:00"), int(done.raised.sum()),
        "one in a hundred images of the editor; none of sent campaigns",
    )  # fmt: skip


def _from_to(spoilt: Counts) -> tuple[int, int]:
    """Epoch seconds of the first spoilt event, and of the second after the last."""
    at = np.flatnonzero(spoilt)
    return SPAN.first + int(at[0]), SPAN.first + int(at[-1]) + 1


STILLWATCH = """\
interval: 60s
budget: {false_alerts: 1, per: week}
services:
  contact-importer:
    owner: imports-team
    signals:
      imports:   {kind: error_ratio, errors: imports_failed, total: imports_started}
  event-parser:
    owner: events-team
    signals:
      parsing:   {kind: error_ratio, errors: events_failed, total: events_received}
      opens:     {kind: throughput, count: opens_stored}
      kept:      {kind: flow, from: events_received, to: [opens_stored, events_failed], within: 2m}
      opens_kept: {kind: flow, from: {service: mail-sender, metric: emails_delivered}, to: opens_stored,
                   within: 48h}
  image-resizer:
    owner: images-team
    signals:
      resizing:  {kind: error_ratio, errors: resizes_failed, total: resizes, split_by: [path]}
      side_by_side: {kind: rollout, errors: resizes_failed, total: resizes}
"""

README = """\
# Release day

Two weeks of a mail platform, minute by minute, and the morning of 13 April 2022 (UTC).
At 06:31 one release ships three services: the importer begins to fail for some lists (rolled back at 06:45),
the event parser loses three opens in ten (reverted at 07:05), the mail sender is innocent.
At 07:57 the image resizer moves to a new framework version: from 08:04 one editor image in a hundred fails
(reverted at 09:18). `labels.csv` holds the truth. Made by `sample_data/generate.py release_day`.
"""
