"""The memory of recent event ids against a plain dictionary."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.window.recent import GENERATION_MS, KEPT, RecentIds


def slow(events: list[tuple[int, int]], limit: int) -> list[bool]:
    """One event at a time: seen when remembered in its generation or one of the KEPT before."""
    generations: dict[int, set[int]] = {}
    answers = []
    for value, clock_ms in events:
        now = clock_ms // GENERATION_MS
        answers.append(any(value in generations.get(g, set()) for g in range(now - KEPT, now + 1)))
        held = generations.setdefault(now, set())
        if len(held) < limit:
            held.add(value)
    return answers


def fast(recent: RecentIds, events: list[tuple[int, int]]) -> list[bool]:
    ids = np.array([value for value, _ in events], np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    seen: list[bool] = recent.arrive(ids, np.array([clock for _, clock in events], np.int64)).tolist()
    return seen


@settings(max_examples=300, deadline=None)
@given(
    values=st.lists(st.integers(1, 12), min_size=1, max_size=60),
    pauses=st.lists(st.sampled_from([0, 0, 1, 200_000, 700_000, 5_000_000]), min_size=60, max_size=60),
    cuts=st.sets(st.integers(1, 59)),
    limit=st.sampled_from([2, 5, 1000]),
)
def test_an_id_is_seen_again_within_its_generations_however_the_stream_is_cut(
    values: list[int], pauses: list[int], cuts: set[int], limit: int
) -> None:
    clocks = np.cumsum(pauses[: len(values)]).tolist()
    events = list(zip(values, clocks, strict=True))
    recent = RecentIds(limit)
    edges = [0, *sorted(cut for cut in cuts if cut < len(events)), len(events)]
    got = [answer for start, end in pairwise(edges) for answer in fast(recent, events[start:end])]
    assert got == slow(events, limit)


def test_what_was_drained_can_be_restored() -> None:
    recent = RecentIds(1000)
    fast(recent, [(1, 0), (2, 5)])
    first = recent.drain()
    fast(recent, [(3, GENERATION_MS)])
    again = RecentIds(1000)
    for drained in (first, recent.drain()):
        for number, ids in drained.items():
            again.restore(number, ids)
    assert fast(again, [(1, GENERATION_MS), (2, GENERATION_MS), (3, GENERATION_MS), (4, GENERATION_MS)]) == [
        True,
        True,
        True,
        False,
    ]


def test_many_ids_are_told_apart() -> None:
    ids = np.random.default_rng(0).permutation(50_000) + 1
    recent = RecentIds(1 << 20)
    clock = np.zeros(50_000, np.int64)
    spread = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert not recent.arrive(spread, clock).any()
    assert recent.arrive(spread, clock).all()


def test_ids_beyond_the_limit_are_counted() -> None:
    recent = RecentIds(3)
    recent.arrive(np.arange(1, 6, dtype=np.uint64), np.zeros(5, np.int64))
    assert recent.passed_over == 2
