"""The command that makes a token: shown once, and known from then on only by what it hashes to.

In: what it is for, its name. Out: the token, and the lines for the settings. Never: a token written anywhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import click

from collector import tokens

BYTES = 32  # of chance; nobody finds one by trying


@click.command("token")
@click.argument("purposes", metavar="PURPOSE...", nargs=-1, required=True, type=click.Choice(tokens.PURPOSES))
@click.option("--name", default="", help="What to call it in the settings.  [default: its first purpose]")
def token(purposes: Sequence[tokens.Purpose], name: str) -> int:
    """Make a token for one PURPOSE or several: ingest (counts), deployments (telling of them), reading (status,
    incidents, gate, health in detail), acting (words, silences, rolling back).

    It goes to standard output, and is shown this once; the lines for the settings, which hold its hash, go to
    standard error.

    \b
    Example: stillwatch token ingest --name collectors
    Example: stillwatch token reading acting --name anna > ~/.stillwatch_token
    """
    made = f"stillwatch_{secrets.token_urlsafe(BYTES)}"
    click.echo("for the settings (the token itself is shown this once):\n", err=True)
    click.echo("listen:\n  tokens:", err=True)
    for purpose in dict.fromkeys(purposes):
        click.echo(f"    {purpose}: {{{name or purposes[0]}: {tokens.written(made)}}}", err=True)
    click.echo("", err=True)
    click.echo(made)
    return 0
