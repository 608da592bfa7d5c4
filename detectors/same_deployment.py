"""What was told and what was seen in the counts is one deployment, and so is what two senders tell. Pure.

In: deployments, told and seen. Out: each of them once. Never: two that another version of the service lies between.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from collector.deployments import Deployment

# Seconds by which a pipeline may tell ahead of the first counts (an image is pushed, nodes follow by night), and
# behind them (at the end of a rolling deployment); and by which two senders of one deployment may differ.
AHEAD, BEHIND, APART = 86400, 3600, 3600
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def one_of_each(deployments: Iterable[Deployment], width: int) -> list[Deployment]:
    """Each deployment once, in order of time: as it was told, with the version as the counts call it, and not later
    than it was seen to serve. width: seconds of an interval, as far as what is seen is known."""
    return [one for one, _ in all_of_each(deployments, width)]


def all_of_each(
    deployments: Iterable[Deployment], width: int
) -> list[tuple[Deployment, tuple[Deployment, ...]]]:
    """As `one_of_each`, each with all that was told and seen of it."""
    last: dict[str, int] = {}
    found: list[tuple[Deployment, tuple[Deployment, ...]]] = []
    for d in sorted(deployments, key=lambda d: (d.time, d.seen, d.id, d.service)):
        if d.kind in ("deploy", "rollback"):
            at = last.get(d.service)
            if at is not None and same(found[at][0], d):
                one, every = found[at]
                found[at] = _joined(one, d, width), (*every, d)
                continue
            last[d.service] = len(found)
        found.append((d, (d,)))
    return found


def same(one: Deployment, other: Deployment) -> bool:
    """Is it one and the same deployment? Both are of the same service, `other` is not the earlier one."""
    if one.environment and other.environment and one.environment.lower() != other.environment.lower():
        return False
    if (one.id, one.seen) == (other.id, other.seen):
        return False  # a release that ships one service twice says so on purpose
    apart = other.time - one.time
    near = apart <= (APART if one.seen == other.seen else BEHIND if one.seen else AHEAD)
    return near and _same_version(one, other)


def _same_version(one: Deployment, other: Deployment) -> bool:
    mine, its = ({_plain(d.version), d.revision.lower()} - {""} for d in (one, other))
    return any(a == b or _of_one_commit(a, b) for a in mine for b in its)


def _plain(version: str) -> str:
    """v1.4.2 and 1.4.2 are one; a commit in capitals and not."""
    return re.sub(r"^v(?=\d)", "", version.lower())


def _of_one_commit(a: str, b: str) -> bool:
    """One is the other cut short."""
    short, long = sorted((a, b), key=len)
    return long.startswith(short) and bool(_COMMIT.fullmatch(short) and _COMMIT.fullmatch(long))


def _joined(one: Deployment, other: Deployment, width: int) -> Deployment:
    """Of two that are the same, `one` being the earlier."""
    if one.seen and other.seen:
        return replace(one, seen_as=tuple(dict.fromkeys([*one.seen_as, other.id])))
    if one.seen == other.seen:
        return one
    told, seen = (other, one) if one.seen else (one, other)
    return replace(
        told,
        version=seen.version,
        time=seen.time if told.time - seen.time >= 2 * width else told.time,
        previous_version=told.previous_version or seen.previous_version,
        seen_as=tuple(dict.fromkeys([*one.seen_as, *other.seen_as, seen.id])),
        kind="rollback" if "rollback" in (told.kind, seen.kind) else told.kind,
    )
