"""Series that are read many at a time count what they count read one by one, as anybody would write it down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus import (
    PLAIN_NAN,
    STALE,
    double,
    first,
    labels,
    metadata,
    native,
    number,
    part,
    sample,
    varint,
)

from collector.binner import Binner
from collector.bins import SeriesKey, SeriesTable
from collector.counters import Counters
from collector.points import Readings, Sign, Stream
from collector.remote_write import Reader
from collector.remote_write_wire import pair, pairs, split
from collector.scraped import ONE_OF_MANY, Lore, Role

NOON = 1_795_780_800
FIRST = (NOON + 100) * 1000  # ms
MILLIS = 1_000_000


class Told(NamedTuple):
    """One series of a request. native: its values are those of native histograms; wrong: it has no labels that can
    be read; layout: how it is written."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, int]]
    native: bool = False
    layout: str = "plain"
    wrong: bool = False


class Meaning(NamedTuple):
    role: Role
    key: SeriesKey
    stream: Stream
    teller: str


def meaning(labels: Mapping[str, str], lore: Lore, native: bool) -> Meaning:
    """What one series is, from its labels."""

    def the_first(*names: str) -> str:
        return next((name for name in names if name in labels), "")

    name = labels["__name__"]
    service, version = the_first("service_name", "service", "job"), the_first("service_version", "version")
    environment = the_first("deployment_environment_name", "environment", "env")
    teller = the_first("prometheus_replica", "__replica__")
    apart = {n: v for n, v in labels.items() if n in ONE_OF_MANY or n in (service, version)}
    rest = {n: v for n, v in labels.items() if n not in apart and n != "__name__" and "replica" not in n}
    if environment:
        rest["deployment.environment.name"] = rest.pop(environment)
    key = SeriesKey(
        labels.get(service, "unknown_service"), name, labels.get(version, ""), tuple(sorted(rest.items()))
    )

    def joined(pairs: Iterable[tuple[str, str]]) -> str:
        return "\0".join(text for pair in sorted(pairs) for text in pair)

    role = lore.role(name, 0, native, "le" in labels)
    process = lore.process(labels)
    if role == Role.EXPORTER:
        process, apart = "\0".join(("exporter", labels.get("job", ""), labels.get("instance", ""))), {}
    elif process is None:
        process = joined((n, v) for n, v in labels.items() if "replica" not in n)
    return Meaning(role, key, Stream(process, joined(apart.items())), labels.get(teller, ""))


@dataclass
class OneByOne:
    """Reads requests without remembering anything but what names and targets are."""

    lore: Lore = field(default_factory=Lore)

    def read(self, request: Iterable[Told], types: Iterable[tuple[str, int]]) -> Readings:
        for family, type_ in types:
            self.lore.type(family, type_)
        whole = [told._replace(labels={n: v for n, v in told.labels.items() if v}) for told in request]
        for told in whole:
            if not told.wrong:
                self.lore.look(told.labels)
        rows: list[tuple[Meaning, float, int]] = []
        signs: list[Sign] = []
        refused, skipped = Counter[str](), Counter[str]()
        for told in whole:
            if told.wrong:
                refused["broken labels"] += max(len(told.samples), 1)
                continue
            means = meaning(told.labels, self.lore, told.native)
            for value, ms in told.samples:
                if means.role == Role.NOT_NEEDED:
                    skipped["no count"] += 1
                elif np.isnan(value):
                    is_stale = np.float64(value).view(np.int64) == np.float64(STALE).view(np.int64)
                    skipped["stale" if is_stale else "not a number"] += 1
                elif means.role == Role.COUNT:
                    rows.append((means, value, ms))
                elif value > 0:
                    start = int(value * 1000) * MILLIS if means.role == Role.START else 0
                    signs.append(Sign(means.stream.instance, ms * MILLIS, start))
        tellers = list(dict.fromkeys((means.stream, means.teller) for means, _, _ in rows))
        return Readings(
            keys=tuple(means.key for means, _, _ in rows),
            streams=tuple(stream for stream, _ in tellers),
            stream=np.array([tellers.index((means.stream, means.teller)) for means, _, _ in rows], np.int64),
            start=np.zeros(len(rows), np.int64),
            time=np.array([ms * MILLIS for _, _, ms in rows], np.int64),
            value=np.array([value for _, value, _ in rows], np.float64),
            cumulative=np.ones(len(rows), np.bool_),
            refused=refused,
            skipped=skipped,
            signs=tuple(signs),
            tellers=tuple(teller for _, teller in tellers) if any(teller for _, teller in tellers) else (),
        )


