"""The HTTP door: who may come in, and what they are told.

In: requests (OTLP metrics, Prometheus remote write, deployments, health, what people ask and say), and the
callables of a Door. Out: a starlette app.
Never: a look at a clock, a store or a daemon; a traceback or a 500 for what a stranger sent.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from collector import announced, otlp, remote_write
from collector.deployments import Deployment
from collector.errors import printable, shown
from collector.guard import Guard
from collector.points import Readings
from collector.tokens import Purpose, Tokens, refusal
from collector.webhooks import cdevents
from collector.webhooks.hook import Hook
from collector.webhooks.receive import BODY, SENDERS, receive, receive_events
from collector.webhooks.signed import Unsigned
from collector.webhooks.told import Call, Passed

log = logging.getLogger(__name__)

_ENCODINGS: dict[str, otlp.Encoding] = {"application/x-protobuf": "protobuf", "application/json": "json"}
MOST_MEMBERS = 100  # of one gzip body; senders make one
DOORS = (
    "POST /v1/metrics (OTLP), POST /api/v1/write (remote write), POST /deployments, POST /webhooks/{sender}, "
    "GET /gate, GET /healthz, GET /metrics"
)
# What is handed to the desk, and with which methods.
DESK = {
    "/silences": ("GET", "POST"),
    "/silences/{id}": ("GET", "DELETE"),
    "/incidents": ("GET",),
    "/incidents/{id}": ("GET",),
    "/incidents/{id}/words": ("POST",),
    "/status": ("GET",),
    "/deployments": ("GET",),
}
_RPC_CODES = {400: 3, 401: 16, 413: 8, 415: 3, 503: 14}  # HTTP status -> google.rpc.Code


# What a sender of remote write calls its message, where it says so; without a word it is 1.0.
_PROTOCOLS: dict[str, remote_write.Protocol] = {
    "": "1.0",
    "prometheus.writerequest": "1.0",
    "io.prometheus.write.v2.request": "2.0",
}
# Of samples that no sender can mend, as a gauge that is called like a counter: counted, and no refusal.
_NO_FAULT = ("not finite", "negative")
STRANGERS = 8  # requests at one time whose sender is known by their body only
HURRY = 10.0  # seconds in which such a body must have come
BRIEF = ("ok", "watermark", "lag")  # of health, to whom it does not concern how we are in detail
SLACK = ("/slack/interactions", "/slack/commands")
SLACK_BODY = 1024 * 1024  # bytes: a press comes with the whole card


class Contradicted(Exception):  # noqa: N818  what was told is known otherwise
    """Of these deployments another version, kind or environment was told by the same id. The rest is taken."""

    def __init__(self, known: Sequence[Deployment]) -> None:
        one = known[0]
        name, service, version, place = map(shown, (one.id, one.service, one.version, one.environment))
        where = f" in {place}" if one.environment else ""
        super().__init__(
            f"not taken, {len(known)} in all: the id {name} of {service} is {version} ({one.kind}){where} already; "
            "expected an id of its own for each deployment, or none"
        )


class Busy(Exception):  # noqa: N818  what the sender is told, and comes back
    """What arrived cannot be kept safely just now; the sender keeps it and tries again."""

    def __init__(self, retry_after: int = 5) -> None:
        super().__init__(f"busy, try again in {retry_after} s")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks of the desk. path: as in DESK; named: what the path names and the parameters; body: as it
    came, unpacked."""

    method: str
    path: str
    named: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Door:
    """What lies behind the door. All are called in worker threads, several at a time: lock what is shared.

    metrics: takes Readings; returns once they cannot be lost, with how many were refused by reason
        (`Binner.add`'s answer). May raise Busy. deployments: takes them, told again or not; returns what it knows
        otherwise by the same id and service, if anything; may raise Busy.
    clock: epoch seconds. health: what /healthz answers as JSON; {"ok": False, ...} makes it a 503. Only BRIEF is
        told to who brings no token for reading. own: what is measured of ourselves, and its Content-Type.
    gate: the verdict on a candidate, from the parameters of the address, as JSON; ValueError for a bad question.
    desk: answers what people ask and say of incidents with a status and JSON; may raise Busy, and ValueError for
        what makes no sense.
    slack: the HTTP status for what comes at the paths of SLACK, with its headers and body; Slack brings no token,
        but a signature, which is looked at there.
    webhooks: by the last part of their path; their senders bring a signature, or a token of their own.
    processes: who was heard of before, for what remote write says of them only now and then.
    tokens: who may come in for what; none at all lets everybody in who asks for an address, or for localhost.
    open: nobody needs one, and we may be asked for by any name.
    body: bytes a body may have, packed and unpacked; at_once: requests with a body held at one time;
    patience: seconds in which a body must have come.
    """

    metrics: Callable[[Readings], Mapping[str, int]]
    deployments: Callable[[Sequence[Deployment]], Sequence[Deployment] | None]
    clock: Callable[[], float]
    health: Callable[[], Mapping[str, object]]
    own: Callable[[], tuple[bytes, str]] | None = None
    gate: Callable[[Mapping[str, str]], Mapping[str, object]] | None = None
    desk: Callable[[Asked], tuple[int, object]] | None = None
    slack: Callable[[str, Mapping[str, str], bytes], int] | None = None
    decode: Callable[[bytes, otlp.Encoding], Readings] = field(default_factory=lambda: otlp.Decoder().decode)
    webhooks: Mapping[str, Hook] = field(default_factory=dict)
    processes: Callable[[], Sequence[str]] = tuple
    tokens: Tokens = field(default_factory=Tokens)
    open: bool = False
    body: int = 16 * 1024 * 1024
    at_once: int = 32
    patience: float = 30.0


