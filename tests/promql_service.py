"""A small service for Prometheus to scrape: it counts what it does, and may be restarted.

In: work. Out: its counters as text, as the Prometheus client libraries write them.
Never: a count that was not work.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Service:
    """counted: what was ever done, by (metric, labels) and whole second; it outlives restarts."""

    def __init__(self, port: int = 0) -> None:
        self.counted: Counter[tuple[str, str, int]] = Counter()
        self._totals: Counter[tuple[str, str]] = Counter()
        self._begun = time.time()
        self._lock = threading.Lock()
        self.is_up = True
        ours = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not ours.is_up:
                    self.send_error(503)
                    return
                body = ours.text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def work(self, metric: str, labels: str, count: int = 1) -> None:
        with self._lock:
            self._totals[metric, labels] += count
            self.counted[metric, labels, int(time.time())] += count

    def restart(self) -> None:
        """What was not scraped before it, nobody can know: as of any process."""
        with self._lock:
            self._totals.clear()
            self._begun = time.time()

    def text(self) -> str:
        with self._lock:
            lines = [f"{metric}{{{labels}}} {total}" for (metric, labels), total in self._totals.items()]
            return "\n".join([*lines, f"process_start_time_seconds {self._begun}", ""])

    def between(self, metric: str, start: int, end: int) -> dict[str, int]:
        """By labels, what was done in these seconds."""
        found: Counter[str] = Counter()
        for (name, labels, second), count in self.counted.items():
            if name == metric and start <= second < end:
                found[labels] += count
        return dict(found)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
