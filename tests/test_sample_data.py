"""The sample data: made by its generator, small, and true.

In: the committed folders, and what the generator makes anew. Out: verdicts.
Never: anything of collector or detectors; the files are read here as FORMATS describes them.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

SAMPLES = Path(__file__).parent.parent / "sample_data"
STORIES = ("release_day", "quiet_month", "quiet_night")
QUIET = ("quiet_month", "quiet_night")
FILES = ("README.md", "deployments.csv", "labels.csv", "stillwatch.yaml")


def metrics_file(story: str) -> Path:
    parquet = SAMPLES / story / "metrics.parquet"
    return parquet if parquet.exists() else SAMPLES / story / "metrics.csv"


@cache
def metrics(story: str) -> pd.DataFrame:
    file = metrics_file(story)
    if file.suffix == ".csv":
        table = pd.read_csv(file)
        table["time"] = pd.to_datetime(table["time"], utc=True)
    else:
        table = pd.read_parquet(file)
        table["time"] = pd.to_datetime(table["time"], unit="s", utc=True)
    return table


@cache
def rows_of(story: str, name: str) -> pd.DataFrame:
    times = ["time"] if name == "deployments" else ["start", "end", "mitigated"]
    table = pd.read_csv(SAMPLES / story / f"{name}.csv")
    for column in times:
        table[column] = pd.to_datetime(table[column], utc=True)
    return table


def label(service: str) -> pd.Series:
    labels = rows_of("release_day", "labels")
    (row,) = labels.index[labels["service"] == service]
    fault: pd.Series = labels.loc[row]
    return fault


def faulty_version(service: str) -> str:
    fault, shipped = label(service), rows_of("release_day", "deployments")
    row = shipped[(shipped["id"] == fault["deployment"]) & (shipped["service"] == service)]
    assert len(row) == 1
    return str(row["version"].iloc[0])


def counted(service: str, metric: str, version: str = "", path: str = "") -> pd.Series:
    """Sums by the minute, of one version and path or of all."""
    table = metrics("release_day")
    rows = (table["service"] == service) & (table["metric"] == metric)
    if version:
        rows &= table["version"] == version
    if path:
        rows &= table["path"] == path
    sums: pd.Series = table[rows].groupby("time")["value"].sum()
    return sums


def generate(story: str, out: Path) -> Path:
    command = [sys.executable, "-B", str(SAMPLES / "generate.py"), story, "--out", str(out)]
    subprocess.run(command, check=True, timeout=300)
    return out / story


@pytest.mark.parametrize(
    "story",
    [
        "quiet_night",
        *(pytest.param(story, marks=pytest.mark.slow) for story in ("release_day", "quiet_month")),
    ],
)
def test_the_generator_makes_the_committed_files_again(story: str, tmp_path: Path) -> None:
    made, kept = generate(story, tmp_path), SAMPLES / story
    assert sorted(file.name for file in made.iterdir()) == sorted(file.name for file in kept.iterdir())
    for name in FILES:
        assert (made / name).read_bytes() == (kept / name).read_bytes(), name
    metrics_name = metrics_file(story).name
    if metrics_name == "metrics.csv":
        assert (made / metrics_name).read_bytes() == (kept / metrics_name).read_bytes()
        return
    new, old = pq.ParquetFile(made / metrics_name), pq.ParquetFile(kept / metrics_name)
    assert new.read().equals(old.read())
    # Another version of the Parquet library may write the same rows in other bytes.
    if new.metadata.created_by == old.metadata.created_by:
        assert (made / metrics_name).read_bytes() == (kept / metrics_name).read_bytes()


def test_all_folders_together_stay_small() -> None:
    sizes = [file.stat().st_size for story in STORIES for file in (SAMPLES / story).iterdir()]
    assert sum(sizes) < 15_000_000


@pytest.mark.parametrize("story", STORIES)
def test_every_row_is_a_whole_count_at_a_whole_minute_and_comes_once(story: str) -> None:
    table = metrics(story)
    assert table["value"].dtype.kind == "i"
    assert (table["value"] >= 0).all()
    assert table["time"].is_monotonic_increasing
    assert (table["time"].dt.second == 0).all()
    names = [name for name in ("time", "service", "metric", "version", "path") if name in table]
    assert not table.duplicated(names).any()


@pytest.mark.parametrize("story", STORIES)
def test_the_configuration_speaks_of_what_is_in_the_metrics(story: str) -> None:
    settings = yaml.safe_load((SAMPLES / story / "stillwatch.yaml").read_text(encoding="utf-8"))
    known = set(metrics(story)[["service", "metric"]].itertuples(index=False, name=None))
    assert settings["interval"] == "60s"
    asked = set()
    for service, entry in settings["services"].items():
        for signal in entry["signals"].values():
            for role in ("errors", "total", "count", "from", "to"):
                wanted = signal.get(role, [])
                for one in wanted if isinstance(wanted, list) else [wanted]:
                    asked.add((one["service"], one["metric"]) if isinstance(one, dict) else (service, one))
    assert asked <= known


@pytest.mark.parametrize("story", STORIES)
def test_every_deployment_is_complete_and_its_version_follows_the_one_before(story: str) -> None:
    deployed = rows_of(story, "deployments")
    assert not deployed.isna().any(axis=None)
    assert deployed["time"].is_monotonic_increasing
    assert set(deployed["kind"]) <= {"deploy", "rollback", "config", "flag"}
    for _, rows in deployed.groupby("service"):
        assert list(rows["previous_version"][1:]) == list(rows["version"][:-1])
        same = rows["version"] == rows["previous_version"]
        assert (same == rows["kind"].isin(["config", "flag"])).all()


@pytest.mark.parametrize("story", ["release_day", "quiet_month"])
def test_a_version_reports_only_after_it_was_deployed_and_rolls_beside_the_old_one(story: str) -> None:
    table, deployed = metrics(story), rows_of(story, "deployments")
    changes = deployed[deployed["kind"] == "deploy"]
    assert len(changes) > 10
    for _, change in changes.iterrows():
        own = table[table["service"] == change["service"]]
        new = own.loc[own["version"] == change["version"], "time"]
        old = own.loc[own["version"] == change["previous_version"], "time"]
        wait = (new.min() - change["time"]).total_seconds()
        assert 0 <= wait <= 240, change
        assert new.min() <= old[old < change["time"] + pd.Timedelta(minutes=30)].max(), change


def test_the_release_ships_three_services_and_two_of_them_break() -> None:
    shipped = rows_of("release_day", "deployments")
    release = shipped[shipped["id"] == label("event-parser")["deployment"]]
    assert set(release["service"]) == {"contact-importer", "event-parser", "mail-sender"}
    assert set(release["time"]) == {pd.Timestamp("2022-04-13T06:31:00Z")}
    assert label("contact-importer")["deployment"] == label("event-parser")["deployment"]
    assert label("image-resizer")["deployment"] != label("event-parser")["deployment"]


@pytest.mark.parametrize(
    ("service", "begins", "rolled_back"),
    [
        ("contact-importer", "06:33 06:35", "06:45"),
        ("event-parser", "06:33 06:35", "07:05"),
        ("image-resizer", "08:04 08:05", "09:18"),
    ],
)
def test_the_day_goes_as_it_went(service: str, begins: str, rolled_back: str) -> None:
    fault, (earliest, latest) = label(service), begins.split()
    assert earliest <= fault["start"].strftime("%H:%M") <= latest
    assert fault["mitigated"].strftime("%H:%M") == rolled_back
    assert 0 < (fault["end"] - fault["mitigated"]).total_seconds() < 180
    shipped = rows_of("release_day", "deployments")
    back = shipped[(shipped["service"] == service) & (shipped["kind"] == "rollback")]
    assert list(back["time"]) == [fault["mitigated"]]
    assert list(back["previous_version"]) == [faulty_version(service)]


def test_the_lost_opens_can_be_counted_again() -> None:
    version, fault = faulty_version("event-parser"), label("event-parser")
    received = counted("event-parser", "events_received", version).sum()
    stored = counted("event-parser", "opens_stored", version).sum()
    failed = counted("event-parser", "events_failed", version).sum()
    raised, silent = (int(word) for word in fault["note"].split() if word.isdigit())
    assert received - stored - failed == silent
    assert fault["lost"] == raised + silent
    # What would have failed anyway is not the fault's: two in ten thousand.
    assert 0 <= failed - raised <= 0.001 * received
    assert 0.25 < fault["lost"] / received < 0.35
    assert 30_000 < fault["lost"] < 50_000


def test_no_open_is_lost_before_or_after_the_fault() -> None:
    bad = faulty_version("event-parser")
    table = metrics("release_day")
    sound = table[(table["service"] == "event-parser") & (table["version"] != bad)]
    for version, rows in sound.groupby("version"):
        sums = rows.groupby("metric")["value"].sum()
        left = sums["events_received"] - sums["opens_stored"] - sums["events_failed"]
        # Only what was on its way when the recording began or ended may be missing.
        at_the_edge = rows["time"].min() == table["time"].min() or rows["time"].max() == table["time"].max()
        assert abs(left) <= (300 if at_the_edge else 0), version


def test_the_failed_imports_can_be_counted_again() -> None:
    version, lost = faulty_version("contact-importer"), int(label("contact-importer")["lost"])
    failed = counted("contact-importer", "imports_failed", version).sum()
    started = counted("contact-importer", "imports_started", version).sum()
    assert 0 <= failed - lost <= 0.01 * started + 3
    assert lost / started > 0.15


def test_the_failed_images_are_one_in_a_hundred_of_the_editor_and_no_other() -> None:
    version, fault = faulty_version("image-resizer"), label("image-resizer")
    lost = int(fault["lost"])
    failed = counted("image-resizer", "resizes_failed", version, "editor")
    during = slice(fault["start"] + pd.Timedelta(minutes=4), fault["mitigated"])
    asked = counted("image-resizer", "resizes", version, "editor")
    assert 0 <= failed.sum() - lost <= 0.001 * asked.sum() + 3
    assert 0.008 < failed[during].sum() / asked[during].sum() < 0.012
    others = counted("image-resizer", "resizes_failed", version, "campaign").sum()
    assert others / counted("image-resizer", "resizes", version, "campaign").sum() < 0.0004


@pytest.mark.parametrize(
    ("service", "errors", "total", "share", "scatter"),
    [
        ("contact-importer", "imports_failed", "imports_started", 0.003, 0.98),
        ("event-parser", "events_failed", "events_received", 0.0002, 1.1),
        ("image-resizer", "resizes_failed", "resizes", 0.0002, 1.1),
    ],
)
def test_the_usual_failures_are_few_and_scatter_as_real_ones_do(
    service: str, errors: str, total: str, share: float, scatter: float
) -> None:
    before = slice(None, pd.Timestamp("2022-04-13T00:00:00Z"))
    failed, of = counted(service, errors)[before], counted(service, total)[before]
    assert 0.8 * share < failed.sum() / of.sum() < 1.25 * share
    # Of independent failures at one share the sum of these would be 1.
    expected = of * failed.sum() / of.sum()
    assert ((failed - expected) ** 2).sum() / expected.sum() > scatter


def test_the_editor_is_a_small_part_of_the_images() -> None:
    editor = counted("image-resizer", "resizes", path="editor").sum()
    assert 0.06 < editor / counted("image-resizer", "resizes").sum() < 0.11


@pytest.mark.parametrize("story", QUIET)
def test_nothing_is_wrong_in_the_quiet_ones(story: str) -> None:
    labels = SAMPLES / story / "labels.csv"
    header = labels.read_text(encoding="utf-8")
    assert header.count("\n") == 1
    assert (
        header == (SAMPLES / "release_day" / "labels.csv").read_text(encoding="utf-8").split("\n")[0] + "\n"
    )
    table = metrics(story)
    sums = table.pivot_table(index="time", columns="metric", values="value", aggfunc="sum")
    left = sums["events_received"] - sums["opens_stored"] - sums["events_failed"]
    # Missing scrapes leave what was on its way; nothing else may be missing.
    gaps = table["time"].nunique() < len(pd.date_range(table["time"].min(), table["time"].max(), freq="min"))
    assert abs(left.sum()) <= (60 if gaps else 5)
    assert sums["events_failed"].sum() / sums["events_received"].sum() < 0.0004
    # And at no time: over any quarter of an hour the opens come out as they went in.
    windows = left.rolling(15).sum().abs() / sums["events_received"].rolling(15).sum().clip(lower=400)
    assert windows.max() < 0.10


def test_the_quiet_month_lives_by_the_clock_of_berlin_and_keeps_its_holiday() -> None:
    table = metrics("quiet_month")
    imports = table[table["metric"] == "imports_started"].groupby("time")["value"].sum()
    local = imports.tz_convert("Europe/Berlin")
    clock = pd.DatetimeIndex(local.index)
    by_hour = (
        local.groupby([clock < pd.Timestamp("2022-10-30", tz="Europe/Berlin"), clock.hour]).mean().unstack()
    )
    # The same local hours are busy before and after the clocks go back.
    assert np.corrcoef(by_hour.loc[True], by_hour.loc[False])[0, 1] > 0.985
    by_day = local.groupby(clock.strftime("%Y-%m-%d")).sum()
    assert by_day["2022-11-01"] < 0.35 * by_day["2022-11-08"]
    assert 0.35 * by_day["2022-11-07"] < by_day["2022-10-31"] < 0.8 * by_day["2022-11-07"]


def test_the_quiet_month_has_gaps_and_the_collector_was_down_once() -> None:
    table = metrics("quiet_month")
    all_minutes = pd.date_range(table["time"].min(), table["time"].max(), freq="min")
    assert len(all_minutes) == 31 * 1440
    deaf = all_minutes.difference(pd.DatetimeIndex(table["time"].unique()))
    assert list(deaf) == list(pd.date_range("2022-11-09T13:20Z", periods=20, freq="min"))
    for service, rows in table.groupby("service"):
        missing = len(all_minutes) - rows["time"].nunique() - len(deaf)
        assert 5 <= missing <= 30, service


def test_the_quiet_month_has_services_that_are_nearly_silent() -> None:
    table = metrics("quiet_month")
    for metric in ("exports_started", "submissions_received"):
        values = table[table["metric"] == metric].groupby("time")["value"].sum()
        assert 0.2 < values.mean() < 2
        assert values.quantile(0.99) <= 5


def test_in_the_quiet_night_opens_fall_away_because_nothing_was_sent() -> None:
    table = metrics("quiet_night")
    night = table[table["time"].dt.hour < 5]
    sums = night.groupby(["metric", night["time"].dt.date])["value"].sum().unstack()
    for metric in ("emails_delivered", "events_received", "opens_stored"):
        others, last = sums.loc[metric].iloc[:-1], sums.loc[metric].iloc[-1]
        assert len(others) == 10
        assert last < 0.1 * others.min(), metric
