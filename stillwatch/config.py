"""stillwatch.yaml becomes settings: signals, routes, budget, and where to listen and to tell.

In: a file, and the environment for secrets. Out: Settings, or BadInput with line and column.
Never: an unknown or repeated key passed over; a secret in the file, in a message or in a repr.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from alerts.receivers import Receiver
from alerts.rollbacks import Way
from alerts.routes import Route, Step
from alerts.silences import matcher
from collector.errors import BadInput, shown
from collector.otlp_names import Choice
from collector.points import Limits
from collector.tokens import PURPOSES, Tokens, of_one
from collector.webhooks.hook import Hook
from detectors.signals import Budget, Signal, Term
from stillwatch.maintenance import DAYS, Window
from stillwatch.secret import held
from stillwatch.sources import Asked
from stillwatch.tls import Tls

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from stillwatch import config_schema as schema
    from stillwatch import config_sources
    from stillwatch.yaml_marks import Document

SLACK_TOKEN = "SLACK_BOT_TOKEN"  # noqa: S105  (the name of a variable)
SLACK_APP_TOKEN = "SLACK_APP_TOKEN"  # noqa: S105
SLACK_SECRET = "SLACK_SIGNING_SECRET"  # noqa: S105
POSTGRESQL = "postgresql://"  # an address that begins so is no file
TERMINAL = "terminal"  # the channel where there is no other
REMEMBERS = ("alertmanager", "pagerduty", "opsgenie")  # places that remind and escalate by their own rules
KEEP = 400 * 86400  # seconds for which intervals are kept: the days of a year ago are among them
COUNTERS = 5  # running totals for each series that there may be: instances count apart, and pods come and go
GRACE = 15  # seconds; an interval shorter than that waits as long as it is itself
LARGEST = 10_000_000  # bytes


@dataclass(frozen=True, slots=True)
class Slack:
    """channel: where news goes that no route sends elsewhere. token: empty where there is none.

    app_token, signing_secret: for what is pressed and typed in Slack, by Socket Mode and by HTTP; empty where it
    does not come in so.
    """

    channel: str = ""
    token: str = field(default="", repr=False)
    base_url: str = "https://slack.com/api/"
    app_token: str = field(default="", repr=False)
    signing_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Listen:
    """tokens: who may come in for what. open: nobody needs one. tls: None = in the clear. grpc_port: 0 = no gRPC,
    None = the usual one, unless somebody else has it."""

    host: str = "127.0.0.1"
    port: int = 4318
    tokens: Tokens = field(default_factory=Tokens)
    open: bool = False
    tls: Tls | None = None
    grpc_port: int | None = None

    @property
    def exposed(self) -> bool:
        """Whether others than this machine may reach it."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"

    @property
    def stands_open(self) -> str:
        """Why a whole network could come in by mistake, and what to do; empty when it could not."""
        if not self.exposed or self.tokens.wanted or self.open:
            return ""
        return (
            f"{self.host} can be reached from other machines, and no token is wanted there: make one with "
            "`stillwatch token ingest deployments reading acting` and put what it prints into the settings, or say "
            "`listen: {open: true}` where something else keeps strangers out"
        )

    @property
    def url(self) -> str:
        """Where our own commands ask."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls is None else 'https'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Who hears by OTLP how we fare. url: of a receiver, without /v1/metrics, empty = nowhere; every: seconds."""

    url: str = ""
    token: str = field(default="", repr=False)
    every: int = 60
    traces: bool = False


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """url: where a sign of life goes, a secret. every: seconds. fails: ask URL/fail when all is not well, else ask
    nothing."""

    url: str = field(repr=False)
    every: int = 60
    fails: bool = False


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """A cluster that is watched. kubeconfig: None = of the cluster that we run in, else the user's own. namespaces:
    empty = all. services: by `NAMESPACE/NAME` of a workload."""

    kubeconfig: str | None = None
    namespaces: tuple[str, ...] = ()
    services: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    environment: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that can be set, with its defaults. interval, grace: seconds. signals: empty = found by metric names.
    waits: by source, how many intervals later than `grace` says it is judged.

    holidays: days since the epoch (of the local calendar) -> name. depends_on: service -> those that it needs.
    rollbacks: service -> how it is put back.
    fallback: the channel, or the address of the receiver, that hears of what another will not take.
    limits: how many series there may be. choice: which attributes make them.
    database: the path of a file, or an address that begins with postgresql://, with its password.
    keep: seconds for which intervals are kept.
    """

    interval: int = 60
    grace: int = GRACE
    waits: Mapping[str, int] = field(default_factory=dict)
    timezone: str = "UTC"
    holidays: Mapping[int, str] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    signals: tuple[Signal, ...] = ()
    depends_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rollbacks: Mapping[str, Way] = field(default_factory=dict)
    slack: Slack = field(default_factory=Slack)
    receivers: tuple[Receiver, ...] = ()
    routes: tuple[Route, ...] = ()
    maintenance: tuple[Window, ...] = ()
    fallback: str = ""
    listen: Listen = field(default_factory=Listen)
    limits: Limits = field(default_factory=Limits)
    choice: Choice = field(default_factory=Choice)
    webhooks: Mapping[str, Hook] = field(default_factory=dict)
    sources: tuple[Asked, ...] = ()
    kubernetes: Kubernetes | None = None
    telemetry: Telemetry = field(default_factory=Telemetry)
    database: str = field(default="stillwatch.db", repr=False)  # its address may hold a password
    heartbeat: Heartbeat | None = None
    keep: int = KEEP

    @property
    def naming(self) -> str:
        """Stands for all that decides which series a count belongs to."""
        text = repr((self.choice, [(one.name, one.written) for one in self.sources]))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def default(self) -> str:
        """Who hears of what no route matches, and of ourselves: Slack's channel, else a last route that asks
        nothing, else the terminal."""
        last = self.routes[-1] if self.routes else None
        catch_all = last.channel if last is not None and last.asks_nothing else ""
        return self.slack.channel or catch_all or TERMINAL


def load(path: Path, environ: Mapping[str, str] | None, live: bool = False) -> Settings:
    """The settings in the file at `path`. environ: where secrets are; None = nobody needs them now.

    live: counters come from running processes, which do not export a counter of errors before the first one:
    where a metric is the `errors` of a signal, it is sparse unless the file says otherwise.
    Raises BadInput: no such file, no YAML, a key or a value that is not known, a secret that is not there.
    """
    return parse(_text(path), path.name, environ, live)


def parse(text: str, file: str, environ: Mapping[str, str] | None, live: bool = False) -> Settings:
    """The settings in `text`; `file` names it in messages. live: see load. Raises BadInput."""
    from stillwatch import config_schema as schema
    from stillwatch import days_off

    document, written = _read(text, file)
    secrets = _Secrets(environ, document, file)
    receivers = {name: _receiver(name, written, secrets) for name, written in written.receivers.items()}
    grace, waits = _graces(written)
    return Settings(
        interval=written.interval,
        grace=grace,
        waits=waits,
        timezone=written.timezone,
        holidays=days_off.days_off(written.holidays),
        budget=Budget(written.budget.false_alerts, schema.PERIODS[written.budget.per]),
        signals=_signals(written, _sparse(written, live)),
        depends_on={name: tuple(of.depends_on) for name, of in written.services.items() if of.depends_on},
        rollbacks={
            name: _way(name, of.rollback, secrets)
            for name, of in written.services.items()
            if of.rollback is not None
        },
        slack=Slack(
            written.slack.channel,
            secrets.slack(written.slack),
            written.slack.base_url,
            secrets.named("app_token_env", written.slack.app_token_env, SLACK_APP_TOKEN),
            secrets.named("signing_secret_env", written.slack.signing_secret_env, SLACK_SECRET),
        ),
        receivers=tuple(one for one in receivers.values() if isinstance(one, Receiver)),
        routes=tuple(_route(route, i, receivers, secrets) for i, route in enumerate(written.routes)),
        fallback=""
        if written.fallback is None
        else _target(written.fallback, receivers, secrets, "fallback"),
        maintenance=tuple(_window(window) for window in written.maintenance),
        listen=_listen(written.listen, secrets),
        limits=Limits(
            series=written.limits.series,
            per_service=written.limits.per_service,
            counters=COUNTERS * written.limits.series,
        ),
        choice=Choice(
            written.limits.attributes,
            {name: of.attributes for name, of in written.services.items() if of.attributes is not None},
        ),
        kubernetes=None if written.kubernetes is None else _kubernetes(written.kubernetes),
        telemetry=Telemetry(
            written.telemetry.url or "",
            secrets.variable(written.telemetry.token_env, "telemetry", "token_env"),
            written.telemetry.every,
            written.telemetry.traces,
        ),
        heartbeat=None if written.heartbeat is None else _heartbeat(written.heartbeat, secrets),
        webhooks={name: _hook(name, of, secrets) for name, of in written.webhooks.items()},
        sources=tuple(Asked(name, one, _way_in(name, one, secrets)) for name, one in written.sources.items()),
        database=_database(written.database, secrets),
        keep=KEEP if written.keep is None else written.keep,
    )


def _graces(written: schema.File) -> tuple[int, dict[str, int]]:
    """Seconds that all intervals wait, and how many intervals later than that each slow source is judged."""
    grace = min(GRACE, written.interval) if written.grace is None else written.grace
    asked = {name: one.grace for name, one in written.sources.items()}
    # What is hardly longer is waited for by all: to be judged later is to be judged whole intervals later.
    all_wait = max([grace, *(own for own in asked.values() if own - grace <= written.interval // 4)])
    waits = {name: -(-(own - all_wait) // written.interval) for name, own in asked.items() if own > all_wait}
    return all_wait, waits


def as_recorded(path: Path) -> str:
    """The file at `path` as it is to be read with what was recorded: says which metrics are sparse, if `load`
    took any for that by itself (comments are lost then). Raises BadInput."""
    import yaml

    text = _text(path)
    document, written = _read(text, path.name)
    taken = _sparse(written, live=True) - _sparse(written, live=False)
    if not taken:
        return text
    value = dict(document.value)
    metrics = {name: dict(traits or {}) for name, traits in (value.get("metrics") or {}).items()}
    value["metrics"] = metrics | {name: {"sparse": True} for name in sorted(taken)}
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def _read(text: str, file: str) -> tuple[Document, schema.File]:
    from pydantic import ValidationError

    from stillwatch import config_schema, yaml_marks

    document = yaml_marks.read(text, file)
    value = {} if document.value is None else document.value
    try:
        return document, config_schema.File.model_validate(value)
    except ValidationError as error:
        raise _bad(error.errors(include_url=False)[0], document, file) from None


def secrets_from(environ: Mapping[str, str]) -> Settings:
    """The settings of nobody's file: the defaults, and Slack's token if there is one."""
    token, app_token, secret = (held(environ, name) for name in (SLACK_TOKEN, SLACK_APP_TOKEN, SLACK_SECRET))
    return Settings(slack=Slack(token=token, app_token=app_token, signing_secret=secret))


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadInput(str(path), 0, "", (error.strerror or "nothing").lower(), "a file to read") from None
    if len(raw) > LARGEST:
        raise BadInput(path.name, 0, "", f"{len(raw)} bytes", f"at most {LARGEST}")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise BadInput(path.name, line, column, f"the byte {raw[error.start]:#04x}", "UTF-8") from None


# What is wrong, in our words.

_EXPECTED = {
    "string_type": "text (put quotes around it)",
    "bool_type": "true or false",
    "dict_type": "a mapping (keys with values)",
    "model_type": "a mapping (keys with values)",
    "model_attributes_type": "a mapping (keys with values)",
    "list_type": "a list",
    "int_type": "a whole number",
    "float_type": "a number",
    "missing": "it (it must be given)",
    "too_short": "at least one",
    "string_too_short": "a name",
    "string_too_long": "at most 500 characters",
}


def _bad(error: ErrorDetails, document: Document, file: str) -> BadInput:
    kind, context = error["type"], error.get("ctx", {})
    where = error["loc"]
    if where and where[-1] == "[key]":
        where = where[:-1]
    if kind == "unknown_key":
        where = (*where, context["key"])
        found, expected = "an unknown key", "one of " + ", ".join(context["known"])
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        where = (*where, "kind")
        found = shown(context["tag"]) if kind == "union_tag_invalid" else "nothing"
        expected = "one of error_ratio, throughput, flow, rollout"
        if where[0] == "sources":
            expected = "one of promql, sql, files, cloudwatch"
    elif kind == "one_of":
        found, expected = " and ".join(context["given"]) or "nothing", _said(error)
    else:
        found = _found(kind, error["input"], where)
        expected = _EXPECTED.get(kind) or _said(error)
    path, names = _place(where, document)
    line, column = document.marks[path]
    return BadInput(file, line, column, found, expected, ".".join(names))


def _found(kind: str, value: object, where: Sequence[str | int]) -> str:
    if kind == "missing":
        return "nothing"
    if _is_secret(where):
        return "something else (not shown, it may be a secret)"
    if value is None or value == "":
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping of " + (", ".join(map(str, value)) or "nothing")
    return "a list" if isinstance(value, list) else shown(value)


def _is_secret(where: Sequence[str | int]) -> bool:
    """What stands there may be a secret that was put in place of its variable's name."""
    told = bool(where) and where[0] in ("receivers", "sources", "database")
    in_address = (told or "rollback" in where) and where[-1] in ("url", "server")
    return in_address or any("token" in str(part) or str(part).endswith("_env") for part in where)


