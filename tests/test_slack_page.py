"""The pictures in the documentation show the messages that are agreed, as Slack would show them."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from slack_page import PHONE, PICTURES, SCALE, SHOWN, agreed, mrkdwn, page, words
from test_alerts_messages import texts

from alerts.mrkdwn import code, plain

PAGE = Path(__file__).parent.parent / "docs" / "messages.md"
OURS = {"a", "b", "i", "br", "code"}


class Seen(HTMLParser):
    """What a reader sees of a page, and which tags it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.tags = "", set[str]()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", SHOWN)
def test_a_page_shows_every_word_of_the_message(name: str) -> None:
    messages = agreed(name)
    seen = Seen(page(messages)).text
    for message in messages:
        shown = message.get("blocks", [])
        for block in shown:
            for element in block.get("elements", []):
                element.pop("confirm", None)  # is seen when a button is pressed
                element.pop("options", None)
        for kind, text in texts(shown):
            bare = html.unescape(re.sub(r"[`*\n]", "", text)) if kind == "mrkdwn" else text
            assert bare in seen.replace("\n", "")


@given(st.text(max_size=60) | st.sampled_from(["<script>", "`*_<a|b>_*`", "&lt;b&gt;", "<!channel>"]))
def test_what_comes_from_outside_is_text_on_the_page_too(outside: str) -> None:
    seen = Seen(mrkdwn(f"*Suspect:* {code(outside, 40)} by {plain(outside)}, _young_"))
    assert seen.tags <= {"b", "i", "code"}
    assert seen.text.startswith("Suspect: ")


def test_markup_is_shown_as_slack_shows_it() -> None:
    said = "*Suspect:* `a*b*` at <https://ci.example/1?a=1&amp;b=2|the run>\n_Still learning._"
    assert mrkdwn(said) == (
        "<b>Suspect:</b> <code>a*b*</code> at "
        '<a href="https://ci.example/1?a=1&amp;b=2">the run</a><br><i>Still learning.</i>'
    )


@pytest.mark.parametrize("name", SHOWN)
def test_a_picture_shows_the_words_that_are_agreed_now(name: str) -> None:
    with Image.open(PICTURES / f"{name}.png") as picture:
        assert picture.width == PHONE * SCALE
        assert picture.info["words"] == words(name), (
            f"{name}.png is older than its words: run script/pictures"
        )


def test_each_of_them_is_in_the_documentation_and_they_are_small_together() -> None:
    shown = re.findall(r'<img src="messages/(\w+)\.png" width="390" alt="[^"]{20,}">', PAGE.read_text())
    assert tuple(shown) == SHOWN
    assert {file.stem for file in PICTURES.iterdir()} == set(SHOWN)
    assert sum(file.stat().st_size for file in PICTURES.iterdir()) < 1_000_000
