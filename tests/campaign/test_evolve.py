"""A campaign keeps its identity: which group is which campaign, and what a merge takes over."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.campaign.evolve import (
    MOST_FIRST,
    MOST_NAMES,
    Campaign,
    apart,
    belongs_to,
    campaign_id,
    merge,
    split,
)
from detector.campaign.group import Reading


def campaign(number: int, members: range, **more: Any) -> Campaign:
    return Campaign(number, f"c-{number}", 100 * number, 1000 * number, newborn=False, members=set(members), **more)


@given(st.integers(0, 10**8), st.lists(st.integers(1, 2**64 - 1), min_size=1))
def test_the_id_of_a_campaign_is_that_of_its_birth_in_any_order_of_its_links(step: int, links: list[int]) -> None:
    assert campaign_id(step, links) == campaign_id(step, links[::-1])
    assert campaign_id(step, links) != campaign_id(step + 1, links)


def test_of_a_resellers_old_accounts_a_quarter_of_what_the_others_do_is_enough() -> None:
    resold = {"mixed": 60, "mixed_share": 0.1}
    assert Campaign(1, "c-1", 0, 0, newborn=True, members=set(range(100)), **resold).least_share == 0.025
    assert Campaign(1, "c-1", 0, 0, newborn=True, members=set(range(200)), **resold).least_share == 0.3
    assert campaign(1, range(100), **resold).least_share == 0.3  # its accounts are young
    assert Campaign(1, "c-1", 0, 0, newborn=True).least_share == 0.3


def test_a_group_whose_accounts_are_mostly_a_campaigns_is_that_campaign() -> None:
    known = [campaign(1, range(100)), campaign(2, range(200, 300))]
    assert belongs_to(set(range(80, 120)), known, 0.5) == known[:1]
    assert belongs_to(set(range(81, 121)), known, 0.5) == []


def test_a_group_that_holds_a_campaign_is_it_unless_it_is_much_larger() -> None:
    known = [campaign(1, range(100))]
    assert belongs_to(set(range(200)), known, 0.5) == known
    assert belongs_to(set(range(201)), known, 0.5) == []  # a crowd with a campaign in it


def test_a_few_accounts_in_common_do_not_make_two_groups_one() -> None:
    assert belongs_to(set(range(95, 195)), [campaign(1, range(100))], 0.5) == []
    assert belongs_to({500}, [campaign(1, range(0))], 0.5) == []


def test_a_group_that_spans_campaigns_and_nobody_else_names_them_the_older_first() -> None:
    known = [campaign(1, range(100)), campaign(2, range(100, 200)), campaign(3, range(200, 300))]
    assert belongs_to(set(range(300)), known, 0.5) == known
    assert belongs_to(set(range(40, 300)), known, 0.5) == known  # 60 of the first
    assert belongs_to(set(range(60, 300)), known, 0.5) == known[1:]


def test_a_phrase_that_two_campaigns_use_and_others_with_them_does_not_make_them_one() -> None:
    known = [campaign(1, range(30)), campaign(2, range(100, 240))]
    assert belongs_to({*range(30), *range(100, 210), *range(500, 600)}, known, 0.5) == []
    assert belongs_to({*range(30), *range(100, 230), *range(500, 540)}, known, 0.5) == known


def test_a_merge_keeps_the_older_name_and_the_members_of_both() -> None:
    older, younger = campaign(1, range(10)), campaign(2, range(5, 20))
    merge(older, younger)
    assert older.campaign_id == "c-1"
    assert older.members == set(range(20))
    assert (older.first_seen_ms, older.last_seen_ms) == (100, 2000)
    assert older.merged_from == ["c-2"]


def test_a_merge_takes_over_what_was_merged_before() -> None:
    older, younger = campaign(1, range(10)), campaign(2, range(10), merged_from=["c-7"])
    merge(older, younger)
    assert older.merged_from == ["c-2", "c-7"]


def test_accounts_that_were_only_watched_are_announced_afresh_by_the_louder_campaign() -> None:
    """`accounts_added` of a warning is what flags an account: one named by a watch alone must be named again."""
    older = campaign(1, range(10), severity="warning", announced=set(range(10)))
    merge(older, campaign(2, range(10, 20), severity="watch", announced=set(range(10, 20))))
    assert older.announced == set(range(10))


def test_members_that_come_with_a_merge_are_announced_afresh_for_their_own_alert_is_over() -> None:
    older = campaign(1, range(10), severity="warning", announced=set(range(10)))
    merge(older, campaign(2, range(10, 20), severity="critical", announced=set(range(10, 20))))
    assert older.announced == set(range(10))


def test_of_many_campaigns_that_one_was_merged_from_or_split_into_the_last_are_told() -> None:
    older, names = campaign(1, range(10)), [f"c-{number}" for number in range(2, MOST_NAMES + 4)]
    for number in range(2, MOST_NAMES + 4):
        merge(older, campaign(number, range(10)))
        split(older, campaign(number, range(1)), 1)
    assert older.merged_from == older.split_into == names[-MOST_NAMES:]


def test_a_split_leaves_each_member_in_one_of_the_two_and_says_so_in_both() -> None:
    old, new = campaign(1, range(30), joined=[20, 9, 0, 1]), campaign(2, range(10), joined=[8, 1, 0, 1])
    split(old, new, 7)
    assert (old.members, new.members) == (set(range(10, 30)), set(range(10)))
    assert old.joined == [12, 8, 0, 0]
    assert (old.split_into, old.split_from) == (["c-2"], [])
    assert (new.split_from, new.split_into) == (["c-1"], [])
    assert old.split_ms == new.split_ms == 7


def test_a_merge_remembers_the_last_split_of_either() -> None:
    older, younger = campaign(1, range(10)), campaign(2, range(10), split_ms=9)
    merge(older, younger)
    assert older.split_ms == 9


def test_who_was_named_first_is_remembered_until_another_alert_begins_and_of_many_some() -> None:
    one = campaign(1, range(5))
    one.told(3)
    assert (one.named_first, one.announced, one.seq, one.updated_ms, one.raised) == (
        [*range(5)],
        {*range(5)},
        1,
        3,
        True,
    )
    one.members |= set(range(3 * MOST_FIRST))
    one.told(4)
    assert (one.named_first, one.announced, one.seq) == ([*range(5)], {*range(3 * MOST_FIRST)}, 2)
    one.begin_alert()
    one.told(5)
    assert (one.named_first, one.seq) == ([*range(MOST_FIRST)], 1)


@pytest.mark.parametrize(
    ("one", "other", "are"), [(0.0, 1.0, True), (0.0, 0.4, False), (0.2, 1.0, False), (0.0, math.nan, False)]
)
def test_who_sits_in_one_place_is_not_who_comes_from_many_networks(one: float, other: float, are: bool) -> None:
    there, here = (
        campaign(n, range(9), readings=[Reading("spread", strength, None, None, "")])
        for n, strength in ((1, one), (2, other))
    )
    assert apart(there, here) is apart(here, there) is are
