"""A web server of our own on a loopback port, for senders: keeps what came, answers as it is told.

In: HTTP requests. Out: the answers of `reply`, or the fault that was scripted for the next request.
Never: a word to the internet.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Headers = dict[str, str]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Headers  # names in small letters
    body: bytes


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False  # the connection is closed instead of an answer


class WebServer:
    """`reply` makes the answer to a request; `script` puts others before it."""

    def __init__(self, reply: Callable[[Request], Reply] = lambda _: Reply()) -> None:
        self.requests: list[Request] = []
        self._reply = reply
        self._faults: deque[Reply] = deque()

    def script(self, *replies: Reply) -> None:
        """The next requests are answered so and otherwise have no effect."""
        self._faults.extend(replies)

    def answer(self, request: Request) -> Reply:
        self.requests.append(request)
        return self._faults.popleft() if self._faults else self._reply(request)

    def __enter__(self) -> WebServer:
        ours = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = ours.answer(Request(self.command, self.path, headers, body))
                self.close_connection = True
                if reply.cut:
                    return
                self.send_response(reply.status)
                for name, value in reply.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            do_GET = do_PUT = do_PATCH = do_DELETE = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
