"""Is the configuration right, and is what it names within reach.

In: settings, series if any are known. Out: lines for a person, and whether all is well.
Never: a message posted, a database made, a secret shown.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alerts.places import SENDERS
from alerts.receivers import Receiver
from collector.bins import SeriesTable
from collector.errors import printable
from collector.moments import rfc3339
from detectors.discover import discover
from detectors.signals import Signal, Term
from stillwatch import clock
from stillwatch.config import POSTGRESQL, TERMINAL, Listen, Settings

PATIENCE = 3.0  # seconds


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. said: one line."""

    ok: bool
    about: str
    said: str


def lines(findings: Sequence[Finding]) -> list[str]:
    """For a terminal."""
    return [printable(f"{'ok' if f.ok else 'NO':<3} {f.about:<9} {f.said}") for f in findings]


def reach(settings: Settings, table: SeriesTable | None = None) -> Iterator[Finding]:
    """Slack, other places, sources, whoever tells of deployments, the database and the door, one after the other.
    table: the series, as far as any are known."""
    from stillwatch import check_deployments

    yield from _slack(settings)
    yield from _calendars(settings)
    yield from map(_receiver, settings.receivers)
    yield from _sources(settings)
    yield from check_deployments.webhooks(settings, table)
    yield from check_deployments.kubernetes(settings, table)
    yield _database(settings.database)
    yield _door(settings)


def _calendars(settings: Settings) -> Iterator[Finding]:
    """Can the calendars of maintenance be read?"""
    from stillwatch.calendars import calendar_files, parsed

    for place in dict.fromkeys(window.calendar for window in settings.maintenance if window.calendar):
        try:
            files = calendar_files(place)
            events = sum(len(calendar.walk("VEVENT")) for file in files for calendar in parsed(file))
        except (OSError, ValueError) as error:
            yield Finding(False, "calendar", f"{place}: {getattr(error, 'strerror', None) or error}")
        else:
            yield Finding(True, "calendar", f"{place}: {len(files)} files, {events} events")


