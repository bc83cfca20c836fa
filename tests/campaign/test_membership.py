"""Who belongs to a campaign."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.campaign.membership import Manner, belongs, days_between
from detector.campaign.observation import LinkKind
from detector.event import Mask

YOUNG, ESTABLISHED, UNKNOWN = 1, 2, 0
AMONG = {"typical": (7.5, 7.5), "share_of_established": 0.3, "resold": False}
T, H, P, N = LinkKind.TEMPLATE, LinkKind.HEAD, LinkKind.PAYMENT, LinkKind.NETWORK


def member(
    links: Sequence[tuple[LinkKind, float]],
    age: int = YOUNG,
    *,
    count: int = 1,
    requests: int = 1,
    newborn: bool = False,
    proven: bool = False,
    typical: float = 40.0,
    days: float = 1.0,
    resold: bool = False,
) -> bool:
    """Whether one account belongs that used links of these kinds and purities."""
    n = len(links)
    joins, _ = belongs(
        np.zeros(n, np.int64),
        np.array([kind for kind, _ in links], np.uint8),
        np.array([purity for _, purity in links], float),
        np.full(n, count, np.int32),
        np.full(n, proven),
        np.array([age], np.int8),
        np.array([requests], np.int64),
        np.array([days]),
        newborn=newborn,
        typical=(typical, typical),
        share_of_established=0.3,
        resold=resold,
    )
    return bool(joins[0])


def test_a_young_account_on_a_pure_template_belongs() -> None:
    assert member([(T, 1.0)])


def test_a_young_account_on_a_template_that_established_ones_use_does_not() -> None:
    assert not member([(T, 0.5)])


@pytest.mark.parametrize("age", [YOUNG, ESTABLISHED])
def test_three_prompts_of_a_resellers_harvest_are_enough_however_much_else_the_account_asks(age: int) -> None:
    """Customers of a reseller ask differently much; nobody happens on three prompts that nobody else has."""

    def among(openings: int, purity: float = 1.0, **more: bool) -> bool:
        return member([(H, purity)] * openings, age, requests=1_000, newborn=True, **{"resold": True, **more})

    assert among(3)
    assert not among(2)
    assert not among(3, purity=0.9)
    assert not among(3, resold=False)


def test_a_network_alone_convinces_nobody() -> None:
    assert not member([(N, 1.0)])
    assert not member([(P, 1.0)])


def test_two_kinds_convince_where_one_does_not() -> None:
    assert not member([(H, 1.0)])
    assert member([(H, 1.0), (P, 1.0)])


def test_ten_links_of_one_kind_are_no_better_than_the_purest() -> None:
    assert not member([(H, 0.9)] * 10)


def test_several_pure_links_of_a_kind_are_better_than_one() -> None:
    assert member([(LinkKind.FRAGMENT, 1.0)] * 3)
    assert not member([(LinkKind.FRAGMENT, 1.0)])


def test_the_parts_of_one_prompt_are_worth_no_more_than_the_purest_of_them() -> None:
    """A popular prompt shows as template, head and fragments at once."""
    assert not member([(T, 0.7), (H, 0.7), (LinkKind.FRAGMENT, 0.7), (LinkKind.TAIL, 0.7)] * 3)


def test_what_is_met_in_a_few_of_many_prompts_does_not_corroborate_them() -> None:
    """A customer's prompts all begin as the campaign's do, and some happen to hold its fragments."""
    kinds = [H, *[LinkKind.FRAGMENT] * 4]

    def prompts(fragments: int) -> Mask:
        return belongs(
            np.zeros(5, np.int64),
            np.array(kinds, np.uint8),
            np.ones(5),
            np.array([1000, *[fragments] * 4], np.int32),
            np.zeros(5, np.bool_),
            np.array([YOUNG], np.int8),
            np.array([1000], np.int64),
            np.ones(1),
            **AMONG,
            newborn=False,
        )[0]

    assert not prompts(4).any()
    assert prompts(20).all()


def test_a_busy_account_that_met_the_words_of_a_campaign_in_passing_stays_out() -> None:
    assert not member([(T, 1.0)], count=19, requests=1_000)
    assert member([(T, 1.0)], count=20, requests=1_000)


def test_without_words_a_proven_length_profile_is_enough_for_a_young_account_that_does_little_else() -> None:
    shape = [(LinkKind.SHAPE, 1.0)]
    assert member(shape, proven=True, count=5, requests=10)
    assert not member(shape, proven=True, count=4, requests=10)
    assert not member(shape, proven=False, count=10, requests=10)
    assert not member(shape, ESTABLISHED, proven=True, count=10, requests=10)


def test_who_shares_the_parameters_and_too_little_of_the_words_is_told_apart() -> None:
    def manner(*links: tuple[LinkKind, float]) -> Manner:
        own = columns([(0, kind, purity, 9) for kind, purity in links])
        joins, told = belongs(*own, np.array([YOUNG], np.int8), np.array([10]), np.ones(1), **AMONG, newborn=False)
        assert joins.all()
        return Manner(told[0])

    shape = (LinkKind.SHAPE, 1.0)
    assert manner(shape) == Manner.SHAPED
    assert manner(shape, (LinkKind.SKELETON, 1.0)) == Manner.SHAPED
    assert manner(shape, (T, 1.0)) == Manner.PLAIN


def test_who_hardly_used_words_that_customers_use_too_is_told_apart() -> None:
    def manner(count: int, *more: tuple[LinkKind, float], age: int = YOUNG) -> Manner:
        copied = [(T, 0.955), (H, 0.955), (LinkKind.FRAGMENT, 0.955), *more]
        own = columns([(0, kind, purity, count) for kind, purity in copied])
        joins, told = belongs(*own, np.array([age], np.int8), np.array([count]), np.ones(1), **AMONG, newborn=False)
        assert joins.all()
        return Manner(told[0])

    assert [manner(count) for count in (1, 2, 3)] == [Manner.COPIED, Manner.COPIED, Manner.PLAIN]
    assert manner(1, (LinkKind.FRAGMENT, 0.96)) == Manner.PLAIN
    assert manner(1, (P, 1.0)) == Manner.PLAIN
    assert manner(2, age=ESTABLISHED) == Manner.AGED


def test_an_established_account_that_used_a_prompt_once_stays_out() -> None:
    assert not member([(T, 1.0)], ESTABLISHED, count=1, requests=1)
    assert not member([(T, 1.0)], ESTABLISHED, count=20, requests=100)


def test_an_established_account_belongs_when_a_good_part_of_what_it_does_is_the_campaigns() -> None:
    assert member([(T, 1.0)], ESTABLISHED, count=30, requests=100)


def test_a_customer_who_asks_ten_times_as_much_as_the_others_has_the_words_for_his_own_reasons() -> None:
    assert member([(T, 1.0)], ESTABLISHED, count=90, requests=100, typical=22.5)
    assert not member([(T, 1.0)], ESTABLISHED, count=91, requests=100, typical=22.5)
    assert member([(T, 1.0)], YOUNG, count=91, requests=100, typical=22.5)


def test_who_asks_several_times_as_much_in_the_words_as_a_member_does_is_told_apart() -> None:
    def busy(count: int, pace: float, days: float = 1.0, typical: float | None = None) -> bool:
        own = columns([(0, T, 1.0, count)])
        return bool(
            belongs(
                *own,
                np.array([YOUNG], np.int8),
                np.array([count]),
                np.array([days]),
                newborn=False,
                typical=(10 * pace if typical is None else typical, pace),
                share_of_established=0.3,
                resold=False,
            )[1][0]
            == Manner.BUSY
        )

    assert [busy(count, 22.5) for count in (90, 91)] == [False, True]
    assert [busy(count, 22.5, days=2.0) for count in (180, 181)] == [False, True]  # in as many days
    assert [busy(count, 22.5, 2.0, typical=30.0) for count in (120, 121)] == [False, True]  # or altogether
    assert [busy(count, 1.0) for count in (20, 21)] == [False, True]
    assert not busy(10_000, -1.0)  # not known yet


def test_who_shares_pieces_of_wording_and_no_whole_of_it_is_told_apart() -> None:
    def manner(*links: tuple[LinkKind, float]) -> Manner:
        own = columns([(0, kind, purity, 4) for kind, purity in links])
        joins, told = belongs(*own, np.array([YOUNG], np.int8), np.array([4]), np.ones(1), **AMONG, newborn=False)
        assert joins.all()
        return Manner(told[0])

    pieces = [(LinkKind.FRAGMENT, 1.0)] * 4
    assert manner(*pieces) == Manner.PIECES
    assert manner(*pieces, (H, 0.5)) == Manner.PIECES  # an opening of the whole world's
    assert manner(*pieces, (LinkKind.SKELETON, 1.0)) == Manner.PIECES
    assert manner(*pieces, (H, 1.0)) == Manner.PLAIN
    assert manner(*pieces, (P, 1.0)) == Manner.PLAIN


def test_the_days_of_an_account_are_those_between_its_first_use_and_its_last_and_one_at_least() -> None:
    hours = np.array([0, 60, 36, 5, 7])
    first = hours * 3_600_000 + 1_770_000_000_000
    days = days_between(np.array([0, 0, 0, 1, 1]), first, first + 43_200_000, 3)
    assert days.tolist() == [3.0, 1.0, 1.0]


def test_of_a_campaign_with_new_links_accounts_of_unknown_age_are_no_proof() -> None:
    assert member([(T, 1.0)], UNKNOWN)
    assert not member([(T, 1.0)], UNKNOWN, newborn=True, count=1, requests=100)
    assert member([(T, 1.0)], UNKNOWN, newborn=True, count=40, requests=100)


EDGES = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(list(LinkKind)), st.floats(0, 1), st.integers(1, 9)), max_size=25
)
AGES = st.lists(st.sampled_from([YOUNG, ESTABLISHED, UNKNOWN]), min_size=5, max_size=5)


def test_who_mostly_asks_for_other_things_belongs_when_it_does_its_part() -> None:
    resold = {"age": YOUNG, "requests": 400, "typical": 40.0}
    assert member([(T, 1.0)], count=40, **resold)
    assert member([(T, 1.0)], count=10, **resold)
    assert not member([(T, 1.0)], count=9, **resold)  # happened on the phrase
    assert member([(T, 1.0)], count=160, **resold)
    assert not member([(T, 1.0)], count=161, **resold)  # asks the like for itself


def test_who_asks_for_little_else_belongs_however_much_or_little_that_is() -> None:
    assert member([(T, 1.0)], count=1, requests=2, typical=40.0)
    assert member([(T, 1.0)], count=4000, requests=8000, typical=40.0)


def test_before_it_is_known_what_is_typical_everybody_young_may_do_any_part() -> None:
    assert member([(T, 1.0)], count=9, requests=400, typical=-1.0)
    assert not member([(T, 1.0)], ESTABLISHED, count=9, requests=9, typical=-1.0)
    assert member([(T, 1.0)], ESTABLISHED, count=9, requests=9, typical=-1.0, newborn=True)


def columns(edges):
    account, kind, purity, count = (list(column) for column in zip(*edges, strict=True)) if edges else ([], [], [], [])
    proven = np.array(purity, float) > 0.98
    return np.array(account, np.int64), np.array(kind, np.uint8), np.array(purity, float), np.array(count), proven


@given(EDGES, AGES, st.booleans())
def test_accounts_are_judged_each_by_its_own_edges(edges, ages, newborn: bool) -> None:
    requests = np.full(5, 12, np.int64)
    together, manner = belongs(*columns(edges), np.array(ages, np.int8), requests, np.ones(5), **AMONG, newborn=newborn)
    for account in range(5):
        own = [(0, *edge[1:]) for edge in edges if edge[0] == account]
        alone = belongs(
            *columns(own),
            np.array(ages[account : account + 1], np.int8),
            requests[:1],
            np.ones(1),
            **AMONG,
            newborn=newborn,
        )
        assert [column[0] for column in alone] == [together[account], manner[account]]


@given(EDGES, AGES)
def test_one_more_link_never_drives_a_young_account_out(edges, ages) -> None:
    requests = np.full(5, 12, np.int64)
    before, _ = belongs(*columns(edges), np.array(ages, np.int8), requests, np.ones(5), **AMONG, newborn=False)
    after, _ = belongs(
        *columns([*edges, (0, T, 1.0, 1)]), np.array(ages, np.int8), requests, np.ones(5), **AMONG, newborn=False
    )
    assert (after >= before).all()


@pytest.mark.parametrize("kind", list(LinkKind))
def test_a_link_without_purity_is_no_evidence(kind: LinkKind) -> None:
    assert not member([(kind, 0.0)])
