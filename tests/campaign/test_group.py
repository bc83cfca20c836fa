"""Which links make one group, and each reading on both sides: a campaign and what looks like one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.campaign.group import (
    GroupColumns,
    Reading,
    components,
    few_each,
    in_common,
    ramp,
    read,
    units,
)
from detector.campaign.link import IDENTITY
from detector.campaign.observation import LinkKind
from tests.campaign.readings import check

HOUR = 3_600_000
T, H, F = LinkKind.TEMPLATE, LinkKind.HEAD, LinkKind.FRAGMENT
Edge = tuple[int, int]


def groups_of(kinds: Sequence[LinkKind], edges: Sequence[Edge]) -> set[frozenset[int]]:
    """The links of each component."""
    link, account = (np.array([edge[i] for edge in edges], np.int64) for i in (0, 1))
    label = components(link, account, np.array(kinds, np.uint8)).tolist()
    return {frozenset(i for i, other in enumerate(label) if other == one) for one in label}


def on(link: int, accounts: range) -> list[Edge]:
    return [(link, account) for account in accounts]


def test_of_an_account_with_endless_links_those_of_the_lowest_values_are_compared() -> None:
    rng = np.random.default_rng(1)
    link, account = rng.permutation(2_000).astype(np.uint64), np.repeat(np.array([7, 3]), 1_000)
    few = np.r_[few_each(account[:10], link[:10]), few_each(account, link)]
    assert few[:10].tolist() == list(range(10))
    for one in (3, 7):
        mine = link[few[10:]][account[few[10:]] == one]
        assert sorted(mine.tolist()) == sorted(link[account == one].tolist())[:256]


def compared_two_by_two(link: Any, account: Any, kind: Any) -> list[int]:
    """The components by their definition: every pair of content links, then a link of identity to most of its own."""
    content = ~np.isin(kind, [int(one) for one in IDENTITY])
    uses = np.zeros((len(kind), account.max() + 1), np.int64)
    uses[link, account] = 1
    size, label = uses.sum(axis=1), np.arange(len(kind))
    for a, b in itertools.combinations(np.flatnonzero(content).tolist(), 2):
        shared, small, large = int(uses[a] @ uses[b]), min(size[a], size[b]), max(size[a], size[b])
        if shared >= 3 and 2 * shared >= small:
            share, chance = min(max(shared / small, 1e-9), 1 - 1e-9), min(large / uses.shape[1], 0.7)
            nats = share * math.log(share / chance) + (1 - share) * math.log((1 - share) / (1 - chance))
            if share > chance and small * nats > 3:
                label[label == label[b]] = label[a]
    label = np.unique(label, return_index=True)[1][np.unique(label, return_inverse=True)[1]]
    for i in np.flatnonzero(~content).tolist():
        votes = {one: int((uses[i] * uses[content & (label == one)].max(axis=0)).sum()) for one in set(label[content])}
        best = min(votes, key=lambda one: (-votes[one], one), default=i)
        if votes.get(best, 0) >= max(3, size[i] / 2):
            label[i] = best
    return [int(one) for one in np.unique(label, return_inverse=True)[1]]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.integers(3, 60),
    st.integers(1, 6),
    st.sampled_from([1, 300, 10**6]),
)
def test_not_comparing_all_pairs_finds_the_components_of_comparing_them(
    seed: int, links: int, accounts: int, pools: int, most_products: int
) -> None:
    """Links take most of their accounts from a pool each; some have the very same accounts."""
    rng = np.random.default_rng(seed)
    pool = rng.integers(0, pools, accounts)
    uses = rng.random((links, accounts)) < np.where(pool == rng.integers(0, pools, links)[:, None], 0.7, 0.05)
    uses[rng.integers(0, links, links // 3)] = uses[rng.integers(0, links)]
    uses[:, 0] |= ~uses.any(axis=1)
    link, account = np.nonzero(uses)
    kind = rng.choice(np.array([T, H, F, LinkKind.PAYMENT], np.uint8), links)
    found = components(link, account, kind, most_products=most_products)
    assert np.unique(found, return_inverse=True)[1].tolist() == compared_two_by_two(link, account, kind)


def test_links_over_the_same_accounts_are_one_group() -> None:
    assert groups_of([T, H, F], on(0, range(9)) + on(1, range(9)) + on(2, range(9))) == {frozenset({0, 1, 2})}


def test_issuers_are_one_link_for_each_ring() -> None:
    """A chain of accounts, two by two, and a pair that has nothing to do with it."""
    chain = [edge for i in range(8) for edge in ((i, i), (i, i + 1))]
    assert groups_of([LinkKind.ISSUER] * 9, [*chain, *on(8, range(20, 22))]) == {frozenset(range(8)), frozenset([8])}
    assert groups_of([LinkKind.ISSUER] * 8 + [T], [*chain, *on(8, range(9))]) == {frozenset(range(9))}
    assert len(groups_of([LinkKind.PAYMENT] * 8, chain)) == 8


def test_links_of_different_accounts_are_two_groups() -> None:
    assert len(groups_of([T, T], on(0, range(9)) + on(1, range(9, 20)))) == 2


def test_one_account_in_common_does_not_join_two_links() -> None:
    assert len(groups_of([T, T], on(0, range(3)) + on(1, range(2, 5)))) == 2


def test_links_join_when_half_of_the_smaller_one_is_shared() -> None:
    far = on(2, range(100, 200))  # the crowd, against which chance is measured
    assert len(groups_of([T, T, T], on(0, range(30)) + on(1, range(15, 45)) + far)) == 2
    assert len(groups_of([T, T, T], on(0, range(30)) + on(1, range(16, 46)) + far)) == 3


def test_a_link_that_most_accounts_have_holds_most_of_any_other_by_chance() -> None:
    """Parameters of 80 of 100 accounts, and a class of whom as many as of anybody else have it."""
    edges = on(0, range(80)) + on(1, range(76, 95)) + on(2, range(80, 100))
    assert len(groups_of([LinkKind.SHAPE, T, T], edges)) == 2  # the class and its other exercise
    assert frozenset({0}) in groups_of([LinkKind.SHAPE, T, T], edges)


def test_paraphrases_in_slices_over_one_pool_are_one_group() -> None:
    """Many small links; neighbours share half of their accounts, the first and the last none."""
    edges = [(link, (3 * link + i) % 60) for link in range(20) for i in range(6)]
    assert len(groups_of([T] * 20, edges)) == 1


@pytest.mark.parametrize("kind", sorted(IDENTITY))
def test_an_identity_link_does_not_hold_two_content_groups_together(kind: LinkKind) -> None:
    """Two operators over one proxy network: the network goes to the one with more of its accounts."""
    edges = on(0, range(10)) + on(1, range(10, 30)) + on(2, range(30))
    assert groups_of([T, T, kind], edges) == {frozenset({0}), frozenset({1, 2})}


def test_an_identity_link_of_accounts_without_content_is_a_group_by_itself() -> None:
    assert len(groups_of([T, LinkKind.PAYMENT], on(0, range(10)) + on(1, range(10, 20)))) == 2


def slow_groups(kinds: Sequence[LinkKind], edges: Sequence[Edge]) -> set[frozenset[int]]:
    """Content links alone, by the words of the docstring."""
    accounts = [{account for link, account in edges if link == i} for i in range(len(kinds))]
    everybody = 1 + max(account for _, account in edges)

    def beyond_chance(common: int, smaller: int, one: set[int], other: set[int]) -> bool:
        chance = min(max(len(one), len(other)) / everybody, 0.7)
        share = common / smaller
        gain = share * math.log(share / chance)
        loss = (1 - share) * math.log((1 - share) / (1 - chance)) if share < 1 else 0.0
        return share > chance and smaller * (gain + loss) > 3

    label = list(range(len(kinds)))
    for a in range(len(kinds)):
        for b in range(a):
            common, smaller = len(accounts[a] & accounts[b]), min(len(accounts[a]), len(accounts[b]))
            if common >= 3 and common >= 0.5 * smaller and beyond_chance(common, smaller, accounts[a], accounts[b]):
                label = [label[a] if other == label[b] else other for other in label]
    return {frozenset(i for i, other in enumerate(label) if other == one) for one in label}


EDGES = st.sets(st.tuples(st.integers(0, 7), st.integers(0, 12)), min_size=1, max_size=60)


@given(EDGES)
def test_content_groups_are_those_of_the_rule_spelled_out(edges: set[Edge]) -> None:
    assert groups_of([T] * 8, sorted(edges)) == slow_groups([T] * 8, sorted(edges))


@given(EDGES, st.lists(st.sampled_from([T, H, LinkKind.PAYMENT, LinkKind.PREFIX]), min_size=8, max_size=8), st.data())
def test_the_order_of_edges_does_not_matter(edges: set[Edge], kinds: list[LinkKind], data: Any) -> None:
    shuffled = data.draw(st.permutations(sorted(edges)))
    assert groups_of(kinds, sorted(edges)) == groups_of(kinds, shuffled)


# -- readings -----------------------------------------------------------------------------------


def group(kinds: Sequence[LinkKind], counts: dict[Edge, int], **more: Any) -> GroupColumns:
    """A group of young accounts over ten hours; `counts` says how often (link, account) was used."""
    edges = sorted(counts)
    n, links = max(account for _, account in edges) + 1, len(kinds)
    column = {
        "kind": np.array(kinds, np.uint8),
        "accounts_on": np.full(links, n, np.int32),
        "young_on": np.full(links, n, np.int32),
        "established_on": np.zeros(links, np.int32),
        "items_sampled": np.full(links, 16, np.int32),
        "items_repeated": np.zeros(links, np.int32),
        "link": np.array([edge[0] for edge in edges], np.int64),
        "account": np.array([edge[1] for edge in edges], np.int64),
        "count": np.array([counts[edge] for edge in edges], np.int64),
        "first_ms": np.zeros(len(edges), np.int64),
        "last_ms": np.full(len(edges), 10 * HOUR, np.int64),
        "age": np.ones(n, np.int32),
        "org": np.zeros(n, np.uint64),
        "prefix": np.arange(1, n + 1, dtype=np.uint64),
        "requests": np.full(n, 10, np.int64),
        "single_turn": np.ones(n),
        "trades": np.zeros(n, np.bool_),
        "harvest_labels": np.full(n, np.nan),
        "young_share": 0.15,
        "newborn": False,
    }
    return GroupColumns(**{**column, **more})


def even(accounts: int = 40, each: int = 8, kind: LinkKind = T) -> dict[str, Any]:
    return {"kinds": [kind], "counts": {(0, account): each for account in range(accounts)}}


def reading(name: str, of: GroupColumns) -> Reading:
    (found,) = [one for one in read(of) if one.name == name]
    return found


def strength(name: str, of: GroupColumns) -> float:
    return reading(name, of).strength


def test_many_unrelated_accounts_are_more_than_a_team() -> None:
    assert strength("size", group(**even(200))) == 1
    assert strength("size", group(**even(5))) < 0.01


def test_the_accounts_of_one_organisation_are_one_unit() -> None:
    """A company's hundred accounts share its prompt; that is no hundred witnesses."""
    company = group(**even(200), org=np.full(200, 77, np.uint64))
    assert units(company.org) == 1
    assert strength("size", company) == 0
    assert units(np.array([0, 0, 5, 5], np.uint64)) == 3


