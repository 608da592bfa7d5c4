"""Running totals become counts: what services counted is what comes out, whatever happens on the way."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import counters as counters_module
from collector.binner import Binner
from collector.bins import SeriesKey, SeriesTable
from collector.counters import SETTLE, Counters
from collector.points import NANOS, Catalogue, Limits, Points, Readings, Stream

IMPORTS = SeriesKey("contact-importer", "imports_started")
FAILED = SeriesKey("contact-importer", "imports_failed")
NOON = 1_649_851_200


def reading(
    time: float,
    value: float,
    *,
    start: float = 0,
    key: SeriesKey = IMPORTS,
    instance: str = "a",
    cumulative: bool = True,
) -> Readings:
    """One data point; times are seconds after noon, start 0 = not said."""
    return readings([(time, value, start, key, instance, cumulative)])


def readings(rows: list[tuple[float, float, float, SeriesKey, str, bool]]) -> Readings:
    def nanos(seconds: float) -> int:
        return round((NOON + seconds) * 1000) * (NANOS // 1000)

    streams = list(dict.fromkeys(Stream(row[4], "s") for row in rows))
    return Readings(
        keys=tuple(row[3] for row in rows),
        streams=tuple(streams),
        stream=np.array([streams.index(Stream(row[4], "s")) for row in rows], dtype=np.int64),
        start=np.array([nanos(row[2]) if row[2] else 0 for row in rows], dtype=np.int64),
        time=np.array([nanos(row[0]) for row in rows], dtype=np.int64),
        value=np.array([row[1] for row in rows], dtype=np.float64),
        cumulative=np.array([row[5] for row in rows], dtype=np.bool_),
    )


class Ear:
    """Counters that listen from noon on, and what they made of each export."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.counters = Counters(NOON, limits)
        self.table = SeriesTable()

    def hear(self, what: Readings, at: float | None = None) -> list[tuple[float, float, float]]:
        """(start, end, count) in seconds after noon, of the points that `what` became."""
        now = NOON + at if at is not None else float(what.time.max() / NANOS)
        points = self.counters.count(what, self.table, now)
        return [
            (round(start / NANOS - NOON, 3), round(end / NANOS - NOON, 3), count)
            for start, end, count in zip(points.start, points.end, points.count, strict=True)
        ]


def test_a_total_counts_what_it_grew_since_the_last() -> None:
    ear = Ear()
    ear.hear(reading(10, 4, start=1))
    assert ear.hear(reading(20, 9, start=1)) == [(10, 20, 5)]


def test_no_growth_is_measured_zero_and_not_silence() -> None:
    ear = Ear()
    ear.hear(reading(10, 4, start=1))
    assert ear.hear(reading(20, 4, start=1)) == [(10, 20, 0)]


def test_the_first_total_of_a_process_that_began_while_we_listened_counts_whole() -> None:
    assert Ear().hear(reading(10, 4, start=1)) == [(1, 10, 4)]


@pytest.mark.parametrize("start", [-86400 * 3, 0], ids=["began days ago", "does not say when it began"])
def test_we_begin_to_listen_to_a_long_running_process_without_a_burst(start: float) -> None:
    ear = Ear()
    assert ear.hear(reading(10, 5_000_000, start=start)) == []
    assert ear.hear(reading(20, 5_000_007, start=start)) == [(10, 20, 7)]


@pytest.mark.parametrize("start", [-86400 * 3, 0])
def test_the_first_error_of_a_long_running_process_counts(start: float) -> None:
    ear = Ear()
    for time in range(10, 100, 10):
        ear.hear(reading(time, 5_000_000, start=start))
    born = 10 + SETTLE + 10
    assert ear.hear(reading(born, 3, start=start, key=FAILED)) == [(90, born, 3)]


def test_another_exporter_of_a_process_just_heard_makes_no_burst() -> None:
    ear = Ear()
    ear.hear(reading(1, 10, start=-9000))
    assert ear.hear(reading(SETTLE - 1, 8_000_000, start=-9000, key=FAILED)) == []


def test_a_total_that_falls_began_anew_and_counts_whole() -> None:
    ear = Ear()
    ear.hear(reading(10, 40, start=1))
    assert ear.hear(reading(20, 3, start=1)) == [(10, 20, 3)]


