"""Silences mean what they mean in Alertmanager, and mute an incident only where all of it is muted."""

from __future__ import annotations

from dataclasses import replace

import examples
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.incidents import Incident
from alerts.silences import LABELS, Matcher, Silence, check, labels_of, matcher, mutes_labels, muting, until

NOW = examples.at("06:40")
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=30)


def silence(*matchers: str, starts: int = NOW - 60, ends: int = NOW + 60, name: str = "s1") -> Silence:
    return Silence(name, tuple(map(matcher, matchers)), starts, ends, "anna")


def both() -> Incident:
    """Imports that fail and opens that are lost, by one release."""
    return examples.joined().incident


@pytest.mark.parametrize(
    ("written", "label", "how", "value"),
    [
        ("service=image-resizer", "service", "=", "image-resizer"),
        (' service = "image resizer" ', "service", "=", "image resizer"),
        ("kind!=rollout", "kind", "!=", "rollout"),
        ('version=~"4[.].*"', "version", "=~", "4[.].*"),
        ("owner!~mail.*", "owner", "!~", "mail.*"),
        ("owner=", "owner", "=", ""),
        ('owner=""', "owner", "=", ""),
        (r'signal="a\"b\\c\nd"', "signal", "=", 'a"b\\c\nd'),
        ("signal=a=b", "signal", "=", "a=b"),
        ("signal=~=x", "signal", "=~", "=x"),
    ],
)
def test_a_matcher_is_read_as_amtool_reads_it(written: str, label: str, how: str, value: str) -> None:
    assert matcher(written) == Matcher(label, how, value)  # type: ignore[arg-type]


@given(label=st.sampled_from(LABELS), how=st.sampled_from(["=", "!="]), value=WORDS)
def test_a_matcher_that_is_shown_can_be_given_again(label: str, how: str, value: str) -> None:
    one = Matcher(label, how, value)  # type: ignore[arg-type]
    assert matcher(str(one)) == one


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("image-resizer", "expected a matcher such as service=image-resizer"),
        ("", "expected a matcher such as"),
        ("service==a", None),  # the value is "=a", as in Alertmanager
        ("team=a", "found the label 'team', expected one of service, signal"),
        ('service="a', "expected a closed pair of quotes"),
        ('service=a"', "expected a closed pair of quotes"),
        ("service=~(a", "found the expression '(a'"),
        ("service=~(?=a)", "expected one of RE2"),
        ("service=" + "a" * 501, "at most 500 characters"),
    ],
)
def test_a_matcher_that_is_none_says_what_was_expected(written: str, said: str | None) -> None:
    if said is None:
        assert matcher(written).value == "=a"
        return
    with pytest.raises(ValueError, match="expected") as error:
        matcher(written)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("written", "value", "holds"),
    [
        ("service=a", "a", True),
        ("service=a", "ab", False),
        ("service!=a", "", True),
        ("service=~a", "ab", False),  # anchored at both ends
        ("service=~a|b", "b", True),
        ("service=~a|b", "ab", False),
        ("service=~a.*", "ab", True),
        ("service!~a.*", "ab", False),
        ("service!~a.*", "", True),
        ("service=~.*", "", True),
        ("service=~.+", "", False),
        ("service=~(a+)+", "a" * 400 + "b", False),  # at once: RE2 does not backtrack
    ],
)
def test_what_a_matcher_holds_for(written: str, value: str, holds: bool) -> None:
    assert mutes_labels(silence(written), {"service": value}) is holds


@given(how=st.sampled_from(["=", "=~"]), value=st.text("ab.*", max_size=6), label=st.text("ab", max_size=4))
def test_the_two_negations_say_the_opposite(how: str, value: str, label: str) -> None:
    try:
        positive = matcher(f'service{how}"{value}"')
    except ValueError:
        return  # no expression
    negative = replace(positive, how="!=" if how == "=" else "!~")
    labels = {"service": label}
    yes, no = (mutes_labels(Silence("s", (m,), 0, 1, "a"), labels) for m in (positive, negative))
    assert yes is not no


def test_a_label_that_is_not_there_is_empty() -> None:
    assert mutes_labels(silence("service!=b", "owner="), {"service": "a"})
    assert not mutes_labels(silence("service!=b", "owner=x"), {"service": "a"})


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (silence("owner="), "expected one at least that does not match an empty value"),
        (silence("owner=~.*", "service!=x"), "that does not match an empty value"),
        (replace(silence("owner=a"), matchers=()), "found 0 matchers"),
        (silence("service=a", ends=NOW - 60), "expected a later one"),
        (silence("service=a", ends=0), "found no end"),
        (silence("incident!=a", "service=b", ends=0), "found no end"),
        (replace(silence("service=a"), author=" "), "expected who wants it"),
    ],
)
def test_a_silence_that_would_mute_all_or_for_ever_is_refused(wanted: Silence, said: str) -> None:
    with pytest.raises(ValueError, match="expected") as error:
        check(wanted)
    assert said in str(error.value)


def test_a_silence_may_last_as_long_as_the_incident_that_it_names() -> None:
    check(silence("incident=abc", ends=0))


def test_the_labels_of_an_incident_are_those_of_its_standing_findings() -> None:
    found = labels_of(both())
    assert [(one["service"], one["signal"], one["kind"]) for one in found] == [
        ("contact-importer", "imports", "error_spike"),
        ("event-parser", "opens_kept", "data_loss"),
    ]
    assert {one["incident"] for one in found} == {both().id}
    assert {one["environment"] for one in found} == {"production"}
    assert [one["version"] for one in found] == ["3.45.0", "2.13.0"]
    assert found[0]["owner"] == "imports-team"


def test_an_incident_is_muted_only_when_all_that_stands_is() -> None:
    imports, opens = silence("service=contact-importer"), silence("kind=data_loss", name="s2", ends=NOW + 30)
    assert muting(both(), [imports], NOW) == ()
    assert muting(both(), [opens], NOW) == ()
    assert muting(both(), [imports, opens], NOW) == (imports, opens)
    assert until([imports, opens], both()) == NOW + 30
    cleared = tuple(replace(f, phase="cleared") if f.kind == "data_loss" else f for f in both().findings)
    assert muting(replace(both(), findings=cleared), [imports], NOW) == (imports,)


def test_of_two_silences_for_the_same_the_later_end_counts() -> None:
    short, long = silence("service=~.+"), silence("service=~.+", ends=NOW + 600, name="s2")
    assert until(muting(both(), [short, long], NOW), both()) == NOW + 600
    forever = silence(f"incident={both().id}", ends=0, name="s3")
    assert until(muting(both(), [short, long, forever], NOW), both()) == 0


@pytest.mark.parametrize(
    ("now", "mutes"), [(NOW - 61, False), (NOW - 60, True), (NOW + 59, True), (NOW + 60, False)]
)
def test_the_start_is_in_a_silence_and_the_end_is_not(now: int, mutes: bool) -> None:
    assert bool(muting(both(), [silence("service=~.+")], now)) is mutes


def test_an_incident_without_findings_is_never_muted() -> None:
    assert muting(replace(both(), findings=()), [silence("service=~.+")], NOW) == ()
