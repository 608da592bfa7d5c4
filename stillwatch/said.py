"""The desk's answers in words, for a terminal and for Slack. Pure.

In: an answer of the desk, as JSON has it. Out: lines of plain text.
Never: a markup, an escape sequence made safe (whoever shows the lines does that).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.moments import rfc3339


def status_lines(told: Mapping[str, Any]) -> list[str]:
    """The answer of GET /status in words."""
    wrong = [told["trouble"]] if told["trouble"] else []
    wrong += [f"blind since {told['blind_since']}"] if told["blind_since"] else []
    wrong += [f"{told['lag']} s behind"] if not told["ok"] and not wrong else []
    learning = f", {len(told['learning'])} still learning" if told["learning"] else ""
    signals = f"{told['judged']} signal{'' if told['judged'] == 1 else 's'} judged{learning}"
    failing = told.get("failing", {})
    without = ", ".join(f"{name} since {rfc3339(since)}" for name, since in failing.items())
    well = f"well, but without source {without}" if failing else "well"
    does = f"{signals}, {told['series']} series"
    if told.get("role") == "stands by":
        does = "stands by: takes counts in, another daemon judges and tells"
    lines = [f"{'not well: ' + '; '.join(wrong) if wrong else well}; {does}"]
    lines += _counted(told) if "taken" in told else []
    lines += [source_line(name, source) for name, source in told.get("sources", {}).items()]
    lines += newest_lines(told["newest"]) if "newest" in told and told.get("role") != "stands by" else []
    if told["outbox"]:
        lines.append(f"to be delivered: {told['outbox']}")
    lines += [f"open: {len(told['open']) or 'nothing'}", *(f"  {incident_line(one)}" for one in told["open"])]
    silenced = told["silences"]
    return [
        *lines,
        f"silenced: {len(silenced) or 'nothing'}",
        *(f"  {silence_line(one)}" for one in silenced),
    ]


def _counted(told: Mapping[str, Any]) -> list[str]:
    """What was sent, and what was not taken. Where sources are asked, it is no news that nobody sends."""
    points = "data point" if told["taken"] == 1 else "data points"
    came = f"{told['taken']:,} {points} taken, the last at {told['last_taken']}"
    lines = [f"counts: {came if told['taken'] else 'none have come since the start'}"]
    if not told["taken"] and told.get("sources"):
        lines = []
    reasons = sorted(told["refused"].items(), key=lambda one: (-one[1], one[0]))
    if reasons:
        lines.append(f"refused or late: {', '.join(f'{n:,} {reason}' for reason, n in reasons)}")
    return [*lines, *(f"  {service}: {n:,} of new series" for service, n in told["crowded"].items())]


def source_line(name: str, told: Mapping[str, Any]) -> str:
    """A source that we ask."""
    until = f"told until {rfc3339(told['until'])}" if told["until"] else "has not told anything yet"
    if told["ok"]:
        return f"source {name}: {until}"
    return f"source {name}: failing since {rfc3339(told['failing_since'])}, {until}: {told['trouble']}"


def newest_lines(told: Mapping[str, Any]) -> list[str]:
    """The counts of the newest interval in which something was counted, and those that sources tell later."""
    if not told:
        return ["newest counts: none in an interval that is over"]
    lines = []
    for one in ([told] if "start" in told else []) + told.get("later", []):
        counts, whose = one["counts"], f" of source {one['source']}" if "source" in one else ""
        lines.append(f"newest counts{whose}, of {one['seconds']} s from {rfc3339(one['start'])} on:")
        lines += [f"  {name}  {count:,.10g}" for name, count in counts.items()]
        lines += [f"  and {one['metrics'] - len(counts)} more"] if one["metrics"] > len(counts) else []
    return lines


def incident_line(told: Mapping[str, Any]) -> str:
    more = [f"suspect {told['suspect']}"] if told["suspect"] else []
    if told["acknowledged_by"]:
        more.append(f"acknowledged by {', '.join(told['acknowledged_by'])}")
    if told["silenced"]:
        more.append(f"silenced until {told['silenced_until'] or 'it is over'}")
    state = f"over since {told['resolved']} ({told['reason']})" if told["resolved"] else told["severity"]
    said = f"{told['id']}  {state}  told {told['opened']}  {told['headline']}"
    return f"{said}; {', '.join(more)}" if more else said


def happened_line(one: Mapping[str, Any]) -> str:
    who = f" by {one['who']}" if one["who"] else ""
    return f"{one['time']}  {one['what']}{who}{': ' if one['more'] else ''}{one['more']}"


def silence_line(told: Mapping[str, Any]) -> str:
    until = f"until {told['ends']}" if told["ends"] else "until it is over"
    when = f"from {told['starts']} {until}" if told["state"] == "pending" else until
    why = f": {told['comment']}" if told["comment"] else ""
    ended = f", ended by {told['ended_by']}" if told["ended_by"] else ""
    return (
        f"{told['id']}  {told['state']}  {' '.join(told['matchers'])}  {when}, {told['author']}{why}{ended}"
    )


def deployment_line(told: Mapping[str, Any]) -> str:
    """One of the answer of GET /deployments."""
    before = f" after {told['previous_version']}" if told["previous_version"] else ""
    where = f" in {told['environment']}" if told["environment"] else ""
    said = [told["kind"], "seen in the counts, nobody told" if told["known"] == "seen" else "told"]
    said += [f"serves {told['share']:.0%}"] if told["share"] is not None else []
    said += [f"had taken over at {told['full']}"] if told["full"] else []
    said += [f"by {told['author']}"] if told["author"] else []
    return f"{told['time']}  {told['service']} {told['version']}{before}{where}  {', '.join(said)}"
