"""Surprise at who shares a link, against the tail of the binomial it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from detector.campaign.prevalence import (
    LEAST_YOUNG_SHARE,
    MOST_YOUNG_SHARE,
    age_class,
    bar,
    newborn,
    purity,
    surprise,
    young_share,
)

COUNTS = st.integers(0, 3_000)
SHARES = st.floats(LEAST_YOUNG_SHARE, MOST_YOUNG_SHARE)
DAY = 86_400_000


def i32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def nats(young: int, established: int, share: float) -> float:
    return float(surprise(i32(young), i32(established), share)[0])


@given(COUNTS, COUNTS, SHARES)
def test_surprise_never_claims_more_than_the_binomial_tail(young: int, established: int, share: float) -> None:
    tail = -binom.logsf(young - 1, young + established, share)
    assert 0 <= nats(young, established, share) <= tail * (1 + 1e-6) + 1e-6


@given(st.integers(20, 1_000), SHARES)
def test_surprise_is_not_far_below_the_tail_either(young: int, share: float) -> None:
    assert nats(young, 0, share) == pytest.approx(-young * np.log(share), rel=1e-6)


@given(COUNTS, COUNTS, SHARES)
def test_one_more_young_account_is_never_less_surprising(young: int, established: int, share: float) -> None:
    assert nats(young + 1, established, share) >= nats(young, established, share)


@given(COUNTS, COUNTS, SHARES)
def test_one_more_established_account_is_never_more_surprising(young: int, established: int, share: float) -> None:
    assert nats(young, established + 1, share) <= nats(young, established, share) + 1e-9


@given(COUNTS, COUNTS, SHARES)
def test_the_more_young_accounts_there_are_at_all_the_less_a_link_surprises(
    young: int, established: int, share: float
) -> None:
    higher = min(MOST_YOUNG_SHARE, share + 0.02)
    assert nats(young, established, higher) <= nats(young, established, share) + 1e-9


@given(st.integers(0, 500), SHARES)
def test_the_mix_of_the_population_is_no_surprise(hundreds: int, share: float) -> None:
    n = 1_000 * hundreds
    young = int(n * share)
    assert nats(young, n - young, share) == 0


def test_nobody_of_known_age_is_no_surprise() -> None:
    assert nats(0, 0, 0.15) == 0


@given(st.lists(st.tuples(COUNTS, COUNTS), max_size=20), SHARES)
def test_a_column_is_its_rows_one_by_one(rows: list[tuple[int, int]], share: float) -> None:
    young, established = (i32(*(row[i] for row in rows)) for i in (0, 1))
    assert surprise(young, established, share).tolist() == [nats(*row, share) for row in rows]
    assert purity(young, established, share).tolist() == [float(purity(i32(y), i32(e), share)[0]) for y, e in rows]


@given(COUNTS, COUNTS, SHARES)
def test_purity_is_the_share_of_young_accounts_that_established_ones_do_not_explain(
    young: int, established: int, share: float
) -> None:
    value = float(purity(i32(young), i32(established), share)[0])
    assert 0 <= value <= 1
    explained = established * share / (1 - share)
    if young:
        assert value == pytest.approx(max(0.0, (young - explained) / young))
    assert float(purity(i32(young), i32(established + 1), share)[0]) <= value


@given(COUNTS, COUNTS)
def test_the_share_of_young_accounts_stays_within_its_bounds(young: int, established: int) -> None:
    share = young_share(young, established)
    assert LEAST_YOUNG_SHARE <= share <= MOST_YOUNG_SHARE
    assert share <= young_share(young + 1, established)
    assert share >= young_share(young, established + 1)


def test_the_share_is_a_guess_while_nobody_is_known_and_a_count_when_many_are() -> None:
    assert young_share(0, 0) == pytest.approx(0.15)
    assert young_share(20_000, 80_000) == pytest.approx(0.2, abs=0.001)


@given(st.integers(1, 10**7), st.floats(1e-4, 0.1))
def test_a_link_that_passes_the_bar_by_chance_is_rare_over_all_that_are_tested(tested: int, level: float) -> None:
    assert tested * np.exp(-bar(tested, level)) == pytest.approx(level)
    assert bar(tested + 1, level) > bar(tested, level) >= bar(0, level) > 0


def test_a_link_is_newborn_when_it_appeared_within_the_window_and_not_on_our_first_day() -> None:
    born = np.array([DAY - 1, DAY, 5 * DAY, 8 * DAY, 9 * DAY])
    assert newborn(born, DAY, 9 * DAY, 4 * DAY).tolist() == [False, False, False, True, True]
    assert newborn(born, DAY, 4 * DAY, 4 * DAY).tolist() == [False, True, True, True, True]


def one_class(created: int, seen: int, at: int) -> int:
    columns = [np.array([value], np.int64) for value in (created, seen, at)]
    return int(age_class(*columns, 0, 30 * DAY)[0])


@pytest.mark.parametrize(
    ("created", "seen", "at", "expected"),
    [
        (0, 0, 30 * DAY, 2),  # on the edge: established
        (1, 1, 30 * DAY, 1),
        (-1, 0, 2 * DAY, 0),  # no record, and there when we came: unknown
        (-1, 0, 30 * DAY, 2),  # … until a long tenure
        (-1, 2 * DAY, 3 * DAY, 0),  # no record, and new to us, who have not watched for long: anybody
        (-1, 30 * DAY - 1, 31 * DAY, 0),
        (-1, 30 * DAY, 31 * DAY, 1),  # … who have: young
        (40 * DAY, DAY, 60 * DAY, 1),  # a record counts for more than a sighting
    ],
)
def test_the_age_of_an_account(created: int, seen: int, at: int, expected: int) -> None:
    assert one_class(created, seen, at) == expected
