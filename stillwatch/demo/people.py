"""The people around the platform: they upload contacts, send campaigns, open mails and look at images.

In: mails for their mailboxes; the address book. Out: requests, and at the end a record of what they know:
which opens were acknowledged, and which requests failed in their hands. Never: a look into the services.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import itertools
import json
import random
import signal
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stillwatch.clock import now
from stillwatch.demo.addresses import Addresses
from stillwatch.demo.sender import MAILBOXES
from stillwatch.demo.serving import answer
from stillwatch.demo.town import EDITOR_WIDTH, MAIL_WIDTH, Town

RECORD = "people.json"
RATES = {"imports": 16.0, "campaigns": 4.0, "editor": 250.0}  # a second, all people together
OPENED = 0.6  # share of the mails that somebody opens
WITH_IMAGE = 0.5  # share of the opens that load an image as well
BATCH = 0.25  # seconds for which the mail programs' events are gathered before they are reported
BUSY = 64  # requests under way at which people rather wait


@dataclass(slots=True)
class Record:
    """What people know. opens: acknowledged event -> when; failed: service -> when requests failed (epoch s)."""

    opens: dict[str, int] = field(default_factory=dict)
    failed: dict[str, list[int]] = field(default_factory=dict)


class People:
    """All people together; one event loop."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.record = Record()
        self._addresses = Addresses(folder)
        self._chance = random.Random(seed)  # noqa: S311 -- a crowd, not a secret
        self._town = Town(folder, self._chance)
        self._web = httpx2.AsyncClient(
            trust_env=False, timeout=10.0, limits=httpx2.Limits(max_connections=BUSY)
        )
        self._lists: deque[str] = deque(maxlen=20)
        self._waiting: list[tuple[float, int, dict[str, str]]] = []  # opens by the moment at which they come
        self._number = itertools.count(1)
        self._under_way: set[asyncio.Task[None]] = set()

    async def live(self) -> None:
        """Until cancelled: everybody does what they do."""
        async with self._web:
            # Some people asked never to be written to again, before all this began.
            await self._ask("contact-importer", "POST", "/suppressed", self._town.suppressed)
            try:
                async with asyncio.TaskGroup() as life:
                    life.create_task(self._again_and_again(RATES["imports"], self._upload))
                    life.create_task(self._again_and_again(RATES["campaigns"], self._send))
                    life.create_task(self._again_and_again(RATES["editor"], self._edit))
                    life.create_task(self._report_opens())
            finally:
                # Who has asked waits for the answer: the record must hold all that was acknowledged.
                if self._under_way:
                    await asyncio.wait(self._under_way, timeout=5.0)

    def take(self, mails: list[dict[str, str]]) -> None:
        """Mails arrive: most are opened, a few within a second, some much later."""
        moment = asyncio.get_running_loop().time()
        for mail in mails:
            if self._chance.random() < OPENED:
                delay = min(40.0, self._chance.lognormvariate(0.7, 1.0))
                # The number settles which of two opens at one moment comes first.
                number = next(self._number)
                event = {**self._town.an_open(), "mail": mail["id"], "id": f"open-{number}"}
                heapq.heappush(self._waiting, (moment + delay, number, event))

    async def _again_and_again(self, rate: float, act: Callable[[], Awaitable[None]]) -> None:
        """`rate` times a second on average, each at a moment of its own, no matter how the last one fares."""
        due = asyncio.get_running_loop().time()
        while True:
            due += self._chance.expovariate(rate)
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            if len(self._under_way) < BUSY:
                self._begin(act())

    def _begin(self, act: Awaitable[None]) -> None:
        async def to_its_end() -> None:
            await act

        task = asyncio.create_task(to_its_end())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _ask(self, service: str, method: str, path: str, body: Any = None) -> bool:
        """One request; True when the answer is good. Refused with a reason (4xx) is not a failure of theirs."""
        try:
            answered = await self._web.request(method, self._addresses.of(service) + path, json=body)
        except httpx2.HTTPError:
            return False  # nobody there at this moment: the next request goes to whoever serves then
        if answered.status_code >= 500:
            self.record.failed.setdefault(service, []).append(now())
        return answered.is_success

    async def _upload(self) -> None:
        name = f"list-{next(self._number)}"
        if await self._ask("contact-importer", "POST", "/imports", self._town.upload(name)):
            self._lists.append(name)

    async def _send(self) -> None:
        if self._lists:
            campaign = {"id": f"campaign-{next(self._number)}", "list": self._chance.choice(self._lists)}
            await self._ask("mail-sender", "POST", "/campaigns", campaign)

    async def _edit(self) -> None:
        name = self._chance.choice(self._town.editor)
        await self._ask("image-resizer", "GET", f"/editor/{name}?width={EDITOR_WIDTH}")

    async def _look(self) -> None:
        name = self._chance.choice(self._town.campaign)
        await self._ask("image-resizer", "GET", f"/campaign/{name}?width={MAIL_WIDTH}")

    async def _report_opens(self) -> None:
        while True:
            await asyncio.sleep(BATCH)
            moment = asyncio.get_running_loop().time()
            batch = []
            while self._waiting and self._waiting[0][0] <= moment:
                batch.append(heapq.heappop(self._waiting)[2])
            if batch:
                self._begin(self._report(batch))
            for _ in batch:
                if self._chance.random() < WITH_IMAGE:
                    self._begin(self._look())

    async def _report(self, batch: list[dict[str, str]]) -> None:
        happened = now()
        if await self._ask("event-parser", "POST", "/events", batch):
            self.record.opens.update((event["id"], happened) for event in batch)


def app(folder: Path, people: People) -> Starlette:
    """POST /mails; and the people live as long as their mailboxes are open."""

    async def mails(request: Request) -> Response:
        people.take(json.loads(await request.body()))
        return Response(status_code=204)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        life = asyncio.create_task(people.live())
        # Mailboxes without people would look like a quiet night: this process ends with them.
        life.add_done_callback(lambda _: signal.raise_signal(signal.SIGTERM))
        yield
        life.cancel()
        with suppress(asyncio.CancelledError):
            await life
        record = {"opens": people.record.opens, "failed": people.record.failed}
        (folder / RECORD).write_text(json.dumps(record))

    return Starlette(routes=[Route("/mails", mails, methods=["POST"])], lifespan=lifespan)


def main() -> None:
    """Live until told to stop (SIGTERM), then write down what people know."""
    parser = argparse.ArgumentParser(description="the people around the demo's mail platform")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    answer(given.folder, MAILBOXES, app(given.folder, People(given.folder, given.seed)))


if __name__ == "__main__":
    main()
