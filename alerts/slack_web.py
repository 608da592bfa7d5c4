"""The SDK's clients, kept at home: no redirect is followed, and nothing is sent where Slack does not live.

In: requests of the SDK, addresses that Slack or a payload names. Out: answers, bounded; or an error before anything
is sent. Never: a token on its way to somebody else; an address taken because somebody named it.

By itself the SDK goes wherever an answer points it, with the token, and sends files to any address that it is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from slack_sdk import WebClient
from slack_sdk.webhook import WebhookClient, WebhookResponse

from alerts.slack_errors import SlackFailed

MOST_READ = 8 << 20  # bytes of an answer; a page of a thousand channels has about one million
HOOKS = "hooks.slack.com"


def is_slacks(address: str, base_url: str) -> bool:
    """May we go there: the host and port of the API that is set, or with TLS a host below it (files.slack.com), or
    Slack's host for answers."""
    try:
        to, api = urlsplit(address), urlsplit(base_url)
        if to.username is not None or not to.hostname or not api.hostname:
            return False
        same_host = (to.hostname, to.port) == (api.hostname, api.port)
        if same_host and (
            to.scheme == api.scheme or (to.scheme, api.scheme) in (("ws", "http"), ("wss", "https"))
        ):
            return True
        below = to.hostname == HOOKS or to.hostname.endswith(f".{api.hostname}")
        return below and to.scheme in ("https", "wss") and to.port in (None, 443)
    except ValueError:
        return False


class Web(WebClient):
    """Of the Web API."""

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        return _asked(req, self.timeout, self.proxy)

    def _upload_file(self, *, url: str, data: bytes, timeout: float, proxy: str | None, **rest: Any) -> Any:
        del rest
        if not is_slacks(url, self.base_url):
            raise SlackFailed("Slack named an address for a file that is not its own", "permanent")
        told = _asked(Request(url, data, method="POST"), timeout, proxy)  # noqa: S310  (looked at)
        return _Uploaded(told["status"], told["body"])


class Hook(WebhookClient):
    """Of an address for answers."""

    def _perform_http_request_internal(self, url: str, req: Request) -> WebhookResponse:
        told = _asked(req, self.timeout, self.proxy)
        return WebhookResponse(
            url=url, status_code=told["status"], body=told["body"], headers=told["headers"]
        )


class _Uploaded:
    def __init__(self, status: int, body: str) -> None:
        self.status = status
        self.body = body


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Nowhere: the redirect itself is the answer, an HTTPError."""


def _asked(request: Request, timeout: float, proxy: str | None) -> dict[str, Any]:
    """Status, headers and body. Raises HTTPError for all but 2xx, OSError, ValueError."""
    if urlsplit(request.full_url).scheme not in ("http", "https"):
        raise ValueError("expected an address that begins with https://")
    proxies: Mapping[str, str] | None = None if proxy is None else {"http": proxy, "https": proxy}
    opener = build_opener(_Stay, ProxyHandler(proxies))  # type: ignore[arg-type]  # it reads, and keeps a dict
    with closing(opener.open(request, timeout=timeout)) as got:
        answer: HTTPResponse = got
        body = answer.read(MOST_READ).decode(answer.headers.get_content_charset() or "utf-8")
        return {"status": answer.status, "headers": answer.headers, "body": body}