def test_new_accounts_stand_out_and_the_mix_of_the_population_does_not() -> None:
    mixed = np.where(np.arange(40) % 7 == 0, 1, 2).astype(np.int32)
    assert strength("young_surplus", group(**even())) == 1
    assert strength("young_surplus", group(**even(), age=mixed)) == 0


def test_half_of_the_accounts_being_new_says_much_of_many_and_little_of_few() -> None:
    few, many = (np.where(np.arange(n) % 2 == 0, 1, 2).astype(np.int32) for n in (8, 400))
    assert strength("young_surplus", group(**even(8), age=few)) < 0.3
    assert strength("young_surplus", group(**even(400), age=many)) > 0.6


def test_members_are_counted_placed_and_timed_and_everybody_on_the_links_shows_how_they_are_used() -> None:
    everyone, members = group(**even(40)), group(**even(12))
    found = {reading.name: reading for reading in read(everyone, members)}
    assert found["size"].value == 12
    alone = {reading.name: reading for reading in read(everyone)}
    for name in ("young_surplus", "work_list", "evenness", "concentration", "single_turn", "extraction"):
        assert (found[name].value, found[name].because) == (alone[name].value, alone[name].because)


def test_a_mixed_member_asks_for_other_things_in_the_main() -> None:
    asked = np.full(4, 8, np.int64)
    assert in_common(group(**even(4), requests=asked)) == (32, 0, 0.0)
    assert in_common(group(**even(4), requests=asked * np.array([1, 1, 10, 10]))) == (32, 2, pytest.approx(0.1))


