"""What holds for all tests: how long an example takes says nothing about its law; one PostgreSQL for all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from postgres_server import PostgresServer

settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of several workers each begins with its share of those that take long, the longest first: else all wait for
    the last of them in the end. A worker is given a run of consecutive tests (xdist's worksteal)."""
    slow = sorted((one for one in items if one.get_closest_marker("slow")), key=_seconds, reverse=True)
    quick = [one for one in items if not one.get_closest_marker("slow")]
    workers = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    left, ordered = len(items), list[pytest.Item]()
    for i in range(workers):
        mine, share = slow[i::workers], left // (workers - i)
        left -= share
        more = max(share - len(mine), 0)
        ordered += mine + quick[:more]
        del quick[:more]
    items[:] = ordered + quick


def _seconds(item: pytest.Item) -> float:
    marker = item.get_closest_marker("slow")
    return float(marker.kwargs.get("seconds", 0)) if marker else 0.0


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server of our own, on loopback; skips where its programs are not installed, and fails in CI."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> str:
    """The address of an empty database in it."""
    return postgres_server.database()
