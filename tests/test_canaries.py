"""A recognisable secret in every place that takes one; whoever is told or asked fails and quotes it. It is nowhere.

The daemon runs with its log at DEBUG, everything it talks to answers with an error that repeats what it was sent,
and people and strangers ask for all that can be asked for. Then the log, all answers, the database, the recording,
the commands and the pages are searched, for each secret as it is and as it travels (quoted, in Basic, as hex).
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from test_daemon import eventually, free_port, record_a_bad_release
from web_server import Reply, Request, WebServer

from collector import tokens
from stillwatch import config, config_schema, config_sources
from stillwatch.config_kinds import Strict

# By the variable that holds it. Each is unlike every other, and like nothing that Stillwatch would say.
NAMES = (
    "SLACK_BOT", "SLACK_APP", "SLACK_SIGNING", "DOOR", "HOOK_URL", "HOOK_SECRET", "PAGER", "GENIE", "TEAMS",
    "APPRISE", "MAIL", "BACK_URL", "BACK_SECRET", "PROMQL_TOKEN", "PROMQL_PASSWORD", "SQL", "AWS_SECRET_ACCESS_KEY",
    "GITHUB", "GITLAB", "KUBE", "READING", "HEART", "TELEMETRY", "DATABASE",
)  # fmt: skip
CANARY = {name: f"kanarie{i:02d}vogel{i * 7919 % 9973:04d}zZ" for i, name in enumerate(NAMES)}

SETTINGS = """
interval: 60s
database: {folder}/stillwatch.db
listen: {{port: {port}, grpc_port: {grpc}, token_env: DOOR, tokens: {{reading: {{r: "{reading}"}}}}}}
slack: {{channel: C0ALERTS, base_url: "{url}/api/", token_env: SLACK_BOT, app_token_env: SLACK_APP,
  signing_secret_env: SLACK_SIGNING}}
services:
  importer:
    rollback: {{url_env: BACK_URL, secret_env: BACK_SECRET}}
    signals:
      imports: {{kind: error_ratio, errors: failed, total: started}}
receivers:
  hook: {{webhook: {{url_env: HOOK_URL, secret_env: HOOK_SECRET}}}}
  pager: {{pagerduty: {{routing_key_env: PAGER, url: "{url}/pager/"}}}}
  genie: {{opsgenie: {{api_key_env: GENIE, url: "{url}/genie/"}}}}
  teams: {{teams: {{url_env: TEAMS}}}}
  else: {{apprise: {{url_env: APPRISE}}}}
  mail: {{email: {{server: "smtp://127.0.0.1:{mail}", from: a@example.com, to: b@example.com, user: u,
    password_env: MAIL}}}}
routes:
  - {{receiver: hook, continue: true}}
  - {{receiver: pager, continue: true}}
  - {{receiver: genie, continue: true}}
  - {{receiver: teams, continue: true}}
  - {{receiver: else, continue: true}}
  - {{receiver: mail, continue: true}}
  - {{channel: C0ALERTS}}
sources:
  by_token: {{kind: promql, url: "{url}", counters: {{select: up}}, token_env: PROMQL_TOKEN,
    history: 0s, every: 5s}}
  by_password: {{kind: promql, url: "{url}", counters: {{select: up}}, user: u, password_env: PROMQL_PASSWORD,
    history: 0s, every: 5s}}
  database: {{kind: sql, url_env: SQL, history: 0s, every: 5s,
    query: "SELECT time, count FROM t WHERE time >= :since AND time < :until", service: importer, metric: x}}
  cloud: {{kind: cloudwatch, region: eu-west-1, endpoint: "{url}", history: 0s, every: 5s, timeout: 2s,
    metrics: {{namespace: N, name: M, service: importer}}}}
webhooks:
  github: {{secret_env: GITHUB}}
  gitlab: {{secret_file: {folder}/gitlab}}
kubernetes: {{kubeconfig: {folder}/kubeconfig}}
heartbeat: {{url_env: HEART, every: 5s, fail: true}}
telemetry: {{url: "{url}/telemetry", token_env: TELEMETRY, every: 5s, traces: true}}
"""

# `stillwatch`, with all that any library wants to say at DEBUG in the log.
LOUD = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from stillwatch import cli, daemon
quiet = daemon._log_to_stderr
def loud():
    quiet()
    logging.getLogger().setLevel(logging.DEBUG)
daemon._log_to_stderr = loud
cli.main()
"""


def echo(request: Request) -> Reply:
    """An error that quotes everything, as some machines in between do."""
    told = f"{request.method} {request.path}\n{request.headers}\n".encode() + request.body
    status = {"/hook": 500, "/pager": 400, "/genie": 403, "/teams": 404, "/back": 409}
    code = next((code for start, code in status.items() if request.path.startswith(start)), 401)
    return Reply(code, told)


