"""What people hold in their hands: contacts, uploads, mail programs and images, as varied as real ones.

In: a folder and a source of chance. Out: uploads, open events, originals on disk.
Never: knowledge of what a service can or cannot digest.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from stillwatch.demo.resizer import ORIGINALS, Image, content_of

CONTACTS = 5000
SUPPRESSED = 60
EDITOR_WIDTH = 32  # pixels of a preview in the editor
MAIL_WIDTH = 48  # pixels of an image in a sent campaign

COLUMNS = {"First name": "first_name", "Company": "company"}
FIRST_NAMES = ("Ada", "Bela", "Chen", "Dora", "Emre", "Femi", "Goran", "Hana")
COMPANIES = ("Kiln & Co", "Meadow Ltd", "Northlight", "Old Harbour")

# What mail programs call themselves, and how many of a hundred readers use them.
AGENTS = {
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)": 36,
    "Mozilla/5.0 (iPhone; CPU iPhone OS 15_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)": 28,
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)": 14,
    "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Microsoft Outlook 16.0.14931)": 10,
    "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html": 6,
    "Outlook-iOS/719.4527512.prod.iphone": 4,
    "": 2,
}


class Town:
    """The people's belongings. suppressed: addresses; editor, campaign: names of originals."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._chance = chance
        self._everybody = [f"reader{n}@example.net" for n in range(CONTACTS)]
        self.suppressed = chance.sample(self._everybody, SUPPRESSED)
        self.editor = sorted(file.stem for file in (folder / ORIGINALS / "editor").iterdir())
        self.campaign = sorted(file.stem for file in (folder / ORIGINALS / "campaign").iterdir())

    def upload(self, name: str) -> dict[str, Any]:
        """A list as its owner keeps it: cells are often empty, and one list in 250 is no list of contacts."""
        rows = [
            self._row(email) for email in self._chance.sample(self._everybody, self._chance.randint(5, 45))
        ]
        if self._chance.random() < 0.004:
            del rows[-1]["email"]
        return {"list": name, "mapping": COLUMNS, "rows": rows}

    def an_open(self) -> dict[str, str]:
        """An open as a mail program reports it."""
        [agent] = self._chance.choices(list(AGENTS), weights=list(AGENTS.values()))
        return {"type": "open", "user_agent": agent}

    def _row(self, email: str) -> dict[str, str]:
        row = {"email": email}
        if self._chance.random() < 0.7:
            row["First name"] = self._chance.choice(FIRST_NAMES)
        if self._chance.random() < 0.7:
            row["Company"] = self._chance.choice(COMPANIES)
        return row


def draw_originals(folder: Path, seed: int = 1) -> None:
    """Fill the store of originals.

    In the editor one in a hundred is a small icon, and one in a thousand is damaged; what has been sent in
    a campaign was brought to a common width before.
    """
    chance = random.Random(seed)  # noqa: S311 -- pictures, not secrets
    for path in ("editor", "campaign"):
        (folder / ORIGINALS / path).mkdir(parents=True)
    for n in range(1000):
        width = 16 if n % 100 == 50 else chance.randint(40, 96)
        content = content_of(Image(width, 48, chance.randbytes(width * 48)))
        damaged = n == 999
        (folder / ORIGINALS / "editor" / f"{n:04}.pgm").write_bytes(content[:-9] if damaged else content)
    for n in range(40):
        content = content_of(Image(96, 64, chance.randbytes(96 * 64)))
        (folder / ORIGINALS / "campaign" / f"{n:04}.pgm").write_bytes(content)
