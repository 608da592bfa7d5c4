"""An answer to whoever pressed or typed, that only they see.

In: the address that came with a press or a command, a text. Out: the answer posted, or a line in the log.
Never: a post to an address that is not Slack's.
"""

from __future__ import annotations

import logging

from alerts.slack_base import is_loopback, quiet_sdk
from alerts.slack_web import Hook, is_slacks

log = logging.getLogger(__name__)

LONGEST = 2900  # characters; Slack takes 3000 in a section
PATIENCE = 10  # seconds


def answer(address: str, base_url: str, text: str) -> bool:
    """Post `text` (mrkdwn, escaped) for the one who asked; False where that could not be done."""
    if not is_slacks(address, base_url):
        log.warning("an answer was wanted at an address that is not Slack's; nothing was posted")
        return False
    client = Hook(address, timeout=PATIENCE, logger=quiet_sdk(f"{__name__}.sdk"), retry_handlers=[])
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
