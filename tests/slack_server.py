"""A Slack of our own on a loopback port, for the real client: strict, and with faults on demand.

In: HTTP as slack-sdk sends it. Out: Slack's answers, or the fault that was scripted for that call.
Never: a word to the internet.

    with SlackServer() as slack:
        slack.script("chat.postMessage", cut(taken=True))
        Slack(slack.token, slack.base_url).send(...)
        slack.channel("C0ALERTS").messages
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from slack_methods import Channel, Workspace, call
from slack_socket import Sockets
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from uvicorn.protocols.http.h11_impl import H11Protocol


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one call. taken: the work is done all the same, only the answer is bad.

    how: answer (status, headers and body as given), cut (the connection is reset), hang (no answer until the
    client gives up).
    """

    how: str = "answer"
    status: int = 200
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    taken: bool = False


def too_many(seconds: int | None = 30) -> Fault:
    """429 with Retry-After (without it when None)."""
    headers = () if seconds is None else (("Retry-After", str(seconds)),)
    return Fault(status=429, body='{"ok":false,"error":"ratelimited"}', headers=headers)


def refuse(error: str, taken: bool = False) -> Fault:
    """200 with `ok: false` and this error."""
    return Fault(body=json.dumps({"ok": False, "error": error}), taken=taken)


def broken(status: int = 500, taken: bool = False) -> Fault:
    """A 5xx with the HTML of whatever stands in front of Slack."""
    return Fault(status=status, body="<html><h1>Server Error</h1></html>", taken=taken)


def garbage(body: str = "<html>Welcome to the hotel's network</html>", taken: bool = False) -> Fault:
    """200 with something that is not Slack's."""
    return Fault(body=body, taken=taken)


def cut(taken: bool = False) -> Fault:
    """The connection is reset instead of an answer."""
    return Fault(how="cut", taken=taken)


def hang(taken: bool = False) -> Fault:
    """No answer until the client goes away."""
    return Fault(how="hang", taken=taken)


@dataclass(frozen=True)
class Call:
    """One request that came in."""

    method: str
    args: dict[str, Any]


class SlackServer:
    """Slack, as far as Stillwatch needs it.

    token: what is let in. channels: C0ALERTS (#alerts) and C0FALLBACK (#fallback) at first.
    sockets: what people press and type, and Socket Mode.
    calls: what came in, in order. space: scopes, page_limit and all that stands there.
    """

    def __init__(self) -> None:
        self.token = "xoxb-00000-of-our-own-slack"
        self.calls: list[Call] = []
        self.space = Workspace()
        self.sockets = Sockets()
        self.add_channel("C0ALERTS", "alerts")
        self.add_channel("C0FALLBACK", "fallback")
        self._revoked = False
        self._faults: defaultdict[str, deque[Fault | None]] = defaultdict(deque)
        self._wires: dict[tuple[str, int], asyncio.Transport] = {}

    # What a test, or a person in the workspace, does.

    def channel(self, channel_id: str) -> Channel:
        return self.space.channels[channel_id]

    def add_channel(
        self,
        channel_id: str,
        name: str,
        *,
        private: bool = False,
        archived: bool = False,
        member: bool = True,
    ) -> Channel:
        made = Channel(channel_id, name, private, archived, member)
        self.space.channels[channel_id] = made
        return made

    def script(self, method: str, *faults: Fault | None) -> None:
        """The next calls of this method go wrong like this, in order; None lets one pass.

        The method of the raw upload of a file is "upload"."""
        self._faults[method].extend(faults)

    def forget_faults(self) -> None:
        self._faults.clear()

    def revoke(self) -> None:
        self._revoked = True

    def restore(self) -> None:
        self._revoked = False

    def count(self, method: str) -> int:
        """How often this method was called."""
        return sum(one.method == method for one in self.calls)

    # The server.

    def __enter__(self) -> SlackServer:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.base_url = f"{origin}/api/"
        self.sockets.origin = origin
        self.space.upload_url = f"{origin}/upload/v1/"
        routes = [
            Route("/api/{method:path}", self._api, methods=["GET", "POST"]),
            Route("/upload/v1/{file}", self._upload, methods=["POST"]),
            Route("/actions/{ticket}", self.sockets.answered, methods=["POST"]),
            Route("/commands/{ticket}", self.sockets.answered, methods=["POST"]),
            WebSocketRoute("/link", self.sockets.link),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), http=self._protocol(), ws="websockets-sansio", lifespan="off",
            log_config=None, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._listener = listener
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:  # a server that has not started cannot be told to stop
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("our Slack did not start")
            time.sleep(0.002)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._listener.close()

    def _protocol(self) -> type[H11Protocol]:
        wires = self._wires

        class Cuttable(H11Protocol):
            """Remembers the connection of each client, so that a fault can reset it."""

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                wires[transport.get_extra_info("peername")[:2]] = transport
                super().connection_made(transport)

        return Cuttable

    async def _api(self, request: Request) -> Response:
        method = request.path_params["method"]
        args, kind = await _args(request)
        token = request.headers.get("authorization", "").removeprefix("Bearer ") or str(args.pop("token", ""))
        if kind is not None:
            return JSONResponse({"ok": False, "error": kind})
        self.calls.append(Call(method, args))
        fault = self._next_fault(method)
        if fault is not None and not fault.taken:
            return await self._go_wrong(fault, request)
        if method == "apps.connections.open":
            return JSONResponse(self.sockets.connections_open(token))
        error = self._refuse_token(token)
        answer = call(self.space, method, args) if error is None else {"ok": False, "error": error}
        if fault is not None:
            return await self._go_wrong(fault, request)
        scopes = {} if error else {"x-oauth-scopes": ",".join(sorted(self.space.scopes))}
        return JSONResponse(answer, headers=scopes)

    async def _upload(self, request: Request) -> Response:
        one = self.space.uploads.get(request.path_params["file"])
        data = await request.body()
        self.calls.append(Call("upload", {"bytes": len(data)}))
        fault = self._next_fault("upload")
        if fault is not None and not fault.taken:
            return await self._go_wrong(fault, request)
        if one is None or len(data) != one.length:
            return Response("length does not match", status_code=400)
        one.data = data
        return Response(f"OK - {len(data)}") if fault is None else await self._go_wrong(fault, request)

    def _next_fault(self, method: str) -> Fault | None:
        waiting = self._faults[method]
        return waiting.popleft() if waiting else None

    def _refuse_token(self, token: str) -> str | None:
        if not token:
            return "not_authed"
        if token != self.token:
            return "invalid_auth"
        return "token_revoked" if self._revoked else None

    async def _go_wrong(self, fault: Fault, request: Request) -> Response:
        if fault.how == "cut" and request.client is not None:
            self._wires[(request.client.host, request.client.port)].abort()
        if fault.how == "hang":
            while (await request.receive())["type"] != "http.disconnect":
                pass
        kind = "application/json" if fault.body.startswith("{") else "text/html"
        return Response(fault.body, fault.status, dict(fault.headers), media_type=kind)


async def _args(request: Request) -> tuple[dict[str, Any], str | None]:
    """The arguments of a call, and what is wrong with its form, if anything."""
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind == "application/json":
        try:
            given = json.loads(await request.body())
        except json.JSONDecodeError:
            return {}, "invalid_json"
        return (given, None) if isinstance(given, dict) else ({}, "json_not_object")
    sent = f"{request.url.query}&{(await request.body()).decode()}"
    return dict(parse_qsl(sent, keep_blank_values=True)), None
