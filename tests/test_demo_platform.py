"""The demo's platform: its bugs are real, and its services really run, answer and count."""

from __future__ import annotations

import functools
import gzip
import json
import random
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from stillwatch.demo import addresses, importer, parser, people, platform, processes, resizer, town, truth

CUMULATIVE = 2


class Listener:
    """An OTLP/HTTP receiver: keeps the running total of every series and what it was told besides."""

    def __init__(self) -> None:
        self.totals: dict[tuple[str, str, str], dict[tuple[tuple[str, str], ...], int]] = defaultdict(dict)
        self.temporalities: set[int] = set()
        listener = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                listener.take(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, body: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            about = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self.temporalities.add(metric.sum.aggregation_temporality)
                    name = (about["service.name"], about["service.version"], metric.name)
                    for point in metric.sum.data_points:
                        which = tuple((a.key, a.value.string_value) for a in point.attributes)
                        self.totals[name][which] = point.as_int

    def total(self, service: str, version: str, metric: str) -> int:
        return sum(self.totals[service, version, metric].values())

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    town.draw_originals(tmp_path)
    return tmp_path


def upload(email: str, **cells: str) -> dict[str, Any]:
    columns = {"First name": "first_name", "Company": "company"}
    plain = {"email": "plain@example.net", "First name": "Ada", "Company": "Meadow Ltd"}
    return {"list": "l", "mapping": columns, "rows": [plain, {"email": email, **cells}]}


SUPPRESSED = {"gone@example.net": None}


def test_an_import_with_a_suppressed_contact_and_empty_mapped_fields_fails_in_version_2_only() -> None:
    bad = upload("gone@example.net", Company="Meadow Ltd")
    kept = importer.contacts_of(bad, SUPPRESSED, "1")
    assert kept == {"plain@example.net": {"first_name": "Ada", "company": "Meadow Ltd"}}
    with pytest.raises(AttributeError):
        importer.contacts_of(bad, SUPPRESSED, "2")


@pytest.mark.parametrize(
    ("email", "cells"),
    [
        ("gone@example.net", {"First name": "Ben", "Company": "Kiln & Co"}),  # suppressed, but nothing empty
        ("new@example.net", {}),  # empty, but not suppressed
    ],
)
def test_other_imports_are_read_alike_by_both_versions(email: str, cells: dict[str, str]) -> None:
    given = upload(email, **cells)
    assert importer.contacts_of(given, SUPPRESSED, "1") == importer.contacts_of(given, SUPPRESSED, "2")


def test_what_version_2_of_the_importer_was_made_for_it_does() -> None:
    known = {"new@example.net": {"first_name": "Ben", "company": "Kiln & Co"}}
    wiped = importer.contacts_of(upload("new@example.net"), known, "1")["new@example.net"]
    spared = importer.contacts_of(upload("new@example.net"), known, "2")["new@example.net"]
    assert wiped == {"first_name": "", "company": ""}
    assert spared == {"first_name": "Ben", "company": "Kiln & Co"}


@pytest.mark.parametrize("agent", town.AGENTS)
def test_version_2_of_the_parser_loses_just_the_opens_of_agents_without_brackets(agent: str) -> None:
    event = {"id": "e", "mail": "m", "user_agent": agent}
    assert parser.open_of(event, "1")[:2] == ("e", "m")
    if "(" in agent:
        assert parser.open_of(event, "2")[:2] == ("e", "m")
    else:
        with pytest.raises(ValueError, match="substring not found"):
            parser.open_of(event, "2")


def test_some_but_not_most_opens_are_of_the_kind_that_version_2_loses() -> None:
    lost = sum(share for agent, share in town.AGENTS.items() if "(" not in agent)
    assert 5 <= 100 * lost / sum(town.AGENTS.values()) <= 20


def failing(folder: Path, path: str, version: str, width: int) -> set[str]:
    failed = set()
    for file in (folder / resizer.ORIGINALS / path).iterdir():
        try:
            small = resizer.resized(file.read_bytes(), width, version)
        except ValueError:
            failed.add(file.stem)
        else:
            assert resizer.image_of(small).width >= min(width, 16)
    return failed


def test_version_2_of_the_resizer_fails_for_one_in_a_hundred_editor_images_and_no_other(folder: Path) -> None:
    usual = failing(folder, "editor", "1", town.EDITOR_WIDTH)
    assert len(usual) == 1, "a damaged original fails in any version"
    worse = failing(folder, "editor", "2", town.EDITOR_WIDTH)
    assert usual < worse
    assert len(worse - usual) == 10, "of a thousand"
    assert failing(folder, "campaign", "1", town.MAIL_WIDTH) == set()
    assert failing(folder, "campaign", "2", town.MAIL_WIDTH) == set()


def test_pixels_that_look_like_blanks_are_pixels() -> None:
    image = resizer.Image(3, 2, b"\n \t\r\n ")
    assert resizer.image_of(resizer.content_of(image)) == image
    assert resizer.scaled_in_version_1(image, 3) == image == resizer.scaled_in_version_2(image, 3)


def test_uploads_hold_suppressed_contacts_with_empty_cells_often_but_not_always(folder: Path) -> None:
    crowd = town.Town(folder, random.Random(3))
    known = dict.fromkeys(crowd.suppressed)
    fates = {"1": 0, "2": 0}
    for n in range(1000):
        given = crowd.upload(f"list-{n}")
        for version in fates:
            try:
                importer.contacts_of(given, known, version)
            except (KeyError, AttributeError):
                fates[version] += 1
    assert fates["1"] < 15
    assert 60 < fates["2"] < 250


def test_the_address_book_is_read_again_when_it_is_replaced(tmp_path: Path) -> None:
    addresses.publish(tmp_path, {"a": ["one"]})
    reader = addresses.Addresses(tmp_path)
    assert reader.of("a") == "one"
    addresses.publish(tmp_path, {"a": ["one", "two"]})
    assert {reader.of("a"), reader.of("a")} == {"one", "two"}
    addresses.publish(tmp_path, {"a": ["two"]})
    assert reader.of("a") == "two"
    with pytest.raises(KeyError):
        reader.of("b")


def test_an_importer_answers_by_its_version_and_counts_what_it_did(folder: Path, listener: Listener) -> None:
    bad = upload("gone@example.net")
    # A connection for each request: a server that has failed a request closes the connection.
    web = functools.partial(httpx2.request, trust_env=False)
    with processes.Children(folder) as children:
        for version, answer in (("1", 201), ("2", 500)):
            service = children.start_service("importer", importer.SERVICE, version, listener.url, 0.2)
            web("POST", f"{service.url}/suppressed", json=["gone@example.net"])
            assert web("POST", f"{service.url}/imports", json=bad).status_code == answer
            assert web("GET", f"{service.url}/lists/l").status_code == 200
    # Both are stopped: each has sent its last counts, though no export was due.
    assert listener.temporalities == {CUMULATIVE}
    for version, failures in (("1", 0), ("2", 1)):
        assert listener.total(importer.SERVICE, f"{version}.0.0", "imports_started") == 1
        assert listener.total(importer.SERVICE, f"{version}.0.0", "imports_failed") == failures


def test_a_resizer_serves_only_what_lies_in_its_store(folder: Path, listener: Listener) -> None:
    (folder / "secret.pgm").write_text("not for everybody")
    with processes.Children(folder) as children, httpx2.Client(trust_env=False) as web:
        url = children.start_service("resizer", resizer.SERVICE, "1", listener.url, 5.0).url
        assert web.get(f"{url}/editor/0000?width=32").content.startswith(b"P5\n32 ")
        for outside in ("editor/..%2f..%2fsecret", "..%2f/secret", "elsewhere/0000"):
            assert web.get(f"{url}/{outside}?width=32").status_code == 404
    assert listener.total(resizer.SERVICE, "1.0.0", "resizes") == 1
    assert listener.total(resizer.SERVICE, "1.0.0", "resizes_failed") == 0


@pytest.mark.slow
def test_what_the_counts_say_is_what_people_know_and_a_rolling_release_interrupts_nobody(
    tmp_path: Path, listener: Listener
) -> None:
    with processes.Children(tmp_path) as children:
        mail = platform.Platform(children, tmp_path, listener.url, 0.5)
        mail.open()
        assert children.wait(lambda: listener.total(parser.SERVICE, "1.0.0", "opens_stored") > 20, 30.0)
        mail.add([parser.SERVICE], "2")
        mail.leave_only_the_newest([parser.SERVICE])
        assert children.wait(lambda: listener.total(parser.SERVICE, "2.0.0", "events_failed") >= 5, 30.0)
        mail.close()
    record = truth.known(tmp_path)
    sent = len(json.loads((tmp_path / people.RECORD).read_text())["opens"])

    def counted(metric: str) -> int:
        return sum(listener.total(parser.SERVICE, version, metric) for version in ("1.0.0", "2.0.0"))

    assert counted("events_received") == sent, "each event was acknowledged once, by the old or the new"
    assert counted("events_failed") == listener.total(parser.SERVICE, "2.0.0", "events_failed")
    assert counted("events_failed") == len(record.lost_opens)
    assert counted("opens_stored") == sent - len(record.lost_opens)
    assert record.began(parser.SERVICE, 0) == record.lost_opens[0]
    # A campaign under way when the mailboxes close fails; else only what fails in any version.
    assert record.failed.keys() <= {importer.SERVICE, resizer.SERVICE, "mail-sender"}
    assert listener.total(importer.SERVICE, "1.0.0", "imports_started") > 0
    assert listener.total("mail-sender", "1.0.0", "emails_delivered") >= sent


def test_a_child_that_ends_by_itself_is_reported_with_its_log(tmp_path: Path) -> None:
    with processes.Children(tmp_path) as children:
        command = [sys.executable, "-c", "raise SystemExit('no room at the inn')"]
        with pytest.raises(processes.DemoError, match=r"guest ended with status 1: see .*guest\.log"):
            children.start("guest", command, ready="guest.ready")
    assert "no room at the inn" in (tmp_path / "guest.log").read_text()
