"""The draft of a report reads like one written by hand and says the right numbers; what comes from outside only
stands in it.

The drafts are kept in golden/; RENEW_GOLDEN=1 writes them anew, to be read like prose.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import examples
import pytest
from hypothesis import given, settings
from linkify_it import LinkifyIt
from markdown_it import MarkdownIt
from markdown_it.token import Token
from test_alerts_messages import OUTSIDE, hostile_events
from test_cli import small
from test_report import ALLOWED, Reader, safe

from alerts import jsonl
from alerts.incidents import Earlier, Event
from alerts.messages import Message
from alerts.outbox import Delivery, Receipt
from alerts.silences import Matcher, Silence
from collector import dataset
from collector.bins import SeriesTable
from collector.words import Word
from stillwatch import postmortem_record
from stillwatch.cli import _run
from stillwatch.cli_options import settings_of
from stillwatch.history import History
from stillwatch.mailbox import Mailbox
from stillwatch.postmortem import Postmortem, Record, Sent, postmortem
from stillwatch.postmortem_markdown import code, markdown
from stillwatch.postmortem_page import page
from stillwatch.store import Closing, News, Store

GOLDEN = Path(__file__).parent / "golden"
RELEASE_DAY = Path(__file__).parent.parent / "sample_data" / "release_day"
STORY = [
    examples.error_spike(), examples.joined(), examples.recovering(), examples.grew(), examples.rolled_back(),
]  # fmt: skip
ID = STORY[0].incident.id
SENT = (Sent("#alerts", ID, examples.at("06:37") + 3, True),)
WORDS = (
    Word(ID, "acknowledge", "anna", examples.at("06:40")),
    Word(ID, "not this deployment", "ben", examples.at("06:41"), "release-20220413-0631", "mail-sender"),
)
MUTE = Silence(
    "1f0c9a3b7d52", (Matcher("service", "=", "contact-importer"),), examples.at("06:50"), examples.at("08:50"),
    "anna", "put back already", "ben",
)  # fmt: skip


def record(events: list[Event] | None = None, **parts: object) -> Record:
    its = STORY if events is None else events
    made = Record(its[-1], tuple(map(jsonl.line, its)), SENT, WORDS, (MUTE,))
    return replace(made, **parts)  # type: ignore[arg-type]


def draft(of: Record, zone: str = "UTC") -> Postmortem:
    return postmortem(of, ZoneInfo(zone), zone)


def golden(name: str, text: str) -> None:
    file = GOLDEN / f"report_{name}.md"
    if os.environ.get("RENEW_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


# In words.


def test_the_draft_is_as_it_was_agreed() -> None:
    golden("rolled_back", markdown(draft(record()), "5f3c9a1b2d4e-chart.png"))


@pytest.mark.parametrize("name", sorted(examples.EVENTS))
def test_what_happened_is_as_it_was_agreed_also_while_it_is_open(name: str) -> None:
    """Title, notes and paragraphs of each example."""
    only = markdown(draft(record([examples.EVENTS[name]()], sent=(), words=(), silences=())))
    golden(f"of_{name}", only.partition("## Timeline")[0].rstrip() + "\n")


def test_no_golden_file_is_left_over() -> None:
    names = {f"of_{name}" for name in examples.EVENTS} | {"rolled_back", *(f"release_day_{n}" for n in DAY)}
    assert {file.stem for file in GOLDEN.glob("report_*")} == {f"report_{name}" for name in names}


def test_the_timeline_is_in_order_and_all_of_it_leads_to_data_that_is_there() -> None:
    told = draft(record())
    assert [row.time for row in told.timeline] == sorted(row.time for row in told.timeline)
    anchors = {f"#{datum.anchor}": json.loads(datum.text) for datum in told.data}
    assert len(anchors) == len(told.data)
    for row in (*told.timeline, *told.said):
        assert any(link.target in anchors for link in row.data)
        assert all(link.target in anchors or link.target.startswith("https://") for link in row.data)
    lines = [anchors[name] for name in anchors if name.startswith("#line-")]
    assert lines == [json.loads(jsonl.line(event)) for event in STORY]


def test_numbers_of_the_timeline_are_those_of_the_line_it_leads_to() -> None:
    told = draft(record())
    data = {f"#{datum.anchor}": json.loads(datum.text) for datum in told.data}
    rows = [row for row in told.timeline if row.data[-1].target.startswith("#line-")]
    assert len(rows) == len(STORY)
    for row in rows:
        event = data[row.data[-1].target]
        text = "".join(piece for piece, _ in row.what)
        assert int(datetime.fromisoformat(event["time"]).timestamp()) == row.time
        for one in event["signals"]:
            near = re.search(rf"([\d,]+) {one['service']}/{one['signal']}", text)
            assert near is not None
            assert math.isclose(float(near[1].replace(",", "")), one["lost"], rel_tol=0.01)


def test_of_what_comes_and_goes_it_tells_the_first_onset_every_return_and_what_was_lost_in_all() -> None:
    opened, over = examples.usual_blip(), examples.comes_and_goes()
    [few] = opened.incident.findings
    before = Earlier(
        "image-resizer", few.signal.name, few.kind, 2, few.onset, 1000.0, 990.0, 1010.0, 0.0, 0.0
    )
    [last] = over.incident.findings
    later = replace(last, onset=last.onset + 1800)
    over = replace(
        over, time=over.time + 1800, incident=replace(over.incident, findings=(later,), earlier=(before,))
    )
    text = markdown(draft(record([opened, over])))
    assert (
        "in all three faults from 07:58 on, about 1,030 resizes failed because of it (1,010 to 1,050)" in text
    )
    assert "Again: errors in `image-resizer`" in text
    assert "So far lost: 1,030 `image-resizer/" in text
    assert [row.time for row in draft(record([opened, over])).timeline if "begin in" in row.what[0][0]] == [
        few.onset
    ]


def test_the_share_of_the_table_is_that_of_the_sentence() -> None:
    spike = examples.error_spike()
    (finding,) = spike.incident.findings
    # As many fail as usually: of all that failed the fault did but a part.
    finding = replace(finding, observed=410.0, expected=64.0, lost=346.0, out_of=288_000.0)
    event = replace(spike, incident=replace(spike.incident, findings=(finding,)))
    text = markdown(draft(record([event])))
    assert "0.14 % of" in text and "| 0.14 % |" in text and "0.12 %" not in text


def test_times_are_in_the_zone_that_is_named_and_data_in_utc() -> None:
    text = markdown(draft(record(), "Asia/Kolkata"))
    assert "All times are in Asia/Kolkata (13 April 2022 unless another day is named)" in text
    assert "From 12:03 to 12:36 (33 min)" in text
    assert '"onset": "2022-04-13T06:33:00Z"' in text


def test_another_day_is_named_and_a_short_incident_is_told_to_the_second() -> None:
    late = replace(WORDS[0], time=examples.at("06:40") + 86400)
    assert "| 14 Apr 06:40 | Acknowledged by `anna`. |" in markdown(draft(record(words=(late,))))
    finding = replace(examples.imports_fail(), onset=examples.at("06:33") + 5)
    assert "06:33:00" not in markdown(draft(record([STORY[0]]))).partition("## Data")[0]
    short = replace(STORY[0], incident=replace(STORY[0].incident, findings=(finding,)))
    assert "| 06:33:05 | Errors begin" in markdown(draft(record([short])))


def test_what_was_not_measured_is_said_and_is_not_nought() -> None:
    finding = replace(examples.imports_fail(), expected=math.nan, trace=None)
    event = replace(STORY[0], incident=replace(STORY[0].incident, findings=(finding,)))
    told = draft(record([event]))
    assert "not measured" in markdown(told)
    assert "No counts were kept for a chart." in markdown(told)
    assert Reader(page(told)).count("svg") == 0
    assert '"expected": null' in markdown(told)


def test_a_release_of_a_hundred_services_does_not_fill_the_timeline() -> None:
    crowd = tuple(replace(examples.SENDER, service=f"s{i}") for i in range(100))
    told = draft(record([replace(STORY[-1], bystanders=crowd)]))
    assert sum(datum.anchor.startswith("deployment-") for datum in told.data) == 12
    assert "92 more deployments are left out of the timeline." in markdown(told)
    assert "`contact-importer` is put back to `3.44.0`" in markdown(told)


def test_of_a_replay_it_is_said_that_nothing_was_sent() -> None:
    text = markdown(draft(record(sent=(), words=(), silences=(), replayed=True)))
    assert "no message was sent" in text
    assert "Nothing that was recorded." in text
    assert "stillwatch export" not in text


# In HTML.


def test_the_page_holds_what_the_markdown_holds_and_needs_nothing_else() -> None:
    told = draft(record())
    html = page(told)
    shown = Reader(html.replace("<!doctype html>", ""))
    safe_page(shown)
    for sentences in told.paragraphs:
        for line in sentences:
            assert squeezed("".join(text for text, _ in line)) in squeezed(shown.text)
    ids = {str(attributes.get("id")) for _, attributes in shown.tags}
    here = [str(a["href"])[1:] for t, a in shown.tags if t == "a" and str(a["href"]).startswith("#")]
    assert len(here) > len(told.timeline)
    assert set(here) <= ids
    assert shown.count("svg", **{"class": "chart"}) == 1
    assert "@import" not in html
    assert "url(" not in html.replace("url(#", "")
    for datum in told.data:
        assert squeezed(datum.text) in squeezed(shown.text)


def squeezed(text: str) -> str:
    return "".join(text.split())


def safe_page(shown: Reader) -> None:
    safe_tags = ALLOWED | {"ul", "pre"}
    assert {tag for tag, _ in shown.tags} <= safe_tags
    shown.tags = [(tag, attributes) for tag, attributes in shown.tags if tag not in ("ul", "pre")]
    safe(shown)


# Whatever comes from outside.


@cache
def reader() -> MarkdownIt:
    """Markdown as GitHub reads it: tables, HTML, bare addresses become links."""
    made = MarkdownIt("gfm-like", {"html": True, "linkify": True})
    made.linkify = LinkifyIt()
    return made


def tokens(text: str) -> Iterator[Token]:
    for token in reader().parse(text):
        yield token
        yield from token.children or ()


def harmless(text: str, told: Postmortem) -> None:
    """Read as Markdown it has our headings, tables and links, and nothing else."""
    ours = {link.target for row in (*told.timeline, *told.said) for link in row.data}
    ours |= {link.target for _, links in (*told.signals, *told.suspects) for link in links}
    kinds = {
        "heading", "paragraph", "inline", "text", "code_inline", "table", "thead", "tbody", "tr", "th", "td",
        "link", "bullet_list", "list_item", "fence", "softbreak", "hardbreak",
    }  # fmt: skip
    headings = []
    for token in tokens(text):
        assert re.sub(r"_(?:open|close)$", "", token.type) in kinds, (token.type, token.content)
        if token.type == "link_open":
            href = str(token.attrs["href"])
            assert token.markup != "linkify"
            assert any(same(href, target) for target in ours), href
        if token.type == "heading_open":
            headings.append(token.tag)
        if token.type == "text":
            assert "@" not in token.content
    assert headings == ["h1", *["h2"] * 7, *["h3"] * len(told.data)]
    rows = sum(token.type == "tr_open" for token in tokens(text))
    assert rows == 3 + len(told.timeline) + len(told.signals) + len(told.suspects)
    cells = sum(token.type in ("td_open", "th_open") for token in tokens(text))
    columns = 3 * (1 + len(told.timeline)) + 10 * (1 + len(told.signals)) + 8 * (1 + len(told.suspects))
    assert cells == columns


def same(href: str, target: str) -> bool:
    """The reader encodes what it may."""
    return href == target or reader().normalizeLink(target) == href


@settings(max_examples=25, deadline=None)
@given(hostile_events(), OUTSIDE, OUTSIDE)
def test_nothing_from_outside_is_more_than_text(event: Event, one: str, other: str) -> None:
    words = (
        Word(ID, "acknowledge", one, event.time),
        replace(WORDS[1], who=other, deployment=one, service=other),
    )
    mute = replace(MUTE, author=one, comment=other, ended_by=one)
    lines = (jsonl.line(event), jsonl.line(replace(event, event="updated", reason="grew")))
    sent = (Sent(one, other, event.time, True),)
    told = draft(Record(event, lines, sent, words, (mute,)))
    harmless(markdown(told), told)


@settings(max_examples=8, deadline=None)
@given(hostile_events(), OUTSIDE)
def test_nothing_from_outside_is_more_than_text_in_html(event: Event, one: str) -> None:
    told = draft(
        Record(event, (jsonl.line(event),), (Sent(one, one, 1, True),), (replace(WORDS[0], who=one),))
    )
    safe_page(Reader(page(replace(told, drawn=False)).replace("<!doctype html>", "")))


@given(OUTSIDE)
def test_a_name_is_one_code_span(text: str) -> None:
    (paragraph,) = [t for t in reader().parse(f"x {code(text)} y") if t.type == "inline"]
    assert [t.type for t in paragraph.children or ()] == ["text", "code_inline", "text"]


def test_an_address_is_read_back_as_it_is() -> None:
    url = "https://ok.example/?a=1&copy;=2&b=(3)|x"
    suspect = replace(STORY[0].incident.suspects[0], deployment=replace(examples.IMPORTER, url=url))
    event = replace(STORY[0], incident=replace(STORY[0].incident, suspects=(suspect,)))
    hrefs = {token.attrs.get("href") for token in tokens(markdown(draft(record([event]))))}
    assert "https://ok.example/?a=1&copy;=2&b=(3)%7Cx" in hrefs


# From the daemon's database.


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.chdir(tmp_path)
    made = Store(tmp_path / "stillwatch.db")
    yield made
    made.close()


def kept(store: Store) -> None:
    """The story as the daemon keeps it, delivered to Slack and to another place."""
    for event in STORY:
        said = tuple(
            Message(f"{ID}:{event.number}" if event.number > 1 else ID, channel, "x")
            for channel in ("#alerts", "ops:x")
        )
        one = News(ID, event.number, event.time, jsonl.line(event), said, event)
        store.commit(Closing(news=(one,)), SeriesTable())
    mailbox = Mailbox(store)
    for delivery in mailbox.waiting():
        stamp = f"{delivery.entered + 3}.000100" if delivery.message.channel == "#alerts" else "42"
        mailbox.record(replace(delivery, state="sent", receipt=Receipt("C1", stamp)))
    for word in WORDS:
        store.add_word(word)
    History(store).silence(replace(MUTE, ended_by=""))


def test_from_the_database_comes_all_that_is_known(store: Store) -> None:
    kept(store)
    records = postmortem_record.kept(store, lambda now: (), examples.at("09:00"))
    found = records[ID]()
    assert list(records) == [ID]
    assert found.event.number == 5
    assert found.lines == tuple(map(jsonl.line, STORY))
    assert found.words == WORDS
    assert found.silences == (replace(MUTE, ended_by=""),)
    assert found.sent == (
        Sent("ops:x", ID, examples.at("06:37"), False),
        Sent("#alerts", ID, examples.at("06:37") + 3, True),
    )


def test_what_was_never_taken_was_no_message() -> None:
    waiting = Delivery(1, ID, Message(ID, "#alerts", "x"), 5)
    assert postmortem_record.first_sent([waiting, replace(waiting, state="silenced")]) == ()


# On the command line.


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = _run([str(a) for a in ("report", *arguments)])
    out, err = capfd.readouterr()
    return status, out, err


def test_the_command_prints_markdown_or_writes_a_page_or_a_file_with_a_picture(
    store: Store, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kept(store)
    status, out, err = run(capfd, ID)
    assert (status, err) == (0, "")
    assert out.startswith(f"# Incident `{ID}`\n")
    assert "First message, to `#alerts`." in out
    assert "First message, to `ops:x`, or soon after." in out
    assert run(capfd, ID, "--out", tmp_path / "a.html") == (0, f"{tmp_path / 'a.html'}: the draft\n", "")
    assert (tmp_path / "a.html").read_text().lstrip().startswith("<!doctype html>")
    status, out, err = run(capfd, ID, "--out", tmp_path / "a.md")
    assert (status, out) == (0, f"{tmp_path / 'a.md'}: the draft, with a-chart.png\n")
    assert "](<a-chart.png>)" in (tmp_path / "a.md").read_text()
    assert (tmp_path / "a-chart.png").read_bytes().startswith(b"\x89PNG")
    status, out, _ = run(capfd, ID, "--format", "html")
    assert "<!doctype html>" in out


def test_without_an_incident_those_that_there_are_are_listed(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(capfd) == (0, "there is no incident yet\n", "")
    kept(store)
    status, out, _ = run(capfd)
    assert status == 0
    assert out.startswith(f"{ID}  2022-04-13T06:37:00Z  Data loss: about 37,700 opens not stored")


def test_a_slip_is_one_line_with_the_next_step(
    store: Store, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(capfd, "nope") == (2, "", "stillwatch: there is no incident yet\n")
    kept(store)
    assert run(capfd, "nope") == (2, "", f"stillwatch: found incident 'nope', expected one of {ID}\n")
    there = tmp_path / "edited.md"
    there.write_text("what the team wrote")
    status, _, err = run(capfd, ID, "--out", there)
    assert status == 2
    assert "is there already" in err
    assert there.read_text() == "what the team wrote"
    status, _, err = run(capfd, "--out", tmp_path / "b.md")
    assert (status, err) == (2, "stillwatch: found --out without INCIDENT, expected both\n")
    status, _, err = run(capfd, ID, "--out", tmp_path / "no" / "b.md")
    assert status == 1
    assert err.count("\n") == 1


def test_no_database_is_said_with_what_to_do(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capfd, ID)
    assert status == 2
    assert "no such database; name the daemon's in `database`, or give --dataset" in err
    assert not (tmp_path / "stillwatch.db").exists()


def test_a_dataset_is_judged_again(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    place = small(tmp_path / "data")
    assert run(capfd, "--dataset", place) == (0, "there is no incident yet\n", "")
    assert run(capfd, "nope", "--dataset", place) == (2, "", "stillwatch: there is no incident yet\n")


# The morning for which Stillwatch was made.

DAY = ("importer_and_opens", "images")


@pytest.fixture(scope="module")
def morning() -> list[Callable[[], Record]]:
    chosen = settings_of(RELEASE_DAY / "stillwatch.yaml", secrets=False)
    read = dataset.read(RELEASE_DAY, chosen.interval, chosen.grace)
    records = postmortem_record.replayed(read, chosen, lambda done: None)
    return list(reversed(records.values()))


@pytest.mark.slow
@pytest.mark.parametrize("name", DAY)
def test_the_release_day_reads_like_the_public_report(morning: list[Callable[[], Record]], name: str) -> None:
    golden(f"release_day_{name}", markdown(draft(morning[DAY.index(name)]()), f"{name}-chart.png"))


@pytest.mark.slow
def test_the_numbers_of_the_release_day_are_right(morning: list[Callable[[], Record]]) -> None:
    """Beside the labels: what was lost, when it began, when it was over, which release and member."""
    with (RELEASE_DAY / "labels.csv").open(encoding="utf-8") as file:
        labels = {row["service"]: row for row in csv.DictReader(file)}
    drafts = [draft(one()) for one in morning]
    seen = 0
    for told in drafts:
        happened = ["".join(text for text, _ in line) for line in told.paragraphs[0]]
        for line in happened[1:]:
            (label,) = [labels[name] for name in labels if name in line]
            seen += 1
            low, high = (float(n.replace(",", "")) for n in re.findall(r"\(([\d,]+) to ([\d,]+)\)", line)[0])
            assert low <= float(label["lost"]) <= high
            began, over = re.findall(r"From (\d\d:\d\d) to (\d\d:\d\d) ", line)[0]
            assert abs(minutes(began) - minutes(label["start"][11:16])) <= 1
            assert abs(minutes(over) - minutes(label["end"][11:16])) <= 1
            assert label["deployment"] in happened[0]
            assert label["deployment_service"] in happened[0]
            rows = [row for row in told.timeline if "is put back" in row.what[1][0]]
            assert label["mitigated"][11:16] in [
                row.when for row in rows if row.what[0][0] == label["service"]
            ]
    assert seen == len(labels) == 3


def minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])
