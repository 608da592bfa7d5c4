"""Datasets: read as the format says, wrong ones named to the row, and written so that they read the same."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector import dataset, moments
from collector.bins import Bins, Late, SeriesKey, SeriesTable
from collector.dataset import Dataset
from collector.deployments import Deployment
from collector.errors import BadInput
from collector.small_tables import Label, read_words

W, GRACE = 60, 15
T0 = 1_649_831_400  # 2022-04-13 06:30 UTC
BAD = sorted((Path(__file__).parent / "bad" / "datasets").iterdir())


def folder(tmp_path: Path, **files: str) -> Path:
    """A dataset of these files: metrics="…" is metrics.csv."""
    made = tmp_path / "dataset"
    made.mkdir()
    for name, text in files.items():
        (made / f"{name}.csv").write_text(text)
    return made


def read(at: Path, start: int | None = None, end: int | None = None) -> Dataset:
    return dataset.read(at, W, GRACE, start, end)


def metrics(*rows: str, more: str = "") -> str:
    return "\n".join([f"time,service,metric,value{more}", *rows, ""])


def counts(found: Dataset) -> dict[SeriesKey, list[float | None]]:
    """What each series counted, None = not measured."""
    return {
        key: [None if math.isnan(v) else v for v in found.bins.values[:, i].tolist()]
        for i, key in enumerate(found.table.keys)
    }


@pytest.mark.parametrize("bad", BAD, ids=lambda path: path.name)
def test_a_wrong_dataset_is_refused_with_one_line_that_says_where_and_what(bad: Path) -> None:
    if (bad / "stillwatch.yaml").exists():
        pytest.skip("its settings are wrong: see test_cli")
    with pytest.raises(BadInput) as refused:
        read(bad)
    assert str(refused.value) == (bad / "expected.txt").read_text().rstrip("\n")
    assert str(refused.value).isprintable()


def test_times_may_be_written_in_every_way_that_the_format_allows(tmp_path: Path) -> None:
    rows = [
        f"{T0},a,m,0",
        f"{T0 + 60}.0,a,m,1",
        "2022-04-13T06:32:00Z,a,m,2",
        "2022-04-13t08:33:00.000+02:00,a,m,3",
        "2022-04-13 02:34:00-04:00,a,m,4",
        "2022-04-13T12:05+05:30,a,m,5",
    ]
    found = read(folder(tmp_path, metrics=metrics(*rows)))
    assert (found.bins.start, found.bins.width) == (T0, 60)
    assert counts(found) == {SeriesKey("a", "m"): [0, 1, 2, 3, 4, 5]}
    assert found.bins.closed.tolist() == [T0 + 60 * (i + 1) + GRACE for i in range(6)]


def test_empty_and_nan_are_not_measured_and_zero_is(tmp_path: Path) -> None:
    rows = [
        f"{T0},a,m,0",
        f"{T0 + 60},a,m,",
        f"{T0 + 120},a,m,NaN",
        f"{T0 + 180},a,m,nan",
        f"{T0 + 240},a,m,1e3",
    ]
    assert counts(read(folder(tmp_path, metrics=metrics(*rows)))) == {
        SeriesKey("a", "m"): [0, None, None, None, 1000]
    }


def test_an_interval_is_watched_when_any_row_says_so_even_an_empty_one(tmp_path: Path) -> None:
    rows = [f"{T0},a,m,1", f"{T0 + 60},b,m,", f"{T0 + 240},a,m,1"]
    assert read(folder(tmp_path, metrics=metrics(*rows))).bins.watched.tolist() == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_other_columns_are_attributes_and_an_empty_one_is_not_there(tmp_path: Path) -> None:
    rows = [f"{T0},a,m,1,2.0,eu,/x", f"{T0},a,m,2,,,/x", f"{T0},a,m,4,1.10,NaN,"]
    found = read(folder(tmp_path, metrics=metrics(*rows, more=",version,region,http.route")))
    assert counts(found) == {
        SeriesKey("a", "m", "", (("http.route", "/x"),)): [2],
        SeriesKey("a", "m", "1.10", (("region", "NaN"),)): [4],
        SeriesKey("a", "m", "2.0", (("http.route", "/x"), ("region", "eu"))): [1],
    }


def test_entered_makes_a_series_of_each_age_and_survives_the_way_through_a_file(tmp_path: Path) -> None:
    at = folder(
        tmp_path,
        metrics="""time,service,metric,entered,value