def test_the_age_of_accounts_may_be_unknown() -> None:
    assert math.isnan(strength("young_surplus", group(**even(), age=np.zeros(40, np.int32))))


def test_a_work_list_asks_each_question_once_and_a_class_repeats() -> None:
    assert strength("work_list", group(**even())) == 1
    assert strength("work_list", group(**even(), items_repeated=np.array([8]))) == 0
    assert math.isnan(strength("work_list", group(**even(), items_sampled=np.array([3]))))


def test_questions_that_others_ask_too_are_repeated_whatever_is_said_around_them() -> None:
    """A benchmark that each contestant wraps in an own way: its pieces are shared, and no opening is."""
    pieces = {
        (4 * question + piece, account): 1 for question in range(12) for piece in range(4) for account in range(20)
    }
    kinds = [LinkKind.FRAGMENT] * 48
    assert strength("work_list", group(kinds, pieces)) == 0
    assert strength("work_list", group(kinds, dict.fromkeys(pieces, 9))) == 1  # advice that goes with everything
    opened = {(48, account): 5 for account in range(20)}
    assert strength("work_list", group([*kinds, LinkKind.HEAD], {**pieces, **opened})) == 1  # a scaffold
    few = {edge: n for edge, n in pieces.items() if edge[0] < 36}
    assert strength("work_list", group(kinds[:36], few)) == 1
    part = {(48, account): 40 for account in range(20)}
    assert strength("work_list", group([*kinds, LinkKind.SKELETON], {**pieces, **part})) == 1  # of much else


