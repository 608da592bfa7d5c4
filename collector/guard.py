"""What a browser was led to send is turned away, and a browser may do nothing with what we answer.

In: an ASGI app. Out: the same app behind a guard. Never: a cookie; a page of somebody else's that reads or acts.

A page that somebody visits can make their browser ask a daemon on their own machine; the browser says whose page it
is (`Origin`). One whose name leads to 127.0.0.1 a moment later (DNS rebinding) would count as ours, but its name
stands in `Host`: where no token is wanted, only addresses and `localhost` are answered.
"""

from __future__ import annotations

import ipaddress
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
SIGNED = ("/webhooks/", "/slack/")  # what comes there proves by itself who sent it


class Guard:
    """by_address: whether only who asks for an address or for localhost is answered."""

    def __init__(self, app: ASGIApp, by_address: bool) -> None:
        self._app = app
        self._by_address = by_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        why = self._why_not(scope, Headers(scope=scope))
        if why:
            return await JSONResponse({"error": why}, 403)(scope, receive, headed)
        return await self._app(scope, receive, headed)

    def _why_not(self, scope: MutableMapping[str, Any], headers: Headers) -> str:
        host, origin = headers.get("host", ""), headers.get("origin")
        # As browsers write it, or it is not ours; https:// also where a proxy speaks TLS for us.
        own = {f"{scheme}://{host}".lower() for scheme in ("http", "https")}
        if origin is not None and origin.lower() not in own:
            return "a page of another site asks; expected none, or a program"
        if self._by_address and not scope["path"].startswith(SIGNED) and not is_address(host):
            return (
                "expected an address or localhost as Host, as no token is wanted here: to be asked by name, set "
                "`listen: {tokens: ...}` (`stillwatch token` makes them) or `listen: {open: true}`"
            )
        return ""


def is_address(host: str) -> bool:
    """Whether a Host is what no name server was asked for: an address, or localhost (browsers always send one)."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name in ("", "localhost"):
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
