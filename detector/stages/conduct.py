"""What stage 3 remembers of the conduct of each account, and of all of them together; bounded.

    facts, edges, models of a step ─► columns of the account ─► Conduct of a group ─► behaviour.observe
                                   └► every half hour ────────► Reference

An account's last 24 h are a ring of 288 bits, one for each tile of five minutes in which it used a candidate link;
`tile` is the last one it did, and what the ring holds of later ones is a day older. 93 bytes an account in all.

A model is *new* when it was never told of before, after three days of the stream. It is followed for 24 h; of more than
RELEASES at a time the one least used makes room, once its 24 h are over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from detector.campaign import wire
from detector.campaign.behaviour import (
    DAY_MS,
    HOUR_MS,
    RELEASES,
    TILE_MS,
    TILES,
    Conduct,
    Reference,
    moved,
    observe,
    refer,
)
from detector.campaign.candidate import Candidates
from detector.campaign.group import Reading
from detector.campaign.table import Table
from detector.event import I64, Mask

COLUMNS: Final[dict[str, Any]] = {
    "tiles": ("u1", TILES // 8),
    "tile": "<i8",
    "told_ms": "<i8",
    "early_asked": "<f4",
    "early_refused": "<f4",
    "release_asked": ("<i4", RELEASES),
    "release_new": ("<i4", RELEASES),
    "referred": "?",
}
"""Columns of stage 3's accounts that are kept here."""

REFRESH_MS: Final = HOUR_MS // 2
SETTLED_MS: Final = 3 * DAY_MS  # of the stream, before which every model may be an old one
MOST_MODELS: Final = 1_000  # names remembered; beyond, none is new
MOST_EMBEDDED: Final = 1 << 14  # established accounts in the reference, those of the lowest keys
_dump: Final = msgspec.msgpack.Decoder(tuple[list[str], list[str], list[int], bytes])
_READ: Final = tuple(name for name in Conduct.__dataclass_fields__ if name != "active")