def test_a_load_balancer_is_even_and_people_are_not() -> None:
    rng = np.random.default_rng(5)
    balanced = {(0, account): int(n) for account, n in enumerate(rng.poisson(20, 200))}
    people = {(0, account): int(n) for account, n in enumerate(rng.geometric(0.05, 200) ** 1.5)}
    assert strength("evenness", group([T], balanced)) > 0.95
    assert strength("evenness", group([T], people)) < 0.05


def test_one_in_twenty_five_who_asks_without_measure_does_not_make_a_campaign_uneven_and_two_do() -> None:
    def evenness(heavy: int) -> float:
        counts = {(0, account): 1_000 if account < heavy else 20 for account in range(49)}
        return strength("evenness", group([T], counts))

    assert [evenness(heavy) for heavy in (0, 1, 2)] == [1, 1, 0]


def test_a_handful_of_requests_says_nothing_of_evenness() -> None:
    assert math.isnan(strength("evenness", group(**even(40, 2))))
    assert math.isnan(strength("evenness", group(**even(9, 8))))


def test_accounts_that_joined_late_do_not_make_a_campaign_uneven() -> None:
    counts = {(0, account): 20 if account < 40 else 1 for account in range(80)}
    first = np.array([0 if account < 40 else 9 * HOUR for account in range(80)])
    evenness = reading("evenness", group([T], counts, first_ms=first))
    assert (evenness.strength, evenness.sample) == (1, 40)


def test_a_harvester_asks_little_else_and_people_do() -> None:
    assert strength("concentration", group(**even())) == 1  # 8 of 10
    assert strength("concentration", group(**even(), requests=np.full(40, 100))) == 0


def pool(prompts: int = 4, **more: Any) -> GroupColumns:
    """Forty accounts of all ages, from everywhere, that share new prompts and ask each question once."""
    edges = {(prompt, account): 5 for prompt in range(prompts) for account in range(40)}
    usual: dict[str, Any] = {"newborn": True, "prefix": np.arange(1, 41).astype(np.uint64)}
    return group([H] * prompts, edges, **usual | more)


def test_several_new_prompts_in_even_use_by_many_of_all_ages_are_novel() -> None:
    assert strength("novelty", pool()) == 1
    assert strength("novelty", pool(1)) == 0  # an app with one prompt
    assert strength("novelty", pool(newborn=False)) == 0
    assert strength("novelty", pool(prefix=np.full(40, 7, np.uint64))) == 0  # a class
    assert strength("novelty", pool(items_repeated=np.full(4, 8))) == 0  # a tutorial
    assert strength("novelty", pool(last_ms=np.full(160, HOUR))) == 0


def test_a_few_who_use_the_new_prompts_much_are_a_popular_tools_users() -> None:
    heavy = {(prompt, account): 60 if account < 3 else 5 for prompt in range(4) for account in range(40)}
    prefix = np.arange(1, 41).astype(np.uint64)
    assert strength("novelty", group([H] * 4, heavy, newborn=True, prefix=prefix)) == 0


def test_a_campaign_goes_on_and_a_class_is_over() -> None:
    assert strength("duration", group(**even())) == 1
    assert strength("duration", group(**even(), last_ms=np.full(40, HOUR))) == 0


