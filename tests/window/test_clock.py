"""The clock of a partition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.window.clock import JUMP_MS, REPEATS, PartitionClock


def arrive(clock: PartitionClock, *events: tuple[int, int]) -> tuple[list[int], list[bool]]:
    times, accounts = zip(*events, strict=True)
    clocks, ahead = clock.arrive(np.array(times, np.int64), np.array(accounts, np.uint64))
    return clocks.tolist(), ahead.tolist()


def test_the_clock_is_the_running_maximum_of_event_time() -> None:
    assert arrive(PartitionClock(), (100, 1), (90, 2), (120, 1))[0] == [100, 100, 120]


def test_one_account_with_a_wrong_clock_moves_nothing() -> None:
    far = 100 + 50 * JUMP_MS
    clocks, ahead = arrive(PartitionClock(), (100, 1), (far, 2), (110, 1), (120, 3))
    assert clocks == [100, 100, 110, 120]
    assert ahead == [False, True, False, False]


def test_a_second_account_confirms_a_jump() -> None:
    later = 100 + 5 * JUMP_MS
    clocks, ahead = arrive(PartitionClock(), (100, 1), (later, 2), (later + 5, 1), (later + 6, 2))
    assert clocks == [100, 100, later + 5, later + 6]
    assert ahead == [False, True, False, False]


def test_a_second_account_confirms_only_as_far_as_both_go() -> None:
    near, far = 100 + 5 * JUMP_MS, 100 + 500 * JUMP_MS
    clocks, ahead = arrive(PartitionClock(), (100, 1), (far, 2), (near, 3))
    assert clocks == [100, 100, near]
    assert ahead == [False, True, False]


def test_an_account_alone_in_its_partition_is_believed_after_some_events() -> None:
    later = 100 + 5 * JUMP_MS
    clocks, _ = arrive(PartitionClock(), (100, 1), *[(later + i, 1) for i in range(REPEATS)])
    assert clocks[:-1] == [100] * REPEATS
    assert clocks[-1] == later + REPEATS - 1


@settings(max_examples=200, deadline=None)
@given(
    events=st.lists(st.tuples(st.integers(0, 5 * JUMP_MS), st.integers(1, 3)), min_size=2, max_size=30),
    cut=st.integers(1, 29),
)
def test_the_cut_into_batches_does_not_show(events: list[tuple[int, int]], cut: int) -> None:
    cut = min(cut, len(events) - 1)
    whole, parts = PartitionClock(), PartitionClock()
    together = arrive(whole, *events)
    first = arrive(parts, *events[:cut])
    parts = replace(parts)
    second = arrive(parts, *events[cut:])
    assert together == (first[0] + second[0], first[1] + second[1])
    assert whole == parts
