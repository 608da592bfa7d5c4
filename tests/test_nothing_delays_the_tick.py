"""Slow consumers and senders, a slow source, a slow Slack, slow watchers outside: the tick waits for none."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
from slack_server import SlackServer, hang
from test_daemon import Daemon, eventually
from test_own_metrics import scraped

from alerts.messages import Message

WATCHED = 30  # seconds


@contextmanager
def never_answers() -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that takes every connection and says nothing; its address, and who waits."""
    waiting: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        over = threading.Event()

        def take() -> None:
            while not over.is_set():
                try:
                    waiting.append(listener.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", waiting
        finally:
            over.set()
            thread.join()
            for one in waiting:
                one.close()


def slow_clients(port: int, stack: ExitStack) -> None:
    """Some never read what they asked for, others never end what they send."""
    ask = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer let-me-in\r\n\r\n"
    send = (
        b"POST /v1/metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer let-me-in\r\n"
        b"Content-Type: application/x-protobuf\r\nContent-Length: 100000\r\n\r\nx"
    )
    for what in (ask * 200, send):
        for _ in range(10):
            client = stack.enter_context(closing(socket.create_connection(("127.0.0.1", port), 5)))
            client.setblocking(False)
            with suppress(BlockingIOError):  # nobody reads at the other end either
                client.sendall(what)


@pytest.mark.slow
def test_the_tick_waits_for_nobody(tmp_path: Path) -> None:
    with ExitStack() as stack:
        slack = stack.enter_context(SlackServer())
        prometheus, asked = stack.enter_context(never_answers())
        receiver, told = stack.enter_context(never_answers())
        watcher, called = stack.enter_context(never_answers())
        hook, _ = stack.enter_context(never_answers())
        slack.script("chat.postMessage", *[hang() for _ in range(100)])
        daemon = Daemon(
            tmp_path, interval="5s", slack=slack.base_url, token=slack.token,
            more=f"""
grace: 5s
sources: {{slow: {{kind: promql, url: "{prometheus}", grace: 0s, every: 5s, timeout: 60s, history: 0s,
                   counters: {{select: jobs_total, service: jobs}}}}}}
telemetry: {{url: "{receiver}", every: 5s, traces: true}}
heartbeat: {{url_env: BEAT, every: 5s, fail: true}}
receivers: {{slow: {{webhook: "{hook}"}}}}
routes: [{{receiver: slow}}]
""",
        )  # fmt: skip
        daemon.environ["BEAT"] = watcher
        try:
            daemon.start()
            store = daemon.store()
            now = int(time.time())
            said = [Message(f"m{i}", channel, "text") for i in range(20) for channel in ("C0ALERTS", f"C{i}")]
            store.say("", said, now)
            store.close()
            slow_clients(daemon.port, stack)
            eventually(lambda: bool(asked and told and called) and slack.count("chat.postMessage") > 0, 60)
            before = scraped(daemon)
            lags = []
            for _ in range(WATCHED):
                lags.append(int(daemon.health()["lag"]))  # type: ignore[call-overload]
                time.sleep(1)
            after = scraped(daemon)
        finally:
            daemon.end()
    assert max(lags) <= 4, (
        lags
    )  # that a machine is busy may cost a second or two; each of them waits for ten or more
    judged = after["stillwatch_intervals_judged_total"] - before["stillwatch_intervals_judged_total"]
    assert judged >= WATCHED / 5 - 1
    ticks = "stillwatch_tick_duration_seconds_bucket"
    slow = after[f'{ticks}{{le="+Inf"}}'] - after[f'{ticks}{{le="5.0"}}']
    assert slow == 0
    assert after["stillwatch_outbox_waiting"] > 0