def test_a_repeat_and_an_older_report_change_nothing() -> None:
    ear = Ear()
    ear.hear(reading(10, 4, start=1))
    ear.hear(reading(30, 9, start=1))
    assert ear.hear(reading(30, 9, start=1), at=31) == []
    assert ear.hear(reading(20, 6, start=1), at=31) == []
    assert ear.hear(reading(40, 10, start=1)) == [(30, 40, 1)]


def test_the_old_process_may_report_after_the_new_one_began() -> None:
    ear = Ear()
    ear.hear(reading(10, 4, start=1))
    assert ear.hear(reading(20, 2, start=15)) == [(15, 20, 2)]
    assert ear.hear(reading(14, 7, start=1), at=21) == [(10, 14, 3)]


def test_processes_behind_one_series_keep_totals_of_their_own() -> None:
    ear = Ear()
    both = [(10.0, 100.0, 1.0, IMPORTS, "a", True), (10.0, 7.0, 1.0, IMPORTS, "b", True)]
    assert ear.hear(readings(both)) == [(1, 10, 100), (1, 10, 7)]
    assert ear.hear(reading(20, 8, start=1, instance="b")) == [(10, 20, 1)]
    assert len(ear.table) == 1


def test_several_reports_of_one_life_in_a_request_count_once_each() -> None:
    ear = Ear()
    rows = [(time, total, 1.0, IMPORTS, "a", True) for time, total in [(30.0, 9.0), (10.0, 4.0), (20.0, 6.0)]]
    assert ear.hear(readings([*rows, rows[0]])) == [(1, 10, 4), (10, 20, 2), (20, 30, 3)]


def test_deltas_pass_and_one_told_again_counts_once() -> None:
    ear = Ear()
    assert ear.hear(reading(10, 4, start=5, cumulative=False)) == [(5, 10, 4)]
    assert ear.hear(reading(20, 6, start=15, cumulative=False)) == [(15, 20, 6)]
    assert ear.hear(reading(15, 5, start=10, cumulative=False), at=21) == [(10, 15, 5)]
    assert ear.hear(reading(10, 4, start=5, cumulative=False), at=22) == []


def test_a_delta_left_out_by_a_process_that_reports_is_measured_zero() -> None:
    ear = Ear()
    ear.hear(readings([(10, 4, 5, IMPORTS, "a", False), (10, 1, 5, FAILED, "a", False)]))
    assert ear.hear(reading(15, 3, start=10, cumulative=False)) == [(10, 15, 3), (10, 15, 0)]


def test_what_is_refused_is_told_by_reason_and_changes_nothing() -> None:
    ear = Ear()
    ear.hear(reading(10, 4, start=1))
    wrong = [(20.0, float("nan")), (20.0, float("inf")), (20.0, -1.0), (9000.0, 900.0), (-90000.0, 1.0)]
    points = ear.counters.count(
        readings([(time, value, 1, IMPORTS, "a", True) for time, value in wrong]), ear.table, NOON + 20
    )
    assert points.refused == {"not finite": 2, "negative": 1, "far future": 1, "too old": 1}
    assert len(points) == 0
    assert ear.hear(reading(30, 9, start=1)) == [(10, 30, 5)]


def test_a_request_without_counts_is_nothing() -> None:
    ear = Ear()
    assert len(ear.counters.count(readings([]), ear.table, NOON)) == 0


def test_a_flood_of_names_stops_at_the_limit_and_known_series_go_on() -> None:
    ear = Ear(Limits(series=2))
    keys = [SeriesKey("s", f"m{i}") for i in range(5)]
    flood = readings([(10, 1, 1, key, "a", True) for key in keys])
    points = ear.counters.count(flood, ear.table, NOON + 10)
    assert (len(ear.table), points.refused) == (2, {"too many series": 3})
    assert ear.hear(reading(20, 3, start=1, key=keys[0])) == [(10, 20, 2)]


