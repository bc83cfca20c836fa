"""`python -m detector.runtime.compiling`: let numba compile all that it will, now rather than where it is needed first.

`make` and the image do it. In an image nothing can be written, so that what is missing there is an error
(`likeness.compiled.Shipped`): each compiled function is called here, with arguments of the types that it always gets.
"""

from __future__ import annotations

import numpy as np

from detector.campaign.table import HashIndex
from detector.decoders.scan import scan
from detector.likeness import sketch
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
    scan([b"{}"])
    sketch(["a text"], 0)


if __name__ == "__main__":
    compile_all()
