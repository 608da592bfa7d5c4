"""The watch as it happens: what arrives is kept, intervals close by the clock, what they say is judged.

In: readings and deployments as they come, and the moment of each call. Out: news in the store's outbox.
Never: a clock of its own, a network; an interval judged twice or forgotten.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from alerts.incidents import Event, Incident
from alerts.messages import Message
from collector.asked import Answer
from collector.binner import Binner
from collector.bins import Bins, SeriesTable
from collector.counters import Counters
from collector.deployments import Deployment
from collector.points import Limits, Readings
from collector.server import Busy
from collector.words import Word
from detectors.plan import Plan
from stillwatch import engine, kept, snapshot
from stillwatch.blobs import in_one
from stillwatch.deployed_lately import deployed_lately
from stillwatch.engine import State
from stillwatch.heap import settling
from stillwatch.journal import pack_readings
from stillwatch.progress import Progress
from stillwatch.replaying import stretches
from stillwatch.store import Closing, News, Store
from stillwatch.tables import StoreTrouble, Unreachable

log = logging.getLogger(__name__)
T = TypeVar("T")

TOO_MANY = {  # reasons of Counters -> what there is too much of
    "too many series of one service": "too many series",
    "too many series": "too many series in all, among them those",
    "too many counters": "too many running totals, among them those",
}
SNAPSHOT_EVERY = 900  # seconds of intervals; a start replays at most these
CROWDED = 20  # services with too many series that are named in /healthz
MOST_METRICS = 20  # that are named with their counts
TIDIED_EVERY = 3600  # seconds
AT_ONCE = 1440  # intervals that are closed at once after a long pause


class Advance(Protocol):
    """See engine.advance."""

    def __call__(
        self,
        state: State,
        bins: Bins,
        deployments: Sequence[Deployment],
        plan: Plan,
        *,
        words: Sequence[Word],
    ) -> tuple[State, list[Event]]: ...


STEP: Advance = partial(engine.advance, spend=True)
Stage = Callable[[str], AbstractContextManager[object]]


def untimed(stage: str) -> AbstractContextManager[object]:
    """Where nobody wants to know how long a stage of the tick takes."""
    del stage
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Figures:
    """How the watch stands, and what it counted since its start; cheap to ask for. Times: epoch seconds, 0 = never.

    lag: seconds by which closing is overdue. refused: data points that were refused or late, by reason.
    judged_until: end of the last interval that was judged and kept. evidence: signals judged, in each interval.
    blind: seconds of intervals that were judged late for a defect of ours.
    """

    taken: int = 0
    last_taken: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    crowded: Mapping[str, int] = field(default_factory=dict)
    series: int = 0
    watermark: int = 0
    lag: int = 0
    judged_until: int = 0
    intervals: int = 0
    evidence: int = 0
    judged: int = 0
    learning: int = 0
    snapshot_bytes: int = 0
    blind_since: int = 0
    blind: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How closed intervals become news.

    plan: for the series known so far. news: an event, worded. sight: what is said when we went blind (epoch
    seconds since when, False) or see again (since when we were blind, True). waits: see config.Settings.
    """

    plan: Callable[[SeriesTable], Plan]
    news: Callable[[Event], News]
    sight: Callable[[int, bool], tuple[Message, ...]]
    advance: Advance = STEP
    waits: Mapping[str, int] = field(default_factory=dict)


