"""What stillwatch.yaml may hold: the shape of every section (of sources and senders: config_sources.py).

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

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from alerts.rollbacks import PLACES
from alerts.silences import holds_for_all, matcher
from collector import moments, tokens
from collector.webhooks.receive import SENDERS
from stillwatch import days_off
from stillwatch.config_kinds import (
    EXAMPLE,
    Label,
    Name,
    Split,
    Strict,
    Variable,
    WebAddress,
    listed,
    one_of,
    secure_address,
    web_address,
    within,
)
from stillwatch.config_sources import AnySource, Kubernetes, WebhookIn

PERIODS = {"hour": 3600, "day": 86400, "week": 7 * 86400, "month": 30 * 86400}
LONGEST = 14 * 86400  # seconds: the far end of a flow


def _timezone(value: object) -> object:
    if isinstance(value, str):
        try:
            ZoneInfo(value)
        except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
            raise ValueError("a time zone such as UTC or Europe/Berlin") from None
        except KeyError:
            raise ValueError("a time zone such as UTC or Europe/Berlin") from None
    return value


def _template(value: object) -> object:
    """An address with names in braces."""
    if not isinstance(value, str):
        return value
    if not set(re.findall(r"\{(\w*)\}", value)) <= set(PLACES):
        named = ", ".join(f"{{{name}}}" for name in PLACES)
        raise ValueError(f"an address in which nothing else stands in braces than {named}")
    return web_address(value)


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


def _metric(value: object) -> object:
    return {"metric": value} if not isinstance(value, Mapping) else value


def _address(value: object) -> object:
    if not isinstance(value, str):
        return value
    host, _, port = value.rpartition(":")
    if not port.isdecimal() or not port.isascii() or len(port) > 5 or not host:
        raise ValueError("HOST:PORT, or a mapping of host, port and tokens")
    return {"host": host.removeprefix("[").removesuffix("]"), "port": int(port)}


def _server(value: object) -> object:
    """The address of a database. A password belongs into a variable or a file."""
    if not isinstance(value, str):
        return value
    expected = (
        "postgresql://USER@HOST:PORT/NAME without a password (for that, `password_env` or `password_file`)"
    )
    try:
        parts = urlsplit(value)
        good = parts.scheme == "postgresql" and parts.password is None and "password" not in parts.query
    except ValueError:
        good = False
    if not good or not parts.username or not parts.path.strip("/") or not value.isprintable() or " " in value:
        raise ValueError(expected)
    return value


def _kept_at(value: object) -> object:
    """The path of a file, or the address of a server, which may stand for a mapping of nothing else."""
    return {"url" if "://" in value else "path": value} if isinstance(value, str) else value


def _number(value: object) -> object:
    """YAML takes 1e3 for a text, for want of a point."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


class Metric(Strict):
    metric: Name
    service: Name | None = None
    where: dict[Name, str] = {}


Metrics = Annotated[
    list[Annotated[Metric, BeforeValidator(_metric)]], BeforeValidator(listed), Field(min_length=1)
]
Within = Annotated[int, within(1, LONGEST, f"{EXAMPLE}, at most 14d")]


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


Attributes = Annotated[list[Name], BeforeValidator(listed), Field(max_length=100)]


class Rollback(Strict):
    """How a service is put back: its pipeline's webhook, or the page on which people do it."""

    url: WebAddress | None = None
    url_env: Variable | None = None
    secret_env: Variable | None = None
    link: Annotated[str, BeforeValidator(_template)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = {"url": self.url, "url_env": self.url_env, "link": self.link}
        one_of(ways, "one of url, url_env and link")
        if self.link is not None and self.secret_env is not None:
            one_of({"link": self.link, "secret_env": self.secret_env}, "secret_env with a url only")
        return self


class Service(Strict):
    owner: str = ""
    depends_on: Annotated[list[Name], BeforeValidator(listed)] = []
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
    base_url: Annotated[str, BeforeValidator(secure_address)] = "https://slack.com/api/"


def _hash(value: object) -> object:
    return tokens.read(value) if isinstance(value, str) else value


Hashes = dict[Label, Annotated[bytes, BeforeValidator(_hash)]]


class Tokens(Strict):
    """What each token hashes to, by a name of its own."""

    ingest: Hashes = {}
    deployments: Hashes = {}
    reading: Hashes = {}
    acting: Hashes = {}


class Tls(Strict):
    certificate: Name
    key: Name


class Listen(Strict):
    host: Name = "127.0.0.1"
    port: int = Field(default=4318, ge=1, le=65535)
    token_env: Variable | None = None
    tokens: Tokens = Tokens()
    open: bool = False
    tls: Tls | None = None
    grpc_port: int | None = Field(default=None, ge=0, le=65535)


class Limits(Strict):
    series: int = Field(default=200_000, ge=1, le=10_000_000)
    per_service: int = Field(default=20_000, ge=1, le=10_000_000)
    attributes: Attributes | None = None


Choice = Annotated[list[Name], BeforeValidator(listed)]
Kinds = Annotated[list[Literal["error_spike", "data_loss", "no_data", "rollout"]], BeforeValidator(listed)]
Severities = Annotated[list[Literal["critical", "warning", "info"]], BeforeValidator(listed)]


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
    BeforeValidator(listed),
    Field(min_length=1, max_length=20),
]
TimeOfDay = Annotated[int, BeforeValidator(_time_of_day)]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Days = Annotated[list[Day], BeforeValidator(listed), Field(min_length=1)]


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


