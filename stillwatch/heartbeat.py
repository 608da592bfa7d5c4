"""A sign of life for a watcher outside, who calls somebody when it stays away.

In: how the watch stands, what became of deliveries to Slack. Out: a ping at the address in the settings, or none.
Never: a ping while no tick was finished and kept, or nothing would reach Slack; that address in a log or an answer.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import httpx2

from alerts.outbox import Delivery
from stillwatch.config import Heartbeat
from stillwatch.live import Figures
from stillwatch.tables import StoreTrouble

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds for the watcher's answer
SLACK = 30  # seconds that a tick may take
STUCK = 300  # seconds for which words may fail to be delivered
PROVEN = 600  # seconds for which a delivery, or Slack's answer to who we are, says that the way works


class Way:
    """Does the way to Slack work? What was delivered lately says so; else Slack is asked who we are, which nobody
    sees. ask: raises what Slack's senders raise, or returns. now: epoch seconds."""

    def __init__(self, ask: Callable[[], str], now: Callable[[], int]) -> None:
        self._ask = ask
        self._now = now
        self._good = 0  # when it was last seen to work

    def went(self, outcome: str) -> None:
        """Told of each try. That a channel or a message is refused says nothing of the way."""
        if outcome == "sent":
            self._good = self._now()
        elif outcome in ("unknown", "no_credentials"):
            self._good = 0

    def trouble(self) -> str:
        """ "" where it works."""
        if self._now() - self._good < PROVEN:
            return ""
        said = self._ask()
        if not said:
            self._good = self._now()
        return said


class Outbox(Protocol):
    """See mailbox.Mailbox."""

    def waiting(self) -> list[Delivery]: ...


class Heart:
    """figures: how the watch stands at a moment. within: seconds after its end in which an interval is judged.
    way: None where nobody is told by Slack. counts: pings by outcome (taken, lost, withheld)."""

    def __init__(
        self,
        wanted: Heartbeat,
        figures: Callable[[int], Figures],
        within: int,
        outbox: Outbox,
        way: Way | None,
        now: Callable[[], int],
    ) -> None:
        self._wanted = wanted
        self._figures = figures
        self._within = within
        self._outbox = outbox
        self._way = way
        self._now = now
        self.counts: Counter[str] = Counter()
        self._last = 0
        self._why = self._lost = ""

    def work(self, stopping: threading.Event) -> None:
        """Beat until we stop."""
        while not stopping.wait(self._wanted.every):
            self.beat()

    def beat(self) -> None:
        """One ping, or none and why."""
        why = self.why_not()
        if why != self._why:
            log.warning("no heartbeat: %s", why) if why else log.info("the heartbeat goes on")
        self._why = why
        if why and not self._wanted.fails:
            self.counts["withheld"] += 1
            return
        lost = _ping(_fail(self._wanted.url) if why else self._wanted.url)
        self.counts["lost" if lost else "withheld" if why else "taken"] += 1
        if lost and lost != self._lost:
            log.error("the heartbeat does not reach the watcher outside: %s", lost)
        self._lost = lost
        if not lost and not why:
            self._last = self._now()

    def why_not(self) -> str:
        """What is not well; "" where all is."""
        now = self._now()
        of = self._figures(now)
        if of.trouble:
            return of.trouble
        if of.blind_since:
            return "intervals cannot be judged"
        if now - of.judged_until > self._within:
            return "no interval was judged in time"
        try:
            stuck = [one for one in self._outbox.waiting() if _is_stuck(one, now)]
        except StoreTrouble as trouble:
            return str(trouble)
        if stuck:
            return f"not delivered to {stuck[0].message.channel}: {stuck[0].why}"
        return self._way.trouble() if self._way is not None else ""

    def health(self) -> dict[str, Any]:
        """For /healthz. last: when the watcher took a ping that all is well (epoch seconds, 0 = never)."""
        return {"last": self._last, "withheld": self._why, "lost": self._lost}


def within(interval: int, grace: int) -> int:
    """Seconds after the end of an interval until which the next one is judged, if all is well."""
    return interval + grace + SLACK


def _is_stuck(one: Delivery, now: int) -> bool:
    """Words that fail for long; a picture keeps nobody from hearing."""
    return bool(one.why) and one.message.chart is None and now - max(one.entered, one.message.due) > STUCK


def _fail(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/fail"))


def _ping(url: str) -> str:
    """What went wrong, without the address; "" = nothing."""
    loopback = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    try:
        with httpx2.Client(timeout=PATIENCE, trust_env=not loopback) as client:
            answer = client.get(url)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        return type(error).__name__
    return "" if answer.is_success else f"it answered {answer.status_code}"