def _said(error: ErrorDetails) -> str:
    said = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if error["type"] == "string_pattern_mismatch":
        if _is_secret(error["loc"]):
            return "the name of a variable or file"
        if "receiver" in error["loc"] or error["loc"][0] in ("receivers", "sources"):
            return "a name of letters, digits, `_`, `.` and `-`"
        return "a name without control characters, and without spaces around it"
    if error["type"] in ("rollout", "maintenance"):
        return error["msg"]
    return f"a number {said}" if said.startswith(("greater than", "less than")) else said


def _place(where: Sequence[str | int], document: Document) -> tuple[tuple[str | int, ...], list[str]]:
    """The deepest path that stands in the file, and the names on the way (with the kind of a signal)."""
    path: tuple[str | int, ...] = ()
    names: list[str] = []
    for part in where:
        if (*path, part) in document.marks:
            path = (*path, part)
        elif isinstance(part, int):
            continue  # one thing that we took for a list of one
        names.append(str(part))
    return path, names


# From what is written to what is meant.


def _sparse(written: schema.File, live: bool) -> frozenset[str]:
    """The metrics whose absence is 0: those of which the file says so and, live, those that count errors."""
    said = {name: traits.sparse for name, traits in written.metrics.items() if traits.sparse is not None}
    errors = {
        metric.metric
        for of in written.services.values()
        for signal in of.signals.values()
        if signal.kind in ("error_ratio", "rollout")
        for metric in signal.errors or ()
    }
    return frozenset(name for name in {*said, *(errors if live else ())} if said.get(name, True))


