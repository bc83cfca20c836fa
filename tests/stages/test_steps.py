"""What stage 1 says of a step: pairs folded into rows, however many of them agree in whatever."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.stages.steps import PAIR, folded

_few = st.integers(0, 2)
_values = st.sampled_from([0, 1, 2**63, 2**63 + 1, 2**64 - 1])  # some that only their last bits tell apart
_items = st.sampled_from([0, 1, 2**63, 2**63 + 1])


@given(
    st.lists(st.tuples(_few, _values, _items, st.integers(1, 5), st.integers(0, 9)), max_size=40), st.integers(0, 62)
)
def test_pairs_of_one_account_and_link_become_one_row(
    given_pairs: list[tuple[int, int, int, int, int]], shift: int
) -> None:
    key = np.array([k << shift for k, *_ in given_pairs], np.uint64)
    pairs = np.zeros(len(given_pairs), PAIR)
    for place, (k, value, item, count, time) in enumerate(given_pairs):
        pairs[place] = (k, 0, value, item, 10 * count, time, time + 1, count, 1)
    expected: dict[tuple[int, int], list[Any]] = {}
    for k, value, item, count, time in given_pairs:
        expected.setdefault((k << shift, value), []).append((item, count, time))
    found_key, rows = folded(key, pairs)
    assert list(zip(found_key.tolist(), rows["value"].tolist(), strict=True)) == sorted(expected)
    for row, agreeing in zip(rows, [expected[name] for name in sorted(expected)], strict=True):
        items = {item for item, _, _ in agreeing if item}
        assert (row["items"], row["item"]) == (len(items), min(items, default=0))
        assert row["count"] == sum(count for _, count, _ in agreeing)
        assert row["output_tokens"] == 10 * row["count"]
        assert row["first_ms"] == min(time for *_, time in agreeing)
        assert row["last_ms"] == max(time for *_, time in agreeing) + 1
