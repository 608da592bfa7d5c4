"""A real Alertmanager: what is open stays open, what is over ends, a team's own routing sees its labels.

Needs the program `prometheus-alertmanager` (Debian's package of that name) or `alertmanager`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import examples
import httpx2
import pytest
from test_alerts_messages import HOSTILE
from web_server import WebServer

from alerts import jsonl, plain
from alerts.alertmanager import OPEN_FOR, Alertmanager, alerts
from alerts.deliver import deliver, say_again
from alerts.incidents import Event
from alerts.messages import Message
from alerts.outbox import SendFailed
from alerts.places import Place
from alerts.receivers import Receiver
from stillwatch.mailbox import Mailbox
from stillwatch.selfwatch import sight
from stillwatch.store import Store

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
NEEDED = "needs prometheus-alertmanager (on Debian or Ubuntu: apt-get install prometheus-alertmanager)"
ADDRESS = "alertmanager:am"
ROUTING = """
route:
  receiver: rest
  group_by: [incident]
  group_wait: 10ms
  group_interval: 100ms
  routes:
    - {matchers: ['owner = "imports-team"', 'severity = "critical"'], receiver: imports}
receivers:
  - {name: rest}
  - name: imports
    webhook_configs: [{url: "URL", send_resolved: true}]
"""


@pytest.fixture(scope="module")
def team() -> Iterator[WebServer]:
    """Whom the team's own routing tells."""
    with WebServer() as server:
        yield server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, team: WebServer) -> Iterator[str]:
    """The address of an Alertmanager of our own."""
    if PROGRAM is None:
        if os.environ.get("CI"):
            pytest.fail(NEEDED)
        pytest.skip(NEEDED)
    folder = tmp_path_factory.mktemp("alertmanager")
    (folder / "am.yml").write_text(ROUTING.replace("URL", team.url))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = f"127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                PROGRAM, f"--config.file={folder / 'am.yml'}", f"--storage.path={folder / 'data'}",
                f"--web.listen-address={where}", "--cluster.listen-address=",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        eventually(lambda: ready(where), (folder / "log"))
        yield f"http://{where}"
    finally:
        process.terminate()
        process.wait(10)


