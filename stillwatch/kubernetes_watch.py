"""Watches the workloads of a Kubernetes cluster, in threads beside the tick. The kubernetes client lives here.

In: the API server. Out: Deployments, to a callable. Never: a tick that waits for it; a secret in the log.

A kind is listed once and watched from there on. Where the server has forgotten what came since (410 Gone), and
after an absence of ours, it is listed again, and what has changed meanwhile is told then.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from collector.deployments import Deployment
from collector.workloads import Workloads

log = logging.getLogger(__name__)

KINDS = {"Deployment": "deployment", "StatefulSet": "stateful_set", "DaemonSet": "daemon_set"}
PAGE = 500  # objects of one answer
LASTS = 300  # seconds, after which a watch is taken up again where it ended
WAITS = (1.0, 2.0, 5.0, 15.0, 60.0)  # seconds before another try
ANSWERS = 15.0  # seconds in which the server must begin to answer


class NoClient(Exception):  # noqa: N818
    """The client is not installed, or finds no cluster; the text says what to do."""


def client(kubeconfig: str | None) -> Any:
    """The API of `apps/v1`: of the file, else of the cluster that we run in, else of the user's own file.

    Raises NoClient.
    """
    try:
        from kubernetes import client as api
        from kubernetes import config
    except ImportError:
        raise NoClient("the client is not installed; pip install 'stillwatch[kubernetes]'") from None
    from urllib3 import Retry

    settings = api.Configuration()
    settings.retries = Retry(3, redirect=0)  # a server that points elsewhere is not followed there
    try:
        if kubeconfig is None:
            try:
                config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
                return api.AppsV1Api(api.ApiClient(settings))
            except config.ConfigException:
                pass
        config.load_kube_config(config_file=kubeconfig, client_configuration=settings)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as error:
        raise NoClient(f"no cluster to watch ({error}); set `kubernetes: {{kubeconfig: ...}}`") from None
    return api.AppsV1Api(api.ApiClient(settings))


def workloads(api: Any, namespaces: Sequence[str] = ()) -> tuple[set[str], list[str]]:
    """`NAMESPACE/NAME` of all workloads that can be listed and watched, and a line for each that cannot. See
    `client`; namespaces: none = all."""
    names, wrong = set[str](), list[str]()
    for kind, where in _places(namespaces):
        try:
            found, version = _listed(api, kind, where)
            _watched(api, kind, where, version, 1).release_conn()
        except Exception as error:  # noqa: BLE001  the client raises whatever its parts raise
            place = f" of {where}" if where else ""
            wrong.append(f"{kind}s{place} cannot be watched: {_why(error)}")
            if getattr(error, "status", None) is None:
                break  # it does not answer at all
        else:
            names |= {f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in found}
    return names, wrong


def _places(namespaces: Sequence[str]) -> list[tuple[str, str]]:
    return [(kind, where) for kind in KINDS for where in (namespaces or ("",))]


def _asked(api: Any, kind: str, where: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    if where:
        return getattr(api, f"list_namespaced_{KINDS[kind]}"), {"namespace": where}
    return getattr(api, f"list_{KINDS[kind]}_for_all_namespaces"), {}


def _listed(api: Any, kind: str, where: str) -> tuple[list[Any], str]:
    """All there are, and the version of the list, from which to watch on."""
    ask, given = _asked(api, kind, where)
    found: list[Any] = []
    more = ""
    while True:
        page = {"_continue": more} if more else {}
        answer = ask(limit=PAGE, _preload_content=False, _request_timeout=(ANSWERS, 60), **given, **page)
        told = json.loads(answer.data)
        found += told.get("items") or []
        version, more = told["metadata"]["resourceVersion"], told["metadata"].get("continue") or ""
        if not more:
            return found, str(version)


def _watched(api: Any, kind: str, where: str, version: str, lasts: int) -> Any:
    """The answer to a watch of so many seconds, of what comes after a version."""
    ask, given = _asked(api, kind, where)
    return ask(
        watch=True, resource_version=version, allow_watch_bookmarks=True, timeout_seconds=lasts,
        _preload_content=False, _request_timeout=(ANSWERS, lasts + 30), **given,
    )  # fmt: skip


class KubernetesWatch:
    """One thread for each kind and namespace. api: see `client`. namespaces: none = all. take: is given what was
    deployed; what it raises is tried again."""

    def __init__(
        self,
        api: Any,
        workloads: Workloads,
        take: Callable[[Sequence[Deployment]], object],
        clock: Callable[[], float],
        stopping: threading.Event,
        namespaces: Sequence[str] = (),
    ) -> None:
        self._api = api
        self._workloads = workloads
        self._take = take
        self._clock = clock
        self._stopping = stopping
        self._turn = threading.Lock()  # the threads share the workloads
        self._places = _places(namespaces)
        self._owed: list[Deployment] = []

    def start(self) -> None:
        for kind, where in self._places:
            name = f"kubernetes {kind} {where}".strip()
            threading.Thread(target=self._run, args=[kind, where], name=name, daemon=True).start()

    def _run(self, kind: str, where: str) -> None:
        """List and watch until we stop; a trouble is said once."""
        said, failures, version = "", 0, ""
        while not self._stopping.is_set():
            try:
                if not version:
                    version = self._list(kind, where)
                    if said:
                        log.info("kubernetes: %s are watched again", kind)
                    said, failures = "", 0
                version = self._watch(kind, where, version)
            except Exception as error:  # noqa: BLE001  the client raises whatever its parts raise
                why = _why(error)
                gone = getattr(error, "status", 0) == 410
                if why != said and not gone:
                    log.warning("kubernetes: %s cannot be watched: %s", kind, why)
                said, version = "" if gone else why, ""
                self._stopping.wait(0.0 if gone and not failures else WAITS[min(failures, len(WAITS) - 1)])
                failures += 1

    def _list(self, kind: str, where: str) -> str:
        """Hear of all there are; returns the version of the list, from which to watch on."""
        found, version = _listed(self._api, kind, where)
        with self._turn:
            if not where:
                self._workloads.only(kind, found)
            for one in found:
                self._owed += self._workloads.heard(kind, one, self._clock())
            self._tell()
        return version

    def _watch(self, kind: str, where: str, version: str) -> str:
        """Hear of changes since `version` until the server ends it; returns the version from which to go on."""
        answer = _watched(self._api, kind, where, version, LASTS)
        try:
            for line in _lines(answer):
                if self._stopping.is_set():
                    return version
                event = json.loads(line)
                found = event.get("object") or {}
                if event.get("type") == "ERROR":
                    raise _Refused(found)
                version = found.get("metadata", {}).get("resourceVersion", version)
                with self._turn:
                    if event.get("type") == "DELETED":
                        self._workloads.gone(kind, found)
                    elif event.get("type") != "BOOKMARK":
                        self._owed += self._workloads.heard(kind, found, self._clock())
                    self._tell()
        finally:
            answer.close()
            answer.release_conn()
        return version

    def _tell(self) -> None:
        """Hand on what is owed; if that fails it stays owed."""
        if self._owed:
            self._take(self._owed)
            self._owed = []


class _Refused(Exception):  # noqa: N818
    """What the server says within a watch, such as 410 Gone."""

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(str(said.get("message", "an error"))[:200])
        self.status = said.get("code", 0)
        self.reason = said.get("reason", "")


def _lines(answer: Any) -> Any:
    """The lines of a stream as they come."""
    rest = b""
    for piece in answer.stream(amt=None, decode_content=True):
        rest += piece
        *whole, rest = rest.split(b"\n")
        yield from (line for line in whole if line.strip())


def _why(error: Exception) -> str:
    status = getattr(error, "status", None)
    if status in (401, 403):
        return f"{status}: the role may not get, list and watch them (docs/connect-deployments.md#kubernetes)"
    reason = getattr(error, "reason", "") or error
    return f"{type(error).__name__}: {f'{status} ' if status else ''}{reason}"[:300]
