"""The command line as people meet it: help, exit statuses, one line for whoever gave something wrong."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest

from alerts import jsonl
from collector import dataset
from collector.bins import Bins, SeriesKey, SeriesTable
from collector.deployments import Deployment
from stillwatch import cli as cli_module
from stillwatch.cli import _run, cli, strangers
from stillwatch.store import Closing, Store

BAD = Path(__file__).parent / "bad"
T0 = 1_649_831_400


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, and an environment without tokens."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    for name in ("SLACK_BOT_TOKEN", "STILLWATCH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return home


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = _run([str(a) for a in arguments])
    out, err = capfd.readouterr()
    return status, out, err


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def small(at: Path) -> Path:
    """A dataset of ten minutes."""
    at.mkdir()
    rows = [f"{T0 + 60 * i},a,{m},{n}" for i in range(10) for m, n in (("x_failed", 0), ("x_total", 100))]
    (at / "metrics.csv").write_text("\n".join(["time,service,metric,value", *rows, ""]))
    return at


# Help.


def test_every_command_has_help_with_an_example(capfd: pytest.CaptureFixture[str]) -> None:
    assert set(cli.commands) >= {"backtest", "check", "run", "deployed", "demo", "export"}
    for name, command in cli.commands.items():
        status, out, err = run(capfd, name, "--help")
        assert (status, err) == (0, "")
        assert f"Example: stillwatch {name}" in out
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_comes_without_a_command_too(
    capfd: pytest.CaptureFixture[str], arguments: Sequence[str]
) -> None:
    status, out, err = run(capfd, *arguments)
    assert (status, err) == (0, "")
    assert "backtest" in out


def test_nothing_heavy_is_imported_before_a_command_needs_it() -> None:
    heavy = {
        "pandas",
        "numpy",
        "matplotlib",
        "sklearn",
        "numba",
        "pyarrow",
        "pydantic",
        "sqlalchemy",
        "slack_sdk",
        "uvicorn",
    }
    code = (
        "import sys; from stillwatch.cli import _run; _run(['--help']); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert heavy.isdisjoint(done.stderr.split())


@pytest.mark.slow
def test_help_is_there_at_once() -> None:
    def once() -> float:
        began = perf_counter()
        subprocess.run(
            [sys.executable, "-m", "stillwatch", "--help"], capture_output=True, check=True, timeout=60
        )
        return perf_counter() - began

    assert min(once() for _ in range(5)) < 0.3


# Wrong use and wrong input.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "No such command 'nonsense'."),
        (("backtest",), "Missing argument 'DATASET'."),
        (("backtest", "x", "--colour"), "No such option"),
        (("backtest", "x", "--from", "2022-04-13T06:00:00"), "expected an offset from UTC"),
        (("backtest", "x", "--to", "noon\nat night"), "expected a time such as"),
        (("deployed", "a"), "Missing argument 'VERSION'."),
        (("deployed", "a", "1", "--kind", "oops"), "'oops' is not one of"),
        (("demo", "--interval", "1"), "--interval"),
        (("backtest", "nowhere"), "nowhere: found no such folder, expected a dataset"),
        (("check", "--config", "nowhere.yaml"), "nowhere.yaml: found no such file or directory"),
        (("run", "--config", "nowhere.yaml"), "nowhere.yaml: found no such file or directory"),
        (("export", "out"), "stillwatch.db: no such database"),
    ],
)  # fmt: skip
def test_wrong_use_is_answered_with_one_line_and_status_2(
    capfd: pytest.CaptureFixture[str], arguments: Sequence[str], said: str
) -> None:
    status, out, err = run(capfd, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("stillwatch: ")
    assert err.count("\n") == 1
    assert said in err


@pytest.mark.parametrize("bad", sorted((BAD / "datasets").iterdir()), ids=lambda path: path.name)
def test_a_wrong_dataset_ends_a_backtest_with_one_line_and_status_2(
    capfd: pytest.CaptureFixture[str], alone: Path, bad: Path
) -> None:
    status, out, err = run(capfd, "backtest", bad, "--out", alone / "out")
    assert (status, out, err) == (2, "", f"stillwatch: {(bad / 'expected.txt').read_text()}")
    assert not (alone / "out").exists()


@pytest.mark.parametrize("command", ["run", "check", "export"])
@pytest.mark.parametrize("bad", ["unknown_key_in_a_signal", "signal_named_twice", "no_yaml"])
def test_wrong_settings_end_every_command_with_one_line_and_status_2(
    capfd: pytest.CaptureFixture[str], command: str, bad: str
) -> None:
    more = ["out"] if command == "export" else []
    status, out, err = run(capfd, command, "--config", BAD / "settings" / bad / "stillwatch.yaml", *more)
    assert (status, out) == (2, "")
    assert err == f"stillwatch: {(BAD / 'settings' / bad / 'expected.txt').read_text()}"


def test_the_command_itself_exits_with_2_and_one_line() -> None:
    for command in ([sys.executable, "-m", "stillwatch"], [sys.executable, "-m", "stillwatch.cli"]):
        done = subprocess.run(
            [*command, "backtest", str(BAD / "datasets" / "negative_count")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert (
            done.stderr == f"stillwatch: {(BAD / 'datasets' / 'negative_count' / 'expected.txt').read_text()}"
        )


def test_a_reader_who_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    place = small(tmp_path / "data")
    code = f"{sys.executable} -m stillwatch check --dataset {place} | true"
    done = subprocess.run(["sh", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr


def test_a_place_where_nothing_may_be_written_is_named(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    status, _, err = run(capfd, "backtest", small(tmp_path / "data"), "--out", tmp_path / "file" / "out")
    assert status == 1
    assert err.splitlines()[-1].startswith(f"stillwatch: {tmp_path / 'file'}")


# Packages in the way.


def test_our_rooms_are_ours() -> None:
    assert strangers() == []


def test_a_stranger_in_the_place_of_a_room_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    found = strangers(lambda room: SimpleNamespace(origin=f"/somewhere/{room}/__init__.py"))
    assert [line.partition(":")[0] for line in found] == ["collector", "detectors", "alerts"]
    assert "found /somewhere/alerts" in found[2]
    monkeypatch.setattr(cli_module, "strangers", lambda: found[:1])
    with pytest.raises(SystemExit) as ended:
        cli_module.main()
    assert ended.value.code == 2
    assert "/somewhere/collector" in capfd.readouterr().err


# Commands.


def test_a_backtest_writes_all_its_files_and_says_where(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, alone: Path
) -> None:
    status, out, err = run(capfd, "backtest", small(tmp_path / "data"))
    assert (status, err) == (0, "")
    made = alone / "backtest" / "data"
    assert sorted(p.name for p in made.iterdir()) == [
        "alerts.jsonl",
        "messages",
        "report.html",
        "summary.json",
    ]
    assert "backtest/data" in out


def test_a_backtest_prints_its_summary_as_json(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    place = small(tmp_path / "data")
    arguments = ("backtest", place, "--out", tmp_path / "out", "--json", "--from", T0 + 120, "--to", T0 + 300)
    status, out, _ = run(capfd, *arguments)
    told = json.loads(out)
    assert status == 0
    assert told["bins"] == 3
    assert told == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert "labels" not in told


@pytest.mark.slow
def test_the_sample_release_day_is_told_as_it_was(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    samples = Path(__file__).parent.parent / "sample_data"
    status, out, _ = run(capfd, "backtest", samples / "release_day", "--out", tmp_path / "out", "--json")
    told = json.loads(out)
    assert status == 0
    assert (told["misses"], told["false_alerts"]) == (0, 0)
    assert all(one["right_release"] and one["right_member"] for one in told["labels"])
    for line in (tmp_path / "out" / "alerts.jsonl").read_text().splitlines():
        jsonl.read(line)


def test_check_prints_the_signals_and_that_all_is_well(
    capfd: pytest.CaptureFixture[str], alone: Path, tmp_path: Path
) -> None:
    (alone / "stillwatch.yaml").write_text(f"listen: {{port: {free_port()}}}\n")
    status, out, err = run(capfd, "check", "--dataset", small(tmp_path / "data"))
    assert (status, err) == (0, "")
    assert re.search(r"^a +x +error_ratio +x_failed +x_total +2$", out, re.M)
    assert "found by the names of metrics" in out
    assert not (alone / "stillwatch.db").exists(), "a check makes nothing"


def test_check_names_a_signal_whose_series_are_not_there(
    capfd: pytest.CaptureFixture[str], alone: Path, tmp_path: Path
) -> None:
    (alone / "stillwatch.yaml").write_text(
        f"listen: {{port: {free_port()}}}\n"
        "services: {a: {signals: {s: {kind: throughput, count: x_totl}}}}\n"
    )
    _, out, _ = run(capfd, "check", "--dataset", small(tmp_path / "data"))
    assert re.search(r"^a +s +throughput +x_totl +none for x_totl$", out, re.M)


@contextmanager
def answering(body: bytes) -> Iterator[int]:
    """Somebody on loopback who answers everything with `body`; the port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"ok": true, "watermark": 1, "series": 7}', 0, "our daemon is there, 7 series"),
        (b'{"ok": false, "watermark": 1, "trouble": "no space"}', 1, "not well: no space"),
        (b"<html>", 1, "Address already in use"),
        (b"[1]", 1, "Address already in use"),
    ],
)
def test_check_tells_our_daemon_from_others_on_the_port(
    capfd: pytest.CaptureFixture[str], alone: Path, body: bytes, status: int, said: str
) -> None:
    with answering(body) as port:
        (alone / "stillwatch.yaml").write_text(f"listen: 127.0.0.1:{port}\n")
        ended, out, _ = run(capfd, "check")
    assert ended == status
    assert said in out


