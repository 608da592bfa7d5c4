"""Files that are followed: each line once, over rotation, copies, restarts and lines that are not finished."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.asked import Answer, SourceFailed
from collector.bins import SeriesKey
from collector.files import UNREAD, Files, Format, Rule
from collector.points import NANOS

W = 60
T0 = 1_650_000_000 // W * W
RULES = (Rule("requests"), Rule("failed", (("status", ("5*",)),)), Rule("by_method", (), ("method",)))


def access(at: float, status: int = 200, method: str = "GET", path: str = "/") -> str:
    moment = datetime.fromtimestamp(T0 + at, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    return f'10.0.0.1 - - [{moment}] "{method} {path} HTTP/1.1" {status} 512 "-" "curl/8"\n'


class Followed:
    """A source, and all that it ever told."""

    def __init__(self, *paths: Path, form: Format = "combined", rules: Sequence[Rule] = RULES) -> None:
        self.source = Files("logs", tuple(map(str, paths)), form, "web", tuple(rules), "", W)
        self.since, self.memo = T0, ""
        self.told: dict[tuple[SeriesKey, int], float] = {}

    def ask(self, at: int) -> Answer:
        answer = self.source.ask(self.since, T0 + at, self.memo)
        self.since, self.memo = answer.until, answer.memo
        readings = answer.readings
        for key, start, value in zip(
            readings.keys, readings.start.tolist(), readings.value.tolist(), strict=True
        ):
            where = key, start // NANOS // W * W - T0
            self.told[where] = self.told.get(where, 0.0) + value
        return answer

    def of(self, metric: str = "requests", **attributes: str) -> dict[int, float]:
        wanted = SeriesKey("web", metric, "", tuple(sorted(attributes.items())))
        return {at: count for (key, at), count in self.told.items() if key == wanted}


def write(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(lines)


def test_access_logs_are_counted_by_rules(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    write(log, access(-90), access(1), access(59, 503, "POST"), access(61, 500), access(190))
    it = Followed(log)
    it.ask(200)
    assert it.of() == {0: 2, 60: 1, 120: 0, 180: 1}
    assert it.of("failed") == {0: 1, 60: 1, 120: 0}
    assert it.of("by_method", method="POST") == {0: 1, 60: 0, 120: 0}
    write(log, access(185))
    it.ask(205)
    it.ask(245)
    assert it.of() == {0: 2, 60: 1, 120: 0, 180: 2}


def test_a_line_that_is_not_finished_is_counted_when_it_is(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    line = access(1)
    write(log, access(0), line[:30])
    it = Followed(log)
    it.ask(10)
    assert it.of() == {0: 1}
    write(log, line[30:])
    it.ask(20)
    assert it.of() == {0: 2}


def test_nothing_is_lost_or_counted_twice_when_a_log_is_rotated(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    write(log, access(0))
    it = Followed(log)
    it.ask(5)
    write(log, access(6))
    log.rename(tmp_path / "access.log.1")
    write(log, access(7))
    it.ask(10)
    write(tmp_path / "access.log.1", access(8))  # its writer had not noticed yet
    (tmp_path / "access.log.1").rename(tmp_path / "access.log.2")
    log.rename(tmp_path / "access.log.1")
    write(log, access(9), access(9))
    (tmp_path / "access.log.9.gz").write_bytes(b"\x1f\x8b")
    it.ask(20)
    assert it.of() == {0: 6}


def test_nothing_is_lost_or_counted_twice_when_a_log_is_copied_and_emptied(tmp_path: Path) -> None:
    log, copy = tmp_path / "access.log", tmp_path / "access.log-20220415"
    write(log, access(0), access(1))
    it = Followed(log)
    it.ask(5)
    write(log, access(6))
    shutil.copy(log, copy)
    it.ask(7)
    assert it.of() == {0: 3}
    os.truncate(log, 0)
    write(log, access(8))
    it.ask(10)
    it.ask(15)
    assert it.of() == {0: 4}


def test_what_rotation_has_packed_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    write(log, access(0))
    it = Followed(tmp_path / "access.log*")
    it.ask(10)
    (tmp_path / "access.log.2.gz").write_bytes(gzip.compress(access(1).encode() * 99))
    assert it.ask(20).readings.refused == {}
    assert it.of() == {0: 1}
    log.unlink()
    with pytest.raises(SourceFailed, match=r"no file matches .*Packed files are not read"):
        it.ask(30)


def test_several_files_are_followed_and_new_ones_found(tmp_path: Path) -> None:
    write(tmp_path / "a.log", access(0))
    it = Followed(tmp_path / "*.log")
    it.ask(5)
    write(tmp_path / "b.log", access(0), access(2))
    it.ask(10)
    assert it.of() == {0: 3}


def test_a_file_that_is_gone_is_no_zero(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    write(log, access(0))
    it = Followed(log)
    it.ask(70)
    log.unlink()
    with pytest.raises(SourceFailed, match="no file matches"):
        it.ask(130)
    assert it.of() == {0: 1}


def test_json_lines_are_counted_by_fields_however_deep(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    at = datetime.fromtimestamp(T0 + 5, UTC)
    lines: list[dict[str, object]] = [
        {"time": at.isoformat(), "http": {"status": 500}, "ok": False, "tenant": "a"},
        {"ts": T0 + 6, "http": {"status": 200}, "ok": True, "tenant": "b"},
        {"timestamp": (T0 + 7) * 1000, "http": {"status": 404}},
        {"@timestamp": at.replace(tzinfo=None).isoformat(), "ok": False},
    ]
    write(log, *(json.dumps(line) + "\n" for line in lines))
    rules = [
        Rule("all"),
        Rule("bad", (("http.status", ("4*", "5*")),)),
        Rule("not_ok", (("ok", ("false",)),), ("tenant",)),
    ]
    it = Followed(log, form="json", rules=rules)
    it.ask(30)
    assert it.of("all") == {0: 4}
    assert it.of("bad") == {0: 2}
    assert it.of("not_ok", tenant="a") == {0: 1}
    assert it.of("not_ok") == {0: 1}


@pytest.mark.parametrize(
    "written", ["%H:%M:%S%z", "%H:%M:%S,250%z", "%H:%M:%S.250+02", "%H:%M:%SZ", "%H:%M:%S"]
)
def test_a_time_in_a_log_is_read_with_its_offset(tmp_path: Path, written: str) -> None:
    """As log4j, logback and Python's logging write it: without a colon, with a comma."""
    zone = timezone(timedelta(hours=2)) if written.endswith(("%z", "+02")) else UTC
    at = datetime.fromtimestamp(T0 + 5, zone).strftime(f"%Y-%m-%dT{written}")
    log = tmp_path / "app.log"
    write(log, json.dumps({"time": at}) + "\n")
    it = Followed(log, form="json", rules=[Rule("all")])
    it.ask(30)
    assert it.of("all") == {0: 1}


