"""Slack: a message goes out, and stands there once.

In: a message, and what is known of earlier tries. Out: a receipt, or SendFailed with its named outcome.
Never: a retry of its own, a pause, a clock; a token in a log or an error. slack-sdk lives here and only here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError

from slack_sdk.errors import SlackApiError, SlackRequestError
from slack_sdk.web import SlackResponse

from alerts.messages import Message
from alerts.outbox import Receipt
from alerts.slack_base import is_loopback, quiet_sdk
from alerts.slack_errors import BODY, CARD_LOST, SlackFailed, from_answer, from_connection
from alerts.slack_look import Answer, Look, has_file, has_key, rows
from alerts.slack_web import Web

log = logging.getLogger(__name__)

BASE_URL = "https://slack.com/api/"
SCOPES = {
    "chat:write": "to say anything",
    "files:write": "for charts",
    "channels:read": "to find channels by name",
    "channels:history": "to look before a message is sent again",
    "groups:read": "to find private channels by name",
    "groups:history": "to look before a message is sent again to a private channel",
}
SHORT = 2900  # characters of the plain text that is said in place of a refused body


def lane(message: Message) -> str:
    """What Slack counts together: posts by channel, edits and pictures by workspace ("Rate limits" of its docs)."""
    if message.chart is not None:
        return "slack:files"
    return "slack:chat.update" if message.replaces else ""


class Slack:
    """A workspace, as one token sees it. One thread at a time.

    base_url: https, or http on a loopback address (else ValueError). timeout: seconds for each request.
    """

    def __init__(self, token: str, base_url: str = BASE_URL, timeout: float = 10) -> None:
        loopback = is_loopback(base_url)
        quiet = quiet_sdk(f"{__name__}.sdk")
        # Its default handlers post again after a cut connection, and so twice when only the answer was lost.
        self._client = Web(token, base_url, logger=quiet, retry_handlers=[])
        self._client.timeout = timeout  # type: ignore[assignment]  # urllib takes parts of a second
        if loopback:
            self._client.proxy = None
        self._look = Look(
            partial(self._ask, self._client.conversations_history),
            partial(self._ask, self._client.conversations_replies),
            partial(self._ask, self._client.conversations_list),
        )

    def send(
        self,
        message: Message,
        *,
        edits: Receipt | None = None,
        thread: Receipt | None = None,
        seek_since: int | None = None,
    ) -> Receipt:
        """Post, reply, edit or upload; returns where it stands, in Slack's own ids.

        edits: receipt of the message that this one replaces. If that one is lost (deleted, or closed to
        edits) the text is posted anew; another receipt comes back, which now stands for both keys.
        thread: receipt of the message under which it goes. If that one was deleted, Slack puts the reply into
        the channel; it has been said once, and the receipt says where.
        seek_since: epoch seconds of the earliest try whose outcome is unknown: look first, then post. A read
        may lag behind a write, so leave a few seconds between a try and this.

        Raises SendFailed. A look that failed is never taken for "not there": its outcome is unknown.
        """
        if message.chart is not None:
            return self._upload(message, thread, seek_since)
        if edits is not None:
            return self._edit(message, edits, thread)
        if seek_since is not None:
            found = self._look.find(has_key(message.key), message.key, message.channel, thread, seek_since)
            if found is not None:
                return found
        return self._post(message, message.key, message.channel, thread)

    def check(self, channels: Sequence[str] = ()) -> list[str]:
        """What stands in the way, one sentence each; empty when all is well.

        Asks who the token is and for its scopes, and reads one message back from every channel.
        """
        try:
            who = self._answer(self._client.auth_test)
        except SlackFailed as failure:
            return [str(failure)]
        problems = _missing_scopes(who.headers)
        for channel in channels:
            try:
                self._ask(self._client.conversations_history, channel=self._look.channel_id(channel), limit=1)
            except SlackFailed as failure:
                problems.append(f"{channel}: {failure}")
        return problems

    def who(self) -> str:
        """Ask Slack who we are, which nobody sees: what stands in the way, in a sentence; "" = nothing."""
        try:
            self._answer(self._client.auth_test)
        except SlackFailed as failure:
            return str(failure)
        return ""

    # Posting and editing.

    def _post(self, message: Message, key: str, channel: str, thread: Receipt | None) -> Receipt:
        body: Answer = {
            "channel": channel if thread is None else thread.channel,
            "text": message.text,
            "metadata": _metadata(key),
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if message.blocks:
            body["blocks"] = list(message.blocks)
        if thread is not None:
            body["thread_ts"] = thread.id
            if message.broadcast:
                body["reply_broadcast"] = True
        answer = self._say(self._client.chat_postMessage, body)
        receipt = _receipt(answer)
        self._look.learn(body["channel"], receipt.channel)
        said = answer.get("message")
        if thread is not None and isinstance(said, dict) and "thread_ts" not in said:
            log.warning(
                "the message %s is gone: its reply stands in the channel %s", thread.id, receipt.channel
            )
        return receipt

    def _edit(self, message: Message, edits: Receipt, thread: Receipt | None) -> Receipt:
        """Edit in place; an edit may be repeated freely, so nobody looks before it.

        A lost card is posted anew under the key of the card, and sought under it: so a second edit, or a
        second try after a lost answer, finds the new card and edits that one.
        """
        try:
            return self._update(message, edits)
        except SlackFailed as failure:
            if failure.code not in CARD_LOST:
                raise
            log.warning("the message %s in %s is lost (%s)", edits.id, edits.channel, failure.code)
        key = message.replaces or message.key
        since = int(edits.id.partition(".")[0])
        matches = has_key(key)
        newer = self._look.find(
            lambda one: one.get("ts") != edits.id and matches(one), key, edits.channel, thread, since
        )
        if newer is not None:
            try:
                return self._update(message, newer)
            except SlackFailed as failure:
                if failure.code not in CARD_LOST:
                    raise
        return self._post(message, key, edits.channel, thread)

    def _update(self, message: Message, edits: Receipt) -> Receipt:
        # Both, and blocks even when empty: what is left out is kept. Metadata is left out, so the key stays.
        body = {
            "channel": edits.channel,
            "ts": edits.id,
            "text": message.text,
            "blocks": list(message.blocks),
        }
        return _receipt(self._say(self._client.chat_update, body))

    def _say(self, call: Callable[..., SlackResponse], body: Answer) -> Answer:
        """Say it; if Slack will not take the body, say a plain short text at once in its place."""
        try:
            return self._say_as_member(call, body)
        except SlackFailed as failure:
            if failure.code not in BODY:
                raise
            log.error("Slack would not take a message: %s %s", failure.code, " ".join(failure.pointers))
            plain = {**body, "text": _short(body["text"]), "blocks": []}
            if "metadata" in failure.code:
                plain["metadata"] = None
            return self._say_as_member(call, plain)

    def _say_as_member(self, call: Callable[..., SlackResponse], body: Answer) -> Answer:
        try:
            return self._ask(call, **body)
        except SlackFailed as failure:
            if failure.code != "not_in_channel":
                raise
            try:
                self._ask(self._client.conversations_join, channel=self._look.channel_id(body["channel"]))
            except SlackFailed:
                raise failure from None  # not allowed to join: the first answer is the one to show
        return self._ask(call, **body)

    # Pictures.

    def _upload(self, message: Message, thread: Receipt | None, seek_since: int | None) -> Receipt:
        """Draw and share. No `ts` comes back: the receipt's id is the file's. Text never waits for it."""
        from alerts import charts  # a drawing library, needed by nobody who only sends text

        if message.chart is None:
            raise ValueError("no chart in the message")
        name = re.sub(r"[^A-Za-z0-9_.-]", "-", message.key) + ".png"
        if seek_since is not None:
            found = self._look.find(has_file(name), message.key, message.channel, thread, seek_since)
            if found is not None:
                return found
        channel = self._look.channel_id(message.channel) if thread is None else thread.channel
        words = _unescaped(message.text)
        try:
            answer = self._ask(
                self._client.files_upload_v2,
                channel=channel,
                thread_ts=None if thread is None else thread.id,
                file=charts.draw(message.chart),
                filename=name,
                title=words[:150],
                alt_txt=words[:1000],
            )
        except SlackFailed as failure:
            if failure.code != "missing_scope":
                raise
            # Text still gets through, so only the picture is lost.
            raise SlackFailed(str(failure), "permanent", code=failure.code) from None
        return Receipt(channel, "".join(str(one.get("id")) for one in rows(answer, "files")))

    def _ask(self, call: Callable[..., SlackResponse], **args: Any) -> Answer:
        """What Slack answers to one request."""
        body = self._answer(call, **args).data
        if not isinstance(body, dict):
            raise from_answer(200, {}, {})
        return body

    def _answer(self, call: Callable[..., SlackResponse], **args: Any) -> SlackResponse:
        """One request. Raises SlackFailed, cut off from its cause: that one may quote the request."""
        try:
            return call(**args)
        except SlackApiError as error:
            failed = error.response
            body = failed.data if isinstance(failed.data, dict) else {}
            raise from_answer(failed.status_code, failed.headers, body) from None
        except HTTPError as error:  # of the raw upload, which is not an API method
            with error:
                raise from_answer(error.code, dict(error.headers), {}) from None
        except (OSError, HTTPException) as error:
            raise from_connection(error) from None
        except (SlackRequestError, ValueError, LookupError, AttributeError, TypeError) as error:
            # JSON that is no object, text that is no text: the SDK trips over answers that are not Slack's.
            raise SlackFailed(
                f"the answer did not come from Slack ({type(error).__name__})", "unknown"
            ) from None


def _missing_scopes(headers: Mapping[str, str]) -> list[str]:
    """One sentence for each scope that the token lacks; Slack names them in a header of every answer."""
    named = next((value for name, value in headers.items() if name.lower() == "x-oauth-scopes"), None)
    if named is None:
        return []
    given = {scope.strip() for scope in named.split(",")}
    return [
        f"Slack: the token lacks the scope {scope} ({why})"
        for scope, why in SCOPES.items()
        if scope not in given
    ]


def _metadata(key: str) -> dict[str, Any]:
    return {"event_type": "stillwatch_message", "event_payload": {"key": key}}


def _receipt(answer: Answer) -> Receipt:
    channel, ts = answer.get("channel"), answer.get("ts")
    if not isinstance(channel, str) or not isinstance(ts, str):
        raise SlackFailed("Slack did not say where the message stands", "unknown")
    return Receipt(channel, ts)


def _short(text: str) -> str:
    """The text without its end, where it is too long; never cut inside an entity or a `<…>`."""
    if len(text) <= SHORT:
        return text
    kept = text[:SHORT]
    if kept.rfind("<") > kept.rfind(">"):
        kept = kept[: kept.rfind("<")]
    entity = kept.rfind("&", -5)
    if entity != -1 and ";" not in kept[entity:]:
        kept = kept[:entity]
    return kept + " …"


def _unescaped(text: str) -> str:
    """For a title and a description, which Slack does not read as mrkdwn."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
