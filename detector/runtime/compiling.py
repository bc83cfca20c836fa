"""`python -m detector.runtime.compiling`: let numba compile all that it will, now rather than where it is needed first.

`make` and the image do it. In an image nothing can be written, so that what is missing there is an error
(`likeness.compiled.Shipped`): each compiled function is called here, with arguments of the types that it always gets.
"""

from __future__ import annotations

import numpy as np

from detector.campaign import observation
from detector.campaign.rows import RowsBy
from detector.campaign.table import HashIndex, Table
from detector.decoders.scan import scan
from detector.likeness import sketch
from detector.stages import loops
from detector.stages.steps import PAIR
from detector.window.recent import IdSet


def compile_all() -> None:
    """Call what is compiled."""
    keys = np.array([1], np.uint64)
    ids, index = IdSet(), HashIndex()
    ids.add(keys)
    ids.has(keys)
    index.insert(keys, np.array([0]))
    index.lookup(keys)
    index.intern(keys, 1)
    table = Table(one="<u8", two="<i4", three="u1", ones=("<u8", 2), twos=("<i4", 2), threes=("u1", 2))
    table.rows_of(np.array([1, 2], np.uint64))
    table.compact(np.array([True, False]))
    RowsBy()(np.zeros(1, np.int64), np.array([0]), 1)
    RowsBy()(np.zeros(1, np.int32), np.array([0]), 1)
    scan([b"{}"])
    sketch(["a text"], 0)
    one, pairs = np.zeros(1, np.int64), np.zeros(1, PAIR)
    loops.spread(one, np.zeros(1, np.uint8), keys, (one, one, keys, one, one), one, one.copy(), pairs)
    loops.add(pairs, one, pairs.copy(), 0)
    loops.folded(one, keys, pairs, keys, np.empty(1, observation.PAIRS))


if __name__ == "__main__":
    compile_all()
