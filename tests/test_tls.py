"""TLS at both doors, with real clients and certificates made by openssl; renewed while the doors stay open."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx2
import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as OverGrpc
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from test_collector_server import Behind, instrumented

from collector import grpc_door
from collector.server import Door
from collector.tokens import of_one
from stillwatch import check, cli, config, doors
from stillwatch.tls import Shown, Tls

OPENSSL = shutil.which("openssl")
if OPENSSL is None and os.environ.get("CI") == "true":
    raise RuntimeError("openssl is missing")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="needs openssl (apt-get install openssl)")
BEARER = {"authorization": "Bearer s3cret"}


def make(folder: Path, common_name: str = "first") -> Tls:
    """A new key and a certificate for this machine, which is its own root."""
    made = Tls(folder / "tls.crt", folder / "tls.key")
    command = [
        str(OPENSSL), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "2", "-subj", f"/CN={common_name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
        "-keyout", str(made.key), "-out", str(made.certificate),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return made


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return make(tmp_path)


@contextmanager
def serving(door: Door, shown: Shown) -> Iterator[int]:
    """As the daemon serves; the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener, doors.serving(door, listener, shown):
        yield int(listener.getsockname()[1])


@pytest.fixture
def door() -> Door:
    behind = Behind()
    return Door(behind.metrics, behind.deployments, time.time, lambda: {"ok": True}, tokens=of_one("s3cret"))


def shown_at(port: int) -> bytes:
    """The certificate that a client is shown."""
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port), timeout=10))


def der(tls: Tls) -> bytes:
    return ssl.PEM_cert_to_DER_cert(tls.certificate.read_text())


def test_real_exporters_send_over_tls_with_a_token(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # would be asked before what the exporter is given
        monkeypatch.delenv(name, raising=False)
    behind = Behind()
    door = Door(behind.metrics, behind.deployments, time.time, dict, tokens=of_one("s3cret"))
    shown = Shown(tls)
    server, grpc_port = grpc_door.listen(door, "127.0.0.1", 0, shown.renewed)
    try:
        with serving(door, shown) as port:
            more = {"headers": BEARER, "certificate_file": str(tls.certificate)}
            with instrumented(f"https://127.0.0.1:{port}", "over-http", **more) as provider:
                provider.get_meter("m").create_counter("orders").add(3)
            trust = grpc.ssl_channel_credentials(tls.certificate.read_bytes())
            exporter = OverGrpc(
                f"https://127.0.0.1:{grpc_port}", credentials=trust, headers=BEARER, timeout=10
            )
            reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
            named = Resource.create({"service.name": "over-grpc"})
            grpc_provider = MeterProvider([reader], named, shutdown_on_exit=False)
            grpc_provider.get_meter("m").create_counter("orders").add(4)
            grpc_provider.shutdown()
    finally:
        server.stop(0).wait()
    assert {key.service: n for key, n in behind.counted().items()} == {"over-http": 3, "over-grpc": 4}


def test_who_does_not_trust_it_or_speaks_in_the_clear_or_an_old_tls_gets_nowhere(
    door: Door, tls: Tls
) -> None:
    with serving(door, Shown(tls)) as port:
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"https://127.0.0.1:{port}/healthz", trust_env=False)
        with pytest.raises(httpx2.HTTPError):
            httpx2.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.load_verify_locations(tls.certificate)
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", port), 10) as link, pytest.raises(ssl.SSLError):
            old.wrap_socket(link, server_hostname="localhost")
        trusted = ssl.create_default_context(cafile=str(tls.certificate))
        assert (
            httpx2.get(f"https://localhost:{port}/healthz", verify=trusted, trust_env=False).status_code
            == 200
        )


def test_a_renewed_certificate_is_shown_and_a_broken_one_is_not(
    door: Door, tls: Tls, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shown = Shown(tls)
    server, grpc_port = grpc_door.listen(door, "127.0.0.1", 0, shown.renewed)
    try:
        with serving(door, shown) as port:
            first = der(tls)
            trusted = ssl.create_default_context(cafile=str(tls.certificate))
            with httpx2.Client(verify=trusted, trust_env=False) as kept:
                assert kept.get(f"https://127.0.0.1:{port}/healthz").status_code == 200
                assert [shown_at(port), shown_at(grpc_port)] == [first, first]
                (tmp_path / "next").mkdir()
                renewed = make(tmp_path / "next", "second")
                # Between the two files being put in place: they do not fit.
                shutil.copy(renewed.certificate, tls.certificate)
                assert [shown_at(port), shown_at(grpc_port)] == [first, first]
                shutil.copy(renewed.key, tls.key)
                assert [shown_at(port), shown_at(grpc_port)] == [der(renewed), der(renewed)] != [first, first]
                tls.key.write_text("no key at all")
                assert [shown_at(port), shown_at(grpc_port)] == [der(renewed), der(renewed)]
                tls.key.unlink()
                assert shown_at(port) == der(renewed)
                # A connection from before all that goes on.
                assert kept.get(f"https://127.0.0.1:{port}/healthz").status_code == 200
    finally:
        server.stop(0).wait()
    assert "the certificate that was shown before stays" in caplog.text
    assert "BEGIN" not in caplog.text


def test_files_that_are_no_certificate_are_named_before_the_door_opens(tls: Tls, tmp_path: Path) -> None:
    assert tls.trouble() == ""
    wrong = tmp_path / "other"
    wrong.mkdir()
    other = make(wrong)
    (tmp_path / "text").write_text("hello")
    locked = tmp_path / "locked.key"
    command = [str(OPENSSL), "ec", "-in", str(tls.key), "-aes256", "-passout", "pass:x", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    for broken in (
        Tls(tls.certificate, other.key), Tls(tls.certificate, tmp_path / "none"), Tls(tmp_path / "text", tls.key),
        Tls(tls.certificate, locked),
    ):  # fmt: skip
        trouble = broken.trouble()
        assert str(broken.key) in trouble and "expected PEM files that fit" in trouble and "\n" not in trouble
        wanted = config.Listen(tls=broken)
        with pytest.raises(doors.CannotStart, match="expected PEM"):
            doors.certificate(wanted)
        assert check._door(config.Settings(listen=wanted)).ok is False


def test_our_commands_speak_tls_where_the_settings_say_so(
    tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    behind = Behind()
    door = Door(behind.metrics, behind.deployments, time.time, dict, tokens=of_one("s3cret"))
    monkeypatch.setenv("STILLWATCH_TOKEN", "s3cret")
    with serving(door, Shown(tls)) as port:
        settings = tmp_path / "stillwatch.yaml"
        settings.write_text(
            f"listen: {{port: {port}, tls: {{certificate: {tls.certificate}, key: {tls.key}}}}}\n"
        )
        told = ["deployed", "importer", "2", "--config", str(settings)]
        assert cli._run(told) == 1
        assert "certificate" in capfd.readouterr().err.lower()
        monkeypatch.setenv("SSL_CERT_FILE", str(tls.certificate))
        assert cli._run(told) == 0
    assert [one.version for one in behind.told] == ["2"]
