"""The commands with which people speak of incidents: to the daemon, over HTTP.

In: arguments, the daemon's answers. Out: lines, JSON, an exit status.
Never: a slow import before a command needs it; a look into the daemon's database behind its back.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from stillwatch.cli_options import (
    BAD,
    TROUBLE,
    Duration,
    Moment,
    config_option,
    daemon_of,
    say,
    token_of,
    token_option,
    url_option,
)
from stillwatch.said import deployment_line, happened_line, incident_line, silence_line, status_lines

PATIENCE = 10.0  # seconds
json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
by_option = click.option("--by", "who", default="", help="Who says so.  [default: your name here]")


@click.group()
def silence() -> None:
    """Mute what matchers match, for a time: nothing of it is said aloud. What is muted is watched and kept all the
    same, and told when the silence ends before it does.

    \b
    Example: stillwatch silence add service=image-resizer 'kind=~"error.*"' --for 2h --comment "known, see #31"
    """


@silence.command("add")
@click.argument("matchers", nargs=-1, required=True)
@click.option("--for", "lasting", type=Duration(), default=None, help="How long, such as 2h.  [default: 1h]")
@click.option("--start", type=Moment(), metavar="TIME", default=None, help="From when on.  [default: now]")
@click.option("--end", type=Moment(), metavar="TIME", default=None, help="Until when, instead of --for.")
@click.option(
    "--until-over", is_flag=True, help="Until the incident is over that a matcher incident=ID names."
)
@click.option("--comment", default="", help="Why.")
@by_option
@url_option
@config_option
@token_option
@json_option
def add_silence(
    matchers: Sequence[str], lasting: int | None, start: int | None, end: int | None, until_over: bool,
    comment: str, who: str, url: str | None, config: Path | None, token_env: str, as_json: bool,
) -> int:  # fmt: skip
    """Silence what all MATCHERS match: LABEL=VALUE, LABEL!=VALUE, LABEL=~EXPRESSION, LABEL!~EXPRESSION.

    Labels: service, signal, kind, severity, owner, environment, version, incident. Expressions are RE2 and match
    the whole value, as in Alertmanager.

    \b
    Example: stillwatch silence add service=image-resizer severity!=critical --for 2h --by me --comment "known"
    """
    if sum((lasting is not None, end is not None, until_over)) > 1:
        return say("found several ends, expected one of --for, --end and --until-over", BAD)
    body: dict[str, object] = {"matchers": list(matchers), "author": who or _me(), "comment": comment}
    if start is not None:
        body["starts"] = start
    if end is not None:
        body["ends"] = end
    elif not until_over:
        body["for"] = f"{3600 if lasting is None else lasting}s"
    return _ask(
        "POST", "/silences", url, config, token_env, as_json, lambda told: [silence_line(told)], body=body
    )


@silence.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that have ended.")
@url_option
@config_option
@token_option
@json_option
def list_silences(every: bool, url: str | None, config: Path | None, token_env: str, as_json: bool) -> int:
    """What is silenced, or will be.

    \b
    Example: stillwatch silence list
    """

    def lines(told: Mapping[str, Any]) -> list[str]:
        return [silence_line(one) for one in told["silences"]] or ["nothing is silenced"]

    params = {"all": "true"} if every else {}
    return _ask("GET", "/silences", url, config, token_env, as_json, lines, params=params)


@silence.command("end")
@click.argument("silence_id", metavar="ID")
@by_option
@url_option
@config_option
@token_option
@json_option
def end_silence(
    silence_id: str, who: str, url: str | None, config: Path | None, token_env: str, as_json: bool
) -> int:
    """End the silence ID now. What is open and was muted by it is told.

    \b
    Example: stillwatch silence end 1f0c9a3b7d52
    """
    path, params = _path("/silences", silence_id), {"by": who or _me()}
    return _ask(
        "DELETE", path, url, config, token_env, as_json, lambda told: [silence_line(told)], params=params
    )


@click.group(invoke_without_command=True)
@click.option("--all", "every", is_flag=True, help="Also those of the last 30 days that are over.")
@url_option
@config_option
@token_option
@json_option
@click.pass_context
def incidents(
    context: click.Context, every: bool, url: str | None, config: Path | None, token_env: str, as_json: bool
) -> int:
    """What is open, who is on it and what is silenced; and what you have to say of it.

    \b
    Example: stillwatch incidents
    Example: stillwatch incidents ack 5f3c9a1b2d4e
    """
    if context.invoked_subcommand is not None:
        return 0

    def lines(told: Mapping[str, Any]) -> list[str]:
        return [incident_line(one) for one in told["incidents"]] or ["no incident is open"]

    params = {"all": "true"} if every else {}
    return _ask("GET", "/incidents", url, config, token_env, as_json, lines, params=params)


@incidents.command("show")
@click.argument("incident", metavar="ID")
@url_option
@config_option
@token_option
@json_option
def show_incident(incident: str, url: str | None, config: Path | None, token_env: str, as_json: bool) -> int:
    """The history of the incident ID: its events, what people said of it, its silences; and why it was told.

    \b
    Example: stillwatch incidents show 5f3c9a1b2d4e
    """

    def lines(told: Mapping[str, Any]) -> list[str]:
        history = [f"  {happened_line(one)}" for one in told["history"]]
        return [incident_line(told), *history, "why:", *(f"  {one}" for one in told["why"])]

    return _ask("GET", _path("/incidents", incident), url, config, token_env, as_json, lines)


@incidents.command("ack")
@click.argument("incident", metavar="ID")
@by_option
@url_option
@config_option
@token_option
@json_option
def acknowledge(
    incident: str, who: str, url: str | None, config: Path | None, token_env: str, as_json: bool
) -> int:
    """Say that you are on it: its card shows so, and that more is lost is not said again.

    \b
    Example: stillwatch incidents ack 5f3c9a1b2d4e --by anna
    """
    return _say_word({"word": "acknowledge"}, incident, who, url, config, token_env, as_json)


@incidents.command("not-a-problem")
@click.argument("incident", metavar="ID")
@by_option
@url_option
@config_option
@token_option
@json_option
def not_a_problem(
    incident: str, who: str, url: str | None, config: Path | None, token_env: str, as_json: bool
) -> int:
    """Close it: as it is now is the usual from here on. What is worse than this will be told.

    \b
    Example: stillwatch incidents not-a-problem 5f3c9a1b2d4e
    """
    return _say_word({"word": "not a problem"}, incident, who, url, config, token_env, as_json)


@incidents.command("not-this-deployment")
@click.argument("incident", metavar="ID")
@click.argument("deployment", default="")
@click.option("--service", default="", help="Only this member of it.  [default: all of them]")
@by_option
@url_option
@config_option
@token_option
@json_option
def not_this_deployment(
    incident: str, deployment: str, service: str, who: str, url: str | None, config: Path | None,
    token_env: str, as_json: bool,
) -> int:  # fmt: skip
    """Say that DEPLOYMENT did not do it (the likeliest suspect, where you name none): the others are weighed anew.

    \b
    Example: stillwatch incidents not-this-deployment 5f3c9a1b2d4e release-17 --service mail-sender
    """
    said = {"word": "not this deployment", "deployment": deployment, "service": service}
    return _say_word(said, incident, who, url, config, token_env, as_json)


@incidents.command("roll-back")
@click.argument("incident", metavar="ID")
@click.option("--service", default="", help="Which member of the release, where several are suspected.")
@click.option("--deployment", default="", help="Which release.  [default: the likeliest]")
@by_option
@url_option
@config_option
@token_option
@json_option
def roll_back(
    incident: str, service: str, deployment: str, who: str, url: str | None, config: Path | None,
    token_env: str, as_json: bool,
) -> int:  # fmt: skip
    """Ask the pipeline of the suspect, once, to put it back (`rollback` in the settings): only where it is likely.

    What the pipeline answers is told beneath the card and by `stillwatch incidents show ID`.

    \b
    Example: stillwatch incidents roll-back 5f3c9a1b2d4e --service event-parser
    """

    def lines(told: Mapping[str, Any]) -> list[str]:
        before = "" if told["new"] else f", asked by {told['by']} before: {told['answer']}"
        return [f"{told['incident']}: {told['service']} {told['from']} back to {told['to']}{before}"]

    said = {"word": "roll back", "deployment": deployment, "service": service}
    return _say_word(said, incident, who, url, config, token_env, as_json, lines)


@click.command()
@url_option
@config_option
@token_option
@json_option
def status(url: str | None, config: Path | None, token_env: str, as_json: bool) -> int:
    """What is watched, open and muted, and whether all is well with the watch itself.

    Exit status: 0 it is well, 1 it is not or nobody answers.

    \b
    Example: stillwatch status
    """
    seen: list[bool] = []

    def lines(told: Mapping[str, Any]) -> list[str]:
        seen.append(bool(told["ok"]))
        return status_lines(told)

    ended = _ask("GET", "/status", url, config, token_env, as_json, lines)
    return TROUBLE if ended == 0 and not all(seen) else ended


@click.command()
@click.option("--service", default="", help="Only of this service.")
@click.option("--all", "every", is_flag=True, help="Of the last 30 days, not only of the last 14.")
@url_option
@config_option
@token_option
@json_option
def deployments(
    service: str, every: bool, url: str | None, config: Path | None, token_env: str, as_json: bool
) -> int:
    """What was deployed, newest first: as it was told, or seen in the counts, and how much its version serves.

    \b
    Example: stillwatch deployments --service contact-importer
    """

    def lines(told: Mapping[str, Any]) -> list[str]:
        return [deployment_line(one) for one in told["deployments"]] or ["nothing was deployed"]

    asked = {"service": service} | ({"all": "true"} if every else {})
    return _ask("GET", "/deployments", url, config, token_env, as_json, lines, params=asked)


def _say_word(
    said: Mapping[str, str], incident: str, who: str, url: str | None, config: Path | None, token_env: str,
    as_json: bool, lines: Callable[[Mapping[str, Any]], Sequence[str]] | None = None,
) -> int:  # fmt: skip
    def usual(told: Mapping[str, Any]) -> list[str]:
        of = " of ".join(part for part in (told["service"], told["deployment"]) if part)
        before = "" if told["new"] else " (you had said so before)"
        return [f"{told['incident']}: {told['word']}{': ' if of else ''}{of}, {told['by']}{before}"]

    body: dict[str, object] = {**{name: text for name, text in said.items() if text}, "by": who or _me()}
    path = f"{_path('/incidents', incident)}/words"
    return _ask("POST", path, url, config, token_env, as_json, lines or usual, body=body)


# Asking the daemon.


def _me() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return "command line"


def _path(folder: str, name: str) -> str:
    from urllib.parse import quote

    return f"{folder}/{quote(name, safe='')}"


def _ask(
    method: str, path: str, url: str | None, config: Path | None, token_env: str, as_json: bool,
    lines: Callable[[Mapping[str, Any]], Sequence[str]], *,
    params: Mapping[str, Any] | None = None, body: Mapping[str, object] | None = None,
) -> int:  # fmt: skip
    """Ask, print, and return the exit status: 0 done, 1 nobody could be asked, 2 the daemon would not have it."""
    from alerts.terminal_lines import clean
    from stillwatch.caller import NoAnswer, call

    at, token = url or daemon_of(config), token_of(token_env)
    try:
        got = call(method, at, path, token, PATIENCE, params=params, body=body)
    except NoAnswer as reason:
        return say(str(reason), TROUBLE)
    if got.status in (400, 404, 409) and got.error:
        return say(got.error, BAD)
    if got.status == 503:
        return say(f"{at} cannot answer just now; try again in a few seconds, and see {at}/healthz", TROUBLE)
    if got.status != 200 or not got.told:
        why = f"{at} answered {got.status}; is that the daemon of Stillwatch? {got.error[:200]}"
        return say(why.rstrip(), TROUBLE)
    said = [clean(one) for one in lines(got.told)]
    for line in [json.dumps(got.told, indent=2)] if as_json else said:
        click.echo(line)
    return 0
