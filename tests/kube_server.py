"""A stand-in for the API server of Kubernetes: lists and watches of `apps/v1`, as its documents describe them.

It knows resource versions, pages, bookmarks, watches that end, 410 Gone for what it has forgotten (as the answer,
and within a watch), 401 and 403. It stores what a test puts in, and checks nothing of it.
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

TOKEN = "the token of a service account"
KINDS = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}


class KubeServer:
    """forgotten: events up to this version are not served any more. broken: watches that are under way end when it
    grows. gone_within: 410 is said within a watch. only_list: watches are forbidden. listed, watched: how often."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self.forgotten = 0
        self.forbidden = False
        self.only_list = False
        self.broken = 0
        self.gone_within = False
        self.listed, self.watched = 0, 0
        self._lock = threading.Lock()

    def put(
        self, kind: str, name: str, image: str, *, namespace: str = "shop", done: bool = True, **more: Any
    ) -> None:
        """Make or change a workload; `done`: its pods are those of this version already. more: labels, template
        annotations, replicas."""
        with self._lock:
            key = (kind, namespace, name)
            old = self.objects.get(key)
            spec = {
                "replicas": more.get("replicas", 3),
                "template": {
                    "metadata": {
                        "labels": more.get("labels", {}),
                        "annotations": more.get("annotations", {}),
                    },
                    "spec": {
                        "containers": [{"name": "envoy", "image": "envoy:1"}, {"name": name, "image": image}]
                    },
                },
            }
            generation = 1 if old is None else old["metadata"]["generation"] + (old["spec"] != spec)
            self.version += 1
            wanted = spec["replicas"]
            status = {"observedGeneration": generation if done else generation - 1, "replicas": wanted}
            status |= (
                {"updatedReplicas": wanted, "availableReplicas": wanted, "readyReplicas": wanted}
                if done
                else {}
            )
            status |= dict.fromkeys(
                ("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"), wanted
            )
            found = {
                "kind": kind,
                "apiVersion": "apps/v1",
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "uid": f"uid-{name}",
                    "generation": generation,
                    "resourceVersion": str(self.version),
                },
                "spec": spec,
                "status": status,
            }
            self.objects[key] = found
            self.events.append((self.version, "ADDED" if old is None else "MODIFIED", copy.deepcopy(found)))

    def delete(self, kind: str, name: str, namespace: str = "shop") -> None:
        with self._lock:
            self.version += 1
            found = self.objects.pop((kind, namespace, name))
            found["metadata"]["resourceVersion"] = str(self.version)
            self.events.append((self.version, "DELETED", found))

    def forget(self) -> None:
        """Forget all events so far, as after a compaction, and end the watches."""
        with self._lock:
            self.version += 1
            self.forgotten = self.version
            self.broken += 1

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/apis/apps/v1/{plural}", self._serve),
                Route("/apis/apps/v1/namespaces/{namespace}/{plural}", self._serve),
            ]
        )

    async def _serve(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _status(401, "Unauthorized")
        if self.forbidden:
            return _status(403, "Forbidden")
        kind, namespace = KINDS[request.path_params["plural"]], request.path_params.get("namespace")
        asked = request.query_params
        if asked.get("watch") in ("true", "True", "1"):
            if self.only_list:
                return _status(403, "Forbidden")
            self.watched += 1
            since = int(asked["resourceVersion"])
            if since < self.forgotten and not self.gone_within:
                return _status(410, "Expired")
            return StreamingResponse(self._stream(kind, namespace, since), media_type="application/json")
        self.listed += 1
        with self._lock:
            there = [
                o for (k, n, _), o in sorted(self.objects.items()) if k == kind and namespace in (None, n)
            ]
            begin, limit = int(asked.get("continue", 0)), int(asked.get("limit", 500))
            meta = {"resourceVersion": str(self.version)}
            if begin + limit < len(there):
                meta["continue"] = str(begin + limit)
            return JSONResponse(
                {"kind": f"{kind}List", "metadata": meta, "items": there[begin : begin + limit]}
            )

    async def _stream(self, kind: str, namespace: str | None, since: int) -> AsyncIterator[bytes]:
        broken = self.broken
        if since < self.forgotten:
            yield _line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})
            return
        for turn in range(10_000):
            if self.broken != broken:
                return
            with self._lock:
                news = [event for event in self.events if event[0] > since]
                since = max([since, *(version for version, _, _ in news)])
            for _, what, found in news:
                if found["kind"] == kind and namespace in (None, found["metadata"]["namespace"]):
                    whole = _line(what, found)
                    yield whole[:40]
                    yield whole[40:]
            if turn % 20 == 19:
                yield _line("BOOKMARK", {"kind": kind, "metadata": {"resourceVersion": str(since)}})
            await asyncio.sleep(0.01)


def _line(kind: str, found: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": found}).encode() + b"\n"


def _status(code: int, reason: str) -> Response:
    told = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason}
    return JSONResponse(told, code)