def test_what_was_silent_for_long_is_forgotten_and_comes_back_without_a_burst() -> None:
    ear = Ear()
    day = 86400.0
    ear.hear(reading(10, 4, start=1))
    ear.hear(reading(20, 1, start=5, instance="b", cumulative=False))
    for hours in range(1, 60):
        ear.hear(reading(hours * 3600, hours, start=1, instance="other"))
    lives = ear.counters.state()["lives"]
    assert len(lives) == 1
    assert ear.hear(reading(2.5 * day, 9000, start=1)) == []
    assert ear.hear(reading(2.5 * day + 10, 9001, start=1)) == [(2.5 * day, 2.5 * day + 10, 1)]
    assert ear.hear(reading(2.5 * day + 10, 60, start=1, instance="other")) == [
        (59 * 3600, 2.5 * day + 10, 1)
    ]


@dataclass(frozen=True, repr=False)
class Export:
    """What one process says at one moment."""

    time: float
    arrives: float
    what: Readings

    def __repr__(self) -> str:
        said = self.what
        starts, totals = (said.start / NANOS - NOON).tolist(), said.value.tolist()
        whose = [said.streams[i].instance for i in said.stream.tolist()]
        return f"\n{self.arrives:.1f}: of {self.time:.2f} {whose} since {starts} {totals}"


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[Export], float, bool]:
    """Exports of processes that come, go and come again, in the order of arrival, what they counted, and whether
    running totals of several of them have one name."""
    exports: list[Export] = []
    truth, of_one_name = 0.0, 0
    for instance in range(draw(st.integers(1, 3))):
        cumulative = draw(st.booleans())
        shared = draw(st.booleans())  # processes without a name of their own share one
        of_one_name += cumulative and shared
        time = draw(st.integers(1, 20)) + instance / 10
        for _ in range(draw(st.integers(1, 3))):
            start, last, total = time, time, 0.0
            for _ in range(draw(st.integers(1, 6))):
                time += draw(st.integers(30, 120)) / 10
                grown = draw(st.integers(0, 30))
                total += grown
                truth += grown
                said = (
                    reading(time, total, start=start, instance="x" if shared else str(instance))
                    if cumulative
                    else reading(
                        time, grown, start=last, cumulative=False, instance="x" if shared else str(instance)
                    )
                )
                last = time
                for _ in range(draw(st.integers(1, 2))):  # told once or twice, each in its own time
                    exports.append(Export(time, time + draw(st.integers(0, 200)) / 10, said))
            time += draw(st.integers(1, 200)) / 10
    return sorted(exports, key=lambda export: export.arrives), truth, of_one_name > 1


@settings(max_examples=150, deadline=None)
@given(lives(), st.integers(0, 40), st.integers(0, 2**32))
def test_counts_add_up_to_what_the_services_counted_whatever_the_order_repeats_and_restarts(
    world: tuple[list[Export], float, bool], restart_at: int, seed: int
) -> None:
    exports, truth, of_one_name = world
    got = counted(exports, restart_at, seed)
    # Whether one of several with one name has begun, or another one goes on, is known when both were heard again.
    assert got <= truth if of_one_name else got == truth


def counted(exports: list[Export], restart_at: int, seed: int) -> float:
    """All that comes out, with a restart of ours before one of the exports and ticks of the clock by the seed."""
    table = SeriesTable()
    counters, binner = Counters(NOON), Binner(5, 10, NOON, table)
    got = 0.0
    for i, export in enumerate(exports):
        now = NOON + export.arrives
        if i == restart_at:
            counters = Counters.restore(counters.state())
            binner = Binner.restore(binner.state(), table, now)
        assert binner.add(counters.count(export.what, table, now), now) == {}
        if (seed >> (i % 32)) & 1:  # the clock ticks now and then
            block = binner.close(now - 10)
            got += np.nansum(block.values) + block.late.count.sum()
    block = binner.close(NOON + max(export.arrives for export in exports) + 100)
    return float(got + np.nansum(block.values) + block.late.count.sum())