class Scene:
    """A daemon that has secrets, and everything that it says."""

    def __init__(self, folder: Path, server: WebServer) -> None:
        self.folder, self.server = folder, server
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log"
        self.config = folder / "stillwatch.yaml"
        host = server.url.removeprefix("http://")
        reading = tokens.written(CANARY["READING"])
        self.config.write_text(
            SETTINGS.format(
                folder=folder, port=self.port, grpc=free_port(), url=server.url, mail=host.partition(":")[2],
                reading=reading,
            )
        )  # fmt: skip
        (folder / "gitlab").write_text(CANARY["GITLAB"])
        (folder / "kubeconfig").write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": f"{server.url}/kube"}}],
            "users": [{"name": "u", "user": {"token": CANARY["KUBE"]}}],
        }))  # fmt: skip
        held = dict(CANARY) | {
            "SLACK_BOT": f"xoxb-{CANARY['SLACK_BOT']}", "SLACK_APP": f"xapp-{CANARY['SLACK_APP']}",
            "HOOK_URL": f"{server.url}/hook/{CANARY['HOOK_URL']}?key={CANARY['HOOK_URL']}",
            "TEAMS": f"{server.url}/teams/{CANARY['TEAMS']}", "BACK_URL": f"{server.url}/back/{CANARY['BACK_URL']}",
            "APPRISE": f"json://me:{CANARY['APPRISE']}@{host}/apprise/{CANARY['APPRISE']}",
            "HEART": f"{server.url}/heart/{CANARY['HEART']}",
            "SQL": f"postgresql://u:{CANARY['SQL']}@127.0.0.1:{free_port()}/x", "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        }  # fmt: skip
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLACK", "OTEL", "AWS"))}
        self.environ = (
            inherited | held | {"no_proxy": "*", "GRPC_VERBOSITY": "debug", "PYTHONWARNINGS": "default"}
        )
        self.said: dict[str, bytes] = {}

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LOUD, "run", "--config", str(self.config)],
                stdout=log, stderr=log, env=self.environ, cwd=self.folder,
            )  # fmt: skip
        eventually(self.answers, 240)  # it may have to compile first

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        try:
            return httpx2.get(f"{self.url}/healthz", trust_env=False, timeout=5).status_code in (200, 503)
        except httpx2.HTTPError:
            return False

    def ask(self, method: str, path: str, token: str = "DOOR", sent: bytes = b"", **headers: str) -> Any:
        named = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        if token:
            named["authorization"] = f"Bearer {self.environ.get(token, token)}"
        got = httpx2.request(
            method, self.url + path, content=sent, headers=named, trust_env=False, timeout=20
        )
        self.said[f"{method} {path} {token} {len(self.said)}"] = got.content + str(got.headers).encode()
        return got.json() if got.headers.get("content-type") == "application/json" else None

    def run(self, *command: str) -> str:
        told = subprocess.run(
            [sys.executable, "-c", LOUD, *command, "--config", str(self.config)], capture_output=True, timeout=200,
            env=self.environ | {"STILLWATCH_TOKEN": self.environ["DOOR"]}, cwd=self.folder, check=False,
        )  # fmt: skip
        self.said[f"stillwatch {' '.join(command)}"] = told.stdout + told.stderr
        return told.stdout.decode()


def forms(secret: str) -> set[bytes]:
    """As it is, and as it may travel."""
    found = {
        secret,
        quote(secret, safe=""),
        secret.encode().hex(),
        secret.encode("utf-16-le").decode("latin-1"),
    }
    for before in ("", ":", "u:", "me:", "x", "xx"):
        # The middle of it in base64 is the same wherever it stands, in one of three ways.
        found.add(base64.b64encode((before + secret).encode()).decode()[4:-4])
    return {one.encode() for one in found}


def every_secret_setting() -> set[str]:
    """The settings that name where a secret is."""
    models = {*Strict.__subclasses__(), *(m for s in Strict.__subclasses__() for m in s.__subclasses__())}
    assert {config_schema.Slack, config_sources.PromQL} <= models
    names = {f"{model.__name__}.{name}" for model in models for name in model.model_fields}
    return {name for name in names if name.endswith(("_env", "_file"))}


def test_every_setting_that_names_a_secret_has_a_canary() -> None:
    """One that is added without being put into this test fails here."""
    assert every_secret_setting() == {
        "Slack.token_env", "Slack.token_file", "Slack.app_token_env", "Slack.signing_secret_env",
        "Listen.token_env",
        "Rollback.url_env", "Rollback.secret_env", "Webhook.url_env", "Webhook.secret_env",
        "PagerDuty.routing_key_env",
        "Opsgenie.api_key_env", "Secret.url_env", "Email.password_env", "PromQL.token_env", "PromQL.token_file",
        "PromQL.password_env", "Sql.url_env", "WebhookIn.secret_env", "WebhookIn.secret_file",
        "Heartbeat.url_env", "Heartbeat.url_file", "Telemetry.token_env", "Database.password_env",
        "Database.password_file",
    }  # fmt: skip


