"""The words: an event becomes the messages that people read. Pure.

In: an event. Out: messages in Block Kit, each with a plain text of its own.
Never: the network, a clock, an unescaped word from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from alerts.blame import advice, changed, culprits, named, put_back, suspicion
from alerts.harm import Severity
from alerts.incidents import Event, Incident
from alerts.mrkdwn import address, code, escape, fit, unbroken
from alerts.notices import Notice
from alerts.rollbacks import Offer
from alerts.rollbacks import elements as back
from alerts.slack_buttons import buttons
from alerts.suspects import release_of
from alerts.together import many, usual_onset
from alerts.wording import (
    chance,
    clock,
    described,
    headline,
    holds,
    in_faults,
    lasted,
    lasting_words,
    lead,
    lost_words,
    made_of,
    missing,
    spelled,
    summary,
    whole,
    worst,
)
from detectors.findings import Finding

CIRCLES: dict[Severity, str] = {"critical": "🔴", "warning": "🟠", "info": "🔵"}
OVER = "🟢"
USUAL_NOW = "⚪"
TAUGHT = ("expired", "operator")  # reasons to end that leave things as they are
MOST_HEADER = 145  # Slack takes 150
MOST_CONTEXT = 2000  # characters that Slack takes
MOST_SIGNALS = 6
MOST_SLICES = 3


# Why a message waits for its time, in the words of the outbox.
Hold = Literal["", "grouped", "quiet hours", "for the digest", "to escalate", "to repeat"]


SAID = ":said:"  # in the keys of messages that come of what people said


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to post.

    key: the same for the same news after any restart. replaces: key of the message to edit in place.
    reply_to: key of the message in whose thread it goes. broadcast: show the reply in the channel too.
    chart: draw this incident (charts.draw) and upload it as a picture with `text` as its description.
    notice: the same in fields, for places without blocks (alerts/plain.py).
    due, hold: not before then (epoch seconds), and why. repeat: seconds after which it is said once more.
    """

    key: str
    channel: str
    text: str
    blocks: tuple[dict[str, Any], ...] = ()
    replaces: str = ""
    reply_to: str = ""
    broadcast: bool = False
    chart: Incident | None = None
    notice: Notice | None = None
    due: int = 0
    hold: Hold = ""
    repeat: int = 0


def word(
    event: Event,
    channel: str,
    remarks: Sequence[str] = (),
    pressable: bool = False,
    first: bool | None = None,
    offers: Sequence[Offer] = (),
) -> tuple[Message, ...]:
    """What to say of an event, in order: a card and its chart when it opens, then edits of the card with a
    reply in its thread; the last reply comes with the whole chart. The card's key is the incident's id.

    remarks: what people said of the incident, see remarks.py. pressable: can presses of buttons reach us? first:
    nobody in the channel has heard of the incident yet (left out: so it is when it opens). offers: what may be put
    back from the card."""
    incident = event.incident
    number = f"{incident.id}:{event.number}"
    text, blocks = plain_text(event), tuple(card(event, remarks, pressable, offers))
    chart = [Message(f"{number}:chart", channel, _description(event), reply_to=incident.id, chart=incident)]
    if all(f.trace is None for f in incident.findings):
        chart = []
    if event.event == "opened" if first is None else first:
        return (Message(incident.id, channel, text, blocks), *chart)
    edit = Message(f"{number}:card", channel, text, blocks, replaces=incident.id)
    if is_known(event):
        return (edit,)
    crowd = many(incident.findings)
    if (event.reason == "grew" and (incident.acknowledged or crowd)) or (
        event.reason == "recovering" and crowd
    ):
        return (
            edit,
        )  # somebody is on it; or so much goes on that only what makes it graver, and the end, are news
    # What nobody need look at does not call a second time.
    over = event.event == "resolved" and incident.severity != "info"
    aloud = event.rose or event.back or over
    said = tuple(changes(event))
    reply = Message(number, channel, _new(event, said), said, reply_to=incident.id, broadcast=aloud)
    return (edit, reply, *chart) if event.event == "resolved" else (edit, reply)


def _new(event: Event, said: Sequence[dict[str, Any]]) -> str:
    """The reply on a screen that shows one line of it and nothing of the thread: it names what, where and since
    when."""
    if event.event == "resolved":
        return plain_text(event)
    lines: list[str] = said[0]["text"]["text"].replace("\u00a0", " ").split("\n")
    return " ".join(lines[:2] if event.reason == "lasting" else lines[:1])


def is_known(event: Event) -> bool:
    """It comes and goes, as was said before: said again is the first, second, fourth, eighth … time."""
    comes = event.reason in ("worse", "recovering") and not event.rose
    return comes and event.incident.returns.bit_count() > 1


