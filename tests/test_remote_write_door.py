"""The door of remote write: who may come in, what strangers are told, what is kept of what is half wrong."""

from __future__ import annotations

import gc
import random
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import httpx2
import pytest
from prometheus import (
    PLAIN_NAN,
    STALE,
    Typed,
    double,
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
from test_collector_server import Behind, serving

from collector.bins import SeriesKey
from collector.server import Door
from collector.tokens import of_one

WRITE = {
    "content-type": "application/x-protobuf",
    "content-encoding": "snappy",
    "x-prometheus-remote-write-version": "0.1.0",
}
SECOND = WRITE | {"content-type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}
TARGET = {"job": "shop", "instance": "10.0.0.7:8080"}
ORDERS = TARGET | {"__name__": "orders_total"}


def ms(ago: float = 0) -> int:
    return int((time.time() - ago) * 1000)


def orders(value: float = 3, at: int | None = None, **more: str) -> bytes:
    return series(ORDERS | more, [(value, ms() if at is None else at)])


def about(at: int) -> list[bytes]:
    """What a scrape says beside, of the same moment: its target was reached, whose process began 20 s before."""
    said = [("up", 1.0), ("process_start_time_seconds", at / 1000 - 20)]
    return [series(TARGET | {"__name__": name}, [(value, at)]) for name, value in said]


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def door(behind: Behind) -> Door:
    return Door(behind.metrics, behind.deployments, time.time, lambda: behind.health)


@pytest.fixture
def at(door: Door) -> Iterator[str]:
    with serving(door) as address:
        yield address


def post(at: str, body: bytes, headers: dict[str, str] = WRITE) -> httpx2.Response:
    return httpx2.post(f"{at}/api/v1/write", content=body, headers=headers, trust_env=False, timeout=30)


def test_what_a_young_process_counted_is_counted_from_its_first_scrape_on(at: str, behind: Behind) -> None:
    first_one = post(at, snappy(first([orders(5, now := ms(), region="eu"), *about(now)])))
    assert (first_one.status_code, first_one.content) == (204, b"")
    time.sleep(0.01)
    again = post(at, snappy(first([orders(8, now := ms(), region="eu"), *about(now)])))
    assert again.status_code == 204
    assert behind.counted() == {SeriesKey("shop", "orders_total", "", (("region", "eu"),)): 8}


def test_what_could_not_even_be_read_is_not_taken_from_what_was_written(at: str, behind: Behind) -> None:
    body = second(
        [Typed(ORDERS, [(4, ms(), ms(30))], type_=1), Typed(ORDERS | {"a": "x" * 9000}, [(4, ms(), 0)])]
    )
    answer = post(at, snappy(body), SECOND)
    assert (answer.status_code, answer.text) == (400, "not taken of 2: 1 too long labels")
    assert answer.headers["x-prometheus-remote-write-samples-written"] == "1"
    assert {key.metric: n for key, n in behind.counted().items()} == {"orders_total": 4}


def test_2_0_is_told_how_many_were_written(at: str, behind: Behind) -> None:
    start = ms(30)
    body = second(
        [
            Typed(ORDERS, [(4, ms(), start)], type_=1),
            Typed(TARGET | {"__name__": "temperature"}, [(20, ms(), 0)], type_=2),
            Typed(TARGET | {"__name__": "took"}, histograms=[native(7, ms()) + number(17, start)], type_=3),
            Typed(ORDERS | {"far": "yes"}, [(4, ms(-9000), 0)], type_=1),
        ]
    )
    answer = post(at, snappy(body), SECOND)
    assert answer.status_code == 400
    assert answer.text == "not taken of 4: 1 far future"
    written = {k: v for k, v in answer.headers.items() if k.startswith("x-prometheus")}
    assert written == {
        "x-prometheus-remote-write-samples-written": "2",
        "x-prometheus-remote-write-histograms-written": "1",
        "x-prometheus-remote-write-exemplars-written": "0",
    }
    assert {key.metric: n for key, n in behind.counted().items()} == {"orders_total": 4, "took": 7}


def test_values_that_are_no_counts_are_left_out_without_a_word_to_who_cannot_mend_them(
    at: str, behind: Behind
) -> None:
    odd = [-1.0, float("inf"), float("-inf"), PLAIN_NAN, STALE]
    body = first(
        [orders(value, odd=str(i)) for i, value in enumerate(odd)] + [orders(6, now := ms()), *about(now)]
    )
    assert post(at, snappy(body)).status_code == 204
    assert list(behind.counted().values()) == [6]
    assert {reason: n for reason, n in behind.binner.refused.items() if reason != "late"} == {
        "not finite": 2,
        "negative": 1,
    }


def test_only_who_brings_the_token_comes_in(door: Door, behind: Behind) -> None:
    with serving(replace(door, tokens=of_one("s3cret"))) as at:
        body = snappy(first([orders(at=(now := ms())), *about(now)]))
        assert post(at, body).status_code == 401
        assert post(at, body, WRITE | {"authorization": "Bearer s3cret"}).status_code == 204


def test_who_is_told_to_wait_is_told_how_long(door: Door, behind: Behind) -> None:
    behind.busy = True
    with serving(door) as at:
        answer = post(at, snappy(first([orders()])))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")


def test_one_who_is_slow_may_send_it_again(door: Door) -> None:
    """Prometheus gives up what is answered with 4xx."""

    def drop_by_drop() -> Iterator[bytes]:
        yield b"\x01"
        time.sleep(0.6)
        yield b"\x02"

    with serving(replace(door, patience=0.2)) as at:
        answer = httpx2.post(
            f"{at}/api/v1/write", content=drop_by_drop(), headers=WRITE, trust_env=False, timeout=10
        )
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def wrong_series() -> dict[str, bytes]:
    """Requests of one good series and one that cannot be taken: 400, and the good one is kept."""
    good = orders(6, other="yes")
    far = 2**62
    wrong = {
        "no name": series(TARGET, [(1, ms())]),
        "an empty name": series({"__name__": ""}, [(1, ms())]),
        "a name twice": labels(ORDERS) + labels(ORDERS) + part(2, sample(1, ms())),
        "a label without a name": part(1, part(2, b"x")) + good,
        "a label that is no UTF-8": part(1, part(1, b"a") + part(2, b"\xff\xfe")) + good,
        "a name that is no UTF-8": part(1, part(1, b"\xc3") + part(2, b"x")) + good,
        "a label with a zero in it": series(ORDERS | {"a": "x\0y"}, [(1, ms())]),
        "a label that is no message": part(1, b"\xff\xff") + good,
        "a label without end": series(ORDERS | {"a": "x" * 100_000}, [(1, ms())]),
        "labels without end": series(ORDERS | {f"a{i}": "x" for i in range(5000)}, [(1, ms())]),
        "a sample that is no message": labels(ORDERS) + part(2, b"\xff"),
        "a sample that is text": labels(ORDERS) + part(2, b"three at noon"),
        "a time that is a double": labels(ORDERS | {"d": "t"})
        + part(2, double(1, 3) + double(2, 4.0) + b"\x15"),
        "a value that is cut": labels(ORDERS) + part(2, double(1, 3)[:-2]),
        "a group that never ends": labels(ORDERS) + b"\x0b" * 100,
        "groups nested deep": labels(ORDERS) + b"\x3b" * 50_000,
        "a varint without end": labels(ORDERS) + b"\x10" + b"\xff" * 20,
        "a field with number zero": labels(ORDERS) + b"\x02\x01x",
        "far in the future": orders(1, 4 * 10**12, far="a"),
        "far beyond all times": orders(1, far, far="b"),
        "tomorrow": orders(1, ms(-86400), far="c"),
        "in ten minutes": orders(1, ms(-600), far="d"),
        "of 1970": orders(1, 1, far="e"),
        "before 1970": orders(1, -5, far="f"),
        "of the day before yesterday": orders(1, ms(2 * 86400), far="g"),
        "without a time": series(ORDERS | {"far": "h"}, [(1, 0)]),
    }
    return {name: first([orders(6, now := ms(), good=name), one, *about(now)]) for name, one in wrong.items()}


def test_what_is_wrong_with_one_series_is_told_and_the_good_part_is_kept(at: str, behind: Behind) -> None:
    wrong = wrong_series()
    for name, body in wrong.items():
        answer = post(at, snappy(body))
        assert (answer.status_code, answer.text[:13]) == (400, "not taken of "), (name, answer.text)
    counted = {dict(key.attributes).get("good"): n for key, n in behind.counted().items()}
    assert counted == dict.fromkeys(wrong, 6)


def wrong_bodies() -> dict[str, tuple[int, bytes, dict[str, str]]]:
    good = first(
        [orders(at=(now := ms())), *about(now), series(TARGET | {"__name__": "took"}, [], [native(3, ms())])]
    )
    bomb = varint(2**31) + b"\xfe\x01\x00" * 1000
    wrong: dict[str, tuple[int, bytes, dict[str, str]]] = {
        "nothing": (400, b"", WRITE),
        "noise": (400, b"\xff" * 100, WRITE),
        "not packed": (400, b"\xff\xff\xff\xff\xff" + good, WRITE),
        "text": (400, b"hello", WRITE),
        "packed noise": (400, snappy(b"\xff" * 100), WRITE),
        "packed text": (400, snappy(b"hello"), WRITE),
        "packed JSON": (400, snappy(b'{"timeseries": []}'), WRITE),
        "a group that never ends": (400, snappy(b"\x0b" * 10_000), WRITE),
        "groups nested deep": (400, snappy(b"\x3b" * 1_000_000), WRITE),
        "a length beyond the end": (400, snappy(b"\x0a\xff\xff\xff\xff\x0f"), WRITE),
        "series that are numbers": (400, snappy(number(1, 7) + b"\x0a"), WRITE),
        "metadata that is text": (400, snappy(part(3, b"\xff\xff")), WRITE),
        "a bomb by its length": (413, bomb, WRITE),
        "a bomb that lies": (400, varint(16 * 1024 * 1024) + b"\xfe\x01\x00" * 1000, WRITE),
        "a real bomb": (413, snappy(bytes(64 * 1024 * 1024)), WRITE),
        "too large": (413, bytes(17 * 1024 * 1024), WRITE),
        "a length of ten bytes": (400, b"\x80" * 9 + b"\x01", WRITE),
        "a copy of what is not there": (400, varint(64) + b"\xfe\xff\xff", WRITE),
        "2.0 that is 1.0": (204, snappy(good), SECOND),  # its fields are reserved there: an empty request
        "2.0 of noise": (400, snappy(b"\xff" * 50), SECOND),
        "2.0 without symbols": (400, snappy(part(5, part(1, varint(1) + varint(2)))), SECOND),
        "2.0 with half a label": (400, snappy(part(4, b"") + part(5, part(1, varint(0)))), SECOND),
        "2.0 with broken symbols": (400, snappy(part(4, b"\xff") * 4 + part(5, part(1, b"\1\2"))), SECOND),
        "gzip": (415, good, WRITE | {"content-encoding": "gzip"}),
        "zstd": (415, good, WRITE | {"content-encoding": "zstd"}),
        "not packed and said so": (415, good, {"content-type": "application/x-protobuf"}),
        "no type": (415, snappy(good), {"content-encoding": "snappy"}),
        "JSON": (415, b"{}", WRITE | {"content-type": "application/json"}),
        "another message": (415, snappy(good), WRITE | {"content-type": "application/x-protobuf;proto=a.B"}),
    }
    packed = snappy(good)
    wrong |= {f"cut at {n}": (400, packed[:n], WRITE) for n in range(1, len(packed), 2)}
    # Cut before packing: what is left is broken, or holds the series before the cut and nothing but them.
    wrong |= {f"unpacked cut at {n}": (0, snappy(good[:n]), WRITE) for n in range(1, len(good), 7)}
    rng = random.Random(11)
    for i in range(150):
        broken = bytearray(packed if i % 2 else good)
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        wrong[f"flipped {i}"] = (0, bytes(broken) if i % 2 else snappy(bytes(broken)), WRITE)
    typed = second([Typed(ORDERS, [(3, ms(), 0)], type_=1)])
    for i in range(60):
        broken = bytearray(typed)
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        wrong[f"2.0 flipped {i}"] = (0, snappy(bytes(broken)), SECOND)
    return wrong


@pytest.mark.slow
def test_strangers_are_told_what_is_wrong_and_the_door_goes_on(at: str, behind: Behind) -> None:
    wrong = wrong_bodies()
    assert len(wrong) + len(wrong_series()) > 300
    seen = set()
    with httpx2.Client(base_url=at, timeout=30, trust_env=False) as client:
        for round_ in range(2):
            for name, (status, body, headers) in wrong.items():
                answer = client.post("/api/v1/write", content=body, headers=headers)
                assert answer.status_code in ({status} if status else {204, 400, 413}), (name, answer.text)
                seen.add(answer.status_code)
                if answer.status_code != 204:
                    assert 5 < len(answer.text) < 300 and "\n" not in answer.text, (name, answer.text)
            if not round_:
                gc.collect()
                tracemalloc.start()
        grown = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert grown < 3_000_000  # nothing is kept of what was refused
        good = first([orders(6, now := ms(), good="yes"), *about(now)], [metadata("orders", 1)])
        assert client.post("/api/v1/write", content=snappy(good), headers=WRITE).status_code == 204
    assert {204, 400, 413, 415} <= seen
    assert [n for key, n in behind.counted().items() if key.attributes == (("good", "yes"),)] == [6]
