"""Whatever fails, and whenever: in the end every place shows how things stand, and nothing stands there twice.

Random histories of two incidents, with outages, lost answers and restarts between them, through routes that group,
keep quiet hours and escalate, to a place that can be asked what it holds (as Slack can).
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import examples
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_alerts_deliver import Hand

from alerts.deliver import deliver
from alerts.harm import RANKS
from alerts.incidents import Event
from alerts.messages import Message
from alerts.outbox import Outcome, Receipt, SendFailed
from alerts.places import Place
from alerts.routes import Route, Step
from stillwatch.config import Settings, Slack
from stillwatch.mailbox import Mailbox
from stillwatch.store import Closing, Store
from stillwatch.telling import Telling

NIGHT = (22 * 60, 7 * 60)


class Board:
    """A place with channels: what stands there can be looked for and edited."""

    def __init__(self) -> None:
        self.stands: dict[tuple[str, str], str] = {}  # channel, key of the post -> text
        self.twice: list[str] = []
        self.failures: list[tuple[Outcome, bool]] = []

    def send(
        self,
        message: Message,
        *,
        edits: Receipt | None = None,
        thread: Receipt | None = None,
        seek_since: int | None = None,
    ) -> Receipt:
        post = (message.channel, edits.id if edits else message.key)
        if seek_since is not None and edits is None and post in self.stands:
            return Receipt(*post)
        outcome, taken = self.failures.pop(0) if self.failures else (None, True)
        if taken:
            if edits is None and post in self.stands:
                self.twice.append(message.key)
            self.stands[post] = message.text
        if outcome is not None:
            raise SendFailed("as it was told to", outcome)
        return Receipt(*post)


SEVERITIES = st.sampled_from(["info", "warning", "critical"])
FAILURES = st.sampled_from(
    [("refused", False), ("unknown", False), ("unknown", True), ("no_credentials", False)]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("news"), st.sampled_from(["i1", "i2"]), SEVERITIES),
        st.tuples(st.just("over"), st.sampled_from(["i1", "i2"]), st.none()),
        st.tuples(st.just("fail"), st.lists(FAILURES, min_size=1, max_size=4), st.none()),
        st.tuples(st.just("wait"), st.sampled_from([5, 90, 1800, 6 * 3600]), st.none()),
        st.tuples(st.just("restart"), st.none(), st.none()),
    ),
    min_size=2,
    max_size=14,
)
ROUTES = st.builds(
    Route,
    st.just("#a"),
    quiet=st.sampled_from([None, NIGHT]),
    wait=st.sampled_from([0, 60]),
    interval=st.sampled_from([0, 600]),
    escalate=st.sampled_from([(), (Step("#b", 900),)]),
    repeat=st.just(0),
)


class Story:
    """One history, told as it happens."""

    def __init__(self, folder: Path, route: Route) -> None:
        self.path = folder / "s.db"
        self.settings = Settings(slack=Slack("#a"), routes=(route,))
        self.board, self.hand = Board(), Hand()
        self.hand.now = examples.MIDNIGHT + 21 * 3600
        self.last: dict[str, Event] = {}
        self.begin()

    def begin(self) -> None:
        self.store = Store(self.path)
        self.telling = Telling(self.settings, self.store.told)

    def take(self, step: Any) -> None:
        what, which, how = step
        if what == "news":
            self.happens(which, how)
        elif what == "over" and which in self.last and self.last[which].event != "resolved":
            self.happens(which, None)
        elif what == "fail":
            self.board.failures += which
        elif what == "wait":
            self.hand.now += which
        elif what == "restart":
            self.store.close()
            self.begin()
        deliver(Mailbox(self.store), Place(self.board, 0), self.hand)
        self.hand.now += 1

    def happens(self, name: str, severity: Any) -> None:
        before = self.last.get(name)
        if before is not None and before.event == "resolved":
            return
        base = examples.error_spike()
        findings = tuple(replace(f, trace=None) for f in base.incident.findings)
        known = "info" if before is None else before.incident.severity
        graver = max(known, severity or known, key=RANKS.index)
        incident = replace(base.incident, id=name, severity=graver, findings=findings, opened=self.hand.now)
        event = replace(base, time=self.hand.now, incident=incident)
        if before is not None:
            incident = replace(incident, opened=before.incident.opened)
            event = replace(
                event, event="updated", reason="grew", number=before.number + 1, incident=incident
            )
            if severity is None:
                event = replace(event, event="resolved", reason="recovered")
        self.last[name] = event
        news = self.telling.news(event)
        said = tuple(replace(one, text=f"{event.number}: {one.text}") for one in news.messages)
        self.store.commit(Closing(news=(replace(news, messages=said),)), self.store.table())

    def end(self) -> None:
        """Everything works again, and two days pass."""
        self.board.failures = []
        for pause in [61] * 5 + [600] * 6 + [6 * 3600] * 8:
            self.hand.now += pause
            deliver(Mailbox(self.store), Place(self.board, 0), self.hand)


# The answer to the card is lost; its news comes before it has been looked for.
LOST: list[Any] = [("fail", [("unknown", True)], None), ("news", "i1", "warning"), ("news", "i1", "critical")]
# Held by the night, then critical while the place is away, and we die meanwhile.
AWAY: list[Any] = [
    ("wait", 2 * 3600, None), ("news", "i1", "warning"), ("fail", [("refused", False)] * 3, None),
    ("news", "i1", "critical"), ("restart", None, None), ("over", "i1", None),
]  # fmt: skip


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(STEPS, ROUTES)
@example(LOST, Route("#a"))
@example(LOST, Route("#a", escalate=(Step("#b", 900),)))
@example(AWAY, Route("#a", quiet=NIGHT, escalate=(Step("#b", 900),)))
def test_in_the_end_every_card_shows_how_it_stands_and_stands_once(steps: list[Any], route: Route) -> None:
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder), route)
        for step in steps:
            story.take(step)
        story.end()
        waiting = [(one.message.channel, one.message.key, one.why) for one in Mailbox(story.store).waiting()]
        story.store.close()
    assert waiting == []
    assert story.board.twice == []
    for name, event in story.last.items():
        shown = story.board.stands[("#a", name)]
        assert shown.startswith(f"{event.number}: ")
        if route.escalate and event.event != "resolved":
            assert story.board.stands[("#b", name)] == shown
