"""Holidays: no loss, no lesson for their weekday, no cover for a stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import pytest
from world import DAY, START, World, between, demand

from detectors import memory
from detectors.almanac import SUNDAY, write_day, year_before
from detectors.findings import Finding
from detectors.memory import DAY_UNIT, QUARTERS, YEAR, Memory
from detectors.plan import Plan
from detectors.signals import Signal, Term
from detectors.watch import watch

FIRST = START // 86400  # number of the world's first day
HOLIDAY = 17  # day of the world, a Thursday
WEEKEND = 0.6


def made(
    seed: int,
    days: int,
    holidays: Sequence[int],
    how: str,
    signals: int = 1,
    stop: int = -100,
    weekend: float = WEEKEND,
) -> World:
    """Throughputs that share holidays: like a "sunday", or "lower" by 40 %, or like a Sunday from noon on ("half"),
    or as "usual". stop: minute from which nothing comes for half an hour."""
    world = World(days * DAY, seed)
    minute = np.arange(world.length)
    off = np.isin(minute // DAY, holidays) & ((how != "half") | (minute % DAY >= DAY // 2))
    less = {"sunday": weekend, "half": weekend, "lower": 0.6, "usual": 1.0}[how]
    for i in range(signals):
        usual = demand(world, (300, 30, 3000, 3)[i % 4], world.random.uniform(0.5, 1.2), weekend)
        counts = world.random.poisson(usual * np.where(off, less, 1.0))
        world.add(f"s{i}", "stored", np.where(between(world, stop, 30), 0, counts))
        world.signals.append(Signal(f"s{i}", "arriving", "throughput", (Term(f"s{i}", "stored"),)))
    return world


def watched(
    world: World, calendar: Sequence[int] = (), year_ago: Mapping[int, float] | None = None
) -> tuple[Memory, Plan, list[Finding]]:
    """year_ago: days of the year before, counted as those of the world, and how much of the usual they brought."""
    plan = world.plan(holidays={FIRST + day: "a day off" for day in calendar})
    known = memory.fit(memory.nothing(), plan)
    for day, part in (year_ago or {}).items():
        write_day(known.columns.seasons, FIRST + day, np.log(part))
    news = [one for _, told in watch(known, world.bins(), plan) for one in told]
    return known, plan, [one for one in news if one.phase == "raised"]


def days_of(found: Sequence[Finding]) -> list[int]:
    return [(one.onset - START) // 60 // DAY for one in found]


@pytest.mark.parametrize(
    ("how", "weekend"), [("sunday", 0.6), ("lower", 0.9), ("half", 0.6), ("half", 0.3), ("usual", 0.6)]
)
@pytest.mark.parametrize("signals", [1, 20])
def test_a_holiday_of_the_calendar_is_no_loss_nor_is_what_comes_after(
    how: str, weekend: float, signals: int
) -> None:
    world = made(31, 26, [HOLIDAY], how, signals, weekend=weekend)
    told = days_of(watched(world, [HOLIDAY])[2])
    assert HOLIDAY not in told
    # Twenty throughputs may tell something false once a week.
    assert told.count(HOLIDAY + 1) + told.count(HOLIDAY + 7) <= signals // 20


def test_without_a_calendar_a_day_unlike_all_others_is_a_loss_and_a_sunday_out_of_turn_is_none() -> None:
    assert HOLIDAY in days_of(watched(made(31, 18, [HOLIDAY], "lower", weekend=0.9))[2])
    known, _, found = watched(made(31, 19, [HOLIDAY], "sunday"))
    assert HOLIDAY not in days_of(found)
    odd = {day: ago * DAY_UNIT for day, ago in enumerate(known.columns.seasons.ago[0].tolist()) if ago}
    assert odd == {(FIRST + HOLIDAY) % YEAR: pytest.approx(np.log(WEEKEND), abs=0.1)}  # and remembers it


@pytest.mark.parametrize("how", ["sunday", "usual"])
@pytest.mark.parametrize("hour", [3, 11])
def test_a_stop_on_a_holiday_is_told_within_minutes(how: str, hour: int) -> None:
    stop = HOLIDAY * DAY + 60 * hour
    for seed in (32, 33):
        world = made(seed, 18, [HOLIDAY], how, stop=stop)
        (found,) = [one for one in watched(world, [HOLIDAY])[2] if one.onset >= START + 86400 * HOLIDAY]
        assert found.kind == "data_loss"
        assert abs(found.onset - START - 60 * stop) <= 60


def test_a_holiday_teaches_its_weekday_nothing() -> None:
    world = made(34, 19, [HOLIDAY], "sunday", weekend=0.3)
    known, plan, _ = watched(world, [HOLIDAY])
    season = known.columns.seasons[plan.season[0]]
    weekday = (FIRST + HOLIDAY + 3) % 7
    assert season.taught[weekday] == 2  # of three such days
    usual = memory.shape_of(season.usual)
    thursday = usual[weekday * QUARTERS : (weekday + 1) * QUARTERS]
    assert np.median(thursday - usual[SUNDAY]) == pytest.approx(-np.log(0.3), abs=0.15)
    assert (season.near == np.roll(season.usual, -season.begins)[: len(season.near)]).all()


def test_what_holidays_have_in_common_is_learned() -> None:
    """They lose 40 % where Sundays lose a tenth: after some, a loss of half is told that was not told before."""
    holidays = [10, 17, 25, 31, 38, 45, 52]
    world = made(35, 54, holidays, "lower", weekend=0.9)
    known, plan, found = watched(world, holidays)
    season = known.columns.seasons[plan.season[0]]
    assert not set(days_of(found)) & {d + after for d in holidays for after in (0, 1)}
    assert np.median(memory.shape_of(season.holiday)) == pytest.approx(np.log(0.6 / 0.9) * 7 / 8, abs=0.1)
    assert np.sqrt((0.36 + season.apart) / 8) < 0.4


def test_holidays_of_other_times_and_before_a_week_is_known_change_nothing() -> None:
    world = made(36, 19, [HOLIDAY], "sunday", 4)
    known, _, found = watched(world, [2, 5, 21])
    same, _, as_found = watched(world)
    assert [(one.signal, one.onset, one.lost) for one in found] == [
        (o.signal, o.onset, o.lost) for o in as_found
    ]
    assert known.columns.charts.tobytes() == same.columns.charts.tobytes()


@pytest.mark.parametrize("ago", [364, 365])  # the same weekday, the same date
def test_a_day_that_was_odd_a_year_ago_is_no_loss_and_hides_no_stop(ago: int) -> None:
    year_ago = {HOLIDAY - ago: WEEKEND}
    assert HOLIDAY not in days_of(watched(made(31, 19, [HOLIDAY], "sunday"), year_ago=year_ago)[2])
    assert HOLIDAY not in days_of(watched(made(31, 19, [HOLIDAY], "usual"), year_ago=year_ago)[2])
    stop = HOLIDAY * DAY + 660
    found = watched(made(31, 18, [HOLIDAY], "sunday", stop=stop), year_ago=year_ago)[2]
    assert any(abs(one.onset - START - 60 * stop) <= 60 for one in found)


def test_a_year_before_29_february_was_28_february() -> None:
    seasons = np.zeros(1, dtype=memory.SEASON).view(np.recarray)
    days = {text: (date.fromisoformat(text) - date(1970, 1, 1)).days for text in ("2027-02-28", "2028-02-29")}
    write_day(seasons, days["2027-02-28"], -0.5)
    assert year_before(seasons, days["2028-02-29"]) == -0.5
    assert year_before(seasons, days["2028-02-29"] + 1) == 0.0
