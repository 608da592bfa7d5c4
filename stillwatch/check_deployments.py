"""Can deployments be told of: webhooks and Kubernetes, as far as can be seen without a call from outside.

In: settings, the series if any are known. Out: findings of `stillwatch check`, each with what to do next.
Never: a webhook called, a workload changed, a secret shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from collector.bins import SeriesTable
from collector.webhooks.hook import Hook
from stillwatch.check import Finding
from stillwatch.config import Settings

SHORTEST = 16  # characters of a secret that nobody guesses
MOST_NAMED = 5
HERE = ("127.0.0.1", "::1", "localhost")


def webhooks(settings: Settings, table: SeriesTable | None) -> Iterator[Finding]:
    """Of each: is there a secret worth the name, are the services those that are watched, who can call it."""
    host, port = settings.listen.host, settings.listen.port
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    for name, hook in settings.webhooks.items():
        wrong = [*_secret(hook), *_unknown(hook.services, settings, table)]
        for problem in wrong:
            yield Finding(False, "webhook", f"{name}: {problem}")
        if not wrong:
            only = ", which only this machine reaches: let a proxy pass it on" if host in HERE else ""
            yield Finding(
                True,
                "webhook",
                f"{name}: there is a secret; let it call http://{at}/webhooks/{name}{only}, deploy or press its "
                "test button, and see `stillwatch deployments`",
            )


def _secret(hook: Hook) -> Iterator[str]:
    if len(hook.secret) < SHORTEST:
        yield (
            f"its secret has {len(hook.secret)} characters and may be guessed: set the same at both ends, made by "
            "`openssl rand -hex 32`"
        )


def kubernetes(settings: Settings, table: SeriesTable | None) -> Iterator[Finding]:
    """Does the API server answer, may workloads be listed and watched, are there those that the settings name."""
    from stillwatch import kubernetes_watch

    of = settings.kubernetes
    if of is None:
        return
    try:
        api = kubernetes_watch.client(of.kubeconfig)
    except kubernetes_watch.NoClient as reason:
        yield Finding(False, "cluster", str(reason))
        return
    try:
        names, wrong = kubernetes_watch.workloads(api, of.namespaces)
    finally:
        api.api_client.close()
    if not wrong:
        there = {name.partition("/")[0] for name in names}
        for namespace in sorted(set(of.namespaces) - there):
            wrong.append(f"no workload in namespace {namespace}: is its name right?")
        for name in sorted(set(of.services) - names):
            wrong.append(f"services: no workload is called {name}; expected {_some(sorted(names))}")
    wrong += _unknown(of.services, settings, table)
    for problem in wrong:
        yield Finding(False, "cluster", problem)
    if not wrong:
        count = f"{len(names)} workload{'' if len(names) == 1 else 's'}"
        yield Finding(
            True,
            "cluster",
            f"{count} can be listed and watched; change an image, and see `stillwatch deployments`",
        )


def _unknown(
    services: Mapping[str, Sequence[str]], settings: Settings, table: SeriesTable | None
) -> Iterator[str]:
    """Services that nothing is counted of: a deployment of those explains nothing."""
    known = {key.service for key in table.keys} if table is not None else set[str]()
    known |= {signal.service for signal in settings.signals}
    if not known:
        return  # nothing has come yet
    for source, named in services.items():
        for service in named:
            if service not in known:
                expected = f"expected {_some(sorted(known))}"
                yield f"services: {source}: nothing is counted of a service {service}; {expected}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" or {more} more" if more > 0 else "") or "none yet"
