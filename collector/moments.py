"""Times as people and programs write them.

In: RFC 3339 with an offset, or epoch seconds, as text. Out: epoch seconds.
Never: a guess at an offset that was not given; a clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

EXPECTED = "a time such as 2022-04-13T06:31:00Z (RFC 3339 with an offset) or epoch seconds"
LATEST = 4_102_444_800  # 2100-01-01: beyond it lie milliseconds taken for seconds

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(?P<offset>[Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
_EPOCH = re.compile(r"\d{1,19}(\.\d{1,9})?", re.ASCII)


def seconds(text: str) -> float:
    """Epoch seconds of `text`. ValueError, whose text says what was expected."""
    text = text.strip()
    if _EPOCH.fullmatch(text):
        moment = float(text)
    else:
        match = _RFC3339.fullmatch(text)
        if match is None:
            raise ValueError(EXPECTED)
        if match["offset"] is None:
            raise ValueError("an offset from UTC at its end, such as Z or +02:00")
        try:
            moment = datetime.fromisoformat(text.upper()).timestamp()
        except ValueError:
            raise ValueError(EXPECTED) from None
    if not 0 <= moment < LATEST:
        raise ValueError("a time between 1970 and 2100 (epoch seconds, not milliseconds)")
    return moment


def in_utc(text: str) -> float:
    """Epoch seconds of any form of ISO 8601, of UTC where it says no offset. ValueError, with what was expected."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(EXPECTED) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def rfc3339(moment: int) -> str:
    """Epoch seconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
