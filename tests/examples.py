"""Incidents as they happen, made up: the same words, pictures and lines are tested with them.

In: nothing. Out: events by name in `EVENTS`. Never: chance that is not seeded, a clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.harm import Lasting, Severity
from alerts.incidents import Event, Incident
from alerts.rollbacks import Way
from alerts.suspects import Suspect
from collector.deployments import Deployment
from detectors.findings import Finding, Trace
from detectors.signals import Signal, Term

WAYS = {
    name: Way("https://ci.example/roll-back")
    for name in ("contact-importer", "event-parser", "image-resizer")
}
MIDNIGHT = 1_649_808_000  # 13 April 2022, 00:00 UTC
MIN = 60


def at(clock: str) -> int:
    """`06:33` of that day in epoch seconds."""
    hours, minutes = clock.split(":")
    return MIDNIGHT + int(hours) * 3600 + int(minutes) * MIN


IMPORTS = Signal(
    "contact-importer",
    "imports",
    "error_ratio",
    (Term("contact-importer", "imports_failed"),),
    (Term("contact-importer", "imports_started"),),
    owner="imports-team",
)
OPENS = Signal(
    "event-parser", "opens", "throughput", (Term("event-parser", "opens_stored"),), owner="events-team"
)
OPENS_KEPT = Signal(
    "event-parser",
    "opens_kept",
    "flow",
    (Term("event-parser", "opens_stored"),),
    (Term("mail-sender", "emails_delivered"),),
    within=48 * 3600,
    owner="events-team",
)
PARSING = Signal(
    "event-parser",
    "parsing",
    "error_ratio",
    (Term("event-parser", "events_failed"),),
    (Term("event-parser", "events_received"),),
    owner="events-team",
)
RESIZING = Signal(
    "image-resizer",
    "resizing",
    "error_ratio",
    (Term("image-resizer", "resizes_failed"),),
    (Term("image-resizer", "resizes"),),
    owner="images-team",
    split_by=("path",),
)
SIDE_BY_SIDE = replace(RESIZING, name="side_by_side", kind="rollout", split_by=())


def member(service: str, version: str, previous: str, author: str, description: str) -> Deployment:
    """A member of the release of 06:31."""
    return Deployment(
        "release-20220413-0631",
        at("06:31"),
        service,
        version,
        previous,
        "production",
        "https://deploys.example/release-20220413-0631",
        author=author,
        description=description,
    )


IMPORTER = member("contact-importer", "3.45.0", "3.44.0", "imports-team", "fix for empty mapped fields")
PARSER = member("event-parser", "2.13.0", "2.12.0", "events-team", "new processing of open events")
SENDER = member("mail-sender", "5.23.0", "5.22.0", "sending-team", "updated libraries")
RESIZER = Deployment(
    "image-resizer-20220413-0757",
    at("07:57"),
    "image-resizer",
    "1.31.0",
    "1.30.0",
    "production",
    "https://deploys.example/image-resizer-20220413-0757",
    author="images-team",
    description="new framework version",
)
IMPORTER_BACK = replace(
    IMPORTER,
    id="contact-importer-20220413-0645",
    time=at("06:45"),
    version="3.44.0",
    previous_version="3.45.0",
    kind="rollback",
    url="https://deploys.example/contact-importer-20220413-0645",
)
PARSER_BACK = replace(
    PARSER,
    id="event-parser-20220413-0705",
    time=at("07:05"),
    version="2.12.0",
    previous_version="2.13.0",
    kind="rollback",
    url="https://deploys.example/event-parser-20220413-0705",
)


def trace(
    end: int,
    usual: float,
    fault: float,
    began: int,
    over: int = 0,
    *,
    out_of: float = np.nan,
    before: int = 45,
    seed: int = 1,
) -> Trace:
    """Minutes up to `end`: about `usual` events each, about `fault` from `began` until `over`."""
    start = began - before * MIN
    count = (end - start) // MIN
    times = start + MIN * np.arange(count)
    wave = 1 + 0.08 * np.sin(np.arange(count) / 17)
    expected = usual * wave
    faulty = (times >= began) & ((over == 0) | (times < over))
    rng = np.random.default_rng(seed)
    observed = rng.poisson(np.where(faulty, fault * wave, expected)).astype(np.float64)
    sd = np.sqrt(expected + (0.03 * expected) ** 2)
    whole: NDArray[np.float64] = out_of * wave
    return Trace(
        start, MIN, observed, expected, np.maximum(expected - 2 * sd, 0), expected + 2 * sd, np.round(whole)
    )


def finding(signal: Signal, kind: Any, clock: str, onset: str, **parts: Any) -> Finding:
    """A raised finding with an interval around what was lost; `parts` replace fields."""
    lost = float(parts.get("lost", 0.0))
    given: dict[str, Any] = {
        "observed": 0.0,
        "expected": 0.0,
        "lost": lost,
        "lost_low": round(lost * 0.96),
        "lost_high": round(lost * 1.04),
        "out_of": 0.0,
        "strength": 40.0,
    }
    given.update(parts)
    began = at(onset)
    return Finding(signal, kind, given.pop("phase", "raised"), at(clock), began, began - MIN, began, **given)


def imports_fail(clock: str = "06:37", **parts: Any) -> Finding:
    given = {
        "observed": 55.0,
        "expected": 0.6,
        "out_of": 178.0,
        "lost": 54.4,
        "lost_low": 41.0,
        "lost_high": 55.0,
        "versions": (("3.44.0", 0.0, 6.0), ("3.45.0", 55.0, 172.0)),
        "trace": trace(at(clock), 0.15, 14, at("06:33"), out_of=44, seed=2),
    }
    return finding(IMPORTS, "error_spike", clock, "06:33", **{**given, **parts})


def opens_lost(clock: str = "06:38", **parts: Any) -> Finding:
    given = {
        "observed": 13_400.0,
        "expected": 16_850.0,
        "out_of": 16_850.0,
        "lost": 3_450.0,
        "lost_low": 3_180.0,
        "lost_high": 3_730.0,
        "trace": trace(at(clock), 3400, 2700, at("06:33"), seed=3),
    }
    return finding(OPENS_KEPT, "data_loss", clock, "06:33", **{**given, **parts})


def incident(
    findings: tuple[Finding, ...],
    severity: Severity = "critical",
    suspects: tuple[Suspect, ...] = (),
    **parts: Any,
) -> Incident:
    none = 1.0 - sum(s.probability for s in suspects)
    told = min(at("06:37"), *(f.at for f in findings)) if len(findings) > 1 else findings[0].at
    return Incident("5f3c9a1b2d4e", told, severity, findings, suspects, none, **parts)


def opened(it: Incident, clock: str, **parts: Any) -> Event:
    return Event(at(clock), "opened", "", it, 1, **parts)


def error_spike() -> Event:
    suspect = Suspect(
        IMPORTER, 0.97, ("deployed 2 min before it began", "version 3.45.0 fails, the others do not")
    )
    it = incident((imports_fail(),), suspects=(suspect,))
    return opened(it, "06:37", bystanders=(PARSER, SENDER))


def data_loss() -> Event:
    suspects = (
        Suspect(PARSER, 0.94, ("deployed 2 min before it began",)),
        Suspect(SENDER, 0.02, ("deployed 2 min before it began", "it feeds the service")),
    )
    return opened(incident((opens_lost(),), suspects=suspects), "06:38", bystanders=(IMPORTER,))


def no_data() -> Event:
    stopped = finding(
        OPENS,
        "no_data",
        "06:40",
        "06:33",
        expected=23_800.0,
        lost=23_800.0,
        out_of=23_800.0,
        lost_low=21_000.0,
        lost_high=26_600.0,
        trace=_hole(trace(at("06:40"), 3400, 0, at("06:33"), seed=4)),
    )
    suspect = Suspect(PARSER, 0.88, ("deployed 2 min before it began",))
    return opened(incident((stopped,), suspects=(suspect,)), "06:40", bystanders=(IMPORTER, SENDER))


def _hole(of: Trace) -> Trace:
    """Not measured from 06:33 on."""
    times = of.start + of.width * np.arange(len(of.observed))
    return replace(of, observed=np.where(times >= at("06:33"), np.nan, of.observed))


def trickle() -> Event:
    few = finding(
        RESIZING,
        "error_spike",
        "08:16",
        "08:04",
        observed=57.0,
        expected=5.1,
        out_of=8_290.0,
        lost=51.9,
        lost_low=38.0,
        lost_high=66.0,
        slice=(("path", "editor"),),
        slice_share=(0.97, 0.08),
        trace=trace(at("08:16"), 0.4, 4.7, at("08:04"), out_of=690, seed=5),
    )
    suspects = (
        Suspect(RESIZER, 0.86, ("deployed 7 min before it began",)),
        Suspect(IMPORTER_BACK, 0.01, ("deployed 79 min before it began", "another service")),
    )
    return opened(incident((few,), "warning", suspects), "08:16")


def trickle_lasts() -> Event:
    """It is no blip, which is said to whoever takes it for one."""
    few = replace(trickle().incident.findings[0], phase="standing", seen=at("08:16"))
    lasting = Lasting("image-resizer", "resizing", "error_spike", 12 * MIN, 3 * MIN, 9, 9)
    suspects = trickle().incident.suspects
    it = replace(incident((few,), "critical", suspects), lasting=lasting, opened=at("08:06"), events=2)
    return Event(at("08:16"), "updated", "lasting", it, 2, rose=True)


def usual_blip() -> Event:
    """What the service shows at each of its deployments."""
    few = finding(
        RESIZING,
        "error_spike",
        "08:00",
        "07:58",
        observed=31.0,
        expected=0.8,
        out_of=1_380.0,
        lost=30.2,
        lost_low=21.0,
        lost_high=40.0,
        seen=at("08:00"),
        trace=trace(at("08:00"), 0.4, 16, at("07:58"), out_of=690, seed=5),
    )
    why = (
        "deployed 60 s before it began",
        "blips at every deployment: 8 of the last 9 ended within 3 minutes",
    )
    return opened(incident((few,), "info", (Suspect(RESIZER, 0.99, why),)), "08:00")


def comes_and_goes() -> Event:
    """As before once more, and not taken for over yet."""
    over: dict[str, Any] = {
        "phase": "cleared",
        "cleared": "recovered",
        "recovered": at("08:02"),
        "at": at("08:07"),
    }
    few = replace(usual_blip().incident.findings[0], **over)
    it = incident((few,), "warning")
    it = replace(it, pause=11 * MIN, returns=2, due=at("08:24"), opened=at("07:32"), events=6)
    return Event(at("08:07"), "updated", "recovering", it, 6)


def bad_version() -> Event:
    new = finding(
        SIDE_BY_SIDE,
        "rollout",
        "08:12",
        "07:57",
        observed=31.0,
        expected=1.2,
        out_of=1_480.0,
        lost=29.8,
        lost_low=20.0,
        lost_high=40.0,
        version="1.31.0",
        versions=(("1.30.0", 9.0, 11_900.0), ("1.31.0", 31.0, 1_480.0)),
        trace=trace(at("08:12"), 0.1, 2.1, at("07:57"), out_of=99, before=10, seed=6),
    )
    why = ("deployed as it began", "version 1.31.0 fails, the others do not")
    return opened(incident((new,), "warning", (Suspect(RESIZER, 0.96, why),)), "08:12")


BOTH = (
    Suspect(IMPORTER, 0.49, ("deployed 2 min before it began", "version 3.45.0 fails, the others do not")),
    Suspect(PARSER, 0.48, ("deployed 2 min before it began",)),
)


def joined() -> Event:
    """Opens are lost as well: the same release."""
    it = incident((imports_fail("06:38", phase="standing", observed=69.0), opens_lost()), suspects=BOTH)
    return Event(at("06:38"), "updated", "joined", it, 2, True, (SENDER,))


def grew() -> Event:
    lost = opens_lost(
        "06:52",
        phase="standing",
        observed=51_000.0,
        expected=64_600.0,
        out_of=64_600.0,
        lost=13_600.0,
        lost_low=12_900.0,
        lost_high=14_300.0,
        trace=trace(at("06:52"), 3400, 2700, at("06:33"), seed=3),
    )
    it = incident((imports_over(), lost), suspects=BOTH, rollbacks=(IMPORTER_BACK,))
    return Event(at("06:52"), "updated", "grew", it, 4, bystanders=(SENDER,))


def imports_over() -> Finding:
    return imports_fail(
        "06:48",
        phase="cleared",
        cleared="recovered",
        recovered=at("06:46"),
        observed=180.0,
        expected=2.0,
        out_of=590.0,
        lost=178.0,
        lost_low=150.0,
        lost_high=181.0,
        trace=trace(at("06:48"), 0.15, 14, at("06:33"), at("06:46"), out_of=44, seed=2),
    )


def recovering() -> Event:
    """Imports succeed again, opens are still lost."""
    it = incident(
        (
            imports_over(),
            opens_lost("06:48", phase="standing", lost=10_200.0, lost_low=9_600.0, lost_high=10_900.0),
        ),
        suspects=BOTH,
        rollbacks=(IMPORTER_BACK,),
    )
    return Event(at("06:48"), "updated", "recovering", it, 3, bystanders=(SENDER,))


def rolled_back() -> Event:
    lost = opens_lost(
        "07:09",
        phase="cleared",
        cleared="recovered",
        recovered=at("07:06"),
        observed=72_200.0,
        expected=109_900.0,
        out_of=109_900.0,
        lost=37_700.0,
        lost_low=36_200.0,
        lost_high=39_100.0,
        trace=trace(at("07:09"), 3400, 2200, at("06:33"), at("07:06"), seed=3),
    )
    suspects = tuple(replace(s, evidence=(*s.evidence, "putting it back ended it")) for s in BOTH)
    it = incident(
        (imports_over(), lost),
        suspects=suspects,
        rollbacks=(IMPORTER_BACK, PARSER_BACK),
        resolved=at("07:09"),
    )
    return Event(at("07:09"), "resolved", "rollback", it, 5, bystanders=(SENDER,))


def late_data() -> Event:
    came = opens_lost(
        "07:20",
        phase="cleared",
        cleared="late_data",
        recovered=at("07:19"),
        lost=0.0,
        lost_low=0.0,
        lost_high=240.0,
        late=12_000.0,
        trace=trace(at("07:20"), 3400, 3400, at("06:33"), seed=7),
    )
    it = replace(incident((came,), resolved=at("07:20")), opened=at("06:38"))
    return Event(at("07:20"), "resolved", "late_data", it, 2)


def no_deployment() -> Event:
    it = incident((imports_fail(versions=()),), suspects=(Suspect(SENDER, 0.04, ("another service",)),))
    return opened(it, "06:37", bystanders=(IMPORTER, PARSER))


def went_on() -> Event:
    """The wrong one was put back; who is suspected now is of the same release."""
    late = imports_fail(
        "07:20",
        phase="standing",
        observed=610.0,
        expected=6.0,
        out_of=1_980.0,
        lost=604.0,
        lost_low=560.0,
        lost_high=606.0,
    )
    suspects = (
        Suspect(SENDER, 0.62, ("deployed 2 min before it began", "the service depends on it")),
        Suspect(
            IMPORTER,
            0.21,
            (
                "deployed 2 min before it began",
                "the version before it fails as well",
                "it went on after it was put back",
            ),
        ),
    )
    it = incident((late,), suspects=suspects, rollbacks=(IMPORTER_BACK,))
    return Event(at("07:20"), "updated", "suspect", it, 3, bystanders=(PARSER,))


def young() -> Event:
    few = replace(OPENS, name="opens")
    less = finding(
        few,
        "data_loss",
        "06:40",
        "06:33",
        observed=900.0,
        expected=1400.0,
        lost=500.0,
        out_of=1400.0,
        young=True,
        trace=trace(at("06:40"), 200, 128, at("06:33"), before=20),
    )
    return opened(incident((less,), "info"), "06:40")


def crowd(over: int = 0, clock: str = "14:09") -> tuple[Finding, ...]:
    """200 services fail requests from 14:02 on, 14 of them lose what they store as well; the first `over` are as
    before."""
    found = []
    for i in range(200):
        name, owner = f"service-{i:03}", f"team-{i % 7}"
        failing = Signal(
            name, "failing", "error_ratio", (Term(name, "errors"),), (Term(name, "requests"),), owner=owner
        )
        storing = Signal(
            name, "storing", "flow", (Term(name, "stored"),), (Term(name, "received"),), 300, owner=owner
        )
        ends: dict[str, Any] = {"phase": "cleared", "cleared": "recovered", "recovered": at("15:03")}
        parts = ends if i < over else {}
        number = 40.0 + 10 * i
        given = {"observed": number, "expected": 1.0, "out_of": 2 * number, **parts}
        found.append(finding(failing, "error_spike", clock, "14:02", lost=number - 1, **given))
        if i % 14 == 13:
            given = {"observed": 5.0, "expected": number, "out_of": number, **parts}
            found.append(finding(storing, "data_loss", clock, "14:03", lost=number - 5, **given))
    return tuple(found)


def together() -> Event:
    incident = Incident("5d10c1a7e9b3", at("14:04"), "critical", crowd(), (), 1.0, failing=200)
    return Event(at("14:04"), "opened", "", incident)


def together_half() -> Event:
    incident = replace(together().incident, findings=crowd(120, "15:06"), failing=80, events=3)
    return Event(at("15:06"), "updated", "recovering", incident, 3)


def together_over() -> Event:
    incident = replace(together().incident, findings=crowd(200, "15:09"), resolved=at("15:09"), events=4)
    return Event(at("15:09"), "resolved", "recovered", incident, 4)


EVENTS: dict[str, Callable[[], Event]] = {
    "error_spike": error_spike,
    "data_loss": data_loss,
    "no_data": no_data,
    "trickle": trickle,
    "trickle_lasts": trickle_lasts,
    "usual_blip": usual_blip,
    "comes_and_goes": comes_and_goes,
    "bad_version": bad_version,
    "joined": joined,
    "recovering": recovering,
    "grew": grew,
    "rolled_back": rolled_back,
    "late_data": late_data,
    "no_deployment": no_deployment,
    "went_on": went_on,
    "young": young,
    "together": together,
    "together_half": together_half,
    "together_over": together_over,
}
