"""The doors that stand open while we watch: HTTP and gRPC on the ports of the settings, with their certificate.

In: what the settings say, what is behind the door (collector/server.py). Out: threads that serve, or CannotStart
with what is in the way. Never: an answer of its own.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from collector.connections import affordable, bounded
from collector.server import Door, app
from stillwatch.config import Listen, Settings
from stillwatch.starting import CannotStart
from stillwatch.tls import Shown

log = logging.getLogger(__name__)

USUAL_GRPC = 4317  # where senders of OTLP over gRPC look for a collector
IDLE = 75  # seconds for which a connection is kept; longer than a minute between exports
PATIENCE = 3.0  # seconds in which a stop is over, whatever is going on


@contextmanager
def serving(door: Door, listener: socket.socket, shown: Shown | None) -> Iterator[threading.Thread]:
    """HTTP, or HTTPS with what is shown, in a thread that ends by itself only when it is broken."""
    config = uvicorn.Config(
        app(door),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        http=bounded(affordable()),
        proxy_headers=False,  # nothing here depends on who asks from where
        timeout_graceful_shutdown=1,
        timeout_keep_alive=IDLE,
    )
    config.load()
    config.ssl = None if shown is None else shown.context
    server = uvicorn.Server(config)
    # In a thread of its own uvicorn leaves the signals to us.
    # It closes what it is given; whoever connects meanwhile is to wait for the next one.
    thread = threading.Thread(target=server.run, args=([listener.dup()],), name="door", daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


@contextmanager
def serving_grpc(door: Door, settings: Settings, port: int, shown: Shown | None) -> Iterator[None]:
    """OTLP over gRPC. port: 0 = not at all."""
    if not port:
        yield
        return
    from collector.grpc_door import listen  # costs a tenth of a second

    try:
        server, _ = listen(
            door, settings.listen.host, port, None if shown is None else shown.renewed, affordable()
        )
    except OSError as error:  # somebody took the port since it was looked at
        raise CannotStart(str(error)) from None
    try:
        yield
    finally:
        server.stop(1).wait(PATIENCE)


def grpc_port(wanted: Listen) -> int:
    """The port for gRPC, 0 = none. The usual one may belong to somebody else.

    Raises CannotStart where the settings name one that is not free.
    """
    port = USUAL_GRPC if wanted.grpc_port is None else wanted.grpc_port
    if not port:
        return 0
    try:
        with listener(wanted.host, port, "grpc_port"):
            return port
    except CannotStart as taken:
        if wanted.grpc_port is not None:
            raise
        log.warning("no OTLP over gRPC, only over HTTP: %s", taken)
        return 0


def find_free(wanted: Listen) -> None:
    """Raises CannotStart where somebody else has a port that the settings name."""
    with listener(wanted.host, wanted.port):
        pass
    if wanted.grpc_port:
        with listener(wanted.host, wanted.grpc_port, "grpc_port"):
            pass


@contextmanager
def listener(host: str, port: int, key: str = "port") -> Iterator[socket.socket]:
    """A socket that listens. key: how the port is called in the settings. Raises CannotStart."""
    try:
        listener = socket.create_server((host, port), family=_family(host), backlog=256)
    except OSError as error:
        raise CannotStart(
            f"cannot listen on {host}:{port} ({error.strerror or error}); is another Stillwatch or collector "
            f"there? Set `listen: {{{key}: ...}}`"
        ) from None
    with listener:
        yield listener


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def certificate(wanted: Listen) -> Shown | None:
    """The certificate of our doors, if there is one. Raises CannotStart: also where the doors would stand open."""
    if wanted.stands_open:
        raise CannotStart(wanted.stands_open)
    if wanted.tls is None:
        return None
    if trouble := wanted.tls.trouble():
        raise CannotStart(trouble)
    return Shown(wanted.tls)