def written(told: Told) -> bytes:
    """A TimeSeries of 1.0."""
    pairs = dict(told.labels)
    if told.layout == "unsorted":
        names = b"".join(labels({name: value}) for name, value in sorted(pairs.items(), reverse=True))
    else:
        names = labels(pairs)
    if told.wrong:
        names += labels(pairs)
    if told.native:
        histograms = [native(int(value), ms) for value, ms in told.samples if value == value]
        return names + b"".join(part(4, one) for one in histograms)
    samples = b"".join(part(2, sample(*one)) for one in told.samples)
    if told.layout == "samples first":
        return samples + names
    if told.layout == "an exemplar":
        return names + samples + part(3, double(2, 1.0) + number(3, 5))
    if told.layout == "a field of the future" and names:
        return (
            names[: len(labels(dict([min(pairs.items())])))]
            + varint(200 << 3)
            + varint(7)
            + (names[len(labels(dict([min(pairs.items())]))) :] + samples)
        )
    if told.layout == "long-winded":  # a size in two bytes that would fit in one
        size, rest = names[1], names[2:]
        return (names[:1] + bytes([size | 0x80, 0]) + rest if size < 0x80 else names) + samples
    return names + samples


TARGETS = (
    {"job": "shop", "instance": "a:80"},
    {"job": "shop", "instance": "b:80", "cluster": "here"},
    {"job": "shop", "instance": "b:80", "cluster": "there", "pod": "x"},
    {"instance": "c:80"},
)
METRICS = (
    ("up", {}),
    ("process_start_time_seconds", {}),
    ("orders_total", {"region": "eu"}),
    ("orders_total", {"region": "us", "env": "live", "version": "1"}),
    ("orders_total", {"service": "cart", "path": "/" + "x" * 130, "zone": "ü"}),
    ("orders_total", {"region": "", "prometheus_replica": "b"}),
    ("took_count", {}),
    ("took_count", {"quantile": "", "service_name": "cart"}),
    ("took_sum", {}),
    ("took_bucket", {"le": "1"}),
    ("loss_count", {"__replica__": "a"}),
    ("x_exporter_build_info", {"version": "2"}),
    ("threads", {}),
)
LAYOUTS = (
    "plain",
    "plain",
    "plain",
    "unsorted",
    "samples first",
    "an exemplar",
    "a field of the future",
    "long-winded",
)


@st.composite
def series(draw: st.DrawFn) -> Told:
    name, more = draw(st.sampled_from(METRICS))
    target = draw(st.sampled_from(TARGETS))
    if name == "process_start_time_seconds":
        values = st.integers(NOON - 50, NOON + 200).map(float)
    else:
        values = st.one_of(st.integers(0, 6).map(float), st.sampled_from([STALE, PLAIN_NAN]))
    times = st.integers(0, 20).map(lambda turn: FIRST + turn * 15_000)
    is_native = name == "threads" and draw(st.booleans())
    samples = draw(st.lists(st.tuples(values, times), min_size=1 - draw(st.booleans()), max_size=3))
    if is_native:
        samples = [one for one in samples if one[0] == one[0]]
    layout = "plain" if is_native and not samples else draw(st.sampled_from(LAYOUTS))
    return Told(
        {"__name__": name} | target | more,
        samples,
        is_native and bool(samples),
        layout,
        draw(st.integers(0, 30)) == 30,
    )


