"""The draft of a post-incident report as one page of HTML with its charts.

In: a Postmortem. Out: HTML that needs nothing else.
Never: a script, anything fetched from elsewhere, a word from outside that is not escaped.
"""

from __future__ import annotations

from markupsafe import Markup

from alerts import charts
from stillwatch.pages import render
from stillwatch.postmortem import SIGNALS, Postmortem

NUMBERS = SIGNALS.index("counted"), len(SIGNALS)  # columns of figures


def page(told: Postmortem) -> str:
    """The page as text."""
    # matplotlib escapes what it writes; nothing of ours is put into it afterwards.
    chart = Markup(charts.svg(told.incident)) if told.drawn else Markup("")  # noqa: S704
    return render("postmortem.html", told=told, chart=chart, signals=SIGNALS, figures=range(*NUMBERS))
