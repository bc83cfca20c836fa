"""Sliding windows for many accounts at once: stamped rings of tiles.

A window of W milliseconds is cut into tiles, half-open [k*w, (k+1)*w) of event time. A ring of
W/w + 1 slots per account holds them; tile k lives in slot k mod slots, and the slot's *stamp*
says which tile it holds, so that nothing ever has to be swept:

        tile       7     8     9    10    11            slots = 4 + 1
        slot       2     3     4     0     1
        ─────────┼░░░░░┼█████┼█████┼█████┼███▌──► event time
                   ▲ weighted by its overlap with (T - W, T]

An event for an older tile than the stamp is older than the window and is dropped, for that window
only; a newer one resets the slot. Both rules commute: whatever order events come in, the ring ends
the same. The sum at T weighs the oldest tile by its overlap, as if its events were spread evenly:
the error is at most what that one tile holds.

Values are uint32 and stop at 2^32 - 1 rather than wrap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detector.event import F32, I32, I64

U32 = npt.NDArray[np.uint32]

LIMIT: Final = np.uint32(0xFFFFFFFF)
NEVER: Final = -1  # stamp of a slot that was never used


@dataclass(frozen=True, slots=True)
class Level:
    """One window length: `tiles` tiles of `tile_ms`, and one more slot for the part of the oldest."""

    name: str
    tile_ms: int
    tiles: int

    @property
    def slots(self) -> int:
        """Slots of the ring."""
        return self.tiles + 1

    @property
    def window_ms(self) -> int:
        """Length of the window."""
        return self.tiles * self.tile_ms

    def place(self, stamps: I32, rows: I64, tile: I64) -> tuple[I64, I64, npt.NDArray[np.bool_]]:
        """Stamp tile `tile[i]` in the ring of `rows[i]` (rows are distinct).

        Return which i found a place (those older than the window do not), their slots, and whether
        the slot held an older tile and has to be emptied.
        """
        slot = tile % self.slots
        held = stamps[rows, slot]
        taken = np.flatnonzero(tile >= held)
        slot, tile, held = slot[taken], tile[taken], held[taken]
        stamps[rows[taken], slot] = tile
        return taken, slot, tile > held

    def add(self, stamps: I32, values: U32, rows: I64, time_ms: I64, amounts: U32) -> None:
        """Add `amounts` [n, C] at `time_ms` [n] to the rings `values` [accounts, slots, C] of distinct `rows` [n]."""
        taken, slot, stale = self.place(stamps, rows, time_ms // self.tile_ms)
        rows = rows[taken]
        before = values[rows, slot]
        before[stale] = 0
        after = before + amounts[taken]
        after[after < before] = LIMIT
        values[rows, slot] = after

    def weights(self, stamps: I32, rows: I64, end_ms: I64) -> F32:
        """Return the share of each slot's tile that lies in (end - window, end], [n, slots]."""
        held = stamps[rows].astype(np.int64)
        start = held * self.tile_ms
        overlap = np.clip(start + self.tile_ms - (end_ms - self.window_ms)[:, None], 0, self.tile_ms)
        overlap[(held == NEVER) | (start >= end_ms[:, None])] = 0
        shares: F32 = overlap.astype(np.float32) / np.float32(self.tile_ms)
        return shares

    def sums(self, stamps: I32, values: U32, rows: I64, end_ms: I64) -> F32:
        """Return the window sums [C, n] of `rows` at `end_ms` [n]."""
        weights = self.weights(stamps, rows, end_ms)
        held = values[rows]
        total = np.zeros((values.shape[2], len(rows)), np.float32)
        for slot in range(self.slots):  # a fixed order of addition: the same row, the same bits, in any batch
            total += weights[:, slot] * held[:, slot].T
        return total
