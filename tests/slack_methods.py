"""What Slack's methods do to a workspace, by its public reference; strict where Slack forgives in silence.

In: the arguments of one call. Out: the answer of Slack, and what stands in the channels afterwards.
Never: HTTP, tokens, faults (slack_server.py has them).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import slack_blocks

TS = re.compile(r"\d{10}\.\d{6}")
MOST_TEXT = 4000  # refused when updating; split when posting, which no test should take for success
MOST_METADATA = 2048
BOT = "U0STILLWATCH"
SCOPES = {
    "chat:write", "files:write", "reactions:write", "channels:history", "groups:history",
    "channels:read", "groups:read",
}  # fmt: skip


class Refused(Exception):
    """`ok: false` with this error."""

    def __init__(self, error: str, **extra: Any) -> None:
        super().__init__(error)
        self.error = error
        self.extra = extra


@dataclass
class Posted:
    """One message as it stands in a channel now. before: the texts that it had before edits, oldest first."""

    ts: str
    text: str
    blocks: list[dict[str, Any]] = field(default_factory=list)
    thread_ts: str | None = None
    broadcast: bool = False
    metadata: dict[str, Any] | None = None
    files: list[dict[str, Any]] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    user: str = BOT
    tombstone: bool = False

    @property
    def key(self) -> str | None:
        """The key in the metadata, by which Stillwatch finds its own again."""
        return None if self.metadata is None else self.metadata["event_payload"].get("key")

    def seen(self, all_metadata: bool) -> dict[str, Any]:
        """As a reader of the history gets it. Without include_all_metadata the payload is left out."""
        shown: dict[str, Any] = {"type": "message", "user": self.user, "ts": self.ts, "text": self.text}
        if self.blocks:
            shown["blocks"] = self.blocks
        if self.thread_ts is not None:
            shown["thread_ts"] = self.thread_ts
        if self.broadcast:
            shown["subtype"] = "thread_broadcast"
        if self.tombstone:
            shown["subtype"] = "tombstone"
        if self.files:
            shown["files"] = self.files
        if self.metadata is not None:
            kind = self.metadata["event_type"]
            shown["metadata"] = self.metadata if all_metadata else {"event_type": kind}
        return shown


@dataclass
class Channel:
    """A channel, and everything that stands in it, oldest first."""

    id: str
    name: str
    private: bool = False
    archived: bool = False
    member: bool = True
    posted: list[Posted] = field(default_factory=list)

    @property
    def messages(self) -> list[Posted]:
        """All that people can still read: what was posted to the channel and the replies in its threads."""
        return [one for one in self.posted if not one.tombstone]

    @property
    def top(self) -> list[Posted]:
        """What is posted to the channel itself."""
        return [one for one in self.messages if one.thread_ts in (None, one.ts)]

    def replies(self, ts: str) -> list[Posted]:
        """What stands in the thread of the message with this ts."""
        return [one for one in self.messages if one.thread_ts == ts and one.ts != ts]

    def find(self, ts: str) -> Posted | None:
        return next((one for one in self.posted if one.ts == ts), None)

    def delete(self, ts: str) -> None:
        """As a person deletes it: a parent with replies leaves a tombstone, any other leaves nothing."""
        gone = self.find(ts)
        if gone is None:
            raise KeyError(ts)
        if self.replies(ts):
            gone.tombstone, gone.text, gone.blocks, gone.metadata = (
                True,
                "This message was deleted.",
                [],
                None,
            )
        else:
            self.posted.remove(gone)


@dataclass
class Upload:
    """A file on its way: announced, then sent, then shared."""

    id: str
    name: str
    length: int
    alt_txt: str
    data: bytes | None = None


class Workspace:
    """All that Slack knows. page_limit: at most this many messages a page, whatever is asked for."""

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}
        self.uploads: dict[str, Upload] = {}
        self.scopes = set(SCOPES)
        self.page_limit = 999
        self.upload_url = ""
        self._last = 0

    def ts(self) -> str:
        """Slack's name for the next message: unique in its channel, and growing."""
        self._last = max(self._last + 1, int(time.time() * 1_000_000))
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"

    def open(self, args: dict[str, Any], by_name: bool = False) -> Channel:
        """The channel that is meant. Private ones without the bot look like ones that don't exist."""
        wanted = args.get("channel")
        found = self.channels.get(str(wanted))
        if found is None and by_name:
            found = next((c for c in self.channels.values() if c.name == str(wanted).removeprefix("#")), None)
        if found is None or (found.private and not found.member):
            raise Refused("channel_not_found")
        return found


