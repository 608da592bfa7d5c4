"""Traffic of people at work: steep mornings and evenings, weekends with a tenth. None of it is a loss, nor what it
teaches; and a loss stands out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from world import DAY, World, demand

from detectors import flow, memory
from detectors.memory import LAGS, flow_record
from detectors.signals import Signal, Term
from detectors.watch import watch

WEEK = 7 * DAY


def working(world: World, rate: float) -> NDArray[np.float64]:
    """Expected events a minute: people come within an hour around eight, and go around six."""
    minute = np.arange(world.length)
    hour = minute % DAY / 60
    wave = 0.05 + 1.0 / (1.0 + np.exp(-4.0 * (hour - 8.0))) / (1.0 + np.exp(3.0 * (hour - 18.0)))
    return demand(world, rate, season=0.0, weekend=0.1) * wave / wave[:DAY].mean()


@pytest.mark.parametrize(("rate", "least", "soon"), [(500, 0.4, 12), (5000, 0.2, 12), (50_000, 0.2, 3)])
def test_a_loss_at_any_hour_is_told_soon_and_mornings_are_not(rate: float, least: float, soon: int) -> None:
    """Ten services, each with a fault of six hours in the third week; one false alert a week is allowed."""
    world, starts = World(21 * DAY, rate), {}
    for i in range(10):
        usual = working(world, rate)
        starts[f"s{i}"] = 14 * DAY + i * 16 * 60 + int(world.random.integers(0, 9 * 60))
        usual[starts[f"s{i}"] : starts[f"s{i}"] + 360] *= 1.0 - least
        world.add(f"s{i}", "stored", world.random.poisson(usual))
        world.signals.append(Signal(f"s{i}", "arriving", "throughput", (Term(f"s{i}", "stored"),)))
    plan = world.plan()
    delays, false = dict.fromkeys(starts, 360), 0
    for index, news in watch(memory.fit(memory.nothing(), plan), world.bins(), plan):
        for one in news:
            after = index + 1 - starts[one.signal.service]
            if one.phase == "raised" and 0 < after <= 420:
                delays[one.signal.service] = min(delays[one.signal.service], after)
            elif one.phase == "raised":
                false += 1
    assert false <= 5  # of three that are allowed; Poisson, one year in twenty
    assert np.median(list(delays.values())) <= soon
    assert sum(delay >= 360 for delay in delays.values()) <= 1


def test_a_first_weekend_with_a_tenth_is_no_stop_and_a_stop_in_it_is() -> None:
    world = World(6 * DAY + 720, 3)
    for i in range(5):
        usual = working(world, 5000)
        if i == 0:
            usual[5 * DAY + 720 : 5 * DAY + 780] = 0.0
        world.add(f"s{i}", "stored", world.random.poisson(usual))
        world.signals.append(Signal(f"s{i}", "arriving", "throughput", (Term(f"s{i}", "stored"),)))
    plan = world.plan()
    found = watch(memory.fit(memory.nothing(), plan), world.bins(), plan)
    told = [(one.signal.service, index) for index, news in found for one in news if one.phase == "raised"]
    on_weekend = [(service, index - 5 * DAY) for service, index in told if index >= 5 * DAY]
    assert [service for service, _ in on_weekend] == ["s0"]
    assert 720 <= on_weekend[0][1] < 740


def test_quiet_hours_do_not_bend_the_curve_of_a_flow() -> None:
    """Three quarters come out at once, a quarter one interval later; all but two in a thousand come."""
    random = np.random.default_rng(5)
    one = np.zeros(1, dtype=flow_record(64)).view(np.recarray)[0]
    one.reach, one.grown = 3, 1.0
    entered = random.poisson(np.where(np.arange(6000) % 1000 < 500, 200, 10))
    came = random.binomial(entered, 0.998)
    first = random.binomial(came, 0.75)
    out = first + np.concatenate([[0], (came - first)[:-1]])
    for number in range(len(entered)):
        flow.take_in(one, number, float(entered[number]), 0.0)
        mean = 0.998 * (0.75 * entered[number] + 0.25 * entered[max(number - 1, 0)])
        flow.teach(one, float(out[number]), mean, 0.0)
    flow._fit(one)
    assert one.curve[: LAGS - 1].sum() == pytest.approx(0.998, abs=0.0015)