def test_shared_payment_card_or_client_is_identity_and_a_shared_network_is_not() -> None:
    both = {**even()["counts"], **{(1, account): 1 for account in range(20)}}
    for kind in (LinkKind.PAYMENT, LinkKind.CARD, LinkKind.CLIENT, LinkKind.BLOCK):
        assert strength("identity", group([T, kind], both)) == 1
    assert strength("identity", group([T, LinkKind.PREFIX], both)) == 0
    assert strength("identity", group(**even())) == 0


def test_a_campus_sits_in_one_place_and_a_campaign_does_not() -> None:
    campus = np.where(np.arange(40) < 30, 7, np.arange(40)).astype(np.uint64)
    assert strength("spread", group(**even(), prefix=campus)) == 0
    assert strength("spread", group(**even(), prefix=np.arange(1, 41, dtype=np.uint64))) == 1
    assert math.isnan(strength("spread", group(**even(), prefix=np.zeros(40, np.uint64))))


def test_the_place_is_judged_over_the_accounts_whose_network_is_known() -> None:
    known = np.where(np.arange(40) < 8, 7, 0).astype(np.uint64)
    assert strength("spread", group(**even(), prefix=known)) == 0


def test_stragglers_do_not_make_a_class_go_on() -> None:
    last = np.full(40, HOUR)
    last[:3] = 10 * HOUR
    assert strength("duration", group(**even(), last_ms=last)) == 0


def test_four_customers_who_exchange_reasoning_blocks_stand_out_and_one_company_does_not() -> None:
    trades = np.arange(40) < 4
    assert strength("exchange", group(**even())) == 0
    assert strength("exchange", group(**even(), trades=trades)) == 1
    assert strength("exchange", group(**even(), trades=trades, org=np.full(40, 77, np.uint64))) == 0.25


def test_questions_and_answers_stand_out_from_conversations() -> None:
    assert strength("single_turn", group(**even())) == 1
    assert strength("single_turn", group(**even(), single_turn=np.full(40, 0.4))) == 0
    assert math.isnan(strength("single_turn", group(**even(), single_turn=np.full(40, np.nan))))


def test_extraction_stands_out_from_ordinary_questions() -> None:
    assert strength("extraction", group(**even(), harvest_labels=np.full(40, 0.9))) == 1
    assert strength("extraction", group(**even(), harvest_labels=np.full(40, 0.02))) == 0
    assert math.isnan(strength("extraction", group(**even())))


def test_requests_through_links_of_one_kind_add_up_and_of_several_kinds_are_the_same_requests() -> None:
    counts = {(0, 0): 3, (1, 0): 4, (2, 0): 6, (0, 1): 1}
    assert group([T, T, H], counts).asked.tolist() == [7, 1]


def test_the_four_fragments_of_a_prompt_are_one_request() -> None:
    assert group([F] * 4, {(link, 0): 5 for link in range(4)}).asked.tolist() == [5]


COUNTS = st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 30)), st.integers(1, 50), min_size=1, max_size=60)


@given(COUNTS, st.lists(st.sampled_from(list(LinkKind)), min_size=4, max_size=4), st.booleans())
def test_every_reading_is_a_share_or_unknown_and_has_a_sentence_with_a_number(counts, kinds, known: bool) -> None:
    n = max(account for _, account in counts) + 1
    readings = read(group(kinds, counts, harvest_labels=np.full(n, 0.3 if known else np.nan)))
    assert len({one.name for one in readings}) == len(readings) == 12
    check(readings)


@given(COUNTS, st.data())
def test_readings_do_not_depend_on_the_order_of_edges(counts, data) -> None:
    kinds = [T, H, LinkKind.PREFIX, LinkKind.PAYMENT]
    one = group(kinds, counts)
    order = np.array(data.draw(st.permutations(range(len(counts)))), np.int64)
    names = ("link", "account", "count", "first_ms", "last_ms")
    other = group(kinds, counts, **{name: getattr(one, name)[order] for name in names})
    assert repr(read(one)) == repr(read(other))


@pytest.mark.parametrize(("none_at", "full_at"), [(1.0, 4.0), (0.35, 0.05)])
def test_a_ramp_runs_from_none_to_full_either_way_round(none_at: float, full_at: float) -> None:
    beyond = full_at - none_at
    assert ramp(none_at, none_at, full_at) == ramp(none_at - beyond, none_at, full_at) == 0
    assert ramp(full_at, none_at, full_at) == ramp(full_at + beyond, none_at, full_at) == 1
    assert ramp((none_at + full_at) / 2, none_at, full_at) == pytest.approx(0.5)