def _signals(written: schema.File, sparse: frozenset[str]) -> tuple[Signal, ...]:
    return tuple(
        _signal(service, name, signal, of, sparse)
        for service, of in written.services.items()
        for name, signal in of.signals.items()
    )


def _signal(
    service: str, name: str, written: schema.AnySignal, of: schema.Service, sparse: frozenset[str]
) -> Signal:
    def terms(metrics: Sequence[schema.Metric] | None) -> tuple[Term, ...]:
        return tuple(
            Term(m.service or service, m.metric, tuple(sorted(m.where.items())), m.metric in sparse)
            for m in metrics or ()
        )

    within, split_by = 0, tuple[str, ...]()
    out_of: tuple[Term, ...] = ()
    if written.kind == "throughput":
        counted = terms(written.count)
    elif written.kind == "error_ratio":
        counted, out_of = terms(written.errors), terms(written.total)
    elif written.kind == "flow":
        counted, out_of, within = terms(written.to), terms(written.from_), written.within
    else:
        counted = terms(written.errors) + terms(written.to)
        out_of = terms(written.total) + terms(written.from_)
        within = written.within or 0
    if written.kind != "rollout":
        split_by = tuple(written.split_by)
    return Signal(
        service, name, written.kind, counted, out_of, within, of.owner, split_by, tuple(of.depends_on)
    )