class Conducts:
    """The conduct of all accounts of a table."""

    def __init__(self, accounts: Table) -> None:
        """`accounts` has COLUMNS among its own."""
        self._accounts = accounts
        self._models: set[str] = set()
        self._new: list[str] = [""] * RELEASES
        self._release_ms = np.full(RELEASES, -1, np.int64)
        self._reference: Reference | None = None

    def learn(self, record: Candidates, rows: I64, start_ms: int, step_ms: int) -> None:
        """Take over a record whose accounts are in these rows; `start_ms` is when the stream began."""
        table = self._accounts
        fresh = table["told_ms"][rows] == 0
        table["told_ms"][rows[fresh]] = step_ms
        early = rows[step_ms - table["told_ms"][rows] <= DAY_MS]
        table["early_asked"][early], table["early_refused"][early] = (
            table["requests_24h"][early],
            table["refused_24h"][early],
        )
        mark(table, rows[record.edges.account], record.edges.last_ms // TILE_MS)
        self._follow(record, rows, start_ms, step_ms)

    def _follow(self, record: Candidates, rows: I64, start_ms: int, step_ms: int) -> None:
        """Count requests, and those on new models, within 24 h of a release."""
        for name in sorted({model for _, model, _ in record.models} - self._models):
            if len(self._models) < MOST_MODELS:
                self._models.add(name)
                if step_ms - start_ms > SETTLED_MS:
                    self._release(name, step_ms)
        is_open = (self._release_ms >= 0) & (step_ms - self._release_ms < DAY_MS)
        if not is_open.any():
            return
        who = rows[np.array([account for account, _, _ in record.models], np.int64)]
        counts = np.array([count for _, _, count in record.models], np.int32)
        np.add.at(self._accounts["release_asked"], who, counts[:, None] * is_open)
        for slot in np.flatnonzero(is_open).tolist():
            new = np.array([model == self._new[slot] for _, model, _ in record.models], np.bool_)
            np.add.at(self._accounts["release_new"][:, slot], who[new], counts[new])

    def _release(self, name: str, step_ms: int) -> None:
        over = (self._release_ms < 0) | (step_ms - self._release_ms >= DAY_MS)
        if not over.any():
            return
        used = np.where(over, self._accounts["release_new"].sum(axis=0, dtype=np.int64), np.iinfo(np.int64).max)
        slot = int(used.argmin())
        self._new[slot], self._release_ms[slot] = name, step_ms
        for column in ("release_asked", "release_new"):
            self._accounts[column][:, slot] = 0

    def refresh(self, step_ms: int, established: Callable[[I64], Mask]) -> None:
        """Take the reference anew when half an hour has passed; `established` tells it of rows."""
        if self._reference and step_ms - self._reference.time_ms < REFRESH_MS:
            return
        self._accounts["referred"][:] = self._accounts["campaign"] == 0
        free = np.flatnonzero(self._accounts["referred"])
        old = free[established(free)]
        if len(old) > MOST_EMBEDDED:
            keys = self._accounts.keys[old]
            old = old[keys <= np.partition(keys, MOST_EMBEDDED - 1)[MOST_EMBEDDED - 1]]
        old = old[np.argsort(self._accounts.keys[old])]  # sums of fractions are over a fixed order
        told_ms, asked, new = (self._accounts[name][free] for name in ("told_ms", "release_asked", "release_new"))
        accounts, shares, _ = moved(told_ms, asked, new, self._release_ms)
        releases = self._release_ms.copy(), accounts, shares
        self._reference = refer(
            self._of(old, step_ms, tiles=False), self._accounts["created_ms"][free], releases, step_ms
        )

    def read(self, rows: I64, step_ms: int) -> list[Reading]:
        """Return the readings of the group of these rows, in the order of their keys."""
        return observe(self._of(rows, step_ms), self._reference, step_ms)

    def _of(self, rows: I64, step_ms: int, *, tiles: bool = True) -> Conduct:
        columns = {name: self._accounts[name][rows] for name in _READ}
        ring = rows if tiles else rows[:0]
        active = unrolled(self._accounts["tiles"][ring], self._accounts["tile"][ring], (step_ms - 1) // TILE_MS)
        return Conduct(**columns, active=active)

    def dump(self) -> bytes:
        """Return what is kept beside the columns."""
        reference = wire.encode(self._reference) if self._reference else b""
        return msgspec.msgpack.encode((sorted(self._models), self._new, self._release_ms.tolist(), reference))

    def load(self, data: bytes) -> None:
        """Become what was dumped."""
        models, self._new, release_ms, reference = _dump.decode(data)
        self._models, self._release_ms = set(models), np.array(release_ms, np.int64)
        self._reference = wire.decode(Reference, reference) if reference else None


def unrolled(tiles: npt.NDArray[np.uint8], last: I64, tile: int) -> Mask:
    """Return [A, TILES] the rings of accounts, the TILES up to `tile`, oldest first.

    `last` is each one's last tile, none of them after `tile`.
    """
    times = tile + 1 - TILES + np.arange(TILES)
    bits = np.unpackbits(tiles, axis=1)[:, times % TILES].astype(np.bool_)
    return np.asarray(bits & (times <= last[:, None]), np.bool_)


def mark(table: Table, rows: I64, tile: I64) -> None:
    """Note that accounts (rows, with repeats) were active in tiles; what is a day before an account's last is lost."""
    who, index = np.unique(rows, return_inverse=True)
    last = table["tile"][who]
    latest = last.copy()
    np.maximum.at(latest, index, tile)
    moved = np.flatnonzero(latest > last)
    age = ((latest[moved] % TILES).astype(np.int16)[:, None] - np.arange(TILES, dtype=np.int16)) % TILES
    passed = np.minimum(latest[moved] - last[moved], TILES).astype(np.int16)  # slots that now are of a later tile
    table["tiles"][who[moved]] &= np.packbits(age >= passed[:, None], axis=1)
    table["tile"][who] = latest
    inside = tile > latest[index] - TILES
    slot = tile[inside] % TILES
    np.bitwise_or.at(table["tiles"], (rows[inside], slot // 8), (128 >> slot % 8).astype(np.uint8))
