"""The gRPC door: OTLP metrics as the HTTP door takes them, and the same answers in gRPC's words. grpcio lives here.

In: calls of MetricsService/Export, and the callables of a Door. Out: a server that listens.
Never: a message unpacked beyond its bound, a refusal that a sender takes for lost when it may send again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from collector import otlp
from collector.connections import LEAST
from collector.server import Busy, Door, Refused, metrics_answer, unpack
from collector.tokens import refusal

EXPORT = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
HEAD = 16 * 1024  # bytes of metadata
IDLE = 600_000  # milliseconds; senders export every few seconds, and connect anew by themselves
SPARE = 4  # threads that turn away who finds no room
_GZIP = b"\x1f\x8b"  # no request begins so in protobuf
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,  # without a time to come again: not to be sent again
    503: grpc.StatusCode.UNAVAILABLE,
}


Pair = tuple[bytes, bytes]  # key and certificate in PEM


def listen(
    door: Door, host: str, port: int, shown: Callable[[], Pair] | None = None, most: int = LEAST
) -> tuple[grpc.Server, int]:
    """A server that has begun to listen, and its port. port 0: any that is free. shown: asked at each handshake;
    without it calls come in the clear. most: connections at one time, the next is closed. Raises OSError."""
    server = grpc.server(
        ThreadPoolExecutor(door.at_once + SPARE, thread_name_prefix="grpc"),
        handlers=[_Export(door)],
        options=[
            ("grpc.max_receive_message_length", door.body),
            ("grpc.max_metadata_size", HEAD),
            ("grpc.max_allowed_incoming_connections", most),
            ("grpc.max_concurrent_streams", door.at_once + SPARE),  # of one connection
            ("grpc.server_handshake_timeout_ms", round(1000 * door.patience)),
            ("grpc.max_connection_idle_ms", IDLE),
            ("grpc.so_reuseport", 0),  # two daemons would share the port, each with half of the counts
            # Messages are handed over packed: how far they may be unpacked is looked after in one place.
            ("grpc.per_message_decompression", 0),
        ],
    )
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if shown is None:
            bound = server.add_insecure_port(address)
        else:
            first = grpc.ssl_server_certificate_configuration([shown()])
            bound = server.add_secure_port(
                address,
                grpc.dynamic_ssl_server_credentials(
                    first, lambda: grpc.ssl_server_certificate_configuration([shown()])
                ),
            )
    except RuntimeError as error:
        raise OSError(f"cannot listen on {host}:{port} for gRPC") from error
    server.start()
    return server, bound


class _Export(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, door: Door) -> None:
        self._door = door
        self._room = threading.BoundedSemaphore(door.at_once)

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if call.method != EXPORT:
            return None
        # As a stream of one: who may not come in is told so before the message is taken.
        return grpc.stream_unary_rpc_method_handler(self._export)

    def _export(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        try:
            brought = dict(context.invocation_metadata()).get("authorization", "")
            if self._door.tokens.opened_by("ingest", brought) is None:
                raise Refused(401, refusal("ingest"))
            if not self._room.acquire(blocking=False):
                raise Refused(503, "too many requests at once", retry_after=1)
            try:
                return self._take(self._message(messages, context))
            finally:
                self._room.release()
        except Refused as no:
            _refuse(context, no)

    def _message(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """The one message, while there is patience; then the call ends as cancelled, to be made again."""
        slow = threading.Timer(self._door.patience, context.cancel)
        slow.daemon = True
        slow.start()
        try:
            return next(messages)
        except StopIteration:
            raise Refused(400, "expected one message") from None
        finally:
            slow.cancel()

    def _take(self, body: bytes) -> bytes:
        try:
            if body.startswith(_GZIP):
                body = unpack(body, self._door.body)
            refused = self._door.metrics(self._door.decode(body, "protobuf"))
        except otlp.BadRequest as error:
            raise Refused(400, str(error)) from None
        except Busy as busy:
            raise Refused(503, "not now", busy.retry_after) from None
        answer: bytes = metrics_answer(refused).SerializeToString()
        return answer


def _refuse(context: grpc.ServicerContext, no: Refused) -> NoReturn:
    """End the call with a status; a sender comes again where RetryInfo says when."""
    code = _CODES[no.status]
    if no.retry_after:
        detail = AnyMessage()
        detail.Pack(RetryInfo(retry_delay=Duration(seconds=no.retry_after)))
        status = Status(code=code.value[0], message=no.reason, details=[detail])
        context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
    stop: Any = context.abort(code, no.reason)  # raises
    raise AssertionError(stop)
