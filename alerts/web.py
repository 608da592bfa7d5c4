"""One HTTP request to a place, and what its answer means: taken, not now, not ever, or nobody knows.

In: an address, a body, headers. Out: the answer's fields, or SendFailed with its named outcome.
Never: a retry, a redirect followed, more than a few kilobytes read, a secret or an address in an error.
httpx2 lives here and in the commands that ask the daemon.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx2

from alerts.mrkdwn import fit
from alerts.outbox import Outcome, SendFailed

TIMEOUT = 10  # seconds without a byte
MOST_READ = 16_384  # bytes of an answer
MOST_SHOWN = 200  # characters of it in an error
LONGEST_WAIT = 86_400  # seconds
LATER = (408, 425, 429)
CREDENTIALS = (401, 403, 407)
# In these the connection never stood, so nothing can have been taken.
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered to a request that was taken. fields: {} if it is no JSON object."""

    status: int
    fields: dict[str, Any]


def call(
    place: str,
    url: str,
    said: object,
    headers: Mapping[str, str] | None = None,
    *,
    secret: str = "",
    method: str = "POST",
) -> dict[str, Any]:
    """The fields of the answer to `said`, see `ask`."""
    return ask(place, url, said, headers, secret=secret, method=method).fields


def ask(
    place: str,
    url: str,
    said: object,
    headers: Mapping[str, str] | None = None,
    *,
    secret: str = "",
    method: str = "POST",
) -> Answer:
    """Send `said` as JSON (bytes go out as they are).

    place: what to call it in errors. secret: is not shown if the place quotes it in a refusal, nor is the address.
    Raises SendFailed. 429 and its like were not taken; after a 5xx or a cut connection nobody knows.
    """
    body = (
        said if isinstance(said, bytes) else json.dumps(said, ensure_ascii=False).encode("utf-8", "replace")
    )
    sent = {"Content-Type": "application/json", "User-Agent": "stillwatch", **(headers or {})}
    try:
        with _client(is_loopback(url)).stream(method, url, content=body, headers=sent) as answer:
            text = _beginning(answer)
    except NEVER_SENT as error:
        raise SendFailed(f"{place} cannot be reached ({type(error).__name__})", "refused") from None
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError) as error:
        raise SendFailed(f"{place}: no address ({type(error).__name__})", "permanent") from None
    except (httpx2.HTTPError, OSError) as error:
        raise SendFailed(f"no answer from {place} ({type(error).__name__})", "unknown") from None
    if not answer.is_success:
        raise refusal(place, answer.status_code, answer.headers, _without(text, secret, url))
    try:
        fields = json.loads(text)
    except ValueError:
        fields = {}
    return Answer(answer.status_code, fields if isinstance(fields, dict) else {})


def refusal(place: str, status: int, headers: Mapping[str, str], text: str) -> SendFailed:
    """The failure that an answer outside of 200 to 299 stands for; `text` is the beginning of its body."""
    wait = _seconds(headers)
    outcome: Outcome = "permanent"
    if status in LATER or (status == 503 and wait):
        outcome = "refused"
    elif status in CREDENTIALS:
        outcome = "no_credentials"
    elif status >= 500:
        outcome = "unknown"
    why = "it has moved; set its new address" if 300 <= status < 400 else fit(text, MOST_SHOWN)
    return SendFailed(f"{place} answered {status}" + (f": {why}" if why else ""), outcome, wait)


@cache
def _client(loopback: bool) -> httpx2.Client:
    """Proxies are taken from the environment, but not to reach this machine.

    Alerts are rare: a connection that is kept would mostly be found closed, and then nobody knows.
    """
    return httpx2.Client(
        timeout=TIMEOUT, trust_env=not loopback, limits=httpx2.Limits(max_keepalive_connections=0)
    )


def _beginning(answer: httpx2.Response) -> str:
    read = b""
    for chunk in answer.iter_bytes(4096):
        read += chunk
        if len(read) >= MOST_READ:
            break
    return read[:MOST_READ].decode("utf-8", "replace")


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _without(text: str, secret: str, url: str) -> str:
    """What a place answered, without what may be secret. Many quote the path that they do not know."""
    _, _, path = url.partition("://")
    path = "/" + path.partition("/")[2]
    for one in (secret, url, path, path.partition("?")[0]):
        if len(one) > 1:
            text = text.replace(one, "…")
    return text


def _seconds(headers: Mapping[str, str]) -> float:
    """Retry-After in seconds, 0 when it is missing or no number."""
    value = headers.get("retry-after", "").strip()
    return float(min(int(value[:9]), LONGEST_WAIT)) if value.isascii() and value.isdigit() else 0.0
