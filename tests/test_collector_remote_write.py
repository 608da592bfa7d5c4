"""Bytes of remote write become readings: what is a count and whose it is, in both protocols and any layout."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus import (
    PLAIN_NAN,
    STALE,
    Typed,
    first,
    labels,
    metadata,
    native,
    number,
    part,
    sample,
    second,
    series,
    snappy,
    varint,
)

from collector.bins import SeriesKey
from collector.otlp import BadRequest
from collector.points import Readings
from collector.remote_write import Protocol, Reader, TooLarge, Written, unpack

T = 1_795_811_622_490  # ms
TARGET = {"job": "contact-importer", "instance": "10.0.0.7:8080"}
IMPORTS = TARGET | {"__name__": "imports_started_total"}


def read(*all_series: bytes, told: tuple[bytes, ...] = (), reader: Reader | None = None) -> Readings:
    return (reader or Reader()).read(first(all_series, told), "1.0").readings


def names(readings: Readings) -> list[str]:
    return [key.metric for key in readings.keys]


def called(name: str, value: float = 3, **more: str) -> bytes:
    return series(TARGET | {"__name__": name} | more, [(value, T)])


@pytest.mark.parametrize("value", [55.0, 0.0, 1e300, 0.5])
def test_a_sample_is_read_the_same_the_first_time_and_when_its_series_is_known(value: float) -> None:
    reader = Reader()
    for ms in (T, T + 15_000, 1000, 2**41, 2**45):
        got = read(series(IMPORTS | {"region": "eu"}, [(value, ms)]), reader=reader)
        key = SeriesKey("contact-importer", "imports_started_total", "", (("region", "eu"),))
        assert got.keys == (key,)
        assert got.value.tolist() == [value]
        assert got.time.tolist() == [min(ms, 2**63 // 10**6 - 1) * 10**6]
        assert got.cumulative.all()
        assert not got.start.any()


def test_labels_name_the_service_its_version_and_the_one_process_among_many() -> None:
    got = read(
        called("up", 1, pod="api-7", namespace="prod", prometheus_replica="b"),
        called("orders_total", service="orders", version="1.4.2", pod="api-7", namespace="prod", env="live"),
        called("orders_total", service_name="shop", service="orders", container="api", path="/a"),
    )
    assert got.keys == (
        SeriesKey(
            "orders",
            "orders_total",
            "1.4.2",
            (("deployment.environment.name", "live"), ("namespace", "prod")),
        ),
        SeriesKey("shop", "orders_total", "", (("path", "/a"), ("service", "orders"))),
    )


def test_processes_behind_one_series_are_told_apart_by_what_is_left_out_of_its_name() -> None:
    one, other = ({"instance": "a:1", "pod": "x"}, {"instance": "b:1", "pod": "y"})
    got = read(*(series(IMPORTS | who, [(3, T)]) for who in (one, other, one | {"pod": "z"})))
    assert len(set(got.keys)) == 1
    assert len(set(got.streams)) == 3


def test_two_equal_servers_tell_of_one_process() -> None:
    got = read(*(series(IMPORTS | {"__replica__": who}, [(3, T)]) for who in "ab"))
    assert len(set(got.keys)) == 1
    assert got.streams[0] == got.streams[1]
    assert got.tellers == ("a", "b")
    assert read(series(IMPORTS, [(3, T)])).tellers == ()


@pytest.mark.parametrize(
    ("told", "name", "counts"),
    [
        ((), "imports_total", True),
        ((), "imports", False),
        ((), "imports_created", False),
        ((), "threads_count", False),
        ((), "took_seconds_bucket", False),
        ((), "took_seconds_sum", False),
        ((metadata("imports", 1),), "imports", True),
        ((metadata("imports", 2),), "imports_total", False),
        ((metadata("imports_total", 2),), "imports_total", False),
        ((metadata("took_seconds", 3),), "took_seconds_count", True),
        ((metadata("took_seconds", 5),), "took_seconds_count", True),
        ((metadata("took_seconds", 4),), "took_seconds_count", False),
        ((metadata("threads_count", 2),), "threads_count", False),
        ((metadata("threads_count", 1),), "threads_count", True),
    ],
)
def test_what_is_a_count(told: tuple[bytes, ...], name: str, counts: bool) -> None:
    got = read(called(name), told=told)
    assert names(got) == [name] * counts
    assert got.skipped == ({} if counts else {"no count": 1})


def test_a_count_is_one_as_soon_as_its_sum_is_seen_in_whichever_order() -> None:
    reader = Reader()
    assert names(read(called("took_seconds_count"), reader=reader)) == []
    assert names(read(called("took_seconds_count"), called("other"), reader=reader)) == []
    assert names(read(called("took_seconds_sum"), reader=reader)) == []
    assert names(read(called("took_seconds_count"), reader=reader)) == ["took_seconds_count"]
    assert names(read(called("size_count"), called("size_bucket", le="1"), reader=reader)) == ["size_count"]
    assert names(read(called("size_count", quantile="0.5"), reader=reader)) == []


def test_what_metadata_says_later_holds_from_then_on() -> None:
    reader = Reader()
    assert names(read(called("imports_total"), reader=reader)) == ["imports_total"]
    assert names(read(told=(metadata("imports_total", 2),), reader=reader)) == []
    assert names(read(called("imports_total"), reader=reader)) == []


def test_stale_markers_and_no_numbers_measure_nothing() -> None:
    got = read(
        called("a_total", STALE), called("b_total", PLAIN_NAN), called("c_total", 0), called("up", STALE)
    )
    assert names(got) == ["c_total"]
    assert got.skipped == {"stale": 2, "not a number": 1}
    assert got.signs == ()


def test_a_target_that_is_reached_is_a_sign_of_life_and_one_that_is_not_is_none() -> None:
    got = read(called("up", 1), called("process_start_time_seconds", T / 1000 - 60), called("a_total"))
    (start, reached) = sorted(got.signs, key=lambda sign: -sign.start)
    assert (reached.time, reached.start) == (T * 10**6, 0)
    assert (start.time, start.start) == (T * 10**6, (T - 60_000) * 10**6)
    assert reached.instance == start.instance == got.streams[0].instance
    assert read(called("up", 0), called("process_start_time_seconds", float("inf"))).signs == ()


def test_labels_of_an_event_do_not_hide_whose_process_counted_it() -> None:
    """`region`, `pod` or `container` may be labels of the metric as well as of the target."""
    reader = Reader()
    read(series(TARGET | {"__name__": "up", "pod": "api-7", "cluster": "c"}, [(1, T)]), reader=reader)
    known = called("a_total", region="eu", container="x", pod="api-7", cluster="c")
    strange = called("a_total", region="eu", pod="another", cluster="c")
    got = read(known, strange, called("up", 1, pod="api-7", cluster="c"), reader=reader)
    instances = [got.streams[i].instance for i in got.stream.tolist()]
    assert instances[0] == got.signs[0].instance
    assert instances[1] != instances[0]


def test_what_an_exporter_serves_stands_for_itself() -> None:
    """It began before the exporter did: the start of that says nothing."""
    reader = Reader()
    about = called("up", 1), called("process_start_time_seconds", T / 1000 - 60)
    before = read(called("mysql_queries_total"), *about, reader=reader)
    assert before.signs[0].instance == before.streams[0].instance
    read(called("mysqld_exporter_build_info", 1), reader=reader)
    got = read(called("mysql_queries_total"), called("mysql_errors_total"), *about, reader=reader)
    assert len({stream.instance for stream in got.streams} | {sign.instance for sign in got.signs}) == 4


def test_what_was_known_of_processes_is_known_again_after_a_restart() -> None:
    reader, up = Reader(), called("up", 1, pod="api-7")
    first_one = read(called("a_total", pod="api-7"), up, reader=reader)
    names_of = [sign.instance for sign in first_one.signs]
    again = read(called("a_total", pod="api-7"), reader=Reader(names_of))
    assert again.streams == first_one.streams
    exporter = read(called("mysqld_exporter_build_info", 1), up, reader=reader)
    names_of += [sign.instance for sign in exporter.signs]
    alone = read(called("a_total", pod="api-7"), up, reader=Reader(names_of))
    assert alone.streams == read(called("a_total", pod="api-7"), reader=reader).streams != first_one.streams


def test_native_histograms_count_under_their_own_name() -> None:
    pairs = TARGET | {"__name__": "took_seconds"}
    got = Reader().read(
        first(
            [
                series(pairs, [], [native(7, T)]),
                series(pairs | {"stale": "yes"}, [], [native(0, T, STALE)]),
                series(pairs | {"gauge": "yes"}, [], [native(7, T, hint=3)]),
                series(pairs | {"empty": "yes"}, [], [native(0, T, 0.0)]),
            ]
        ),
        "1.0",
    )
    assert [(key.metric, key.attributes) for key in got.readings.keys] == [
        ("took_seconds", ()),
        ("took_seconds", (("empty", "yes"),)),
    ]
    assert got.readings.value.tolist() == [7, 0]
    assert got.readings.skipped == {"stale": 1, "no count": 1}
    assert (got.samples, got.histograms) == (0, 4)


def test_2_0_says_types_and_starts() -> None:
    start = T - 60_000
    got = Reader().read(
        second(
            [
                Typed(IMPORTS, [(3, T, start)], type_=1),
                Typed(TARGET | {"__name__": "plain"}, [(4, T, 0)], type_=1, created=start),
                Typed(TARGET | {"__name__": "gauge_total"}, [(5, T, 0)], type_=2),
                Typed(TARGET | {"__name__": "took_count"}, [(6, T, 0), (7, T + 1, 0)], type_=3),
                Typed(TARGET | {"__name__": "took_bucket", "le": "1"}, [(6, T, 0)], type_=3),
                Typed(
                    TARGET | {"__name__": "native"}, histograms=[native(8, T) + number(17, start)], type_=3
                ),
                Typed(TARGET | {"__name__": "up"}, [(1, T, 0)], type_=2),
            ]
        ),
        "2.0",
    )
    readings = got.readings
    assert list(zip(names(readings), readings.value.tolist(), strict=True)) == [
        ("imports_started_total", 3),
        ("plain", 4),
        ("took_count", 6),
        ("took_count", 7),
        ("native", 8),
    ]
    assert (readings.start // 10**6).tolist() == [start, start, 0, 0, start]
    assert readings.skipped == {"no count": 2}
    assert len(readings.signs) == 1
    assert (got.samples, got.histograms) == (7, 1)


def test_what_is_wrong_with_one_series_leaves_the_others() -> None:
    good = series(IMPORTS, [(3, T)])
    wrong = {
        "broken series": [b"\xff", good[:-3], b"\x0a\x7f"],
        "no metric name": [series(TARGET, [(3, T)]), series({"__name__": ""}, [(3, T)])],
        "broken labels": [
            labels(IMPORTS) + labels(IMPORTS) + part(2, sample(3, T)),
            part(1, part(1, b"") + part(2, b"x")) + good,
            part(1, part(1, b"\xff\xfe") + part(2, b"x")) + good,
            part(1, b"\xff\xff") + good,
            part(1, part(1, b"a") + part(2, b"x\0y")) + good,
        ],
        "too long labels": [
            series(IMPORTS | {"a": "x" * 5000}, [(3, T)]),
            series(IMPORTS | {f"a{i}": "x" for i in range(200)}, [(3, T)]),
        ],
    }
    got = read(*(one for ones in wrong.values() for one in ones), good)
    assert got.refused == {reason: len(ones) for reason, ones in wrong.items()}
    assert names(got) == ["imports_started_total"]


def test_memory_of_series_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.known_series.MOST_SERIES", 50)
    monkeypatch.setattr("collector.scraped.MOST", 20)
    reader = Reader()
    for i in range(500):
        who = {"job": f"j{i}", "instance": "x"}
        read(
            *(
                series(who | {"__name__": name}, [(1, T)])
                for name in ("up", f"a{i}_sum", f"a{i}_count", f"b{i}_exporter_build_info")
            ),
            told=(metadata(f"c{i}", 1),),
            reader=reader,
        )
    assert len(reader._known.number) <= 60
    lore = reader._lore
    assert max(len(one) for one in (lore.types, lore.summed, lore.targets, lore.exporters)) <= 20
    assert names(read(called("a_total"), reader=reader)) == ["a_total"]


# Any layout reads as the plain one.

PAIRS = st.dictionaries(
    st.sampled_from(["job", "instance", "region", "code", "path"]),
    st.text("aé0", min_size=1, max_size=4),
    max_size=4,
)
NAMES = st.sampled_from(["a_total", "b_total", "up", "c", "d_count", "d_sum", "e_bucket"])
VALUES = st.one_of(st.just(0.0), st.just(STALE), st.integers(0, 2**60).map(float), st.floats(0, 1e9))
TIMES = st.one_of(st.integers(T - 10**6, T + 10**6), st.integers(0, 2**45))


@st.composite
def worlds(draw: st.DrawFn) -> list[tuple[dict[str, str], list[tuple[float, int]]]]:
    rows = st.tuples(NAMES, PAIRS, st.lists(st.tuples(VALUES, TIMES), min_size=0, max_size=2))
    return [
        ({"__name__": name} | pairs, samples) for name, pairs, samples in draw(st.lists(rows, max_size=12))
    ]


def told(written: Written) -> tuple[object, ...]:
    of = written.readings
    rows = zip(
        of.keys, (of.streams[i] for i in of.stream.tolist()), of.time.tolist(), of.value.tolist(), strict=True
    )
    return sorted(rows, key=repr), sorted(of.signs), of.refused, of.skipped, written.samples


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(worlds(), st.lists(st.integers(0, 11), max_size=12))
def test_known_series_new_ones_and_any_layout_read_the_same(
    world: list[tuple[dict[str, str], list[tuple[float, int]]]], odd: list[int]
) -> None:
    def laid(i: int, pairs: dict[str, str], samples: list[tuple[float, int]]) -> bytes:
        if i not in odd:
            return series(pairs, samples)
        raw = b"".join(
            part(2, sample(*one)) for one in samples
        )  # samples first, labels last, fields unknown to us
        return raw + labels(pairs) + part(3, b"\x11" + bytes(8)) + varint(200 << 3) + varint(7)

    plain = first([series(*one) for one in world])
    other = first([laid(i, *one) for i, one in enumerate(world)])
    reader = Reader()
    reader.read(plain, "1.0")  # learn all names
    expected = told(reader.read(first([laid(0, *one) for one in world]), "1.0"))
    assert told(reader.read(plain, "1.0")) == expected
    assert told(reader.read(other, "1.0")) == expected
    fresh = Reader()
    fresh.read(plain, "1.0")
    assert told(fresh.read(other, "1.0")) == expected


# What comes from strangers.


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["1.0", "2.0"]), st.booleans())
@example(b"", "1.0", False)
def test_noise_is_refused_or_read_and_never_an_accident(
    noise: bytes, protocol: Protocol, wrapped: bool
) -> None:
    reader = Reader()
    whole = part(1 if protocol == "1.0" else 5, noise) if wrapped else noise
    try:
        got = reader.read(whole, protocol)
    except BadRequest as error:
        assert "\n" not in str(error)
    else:
        assert len(got.readings.keys) == len(got.readings.value)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(["1.0", "2.0"]))
def test_flipped_and_cut_bodies_are_refused_or_read_and_harm_nothing_after(
    data: st.DataObject, protocol: Protocol
) -> None:
    good: bytes = (
        first(
            [
                series(IMPORTS, [(3, T)]),
                called("up", 1),
                series(TARGET | {"__name__": "n"}, [], [native(3, T)]),
            ]
        )
        if protocol == "1.0"
        else second([Typed(IMPORTS, [(3, T, 0)], type_=1), Typed(TARGET | {"__name__": "up"}, [(1, T, 0)])])
    )
    reader = Reader()
    reader.read(good, protocol)
    broken = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for body in (bytes(broken), good[: data.draw(st.integers(0, len(good)))]):
        try:
            reader.read(body, protocol)
        except BadRequest as error:
            assert "\n" not in str(error)
    assert "imports_started_total" in names(reader.read(good, protocol).readings)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 40))
def test_what_is_packed_unpacks_and_what_is_broken_is_said_so(body: bytes, flip: int) -> None:
    packed = snappy(body)
    assert unpack(packed, 1000) == body
    broken = bytearray(packed)
    broken[flip % len(broken)] ^= 1 << flip % 8
    try:
        assert len(unpack(bytes(broken), 1000)) <= 1000
    except (BadRequest, TooLarge) as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (varint(10**9) + b"\xfe\x01\x00" * 10, TooLarge),
        (varint(900) + b"\x00a", BadRequest),
        (b"\xff" * 5, BadRequest),
        (b"", BadRequest),
        (b"\x80", BadRequest),
        (varint(5) + b"\x10hell", BadRequest),
        (snappy(bytes(2000)), TooLarge),
    ],
)
def test_a_bomb_is_refused_by_its_length_before_it_is_unpacked(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        unpack(body, 1000)


def test_a_length_that_the_body_cannot_hold_is_not_believed() -> None:
    with pytest.raises(BadRequest):
        unpack(varint(16 * 1024 * 1024) + b"\x00a" * 50, 2**24)
