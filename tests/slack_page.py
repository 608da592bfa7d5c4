"""Block Kit as people see it: our messages as a page in Slack's look, and pictures of it for the documentation.

In: messages of golden/ (what is agreed is what is shown), the chart of an example. Out: HTML; with a browser, a
PNG that is as wide as a phone and says of which words it was made. Never: words of its own.

`script/pictures` makes docs/messages/*.png anew; it needs Chromium.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import examples
from PIL import Image, ImageChops, PngImagePlugin

from alerts import charts

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "messages"
SHOWN = (
    "error_spike", "data_loss", "no_data", "trickle", "bad_version", "joined", "late_data", "rolled_back",
    "no_deployment",
)  # fmt: skip
PHONE = 390  # CSS pixels
SCALE = 2  # pixels of a picture for each of these
TALL = 2400  # CSS pixels; what is left over is cut off
COLOURS = 160  # of a picture: text, a few emoji and a chart need no more
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
STYLE = """
body { margin: 0; width: %dpx; background: #fff; color: #1d1c1d; font: 15px/1.46 Lato, "Noto Sans", sans-serif; }
.message { display: grid; grid-template-columns: 36px 1fr; gap: 0 8px; padding: 12px 14px 8px; }
.reply { padding: 8px 14px 8px 58px; grid-template-columns: 24px 1fr; }
.face { width: 36px; height: 36px; border-radius: 6px; background: #3d2a56; color: #fff; text-align: center;
  font: bold 20px/36px Lato, sans-serif; }
.reply .face { width: 24px; height: 24px; font-size: 14px; line-height: 24px; border-radius: 4px; }
.who { font-weight: 900; } .app { font: bold 10px/1 Lato, sans-serif; background: #e8e8e8; color: #616061;
  padding: 2px 3px; border-radius: 2px; vertical-align: 2px; margin-left: 4px; }
.what { min-width: 0; overflow-wrap: anywhere; }
h3 { font-size: 18px; line-height: 1.3; margin: 4px 0 6px; font-weight: 900; }
.section { margin: 6px 0; } .context { margin: 6px 0; font-size: 13px; color: #616061; }
.edited { font-size: 13px; color: #616061; }
code { font: 12px/1.5 "DejaVu Sans Mono", monospace; color: #c01343; background: #f6f6f6; border: 1px solid #ddd;
  border-radius: 3px; padding: 1px 3px; }
a { color: #1264a3; text-decoration: none; }
.actions { display: flex; flex-wrap: wrap; gap: 8px; margin: 8px 0 2px; }
.button { border: 1px solid #bbb; border-radius: 4px; padding: 3px 10px; font-weight: 700; font-size: 14px; }
.primary { background: #007a5a; border-color: #007a5a; color: #fff; }
.danger { border-color: #e01e5a; background: #e01e5a; color: #fff; }
img { width: 100%%; border: 1px solid #ddd; border-radius: 6px; margin-top: 4px; display: block; }
.thread { margin: 2px 14px 0 58px; font-size: 13px; color: #1264a3; font-weight: 700; }
"""


def agreed(name: str) -> list[dict[str, Any]]:
    """The messages of an example, as they are agreed."""
    found: list[dict[str, Any]] = json.loads(
        (Path(__file__).parent / "golden" / f"message_{name}.json").read_text(encoding="utf-8")
    )
    return found


def page(messages: list[dict[str, Any]], chart: bytes = b"", width: int = PHONE) -> str:
    """The card, and what stands in its thread. chart: a PNG, for the messages that have one."""
    card, *thread = messages
    said = [_message(card, edited="replaces" in card)]
    if thread:
        said.append(f'<div class="thread">{len(thread)} {"reply" if len(thread) == 1 else "replies"}</div>')
    said += [_message(one, chart, reply=True) for one in thread]
    style = f'<meta charset="utf-8"><style>{STYLE % width}</style>'
    return f"<!doctype html><html><head>{style}</head><body>{''.join(said)}</body></html>"


def words(name: str) -> str:
    """What a picture is made of, as a short name of its words and its look."""
    return hashlib.sha256(page(agreed(name)).encode()).hexdigest()[:16]


def _message(
    message: dict[str, Any], chart: bytes = b"", *, reply: bool = False, edited: bool = False
) -> str:
    who = '<span class="who">Stillwatch</span><span class="app">APP</span>'
    said = "".join(map(_block, message.get("blocks", [])))
    if "chart" in message:
        data = base64.b64encode(chart).decode()
        said = f'<img alt="{html.escape(message["text"], quote=True)}" src="data:image/png;base64,{data}">'
    mark = '<span class="edited"> (edited)</span>' if edited else ""
    kind = "message reply" if reply else "message"
    return f'<div class="{kind}"><div class="face">S</div><div class="what">{who}{mark}{said}</div></div>'


def _block(block: dict[str, Any]) -> str:
    if block["type"] == "header":
        return f"<h3>{_text(block['text'])}</h3>"
    if block["type"] == "section":
        return f'<div class="section">{_text(block["text"])}</div>'
    if block["type"] == "context":
        return f'<div class="context">{" ".join(map(_text, block["elements"]))}</div>'
    assert block["type"] == "actions", block["type"]
    return f'<div class="actions">{"".join(map(_element, block["elements"]))}</div>'


def _element(element: dict[str, Any]) -> str:
    if element["type"] == "static_select":
        return f'<span class="button">{_text(element["placeholder"])} ⌄</span>'
    return f'<span class="button {element.get("style", "")}">{_text(element["text"])}</span>'


def _text(text: dict[str, Any]) -> str:
    return html.escape(text["text"]) if text["type"] == "plain_text" else mrkdwn(text["text"])


def mrkdwn(text: str) -> str:
    """Slack's markup as HTML. `&amp;`, `&lt;` and `&gt;` are entities in both."""
    made = []
    for part in re.split(r"(`[^`\n]+`|<[^>]+>)", text):
        if part.startswith("`"):
            made.append(f"<code>{part[1:-1]}</code>")
        elif part.startswith("<"):
            url, _, label = part[1:-1].partition("|")
            made.append(f'<a href="{url}">{label or url}</a>')
        else:
            bold = re.sub(r"(?<!\w)\*([^*\n]+)\*(?!\w)", r"<b>\1</b>", part)
            made.append(re.sub(r"(?<!\w)_([^_\n]+)_(?!\w)", r"<i>\1</i>", bold).replace("\n", "<br>"))
    return "".join(made)


# Pictures.


def picture(text: str, browser: str, made_of: str, width: int = PHONE) -> bytes:
    """A PNG of the page, without what is empty beneath it."""
    with tempfile.TemporaryDirectory() as folder:
        file, shot = Path(folder) / "page.html", Path(folder) / "shot.png"
        file.write_text(text, encoding="utf-8")
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
            f"--user-data-dir={folder}/empty", f"--force-device-scale-factor={SCALE}",
            f"--window-size={max(width, 500)},{TALL}", f"--screenshot={shot}", file.as_uri(),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        whole = Image.open(shot).convert("RGB")
    box = ImageChops.difference(whole, Image.new("RGB", whole.size, "#ffffff")).getbbox()
    assert box is not None, "nothing to see"
    cut = whole.crop((0, 0, width * SCALE, box[3] + 12 * SCALE))
    few = cut.quantize(COLOURS, dither=Image.Dither.NONE)
    out, said = io.BytesIO(), PngImagePlugin.PngInfo()
    said.add_text("words", made_of)
    few.save(out, "PNG", optimize=True, pnginfo=said)
    return out.getvalue()


def main(folder: Path, width: int) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(
            f"none of {', '.join(BROWSERS)} is installed; expected one, such as Debian's package chromium"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name in SHOWN:
        chart = charts.draw(examples.EVENTS[name]().incident)
        made = picture(page(agreed(name), chart, width), browser, words(name), width)
        (folder / f"{name}.png").write_bytes(made)
        print(f"{folder / name}.png  {len(made) / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else PICTURES, int(sys.argv[2]) if sys.argv[2:] else PHONE)