def _content(args: dict[str, Any]) -> tuple[str | None, list[dict[str, Any]] | None]:
    text, blocks = args.get("text"), args.get("blocks")
    if isinstance(blocks, str):
        try:
            blocks = json.loads(blocks)
        except json.JSONDecodeError:
            raise Refused("invalid_blocks_format") from None
    if text is not None and not isinstance(text, str):
        raise Refused("invalid_arguments")
    if not text and not blocks:
        raise Refused("no_text")
    if text is not None and len(text) > MOST_TEXT:
        raise Refused("msg_too_long")
    if blocks is not None:
        wrong = slack_blocks.complaints(blocks)
        if wrong:
            raise Refused("invalid_blocks", errors=wrong, response_metadata={"messages": wrong})
        if slack_blocks.too_long(blocks):
            raise Refused("msg_blocks_too_long")
    return text, blocks


def _metadata(args: dict[str, Any]) -> dict[str, Any] | None:
    given = args.get("metadata")
    if given is None:
        return None
    if isinstance(given, str):
        given = json.loads(given)
    payload = given.get("event_payload") if isinstance(given, dict) else None
    if not isinstance(payload, dict) or not isinstance(given.get("event_type"), str):
        raise Refused("invalid_metadata_format")
    if any(value is None for value in payload.values()):
        raise Refused("invalid_metadata_schema")
    if len(json.dumps(given)) > MOST_METADATA:
        raise Refused("metadata_too_large")
    return dict(given)


def _writable(channel: Channel) -> None:
    if channel.archived:
        raise Refused("is_archived")
    if not channel.member:
        raise Refused("not_in_channel")


def _thread(channel: Channel, args: dict[str, Any]) -> str | None:
    """The thread that a reply goes to. A deleted parent is no error: the reply goes to the channel."""
    wanted = args.get("thread_ts")
    if wanted is None:
        return None
    if not isinstance(wanted, str) or not TS.fullmatch(wanted):
        raise Refused("invalid_thread_ts")
    return wanted if channel.find(wanted) is not None else None


def post(space: Workspace, args: dict[str, Any]) -> dict[str, Any]:
    channel = space.open(args, by_name=True)
    _writable(channel)
    text, blocks = _content(args)
    thread = _thread(channel, args)
    broadcast = bool(args.get("reply_broadcast")) and thread is not None
    one = Posted(space.ts(), text or "", blocks or [], thread, broadcast, _metadata(args))
    channel.posted.append(one)
    return {"channel": channel.id, "ts": one.ts, "message": one.seen(all_metadata=True)}


def update(space: Workspace, args: dict[str, Any]) -> dict[str, Any]:
    channel = space.open(args)
    if channel.archived:
        raise Refused("is_inactive")
    wanted = args.get("ts")
    one = channel.find(wanted) if isinstance(wanted, str) else None
    if one is None or one.tombstone:
        raise Refused("message_not_found")
    if one.user != BOT:
        raise Refused("cant_update_message")
    text, blocks = _content(args)
    metadata = _metadata(args)
    # What is left out is kept, an empty array removes.
    one.before.append(one.text)
    one.text = one.text if text is None else text
    one.blocks = one.blocks if blocks is None else blocks
    one.metadata = one.metadata if metadata is None else metadata
    return {"channel": channel.id, "ts": one.ts, "text": one.text, "message": one.seen(all_metadata=True)}


