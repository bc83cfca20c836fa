"""The store of `demo`, `replay` and tests: dictionaries, with the fencing and the atomicity of the Redis twin.

It survives nothing but its own workers: every runtime of one process that is given the same
`MemoryStore` sees the same partitions, so takeover and fencing can be tried without a server.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from detector.errors import Fenced
from detector.stores import Claim, Commit, Message


@dataclass(slots=True)
class _Partition:
    token: int = 0
    epoch: int = 0
    offset: int | None = None
    rows: dict[str, bytes] = field(default_factory=dict)
    outboxes: dict[int, list[Message]] = field(default_factory=dict)


class MemoryStore:
    """`Store` in this process."""

    def __init__(self) -> None:
        self._partitions: dict[tuple[str, int], _Partition] = {}
        self._tokens = itertools.count(1)

    def _held(self, stage: str, partition: int, token: int) -> _Partition:
        state = self._partitions.get((stage, partition))
        if state is None or state.token != token:
            raise Fenced("memory", f"{stage}:{partition} has another owner")
        return state

    async def claim(self, stage: str, partition: int) -> Claim:
        """Take ownership: every token given out before for this (stage, partition) is void."""
        state = self._partitions.setdefault((stage, partition), _Partition())
        state.token = next(self._tokens)
        outbox = [message for epoch in sorted(state.outboxes) for message in state.outboxes[epoch]]
        return Claim(token=state.token, epoch=state.epoch, offset=state.offset, outbox=outbox)

    async def rows(self, stage: str, partition: int, keys: Sequence[str] | None = None) -> dict[str, bytes]:
        """Return the rows of these keys that exist (all rows when `keys` is None)."""
        state = self._partitions.get((stage, partition))
        if state is None:
            return {}
        if keys is None:
            return dict(state.rows)
        return {key: state.rows[key] for key in keys if key in state.rows}

    async def some_rows(
        self,
        stage: str,
        partition: int,
        cursor: int = 0,  # noqa: ARG002  # the protocol's
        count: int = 1000,  # noqa: ARG002
    ) -> tuple[int, dict[str, bytes]]:
        """Return all rows, as Redis does where there are few."""
        return 0, await self.rows(stage, partition)

    async def commit(self, stage: str, partition: int, token: int, commit: Commit) -> int:
        """Apply the commit atomically and return its epoch; raise Fenced when the token is void."""
        state = self._held(stage, partition, token)
        state.epoch += 1
        state.offset = commit.offset
        for key, row in commit.rows.items():
            if row is None:
                state.rows.pop(key, None)
            else:
                state.rows[key] = row
        if commit.outbox:
            state.outboxes[state.epoch] = list(commit.outbox)
        return state.epoch

    async def published(self, stage: str, partition: int, token: int, epoch: int) -> None:
        """Drop the outboxes up to this epoch; raise Fenced when the token is void."""
        state = self._held(stage, partition, token)
        for done in [one for one in state.outboxes if one <= epoch]:
            del state.outboxes[done]

    async def owned(self, stage: str, partition: int, token: int) -> None:
        """Return when nobody has claimed it since the token was given out; raise Fenced when the token is void."""
        self._held(stage, partition, token)

    async def ping(self) -> None:
        """Return: memory answers."""

    async def close(self) -> None:
        """Keep everything: other workers of this process may still use it."""
