"""Mail sender: a campaign goes to everybody on a list.

In: a campaign and the list that it is for. Out: mails, delivered to the readers' mailboxes.
Never: a mail to somebody whom the importer does not give out: lists are asked for when they are needed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stillwatch.demo.addresses import Addresses
from stillwatch.demo.serving import Surroundings, serve

SERVICE = "mail-sender"
MAILBOXES = "mailboxes"


def app(around: Surroundings) -> Starlette:
    """POST /campaigns: {"id": ..., "list": ...}."""
    addresses = Addresses(around.folder)
    delivered = around.meter.create_counter("emails_delivered")
    delivered.add(0)
    outside = httpx2.AsyncClient(trust_env=False)

    async def campaigns(request: Request) -> Response:
        campaign = json.loads(await request.body())
        asked = await outside.get(f"{addresses.of('contact-importer')}/lists/{campaign['list']}")
        if asked.status_code != 200:
            return Response(status_code=409)
        mails = [{"id": f"{campaign['id']}-{n}", "to": email} for n, email in enumerate(asked.json())]
        taken = await outside.post(f"{addresses.of(MAILBOXES)}/mails", json=mails)
        taken.raise_for_status()
        delivered.add(len(mails))
        return JSONResponse({"mails": len(mails)})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with outside:
            yield

    return Starlette(routes=[Route("/campaigns", campaigns, methods=["POST"])], lifespan=lifespan)


if __name__ == "__main__":
    serve(SERVICE, app)
