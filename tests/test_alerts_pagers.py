"""PagerDuty, Opsgenie and Teams, each a server of ours that is as strict as its documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import examples
import pytest
from web_server import Reply, Request, WebServer

from alerts import plain
from alerts.incidents import Event
from alerts.messages import Message
from alerts.opsgenie import Opsgenie
from alerts.outbox import Receipt, SendFailed
from alerts.pagerduty import PagerDuty
from alerts.places import Sender
from alerts.receivers import Receiver
from alerts.teams import Teams
from stillwatch.selfwatch import sight

KEY = "0123456789abcdef0123456789abcdef"
STANDS = Receipt("x:x", "i")


def words(event: Event, first: bool = True) -> Message:
    (message,) = plain.word(event, "x:x", first)
    return message


def steps() -> tuple[Message, Message, Message]:
    """It opens, is worse, and is over."""
    event = examples.error_spike()
    warning = replace(event, incident=replace(event.incident, severity="warning"))
    worse = replace(event, event="updated", reason="worse", number=2, rose=True)
    over = replace(event, event="resolved", reason="recovered", number=3)
    return words(warning), words(worse, first=False), words(over, first=False)


def acknowledged(message: Message) -> Message:
    assert message.notice is not None
    return replace(message, notice=replace(message.notice, acknowledged=message.notice.time))


# PagerDuty.


class OurPagerDuty:
    """Alerts by dedup_key, as the Events API v2 is documented: 202, or 400 with reasons."""

    def __init__(self) -> None:
        self.alerts: dict[str, list[str]] = {}
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, request: Request) -> Reply:
        said = json.loads(request.body)
        self.bodies.append(said)
        wrong = list(self.wrong(said))
        if (request.method, request.path) != ("POST", "/v2/enqueue"):
            return Reply(404)
        if wrong:
            reasons = {"status": "invalid event", "message": "Event object is invalid", "errors": wrong}
            return Reply(400, json.dumps(reasons).encode())
        key = said["dedup_key"]
        if said["event_action"] == "trigger":
            self.alerts.setdefault(key, []).append("trigger")
        elif key in self.alerts:
            self.alerts[key].append(said["event_action"])
        return Reply(202, json.dumps({"status": "success", "dedup_key": key}).encode())

    def wrong(self, said: dict[str, Any]) -> Any:
        if len(said.get("routing_key", "")) != 32:
            yield "Length of 'routing_key' is incorrect (should be 32 characters)"
        if said.get("event_action") not in ("trigger", "acknowledge", "resolve"):
            yield "'event_action' is invalid"
        if not 0 < len(said.get("dedup_key", "")) <= 255:
            yield "'dedup_key' is invalid"
        if said.get("event_action") == "trigger":
            payload = said.get("payload", {})
            if not 0 < len(payload.get("summary", "")) <= 1024:
                yield "'payload.summary' is missing or too long"
            if payload.get("severity") not in ("critical", "error", "warning", "info"):
                yield "'payload.severity' is invalid"
            if not payload.get("source"):
                yield "'payload.source' is missing or blank"


def pagerduty(url: str, key: str = KEY) -> PagerDuty:
    return PagerDuty(Receiver("night", "pagerduty", url + "/", key))


def test_pagerduty_has_one_alert_from_trigger_to_resolve() -> None:
    ours = OurPagerDuty()
    with WebServer(ours) as server:
        opened, worse, over = steps()
        place = pagerduty(server.url)
        stands = place.send(opened)
        assert place.send(acknowledged(worse), edits=stands) == stands
        place.send(over, edits=stands)
    assert ours.alerts == {opened.key: ["trigger", "acknowledge", "resolve"]}
    payload = ours.bodies[0]["payload"]
    assert payload["summary"].startswith("🟠 Errors: 31 % of imports fail")
    assert (payload["severity"], payload["source"]) == ("warning", "contact-importer")
    assert payload["timestamp"] == "2022-04-13T06:33:00Z"
    assert (payload["component"], payload["group"]) == ("imports", "imports-team")
    assert ours.bodies[0]["links"] == [{"href": opened.notice.change, "text": "The change"}]  # type: ignore[union-attr]


def test_pagerduty_is_told_of_a_severity_that_rose() -> None:
    ours = OurPagerDuty()
    with WebServer(ours) as server:
        opened, worse, _ = steps()
        place = pagerduty(server.url)
        place.send(worse, edits=place.send(opened))
    assert [one["payload"]["severity"] for one in ours.bodies] == ["warning", "critical"]
    assert len(ours.alerts) == 1


def test_the_same_sent_twice_is_one_alert() -> None:
    ours = OurPagerDuty()
    with WebServer(ours) as server:
        server.script(Reply(cut=True))
        opened, _, _ = steps()
        with pytest.raises(SendFailed) as failed:
            pagerduty(server.url).send(opened)
        assert failed.value.outcome == "unknown"
        pagerduty(server.url).send(opened, seek_since=1)
        pagerduty(server.url).send(opened, seek_since=1)
    assert list(ours.alerts) == [opened.key]


def test_a_wrong_key_says_so_and_does_not_show_it() -> None:
    with WebServer(OurPagerDuty()) as server, pytest.raises(SendFailed) as failed:
        pagerduty(server.url, "too-short").send(steps()[0])
    assert failed.value.outcome == "permanent"
    assert "Length of 'routing_key' is incorrect" in str(failed.value)
    assert "too-short" not in str(failed.value)


def returns() -> Iterator[tuple[Event, Message]]:
    """It opens; comes back three times, of which the third is not told; and is over."""
    event = examples.error_spike()
    calm = replace(event, event="updated", reason="recovering")
    back = replace(event, event="updated", reason="worse", back=True)
    over = replace(event, event="resolved", reason="recovered")
    story = ((event, 0), (calm, 0), (back, 1), (calm, 1), (back, 2), (calm, 2), (back, 3), (over, 3))
    for number, (told, times) in enumerate(story, 1):
        one = replace(told, number=number, incident=replace(event.incident, returns=times))
        for message in plain.word(one, "x:x", number == 1):
            yield one, message


def rang(place: Any, alerts: Mapping[str, Any]) -> list[int]:
    """After how many returns there was one more alert. alerts: those that the pager has."""
    stands, found = None, list[int]()
    for event, message in returns():
        before = len(alerts)
        stands = place.send(message, edits=stands)
        found += [event.incident.returns] * (len(alerts) - before)
    return found


def test_pagerduty_rings_again_for_what_came_back_and_for_nothing_else() -> None:
    ours = OurPagerDuty()
    with WebServer(ours) as server:
        assert rang(pagerduty(server.url), ours.alerts) == [0, 1, 2]
    assert [said[-1] for said in ours.alerts.values()] == ["resolve"] * 3, "none goes on ringing"


def test_opsgenie_rings_again_for_what_came_back_and_for_nothing_else() -> None:
    ours = OurOpsgenie()
    with WebServer(ours) as server:
        assert rang(opsgenie(server.url), ours.alerts) == [0, 1, 2]
    assert all(alert["close"] for alert in ours.alerts.values())


@pytest.mark.parametrize("changes", [{"acknowledged": "anna"}, {}])
def test_no_pager_rings_for_what_somebody_looks_at_or_what_is_worth_no_page(changes: dict[str, str]) -> None:
    event = examples.error_spike()
    incident = replace(event.incident, returns=1, **changes)
    back = replace(event, event="updated", reason="worse", number=3, incident=incident, back=bool(changes))
    ours = OurPagerDuty()
    with WebServer(ours) as server:
        stands = pagerduty(server.url).send(words(event))
        pagerduty(server.url).send(words(back, first=False), edits=stands)
    assert list(ours.alerts) == [incident.id]


def test_who_looks_at_it_silences_every_alert_of_it() -> None:
    ours = OurPagerDuty()
    story = [message for _, message in returns()][:5]
    with WebServer(ours) as server:
        place, stands = pagerduty(server.url), None
        for message in story:
            stands = place.send(message, edits=stands)
        place.send(acknowledged(story[-1]), edits=stands)
    assert [said[-1] for said in ours.alerts.values()] == ["acknowledge"] * 3


# Opsgenie.


class OurOpsgenie:
    """Alerts by alias, as the Alert API is documented: 202, or 401, 422."""

    def __init__(self) -> None:
        self.alerts: dict[str, dict[str, Any]] = {}
        self.log: list[str] = []

    def __call__(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"GenieKey {KEY}":
            return Reply(401, b'{"message":"Could not authenticate"}')
        said = json.loads(request.body)
        parts = urlsplit(request.path)
        if (request.method, parts.path) == ("POST", "/v2/alerts"):
            limits = {"message": 130, "alias": 512, "description": 15_000, "entity": 512}
            if not said.get("message") or any(len(said.get(k, "")) > most for k, most in limits.items()):
                return Reply(422, b'{"message":"Request body is not processable"}')
            self.alerts.setdefault(said["alias"], {**said, "count": 0, "notes": []})["count"] += 1
            self.log.append("create")
            return Reply(202, b'{"result":"Request will be processed","took":0.1}')
        found = re.fullmatch(r"/v2/alerts/([^/]+)/(close|acknowledge|notes|priority)", parts.path)
        if found is None or parse_qs(parts.query) != {"identifierType": ["alias"]}:
            return Reply(404, b'{"message":"No handler"}')
        if (request.method == "PUT") != (found[2] == "priority"):
            return Reply(405)
        alert = self.alerts[unquote(found[1])]
        self.log.append(found[2])
        alert.update({"priority": said["priority"]} if found[2] == "priority" else {found[2]: True})
        if found[2] == "notes":
            alert["last note"] = said["note"]
        return Reply(202, b'{"result":"Request will be processed"}')


def opsgenie(url: str, key: str = KEY) -> Opsgenie:
    return Opsgenie(Receiver("night", "opsgenie", url, key))


def test_opsgenie_has_one_alert_whose_priority_rises_and_that_is_closed() -> None:
    ours = OurOpsgenie()
    with WebServer(ours) as server:
        opened, worse, over = steps()
        place = opsgenie(server.url)
        stands = place.send(opened)
        assert ours.alerts[opened.key]["priority"] == "P3"
        place.send(worse, edits=stands)
        place.send(acknowledged(worse), edits=stands)
        place.send(over, edits=stands)
    assert ours.log == ["create", "priority", "notes", "acknowledge", "close"]
    alert = ours.alerts[opened.key]
    assert (alert["priority"], alert["entity"]) == ("P1", "contact-importer")
    assert "Now critical" in alert["last note"]
    assert alert["description"].endswith(f"The change: {opened.notice.change}")  # type: ignore[union-attr]


def test_opsgenie_counts_the_same_alias_as_one_alert() -> None:
    ours = OurOpsgenie()
    with WebServer(ours) as server:
        opened, _, _ = steps()
        opsgenie(server.url).send(opened)
        opsgenie(server.url).send(opened, seek_since=1)
    assert [one["count"] for one in ours.alerts.values()] == [2]


def test_a_key_that_opsgenie_does_not_know_needs_a_person() -> None:
    with WebServer(OurOpsgenie()) as server, pytest.raises(SendFailed) as failed:
        opsgenie(server.url, "wrong").send(steps()[0])
    assert failed.value.outcome == "no_credentials"


# Teams.


class OurTeams:
    """A workflow: takes a message with one Adaptive Card of at most 28 KB."""

    def __init__(self) -> None:
        self.cards: list[dict[str, Any]] = []

    def __call__(self, request: Request) -> Reply:
        said = json.loads(request.body)
        (attached,) = said["attachments"]
        good = (
            said["type"] == "message" and attached["contentType"] == "application/vnd.microsoft.card.adaptive"
        )
        card = attached["content"]
        if not good or card["type"] != "AdaptiveCard" or len(request.body) > 28_000:
            return Reply(400, b'{"error":{"code":"TriggerInputSchemaMismatch"}}')
        self.cards.append(card)
        return Reply(202)


def teams(url: str) -> Teams:
    return Teams(Receiver("chat", "teams", url + "/workflows/x?sig=s3cret"))


def shown(card: dict[str, Any]) -> list[str]:
    return [run["text"] for block in card["body"] for run in block["inlines"]]


def test_teams_gets_a_card_without_markdown_and_a_button_to_the_change() -> None:
    ours = OurTeams()
    with WebServer(ours) as server:
        opened, worse, over = steps()
        stands = teams(server.url).send(opened)
        teams(server.url).send(worse, edits=stands)
        teams(server.url).send(over, edits=stands)
    first, _, last = ours.cards
    assert shown(first)[0] == opened.text
    assert {block["type"] for block in first["body"]} == {"RichTextBlock"}
    assert [a["type"] for a in first["actions"]] == ["Action.OpenUrl"]
    assert first["body"][0]["inlines"][0]["color"] == "warning"
    assert last["body"][0]["inlines"][0]["color"] == "good"


def test_a_long_story_has_room_in_a_card() -> None:
    ours = OurTeams()
    notice = steps()[0].notice
    assert notice is not None
    long = replace(notice, title="🔴" * 145, text="\n".join(["ü" * 500] * 100))
    with WebServer(ours) as server:
        teams(server.url).send(Message("k", "x:x", "t", notice=long))
    assert len(ours.cards) == 1


# All of them.

PLACES: dict[str, tuple[Callable[[], Callable[[Request], Reply]], Callable[[str], Sender]]] = {
    "pagerduty": (OurPagerDuty, pagerduty),
    "opsgenie": (OurOpsgenie, opsgenie),
    "teams": (OurTeams, teams),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_rate_limit_is_kept_and_a_server_in_trouble_is_asked_again(name: str) -> None:
    ours, place = PLACES[name]
    with WebServer(ours()) as server:
        for reply, outcome, wait in (
            (Reply(429, headers=(("Retry-After", "17"),)), "refused", 17),
            (Reply(500), "unknown", 0),
        ):
            server.script(reply)
            with pytest.raises(SendFailed) as failed:
                place(server.url).send(steps()[0])
            assert (failed.value.outcome, failed.value.retry_after) == (outcome, wait)
            assert "s3cret" not in str(failed.value)
        place(server.url).send(steps()[0])


@pytest.mark.parametrize("name", ["pagerduty", "opsgenie"])
def test_nobody_is_woken_for_what_was_over_before_it_could_be_told(name: str) -> None:
    ours, place = PLACES[name]
    over = examples.rolled_back()
    with WebServer(ours()) as server:
        place(server.url).send(words(over))
        assert server.requests == []


@pytest.mark.parametrize("name", PLACES)
def test_what_stillwatch_says_of_itself_is_taken_everywhere(name: str) -> None:
    ours, place = PLACES[name]
    with WebServer(ours()) as server:
        stands = place(server.url).send(sight("x:x", 1_649_831_820, False)[0])
        place(server.url).send(sight("x:x", 1_649_831_820, True)[0], edits=stands)
        assert len(server.requests) == 2


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("example", examples.EVENTS)
def test_every_example_is_taken(name: str, example: str) -> None:
    ours, place = PLACES[name]
    with WebServer(ours()) as server:
        place(server.url).send(words(examples.EVENTS[example]()))