def delete(space: Workspace, args: dict[str, Any]) -> dict[str, Any]:
    channel = space.open(args)
    one = channel.find(str(args.get("ts")))
    if one is None or one.tombstone:
        raise Refused("message_not_found")
    channel.delete(one.ts)
    return {"channel": channel.id, "ts": one.ts}


def _page(space: Workspace, args: dict[str, Any], found: list[Posted]) -> dict[str, Any]:
    """One page of messages: between oldest and latest, from the cursor on, no more than the limit."""
    low, high = Decimal(args.get("oldest") or 0), Decimal(args.get("latest") or "Infinity")
    inclusive = _true(args.get("inclusive"))
    at = [(one, Decimal(one.ts)) for one in found]  # exactly: as a float a ts loses digits
    held = [one for one, ts in at if low < ts < high or (inclusive and ts in (low, high))]
    cursor = str(args.get("cursor") or "page:0")
    if not re.fullmatch(r"page:\d+", cursor):
        raise Refused("invalid_cursor")
    start = int(cursor[5:])
    asked = int(args.get("limit") or 100)
    if not 0 < asked <= 999:
        raise Refused("invalid_limit")
    end = start + min(asked, space.page_limit)
    more = end < len(held)
    shown = [one.seen(_true(args.get("include_all_metadata"))) for one in held[start:end]]
    answer: dict[str, Any] = {"messages": shown, "has_more": more}
    if more:
        answer["response_metadata"] = {"next_cursor": f"page:{end}"}
    return answer


def _true(value: Any) -> bool:
    return value in (True, 1, "1", "true", "True")


def _readable(space: Workspace, args: dict[str, Any]) -> Channel:
    channel = space.open(args)
    needed = "groups:history" if channel.private else "channels:history"
    _scope(space, needed)
    if not channel.member:
        raise Refused("not_in_channel")
    return channel


def _scope(space: Workspace, needed: str) -> None:
    if needed not in space.scopes:
        raise Refused("missing_scope", needed=needed, provided=",".join(sorted(space.scopes)))


def history(space: Workspace, args: dict[str, Any]) -> dict[str, Any]:
    channel = _readable(space, args)
    shown = [one for one in channel.posted if one.thread_ts in (None, one.ts) or one.broadcast]
    return _page(space, args, shown[::-1])


def replies(space: Workspace, args: dict[str, Any]) -> dict[str, Any]:
    channel = _readable(space, args)
    parent = channel.find(str(args.get("ts")))
    if parent is None:
        raise Refused("thread_not_found")
    answer = _page(space, args, channel.replies(parent.ts))
    answer["messages"].insert(0, parent.seen(_true(args.get("include_all_metadata"))))
    return answer


def channels_list(space: Workspace, args: dict[str, Any]) -> dict[str, Any]:
    kinds = str(args.get("types") or "public_channel").split(",")
    for kind, needed in (("public_channel", "channels:read"), ("private_channel", "groups:read")):
        if kind in kinds:
            _scope(space, needed)
    found = [
        one for one in space.channels.values()
        if ("private_channel" in kinds and one.member if one.private else "public_channel" in kinds)
        and not (_true(args.get("exclude_archived")) and one.archived)
    ]  # fmt: skip
    start = int(args.get("cursor") or 0)
    end = start + min(int(args.get("limit") or 100), space.page_limit)
    shown = [
        {"id": one.id, "name": one.name, "is_private": one.private, "is_member": one.member}
        for one in found[start:end]
    ]
    return {"channels": shown, "response_metadata": {"next_cursor": str(end) if end < len(found) else ""}}


def join(space: Workspace, args: dict[str, Any]) -> dict[str, Any]:
    channel = space.open(args)
    if channel.archived:
        raise Refused("is_archived")
    if channel.private:
        raise Refused("method_not_supported_for_channel_type")
    channel.member = True
    return {"channel": {"id": channel.id, "name": channel.name}}