def again(event: Event, channel: str) -> Message:
    """A reminder in the thread, for as long as it is open and nobody looks at it."""
    text = f"{CIRCLES[event.incident.severity]} Still open, and nobody has said that they look at it."
    key = event.incident.id
    return Message(f"{key}:again:1", channel, text, reply_to=key, broadcast=True)


def changes(event: Event) -> list[dict[str, Any]]:
    """The blocks of the reply: what is new since the last event; none when the incident opens."""
    if event.event == "opened":
        return []
    return [_section(_resolved(event) if event.event == "resolved" else _updated(event))]


def metadata(message: Message) -> dict[str, Any]:
    """What Slack keeps with a message, so that it can be found again by its key."""
    return {"event_type": "stillwatch_message", "event_payload": {"key": message.key}}


def card(
    event: Event, remarks: Sequence[str] = (), pressable: bool = False, offers: Sequence[Offer] = ()
) -> list[dict[str, Any]]:
    """The blocks of the card as it should stand now. remarks: lines in mrkdwn, escaped. pressable, offers: see
    `word`."""
    blocks = [_header(title(event))]
    blame = [] if event.reason == "late_data" else suspicion(event)  # nobody did what did not happen
    for lines in (_signals(event), _slices(event.incident), blame, advice(event), _young(event)):
        if lines:
            blocks.append(_section(lines))
    blocks.append(_context(_standing(event)))
    blocks += [_context(part) for part in _parts(remarks)]
    links, rest = _links(event.incident), list[dict[str, Any]]()
    if event.event != "resolved":
        rest = back(event.incident, offers, pressable)
        rest += buttons(event.incident) if pressable else []
    return [*blocks, {"type": "actions", "elements": [*links, *rest]}] if links or rest else blocks


def title(event: Event) -> str:
    """The first line, as plain text of at most 145 characters."""
    said = summary(event.incident, event.time, lambda name: fit(name, 40))
    return fit(f"{_mark(event)} {_over(event)}{said}", MOST_HEADER)


def _over(event: Event) -> str:
    """How it ended, in a word; what has become the usual is not over."""
    if event.event != "resolved":
        return ""
    return {"expired": "Closed, not over. ", "operator": "Closed, not a problem. "}.get(
        event.reason, "Over. "
    )


def _mark(event: Event) -> str:
    if event.event != "resolved":
        return CIRCLES[event.incident.severity]
    return USUAL_NOW if event.reason in TAUGHT else OVER


def plain_text(event: Event) -> str:
    """For the notification, the screen reader and the search."""
    said = summary(event.incident, event.time, lambda name: code(name, 40))
    suspect = named(event.incident)
    return f"{_mark(event)} {_over(event)}{said}{f'. Suspect: {suspect}' if suspect else ''}"


def _description(event: Event) -> str:
    said = summary(event.incident, event.time, lambda name: fit(name, 40))
    return escape(fit(f"Chart. {said}", 300))


# The parts of the card.


def _signals(event: Event) -> list[str]:
    """How many, where the title gives a share only; then a line for each other signal."""
    if many(event.incident.findings):
        found = worst(event.incident)
        lines = [_signal(finding, event.time) for finding in found[:MOST_SIGNALS]]
        return [*lines, f"• and {len(found) - MOST_SIGNALS} more signals"][: len(found)]
    first = lead(event.incident)
    begin = _span(event)
    lines = [f"{begin} {_total(event, first)}."] if first.kind in ("error_spike", "rollout") else []
    if event.incident.before(first):
        lines = [f"{begin} {_total(event, first)}."]
    elif first.kind == "data_loss" and made_of(first):  # how many in all, the title says
        lines = [f"{begin} {made_of(first)}."]
    others = [f for f in event.incident.findings if f is not first]
    lines += [_signal(finding, event.time) for finding in others[:MOST_SIGNALS]]
    more = len(others) - MOST_SIGNALS
    return [*lines, f"• and {more} more signals"] if more > 0 else lines


def _total(event: Event, finding: Finding) -> str:
    """What it cost in all, also before it came back."""
    incident = event.incident
    return f"{lost_words(whole(incident, finding))}{in_faults(incident, finding, event.time)}"


def _span(event: Event) -> str:
    """What the number of lost events covers."""
    if event.event != "resolved":
        return "So far"
    return "Until now" if event.reason in TAUGHT else "In all"


def _signal(finding: Finding, now: int) -> str:
    mark = "✓" if finding.phase == "cleared" else "•"
    return f"{mark} {headline(finding, now, lambda name: code(name, 40))}"


