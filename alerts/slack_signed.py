"""Is it really Slack that asks over HTTP? Signed with our secret, just now, and not seen before.

In: the headers and the body of a request, as they came. Out: yes or no.
Never: a body read before it is known to be Slack's; the secret in a log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from slack_sdk.signature import Clock, SignatureVerifier

WINDOW = 300  # seconds that a timestamp may be off, either way


class Signed:
    """One app's signatures. now: gives epoch seconds. One thread at a time."""

    def __init__(self, secret: str, now: Callable[[], float]) -> None:
        class OurClock(Clock):
            def now(self) -> float:
                return now()

        self._verifier = SignatureVerifier(secret, OurClock())
        self._now = now
        self._seen: dict[str, float] = {}  # signature -> until when it may not come again

    def is_from_slack(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether Slack has signed this body within the last minutes, for the first time."""
        try:
            valid = self._verifier.is_valid_request(body, headers)
        except (
            ValueError,
            OverflowError,
            TypeError,
        ):  # a timestamp that is none, a signature outside of ASCII
            return False
        if not valid:
            return False
        now = self._now()
        self._seen = {one: until for one, until in self._seen.items() if until > now}
        signature = next(value for name, value in headers.items() if name.lower() == "x-slack-signature")
        if signature in self._seen:
            return False
        # A timestamp may lie ahead by the window, and the signature is good for the window after it.
        self._seen[signature] = now + 2 * WINDOW
        return True
