"""What people ask and want over HTTP and on the command line, at the real door with a real database behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import examples
import httpx2
import pytest
from test_collector_server import serving

from alerts import jsonl
from alerts.incidents import Event
from alerts.silences import Silence, matcher
from collector.bins import SeriesTable
from collector.server import Asked, Door
from collector.tokens import of_one
from stillwatch.cli import _run
from stillwatch.desk import Desk
from stillwatch.history import History
from stillwatch.store import Closing, News, Store

NOW = examples.at("06:40")
SPIKE = examples.error_spike()
ID = SPIKE.incident.id


WELL: dict[str, object] = {
    "ok": True, "judged": 12, "learning": {"a/b": "few"}, "series": 24, "blind_since": 0, "trouble": "", "lag": 0,
    "outbox": 0,
}  # fmt: skip


@dataclass
class Office:
    """A daemon's door, without a daemon. url: where it listens."""

    url: str
    store: Store
    history: History
    now: int = NOW
    health: dict[str, object] = field(default_factory=lambda: dict(WELL))

    def ask(self, method: str, path: str, body: object = None, **more: Any) -> tuple[int, Any]:
        with httpx2.Client(trust_env=False) as client:
            sent = {} if body is None else {"json": body}
            got = client.request(method, f"{self.url}{path}", **sent, **more)
        return got.status_code, got.json()

    def run(self, capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
        status = _run([*arguments, "--url", self.url])
        out, err = capfd.readouterr()
        return status, out, err


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STILLWATCH_TOKEN", raising=False)
    store = Store(tmp_path / "s.db")
    made = Office("", store, History(store))
    desk = Desk(made.history, lambda: made.now, store.add_word, lambda: made.health)
    door = Door(lambda _: {}, lambda _: None, lambda: made.now, lambda: {"ok": True}, desk=desk.answer)
    with serving(door) as made.url:
        yield made
    store.close()


def news(office: Office, event: Event = SPIKE) -> None:
    one = News(event.incident.id, event.number, event.time, jsonl.line(event), (), event)
    office.store.commit(Closing(news=(one,)), SeriesTable())


def over() -> Event:
    """The same incident, resolved."""
    it = replace(SPIKE.incident, resolved=NOW)
    return Event(NOW, "resolved", "recovered", it, 2)


WANTED = {
    "matchers": ["service=image-resizer", 'kind=~"error.*"'],
    "for": "2h",
    "author": "anna",
    "comment": "#31",
}


def test_a_silence_is_taken_listed_and_ended_over_http(office: Office) -> None:
    status, made = office.ask("POST", "/silences", WANTED)
    assert status == 200
    assert made | {"id": ""} == {
        "id": "",
        "state": "active",
        "matchers": ['service="image-resizer"', 'kind=~"error.*"'],
        "starts": "2022-04-13T06:40:00Z",
        "ends": "2022-04-13T08:40:00Z",
        "author": "anna",
        "comment": "#31",
        "ended_by": "",
    }
    assert office.ask("POST", "/silences", WANTED)[1]["id"] == made["id"], "told again by a script: the same"
    assert office.ask("GET", "/silences") == (200, {"silences": [made]})
    assert office.ask("GET", f"/silences/{made['id']}") == (200, made)
    office.now += 60
    status, ended = office.ask("DELETE", f"/silences/{made['id']}", params={"by": "ben"})
    assert (status, ended["state"], ended["ended_by"]) == (200, "expired", "ben")
    assert office.ask("GET", "/silences") == (200, {"silences": []})
    assert office.ask("GET", "/silences?all=true") == (200, {"silences": [ended]})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"matchers": []}, "found 0 matchers"),
        ({"matchers": ["service"]}, "expected a matcher such as"),
        ({"matchers": ["owner=~.*"]}, "does not match an empty value"),
        ({"matchers": "service=a"}, "matchers: "),
        ({"author": ""}, "author: found nothing"),
        ({"author": None}, "author: "),
        ({"comment": "a\nb"}, "comment: "),
        ({"for": "2 hours"}, "for: expected a duration"),
        ({"for": None}, "found no end"),
        ({"for": "60w"}, "more than a year ahead"),
        ({"ends": NOW + 60}, "expected one of the two"),
        ({"for": None, "ends": NOW}, "found a time that is over"),
        ({"for": None, "ends": "2022-04-13T09:00"}, "an offset from UTC"),
        ({"for": None, "ends": True}, "ends: expected"),
        (
            {"until": "x"},
            "until: unknown field; expected one of matchers, starts, ends, for, author, comment",
        ),
    ],
)
def test_a_silence_that_cannot_be_is_refused_with_the_reason(
    office: Office, change: dict[str, object], said: str
) -> None:
    body = {name: value for name, value in (WANTED | change).items() if value is not None}
    status, told = office.ask("POST", "/silences", body)
    assert status == 400
    assert said in told["error"]
    assert office.ask("GET", "/silences?all=true") == (200, {"silences": []})


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", "/silences", b"{", 400),
        ("POST", "/silences", b"[1]", 400),
        ("POST", "/silences", b"", 400),
        ("GET", "/silences?all=perhaps", b"", 400),
        ("GET", "/silences/nothing", b"", 404),
        ("DELETE", "/silences/nothing?by=me", b"", 404),
        ("DELETE", "/silences/nothing", b"", 400),
        ("PUT", "/silences", b"", 405),
    ],
)
def test_a_slip_is_answered_in_words(
    office: Office, method: str, path: str, content: bytes, status: int
) -> None:
    got = office.ask(method, path, content=content, headers={"content-type": "application/json"})
    assert got[0] == status
    assert "expected" in got[1]["error"] or "lists them" in got[1]["error"]


