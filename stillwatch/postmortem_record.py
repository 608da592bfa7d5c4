"""What is known of an incident, for its report: from the daemon's database, or from a dataset that is judged again.

In: a store, or a dataset with settings. Out: records, or what incidents there are.
Never: another judgement than the daemon's; a time that nobody recorded (see Sent.exact).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from alerts import jsonl
from alerts.incidents import Event
from alerts.outbox import Delivery
from alerts.silences import Silence
from alerts.wording import headline, lead
from collector.dataset import Dataset
from stillwatch.config import Settings
from stillwatch.history import History
from stillwatch.mailbox import Mailbox
from stillwatch.postmortem import Record, Sent
from stillwatch.replaying import replay
from stillwatch.score import by_incident
from stillwatch.store import Store

MOST_LISTED = 20
STAMP = re.compile(r"(\d{9,10})\.\d{6}")  # what Slack names a message by: when it was posted


def kept(
    store: Store, planned: Callable[[int], Sequence[Silence]], now: int
) -> dict[str, Callable[[], Record]]:
    """Of every incident in the store, by its id and newest first, how to get what is known of it.

    planned: see history.History. now: epoch seconds. May raise StoreTrouble, now or then.
    """
    history, mailbox = History(store, planned=planned), Mailbox(store)

    def record(event: Event) -> Record:
        which = event.incident.id
        return Record(
            event,
            tuple(history.lines(which)),
            first_sent(mailbox.of(which)),
            history.words(which),
            tuple(history.silences_of(event, now)),
        )

    return {one.id: partial(record, one.event) for one in history.incidents(since=-1)}


def replayed(
    dataset: Dataset, settings: Settings, progress: Callable[[int], object]
) -> dict[str, Callable[[], Record]]:
    """The same of a dataset. progress: see replaying.replay."""
    told = by_incident(replay(dataset, settings, progress).events)

    def record(events: Sequence[Event]) -> Record:
        which = events[-1].incident.id
        words = tuple(word for word in dataset.words if word.incident == which)
        return Record(events[-1], tuple(map(jsonl.line, events)), words=words, replayed=True)

    return {name: partial(record, its) for name, its in reversed(told.items())}


def first_sent(deliveries: Sequence[Delivery]) -> tuple[Sent, ...]:
    """The first message that each channel took, by time. Slack says when; of other places only the moment is known
    from which it was to be sent."""
    by_channel: dict[str, Sent] = {}
    for one in deliveries:
        if one.state != "sent":
            continue
        stamp = STAMP.fullmatch(one.receipt.id) if one.receipt else None
        at = int(stamp[1]) if stamp else max(one.entered, one.message.due)
        by_channel.setdefault(
            one.message.channel, Sent(one.message.channel, one.message.key, at, bool(stamp))
        )
    return tuple(sorted(by_channel.values(), key=lambda sent: (sent.time, sent.channel)))


def listed(records: Mapping[str, Callable[[], Record]]) -> list[str]:
    """A line for each of the newest incidents: its id, when it was seen, what it was."""
    lines = []
    for name, record in list(records.items())[:MOST_LISTED]:
        event = record().event
        said = headline(lead(event.incident), event.time, lambda text: text)
        lines.append(f"{name}  {jsonl.moment(event.incident.opened)}  {said}")
    more = len(records) - MOST_LISTED
    return [*lines, f"and {more} before these"] if more > 0 else lines


def unknown(which: str, records: Mapping[str, Callable[[], Record]]) -> str:
    """What to say of an id that is none: those that there are."""
    names = ", ".join(list(records)[:MOST_LISTED])
    more = f" and {len(records) - MOST_LISTED} before these" if len(records) > MOST_LISTED else ""
    return (
        f"found incident {which[:40]!r}, expected one of {names}{more}"
        if names
        else "there is no incident yet"
    )
