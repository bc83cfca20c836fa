"""The rows of a table that have some values in a column: the edges of some links, or of some accounts."""

from __future__ import annotations

from typing import Final

import numpy as np

from detector.event import I32, I64

_SORTED_EACH: Final = 32  # one row in so many is found sooner by sorting them than by looking at all
_LOOKED_UP: Final = 16  # of more than one row in so many it is sooner to look at all


class RowsBy:
    """Where each value of a column of small numbers stands; rows are appended, and never change."""

    def __init__(self) -> None:
        """Know of no row."""
        self._indexed = 0
        self._order = np.zeros(0, np.int32)
        self._starts = np.zeros(1, np.int64)

    def __call__(self, column: I64 | I32, values: I64, most: int) -> I64:
        """Return the rows of a column that hold any of some distinct values below `most`, ascending."""
        if len(column) > self._indexed + self._indexed // 8:
            from detector.campaign import passes  # noqa: PLC0415 - numba costs a second and 100 MB

            self._starts = np.cumsum(np.r_[0, np.bincount(column, minlength=most)])
            self._order = passes.by_value(column, self._starts)
            self._indexed = len(column)
        wanted = np.zeros(most, np.bool_)
        wanted[values] = True
        old = values[values < len(self._starts) - 1]
        begin, count = self._starts[old], self._starts[old + 1] - self._starts[old]
        if _LOOKED_UP * count.sum() > self._indexed:
            return np.flatnonzero(wanted[column])
        place = np.arange(count.sum()) + np.repeat(begin - np.cumsum(count) + count, count)
        later = self._indexed + np.flatnonzero(wanted[column[self._indexed :]])
        return np.concatenate([_ascending(self._order[place], self._indexed), later])


def _ascending(rows: I32, size: int) -> I64:
    """Return distinct rows of a table of `size` rows in their order; many are counted rather than sorted."""
    if _SORTED_EACH * len(rows) < size:
        return np.sort(rows).astype(np.int64)
    there = np.zeros(size, np.bool_)
    there[rows] = True
    return np.flatnonzero(there)
