"""What ends a start: one line for who started us.

In: nothing. Out: an exception. Never: a traceback for people.
"""

from __future__ import annotations


class CannotStart(Exception):  # noqa: N818  (it reads as what happened)
    """One line that says why, and what to change."""
