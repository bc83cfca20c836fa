"""What is kept of accounts, against keeping every event."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import DecodeError
from detector.event import EventBatch
from detector.window import activity, rest
from detector.window.columns import AccountColumns, Column
from tests.event_columns import batch_of

START = 1_770_000_000_000 - 1_770_000_000_000 % activity.DAY_MS
HOUR = activity.HOUR_MS
STEP = 60_000


def unknown(n: int) -> np.ndarray:
    known = np.zeros(n, activity.KNOWN)
    known["created_ms"] = known["tier"] = -1
    known["quota"] = np.nan
    return known


def absorbed(batch: EventBatch, accounts: int, capability: Any = None) -> np.ndarray:
    """Return the rows of accounts 0..n after a batch whose clock is its running maximum."""
    table = activity.fresh(accounts)
    clock = np.maximum.accumulate(batch.time_ms)
    rows = batch.account.astype(np.int64)
    late = batch.time_ms < clock - 600_000
    capability = np.full(len(batch), -1) if capability is None else capability
    cells = activity.cells_of(batch, table, rows, clock // STEP, batch.time_ms, clock, late, capability)
    rank = np.arange(len(cells.row)) - np.searchsorted(cells.row, cells.row)
    for k in range(int(rank.max()) + 1):
        activity.add(table, cells, np.flatnonzero(rank == k))
    return table


def read(table: np.ndarray, end_ms: int) -> AccountColumns:
    n = len(table)
    return activity.columns(table, np.arange(n), np.full(n, end_ms), unknown(n), np.ones(n, np.uint64))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 30), n=st.integers(1, 120))
def test_counts_agree_with_counting_every_event(seed: int, n: int) -> None:
    """Within a window's inner part nothing is weighted, so that the counts are exact."""
    rng = np.random.default_rng(seed)
    time_ms = START + 1000 + np.sort(rng.integers(0, 20 * HOUR, n)) - rng.integers(0, 500_000, n).clip(0)
    time_ms = np.maximum(time_ms, START)
    account = rng.integers(0, 3, n)
    batch = batch_of(
        time_ms,
        account,
        ("a", "b", "c"),
        outcome=rng.integers(-1, 5, n),
        user_turns=rng.choice([np.nan, 1, 3], n),
        output_tokens=rng.choice([np.nan, 10, 5000], n),
        max_tokens=rng.choice([np.nan, 5, 6], n),
        block_foreign=rng.integers(-1, 2, n),
    )
    table = absorbed(batch, 3)
    end_ms = START + 20 * HOUR + 1000
    columns = read(table, end_ms)
    for row in range(3):
        mine = account == row

        def count(what: Any, mine: np.ndarray = mine) -> int:
            return int((mine & what).sum())

        assert columns.at(Column.REQUESTS_24H, row) == mine.sum()
        assert table["requests"][row] == mine.sum()
        assert columns.at(Column.OUTCOMES_24H, row) == count(batch.outcome >= 0)
        if count(batch.outcome >= 0):
            assert columns.at(Column.REFUSED_24H, row) == count(batch.outcome == 4)
            assert columns.at(Column.FAILED_24H, row) == count((batch.outcome > 0) & (batch.outcome < 4))
        else:
            assert np.isnan(columns.at(Column.REFUSED_24H, row))
        if count(~np.isnan(batch.user_turns)):
            assert columns.at(Column.SINGLE_TURN_24H, row) == count(batch.user_turns == 1)
        if count(~np.isnan(batch.output_tokens)):
            assert columns.at(Column.OUTPUT_TOKENS_24H, row) == np.nansum(batch.output_tokens[mine])
            assert columns.at(Column.LONG_OUTPUTS_24H, row) == count(batch.output_tokens == 5000)
        limits = batch.max_tokens[mine]
        assert columns.at(Column.LIMITS_24H, row) == (~np.isnan(limits[1:]) & ~np.isnan(limits[:-1])).sum()
        hours = {int(t) // HOUR for t in time_ms[mine]}
        assert columns.at(Column.ACTIVE_HOURS_24H, row) == len(hours)
        assert columns.at(Column.GAPS_24H, row) == max(0, mine.sum() - 1)


def test_what_no_event_says_stays_unknown() -> None:
    columns = read(absorbed(batch_of([START] * 3, [0] * 3, ("a",)), 1), START + STEP)
    for column in (
        Column.INPUT_TOKENS_24H,
        Column.OUTPUT_TOKENS_24H,
        Column.REFUSED_24H,
        Column.SINGLE_TURN_24H,
        Column.EXTRACTIONS_24H,
        Column.FOREIGN_BLOCKS_24H,
        Column.ADDRESSES_24H,
        Column.END_USERS_24H,
        Column.TOP_CAPABILITY,
        Column.TIER,
        Column.AGE_DAYS,
    ):
        assert np.isnan(columns.at(column, 0)), column.name


def test_pauses_of_a_timer_do_not_spread_and_those_of_a_poisson_process_do() -> None:
    rng = np.random.default_rng(0)
    timer = START + np.arange(300) * 60_000
    poisson = START + np.cumsum(rng.exponential(60_000, 300)).astype(np.int64)
    times = np.concatenate([timer, poisson])
    order = np.argsort(times, kind="stable")
    table = absorbed(batch_of(times[order], np.repeat([0, 1], 300)[order], ("a", "b")), 2)
    columns = read(table, int(times.max()) + 1)
    assert columns.at(Column.GAP_OCTAVES_24H, 0) < 0.1
    assert columns.at(Column.GAP_OCTAVES_24H, 1) == pytest.approx(1.85, abs=0.25)


def test_hours_older_than_a_day_do_not_count_as_active() -> None:
    table = absorbed(batch_of([START, START + 30 * HOUR], [0, 0], ("a",)), 1)
    assert read(table, START + 30 * HOUR + STEP).at(Column.ACTIVE_HOURS_24H, 0) == 1
    assert read(table, START + 54 * HOUR).at(Column.ACTIVE_HOURS_24H, 0) == 1
    assert read(table, START + 55 * HOUR).at(Column.ACTIVE_HOURS_24H, 0) == 0


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1 << 30), n=st.integers(1, 200))
def test_a_row_at_rest_is_the_same_row(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    time_ms = START + np.cumsum(rng.choice([1, 1000, HOUR, 20 * HOUR], n)) - rng.choice([0, 100_000, 3 * HOUR], n)
    table = absorbed(
        batch_of(
            time_ms,
            rng.integers(0, 5, n),
            tuple("abcde"),
            output_tokens=rng.choice([np.nan, 1, 1e6, 3e9], n),
            address=rng.integers(1, 1 << 63, n, dtype=np.uint64),
            sketches_template=rng.integers(1, 1 << 63, n, dtype=np.uint64),
        ),
        6,
    )
    tails = [b"", b"tail", b"", b"\0", b"", b"x"]
    rows, again = rest.decode(rest.encode(table, tails))
    assert rows.tobytes() == table.tobytes()
    assert again == tails


def test_a_row_of_another_version_or_cut_short_is_refused() -> None:
    (row,) = rest.encode(absorbed(batch_of([START] * 3, [0] * 3, ("a",)), 1), [b""])
    with pytest.raises(DecodeError, match="version"):
        rest.decode([b"\xff" + row[1:]])
    with pytest.raises(DecodeError):
        rest.decode([row[:-1]])


def test_bounds_of_an_account_in_memory_and_at_rest() -> None:
    """Promise 2: at most 2 KB hot, 600 bytes on average at rest for accounts as they are."""
    rng = np.random.default_rng(0)
    n = 20_000
    weight = rng.pareto(1.1, 2000) + 0.05
    time_ms = START + np.sort(rng.integers(0, 45 * activity.DAY_MS, n))
    table = absorbed(
        batch_of(
            time_ms,
            rng.choice(2000, n, p=weight / weight.sum()),
            tuple(map(str, range(2000))),
            input_tokens=rng.integers(10, 10_000, n),
            output_tokens=rng.integers(10, 3000, n),
            outcome=np.zeros(n),
            user_turns=rng.integers(1, 5, n),
            address=rng.integers(1, 1 << 63, n, dtype=np.uint64),
            asn=rng.integers(1, 50, n),
            sketches_template=rng.integers(1, 1 << 63, n, dtype=np.uint64),
        ),
        2000,
    )
    sizes = [len(row) for row in rest.encode(table, [b""] * 2000)]
    assert table.itemsize + activity.KNOWN.itemsize < 1850  # the rest is the id and where to find it
    assert np.mean(sizes) < 600
