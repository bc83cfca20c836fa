"""Where state survives: `Store`, with a memory and a Redis twin held to one contract suite.

Within its partitions a worker is the only writer. A stage keeps its hot state in process; the
store holds it durably, one *commit* at a time, atomically: changed rows, the offset of the next
record to read, and the outbox of what is to be published, guarded by a fencing token.

    claim ──► rows ──► … process … ──► commit ──► publish the outbox ──► published
      └ a new owner's claim voids the old owner's token: its commits raise Fenced

A crash before the commit replays from the old offset over the old rows; between the commit and
`published` the next owner gets the same outbox again, under the same epoch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from detector.errors import DecodeError


class Message(msgspec.Struct, frozen=True, array_like=True):
    """Something to publish: `topic` is a role (observations, candidates, findings, verdicts), not a name."""

    topic: str
    partition: int | None
    key: str
    value: bytes | None  # None: a tombstone


@contextlib.contextmanager
def read_back(what: str) -> Iterator[None]:
    """Turn whatever is wrong with bytes that a store gave back into one DecodeError, which says whose they are."""
    try:
        yield
    except (
        *(DecodeError, msgspec.MsgspecError, ArithmeticError, AttributeError),
        *(LookupError, RecursionError, TypeError, ValueError),
    ) as error:
        said = f"what the store holds of {what} cannot be read ({type(error).__name__}: {error})"
        raise DecodeError(
            "state_unreadable", f"{said}: restore a backup, or start from nothing with another prefix"
        ) from error


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """One atomic step of one (stage, partition). A row of None is deleted."""

    offset: int
    rows: dict[str, bytes | None]
    outbox: list[Message]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What a new owner starts from. `offset` is None where nothing was ever committed."""

    token: int
    epoch: int
    offset: int | None
    outbox: list[Message]


class Store(Protocol):
    """Every method raises `Unavailable` when the store does not answer, and loses nothing by it."""

    async def claim(self, stage: str, partition: int) -> Claim:
        """Take ownership: every token given out before for this (stage, partition) is void."""

    async def rows(self, stage: str, partition: int, keys: Sequence[str] | None = None) -> dict[str, bytes]:
        """Return the rows of these keys that exist (all rows when `keys` is None), in one round trip."""

    async def some_rows(
        self, stage: str, partition: int, cursor: int = 0, count: int = 1000
    ) -> tuple[int, dict[str, bytes]]:
        """Return some `count` rows from `cursor` on, and the cursor behind them: 0 where all were returned.

        A row that is there all the while is among those of a pass at least once.
        """

    async def commit(self, stage: str, partition: int, token: int, commit: Commit) -> int:
        """Apply the commit atomically and return its epoch; raise Fenced when the token is void.

        Without an answer the same commit is sent again before any other one; it is applied once.
        """

    async def published(self, stage: str, partition: int, token: int, epoch: int) -> None:
        """Drop the outbox of this epoch; raise Fenced when the token is void."""

    async def owned(self, stage: str, partition: int, token: int) -> None:
        """Return when nobody has claimed it since the token was given out; raise Fenced when the token is void."""

    async def ping(self) -> None:
        """Return when the store answers and can be written."""

    async def close(self) -> None:
        """Release connections."""
