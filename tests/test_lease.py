"""One leads, the other stands by: the lease, its fence, and what the one that stands by takes in."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postgres_server import PostgresServer, answers_lost
from test_live import GRACE, T0, W, World, delta, readings

from alerts.messages import Message
from alerts.outbox import Receipt
from alerts.places import Place
from collector.bins import SeriesKey, SeriesTable
from collector.deployments import Deployment
from collector.points import Readings
from collector.server import Busy
from collector.words import Word
from stillwatch.lease import LONGEST, SHORTEST, TAKES, Lease, lasts
from stillwatch.outcry import Outcry
from stillwatch.said import status_lines
from stillwatch.selfwatch import stranded
from stillwatch.standby import Standby
from stillwatch.store import Closing, Store
from stillwatch.tables import Deposed, StoreTrouble
from stillwatch.turns import guarded

LASTS = 10.0


class Hand:
    """A clock wound by hand, for the daemons' side; the server has its own."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def address(postgres_server: PostgresServer) -> str:
    return postgres_server.ready()


@pytest.fixture
def stores(address: str) -> Iterator[tuple[Store, Store]]:
    both = Store(address), Store(address)
    yield both
    for store in both:
        store.close()


@given(st.integers(1, 3600))
def test_a_lease_is_over_soon_enough_for_another_to_lead_within_two_intervals(interval: int) -> None:
    assert SHORTEST <= lasts(interval) <= LONGEST
    if 2 * interval >= SHORTEST + TAKES:
        assert lasts(interval) + TAKES <= 2 * interval
    assert lasts(interval) <= lasts(interval + 1)


def expire(store: Store) -> None:
    """As if nothing had been heard of the one that leads for long enough."""
    with store.writing() as c:
        c.exec_driver_sql("UPDATE lease SET until = 0")


def test_one_leads_until_it_has_given_no_sign_for_long_enough(
    stores: tuple[Store, Store],
) -> None:
    one, other = (Lease(store, name, Hand(), 60.0) for store, name in zip(stores, "ab", strict=True))
    assert one.leader() == ""
    assert (one.take(), other.take(), one.take()) == (True, False, True)
    assert (one.epoch, other.epoch, other.leader()) == (1, 0, "a")
    expire(stores[1])
    assert one.leader() == ""
    assert one.take(), "nobody came in between"
    assert one.epoch == 1
    expire(stores[1])
    assert other.take()
    assert (other.epoch, one.leader()) == (2, "b")
    with pytest.raises(Deposed, match="another daemon judges and tells by now"):
        one.take()


def test_one_that_ends_lets_the_other_lead_at_once(stores: tuple[Store, Store]) -> None:
    one, other = (Lease(store, name, Hand(), LASTS) for store, name in zip(stores, "ab", strict=True))
    assert one.take()
    one.release()
    assert not one.holds()
    assert other.take()
    one.release()  # late: it changes nothing any more
    assert other.leader() == "b"


def test_what_leads_no_more_writes_nothing(stores: tuple[Store, Store]) -> None:
    one, other = (Lease(store, name, Hand(), LASTS) for store, name in zip(stores, "ab", strict=True))
    one.take()
    stores[0].lead(one.check)
    stores[0].say("i1", [Message("before", "#a", "x")], 1)
    expire(stores[1])
    other.take()
    stores[1].lead(other.check)
    with pytest.raises(Deposed):
        stores[0].say("i1", [Message("after", "#a", "x")], 1)
    with pytest.raises(Deposed):
        stores[0].commit(Closing(snapshot=(60, b"state")), SeriesTable())
    stores[1].say("i1", [Message("other", "#a", "x")], 1)
    with stores[1].reading() as c:
        assert list(c.exec_driver_sql("SELECT key FROM outbox ORDER BY number").scalars()) == [
            "before",
            "other",
        ]
    assert list(stores[1].snapshots()) == []


def test_a_lease_whose_answer_was_lost_is_ours_all_the_same(stores: tuple[Store, Store]) -> None:
    one, other = (Lease(store, name, Hand(), LASTS) for store, name in zip(stores, "ab", strict=True))
    with answers_lost(stores[0], {1}), pytest.raises(StoreTrouble):
        one.take()
    assert not one.holds()
    assert not other.take()
    assert one.take()
    assert one.epoch == 1


def test_one_that_writes_for_longer_than_its_lease_leads_afterwards(stores: tuple[Store, Store]) -> None:
    hand = Hand()
    one, other = Lease(stores[0], "a", hand, LASTS), Lease(stores[1], "b", Hand(), LASTS)
    one.take()
    stores[0].lead(one.check)
    with stores[0].writing() as c:
        c.exec_driver_sql("UPDATE lease SET until = 0")  # that much time passes
        hand.at += LASTS + 1
    assert not other.take()
    assert not one.holds(), "as far as it knows: it sends nothing until it has asked"
    assert one.take()
    assert (one.epoch, one.holds()) == (1, True)


