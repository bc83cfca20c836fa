"""Passes over whole tables, compiled: of millions of rows numpy makes several passes, each with an array of its own."""

from __future__ import annotations

import numpy as np

from detector.event import I32, I64, U8, U64
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


@entry
def pack(column: U8 | I32 | I64, kept: I64) -> None:
    """Move the kept values to the front, where they are.

    In bounds: `kept` are places in the column, ascending, so that none is behind what it is moved to.
    """
    for to in range(len(kept)):
        column[to] = column[kept[to]]


@entry
def pack_rows(column: U8 | I32 | I64, kept: I64) -> None:
    """As `pack`, of [n, width]."""
    for to in range(len(kept)):
        at = kept[to]
        for place in range(column.shape[1]):
            column[to, place] = column[at, place]
