"""Rings of tiles against a slow, obvious definition: a list of every event."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.window.tiles import LIMIT, NEVER, Level

LEVEL = Level("t", 1000, 4)
#     tile    0     1     2     3     4     5
#          ├─────┼─────┼─────┼─────┼─────┼─────┤    1000 ms each, a window of 4


def rings(accounts: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((accounts, LEVEL.slots), NEVER, np.int32), np.zeros((accounts, LEVEL.slots, 2), np.uint32)


def add(stamps: np.ndarray, values: np.ndarray, row: int, time_ms: int, amount: int) -> None:
    amounts = np.array([[amount, 1]], np.uint32)
    LEVEL.add(stamps, values, np.array([row]), np.array([time_ms]), amounts)


def total(stamps: np.ndarray, values: np.ndarray, row: int, end_ms: int) -> float:
    return float(LEVEL.sums(stamps, values, np.array([row]), np.array([end_ms]))[0, 0])


def exact(events: list[tuple[int, int]], end_ms: int) -> float:
    """Sum the tiles that overlap (end - window, end), each weighted by its share of overlap."""
    result = 0.0
    for tile in {time // LEVEL.tile_ms for time, _ in events}:
        start, end = tile * LEVEL.tile_ms, (tile + 1) * LEVEL.tile_ms
        overlap = max(0, end - max(start, end_ms - LEVEL.window_ms)) / LEVEL.tile_ms if start < end_ms else 0.0
        result += min(1.0, overlap) * sum(amount for time, amount in events if time // LEVEL.tile_ms == tile)
    return result


@settings(max_examples=300, deadline=None)
@given(
    events=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.one_of(st.integers(0, 12_000), st.sampled_from([0, 999, 1000, 1001, 4999, 5000])),
            st.integers(0, 50),
        ),
        max_size=40,
    ),
    after=st.integers(0, 6000),
)
def test_a_window_is_the_weighted_sum_of_its_tiles_in_whatever_order_events_come(
    events: list[tuple[int, int, int]], after: int
) -> None:
    stamps, values = rings(3)
    for row, time_ms, amount in events:
        add(stamps, values, row, time_ms, amount)
    for row in range(3):
        mine = [(time, amount) for r, time, amount in events if r == row]
        end_ms = max((time for time, _ in mine), default=0) + 1 + after
        assert abs(total(stamps, values, row, end_ms) - exact(mine, end_ms)) < 1e-3


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_rows_are_added_together_as_one_by_one(data: st.DataObject) -> None:
    together, alone = rings(4), rings(4)
    for _ in range(6):
        rows = np.array(sorted(data.draw(st.sets(st.integers(0, 3), min_size=1))))
        times = np.array([data.draw(st.integers(0, 9000)) for _ in rows])
        amounts = np.array([[data.draw(st.integers(0, 9)), 1] for _ in rows], np.uint32)
        LEVEL.add(*together, rows, times, amounts)
        for row, time_ms, amount in zip(rows.tolist(), times.tolist(), amounts[:, 0].tolist(), strict=True):
            add(*alone, row, time_ms, amount)
    assert np.array_equal(together[0], alone[0])
    assert np.array_equal(together[1], alone[1])


def test_an_event_on_the_edge_belongs_to_the_tile_that_starts_there() -> None:
    stamps, values = rings(1)
    add(stamps, values, 0, 1000, 1)
    assert sorted(stamps[0].tolist()) == [NEVER, NEVER, NEVER, NEVER, 1]


def test_the_oldest_tile_counts_by_its_overlap() -> None:
    stamps, values = rings(1)
    add(stamps, values, 0, 500, 100)
    assert total(stamps, values, 0, 4000) == 100
    assert total(stamps, values, 0, 4250) == 75
    assert total(stamps, values, 0, 5000) == 0


def test_an_event_older_than_the_window_is_dropped_and_a_newer_one_resets_its_slot() -> None:
    stamps, values = rings(1)
    add(stamps, values, 0, 5500, 3)  # tile 5 lives in slot 0
    add(stamps, values, 0, 500, 100)  # so did tile 0
    assert total(stamps, values, 0, 6000) == 3
    add(stamps, values, 0, 10_500, 7)
    assert total(stamps, values, 0, 11_000) == 7


def test_a_tile_stops_at_its_limit_rather_than_wrap() -> None:
    stamps, values = rings(1)
    add(stamps, values, 0, 0, int(LIMIT) - 1)
    add(stamps, values, 0, 0, 5)
    assert values[0, 0, 0] == LIMIT
