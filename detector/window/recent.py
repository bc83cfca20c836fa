"""Which event ids a partition saw lately, so that a redelivered event is counted once.

Ids are kept by *generation*, twenty minutes of the partition's clock. An id counts as redelivered
when it was seen in the generation of its second arrival or one of the KEPT before it, so it is
remembered for at least forty minutes and a generation is forgotten whole:

    generation    8        9       10
              ├────────┼────────┼──x─────    x: compared with 8, 9 and 10

Each generation holds at most `limit` ids, the first of it; what comes after is not remembered.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from detector.event import I64, U64, Mask, places

GENERATION_MS: Final = 1_200_000
KEPT: Final = 2


class IdSet:
    """A set of non-zero 64-bit ids; open addressing, whole arrays at a time."""

    def __init__(self) -> None:
        """Start empty."""
        self.size = 0
        self._slots = np.zeros(1 << 10, np.uint64)

    def has(self, ids: U64) -> Mask:
        """Return which ids are in the set."""
        from detector.window import slots  # noqa: PLC0415 - numba costs a second and 100 MB

        ids = np.require(ids, requirements=("C", "W"))  # of one type, so that it is compiled once
        return slots.has(ids, places(ids, len(self._slots)), self._slots)

    def add(self, ids: U64) -> None:
        """Add ids that are distinct and not in the set."""
        if 2 * (self.size + len(ids)) > len(self._slots):
            held = self._slots[self._slots != 0]
            self._slots = np.zeros(1 << (4 * (self.size + len(ids)) - 1).bit_length(), np.uint64)
            self._place(held)
        self._place(ids)
        self.size += len(ids)

    def _place(self, ids: U64) -> None:
        from detector.window import slots  # noqa: PLC0415

        ids = np.require(ids, requirements=("C", "W"))
        slots.add(ids, places(ids, len(self._slots)), self._slots)


class RecentIds:
    """The ids of one partition's last generations."""

    def __init__(self, limit: int) -> None:
        """Remember at most `limit` ids per generation; `passed_over` counts those beyond."""
        self._limit = limit
        self.passed_over = 0
        self._sets: dict[int, IdSet] = {}
        self._fresh: dict[int, list[U64]] = {}

    def arrive(self, ids: U64, clock_ms: I64) -> Mask:
        """Take n ids in order with the clock at each (it never falls); return which were seen before."""
        generation = clock_ms // GENERATION_MS
        starts = np.flatnonzero(np.concatenate([[True], generation[1:] != generation[:-1]]))
        seen = np.zeros(len(ids), bool)
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(ids)], strict=True):
            seen[start:end] = self._arrive(int(generation[start]), ids[start:end])
        return seen

    def _arrive(self, number: int, ids: U64) -> Mask:
        for old in [held for held in self._sets if held < number - KEPT]:
            del self._sets[old]
            self._fresh.pop(old, None)
        current = self._sets.setdefault(number, IdSet())
        first = np.sort(np.unique(ids, return_index=True)[1])
        distinct = ids[first]
        known = current.has(distinct)
        older = np.zeros(len(ids), bool)
        for held in self._sets.values():
            if held is not current:
                older |= held.has(ids)
        new = distinct[~known]
        room = max(0, self._limit - current.size)
        self.passed_over += max(0, len(new) - room)
        new = new[:room]
        if len(new):
            current.add(new)
            self._fresh.setdefault(number, []).append(new)
        seen = current.has(ids) if len(first) < len(ids) else known  # a repetition, if its first was remembered
        seen[first] = known
        return seen | older

    def generations(self) -> list[int]:
        """Return the generations that are held."""
        return sorted(self._sets)

    def drain(self) -> dict[int, bytes]:
        """Return the ids added since the last drain by generation, and forget which they were."""
        fresh = {number: np.concatenate(ids).astype("<u8").tobytes() for number, ids in sorted(self._fresh.items())}
        self._fresh = {}
        return fresh

    def restore(self, number: int, ids: bytes) -> None:
        """Add ids of a generation that were drained before."""
        self._sets.setdefault(number, IdSet()).add(np.frombuffer(ids, "<u8").astype(np.uint64))
