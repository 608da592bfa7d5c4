"""What people press and type in our own Slack, and the sockets over which an app hears of it.

In: a press of a button that stands in a channel, a slash command. Out: envelopes over an open socket, or the form
of a signed request; what the app acknowledged, and what it answered at the address that came with it.
Never: an envelope given to a socket that has not said hello; a ticket that is good twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from slack_methods import Posted
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

ACK_WITHIN = 3.0  # seconds
USES = 5  # of an address for answers


@dataclass
class Sockets:
    """origin: http://HOST:PORT. acked: envelopes that were acknowledged, in order. answers: what was posted for
    those who pressed or typed. opened: how many sockets ever were."""

    origin: str = ""
    app_token: str = "xapp-1-of-our-own-slack"
    secret: str = "our-own-signing-secret"
    disabled: bool = False
    acked: list[str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    opened: int = 0
    _tickets: set[str] = field(default_factory=set)
    _uses: dict[str, int] = field(default_factory=dict)
    _open: list[WebSocket] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop | None = None
    _news: threading.Condition = field(default_factory=threading.Condition)

    # What Slack's server does.

    def connections_open(self, token: str) -> dict[str, Any]:
        """The answer of apps.connections.open."""
        if not token.startswith("xapp-"):
            return {"ok": False, "error": "not_allowed_token_type"}
        if token != self.app_token:
            return {"ok": False, "error": "invalid_auth"}
        if self.disabled:
            return {"ok": False, "error": "access_denied"}
        ticket = str(uuid4())
        self._tickets.add(ticket)
        return {"ok": True, "url": f"{self.origin.replace('http', 'ws', 1)}/link?ticket={ticket}&app_id=A0"}

    async def link(self, socket: WebSocket) -> None:
        ticket = socket.query_params.get("ticket", "")
        if ticket not in self._tickets:
            await socket.close()  # before it is accepted: HTTP 403
            return
        self._tickets.discard(ticket)
        await socket.accept()
        self._loop = asyncio.get_running_loop()
        await socket.send_text(json.dumps({"type": "hello", "num_connections": len(self._open) + 1}))
        with self._news:
            self._open.append(socket)
            self.opened += 1
            self._news.notify_all()
        try:
            while True:
                told = json.loads(await socket.receive_text())
                with self._news:
                    self.acked.append(told["envelope_id"])
                    self._news.notify_all()
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            with self._news:
                if socket in self._open:
                    self._open.remove(socket)
                self._news.notify_all()

    async def answered(self, request: Request) -> Response:
        """A post at the address that came with a press or a command."""
        ticket = request.path_params["ticket"]
        left = self._uses.get(ticket, 0)
        if left <= 0:
            return Response("expired_url", status_code=404)
        self._uses[ticket] = left - 1
        body = await request.json()
        with self._news:
            self.answers.append(body)
            self._news.notify_all()
        return Response("ok")

    # What a test, or a person in the workspace, does.

    def wait_for(self, sockets: int, ever: bool = False) -> None:
        """Until so many sockets are open (or were ever)."""
        with self._news:
            assert self._news.wait_for(lambda: (self.opened if ever else len(self._open)) >= sockets, 20)

    def answer(self, number: int = 1) -> str:
        """The text of the so-manieth answer, once it came."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.answers) >= number, 20), "no answer came"
        said = self.answers[number - 1]
        assert said["response_type"] == "ephemeral"
        return str(said["text"])

    def pressed(self, message: Posted, action_id: str, who: str = "anna", choice: int = 0) -> dict[str, Any]:
        """The payload of a press of what stands in this message. choice: of a menu."""
        element = next(
            one
            for block in message.blocks
            if block["type"] == "actions"
            for one in block["elements"]
            if one["action_id"] == action_id
        )
        done = {
            "type": element["type"],
            "action_id": action_id,
            "block_id": "b1",
            "action_ts": f"{time.time():.6f}",
        }
        if element["type"] == "static_select":
            done["selected_option"] = element["options"][choice]
        elif "value" in element:
            done["value"] = element["value"]
        return {
            "type": "block_actions",
            "user": {"id": "U0ANNA", "username": who, "name": who, "team_id": "T0"},
            "api_app_id": "A0",
            "token": "deprecated",
            "container": {"type": "message", "message_ts": message.ts, "channel_id": "C0ALERTS"},
            "trigger_id": "1.2.3",
            "team": {"id": "T0", "domain": "ours"},
            "channel": {"id": "C0ALERTS", "name": "alerts"},
            "message": message.seen(True),
            "state": {"values": {}},
            "response_url": self._address("actions"),
            "actions": [done],
        }

    def typed(self, text: str, who: str = "anna") -> dict[str, Any]:
        """The payload of `/stillwatch text`."""
        return {
            "token": "deprecated", "team_id": "T0", "channel_id": "C0ALERTS", "channel_name": "alerts",
            "user_id": "U0ANNA", "user_name": who, "command": "/stillwatch", "text": text, "api_app_id": "A0",
            "response_url": self._address("commands"), "trigger_id": "1.2.3",
        }  # fmt: skip

    def send(self, kind: str, payload: dict[str, Any], envelope: str = "") -> bool:
        """Hand it to one open socket; whether it was acknowledged in time."""
        name = envelope or str(uuid4())
        whole = {"envelope_id": name, "payload": payload, "type": kind, "accepts_response_payload": False}
        before = self.acked.count(name)
        self._say(whole)
        with self._news:
            return self._news.wait_for(lambda: self.acked.count(name) > before, ACK_WITHIN)

    def signed(self, fields: dict[str, str], at: float | None = None) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a request as Slack signs it. at: epoch seconds."""
        body = urlencode(fields).encode()
        moment = str(int(time.time() if at is None else at))
        whole = b"v0:" + moment.encode() + b":" + body
        signature = "v0=" + hmac.new(self.secret.encode(), whole, hashlib.sha256).hexdigest()
        return body, {
            "content-type": "application/x-www-form-urlencoded",
            "x-slack-request-timestamp": moment,
            "x-slack-signature": signature,
        }

    def ask_to_leave(self, reason: str) -> None:
        """What Slack says before it closes a socket: warning, refresh_requested or link_disabled."""
        self._say({"type": "disconnect", "reason": reason, "debug_info": {"host": "ours"}})

    def cut(self) -> None:
        """All sockets are closed without a word."""
        assert self._loop is not None
        for socket in list(self._open):
            asyncio.run_coroutine_threadsafe(socket.close(1011), self._loop).result(5)

    def _say(self, message: dict[str, Any]) -> None:
        assert self._loop is not None, "no socket was ever open"
        assert self._open, "no socket is open"
        socket = self._open[0]
        with contextlib.suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(socket.send_text(json.dumps(message)), self._loop).result(5)

    def _address(self, kind: str) -> str:
        ticket = uuid4().hex
        self._uses[ticket] = USES
        return f"{self.origin}/{kind}/{ticket}"
