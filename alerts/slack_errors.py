"""What an answer of Slack means: taken, refused for now, refused for good, or nobody knows. Pure.

In: status, error code and waiting time of an answer, or the fault of the connection. Out: a failure to raise.
Never: the SDK, the network, a token; of an answer only the code is shown, and only if it looks like one.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping

from alerts.outbox import Outcome, SendFailed

# Not taken, and the same message may be taken later.
FOR_NOW = {
    "ratelimited", "rate_limited", "message_limit_exceeded", "team_added_to_org", "org_login_required",
    "accesslimited", "external_channel_migrating",
}  # fmt: skip
# Nothing gets through until a person acts.
CREDENTIALS = {
    "invalid_auth", "token_revoked", "token_expired", "account_inactive", "not_authed", "missing_scope",
    "not_allowed_token_type", "access_denied", "ekm_access_denied", "enterprise_is_restricted",
    "team_access_not_granted", "two_factor_setup_required",
}  # fmt: skip
# The body is our fault: something shorter is said at once in its place.
BODY = {
    "msg_too_long", "msg_blocks_too_long", "invalid_blocks", "invalid_blocks_format", "invalid_attachments",
    "metadata_too_large", "invalid_metadata_format", "invalid_metadata_schema",
}  # fmt: skip
# The message to edit is gone, or can't be edited any more.
CARD_LOST = {"message_not_found", "cant_update_message", "edit_window_closed"}
# Not taken, and the same will never be.
FOR_GOOD = {
    *BODY, *CARD_LOST, "as_user_not_supported", "attachment_payload_limit_exceeded", "block_mismatch",
    "cannot_dm_bot", "cannot_reply_to_message", "cant_broadcast_message", "channel_is_limited_access",
    "channel_not_found", "channel_type_not_supported", "deprecated_endpoint", "file_not_found",
    "file_upload_size_restricted", "is_archived", "is_bot", "is_inactive", "json_not_object",
    "messages_tab_disabled", "metadata_must_be_sent_from_app", "method_deprecated",
    "method_not_supported_for_channel_type", "missing_charset", "missing_post_type", "no_permission",
    "no_text", "not_in_channel", "posting_to_general_channel_denied", "team_not_found", "thread_not_found",
    "too_many_attachments", "unknown_method", "user_not_found",
}  # fmt: skip
FOR_GOOD_FAMILIES = ("invalid_", "restricted_action", "slack_connect_")
# What a person reads about the errors that they can do something about.
ADVICE = {
    "channel_not_found": "the channel does not exist, or it is private and the app is not in it",
    "not_in_channel": "the app is not in the channel: invite it",
    "is_archived": "the channel is archived",
    "is_inactive": "the channel is archived",
    "invalid_auth": "Slack does not know this token",
    "not_authed": "no token was given",
    "token_revoked": "the token was revoked",
    "token_expired": "the token has expired",
    "account_inactive": "the token belongs to an app or a person that was removed",
    "missing_scope": "the token lacks a scope",
}
CODE = re.compile(r"[a-z][a-z0-9_]{1,60}")
POINTER = re.compile(r"json-pointer:(/[A-Za-z0-9_/]{0,120})")
# In these the connection never stood, so nothing can have been taken.
NEVER_SENT = (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)


class SlackFailed(SendFailed):
    """A failure with the code that Slack gave it ("" when it gave none)."""

    def __init__(self, message: str, outcome: Outcome, retry_after: float = 0.0, code: str = "") -> None:
        super().__init__(message, outcome, retry_after)
        self.code = code
        self.pointers: tuple[str, ...] = ()


def from_answer(status: int, headers: Mapping[str, str], body: Mapping[str, object]) -> SlackFailed:
    """The failure that an answer without `ok: true` stands for. Status first, then the code.

    Slack answers 200 to all that it understood, so any other status but 429 comes from a machine before it.
    """
    said = str(body.get("error", ""))
    code = said if CODE.fullmatch(said) else ""
    if status == 429:
        return SlackFailed("Slack asks to wait (429)", "refused", _seconds(headers), "ratelimited")
    if status != 200:
        return SlackFailed(f"Slack is in trouble (HTTP {status})", "unknown", _seconds(headers), code)
    if not code:
        return SlackFailed("the answer did not come from Slack (HTTP 200, no JSON)", "unknown")
    failure = SlackFailed(_sentence(code, body), _outcome(code), _seconds(headers), code)
    failure.pointers = tuple(POINTER.findall(str(body.get("errors", ""))))
    return failure


def from_connection(error: Exception) -> SlackFailed:
    """The failure that an exception from below HTTP stands for. Its text may quote the request: not shown."""
    cause = getattr(error, "reason", error)  # urllib wraps what happened before the answer
    said = getattr(cause, "strerror", None)
    name = said if isinstance(said, str) else type(cause).__name__
    outcome: Outcome = "refused" if isinstance(cause, NEVER_SENT) else "unknown"
    return SlackFailed(f"no answer from Slack ({name})", outcome)


def _outcome(code: str) -> Outcome:
    if code in FOR_NOW:
        return "refused"
    if code in CREDENTIALS:
        return "no_credentials"
    if code in FOR_GOOD or code.startswith(FOR_GOOD_FAMILIES):
        return "permanent"
    return "unknown"  # fatal_error and internal_error too: part of the work may have been done


def _sentence(code: str, body: Mapping[str, object]) -> str:
    advice = ADVICE.get(code)
    needed = str(body.get("needed", ""))
    if code == "missing_scope" and re.fullmatch(r"[a-z:,._]{1,100}", needed):
        advice = f"the token lacks the scope {needed}"
    return f"Slack refused: {code}" + (f" ({advice})" if advice else "")


def _seconds(headers: Mapping[str, str]) -> float:
    """Retry-After in seconds, 0 when it is missing or no number."""
    for name, value in headers.items():
        if name.lower() == "retry-after" and value.strip().isascii() and value.strip().isdigit():
            return float(min(int(value.strip()[:9]), 86400))
    return 0.0
