"""What a pipeline tells of a deployment becomes Deployments, or an answer that names the field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.announced import deployments
from collector.otlp import BadRequest

NOW = 1_700_000_000.7


def told(**fields: Any) -> bytes:
    return json.dumps({"service": "event-parser", "version": "2.0"} | fields).encode()


def test_all_fields_are_taken_as_they_are_said() -> None:
    said = {
        "id": "r1",
        "previous_version": "1.9",
        "environment": "production",
        "url": "https://ci/run/7",
        "revision": "4f2c",
        "author": "Ada <ada@x>",
        "kind": "rollback",
        "description": "two\nlines & more",
    }
    (one,) = deployments(told(**said), NOW)
    assert {name: getattr(one, name) for name in said} == said
    assert (one.service, one.version, one.time, one.reported) == (
        "event-parser",
        "2.0",
        1700000000,
        1700000000,
    )


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("2022-04-13T06:31:00Z", 1_649_831_460),
        ("2022-04-13T08:31:00+02:00", 1_649_831_460),
        ("2022-04-13 06:31:00.999+00:00", 1_649_831_460),
        (1_649_831_460, 1_649_831_460),
        (1_649_831_460.9, 1_649_831_460),
        (None, 1_700_000_000),
    ],
)
def test_the_time_is_rfc_3339_or_epoch_seconds_or_now(time: object, seconds: int) -> None:
    assert deployments(told(time=time), NOW)[0].time == seconds


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"time": "2022-04-13T06:31:00"}, "time: expected RFC 3339 with an offset, or epoch seconds"),
        ({"time": "noon"}, "time: expected RFC 3339 with an offset, or epoch seconds"),
        ({"time": "1649831460"}, "time: expected RFC 3339 with an offset, or epoch seconds"),
        ({"time": True}, "time: expected RFC 3339 with an offset, or epoch seconds"),
        ({"time": [1]}, "time: expected RFC 3339 with an offset, or epoch seconds"),
        ({"time": 1_700_000_000_000}, "time: expected epoch seconds between the year 2000 and tomorrow"),
        ({"time": 10**400}, "time: "),
        ({"time": 0}, "time: expected epoch seconds between the year 2000 and tomorrow"),
        ({"time": "0001-01-01T00:00:00+23:59"}, "time: expected"),
        ({"time": "9999-12-31T23:59:59-23:59"}, "time: expected"),
        ({"service": 3}, "service: "),
        ({"service": ""}, "service: expected text that is not empty"),
        ({"service": " "}, "service: expected text that is not blank"),
        ({"service": None}, "service: expected text"),
        ({"version": 1.10}, "version: "),
        ({"version": "a\nb"}, "version: expected text that is not blank, on one line"),
        ({"version": "x" * 501}, "version: expected at most 500 characters"),
        ({"kind": "deployed"}, "kind: Input should be 'deploy', 'rollback', 'config' or 'flag'"),
        ({"url": "javascript:alert(1)"}, "url: expected a link that begins with https:// or http://"),
        ({"url": "https://a b"}, "url: "),
        ({"author": {"name": "Ada"}}, "author: "),
        ({"revison": "4f2c"}, "revison: unknown field; expected one of service, version, id, time"),
        ({"reported": 3}, "reported: unknown field"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRequest) as error:
        deployments(told(**fields), NOW)
    assert str(error.value).startswith(reason)
    assert len(str(error.value)) < 300 and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"3", b'"x"', b"{", b"\xff", b'{"service":"\\ud800"}', b"[[]]"]
)
def test_what_is_no_deployment_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        deployments(body, NOW)


def test_in_a_list_the_wrong_one_is_named() -> None:
    with pytest.raises(BadRequest, match=r"^\[1\]\.version: missing; expected text"):
        deployments(b"[" + told() + b',{"service":"s"}]', NOW)
    with pytest.raises(BadRequest, match=r"^\[1\]\.time: expected"):
        deployments(b"[" + told() + b"," + told(time=1) + b"]", NOW)


def test_the_same_told_again_has_the_same_id_and_another_has_another() -> None:
    def id_of(body: bytes, now: float = NOW) -> str:
        return deployments(body, now)[0].id

    assert id_of(told()) == id_of(told(author="Ada"), NOW + 5)
    assert id_of(told(time=1_649_831_460)) == id_of(told(time="2022-04-13T06:31:00Z"), NOW + 9000)
    others = [told(), told(version="2.1"), told(kind="rollback"), told(service="s"), told(time=1_649_831_460)]
    assert len({id_of(body) for body in others}) == len(others)
    assert id_of(told(), NOW) != id_of(told(), NOW + 3600)  # put back and deployed once more


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x, max_size=3)))
def test_any_value_in_any_field_is_taken_or_refused(value: object) -> None:
    for name in ("time", "url", "service", "kind"):
        try:
            deployments(told(**{name: value}), NOW)
        except BadRequest as error:
            assert str(error)