@pytest.mark.slow
def test_a_secret_is_nowhere_but_with_whom_it_is_meant_for(tmp_path: Path) -> None:
    pytest.importorskip("kubernetes")
    record_a_bad_release(tmp_path)
    with WebServer(echo) as server:
        scene = Scene(tmp_path, server)
        settings = config.load(scene.config, scene.environ, live=True)
        scene.said["repr of the settings"] = (repr(settings) + str(settings)).encode()
        scene.start()
        try:
            look_around(scene)
            (one, *_) = scene.ask("GET", "/incidents?all=true")["incidents"]
            back = {"word": "roll back", "by": "anna"}
            scene.ask("POST", f"/incidents/{one['id']}/words", sent=json.dumps(back).encode())
            eventually(lambda: told_to(server) >= MEANT, 90)
            time.sleep(3)
            look_around(scene)
            scene.ask("GET", f"/incidents/{one['id']}")
            for command in (("status",), ("incidents",), ("incidents", "show", one["id"]), ("check",)):
                scene.run(*command)
            scene.run("report", one["id"], "--out", str(tmp_path / "report.html"))
        finally:
            scene.process.terminate()
            scene.process.wait(20)
        scene.run("export", str(tmp_path / "recorded"))
    haystacks = scene.said | {"log": scene.log.read_bytes(), "database": rows(tmp_path / "stillwatch.db")}
    mine = {scene.config, tmp_path / "gitlab", tmp_path / "kubeconfig"}
    haystacks |= {str(f): f.read_bytes() for f in tmp_path.rglob("*") if f.is_file() and f not in mine}
    assert b"DEBUG" in haystacks["log"]
    assert str(tmp_path / "recorded" / "stillwatch.yaml") in haystacks
    assert b"<html" in haystacks[str(tmp_path / "report.html")]
    found = [
        (where, name) for where, hay in haystacks.items() for name, secret in CANARY.items()
        if any(form in hay for form in forms(secret))
    ]  # fmt: skip
    assert found == []


# Those that travel to the other end as they are, so that it could quote them. The others sign, or open our door.
MEANT = {
    "SLACK_BOT", "SLACK_APP", "HOOK_URL", "PAGER", "GENIE", "TEAMS", "APPRISE", "BACK_URL", "PROMQL_TOKEN",
    "PROMQL_PASSWORD", "KUBE", "HEART", "TELEMETRY",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("answers", [True, False])
def test_the_password_of_the_database_is_nowhere(tmp_path: Path, answers: bool) -> None:
    """Whether nobody is there, or somebody who is no database."""
    file = tmp_path / "stillwatch.yaml"
    with WebServer(echo) as server:
        port = int(server.url.rpartition(":")[2]) if answers else free_port()
        file.write_text(
            f"listen: {{port: {free_port()}, grpc_port: 0}}\n"
            f"database: {{url: 'postgresql://u@127.0.0.1:{port}/x?connect_timeout=2', password_env: DATABASE}}\n"
        )
        environ = {k: v for k, v in os.environ.items() if not k.startswith("SLACK")} | CANARY
        said = repr(config.load(file, environ, live=True)).encode()
        for command in ("check", "status", "run"):
            running = subprocess.Popen(
                [sys.executable, "-c", LOUD, command, "--config", str(file)], env=environ, cwd=tmp_path,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            try:
                said += running.communicate(timeout=20)[0]
            except subprocess.TimeoutExpired:  # the daemon waits for its database
                running.terminate()
                said += running.communicate(timeout=20)[0]
    assert b"127.0.0.1" in said
    assert not [form for form in forms(CANARY["DATABASE"]) if form in said], said


def told_to(server: WebServer) -> set[str]:
    """The canaries that arrived where they are meant for, however they travelled."""
    came = b"\n".join(f"{r.path}\n{r.headers}".encode() + r.body for r in list(server.requests))
    return {name for name, secret in CANARY.items() if any(form in came for form in forms(secret))}


def look_around(scene: Scene) -> None:
    """What people, pipelines and strangers ask for, rightly and wrongly."""
    for token in ("DOOR", "READING", "", "nonsense"):
        for path in ("/healthz", "/status", "/incidents?all=true", "/silences?all=true", "/deployments?all=true",
                     "/gate?service=importer&candidate=2&baseline=1", "/gate", "/nowhere", "/metrics"):  # fmt: skip
            scene.ask("GET", path, token)
        scene.ask("POST", "/silences", token, b'{"matchers": ["service=a"], "for": "1h"')
        scene.ask("POST", "/deployments", token, b'[{"service": "x"}]')
        scene.ask("POST", "/v1/metrics", token, b"{}")
    for sender in ("github", "gitlab", "flux"):
        scene.ask(
            "POST", f"/webhooks/{sender}", "", b"{}", x_hub_signature_256="sha256=00", x_gitlab_token="no"
        )
    for path in ("/slack/interactions", "/slack/commands"):
        stamp = str(int(time.time()))
        scene.ask("POST", path, "", b"x", x_slack_signature="v0=00", x_slack_request_timestamp=stamp)


def rows(database: Path) -> bytes:
    """All that stands in it, as text."""
    with sqlite3.connect(database) as c:
        said = "\n".join(c.iterdump()).encode("utf-8", "replace")
    c.close()
    return said