class Wall:
    def __init__(self) -> None:
        self.said: list[str] = []

    def send(
        self,
        message: Message,
        *,
        edits: Receipt | None = None,
        thread: Receipt | None = None,
        seek_since: int | None = None,
    ) -> Receipt:
        del edits, thread, seek_since
        self.said.append(message.text)
        return Receipt("#a", str(len(self.said)))


def test_no_word_leaves_the_house_of_one_that_slept_past_its_lease(stores: tuple[Store, Store]) -> None:
    hand, wall = Hand(), Wall()
    lease = Lease(stores[0], "a", hand, LASTS)
    place = guarded(Place(wall, 0), lease)
    with pytest.raises(StoreTrouble):
        place.sender.send(Message("k", "#a", "too early"))
    lease.take()
    hand.at += LASTS / 2 - 0.1
    place.sender.send(Message("k", "#a", "in time"))
    hand.at += 0.2
    with pytest.raises(StoreTrouble):
        place.sender.send(Message("k", "#a", "too late"))
    assert wall.said == ["in time"]


# What comes in where nothing is judged.


def test_nothing_is_taken_in_before_the_first_start_is_over(stores: tuple[Store, Store]) -> None:
    standby = Standby(stores[0], W, GRACE)
    with pytest.raises(Busy):
        standby.readings(delta(T0, 1.0), T0)
    standby.sign(T0)
    assert list(stores[0].noted()) == []
    assert stores[0].last_alive() is None


def total(at: int, value: float) -> Readings:
    return readings(SeriesKey("a", "m"), T0 + 70, T0 + at, value, cumulative=True)


def test_totals_that_come_here_and_there_count_once_and_deployments_and_words_are_heeded(
    address: str,
) -> None:
    world, store = World(address), Store(address)
    world.wind(0, 75)
    standby = Standby(store, W, GRACE)
    assert standby.readings(total(80, 5.0), T0 + 80) == {}
    world.wind(76, 85)
    world.live.readings(total(90, 8.0), T0 + 90)
    standby.readings(total(100, 9.0), T0 + 100)
    standby.readings(total(100, 9.0), T0 + 100)  # told again, for an answer was lost
    world.live.readings(total(100, 9.0), T0 + 101)  # and once more, to the other one
    standby.deployments([Deployment("r1", T0 + 99, "a", "2")], T0 + 101)
    word = Word("i1", "acknowledge", "pia", T0 + 101)
    assert standby.word(word, T0 + 101)
    world.wind(102, 136)
    assert not standby.word(word, T0 + 137)
    assert world.judge.values[60] == 9.0
    assert [one.id for one in world.judge.deployments] == ["r1"]
    assert [one.who for one in world.judge.words] == ["pia"]
    # Known to the first judgement that could know of it, and to none before: a replay sees the same.
    assert T0 + 101 <= store.deployments()[0].known <= T0 + 135
    assert standby.health(T0 + 140)["ok"] is True
    assert standby.health(T0 + 400)["ok"] is False, "nobody closes intervals"
    desk = {"role": "stands by", "outbox": 0, "open": [], "silences": [], "newest": standby.newest()}
    said = status_lines(standby.health(T0 + 140) | desk | {"last_taken": "14:00"})
    assert said[0] == "well; stands by: takes counts in, another daemon judges and tells"
    assert said[1] == "counts: 3 data points taken, the last at 14:00"
    store.close()
    world.store.close()


def test_while_one_stands_by_somebody_listens_and_what_came_then_is_judged_by_the_next(address: str) -> None:
    world, store = World(address), Store(address)
    world.wind(0, 130)  # and then it is gone
    standby = Standby(store, W, GRACE)
    for second in range(131, 400):
        standby.sign(T0 + second)
        if second % 20 == 0:
            standby.readings(delta(T0 + second, 2.0), T0 + second)
    world.store.close()
    world.start(T0 + 400)
    world.wind(400, 440)
    assert {start: value for start, value in world.judge.values.items() if start >= 120} == {
        120: 4.0,
        180: 6.0,
        240: 6.0,
        300: 6.0,
        360: pytest.approx(4.0),
    }
    store.close()
    world.store.close()


def test_trouble_that_lasts_is_said_past_the_outbox_once_and_its_end() -> None:
    wall = Wall()

    def words(since: int, what: str, over: bool) -> Message:
        return stranded("#a", "host-1", since, what, over)

    cry = Outcry(wall.send, words, 60)

    def look(trouble: str, *moments: int) -> None:
        for now in moments:
            cry.look(trouble, now)
            while cry._thread.is_alive():
                time.sleep(0.01)

    look("", 0, 1)
    look("gone `<!channel>`", 100, 130)
    look("", 140)
    assert wall.said == []
    look("gone `<!channel>`", 200, 230, 260, 261, 900)
    assert len(wall.said) == 1
    assert "Stillwatch on host-1 cannot use its database since 00:03 UTC" in wall.said[0]
    assert "<!channel>" not in wall.said[0]
    look("", 950, 951, 1000)
    assert len(wall.said) == 2
    assert "can use its database again" in wall.said[1]
    look("gone", 2000, 2060)
    assert len(wall.said) == 3
