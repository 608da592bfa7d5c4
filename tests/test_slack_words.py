"""What is pressed and typed in Slack: the real SDK over a real socket, and signed requests at the real door."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import examples
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_blocks import complaints
from slack_methods import Posted
from slack_server import SlackServer, refuse, too_many
from slack_socket import Sockets
from test_collector_server import serving

from alerts import jsonl, messages
from alerts.deliver import Place, deliver
from alerts.incidents import Event
from alerts.slack import Slack
from alerts.slack_base import is_loopback
from alerts.slack_buttons import buttons, command, press
from alerts.slack_signed import Signed
from alerts.slack_socket import Socket, check
from alerts.slack_web import is_slacks
from collector.bins import SeriesTable
from collector.server import Busy, Door
from collector.tokens import of_one
from stillwatch.desk import Desk
from stillwatch.history import History
from stillwatch.mailbox import Mailbox
from stillwatch.slack_desk import SlackDesk
from stillwatch.store import Closing, News, Store

SPIKE = examples.error_spike()
ID = SPIKE.incident.id
HEALTH = {
    "ok": True, "judged": 2, "learning": {}, "series": 4, "blind_since": 0, "trouble": "", "lag": 0, "outbox": 0,
}  # fmt: skip


def eventually(what: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


@dataclass
class Office:
    """A Slack of our own with one card in it, and everything behind the buttons."""

    slack: SlackServer
    store: Store
    history: History
    in_slack: SlackDesk
    door: Door
    explained: list[tuple[str, str]] = field(default_factory=list)

    @property
    def sockets(self) -> Sockets:
        return self.slack.sockets

    @property
    def card(self) -> Posted:
        return self.slack.channel("C0ALERTS").top[0]

    def news(self, event: Event) -> None:
        remarks = self.history.remarks(event, event.time)
        words = messages.word(event, "C0ALERTS", remarks, pressable=True)
        one = News(event.incident.id, event.number, event.time, jsonl.line(event), words, event, remarks)
        self.store.commit(Closing(news=(one,)), SeriesTable())

    def deliver(self) -> None:
        self.history.refresh(int(time.time()))
        place = Place(Slack(self.slack.token, self.slack.base_url), pace=0)
        deliver(Mailbox(self.store, self.history), place, lambda: int(time.time()))

    def kinds(self) -> list[tuple[str, str]]:
        return [(word.kind, word.who) for word in self.store.words()]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    store = Store(tmp_path / "s.db")
    history = History(store, pressable=True)
    stopping = threading.Event()

    def now() -> int:
        return int(time.time())

    explained: list[tuple[str, str]] = []

    def explain(service: str, at: str) -> list[str]:
        explained.append((service, at))
        if service == "nobody":
            raise ValueError("nobody: no such service has a signal; expected <a>")
        return [f"{service}: quiet", "  nothing"]

    with SlackServer() as slack:
        desk = Desk(history, now, store.add_word, lambda: HEALTH)

        def answer(address: str, text: str) -> None:
            from alerts.slack_answer import answer

            answer(address, slack.base_url, text)

        in_slack = SlackDesk(desk, answer, explain, slack.sockets.secret, now)
        worker = threading.Thread(target=in_slack.work, args=[stopping])
        worker.start()
        door = Door(
            lambda _: {},
            lambda _: None,
            now,
            dict,
            desk=desk.answer,
            slack=in_slack.over_http,
            tokens=of_one("t"),
        )
        made = Office(slack, store, history, in_slack, door, explained)
        made.news(SPIKE)
        made.deliver()
        yield made
        stopping.set()
        worker.join(10)
    store.close()


@pytest.fixture
def linked(office: Office) -> Iterator[Office]:
    """With an open socket."""
    stopping = threading.Event()
    link = Socket(office.sockets.app_token, office.slack.base_url, office.in_slack.take, ping=1.0)
    thread = threading.Thread(target=link.run, args=[stopping])
    thread.start()
    office.sockets.wait_for(1)
    yield office
    stopping.set()
    office.sockets.cut()  # else its reader looks up only every three seconds
    thread.join(20)
    assert not thread.is_alive()


# The card.


def test_slack_takes_a_card_with_buttons_and_each_names_the_incident(office: Office) -> None:
    elements = office.card.blocks[-1]["elements"]
    assert [one["action_id"] for one in elements] == [
        "change-1", "acknowledge", "silence", "not_a_problem", "not_this_deployment", "why",
    ]  # fmt: skip
    assert [one["value"] for one in elements[2]["options"]] == [f"{ID}:1h", f"{ID}:4h", f"{ID}:over"]
    assert json.loads(elements[4]["value"]) == [ID, "release-20220413-0631", "contact-importer"]
    assert elements[3]["confirm"]["title"]["text"] == "Not a problem?"


@pytest.mark.parametrize("name", list(examples.EVENTS))
def test_every_card_with_buttons_keeps_slacks_limits(name: str) -> None:
    event = examples.EVENTS[name]()
    blocks = messages.card(event, ("a remark",), pressable=True)
    assert complaints(blocks) == []
    said = json.dumps(blocks)
    assert ('"acknowledge"' in said) is (event.event != "resolved")
    assert '"acknowledge"' not in json.dumps(messages.card(event))


def test_without_a_suspect_there_is_nothing_that_it_was_not() -> None:
    named = [one["action_id"] for one in buttons(examples.no_deployment().incident)]
    assert named == ["acknowledge", "silence", "not_a_problem", "why"]


def test_of_several_members_their_release_is_what_it_was_not() -> None:
    *_, last, _ = buttons(examples.joined().incident)
    assert json.loads(last["value"]) == [ID, "release-20220413-0631", ""]


# Socket Mode.


def test_a_press_is_acknowledged_at_once_and_shown_on_the_card(linked: Office) -> None:
    payload = linked.sockets.pressed(linked.card, "acknowledge")
    assert linked.sockets.send("interactive", payload)
    eventually(lambda: linked.kinds() == [("acknowledge", "anna")])
    linked.deliver()
    assert "Acknowledged by `anna`" in json.dumps(linked.card.blocks, ensure_ascii=False)
    assert linked.sockets.answers == []


def test_a_press_that_comes_twice_is_one(linked: Office) -> None:
    for action in ("acknowledge", "silence"):
        payload = linked.sockets.pressed(linked.card, action)
        for _ in range(2):
            assert linked.sockets.send("interactive", payload, "the-same-envelope")
    eventually(lambda: linked.history.silences())
    linked.sockets.send("slash_commands", linked.sockets.typed("status"))
    linked.sockets.answer()  # so all before it is done
    assert linked.kinds() == [("acknowledge", "anna")]
    assert len(linked.history.silences()) == 1


@pytest.mark.parametrize(("choice", "lasts"), [(0, 3600), (1, 4 * 3600), (2, 0)])
def test_the_menu_silences_the_incident_for_so_long(linked: Office, choice: int, lasts: int) -> None:
    assert linked.sockets.send("interactive", linked.sockets.pressed(linked.card, "silence", "ben", choice))
    eventually(lambda: linked.history.silences())
    [silence] = linked.history.silences()
    assert [str(one) for one in silence.matchers] == [f'incident="{ID}"']
    assert silence.author == "ben"
    assert (silence.ends - silence.starts if silence.ends else 0) == lasts
    linked.deliver()
    assert "Silenced until" in json.dumps(linked.card.blocks)


def test_the_other_buttons_say_their_words(linked: Office) -> None:
    for action in ("not_this_deployment", "not_a_problem"):
        assert linked.sockets.send("interactive", linked.sockets.pressed(linked.card, action))
    eventually(lambda: len(linked.store.words()) == 2)
    first, second = linked.store.words()
    assert (first.kind, first.deployment, first.service) == (
        "not this deployment", "release-20220413-0631", "contact-importer",
    )  # fmt: skip
    assert second.kind == "not a problem"


def test_why_is_answered_to_the_one_who_asks_with_all_that_was_weighed(linked: Office) -> None:
    assert linked.sockets.send("interactive", linked.sockets.pressed(linked.card, "why"))
    said = linked.sockets.answer()
    assert said.startswith("```Errors: 31 % of imports fail (contact-importer, since 06:33 UTC)")
    assert "since then counted 55 of 178, expected 0.6" in said
    assert "97 %  contact-importer 3.45.0, deploy at 06:31 UTC (release-20220413-0631)" in said
    assert "version 3.45.0 fails, the others do not" in said
    assert "3 %  no deployment that we know of" in said
    assert linked.store.words() == ()


def test_a_press_on_what_is_over_or_unknown_is_answered_to_the_one_who_pressed(linked: Office) -> None:
    press_ = linked.sockets.pressed(linked.card, "acknowledge")
    menu = linked.sockets.pressed(linked.card, "silence")
    strange = linked.sockets.pressed(linked.card, "acknowledge")
    strange["actions"][0]["value"] = "<!channel>"
    linked.news(
        Event(SPIKE.time + 60, "resolved", "recovered", replace(SPIKE.incident, resolved=SPIKE.time + 60), 2)
    )
    for payload in (press_, menu, strange):
        assert linked.sockets.send("interactive", payload)
    assert "is over since" in linked.sockets.answer(1)
    assert "is over since" in linked.sockets.answer(2)
    assert "no incident '&lt;!channel&gt;'" in linked.sockets.answer(3)
    assert linked.store.words() == ()
    assert linked.history.silences() == []


def test_a_link_that_is_pressed_and_what_is_no_press_are_acknowledged_and_no_more(linked: Office) -> None:
    assert linked.sockets.send("interactive", linked.sockets.pressed(linked.card, "change-1"))
    assert linked.sockets.send("interactive", {"type": "view_submission"})
    assert linked.sockets.send("events_api", {"event": {}})
    assert linked.sockets.answers == []


def test_a_socket_that_is_cut_or_asked_to_leave_is_opened_anew(linked: Office) -> None:
    linked.sockets.ask_to_leave("refresh_requested")
    linked.sockets.wait_for(2, ever=True)
    linked.sockets.cut()
    linked.sockets.wait_for(3, ever=True)
    eventually(lambda: linked.sockets.send("interactive", linked.sockets.pressed(linked.card, "acknowledge")))
    eventually(lambda: linked.kinds() == [("acknowledge", "anna")])


def test_slack_that_refuses_a_socket_is_asked_again_and_nothing_secret_is_logged(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    office.slack.script("apps.connections.open", too_many(1), refuse("internal_error"))
    stopping = threading.Event()
    link = Socket(office.sockets.app_token, office.slack.base_url, office.in_slack.take)
    thread = threading.Thread(target=link.run, args=[stopping])
    thread.start()
    office.sockets.wait_for(1)
    eventually(lambda: link.connected)
    stopping.set()
    thread.join(20)
    ours = "".join(one.getMessage() for one in caplog.records if not one.name.startswith("uvicorn"))
    assert "do not come in: Slack asks to wait (429)" in ours
    assert office.sockets.app_token not in ours
    assert "ticket" not in ours


@pytest.mark.slow
def test_a_wrong_token_says_so_once_and_a_link_that_is_switched_off_is_left(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    stopping = threading.Event()
    wrong = Socket("xapp-wrong", office.slack.base_url, office.in_slack.take)
    thread = threading.Thread(target=wrong.run, args=[stopping])
    thread.start()
    eventually(lambda: office.slack.count("apps.connections.open") >= 2)
    stopping.set()
    thread.join(20)
    assert caplog.text.count("Slack does not know this token") == 1
    link = Socket(office.sockets.app_token, office.slack.base_url, office.in_slack.take)
    thread = threading.Thread(target=link.run, args=[threading.Event()])
    thread.start()
    office.sockets.wait_for(1)
    office.sockets.disabled = True
    office.sockets.ask_to_leave("link_disabled")
    thread.join(20)
    assert not thread.is_alive(), "it does not try for ever"
    assert "switched Socket Mode off" in caplog.text


def test_the_app_token_is_checked_without_a_socket(office: Office) -> None:
    assert check(office.sockets.app_token, office.slack.base_url, 5) == ""
    assert "does not know this token" in check("xapp-wrong", office.slack.base_url, 5)
    assert "not_allowed_token_type" in check(office.slack.token, office.slack.base_url, 5)
    assert "no answer from Slack" in check("xapp-1", "http://127.0.0.1:9/api/", 5)
    assert "expected https" in check("xapp-1", "http://slack.example/", 5)
    assert office.sockets.opened == 0


@pytest.mark.parametrize("url", ["http://slack.example/api/", "ftp://127.0.0.1/", "https:///api/", ""])
def test_a_token_never_travels_in_the_clear(url: str) -> None:
    with pytest.raises(ValueError, match="expected https"):
        Socket("xapp-1", url, lambda kind, payload: None)


# Signed HTTP.


def post(office: Office, url: str, path: str, fields: dict[str, str], **change: str) -> int:
    body, headers = office.sockets.signed(fields)
    with httpx2.Client(trust_env=False) as client:
        got = client.post(f"{url}{path}", content=body, headers=headers | change)
    assert got.text == ""
    return got.status_code


def test_a_signed_press_and_a_signed_command_are_done_and_answered_with_nothing(office: Office) -> None:
    payload = json.dumps(office.sockets.pressed(office.card, "acknowledge", "carl"))
    with serving(office.door) as url:
        assert post(office, url, "/slack/interactions", {"payload": payload}) == 200
        eventually(lambda: office.kinds() == [("acknowledge", "carl")])
        assert post(office, url, "/slack/commands", office.sockets.typed("status")) == 200
        assert "well; 2 signals judged, 4 series" in office.sockets.answer()


def test_what_slack_did_not_sign_just_now_for_the_first_time_is_refused(office: Office) -> None:
    fields = {"payload": json.dumps(office.sockets.pressed(office.card, "acknowledge"))}
    body, headers = office.sockets.signed(fields)
    old, old_headers = office.sockets.signed(fields, time.time() - 301)
    ahead, ahead_headers = office.sockets.signed(fields, time.time() + 302)
    stamp, signature = "x-slack-request-timestamp", "x-slack-signature"
    tries = [
        (body + b"&x=y", headers),
        (body, headers | {signature: "v0=" + "0" * 64}),
        (body, headers | {signature: ""}),
        (body, headers | {signature: headers[signature].replace("v0", "v1")}),
        (body, headers | {signature: "v0=\xe9"}),
        (body, headers | {stamp: "soon"}),
        (body, headers | {stamp: "9" * 400}),
        (body, {name: value for name, value in headers.items() if name != stamp}),
        (body, {name: value for name, value in headers.items() if name != signature}),
        (old, old_headers),
        (ahead, ahead_headers),
    ]
    with serving(office.door) as url, httpx2.Client(trust_env=False) as client:

        def status(content: bytes, given: Mapping[str, str]) -> int:
            raw = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
            return client.post(f"{url}/slack/interactions", content=content, headers=raw).status_code

        assert [status(*one) for one in tries] == [401] * len(tries)
        assert office.store.words() == ()
        assert status(body, headers) == 200
        assert status(body, headers) == 401, "the same again"
        eventually(lambda: len(office.store.words()) == 1)


def test_a_body_that_is_signed_and_no_payload_is_a_bad_request(office: Office) -> None:
    with serving(office.door) as url:
        assert post(office, url, "/slack/interactions", {"payload": "{"}) == 400
        assert post(office, url, "/slack/interactions", {}) == 400
        assert post(office, url, "/slack/interactions", {"payload": "[" * 100_000}) == 400
        action = {"action_id": "not_this_deployment", "value": "[" * 1990}
        deep = json.dumps({"type": "block_actions", "user": {"name": "u"}, "actions": [action]})
        assert post(office, url, "/slack/interactions", {"payload": deep}) == 200
        assert post(office, url, "/slack/interactions", {"payload": "[]"}) == 200
        with httpx2.Client(trust_env=False) as client:
            huge = client.post(f"{url}/slack/interactions", content=b"x" * (1024 * 1024 + 1))
        assert huge.status_code == 413


def test_without_a_secret_there_is_no_such_door(office: Office) -> None:
    with serving(replace(office.door, slack=None)) as url:
        assert post(office, url, "/slack/commands", office.sockets.typed("status")) == 404


def test_signatures_are_forgotten_when_they_are_good_no_more() -> None:
    moment = [1000.0]
    signed, slack = Signed("our-own-signing-secret", lambda: moment[0]), Sockets()
    for second in range(50):
        moment[0] = 1000.0 + 100 * second
        body, headers = slack.signed({"a": "b"}, moment[0])
        assert signed.is_from_slack(headers, body)
        assert not signed.is_from_slack(headers, body)
    assert len(signed._seen) <= 7


# Slash commands.


def say(office: Office, text: str, number: int = 1) -> str:
    office.in_slack.take("slash_commands", office.sockets.typed(text))
    return office.sockets.answer(number)


def test_the_status_says_what_is_open(office: Office) -> None:
    said = say(office, "status")
    assert said.startswith("```well; 2 signals judged")
    assert ID in said


def test_a_silence_is_typed_listed_and_ended(office: Office) -> None:
    said = say(office, "silence service=image-resizer kind=~“error.*” for 2h because it is “known”")
    [silence] = office.history.silences()
    assert [str(one) for one in silence.matchers] == ['service="image-resizer"', 'kind=~"error.*"']
    assert (silence.author, silence.comment, silence.ends - silence.starts) == ("anna", "it is “known”", 7200)
    assert said.startswith(f"```{silence.id}  active")
    assert silence.id in say(office, "silence", 2)
    assert "ended by anna" in say(office, f"silence end {silence.id}", 3)
    assert say(office, "silence", 4) == "```nothing is silenced```"


@pytest.mark.parametrize(
    "reason", ["it's known, see #31", "it’s known", "don't `care`; because of \"that", "a &lt;b&gt; &amp;"]
)
def test_a_reason_is_kept_as_it_is_typed(office: Office, reason: str) -> None:
    say(office, f"silence service=image-resizer because {reason}")
    [silence] = office.history.silences()
    assert silence.comment == reason.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert [str(one) for one in silence.matchers] == ['service="image-resizer"']


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "`/stillwatch status`"),
        ("help", "`/stillwatch status`"),
        ("status now", "`/stillwatch status`"),
        ("explain", "`/stillwatch explain SERVICE"),
        ("silence service", "Not done: found 'service', expected a matcher"),
        ("silence service=a for ever", "for: found 'ever', expected a duration"),
        ('silence service="a', "expected a pair"),
        ("silence end abc", "no silence 'abc'"),
        ("silence service=~&lt;(", "Not done: found the expression '&lt;('"),
        ("silence a&lt;!channel&gt;", "Not done: found 'a&lt;!channel&gt;'"),
    ],
)
def test_a_slip_is_answered_in_words(office: Office, text: str, said: str) -> None:
    assert said in say(office, text)
    assert office.history.silences() == []


def test_what_takes_long_is_explained_aside(office: Office) -> None:
    assert say(office, "explain importer 2022-04-13T06:40Z") == "```importer: quiet\n  nothing```"
    assert "expected &lt;a&gt;" in say(office, "explain nobody", 2)
    assert office.explained == [("importer", "2022-04-13T06:40Z"), ("nobody", "")]


def test_what_cannot_be_kept_is_said(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> None:
        raise Busy

    monkeypatch.setattr(office.in_slack._desk, "answer", busy)
    assert "cannot be kept just now" in say(office, "status")


# Nothing is believed.


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        ("https://hooks.slack.com/actions/T0/1/x", True),
        ("https://hooks.slack.com:443/actions", True),
        ("http://hooks.slack.com/actions", False),
        ("https://hooks.slack.com.example/actions", False),
        ("https://hooks.slack.com@example.com/", False),
        ("https://a@hooks.slack.com/", False),
        ("https://example.com/hooks.slack.com", False),
        ("http://127.0.0.1:9999/actions", True),
        ("http://127.0.0.1:9998/actions", False),
        ("file:///etc/passwd", False),
        ("https://[", False),
        ("", False),
    ],
)
def test_answers_go_to_slack_only(address: str, ours: bool) -> None:
    assert is_slacks(address, "http://127.0.0.1:9999/api/") is ours


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3),
    max_leaves=8,
)


@given(payload=st.dictionaries(st.sampled_from(["type", "user", "actions", "response_url", "text"]), JSON))
def test_no_payload_breaks_the_reading_of_it(payload: dict[str, Any]) -> None:
    press(payload)
    press(payload | {"type": "block_actions"})
    command(payload)


@given(action=st.sampled_from(["acknowledge", "silence", "not_a_problem", "not_this_deployment"]), value=JSON)
def test_no_value_breaks_the_reading_of_a_press(action: str, value: Any) -> None:
    found = press(
        {"type": "block_actions", "actions": [{"action_id": action, "value": value, "action_ts": value}]}
    )
    assert found is None or isinstance(found.incident, str)


def test_a_loopback_is_one() -> None:
    assert is_loopback("http://127.0.0.1:1/")
    assert not is_loopback("https://slack.com/api/")
