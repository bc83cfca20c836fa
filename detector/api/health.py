"""Alive and ready, and which check says otherwise.

*Alive* is progress or no lag: a consumer can die slowly behind a web server that goes on answering,
so an answer proves nothing by itself. *Ready* is partitions assigned and the store reachable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to be so; `detail` says in what state it is."""

    name: str
    ok: bool
    detail: str = ""


class Status(Protocol):
    """What the runtime tells of itself."""

    def alive(self) -> Sequence[Check]:
        """Return the checks of liveness; when one fails, a restart may help."""

    async def ready(self) -> Sequence[Check]:
        """Return the checks of readiness; when one fails, waiting may help. May raise Unavailable."""


@dataclass(slots=True)
class Progress:
    """Whether each partition moves. Times are any steady clock's, in ms, given by the caller."""

    stalled_ms: int
    _seen: dict[str, tuple[int, int]] = field(default_factory=dict)  # partition -> (offset, when it last moved)
    _lag: dict[str, int] = field(default_factory=dict)

    def seen(self, partition: str, offset: int, lag: int, now_ms: int) -> None:
        """Take note of where a partition stands. Having no lag counts as moving."""
        before = self._seen.get(partition)
        if before is None or before[0] != offset or lag <= 0:
            self._seen[partition] = (offset, now_ms)
        self._lag[partition] = lag

    def forget(self, partition: str) -> None:
        """Leave out a partition that another worker owns now."""
        self._seen.pop(partition, None)
        self._lag.pop(partition, None)

    def check(self, now_ms: int) -> Check:
        """Return whether every partition with lag has moved within `stalled_ms`."""
        stalled = sorted(
            partition
            for partition, (_, moved_ms) in self._seen.items()
            if self._lag[partition] > 0 and now_ms - moved_ms > self.stalled_ms
        )
        if not stalled:
            return Check("progress", ok=True, detail=f"{len(self._seen)} partitions, {sum(self._lag.values())} behind")
        worst = max(now_ms - self._seen[partition][1] for partition in stalled)
        names = ", ".join(stalled[:5]) + (", …" if len(stalled) > 5 else "")
        return Check("progress", ok=False, detail=f"{names}: records to read and none read for {worst // 1000} s")