def _slices(incident: Incident) -> list[str]:
    """`path=editor` holds 97 % of the failures and 8 % of the traffic."""
    lines = []
    # What several signals of a service say of the same part of its traffic is said once.
    first: dict[tuple[str, tuple[tuple[str, str], ...]], Finding] = {}
    for finding in incident.findings:
        if finding.slice:
            first.setdefault((finding.signal.service, finding.slice), finding)
    for finding in list(first.values())[:MOST_SLICES]:
        named = code(described(finding, lambda pair: fit(pair, 60)), 130)
        where = f", {_where(finding)}" if len(incident.findings) > 1 else ""
        if holds(finding):
            lines.append(f"{named} {holds(finding)}{where}")
        else:
            lines.append(f"Seen in {named}{where}; too little is known to say that it is only there")
    return lines


def _young(event: Event) -> list[str]:
    if not any(f.young for f in event.incident.findings):
        return []
    return ["_Still learning what is usual here: take the numbers for a first guess._"]


def _standing(event: Event) -> str:
    """Severity, owner, since when it is told, and what to call it."""
    incident = event.incident
    over = event.event == "resolved"
    closed = "Closed" if event.reason in TAUGHT else "Resolved"
    parts = [f"{_mark(event)} {closed if over else incident.severity.capitalize()}"]
    owners = list(dict.fromkeys(f.signal.owner for f in incident.findings if f.signal.owner.strip()))
    if owners:
        more = f" and {len(owners) - 3} more" if len(owners) > 3 else ""
        parts.append(f"owner {', '.join(code(one, 40) for one in owners[:3])}{more}")
    parts.append(f"told {clock(incident.opened, event.time)} UTC")
    if event.time != incident.opened:
        parts.append(f"as of {clock(event.time, event.time)} UTC")
    return " · ".join([*parts, code(incident.id, 40)])


def _links(incident: Incident) -> list[dict[str, Any]]:
    """A link to each change that is believed to have done it; members of one release often share theirs."""
    by_url: dict[str, str] = {}
    for suspect in culprits(incident):
        url = address(suspect.deployment.url)
        if url:
            by_url.setdefault(url, suspect.deployment.service)
    several = len(by_url) > 1
    return [
        {
            "type": "button",
            "text": {
                "type": "plain_text",
                "text": f"Open the change of {fit(service, 50)}" if several else "Open the change",
            },
            "url": url,
            "action_id": f"change-{number}",
        }
        for number, (url, service) in enumerate(list(by_url.items())[:MOST_SLICES], 1)
    ]


# Replies: only what changed.


def _updated(event: Event) -> list[str]:
    say = {
        "joined": _joined,
        "worse": _worse,
        "suspect": changed,
        "recovering": _recovering,
        "grew": _grew,
        "lasting": _lasting,
    }
    if many(event.incident.findings) and event.reason in ("joined", "worse", "recovering"):
        lines = [f"{summary(event.incident, event.time, lambda name: code(name, 40))}."]
    else:
        lines = say[event.reason](event)
    if event.rose:
        lines[0] = f"{_mark(event)} Now {event.incident.severity}. {lines[0]}"
    return lines


def _news(event: Event, phase: str) -> list[Finding]:
    """Findings of this phase that this interval brought; all of that phase when none did."""
    of_phase = [f for f in event.incident.findings if f.phase == phase]
    return [f for f in of_phase if f.at == event.time] or of_phase


def _joined(event: Event) -> list[str]:
    new = _news(event, "raised") or list(event.incident.findings[-1:])
    lines = [f"Also: {headline(f, event.time, lambda name: code(name, 40))}" for f in new[:MOST_SIGNALS]]
    if culprits(event.incident):
        release, probability = release_of(event.incident.suspects)
        lines.append(f"The same release explains it: {code(release, 60)} ({chance(probability)}).")
    return lines


def _worse(event: Event) -> list[str]:
    again = [f for f in event.incident.findings if f.phase == "raised" and f.at == event.time]
    told = again or [lead(event.incident)]
    start = "Again" if again and not event.rose else "Worse"
    return [f"{start}: {headline(f, event.time, lambda name: code(name, 40))}" for f in told[:MOST_SIGNALS]]


def _lasting(event: Event) -> list[str]:
    """What it outlasts, which answers who takes it for a blip."""
    lasting = event.incident.lasting
    if lasting is None:
        return _worse(event)
    told = {(f.signal.service, f.signal.name, f.kind): f for f in event.incident.findings}
    meant = told.get((lasting.service, lasting.signal, lasting.kind), lead(event.incident))
    return [lasting_words(lasting), f"{headline(meant, event.time, lambda name: code(name, 40))}."]


