"""Bytes in, columns out: what arrives at the door becomes an `EventBatch`, or a `Reject` with its reason.

    values ──► wire format (`DECODERS`: bytes -> Wire structs, or columns) ──► columns ──► EventBatch
       └ no event ──► Reject                                                      └ cannot be true ──► Reject

Every byte string gives events or rejects, never an exception. To add a wire format, write a module
like `native.py` (a `name`, and `read` that yields `Wire` structs and tells their origins) and list it here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from detector.decoders import native
from detector.decoders.accounts import DecodedAccounts, decode_accounts
from detector.decoders.columns import Columns
from detector.decoders.partition import partition_of, partitions_of
from detector.decoders.reject import REASONS, Origins, Reject
from detector.decoders.wire import Scanned
from detector.event import EventBatch

__all__ = [
    "DECODERS",
    "REASONS",
    "Decoded",
    "DecodedAccounts",
    "Reject",
    "WireFormat",
    "decode",
    "decode_accounts",
    "partition_of",
    "partitions_of",
    "repartitioned",
]


class WireFormat(Protocol):
    """One format that request events come in."""

    @property
    def name(self) -> str: ...

    def read(self, values: Sequence[bytes | None], origins: Origins) -> Iterator[list[Any] | Scanned]:
        """Yield the events of all values, a piece at a time; tell `origins`, in that order, where each came from.

        A piece is a list of `Wire` structs, or their columns.
        """


DECODERS: Final[tuple[WireFormat, ...]] = (native,)


@dataclass(frozen=True, slots=True)
class Decoded:
    """The events of some values, in order, and what gave none: rejects (in order) and a count of tombstones."""

    batch: EventBatch
    rejects: list[Reject]
    tombstones: int


def decode(
    values: Sequence[bytes | None],
    partitions: Sequence[int] | int,
    *,
    hash_key: int,
    wire_format: WireFormat = native,
) -> Decoded:
    """Return the events of `values`; `partitions` says where each value (or all of them) came from."""
    origins, columns = Origins(), Columns(hash_key)
    for events in wire_format.read(values, origins):
        columns.add(events)
    batch = columns.batch(origins, values, partitions)
    return Decoded(batch, origins.sorted_rejects(), origins.tombstones)


def repartitioned(batch: EventBatch, partitions: int) -> EventBatch:
    """Return the batch with every event on the partition that its account has on a topic of `partitions`."""
    return replace(batch, partition=partitions_of(batch.account_ids, partitions)[batch.account])
