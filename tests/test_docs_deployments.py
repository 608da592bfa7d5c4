"""The commands of docs/connect-deployments.md, run in order as a new user would, against the daemon's own door."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from test_collector_server import serving
from test_docs import ROOT, blocks

from collector.webhooks.receive import SENDERS
from stillwatch import clock, config, daemon
from stillwatch.desk import Desk
from stillwatch.history import History
from stillwatch.live import Live
from stillwatch.reloading import Reloads
from stillwatch.store import Store
from stillwatch.turns import Role

PAGE = ROOT / "docs" / "connect-deployments.md"
COMMANDS = [block for block in blocks(PAGE, "sh") if "stillwatch deployments --service" in block]

VERSIONS = {
    "contact-importer": ["1.4.2", "1.4.3", "batch size 500"],
    "github-shop": ["v1.4.2"] * len(COMMANDS),
    "bitbucket-shop": ["v1.4.2"] * len(COMMANDS),
    "flag-shop": ["batched-import"] * len(COMMANDS),
}


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    secrets = {f"{name.upper()}_WEBHOOK_SECRET": f"the secret of {name}" for name in SENDERS}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return secrets | {"PATH": path, "HOME": os.environ.get("HOME", "/")}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[str]:
    """The address of a door with everything behind it, but for the tick."""
    hooks = "".join(f"  {name}: {{secret_env: {name.upper()}_WEBHOOK_SECRET}}\n" for name in SENDERS)
    settings = config.parse(f"webhooks:\n{hooks}", "stillwatch.yaml", environment)
    store = Store(tmp_path_factory.mktemp("docs") / "s.db")
    history = History(store)
    live = Live(store, daemon.judgement(settings, store, history), 60, 15, clock.now())
    role = Role(live, shared=False)
    health = partial(daemon._health, role, store, Reloads(None, lambda: settings, lambda of: None, clock.now))
    desk = Desk(history, clock.now, lambda word: live.word(word, clock.now()), health, deployed=live.deployed)
    door = daemon._door(settings, store, role, desk, daemon._in_slack(settings, desk), health)
    with serving(door) as address:
        yield address
    store.close()


def test_every_way_in_ends_with_the_deployment_seen() -> None:
    assert len(COMMANDS) == 3 + 1 + len(SENDERS)
    for name in SENDERS:
        assert any(f"/webhooks/{name}\n" in block for block in COMMANDS), name


@pytest.mark.parametrize(
    "number", range(len(COMMANDS)), ids=lambda i: re.findall(r"--service (\S+)", COMMANDS[i])[0]
)
def test_the_commands_work_as_they_stand(at: str, environment: dict[str, str], number: int) -> None:
    if not shutil.which("curl") or not shutil.which("openssl"):
        if os.environ.get("CI") == "true":
            pytest.fail("curl and openssl are needed")
        pytest.skip("curl or openssl is not installed")
    script = COMMANDS[number].replace("http://127.0.0.1:4318", at)
    script = re.sub(r"^(stillwatch \S+)", rf"\1 --url {at}", script, flags=re.M)
    script = script.replace("curl ", "curl -sS --fail-with-body ")
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    service = re.findall(r"--service (\S+)", COMMANDS[number])[0]
    version = VERSIONS.get(service, ["1.4.2"] * len(COMMANDS))[number]
    assert re.search(rf"T\S+Z  {service} {version}\b.* told", done.stdout), done.stdout
