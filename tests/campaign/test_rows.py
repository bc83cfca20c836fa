"""Rows by what a column says: those that looking at all of them finds, however many there are and were indexed."""

from __future__ import annotations

import numpy as np
import pytest

from detector.campaign.rows import RowsBy


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("wanted", [0, 1, 20, 300, 500])
def test_finds_what_looking_at_all_finds(dtype: type, wanted: int) -> None:
    rng = np.random.default_rng(wanted)
    column = rng.integers(0, 400, 10_000).astype(dtype)
    by = RowsBy()
    for size in (0, 1, 5_000, 5_100, 5_700, 10_000):
        values = rng.permutation(500)[:wanted]
        expected = np.flatnonzero(np.isin(column[:size], values))
        found = by(column[:size], values, 500)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, expected)
