"""The mixture of an account: what a slow, obvious reading of its definition says, and what follows from it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.campaign.link import mix
from detector.window import activity, mixture
from detector.window.activity import DAY_MS
from detector.window.mixture import BANDS, LEAST, PLACES, WINDOW_DAYS

START = 20_000 * DAY_MS
Told = dict[int, tuple[int, ...]]


def hashes(templates: Any) -> Any:
    return mix(np.asarray(templates, np.uint64), 5) | np.uint64(1)


def place(template: int) -> int:
    return int(hashes([template])[0] >> 7) % PLACES


A, B, C, D, E, F, *_ = {
    place(template): template for template in range(100, 1, -1)
}.values()  # none takes another's place


def told(accounts: list[int], templates: list[int], days: list[int] | None = None, cuts: tuple[int, ...] = ()) -> Told:
    """What is told of each event by its number; template 0 is no template."""
    table = activity.fresh(8)
    rows, asked = np.array(accounts, np.int64), np.array(templates, np.uint64)
    asked = np.where(asked == 0, np.uint64(0), hashes(asked))
    clock = START + np.array(days if days is not None else [0] * len(accounts), np.int64) * DAY_MS
    result = {}
    for begin, end in pairwise([0, *sorted(cuts), len(accounts)]):
        events, values = mixture.mixtures_of(table, rows[begin:end], asked[begin:end], clock[begin:end])
        result.update(zip((events + begin).tolist(), map(tuple, values.tolist()), strict=True))
    return result


def samples(accounts: list[int], templates: list[int], days: list[int]) -> dict[int, tuple[tuple[int, ...], ...]]:
    """The same, event by event: the first templates of each order instead of their value."""
    kept: dict[tuple[int, int], int] = {}
    again: dict[int, set[int]] = {}
    began: dict[int, int] = {}
    result = {}
    for number, (account, template, day) in enumerate(zip(accounts, templates, days, strict=True)):
        if not template:
            continue
        value = int(hashes([template])[0])
        here = account, place(template)
        before, kept[here] = kept.get(here), max(value >> 56, 1)
        if before != kept[here]:
            continue
        if day >= began.get(account, -WINDOW_DAYS) + WINDOW_DAYS:
            again[account], began[account] = set(), day
        again[account].add(value)
        drawn = [sorted({(v * o % 2**64) >> 48 | 1 for v in again[account]})[::-1] for o in mixture._ORDERS.tolist()]
        if all(len(order) >= LEAST for order in drawn):
            result[number] = tuple(tuple(order[:LEAST]) for order in drawn)
    return result


@given(st.integers(0, 1000), st.integers(1, 200), st.integers(3, 40), st.lists(st.integers(0, 200), max_size=4))
def test_what_is_told_is_what_the_definition_says_however_events_are_cut(
    seed: int, n: int, different: int, cuts: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    accounts, templates = rng.integers(0, 3, n).tolist(), rng.integers(0, different, n).tolist()
    days = np.sort(rng.integers(0, 40, n)).tolist()
    found = told(accounts, templates, days, tuple(min(cut, n) for cut in cuts))
    wanted = samples(accounts, templates, days)
    assert found.keys() == wanted.keys()
    for order in range(BANDS):  # one value for one sample
        pairs = {(wanted[event][order], found[event][order]) for event in found}
        assert len(pairs) == len({sample for sample, _ in pairs}) == len({value for _, value in pairs})


def test_accounts_that_use_the_same_templates_have_the_same_mixture_in_whatever_order_and_share() -> None:
    one, other = [A, B, C, D, E] * 3, [E, E, D, A, A, A, A, C, C, B, D, B]
    found = told([0] * len(one) + [1] * len(other), one + other)
    assert found[len(one) - 1] == found[len(one) + len(other) - 1]


def test_accounts_that_use_other_templates_share_no_mixture() -> None:
    found = told([0] * 12 + [1] * 12, [A, B, C, D] * 3 + [C, D, E, F] * 3)
    assert not set(found[11]) & set(found[23])


def test_fewer_than_three_templates_are_no_mixture() -> None:
    assert not told([0] * 40, [A, B] * 20)
    assert told([0] * 40, [A, B, C] * 10)


def test_what_is_asked_once_is_no_part_of_a_mixture() -> None:
    noisy = [t for number in range(200) for t in ((A, B, C)[number % 3], 1000 + number)]
    found = told([0] * 30 + [1] * len(noisy), [A, B, C] * 10 + noisy)
    assert found[29] == found[30 + len(noisy) - 2]


def test_a_mixture_begins_anew_when_its_window_is_over() -> None:
    once, then = [D, E, F] * 4, [A, B, C] * 4
    days = [0] * len(once) + [WINDOW_DAYS] * len(then)
    found = told([0] * 24 + [1] * 12, once + then + then, days + [WINDOW_DAYS] * 12)
    assert found[23] == found[35] != found[11]
