"""Functions over bytes and integers, compiled to machine code by numba: the only file that knows numba.

    @entry     a function that Python calls: compiled at its first call, for this processor, then read from a file
    @inlined   one that entries of its own file call

The files lie beside the source in `__pycache__`, as Python's own bytecode does; where that may not be written, below
the user's `~/.cache/numba`, or where NUMBA_CACHE_DIR says; where nothing may, every process compiles for itself, which
takes some seconds. Each is replaced in one step, so that processes may start at once. It is machine code that is
trusted as the source is: nobody else should be able to write there. An image brings its own (`Shipped`).

Rules of what is compiled, because numba checks none of them:
- integers only, and no signed one meets an unsigned one of 64 bits (their sum would be a float);
- an index is in bounds by an argument that stands in a comment;
- nothing of the detector that is imported: numba compiles anew what changed in the entry's own file only, so that
  what comes from elsewhere comes as an argument (a test looks).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numba
from numba.core.caching import InTreeCacheLocator

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


class Shipped(InTreeCacheLocator):
    """Beside the source, also where that can be read only: NUMBA_CACHE_LOCATOR_CLASSES of an image names this class.

    What is missing there cannot be added, and so is an error: what compiled and what runs must be told the same
    NUMBA_CPU_NAME.
    """

    def ensure_cache_path(self) -> None:
        """Take it as it is where it cannot be made."""
        with suppress(OSError):
            super().ensure_cache_path()  # type: ignore[no-untyped-call]


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """Compile; other threads run meanwhile, so the caller alone may know the arrays that it gives."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder may be written
        return numba.njit(nogil=True)(function)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile as a part of the entries that call it."""
    return numba.njit()(function)
