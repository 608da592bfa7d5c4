"""Workloads of Kubernetes as they change become Deployments: a new image or version, its begin and its end. Pure.

In: objects of the API (Deployment, StatefulSet, DaemonSet) as plain values, and when each was heard of. Out:
Deployments. Never: a restart, a change of scale or of settings taken for a new version; a clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from collector.deployments import Deployment
from collector.webhooks.told import image_tag

Object = Mapping[str, Any]
VERSION, CAUSE = "app.kubernetes.io/version", "kubernetes.io/change-cause"
SERVICE_OF, VERSION_OF = "resource.opentelemetry.io/service.name", "resource.opentelemetry.io/service.version"
MOST = 20  # versions that are remembered of a workload, to know a way back


@dataclass(slots=True)
class _Workload:
    """labelled, image: what says the version. before: versions it had, oldest first. rolling: what is under way."""

    labelled: str
    image: str
    before: list[str]
    rolling: tuple[Deployment, ...] = ()


@dataclass(slots=True)
class Workloads:
    """What all workloads ship. services: by `NAMESPACE/NAME` of a workload; none = it ships nothing that is
    watched. environment: of the cluster."""

    services: Mapping[str, Sequence[str]] = field(default_factory=dict)
    environment: str = ""
    _known: dict[str, _Workload] = field(default_factory=dict)

    def heard(self, kind: str, found: Object, now: float) -> list[Deployment]:
        """What follows from a workload as it is now (epoch seconds): deployments that have begun, and those whose
        `finished` is known now. The first word of a workload only says how it is."""
        key, labelled, image = _key(kind, found), _labelled(found), _image(found)
        if not key:
            return []
        of = self._known.get(key)
        if of is None:
            self._known[key] = _Workload(labelled, image, [_version(labelled, image)])
            return []
        told: list[Deployment] = []
        if (labelled, image) != (of.labelled, of.image):
            # A label that nobody keeps says nothing about a new image.
            version = labelled if labelled != of.labelled and labelled else image_tag(image)[1] or labelled
            told = self._begun(kind, found, of, version, now)
            of.labelled, of.image, of.rolling = labelled, image, tuple(told)
            of.before = [*(v for v in of.before if v != version), version][-MOST:]
        if of.rolling and _done(kind, found):
            ended = max(math.floor(now), of.rolling[0].time + 1)
            told = [replace(one, finished=ended) for one in of.rolling]
            of.rolling = ()
        return told

    def gone(self, kind: str, found: Object) -> None:
        """A workload was deleted."""
        self._known.pop(_key(kind, found), None)

    def only(self, kind: str, there: Sequence[Object]) -> None:
        """These are all that there are of a kind: others were deleted while nobody listened."""
        keys = {_key(kind, one) for one in there}
        for key in [key for key in self._known if key.startswith(kind + "/") and key not in keys]:
            del self._known[key]

    def _begun(self, kind: str, found: Object, of: _Workload, version: str, now: float) -> list[Deployment]:
        if not version:
            return []
        meta = _mapping(found, "metadata")
        name, namespace = _text(meta, "name"), _text(meta, "namespace")
        back = version in of.before and version != of.before[-1]
        services = self.services.get(f"{namespace}/{name}", (_service(found),))
        return [
            Deployment(
                id=f"kubernetes-{namespace}-{kind}-{name}-{_text(meta, 'uid')[:36]}-{meta.get('generation', 0)}",
                time=_changed(meta, now),
                service=service,
                version=version[:500],
                previous_version=of.before[-1][:500],
                environment=self.environment,
                kind="rollback" if back else "deploy",
                description=_text(_mapping(meta, "annotations"), CAUSE)[:4000],
                reported=math.floor(now),
            )
            for service in services
        ]


def _key(kind: str, found: Object) -> str:
    meta = _mapping(found, "metadata")
    name = _text(meta, "name")
    return f"{kind}/{_text(meta, 'namespace')}/{name}" if name else ""


def _mapping(of: Object, name: str) -> Object:
    value = of.get(name)
    return value if isinstance(value, Mapping) else {}


def _text(of: Object, name: str) -> str:
    value = of.get(name)
    return value if isinstance(value, str) else ""


def _parts(of: Object, name: str) -> Iterator[Object]:
    value = of.get(name)
    for one in value if isinstance(value, list) else ():
        if isinstance(one, Mapping):
            yield one


def _template(found: Object) -> Object:
    return _mapping(_mapping(found, "spec"), "template")


def _container(found: Object) -> Object:
    """The container that is called as the workload, else the first: others are helpers beside it."""
    name = _text(_mapping(found, "metadata"), "name")
    there = list(_parts(_mapping(_template(found), "spec"), "containers"))
    return next((one for one in there if one.get("name") == name), there[0] if there else {})


def _image(found: Object) -> str:
    return _text(_container(found), "image")


def _labelled(found: Object) -> str:
    """The version that annotations or labels of the pods say, else of the workload."""
    meta, pods = _mapping(found, "metadata"), _mapping(_template(found), "metadata")
    return (
        _text(_mapping(pods, "annotations"), VERSION_OF)
        or _text(_mapping(pods, "labels"), VERSION)
        or _text(_mapping(meta, "labels"), VERSION)
    )


def _version(labelled: str, image: str) -> str:
    return labelled or image_tag(image)[1]


def _service(found: Object) -> str:
    """As OpenTelemetry would call it: by annotation, by the variable that its SDKs read, by the workload's name."""
    said = _text(_mapping(_mapping(_template(found), "metadata"), "annotations"), SERVICE_OF)
    for one in _parts(_container(found), "env"):
        if not said and one.get("name") == "OTEL_SERVICE_NAME":
            said = _text(one, "value")
    return said or _text(_mapping(found, "metadata"), "name")


def _changed(meta: Object, now: float) -> int:
    """When its wish was last changed, as the API server noted it, if that was just now; else now."""
    times = []
    for one in _parts(meta, "managedFields"):
        if not one.get("subresource"):
            try:
                times.append(datetime.fromisoformat(_text(one, "time")).timestamp())
            except ValueError:
                continue
    last = max(times, default=now)
    return math.floor(last if now - 3600 <= last <= now else now)


def _done(kind: str, found: Object) -> bool:
    """Have the pods of the wanted version taken over? As `kubectl rollout status` asks."""
    meta, spec, status = (_mapping(found, name) for name in ("metadata", "spec", "status"))
    if _number(status, "observedGeneration") < _number(meta, "generation"):
        return False
    if kind == "DaemonSet":
        wanted = _number(status, "desiredNumberScheduled")
        return (
            _number(status, "updatedNumberScheduled") >= wanted
            and _number(status, "numberAvailable") >= wanted
        )
    wanted = _number(spec, "replicas", 1)
    updated, all_of_them = _number(status, "updatedReplicas"), _number(status, "replicas")
    ready = _number(status, "availableReplicas" if kind == "Deployment" else "readyReplicas")
    return updated >= wanted and all_of_them <= updated and ready >= wanted


def _number(of: Object, name: str, usual: int = 0) -> int:
    value = of.get(name)
    return value if isinstance(value, int) else usual
