"""Compiled: open addressing with linear probing, one key after the other; what `IdSet` and `table.HashIndex` do.

By whole arrays it takes a dozen passes over the keys that are left, each of which misses the cache anew: that was a
tenth of the account stage with sketches, and a twentieth of stage 3.

Bounds: a first slot is below their number, a power of two (`event.places`), and by the mask so is each after it; at
most half of the slots are used, so that every search ends. A key is never 0, which is a free slot.
"""

from __future__ import annotations

import numpy as np

from detector.event import I32, I64, U64, Mask
from detector.likeness.compiled import entry, inlined


@entry
def has(keys: U64, first: U64, key_of: U64) -> Mask:
    """Return which keys are in a slot; `first` is where to look for each."""
    found = np.empty(len(keys), np.bool_)
    for n in range(len(keys)):
        found[n] = key_of[_slot(keys[n], first[n], key_of)] != 0
    return found


@entry
def add(keys: U64, first: U64, key_of: U64) -> None:
    """Put each key into a slot, if it is in none."""
    for n in range(len(keys)):
        key_of[_slot(keys[n], first[n], key_of)] = keys[n]


@entry
def rows(keys: U64, first: U64, key_of: U64, row_of: I32) -> I64:
    """Return the row of each key, -1 where it is in no slot."""
    found = np.empty(len(keys), np.int64)
    for n in range(len(keys)):
        slot = _slot(keys[n], first[n], key_of)
        found[n] = row_of[slot] if key_of[slot] != 0 else -1
    return found


@entry
def place(keys: U64, first: U64, key_of: U64, row_of: I32, row: I32) -> None:
    """Put each key and its row into the slot that has it, or else into a free one."""
    for n in range(len(keys)):
        slot = _slot(keys[n], first[n], key_of)
        key_of[slot], row_of[slot] = keys[n], row[n]


@entry
def intern(keys: U64, first: U64, key_of: U64, row_of: I32, row: int) -> tuple[I64, I64]:
    """Give each key that has no row (it is in no slot, or gone) the next one from `row` on.

    Return the row of each key, and at which places those are that had none.
    """
    rows = np.empty(len(keys), np.int64)
    new = np.empty(len(keys), np.int64)
    count = 0
    for n in range(len(keys)):
        slot = _slot(keys[n], first[n], key_of)
        if key_of[slot] == 0 or row_of[slot] < 0:
            key_of[slot], row_of[slot] = keys[n], row + count
            new[count] = n
            count += 1
        rows[n] = row_of[slot]
    return rows, new[:count]


@inlined
def _slot(key: np.uint64, slot: np.uint64, key_of: U64) -> np.uint64:
    """Return the slot that has a key, or else the free one where the search for it ends."""
    mask = np.uint64(len(key_of) - 1)
    while key_of[slot] != key and key_of[slot] != 0:
        slot = (slot + np.uint64(1)) & mask
    return slot