1649831400,a,received,,9
1649831460,a,received,,8
1649831460,a,stored,1649831460,2
1649831460,a,stored,2022-04-13T06:30:59Z,5
1649831460,a,stored,1649820000,1
1649831460,a,stored,1649810000,1
""",
    )
    found = read(at)
    name = SeriesKey("a", "stored")
    assert {key: value[1] for key, value in counts(found).items()} == {
        SeriesKey("a", "received"): 8.0, name.aged(0): 2.0, name.aged(1): 5.0, name.aged(60): 2.0,
    }  # fmt: skip
    dataset.write(tmp_path / "again", found.table, found.bins, ())
    assert counts(read(tmp_path / "again")) == counts(found)


def test_series_stand_in_order_of_first_appearance_and_the_file_s_order_is_nothing(tmp_path: Path) -> None:
    rows = [f"{T0 + 60 * i},{s},m,{i}" for s in "cab" for i in range(5) if s != "a" or i > 1]
    random.Random(1).shuffle(columns := ["time", "service", "metric", "value"])
    one = folder(tmp_path, metrics=metrics(*rows))
    two = tmp_path / "two" / "metrics"
    two.mkdir(parents=True)
    table = pd.read_csv(one / "metrics.csv")[columns].sample(frac=1, random_state=3)
    table[:6].to_parquet(two / "z.parquet", index=False)
    table[6:].sort_values("time").to_csv(two / "a.csv", index=False)
    first, second = read(one), read(two.parent)
    assert [key.service for key in first.table.keys] == ["b", "c", "a"]
    assert first.table.keys == second.table.keys
    np.testing.assert_array_equal(first.bins.values, second.bins.values)


@pytest.mark.parametrize(
    "times",
    [
        lambda t: pd.to_datetime(t, unit="s", utc=True),
        lambda t: pd.to_datetime(t, unit="s", utc=True).dt.tz_convert("Europe/Berlin"),
        lambda t: t.astype("float64"),
        lambda t: pd.to_datetime(t, unit="s", utc=True).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
    ],
    ids=["timestamps", "local timestamps", "floats", "texts"],
)
def test_parquet_says_the_same_in_every_type(tmp_path: Path, times: object) -> None:
    table = pd.DataFrame(
        {"time": [T0, T0 + 60], "service": ["a", "a"], "metric": "m", "value": [1, None], "code": [500, 404]}
    )
    table["time"] = times(table["time"])  # type: ignore[operator]
    made = folder(tmp_path)
    table.set_index("service", append=True).to_parquet(made / "metrics.parquet")
    assert counts(read(made)) == {
        SeriesKey("a", "m", "", (("code", "500"),)): [1, None],
        SeriesKey("a", "m", "", (("code", "404"),)): [None, None],
    }


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("time", pd.Timestamp("2022-04-13 06:30"), "column time: found timestamps without a time zone"),
        ("value", -1.0, "row 2, column value: found '-1'"),
        ("value", np.inf, "row 2, column value: found 'inf'"),
        ("time", T0 + 1, "row 2, column time: found '1649831401'"),
        ("service", None, "row 2, column service: found nothing"),
        ("value", [1, 2], "column value: found a column of type 'list<"),
    ],
)
def test_in_parquet_rows_are_counted_from_one(tmp_path: Path, column: str, value: object, said: str) -> None:
    rows: dict[str, list[object]] = {
        "time": [T0, T0],
        "service": ["a", "b"],
        "metric": ["m", "m"],
        "value": [1.0, 2.0],
    }
    rows[column] = [value, value] if not isinstance(value, float | int | None) else [rows[column][0], value]
    made = folder(tmp_path)
    pd.DataFrame(rows).to_parquet(made / "metrics.parquet")
    with pytest.raises(BadInput, match=f"^metrics.parquet: {said}"):
        read(made)


def test_a_row_that_came_after_its_interval_closed_is_late_and_one_at_the_last_moment_is_not(
    tmp_path: Path,
) -> None:
    rows = [
        f"{T0},a,m,10,",
        f"{T0},a,m,3,{T0 + 75}",  # in the last moment
        f"{T0 + 60},a,m,1,",
        f"{T0 + 120},a,m,1,",
        f"{T0},a,m,2,{T0 + 75.2}",
        f"{T0},a,m,4,{T0 + 100}",
        f"{T0 + 60},a,late,7,{T0 + 195}",
        f"{T0},a,m,8,{T0 + 9999}",  # nobody ever knows
    ]
    found = read(folder(tmp_path, metrics=metrics(*rows, more=",received")))
    assert counts(found) == {SeriesKey("a", "m"): [13, 1, 1], SeriesKey("a", "late"): [None, None, None]}
    late = found.bins.late
    assert late.interval.tolist() == [1, 2]
    assert late.start.tolist() == [T0, T0 + 60]
    assert [found.table.keys[i].metric for i in late.row] == ["m", "late"]
    assert late.count.tolist() == [6, 7]


def test_a_part_of_the_time_is_read_alone(tmp_path: Path) -> None:
    made = folder(
        tmp_path,
        metrics=metrics(*(f"{T0 + 60 * i},{'ab'[i > 4]},m,{i}" for i in range(10))),
        deployments=f"time,service,version\n{T0},a,1\n{T0 + 6000},a,2\n",
        labels=f"start,end,service,kind\n{T0},{T0 + 60},a,data_loss\n{T0 + 100},{T0 + 200},a,data_loss\n",
    )
    found = read(made, T0 + 120, T0 + 240)
    assert (found.bins.start, counts(found)) == (T0 + 120, {SeriesKey("a", "m"): [2, 3]})
    assert [d.version for d in found.deployments] == ["1"]
    assert [x.start for x in found.labels] == [T0 + 100]
    with pytest.raises(BadInput, match="no rows of metrics in that time"):
        read(made, T0 + 6000)


def test_deployments_and_labels_say_all_that_the_format_knows(tmp_path: Path) -> None:
    made = folder(
        tmp_path,
        metrics=metrics(f"{T0},a,m,1"),
        deployments=(
            "version,service,time,id,previous_version,environment,url,revision,author,kind,description\n"
            '1.10,a,2022-04-13T06:31:00Z,r,1.9,production,https://d.example/1,abc,me,rollback,"two\nlines"\n'
            f"2,b,{T0},,,,,,,,\n"
        ),
        labels=(
            "start,end,service,kind,signal,deployment,deployment_service,mitigated,lost,note\n"
            f"{T0},{T0 + 60},a,data_loss,kept,r,b,{T0 + 30},12.5,why\n{T0},{T0 + 60},b,no_data,,,,,,\n"
        ),
    )
    found = read(made)
    assert found.deployments == (
        Deployment(
            "r",
            T0 + 60,
            "a",
            "1.10",
            "1.9",
            "production",
            "https://d.example/1",
            "abc",
            "me",
            "rollback",
            "two\nlines",
        ),
        Deployment("b 2 2022-04-13T06:30:00Z", T0, "b", "2"),
    )
    assert found.labels[0] == Label(T0, T0 + 60, "a", "data_loss", "kept", "r", "b", T0 + 30, 12.5, "why")
    assert math.isnan(found.labels[1].lost)
    assert found.labelled


def test_no_labels_at_all_is_not_the_same_as_nothing_wrong(tmp_path: Path) -> None:
    made = folder(tmp_path, metrics=metrics(f"{T0},a,m,1"))
    assert not read(made).labelled
    (made / "labels.csv").write_text("start,end,service,kind\n")
    assert read(made).labelled


@given(st.integers(0, moments.LATEST - 1), st.integers(-14 * 4, 14 * 4))
def test_a_moment_is_the_same_in_every_offset(moment: int, quarters: int) -> None:
    local = datetime.fromtimestamp(moment, timezone(timedelta(minutes=15 * quarters)))
    assert moments.seconds(local.isoformat()) == moment
    assert moments.seconds(moments.rfc3339(moment)) == moment == moments.seconds(str(moment))
    assert moments.rfc3339(moment) == datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@given(st.text(max_size=30))
def test_a_text_is_a_moment_or_is_refused(text: str) -> None:
    try:
        assert 0 <= moments.seconds(text) < moments.LATEST
    except ValueError as error:
        assert "time" in str(error) or "offset" in str(error)


@settings(max_examples=100, deadline=None)
@given(
    st.text(
        st.sampled_from('time,service,metric,value\n\r"10NaN-é \t') | st.characters(codec="utf-8"),
        max_size=60,
    ),
    st.booleans(),
)
def test_any_text_is_a_dataset_or_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, text: str, headed: bool
) -> None:
    at = tmp_path_factory.mktemp("any")
    (at / "metrics.csv").write_text(
        ("time,service,metric,value\n" if headed else "") + text, encoding="utf-8", newline=""
    )
    try:
        read(at)
    except BadInput as refused:
        assert str(refused).isprintable()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_parquet_file_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    at = tmp_path_factory.mktemp("damaged")
    table = pd.DataFrame({"time": [T0, T0 + 60], "service": ["a", "b"], "metric": "m", "value": [1.0, 2.0]})
    raw = bytearray(table.to_parquet(index=False))
    for place, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)), max_size=3)
    ):
        raw[place] = byte
    (at / "metrics.parquet").write_bytes(
        bytes(raw[: data.draw(st.integers(0, len(raw)) | st.just(len(raw)))])
    )
    try:
        read(at)
    except BadInput as refused:
        assert str(refused).isprintable()


# There and back.

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=8)
names = texts | st.sampled_from(
    ["time", "service", "metric", "value", "version", "received", "attribute.time"]
)
keys = st.builds(
    SeriesKey,
    texts,
    texts,
    st.just("") | texts,
    st.dictionaries(names, texts, max_size=3).map(lambda d: tuple(sorted(d.items()))),
)
deployments = st.builds(
    Deployment,
    texts,
    st.integers(0, T0),
    texts.filter(str.strip),
    texts.filter(str.strip),
    kind=st.sampled_from(["deploy", "rollback", "config", "flag"]),
    description=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20),
    reported=st.integers(0, T0),
)


@st.composite
def recordings(draw: st.DrawFn) -> tuple[SeriesTable, Bins]:
    table = SeriesTable(draw(st.lists(keys, min_size=1, max_size=5, unique=True)))
    length = draw(st.integers(1, 6))
    value = st.just(math.nan) | st.integers(0, 10**9).map(float) | st.floats(0, 1e12)
    cells = st.lists(value, min_size=len(table), max_size=len(table))
    values = np.array(draw(st.lists(cells, min_size=length, max_size=length)))
    watched = np.array([True, *draw(st.lists(st.booleans(), min_size=length - 1, max_size=length - 1))])
    watched[-1] = True
    values[~watched] = np.nan
    late = draw(
        st.dictionaries(
            st.tuples(
                st.integers(0, length - 1), st.integers(0, length - 1), st.integers(0, len(table) - 1)
            ).filter(lambda cell: cell[0] > cell[1] and watched[cell[1]]),
            st.floats(0, 1e6),
            max_size=4,
        )
    )
    cell = np.array(sorted(late), dtype=np.int64).reshape(len(late), 3)
    count = np.array([late[key] for key in sorted(late)])
    closed = T0 + W * np.arange(1, length + 1, dtype=np.int64) + GRACE
    return table, Bins(
        T0, W, closed, values, watched, Late(cell[:, 0], T0 + W * cell[:, 1], cell[:, 2], count)
    )


def told(table: SeriesTable, bins: Bins) -> object:
    """All that a recording says, whatever the order of its series."""
    late = bins.late
    seen = {
        key: bins.values[:, i].tolist()
        for i, key in enumerate(table.keys)
        if not np.isnan(bins.values[:, i]).all() or i in late.row
    }
    lates = sorted(
        zip(
            late.interval.tolist(),
            late.start.tolist(),
            [table.keys[r] for r in late.row],
            late.count.tolist(),
            strict=True,
        )
    )
    return (
        {key: [None if math.isnan(v) else v for v in values] for key, values in seen.items()},
        lates, bins.start, bins.width, bins.closed.tolist(), bins.watched.tolist(),
    )  # fmt: skip


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=150, deadline=None)
@given(recordings(), st.lists(deployments, max_size=3, unique_by=lambda d: (d.id, d.service)))
def test_what_is_written_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, recording: tuple[SeriesTable, Bins], shipped: list[Deployment]
) -> None:
    at = tmp_path_factory.mktemp("there") / "and back"
    dataset.write(at, *recording, shipped)
    found = read(at)
    assert told(found.table, found.bins) == told(*recording)
    assert found.deployments == tuple(shipped)


def test_series_that_differ_only_in_an_empty_attribute_become_one(tmp_path: Path) -> None:
    table = SeriesTable([SeriesKey("a", "m"), SeriesKey("a", "m", "", (("region", ""),))])
    closed = np.array([T0 + W + GRACE])
    bins = Bins(T0, W, closed, np.array([[1.0, 2.0]]), np.array([True]))
    dataset.write(tmp_path, table, bins, ())
    assert counts(read(tmp_path)) == {SeriesKey("a", "m"): [3]}


@pytest.mark.slow
def test_a_million_rows_take_seconds(tmp_path: Path) -> None:
    minutes, services = 20_000, [f"s{i}" for i in range(50)]
    table = pd.DataFrame({"time": np.repeat(T0 + 60 * np.arange(minutes), len(services))})
    table["time"] = pd.to_datetime(table["time"], unit="s", utc=True).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    table["service"], table["metric"] = services * minutes, "m"
    table["value"] = np.random.default_rng(1).poisson(100, len(table))
    made = folder(tmp_path)
    table.to_csv(made / "metrics.csv", index=False)
    began = perf_counter()
    assert read(made).bins.values.shape == (minutes, len(services))
    assert perf_counter() - began < 10, "about 2 s on a machine that does nothing else"


def test_an_attribute_whose_name_is_blank_survives_the_way_through_a_file(tmp_path: Path) -> None:
    table = SeriesTable([SeriesKey("mail", "sent", "", ((" ", "x"),))])
    bins = Bins(T0, 60, np.array([T0 + 75]), np.array([[3.0]]), np.array([True]))
    dataset.write(tmp_path, table, bins, ())
    assert dataset.read(tmp_path, 60, 15).table.keys == table.keys


def test_gaps_are_times_in_which_nobody_listened(tmp_path: Path) -> None:
    rows = "".join(f"{T0 + 60 * i},a,m,{i}\n" for i in range(6))
    (tmp_path / "metrics.csv").write_text(f"time,service,metric,value\n{rows}")
    (tmp_path / "gaps.csv").write_text(f"start,end\n{T0 + 70},{T0 + 130}\n{T0 - 900},{T0 - 60}\n")
    found = dataset.read(tmp_path, 60, 15)
    assert found.bins.watched.tolist() == [True, False, False, True, True, True]
    dataset.write(tmp_path / "again", found.table, found.bins, ())
    again = dataset.read(tmp_path / "again", 60, 15).bins
    assert again.watched.tolist() == found.bins.watched.tolist()
    assert again.values.tolist() == found.bins.values.tolist()
    (tmp_path / "gaps.csv").write_text(f"start,end\n{T0},{T0}\n")
    with pytest.raises(BadInput, match=r"gaps\.csv: row 2, column end: .*, expected a time after start"):
        dataset.read(tmp_path, 60, 15)


def test_a_word_of_a_kind_that_nobody_knows_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text(
        "time,incident,kind,who\n2022-04-13T06:40:00Z,abc,acknowledge,anna\n2022-04-13T06:41:00Z,abc,shrug,ben\n"
    )
    with pytest.raises(BadInput, match=r"words\.csv.*3.*'shrug'.*expected one of acknowledge, not a problem"):
        read_words(tmp_path)
