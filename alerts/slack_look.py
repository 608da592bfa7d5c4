"""Is it there already? Slack is read back, because it cannot be told to take a message only once.

In: what to look for, where, and since when. Out: a receipt, None once every page was read, or SendFailed.
Never: slack-sdk (the calls are handed in), a word posted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from alerts.outbox import Outcome, Receipt
from alerts.slack_errors import SlackFailed, from_answer

CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{6,}")
CLOCK_ERROR = 120  # seconds that our clock and Slack's may differ
PAGE = 200

Answer = dict[str, Any]
Matches = Callable[[Answer], bool]


class Look:
    """Looks back into channels and threads, and knows the ids of channels.

    history, replies, channels: the three methods of Slack that read; they raise SlackFailed.
    """

    def __init__(
        self, history: Callable[..., Answer], replies: Callable[..., Answer], channels: Callable[..., Answer]
    ) -> None:
        self._history = history
        self._replies = replies
        self._channels = channels
        self._ids: dict[str, str] = {}  # channel as configured -> id, as Slack answered
        self._cursors: dict[str, str] = {}  # what is sought -> page at which a look was turned away

    def learn(self, channel: str, channel_id: str) -> None:
        """Remember under which id Slack knows a channel."""
        self._ids[channel] = channel_id

    def find(
        self,
        matches: Matches,
        sought: str,
        channel: str,
        thread: Receipt | None,
        since: int,
    ) -> Receipt | None:
        """Where a message stands that matches, or None when all pages were read without it.

        A look that is turned away half-way goes on at its page next time: some tokens may read one short page
        a minute. What we seek is posted by nobody else, so pages that were read need not be read again.
        """
        try:
            where = self.channel_id(channel) if thread is None else thread.channel
            asks: dict[str, Any] = {
                "channel": where,
                "oldest": f"{max(0, since - CLOCK_ERROR)}.000000",
                "include_all_metadata": True,  # without it the payload is left out, and nothing ever matches
                "limit": PAGE,
            }
            if thread is None:
                return self._read(self._history, asks, matches, sought)
            try:
                in_thread = {**asks, "ts": thread.id}
                return self._read(self._replies, in_thread, matches, sought)
            except SlackFailed as failure:
                if failure.code != "thread_not_found":
                    raise
            # The parent was deleted, so the reply went to the channel.
            return self._read(self._history, asks, matches, sought)
        except SlackFailed as failure:
            # Nothing was said by this, but what an earlier try did is as unknown as before.
            dead = failure.outcome == "no_credentials" and failure.code != "missing_scope"
            outcome: Outcome = "no_credentials" if dead else "unknown"
            raise SlackFailed(
                f"could not look: {failure}", outcome, failure.retry_after, failure.code
            ) from None

    def _read(
        self,
        pages: Callable[..., Answer],
        asks: dict[str, Any],
        matches: Matches,
        sought: str,
    ) -> Receipt | None:
        cursor = self._cursors.pop(sought, "")
        while True:
            try:
                page = pages(**asks, **({"cursor": cursor} if cursor else {}))
            except SlackFailed as failure:
                if cursor and failure.code == "ratelimited":
                    self._cursors[sought] = cursor
                raise
            for one in rows(page, "messages"):
                if matches(one):
                    return Receipt(asks["channel"], str(one.get("ts")))
            cursor = _next(page)
            if not cursor:
                return None

    def channel_id(self, channel: str) -> str:
        """The id of a channel that is configured by name: history and joins take nothing else."""
        if CHANNEL_ID.fullmatch(channel):
            return channel
        if channel in self._ids:
            return self._ids[channel]
        cursor = ""
        while True:
            page = self._channels(
                types="public_channel,private_channel",
                exclude_archived=True,
                limit=PAGE,
                cursor=cursor or None,
            )
            for one in rows(page, "channels"):
                if one.get("name") == channel.removeprefix("#"):
                    self._ids[channel] = str(one.get("id"))
                    return self._ids[channel]
            cursor = _next(page)
            if not cursor:
                raise from_answer(200, {}, {"error": "channel_not_found"})


def has_key(key: str) -> Matches:
    def matches(one: Answer) -> bool:
        marked = one.get("metadata")
        payload = marked.get("event_payload") if isinstance(marked, dict) else None
        return isinstance(payload, dict) and payload.get("key") == key

    return matches


def has_file(name: str) -> Matches:
    def matches(one: Answer) -> bool:
        return any(file.get("name") == name for file in one.get("files") or () if isinstance(file, dict))

    return matches


def rows(answer: Answer, name: str) -> list[dict[str, Any]]:
    found = answer.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _next(page: Answer) -> str:
    more = page.get("response_metadata")
    return str(more.get("next_cursor") or "") if isinstance(more, dict) else ""
