"""The pairs of an open step: folded, bounded by a sample, and the same again from their chunks."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.stages.pending import FOLD_AT, Pending, sampled
from detector.stages.steps import MODEL, PAIR, joined

MINUTE = 60_000
STEP = 29_000_000
ROWS = 6
IDS = [f"a{row}" for row in range(ROWS)]
NONE = np.zeros(0, PAIR)
MODELS = {1: "large", 2: "small"}

# (row, kind, value, item): few of each, so that pairs come again
_seen = st.tuples(st.integers(0, ROWS - 1), st.sampled_from([MODEL, 1, 13]), st.integers(1, 2), st.integers(0, 40))


def pairs_of(seen: list[tuple[int, int, int, int]]) -> npt.NDArray[Any]:
    """One pair of each, as an event brings them, with a time and tokens of its own."""
    pairs = np.zeros(len(seen), PAIR)
    for place, (row, kind, value, item) in enumerate(seen):
        # a link's value is mixed with its kind; a count of requests to a model has no text
        at_ms = (STEP * MINUTE + 7919 * place) % MINUTE
        pairs[place] = (row, STEP, value + 100 * kind, 0 if kind == MODEL else item, 10 + place, at_ms, at_ms, 1, kind)
    return pairs


def closed(pending: Pending, after: npt.NDArray[Any] = NONE) -> npt.NDArray[Any]:
    return joined(pending.close(STEP, after), PAIR)


def counted(pairs: npt.NDArray[Any]) -> dict[tuple[Any, ...], list[int]]:
    """Return what a step tells of each different pair: requests, tokens, first, last."""
    result: dict[tuple[Any, ...], list[int]] = {}
    for row, _, value, item, tokens, first_ms, last_ms, count, kind in pairs.tolist():
        entry = result.setdefault((IDS[row], kind, value, item), [0, 0, first_ms, last_ms])
        entry[:2] = entry[0] + count, entry[1] + tokens
        entry[2:] = min(entry[2], first_ms), max(entry[3], last_ms)
    return result


def told_of(pairs: npt.NDArray[Any], most: int) -> dict[tuple[Any, ...], list[int]]:
    """Return the same of the largest sample that has room, looking at the whole step at once."""
    for level in range(64):
        sample = pairs[sampled(pairs, level)]
        if len(counted(sample)) <= most or level == 63:
            break
    return counted(sample)


def test_steps_that_end_in_one_batch_are_sampled_each_by_itself() -> None:
    pending, first = Pending(20), pairs_of([(row, 1, 1, item) for row in range(ROWS) for item in range(10)])
    pending.add(first[:15])
    later = [first.copy(), pairs_of([(0, 1, 1, item) for item in range(20)]), first.copy()]
    for number, pairs in enumerate(later, 1):
        pairs["step"] += number
    taken = closed(pending, joined([later[2], first[15:], *later[:2]], PAIR))
    for number, pairs in enumerate([first, *later]):
        assert counted(taken[taken["step"] == STEP + number]) == told_of(pairs, 20)
    assert len(told_of(later[1], 20)) == 20


@settings(max_examples=300, deadline=None)
@given(
    seen=st.lists(_seen, max_size=120),
    cuts=st.lists(st.tuples(st.integers(0, 120), st.sampled_from(["add", "drain", "restart"])), max_size=8),
    most=st.sampled_from([0, 1, 5, 20, 1000]),
    seed=st.integers(0, 99),
)
def test_neither_cuts_nor_restarts_nor_order_show_in_what_a_step_tells(
    seen: list[tuple[int, int, int, int]], cuts: list[tuple[int, str]], most: int, seed: int
) -> None:
    pairs = pairs_of(seen)
    expected = told_of(pairs, most)
    pairs = pairs[np.random.default_rng(seed).permutation(len(pairs))]
    pending, stored, start = Pending(most), list[bytes](), 0
    for end, then in [*sorted(cuts), (len(pairs), "add")]:
        pending.add(pairs[start : max(start, end)])
        start = max(start, end)
        if then == "add":
            continue
        chunk = pending.drain(IDS, MODELS)
        stored += [] if chunk is None else [chunk]
        assert pending.drain(IDS, MODELS) is None
        if then == "restart":
            pending = Pending(most)
            for kept in stored:
                pending.restore(kept, {name: row for row, name in enumerate(IDS)}, {})
    assert counted(closed(pending)) == expected
    assert counted(closed(pending)) == {}
    assert pending.level == 0


def test_a_restored_step_has_its_accounts_where_they_are_now() -> None:
    before, after, models = Pending(100), Pending(100), dict[int, str]()
    before.add(pairs_of([(1, 1, 1, 5), (2, MODEL, 1, 0), (4, 13, 2, 0)]))
    chunk = before.drain(IDS, {1: "large"})
    assert chunk is not None
    after.restore(chunk, {"a1": 3, "a2": 0, "a4": 5}, models)
    pairs = closed(after)
    assert dict(zip(pairs["kind"].tolist(), pairs["row"].tolist(), strict=True)) == {1: 3, MODEL: 0, 13: 5}
    assert models == {1: "large"}


def test_what_comes_again_after_a_commit_takes_no_more_room_and_only_the_difference_is_written() -> None:
    pending, sizes = Pending(1000), []
    pairs = pairs_of([(row, 1, value, 0) for row in range(ROWS) for value in (1, 2)])
    for _ in range(12):
        pending.add(pairs)
        chunk = pending.drain(IDS, {})
        assert chunk is not None
        sizes.append(len(chunk))
        assert len(pending) == len(pairs)
    assert len(set(sizes)) == 1
    pending.add(pairs[:1])
    chunk = pending.drain(IDS, {})
    assert chunk is not None
    assert len(chunk) < sizes[0] / 6
    taken = closed(pending)
    assert len(taken) == len(pairs)
    assert sorted(taken["count"].tolist()) == [12] * (len(pairs) - 1) + [13]


def test_a_flood_of_different_pairs_is_told_of_by_a_sample_of_whole_texts_and_counted() -> None:
    pending, most = Pending(5_000), 0
    for batch in range(20):
        pairs = np.zeros(FOLD_AT // 2, PAIR)
        text = np.arange(len(pairs), dtype=np.uint64) // np.uint64(2) + np.uint64(batch * len(pairs) + 1)
        pairs["step"], pairs["count"], pairs["kind"], pairs["item"] = STEP, 1, 1, text
        pairs["value"] = 1 + np.arange(len(pairs)) % 2
        pending.add(pairs)
        most = max(most, len(pending))
    taken = closed(pending)
    assert most <= pending.most + 2 * FOLD_AT
    assert pending.most / 3 < len(taken) <= pending.most
    assert np.unique(taken["item"], return_counts=True)[1].tolist() == [2] * (len(taken) // 2)
    assert pending.dropped == 20 * (FOLD_AT // 2) - len(taken)


def test_a_chunk_of_the_version_before_sampling_is_read() -> None:
    pending, pairs = Pending(100), pairs_of([(0, 1, 1, 5), (1, 1, 1, 5)])
    pending.restore(msgspec.msgpack.encode((["a4", "a5"], [], pairs.tobytes())), {"a4": 2, "a5": 3}, {})
    assert closed(pending)["row"].tolist() == [2, 3]
