"""What Stillwatch says of itself.

In: since when it cannot see. Out: the words, for the same channel as everything else.
Never: an alarm about a service; a word that is not also in the log.
"""

from __future__ import annotations

from datetime import UTC, datetime

from alerts.messages import Message


def sight(channel: str, since: int, sees: bool) -> tuple[Message, ...]:
    """Said when intervals cannot be judged any more, and when they can again; since: epoch seconds."""
    key = f"blind:{since}"
    moment = datetime.fromtimestamp(since, UTC).strftime("%H:%M UTC")
    if not sees:
        text = (
            f"Stillwatch is blind since {moment}: counts are kept, but cannot be judged. "
            "Its log says why. Nothing is lost: it judges them when it can see again."
        )
        return (Message(key, channel, text),)
    text = f"Stillwatch sees again (it was blind since {moment}) and has judged all that came meanwhile."
    return (Message(f"{key}:over", channel, text, reply_to=key, broadcast=True),)
