"""The parts of a campaign: what holds two together, and what does not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.campaign.parts import AT_ONCE_MS, FEW, Part, parts

HOUR = 3_600_000
NOW = 100 * HOUR
DAY_AGO = NOW - 24 * HOUR

Edge = tuple[int, int]  # link, account


def parts_of(
    edges: Iterable[Edge], *, last_h: float = 100, lasting: Iterable[int] = (), least: int = 1, **more: Any
) -> list[Part]:
    """All of these are used from hour 0 to `last_h`, unless `hours` says of a link from when to when."""
    rows = sorted(set(edges))
    hours = more.get("hours", {})
    counts = more.get("counts", {})
    link, account = (np.array([row[i] for row in rows], np.int64) for i in (0, 1))
    spans = [hours.get(row[0], hours.get(row, (0, last_h))) for row in rows]
    begin, end = (np.array([span[i] * HOUR for span in spans], np.int64) for i in (0, 1))
    always = np.isin(np.arange(int(link.max(initial=-1)) + 1), list(lasting))
    count = np.array([counts.get(row, 5) for row in rows], np.int32)
    return parts(link, account, count, begin, end, always, DAY_AGO, least)


def told(found: list[Part]) -> list[tuple[list[int], list[int]]]:
    return sorted((part.links.tolist(), part.accounts.tolist()) for part in found)


def pool(link: int, accounts: Iterable[int]) -> list[Edge]:
    return [(link, account) for account in accounts]


def connected(edges: list[Edge]) -> list[tuple[list[int], list[int]]]:
    """Slow and obvious: links and accounts that one reaches from one another."""
    groups: list[tuple[set[int], set[int]]] = []
    for link, account in edges:
        met = [group for group in groups if link in group[0] or account in group[1]]
        groups = [group for group in groups if group not in met]
        groups.append(({link}.union(*(g[0] for g in met)), {account}.union(*(g[1] for g in met))))
    return sorted((sorted(links), sorted(accounts)) for links, accounts in groups)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 18)), max_size=40))
def test_where_one_account_is_not_few_the_parts_are_what_hangs_together(edges: list[Edge]) -> None:
    found = told(parts_of(edges))
    assert found == [group for group in connected(sorted(set(edges))) if group[0]]


@given(st.integers(0, 2**32), st.integers(1, 80))
def test_hardly_any_account_of_a_part_asks_in_the_words_of_another(seed: int, strays: int) -> None:
    chance = np.random.default_rng(seed)
    edges = [(3 * side + int(chance.integers(3)), 200 * side + a) for side in (0, 1) for a in range(200) for _ in "ab"]
    edges += [(int(chance.integers(6)), int(chance.integers(400))) for _ in range(strays)]
    found = parts_of(edges)
    used = np.zeros((6, 400), bool)
    used[tuple(np.array(edges).T)] = True
    by_part = np.array([used[part.links].any(axis=0) for part in found])
    crossing = by_part.sum(axis=0) > 1
    assert all((mine & crossing).sum() < FEW * mine.sum() for mine in by_part)
    if 2 * strays < FEW * 200:
        assert len(found) == 2


def test_an_account_is_of_the_part_in_which_it_asks_most() -> None:
    edges = [*pool(0, range(50)), *pool(1, range(49, 100))]
    for asked, of_first in ((1, 49), (9, 50)):
        found = told(parts_of(edges, counts={(0, 49): asked}))
        assert found == [([0], [*range(of_first)]), ([1], [*range(of_first, 100)])]


def test_words_that_nobody_used_for_a_day_hold_nothing_together() -> None:
    edges = [*pool(0, range(40)), *pool(1, range(20)), *pool(2, range(20, 40))]
    assert len(parts_of(edges)) == 1
    assert told(parts_of(edges, hours={0: (0, 76)})) == [([1], [*range(20)]), ([2], [*range(20, 40)])]


def test_a_straggler_does_not_keep_words_in_use() -> None:
    edges = [*pool(0, range(40)), *pool(1, range(20)), *pool(2, range(20, 40))]
    left = dict.fromkeys([(0, account) for account in range(1, 40)], (0, 50))
    assert len(parts_of(edges, hours=left)) == 2
    left = dict.fromkeys([(0, account) for account in range(2, 40)], (0, 50))
    assert len(parts_of(edges, hours=left)) == 1  # two of forty are not few


def test_words_in_use_count_for_who_used_them_long_ago() -> None:
    edges = [*pool(0, range(40)), *pool(1, range(20))]
    left = dict.fromkeys([(0, account) for account in range(20)], (0, 50))
    assert len(parts_of(edges, hours=left)) == 1


def test_payments_count_whenever_they_were_seen() -> None:
    edges = [*pool(0, range(40)), *pool(1, range(20)), *pool(2, range(20, 40))]
    assert len(parts_of(edges, hours={0: (0, 0)}, lasting=[0])) == 1


def test_a_thousand_paraphrases_of_which_two_share_nobody_are_one_part() -> None:
    chance = np.random.default_rng(1)
    edges = [(int(t), a) for a in range(3_000) for t in chance.choice(1_000, 5, replace=False)]
    (part,) = parts_of(edges)
    assert (len(part.links), len(part.accounts)) == (1_000, 3_000)


def test_two_operators_with_five_hundred_paraphrases_each_are_two_parts() -> None:
    chance = np.random.default_rng(1)
    edges = [(500 * (a % 2) + int(t), a) for a in range(3_000) for t in chance.choice(500, 5, replace=False)]
    assert told(parts_of(edges)) == [
        ([*range(500)], [*range(0, 3_000, 2)]),
        ([*range(500, 1_000)], [*range(1, 3_000, 2)]),
    ]


def test_a_part_has_at_least_so_many_accounts() -> None:
    edges = [*pool(0, range(8)), *pool(1, range(10, 17))]
    assert told(parts_of(edges, least=8)) == [([0], [*range(8)])]
    assert len(parts_of(edges, least=7)) == 2
    assert parts_of([]) == []


def test_a_part_is_there_while_so_many_of_its_accounts_are() -> None:
    hours = {(0, account): (account, 90 + account) for account in range(10)}
    (part,) = parts_of(pool(0, range(10)), hours=hours, least=8)
    assert (part.begin_ms, part.end_ms) == (7 * HOUR, 92 * HOUR)


def test_parts_are_beside_each_other_when_both_were_there_for_a_day() -> None:
    def part(begin_ms: int, end_ms: int) -> Part:
        return Part(np.zeros(1, np.int64), np.zeros(1, np.int64), begin_ms, end_ms)

    one = part(0, 10 * AT_ONCE_MS)
    assert one.beside(part(9 * AT_ONCE_MS, 12 * AT_ONCE_MS))
    assert not one.beside(part(9 * AT_ONCE_MS + 1, 12 * AT_ONCE_MS))
    assert not part(9 * AT_ONCE_MS + 1, 12 * AT_ONCE_MS).beside(one)