@st.composite
def namesakes(draw: st.DrawFn) -> tuple[list[Export], float]:
    """Exports of several processes with one name, in the order of arrival, and what they counted. The last one of
    each comes after the first of all others."""
    exports: list[Export] = []
    truth = 0.0
    for process in range(draw(st.integers(2, 4))):
        start = draw(st.integers(1, 60)) + process / 10
        totals = [0, 0]
        steps = draw(st.integers(1, 8))
        for step in range(steps + 1):
            time = 70 + 10 * step + draw(st.integers(0, 90)) / 10 if step < steps else 200
            time += process / 100
            grown = [draw(st.integers(0, 9)) for _ in totals]
            totals = [total + more for total, more in zip(totals, grown, strict=True)]
            truth += sum(grown)
            rows = [
                (time, total, start, key, "x", True)
                for total, key in zip(totals, (IMPORTS, FAILED), strict=True)
            ]
            exports += [
                Export(time, time + late / 10, readings(rows))
                for late in (
                    draw(st.lists(st.integers(0, 200), min_size=1, max_size=2)) if step < steps else [0]
                )
            ]
    return sorted(exports, key=lambda export: export.arrives), truth


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(namesakes(), st.integers(0, 40), st.integers(0, 2**32))
def test_several_processes_with_one_name_that_go_on_are_told_apart_by_their_starts(
    world: tuple[list[Export], float], restart_at: int, seed: int
) -> None:
    exports, truth = world
    assert counted(exports, restart_at, seed) == truth


@st.composite
def wobbling(draw: st.DrawFn) -> tuple[list[Export], float]:
    """Exports of one process after another whose start is told otherwise each time, and what they counted.

    By a little, or by so much that it may be any time before the last export. A restart is seen by the totals.
    """
    little, every = draw(st.booleans()), draw(st.sampled_from((1, 10, 60, 300)))
    exports: list[Export] = []
    time, truth, said = draw(st.integers(2, 9)) * 1.0, 0.0, set[int]()
    totals = [0, 0]
    for life in range(draw(st.integers(1, 3))):
        begun, most, totals = time, [max(total - 1, 0) if life else 9 for total in totals], [0, 0]
        for _ in range(draw(st.integers(1, 12))):
            last, time = time, time + every + draw(st.integers(0, 10)) / 100
            grown = [draw(st.integers(0, more)) for more in most]
            most = [9, 9]
            totals = [total + more for total, more in zip(totals, grown, strict=True)]
            truth += sum(grown)
            between = (begun, begun + 0.9) if little else (1.0, last)
            edges = (round(edge * 1000) for edge in between)
            start = draw(st.integers(*edges).filter(lambda n: n not in said))
            said.add(start)
            rows = [
                (time, total, start / 1000, key, "x", True)
                for total, key in zip(totals, (IMPORTS, FAILED), strict=True)
            ]
            exports.append(Export(time, time + draw(st.integers(0, 9)) / 10, readings(rows)))
        time += draw(st.integers(10, 100)) / 10
    return exports, truth


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(wobbling(), st.integers(0, 40), st.integers(0, 2**32))
def test_counts_add_up_of_senders_whose_start_is_another_in_each_export(
    world: tuple[list[Export], float], restart_at: int, seed: int
) -> None:
    exports, truth = world
    assert counted(exports, restart_at, seed) == truth


@settings(max_examples=60, deadline=None)
@given(lives(), st.integers(0, 30))
def test_kept_and_taken_back_at_any_moment_it_goes_on_the_same(
    world: tuple[list[Export], float, bool], cut: int
) -> None:
    def points(again: bool) -> list[Points]:
        counters, table, out = Counters(NOON), SeriesTable(), []
        for i, export in enumerate(world[0]):
            if again and i == cut:
                counters = Counters.restore(counters.state())
            out.append(counters.count(export.what, table, NOON + export.arrives))
        return out

    for whole, resumed in zip(points(False), points(True), strict=True):
        for name in ("row", "start", "end", "count"):
            np.testing.assert_array_equal(getattr(whole, name), getattr(resumed, name))


def numbered(said: Readings, catalogue: Catalogue, numbers: dict[tuple[SeriesKey, Stream], int]) -> Readings:
    """The same readings, as a decoder hands them on that has seen their names before."""
    counter = []
    for key, place in zip(said.keys, said.stream.tolist(), strict=True):
        named = key, said.streams[place]
        if named not in numbers:
            numbers[named] = catalogue.add(*named)
        counter.append(numbers[named])
    return replace(said, catalogue=catalogue, counter=np.array(counter, dtype=np.int64))