def _grew(event: Event) -> list[str]:
    return [f"So far {lost_words(lead(event.incident))}, {_where(lead(event.incident))}."]


def _recovering(event: Event) -> list[str]:
    over = _news(event, "cleared")
    lines = []
    for finding in over[:MOST_SIGNALS]:
        since = f" since {clock(finding.recovered, event.time)} UTC" if finding.recovered else ""
        lines.append(f"{OVER} As before{since}, {_where(finding)}: {lost_words(finding)}.")
    back = _rollbacks(event, over)
    lines += [f"Rolled back: {', '.join(back)}."] if back else []
    left = [f for f in event.incident.findings if f.phase != "cleared"]
    if not left:
        until = clock(event.incident.due, event.time)
        lines.append(f"It comes and goes: this is over if it stays as before until {until} UTC.")
    return [
        *lines,
        *(f"Still: {headline(f, event.time, lambda n: code(n, 40))}" for f in left[:MOST_SIGNALS]),
    ]


def _where(finding: Finding) -> str:
    return code(finding.signal.service, 40)


def _resolved(event: Event) -> list[str]:
    """When it took hold, what was lost in all, and what ended it."""
    findings = event.incident.findings
    crowd = many(findings)
    findings = tuple(worst(event.incident)) if crowd else findings
    began = usual_onset(findings) if crowd else min(f.onset for f in findings)
    recovered = max(f.recovered for f in findings)
    if event.reason == "late_data":
        came = ", and ".join(f"{missing(f)}, {_where(f)}" for f in findings[:MOST_SIGNALS])
        first = f"{OVER} Late, not lost: {came}."
    elif event.reason == "expired":
        first = (
            f"{USUAL_NOW} Closed, not over: it goes on since {clock(began, event.time)} UTC and is taken for the "
            "new usual from here on. What is worse than this will be told."
        )
    elif event.reason == "operator":
        who = code(event.incident.closed_by, 40) if event.incident.closed_by else "hand"
        first = (
            f"{USUAL_NOW} Closed by {who}: not a problem. As it is now is taken for the usual from here on. "
            "What is worse than this will be told."
        )
    elif recovered:
        span = f"began {clock(began, event.time)} UTC, lasted {lasted(max(0, recovered - began))}"
        if event.incident.returns and not crowd:
            times = "once" if event.incident.returns == 1 else f"{spelled(event.incident.returns)} times"
            first_of_all = min([began, *(one.began for one in event.incident.earlier)])
            span = f"began {clock(first_of_all, event.time)} UTC, came back {times}"
        first = f"{OVER} Over: as before since {clock(recovered, event.time)} UTC ({span})."
    else:
        first = f"{OVER} Over: as before."
    total = [
        f"{_total(event, f)}, {_where(f)}" for f in findings if event.reason != "late_data" or f.lost >= 1
    ]
    if len(total) == 1:
        lines = [f"{_span(event)} {total[0]}."]
    else:
        lines = [f"{_span(event)}:"] * bool(total) + [f"• {one}" for one in total[:MOST_SIGNALS]]
        more = len(total) - MOST_SIGNALS
        lines += [f"• and {more} more signals"] if crowd and more > 0 else []
    return [first, *lines, *_ended_by(event)]


def _ended_by(event: Event) -> list[str]:
    if event.reason == "rollback":
        back = _rollbacks(event, event.incident.findings)
        return [f"Rolled back: {', '.join(back)}. That ended it."] if back else ["A rollback ended it."]
    if event.reason != "recovered":
        return []
    asked = [code(one.service, 60) for one in event.incident.wanted_back][:MOST_SIGNALS]
    if asked:
        return [f"{', '.join(dict.fromkeys(asked))} was to be put back; nobody told us that it was."]
    return ["Nobody put anything back that we know of."]


def _rollbacks(event: Event, findings: Sequence[Finding]) -> list[str]:
    """What was put back in the services of these findings."""
    services = {f.signal.service for f in findings}
    back = [d for d in event.incident.rollbacks if d.service in services]
    return [put_back(d, event.time) for d in back[:MOST_SIGNALS]]


# Blocks.


def _header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": unbroken(text)}}


def _section(lines: list[str]) -> dict[str, Any]:
    text = unbroken("\n".join(lines))
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _parts(lines: Sequence[str]) -> list[str]:
    """Lines, as few texts as Slack takes; each line fits by itself."""
    parts = list[str]()
    for line in lines:
        if parts and len(parts[-1]) + 1 + len(line) <= MOST_CONTEXT:
            parts[-1] += f"\n{line}"
        else:
            parts.append(line)
    return parts


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text, "verbatim": True}]}