@dataclass(frozen=True, slots=True)
class _Secrets:
    """Reads what the file only names; never shows it."""

    environ: Mapping[str, str] | None
    document: Document
    file: str

    def slack(self, written: schema.Slack) -> str:
        if self.environ is None:
            return ""
        if written.token_env is not None and written.token_file is not None:
            raise self.bad("token_env beside it", "one of the two", "slack", "token_file")
        if written.token_file is not None:
            return self.file_of(written.token_file, "slack", "token_file")
        if written.token_env is not None:
            return self.variable(written.token_env, "slack", "token_env")
        return held(self.environ, SLACK_TOKEN)

    def file_of(self, path: str, *where: str | int) -> str:
        """What the file holds that is named at `where`."""
        if self.environ is None:
            return ""
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise self.bad("a file that cannot be read", "a readable file", *where) from None

    def named(self, key: str, variable: str | None, usual: str) -> str:
        """A secret of Slack's in a variable: the one that `key` names, else the usual one if it is set."""
        if self.environ is None:
            return ""
        return held(self.environ, usual) if variable is None else self.variable(variable, "slack", key)

    def of_hook(self, sender: str, written: config_sources.WebhookIn) -> str:
        at = ("webhooks", sender)
        if self.environ is None or written.secret_file is None:
            return self.variable(written.secret_env, *at, "secret_env")
        try:
            secret = Path(written.secret_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise self.bad("a file that cannot be read", "a readable file", *at, "secret_file") from None
        if not secret:  # anybody could make a signature with it
            raise self.bad("an empty file", "a file with the secret in it", *at, "secret_file")
        return secret

    def variable(self, name: str | None, *where: str | int) -> str:
        """What the variable of this name holds, which is named at `where`; "" where nothing is named."""
        if name is None or self.environ is None:
            return ""
        try:
            value = held(self.environ, name)
        except BadInput:  # its line would show the name of the variable, which may be the secret
            raise self.bad(
                "a variable that names a file which cannot be read", "a readable one", *where
            ) from None
        if not value:
            # Without it the door would stand open, or news go nowhere. The name is not shown: it may be the secret.
            raise self.bad("the name of a variable that is not set", "one that is", *where)
        return value

    def bad(self, found: str, expected: str, *where: str | int) -> BadInput:
        path, _ = _place(where, self.document)
        line, column = self.document.marks[path]
        return BadInput(self.file, line, column, found, expected, ".".join(map(str, where)))


def _kubernetes(written: config_sources.Kubernetes) -> Kubernetes:
    return Kubernetes(
        written.kubeconfig,
        tuple(written.namespaces),
        {workload: tuple(services) for workload, services in written.services.items()},
        written.environment,
    )


def _heartbeat(written: schema.Heartbeat, secrets: _Secrets) -> Heartbeat:
    key = "url_env" if written.url_file is None else "url_file"
    url = secrets.variable(written.url_env, "heartbeat", key)
    if written.url_file is not None:
        url = secrets.file_of(written.url_file, "heartbeat", key)
    if secrets.environ is not None and urlsplit(url).scheme not in ("https", "http"):
        raise secrets.bad("no address", "one that begins with https:// or http://", "heartbeat", key)
    return Heartbeat(url, written.every, written.fail)


def _listen(written: schema.Listen, secrets: _Secrets) -> Listen:
    named = written.tokens
    known = {purpose: dict(getattr(named, purpose)) for purpose in PURPOSES}
    for_all = of_one(secrets.variable(written.token_env, "listen", "token_env"), "token_env").known
    whole = {purpose: {**for_all.get(purpose, {}), **own} for purpose, own in known.items()}
    tokens = Tokens({purpose: of for purpose, of in whole.items() if of})
    if written.open and (written.token_env is not None or any(known.values())):
        raise secrets.bad("true", "no `open` where there are tokens", "listen", "open")
    tls = None if written.tls is None else Tls(Path(written.tls.certificate), Path(written.tls.key))
    return Listen(written.host, written.port, tokens, written.open, tls, written.grpc_port)


def _hook(sender: str, written: config_sources.WebhookIn, secrets: _Secrets) -> Hook:
    return Hook(
        sender,
        secrets.of_hook(sender, written),
        {source: tuple(services) for source, services in written.services.items()},
        tuple(name.lower() for name in written.environments),
    )


def _way_in(name: str, written: config_sources.AnySource, secrets: _Secrets) -> str:
    """The one secret that a source needs, from a variable or a file."""
    at = ("sources", name)
    for key in ("token_env", "password_env", "url_env"):
        variable = getattr(written, key, None)
        if variable is not None:
            return secrets.variable(variable, *at, key)
    file = getattr(written, "token_file", None)
    return "" if file is None else secrets.file_of(file, *at, "token_file")


def _database(written: schema.Database, secrets: _Secrets) -> str:
    """The path, or the address with its password. Commands that need no other secret take it if they can."""
    if written.url is None:
        return written.path
    lenient = secrets.environ is None
    mine = replace(secrets, environ=os.environ) if lenient else secrets
    try:
        password = mine.variable(written.password_env, "database", "password_env")
        if written.password_file is not None:
            password = mine.file_of(written.password_file, "database", "password_file")
    except BadInput:
        if not lenient:
            raise
        password = ""
    user, at, rest = written.url.removeprefix(POSTGRESQL).rpartition("@")
    return f"{POSTGRESQL}{user}:{quote(password, safe='')}{at}{rest}" if password else written.url


def _window(written: schema.Maintenance) -> Window:
    weekly = written.weekly
    days = () if weekly is None else tuple(sorted({DAYS.index(day) for day in weekly.days}))
    return Window(
        matchers=tuple(matcher(one) for one in written.match),
        name=written.name,
        start=written.start or 0,
        end=written.end or 0,
        days=days,
        begins=0 if weekly is None else weekly.from_,
        ends=0 if weekly is None else weekly.to,
        calendar=written.calendar or "",
    )


def _way(service: str, written: schema.Rollback, secrets: _Secrets) -> Way:
    at = ("services", service, "rollback")
    url = written.url or secrets.variable(written.url_env, *at, "url_env")
    return Way(url, secrets.variable(written.secret_env, *at, "secret_env"), written.link or "")


def _receiver(name: str, written: schema.Receiver, secrets: _Secrets) -> Receiver | str:
    """The receiver, or the channel of Slack's that it stands for."""
    at = ("receivers", name)
    if written.slack is not None:
        return written.slack
    if written.webhook is not None:
        hook = written.webhook
        url = hook.url or secrets.variable(hook.url_env, *at, "webhook", "url_env")
        secret = secrets.variable(hook.secret_env, *at, "webhook", "secret_env")
        return Receiver(name, "webhook", url, secret)
    if written.alertmanager is not None:
        return Receiver(name, "alertmanager", written.alertmanager.url)
    if written.pagerduty is not None:
        key = secrets.variable(written.pagerduty.routing_key_env, *at, "pagerduty", "routing_key_env")
        return Receiver(name, "pagerduty", written.pagerduty.url, key)
    if written.opsgenie is not None:
        key = secrets.variable(written.opsgenie.api_key_env, *at, "opsgenie", "api_key_env")
        return Receiver(name, "opsgenie", written.opsgenie.url, key)
    if written.teams is not None:
        return Receiver(name, "teams", secrets.variable(written.teams.url_env, *at, "teams", "url_env"))
    if written.apprise is not None:
        return Receiver(name, "apprise", secrets.variable(written.apprise.url_env, *at, "apprise", "url_env"))
    if written.email is not None:
        mail = written.email
        password = secrets.variable(mail.password_env, *at, "email", "password_env")
        return Receiver(name, "email", mail.server, password, mail.user or "", mail.from_, tuple(mail.to))
    raise AssertionError(name)  # the schema lets nothing else through


def _target(
    written: schema.Route | schema.Step | schema.Fallback,
    receivers: Mapping[str, Receiver | str],
    secrets: _Secrets,
    *at: str | int,
) -> str:
    """The channel, or the address of the receiver, that is named at this place in the file."""
    if written.receiver is None:
        return written.channel or ""
    if written.receiver not in receivers:
        known = "one of " + ", ".join(receivers) if receivers else "a name that stands under `receivers`"
        raise secrets.bad(shown(written.receiver), known, *at, "receiver")
    found = receivers[written.receiver]
    return found.address if isinstance(found, Receiver) else found


def _route(
    written: schema.Route, number: int, receivers: Mapping[str, Receiver | str], secrets: _Secrets
) -> Route:
    match = written.match
    at = ("routes", number)
    channel = _target(written, receivers, secrets, *at)
    led = receivers.get(written.receiver or "")
    for key in ("repeat", "digest"):
        if isinstance(led, Receiver) and led.place in REMEMBERS and getattr(written, key) is not None:
            expected = "a place that has no rules of its own for that"
            raise secrets.bad(f"{key} for {led.place}", expected, *at, key)
    return Route(
        channel=channel,
        owner=tuple(match.owner),
        service=tuple(match.service),
        kind=tuple(match.kind),
        severity=tuple(match.severity),
        environment=tuple(match.environment),
        go_on=written.continue_,
        wait=written.group.wait,
        interval=written.group.interval,
        repeat=written.repeat or 0,
        escalate=tuple(
            Step(_target(step, receivers, secrets, *at, "escalate", i), step.after)
            for i, step in enumerate(written.escalate)
        ),
        quiet=written.quiet,
        digest=written.digest,
    )
