"""A suspect that is likely is put back from its card: its pipeline is asked once, whoever presses how often, and
whatever it answers; the thread follows what comes of it. Through our own Slack and a pipeline of our own."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import examples
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from postgres_server import PostgresServer, answers_lost
from slack_blocks import complaints, too_long
from slack_methods import Posted
from slack_server import SlackServer
from test_alerts_messages import texts
from test_collector_server import serving
from test_words import FAULT, FOUR, LASTS, START, failing, made, opened
from web_server import Reply, Request, WebServer
from world import World, asks, between

from alerts import jsonl, messages, pagerduty, plain, rollbacks
from alerts.deliver import Place, deliver
from alerts.incidents import Event, Incident
from alerts.outbox import Receipt, sent
from alerts.packed import pack
from alerts.remarks import answered, edited, remarks
from alerts.rollbacks import LIKELY, Offer, Rollback, State, Way, filled, offers
from alerts.slack import Slack
from alerts.slack_buttons import press
from alerts.suspects import Suspect
from collector.bins import SeriesTable
from collector.deployments import Deployment
from collector.server import Door
from collector.words import Word
from stillwatch import config, engine
from stillwatch.cli import _run
from stillwatch.desk import Desk
from stillwatch.history import History
from stillwatch.mailbox import Mailbox
from stillwatch.rollbacks import Rollbacks
from stillwatch.slack_desk import SlackDesk
from stillwatch.snapshot import dump, load
from stillwatch.store import Closing, News, Store

SPIKE = examples.error_spike()
ID = SPIKE.incident.id
SECRET = "between us and the pipeline"
SERVICE = "contact-importer"
WAYS = {SERVICE: Way("https://ci.example/hook", SECRET)}


def eventually(what: Any, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)
    return found


def suspected(of: Deployment, probability: float, **parts: Any) -> Incident:
    return examples.incident((examples.imports_fail(),), suspects=(Suspect(of, probability),), **parts)


# What is offered.


@given(
    probability=st.floats(0, 1),
    kind=st.sampled_from(["deploy", "rollback", "config", "flag"]),
    previous=st.sampled_from(["", " ", "3.44.0"]),
    back=st.booleans(),
    service=st.sampled_from([SERVICE, "event-parser"]),
)
def test_only_a_likely_deployment_with_a_version_to_go_back_to_and_a_way_there_is_offered(
    probability: float, kind: Any, previous: str, back: bool, service: str
) -> None:
    of = replace(examples.IMPORTER, kind=kind, previous_version=previous, service=service)
    done = replace(examples.IMPORTER_BACK, service=service)
    it = suspected(of, probability, rollbacks=(done,) if back else ())
    good = probability >= LIKELY and kind == "deploy" and previous.strip() and not back and service == SERVICE
    assert bool(offers(it, WAYS)) is bool(good)


def test_each_member_that_is_to_be_put_back_is_offered_when_their_release_is_likely() -> None:
    ways = {
        **WAYS,
        "event-parser": Way("https://ci.example/hook"),
        "mail-sender": Way("https://ci.example/hook"),
    }
    found = offers(examples.joined().incident, ways)
    assert [one.deployment.service for one in found] == [SERVICE, "event-parser"]
    assert [one.probability for one in found] == [pytest.approx(0.97)] * 2
    shown = messages.card(examples.joined(), (), True, found)[-1]["elements"]
    assert [one["text"]["text"] for one in shown if one["action_id"].startswith("roll_back")] == [
        "Roll back contact-importer", "Roll back event-parser",
    ]  # fmt: skip


def test_the_button_asks_before_it_does_anything_and_says_from_which_version_to_which() -> None:
    [button] = rollbacks.elements(SPIKE.incident, offers(SPIKE.incident, WAYS), True)
    assert button["style"] == button["confirm"]["style"] == "danger"
    assert button["confirm"]["title"]["text"] == "Roll back contact-importer?"
    said = "contact-importer in production: 3.45.0 → 3.44.0. Its pipeline is asked once, in your name."
    assert button["confirm"]["text"]["text"] == said
    assert rollbacks.elements(SPIKE.incident, offers(SPIKE.incident, WAYS), False) == []
    over = replace(SPIKE, event="resolved", reason="recovered")
    assert "roll_back" not in json.dumps(messages.card(over, (), True, offers(SPIKE.incident, WAYS)))


def test_a_link_leads_to_the_pipeline_without_a_press_and_every_value_in_it_is_encoded() -> None:
    way = Way(
        link="https://ci.example/{service}/back?to={version}&from={from}&in={environment}&why={incident}"
    )
    of = replace(examples.IMPORTER, service="a/b c", previous_version="1&x=y#z", environment="<!channel>")
    assert filled(way, of, ID) == (
        f"https://ci.example/a%2Fb%20c/back?to=1%26x%3Dy%23z&from=3.45.0&in=%3C%21channel%3E&why={ID}"
    )
    it = suspected(of, 0.9)
    [button] = rollbacks.elements(it, offers(it, {"a/b c": way}), False)
    assert button["url"].startswith("https://ci.example/")
    assert "confirm" not in button
    assert press({"type": "block_actions", "actions": [button]}) is None, (
        "Slack opened the page; nothing to do"
    )
    assert rollbacks.elements(it, offers(it, {"a/b c": Way(link="ftp://ci.example/{service}")}), True) == []


OUTSIDE = st.text(max_size=30) | st.sampled_from(
    ["<!channel>" * 40, "&" * 600, "`*_~" * 100, "x" * 5000, "\u202e\x00\n", "", " "]
)


@given(
    outside=st.lists(OUTSIDE, min_size=6, max_size=6),
    state=st.sampled_from(["asked", "failed", "unknown", "taken"]),
    page=st.sampled_from(["", *(f"https://ci.example/{part * 400}" for part in ("a", "&", "ab", "a&"))]),
)
def test_whatever_things_are_called_slack_takes_it_and_nobody_is_mentioned(
    outside: list[str], state: State, page: str
) -> None:
    service, version, previous, environment, who, said = outside
    of = replace(
        examples.IMPORTER,
        service=service,
        version=version,
        previous_version=previous,
        environment=environment,
    )
    it = suspected(of, 0.9)
    event = replace(SPIKE, incident=it)
    back = Rollback(ID, of.id, service, version, previous, who, SPIKE.time, state=state, said=said, page=page)
    words = [Word(ID, "acknowledge", who, SPIKE.time), *[Word(ID, "not this deployment", who, 1, said)] * 9]
    found = offers(it, {service: Way("https://ci.example/")})
    card = edited(event, "#a", "k", remarks(event, (), words, [back] * 9), True, found)
    reply = answered(back, "#a", 1, SPIKE.time)
    for message in (card, reply):
        assert complaints(list(message.blocks)) == []
        assert not too_long(list(message.blocks))
        marked = [text for kind, text in texts(list(message.blocks)) if kind == "mrkdwn"]
        assert "<!channel>" not in " ".join([*marked, message.text])
    assert bool(found) is bool(previous.strip())


# Pressed.


@dataclass
class Office:
    """A Slack of our own with a card in it, a pipeline of our own, and everything between the two."""

    slack: SlackServer
    pipeline: WebServer
    store: Store
    back: Rollbacks
    history: History
    in_slack: SlackDesk
    url: str = ""

    @property
    def card(self) -> Posted:
        return self.slack.channel("C0ALERTS").top[0]

    @property
    def thread(self) -> list[str]:
        self.deliver()
        replies = self.slack.channel("C0ALERTS").replies(self.card.ts)
        return ["\n".join(text for _, text in texts(one.blocks)) for one in replies]

    @property
    def actions(self) -> list[str]:
        self.deliver()
        return [one["action_id"] for one in self.card.blocks[-1]["elements"]]

    def news(self, event: Event) -> None:
        said = self.history.remarks(event, event.time)
        words = messages.word(event, "C0ALERTS", said, True, None, self.history.offers(event.incident))
        words = tuple(one for one in words if one.chart is None)
        one = News(event.incident.id, event.number, event.time, jsonl.line(event), words, event, said)
        self.store.commit(Closing(news=(one,)), SeriesTable())

    def deliver(self) -> None:
        self.history.refresh(int(time.time()))
        place = Place(Slack(self.slack.token, self.slack.base_url), pace=0)
        deliver(Mailbox(self.store, self.history), place, lambda: int(time.time()))

    def pressed(self, who: str = "anna", action: str = "roll_back-1") -> dict[str, Any]:
        return self.slack.sockets.pressed(self.card, action, who)

    def press(self, who: str = "anna", action: str = "roll_back-1") -> None:
        self.in_slack.take("interactive", self.pressed(who, action))

    def state(self) -> str:
        [one] = self.back.of(SPIKE.incident) or [None]
        return "" if one is None else one.state

    def comes_to(self, state: State) -> None:
        eventually(lambda: self.state() == state)


@pytest.fixture
def pipeline() -> Iterator[WebServer]:
    with WebServer(lambda _: Reply(202, b'{"url": "https://ci.example/runs/7"}')) as server:
        yield server


@pytest.fixture
def office(tmp_path: Path, pipeline: WebServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    monkeypatch.setattr("stillwatch.rollbacks.PULSE", 0.02)
    monkeypatch.delenv("STILLWATCH_TOKEN", raising=False)
    store, stopping = Store(tmp_path / "s.db"), threading.Event()

    def now() -> int:
        return int(time.time())

    back = Rollbacks(store, {SERVICE: Way(f"{pipeline.url}/hook", SECRET)}, now)
    history = History(store, True, back=back)
    with SlackServer() as slack:
        desk = Desk(history, now, store.add_word, dict, back)

        def answer(address: str, text: str) -> None:
            from alerts.slack_answer import answer

            answer(address, slack.base_url, text)

        in_slack = SlackDesk(desk, answer, lambda service, at: [], slack.sockets.secret, now)
        threads = [threading.Thread(target=one.work, args=[stopping]) for one in (in_slack, back)]
        made = Office(slack, pipeline, store, back, history, in_slack)
        made.news(SPIKE)
        made.deliver()
        for thread in threads:
            thread.start()
        door = Door(lambda _: {}, lambda _: None, now, dict, desk=desk.answer)
        with serving(door) as made.url:
            yield made
        stopping.set()
        for thread in threads:
            thread.join(10)
    store.close()


def checked(request: Request) -> dict[str, Any]:
    """The body, once it is known to be ours: as the documentation says that a pipeline does it."""
    fields = dict(part.split("=", 1) for part in request.headers["stillwatch-signature"].split(","))
    wanted = hmac.new(SECRET.encode(), fields["t"].encode() + b"." + request.body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(wanted, fields["v1"])
    assert abs(time.time() - int(fields["t"])) <= 300
    told: dict[str, Any] = json.loads(request.body)
    assert request.headers["stillwatch-key"] == told["key"]
    return told


def test_a_press_asks_the_pipeline_once_and_the_thread_and_the_card_say_what_it_answered(
    office: Office,
) -> None:
    assert office.actions[:3] == ["change-1", "roll_back-1", "acknowledge"]
    office.press()
    office.comes_to("taken")
    [request] = office.pipeline.requests
    assert request.path == "/hook"
    told = checked(request)
    assert told | {"key": "", "time": ""} == {
        "event": "roll_back", "key": "", "time": "", "by": "anna", "incident": ID, "service": SERVICE,
        "environment": "production", "deployment": "release-20220413-0631", "from": "3.45.0", "to": "3.44.0",
        "probability": 0.97,
    }  # fmt: skip
    [said] = office.thread
    assert said.startswith("↩️ `anna` asked for `contact-importer` back to `3.44.0` at ")
    assert said.endswith("UTC; the pipeline answered 202, <https://ci.example/runs/7|follow it there>")
    assert "the pipeline answered 202" in json.dumps(office.card.blocks)
    assert "roll_back-1" not in office.actions, "it is not offered again"
    assert office.slack.sockets.answers == []
    assert [(w.kind, w.who, w.service) for w in office.store.words()] == [("roll back", "anna", SERVICE)]
    assert office.history.acknowledged(ID) > 0, "whoever does that is on it"


def test_what_is_not_put_back_in_time_is_said_once_in_the_channel(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillwatch.rollbacks.FINISHED", 1)
    office.press()
    office.comes_to("taken")
    eventually(lambda: office.back.of(SPIKE.incident)[0].followed)
    time.sleep(0.2)
    _, reminder = office.thread
    assert reminder.startswith(
        "⏰ `contact-importer` is not known to be put back to `3.44.0`, for which `anna` asked at "
    )
    assert reminder.endswith("nobody told of it, and no count shows it.")
    assert "<https://ci.example/runs/7|the pipeline>" in reminder
    channel = office.slack.channel("C0ALERTS").replies(office.card.ts)
    assert [one.broadcast for one in channel] == [False, True]


@pytest.mark.parametrize("how", ["put back", "over"])
def test_of_what_was_put_back_or_is_over_nobody_is_reminded(
    office: Office, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("stillwatch.rollbacks.FINISHED", 2)
    office.press()
    office.comes_to("taken")
    of = SPIKE.incident.suspects[0].deployment
    back = replace(of, id="b", time=of.time + 900, version=of.previous_version, previous_version=of.version)
    it = replace(SPIKE.incident, rollbacks=(back,) if how == "put back" else ())
    ends = (
        {"event": "resolved", "reason": "recovered"}
        if how == "over"
        else {"event": "updated", "reason": "grew"}
    )
    office.news(replace(SPIKE, number=2, time=SPIKE.time + 960, incident=it, **ends))
    eventually(lambda: office.back.of(SPIKE.incident)[0].followed)
    assert not any("is not known to be put back" in said for said in office.thread)


def test_other_places_hear_what_was_asked_and_what_became_of_it(tmp_path: Path) -> None:
    store, now = Store(tmp_path / "s.db"), SPIKE.time + 60
    for channel in ("webhook:hook", "pagerduty:us"):
        [said] = plain.word(SPIKE, channel, first=True)
        row = News(ID, SPIKE.number, SPIKE.time, jsonl.line(SPIKE), (said,), SPIKE, ())
        store.commit(Closing(news=(row,)), SeriesTable())
        store.say(ID, [said], SPIKE.time)
    back = Rollbacks(store, WAYS, lambda: now)
    mailbox = Mailbox(store)
    for one in mailbox.waiting():
        mailbox.record(sent(one, Receipt(one.message.channel, one.message.key)))
    of = SPIKE.incident.suspects[0].deployment
    wanted = Rollback(ID, of.id, of.service, of.version, of.previous_version, "<!channel> anna", now)
    back.ask(wanted)
    back._settle(replace(wanted, state="taken", said="the pipeline answered 202"))
    heard = mailbox.waiting()
    assert [one.message.channel for one in heard] == ["webhook:hook", "pagerduty:us"]
    for one in heard:
        notice = one.message.notice
        assert notice is not None and one.message.replaces == ID
        assert "asked for contact-importer back to 3.44.0 at" in notice.title
        assert notice.title.endswith("the pipeline answered 202") and "`" not in notice.title
        assert "<!channel>" not in notice.title
        assert (notice.event, notice.acknowledged) == ("updated", now)
    assert [one["event_action"] for one in pagerduty.events(heard[1].message.notice)] == ["acknowledge"]
    store.close()


def test_pressed_by_two_people_and_three_times_it_is_one_call_and_who_comes_second_hears_so(
    office: Office,
) -> None:
    presses = [office.pressed("anna"), office.pressed("ben"), office.pressed("anna")]
    for one in presses:
        office.in_slack.take("interactive", one)
    office.comes_to("taken")
    assert "`anna` has asked for that already, at " in office.slack.sockets.answer(1)
    office.slack.sockets.answer(2)
    time.sleep(0.2)
    assert len(office.pipeline.requests) == 1
    assert len(office.thread) == 1


def test_many_who_ask_at_the_same_moment_are_one_call(office: Office) -> None:
    wanted, _ = office.back.choose(SPIKE.incident, "", "")
    new = list[bool]()
    line = threading.Barrier(8)

    def ask(who: str) -> None:
        line.wait()
        new.append(office.back.ask(replace(wanted, who=who, time=int(time.time())))[1])

    threads = [threading.Thread(target=ask, args=[f"p{i}"]) for i in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    office.comes_to("taken")
    assert sorted(new) == [False] * 7 + [True]
    assert len(office.pipeline.requests) == 1


def test_the_same_member_suspected_of_another_incident_is_put_back_once(office: Office) -> None:
    other = replace(SPIKE, incident=replace(SPIKE.incident, id="0123456789ab"))
    office.press()
    office.comes_to("taken")
    assert office.history.offers(other.incident) == ()
    assert "`anna` asked for" in office.history.remarks(other, other.time)[0]


def test_a_version_that_was_seen_and_is_told_of_later_is_put_back_once_and_deployed_again_once_more(
    office: Office,
) -> None:
    office.press()
    office.comes_to("taken")
    told = replace(examples.IMPORTER, id="pipeline-17")
    assert office.history.offers(suspected(told, 0.9)) == ()
    assert office.back.choose(suspected(told, 0.9), "", "")[1] is not None
    again = replace(told, id="pipeline-18", time=int(time.time()) + 60)
    assert [one.deployment for one in office.history.offers(suspected(again, 0.9))] == [again]
    assert office.back.choose(suspected(again, 0.9), "", "")[1] is None


@pytest.mark.parametrize(
    ("reply", "state", "said"),
    [
        (Reply(302, headers=(("Location", "/elsewhere"),)), "failed", "answered 302: it has moved; set its new"),
        (Reply(404, b"no such hook: /hook"), "failed", "answered 404: no such hook: …"),
        (Reply(401), "failed", "the pipeline answered 401"),
        (Reply(429), "failed", "the pipeline answered 429"),
        (Reply(500, b"<!channel> " + SECRET.encode()), "unknown", "answered 500: &lt;!channel&gt; …"),
        (Reply(cut=True), "unknown", "no answer from the pipeline (RemoteProtocolError)"),
    ],
)  # fmt: skip
def test_what_went_wrong_is_said_with_what_to_do_and_only_what_was_not_begun_is_offered_again(
    office: Office, reply: Reply, state: State, said: str
) -> None:
    office.pipeline.script(reply)
    office.press()
    office.comes_to(state)
    [told] = office.thread
    assert said in told
    advice = {"failed": "Nothing was begun: ask again", "unknown": "It may have begun: look at the pipeline"}
    assert advice[state] in told
    assert [one.path for one in office.pipeline.requests] == ["/hook"], (
        "no redirect is followed, nothing repeated"
    )
    assert ("roll_back-1" in office.actions) is (state == "failed")
    if state == "failed":
        office.press("ben")
        office.comes_to("taken")
        first, again = office.pipeline.requests
        assert checked(first)["key"] == checked(again)["key"]
        assert [one.partition(" asked")[0] for one in office.thread] == ["↩️ `anna`", "↩️ `ben`"]


def test_a_pipeline_that_is_gone_was_not_asked(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    office.back._ways = {SERVICE: Way("http://127.0.0.1:9/secret-hook", SECRET)}
    office.press()
    office.comes_to("failed")
    assert "the pipeline cannot be reached (ConnectError). Nothing was begun" in office.thread[0]
    ours = "".join(
        one.getMessage() for one in caplog.records if one.name.startswith(("stillwatch", "alerts"))
    )
    assert "cannot be reached" in ours
    assert SECRET not in ours + office.thread[0]
    assert "secret-hook" not in ours + office.thread[0]


def test_one_pipeline_that_hangs_holds_up_neither_another_nor_a_press(office: Office) -> None:
    go_on = threading.Event()

    def slow(request: Request) -> Reply:
        if b"contact-importer" in request.body:
            go_on.wait(20)
        return Reply(200)

    with WebServer(slow) as server:
        office.back._ways = {name: Way(server.url) for name in (SERVICE, "event-parser")}
        wanted, _ = office.back.choose(SPIKE.incident, "", "")
        office.back.ask(replace(wanted, who="a", time=int(time.time())))
        office.comes_to("sending")
        assert "no answer from its pipeline yet" in office.history.remarks(SPIKE, SPIKE.time)[0]
        office.back.ask(replace(wanted, service="event-parser", who="a", time=int(time.time())))
        eventually(lambda: [one.state for one in office.back.of(SPIKE.incident)] == ["sending", "taken"])
        go_on.set()
        eventually(lambda: [one.state for one in office.back.of(SPIKE.incident)] == ["taken", "taken"])


def test_after_a_stop_what_was_being_asked_is_not_asked_again_and_what_waited_long_is_not_asked_at_all(
    tmp_path: Path, pipeline: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillwatch.rollbacks.PULSE", 0.02)
    store = Store(tmp_path / "s.db")
    way = Way(pipeline.url)
    back = Rollbacks(store, {SERVICE: way, "event-parser": way}, lambda: SPIKE.time + 600)
    wanted = replace(back.choose(SPIKE.incident, "", "")[0], who="anna", time=SPIKE.time + 590)
    back.ask(wanted)
    assert back._claim(wanted), "then the lights go out"
    back.ask(replace(wanted, service="event-parser", time=SPIKE.time))
    stopping = threading.Event()
    thread = threading.Thread(target=back.work, args=[stopping])
    thread.start()
    eventually(lambda: [one.state for one in back.of(SPIKE.incident)] == ["unknown", "failed"])
    stopping.set()
    thread.join(10)
    assert pipeline.requests == []
    first, second = back.of(SPIKE.incident)
    assert first.said == "Stillwatch was stopped before an answer came"
    assert second.said == "it could not be asked in time"
    store.close()


def test_by_command_line_and_over_http_as_by_button(
    office: Office, capfd: pytest.CaptureFixture[str]
) -> None:
    ask = ["incidents", "roll-back", ID, "--by", "anna", "--url", office.url]
    assert _run(ask) == 0
    assert capfd.readouterr().out == f"{ID}: contact-importer 3.45.0 back to 3.44.0\n"
    office.comes_to("taken")
    assert _run([*ask, "--service", SERVICE, "--by", "ben"]) == 0
    assert capfd.readouterr().out == (
        f"{ID}: contact-importer 3.45.0 back to 3.44.0, asked by anna before: the pipeline answered 202\n"
    )
    assert _run(["incidents", "show", ID, "--url", office.url]) == 0
    shown = capfd.readouterr().out
    assert "  roll back by anna: contact-importer of release-20220413-0631\n" in shown
    assert "  rollback: contact-importer back to 3.44.0, asked by anna: the pipeline answered 202\n" in shown
    assert len(office.pipeline.requests) == 1


def blaming(probability: float = 0.9, **parts: Any) -> Event:
    return replace(SPIKE, incident=suspected(replace(examples.IMPORTER, **parts), probability))


PAGE = {SERVICE: Way(link="https://ci.example/{service}")}
BOTH = {**WAYS, "event-parser": Way("https://ci.example")}


@pytest.mark.parametrize(
    ("event", "ways", "service", "said"),
    [
        (SPIKE, {}, "", "contact-importer has no `rollback` in the settings"),
        (SPIKE, WAYS, "nobody", "found 'nobody', expected a deployment that is suspected"),
        (SPIKE, PAGE, "", "is put back at https://ci.example/contact-importer"),
        (examples.no_deployment(), WAYS, "", "mail-sender 5.23.0 is not what is suspected"),
        (examples.joined(), BOTH, "", "service: found none, expected one of contact-importer, event-parser"),
        (blaming(0.6), WAYS, "", "it is 60 % likely that release-20220413-0631 did it, expected 70 %"),
        (blaming(kind="flag"), WAYS, "", "it is no new version but a flag"),
        (blaming(previous_version=""), WAYS, "", "nobody said which version was there before it"),
        (
            examples.EVENTS["usual_blip"](),
            examples.WAYS,
            "",
            "no more than comes at every deployment of image-resizer",
        ),
        (examples.recovering(), WAYS, SERVICE, "contact-importer was put back already"),
    ],
)
def test_what_is_not_offered_is_refused_with_the_reason(
    tmp_path: Path, event: Event, ways: dict[str, Way], service: str, said: str
) -> None:
    store = Store(tmp_path / "s.db")
    back = Rollbacks(store, ways, lambda: event.time)
    with pytest.raises(ValueError) as refused:
        back.choose(event.incident, "", service)
    assert said in str(refused.value)
    store.close()


def test_a_claim_whose_answer_was_lost_is_asked_of_the_pipeline_once(
    postgres_server: PostgresServer, pipeline: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillwatch.rollbacks.PULSE", 0.02)
    store = Store(postgres_server.ready())
    back = Rollbacks(store, {SERVICE: Way(pipeline.url)}, lambda: SPIKE.time + 600)
    back.ask(replace(back.choose(SPIKE.incident, "", "")[0], who="anna", time=SPIKE.time + 590))
    stopping = threading.Event()
    thread = threading.Thread(target=back.work, args=[stopping])
    with answers_lost(store, {5}):  # after four looks at what there is
        thread.start()
        eventually(lambda: len(pipeline.requests) == 1)
        eventually(lambda: [one.state for one in back.of(SPIKE.incident)] != ["sending"])
    stopping.set()
    thread.join(10)
    assert len(pipeline.requests) == 1
    store.close()


def test_a_press_of_an_old_card_is_held_against_what_is_known_now(office: Office) -> None:
    old = office.pressed()
    office.news(Event(SPIKE.time + 60, "updated", "suspect", suspected(examples.IMPORTER, 0.4), 2))
    office.in_slack.take("interactive", old)
    assert "Not done: " in office.slack.sockets.answer()
    assert office.pipeline.requests == []
    assert office.store.words() == ()


def test_the_documentation_shows_what_a_pipeline_gets() -> None:
    text = (Path(__file__).parent.parent / "docs" / "incidents.md").read_text()
    [shown] = [block for block in text.split("```json\n")[1:] if '"roll_back"' in block]
    parser = examples.PARSER
    wanted = Rollback(
        ID, parser.id, parser.service, parser.version, parser.previous_version, "anna", examples.at("07:04") + 10,
        parser.environment, 0.97,
    )  # fmt: skip
    assert json.loads(shown.partition("```")[0]) == rollbacks.body(wanted)


# What follows.


def by_version(world: World) -> None:
    """Version 3 serves, version 4 from the fault on, and then 3 again; the counts say so."""
    bad = between(world, FAULT, LASTS)
    for version, serves in (("3", ~bad), ("4", bad)):
        total = np.where(serves, world.random.poisson(100, world.length), 0)
        fails = world.random.binomial(total, 0.2 if version == "4" else 0.002)
        for metric, counts in (("requests", total), ("errors", fails)):
            world.add("importer", metric, counts, version)
            world.series[next(reversed(world.series))][~serves] = np.nan
    asks(world, "importer", failing=("errors", "requests"))


@pytest.mark.parametrize("case", [failing, by_version])
def test_the_thread_follows_the_recovery_once_the_rollback_is_told_or_seen_in_the_counts(
    office: Office, case: Callable[[World], None]
) -> None:
    world = made(case)
    plan, bins = world.plan(), world.bins()
    told = [FOUR] if case is failing else []
    [first, *_] = opened(engine.advance(engine.State.empty(), bins, told, plan, words=())[1])
    middle = (first.time - START) // 60 + 10
    state, before = engine.advance(engine.State.empty(), bins.cut(0, middle), told, plan, words=())
    office.back._ways = {"importer": Way(office.pipeline.url)}
    office.slack.channel("C0ALERTS").posted.clear()
    for event in before:
        office.news(event)
    office.deliver()
    assert "roll_back-1" in office.actions
    office.press()
    eventually(lambda: len(office.thread) >= 1)
    [request] = office.pipeline.requests
    asked = json.loads(request.body)
    assert (asked["service"], asked["from"], asked["to"]) == ("importer", "4", "3")
    # The pipeline does as it was asked, and may tell of it as of every deployment.
    at = START + 60 * (FAULT + LASTS)
    gone = Deployment("back", at, asked["service"], asked["to"], asked["from"], kind="rollback")
    [said] = office.store.words()
    said = replace(said, time=first.time + 60, reported=int(bins.closed[middle]))
    later = [gone] if case is failing else []
    _, after = engine.advance(state, bins.cut(middle, len(bins)), later, plan, words=[said])
    for event in after:
        office.news(event)
    assert after[-1].reason == "rollback"
    thread = office.thread
    assert "the pipeline answered 202" in thread[0]
    assert "Rolled back: `importer` to `3` at " in thread[-1]
    assert "That ended it." in thread[-1]
    assert thread[-1].startswith("🟢 Over: as before since ")
    assert office.card.blocks[0]["text"]["text"].startswith("🟢 Over.")


def test_a_recovery_without_word_of_the_rollback_does_not_say_that_nobody_did_anything() -> None:
    wanted = Word(ID, "roll back", "anna", SPIKE.time + 60, "release-20220413-0631", SERVICE)
    it = examples.incident((examples.imports_over(),), wanted_back=(wanted,), resolved=examples.at("06:48"))
    [_, reply, _] = messages.word(Event(examples.at("06:48"), "resolved", "recovered", it, 2), "#a")
    assert "`contact-importer` was to be put back; nobody told us that it was." in str(reply.blocks)


def test_that_somebody_asked_is_recorded_and_a_replay_in_any_blocks_gives_the_same_events() -> None:
    world = made(failing)
    plan, bins = world.plan(), world.bins()
    [first, *_] = opened(engine.advance(engine.State.empty(), bins, [FOUR], plan, words=())[1])
    said = Word(first.incident.id, "roll back", "anna", first.time + 300, FOUR.id, FOUR.service)
    whole = engine.advance(engine.State.empty(), bins, [FOUR], plan, words=[said])[1]
    [after, *_] = [event for event in whole if event.time > said.known]
    assert after.incident.wanted_back == (said,)
    assert after.incident.acknowledged == "anna"
    at = (said.known - START) // 60 + 3
    state, some = engine.advance(engine.State.empty(), bins.cut(0, at), [FOUR], plan, words=[said])
    assert [one.wanted_back for one in load(dump(state)).incidents] == [(said,)]
    rest = engine.advance(load(dump(state)), bins.cut(at, len(bins)), [], plan, words=[])[1]
    assert [pack(event) for event in [*some, *rest]] == [pack(event) for event in whole]
    said_last, said_whole = (messages.word(events[-1], "#a") for events in (rest, whole))
    assert [one.blocks for one in said_last] == [one.blocks for one in said_whole]


# Settings.

FILE = """
services:
  event-parser:
    rollback: {%s}
    signals: {opens: {kind: throughput, count: opens_stored}}
