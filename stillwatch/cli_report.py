"""The command that drafts a post-incident report.

In: arguments, the daemon's database or a dataset. Out: Markdown or HTML, an exit status.
Never: a slow import before the command needs it; a file overwritten in which somebody may have written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stillwatch.cli_options import BAD, CONFIG, TROUBLE, config_option, if_there, say, settings_of

if TYPE_CHECKING:
    from stillwatch.config import Settings
    from stillwatch.postmortem import Record

Records = dict[str, "Callable[[], Record]"]
PAGES = (".html", ".htm")


@click.command()
@click.argument("incident", metavar="[INCIDENT]", default="")
@config_option
@click.option("--dataset", type=click.Path(path_type=Path), help="Recorded counts instead of the daemon's.")
@click.option(
    "--format", "form", type=click.Choice(["markdown", "html"]), default=None,
    help="What to write.  [default: as the name of the file says, else markdown]",
)  # fmt: skip
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A new file to write into, with a picture beside it where it is Markdown.  [default: print it]",
)
def report(
    incident: str, config: Path | None, dataset: Path | None, form: str | None, out: Path | None
) -> int:
    """Draft the post-incident report of INCIDENT: what happened, the timeline, numbers, suspects, charts and words,
    each line with a link to its data. Without INCIDENT: which there are. A dataset is judged again for it.

    \b
    Example: stillwatch report 5f3c9a1b2d4e --out 5f3c9a1b2d4e.html
    Example: stillwatch report --dataset sample_data/release_day
    """
    from stillwatch.tables import NoDatabase, StoreTrouble

    settings = settings_of(config or if_there((dataset or Path()) / CONFIG), secrets=False)
    if dataset is not None:
        return _written(incident, _replayed(dataset, settings), settings, form, out)
    from stillwatch.store import existing

    try:
        with existing(settings.database) as store:
            return _written(incident, _kept(store, settings), settings, form, out)
    except NoDatabase as none:
        return say(f"{none}, or give --dataset", BAD)
    except StoreTrouble as trouble:
        return say(str(trouble), TROUBLE)


def _replayed(dataset: Path, settings: Settings) -> Records:
    from tqdm import tqdm

    from collector import dataset as datasets
    from stillwatch import postmortem_record

    read = datasets.read(dataset, settings.interval, settings.grace)
    with tqdm(total=len(read.bins), unit=" intervals", file=sys.stderr, leave=False, disable=None) as bar:
        return postmortem_record.replayed(read, settings, bar.update)


def _kept(store: Any, settings: Settings) -> Records:
    from stillwatch import clock, maintenance, postmortem_record

    # Calendars are elsewhere, and say nothing of what they held then.
    windows = [one for one in settings.maintenance if not one.calendar]
    return postmortem_record.kept(
        store,
        lambda now: maintenance.active(windows, now, settings.timezone, lambda calendar, at: ()),
        clock.now(),
    )


def _written(incident: str, records: Records, settings: Settings, form: str | None, out: Path | None) -> int:
    from alerts.terminal_lines import clean
    from stillwatch import postmortem_record

    if not incident:
        if out is not None:
            return say("found --out without INCIDENT, expected both", BAD)
        for line in postmortem_record.listed(records) or ["there is no incident yet"]:
            click.echo(clean(line))
        return 0
    if incident not in records:
        return say(postmortem_record.unknown(incident, records), BAD)
    form = form or ("html" if out is not None and out.suffix.lower() in PAGES else "markdown")
    picture = out.with_name(f"{out.stem}-chart.png") if out is not None and form == "markdown" else None
    for file in (out, picture):
        if file is not None and file.exists():
            return say(f"{file}: is there already, and somebody may have written in it; name a new file", BAD)
    text, chart = _drafted(records[incident](), settings, form, picture)
    if out is None:
        click.echo(text, nl=False)
        return 0
    out.write_text(text, encoding="utf-8")
    if picture is not None and chart:
        picture.write_bytes(chart)
    click.echo(f"{out}: the draft" + (f", with {picture.name}" if picture is not None and chart else ""))
    return 0


def _drafted(record: Record, settings: Settings, form: str, picture: Path | None) -> tuple[str, bytes]:
    """The text, and the picture that belongs beside it."""
    from zoneinfo import ZoneInfo

    from stillwatch.postmortem import postmortem

    told = postmortem(record, ZoneInfo(settings.timezone), settings.timezone)
    if form == "html":
        from stillwatch.postmortem_page import page

        return page(told), b""
    from stillwatch.postmortem_markdown import markdown

    if picture is None or not told.drawn:
        return markdown(told), b""
    from alerts import charts

    return markdown(told, picture.name), charts.draw(told.incident)
