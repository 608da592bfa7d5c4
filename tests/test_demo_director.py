"""The director plays the whole story with a real platform and a stand-in for Stillwatch, and cleans up after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from stillwatch import config
from stillwatch.demo.processes import Children
from stillwatch.demo.watcher import Watcher

pytestmark = pytest.mark.slow

# Answers as the daemon does and takes what it is told; it alerts of every deployment, or of none.
STAND_IN = """
import argparse, json, sys, threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import yaml
from collector.bins import SeriesTable
from collector.deployments import Deployment
from stillwatch.deployed import tell
from stillwatch.store import Closing, News, Store

parser = argparse.ArgumentParser()
parser.add_argument("sight", choices=("sees", "blind"))
commands = parser.add_subparsers(dest="command")
run = commands.add_parser("run")
run.add_argument("--config", type=Path)
deployed = commands.add_parser("deployed")
deployed.add_argument("service")
deployed.add_argument("version")
for option in ("--url", "--id", "--previous-version", "--kind"):
    deployed.add_argument(option, default="")
given = parser.parse_args()

if given.command == "deployed":
    kind = given.kind or "deploy"
    tell(given.url, "", Deployment(given.id, 0, given.service, given.version, given.previous_version, kind=kind))
    sys.exit()

settings = yaml.safe_load(given.config.read_text())
store = Store(Path(settings["database"]))
open_ones, numbers, turn = {}, {}, threading.Lock()

def news(event, release):
    numbers[release] = number = numbers.get(release, 0) + 1
    now = datetime.now(UTC).isoformat()
    loss = {"signal": "kept", "kind": "data_loss", "onset": now, "lost": 1.0, "lost_low": 0.0, "lost_high": 1e6}
    members = open_ones[release]
    signals = [{"service": member, **loss} for member in members]
    share = 0.9 / len(members)
    suspects = [{"deployment": release, "service": member, "probability": share} for member in members]
    line = {"event": event, "incident": release, "signals": signals, "suspects": suspects, "reason": "rollback"}
    store.commit(Closing(news=(News(release, number, 0, json.dumps(line), ()),)), SeriesTable())

class Door(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/deployments" and given.sight == "sees":
            told = json.loads(body)
            release = told["id"].removesuffix("-rollback")
            with turn:
                if told["version"] == "2.0.0":
                    open_ones.setdefault(release, []).append(told["service"])
                    news("opened", release)
                else:
                    news("resolved", release)
        self.answer()

    def answer(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

print("the stand-in watches", flush=True)
ThreadingHTTPServer((settings["listen"]["host"], settings["listen"]["port"]), Door).serve_forever()
"""

PLAY = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background inherits that it is ignored
from stillwatch.demo import director, watcher
watcher.COMMAND = (sys.executable, sys.argv[1], sys.argv[2])
director.LEARNING, director.LEARNING_INTERVALS, director.REACTING = float(sys.argv[3]), 1, 0.3
director.UNDERSTANDING = director.RECOVERING = 1
sys.exit(director.run(interval=1))
"""


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    (tmp_path / "stand_in.py").write_text(STAND_IN)

    def begin(sight: str, learning: float) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", PLAY, str(tmp_path / "stand_in.py"), sight, str(learning)],
            env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent.parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


def folders(tmp_path: Path) -> list[Path]:
    return list(tmp_path.glob("stillwatch-demo-*"))


def still_running(tmp_path: Path) -> dict[int, str]:
    """By process id, the command lines that mention this test's folder."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended meanwhile
        if str(tmp_path) in line and int(process.name) != os.getpid():
            found[int(process.name)] = line
    return found


def kill_all(tmp_path: Path) -> None:
    for process in still_running(tmp_path):
        os.kill(process, signal.SIGKILL)


def test_all_that_was_seen_ends_in_0_and_leaves_nothing_behind(
    tmp_path: Path, play: Callable[..., subprocess.Popen[str]]
) -> None:
    said, complained = (run := play("sees", 1)).communicate(timeout=60)
    assert run.returncode == 0, said + complained
    assert "the stand-in watches" in said, "the daemon speaks where people look"
    story = ["learns what is usual", "DEPLOYING version 2.0.0 of contact-importer and event-parser"]
    story += ["ROLLING BACK contact-importer", "DEPLOYING version 2.0.0 of image-resizer"]
    story += ["ROLLING BACK image-resizer", "opens lost", "All of it was seen."]
    places = [said.index(part) for part in story]
    assert places == sorted(places)
    assert folders(tmp_path) == []
    assert still_running(tmp_path) == {}


def test_a_stillwatch_that_says_nothing_fails_the_demo_and_the_logs_are_named(
    tmp_path: Path, play: Callable[..., subprocess.Popen[str]]
) -> None:
    said, complained = (run := play("blind", 1)).communicate(timeout=60)
    assert run.returncode == 1
    assert said.count("NOT ALERTED") == 3
    [folder] = folders(tmp_path)
    assert str(folder) in complained
    assert (folder / "event-parser-2.log").exists()
    assert still_running(tmp_path) == {}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_who_stops_the_demo_stops_all_of_it(
    how: signal.Signals, tmp_path: Path, play: Callable[..., subprocess.Popen[str]]
) -> None:
    run = play("sees", 50)
    assert run.stdout is not None
    alarm = threading.Timer(30, kill_all, [tmp_path])
    alarm.start()
    for line in run.stdout:
        if "learns what is usual" in line:
            assert len(still_running(tmp_path)) >= 6
            run.send_signal(how)
    _, complained = run.communicate()
    alarm.cancel()
    assert run.returncode == 130, complained
    assert "Traceback" not in complained
    assert folders(tmp_path) == []
    assert still_running(tmp_path) == {}


def test_a_stillwatch_that_does_not_start_is_named_with_its_log(
    tmp_path: Path, play: Callable[..., subprocess.Popen[str]]
) -> None:
    run = play("no such sight", 1)
    _, complained = run.communicate(timeout=60)
    assert run.returncode == 1
    [folder] = folders(tmp_path)
    assert f"stillwatch ended with status 2: see {folder}/stillwatch.log" in complained
    assert "Traceback" not in complained


def test_the_configuration_that_the_demo_writes_is_right(tmp_path: Path) -> None:
    Watcher(Children(tmp_path), tmp_path, 5, "#alerts & more")
    settings = config.load(tmp_path / "stillwatch.yaml", {"SLACK_BOT_TOKEN": "xoxb-1"})
    assert (settings.interval, settings.slack.channel) == (5, "#alerts & more")
    assert len(settings.signals) == 8
    assert settings.database == str(tmp_path / "stillwatch.db")
