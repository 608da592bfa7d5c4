"""Who carries messages to their places: one for each, so that a slow one holds up no other.

In: the outbox, the places. Out: messages told, in threads. Never: a wait of the tick, or of a stop, for a place.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from alerts.deliver import acknowledge, deliver, everywhere, say_again
from alerts.outbox import SendFailed
from alerts.places import Place
from stillwatch import clock
from stillwatch.config import Settings
from stillwatch.mailbox import Mailbox
from stillwatch.tables import StoreTrouble

log = logging.getLogger(__name__)

PULSE = 1  # seconds between rounds of delivery
ACKNOWLEDGE = 15  # seconds in which a pager hears that somebody looks at it


def have_ended(threads: Sequence[threading.Thread], ending: threading.Event) -> bool:
    """Waits for these; False where we are to end ourselves."""
    for thread in threads:
        while thread.is_alive() and not ending.is_set():
            thread.join(PULSE)
    return not ending.is_set()


def one_for_each(
    settings: Settings,
    mailbox: Mailbox,
    place: Place,
    places: Sequence[Place],
    stopping: threading.Event,
    before: Callable[[int], None],
    after: Sequence[threading.Thread] = (),
) -> list[Courier]:
    """One for each place, so that a slow one holds up no other. before: is called ahead of the rounds of each.
    after: threads that may deliver as well and have to end first."""
    named = {one.address for one in settings.receivers}
    back = settings.fallback
    rest = Courier(
        mailbox,
        place,
        stopping,
        lambda channel: channel not in named,
        fallback=back,
        before=before,
        after=after,
    )
    return [
        rest,
        *(
            Courier(mailbox, own, stopping, one.address.__eq__, one.address, back, before, after)
            for one, own in zip(settings.receivers, places, strict=True)
        ),
    ]


class Courier:
    """Delivers to one place in a thread of its own, so that neither the tick nor a stop waits for a slow one.

    serves: the channels whose messages go there. address: the one channel of a place that may be refreshed. before:
    is called with the time ahead of every round. after: threads that deliver there as well and have to end first.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        place: Place,
        stopping: threading.Event,
        serves: Callable[[str], bool] = everywhere,
        address: str = "",
        fallback: str = "",
        before: Callable[[int], None] | None = None,
        after: Sequence[threading.Thread] = (),
    ) -> None:
        self._after = after
        self._mailbox = mailbox
        self._before = before
        self._place = place
        self._stopping = stopping
        self._serves = serves
        self._address = address
        self._fallback = fallback
        self._refreshed = 0
        self._stale = ""
        self._trouble = ""
        self._thread = threading.Thread()

    def keep_going(self) -> None:
        """Start, or start again: what breaks one round (and is in the log) must not end all delivery."""
        if not self._thread.is_alive():
            name = f"deliver {self._address}".strip()
            self._thread = threading.Thread(target=self._rounds, name=name, daemon=True)
            self._thread.start()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    @property
    def threads(self) -> list[threading.Thread]:
        """All in which something may still be on its way, also to places of before."""
        return [one for one in (self._thread, *self._after) if one.is_alive()]

    def _rounds(self) -> None:
        if not have_ended(self._after, self._stopping):
            return
        while not self._stopping.wait(PULSE):
            try:
                if self._before is not None:
                    self._before(clock.now())
                deliver(self._mailbox, self._place, clock.now, self._serves, self._fallback)
                self._refresh()
                self._trouble = ""
            except StoreTrouble as trouble:
                if str(trouble) != self._trouble:
                    log.error("nothing is delivered: %s", trouble)
                self._trouble = str(trouble)

    def _refresh(self) -> None:
        """Where the place forgets, say again what is open (at our start too); tell pagers who looks at it."""
        every = self._place.refresh or (ACKNOWLEDGE if self._place.acknowledges else 0)
        if not every or clock.now() - self._refreshed < every:
            return
        self._refreshed = clock.now()
        try:
            if self._place.refresh:
                say_again(self._mailbox, self._place, self._address)
            if self._place.acknowledges:
                acknowledge(self._mailbox, self._address, clock.now())
            self._stale = ""
        except SendFailed as failure:
            if str(failure) != self._stale:
                log.error("what is open could not be said again: %s", failure)
            self._stale = str(failure)
