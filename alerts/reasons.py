"""Why a deployment is suspected, or is not any more: short sentences. Pure.

In: a suspect, the findings, the other deployments. Out: sentences without a capital letter or a full stop, the
delay first. Never: a clue that was not weighed (see clues.py); an escaped word (see blame.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alerts import clues
from alerts.blips import Habit
from collector.deployments import Deployment
from detectors.findings import Finding

SAYS = 3.0  # how many times as likely a clue has to make it, or it the clue, to be worth a sentence


def reasons(
    deployment: Deployment,
    findings: Sequence[Finding],
    known: Sequence[Deployment],
    back: int,
    width: int,
    habits: Mapping[Deployment, Habit],
) -> tuple[str, ...]:
    """known: all deployments; back: when it was put back, 0 = it was not; width: seconds of an interval;
    habits: where services blip as usual."""
    own = [f for f in findings if f.signal.service == deployment.service]
    first = min(own or findings, key=lambda f: f.onset)
    said = [_delay(first.onset - deployment.time)]
    if deployment.seen:
        said.append("nobody told of it: it was seen to serve")
    if not own:
        said.append(_tie(deployment.service, findings))
    if deployment in habits:
        said.append(_blips(habits[deployment]))
    said += _versions(deployment, own)
    said += _instances(deployment, own, known, width)
    said += _end(back, clues.last(own or findings), width)
    said += _others(deployment, own, findings, known)
    return tuple(said)


def _delay(seconds: int) -> str:
    if seconds <= 0:
        return "deployed as it began"
    if seconds < 120:
        return f"deployed {seconds} s before it began"
    if seconds < 7200:
        return f"deployed {seconds // 60} min before it began"
    if seconds < 48 * 3600:
        return f"deployed {seconds / 3600:.0f} h before it began"
    return f"deployed {seconds / 86400:.0f} days before it began"


def _tie(service: str, findings: Sequence[Finding]) -> str:
    if service in clues.feeds(findings):
        return "it feeds the service"
    return "the service depends on it" if service in clues.needed(findings) else "another service"


def _blips(habit: Habit) -> str:
    often = f"{habit.at} of the last {habit.deployments} deployments"
    if habit.at == habit.deployments:
        often = "every deployment"
    usual, minutes = habit.usual, -(-habit.usual.within // 60)
    ended = f"the last {usual.of}" if usual.ended == usual.of else f"{usual.ended} of the last {usual.of}"
    return f"blips at {often}: {ended} ended within {minutes} minute{'s' * (minutes != 1)}"


def _versions(deployment: Deployment, own: Sequence[Finding]) -> list[str]:
    """Said of the first finding that speaks clearly."""
    for finding in own:
        ratio = clues.versions(deployment, [finding])
        does = "fails" if finding.kind in ("error_spike", "rollout") else "loses"
        if ratio > SAYS:
            return [f"version {deployment.version} {does}, the others do not"]
        if ratio < 1 / SAYS:
            return [f"the version before it {does} as well"]
    return []


def _instances(
    deployment: Deployment, own: Sequence[Finding], known: Sequence[Deployment], width: int
) -> list[str]:
    own = [f for f in own if f.instances]
    until = clues.next_one(deployment, known) if own else 0
    for finding in own:
        ratio = clues.instances(deployment, [finding], width, until)
        have, _ = clues.got(deployment, finding, width, until)
        if ratio > SAYS:
            fail = sum(bool(fails) for _, fails in have)
            of = f"each of {fail} instances" if fail == len(have) else f"{fail} of {len(have)} instances"
            return [f"{of} began to fail when it got it"]
        if ratio < 1 / SAYS:
            return ["instances began to fail together, whether they had it or not"]
    return []


def _end(back: int, finding: Finding, width: int) -> list[str]:
    ratio = clues.ended(back, finding, width)
    if ratio > SAYS and finding.phase == "cleared":
        return ["putting it back ended it"]
    if back == 0 or ratio >= 1 / SAYS:
        return []
    if back < finding.onset - width:
        return ["put back before it began"]
    if finding.phase != "cleared" or finding.recovered > back:
        return ["it went on after it was put back"]
    return ["it was over before it was put back"]


def _others(
    deployment: Deployment, own: Sequence[Finding], findings: Sequence[Finding], known: Sequence[Deployment]
) -> list[str]:
    """Which other members of its release fail as well."""
    shipped = {d.service for d in known if d.id == deployment.id} - {deployment.service}
    fail = sorted(shipped & {f.signal.service for f in findings})
    if not own or not fail:
        return []
    more = f" and {len(fail) - 2} more" if len(fail) > 2 else ""
    return [f"{', '.join(fail[:2])}{more} of the same release fail{'s' * (len(fail) == 1)} too"]
