"""The pairs of one partition's open step: folded as they come, bounded, and kept in the store piece by piece.

    pairs ─► raw ─► table of (row, kind, value, item): count, tokens, first and last     at the end of the step: taken
                      └ what changed since the last drain ─► a chunk for the store

A step costs memory by what is different in it, not by how much it is, nor by how often it is committed: what is
there when it ends has to be sorted at once, while everybody waits for its record.

It is bounded as well. Beyond `most` different pairs a step tells of a sample: of every second, fourth, eighth text (of
a link where there is no text), the same for all accounts, and of these everything. Who is in the sample says a hash
that is another one each step, and how small the sample is depends on what came in the step and not on its order
(Wegman's adaptive sampling): a pair that is in the sample at the end was in it all the time, so it is counted whole,
and neither the cut into batches nor a restart can show.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from detector.campaign.link import mix
from detector.campaign.table import HashIndex
from detector.event import I64, U64, Mask
from detector.stages.steps import MODEL, PAIR, joined
from detector.window.activity import grown, rows_of

Rows = npt.NDArray[Any]

FOLD_AT: Final = 50_000  # pairs, some 60 bytes each
_ODD: Final = np.uint64(0xD6E8FEB86659FD93)
_ODDER: Final = np.uint64(0xA0761D6478BD642F)
_SAMPLE: Final = 2  # salts of `mix`
_IDENTITY: Final = 1
_MOST_LEVEL: Final = 63
_TOLD: Final = ("count", "output_tokens")  # sums: a chunk holds what came on top of the chunks before


class _Chunk(msgspec.Struct, array_like=True):
    """What a drain gives the store: account ids, names of models, pairs whose `row` indexes the ids."""

    ids: list[str]
    models: list[tuple[int, str]]
    pairs: bytes
    level: int = 0


_chunk: Final = msgspec.msgpack.Decoder(_Chunk)


class Pending:
    """The pairs of one partition's open step; `chunks` of them are in the store.

    `level`: one in 2**level texts is told of. `dropped` requests with a link were not; who counts them sets it to 0.
    """

    def __init__(self, most: int) -> None:
        """Hold nothing, and never more than `most` different pairs (and what counts requests to models)."""
        self.chunks = self.dropped = 0
        self.most = most
        self._clear()

    def _clear(self) -> None:
        self.level = self._told_level = 0
        self._raw: list[Rows] = []
        self._raw_size = self._size = 0
        self._index = HashIndex(FOLD_AT)
        self._folded = np.empty(0, PAIR)
        self._told = {name: np.empty(0, np.int64) for name in _TOLD}

    def __len__(self) -> int:
        """Return how many pairs are held, some of them perhaps several times."""
        return self._size + self._raw_size

    def add(self, pairs: Rows) -> None:
        """Add pairs of the open step."""
        self._raw.append(pairs)
        self._raw_size += len(pairs)
        # of pairs that are nearly all different, little is folded for long
        if self._raw_size > max(FOLD_AT, self._size):
            self._fold()

    def models(self) -> set[int]:
        """Return the values of MODEL pairs that are held."""
        held = [self._folded[: self._size], *self._raw]
        return set().union(*(pairs["value"][pairs["kind"] == MODEL].tolist() for pairs in held))

    def close(self, step: int, pairs: Rows) -> list[Rows]:
        """Give up all pairs, as the open `step` is over, and with them `pairs`: of this step and of later ones.

        A pair may come in parts, and in any order.
        """
        if not self.level and len(self) + len(pairs) <= self.most:  # whatever steps they are of
            return [*self._take(), pairs]
        closed = []
        for over in sorted({step, *np.unique(pairs["step"]).tolist()}):
            self.add(rows_of(pairs, np.flatnonzero(pairs["step"] == over)))
            self._fold()
            closed += self._take()
        return closed

    def _take(self) -> list[Rows]:
        taken = [self._folded[: self._size], *self._raw]
        self._clear()
        return taken

    def drain(self, ids: list[str], models: dict[int, str]) -> bytes | None:
        """Return what was added since the last drain, in terms of ids and names; None when nothing was."""
        self._fold()
        told = {name: column[: self._size] for name, column in self._told.items()}
        changed = np.flatnonzero(self._folded["count"][: self._size] != told["count"])
        if not len(changed) and self.level == self._told_level:
            return None
        pairs = rows_of(self._folded, changed)
        for name, column in told.items():
            pairs[name] -= column[changed]
        self._all_told()
        rows, pairs["row"] = np.unique(pairs["row"], return_inverse=True)
        named = sorted(set(pairs["value"][pairs["kind"] == MODEL].tolist()))
        chunk = _Chunk(
            [ids[row] for row in rows.tolist()],
            [(value, models[value]) for value in named],
            pairs.tobytes(),
            self.level,
        )
        return msgspec.msgpack.encode(chunk)

    def restore(self, chunk: bytes, rows_of_ids: dict[str, int], models: dict[int, str]) -> None:
        """Take back a chunk; `rows_of_ids` says where each account's row is now."""
        content = _chunk.decode(chunk)
        pairs = np.frombuffer(content.pairs, PAIR).copy()
        pairs["row"] = np.array([rows_of_ids[name] for name in content.ids], np.int64)[pairs["row"]]
        models.update(content.models)
        self.add(pairs)
        if content.level > self.level:
            self.level = content.level
            self._resample()
        self._fold()
        self._all_told()

    def _all_told(self) -> None:
        self._told_level = self.level
        for name, column in self._told.items():
            column[: self._size] = self._folded[name][: self._size]

    def _fold(self) -> None:
        """Bring what is raw into the table, and let the sample shrink until it fits."""
        if not self._raw:
            return
        from detector.stages import loops  # noqa: PLC0415 - numba costs a second and 100 MB

        pairs = self._raw[0] if len(self._raw) == 1 else joined(self._raw, PAIR)
        self._raw, self._raw_size = [], 0
        if self.level:
            kept = np.flatnonzero(sampled(pairs, self.level))
            self.dropped += int(pairs["count"].sum()) - int(pairs["count"][kept].sum())
            pairs = rows_of(pairs, kept)
        at, new = self._index.intern(_identity(pairs), self._size)
        end = self._size + len(new)
        if end > len(self._folded):
            self._folded = grown(self._folded, self._size, 2 * end)
            self._told = {name: grown(column, self._size, 2 * end) for name, column in self._told.items()}
        for column in self._told.values():
            column[self._size : end] = 0
        loops.add(pairs, at, self._folded, self._size)
        self._size = end
        while self._size > self.most and self.level < _MOST_LEVEL:
            self.level += 1
            self._resample()

    def _resample(self) -> None:
        """Leave out of the table what is no longer in the sample."""
        kept: I64 = np.flatnonzero(sampled(self._folded[: self._size], self.level))
        count = self._folded["count"][: self._size]
        self.dropped += int(count.sum()) - int(count[kept].sum())
        self._folded = rows_of(self._folded, kept)
        self._told = {name: column[kept] for name, column in self._told.items()}
        self._size = len(kept)
        self._index = HashIndex(max(FOLD_AT, len(kept)))
        self._index.insert(_identity(self._folded), np.arange(len(kept)))


def sampled(pairs: Rows, level: int) -> Mask:
    """Return which pairs a sample of one in 2**level texts holds."""
    of = np.where(pairs["item"] != 0, pairs["item"], pairs["value"])
    with np.errstate(over="ignore"):
        lot = mix(of + pairs["step"].astype(np.uint64) * _ODD, _SAMPLE)
    return (lot >> np.uint64(64 - level) == 0) | (pairs["kind"] == MODEL) if level else np.ones(len(pairs), bool)


def _identity(pairs: Rows) -> U64:
    with np.errstate(over="ignore"):
        salted = pairs["value"] + pairs["item"] * _ODD + pairs["row"].astype(np.uint64) * _ODDER
    return mix(salted, _IDENTITY) | np.uint64(1 << 63)
