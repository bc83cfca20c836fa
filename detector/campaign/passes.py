"""Passes over whole tables, compiled: of millions of rows numpy makes several passes, each with an array of its own."""

from __future__ import annotations

import numpy as np

from detector.event import I32, I64, U64
from detector.likeness.compiled import entry


@entry
def renumber(keys: U64, rows: I32, renumbered: I32) -> None:
    """Give the row of each slot that has a key its new number, which is -1 where it is gone, as it stays.

    In bounds: a row is one of the table's, that `renumbered` has all of.
    """
    for slot in range(len(keys)):
        if keys[slot] != 0 and rows[slot] >= 0:
            rows[slot] = renumbered[rows[slot]]


@entry
def by_value(values: I64 | I32, starts: I64) -> I32:
    """Return the places of values in the order of the values, ascending among equal ones.

    In bounds: `starts` has for each value that there is how many are less, so that all of its places are distinct.
    """
    order = np.empty(len(values), np.int32)
    at = starts.copy()
    for n in range(len(values)):
        order[at[values[n]]] = n
        at[values[n]] += 1
    return order
