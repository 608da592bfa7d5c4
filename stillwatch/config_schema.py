"""What stillwatch.yaml may hold: the shape of every section. pydantic lives here.

In: plain values, as YAML gives them. Out: models, or pydantic's ValidationError.
Never: a default that is not written here; a secret (only names of variables and files).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from alerts.rollbacks import PLACES
from alerts.silences import holds_for_all, matcher
from collector import moments
from collector.webhooks.receive import SENDERS
from stillwatch import days_off

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
PERIODS = {"hour": 3600, "day": 86400, "week": 7 * 86400, "month": 30 * 86400}
LONGEST = 14 * 86400  # seconds: the far end of a flow
EXAMPLE = "a duration such as 60s, 2m or 48h"


def seconds(value: object) -> int:
    """`60s`, `2m`, `48h`, `1d` or `1w` in seconds. ValueError for all else, 48:00 and bare numbers too."""
    found = re.fullmatch(r"([0-9]{1,9})([smhdw])", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(EXAMPLE)
    return int(found[1]) * UNITS[found[2]]


def _within(least: int, most: int, words: str) -> BeforeValidator:
    def check(value: object) -> int:
        duration = seconds(value)
        if not least <= duration <= most:
            raise ValueError(words)
        return duration

    return BeforeValidator(check)


def _timezone(value: object) -> object:
    if isinstance(value, str):
        try:
            ZoneInfo(value)
        except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
            raise ValueError("a time zone such as UTC or Europe/Berlin") from None
        except KeyError:
            raise ValueError("a time zone such as UTC or Europe/Berlin") from None
    return value


def _base_url(value: object) -> object:
    """A token must not travel in the clear."""
    if not isinstance(value, str):
        return value
    parts = urlsplit(value)
    loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        raise ValueError("an address that begins with https:// (http:// on loopback only)")
    return value if value.endswith("/") else value + "/"


def _web_address(value: object) -> object:
    """Of a place to tell. What it hears may travel in the clear within a company; a password may not."""
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in parts.netloc or not value.isprintable() or " " in value:
        raise ValueError("an address that begins with https:// or http://, without a password in it")
    return value


def _template(value: object) -> object:
    """An address with names in braces."""
    if not isinstance(value, str):
        return value
    if not set(re.findall(r"\{(\w*)\}", value)) <= set(PLACES):
        named = ", ".join(f"{{{name}}}" for name in PLACES)
        raise ValueError(f"an address in which nothing else stands in braces than {named}")
    return _web_address(value)


def _mail_server(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("smtp", "smtps") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in parts.netloc or not value.isprintable() or parts.path.strip("/"):
        raise ValueError("smtp://HOST:PORT (with STARTTLS) or smtps://HOST:PORT, without a password in it")
    return value


def _mailbox(value: object) -> object:
    local = r"[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}"
    if isinstance(value, str) and not re.fullmatch(local + r"@[A-Za-z0-9.-]{1,190}", value):
        raise ValueError("an address such as on-call@example.com")
    return value


def _channel(value: object) -> object:
    """No channel of Slack's has a colon; receivers have one in their addresses."""
    if isinstance(value, str) and ":" in value:
        raise ValueError("a channel of Slack's; a receiver is named by `receiver`")
    return value


def _url_alone(value: object) -> object:
    """An address alone is short for a mapping that holds nothing else."""
    return {"url": value} if isinstance(value, str) else value


def _listed(value: object) -> object:
    """One thing is a list of one."""
    return value if isinstance(value, list) else [value]


def _metric(value: object) -> object:
    return {"metric": value} if not isinstance(value, Mapping) else value


def _address(value: object) -> object:
    if not isinstance(value, str):
        return value
    host, _, port = value.rpartition(":")
    if not port.isdecimal() or not port.isascii() or len(port) > 5 or not host:
        raise ValueError("HOST:PORT, or a mapping of host, port and token_env")
    return {"host": host.removeprefix("[").removesuffix("]"), "port": int(port)}


