"""Columns over rows that are found by a 64-bit key: the store behind links, edges and accounts.

`HashIndex` is open addressing with linear probing, a whole array of keys at a time (`window.slots`).
Rows are only ever appended; what expires is removed by `Table.compact`, which renumbers the rows that
stay in their order. Row numbers therefore depend on the order of insertion alone, and a table restored
from its bytes is the same table.

Keys must not be 0.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from detector.event import I64, U64, Mask, places

SPARE: Final = 8
_FIRST_CAPACITY: Final = 1024
_WHOLE: Final = {1: np.uint8, 4: np.int32, 8: np.int64}  # by size: what is moved need not be compiled for every type


def cut(stays: Mask, standing: npt.NDArray[Any], time_ms: I64, most: int) -> int:
    """Where more than `most` rows stay, let the oldest go; return how many went.

    Rows of each standing (0, 1, …) keep an equal part, and what one does not need goes to the highest. So a flood of
    what stands low washes away nothing that stands high, and what stood high once does not keep out all that is new.
    One part in SPARE more goes than must, lest a full table be cut again at once. Of equally old rows the first go.
    """
    rows = np.flatnonzero(stays)
    if len(rows) <= most:
        return 0
    room = most - most // SPARE
    of = standing[rows].astype(np.int64)
    counts = np.bincount(of)
    kept = np.minimum(counts, room // len(counts))
    for place in range(len(counts) - 1, -1, -1):
        kept[place] += min(counts[place] - kept[place], room - kept.sum())
    for place, going in enumerate((counts - kept).tolist()):
        if going:
            mine = rows[of == place]
            times = time_ms[mine]
            level = np.partition(times, going - 1)[
                going - 1
            ]  # by value: an order of equal ones may differ with the CPU
            old = times < level
            old[np.flatnonzero(times == level)[: going - int(old.sum())]] = True
            stays[mine[old]] = False
    return int((counts - kept).sum())


class HashIndex:
    """Keys -> row numbers. At most half of the slots are used."""

    def __init__(self, capacity: int = _FIRST_CAPACITY) -> None:
        """Make room for `capacity` keys before the first growth."""
        self._size = 0
        self._allocate(2 * capacity)

    def _allocate(self, slots: int) -> None:
        slots = 1 << max(4, (slots - 1).bit_length())
        self._keys = np.zeros(slots, np.uint64)
        self._rows = np.zeros(slots, np.int32)

    @property
    def slots(self) -> int:
        """The room there is: 12 bytes each."""
        return len(self._keys)

    def lookup(self, keys: U64) -> I64:
        """Return the row of each key, -1 where it is not known."""
        from detector.window import slots  # noqa: PLC0415 - numba costs a second and 100 MB

        keys = np.require(keys, requirements=("C", "W"))  # of one type, so that it is compiled once
        return slots.rows(keys, places(keys, len(self._keys)), self._keys, self._rows)

    def insert(self, keys: U64, rows: npt.NDArray[Any]) -> None:
        """Add keys that are distinct and not known yet."""
        if 2 * (self._size + len(keys)) > len(self._keys):
            self._rebuild(len(keys))
        self._place(keys, rows)
        self._size += len(keys)

    def intern(self, keys: U64, row: int) -> tuple[I64, I64]:
        """Return the row of each key and the places of those that are new, whose rows are `row`, row + 1, … in turn."""
        from detector.window import slots  # noqa: PLC0415

        if 2 * (self._size + len(keys)) > len(self._keys):
            self._rebuild(len(keys))
        keys = np.require(keys, requirements=("C", "W"))
        rows, new = slots.intern(keys, places(keys, len(self._keys)), self._keys, self._rows, row)
        self._size += len(new)
        return rows, new

    def renumber(self, renumbered: I64) -> None:
        """Give each row its new number, -1 to one that is gone.

        A key that is gone keeps its slot, because others are found beyond it: it is met again or goes with the
        next rebuilding, and counts as used until then.
        """
        from detector.campaign import passes  # noqa: PLC0415

        passes.renumber(self._keys, self._rows, renumbered.astype(np.int32))
        if len(self._keys) > _FIRST_CAPACITY + 16 * int((renumbered >= 0).sum()):
            self._rebuild(0)

    def _rebuild(self, more: int) -> None:
        live = (self._keys != 0) & (self._rows >= 0)
        keys, rows = self._keys[live], self._rows[live]
        self._size = len(keys)
        self._allocate(4 * (self._size + more))
        self._place(keys, rows)

    def _place(self, keys: U64, rows: npt.NDArray[Any]) -> None:
        from detector.window import slots  # noqa: PLC0415

        keys = np.require(keys, requirements=("C", "W"))
        slots.place(keys, places(keys, len(self._keys)), self._keys, self._rows, rows.astype(np.int32))


class Table:
    """Named columns of equal length with a key per row.

    `columns` maps a name to its dtype, or to (dtype, width) for a column of vectors. New rows are zeros.
    """

    def __init__(self, **columns: str | tuple[str, int]) -> None:
        """Make an empty table."""
        self._spec = {name: (spec, 0) if isinstance(spec, str) else spec for name, spec in columns.items()}
        self.size = 0
        self._index = HashIndex()
        self._keys = np.zeros(_FIRST_CAPACITY, np.uint64)
        self._data = {name: self._new(name, _FIRST_CAPACITY) for name in self._spec}

    def _new(self, name: str, capacity: int) -> npt.NDArray[Any]:
        dtype, width = self._spec[name]
        return np.zeros((capacity, width) if width else capacity, dtype)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return the live rows of a column, as a view that may be written."""
        return self._data[name][: self.size]

    @property
    def keys(self) -> U64:
        """The key of each row."""
        return self._keys[: self.size]

    @property
    def bytes_used(self) -> int:
        """Memory of the live rows."""
        return self.size * (
            8
            + sum(
                column.itemsize * max(1, width)
                for column, (_, width) in zip(self._data.values(), self._spec.values(), strict=True)
            )
        )

    def lookup(self, keys: U64) -> I64:
        """Return the row of each key, -1 where it is not known."""
        return self._index.lookup(keys)

    def rows_of(self, keys: U64) -> tuple[I64, I64]:
        """Return the row of each key and the rows that are new: keys not known yet, added in ascending order."""
        rows = self._index.lookup(keys)
        start = self.size
        unknown = np.flatnonzero(rows < 0)
        if unknown.size:
            missing, which = np.unique(keys[unknown], return_inverse=True)
            self._grow(start + len(missing))
            self._keys[start : start + len(missing)] = missing
            self.size = start + len(missing)
            self._index.insert(missing, np.arange(start, self.size))
            rows[unknown] = start + which
        return rows, np.arange(start, self.size)

    def _grow(self, needed: int) -> None:
        capacity = len(self._keys)
        if needed <= capacity:
            return
        capacity = max(needed, 2 * capacity)
        for name, column in self._data.items():
            grown = self._new(name, capacity)
            grown[: self.size] = column[: self.size]
            self._data[name] = grown
        keys = np.zeros(capacity, np.uint64)
        keys[: self.size] = self._keys[: self.size]
        self._keys = keys

    def compact(self, keep: Mask) -> I64:
        """Drop the rows where `keep` is False; return old row -> new row, -1 for the dropped."""
        from detector.campaign import passes  # noqa: PLC0415 - numba costs a second and 100 MB

        renumbered = np.where(keep, np.cumsum(keep) - 1, -1)
        kept = np.flatnonzero(keep)
        size, self.size = self.size, len(kept)
        if len(self._keys) > 4 * max(_FIRST_CAPACITY, self.size):  # give memory back
            self._restore(self._keys[kept], {name: column[kept] for name, column in self._data.items()})
            return renumbered
        for column in (self._keys, *self._data.values()):
            pack = passes.pack if column.ndim == 1 else passes.pack_rows
            pack(column.view(_WHOLE[column.itemsize]), kept)
            column[self.size : size] = 0
        self._index.renumber(renumbered)
        return renumbered

    def _restore(self, keys: U64, data: dict[str, npt.NDArray[Any]]) -> None:
        size = len(keys)
        capacity = max(_FIRST_CAPACITY, size)
        self.size = size
        self._keys = np.zeros(capacity, np.uint64)
        self._keys[:size] = keys
        for name, column in data.items():
            self._data[name] = self._new(name, capacity)
            self._data[name][:size] = column
        self._index = HashIndex(capacity)
        self._index.insert(self._keys[:size], np.arange(size))

    def dump(self) -> bytes:
        """Return the whole table as bytes."""
        return msgspec.msgpack.encode((self.keys.tobytes(), {name: self[name].tobytes() for name in self._spec}))

    def load(self, data: bytes) -> None:
        """Replace the table by a dumped one of the same columns."""
        keys, columns = msgspec.msgpack.decode(data, type=tuple[bytes, dict[str, bytes]])
        size = len(keys) // 8
        restored = {}
        for name, (dtype, width) in self._spec.items():
            flat = np.frombuffer(columns[name], dtype)
            restored[name] = flat.reshape(size, width) if width else flat
        self._restore(np.frombuffer(keys, np.uint64), restored)
