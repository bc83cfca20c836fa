"""The three keyed stages, each a deterministic function of its input topic.

    accounts   keyed by account   EventBatch   -> observations
    links      keyed by link      Observations -> candidates
    campaigns  one partition      Candidates   -> findings, verdicts

A stage holds hot state for the partitions it was assigned, takes input in the order of each
partition, and gives up what changed and what is to be published when drained. However the input
is cut into batches, and however partitions interleave, what it publishes is the same bytes: it
acts when event time closes a step, never at the end of a batch. Each message says which step of
which source it is, so that a repeat after a crash is recognised and ignored.
"""

from __future__ import annotations

from typing import Protocol

from detector.stores import Message


class Stage(Protocol):
    """What the runtime needs of every stage, beside its own `absorb`."""

    name: str

    def assign(self, partition: int, rows: dict[str, bytes]) -> None:
        """Start (again) from the rows of the last commit; empty: from nothing."""

    def revoke(self, partition: int) -> None:
        """Forget the partition; another worker owns it."""

    def drain(self, partition: int) -> tuple[dict[str, bytes | None], list[Message]]:
        """Return the rows changed since the last drain (None: deleted) and what to publish, and forget both."""

    def waiting(self, partition: int) -> bool:
        """Return whether a drain would give something to publish."""

    def clock_ms(self, partition: int) -> int:
        """Return the event time that the partition's input has reached; -1 before there is any."""


class Journalled(Protocol):
    """State that can be written whole and read back, in named parts."""

    def dump(self) -> dict[str, bytes]:
        """Return everything, as bytes; equal states give equal bytes."""

    def load(self, parts: dict[str, bytes]) -> None:
        """Become the dumped state."""