def _number(value: object) -> object:
    """YAML takes 1e3 for a text, for want of a point."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x20]([^\x00-\x1f]*[^\x00-\x20])?$"),
]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,199}$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, value: object) -> object:
        """The same as extra="forbid", but it says what would have been right."""
        if isinstance(value, Mapping):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in value:
                if key not in known:
                    raise PydanticCustomError("unknown_key", "", {"key": str(key), "known": known})
        return value


WebAddress = Annotated[str, BeforeValidator(_web_address)]


def _one_of(given: Mapping[str, object], words: str) -> None:
    """Exactly one of these is given. Raises an error that says so."""
    if sum(value is not None for value in given.values()) != 1:
        raise PydanticCustomError("one_of", words, {"given": [k for k, v in given.items() if v is not None]})


class Metric(Strict):
    metric: Name
    service: Name | None = None
    where: dict[Name, str] = {}


Metrics = Annotated[
    list[Annotated[Metric, BeforeValidator(_metric)]], BeforeValidator(_listed), Field(min_length=1)
]
Within = Annotated[int, _within(1, LONGEST, f"{EXAMPLE}, at most 14d")]
Split = Annotated[list[Name], BeforeValidator(_listed)]


class ErrorRatio(Strict):
    kind: Literal["error_ratio"]
    errors: Metrics
    total: Metrics
    split_by: Split = []


class Throughput(Strict):
    kind: Literal["throughput"]
    count: Metrics
    split_by: Split = []


class Flow(Strict):
    kind: Literal["flow"]
    from_: Metrics = Field(alias="from")
    to: Metrics
    within: Within
    split_by: Split = []


class Rollout(Strict):
    kind: Literal["rollout"]
    errors: Metrics | None = None
    total: Metrics | None = None
    from_: Metrics | None = Field(alias="from", default=None)
    to: Metrics | None = None
    within: Within | None = None

    @model_validator(mode="after")
    def _one_of_two_questions(self) -> Self:
        ratio = [self.errors is not None, self.total is not None]
        flow = [self.from_ is not None, self.to is not None, self.within is not None]
        if not (all(ratio) and not any(flow)) and not (all(flow) and not any(ratio)):
            raise PydanticCustomError("rollout", "either errors and total, or from, to and within")
        return self


AnySignal = Annotated[ErrorRatio | Throughput | Flow | Rollout, Field(discriminator="kind")]


Attributes = Annotated[list[Name], BeforeValidator(_listed), Field(max_length=100)]


class Rollback(Strict):
    """How a service is put back: its pipeline's webhook, or the page on which people do it."""

    url: WebAddress | None = None
    url_env: Variable | None = None
    secret_env: Variable | None = None
    link: Annotated[str, BeforeValidator(_template)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = {"url": self.url, "url_env": self.url_env, "link": self.link}
        _one_of(ways, "one of url, url_env and link")
        if self.link is not None and self.secret_env is not None:
            _one_of({"link": self.link, "secret_env": self.secret_env}, "secret_env with a url only")
        return self


class Service(Strict):
    owner: str = ""
    depends_on: Annotated[list[Name], BeforeValidator(_listed)] = []
    attributes: Attributes | None = None
    rollback: Rollback | None = None
    signals: dict[Name, AnySignal] = {}


class Budget(Strict):
    false_alerts: Annotated[float, BeforeValidator(_number)] = Field(
        default=1.0, gt=0, le=1_000_000, allow_inf_nan=False
    )
    per: Literal["hour", "day", "week", "month"] = "week"


class MetricTraits(Strict):
    sparse: bool | None = None


class Slack(Strict):
    channel: str = ""
    token_env: Variable | None = None
    token_file: Name | None = None
    app_token_env: Variable | None = None
    signing_secret_env: Variable | None = None
    base_url: Annotated[str, BeforeValidator(_base_url)] = "https://slack.com/api/"


class Listen(Strict):
    host: Name = "127.0.0.1"
    port: int = Field(default=4318, ge=1, le=65535)
    token_env: Variable | None = None
    grpc_port: int | None = Field(default=None, ge=0, le=65535)


class Limits(Strict):
    series: int = Field(default=200_000, ge=1, le=10_000_000)
    per_service: int = Field(default=20_000, ge=1, le=10_000_000)
    attributes: Attributes | None = None


Choice = Annotated[list[Name], BeforeValidator(_listed)]
Kinds = Annotated[list[Literal["error_spike", "data_loss", "no_data", "rollout"]], BeforeValidator(_listed)]
Severities = Annotated[list[Literal["critical", "warning", "info"]], BeforeValidator(_listed)]


class Match(Strict):
    owner: Choice = []
    service: Choice = []
    kind: Kinds = []
    severity: Severities = []
    environment: Choice = []


def _matcher(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("a matcher such as service=image-resizer (put quotes around it)")
    try:
        matcher(value)
    except ValueError as error:
        raise ValueError(str(error).rpartition("expected ")[2]) from None
    return value


def _moment(value: object) -> int:
    """YAML makes a time of what looks like one."""
    if isinstance(value, datetime):
        value = value.isoformat()
    try:
        return int(moments.seconds(value if isinstance(value, str) else ""))
    except ValueError as error:
        raise ValueError(str(error)) from None


def _time_of_day(value: object) -> int:
    """Minutes since midnight."""
    found = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("a time of day such as 22:00")
    return int(found[1]) * 60 + int(found[2])


Matchers = Annotated[
    list[Annotated[str, BeforeValidator(_matcher)]],
    BeforeValidator(_listed),
    Field(min_length=1, max_length=20),
]
TimeOfDay = Annotated[int, BeforeValidator(_time_of_day)]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Days = Annotated[list[Day], BeforeValidator(_listed), Field(min_length=1)]


class Weekly(Strict):
    days: Days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    from_: TimeOfDay = Field(alias="from")
    to: TimeOfDay


class Maintenance(Strict):
    match: Matchers
    name: Annotated[str, Field(max_length=200)] = ""
    start: Annotated[int, BeforeValidator(_moment)] | None = None
    end: Annotated[int, BeforeValidator(_moment)] | None = None
    weekly: Weekly | None = None
    calendar: Name | None = None

    @model_validator(mode="after")
    def _one_kind_of_time(self) -> Self:
        once = [self.start is not None, self.end is not None]
        others = [self.weekly is not None, self.calendar is not None]
        if any(once) + sum(others) != 1 or any(once) != all(once):
            raise PydanticCustomError("maintenance", "either start and end, or weekly, or calendar")
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise PydanticCustomError("maintenance", "an end that is after the start")
        if holds_for_all([matcher(one) for one in self.match]):
            raise PydanticCustomError("maintenance", "a matcher that does not match an empty value")
        return self


Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
Channel = Annotated[Name, BeforeValidator(_channel)]
Mailbox = Annotated[str, BeforeValidator(_mailbox)]


class Webhook(Strict):
    url: WebAddress | None = None
    url_env: Variable | None = None
    secret_env: Variable | None = None

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        _one_of({"url": self.url, "url_env": self.url_env}, "either url or url_env")
        return self


class Alertmanager(Strict):
    url: WebAddress


class PagerDuty(Strict):
    routing_key_env: Variable
    url: Annotated[str, BeforeValidator(_base_url)] = "https://events.pagerduty.com/"


class Opsgenie(Strict):
    api_key_env: Variable
    url: Annotated[str, BeforeValidator(_base_url)] = "https://api.opsgenie.com/"


class Secret(Strict):
    """An address that is a secret itself."""

    url_env: Variable


class Email(Strict):
    server: Annotated[str, BeforeValidator(_mail_server)]
    from_: Mailbox = Field(alias="from")
    to: Annotated[list[Mailbox], BeforeValidator(_listed), Field(min_length=1, max_length=100)]
    user: Name | None = None
    password_env: Variable | None = None

    @model_validator(mode="after")
    def _user_with_password(self) -> Self:
        if (self.user is None) != (self.password_env is None):
            raise PydanticCustomError(
                "one_of",
                "both user and password_env, or neither",
                {"given": ["user" if self.user is not None else "password_env"]},
            )
        return self


class Receiver(Strict):
    """A place to tell: exactly one of these."""

    slack: Channel | None = None
    webhook: Annotated[Webhook, BeforeValidator(_url_alone)] | None = None
    alertmanager: Annotated[Alertmanager, BeforeValidator(_url_alone)] | None = None
    pagerduty: PagerDuty | None = None
    opsgenie: Opsgenie | None = None
    teams: Secret | None = None
    email: Email | None = None
    apprise: Secret | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        places = {name: getattr(self, name) for name in type(self).model_fields}
        _one_of(places, "exactly one of " + ", ".join(places))
        return self


def _hours(value: object) -> object:
    parts = value.split("-") if isinstance(value, str) else []
    try:
        begins, ends = (_time_of_day(part.strip()) for part in parts)
    except ValueError:
        raise ValueError("hours such as 22:00-07:00") from None
    if begins == ends:
        raise ValueError("hours such as 22:00-07:00, not the whole day")
    return begins, ends


class Group(Strict):
    wait: Annotated[int, _within(0, 3600, "a duration from 0s to 1h, such as 30s")] = 0
    interval: Annotated[int, _within(0, 86400, "a duration from 0s to 1d, such as 5m")] = 0


class Step(Strict):
    after: Annotated[int, _within(60, 7 * 86400, "a duration from 1m to 7d, such as 15m")]
    channel: Channel | None = None
    receiver: Label | None = None

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        _one_of({"channel": self.channel, "receiver": self.receiver}, "either channel or receiver")
        return self


class Route(Strict):
    match: Match = Match()
    channel: Channel | None = None
    receiver: Label | None = None
    continue_: bool = Field(alias="continue", default=False)
    group: Group = Group()
    repeat: Annotated[int, _within(300, 7 * 86400, "a duration from 5m to 7d, such as 1h")] | None = None
    escalate: Annotated[list[Step], BeforeValidator(_listed), Field(max_length=10)] = []
    quiet: Annotated[tuple[int, int], BeforeValidator(_hours)] | None = None
    digest: TimeOfDay | None = None

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        _one_of({"channel": self.channel, "receiver": self.receiver}, "either channel or receiver")
        held = [name for name in ("quiet", "digest") if getattr(self, name) is not None]
        if self.repeat is not None and held:
            words = "repeat in a route of its own, for what is not held by the night or for a digest"
            raise PydanticCustomError("one_of", words, {"given": ["repeat", *held]})
        return self


class Fallback(Strict):
    channel: Channel | None = None
    receiver: Label | None = None

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        _one_of({"channel": self.channel, "receiver": self.receiver}, "either channel or receiver")
        return self


class WebhookIn(Strict):
    """A sender that tells of deployments at `/webhooks/NAME`."""

    secret_env: Variable | None = None
    secret_file: Name | None = None
    services: dict[Name, Annotated[list[Name], BeforeValidator(_listed)]] = {}
    environments: Annotated[list[Name], BeforeValidator(_listed)] = []

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        _one_of(
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

    history: Annotated[int, _within(0, MONTHS, "a duration from 0s to 90d, such as 4w")] = WEEKS
    grace: Annotated[int, _within(0, 3600, "a duration from 0s to 1h, such as 60s")] = 60
    every: Annotated[int, _within(5, 3600, "a duration from 5s to 1h, such as 30s")] = 30
    again: Annotated[int, _within(0, 43200, "a duration from 0s to 12h, such as 10m")] = 600


class Counter(Strict):
    select: Name
    metric: Name | None = None
    service: Name | None = None
    service_label: Name = "job"
    version_label: Name = "version"
    attributes: Annotated[list[Name], BeforeValidator(_listed)] = []


class PromQL(Asked):
    kind: Literal["promql"]
    url: WebAddress
    counters: Annotated[list[Counter], BeforeValidator(_listed), Field(min_length=1, max_length=100)]
    timeout: Annotated[int, _within(1, 300, "a duration from 1s to 5m, such as 10s")] = 10
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
    timeout: Annotated[int, _within(1, 600, "a duration from 1s to 10m, such as 30s")] = 30
    rows: int = Field(default=10_000, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        _one_of({"url": self.url, "url_env": self.url_env}, "either url or url_env")
        return self


class Rule(Strict):
    count: Name
    where: dict[Name, Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]] = {}
    by: Split = []


class Files(Strict):
    kind: Literal["files"]
    paths: Annotated[list[Name], BeforeValidator(_listed), Field(min_length=1, max_length=100)]
    format: Literal["combined", "json", "dataset"]
    service: Name | None = None
    counts: list[Rule] = []
    time: Name | None = None
    series: int = Field(default=10_000, ge=1, le=1_000_000)
    grace: Annotated[int, _within(0, 3600, "a duration from 0s to 1h, such as 30s")] = 30
    every: Annotated[int, _within(5, 3600, "a duration from 5s to 1h, such as 10s")] = 10

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
    metrics: Annotated[list[CloudMetric], BeforeValidator(_listed), Field(min_length=1, max_length=5000)]
    endpoint: WebAddress | None = None
    timeout: Annotated[int, _within(1, 300, "a duration from 1s to 5m, such as 10s")] = 10
    grace: Annotated[int, _within(0, 3600, "a duration from 0s to 1h, such as 5m")] = 300
    every: Annotated[int, _within(5, 3600, "a duration from 5s to 1h, such as 60s")] = 60
    again: Annotated[int, _within(0, 43200, "a duration from 0s to 12h, such as 1h")] = 3600
    history: Annotated[int, _within(0, 15 * 86400, "a duration from 0s to 15d, such as 14d")] = 14 * 86400


AnySource = Annotated[PromQL | Sql | Files | CloudWatch, Field(discriminator="kind")]


class Kubernetes(Strict):
    """A cluster whose workloads are watched."""

    kubeconfig: Name | None = None
    namespaces: Annotated[list[Name], BeforeValidator(_listed)] = []
    services: dict[Name, Annotated[list[Name], BeforeValidator(_listed)]] = {}
    environment: Annotated[str, Field(max_length=500)] = ""


class File(Strict):
    """The whole of stillwatch.yaml."""

    interval: Annotated[int, _within(5, 3600, "a duration from 5s to 1h, such as 60s")] = 60
    grace: Annotated[int, _within(0, 3600, "a duration from 0s to 1h, such as 15s")] | None = None
    timezone: Annotated[str, BeforeValidator(_timezone)] = "UTC"
    holidays: Annotated[list[Annotated[str, BeforeValidator(days_off.entry)]], BeforeValidator(_listed)] = []
    budget: Budget = Budget()
    services: dict[Name, Service] = {}
    metrics: dict[Name, MetricTraits] = {}
    slack: Slack = Slack()
    receivers: dict[Label, Receiver] = {}
    routes: list[Route] = []
    maintenance: Annotated[list[Maintenance], BeforeValidator(_listed)] = []
    fallback: Fallback | None = None
    listen: Annotated[Listen, BeforeValidator(_address)] = Listen()
    limits: Limits = Limits()
    webhooks: dict[Literal[*SENDERS], WebhookIn] = {}  # type: ignore[valid-type]  # one list of their names
    sources: dict[Label, AnySource] = {}
    kubernetes: Kubernetes | None = None
    database: Name = "stillwatch.db"