Channel = Annotated[Name, BeforeValidator(_channel)]
Mailbox = Annotated[str, BeforeValidator(_mailbox)]


class Webhook(Strict):
    url: WebAddress | None = None
    url_env: Variable | None = None
    secret_env: Variable | None = None

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        one_of({"url": self.url, "url_env": self.url_env}, "either url or url_env")
        return self


class Alertmanager(Strict):
    url: WebAddress


class PagerDuty(Strict):
    routing_key_env: Variable
    url: Annotated[str, BeforeValidator(secure_address)] = "https://events.pagerduty.com/"


class Opsgenie(Strict):
    api_key_env: Variable
    url: Annotated[str, BeforeValidator(secure_address)] = "https://api.opsgenie.com/"


class Secret(Strict):
    """An address that is a secret itself."""

    url_env: Variable


class Email(Strict):
    server: Annotated[str, BeforeValidator(_mail_server)]
    from_: Mailbox = Field(alias="from")
    to: Annotated[list[Mailbox], BeforeValidator(listed), Field(min_length=1, max_length=100)]
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
        one_of(places, "exactly one of " + ", ".join(places))
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
    wait: Annotated[int, within(0, 3600, "a duration from 0s to 1h, such as 30s")] = 0
    interval: Annotated[int, within(0, 86400, "a duration from 0s to 1d, such as 5m")] = 0


class Step(Strict):
    after: Annotated[int, within(60, 7 * 86400, "a duration from 1m to 7d, such as 15m")]
    channel: Channel | None = None
    receiver: Label | None = None

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        one_of({"channel": self.channel, "receiver": self.receiver}, "either channel or receiver")
        return self


class Route(Strict):
    match: Match = Match()
    channel: Channel | None = None
    receiver: Label | None = None
    continue_: bool = Field(alias="continue", default=False)
    group: Group = Group()
    repeat: Annotated[int, within(300, 7 * 86400, "a duration from 5m to 7d, such as 1h")] | None = None
    escalate: Annotated[list[Step], BeforeValidator(listed), Field(max_length=10)] = []
    quiet: Annotated[tuple[int, int], BeforeValidator(_hours)] | None = None
    digest: TimeOfDay | None = None

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        one_of({"channel": self.channel, "receiver": self.receiver}, "either channel or receiver")
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
        one_of({"channel": self.channel, "receiver": self.receiver}, "either channel or receiver")
        return self


class Database(Strict):
    path: Name = "stillwatch.db"
    url: Annotated[str, BeforeValidator(_server)] | None = None
    password_env: Variable | None = None
    password_file: Name | None = None

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        secrets = {"password_env": self.password_env, "password_file": self.password_file}
        given = [name for name, value in secrets.items() if value is not None]
        if len(given) > 1 or (given and self.url is None):
            raise PydanticCustomError("one_of", "url, with password_env or password_file", {"given": given})
        return self


class Telemetry(Strict):
    """Where to send what is measured of ourselves, by OTLP over HTTP."""

    url: WebAddress | None = None
    token_env: Variable | None = None
    every: Annotated[int, within(5, 3600, "a duration from 5s to 1h, such as 60s")] = 60
    traces: bool = False


class Heartbeat(Strict):
    """A watcher outside that hears from us as long as all is well. Whoever knows its address can speak for us."""

    url_env: Variable | None = None
    url_file: Name | None = None
    every: Annotated[int, within(5, 3600, "a duration from 5s to 1h, such as 60s")] = 60
    fail: bool = False

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        one_of({"url_env": self.url_env, "url_file": self.url_file}, "either url_env or url_file")
        return self


class File(Strict):
    """The whole of stillwatch.yaml."""

    interval: Annotated[int, within(5, 3600, "a duration from 5s to 1h, such as 60s")] = 60
    grace: Annotated[int, within(0, 3600, "a duration from 0s to 1h, such as 15s")] | None = None
    timezone: Annotated[str, BeforeValidator(_timezone)] = "UTC"
    holidays: Annotated[list[Annotated[str, BeforeValidator(days_off.entry)]], BeforeValidator(listed)] = []
    budget: Budget = Budget()
    services: dict[Name, Service] = {}
    metrics: dict[Name, MetricTraits] = {}
    slack: Slack = Slack()
    receivers: dict[Label, Receiver] = {}
    routes: list[Route] = []
    maintenance: Annotated[list[Maintenance], BeforeValidator(listed)] = []
    fallback: Fallback | None = None
    listen: Annotated[Listen, BeforeValidator(_address)] = Listen()
    limits: Limits = Limits()
    telemetry: Telemetry = Telemetry()
    heartbeat: Heartbeat | None = None
    webhooks: dict[Literal[*SENDERS], WebhookIn] = {}  # type: ignore[valid-type]  # one list of their names
    sources: dict[Label, AnySource] = {}
    kubernetes: Kubernetes | None = None
    database: Annotated[Database, BeforeValidator(_kept_at)] = Database()
    keep: Annotated[int, within(86400, 3650 * 86400, "a duration from 1d to 3650d, such as 35d")] | None = (
        None
    )
