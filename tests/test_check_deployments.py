"""`stillwatch check` of webhooks and Kubernetes: what is wrong is said with the next step, and no secret shown."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import yaml
from test_kubernetes import Watched, watching

from collector.bins import SeriesKey, SeriesTable
from stillwatch.check import lines
from stillwatch.check_deployments import kubernetes, webhooks
from stillwatch.config import Settings, parse

SECRET = "0123456789abcdef0123"
TABLE = SeriesTable([SeriesKey("cart-api", "requests"), SeriesKey("mail", "sent")])


def settings(text: str) -> Settings:
    return parse(text, "stillwatch.yaml", {"HOOK": SECRET, "SHORT": "s3cret"})


def test_a_webhook_that_can_be_called_is_told_with_its_address_and_the_next_step() -> None:
    of = "webhooks: {github: {secret_env: HOOK, services: {acme/cart: cart-api}}}"
    (said,) = lines(list(webhooks(settings(of), TABLE)))
    assert said.startswith(
        "ok  webhook   github: there is a secret; let it call http://127.0.0.1:4318/webhooks/github"
    )
    assert "only this machine reaches" in said
    assert "`stillwatch deployments`" in said
    assert SECRET not in said
    (said,) = lines(list(webhooks(settings(f"listen: '[::]:4318'\n{of}"), None)))
    assert "http://[::]:4318/webhooks/github, deploy" in said


def test_a_webhook_with_a_secret_that_may_be_guessed_or_services_that_nobody_counts_is_wrong() -> None:
    of = settings("webhooks: {jenkins: {secret_env: SHORT, services: {cart: [cart-api, card-api]}}}")
    short, nobody = lines(list(webhooks(of, TABLE)))
    assert short.startswith("NO  webhook   jenkins: its secret has 6 characters and may be guessed")
    assert "s3cret" not in short + nobody
    assert nobody == (
        "NO  webhook   jenkins: services: cart: nothing is counted of a service card-api; expected cart-api, mail"
    )
    (only,) = lines(list(webhooks(of, None)))
    assert only == short, "before the first count nobody knows which services there are"


def of_cluster(file: Path, more: str = "") -> Settings:
    return settings(f"kubernetes: {{kubeconfig: {file}{more}}}")


def looked(seen: Watched, tmp_path: Path, more: str = "") -> list[str]:
    del seen
    return lines(list(kubernetes(of_cluster(tmp_path / "kubeconfig", more), TABLE)))


def test_a_cluster_that_can_be_watched_and_names_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watching(tmp_path, monkeypatch) as seen:
        seen.server.put("StatefulSet", "store", "acme/store:1", namespace="data")
        count = "6 workloads can be listed and watched"
        well = f"ok  cluster   {count}; change an image, and see `stillwatch deployments`"
        assert looked(seen, tmp_path) == [well]
        assert looked(seen, tmp_path, ", services: {shop/cart: cart-api}") == [well]
        assert looked(seen, tmp_path, ", namespaces: [data, shop, nowhere]") == [
            "NO  cluster   no workload in namespace nowhere: is its name right?"
        ]
        named = ", services: {shop/card: cart-api, data/store: stores}"
        workload, service = looked(seen, tmp_path, named)
        assert workload == (
            "NO  cluster   services: no workload is called shop/card; "
            "expected data/store, shop/cart, shop/forms, shop/login, shop/mail or 1 more"
        )
        assert service.endswith("data/store: nothing is counted of a service stores; expected cart-api, mail")


def test_a_role_that_may_not_watch_and_a_token_that_is_wrong_are_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watching(tmp_path, monkeypatch) as seen:
        seen.server.only_list = True
        said = looked(seen, tmp_path)
        assert len(said) == 3
        assert said[0] == (
            "NO  cluster   Deployments cannot be watched: 403: the role may not get, list and watch them "
            "(docs/connect-deployments.md#kubernetes)"
        )
        written = yaml.safe_load((tmp_path / "kubeconfig").read_text())
        written["users"][0]["user"]["token"] = "another"
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(written))
        said = looked(seen, tmp_path)
        assert "401" in said[0]
        assert "another" not in "".join(said)


def test_no_cluster_and_a_cluster_that_does_not_answer_are_said_once(tmp_path: Path) -> None:
    (said,) = lines(list(kubernetes(of_cluster(tmp_path / "none"), None)))
    assert "set `kubernetes: {kubeconfig: ...}`" in said
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (tmp_path / "kubeconfig").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            }
        )
    )
    (said,) = lines(list(kubernetes(of_cluster(tmp_path / "kubeconfig"), None)))
    assert said.startswith("NO  cluster   Deployments cannot be watched: ")


def test_who_sets_nothing_hears_nothing() -> None:
    nothing = settings("{}")
    assert not [*webhooks(nothing, TABLE), *kubernetes(nothing, TABLE)]