def test_what_is_planned_is_shown_by_its_id_while_it_is_open(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    planned = Silence("plan-1", (matcher("service=a"),), NOW - 60, NOW + 600, "maintenance", "move")
    history = History(store, planned=lambda now: [planned] if now < planned.ends else [])
    desk = Desk(history, lambda: NOW, store.add_word, lambda: WELL)
    status, said = desk.answer(Asked("GET", "/silences/{id}", {"id": "plan-1"}, b""))
    assert (status, said["comment"]) == (200, "move")  # type: ignore[index]
    assert desk.answer(Asked("GET", "/silences/{id}", {"id": "plan-2"}, b""))[0] == 404
    store.close()


def test_nobody_comes_to_the_desk_without_the_token(tmp_path: Path) -> None:
    asked: list[object] = []
    door = Door(
        lambda _: {}, lambda _: None, lambda: 0, dict, tokens=of_one("secret"),
        desk=lambda one: (200, {"asked": asked.append(one)}),
    )  # fmt: skip
    right, wrong = ({"authorization": f"Bearer {token}"} for token in ("secret", "wrong"))
    with serving(door) as url, httpx2.Client(trust_env=False) as client:
        for path in ("/silences", "/silences/a"):
            assert client.get(url + path).status_code == 401
            assert client.get(url + path, headers=wrong).status_code == 401
        assert client.post(f"{url}/silences", json={}).status_code == 401
        assert client.post(f"{url}/silences", content=b"x", headers=right).status_code == 415
        assert asked == []
        assert client.get(f"{url}/silences", headers=right).status_code == 200
        assert client.head(f"{url}/silences", headers=right).status_code == 200
    assert len(asked) == 2


def test_a_silence_on_the_command_line(office: Office, capfd: pytest.CaptureFixture[str]) -> None:
    status, out, err = office.run(
        capfd, "silence", "add", "service=image-resizer", 'kind=~"error.*"', "--for", "2h", "--by", "me",
        "--comment", "known",
    )  # fmt: skip
    assert (status, err) == (0, "")
    name = out.split()[0]
    line = f'{name}  active  service="image-resizer" kind=~"error.*"  until 2022-04-13T08:40:00Z, me: known\n'
    assert out == line
    assert office.run(capfd, "silence", "list") == (0, line, "")
    status, out, _ = office.run(capfd, "silence", "list", "--json")
    assert json.loads(out)["silences"][0]["id"] == name
    status, out, _ = office.run(capfd, "silence", "end", name, "--by", "ben")
    assert status == 0
    assert out.endswith(", ended by ben\n")
    assert office.run(capfd, "silence", "list") == (0, "nothing is silenced\n", "")
    assert name in office.run(capfd, "silence", "list", "--all")[1]


def test_a_silence_lasts_an_hour_or_until_the_incident_is_over(
    office: Office, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "until 2022-04-13T07:40:00Z" in office.run(capfd, "silence", "add", "service=a")[1]
    assert "until it is over" in office.run(capfd, "silence", "add", "incident=abc", "--until-over")[1]
    starts = ("--start", "2022-04-13T07:00Z", "--end", "2022-04-13T07:30Z")
    out = office.run(capfd, "silence", "add", "service=b", *starts)[1]
    assert "pending" in out
    assert "from 2022-04-13T07:00:00Z until 2022-04-13T07:30:00Z" in out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("silence", "add", "service"), 2, "expected a matcher such as"),
        (("silence", "add"), 2, "Missing argument"),
        (("silence", "add", "service=a", "--for", "2 hours"), 2, "expected a duration"),
        (("silence", "add", "service=a", "--until-over"), 2, "found no end"),
        (("silence", "add", "service=a", "--for", "1h", "--until-over"), 2, "found several ends"),
        (("silence", "end", "abc"), 2, "no silence 'abc'"),
        (("silence", "end", "a/../b"), 2, "no such door|no silence|expected one of"),
    ],
)
def test_a_slip_on_the_command_line_is_one_line(
    office: Office, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, said: str
) -> None:
    ended, out, err = office.run(capfd, *arguments)
    assert (ended, out) == (status, "")
    assert any(one in err for one in said.split("|"))
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_nobody_there_is_said_with_what_to_check(capfd: pytest.CaptureFixture[str]) -> None:
    status = _run(["silence", "list", "--url", "http://127.0.0.1:9"])
    out, err = capfd.readouterr()
    assert (status, out) == (1, "")
    assert "nobody answers at http://127.0.0.1:9" in err


