"""A template filled in: how all of our pages are made.

In: the name of a template, values. Out: HTML.
Never: a value from outside that is not escaped, or that holds a character that is not seen; a script.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

# Control characters and bidirectional overrides: of no use in a page, and not harmless where its source is shown.
UNSEEN = dict.fromkeys(
    [*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
TEMPLATES = Path(__file__).parent / "templates"
# No script, nothing from elsewhere, nowhere to send anything. Styles stand in the page, in charts at each line.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render(template: str, **values: Any) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    return environment.get_template(template).render(policy=POLICY, **values)


def _printable(value: Any) -> Any:
    return value.translate(UNSEEN) if type(value) is str else value  # what is Markup is ours