class Shared:
    """One answer for all who ask while it is being made: a flood of questions costs what one does."""

    def __init__(self, make: Callable[[], Awaitable[Mapping[str, object]]]) -> None:
        self._make = make
        self._coming: asyncio.Task[Mapping[str, object]] | None = None

    async def __call__(self) -> Mapping[str, object]:
        if self._coming is None or self._coming.done():
            self._coming = asyncio.ensure_future(self._make())
        return await asyncio.shield(self._coming)


class Refused(Exception):  # noqa: N818
    """An HTTP status and a reason. retry_after: seconds, 0 = the same would be refused again."""

    def __init__(self, status: int, reason: str, retry_after: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.headers = {"Retry-After": str(retry_after)} if retry_after else {}


def app(door: Door) -> Starlette:
    """POST /v1/metrics (OTLP/HTTP), POST /api/v1/write (Prometheus remote write), POST /deployments (JSON), GET
    /gate, GET /healthz, GET /metrics (Prometheus text), and the desk.

    Answers: 200 (204 to remote write); 400 with a reason; 401 without a token for it; 413 too large; 415 another
    type or packing than the door takes; 503 with Retry-After when too much is going on, or a body comes slowly.
    To OTLP senders as a google.rpc.Status, in the encoding in which they asked.
    """
    room = asyncio.Semaphore(door.at_once)
    # Whose body has to come before it is known who sent it holds up nobody who brought a token.
    lobby = asyncio.Semaphore(STRANGERS)
    health_told = Shared(partial(run_in_threadpool, door.health))
    reader = remote_write.Reader(door.processes())

    async def metrics(request: Request) -> Response:
        encoding = _ENCODINGS.get(_media_type(request))
        try:
            if encoding is None:
                raise Refused(415, f"expected Content-Type {' or '.join(_ENCODINGS)}")
            return await _admit(request, door, room, "ingest", partial(_take_metrics, door, encoding))
        except Refused as no:
            return _status(no, encoding or "protobuf")

    async def write(request: Request) -> Response:
        kind, _, rest = request.headers.get("content-type", "").lower().partition(";")
        protocol = _PROTOCOLS.get(rest.strip().removeprefix("proto=").strip(' "'))
        try:
            if kind.strip() != "application/x-protobuf" or protocol is None:
                raise Refused(415, "expected Content-Type application/x-protobuf, of remote write 1.0 or 2.0")
            take = partial(_take_written, door, reader, protocol)
            return await _admit(request, door, room, "ingest", take, {"snappy": remote_write.unpack})
        except Refused as no:
            return PlainTextResponse(no.reason, no.status, no.headers)

    async def deployments(request: Request) -> Response:
        call = Call(dict(request.headers), b"", 0.0)
        try:
            if _media_type(request) != "application/json" and not cdevents.is_event(call):
                raise Refused(415, "expected Content-Type application/json, or a CloudEvent")
            return await _admit(request, door, room, "deployments", partial(_take_deployments, door, call))
        except Refused as no:
            return JSONResponse({"error": no.reason}, no.status, no.headers)

    async def health(request: Request) -> Response:
        answer = await health_told()
        whole = _brings(request, door, "reading") is not None
        told = {key: value for key, value in answer.items() if whole or key in BRIEF}
        return JSONResponse(told, 503 if answer.get("ok") is False else 200)

    async def own(request: Request) -> Response:
        if _brings(request, door, "reading") is None:
            return JSONResponse({"error": refusal("reading")}, 401)
        if door.own is None:
            return JSONResponse({"error": "nothing is measured here"}, 404)
        text, kind = await run_in_threadpool(door.own)
        return Response(text, media_type=kind)

    async def gate(request: Request) -> Response:
        if _brings(request, door, "reading") is None:
            return JSONResponse({"error": refusal("reading")}, 401)
        if door.gate is None:
            return JSONResponse({"error": "nothing is compared here"}, 404)
        if room.locked():
            return JSONResponse({"error": "too many requests at once"}, 503, {"Retry-After": "1"})
        async with room:
            try:
                return JSONResponse(dict(await run_in_threadpool(door.gate, dict(request.query_params))))
            except ValueError as error:
                return JSONResponse({"error": str(error)}, 400)
            except Busy as busy:
                return JSONResponse({"error": "not now"}, 503, {"Retry-After": str(busy.retry_after)})

    def at_desk(path: str) -> Callable[[Request], Awaitable[Response]]:
        async def desk(request: Request) -> Response:
            purpose: Purpose = "reading" if _method(request) == "GET" else "acting"
            try:
                if request.method == "POST" and _media_type(request) != "application/json":
                    raise Refused(415, "expected Content-Type application/json")
                return await _admit(request, door, room, purpose, partial(_ask_desk, door, path, request))
            except Refused as no:
                return JSONResponse({"error": no.reason}, no.status, no.headers)

        return desk

    async def webhook(request: Request) -> Response:
        hook = door.webhooks.get(request.path_params["sender"])
        try:
            if hook is None:
                raise Refused(404, _no_hook(request.path_params["sender"]))
            if _media_type(request) != "application/json":
                raise Refused(415, "expected Content-Type application/json")
            within = replace(door, body=min(BODY, door.body), patience=min(HURRY, door.patience))
            take = partial(_take_webhook, door, hook, dict(request.headers))
            return await _admit(request, within, lobby, None, take)
        except Refused as no:
            return JSONResponse({"error": no.reason}, no.status, no.headers)

    async def slack(request: Request) -> Response:
        if door.slack is None:
            return Response(status_code=404)
        if lobby.locked():
            return Response(status_code=503)
        within = replace(door, body=min(SLACK_BODY, door.body), patience=min(HURRY, door.patience))
        try:
            async with lobby:
                body = await _body(request, within)
                status = await run_in_threadpool(door.slack, request.url.path, dict(request.headers), body)
        except Refused as no:
            return Response(status_code=no.status)
        return Response(status_code=status)

    answers = Starlette(
        routes=[
            *(Route(path, slack, methods=["POST"]) for path in SLACK),
            *(Route(path, at_desk(path), methods=list(methods)) for path, methods in DESK.items()),
            Route("/v1/metrics", metrics, methods=["POST"]),
            Route("/api/v1/write", write, methods=["POST"]),
            Route("/deployments", deployments, methods=["POST"]),
            Route("/webhooks/{sender}", webhook, methods=["POST"]),
            Route("/gate", gate, methods=["GET"]),
            Route("/healthz", health, methods=["GET"]),
            Route("/metrics", own, methods=["GET"]),
        ],
        middleware=[Middleware(Guard, by_address=not door.tokens.wanted and not door.open)],
        exception_handlers={404: _elsewhere, 405: _elsewhere},
    )
    answers.router.redirect_slashes = False  # an exporter that does not follow would lose its counts
    return answers


async def _elsewhere(_: Request, error: Exception) -> Response:
    """There is no such door: say which there are."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (404, None)
    doors = ", ".join([DOORS, *(f"{' or '.join(methods)} {path}" for path, methods in DESK.items())])
    return JSONResponse({"error": f"expected one of {doors}"}, status, headers)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


Unpack = Callable[[bytes, int], bytes]  # a body, and the most bytes that it may unpack to


async def _admit(
    request: Request,
    door: Door,
    room: asyncio.Semaphore,
    purpose: Purpose | None,
    take: Callable[[bytes], Response],
    packings: Mapping[str, Unpack | None] | None = None,
) -> Response:
    """What `take` answers to the body, for a sender who may come in while there is room. Raises Refused.

    purpose: what the sender has to bring a token for; None where the body says who sent it.
    packings: the Content-Encodings that are understood; gzip and identity if left out.
    """
    packings = {"gzip": unpack, "identity": None} if packings is None else packings
    brought = "" if purpose is None else _brings(request, door, purpose)
    if purpose is not None and brought is None:
        raise Refused(401, refusal(purpose))
    if purpose == "acting" and brought:
        log.info("%s %s, with the token %s", request.method, printable(request.url.path[:200]), brought)
    packing = request.headers.get("content-encoding", "identity").strip().lower() or "identity"
    if packing not in packings:
        raise Refused(415, f"expected Content-Encoding {' or '.join(packings)}")
    unpacked = packings[packing]
    if room.locked():
        raise Refused(503, "too many requests at once", retry_after=1)
    async with room:
        body = await _body(request, door)
        try:
            if unpacked is not None:
                body = await run_in_threadpool(unpacked, body, door.body)
            return await run_in_threadpool(take, body)
        except otlp.BadRequest as error:
            raise Refused(400, str(error)) from None
        except remote_write.TooLarge as error:
            raise Refused(413, str(error)) from None
        except Busy as busy:
            raise Refused(503, "not now", busy.retry_after) from None


def _brings(request: Request, door: Door, purpose: Purpose) -> str | None:
    return door.tokens.opened_by(purpose, request.headers.get("authorization", ""))


async def _body(request: Request, door: Door) -> bytes:
    """The body as it came, packed or not. Raises Refused: too large, too slow, or the sender went away."""
    too_large = Refused(413, f"expected a body of at most {door.body} bytes")
    said = request.headers.get("content-length", "")
    if said.isdecimal() and len(said) < 20 and int(said) > door.body:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(door.patience):
            async for piece in request.stream():
                body += piece
                if len(body) > door.body:
                    raise too_large
    except TimeoutError:
        raise Refused(503, f"expected the whole body within {door.patience:g} s", retry_after=1) from None
    except ClientDisconnect:
        raise Refused(400, "the body was cut") from None
    return bytes(body)


def unpack(body: bytes, most: int) -> bytes:
    """The contents of a gzip body of one or more members, never more than `most` bytes held at a time."""
    parts: list[bytes] = []
    room = most
    for _ in range(MOST_MEMBERS):
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(body, room + 1)
        except zlib.error:
            raise otlp.BadRequest("Content-Encoding is gzip, the body is not") from None
        if len(part) > room:
            raise Refused(413, f"expected at most {most} bytes when unpacked")
        if not member.eof:
            raise otlp.BadRequest("the gzip body is cut")
        parts.append(part)
        room -= len(part)
        body = member.unused_data
        if not body:
            return b"".join(parts)
    # What follows a member is copied: a body of nothing but empty ones would keep a core busy for minutes.
    raise otlp.BadRequest(f"expected at most {MOST_MEMBERS} gzip members")


def _take_metrics(door: Door, encoding: otlp.Encoding, body: bytes) -> Response:
    """Hand on what the body says; tell the sender what could not be taken, as OTLP's partial success."""
    return _message(metrics_answer(door.metrics(door.decode(body, encoding))), encoding, 200)


def metrics_answer(refused: Mapping[str, int]) -> ExportMetricsServiceResponse:
    """Success, or OTLP's partial success: how many data points were refused, and why."""
    answer = ExportMetricsServiceResponse()
    if refused:
        answer.partial_success.rejected_data_points = sum(refused.values())
        reasons = sorted(refused.items())
        answer.partial_success.error_message = ", ".join(f"{n} {reason}" for reason, n in reasons)
    return answer


def _take_deployments(door: Door, call: Call, body: bytes) -> Response:
    now = door.clock()
    try:
        if cdevents.is_event(call):
            return _heard(door, partial(receive_events, replace(call, body=body, now=now)))
        return _heard(door, partial(announced.deployments, body, now))
    except Contradicted as what:
        raise Refused(409, str(what)) from None


def _take_webhook(door: Door, hook: Hook, headers: Mapping[str, str], body: bytes) -> Response:
    try:
        return _heard(door, partial(receive, hook, Call(headers, body, door.clock())))
    except Unsigned as no:
        raise Refused(401, str(no)) from None
    except Contradicted as what:  # no error: some senders stop calling who answers with those
        return JSONResponse({"deployments": [], "passed": str(what)})


def _heard(door: Door, hear: Callable[[], Sequence[Deployment]]) -> Response:
    """Take the deployments; what is none is answered as well, since its sender would send it again for an error."""
    try:
        told = hear()
    except Passed as why:
        return JSONResponse({"deployments": [], "passed": str(why)})
    otherwise = door.deployments(told)
    if otherwise:
        raise Contradicted(otherwise)
    known = [{"id": one.id, "service": one.service, "version": one.version} for one in told]
    return JSONResponse({"deployments": known})


def _take_written(
    door: Door, reader: remote_write.Reader, protocol: remote_write.Protocol, body: bytes
) -> Response:
    """Hand on what the body says: 204, or 400 where something could not be taken that a sender can mend; the rest
    is taken nevertheless. 2.0 asks how many were; what is no count was read and is not kept."""
    written = reader.read(body, protocol)
    refused = {reason: n for reason, n in door.metrics(written.readings).items() if reason not in _NO_FAULT}
    unread = sum(written.readings.refused.values())  # their series could not be read: not among the samples
    lost = min(max(sum(refused.values()) - unread, 0), written.samples)
    headers = {
        "X-Prometheus-Remote-Write-Samples-Written": str(written.samples - lost),
        "X-Prometheus-Remote-Write-Histograms-Written": str(written.histograms),
        "X-Prometheus-Remote-Write-Exemplars-Written": "0",
    }
    if refused:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(refused.items()))
        return PlainTextResponse(
            f"not taken of {written.samples + written.histograms + unread}: {reasons}", 400, headers
        )
    return Response(status_code=204, headers=headers)