def test_what_an_author_wrote_does_nothing_to_a_terminal(
    office: Office, capfd: pytest.CaptureFixture[str]
) -> None:
    office.history.silence(replace(_silence("service=a"), comment="\x1b[2Jgone\u202e", author="a\nb"))
    status, out, _ = office.run(capfd, "silence", "list")
    assert status == 0
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert out.count("\n") == 1


def _silence(*matchers: str) -> Any:
    from alerts.silences import Silence, matcher

    return Silence("s1", tuple(map(matcher, matchers)), NOW - 60, NOW + 60, "anna")


# Incidents.


def test_an_incident_is_listed_with_who_is_on_it_and_what_mutes_it(office: Office) -> None:
    assert office.ask("GET", "/incidents") == (200, {"incidents": []})
    news(office)
    office.ask("POST", f"/incidents/{ID}/words", {"word": "acknowledge", "by": "anna"})
    office.ask("POST", "/silences", {"matchers": [f"incident={ID}"], "for": "1h", "author": "ben"})
    status, told = office.ask("GET", "/incidents")
    assert status == 200
    assert told["incidents"] == [
        {
            "id": ID,
            "severity": "critical",
            "opened": "2022-04-13T06:37:00Z",
            "resolved": None,
            "reason": "",
            "headline": "Errors: 31 % of imports fail (contact-importer, since 06:33 UTC), usually 0.34 %",
            "suspect": "release-20220413-0631",
            "acknowledged_by": ["anna"],
            "silenced": True,
            "silenced_until": "2022-04-13T07:40:00Z",
        }
    ]
    news(office, over())
    assert office.ask("GET", "/incidents") == (200, {"incidents": []})
    [late] = office.ask("GET", "/incidents?all=true")[1]["incidents"]
    assert (late["resolved"], late["reason"], late["silenced"]) == (
        "2022-04-13T06:40:00Z",
        "recovered",
        False,
    )


def test_the_history_of_an_incident_holds_all_that_happened_and_was_said(office: Office) -> None:
    news(office)
    path = f"/incidents/{ID}/words"
    for second, body in enumerate(
        (
            {"word": "acknowledge", "by": "anna"},
            {"word": "not this deployment", "by": "ben", "service": "contact-importer"},
            {"word": "not a problem", "by": "carl"},
        )
    ):
        office.now = NOW + second
        assert office.ask("POST", path, body)[0] == 200
    made = office.ask(
        "POST", "/silences", {"matchers": [f"incident={ID}"], "author": "dora", "comment": "x"}
    )[1]
    office.now += 60
    office.ask("DELETE", f"/silences/{made['id']}", params={"by": "emil"})
    status, told = office.ask("GET", f"/incidents/{ID}")
    assert status == 200
    assert [(one["time"][11:19], one["what"], one["who"]) for one in told["history"]] == [
        ("06:37:00", "opened", ""),
        ("06:40:00", "acknowledge", "anna"),
        ("06:40:01", "not this deployment", "ben"),
        ("06:40:02", "not a problem", "carl"),
        ("06:40:02", "silenced", "dora"),
        ("06:41:02", "silence ended", "emil"),
    ]
    assert "critical, contact-importer/imports error_spike, suspect" in told["history"][0]["more"]
    assert told["history"][2]["more"] == "contact-importer of release-20220413-0631"
    assert [w.kind for w in office.store.words()] == ["acknowledge", "not this deployment", "not a problem"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"word": "acknowledge"}, 400, "by: missing"),
        ({"word": "acknowledge", "by": " "}, 400, "by: expected"),
        ({"word": "ignore", "by": "anna"}, 400, "'not this deployment' or 'roll back'"),
        ({"word": "roll back", "by": "anna"}, 400, "no service has a `rollback` in the settings"),
        ({"word": "acknowledge", "by": "anna", "deployment": "r1"}, 400, "deployment: expected only with"),
        ({"word": "not this deployment", "by": "anna", "deployment": "r1"}, 400, "release-20220413-0631"),
        (
            {"word": "not this deployment", "by": "anna", "service": "b"},
            400,
            "expected one that is suspected",
        ),
        ({"word": "acknowledge", "by": "anna", "note": "x"}, 400, "note: unknown field"),
    ],
)
def test_a_word_that_makes_no_sense_is_refused(
    office: Office, body: dict[str, str], status: int, said: str
) -> None:
    news(office)
    got = office.ask("POST", f"/incidents/{ID}/words", body)
    assert got[0] == status
    assert said in got[1]["error"]
    assert office.store.words() == ()


