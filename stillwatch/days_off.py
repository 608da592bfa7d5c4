"""The days of the calendar on which people do not work, as stillwatch.yaml names them.

In: entries such as DE-BY, 12-24 or 2027-03-08. Out: number of the local day -> name of the holiday.
Never: a calendar of our own making: those of countries come from the package `holidays`, loaded when one is named.
"""

from __future__ import annotations

import re
import warnings
from calendar import isleap
from collections.abc import Iterable
from datetime import date, datetime

YEARS = range(2000, 2050)  # of which the days are known; recorded counts may be old
EXPECTED = "a country (DE), a region (DE-BY), a day (2027-03-08), or a day of every year (12-24)"
EPOCH = date(1970, 1, 1).toordinal()


def entry(value: object) -> object:
    """One entry of the file, as text. Raises ValueError with what was expected, in words."""
    if value is False:  # YAML's reading of NO
        raise ValueError('a country, or "NO" in quotes for Norway')
    if isinstance(value, date) and not isinstance(value, datetime):
        value = value.isoformat()
    if not isinstance(value, str):
        raise ValueError(EXPECTED)
    _days(value)
    return value


def days_off(entries: Iterable[str]) -> dict[int, str]:
    """Days since the epoch -> what the holiday is called, of entries that `entry` has let pass."""
    return {day.toordinal() - EPOCH: name for text in entries for day, name in _days(text).items()}


def _days(text: str) -> dict[date, str]:
    if re.fullmatch(r"[A-Z]{2}(-[A-Za-z0-9 ]+)?", text):
        return _of_country(*text.split("-", 1))
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return {date.fromisoformat(text): text}
        if re.fullmatch(r"[0-9]{2}-[0-9]{2}", text):
            leap = date.fromisoformat(f"2000-{text}")
            years = [y for y in YEARS if (leap.month, leap.day) != (2, 29) or isleap(y)]
            return {leap.replace(year=year): text for year in years}
    except ValueError:
        raise ValueError(f"{EXPECTED}; there is no {text}") from None
    raise ValueError(EXPECTED)


def _of_country(country: str, region: str | None = None) -> dict[date, str]:
    import holidays  # here, not above: it is only needed where a country is named

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some calendars end before our years do
        try:
            # In English wherever that is known: else the names would depend on the machine's language.
            named = holidays.country_holidays(country, subdiv=region, years=YEARS, language="en_US")
        except NotImplementedError:
            raise ValueError(_instead(country)) from None
    return dict(named)


def _instead(country: str) -> str:
    import holidays

    known = holidays.list_supported_countries(include_aliases=False)
    if country not in known:
        return EXPECTED
    regions = ", ".join(f"{country}-{region}" for region in known[country])
    return (
        f"{country}, or one of its regions: {regions}"
        if regions
        else f"{country}: no regions of it are known"
    )