class Live:
    """Everything between the door and the outbox. Safe to call from several threads.

    interval, grace: seconds. now: epoch seconds at which we begin to listen. Raises StoreTrouble.
    silent: seconds without a sign of our own life after which nobody listened, limits: of times and series, if not
    the usual ones. naming: stands for the settings by which keys are made; other ones, other text.
    stage: is entered for each stage of a tick that has something to do, by its name (see own_metrics.STAGES).
    keep: seconds for which intervals are kept, None = for good.
    """

    def __init__(
        self,
        store: Store,
        judgement: Judgement,
        interval: int,
        grace: int,
        now: int,
        limits: Limits | None = None,
        silent: int | None = None,
        naming: str = "",
        stage: Stage = untimed,
        keep: int | None = None,
    ) -> None:
        self._store = store
        self._stage = stage
        self._keep_for = keep
        self._tidied = 0  # up to which end of the last interval what is too old was deleted
        self._judgement = judgement
        self._limits = limits or Limits()
        self._taken = 0  # data points, since the start
        self._last_taken = 0
        self._crowded: set[str] = set()  # services of which it was said that they have too many series
        self._door = threading.Lock()  # counters, binner, table: what arrives, and the cut between intervals
        self._step = threading.Lock()  # state and plan: one tick at a time
        # Seconds without a sign of our own life: nobody listened.
        self._silent = max(interval // 2, 5) if silent is None else silent
        self._signed = now  # the last sign of life that is kept
        self._overlong = 0  # closes in a row with reports that cover more than the grace
        self._owed = Closing()
        self._over = False  # another goes on with the store
        self._plan: Plan | None = None
        self._planned_for = self._planned_from = SeriesTable()
        self._progress = Progress()
        self._newest: Bins | None = None  # the last interval in which something was counted
        self._intervals = 0  # judged since the start, and each signal in each of them
        self._evidence = 0
        self._snapshot_bytes = 0
        self._blind = 0  # seconds of intervals that waited until we could see again
        self._recent: Bins | None = (
            None  # the last intervals, up to the one that the slowest source is judged in
        )
        self.last_tick = 0
        self.blind_since = 0
        self.trouble = ""
        self._away = False  # is it trouble that an answer of the database ends?
        store.settle_width(interval)
        self._stored = store.end()
        with settling():
            self._table = store.table()
            self._counters, self._binner = self._go_on(interval, grace, now)
            alive = store.last_alive()
            self._alive = float(now if alive is None else alive)
            self._noted = 0
            self._take_in(now)
            self._counters.named(naming, now)  # what was acknowledged before has the names of its time
            self._known = self._table.first(len(self._table))  # as of the last interval that was cut off
            self._state, self._judged = kept.remembered(store)
        self._spent = False
        self._alive_at(now)
        # From the first moment on: since when we listen decides what a first total means.
        store.commit(Closing(collector=(kept.packed(self._counters, self._binner), self._noted)), self._known)

    def _go_on(self, interval: int, grace: int, now: int) -> tuple[Counters, Binner]:
        """The collector as of the last commit."""
        limits = self._limits
        saved = kept.collector(self._store, self._table, limits)
        if saved is None:
            counters = Counters(now, limits)
            begin = now if self._stored is None else self._stored
            binner = Binner(interval, grace, begin, self._table, limits)
        else:
            counters, binner = saved
        if binner.grace != grace:
            # Open intervals cannot be carried over; they were not watched, then.
            binner = Binner(interval, grace, binner.next, self._table, limits)
        return counters, binner

    # What arrives.

    def readings(self, readings: Readings, now: int) -> Mapping[str, int]:
        """Take what a sender counted; on return a crash cannot lose it. How much was refused, by reason.

        Raises Busy when it cannot be kept: the sender tells it again, and what is told twice counts once.
        """
        body = pack_readings(readings)
        with self._door:
            self._not_over()
            self._alive_at(now)
            refused = self._binner.add(self._counters.count(readings, self._table, now), now)
            self._say_what_is_full(refused)
            if len(readings):
                self._taken += len(readings) + sum(readings.refused.values()) - sum(refused.values())
                self._last_taken = now
            if len(readings) or readings.signs:
                self._reach(self._or_busy(lambda: self._store.note(body, now)), now)
        return refused

    def _reach(self, number: int, now: int) -> None:
        """What stands in the journal up to this number is counted, once what lies between is as well."""
        if number > self._noted + 1:
            self._or_busy(lambda: self._take_in(now, number))
        self._noted = number

    def _take_in(self, now: int, before: int | None = None) -> None:
        """Count what stands in the journal uncounted: after a start, what another daemon took in, what was noted in
        the moment at which a connection was lost. What was counted all the same counts once, for it is the same."""
        for number, received, what in kept.journal(self._store, self._noted, before):
            if isinstance(what, Word):
                self._store.add_word(replace(what, reported=self._known_at(now)))
            elif isinstance(what, Deployment):
                self._store.add_deployments([replace(what, reported=self._known_at(now))])
            else:
                readings, source = what
                points = self._counters.count(readings, self._table, received)
                self._is_told_by(source, readings)
                self._binner.add(points, received, self._judgement.waits.get(source, 0))
                self._alive = max(self._alive, received)
            self._noted = number

    def _known_at(self, now: int) -> int:
        """When what is told at `now` became known (epoch seconds): what is told after an interval was judged was
        not known to that judgement, now or in a replay."""
        return max(now, self._binner.next + self._binner.grace + 1)

    def _say_what_is_full(self, refused: Mapping[str, int]) -> None:
        """Once for each service."""
        for reason, of in TOO_MANY.items():
            if reason in refused:
                for service in self._counters.crowded.keys() - self._crowded:
                    self._crowded.add(service)
                    log.warning("%s of %s, new ones are refused: see `limits` in the settings", of, service)

    def asked(self, source: str, answer: Answer, now: int) -> Mapping[str, int]:
        """Take what a source that we asked has told, and how far it told; how much was refused, by reason.

        Raises Busy when it cannot be kept: nothing was taken then, and the same is to be asked again.
        """
        readings = answer.readings
        body = pack_readings(readings, source) if len(readings) else None
        wait = self._judgement.waits.get(source, 0)
        with self._door:
            self._alive_at(now)
            number = self._or_busy(
                lambda: self._store.note_asked(source, answer.until, answer.memo, body, now)
            )
            if number:
                self._reach(number, now)
            longest = self._binner.longest
            points = self._counters.count(readings, self._table, now)
            self._is_told_by(source, readings)
            refused = self._binner.add(points, now, wait)
            if wait or not readings.cumulative.any():
                # What waits, or is counted by whole intervals, needs no more grace for that.
                self._binner.longest = longest
            return refused

    def _is_told_by(self, source: str, readings: Readings) -> None:
        """Each series has one source: the first that told it and is still in the settings."""
        if source not in self._judgement.waits:
            return
        told = self._table.sources
        for key in set(readings.keys):
            row = self._table.find(key)
            if row >= 0 and told.get(row, "") not in self._judgement.waits:
                told[row] = source

    def asked_until(self, source: str) -> tuple[int, str]:
        """How far a source has told (epoch seconds), and what it remembers. What was never asked is asked from the
        first interval that is open. Raises Busy."""
        known = self._or_busy(lambda: self._store.asked(source))
        with self._door:
            return (self._binner.next, "") if known is None else known

    def deployments(self, told: Sequence[Deployment], now: int) -> list[Deployment]:
        """Take what was deployed; what was told before is left as it is. Returns what is known otherwise by the id
        and service of one that was told. Raises Busy when it cannot be kept."""
        with self._door:
            stamped = [replace(one, reported=self._known_at(now)) for one in told]
            new = self._or_busy(lambda: self._store.add_deployments(stamped))
            again = [one for one in stamped if one not in new]
            known = [
                (one, self._or_busy(partial(self._store.deployment, one.id, one.service))) for one in again
            ]
        for one in new:
            log.info("told of a deployment: %s %s (%s)", one.service, one.version, one.kind)
        return [kept for one, kept in known if kept is not None and not one.is_the_same_as(kept)]

    def word(self, said: Word, now: int) -> bool:
        """Take what somebody said of an incident; False where they have said so before. Raises Busy when it cannot
        be kept."""
        with self._door:
            noted = replace(said, reported=self._known_at(now))
            new = self._or_busy(lambda: self._store.add_word(noted))
        if new:
            log.info("said of incident %s by %s: %s", said.incident, said.who, said.kind)
        return new

    def _not_over(self) -> None:
        if self._over:
            raise Busy(1)

    def _or_busy(self, keep: Callable[[], T]) -> T:
        self._not_over()
        try:
            done = keep()
        except StoreTrouble as trouble:
            self._in_trouble(trouble)
            raise Busy from trouble
        self._well_again()
        return done

    def _alive_at(self, now: float) -> None:
        """Between two signs of our life far apart we slept: nobody listened then."""
        if now - self._alive > self._silent:
            self._binner.deaf(self._alive, now)
            log.warning("nobody listened from %s to %s", _moment(self._alive), _moment(now))
        self._alive = max(self._alive, now)

    # The tick.

    def tick(self, now: int) -> int:
        """Close and judge every interval whose end plus grace has passed; returns how many events were new.

        Safe to call twice, late, or not for an hour. When the store cannot be used that is said once, and a
        later call goes on from here. What `advance` raises comes out: the intervals are kept, and the next call
        judges them again, from the newest snapshot on, as a start does.
        """
        due = self._behind or self._owed != Closing() or self._is_due(now)
        with self._step, self._stage("tick") if due else nullcontext():
            if self._over:
                return 0
            fresh = 0
            with self._door:
                self._alive_at(now)  # also where the store cannot be used: we listen
            try:
                self._keep()
                with self._door:
                    self._take_in(now)
                if self._away:
                    self._well_again()
                self._go_back()
                while (bins := self._close(now)) is not None or self._behind:
                    fresh += self._catch_up() if bins is None or self._behind else self._judge(bins)
                self._see_again(now)
                self._tidy()
                if now - self._signed > self._silent // 3:
                    self._store.still_alive(now)
                    self._signed = now
            except StoreTrouble as trouble:
                self._in_trouble(trouble)
            self.last_tick = now
            return fresh

    def _tidy(self) -> None:
        """Delete intervals that are too old, some at a time. Old is measured by what was counted: where our own
        clock runs away, nothing is lost."""
        if self._keep_for is None or self._newest is None or self._newest.end - self._tidied < TIDIED_EVERY:
            return
        if not self._store.forget(self._newest.end - self._keep_for):
            self._tidied = self._newest.end

    @property
    def _behind(self) -> bool:
        """Is something stored that was not judged (a start, or a step that raised)?"""
        return self._judged != self._stored

    def _is_due(self, now: int) -> bool:
        """Has the grace of the first open interval passed?"""
        return now >= self._binner.next + self._binner.width + self._binner.grace

    def _close(self, now: int) -> Bins | None:
        """Cut off the next intervals that are due; they are owed to the store from here on."""
        with self._door, self._stage("close") if self._is_due(now) else nullcontext():
            self._alive_at(now)
            binner = self._binner
            bins = binner.close(min(now - binner.grace, binner.next + AT_ONCE * binner.width))
            if not len(bins):
                return None
            self._check_grace(binner)
            self._newest = newest(bins) or self._newest
            if self._table.sources:
                blocks = [bins] if self._recent is None else [self._recent, bins]
                whole = in_one(blocks, len(self._table))
                slowest = max(self._judgement.waits.values(), default=0)
                self._recent = whole.cut(max(0, len(whole) - slowest - 1), len(whole))
            if len(self._known) != len(self._table) or self._known.sources != self._table.sources:
                self._known = self._table.first(len(self._table))
            state = kept.packed(self._counters, binner)
            self._owed = Closing(bins, collector=(state, self._noted))
        return bins

    def _judge(self, bins: Bins) -> int:
        """Judge what was cut off and keep it; if it cannot be judged it is kept all the same."""
        try:
            with self._sight():
                self._owed = self._advance(bins, self._owed)
        finally:
            fresh = self._keep()
        return fresh

    def _catch_up(self) -> int:
        """Judge what is stored and was not judged; news that the outbox knows is ignored."""
        fresh = self._keep()
        for block in self._store.history(self._judged):
            with self._sight():
                self._owed = self._advance(block, Closing())
            fresh += self._keep()
        return fresh

    def _go_back(self) -> None:
        """After a step that raised: its state may be half of one interval and half of the next."""
        if self._spent:
            self._state, self._judged = kept.remembered(self._store)
            self._plan, self._spent = None, False

    def _advance(self, bins: Bins, closing: Closing) -> Closing:
        """Judge a block; `closing` with what came of it. If anything raises, the state is spent."""
        before, news = self._judged, tuple[News, ...]()
        # As a replay does: what is asked of a series is asked from its first count on.
        appeared = bins.appeared(self._state.memory.series)
        for first, last in stretches(appeared, len(bins)):
            series, block = int(appeared[first]), bins.cut(first, last)
            if block.values.shape[1] > series:
                block = replace(block, values=np.ascontiguousarray(block.values[:, :series]))
            news += self._one_step(block, series)
        due = before is None or bins.end // SNAPSHOT_EVERY != before // SNAPSHOT_EVERY
        cache = (bins.end, self._dump(self._state)) if due else None
        return replace(closing, news=news, snapshot=cache)

    def _one_step(self, bins: Bins, series: int) -> tuple[News, ...]:
        """The one step, for the first so many series."""
        after = None if self._judged is None else self._judged + self._binner.grace
        upto = int(bins.closed[-1])
        told, said = self._store.deployments(after, upto), self._store.words(after, upto)
        plan, table = self._plan, self._planned_for
        if plan is None or len(table) != series or self._known is not self._planned_from:
            table = self._known if len(self._known) == series else self._known.first(series)
            if plan is None or len(table) != plan.series or table.sources != self._planned_for.sources:
                with settling():
                    plan = self._judgement.plan(table)
            self._planned_for, self._planned_from = table, self._known
        self._spent = True
        with self._stage("advance"):
            state, events = self._judgement.advance(self._state, bins, told, plan, words=said)
        with self._stage("word"):
            news = tuple(self._judgement.news(event) for event in events)
        self._intervals += len(bins)
        self._evidence += len(bins) * len(plan.signals)
        self._plan, self._state, self._judged, self._spent = plan, state, bins.end, False
        self._progress.look(state.memory, plan, table, bins.end)
        return news

    def _dump(self, state: State) -> bytes:
        with self._stage("snapshot"):
            raw = snapshot.dump(state)
        self._snapshot_bytes = len(raw)
        return raw

    def _keep(self) -> int:
        """Write what is owed; returns how much news was new. Raises StoreTrouble, and then it stays owed."""
        if self._owed == Closing():
            return 0
        with self._stage("commit"):
            fresh = self._store.commit(self._owed, self._known)
        if self._owed.bins is not None:
            self._stored = self._owed.bins.end
        self._owed = Closing()
        self._well_again()
        for one in fresh:
            log.info("news: incident %s, event %d", one.incident, one.number)
        return len(fresh)

    def _check_grace(self, binner: Binner) -> None:
        """What is reported once a minute is up to a minute old when it comes (after a pause, once, older)."""
        longest, binner.longest = binner.longest, 0.0
        self._overlong = self._overlong + 1 if longest > binner.grace + 1 else 0
        if self._overlong == 3:
            log.warning(
                "senders report every %.0f s, but intervals are judged %d s after their end, without what comes "
                "later: set `grace: %.0fs`, or OTEL_METRIC_EXPORT_INTERVAL=%d at the senders",
                longest, binner.grace, longest + 5, max(1, binner.grace - 5) * 1000,
            )  # fmt: skip

    def _well_again(self) -> None:
        if self.trouble:
            log.info("the database can be used again")
            self.trouble, self._away = "", False

    def _in_trouble(self, trouble: StoreTrouble) -> None:
        if str(trouble) != self.trouble:
            log.error("%s", trouble)
            self.trouble = str(trouble)
        self._away = isinstance(trouble, Unreachable)

    @contextmanager
    def _sight(self) -> Iterator[None]:
        """Notices that the step raised; trouble with the store is no blindness."""
        seeing = False
        try:
            yield
            seeing = True
        except StoreTrouble:
            seeing = True
            raise
        finally:
            if not seeing and not self.blind_since:
                since = self._binner.next if self._judged is None else self._judged
                self.blind_since = since
                log.error(
                    "blind since %s: intervals are kept and judged when that works again", _moment(since)
                )
                self._store.say("", self._judgement.sight(since, False), since)

    def _see_again(self, now: int) -> None:
        if self.blind_since:
            log.warning("sees again; was blind since %s", _moment(self.blind_since))
            self._store.say("", self._judgement.sight(self.blind_since, True), now)
            self._blind += max(0, now - self.blind_since)
            self.blind_since = 0

    def stop(self, patience: float = -1) -> None:
        """Keep what is owed, and a snapshot, so that the next start has nothing to replay; nothing more is taken.

        patience: seconds to wait for a tick that runs; without its end nothing is lost, only replayed.
        """
        with self._door:
            self._over = True
        if not self._step.acquire(timeout=patience):
            log.warning("stopped in the middle of a step; the next start takes it again")
            return
        try:
            self._keep()
            self._store.still_alive(int(self._alive))
            if self._judged is not None and not self._behind and not self._spent:
                self._store.commit(Closing(snapshot=(self._judged, self._dump(self._state))), self._known)
        except StoreTrouble as trouble:
            self._in_trouble(trouble)
        finally:
            self._step.release()

    # What is known of ourselves.

    def deployed(self, since: int) -> list[dict[str, Any]]:
        """What was deployed since (epoch seconds), told or seen; see deployed_lately. Raises StoreTrouble."""
        told = self._store.deployments(after=since - 1)  # what happened since was known since
        return deployed_lately(told, self._state, self._binner.width, since)

    def processes(self) -> tuple[str, ...]:
        """Who counted and is not forgotten, by the names that readings give them."""
        with self._door:
            return self._counters.processes

    @property
    def open_incidents(self) -> tuple[Incident, ...]:
        """As of the last interval that was judged."""
        return self._state.incidents

    def newest(self) -> dict[str, object]:
        """The counts of the last interval in which something was counted, see told_of; empty: there is none. later:
        the same of each `source` that is judged later, as far as it is judged."""
        with self._door:
            latest, recent, known = self._newest, self._recent, self._known
        source_of = np.array([known.sources.get(row, "") for row in range(len(known))], dtype=np.str_)
        later = []
        for source, wait in self._judgement.waits.items():
            mine = source_of == source
            if recent is not None and len(recent) > wait and mine.any():
                judged = recent.settled().cut(0, len(recent) - wait)
                of_mine = np.where(mine[: judged.values.shape[1]], judged.values, np.nan)
                one = newest(replace(judged, values=of_mine))
                later += [] if one is None else [{"source": source, **told_of(one, known)}]
            source_of[mine] = "later"
        if latest is not None:
            sent = source_of[: latest.values.shape[1]] != "later"
            latest = newest(replace(latest, values=np.where(sent, latest.values, np.nan)))
        told = {} if latest is None else told_of(latest, known)
        return {**told, "later": later} if later else told

    def figures(self, now: int) -> Figures:
        """How the watch stands; at most a moment's wait, and no look into the model or the store."""
        with self._door:
            binner = self._binner
            refused, watermark, series = dict(binner.refused), binner.next, len(self._table)
            crowded = dict(self._counters.crowded.most_common(CROWDED))
        blind_since = self.blind_since
        return Figures(
            taken=self._taken,
            last_taken=self._last_taken,
            refused=refused,
            crowded=crowded,
            series=series,
            watermark=watermark,
            lag=max(0, now - (watermark + binner.width + binner.grace)),
            judged_until=min(self._judged or 0, self._stored or 0),
            intervals=self._intervals,
            evidence=self._evidence,
            judged=self._progress.judged,
            learning=self._progress.learning,
            snapshot_bytes=self._snapshot_bytes,
            blind_since=blind_since,
            blind=self._blind + (max(0, now - blind_since) if blind_since else 0),
            trouble=self.trouble,
        )

    def health(self, now: int) -> dict[str, object]:
        """For /healthz. Times are epoch seconds, 0 = never; lag: seconds by which closing is overdue.

        refused: counts that were refused or late so far, by reason. learning: what young signals see already,
        and what they wait for. taken: data points since the start, the last of them at last_taken. crowded: of
        services that have too many series, how many points of new ones were refused since the start.
        """
        of = self.figures(now)
        return {
            "ok": not of.blind_since and not of.trouble and of.lag <= max(2 * self._binner.width, 30),
            "last_tick": self.last_tick,
            "watermark": of.watermark,
            "lag": of.lag,
            "refused": of.refused,
            "series": of.series,
            "taken": of.taken,
            "last_taken": of.last_taken,
            "limits": {"series": self._limits.series, "per_service": self._limits.per_service},
            "crowded": of.crowded,
            "judged": of.judged,
            "learning": self._progress.waiting(),
            "blind_since": of.blind_since,
            "trouble": of.trouble,
        }


def newest(bins: Bins) -> Bins | None:
    """The last interval of a block in which anything was measured."""
    measured = np.flatnonzero(~np.isnan(bins.values).all(axis=1))
    return bins.cut(int(measured[-1]), int(measured[-1]) + 1) if len(measured) else None


def told_of(one: Bins, table: SeriesTable) -> dict[str, object]:
    """The counts of an interval by service and metric, the MOST_METRICS largest; metrics: how many there are."""
    sums: dict[str, float] = {}
    for row in np.flatnonzero(~np.isnan(one.values[0])).tolist():
        name = f"{table.keys[row].service}/{table.keys[row].metric}"
        sums[name] = sums.get(name, 0.0) + float(one.values[0, row])
    largest = sorted(sums.items(), key=lambda of: (-of[1], of[0]))[:MOST_METRICS]
    return {"start": one.start, "seconds": one.width, "counts": dict(largest), "metrics": len(sums)}


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