def _no_hook(sender: str) -> str:
    if sender in SENDERS:
        return f"nothing is set for this sender; set `webhooks: {{{sender}: {{secret_env: ...}}}}`"
    return "expected one of /webhooks/" + ", /webhooks/".join(SENDERS)


def _ask_desk(door: Door, path: str, request: Request, body: bytes) -> Response:
    if door.desk is None:
        return JSONResponse({"error": "nobody is at the desk here"}, 404)
    named = {**request.query_params, **request.path_params}
    try:
        status, answer = door.desk(Asked(_method(request), path, named, body))
    except ValueError as error:
        return JSONResponse({"error": str(error)}, 400)
    return JSONResponse(answer, status)


def _method(request: Request) -> str:
    return "GET" if request.method == "HEAD" else request.method


def _status(no: Refused, encoding: otlp.Encoding) -> Response:
    """The refusal as OTLP wants it; the HTTP status says what to do, the text says why."""
    return _message(Status(code=_RPC_CODES[no.status], message=no.reason), encoding, no.status, no.headers)


def _message(
    message: Message, encoding: otlp.Encoding, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    if encoding == "json":
        return Response(json_format.MessageToJson(message), status, headers, "application/json")
    return Response(message.SerializeToString(), status, headers, "application/x-protobuf")
