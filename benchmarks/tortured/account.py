"""What became of everything: counts, events, messages.

In: what was acknowledged, the database after the end, what stands in Slack. Out: how much was lost, and doubled.
Never: the daemon's own word for it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from slack_methods import Posted

from alerts import jsonl
from stillwatch import engine
from stillwatch.config import Settings
from stillwatch.replaying import plan_of
from stillwatch.store import Store
from tortured.ground import Ground
from tortured.senders import Series

OVER = "\N{LARGE GREEN CIRCLE}"  # what a card of something that is over begins with


@dataclass
class Account:
    """counts: acknowledged. lost, doubled: events counted too few or too often. news: what was made news of.
    other: news that a run without faults would not have made, or not so. told, untold, twice: messages.
    """

    counts: int = 0
    lost: int = 0
    doubled: int = 0
    news: int = 0
    other: int = 0
    told: int = 0
    untold: int = 0
    twice: int = 0
    why: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not (self.lost or self.doubled or self.other or self.untold or self.twice)


def account(
    ground: Ground, acknowledged: Counter[Series], messages: Sequence[Posted], settings: Settings
) -> Account:
    """After the daemons have ended. messages: all that stand in its channel."""
    made = Account(counts=sum(acknowledged.values()))
    store = ground.store()
    try:
        _counts(made, store, ground.began, acknowledged)
        lines = store.lines()
        made.news = len(lines)
        again = _judged_again(store, settings)
        made.other = sum((Counter(lines) - Counter(again)).values()) + sum(
            (Counter(again) - Counter(lines)).values()
        )
        if made.other:
            made.why.append("news differ from those of a run without faults")
        _messages(made, lines, messages, len(ground.watches))
    finally:
        store.close()
    return made


def _counts(made: Account, store: Store, began: int, acknowledged: Counter[Series]) -> None:
    kept: Counter[Series] = Counter()
    keys = store.table().keys
    for bins in store.history(began):
        sums = np.nansum(bins.values, axis=0)
        for row, total in enumerate(sums):
            kept[keys[row].service, keys[row].metric] += round(float(total))
        for row, count in zip(bins.late.row, bins.late.count, strict=True):
            kept[keys[row].service, keys[row].metric] += round(float(count))
    for series, count in acknowledged.items():
        made.lost += max(0, count - kept[series])
        made.doubled += max(0, kept[series] - count)
        if count != kept[series]:
            made.why.append(f"{'/'.join(series)}: {count} acknowledged, {kept[series]} kept")


def _judged_again(store: Store, settings: Settings) -> list[str]:
    """The lines of alerts.jsonl of one that judges what was stored, and that nothing ever happened to."""
    plan = plan_of(settings, store.table())
    state, lines = engine.State.empty(), list[str]()
    for bins in store.history():
        state, events = engine.advance(state, bins, store.deployments(), plan)
        lines += [jsonl.line(event) for event in events]
    return lines


def _messages(made: Account, lines: Sequence[str], messages: Sequence[Posted], daemons: int) -> None:
    """Each incident has one card, which says in the end that it is over; nothing in its thread is said twice. That
    the database is away each daemon says for itself: they are on one machine here, and so go by one name."""
    last = {one["incident"]: one["event"] for one in map(json.loads, lines)}
    said = Counter(one.key for one in messages if one.key)
    cards = {one.key: one for one in messages if one.key}
    made.told = sum(said.values())
    for key, count in said.items():
        most = daemons if key.startswith("stranded:") else 1
        if count > most:
            made.twice += count - most
            made.why.append(f"said {count} times: {key}")
    for incident, event in last.items():
        if incident not in cards:
            made.untold += 1
            made.why.append(f"never said: {incident}")
        elif event == "resolved" and OVER not in cards[incident].text:
            made.untold += 1
            made.why.append(f"never said that it is over: {cards[incident].text[:80]}")
