"""What the commands of the command line share: options, how times and shares are written, how trouble is said.

In: arguments, files, the environment. Out: values for the commands, lines on standard error.
Never: a slow import before a command needs it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from stillwatch.config import Settings

CONFIG = "stillwatch.yaml"
TOKEN = "STILLWATCH_TOKEN"  # noqa: S105  (the name of a variable)
BAD = 2  # exit status: bad input or usage
NOT_YET = 3  # exit status of gate: not enough evidence
TROUBLE = 1  # exit status: all is written well, and still it cannot be done now

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Settings.  [default: {CONFIG} in this folder, if there is one]",
)
url_option = click.option(
    "--url", help="Where the daemon listens.  [default: as in the settings, else http://127.0.0.1:4318]"
)
token_option = click.option(
    "--token-env",
    default=TOKEN,
    show_default=True,
    help="Variable that holds your token, if the daemon wants one (or, with _FILE behind its name, the file).",
)


class Moment(click.ParamType[int]):
    """A time in RFC 3339 with an offset, or in epoch seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from collector import moments

        try:
            return int(moments.seconds(str(value)))
        except ValueError as error:
            self.fail(f"found {str(value)[:80]!r}, expected {error}", param, ctx)


class Part(click.ParamType[float]):
    """A share: 5%, or 0.05."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip()
        try:
            return float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
        except ValueError:
            self.fail(f"found {text[:40]!r}, expected a share such as 5% or 0.05", param, ctx)


class Duration(click.ParamType[int]):
    """A duration such as 30m, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from stillwatch.config_kinds import seconds

        try:
            return seconds(str(value))
        except ValueError as error:
            self.fail(f"found {str(value)[:40]!r}, expected {error}", param, ctx)


def if_there(path: Path) -> Path | None:
    return path if path.is_file() else None


def settings_of(file: Path | None, secrets: bool = True, live: bool = False) -> Settings:
    """The settings of a file, or the defaults. secrets: False where nobody needs them. live: see config.load."""
    from stillwatch import config

    environ = os.environ if secrets else None
    return config.secrets_from(environ or {}) if file is None else config.load(file, environ, live)


def daemon_of(config: Path | None) -> str:
    """Where the daemon of these settings listens."""
    return settings_of(config or if_there(Path(CONFIG)), secrets=False).listen.url


def token_of(variable: str) -> str:
    """The token that this variable holds, or the file that it names with _FILE; empty where there is neither."""
    from stillwatch.secret import held

    return held(os.environ, variable)


def say(line: str, status: int) -> int:
    click.echo(f"stillwatch: {' '.join(line.split())}", err=True)
    return status