def ready(where: str) -> bool:
    try:
        return httpx2.get(f"http://{where}/-/ready", trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False


def eventually(holds: Any, about: object = "") -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, about
        time.sleep(0.05)


def standing(url: str, incident: str) -> list[dict[str, Any]]:
    """What Alertmanager holds for active of an incident, by signal and severity."""
    asked = httpx2.get(
        f"{url}/api/v2/alerts", params={"filter": f'incident="{incident}"'}, trust_env=False
    ).json()
    return sorted(asked, key=lambda one: (one["labels"]["signal"], one["labels"]["severity"]))


def now() -> int:
    return int(time.time())


def sender(url: str) -> Alertmanager:
    return Alertmanager(Receiver("am", "alertmanager", url + "/"), now)


def as_of_now(event: Event, name: str) -> Event:
    """An example as if it happened now: Alertmanager has a clock of its own."""
    by = now() - event.time

    def moved(moment: int) -> int:
        return moment + by if moment else 0

    incident = event.incident
    findings = tuple(
        replace(f, onset=moved(f.onset), at=moved(f.at), recovered=moved(f.recovered))
        for f in incident.findings
    )
    later = replace(incident, id=name, opened=moved(incident.opened), findings=findings, resolved=0)
    return replace(event, time=event.time + by, incident=later)


def words(event: Event) -> Message:
    (message,) = plain.word(event, ADDRESS, first=event.event == "opened")
    return message


def test_every_signal_is_an_alert_with_labels_to_route_by_and_ends_when_it_is_over(running: str) -> None:
    place = sender(running)
    place.send(words(as_of_now(examples.joined(), "both")))
    imports, opens = standing(running, "both")
    assert imports["labels"] == {
        "alertname": "error_spike", "service": "contact-importer", "signal": "imports",
        "owner": "imports-team", "severity": "critical", "incident": "both",
    }  # fmt: skip
    assert opens["labels"]["owner"] == "events-team"
    assert imports["annotations"]["summary"].startswith("Errors: 39 % of imports fail (contact-importer")
    assert "contact-importer 3.45.0" in imports["annotations"]["description"]
    assert imports["status"]["state"] in ("active", "unprocessed")
    place.send(words(as_of_now(examples.recovering(), "both")))
    (left,) = standing(running, "both")
    assert left["labels"]["owner"] == "events-team"
    place.send(words(as_of_now(examples.rolled_back(), "both")))
    assert standing(running, "both") == []


def test_a_severity_that_rose_is_one_alert_not_two(running: str) -> None:
    place = sender(running)
    event = as_of_now(examples.error_spike(), "rose")
    warning = replace(event, incident=replace(event.incident, severity="warning"))
    place.send(words(warning))
    assert [one["labels"]["severity"] for one in standing(running, "rose")] == ["warning"]
    place.send(words(replace(event, event="updated", reason="worse", number=2, rose=True)))
    assert [one["labels"]["severity"] for one in standing(running, "rose")] == ["critical"]


def test_the_teams_own_routing_tells_it_of_the_beginning_and_of_the_end(
    running: str, team: WebServer
) -> None:
    def told(status: str) -> bool:
        heard = [json.loads(one.body) for one in team.requests]
        return any(one["status"] == status and one["groupLabels"]["incident"] == "mine" for one in heard)

    place = sender(running)
    place.send(words(as_of_now(examples.error_spike(), "mine")))
    eventually(lambda: told("firing"))
    over = as_of_now(examples.error_spike(), "mine")
    place.send(words(replace(over, event="resolved", reason="recovered", number=2)))
    eventually(lambda: told("resolved"))


def test_what_is_open_is_said_again_and_what_is_over_is_not(running: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    place = Place(sender(running), 0)
    store.say("again", [words(as_of_now(examples.error_spike(), "again"))], 1)
    deliver(Mailbox(store), place, now)
    (before,) = standing(running, "again")
    late = Place(Alertmanager(Receiver("am", "alertmanager", running), lambda: now() + 500), 0)
    assert say_again(Mailbox(store), late, ADDRESS) == 1
    (after,) = standing(running, "again")
    assert after["endsAt"] > before["endsAt"]
    assert after["startsAt"] == before["startsAt"]
    over = as_of_now(examples.error_spike(), "again")
    store.say("again", [words(replace(over, event="resolved", reason="recovered", number=2))], 2)
    deliver(Mailbox(store), place, now)
    assert standing(running, "again") == []
    assert say_again(Mailbox(store), place, ADDRESS) == 0
    store.close()


def test_our_own_blindness_is_an_alert_as_well(running: str) -> None:
    place, since = sender(running), now() - 60
    place.send(sight(ADDRESS, since, False)[0])
    (blind,) = standing_of_ourselves(running)
    assert blind["labels"]["severity"] == "critical"
    place.send(sight(ADDRESS, since, True)[0])
    assert standing_of_ourselves(running) == []


def standing_of_ourselves(url: str) -> list[dict[str, Any]]:
    asked = httpx2.get(f"{url}/api/v2/alerts", params={"filter": 'service="stillwatch"'}, trust_env=False)
    return list(asked.json())


def test_an_alertmanager_that_is_away_is_told_later() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(SendFailed) as failed:
            sender(url).send(words(examples.error_spike()))
    assert failed.value.outcome == "refused"


def test_an_open_alert_ends_by_itself_when_we_are_gone_and_no_end_is_before_its_start() -> None:
    event = examples.rolled_back()
    notice = plain.notice(event)
    for one in alerts(notice, event.time):
        assert one["startsAt"] < one["endsAt"]
    event = examples.error_spike()
    (open_one,) = alerts(plain.notice(event), event.time)
    assert open_one["endsAt"] == jsonl.moment(event.time + OPEN_FOR)


def test_a_real_alertmanager_takes_hostile_names_as_they_are(running: str) -> None:
    event = as_of_now(examples.error_spike(), "hostile")
    (finding,) = event.incident.findings
    names = [f"{name} {i}" for i, name in enumerate(HOSTILE)]
    findings = tuple(
        replace(finding, signal=replace(finding.signal, service=name, owner=name)) for name in names
    )
    message = words(replace(event, incident=replace(event.incident, findings=findings)))
    sender(running).send(message)
    assert message.notice is not None
    found = {one["labels"]["service"] for one in standing(running, "hostile")}
    assert found == {part.service for part in message.notice.parts}
    assert "<!channel> 0" in found
