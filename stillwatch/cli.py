"""The command line.

In: arguments, files, the environment. Out: what the commands print, and an exit status.
Never: a traceback for somebody's bad input: exit 2 and one line; a slow import before a command needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from stillwatch.cli_options import (
    BAD,
    CONFIG,
    NOT_YET,
    TROUBLE,
    Duration,
    Moment,
    Part,
    config_option,
    daemon_of,
    if_there,
    say,
    settings_of,
    token_of,
    token_option,
    url_option,
)
from stillwatch.cli_people import deployments, incidents, silence, status
from stillwatch.cli_report import report
from stillwatch.cli_token import token

if TYPE_CHECKING:
    from collector.dataset import Dataset
    from stillwatch.config import Settings
    from stillwatch.gate import Question

ROOMS = ("collector", "detectors", "alerts")


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="stillwatch", message="%(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Watches the counts of your services; tells the right people in Slack, within minutes, when more fails than
    usual or data silently goes missing, with the deployment that probably did it.

    Try it: stillwatch demo
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False),
    help=f"Settings.  [default: {CONFIG} in the dataset, if there is one]",
)  # fmt: skip
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where files go.  [default: backtest/NAME]",
)
@click.option("--from", "start", type=Moment(), metavar="TIME", help="Leave out intervals before this time.")
@click.option("--to", "end", type=Moment(), metavar="TIME", help="Leave out this time and what is later.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def backtest(
    dataset: Path, config: Path | None, out: Path | None, start: int | None, end: int | None, as_json: bool
) -> int:
    """Replay a dataset through the same engine as the daemon's, and score it.

    Writes alerts.jsonl, messages/, summary.json and report.html.

    \b
    Example: stillwatch backtest sample_data/release_day --out /tmp/release_day
    """
    from collector import dataset as datasets

    chosen = settings_of(config or if_there(dataset / CONFIG), secrets=False)
    read = datasets.read(dataset, chosen.interval, chosen.grace, start, end)
    name = dataset.resolve().name
    _backtest(name, read, chosen, out or Path("backtest") / name, as_json)
    return 0


def _backtest(name: str, dataset: Dataset, settings: Settings, out: Path, as_json: bool) -> None:
    import json

    from tqdm import tqdm

    from stillwatch import backtest as backtests
    from stillwatch import blind, evidence, replaying

    with tqdm(total=len(dataset.bins), unit=" intervals", file=sys.stderr, leave=False, disable=None) as bar:
        done = replaying.replay(dataset, settings, bar.update)
    said = backtests.worded(done.events, settings)
    spots = blind.reported(dataset, done)
    told = backtests.summary(dataset, settings, done, said, spots)
    weighed = evidence.evidence(dataset, settings, done, told)
    backtests.write(out, name, dataset, done, said, told, spots, weighed)
    if as_json:
        click.echo(json.dumps(told, indent=2, allow_nan=False))
        return
    for line in backtests.lines(told):
        click.echo(line)
    click.echo(f"{out}: alerts.jsonl, messages/, summary.json, report.html")


@cli.command()
@config_option
@click.option(
    "--dataset", type=click.Path(path_type=Path), help="Which series there are: those of this dataset."
)
@click.option(
    "--route",
    "asked",
    metavar="JSON",
    help="Who would hear of this, and why: owner, service, kind, severity, ...",
)
def check(config: Path | None, dataset: Path | None, asked: str | None) -> int:
    """Is the configuration right, what does it watch, and are Slack, other places, the database and the port
    within reach. With --route: who would hear of something, when and why; nothing is asked of anybody then.

    Exit status: 0 all is well, 1 something is out of reach, 2 the configuration is wrong.

    \b
    Example: stillwatch check --config stillwatch.yaml
    Example: stillwatch check --route '{"service": "event-parser", "severity": "critical"}'
    """
    from stillwatch import check as checks

    file = config or if_there(Path(CONFIG))
    if asked is not None:
        return _route(asked, file)
    settings = settings_of(file, live=dataset is None)
    click.echo(f"ok  settings  {file or 'no file, all as by default'}")
    table = checks.known_series(settings.database) if dataset is None else None
    if dataset is not None:
        from collector import dataset as datasets

        table = datasets.read(dataset, settings.interval, settings.grace).table
    findings = list(checks.reach(settings, table))
    young = checks.young_lines(settings) if dataset is None else []
    for line in (*checks.lines(findings), "", *checks.signal_lines(settings, table), *young):
        click.echo(line)
    return 0 if all(finding.ok for finding in findings) else TROUBLE


def _route(asked: str, file: Path | None) -> int:
    from stillwatch import clock, config, routed

    settings = config.load(file, None) if file is not None else config.Settings()  # secrets are not needed
    for line in routed.lines(routed.question(asked, settings, clock.now()), settings):
        click.echo(line)
    return 0


@cli.command()
@config_option
def run(config: Path | None) -> int:
    """Run the daemon: take counts by OTLP/HTTP, judge every interval, alert. Ends at SIGTERM or Ctrl-C; reads its
    settings again at SIGHUP and when the file changes.

    \b
    Example: stillwatch run --config stillwatch.yaml
    """
    file = config or if_there(Path(CONFIG))
    settings = settings_of(file, live=True)
    from stillwatch import daemon

    return daemon.run(settings, file, lambda: settings_of(file, live=True))


@cli.command()
@click.argument("copy", type=click.Path(path_type=Path, dir_okay=False))
@config_option
def backup(copy: Path, config: Path | None) -> int:
    """Write a COPY of the daemon's database, whole and as of one moment, while it runs. Put in its place, a daemon
    goes on from there.

    \b
    Example: stillwatch backup /backup/stillwatch-2022-04-13.db --config stillwatch.yaml
    """
    from stillwatch import backup as backups
    from stillwatch.tables import StoreTrouble

    settings = settings_of(config or if_there(Path(CONFIG)), secrets=False)
    try:
        size = backups.backup(settings.database, copy)
    except StoreTrouble as trouble:
        return say(str(trouble), TROUBLE)
    click.echo(f"{copy}: {size / 1e6:.1f} MB")
    return 0


@cli.command()
@click.argument("service")
@click.argument("version")
@url_option
@config_option
@token_option
@click.option("--id", "release", default="", help="Name of the release; services shipped together share it.")
@click.option(
    "--time",
    "at",
    type=Moment(),
    metavar="TIME",
    default=None,
    help="When it began to serve.  [default: now]",
)
@click.option("--previous-version", default="", help="What served before.")
@click.option("--environment", default="", help="Such as production.")
@click.option(
    "--kind", type=click.Choice(["deploy", "rollback", "config", "flag"]), default="deploy", show_default=True,
    help="What was done.",
)  # fmt: skip
@click.option("--link", default="", help="Page of the deployment, http:// or https://.")
@click.option("--revision", default="", help="Commit.")
@click.option("--author", default="", help="Who to ask.")
@click.option("--description", default="", help="What it changes.")
def deployed(
    service: str, version: str, url: str | None, config: Path | None, token_env: str, release: str, at: int | None,
    previous_version: str, environment: str, kind: Any, link: str, revision: str, author: str, description: str,
) -> int:  # fmt: skip
    """Tell the daemon that VERSION of SERVICE was deployed. For the scripts of a pipeline.

    \b
    Example: stillwatch deployed contact-importer 3.43.0 --id release-42 --previous-version 3.42.0
    """
    from collector.deployments import Deployment
    from stillwatch import deployed as pipeline
    from stillwatch.caller import NoAnswer

    url = url or daemon_of(config)
    one = Deployment(
        release,
        at or 0,
        service,
        version,
        previous_version,
        environment,
        link,
        revision,
        author,
        kind,
        description,
    )
    try:
        click.echo(pipeline.tell(url, token_of(token_env), one))
    except NoAnswer as reason:
        return say(str(reason), TROUBLE)
    return 0


@cli.command()
@click.argument("service")
@click.option("--candidate", required=True, metavar="VERSION", help="The new version.")
@click.option("--baseline", required=True, metavar="VERSION", help="The one beside which it serves.")
@click.option(
    "--wait", "patience", type=Duration(), default=None, help="Look again until it is known, so long."
)
@click.option(
    "--margin", type=Part(), default="100%", show_default=True,
    help="How much higher the candidate's odds of failing may be, to be as good.",
)  # fmt: skip
@click.option(
    "--tolerance",
    type=Part(),
    default="0.1%",
    show_default=True,
    help="A share of failures that never matters.",
)
@click.option("--risk", type=Part(), default="1%", show_default=True, help="Probability of a wrong verdict.")
@click.option(
    "--from", "start", type=Moment(), metavar="TIME", help="Count from then on.  [default: two days]"
)
@url_option
@config_option
@token_option
@click.option("--dataset", type=click.Path(path_type=Path), help="Ask this dataset instead of a daemon.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def gate(
    service: str, candidate: str, baseline: str, patience: int | None, margin: float, tolerance: float, risk: float,
    start: int | None, url: str | None, config: Path | None, token_env: str, dataset: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """While two versions of SERVICE serve side by side: does the new one fail or lose more?

    Look as often as you like: the risk holds for all looks together. Exit status: 0 promote, 1 roll back,
    3 not enough evidence yet (or nobody could be asked).

    \b
    Example: stillwatch gate image-resizer --candidate 4.2.1 --baseline 4.2.0 --wait 30m
    """
    import json

    from stillwatch import clock
    from stillwatch import gate as gates
    from stillwatch.caller import NoAnswer

    since = start if start is not None else (0 if dataset else clock.now() - 2 * 86400)
    asked = gates.Question(service, candidate, baseline, since, margin, tolerance, risk)
    try:
        gates.check(asked)
    except ValueError as error:
        return say(str(error), BAD)
    told: Mapping[str, Any]
    if dataset is not None:
        told = _gate_of(dataset, config, asked)
    else:
        at, token = url or daemon_of(config), token_of(token_env)
        try:
            told = gates.wait_for(
                lambda: gates.ask(at, token, asked), patience or 0, lambda line: click.echo(line, err=True)
            )
        except NoAnswer as reason:
            return say(f"no verdict: {reason}", NOT_YET)
    for line in [json.dumps(told, indent=2)] if as_json else gates.lines(told):
        click.echo(line)
    return gates.status(told)


def _gate_of(dataset: Path, config: Path | None, asked: Question) -> dict[str, Any]:
    from collector import dataset as datasets
    from stillwatch.gate import answer
    from stillwatch.replaying import plan_of

    settings = settings_of(config or if_there(dataset / CONFIG), secrets=False)
    read = datasets.read(dataset, settings.interval, settings.grace, asked.since or None)
    return answer(asked, read.bins, plan_of(settings, read.table, at_once=True))


@cli.command()
@click.option(
    "--interval", type=click.IntRange(5, 60), default=5, show_default=True, help="Seconds of an interval."
)
@click.option(
    "--slack-channel", default="", help="Also tell this channel, with the token in SLACK_BOT_TOKEN."
)
@click.option("--keep", is_flag=True, help="Leave database, configuration and logs where they are.")
def demo(interval: int, slack_channel: str, keep: bool) -> int:
    """A small mail platform that really runs, with bad releases, watched as it happens. About four minutes.

    \b
    Example: stillwatch demo --interval 5
    """
    from stillwatch.demo import director

    return director.run(interval, slack_channel, keep)


@cli.command()
@click.argument("service")
@click.option("--at", type=Moment(), required=True, metavar="TIME", help="The moment in question.")
@config_option
@click.option("--dataset", type=click.Path(path_type=Path), help="Recorded counts instead of the daemon's.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def explain(service: str, at: int, config: Path | None, dataset: Path | None, as_json: bool) -> int:
    """Why was, or was not, something of SERVICE told at a moment: what was counted and expected, the evidence, and
    what held it back. Judges the recorded history again up to then.

    \b
    Example: stillwatch explain image-resizer --at 2022-04-13T08:05:30Z --dataset sample_data/release_day
    """
    import json

    from tqdm import tqdm

    from stillwatch import explained

    try:
        settings, read = _recorded(config, dataset)
        with tqdm(total=len(read.bins), unit=" intervals", file=sys.stderr, leave=False, disable=None) as bar:
            told = explained.explained(read, settings, service, at, bar.update)
    except ValueError as reason:
        return say(str(reason), BAD)
    for line in [json.dumps(told, indent=2)] if as_json else explained.lines(told):
        click.echo(line)
    return 0


@cli.command()
@config_option
@click.option("--dataset", type=click.Path(path_type=Path), help="Recorded counts instead of the daemon's.")
@click.option("--hours", is_flag=True, help="Every hour, not only the best and the worst of each signal.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def blindspots(config: Path | None, dataset: Path | None, hours: bool, as_json: bool) -> int:
    """What would not be seen: for each signal and hour, the smallest loss or rise that is told within 5, 15 and 60
    minutes. Faults are played to a copy of the model as it is after the recorded history.

    \b
    Example: stillwatch blindspots --dataset sample_data/quiet_month
    """
    import json

    from tqdm import tqdm

    from stillwatch import blind, replaying

    try:
        settings, read = _recorded(config, dataset)
    except ValueError as reason:
        return say(str(reason), BAD)
    look: dict[str, Any] = {"file": sys.stderr, "leave": False, "disable": None}
    with tqdm(total=len(read.bins), unit=" intervals", **look) as bar:
        done = replaying.replay(read, settings, bar.update)
    with tqdm(total=len(done.plan.signals), unit=" signals played to", **look) as bar:
        told = blind.blind(read, done, bar.update)
    for line in [json.dumps(told, indent=2)] if as_json else blind.lines(told, hours):
        click.echo(line)
    return 0


def _recorded(config: Path | None, dataset: Path | None) -> tuple[Settings, Dataset]:
    """Settings, and what was recorded in a dataset or the daemon's database, in intervals as they were recorded.

    Raises ValueError: nothing was.
    """
    from collector import dataset as datasets

    if dataset is not None:
        settings = settings_of(config or if_there(dataset / CONFIG), secrets=False)
        return settings, datasets.read(dataset, settings.interval, settings.grace)
    from stillwatch.store import existing
    from stillwatch.tables import NoDatabase, StoreTrouble

    settings = settings_of(config or if_there(Path(CONFIG)), secrets=False)
    try:
        with existing(settings.database) as store:
            table, bins, deployments = store.export()
            words = store.words(upto=int(bins.closed[-1]))
    except NoDatabase as none:
        raise ValueError(f"{none}, or give --dataset") from None
    except StoreTrouble as trouble:
        raise ValueError(str(trouble)) from None
    return replace(settings, interval=bins.width), datasets.Dataset(table, bins, deployments, (), words=words)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@config_option
@click.option("--from", "start", type=Moment(), metavar="TIME", help="From this time on.")
@click.option("--to", "end", type=Moment(), metavar="TIME", help="Before this time.")
def export(folder: Path, config: Path | None, start: int | None, end: int | None) -> int:
    """Write what the daemon has recorded into FOLDER, as a dataset that `backtest` reads.

    \b
    Example: stillwatch export --from 2022-04-13T00:00Z --to 2022-04-14T00:00Z /tmp/april_13
    """
    from stillwatch.store import existing
    from stillwatch.tables import NoDatabase, StoreTrouble

    file = config or if_there(Path(CONFIG))
    if folder.exists() and any(folder.iterdir()):
        return say(f"{folder}: not empty, expected a new folder", BAD)
    from collector import dataset as datasets
    from stillwatch.config import as_recorded

    try:
        with existing(settings_of(file, secrets=False).database) as store:
            table, bins, deployments = store.export(start, end)
            words = store.words(upto=int(bins.closed[-1]))
    except NoDatabase as none:
        return say(str(none), BAD)
    except StoreTrouble as trouble:
        return say(str(trouble), TROUBLE)
    datasets.write(folder, table, bins, deployments, words)
    if file is not None:
        (folder / CONFIG).write_text(as_recorded(file), encoding="utf-8")
    click.echo(f"{folder}: {len(bins)} intervals, {len(table)} series, {len(deployments)} deployments")
    return 0


cli.add_command(silence)
cli.add_command(incidents)
cli.add_command(status)
cli.add_command(deployments)
cli.add_command(report)
cli.add_command(token)


def strangers(find: Callable[[str], Any] = find_spec) -> list[str]:
    """Packages that stand where our rooms should be: their names are common ones."""
    ours = Path(__file__).resolve().parent.parent
    found: list[str] = []
    for room in ROOMS:
        spec = find(room)
        place = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if place != ours / room:
            found.append(f"{room}: found {place or 'nothing'}, expected {ours / room}")
    return found


def main() -> NoReturn:
    """The command `stillwatch`: runs what the arguments say, and exits."""
    if others := strangers():
        sys.exit(say(f"another package is in the way: {'; '.join(others)}", BAD))
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    from collector.errors import BadInput

    try:
        status = cli.main(arguments, prog_name="stillwatch", standalone_mode=False)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "stillwatch"
        return say(f"{error.format_message()} (see {path} --help)", BAD)
    except click.Abort:
        return say("interrupted", 130)
    except BadInput as error:
        return say(str(error), BAD)
    except BrokenPipeError:
        # Whoever read us has seen enough; nothing more can be printed, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return say(f"{error.filename or 'cannot go on'}: {error.strerror or error}", TROUBLE)
    return int(status or 0)


if __name__ == "__main__":
    main()
