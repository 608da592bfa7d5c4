"""What is pressed and typed in Slack, done: the same as over HTTP and on the command line.

In: payloads by Socket Mode or by signed HTTP. Out: words and silences; an answer to the one who asked, where a card
does not show it. Never: Slack kept waiting (it is answered before anything is done); a payload believed.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import shlex
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from alerts.mrkdwn import code, escape, plain
from alerts.silences import Matcher
from alerts.slack_buttons import LASTING, Command, Press, command, press
from collector.server import Asked, Busy
from stillwatch.config_kinds import seconds
from stillwatch.desk import Desk
from stillwatch.said import silence_line, status_lines

if TYPE_CHECKING:
    from alerts.slack_signed import Signed

log = logging.getLogger(__name__)

MOST_WAITING = 100  # presses
MOST_FIELDS = 50  # of a form
MOST_SHOWN = 2600  # characters of an answer
OLD = 300  # seconds: a press that says it is older, or younger, is taken for one of now
STRAIGHT = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'"})  # phones make them round
BECAUSE = re.compile(r"(?:^|\s)because(?:\s|$)")
ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
HELP = """`/stillwatch status`: what is watched, open and muted
`/stillwatch silence`: what is silenced
`/stillwatch silence service=image-resizer kind=~"error.*" for 2h because it is known`
`/stillwatch silence end ID`
`/stillwatch explain SERVICE [TIME]`: why it was told, or not"""


class SlackDesk:
    """Does what is pressed and typed, in a thread of its own.

    answer: posts a text at the address that came with a press. explain: (service, time or "") in lines; ValueError.
    secret: what Slack signs HTTP requests with, empty where none come. now: gives epoch seconds.
    """

    def __init__(
        self,
        desk: Desk,
        answer: Callable[[str, str], object],
        explain: Callable[[str, str], list[str]],
        secret: str,
        now: Callable[[], int],
    ) -> None:
        self._desk = desk
        self._answer = answer
        self._explain = explain
        self._now = now
        self._signed = _signed(secret, now) if secret else None
        self._lock = threading.Lock()
        self._explaining = threading.Lock()
        self._waiting: queue.Queue[Press | Command] = queue.Queue(MOST_WAITING)

    # What comes in.

    def over_http(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """The HTTP status for a request at /slack/interactions or /slack/commands."""
        if self._signed is None:
            return 404
        with self._lock:
            if not self._signed.is_from_slack(headers, body):
                log.warning("a request at %s is not signed by Slack, or came before; refused", path)
                return 401
        try:
            form = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
            fields: dict[str, Any] = {name: values[0] for name, values in form.items()}
            if path == "/slack/interactions":
                self.take("interactive", json.loads(str(fields.get("payload", ""))))
            else:
                self.take("slash_commands", fields)
        except (ValueError, RecursionError):  # the latter of brackets without end
            return 400
        return 200

    def take(self, kind: str, payload: object) -> None:
        """Note what came, to be done in a moment."""
        if not isinstance(payload, Mapping):
            return
        said = press(payload) if kind == "interactive" else command(payload)
        if said is None:
            return
        try:
            self._waiting.put_nowait(said)
        except queue.Full:
            log.error("too much is pressed in Slack at once; some of it was dropped")

    # What is done.

    def work(self, stopping: threading.Event) -> None:
        """Do what comes in until `stopping` is set and nothing is left."""
        while not stopping.is_set() or not self._waiting.empty():
            try:
                said = self._waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            try:
                self._do(said)
            except Exception:  # one press that breaks must not be the last one
                log.exception("what was pressed or typed in Slack could not be done")

    def _do(self, said: Press | Command) -> None:
        try:
            text = self._pressed(said) if isinstance(said, Press) else self._typed(said)
        except Busy:
            text = "It cannot be kept just now; try again in a few seconds."
        except ValueError as reason:
            text = escape(f"Not done: {reason}")
        if text and said.answer_to:
            self._answer(said.answer_to, text)

    def _pressed(self, said: Press) -> str:
        """Done; the answer where something is wrong (else the card shows what was done)."""
        if said.action == "silence":
            return self._silence(said)
        if said.action == "why":
            return self._why(said)
        body = {"word": said.action, "by": said.who, "deployment": said.deployment, "service": said.service}
        named = {"id": said.incident}
        asked = Asked("POST", "/incidents/{id}/words", named, json.dumps(body).encode())
        status, told = self._desk.answer(asked)
        if status != 200:
            return _wrong(told)
        if said.action == "roll back" and isinstance(told, Mapping) and not told["new"]:
            who, at = code(told["by"], 40), told["time"]
            return f"{who} has asked for that already, at {at}: {plain(told['answer'], 240)}."
        return ""

    def _why(self, said: Press) -> str:
        status, told = self._desk.answer(Asked("GET", "/incidents/{id}", {"id": said.incident}, b""))
        return _block(told["why"]) if status == 200 and isinstance(told, Mapping) else _wrong(told)

    def _silence(self, said: Press) -> str:
        status, told = self._desk.answer(Asked("GET", "/incidents/{id}", {"id": said.incident}, b""))
        if status != 200 or not isinstance(told, Mapping):
            return _wrong(told)
        if told["resolved"]:
            return f"Incident {escape(said.incident)} is over since {told['resolved']}."
        # The moment of the press makes one silence of a press that comes twice.
        now = self._now()
        starts = said.time if abs(said.time - now) <= OLD else now
        body: dict[str, object] = {
            "matchers": [str(Matcher("incident", "=", said.incident))], "author": said.who, "starts": starts,
            "comment": f"silenced {LASTING[said.lasting]} in Slack",
        }  # fmt: skip
        if said.lasting != "over":
            body["for"] = said.lasting
        return self._problem(Asked("POST", "/silences", {}, json.dumps(body).encode()))

    def _problem(self, asked: Asked) -> str:
        status, told = self._desk.answer(asked)
        return "" if status == 200 else _wrong(told)

    def _typed(self, said: Command) -> str:
        text = said.text
        for entity, character in ENTITIES:
            text = text.replace(entity, character)
        # A reason is prose: an apostrophe in it opens no quote.
        text, *reason = BECAUSE.split(text, 1)
        try:
            first, *rest = shlex.split(text.translate(STRAIGHT)) or [""]
        except ValueError:
            raise ValueError("found an open quote, expected a pair") from None
        if first == "status" and not rest:
            _, told = self._desk.answer(Asked("GET", "/status", {}, b""))
            return _block(status_lines(told)) if isinstance(told, Mapping) else ""
        if first == "silence":
            return self._silence_typed(said.who, rest, " ".join(reason).strip())
        if first == "explain" and 1 <= len(rest) <= 2:
            self._explain_aside(said, *rest)
            return ""
        return HELP

    def _silence_typed(self, who: str, words: list[str], why: str) -> str:
        if not words:
            _, told = self._desk.answer(Asked("GET", "/silences", {}, b""))
            found = told["silences"] if isinstance(told, Mapping) else []
            return _block([silence_line(one) for one in found] or ["nothing is silenced"])
        if words[0] == "end" and len(words) == 2:
            status, told = self._desk.answer(
                Asked("DELETE", "/silences/{id}", {"id": words[1], "by": who}, b"")
            )
        else:
            body = json.dumps(_silence_from(words) | {"author": who, "comment": why}).encode()
            status, told = self._desk.answer(Asked("POST", "/silences", {}, body))
        return _block([silence_line(told)]) if status == 200 and isinstance(told, Mapping) else _wrong(told)

    def _explain_aside(self, said: Command, service: str, at: str = "") -> None:
        """It takes its time; what is pressed meanwhile does not wait for it."""

        def run() -> None:
            if not self._explaining.acquire(blocking=False):
                self._answer(said.answer_to, "Something is being explained already; ask again in a minute.")
                return
            try:
                text = _block(self._explain(service, at))
            except ValueError as reason:
                text = escape(f"Not explained: {reason}")
            except Exception:
                log.exception("what was asked in Slack could not be explained")
                text = "It cannot be explained; the log says why."
            finally:
                self._explaining.release()
            self._answer(said.answer_to, text)

        threading.Thread(target=run, name="explain", daemon=True).start()


def _signed(secret: str, now: Callable[[], int]) -> Signed:
    from alerts.slack_signed import Signed  # slack-sdk costs a fifth of a second

    return Signed(secret, now)


def _silence_from(words: list[str]) -> dict[str, object]:
    """`service=a kind=b for 2h`: matchers, how long (1h)."""
    matchers, lasting, at = list[str](), "1h", 0
    while at < len(words):
        if words[at] == "for" and at + 1 < len(words):
            lasting, at = words[at + 1], at + 2
        else:
            matchers.append(words[at])
            at += 1
    try:
        seconds(lasting)
    except ValueError as error:
        raise ValueError(f"for: found {lasting[:40]!r}, expected {error}") from None
    return {"matchers": matchers, "for": lasting}


def _wrong(told: object) -> str:
    said = told.get("error", "") if isinstance(told, Mapping) else ""
    return escape(f"Not done: {said}")


def _block(lines: list[str]) -> str:
    """Lines as they are, as many as fit."""
    shown = escape("\n".join(lines).replace("```", "'''"))
    if len(shown) > MOST_SHOWN:
        shown = shown[:MOST_SHOWN].rsplit("\n", 1)[0] + "\n…"
    return f"```{shown}```"