def test_a_word_about_nothing_or_about_what_is_over_is_refused(office: Office) -> None:
    body = {"word": "acknowledge", "by": "anna"}
    assert office.ask("POST", "/incidents/abc/words", body)[0] == 404
    news(office)
    news(office, over())
    status, told = office.ask("POST", f"/incidents/{ID}/words", body)
    assert status == 409
    assert told["error"] == f"incident {ID} is over since 2022-04-13T06:40:00Z"


def test_incidents_on_the_command_line(office: Office, capfd: pytest.CaptureFixture[str]) -> None:
    assert office.run(capfd, "incidents") == (0, "no incident is open\n", "")
    news(office)
    ack = ("incidents", "ack", ID, "--by", "anna")
    assert office.run(capfd, *ack) == (0, f"{ID}: acknowledge, anna\n", "")
    assert office.run(capfd, *ack) == (0, f"{ID}: acknowledge, anna (you had said so before)\n", "")
    status, out, _ = office.run(capfd, "incidents")
    assert status == 0
    assert out.startswith(f"{ID}  critical  told 2022-04-13T06:37:00Z  Errors: 31 % of imports fail")
    assert out.endswith("; suspect release-20220413-0631, acknowledged by anna\n")
    release = "release-20220413-0631"
    said = office.run(
        capfd, "incidents", "not-this-deployment", ID, "--by", "b", "--service", "contact-importer"
    )
    assert said == (0, f"{ID}: not this deployment: contact-importer of {release}, b\n", "")
    assert office.run(capfd, "incidents", "not-a-problem", ID, "--by", "b")[0] == 0
    status, out, _ = office.run(capfd, "incidents", "show", ID)
    assert status == 0
    happened, _, why = out.partition("\nwhy:\n")
    assert happened.count("\n") == 4
    assert "    version 3.45.0 fails, the others do not\n" in why
    assert "2022-04-13T06:40:00Z  acknowledge by anna\n" in out
    status, out, err = office.run(capfd, "incidents", "ack", "abc")
    assert (status, out) == (2, "")
    assert "no incident 'abc'" in err


def test_the_status_says_what_is_watched_open_and_muted(
    office: Office, capfd: pytest.CaptureFixture[str]
) -> None:
    said = "well; 12 signals judged, 1 still learning, 24 series\nopen: nothing\nsilenced: nothing\n"
    assert office.run(capfd, "status") == (0, said, "")
    news(office)
    office.ask("POST", "/silences", {"matchers": ["service=b"], "for": "1h", "author": "ben"})
    office.health |= {"ok": False, "blind_since": NOW - 60, "outbox": 3}
    status, out, _ = office.run(capfd, "status")
    assert status == 1
    first, waiting, opened, incident, silenced, silence = out.splitlines()
    assert (
        first == "not well: blind since 2022-04-13T06:39:00Z; 12 signals judged, 1 still learning, 24 series"
    )
    assert (waiting, opened, silenced) == ("to be delivered: 3", "open: 1", "silenced: 1")
    assert ID in incident
    assert 'service="b"' in silence
    status, out, _ = office.run(capfd, "status", "--json")
    assert status == 1
    assert json.loads(out)["open"][0]["id"] == ID
