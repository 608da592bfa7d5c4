"""Versions that begin to serve are deployments, and nothing else is: no restart, no trickle, no flood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from alerts.packed import pack, unpack
from collector.bins import Bins, SeriesKey, SeriesTable
from collector.deployments import Deployment
from detectors import serving as of
from detectors.plan import lay
from detectors.same_deployment import one_of_each
from detectors.serving import Began, Name, Serving, follow, rollout, versions
from detectors.signals import Budget
from stillwatch.engine import State, advance
from stillwatch.snapshot import dump, load

W, START = 60, 1_650_000_000 // 60
Floats = NDArray[np.float64]


def block(counts: Floats, first: int = START) -> Bins:
    n = len(counts)
    closed = W * (first + 1 + np.arange(n)) + 15
    return Bins(first * W, W, closed, np.asarray(counts, dtype=np.float64), np.ones(n, dtype=np.bool_))


def keys(names: Sequence[str], service: str = "shop") -> list[SeriesKey]:
    return [SeriesKey(service, "requests", name) for name in names]


def seen(shares: dict[str, Sequence[float]], rate: float = 100.0) -> list[Began]:
    """What is seen where the versions (of one letter) have these shares of `rate` counts an interval."""
    counts = np.array([shares[name] for name in shares]).T * rate
    return follow(Serving.nothing(), block(counts), versions(keys("".join(shares))))[1]


def ramp(n: int, at: int, lasts: int, to: float = 1.0) -> Floats:
    return np.clip((np.arange(n) - at + 1) / lasts, 0, 1) * to


def brief(began: Sequence[Began]) -> list[tuple[int, str, str, bool]]:
    return [(b.since - START, b.name.version, b.previous, b.rollback) for b in began]


@pytest.mark.parametrize("lasts", [1, 10, 60])
@pytest.mark.parametrize("rate", [3.0, 100.0, 1e6])
def test_a_new_version_is_one_deployment_with_a_begin_and_an_end(rate: float, lasts: int) -> None:
    new = ramp(200, 100, lasts)
    counts = np.round(np.stack([1 - new, new], axis=1) * rate)
    state, began = follow(Serving.nothing(), block(counts), versions(keys("ab")))
    ((since, version, previous, back),) = brief(began)
    assert (version, previous, back) == ("b", "a", False)
    first = int(np.argmax(counts[:, 1] > 0))
    assert (
        first <= since <= first + (0 if lasts < 20 else 5)
    )  # a slow one begins where it is no trickle any more
    assert began[0].interval - first <= 3 + lasts * 0.06  # told within minutes
    how = rollout(state, Name("shop", "", "b"), W)
    assert how is not None and how.share == 1.0
    assert abs(how.full / W - START - (100 + lasts)) <= 6
    assert how.since == began[0].since * W


def test_a_restart_a_pause_and_the_first_version_are_none() -> None:
    counts = np.full((300, 1), 50.0)
    counts[100:103] = np.nan
    counts[150:220] = 0.0
    assert follow(Serving.nothing(), block(counts), versions(keys("a")))[1] == []


def test_versions_that_serve_side_by_side_are_none() -> None:
    chance = np.random.default_rng(3)
    shares = {"a": chance.poisson(80, 2000), "b": chance.poisson(7, 2000), "c": chance.poisson(13, 2000)}
    assert seen({k: v / 100 for k, v in shares.items()}) == []
    rare = {"a": chance.poisson(2.0, 5000), "b": chance.poisson(0.3, 5000)}
    assert seen(rare, rate=1.0) == []


def test_a_trickle_is_none_until_it_is_none_any_more() -> None:
    canary = np.full(600, 0.01)
    canary[:100] = 0.0
    assert seen({"a": 1 - canary, "b": canary}, 1000) == []
    canary[400:] = 0.5
    assert brief(seen({"a": 1 - canary, "b": canary}, 1000)) == [(400, "b", "a", False)]


@pytest.mark.parametrize("rate", [10.0, 1000.0, 1e4, 1e6])
def test_what_straggles_in_after_a_version_was_replaced_is_no_return(rate: float) -> None:
    left = np.array([0.88, 0.52, 0.14, 0.0016, 0.0, 0.0001, 0.0, 0.0001])  # as it goes, instance by instance
    old = np.concatenate([np.ones(100), left, np.zeros(60)])
    counts = np.ceil(np.stack([old, 1 - old], axis=1) * rate)
    _, began = follow(Serving.nothing(), block(counts), versions(keys("ab")))
    assert [(b.name.version, b.previous, b.rollback) for b in began] == [("b", "a", False)]


def test_back_to_an_earlier_version_is_a_rollback_and_forward_again_is_none() -> None:
    b = np.zeros(400)
    b[100:150] = 1.0
    b[250:] = 1.0
    assert brief(seen({"a": 1 - b, "b": b})) == [
        (100, "b", "a", False),
        (150, "a", "b", True),
        (250, "b", "a", False),
    ]


def test_a_canary_that_is_taken_back_is_a_rollback_to_what_goes_on() -> None:
    b = np.zeros(300)
    b[100:150] = 0.2
    assert brief(seen({"a": 1 - b, "b": b})) == [(100, "b", "a", False), (150, "a", "b", True)]


def test_what_left_little_by_little_comes_back_as_a_rollback() -> None:
    b = np.zeros(500)
    b[100:160] = 1 - 0.9 ** np.arange(1, 61)
    b[160:300] = 0.9999
    shares = {"a": 1 - b, "b": b}
    assert brief(seen(shares, 1e5)) == [(100, "b", "a", False), (300, "a", "b", True)]


def test_a_fix_that_overtakes_a_canary_is_no_rollback() -> None:
    a, b, c = np.ones(400), np.zeros(400), np.zeros(400)
    a[100:], b[100:] = 0.8, 0.2
    a[150:], b[150:], c[150:] = 0.0, 0.0, 1.0
    assert brief(seen({"a": a, "b": b, "c": c})) == [(100, "b", "a", False), (150, "c", "b", False)] or brief(
        seen({"a": a, "b": b, "c": c})
    ) == [(100, "b", "a", False), (150, "c", "a", False)]


def test_a_version_of_its_own_for_each_start_floods_nothing() -> None:
    """Ten processes, each restarted every 40 minutes, each time with a version that nobody has seen before."""
    chance, days = np.random.default_rng(1), 3
    n = days * 1440
    columns = []
    for _ in range(10):
        at = int(chance.integers(40))
        while at < n:
            counts = np.zeros(n)
            counts[at : at + 40] = 10.0
            columns.append(counts)
            at += 40
    names = [SeriesKey("dev", "requests", f"{i:04x}") for i in range(len(columns))]
    began = follow(Serving.nothing(), block(np.stack(columns, axis=1)), versions(names))[1]
    assert [b for b in began if b.since >= START + 40] == []  # once they are all there
    one = [
        c for i, c in enumerate(columns) if i < n // 40
    ]  # a single process of this kind: no more than one an hour
    began = follow(Serving.nothing(), block(np.stack(one, axis=1)), versions(names[: len(one)]))[1]
    assert len(began) <= days * 24 + 3


def test_environments_are_followed_apart() -> None:
    b = ramp(300, 100, 1)
    later = ramp(300, 200, 1)
    names = [
        SeriesKey("shop", "requests", version, ((of.ENVIRONMENT, place),))
        for place in ("staging", "production")
        for version in "ab"
    ]
    counts = np.stack([1 - b, b, 1 - later, later], axis=1) * 50
    began = follow(Serving.nothing(), block(counts), versions(names))[1]
    assert [(x.name.environment, x.since - START) for x in began] == [("staging", 100), ("production", 200)]


def made(seed: int) -> tuple[list[SeriesKey], Floats]:
    """Two services, of which one changes its versions at random, with pauses and what was not measured."""
    chance = np.random.default_rng(seed)
    n = 400
    counts = np.full((n, 9), np.nan)
    at = 0
    while at < n:
        upto = min(at + int(chance.integers(1, 60)), n)
        there = chance.choice(4, size=chance.integers(0, 3), replace=False)
        for version in there:
            counts[at:upto, version] = chance.poisson(
                chance.choice([0.3, 5.0, 200.0]), (counts[at:upto, version]).shape
            )
        at = upto
    counts[:, 4:] = chance.poisson(20, (n, 5))
    return [*keys("abcd"), *keys("pqrst", "other")], counts


def whole(
    counts: Floats, names: Sequence[SeriesKey], edges: Sequence[int]
) -> tuple[Serving, list[tuple[object, ...]]]:
    state, said = Serving.nothing(), list[tuple[Any, ...]]()
    bins = block(counts)
    for first, last in pairwise(edges):
        state, began = follow(state, bins.cut(first, last), versions(names))
        said += [(first + b.interval, *b[1:]) for b in began]
    return state, said


@pytest.mark.parametrize("seed", range(12))
def test_blocks_the_future_order_and_strangers_change_nothing(seed: int) -> None:
    names, counts = made(seed)
    state, said = whole(counts, names, [0, 400])
    ones, said_ones = whole(counts, names, list(range(401)))
    assert said == said_ones
    assert state.names == ones.names
    np.testing.assert_array_equal(state.versions, ones.versions)
    np.testing.assert_array_equal(state.services, ones.services)
    changed = counts.copy()
    changed[200:, :4] = np.roll(changed[200:, :4], 1, axis=1)
    assert [b for b in whole(changed, names, [0, 400])[1] if b[0] < 200] == [b for b in said if b[0] < 200]
    order = np.random.default_rng(seed).permutation(9)
    assert sorted(map(str, whole(counts[:, order], [names[i] for i in order], [0, 400])[1])) == sorted(
        map(str, said)
    )
    mine = [b for b in said if b[1].service == "shop"]
    assert whole(counts[:, :4], names[:4], [0, 400])[1] == mine


@pytest.mark.parametrize("seed", range(6))
def test_names_that_are_known_sooner_or_later_change_nothing(seed: int) -> None:
    """Live, a series has its row as soon as it was counted, in a replay when the interval was judged."""
    names, counts = made(seed)
    state, said = Serving.nothing(), []
    bins = block(counts)
    for at in range(400):
        there = max((i + 1 for i in range(9) if (~np.isnan(counts[: at + 1, i])).any()), default=0)
        one = replace(bins.cut(at, at + 1), values=bins.values[at : at + 1, :there])
        state, began = follow(state, one, versions(names[:there]))
        said += [(at, *b[1:]) for b in began]
    assert said == whole(counts, names, [0, 400])[1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_the_compiled_form_is_the_plain_one(seed: int) -> None:
    names, counts = made(seed)
    laid = versions(names)
    fit = of._fit(Serving.nothing(), laid)
    found = np.zeros((400, 5), dtype=np.int64)
    given_ = (
        laid.first,
        laid.row,
        laid.start,
        laid.wait,
        counts[:120],
        np.ones(120, dtype=np.bool_),
        0,
        START,
        1 / 60,
    )
    v, s = fit.versions.copy(), fit.services.copy()
    done = of._run(v, s, *given_, found)
    plain = getattr(of._run, "py_func", of._run)
    v2, s2, found2 = fit.versions.copy(), fit.services.copy(), np.zeros_like(found)
    assert plain(v2, s2, *given_, found2) == done
    np.testing.assert_array_equal(found, found2)
    np.testing.assert_allclose(v, v2, rtol=1e-12)
    np.testing.assert_allclose(s, s2, rtol=1e-12)


# As deployments

T0 = START * W
TOLD = Deployment("r1", T0 + 100 * W, "shop", "v1.4.2", "1.4.1")


def went(told: Sequence[Deployment], until: int = 140, start: int = 100) -> list[Deployment]:
    """The deployments that are known in the end where 1.4.1 gives way to 1.4.2 at `start`."""
    table = SeriesTable([SeriesKey("shop", "requests", v) for v in ("1.4.1", "1.4.2")])
    b = ramp(until, start, 3)
    plan = lay([], table, W, Budget())
    bins = block(np.stack([1 - b, b], axis=1) * 90)
    state, _ = advance(State.empty(), bins, told, plan)
    assert load(dump(state)).deployments == state.deployments
    assert dump(load(dump(state))) == dump(state)
    return one_of_each(state.deployments, W)


def test_seen_and_not_told() -> None:
    (one,) = went([])
    assert (one.service, one.version, one.previous_version, one.time) == ("shop", "1.4.2", "1.4.1", TOLD.time)
    assert one.seen and one.kind == "deploy" and one.time < one.known <= one.time + 4 * W
    assert one.id.startswith("seen-") and went([]) == [one]


@pytest.mark.parametrize("offset", [-86000, -300, 0, 50, 600, 3500])
@pytest.mark.parametrize("late", [0, 30, 20 * W])
def test_told_and_seen_is_one_deployment(offset: int, late: int) -> None:
    told = replace(TOLD, time=TOLD.time + offset, reported=TOLD.time + max(offset, 0) + late)
    (one,) = went([told])
    assert (one.id, one.version, one.previous_version) == ("r1", "1.4.2", "1.4.1")
    assert not one.seen and one.time == (told.time if offset < 2 * W else TOLD.time)


def in_blocks(
    keyed: list[SeriesKey], counts: Floats, told: Deployment, edges: Sequence[int], w: int = W
) -> State:
    first = T0 // w
    closed = w * (first + 1 + np.arange(len(counts))) + 15
    bins = Bins(first * w, w, closed, counts, np.ones(len(counts), dtype=np.bool_))
    plan, state = lay([], SeriesTable(keyed), w, Budget()), State.empty()
    for start, end in pairwise(edges):
        state, _ = advance(state, bins.cut(start, end), [told], plan)
    return state


@pytest.mark.parametrize("size", [1, 7, 480])
def test_what_was_told_and_what_was_seen_of_one_deployment_is_forgotten_as_one(size: int) -> None:
    """Each that is forgotten counts among the deployments of its service."""
    hour, hours = 3600, 480
    new = ramp(hours, 100, 1)
    told = replace(TOLD, time=T0 // hour * hour + 95 * hour)
    state = in_blocks(
        keys(["1.4.1", "1.4.2"]),
        np.stack([1 - new, new], axis=1) * 90,
        told,
        [*range(0, hours, size), hours],
        hour,
    )
    assert state.past.blips.deployed == {"shop": (told.time,)}
    assert state.deployments == ()


def test_one_release_is_seen_in_each_environment_at_its_time() -> None:
    staging, production = ramp(300, 100, 1), ramp(300, 160, 1)
    keyed = [
        SeriesKey("shop", "requests", version, ((of.ENVIRONMENT, place),))
        for place in ("production", "staging")
        for version in ("1.4.1", "1.4.2")
    ]
    counts = np.stack([1 - production, production, 1 - staging, staging], axis=1) * 90
    whole = in_blocks(keyed, counts, TOLD, [0, 300])
    assert [(d.id, d.environment, (d.time - T0) // W) for d in whole.deployments if d.seen] == [
        ("r1", "staging", 100),
        ("r1", "production", 160),
    ]
    assert in_blocks(keyed, counts, TOLD, range(301)).deployments == whole.deployments
    assert len(one_of_each(whole.deployments, W)) == 1


def test_what_was_seen_in_two_environments_keeps_both_its_names_once_it_is_told_of() -> None:
    told = replace(TOLD, environment="")
    seen = [
        replace(told, id=f"seen-{name}", environment=name, time=told.time + 60 * i, seen=True)
        for i, name in enumerate(("staging", "production"), 1)
    ]
    (one,) = one_of_each([*seen, told], 60)
    assert (one.id, one.seen_as) == (told.id, ("seen-staging", "seen-production"))
    state = replace(State.empty(), deployments=(one,))
    assert load(dump(state)).deployments[0].seen_as == one.seen_as
    earlier = dump(state).replace(b'["seen-staging", "seen-production"]', b'"seen-staging"' + b" " * 21)
    assert load(earlier).deployments[0].seen_as == ("seen-staging",)
    text = pack(one).replace('["seen-staging","seen-production"]', '"seen-staging"')
    assert unpack(Deployment, text).seen_as == ("seen-staging",)


def test_another_version_or_service_told_is_another_deployment() -> None:
    others = [
        replace(TOLD, version="1.5.0", id="other"),
        replace(TOLD, service="mail", id="mail"),
        replace(TOLD, kind="flag", id="flag"),
        replace(TOLD, time=TOLD.time - 2 * 86400, id="old"),
    ]
    for other in others:
        assert len(went([other])) == 2, other


def test_a_commit_is_known_by_its_beginning() -> None:
    commit = "9fec847784abb10b2fa567ee63b85bd238955d0e"
    told = Deployment("r", T0, "shop", commit[:12], revision=commit)
    as_seen = Deployment("s", T0 + 60, "shop", "9FEC847".lower(), seen=True)
    assert [d.id for d in one_of_each([as_seen, told], W)] == ["r"]
    assert len(one_of_each([as_seen, replace(told, version="1.0", revision="")], W)) == 2


def test_two_senders_of_one_deployment_are_one_and_a_way_back_is_another() -> None:
    github = Deployment("github-1", T0, "shop", "v2", revision="9fec847784abb10b")
    argo = Deployment("argocd-1", T0 + 300, "shop", "2")
    assert one_of_each([argo, github], W) == [github]
    back = Deployment("github-2", T0 + 600, "shop", "v1", kind="rollback")
    again = Deployment("github-3", T0 + 900, "shop", "v2")
    assert [d.id for d in one_of_each([github, argo, back, again], W)] == ["github-1", "github-2", "github-3"]


@given(
    st.lists(
        st.tuples(st.integers(0, 5000), st.sampled_from("ab"), st.sampled_from("12"), st.booleans()),
        max_size=8,
    )
)
def test_one_of_each_is_settled_at_once_and_invents_nothing(rows: list[tuple[int, str, str, bool]]) -> None:
    given_ = [Deployment(f"r{i}", T0 + t, s, v, seen=seen) for i, (t, s, v, seen) in enumerate(rows)]
    found = one_of_each(given_, W)
    assert found == one_of_each(reversed(given_), W)
    assert {(d.service, d.version) for d in found} == {(d.service, d.version) for d in given_}
    assert {d.id for d in found} <= {d.id for d in given_}
