"""Socket Mode: what is pressed and typed in Slack comes in over a socket that we open, so also behind a firewall.

In: an app token. Out: payloads, each acknowledged at once and then handed on.
Never: an alert that depends on it; a token or a ticket in a log; a pause shorter than Slack asks for.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from errno import ECONNREFUSED
from typing import Any, Literal
from urllib.parse import urlsplit

from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from alerts.slack_base import is_loopback, quiet_sdk
from alerts.slack_errors import SlackFailed, from_answer, from_connection
from alerts.slack_web import Web, is_slacks

log = logging.getLogger(__name__)

LONGEST_PAUSE = 60.0  # seconds between tries to connect
PING = 5.0  # seconds; a socket that answers none for four of them is given up

Kind = Literal["interactive", "slash_commands"]


class Socket:
    """One app's socket. take: is handed what came, in a thread of its own, once it is acknowledged.

    base_url: https, or http on a loopback address (else ValueError). ping: seconds.
    """

    def __init__(
        self,
        app_token: str,
        base_url: str,
        take: Callable[[Kind, Mapping[str, Any]], None],
        ping: float = PING,
    ) -> None:
        loopback = is_loopback(base_url)
        quiet = quiet_sdk(f"{__name__}.sdk")
        web = Web(base_url=base_url, logger=quiet, retry_handlers=[])
        if loopback:
            web.proxy = None
        self._take = take
        # It must not reconnect by itself: it would do so without growing pauses.
        self._client = _Client(
            app_token, quiet, web, auto_reconnect_enabled=False, ping_interval=ping, concurrency=2
        )
        self._client.loopback = loopback
        if loopback:
            self._client.proxy = None
        self._client.socket_mode_request_listeners.append(self._heard)
        self.connected = False
        self.trouble = ""

    def run(self, stopping: threading.Event) -> None:
        """Stay connected until `stopping` is set, or Slack says that the app may have no socket any more."""
        pause = 1.0
        try:
            while not stopping.is_set() and not self._client.disabled:
                if self._client.is_connected():
                    self._say(True, "")
                    pause = 1.0
                    stopping.wait(0.2)
                    continue
                asked = self._connect()
                if not self._client.is_connected():
                    stopping.wait(max(pause, asked))
                    pause = min(2 * pause, LONGEST_PAUSE)
            if self._client.disabled:
                self._say(False, "Slack has switched Socket Mode off for this app")
        finally:
            self._client.close()

    def _connect(self) -> float:
        """Try once; the seconds that Slack asks to wait."""
        failure = SlackFailed("the socket was refused or cut", "refused")
        try:
            self._client.connect_to_new_endpoint()
        except SlackApiError as error:
            failed = error.response
            body = failed.data if isinstance(failed.data, dict) else {}
            failure = from_answer(failed.status_code, failed.headers, body)
        except OSError as error:
            failure = from_connection(error)
        except Exception as error:  # noqa: BLE001  the SDK raises what it likes; without a socket all else goes on
            failure = SlackFailed(f"no socket from Slack ({type(error).__name__})", "unknown")
        if not self._client.is_connected():
            self._say(False, str(failure))
        return failure.retry_after

    def _say(self, connected: bool, trouble: str) -> None:
        if connected and not self.connected:
            log.info("buttons and commands of Slack come in by Socket Mode")
        elif not connected and trouble != self.trouble:
            log.error("buttons and commands of Slack do not come in: %s", trouble)
        self.connected, self.trouble = connected, trouble

    def _heard(self, client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        # Slack waits for three seconds; what it leads to may take longer.
        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
        if request.type == "interactive":
            self._take("interactive", request.payload)
        elif request.type == "slash_commands":
            self._take("slash_commands", request.payload)


def check(app_token: str, base_url: str, timeout: float) -> str:
    """What stands in the way of a socket, one sentence; empty when nothing does. None is opened."""
    try:
        is_loopback(base_url)
        web = Web(base_url=base_url, logger=quiet_sdk(f"{__name__}.sdk"), retry_handlers=[])
        web.timeout = timeout  # type: ignore[assignment]  # urllib takes parts of a second
        web.apps_connections_open(app_token=app_token)
    except SlackApiError as error:
        failed = error.response
        body = failed.data if isinstance(failed.data, dict) else {}
        return str(from_answer(failed.status_code, failed.headers, body))
    except OSError as error:
        return str(from_connection(error))
    except ValueError as error:
        return str(error)
    return ""


class _Client(SocketModeClient):
    """The SDK's, which sleeps inside of a call when it is to wait, and takes any address that it is told."""

    loopback = False
    disabled = False

    def issue_new_wss_url(self) -> str:
        if self.disabled:
            raise ConnectionRefusedError("Socket Mode is switched off")
        url = str(self.web_client.apps_connections_open(app_token=self.app_token)["url"])
        if is_slacks(url, self.web_client.base_url) and urlsplit(url).scheme in ("ws", "wss"):
            return url
        raise ConnectionRefusedError(ECONNREFUSED, "Slack named an address for a socket that is not its own")

    def enqueue_message(self, message: str) -> None:
        if '"disconnect"' in message:
            try:
                told = json.loads(message)
            except ValueError:
                told = {}
            if told.get("type") == "disconnect" and told.get("reason") == "link_disabled":
                self.disabled = True
        super().enqueue_message(message)