exported = st.lists(
    st.tuples(
        st.integers(1, 600),
        st.integers(0, 20),
        st.sampled_from([0, 1, 50]),
        st.sampled_from([IMPORTS, FAILED, SeriesKey("b", "m")]),
        st.sampled_from("xyz"),
        st.sampled_from([True, True, False]),
    ),
    max_size=4,
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(exported, max_size=8), st.integers(1, 4), st.sampled_from([1, 70, 500, 2000]))
def test_numbers_of_a_catalogue_are_a_short_cut_and_nothing_else(
    exports: list[list[tuple[float, float, float, SeriesKey, str, bool]]], room: int, every: int
) -> None:
    limits = Limits(series=room + 1, per_service=room, counters=room + 2)
    plain, short = Ear(limits), Ear(limits)
    catalogue, numbers = Catalogue(), dict[tuple[SeriesKey, Stream], int]()
    for i, rows in enumerate(exports):
        said, now = readings([(i * every + row[0], *row[1:]) for row in rows]), NOON + 600 + i * every
        one = plain.counters.count(said, plain.table, now)
        other = short.counters.count(numbered(said, catalogue, numbers), short.table, now)
        for name in ("row", "start", "end", "count"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert one.refused == other.refused
        assert plain.table.keys == short.table.keys
    assert plain.counters.crowded == short.counters.crowded


def test_a_flood_of_new_series_is_refused_by_service_and_those_that_are_known_go_on() -> None:
    limits = Limits(series=40, per_service=10)
    ear = Ear(limits)
    ear.hear(reading(10, 5, start=1))
    for i in range(100):
        ear.hear(reading(20, 5, start=1, key=SeriesKey("flooder", "m", "", (("user", str(i)),))))
    for i in range(3):
        ear.hear(reading(30, 5, start=1, key=SeriesKey("other", "m", "", (("path", str(i)),))))
    refused = ear.counters.count(
        reading(31, 9, start=1, key=SeriesKey("flooder", "m", "", (("user", "new"),))), ear.table, NOON + 31
    ).refused
    assert refused == {"too many series of one service": 1}
    assert len(ear.table) == 1 + 10 + 3
    assert ear.counters.crowded == {"flooder": 91}
    assert ear.hear(reading(40, 8, start=1)) == [(10, 40, 3)]
    assert ear.hear(reading(40, 8, start=1, key=SeriesKey("flooder", "m", "", (("user", "3"),)))) == [
        (20, 40, 3)
    ]


def test_there_is_a_limit_over_all_services_which_counts_those_that_were_kept() -> None:
    ear = Ear(Limits(series=3, per_service=2))
    ear.table = SeriesTable([SeriesKey("kept", "m"), SeriesKey("kept", "n")])
    for name in ("kept", "a", "b", "c"):
        ear.hear(reading(10, 5, start=1, key=SeriesKey(name, "new")))
    assert [key.service for key in ear.table.keys] == ["kept", "kept", "a"]
    assert ear.counters.crowded == {"kept": 1, "b": 1, "c": 1}


def test_running_totals_have_a_limit_and_those_that_are_followed_go_on() -> None:
    ear = Ear(Limits(counters=5))
    for i in range(8):
        said = readings([(10, 3, 1, IMPORTS, f"pod {i}", True)])
        points = ear.counters.count(said, ear.table, NOON + 10)
        assert points.refused == ({} if i < 5 else {"too many counters": 1})
    assert ear.hear(readings([(20, 4, 1, IMPORTS, "pod 0", True)])) == [(10, 20, 1)]
    assert ear.counters.crowded == {"contact-importer": 3}


@pytest.mark.parametrize("limits", [Limits(per_service=1), Limits(series=1), Limits(counters=1)])
@pytest.mark.parametrize("start", [-99_999, None])
def test_what_there_was_no_room_for_makes_no_burst_once_there_is(limits: Limits, start: float | None) -> None:
    ear, other = Ear(limits), SeriesKey("contact-importer", "other")
    begun = 0 if start is None else start

    def said(at: float, grown: float) -> Readings:
        return readings(
            [(at, 5 + grown, begun, IMPORTS, "p", True), (at, 1e6 + grown, begun, other, "p", True)]
        )

    for i in range(20):
        ear.hear(said(10 * i + 1, i))
    assert ear.counters.crowded["contact-importer"] == 20
    ear.counters = Counters.restore(ear.counters.state(), Limits())
    assert ear.hear(said(201, 25)) == [(191, 201, 6)]
    assert ear.hear(said(211, 28)) == [(201, 211, 3), (201, 211, 3)]


@pytest.mark.parametrize("start", [-99_999, 0, 1])
def test_other_names_for_the_same_counters_make_no_burst(start: float) -> None:
    ear, renamed = Ear(), SeriesKey("contact-importer", "imports_total", "", (("region", "eu"),))
    ear.counters.named("as before", NOON)
    for i in range(20):
        ear.hear(reading(10 * i + 2, 1e6 + i, start=start))
    state = ear.counters.state()
    for naming, expected in (("as before", [(192, 202, 1e6 + 25)]), ("by region", [])):
        ear.counters = Counters.restore(state)
        ear.counters.named(naming, NOON + 195)
        assert ear.hear(reading(202, 1e6 + 25, start=start, key=renamed)) == expected
    # Soon it is known again that a process tells all that it has.
    for i in range(3):
        ear.hear(reading(300 + 60 * i, 1e6 + 50 + i, start=start, key=renamed))
    assert (420, 430, 7) in ear.hear(reading(430, 7, start=start, key=FAILED))


@st.composite
def crowds(draw: st.DrawFn) -> tuple[list[Export], int]:
    """Exports of processes with several counters each, repeated and out of order, and after how many of them the
    limits are raised."""
    exports: list[Export] = []
    for process in range(draw(st.integers(1, 3))):
        start = draw(st.sampled_from((0, -5000, 1)))  # not said, before we listened, while we did
        totals = [draw(st.integers(0, 1000)) for _ in range(draw(st.integers(1, 4)))]
        for step in range(draw(st.integers(1, 15))):
            time = 2 + process / 10 + 10 * step
            totals = [total + draw(st.integers(0, 9)) for total in totals]
            keys = [SeriesKey("shop", f"{process} {i}") for i in range(len(totals))]
            said = [
                (time, total, start, key, str(process), True) for key, total in zip(keys, totals, strict=True)
            ]
            exports += [
                Export(time, time + late, readings(said))
                for late in draw(st.lists(st.integers(0, 25), min_size=1, max_size=2))
            ]
    exports.sort(key=lambda export: export.arrives)
    return exports, draw(st.integers(0, len(exports)))


@settings(max_examples=100, deadline=None)
@given(crowds(), st.sampled_from(("series", "per_service", "counters")), st.integers(1, 6))
def test_counts_add_up_of_what_there_is_room_for_and_nothing_is_counted_of_before_there_was(
    world: tuple[list[Export], int], limit: str, most: int
) -> None:
    exports, raised = world
    table = SeriesTable()
    counters = Counters(NOON, Limits(**{limit: most}))
    got: Counter[SeriesKey] = Counter()
    told: dict[SeriesKey, list[tuple[float, float, bool]]] = {}  # from the first for which there is room
    for i, export in enumerate(exports):
        if i == raised:
            counters = Counters.restore(counters.state())
        now = NOON + export.arrives
        points = counters.count(export.what, table, now)
        for row, count in zip(points.row.tolist(), points.count.tolist(), strict=True):
            got[table.keys[row]] += count
        followed = {table.keys[row] for row in counters.state()["lives"][:, 0].tolist()}
        said = export.what
        for key, start, total in zip(said.keys, said.start, said.value, strict=True):
            if key in followed:
                told.setdefault(key, []).append((export.time, total, start > NOON * NANOS))
    assert raised < len(exports) or len(told) <= most
    for key, totals in told.items():
        begun = 0 if totals[0][2] else min(totals)[1]
        assert got[key] == max(totals)[1] - begun, key
    assert got.keys() <= told.keys()


def test_processes_that_are_gone_make_room_and_are_strangers_when_they_come_back() -> None:
    ear = Ear(Limits(counters=10))
    for minute in range(40):
        at = 60.0 * minute
        ear.hear(readings([(at + 1, 5 + minute, -9, IMPORTS, "stays", True)]))
        ear.hear(readings([(at + 2, 3, at + 1, IMPORTS, f"pod {minute}", True)]))
    assert ear.hear(readings([(2402, 45, -9, IMPORTS, "stays", True)])) == [(2341, 2402, 1)]
    assert ear.hear(readings([(2403, 9, 2400, IMPORTS, "new", True)])) == [(2400, 2403, 9)]
    assert ear.hear(readings([(2404, 1000, -9, IMPORTS, "pod 0", True)])) == []
    assert len(ear.counters.state()["lives"]) <= 10


def test_what_is_remembered_of_deltas_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters_module, "MOST_TOLD", 20)
    ear = Ear(Limits(counters=5))
    said = [(10.0 + i, 1.0, 9.0 + i, IMPORTS, f"pod {i}", False) for i in range(100)]
    assert sum(count for one in said for *_, count in ear.hear(readings([one]))) == 100
    assert len(json.loads(str(ear.counters.state()["rest"]))["seen"]) <= 21
    assert len(json.loads(str(ear.counters.state()["rest"]))["heard"]) <= 5
    assert ear.hear(readings([said[-1]])) == []