def test_check_asks_slack_and_shows_no_token(
    capfd: pytest.CaptureFixture[str], alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    with answering(b'{"ok": false, "error": "invalid_auth"}') as port:
        (alone / "stillwatch.yaml").write_text(
            f"listen: {{port: {free_port()}}}\nslack: {{channel: '#a', base_url: 'http://127.0.0.1:{port}/api/'}}\n"
        )
        status, out, err = run(capfd, "check")
    assert status == 1
    assert re.search(r"^NO  slack .*invalid_auth", out, re.M)
    assert "xoxb" not in out + err


def test_check_says_when_channels_are_named_but_there_is_no_token(
    capfd: pytest.CaptureFixture[str], alone: Path
) -> None:
    (alone / "stillwatch.yaml").write_text(
        f"listen: {{port: {free_port()}}}\nroutes: [{{channel: '#lost'}}]\n"
    )
    status, out, _ = run(capfd, "check")
    assert status == 1
    assert "not to #lost" in out


@pytest.mark.parametrize(
    ("database", "said"),
    [("nowhere/s.db", "the folder nowhere does not exist"), ("text", "no Stillwatch database")],
)
def test_check_says_why_the_database_cannot_be_used(
    capfd: pytest.CaptureFixture[str], alone: Path, database: str, said: str
) -> None:
    (alone / "text").write_text("this is a text and no database of anybody's " * 9)
    (alone / "stillwatch.yaml").write_text(f"listen: {{port: {free_port()}}}\ndatabase: {database}\n")
    status, out, _ = run(capfd, "check")
    assert status == 1
    assert said in out


def test_a_pipeline_is_told_when_nobody_listens(capfd: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capfd, "deployed", "a", "1", "--url", f"http://127.0.0.1:{free_port()}")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "nobody answers" in err


def test_a_deployment_is_told_with_all_that_was_said(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, alone: Path
) -> None:
    from stillwatch import deployed

    told: list[tuple[str, str, Deployment]] = []

    def tell(url: str, token: str, deployment: Deployment) -> str:
        told.append((url, token, deployment))
        return "told"

    monkeypatch.setattr(deployed, "tell", tell)
    monkeypatch.setenv("STILLWATCH_TOKEN", "knock")
    (alone / "stillwatch.yaml").write_text("listen: {host: '::1', port: 99, token_env: NOT_SET_HERE}\n")
    status, out, _ = run(
        capfd, "deployed", "a", "2", "--id", "r", "--time", "2022-04-13T06:31Z", "--previous-version", "1",
        "--kind", "rollback", "--environment", "prod", "--link", "https://d.example", "--revision", "c",
        "--author", "me", "--description", "why",
    )  # fmt: skip
    assert (status, out) == (0, "told\n")
    shipped = Deployment(
        "r", T0 + 60, "a", "2", "1", "prod", "https://d.example", "c", "me", "rollback", "why"
    )
    assert told == [("http://[::1]:99", "knock", shipped)]


def test_what_the_daemon_recorded_is_exported_as_a_dataset(
    capfd: pytest.CaptureFixture[str], alone: Path
) -> None:
    table = SeriesTable([SeriesKey("a", "m", "1", (("r", "eu"),)), SeriesKey("a", "n")])
    closed = T0 + 60 * np.arange(1, 4, dtype=np.int64) + 15
    bins = Bins(T0, 60, closed, np.array([[1, np.nan], [2, 5], [3, np.nan]]), np.array([True, True, True]))
    store = Store(alone / "stillwatch.db")
    store.settle_width(60)
    store.commit(Closing(bins), table)
    store.add_deployments([Deployment("r", T0, "a", "1", reported=T0 + 30)])
    store.close()
    (alone / "stillwatch.yaml").write_text("grace: 15s\n")
    status, out, err = run(capfd, "export", "--from", T0 + 60, "out")
    assert (status, err) == (0, "")
    assert out == "out: 2 intervals, 2 series, 1 deployments\n"
    found = dataset.read(alone / "out", 60, 15)
    assert (found.bins.start, found.bins.values.tolist()[0]) == (T0 + 60, [2.0, 5.0])
    assert found.deployments == (Deployment("r", T0, "a", "1", reported=T0 + 30),)
    assert (alone / "out" / "stillwatch.yaml").read_text() == "grace: 15s\n"
    status, _, err = run(capfd, "export", "out")
    assert (status, err) == (2, "stillwatch: out: not empty, expected a new folder\n")


def test_an_interrupt_is_no_traceback(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "read", interrupt)
    status, _, err = run(capfd, "backtest", os.curdir)
    assert (status, err.strip()) == (130, "stillwatch: interrupted")
