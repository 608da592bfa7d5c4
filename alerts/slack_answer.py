"""An answer to whoever pressed or typed, that only they see.

In: the address that came with a press or a command, a text. Out: the answer posted, or a line in the log.
Never: a post to an address that is not Slack's.
"""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from slack_sdk.webhook import WebhookClient

from alerts.slack_base import is_loopback, quiet_sdk

log = logging.getLogger(__name__)

HOOKS = "hooks.slack.com"
LONGEST = 2900  # characters; Slack takes 3000 in a section
PATIENCE = 10  # seconds


def is_slacks(address: str, base_url: str) -> bool:
    """May we post there: Slack's host for answers, or the host and port of the API that is set."""
    try:
        parts, api = urlsplit(address), urlsplit(base_url)
        if parts.scheme == "https" and parts.hostname == HOOKS and parts.port in (None, 443):
            return parts.username is None
        same = (parts.scheme, parts.hostname, parts.port) == (api.scheme, api.hostname, api.port)
        return same and parts.username is None
    except ValueError:
        return False


def answer(address: str, base_url: str, text: str) -> bool:
    """Post `text` (mrkdwn, escaped) for the one who asked; False where that could not be done."""
    if not is_slacks(address, base_url):
        log.warning("an answer was wanted at an address that is not Slack's; nothing was posted")
        return False
    client = WebhookClient(address, timeout=PATIENCE, logger=quiet_sdk(f"{__name__}.sdk"), retry_handlers=[])
    if is_loopback(address):
        client.proxy = None
    shown = text if len(text) <= LONGEST else text[:LONGEST].rsplit("\n", 1)[0] + "\n…"
    try:
        got = client.send(text=shown, response_type="ephemeral")
    except Exception as error:  # noqa: BLE001  an answer that is lost is only lost
        log.warning("an answer in Slack was not taken (%s)", type(error).__name__)
        return False
    if got.status_code != 200:
        log.warning("an answer in Slack was not taken (HTTP %d)", got.status_code)
    return got.status_code == 200