def test_ages_of_what_had_entered_are_one_series_for_the_limit() -> None:
    ear = Ear(Limits(per_service=2))
    ear.table = SeriesTable([IMPORTS, *(IMPORTS.aged(age) for age in range(9))])
    ear.hear(reading(10, 5, start=1, key=FAILED))
    assert FAILED in ear.table


def test_what_came_before_a_first_total_that_did_not_count_may_be_told_after_its_successor() -> None:
    ear = Ear()
    assert ear.hear(reading(12, 1)) == []
    assert ear.hear(reading(22, 1)) == [(12, 22, 0)]
    assert ear.hear(reading(2, 0), at=23) == [(2, 12, 1)]
    assert ear.hear(reading(2, 0), at=24) == []


def test_a_snapshot_without_first_totals_still_knows_them() -> None:
    ear = Ear()
    ear.hear(reading(12, 1))
    state = ear.counters.state()
    del state["first_total"], state["first_time"]
    state["time_before"] = -state["time_before"]  # as it was written
    ear.counters = Counters.restore(state)
    assert ear.hear(reading(2, 0), at=13) == [(2, 12, 1)]


def test_starts_that_overlap_while_nothing_is_counted_are_believed_all_the_same() -> None:
    ear = Ear()
    for i in range(8):
        ear.hear(reading(60 * i + 70, 0, start=60 * i + 5))
    later = [(600, 5, 480), (610, 3, 570), (620, 6, 480)]
    counts = [ear.hear(reading(time, total, start=start))[-1][2] for time, total, start in later]
    assert counts == [5, 3, 1]


