"""No request reaches the file system: what looks like a path in it is opened by nobody."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import Any

import httpx2
from test_collector_server import Behind, serving
from test_tokens import requests

from collector.server import Asked, Door
from collector.webhooks.hook import Hook

MARK = "kanarienfile"
PATHS = (
    f"../../../etc/{MARK}",
    f"/etc/{MARK}",
    f"..%2f..%2f{MARK}",
    f"file:///{MARK}",
    f"C:\\{MARK}",
    f"{MARK}\x00.x",
)
_seen: list[str] = []
_watching = False


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _watching and event in (
        "open",
        "os.listdir",
        "os.scandir",
        "subprocess.Popen",
        "os.remove",
        "os.mkdir",
    ):
        _seen.append(repr(args))


def test_what_looks_like_a_path_in_a_request_is_opened_by_nobody() -> None:
    global _watching
    behind, asked = Behind(), list[Asked]()

    def desk(one: Asked) -> tuple[int, object]:
        asked.append(one)
        return 200, {}

    door = Door(
        behind.metrics, behind.deployments, time.time, lambda: {"ok": True}, gate=lambda asked: dict(asked),
        desk=desk, webhooks={"github": Hook("github", "s")}, slack=lambda path, headers, body: 401,
    )  # fmt: skip
    sys.addaudithook(_hook)  # can never be taken back; it does nothing while nobody watches
    with serving(door) as at, httpx2.Client(base_url=at, trust_env=False) as client:
        _watching = True
        try:
            for path in PATHS:
                fields = (
                    "id",
                    "service",
                    "version",
                    "url",
                    "environment",
                    "matchers",
                    "author",
                    "comment",
                    "word",
                )
                body = json.dumps(dict.fromkeys(fields, path)).encode()
                for _, method, where, headers, sent in requests():
                    with contextlib.suppress(httpx2.InvalidURL, UnicodeError):
                        client.request(method, where, headers=headers, content=sent, params={"service": path})
                        client.request(method, f"{where}/{path}", headers=headers, content=body)
                        client.request(method, where, headers=headers, content=body)
                for where in ("/webhooks/", "/slack/", "/", "/incidents/"):
                    with contextlib.suppress(httpx2.InvalidURL, UnicodeError):
                        client.post(where + path, json={"a": path})
                        client.get(where + path)
            with open("/etc/hostname"):  # so that we would see it
                pass
        finally:
            _watching = False
    assert asked
    assert any("/etc/hostname" in one for one in _seen)
    assert [one for one in _seen if MARK in one] == []
