"""How records of a topic become the input of a stage: one feed per stage.

Requests come from strangers: what cannot be read is a dead letter. Internal records come from
workers of our own: one that cannot be read means that versions do not fit, and the worker stops
rather than lose a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from detector.account import AccountRecord
from detector.decoders import decode
from detector.event import EventBatch
from detector.metrics import EVENTS, RECORDS, TOMBSTONES, Recorder
from detector.runtime.holding import DeadLetter, Taken
from detector.stages import Stage


class AccountKeyed(Stage, Protocol):
    """What the request feed needs of the account stage."""

    def learn(self, records: Iterable[AccountRecord]) -> None: ...
    def wanted(self, batch: EventBatch) -> dict[int, list[str]]: ...
    def adopt(self, partition: int, rows: dict[str, bytes]) -> None: ...
    def expire(self, partition: int, rows: dict[str, bytes]) -> None: ...
    def absorb(self, batch: EventBatch) -> None: ...
    def advance(self, partition: int, clock_ms: int) -> None: ...


class RecordKeyed(Stage, Protocol):
    """What a feed of internal records needs of its stage."""

    def absorb(self, partition: int, values: list[bytes]) -> None: ...


class RequestFeed:
    """Request events for the account stage."""

    follows = True
    expires = True

    def __init__(self, stage: AccountKeyed, topic: str, hash_key: int, recorder: Recorder) -> None:
        self.stage = stage
        self.topic = topic
        self._hash_key = hash_key
        self._recorder = recorder

    def take(self, partition: int, records: Sequence[Any]) -> Taken:
        """Decode the records; what is no event becomes a dead letter."""
        decoded = decode([record.value for record in records], partition, hash_key=self._hash_key)
        dead = [
            DeadLetter(
                reject.reason,
                self.topic,
                partition,
                records[reject.index].offset,
                reject.line,
                records[reject.index].key,
                reject.raw,
            )
            for reject in decoded.rejects
        ]
        self._recorder.add(RECORDS, len(records))
        self._recorder.add(EVENTS, len(decoded.batch))
        self._recorder.add(TOMBSTONES, decoded.tombstones)
        return Taken(decoded.batch, len(decoded.batch), dead)

    def wanted(self, payload: EventBatch) -> list[str]:
        """Return the keys of accounts that have left memory, or are new."""
        return [key for keys in self.stage.wanted(payload).values() for key in keys] if len(payload) else []

    def expire(self, partition: int, rows: dict[str, bytes]) -> None:
        """Let the stage see which accounts are to be forgotten."""
        self.stage.expire(partition, rows)

    def absorb(self, partition: int, payload: EventBatch, rows: dict[str, bytes]) -> None:
        """Give the batch to the stage."""
        if rows:
            self.stage.adopt(partition, rows)
        self.stage.absorb(payload)

    def clock_ms(self, partition: int) -> int:
        """Return the partition's clock."""
        return self.stage.clock_ms(partition)

    def advance(self, partition: int, clock_ms: int) -> None:
        """Declare the partition idle until then."""
        self.stage.advance(partition, clock_ms)


class RecordFeed:
    """Internal records for the link and the campaign stage; their sources say themselves when they are idle."""

    follows = False
    expires = False

    def __init__(self, stage: RecordKeyed, topic: str) -> None:
        self.stage = stage
        self.topic = topic

    def take(self, partition: int, records: Sequence[Any]) -> Taken:  # noqa: ARG002  # the protocol's
        """Return the values as they are: the stage decodes them."""
        values = [record.value for record in records if record.value is not None]
        return Taken(values, len(values), [])

    def wanted(self, payload: list[bytes]) -> list[str]:  # noqa: ARG002
        """Nothing: these stages hold all of their partition."""
        return []

    def expire(self, partition: int, rows: dict[str, bytes]) -> None:
        """Nothing: these stages forget by themselves."""

    def absorb(self, partition: int, payload: list[bytes], rows: dict[str, bytes]) -> None:  # noqa: ARG002
        """Give the records to the stage."""
        self.stage.absorb(partition, payload)

    def clock_ms(self, partition: int) -> int:
        """Return the event time that the partition's sources have reached."""
        return self.stage.clock_ms(partition)

    def advance(self, partition: int, clock_ms: int) -> None:
        """Nothing."""