def test_what_a_line_says_cannot_spoil_the_name_of_a_series(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    write(log, f'{{"time": {T0}, "who": "\\ud800", "long": "{"x" * 9999}"}}\n')
    it = Followed(log, form="json", rules=[Rule("all", (), ("who", "long"))])
    it.ask(30)
    ((key, _),) = it.told
    assert dict(key.attributes) == {"who": "?", "long": "x" * 500}


@pytest.mark.parametrize(
    "line", ["{", "[1]", "[" * 100_000, '{"time": "soon"}', "{}", '{"time": [1]}', "null", "\x00\xff"]
)
def test_a_line_that_is_not_understood_is_counted_as_such_and_not_shown(tmp_path: Path, line: str) -> None:
    log = tmp_path / "app.log"
    write(log, f'{{"time": {T0}}}\n', line + " hush\n")
    it = Followed(log, form="json", rules=[Rule("all")])
    answer = it.ask(30)
    assert answer.readings.refused == {UNREAD: 1}
    assert it.of("all") == {0: 1}
    write(log, line + " hush\n")
    with pytest.raises(SourceFailed, match="none of 1 new lines could be read") as failed:
        it.ask(60)
    assert "hush" not in str(failed.value)


def test_a_line_without_end_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.followed.LONGEST", 1000)
    monkeypatch.setattr("collector.followed.AT_ONCE", 500)
    log = tmp_path / "access.log"
    write(log, access(0), "x" * 10_000)
    it = Followed(log)
    it.ask(10)
    write(log, "x\n", access(1))
    it.ask(20)
    assert it.of()[0] >= 1


def test_more_series_than_allowed_are_refused(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    write(log, *(access(0, path=f"/{i}") for i in range(20)))
    it = Followed(log, rules=[Rule("requests", (), ("path",))])
    it.source = Files("logs", (str(log),), "combined", "web", (Rule("r", (), ("path",)),), "", W, series=7)
    assert it.ask(10).readings.refused == {"too many series": 13}
    assert len(it.told) == 7


def test_a_dataset_is_followed_as_it_grows(tmp_path: Path) -> None:
    head = "time,service,metric,value,version,region\n"
    write(tmp_path / "metrics.csv", head, f"{T0},web,requests,5,1.2,eu\n", f"{T0},web,requests,,1.2,us\n")
    it = Followed(tmp_path, form="dataset", rules=[])
    it.ask(70)
    write(
        tmp_path / "metrics.csv", f"{T0 + 60},web,requests,7,1.2,eu\n", f"{T0 + 60},web,requests,x,1.2,eu\n"
    )
    answer = it.ask(130)
    it.ask(190)
    key = SeriesKey("web", "requests", "1.2", (("region", "eu"),))
    assert it.told == {(key, 0): 5.0, (key, 60): 7.0}  # what is not there is not measured
    assert answer.readings.refused == {UNREAD: 1}


@pytest.mark.parametrize("row", ["x" * 200_000 + ",web,requests,5", f"{T0},web,requests,five", '"'])
def test_a_row_that_is_none_is_counted_as_such(tmp_path: Path, row: str) -> None:
    write(tmp_path / "metrics.csv", "time,service,metric,value\n", f"{T0},web,requests,5\n", row + "\n")
    it = Followed(tmp_path, form="dataset", rules=[])
    assert it.ask(70).readings.refused == {UNREAD: 1}
    assert it.of() == {0: 5.0}
    write(tmp_path / "metrics.csv", row + "\n")
    with pytest.raises(SourceFailed, match=r"none of 1 new lines could be read.*expected") as failed:
        it.ask(130)
    assert "five" not in str(failed.value)


def test_a_dataset_in_parts_is_followed_as_parts_are_added(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    write(tmp_path / "metrics" / "1.csv", "time,service,metric,value\n", f"{T0},web,requests,5\n")
    it = Followed(tmp_path, form="dataset", rules=[])
    it.ask(70)
    write(tmp_path / "metrics" / "2.csv", "value,time,service,metric\n", f"6,{T0 + 60},web,requests\n")
    it.ask(130)
    assert it.of() == {0: 5.0, 60: 6.0}


def test_a_check_says_how_much_can_be_read(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    write(log, access(0), "nonsense\n")
    said = Followed(log).source.check(T0)
    assert said.startswith("1 of the first 2 lines can be read; ")
    with pytest.raises(SourceFailed, match="is `format` right"):
        Followed(log, form="json").source.check(T0)


# The law: whatever happens to a log between two questions, each line that was finished counts once.

DOINGS = st.lists(st.sampled_from(["line", "half", "rename", "copy", "ask", "restart"]), max_size=40)


@settings(deadline=None, max_examples=60)
@given(doings=DOINGS)
def test_each_line_counts_once_over_rotations(
    tmp_path_factory: pytest.TempPathFactory, doings: Sequence[str]
) -> None:
    folder = tmp_path_factory.mktemp("logs")
    log, number, waiting, done, at = folder / "access.log", 0, "", 0, 1
    write(log)
    it = Followed(log, rules=[Rule("requests")])
    for doing in doings:
        at += 1
        if doing in ("line", "half"):
            whole = waiting or access(0, path=f"/{done}")
            if doing == "half" and not waiting:
                write(log, whole[:40])
                waiting = whole[40:]
            else:
                write(log, whole)
                waiting, done = "", done + 1
        elif doing == "rename" and not waiting:
            number += 1
            log.rename(folder / f"access.log.{number}")
            write(log)
        elif doing == "copy" and not waiting:
            it.ask(at)  # between a copy and its truncation nothing can tell what was written meanwhile
            number += 1
            shutil.copy(log, folder / f"access.log.{number}")
            os.truncate(log, 0)
        elif doing == "restart":
            it.source = Files("logs", (str(log),), "combined", "web", (Rule("requests"),), "", W)
        else:
            it.ask(at)
    it.ask(at + 1)
    assert sum(it.of().values()) == done
