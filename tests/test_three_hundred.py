"""Three hundred malformed bodies at each door that takes JSON: each is answered, none breaks or fills anything.

Those of counts and of webhooks stand beside their other tests: test_collector_server, test_collector_grpc,
test_remote_write_door, test_webhooks.
"""

from __future__ import annotations

import json
import random
from urllib.parse import urlencode

import httpx2
import pytest
from malformed import STRANGE, malformed, packed
from test_collector_server import Behind, serving
from test_desk import SPIKE, WANTED, Office, news
from test_desk import office as desk_of_people
from test_slack_words import Office as SlackOffice
from test_slack_words import office as desk_of_slack
from test_webhooks import event

from collector.server import Door

__all__ = ["desk_of_people", "desk_of_slack"]
JSON = {"content-type": "application/json"}
MANY = 300
TOLD = [
    {"service": "cart", "version": "1.4.2", "id": "r1", "time": "2023-11-14T22:13:10Z", "kind": "deploy"},
    {
        "service": "mail",
        "version": "7",
        "previous_version": "6",
        "environment": "production",
        "author": "ada",
    },
]


@pytest.mark.parametrize(
    ("whole", "kind"),
    [(TOLD, "application/json"), (event("deployed"), "application/cloudevents+json")],
    ids=["told", "CloudEvent"],
)
def test_whoever_tells_of_deployments_is_answered(whole: object, kind: str) -> None:
    chance, behind, raw = random.Random(1), Behind(), json.dumps(whole).encode()
    door = Door(behind.metrics, behind.deployments, lambda: 1_700_000_000.5, lambda: behind.health)
    with serving(door) as url, httpx2.Client(trust_env=False, timeout=30) as client:
        seen: set[int] = set()
        for _ in range(MANY):
            sent, how = packed(malformed(raw, chance), chance)
            answer = client.post(f"{url}/deployments", content=sent, headers={"content-type": kind, **how})
            seen.add(answer.status_code)
            assert answer.status_code in (200, 400, 409, 413), sent[:200]
            said = answer.json()
            if answer.status_code != 200:
                assert 0 < len(said["error"]) < 500 and said["error"].isprintable()
        assert seen - {409} == {200, 400, 413}
        assert all(d.service.isprintable() and len(d.description) <= 4000 for d in behind.told)
        behind.told.clear()
        assert (
            client.post(f"{url}/deployments", content=raw, headers={"content-type": kind}).status_code == 200
        )
    assert behind.told


@pytest.mark.parametrize(
    ("path", "whole"),
    [
        ("/silences", WANTED),
        (f"/incidents/{SPIKE.incident.id}/words", {"word": "acknowledge", "by": "anna"}),
    ],
)
def test_whoever_asks_for_something_over_http_is_answered(
    desk_of_people: Office, path: str, whole: dict[str, object]
) -> None:
    news(desk_of_people)
    chance, raw = random.Random(2), json.dumps(whole).encode()
    with httpx2.Client(trust_env=False, timeout=30) as client:
        seen: set[int] = set()
        for _ in range(MANY):
            sent, how = packed(malformed(raw, chance), chance)
            answer = client.post(f"{desk_of_people.url}{path}", content=sent, headers={**JSON, **how})
            assert answer.status_code in (200, 400, 404, 409, 413), (sent[:200], answer.text)
            seen.add(answer.status_code)
            if answer.status_code != 200:
                assert 0 < len(answer.json()["error"]) < 1000 and "Traceback" not in answer.text
        assert seen >= {400, 413}
        assert client.post(f"{desk_of_people.url}{path}", content=raw, headers=JSON).status_code == 200
        assert client.get(f"{desk_of_people.url}/status").status_code == 200


ADDRESSES = {
    "/gate": {"service": "a", "candidate": "2", "baseline": "1", "since": "1700000000"},
    "/silences": {"all": "true"},
    "/incidents": {"since": "1700000000"},
    "/deployments": {"since": "1700000000", "service": "cart"},
    "/status": {},
}


@pytest.mark.parametrize("path", ADDRESSES)
def test_any_question_in_an_address_is_answered(desk_of_people: Office, path: str) -> None:
    chance = random.Random(path)
    with httpx2.Client(trust_env=False, timeout=30) as client:
        for _ in range(MANY):
            named = {name: value for name, value in ADDRESSES[path].items() if chance.random() < 0.7}
            for name in (*ADDRESSES[path], "strange"):
                if chance.random() < 0.4:
                    value = str(chance.choice(STRANGE))[:2000].encode("utf-8", "replace").decode()
                    named[name] = value
            where = (
                path if chance.random() < 0.8 else f"{path}/{chance.choice(['..', '%00', 'x' * 500, '%ff'])}"
            )
            answer = client.get(f"{desk_of_people.url}{where}?{urlencode(named)}")
            assert answer.status_code in (200, 400, 404, 405), (where, named, answer.text)
            assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", ["/slack/interactions", "/slack/commands"])
def test_whatever_slack_signs_is_answered_and_breaks_nothing(desk_of_slack: SlackOffice, path: str) -> None:
    chance, sockets = random.Random(path), desk_of_slack.sockets
    press = json.dumps(sockets.pressed(desk_of_slack.card, "acknowledge", "carl")).encode()
    typed = sockets.typed("status")
    with serving(desk_of_slack.door) as url, httpx2.Client(trust_env=False, timeout=30) as client:
        for i in range(MANY):
            if path == "/slack/interactions":
                fields = {"payload": malformed(press, chance).decode("utf-8", "replace")}
            else:
                text = str(chance.choice(STRANGE)).encode("utf-8", "replace").decode()
                fields = {**typed, chance.choice(list(typed)): text, "text": f"{text} {i}"}
            # The same twice within a second would be a replay.
            signed, headers = sockets.signed({**fields, "number": str(i)})
            answer = client.post(f"{url}{path}", content=signed, headers=headers)
            assert answer.status_code in (200, 400, 413), fields
            assert answer.text == ""
        fields = {"payload": press.decode()} if path == "/slack/interactions" else sockets.typed("status")
        signed, headers = sockets.signed(fields)
        assert client.post(f"{url}{path}", content=signed, headers=headers).status_code == 200
