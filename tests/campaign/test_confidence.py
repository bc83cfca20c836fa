"""From readings to confidence, and the rules of the house above it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.campaign.confidence import CRITICAL_AT, UNKNOWN, WARNING_AT, at_most, confidence, severity, weight_of
from detector.campaign.group import Reading
from detector.campaign.weights import DEFAULT, READINGS

FULL = dict.fromkeys(READINGS, 1.0)


def readings(
    strengths: dict[str, float], *, hours: float = 30.0, units: float = 300.0, moved: float = 0.5, sample: int = 300
) -> list[Reading]:
    values = {"duration": hours, "size": units, "release_pivot": moved}
    return [
        Reading(name, strength, values.get(name, strength), 0.1, f"{strength}", sample)
        for name, strength in strengths.items()
    ]


def loud(
    score: float = 0.99,
    *,
    hours: float = 30.0,
    units: float = 300.0,
    moved: float = 0.5,
    sample: int = 300,
    requests: int = 500,
    **strengths: float,
) -> str:
    return severity(
        score,
        readings(
            {**FULL, "exchange": 0.0, "novelty": 0.0, **strengths}, hours=hours, units=units, moved=moved, sample=sample
        ),
        requests,
    )


STRENGTHS = st.dictionaries(st.sampled_from(READINGS), st.floats(0, 1))


@given(STRENGTHS, st.sampled_from(READINGS), st.floats(0, 1))
def test_a_stronger_reading_never_lowers_confidence(strengths: dict[str, float], name: str, more: float) -> None:
    weaker = {**strengths, name: strengths.get(name, 0.0)}
    stronger = {**weaker, name: max(weaker[name], more)}
    assert 0 < confidence(readings(weaker), DEFAULT) <= confidence(readings(stronger), DEFAULT) < 1


@given(STRENGTHS, STRENGTHS)
def test_no_reading_lifts_confidence_above_what_was_said_to_be_the_most(
    known: dict[str, float], others: dict[str, float]
) -> None:
    most = at_most(readings(known), DEFAULT)
    assert confidence(readings({**others, **known}), DEFAULT) <= most + 1e-12
    assert most == pytest.approx(confidence(readings({**FULL, **known}), DEFAULT))


def test_what_every_reading_says_is_certain_and_what_none_says_is_not() -> None:
    assert confidence(readings(FULL), DEFAULT) > CRITICAL_AT
    assert confidence(readings(dict.fromkeys(READINGS, 0.0)), DEFAULT) < 0.01


@pytest.mark.parametrize("name", READINGS)
def test_an_unknown_reading_counts_like_that_of_an_ordinary_group(name: str) -> None:
    assert weight_of(DEFAULT, name) >= 0
    unknown, ordinary = ({**FULL, name: strength} for strength in (math.nan, UNKNOWN))
    assert confidence(readings(unknown), DEFAULT) == confidence(readings(ordinary), DEFAULT)


def test_a_sure_and_large_group_is_critical_and_a_sure_small_one_a_warning() -> None:
    assert loud() == "critical"
    assert loud(size=0.2) == "warning"
    assert loud(size=0.2, requests=10_000) == "critical"  # a few who take much
    assert loud(WARNING_AT) == "warning"


def test_below_the_warning_level_there_is_only_watching() -> None:
    assert loud(WARNING_AT - 0.001) == "watch"


def test_what_repeats_each_other_is_watched_whatever_else_it_shows() -> None:
    assert loud(work_list=0.1) == "watch"
    assert loud(work_list=math.nan) == "critical"  # unknown is no repeat


def test_what_accounts_of_all_ages_use_must_be_spread_evenly_over_them() -> None:
    assert loud(young_surplus=0.0) == "critical"
    assert loud(young_surplus=0.0, evenness=0.4) == loud(young_surplus=0.0, evenness=math.nan) == "watch"
    assert loud(young_surplus=math.nan, evenness=0.4) == loud(young_surplus=0.2, evenness=0.4) == "critical"


def test_the_fewer_people_of_all_ages_the_more_even_they_have_to_be() -> None:
    uneven = [loud(young_surplus=0.0, evenness=0.6, sample=sample) for sample in (19, 60, 150, 400)]
    assert uneven == ["watch", "watch", "critical", "critical"]
    assert loud(young_surplus=0.0, evenness=0.8, sample=60) == "critical"
    assert loud(young_surplus=0.0, evenness=1.0, sample=8) == "critical"
    assert loud(young_surplus=0.2, evenness=0.6, sample=19) != "watch"
    assert loud(young_surplus=0.0, evenness=0.6, sample=19, units=400) == "watch"  # of so many, few were read


def test_half_as_evenly_is_enough_where_most_have_several_prompts_that_nobody_had_before() -> None:
    assert loud(young_surplus=0.0, evenness=0.3, novelty=0.5) == "critical"
    assert loud(young_surplus=0.0, evenness=0.3, novelty=0.4) == "watch"


def test_one_customer_with_many_accounts_is_watched_whatever_they_do() -> None:
    assert loud(units=1.0) == loud(units=7.0) == "watch"
    assert loud(units=8.0) == "critical"


def test_what_is_over_within_an_hour_and_a_half_is_watched_unless_no_class_could_ask_so_much() -> None:
    assert loud(hours=1.4, spread=0.4) == "watch"
    assert loud(hours=1.4, spread=0.4, requests=5_000) == "critical"
    assert loud(hours=1.5, spread=0.4) == "critical"


def test_half_of_that_time_is_enough_where_nobody_could_sit_in_one_class() -> None:
    assert loud(hours=0.7) == "watch"
    assert loud(hours=0.8) == loud(hours=0.8, spread=0.5) == "critical"
    assert loud(hours=0.8, spread=0.4) == "watch"
    assert loud(hours=0.8, work_list=0.8) == "watch"


def test_what_is_all_on_a_model_of_that_day_must_have_gone_on_for_three_days() -> None:
    assert loud(moved=0.8, hours=71.0) == "watch"
    assert loud(moved=0.8, hours=72.0) == "critical"
    assert loud(moved=0.8, hours=71.0, requests=50_000) == "critical"


def test_a_campaign_that_moves_half_of_its_work_to_a_new_model_is_none_of_those_who_try_it() -> None:
    assert loud(moved=0.79) == "critical"


def test_what_sits_in_one_place_must_have_gone_on_for_three_days() -> None:
    """A hackathon lasts a weekend, and its host pays for all."""
    assert loud(hours=71.9, spread=0.0) == "watch"
    assert loud(hours=71.9, spread=0.0, requests=50_000) == "critical"
    assert loud(hours=72.0, spread=0.0) == "critical"
    assert loud(hours=71.9, spread=0.1) == "critical"


def test_who_present_each_others_reasoning_blocks_need_not_go_on_for_an_hour_unless_they_sit_in_one_place() -> None:
    assert loud(hours=0.1, exchange=1.0) == "critical"
    assert loud(hours=0.1, exchange=0.75) == "watch"
    assert loud(hours=0.1, exchange=1.0, spread=0.0) == "watch"
    assert loud(hours=0.1, exchange=1.0, units=7.0) == "watch"
