"""The words: an event becomes the messages that people read. Pure.

In: an event. Out: messages in Block Kit, each with a plain text of its own.
Never: the network, a clock, an unescaped word from outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alerts.incidents import Incident


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to post.

    key: the same for the same news after any restart. replaces: key of the message to edit in place.
    reply_to: key of the message in whose thread it goes. broadcast: show the reply in the channel too.
    chart: draw this incident (charts.draw) and upload it as a picture with `text` as its description.
    """

    key: str
    channel: str
    text: str
    blocks: tuple[dict[str, Any], ...] = ()
    replaces: str = ""
    reply_to: str = ""
    broadcast: bool = False
    chart: Incident | None = None
