"""The history of sources that we ask, from before our first start: judged as ever, and told to nobody.

In: an empty database, sources with a history. Out: a database as if we had watched since then.
Never: news of long ago; a start that waits for a source that does not answer.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from alerts.incidents import Event
from collector.asked import Source, SourceFailed
from collector.errors import printable
from collector.moments import rfc3339
from collector.points import Limits
from stillwatch.asking import patiently
from stillwatch.live import Judgement, Live
from stillwatch.store import News, Store

log = logging.getLogger(__name__)

STRETCH = 6 * 3600  # seconds that are asked for, and judged, at once
NEVER = 1_000_000_000  # seconds without a sign of life: the past is told all the same


def backfill(
    store: Store,
    judgement: Judgement,
    sources: Sequence[Source],
    interval: int,
    grace: int,
    limits: Limits,
    now: Callable[[], int],
    stopping: threading.Event,
) -> None:
    """Fill in what `sources` know from before the first start. Does nothing later on; goes on where it was stopped.

    interval, grace: seconds; limits: as of the watch. Raises StoreTrouble, and Busy where the store cannot be used.
    """
    asked = [source for source in sources if source.history]
    if not asked or (store.end() is not None and not store.filling()):
        return
    store.filling(True)
    begin = (now() - max(source.history for source in asked)) // interval * interval
    at = begin if store.end() is None else max(begin, store.end() or 0)
    log.info("asking for the history since %s; the door opens when it is there", rfc3339(at))
    last: dict[str, Event] = {}

    def silently(event: Event) -> News:
        last[event.incident.id] = event
        return replace(judgement.news(event), messages=())

    # What is asked for at once is told at the beginning of its time, so that all of its intervals are still open.
    ahead = replace(limits, ahead=2 * STRETCH)
    live = Live(store, replace(judgement, news=silently), interval, grace, at, silent=NEVER, limits=ahead)
    given_up: set[str] = set()
    said = at
    while at < now() - interval and not stopping.is_set():
        end = min(at + STRETCH, now() // interval * interval)
        for source in asked:
            if source.name not in given_up and end > now() - source.history:
                _ask(live, source, at, end, now, stopping, given_up)
        if stopping.is_set():
            break  # what this stretch has told so far is kept; it is judged when it is whole
        live.tick(end + grace)
        store.still_alive(end)
        at = end
        if at - said >= 7 * 86400:
            log.info("history is judged up to %s", rfc3339(at))
            said = at
    live.stop()
    if stopping.is_set():
        return
    store.filling(False)
    for incident in live.open_incidents:
        # What is wrong since before we began is news.
        if incident.id in last:
            store.say(incident.id, judgement.news(last[incident.id]).messages, now())
    log.info("history is judged: %d incidents, of which %d are open", len(last), len(live.open_incidents))


def _ask(
    live: Live,
    source: Source,
    at: int,
    end: int,
    now: Callable[[], int],
    stopping: threading.Event,
    given_up: set[str],
) -> None:
    since, memo = live.asked_until(source.name)
    if since < at:  # its own history is shorter, or it was asked for another database
        since = at
    try:
        while since < end:
            upto = min(end + source.settle, since + source.most, now())
            answer = patiently(source, since, upto, memo, stopping)
            if answer is None:
                return
            live.asked(source.name, answer, at)
            if answer.until <= since:
                return
            since, memo = answer.until, answer.memo
    except SourceFailed as failure:
        log.error("source %s: no more of its history: %s", source.name, printable(str(failure)))
        given_up.add(source.name)
