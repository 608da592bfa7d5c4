"""Workloads of Kubernetes, watched through the real client at a stand-in for the API server (kube_server.py)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from kube_server import TOKEN, KubeServer

from collector.deployments import Deployment
from collector.workloads import Workloads
from stillwatch import kubernetes_watch
from stillwatch.store import Store

NOW = 1_700_000_000.0


def workload(image: str = "acme/cart:1.4.2", **more: Any) -> dict[str, Any]:
    server = KubeServer()
    server.put(more.pop("kind", "Deployment"), "cart", image, **more)
    (found,) = server.objects.values()
    return found


def heard(*seen: dict[str, Any], kind: str = "Deployment", **given: Any) -> list[list[Deployment]]:
    of = Workloads(**given)
    return [of.heard(kind, one, NOW + 60 * i) for i, one in enumerate(seen)]


# What a change means


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_a_new_image_is_a_deployment_with_its_begin_and_its_end(kind: str) -> None:
    first, begun = workload(kind=kind), workload("acme/cart:1.4.3", kind=kind, done=False)
    ended = workload("acme/cart:1.4.3", kind=kind)
    nothing, (one,), (same,), after = heard(first, begun, ended, ended, kind=kind)
    assert nothing == after == []
    assert (one.service, one.version, one.previous_version, one.kind) == ("cart", "1.4.3", "1.4.2", "deploy")
    assert (one.time, one.finished) == (NOW + 60, 0)
    assert same == one and same.finished == NOW + 120


def test_a_label_says_the_version_and_an_image_where_nobody_keeps_the_label() -> None:
    def labelled(version: str, image: str) -> dict[str, Any]:
        return workload(image, labels={"app.kubernetes.io/version": version})

    by_label = heard(labelled("1.0", "cart:abc"), labelled("1.1", "cart:def"))[1]
    assert (by_label[0].version, by_label[0].previous_version) == ("1.1", "1.0")
    by_image = heard(labelled("1.0", "cart:abc"), labelled("1.0", "cart:def"))[1]
    assert by_image[0].version == "def"


def test_back_to_an_earlier_version_is_a_rollback() -> None:
    seen = [workload(f"cart:{version}") for version in ("1", "2", "1", "3", "2")]
    told = heard(*seen)
    assert [(d.version, d.kind) for more in told for d in more] == [
        ("2", "deploy"), ("1", "rollback"), ("3", "deploy"), ("2", "rollback"),
    ]  # fmt: skip


def test_a_restart_and_a_scale_are_none() -> None:
    again = workload(annotations={"kubectl.kubernetes.io/restartedAt": "2023-11-14T22:00:00Z"})
    assert heard(workload(), again, workload(replicas=9), workload(done=False)) == [[], [], [], []]


def test_the_service_is_what_opentelemetry_would_call_it_or_what_the_settings_say() -> None:
    named = {"resource.opentelemetry.io/service.name": "shopping-cart"}
    assert (
        heard(workload("c:1", annotations=named), workload("c:2", annotations=named))[1][0].service
        == "shopping-cart"
    )
    by_variable = [workload("c:1"), workload("c:2")]
    for one in by_variable:
        one["spec"]["template"]["spec"]["containers"][1]["env"] = [
            {"name": "OTEL_SERVICE_NAME", "value": "basket"}
        ]
    assert heard(*by_variable)[1][0].service == "basket"
    both = heard(workload("c:1"), workload("c:2"), services={"shop/cart": ("cart-api", "cart-worker")})[1]
    assert [d.service for d in both] == ["cart-api", "cart-worker"] and len({d.id for d in both}) == 1
    assert heard(workload("c:1"), workload("c:2"), services={"shop/cart": ()})[1] == []


def test_a_workload_that_was_deleted_begins_anew() -> None:
    of = Workloads()
    of.heard("Deployment", workload("c:1"), NOW)
    of.gone("Deployment", workload("c:1"))
    assert of.heard("Deployment", workload("c:2"), NOW) == []
    of.only("Deployment", [])
    assert of.heard("Deployment", workload("c:3"), NOW) == []
    of.only("StatefulSet", [])
    assert of.heard("Deployment", workload("c:4"), NOW)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_an_object_of_any_shape_breaks_nothing(data: st.DataObject) -> None:
    of = Workloads()
    of.heard("Deployment", workload("c:1"), NOW)
    found: Any = workload("c:2")
    part = found
    while True:
        key = data.draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
        if isinstance(part[key], dict | list) and part[key] and data.draw(st.booleans()):
            part = part[key]
            continue
        part[key] = data.draw(VALUES)
        break
    assert all(d.service and d.version for d in of.heard("Deployment", found, NOW))


# The watch


@dataclass
class Watched:
    server: KubeServer
    told: list[Deployment] = field(default_factory=list)
    busy: bool = False

    def take(self, told: Sequence[Deployment]) -> None:
        if self.busy:
            raise RuntimeError("the database is locked")
        self.told += told

    def until(self, true: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not true():
            assert time.monotonic() < deadline, (self.told, self.server.listed, self.server.watched)
            time.sleep(0.01)

    def versions(self) -> list[tuple[str, bool]]:
        return [(d.version, d.finished > 0) for d in self.told]


@contextmanager
def watching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, namespaces: Sequence[str] = (), token: str = TOKEN
) -> Iterator[Watched]:
    """A server with one workload, and the watch of it, once it is under way."""
    monkeypatch.setattr(kubernetes_watch, "WAITS", (0.05,))
    monkeypatch.setattr(kubernetes_watch, "PAGE", 2)
    seen, stopping = Watched(KubeServer()), threading.Event()
    for name in ("cart", "mail", "search", "login", "forms"):
        seen.server.put("Deployment", name, f"acme/{name}:1")
    web = uvicorn.Server(
        uvicorn.Config(seen.server.app(), "127.0.0.1", 0, log_level="error", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=web.run)
    thread.start()
    seen.until(lambda: web.started)
    port = web.servers[0].sockets[0].getsockname()[1]
    config = tmp_path / "kubeconfig"
    config.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "u", "user": {"token": token}}],
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            }
        )
    )
    api = kubernetes_watch.client(str(config))
    try:
        kubernetes_watch.KubernetesWatch(
            api, Workloads(), seen.take, lambda: NOW, stopping, namespaces
        ).start()
        if token == TOKEN:
            seen.until(lambda: seen.server.watched >= 3 * max(len(namespaces), 1))
        yield seen
    finally:
        stopping.set()
        seen.server.broken += 1
        web.should_exit = True
        thread.join(10)
        for one in threading.enumerate():
            if one.name.startswith("kubernetes "):
                one.join(10)
        api.api_client.close()


def test_the_watch_tells_begin_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with watching(tmp_path, monkeypatch) as seen:
        seen.server.put("Deployment", "cart", "acme/cart:2", done=False)
        seen.until(lambda: seen.versions() == [("2", False)])
        seen.server.put("Deployment", "cart", "acme/cart:2")
        seen.until(lambda: seen.versions() == [("2", False), ("2", True)])
        seen.server.put("StatefulSet", "store", "acme/store:1")
        seen.server.put("StatefulSet", "store", "acme/store:2")
        seen.until(lambda: [d.service for d in seen.told] == ["cart", "cart", "store"])
        assert seen.server.listed == 3 + 2  # five Deployments in pages of two; the others are none


@pytest.mark.parametrize("within", [False, True])
def test_what_changed_while_the_server_forgot_is_told_after_410(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, within: bool
) -> None:
    with watching(tmp_path, monkeypatch) as seen:
        seen.server.gone_within = within
        seen.server.put("Deployment", "mail", "acme/mail:1", replicas=4)
        listed = seen.server.listed
        seen.server.forget()
        seen.until(lambda: seen.server.listed >= listed + 5)
        assert seen.told == []
        with seen.server._lock:  # changes of which no event is left
            seen.server.events.clear()
        seen.server.put("Deployment", "cart", "acme/cart:2")
        seen.until(lambda: seen.versions() == [("2", True)])


def test_a_watch_goes_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with watching(tmp_path, monkeypatch) as seen:
        listed = seen.server.listed
        for version in range(2, 8):
            seen.server.broken += 1
            seen.server.put("Deployment", "cart", f"acme/cart:{version}")
            seen.until(lambda version=version: len(seen.told) == version - 1)  # type: ignore[misc]
        assert [d.version for d in seen.told] == list("234567")
        assert seen.server.listed == listed


def test_only_the_namespaces_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with watching(tmp_path, monkeypatch, ["shop"]) as seen:
        for namespace in ("other", "shop"):
            seen.server.put("Deployment", "x", "x:1", namespace=namespace)
            seen.server.put("Deployment", "x", "x:2", namespace=namespace)
        seen.until(lambda: len(seen.told) == 1)
        assert "-shop-" in seen.told[0].id


def test_what_cannot_be_kept_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with watching(tmp_path, monkeypatch) as seen:
        seen.busy = True
        seen.server.put("Deployment", "cart", "acme/cart:2")
        time.sleep(0.2)
        assert seen.told == []
        seen.busy = False
        seen.until(lambda: [d.version for d in seen.told] == ["2"])


def test_a_role_that_may_not_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), watching(tmp_path, monkeypatch, token="another") as seen:
        time.sleep(0.5)
        said = [r.getMessage() for r in caplog.records if "cannot be watched" in r.getMessage()]
        assert len(said) == 3 and all("401: the role may not get, list and watch" in one for one in said)
        assert not any("another" in r.getMessage() for r in caplog.records)
        assert seen.told == []


def test_no_cluster_is_said_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(kubernetes_watch.NoClient, match="kubeconfig"):
        kubernetes_watch.client(str(tmp_path / "none"))


def test_the_end_of_a_deployment_is_kept_beside_its_begin(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    one = Deployment("r", 100, "cart", "2", reported=110)
    assert store.add_deployments([one]) == [one]
    assert store.add_deployments([replace(one, finished=160, version="x")]) == []
    assert [(d.version, d.finished, d.reported) for d in store.deployments()] == [("2", 160, 110)]
    assert store.add_deployments([replace(one, finished=999)]) == []
    assert store.deployments()[0].finished == 160
    store.close()
