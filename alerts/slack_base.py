"""What all talk with Slack has in common: whose address it is, and that the SDK stays quiet.

In: an address, a logger's name. Out: is it a loopback; a logger that says nothing of bodies and tokens.
"""

from __future__ import annotations

import ipaddress
import logging
from urllib.parse import urlsplit


def is_loopback(url: str) -> bool:
    """Whether Slack is on a loopback address. ValueError if a token would travel in the clear."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if host and (parts.scheme in ("https", "wss") or (parts.scheme in ("http", "ws") and loopback)):
        return loopback
    raise ValueError(
        f"Slack's base_url: expected https (http on a loopback address only), found {parts.scheme}://{host}"
    )


def quiet_sdk(name: str) -> logging.Logger:
    """At DEBUG the SDK logs whole bodies and the tickets of sockets; what it would say comes back as a failure."""
    logging.getLogger("slack_sdk").setLevel(logging.WARNING)
    quiet = logging.getLogger(name)
    quiet.setLevel(logging.CRITICAL + 1)
    return quiet