"""


def test_a_service_is_put_back_by_a_webhook_or_by_a_page() -> None:
    written = "url: https://ci.example/hook, secret_env: HOOK_SECRET"
    found = config.parse(FILE % written, "f", {"HOOK_SECRET": "s"}).rollbacks
    assert found == {"event-parser": Way("https://ci.example/hook", "s")}
    assert "ci.example" not in repr(found)
    found = config.parse(FILE % "url_env: HOOK", "f", {"HOOK": "https://ci.example/hook"}).rollbacks
    assert found["event-parser"].url == "https://ci.example/hook"
    found = config.parse(FILE % 'link: "https://ci.example/{service}?to={version}"', "f", {}).rollbacks
    assert found["event-parser"] == Way(link="https://ci.example/{service}?to={version}")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "services.event-parser.rollback: found nothing, expected one of url, url_env and link"),
        ("url: https://a.example, link: https://a.example", "found url and link, expected one of"),
        ("link: https://a.example, secret_env: S", "found link and secret_env, expected secret_env with"),
        ('link: "https://a.example/{user}"', "in which nothing else stands in braces than {service}, {version}"),
        ("link: /back", "expected an address that begins with https:// or http://"),
        ("url: hunter2", "found something else (not shown, it may be a secret)"),
        ("url_env: NOT_SET", "found the name of a variable that is not set"),
    ],
)  # fmt: skip
def test_a_slip_in_the_settings_is_answered_in_words(written: str, said: str) -> None:
    with pytest.raises(config.BadInput) as wrong:
        config.parse(FILE % written, "f", {})
    assert said in str(wrong.value)
    assert "hunter2" not in str(wrong.value)


def test_an_offer_and_a_rollback_show_no_secret() -> None:
    assert SECRET not in repr(Offer(examples.IMPORTER, WAYS[SERVICE], 0.9))