def signal_lines(settings: Settings, table: SeriesTable | None) -> list[str]:
    """A table of the signals: those configured, else those that the names of series suggest."""
    signals = settings.signals or (() if table is None else discover(table))
    if not signals:
        return ["no signals yet: they are found by the names of metrics as soon as counts arrive"]
    head = ["service", "signal", "kind", "counted", "out of", "within", "owner"]
    if table is not None:
        head.append("series")
    rows = [head, *(_row(signal, table) for signal in sorted(signals, key=lambda s: (s.service, s.name)))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    whose = "configured" if settings.signals else "found by the names of metrics"
    body = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return [f"{len(signals)} {'signal' if len(signals) == 1 else 'signals'}, {whose}:", *body]


def young_lines(settings: Settings) -> list[str]:
    """What signals that are young can see already, as the daemon remembered when it last looked."""
    from detectors.memory import fit
    from stillwatch.kept import remembered
    from stillwatch.replaying import plan_of
    from stillwatch.store import existing
    from stillwatch.tables import StoreTrouble
    from stillwatch.young import young

    try:
        with existing(settings.database) as store:
            table, (state, end) = store.table(), remembered(store)
    except StoreTrouble:
        return []
    if end is None:
        return []
    plan = plan_of(settings, table)
    said = young(fit(state.memory, plan), plan, table, end)
    lines = [f"  {plan.signals[i].service} {plan.signals[i].name}: {words}" for i, words in said.items()]
    return ["", f"still young at {rfc3339(end)}:", *map(printable, lines)] if lines else []


def _row(signal: Signal, table: SeriesTable | None) -> list[str]:
    within = f"{signal.within} s" if signal.within else ""
    row = [signal.service, signal.name, signal.kind, _terms(signal, signal.counted)]
    row += [_terms(signal, signal.out_of), within, signal.owner]
    if table is not None:
        terms = (*signal.counted, *signal.out_of)
        silent = [t.metric for t in terms if not _series(t, table) and not t.sparse]
        # Of these none is needed before something fails; but a misspelt one would never come.
        unseen = [t.metric for t in terms if not _series(t, table) and t.sparse]
        found = str(sum(_series(t, table) for t in terms))
        row.append(f"none for {', '.join(silent)}" if silent else found)
        if unseen and not silent:
            row[-1] += f", none yet for {', '.join(unseen)} (taken for 0)"
    return [printable(cell) for cell in row]


def _terms(signal: Signal, terms: Sequence[Term]) -> str:
    def word(term: Term) -> str:
        own = "" if term.service == signal.service else f"{term.service}/"
        where = ",".join(f"{name}={value}" for name, value in term.where)
        return own + term.metric + (f"{{{where}}}" if where else "")

    return " + ".join(map(word, terms))


def _series(term: Term, table: SeriesTable) -> int:
    return sum(
        key.service == term.service and key.metric == term.metric and set(term.where) <= set(key.attributes)
        for key in table.keys
    )


def _slack(settings: Settings) -> Iterator[Finding]:
    slack = settings.slack
    routed = {route.channel for route in settings.routes} - {one.address for one in settings.receivers}
    channels = sorted(routed | ({slack.channel} - {""}))
    if not slack.token:
        said = "no token (SLACK_BOT_TOKEN is not set): messages go to the terminal"
        yield Finding(
            not channels, "slack", said + (f" and not to {', '.join(channels)}" if channels else "")
        )
        return
    if settings.default == TERMINAL:
        yield Finding(False, "slack", "a token, but no channel: set `slack: {channel: ...}`")
    from alerts.slack import Slack

    try:
        problems = Slack(slack.token, slack.base_url, timeout=PATIENCE).check(channels)
    except ValueError as error:
        problems = [str(error)]
    for problem in problems:
        yield Finding(False, "slack", problem)
    if not problems:
        yield Finding(True, "slack", f"the token is good, {', '.join(channels) or 'no channel'} can be read")
    if slack.app_token:
        from alerts.slack_socket import check

        problem = check(slack.app_token, slack.base_url, PATIENCE)
        yield Finding(not problem, "buttons", f"Socket Mode: {problem or 'the app token is good'}")


def _sources(settings: Settings) -> Iterator[Finding]:
    """Asks each source for a little."""
    from collector.asked import SourceFailed
    from stillwatch.sources import opened

    for one in settings.sources:
        try:
            (source,) = opened([one], settings.interval)
            try:
                said = source.check(clock.now())
            finally:
                source.close()
        except (SourceFailed, ValueError) as failure:
            yield Finding(False, "source", f"{one.name}: {str(failure).removeprefix(f'source {one.name}: ')}")
        else:
            yield Finding(True, "source", f"{one.name}: {said}")


def _receiver(receiver: Receiver) -> Finding:
    """Asks only where asking posts nothing."""
    try:
        SENDERS[receiver.place](receiver, clock.now)
    except ValueError as error:
        return Finding(False, "receiver", str(error))
    if receiver.place != "alertmanager":
        return Finding(True, "receiver", f"{receiver.address}: not tried, for that would tell people")
    import httpx2

    url = receiver.url.rstrip("/") + "/api/v2/status"
    try:
        answer = httpx2.get(url, timeout=PATIENCE)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        why = type(error).__name__
        return Finding(False, "receiver", f"{receiver.address}: cannot be reached ({why}); is its url right?")
    said = f"answers {answer.status_code}" + (
        "" if answer.is_success else ", expected 200; is its url right?"
    )
    return Finding(answer.is_success, "receiver", f"{receiver.address}: {said}")


def _database(where: str) -> Finding:
    from stillwatch.store import existing
    from stillwatch.tables import NoDatabase, StoreTrouble

    try:
        with existing(where) as store:
            return Finding(True, "database", f"{store.name}: {len(store.table())} series so far")
    except NoDatabase:
        pass
    except StoreTrouble as trouble:
        return Finding(False, "database", str(trouble))
    if where.startswith(POSTGRESQL):
        return Finding(True, "database", "empty as yet, `stillwatch run` makes its tables")
    path = Path(where)
    if not path.parent.is_dir():
        return Finding(False, "database", f"{path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        return Finding(False, "database", f"{path}: nobody may write in the folder {path.parent}")
    return Finding(True, "database", f"{path}: not there yet, `stillwatch run` makes it")


def known_series(where: str) -> SeriesTable | None:
    """The series that a daemon has seen, None where there is no database that says so."""
    from stillwatch.store import existing
    from stillwatch.tables import StoreTrouble

    try:
        with existing(where) as store:
            table = store.table()
    except StoreTrouble:
        return None
    return table if len(table) else None


def _door(settings: Settings) -> Finding:
    """Free for us, or already ours."""
    wanted = settings.listen
    where = f"{wanted.host}:{wanted.port}"
    if why := wanted.stands_open:
        return Finding(False, "listen", why)
    if wanted.tls is not None and (trouble := wanted.tls.trouble()):
        return Finding(False, "listen", trouble)
    family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
    try:
        with socket.create_server((wanted.host, wanted.port), family=family):
            warning = ", and whoever reaches it may send counts" if wanted.open else ""
            return Finding(True, "listen", f"{where} is free{warning}")
    except OSError as error:
        reason = error.strerror or str(error)
    answer = _health(wanted)
    if answer is None:
        return Finding(False, "listen", f"{where}: {reason}")
    if answer.get("ok") is False:
        said = answer.get("trouble", f"see {wanted.url}/healthz")
        return Finding(False, "listen", f"{where}: our daemon is there, but not well: {said}")
    series = f", {answer['series']} series" if "series" in answer else ""
    return Finding(True, "listen", f"{where}: our daemon is there{series}")


def _health(wanted: Listen) -> dict[str, object] | None:
    """What a daemon of ours says of itself, None if nobody answers as one."""
    import httpx2

    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(wanted.host, wanted.host)  # noqa: S104  (not bound, asked)
    url = f"{replace(wanted, host=own).url}/healthz"
    try:
        # Whose certificate it is matters to who sends something; here nothing is.
        answer = json.loads(httpx2.get(url, timeout=PATIENCE, trust_env=False, verify=False).text)
    except (httpx2.HTTPError, OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) and "watermark" in answer else None