def auth_test(space: Workspace, args: dict[str, Any]) -> dict[str, Any]:
    return {"url": "https://example.slack.com/", "team": "Example", "user": "stillwatch", "user_id": BOT}


def upload_url(space: Workspace, args: dict[str, Any]) -> dict[str, Any]:
    name, length, alt = args.get("filename"), int(args.get("length") or 0), str(args.get("alt_txt") or "")
    if not name or length <= 0 or len(alt) > 1000:
        raise Refused("invalid_arguments")
    one = Upload(f"F{len(space.uploads) + 1:08d}", str(name), length, alt)
    space.uploads[one.id] = one
    return {"upload_url": space.upload_url + one.id, "file_id": one.id}


def complete(space: Workspace, args: dict[str, Any]) -> dict[str, Any]:
    try:
        given = json.loads(args["files"]) if isinstance(args.get("files"), str) else args["files"]
        asked = [(space.uploads[one["id"]], str(one.get("title") or "")) for one in given]
    except (KeyError, TypeError, json.JSONDecodeError):
        raise Refused("file_not_found") from None
    if any(one.data is None for one, _ in asked):
        raise Refused("file_not_found")
    shown = [
        {"id": one.id, "name": one.name, "title": title or one.name, "alt_txt": one.alt_txt}
        for one, title in asked
    ]
    if args.get("channel_id"):
        channel = space.open({"channel": args["channel_id"]})
        _writable(channel)
        thread = _thread(channel, args)
        channel.posted.append(
            Posted(space.ts(), str(args.get("initial_comment") or ""), [], thread, files=shown)
        )
    # Sharing is something that happens later at Slack: no ts comes back.
    return {"files": [{"id": one["id"], "title": one["title"]} for one in shown]}


MESSAGE = {
    "channel", "text", "blocks", "metadata", "thread_ts", "reply_broadcast", "unfurl_links", "unfurl_media",
    "mrkdwn",
}  # fmt: skip
READ = {"channel", "oldest", "latest", "inclusive", "limit", "cursor", "include_all_metadata"}
# method -> scope, the arguments it knows, what it does
METHODS: dict[str, tuple[str, set[str], Callable[[Workspace, dict[str, Any]], dict[str, Any]]]] = {
    "auth.test": ("", set(), auth_test),
    "chat.delete": ("chat:write", {"channel", "ts"}, delete),
    "chat.postMessage": ("chat:write", MESSAGE, post),
    "chat.update": ("chat:write", {"channel", "ts", "text", "blocks", "metadata"}, update),
    "conversations.history": ("", READ, history),
    "conversations.join": ("channels:join", {"channel"}, join),
    "conversations.list": ("", {"types", "exclude_archived", "limit", "cursor"}, channels_list),
    "conversations.replies": ("", READ | {"ts"}, replies),
    "files.completeUploadExternal": (
        "files:write",
        {"files", "channel_id", "channels", "initial_comment", "thread_ts"},
        complete,
    ),
    "files.getUploadURLExternal": (
        "files:write",
        {"filename", "length", "alt_txt", "snippet_type"},
        upload_url,
    ),
}


def call(space: Workspace, method: str, args: dict[str, Any]) -> dict[str, Any]:
    """The answer to one call; the workspace is changed only when the answer is `ok`."""
    if method not in METHODS:
        return {"ok": False, "error": "unknown_method", "req_method": method}
    scope, known, does = METHODS[method]
    try:
        if scope:
            _scope(space, scope)
        # Slack lets a misspelt argument pass in silence; here it is a fault.
        strange = sorted(args.keys() - known)
        if strange:
            raise Refused("invalid_arguments", response_metadata={"messages": [f"unknown: {strange}"]})
        return {"ok": True, **does(space, args)}
    except Refused as refusal:
        return {"ok": False, "error": refusal.error, **refusal.extra}
