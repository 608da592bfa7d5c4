"""The daemon: opens the door, winds the clock, delivers, and stops when it is told to.

In: settings. Out: an exit status, when somebody ends it. Never: a judgement (see live.py), a word for people.
APScheduler lives here; it only calls tick, and how often it does so means nothing.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fcntl import LOCK_EX, LOCK_NB, flock
from functools import partial
from pathlib import Path
from types import FrameType

import numpy as np
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from alerts.places import SENDERS, Place
from alerts.receivers import Receiver
from alerts.silences import Silence
from collector.asked import Source
from collector.bins import Bins, SeriesTable
from collector.otlp import Decoder
from collector.points import NANOS, Readings
from collector.server import Busy, Door
from collector.workloads import Workloads
from detectors.compiled import is_cached
from detectors.watch import run as the_loop
from stillwatch import aside, clock, engine, gate, kubernetes_watch, maintenance, selfwatch
from stillwatch.asking import Asker
from stillwatch.backfill import backfill
from stillwatch.blind_sources import BlindSources
from stillwatch.calendars import Calendars
from stillwatch.config import POSTGRESQL, TERMINAL, Settings
from stillwatch.couriers import Courier, have_ended, one_for_each
from stillwatch.desk import Desk
from stillwatch.doors import certificate, find_free, grpc_port, listener, serving, serving_grpc
from stillwatch.heap import clear_out
from stillwatch.heartbeat import Heart, Way, within
from stillwatch.history import History
from stillwatch.lease import Lease, lasts
from stillwatch.live import Judgement, Live
from stillwatch.mailbox import Mailbox
from stillwatch.outcry import Outcry
from stillwatch.own_metrics import OwnMetrics, Standing
from stillwatch.reloading import Reloads
from stillwatch.replaying import plan_of
from stillwatch.rollbacks import Rollbacks
from stillwatch.selftold import SelfTold
from stillwatch.slack_desk import SlackDesk
from stillwatch.sources import opened
from stillwatch.standby import Standby
from stillwatch.starting import CannotStart
from stillwatch.store import Store
from stillwatch.tables import StoreTrouble, Unreachable
from stillwatch.telling import Telling
from stillwatch.tls import Shown
from stillwatch.turns import Keeper, Role, guarded, stand_by

log = logging.getLogger(__name__)

LONGEST_GATE = 2 * 86400  # seconds: a comparison goes no further back
CLOCK = 15  # seconds after which one comes again whose time may be right and ours wrong
PULSE = 1  # seconds between calls of tick, and between rounds of delivery
LOUD = (
    "alembic",
    "apscheduler",
    "uvicorn",
    "httpx2",
    "httpcore2",
    "urllib3",
    "botocore",
    "kubernetes",
    "slack_sdk",
    "hpack",
    "numba",
)
PATIENCE = 3.0  # seconds in which a stop is over, whatever is going on


def run(settings: Settings, file: Path | None = None, read: Callable[[], Settings] | None = None) -> int:
    """Watch until SIGTERM or SIGINT. Exit status: 0 stopped, 1 could not start or go on.

    file, read: where the settings come from, to be read again on SIGHUP and when the file changes.
    """
    _log_to_stderr()
    stopping = threading.Event()
    reloads = Reloads(file, read or (lambda: settings), _usable, clock.now)
    with ExitStack() as stack:
        stack.enter_context(_handling({signal.SIGHUP: reloads.ask}))
        try:
            shared = settings.database.startswith(POSTGRESQL)
            if not shared:
                stack.enter_context(_alone(Path(settings.database)))
            store = _store(settings.database, stopping)
        except (CannotStart, StoreTrouble) as error:
            log.error("cannot start: %s", error)
            return 1
        if store is None:
            log.info("stopped")
            return 0
        stack.callback(store.close)
        house = _House(stack, store, stopping, reloads, shared)
        try:
            ended = _life(settings, house)
        except (CannotStart, StoreTrouble, ValueError) as error:
            log.error("cannot start: %s", error)
            return 1
        while isinstance(ended, Settings):
            settings, ended = _next_life(settings, ended, house)
        if house.keeper is not None and house.keeper.lost:
            ended = 1
    log.info("stopped")
    return ended


@dataclass
class _House:
    """What stays while settings change.

    shared: may there be other daemons on the database? lease: to judge and tell, once it is ours. listener,
    grpc_port: where we listen, once we do. delivering, putting_back: threads of the lives before that may not have
    ended yet, and whose work must not be done twice.
    refusal, wrong_time: what people heard of it that settings are refused, that a clock is not trusted.
    """

    stack: ExitStack
    store: Store
    stopping: threading.Event
    reloads: Reloads
    shared: bool
    lease: Lease | None = None
    keeper: Keeper | None = None
    listener: socket.socket | None = None
    grpc_port: int = 0
    delivering: list[threading.Thread] = field(default_factory=list)
    putting_back: list[threading.Thread] = field(default_factory=list)
    refusal: SelfTold = field(init=False)
    wrong_time: SelfTold = field(init=False)

    def __post_init__(self) -> None:
        say = partial(self.store.say, "")
        self.refusal, self.wrong_time = SelfTold(say), SelfTold(say)

    def listen(self, settings: Settings) -> socket.socket:
        """The same all the time: who connects between two lives waits for the next. Raises CannotStart."""
        if self.listener is None:
            self.listener = self.stack.enter_context(listener(settings.listen.host, settings.listen.port))
            self.grpc_port = grpc_port(settings.listen)
            stop = self.stopping.set
            self.stack.enter_context(_handling({signal.SIGTERM: stop, signal.SIGINT: stop}))
        return self.listener

    @property
    def where(self) -> str:
        """Where we listen, in words."""
        if self.listener is None:
            return "nothing"
        host, port = self.listener.getsockname()[:2]
        return f"{host}:{port}" + (f" (gRPC: {self.grpc_port})" if self.grpc_port else "")

    def lead(
        self, settings: Settings, standby: Standby, server: threading.Thread, cry: Outcry
    ) -> bool | Settings:
        """Stand by until it is our turn, which it stays; False where we are to end before, or other settings to go
        on with."""
        who = f"{socket.gethostname()}:{uuid.uuid4()}"
        lease = Lease(self.store, who, time.monotonic, lasts(settings.interval))
        look = partial(self.reloads.look, settings)
        ended = stand_by(lease, standby, server, cry, self.stopping, look)
        if ended is not True:
            return ended
        self.store.lead(lease.check)
        self.lease, self.keeper = lease, Keeper(lease, self.stopping)
        self.stack.callback(self.keeper.end)
        self.keeper.start()
        return True

    def put_back(self, back: Rollbacks, ending: threading.Event) -> None:
        """Ask pipelines, in a thread of its own, once those that are being asked have answered."""
        before = self.putting_back = [thread for thread in self.putting_back if thread.is_alive()]

        def work() -> None:
            if have_ended(before, ending):
                back.work(ending)

        self.putting_back = [*before, threading.Thread(target=work, name="roll back", daemon=True)]
        self.putting_back[-1].start()


def _next_life(before: Settings, fresh: Settings, house: _House) -> tuple[Settings, int | Settings]:
    """Go on with new settings as a start would; with those before where that cannot be."""
    said = ""
    while not house.stopping.wait(0 if not said else PULSE):
        for settings in (fresh, before):
            clear_out()  # what the life before had learnt is read anew
            try:
                return settings, _life(settings, house, is_new=settings is fresh)
            except (CannotStart, StoreTrouble, ValueError) as error:
                if settings is fresh and str(error) != said:
                    house.reloads.refuse(str(error))
                said = str(error)
    return before, 0


def _usable(settings: Settings) -> None:
    """Could we go on with these? Raises ValueError where not; nobody is asked or told anything."""
    try:
        certificate(settings.listen)
        _place(settings)
    except CannotStart as reason:
        raise ValueError(str(reason)) from None
    for one in settings.receivers:
        SENDERS[one.place](one, clock.now)
    for source in opened(settings.sources, settings.interval):
        source.close()


def _life(settings: Settings, house: _House, is_new: bool = False) -> int | Settings:
    """Watch with these settings. Returns an exit status, or other settings to go on with.

    Raises CannotStart, StoreTrouble or ValueError where it does not come to that.
    """
    store, ending = house.store, threading.Event()
    with ExitStack() as stack:
        stack.callback(ending.set)
        shown = certificate(settings.listen)
        hold = Telling(settings, store.told).hold
        back = Rollbacks(store, settings.rollbacks, clock.now)
        history = History(store, _pressable(settings), _planned(settings), hold, back)
        told = judgement(settings, store, history)
        place, channel = _place(settings)
        places = [SENDERS[one.place](one, clock.now) for one in settings.receivers]
        cry = _outcry(settings, place, places)
        sources = opened(settings.sources, settings.interval)
        own = stack.enter_context(_measured(settings))
        way = _way_to_slack(settings)
        heard = None if way is None else way.went
        place = replace(place, sender=own.counting(place.sender, _kind(settings), heard))
        places = [
            replace(one, sender=own.counting(one.sender, receiver.address))
            for receiver, one in zip(settings.receivers, places, strict=True)
        ]
        standby = Standby(store, settings.interval, settings.grace)
        role = Role(standby, house.shared)
        health = partial(_health, settings, role, store, house.reloads)
        desk = Desk(
            history,
            clock.now,
            lambda word: role.taker.word(word, clock.now()),
            lambda: health() | {"newest": role.taker.newest()},
            back,
            lambda since: role.taker.deployed(since),
        )
        in_slack = _in_slack(settings, desk)
        door = replace(_door(settings, store, role, desk, in_slack, health), own=own.text)
        doors, server = stack.enter_context(ExitStack()), None
        if house.shared and house.lease is None:
            _warm_up(settings)  # not when it is our turn
            server = doors.enter_context(_open(door, settings, house, shown))
            log.info("listening on %s", house.where)
            if is_new:
                house.reloads.took()
                is_new = False
            led = house.lead(settings, standby, server, cry)
            if led is not True:
                return led or _ended(server)
        if house.lease is not None:
            place, *places = (guarded(one, house.lease) for one in (place, *places))
        live = _begin(settings, house, told, sources, history, own)
        if live is None:
            return 0
        role.taker = live
        if server is None:
            if house.listener is None:
                find_free(settings.listen)  # who is in the way is said at once, not after compiling
            _warm_up(settings)
            server = doors.enter_context(_open(door, settings, house, shown))
        couriers = one_for_each(
            settings, Mailbox(store, history), place, places, ending, history.refresh, house.delivering
        )
        house.put_back(back, ending)
        role.askers = askers = [Asker(source, live, clock.now, ending) for source in sources]
        role.heart = heart = _heart(settings, live, store, way)
        blind = BlindSources(askers, store, history, settings.default, settings.interval, clock.now)
        own.watch(partial(_standing, live, store, askers, heart, house.reloads))
        with _ticking(live) as bring_near:
            _listen_to_slack(settings, in_slack, ending)
            _watch_kubernetes(settings, live, ending)
            threading.Thread(target=blind.work, args=[ending], name="blind sources", daemon=True).start()
            if heart is not None:
                threading.Thread(target=heart.work, args=[ending], name="heartbeat", daemon=True).start()
            log.info(
                "watching (%s), listening on %s, telling %s",
                f"signals: {len(settings.signals) or 'found by metric names'}",
                house.where,
                ", ".join((channel, *(one.address for one in settings.receivers))),
            )
            if is_new:
                house.reloads.took()
            ended = _wait(
                settings,
                house,
                server,
                (*couriers, *askers),
                partial(_look_at_ourselves, settings, house, live, cry, bring_near),
            )
            ending.set()
            doors.close()
        # Another life must not begin while a step of this one is under way.
        live.stop(PATIENCE if isinstance(ended, int) else -1)
        house.delivering = [thread for courier in couriers for thread in courier.threads]
        if isinstance(ended, int):
            deadline = time.monotonic() + 1.0
            workers: list[Courier | Asker] = [*couriers, *askers]
            for worker in workers:
                worker.join(max(0.0, deadline - time.monotonic()))
    return ended


def _store(database: str, stopping: threading.Event) -> Store | None:
    """Waits for a server that does not answer yet; None: we were stopped meanwhile. Raises StoreTrouble."""
    said = ""
    with _handling({signal.SIGTERM: stopping.set, signal.SIGINT: stopping.set}):
        while not stopping.is_set():
            try:
                return Store(database)
            except Unreachable as away:
                if str(away) != said:
                    log.error("waiting for the database: %s", away)
                said = str(away)
            stopping.wait(PULSE)
    return None


def _outcry(settings: Settings, place: Place, places: Sequence[Place]) -> Outcry:
    """Past the outbox, to who hears of ourselves."""
    own = {one.address: there for one, there in zip(settings.receivers, places, strict=True)}
    words = partial(selfwatch.stranded, settings.default, socket.gethostname())
    return Outcry(own.get(settings.default, place).sender.send, words, max(2 * settings.interval, 10))


def _begin(
    settings: Settings,
    house: _House,
    told: Judgement,
    sources: Sequence[Source],
    history: History,
    own: OwnMetrics,
) -> Live | None:
    """The watch, as it went on until now. None: we were stopped meanwhile. Raises StoreTrouble, CannotStart."""
    store = house.store
    while True:
        try:
            _fill_in(settings, store, told, sources, house.stopping)
            if house.stopping.is_set():
                log.info("the next start goes on with the history of sources")
                return None
            live = Live(
                store,
                told,
                settings.interval,
                settings.grace,
                clock.now(),
                settings.limits,
                naming=settings.naming,
                stage=own.stage,
                keep=settings.keep,
            )
            history.adopt(live.open_incidents)
            return live
        except Unreachable as away:
            log.error("waiting for the database: %s", away)
        if house.stopping.wait(PULSE):
            return None


def judgement(settings: Settings, store: Store, history: History) -> Judgement:
    """How these settings turn closed intervals into news. history: what people said of incidents."""
    return Judgement(
        plan=partial(plan_of, settings),
        news=Telling(settings, store.told, history).news,
        sight=partial(selfwatch.sight, settings.default),
        waits=settings.waits,
    )


def _warm_up(settings: Settings) -> None:
    """The step compiles itself when it is first taken, once on each machine: better now than in a tick."""
    begun = time.monotonic()
    if not is_cached(the_loop):
        log.info("compiling the detectors, once on this machine; the door opens in about half a minute")
    width = settings.interval
    nothing = Bins(0, width, np.array([width]), np.full((1, 0), np.nan), np.ones(1, dtype=np.bool_))
    engine.advance(engine.State.empty(), nothing, (), plan_of(settings, SeriesTable()))
    if time.monotonic() - begun > 3:
        log.info("compiled the detectors in %.0f s; the next start is quicker", time.monotonic() - begun)


def _place(settings: Settings) -> tuple[Place, str]:
    """Where messages go that no receiver takes, and what to call it in the log. Raises CannotStart, ValueError."""
    slack = settings.slack
    if settings.routes and slack.token and settings.default == TERMINAL:
        raise CannotStart("there are routes, but no `slack: {channel: ...}` for what none of them matches")
    if slack.token and settings.default != TERMINAL:
        return SENDERS["slack"](Receiver("slack", "slack", slack.base_url, slack.token), clock.now), (
            f"Slack's {slack.channel}" if slack.channel else "Slack"
        )
    nobody = Receiver(TERMINAL, TERMINAL)
    return SENDERS[TERMINAL](nobody, clock.now), "this terminal (no Slack token and channel are set)"


def _kind(settings: Settings) -> str:
    """What _place leads to."""
    return "slack" if settings.slack.token and settings.default != TERMINAL else TERMINAL


def _way_to_slack(settings: Settings) -> Way | None:
    if _kind(settings) != "slack":
        return None
    from alerts.slack import Slack

    return Way(Slack(settings.slack.token, settings.slack.base_url).who, clock.now)


def _heart(settings: Settings, live: Live, store: Store, way: Way | None) -> Heart | None:
    wanted = settings.heartbeat
    if wanted is None:
        return None
    longest = within(settings.interval, settings.grace)
    return Heart(wanted, live.figures, longest, Mailbox(store), way, clock.now)


def _verdict(settings: Settings, store: Store, written: Mapping[str, str]) -> Mapping[str, object]:
    asked = gate.question(written)
    try:
        table, bins, _ = store.export(max(asked.since, clock.now() - LONGEST_GATE))
    except Unreachable as away:
        raise Busy from away
    except StoreTrouble:  # nothing was recorded since
        return gate.answer(asked, None, plan_of(settings, SeriesTable()))
    return gate.answer(asked, bins, plan_of(settings, table, at_once=True))


def _fill_in(
    settings: Settings,
    store: Store,
    told: Judgement,
    sources: Sequence[Source],
    stopping: threading.Event,
) -> None:
    """The history of our sources, before the first start. A stop meanwhile ends it, and the next start goes on."""
    if any(source.history for source in sources):
        _warm_up(settings)
    with _handling({signal.SIGTERM: stopping.set, signal.SIGINT: stopping.set}):
        try:
            backfill(
                store,
                told,
                sources,
                settings.interval,
                settings.grace,
                settings.limits,
                clock.now,
                stopping,
            )
        except Busy as busy:
            raise CannotStart(f"the history of sources cannot be kept: {busy.__cause__}") from None


def _health(settings: Settings, role: Role, store: Store, reloads: Reloads) -> dict[str, object]:
    now = clock.now()
    told, mailbox = role.taker.health(now) | {"role": role.name}, Mailbox(store)
    watermark = int(str(told["watermark"]))
    told["sources"] = {asker.name: asker.health() for asker in role.askers}
    told["settings"] = reloads.health()
    told["clock"] = _wrong_time(settings, watermark, now)
    told["ok"] = bool(told["ok"]) and watermark - now <= settings.interval
    if role.heart is not None:
        told["heartbeat"] = role.heart.health()
    # No reason to say that we are not well: whoever starts us anew for that would blind all other signals.
    told["failing"] = {asker.name: asker.failing_since for asker in role.askers if asker.failing_since}
    try:
        return told | {"outbox": mailbox.depth(now), "not_taken": mailbox.not_taken()}
    except StoreTrouble as trouble:
        return told | {"ok": False, "trouble": str(trouble)}


def _measured(settings: Settings) -> AbstractContextManager[OwnMetrics]:
    if not settings.telemetry.url:
        return nullcontext(OwnMetrics(clock.now))
    from stillwatch.telemetry import sending  # costs a fifth of a second

    return sending(settings.telemetry, clock.now)


def _standing(
    live: Live, store: Store, askers: Sequence[Asker], heart: Heart | None, reloads: Reloads
) -> Standing:
    """All that /metrics says of how we fare."""
    now, mailbox = clock.now(), Mailbox(store)
    figures = live.figures(now)
    fares = {asker.name: asker.health() for asker in askers}
    try:
        waiting, given_up = mailbox.waiting_since(now), mailbox.given_up()
    except StoreTrouble as trouble:
        figures, waiting, given_up = replace(figures, trouble=str(trouble)), [], 0
    return Standing(
        now,
        figures,
        waiting,
        given_up,
        {name: int(of["answered"]) for name, of in fares.items()},
        {name: int(not of["ok"]) for name, of in fares.items()},
        {} if heart is None else dict(heart.counts),
        dict(reloads.counts),
        bool(reloads.refused),
    )


def _in_slack(settings: Settings, desk: Desk) -> SlackDesk:
    """What is done of that which is pressed and typed in Slack."""

    def answer(address: str, text: str) -> None:
        from alerts.slack_answer import answer  # slack-sdk costs a fifth of a second

        answer(address, settings.slack.base_url, text)

    return SlackDesk(desk, answer, partial(aside.explain, settings), settings.slack.signing_secret, clock.now)


def _planned(settings: Settings) -> Callable[[int], Sequence[Silence]]:
    """The silences of maintenance at a moment."""
    calendars = Calendars(settings.timezone)
    return lambda now: maintenance.active(settings.maintenance, now, settings.timezone, calendars.events)


def _pressable(settings: Settings) -> bool:
    """Do cards go to Slack, and can presses of their buttons reach us?"""
    slack = settings.slack
    return bool(slack.token and slack.channel and (slack.app_token or slack.signing_secret))


def _listen_to_slack(settings: Settings, in_slack: SlackDesk, stopping: threading.Event) -> None:
    """In threads of their own: alerts depend on neither."""
    slack = settings.slack
    if not slack.app_token and not slack.signing_secret:
        return
    threading.Thread(target=in_slack.work, args=[stopping], name="pressed", daemon=True).start()
    if slack.app_token:
        from alerts.slack_socket import Socket

        link = Socket(slack.app_token, slack.base_url, in_slack.take)
        threading.Thread(target=link.run, args=[stopping], name="socket", daemon=True).start()


def _watch_kubernetes(settings: Settings, live: Live, stopping: threading.Event) -> None:
    """In threads of its own: neither the tick nor the door waits for a cluster."""
    of = settings.kubernetes
    if of is None:
        return
    try:
        api = kubernetes_watch.client(of.kubeconfig)
    except kubernetes_watch.NoClient as reason:
        log.error("kubernetes is not watched: %s", reason)
        return
    kubernetes_watch.KubernetesWatch(
        api,
        Workloads(of.services, of.environment),
        lambda told: live.deployments(told, clock.now()),
        clock.now,
        stopping,
        of.namespaces,
    ).start()


def _door(
    settings: Settings,
    store: Store,
    role: Role,
    desk: Desk,
    in_slack: SlackDesk,
    health: Callable[[], dict[str, object]],
) -> Door:
    return Door(
        metrics=partial(_counted, role),
        processes=lambda: role.taker.processes(),
        deployments=lambda told: role.taker.deployments(told, clock.now()),
        clock=clock.now,
        health=health,
        gate=partial(_verdict, settings, store),
        desk=desk.answer,
        slack=in_slack.over_http if settings.slack.signing_secret else None,
        decode=Decoder(settings.choice).decode,
        webhooks=settings.webhooks,
        tokens=settings.listen.tokens,
        open=settings.listen.open,
    )


def _counted(role: Role, readings: Readings) -> Mapping[str, int]:
    doubted = clock.THE_CLOCK.doubt and len(readings) > 0  # else nobody asks what time the sender has
    if doubted and not clock.THE_CLOCK.counted_until(float(readings.time.max()) / NANOS):
        raise Busy(CLOCK)
    return role.taker.readings(readings, clock.now())


@contextmanager
def _ticking(live: Live) -> Iterator[Callable[[], None]]:
    """What it gives is to be called about once a second: the scheduler goes by moments of the day, so that the next
    tick would be hours away where the clock of the machine went back by hours."""
    scheduler = BackgroundScheduler(
        executors={"default": ThreadPoolExecutor(1)},
        # By default a call that is a second late is left out; tick asks what is due, so late is harmless.
        job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        timezone="UTC",
    )
    job = scheduler.add_job(lambda: live.tick(clock.now()), "interval", seconds=PULSE)

    def bring_near() -> None:
        machine = datetime.now(UTC)
        if job.next_run_time - machine > timedelta(seconds=2 * PULSE):
            job.modify(next_run_time=machine)

    scheduler.start()
    try:
        yield bring_near
    finally:
        scheduler.shutdown(wait=False)


def _look_at_ourselves(
    settings: Settings, house: _House, live: Live, cry: Outcry, bring_near: Callable[[], None]
) -> None:
    """Once a second: what is wrong with us, for who hears of ourselves; and is the next tick near?"""
    bring_near()
    now = clock.now()
    cry.look(live.trouble, now)
    with suppress(StoreTrouble):  # said when the database can be used
        house.refusal.look(house.reloads.refused, now, partial(selfwatch.settings, settings.default))
        wrong = _wrong_time(settings, live.figures(now).watermark, now)
        house.wrong_time.look(wrong, now, partial(selfwatch.time_of_day, settings.default))


def _wrong_time(settings: Settings, watermark: int, now: int) -> str:
    """What is wrong with the time of day, "" = nothing. watermark: start of the interval that is open."""
    if watermark - now <= settings.interval:
        return clock.THE_CLOCK.doubt
    closed = datetime.fromtimestamp(watermark, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"it went back: intervals until {closed} are closed already, and none is judged until then"


def _wait(
    settings: Settings,
    house: _House,
    server: threading.Thread,
    workers: Sequence[Courier | Asker],
    look: Callable[[], None],
) -> int | Settings:
    """Until we are to stop (an exit status) or to go on with other settings. look: is called once a second."""
    while True:
        look()
        for worker in workers:
            worker.keep_going()
        if house.stopping.wait(PULSE):
            return 0
        if not server.is_alive():
            return _ended(server)
        fresh = house.reloads.look(settings)
        if fresh is not None:
            return fresh


def _ended(server: threading.Thread) -> int:
    """The exit status: of a stop that somebody wanted, or because the door is gone."""
    if server.is_alive():
        return 0
    log.error("the door is gone; ending, so that whoever supervises us starts us again")
    return 1


@contextmanager
def _open(door: Door, settings: Settings, house: _House, shown: Shown | None) -> Iterator[threading.Thread]:
    """The thread that serves, over HTTP and gRPC. Raises CannotStart."""
    listener = house.listen(settings)
    if shown is None and settings.listen.exposed and settings.listen.tokens.wanted:
        log.warning("tokens come in the clear; set `listen: {tls: ...}`, or have a proxy with TLS before us")
    with (
        serving(door, listener, shown) as server,
        serving_grpc(door, settings, house.grpc_port, shown),
    ):
        yield server


@contextmanager
def _alone(database: Path) -> Iterator[None]:
    """Two daemons on one database would tell everything twice."""
    if not database.parent.is_dir():
        raise CannotStart(f"{database}: the folder {database.parent} does not exist")
    with ExitStack() as stack:
        try:
            mark = stack.enter_context(database.with_name(database.name + ".lock").open("w"))
            flock(mark, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise CannotStart(f"another Stillwatch runs on {database}") from None
        except OSError as error:  # no permission, a file system that is read-only, a disk that fails
            raise CannotStart(
                f"{database.parent}: cannot be written ({error.strerror}); Stillwatch goes on where it was when it "
                "is started and can write there"
            ) from None
        yield


@contextmanager
def _handling(handlers: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """What is done when these signals come."""

    def handler(do: Callable[[], None]) -> Callable[[int, FrameType | None], None]:
        return lambda number, frame: do()

    before = {number: signal.signal(number, handler(do)) for number, do in handlers.items()}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _log_to_stderr() -> None:
    logging.basicConfig(format="%(asctime)sZ %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    logging.Formatter.converter = time.gmtime
    logging.getLogger().setLevel(logging.INFO)
    # Some of them would write addresses that are secrets, as soon as somebody lowers the level.
    for loud in LOUD:
        logging.getLogger(loud).setLevel(logging.ERROR)
