"""Tokens: each opens its own doors and no other, over HTTP and gRPC, with real senders; what browsers may do."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as OverGrpc
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from test_collector_server import JSON, PROTOBUF, Behind, body, instrumented, serving

from collector import grpc_door, tokens
from collector.server import DESK, Door
from collector.tokens import PURPOSES, Purpose, Tokens, hashed
from stillwatch import cli, config
from stillwatch.cli_options import token_of

MINE: dict[Purpose, str] = {purpose: f"mine-for-{purpose}" for purpose in PURPOSES}
KNOWN = Tokens({purpose: {"mine": hashed(token)} for purpose, token in MINE.items()})


@pytest.fixture
def door() -> Door:
    behind = Behind()
    return Door(
        behind.metrics, behind.deployments, lambda: 1_700_000_000.5,
        lambda: {"ok": True, "watermark": 60, "judged": ["secret-project"]},
        gate=lambda asked: {"asked": sorted(asked)},
        desk=lambda asked: (200, {"path": asked.path, "incidents": []}), tokens=KNOWN,
    )  # fmt: skip


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def requests() -> list[tuple[Purpose, str, str, dict[str, str], bytes]]:
    """Everything that can be asked for, and what for."""
    desk: list[tuple[Purpose, str, str, dict[str, str], bytes]] = [
        ("reading" if method == "GET" else "acting", method, path.replace("{id}", "a"), JSON, b"{}")
        for path, methods in DESK.items()
        for method in methods
    ]
    snappy = PROTOBUF | {"content-encoding": "snappy"}
    return [
        ("ingest", "POST", "/v1/metrics", PROTOBUF, body()),
        ("ingest", "POST", "/api/v1/write", snappy, b"\x00"),
        ("deployments", "POST", "/deployments", JSON, b"[]"),
        ("reading", "GET", "/gate", {}, b""),
        ("reading", "GET", "/metrics", {}, b""),
        *desk,
    ]


def test_a_token_opens_its_own_door_and_no_other(door: Door) -> None:
    with serving(door) as at, httpx2.Client(base_url=at, trust_env=False) as client:
        for purpose, method, path, headers, sent in requests():
            for brought in (
                "",
                "Bearer",
                "Bearer nonsense",
                f"Basic {MINE[purpose]}",
                f"Bearer {MINE[purpose]}x",
            ):
                got = client.request(method, path, headers=headers | {"authorization": brought}, content=sent)
                assert got.status_code == 401, (path, brought)
                assert MINE[purpose] not in got.text
            for other in PURPOSES:
                got = client.request(method, path, headers=headers | bearer(MINE[other]), content=sent)
                assert (got.status_code != 401) == (other == purpose), (path, other, got.text)


def test_whatever_is_added_as_a_way_in_wants_a_token_or_a_signature(door: Door) -> None:
    """A route that nobody thought of here fails this test."""
    from collector.server import SLACK, app

    known = {path for _, _, path, _, _ in requests()}
    found = {getattr(route, "path", "").replace("{id}", "a") for route in app(door).routes}
    assert found - known == {*SLACK, "/webhooks/{sender}", "/healthz"}


def test_over_grpc_only_counts_come_in_with_a_token_for_counts(door: Door) -> None:
    server, port = grpc_door.listen(door, "127.0.0.1", 0)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary(grpc_door.EXPORT)
            for purpose in PURPOSES:
                brought = [("authorization", f"Bearer {MINE[purpose]}")]
                if purpose == "ingest":
                    call(body(), timeout=10, metadata=brought)
                    continue
                with pytest.raises(grpc.RpcError) as refused:
                    call(body(), timeout=10, metadata=brought)
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    finally:
        server.stop(0).wait()


def test_the_real_exporters_bring_a_token_over_http_and_grpc(door: Door) -> None:
    behind = Behind()
    door = replace(door, metrics=behind.metrics)
    server, port = grpc_door.listen(door, "127.0.0.1", 0)
    try:
        with serving(door) as at, instrumented(at, "over-http", headers=bearer(MINE["ingest"])) as provider:
            provider.get_meter("m").create_counter("orders").add(3)
        exporter = OverGrpc(f"127.0.0.1:{port}", insecure=True, headers=bearer(MINE["ingest"]), timeout=5)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
        named = Resource.create({"service.name": "over-grpc"})
        provider = MeterProvider([reader], named, shutdown_on_exit=False)
        provider.get_meter("m").create_counter("orders").add(4)
        provider.shutdown()
    finally:
        server.stop(0).wait()
    assert {key.service: n for key, n in behind.counted().items()} == {"over-http": 3, "over-grpc": 4}


def test_how_we_are_is_told_in_detail_to_readers_only(door: Door) -> None:
    with serving(door) as at, httpx2.Client(base_url=at, trust_env=False) as client:
        assert client.get("/healthz").json() == {"ok": True, "watermark": 60}
        assert client.get("/healthz", headers=bearer(MINE["ingest"])).json() == {"ok": True, "watermark": 60}
        assert client.get("/healthz", headers=bearer(MINE["reading"])).json()["judged"] == ["secret-project"]


def test_a_purpose_without_a_token_is_closed_once_there_is_one_for_another() -> None:
    some = Tokens({"ingest": {"a": hashed("a"), "b": hashed("b")}})
    assert [some.opened_by("ingest", f"Bearer {token}") for token in "abc"] == ["a", "b", None]
    assert some.opened_by("acting", "Bearer a") is None
    assert Tokens().opened_by("acting", "") == "" and not Tokens({"ingest": {}}).wanted


@given(st.text(), st.text(), st.sampled_from(PURPOSES))
def test_only_the_token_itself_opens(right: str, brought: str, purpose: Purpose) -> None:
    """As servers hand headers over: bytes as Latin-1, without spaces around."""
    known = tokens.of_one(right, "one")
    sent = brought.encode("utf-8", "replace").decode("latin-1").strip()
    opened = known.opened_by(purpose, f"Bearer {sent}")
    if not right:
        assert opened == ""
    else:
        assert (opened == "one") == (sent == right.encode("utf-8", "replace").decode("latin-1"))


def test_every_token_is_compared_and_each_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(tokens.hmac, "compare_digest", compare)
    known = Tokens({"ingest": {name: hashed(name) for name in "abc"}})
    assert known.opened_by("ingest", "Bearer a") == "a"
    assert known.opened_by("ingest", "Bearer z") is None
    assert [right for _, right in compared] == [hashed(name) for name in "abcabc"]


# From the command to the settings.


def test_the_command_makes_a_token_whose_hash_alone_stands_in_the_settings(tmp_path: Path) -> None:
    told = CliRunner().invoke(cli.cli, ["token", "reading", "acting", "--name", "anna"])
    made = told.stdout.strip()
    assert told.exit_code == 0 and len(made) > 40 and made not in told.stderr
    again = CliRunner().invoke(cli.cli, ["token", "reading"]).stdout.strip()
    assert again != made
    settings = config.parse(told.stderr.partition("\n\n")[2], "f", {})
    known = settings.listen.tokens
    assert known.opened_by("reading", f"Bearer {made}") == "anna"
    assert known.opened_by("acting", f"Bearer {made}") == "anna"
    assert known.opened_by("ingest", f"Bearer {made}") is None
    assert made not in repr(settings)


def test_the_one_token_of_before_still_opens_everything_beside_new_ones() -> None:
    written = f"listen: {{token_env: OLD, tokens: {{ingest: {{new: {tokens.written('n')}}}}}}}"
    known = config.parse(written, "f", {"OLD": "o"}).listen.tokens
    assert [known.opened_by(purpose, "Bearer o") for purpose in PURPOSES] == ["token_env"] * 4
    assert known.opened_by("ingest", "Bearer n") == "new" and known.opened_by("reading", "Bearer n") is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "watcher.example"])
def test_no_door_stands_open_to_a_network_by_mistake(host: str) -> None:
    def stands_open(more: str = "") -> str:
        return config.parse(f"listen: {{host: '{host}'{more}}}", "f", {}).listen.stands_open

    assert "stillwatch token" in stands_open() and "open: true" in stands_open()
    assert stands_open(", open: true") == ""
    assert stands_open(f", tokens: {{ingest: {{a: {tokens.written('a')}}}}}") == ""
    for own in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
        assert config.Listen(own).stands_open == ""


def test_a_token_comes_from_the_variable_or_from_the_file_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("STILLWATCH_TOKEN", raising=False)
    assert token_of("STILLWATCH_TOKEN") == ""
    (tmp_path / "token").write_text("from-a-file\n")
    monkeypatch.setenv("STILLWATCH_TOKEN_FILE", str(tmp_path / "token"))
    assert token_of("STILLWATCH_TOKEN") == "from-a-file"
    monkeypatch.setenv("STILLWATCH_TOKEN", "held")
    assert token_of("STILLWATCH_TOKEN") == "held"
    monkeypatch.delenv("STILLWATCH_TOKEN")
    monkeypatch.setenv("STILLWATCH_TOKEN_FILE", str(tmp_path / "none"))
    assert cli._run(["status"]) == 2
    assert "STILLWATCH_TOKEN_FILE" in capfd.readouterr().err


def test_a_command_brings_its_token_and_says_what_to_check_when_it_is_another(
    door: Door, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(door) as at:
        monkeypatch.setenv("STILLWATCH_TOKEN", MINE["reading"])
        assert cli._run(["incidents", "--url", at, "--json"]) == 0
        capfd.readouterr()
        assert cli._run(["incidents", "ack", "a", "--url", at]) == 1
        said = capfd.readouterr().err
        assert "a token for acting" in said and "STILLWATCH_TOKEN" in said and MINE["reading"] not in said


# What browsers can be led to.


@contextlib.contextmanager
def asking(at: str) -> Iterator[Any]:
    def ask(method: str, path: str, sent: bytes = b"", **headers: str) -> tuple[int, dict[str, str], Any]:
        host, _, port = at.removeprefix("http://").partition(":")
        link = http.client.HTTPConnection(host, int(port), timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        link.request(method, path, sent, named)
        got = link.getresponse()
        said = got.read()
        link.close()
        return got.status, {k.lower(): v for k, v in got.getheaders()}, json.loads(said) if said else None

    yield ask


def test_a_page_of_somebody_else_can_make_a_browser_do_nothing(door: Door) -> None:
    acted: list[object] = []
    door = replace(door, tokens=Tokens(), desk=lambda asked: (200, {"acted": acted.append(asked)}))
    with serving(door) as at, asking(at) as ask:
        own = at.removeprefix("http://")
        # What a form or a simple request sends: no preflight, but never application/json.
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            assert ask("POST", "/silences", b"{}", Content_Type=kind)[0] == 415
        for origin in (
            "https://evil.example",
            "null",
            "http://evil.example:4318",
            "http://[::1",
            f"https://x.{own}",
        ):
            status, headers, _ = ask(
                "POST", "/silences", b"{}", Content_Type="application/json", Origin=origin
            )
            assert status == 403 and "access-control-allow-origin" not in headers
        # A preflight is not granted.
        status, headers, _ = ask("OPTIONS", "/silences", Origin="https://evil.example")
        assert status == 403 and not any(name.startswith("access-control") for name in headers)
        # A name that was made to lead here.
        for host in ("evil.example", "evil.example:4318", "127.0.0.1.evil.example"):
            assert ask("GET", "/incidents", Host=host)[0] == 403
            assert ask("POST", "/silences", b"{}", Content_Type="application/json", Host=host)[0] == 403
            assert ask("GET", "/healthz", Host=host)[0] == 403
        assert acted == []
        for host in (own, "localhost:1", "[::1]:4318", "192.0.2.7"):
            assert ask("GET", "/incidents", Host=host)[0] == 200
        assert ask("POST", "/silences", b"{}", Content_Type="application/json", Origin=at)[0] == 200


def test_asked_by_name_where_a_token_is_wanted_or_the_settings_say_that_it_is_open(door: Door) -> None:
    for closed, status in ((door, 401), (replace(door, tokens=Tokens(), open=True), 200)):
        with serving(closed) as at, asking(at) as ask:
            assert ask("GET", "/incidents", Host="watcher.example")[0] == status


def test_answers_let_a_browser_do_nothing(door: Door) -> None:
    with serving(door) as at, asking(at) as ask:
        for path in ("/healthz", "/status", "/nowhere"):
            _, headers, _ = ask("GET", path)
            assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
            assert "set-cookie" not in headers
