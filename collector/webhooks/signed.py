"""Who sent a call: signatures and tokens, compared in a time that tells nothing about the right one.

In: a call and a secret. Out: nothing, or Unsigned with what was expected. Never: a secret in a message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from collector.webhooks.told import Call

WINDOW = 300  # seconds; a signed moment that is further off is a repeat of somebody's


class Unsigned(Exception):  # noqa: N818
    """It does not bring what its sender would bring."""


def hexadecimal(call: Call, secret: str, header: str, prefix: str = "sha256=") -> None:
    """HMAC-SHA256 of the body, in hexadecimal, after `prefix`. Raises Unsigned."""
    digest = hmac.new(secret.encode(), call.body, hashlib.sha256).hexdigest()
    if not _same(call.headers.get(header.lower(), ""), prefix + digest):
        raise Unsigned(
            f"expected {header}: {prefix}HMAC-SHA256 of the body, made with the secret of the settings"
        )


def token(call: Call, secret: str) -> None:
    """The secret itself, as a bearer token or as the password of basic authentication. Raises Unsigned."""
    scheme, _, brought = call.headers.get("authorization", "").partition(" ")
    raw = _raw(brought.strip())
    if scheme.lower() == "basic":
        try:
            raw = base64.b64decode(raw, validate=True).partition(b":")[2]
        except binascii.Error:
            raw = b""
    if scheme.lower() not in ("bearer", "basic") or not hmac.compare_digest(raw, secret.encode()):
        raise Unsigned(
            "expected Authorization: Bearer with the token of the settings (or Basic, with it as password)"
        )


def header(call: Call, secret: str, name: str) -> None:
    """The secret itself, in a header of the sender's. Raises Unsigned."""
    if not _same(call.headers.get(name.lower(), ""), secret):
        raise Unsigned(f"expected {name} with the token of the settings")


def standard(call: Call, secret: str) -> None:
    """As Standard Webhooks prescribes (https://www.standardwebhooks.com): HMAC-SHA256 of id, time and body with the
    key that `whsec_` stands before, the time at most WINDOW off. Raises Unsigned."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise Unsigned("the secret of the settings is no signing token: whsec_ and base64") from None
    name, moment = call.headers.get("webhook-id", ""), call.headers.get("webhook-timestamp", "")
    timely = moment.isdecimal() and moment.isascii() and len(moment) < 12
    if not timely or abs(call.now - int(moment)) > WINDOW:
        raise Unsigned(f"expected webhook-timestamp: epoch seconds, at most {WINDOW} s off")
    signed = b".".join((name.encode(), moment.encode(), call.body))
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    brought = call.headers.get("webhook-signature", "")[:2000].split()
    if not any(_same(one, f"v1,{wanted}") for one in brought):
        raise Unsigned("expected webhook-signature: v1,HMAC-SHA256 of id, time and body by the signing token")


def _same(brought: str, right: str) -> bool:
    return hmac.compare_digest(_raw(brought), right.encode())


def _raw(header: str) -> bytes:
    """The bytes of a header, which the server gives us as Latin-1: senders write secrets in UTF-8."""
    return header.encode("latin-1", "replace")
