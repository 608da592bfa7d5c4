"""What stillwatch.yaml may say of where counts and deployments come from.

In: plain values, as YAML gives them. Out: models of `sources`, `webhooks` and `kubernetes`.
Never: a source opened (stillwatch/sources.py), a default that is not written here.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from stillwatch.config_kinds import Name, Split, Strict, Variable, WebAddress, listed, one_of, within


class WebhookIn(Strict):
    """A sender that tells of deployments at `/webhooks/NAME`."""

    secret_env: Variable | None = None
    secret_file: Name | None = None
    services: dict[Name, Annotated[list[Name], BeforeValidator(listed)]] = {}
    environments: Annotated[list[Name], BeforeValidator(listed)] = []

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        one_of(
            {"secret_env": self.secret_env, "secret_file": self.secret_file},
            "either secret_env or secret_file",
        )
        return self


# Sources that we ask (stillwatch/sources.py opens them).

WEEKS = 4 * 7 * 86400  # seconds
MONTHS = 90 * 86400  # seconds of history at most


def _query_of_time(value: object) -> object:
    names = (":since", ":until")
    if isinstance(value, str) and not all(re.search(rf"(?<!:){name}(_epoch)?\b", value) for name in names):
        raise ValueError("a query that asks for a time by :since and :until")
    return value


def _database(value: object) -> object:
    """An address of SQLAlchemy's kind. A password belongs into a variable."""
    if isinstance(value, str) and ("://" not in value or ":" in value.partition("://")[2].rpartition("@")[0]):
        raise ValueError("an address such as postgresql://USER@HOST/NAME without a password (else `url_env`)")
    return value


class Asked(Strict):
    """What all sources have that we ask."""

    history: Annotated[int, within(0, MONTHS, "a duration from 0s to 90d, such as 4w")] = WEEKS
    grace: Annotated[int, within(0, 3600, "a duration from 0s to 1h, such as 60s")] = 60
    every: Annotated[int, within(5, 3600, "a duration from 5s to 1h, such as 30s")] = 30
    again: Annotated[int, within(0, 43200, "a duration from 0s to 12h, such as 10m")] = 600


class Counter(Strict):
    select: Name
    metric: Name | None = None
    service: Name | None = None
    service_label: Name = "job"
    version_label: Name = "version"
    attributes: Annotated[list[Name], BeforeValidator(listed)] = []


class PromQL(Asked):
    kind: Literal["promql"]
    url: WebAddress
    counters: Annotated[list[Counter], BeforeValidator(listed), Field(min_length=1, max_length=100)]
    timeout: Annotated[int, within(1, 300, "a duration from 1s to 5m, such as 10s")] = 10
    tenant: Name | None = None
    token_env: Variable | None = None
    token_file: Name | None = None
    user: Name | None = None
    password_env: Variable | None = None

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        ways = {"token_env": self.token_env, "token_file": self.token_file, "password_env": self.password_env}
        given = [name for name, value in ways.items() if value is not None]
        if len(given) > 1 or (self.user is None) != (self.password_env is None):
            words = "token_env, or token_file, or user with password_env"
            raise PydanticCustomError("one_of", words, {"given": given or ["user"]})
        return self


class Sql(Asked):
    kind: Literal["sql"]
    url: Annotated[str, BeforeValidator(_database)] | None = None
    url_env: Variable | None = None
    query: Annotated[str, BeforeValidator(_query_of_time), Field(max_length=100_000)]
    service: Name | None = None
    metric: Name | None = None
    timeout: Annotated[int, within(1, 600, "a duration from 1s to 10m, such as 30s")] = 30
    rows: int = Field(default=10_000, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        one_of({"url": self.url, "url_env": self.url_env}, "either url or url_env")
        return self


class Rule(Strict):
    count: Name
    where: dict[Name, Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]] = {}
    by: Split = []


class Files(Strict):
    kind: Literal["files"]
    paths: Annotated[list[Name], BeforeValidator(listed), Field(min_length=1, max_length=100)]
    format: Literal["combined", "json", "dataset"]
    service: Name | None = None
    counts: list[Rule] = []
    time: Name | None = None
    series: int = Field(default=10_000, ge=1, le=1_000_000)
    grace: Annotated[int, within(0, 3600, "a duration from 0s to 1h, such as 30s")] = 30
    every: Annotated[int, within(5, 3600, "a duration from 5s to 1h, such as 10s")] = 10

    @model_validator(mode="after")
    def _rules_for_logs(self) -> Self:
        said = [name for name in ("service", "counts") if getattr(self, name)]
        if self.format == "dataset" and said:
            raise PydanticCustomError("one_of", "neither: a dataset names its own", {"given": said})
        if self.format != "dataset" and len(said) != 2:
            raise PydanticCustomError("one_of", "both service and counts", {"given": said})
        return self


class CloudMetric(Strict):
    namespace: Name
    name: Name
    dimensions: dict[Name, str] = {}
    service: Name
    metric: Name | None = None
    version: str = ""
    attributes: dict[Name, str] = {}


class CloudWatch(Strict):
    kind: Literal["cloudwatch"]
    region: Name
    metrics: Annotated[list[CloudMetric], BeforeValidator(listed), Field(min_length=1, max_length=5000)]
    endpoint: WebAddress | None = None
    timeout: Annotated[int, within(1, 300, "a duration from 1s to 5m, such as 10s")] = 10
    grace: Annotated[int, within(0, 3600, "a duration from 0s to 1h, such as 5m")] = 300
    every: Annotated[int, within(5, 3600, "a duration from 5s to 1h, such as 60s")] = 60
    again: Annotated[int, within(0, 43200, "a duration from 0s to 12h, such as 1h")] = 3600
    history: Annotated[int, within(0, 15 * 86400, "a duration from 0s to 15d, such as 14d")] = 14 * 86400


AnySource = Annotated[PromQL | Sql | Files | CloudWatch, Field(discriminator="kind")]


class Kubernetes(Strict):
    """A cluster whose workloads are watched."""

    kubeconfig: Name | None = None
    namespaces: Annotated[list[Name], BeforeValidator(listed)] = []
    services: dict[Name, Annotated[list[Name], BeforeValidator(listed)]] = {}
    environment: Annotated[str, Field(max_length=500)] = ""