def test_a_start_that_is_the_time_of_its_reading_says_nothing() -> None:
    ear = Ear()
    assert ear.hear(reading(10, 1e9, start=10)) == []
    assert ear.hear(reading(20, 1e9 + 5, start=10)) == [(10, 20, 5)]
    for time in range(30, 700, 10):  # each total said to be of this very moment
        grown = 25 if time == 30 else 10
        assert ear.hear(reading(time, 1e9 + time, start=time)) == [(time - 10, time, grown)]
    assert ear.hear(reading(700, 4, start=700)) == [(690, 700, 4)]


@pytest.mark.parametrize("every", [10, 60])
def test_of_a_sender_whose_start_is_always_just_now_no_more_is_kept_than_of_others(every: int) -> None:
    ear = Ear()
    ear.hear(reading(every, 100, start=1))
    for i in range(2, 400):
        counted = ear.hear(reading(every * i, 100 * i, start=every * (i - 1) - 0.5))
        assert [count for *_, count in counted] == [100]
    ear.counters.count(readings([]), ear.table, NOON + every * 400 + 3600)
    assert len(ear.counters.state()["lives"]) <= 2


def test_a_start_that_wobbles_in_steps_may_come_back_by_chance() -> None:
    ear, steps = Ear(), [1, 1.5, 2, 2.5, 3, 2, 1, 3, 1.5, 4]
    counts = [ear.hear(reading(10 * i + 10, 100 + i, start=step))[-1][2] for i, step in enumerate(steps)]
    assert counts == [100, 1, 1, 1, 1, 1, 1, 1, 1, 1]