requests = st.tuples(
    st.lists(series(), max_size=10),
    st.lists(st.tuples(st.sampled_from(["threads", "loss", "orders"]), st.integers(1, 4)), max_size=1),
    st.sampled_from(["", "", "", "the reader begins anew", "all begins anew"]),
)


def rows(readings: Readings) -> list[tuple[object, ...]]:
    of = [readings.streams[i] for i in readings.stream.tolist()]
    by = [readings.tellers[i] if readings.tellers else "" for i in readings.stream.tolist()]
    return list(zip(readings.keys, of, by, readings.time.tolist(), readings.value.tolist(), strict=True))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(requests, max_size=8))
def test_many_at_a_time_count_what_they_count_one_by_one(
    world: list[tuple[list[Told], list[tuple[str, int]], str]],
) -> None:
    reader, plain = Reader(), OneByOne()
    ours, theirs = (Counters(NOON) for _ in "ab")
    our_table, their_table = SeriesTable(), SeriesTable()
    our_bins, their_bins = (Binner(15, 5, NOON, table) for table in (our_table, their_table))
    for turn, (request, types, then) in enumerate(world):
        now = FIRST / 1000 + 300 + turn
        got = reader.read(first(map(written, request), [metadata(*one) for one in types]), "1.0").readings
        wanted = plain.read(request, types)
        assert rows(got) == rows(wanted)
        assert got.signs == wanted.signs
        assert (got.refused, got.skipped) == (wanted.refused, wanted.skipped)
        our_bins.add(ours.count(got, our_table, now), now)
        their_bins.add(theirs.count(wanted, their_table, now), now)
        if then:
            processes = sorted(ours.processes)
            assert processes == sorted(theirs.processes)
            reader, plain = Reader(processes), OneByOne()
            for process in processes:
                plain.lore.remember(process)
        if then == "all begins anew":
            ours, theirs = Counters.restore(ours.state()), Counters.restore(theirs.state())
    assert our_table.keys == their_table.keys
    ends = FIRST / 1000 + 600
    one, other = our_bins.close(ends), their_bins.close(ends)
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.late.count, other.late.count)


texts = st.one_of(
    st.text("aé\0", max_size=3).map(str.encode), st.sampled_from([b"\xff", b"x" * 130, b"y" * 2049])
)
a_label = st.builds(lambda name, value: part(1, name) + part(2, value), texts, texts)
odd_labels = st.one_of(
    a_label,
    a_label.map(lambda raw: raw[:-1]),
    st.builds(lambda name, value: part(2, value) + part(1, name), texts, texts),
    st.lists(st.tuples(st.integers(1, 3), texts), max_size=3).map(
        lambda fields: b"".join(part(at, text) for at, text in fields)
    ),
    st.binary(max_size=6),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(odd_labels, min_size=1, max_size=4), st.lists(a_label, max_size=3))
def test_labels_that_are_read_in_one_are_what_each_is_by_itself(odd: list[bytes], good: list[bytes]) -> None:
    for raw in (odd, good + odd, odd + good, good):
        assert not raw or pairs(raw) == [pair(one) for one in raw]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(odd_labels, max_size=3), max_size=4), st.binary(max_size=4), st.integers(0, 4))
def test_series_that_are_split_in_one_hold_nothing_but_their_labels(
    world: list[list[bytes]], noise: bytes, at: int
) -> None:
    whole = [b"".join(part(1, raw) for raw in one) for one in world]
    cut = split(whole)
    assert cut is not None
    assert cut[0] == [raw for one in world for raw in one]
    assert cut[1].tolist() == [len(one) for one in world]
    cut = split([*whole[:at], noise, *whole[at:]])
    if cut is not None:
        assert b"".join(part(1, raw) for raw in cut[0]) == b"".join([*whole[:at], noise, *whole[at:]])
