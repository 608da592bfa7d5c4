"""What deploy/ holds is taken by the tools of those who run it, and fits the settings and the documents."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from programs import needs

from stillwatch import cli, config

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "stillwatch.service"
CONTAINER = DEPLOY / "Containerfile"
KUBERNETES = DEPLOY / "kubernetes" / "stillwatch.yaml"
BESIDE = Path(sys.executable).parent  # tools that pip brings
EXPOSED = 20  # tenths of systemd's exposure level, at most: what it calls OK


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def manifests() -> dict[str, Any]:
    return {one["kind"]: one for one in yaml.safe_load_all(KUBERNETES.read_text())}


@needs("systemd-analyze")
def test_systemd_takes_the_unit_and_calls_it_hardened(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    program = re.findall(r"^ExecStart=(\S+)", UNIT.read_text(), re.M)[0]
    unit.write_text(UNIT.read_text().replace(program, "/bin/true"))  # it is not installed here
    assert run("systemd-analyze", "verify", unit) == ""
    run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSED}", unit)


def test_the_unit_starts_what_there_is_and_reloads_as_it_is_said() -> None:
    text = UNIT.read_text()
    words = re.findall(r"^ExecStart=\S+/stillwatch (\S+) (\S+)", text, re.M)
    assert words == [("run", "--config")]
    assert "--config" in CliRunner().invoke(cli.cli, ["run", "--help"]).output
    assert "ExecReload=/bin/kill -HUP $MAINPID" in text
    assert "systemctl reload stillwatch" in (ROOT / "docs" / "operations.md").read_text()


def test_hadolint_has_nothing_to_say_of_the_container_file() -> None:
    assert run(BESIDE / "hadolint", CONTAINER) == ""


def test_the_container_holds_all_that_is_built_from_and_is_nobodys_root() -> None:
    text = CONTAINER.read_text()
    copied = {name for line in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.M) for name in line.split()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert copied == {"pyproject.toml", project["project"]["readme"], *packages}
    extras = re.findall(r"'\.\[(.*)\]'", text)[0].split(",")
    assert set(extras) <= set(project["project"]["optional-dependencies"])
    user = re.findall(r"^USER (\d+):", text, re.M)
    assert user == [
        str(manifests()["StatefulSet"]["spec"]["template"]["spec"]["securityContext"]["runAsUser"])
    ]


def test_kubernetes_takes_the_manifests() -> None:
    said = run(BESIDE / "kubernetes-validate", "--strict", KUBERNETES)
    assert said.count(" passed ") == len(manifests())


def test_the_manifests_fit_each_other_and_the_settings() -> None:
    found = manifests()
    settings = config.parse(
        found["ConfigMap"]["data"]["stillwatch.yaml"], "s.yaml", {"DOOR_TOKEN": "t", "SLACK_BOT_TOKEN": "x"}
    )
    pod = found["StatefulSet"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert sorted(ports.values()) == [settings.listen.grpc_port, settings.listen.port]
    assert {one["targetPort"]: one["port"] for one in found["Service"]["spec"]["ports"]} == ports
    mounts = {one["mountPath"]: one for one in container["volumeMounts"]}
    assert str(Path(settings.database).parent) in mounts
    assert not any("subPath" in one for one in mounts.values())  # a file that is mounted so never changes
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["runAsNonRoot"] is True
    probes = [container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")]
    assert all("tcpSocket" in probe for probe in probes)  # to be ill is no reason to be killed


@pytest.mark.parametrize("file", sorted(f for f in DEPLOY.rglob("*") if f.is_file()), ids=lambda f: f.name)
def test_what_is_there_is_documented(file: Path) -> None:
    assert f"](../{file.relative_to(ROOT)})" in (ROOT / "docs" / "operations.md").read_text()
