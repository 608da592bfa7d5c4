"""What Stillwatch says of itself.

In: since when it cannot see. Out: the words, for the same channel as everything else.
Never: an alarm about a service; a word that is not also in the log.
"""

from __future__ import annotations

from datetime import UTC, datetime

from alerts.messages import Message
from alerts.mrkdwn import code, escape, inert
from alerts.notices import Notice, Part


def sight(channel: str, since: int, sees: bool) -> tuple[Message, ...]:
    """Said when intervals cannot be judged any more, and when they can again; since: epoch seconds."""
    key = f"blind:{since}"
    moment = datetime.fromtimestamp(since, UTC).strftime("%H:%M UTC")
    if not sees:
        text = (
            f"Stillwatch is blind since {moment}: counts are kept, but cannot be judged. "
            "Its log says why. Nothing is lost: it judges them when it can see again."
        )
        return (Message(key, channel, text, notice=_notice(key, since, text, over=False)),)
    text = f"Stillwatch sees again (it was blind since {moment}) and has judged all that came meanwhile."
    said = _notice(key, since, text, over=True)
    return (Message(f"{key}:over", channel, text, reply_to=key, broadcast=True, notice=said),)


def source(channel: str, name: str, since: int, why: str, sees: bool) -> tuple[Message, ...]:
    """Said when a source that is asked has been silent for long, and when it answers again. why: as it failed, from
    outside."""
    key = f"source:{name}:{since}"
    moment = datetime.fromtimestamp(since, UTC).strftime("%H:%M UTC")
    if not sees:
        reason = f" ({inert(why)})" if why else ""
        text = (
            f"Stillwatch is blind since {moment} to what source {inert(name)} counts: it does not answer{reason}. "
            "What is missing of its services is not told one by one; Stillwatch goes on asking."
        )
        return (Message(key, channel, escape(text), notice=_notice(key, since, text, over=False)),)
    text = (
        f"Source {inert(name)} answers again (it was silent since {moment}) and is asked for what was missed."
    )
    said = _notice(key, since, text, over=True)
    return (Message(f"{key}:over", channel, escape(text), reply_to=key, broadcast=True, notice=said),)


def stranded(channel: str, host: str, since: int, trouble: str, over: bool) -> Message:
    """Said past the outbox when the database cannot be used, and when it can again. host: which of us says it."""
    key = f"stranded:{host}:{since}"
    moment = datetime.fromtimestamp(since, UTC).strftime("%H:%M UTC")
    if over:
        text = f"Stillwatch on {host} can use its database again (it could not since {moment})."
        return Message(f"{key}:over", channel, text, notice=_notice(key, since, text, over=True))
    text = (
        f"Stillwatch on {host} cannot use its database since {moment}: it can judge and tell nothing, and senders "
        f"keep their counts. It goes on by itself. What is wrong: {code(trouble, 300)}"
    )
    return Message(key, channel, text, notice=_notice(key, since, text, over=False))


def settings(channel: str, since: int, why: str, over: bool) -> tuple[Message, ...]:
    """Said when what stands in the file of settings is refused, and when it is in force. why: names the line."""
    moment = datetime.fromtimestamp(since, UTC).strftime("%H:%M UTC")
    if over:
        text = f"Stillwatch goes on by what is in its file of settings (it was refused since {moment})."
    else:
        text = (
            f"Stillwatch refuses its new settings since {moment}: the ones before stay in force. Mend the file, it "
            f"is read again by itself; a start would fail until then. What is wrong: {code(why, 300)}"
        )
    return _begins_or_ends(f"settings:{since}", channel, since, text, over)


def time_of_day(channel: str, since: int, why: str, over: bool) -> tuple[Message, ...]:
    """Said when the clock of our machine is not to be trusted, and when it is. why: what it did."""
    moment = datetime.fromtimestamp(since, UTC).strftime("%H:%M UTC")
    if over:
        text = f"Stillwatch trusts the clock of its machine again (it did not since {moment})."
    else:
        text = f"Stillwatch does not trust the clock of its machine since {moment}: {escape(why)}."
    return _begins_or_ends(f"clock:{since}", channel, since, text, over)


def _begins_or_ends(key: str, channel: str, since: int, text: str, over: bool) -> tuple[Message, ...]:
    said = _notice(key, since, text, over=over)
    if over:
        return (Message(f"{key}:over", channel, text, reply_to=key, notice=said),)
    return (Message(key, channel, text, notice=said),)


def _notice(key: str, since: int, text: str, over: bool) -> Notice:
    part = Part("stillwatch", "sight", "no_data", "", since, since + 1 if over else 0, text)
    return Notice(
        event="resolved" if over else "opened",
        incident=key,
        number=2 if over else 1,
        severity="critical",
        time=since,
        title=text.partition(": ")[0] if not over else text,  # a time has a colon too
        text=text,
        parts=(part,),
    )
