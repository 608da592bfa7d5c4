"""Asking the daemon something over HTTP, from a pipeline.

In: where the daemon listens, its token, what to ask. Out: its answer, or NoAnswer with what to check.
Never: a token in a message, a second try, a proxy between us and our own loopback.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


class NoAnswer(Exception):  # noqa: N818  (it reads as what happened)
    """Nobody could be asked; the text is one line that says what to check."""


@dataclass(frozen=True, slots=True)
class Answer:
    """status: of HTTP; told: the body, if it is a JSON object, else empty; text: as it came."""

    status: int
    told: Mapping[str, Any]
    text: str

    @property
    def error(self) -> str:
        """The reason that the daemon gives, if any."""
        return str(self.told.get("error", ""))


def call(
    method: str,
    url: str,
    path: str,
    token: str,
    patience: float,
    *,
    params: Mapping[str, Any] | None = None,
    body: Mapping[str, object] | None = None,
) -> Answer:
    """Send one request to the daemon at `url` (http://HOST:PORT). token: empty where it wants none;
    patience: seconds.

    Raises NoAnswer.
    """
    import httpx2

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NoAnswer(f"{url!r} is no address of a daemon; expected for example http://127.0.0.1:4318")
    to_ourselves = parts.hostname in ("127.0.0.1", "localhost", "::1")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        # The certificates that the system trusts, and those of SSL_CERT_FILE.
        trusted = ssl.create_default_context() if parts.scheme == "https" else True
        # A proxy of the environment would look for our own loopback on its machine.
        with httpx2.Client(timeout=patience, trust_env=not to_ourselves, verify=trusted) as client:
            got = client.request(
                method, f"{url.rstrip('/')}{path}", params=params, json=body, headers=headers
            )
    except httpx2.TimeoutException:
        raise NoAnswer(
            f"no answer from {url} within {patience:g} s; is the daemon well? See {url}/healthz"
        ) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise NoAnswer(
            f"nobody answers at {url} ({error}); check that `stillwatch run` is up and `listen` says this address"
        ) from None
    try:
        told = json.loads(got.text)
    except ValueError:
        told = {}
    answer = Answer(got.status_code, told if isinstance(told, dict) else {}, got.text)
    if got.status_code == 401:
        raise NoAnswer(
            f"{url} wants another token ({answer.error[:200]}); check the variable STILLWATCH_TOKEN, or the one "
            "that --token-env names"
        )
    return answer
