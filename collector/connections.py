"""Connections to the HTTP door: how many there may be, how long a head may be, and in which time it has to come.

In: bytes of strangers. Out: requests, to uvicorn; or a short answer, and the connection is closed.
Never: a connection that costs memory or a descriptor for as long as its sender likes.

Bodies are looked after by the door itself (server.py), which knows how large they may be.
"""

from __future__ import annotations

import asyncio
import resource

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

RESERVED = 256  # descriptors for the database, for those whom we tell and ask, and for what libraries open
WANTED = 20_000  # descriptors; far above what senders of a company need, if the system lets us
LEAST = 64


class Connection(HttpToolsProtocol):
    """uvicorn's own, within bounds.

    most: connections at one time; who comes later is told so and closed. head: bytes from the first of a request to
    the end of its headers (what was read with one call comes on top). patience: seconds in which they have to come.
    """

    most = LEAST
    head = 64 * 1024
    patience = 10.0

    _came = 0  # bytes of the head that is coming
    _in_head = False
    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(b"503 Service Unavailable", b"too many connections")
        else:
            self._wind()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwind()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._clock is None and (self.cycle is None or self.cycle.response_complete):
            self._wind()
        super().data_received(data)
        if self._in_head:
            self._came += len(data)
            if self._came > self.head and not self.transport.is_closing():
                self._refuse(b"431 Request Header Fields Too Large", b"expected shorter headers")

    def on_message_begin(self) -> None:
        self._in_head, self._came = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._unwind()
        super().on_headers_complete()

    def _wind(self) -> None:
        self._clock = self.loop.call_later(self.patience, self._too_slow)

    def _unwind(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _too_slow(self) -> None:
        self._clock = None
        if not self.transport.is_closing():
            self._refuse(b"408 Request Timeout", b"expected the headers sooner")

    def _refuse(self, status: bytes, why: bytes) -> None:
        self._unwind()
        length = str(len(why)).encode()
        self.transport.write(
            b"HTTP/1.1 %s\r\ncontent-type: text/plain\r\ncontent-length: %s\r\nconnection: close\r\n\r\n%s"
            % (status, length, why)
        )
        self.transport.close()


def bounded(most: int, patience: float = Connection.patience) -> type[Connection]:
    """Connections of which there may be `most`, each with `patience` seconds for a head."""
    return type("Bounded", (Connection,), {"most": most, "patience": patience})


def affordable() -> int:
    """How many connections there may be, with what the process may open: half of what is not reserved for HTTP, and
    as many for gRPC. Asks the system for more than it gives by itself, once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or soft < min(hard, WANTED):
        soft = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(LEAST, (soft - RESERVED) // 2)
