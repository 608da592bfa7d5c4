"""A replay: the same whatever the blocks, blind for the future, and written as the format says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from alerts import jsonl
from alerts.incidents import Event
from collector.bins import Bins, SeriesKey, SeriesTable
from collector.dataset import Dataset
from collector.deployments import Deployment
from collector.small_tables import Label
from detectors.blindspots import Blindspot
from stillwatch import backtest, blind, config, replaying

W, GRACE = 60, 15
T0 = 1_650_000_000 // 86400 * 86400
LENGTH, FAULT, OVER = 900, 700, 760
SETTINGS = config.parse(
    """
slack: {channel: "#alerts"}
services:
  parser:
    owner: events
    signals:
      parsing: {kind: error_ratio, errors: failed, total: received}
      kept: {kind: flow, from: received, to: [stored, failed], within: 2m}
      arriving: {kind: throughput, count: received}
""",
    "stillwatch.yaml",
    None,
)


@cache
def world() -> Dataset:
    """A parser that stores what it receives; its second version fails on a tenth for an hour."""
    rng = np.random.default_rng(5)
    received = rng.poisson(500, LENGTH)
    bad = (np.arange(LENGTH) >= FAULT) & (np.arange(LENGTH) < OVER)
    failed = rng.binomial(received, np.where(bad, 0.1, 0.001))
    table = SeriesTable(
        SeriesKey("parser", metric, version)
        for version in "12"
        for metric in ("failed", "received", "stored")
    )
    values = np.full((LENGTH, 6), np.nan)
    for i, counts in enumerate((failed, received, received - failed)):
        values[~bad, i], values[bad, 3 + i] = counts[~bad], counts[bad]
    closed = T0 + W * np.arange(1, LENGTH + 1, dtype=np.int64) + GRACE
    shipped = Deployment("r2", T0 + W * FAULT, "parser", "2", "1")
    back = Deployment("r3", T0 + W * OVER, "parser", "1", "2", kind="rollback")
    truth = Label(
        T0 + W * FAULT, T0 + W * OVER, "parser", "error_spike", "parsing", "r2", "parser", T0 + W * OVER,
        float(failed[bad].sum()),
    )  # fmt: skip
    bins = Bins(T0, W, closed, values, np.ones(LENGTH, dtype=np.bool_))
    return Dataset(table, bins, (shipped, back), (truth,), labelled=True)


@cache
def replayed() -> replaying.Replay:
    return replaying.replay(world(), SETTINGS)


@cache
def spots() -> list[Blindspot]:
    return blind.reported(world(), replayed())


def lines(events: tuple[Event, ...]) -> list[str]:
    return [jsonl.line(event) for event in events]


@pytest.mark.slow
def test_the_fault_is_found_with_the_right_release_and_nothing_else_is() -> None:
    told = backtest.summary(world(), SETTINGS, replayed(), [], ())
    (one,) = told["labels"]
    assert (told["found"], told["false_alerts"], told["incidents"]) == (1, 0, 1)
    assert one["delay"] <= 4 * W
    assert one["right_release"]
    assert one["right_member"]


@pytest.mark.parametrize("longest", [1, 7, 60, 10_000])
def test_how_the_intervals_are_cut_into_blocks_is_nothing(
    monkeypatch: pytest.MonkeyPatch, longest: int
) -> None:
    monkeypatch.setattr(replaying, "DAY", longest * W)
    assert lines(replaying.replay(world(), SETTINGS).events) == lines(replayed().events)


@pytest.mark.parametrize("cut", [FAULT - 5, FAULT + 1, FAULT + 3, FAULT + 30, OVER + 5])
def test_what_is_said_before_a_moment_does_not_depend_on_what_comes_after(cut: int) -> None:
    whole = world()
    short = replace(whole, bins=whole.bins.cut(0, cut))
    until = T0 + W * cut + GRACE
    expected = [jsonl.line(event) for event in replayed().events if event.time <= until]
    assert lines(replaying.replay(short, SETTINGS).events) == expected


def test_without_configured_signals_they_are_found_as_series_appear() -> None:
    found = replaying.replay(world(), replace(SETTINGS, signals=()))
    assert {s.name for s in found.plan.signals} >= {"failed", "received_kept", "received_arriving"}
    assert any(event.event == "opened" for event in found.events)


def test_progress_is_told_for_every_interval() -> None:
    done: list[int] = []
    replaying.replay(world(), SETTINGS, done.append)
    assert sum(done) == LENGTH


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    at = tmp_path_factory.mktemp("backtest") / "made"
    said = backtest.worded(replayed().events, SETTINGS)
    old = at / "messages" / "999-old.json"
    old.parent.mkdir(parents=True)
    old.write_text("of an earlier run")
    told = backtest.summary(world(), SETTINGS, replayed(), said, spots())
    backtest.write(at, "a <world>", world(), replayed(), said, told, spots())
    return at


def test_alerts_are_written_one_a_line(out: Path) -> None:
    written = (out / "alerts.jsonl").read_text().splitlines()
    assert written == lines(replayed().events)
    assert jsonl.read(written[0])["event"] == "opened"


def test_messages_are_written_in_order_with_their_pictures(out: Path) -> None:
    said = backtest.worded(replayed().events, SETTINGS)
    written = sorted((out / "messages").glob("*.json"))
    assert [json.loads(p.read_text())["key"] for p in written] == [m.key for m in said]
    for path, message in zip(written, said, strict=True):
        posted = json.loads(path.read_text())
        assert (posted["channel"], posted["text"]) == ("#alerts", message.text)
        if message.chart is not None:
            assert (out / "messages" / posted["chart"]).read_bytes().startswith(b"\x89PNG")
    assert any(m.chart is not None for m in said)
    assert not (out / "messages" / "999-old.json").exists()


def test_the_summary_holds_what_the_format_lists(out: Path) -> None:
    told = json.loads((out / "summary.json").read_text())
    assert (told["bins"], told["series"], told["signals"]) == (LENGTH, 6, 3)
    assert told["seconds"] > 0
    assert told["signal_bins_per_second"] > 0
    assert set(told["messages_per_week"]) == {"#alerts"}
    assert {"misses", "false_alerts_per_week", "probabilities", "budget", "labels"} <= set(told)


def test_the_report_is_one_page(out: Path) -> None:
    page = (out / "report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "parser" in page
    assert "a &lt;world&gt;" in page


def test_what_is_visible_comes_from_the_model_and_a_flow_shows_smaller_losses_than_a_count() -> None:
    sizes = {one["signal"]: one for one in blind.visible(world(), replayed(), spots())}
    assert set(sizes) == {"parsing", "kept", "arriving"}
    assert 0.001 < sizes["parsing"]["smallest"] < 0.02
    assert sizes["kept"]["smallest"] < 0.2
    assert sizes["arriving"]["smallest"] > sizes["kept"]["smallest"]
    for one in sizes.values():
        assert one["best_hour"] <= one["smallest"] <= one["worst_hour"]


def test_where_nothing_was_measured_nothing_is_visible_and_the_summary_says_why() -> None:
    silent = replace(world(), bins=replace(world().bins, values=np.full_like(world().bins.values, np.nan)))
    done = replaying.replay(silent, SETTINGS)
    told = blind.visible(silent, done, blind.reported(silent, done))
    assert {(one["smallest"], one["waits"]) for one in told} == {(None, "nothing measured yet")}
