"""When an account is as if it never was: after so many days without a request, by its partition's clock.

What an account shows after that does not depend on whether the store still has its row. So rows may be
deleted at leisure, and a live worker tells the same as a replay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.event import I64, Mask
from detector.window.activity import DAY_MS


@dataclass(frozen=True, slots=True)
class Forgetting:
    """After `days` without a request; steps are of `cadence_ms`."""

    days: float
    cadence_ms: int

    def seen_ms(self, table: npt.NDArray[Any], rows: I64) -> I64:
        """Return until when accounts (rows of dtype activity.ROW) were active, less half an hour at most; -1: never.

        Judging is told by the clock, where an event's own time may be anything.
        """
        judged_ms, opened = table["judged_ms"][rows], table["open_step"][rows].astype(np.int64)
        return np.asarray(np.maximum(judged_ms, np.where(opened >= 0, (opened + 1) * self.cadence_ms, -1)))

    def long_ago(self, seen_ms: I64 | int, now_ms: I64 | int) -> Mask:
        """Tell whether an account that was active until then (-1: never) is to be forgotten now."""
        seen, now = np.asarray(seen_ms), np.asarray(now_ms)
        return np.asarray((seen >= 0) & (now - seen > self.days * DAY_MS), np.bool_)

    def back(self, table: npt.NDArray[Any], rows: I64, clock: I64) -> I64:
        """Return which accounts had been quiet for so long before the first of these events, each of such a row."""
        quiet = np.flatnonzero(self.long_ago(self.seen_ms(table, rows), clock))
        if not len(quiet):
            return quiet
        events = np.flatnonzero(np.isin(rows, rows[quiet]))
        back, first = np.unique(rows[events], return_index=True)
        return back[self.long_ago(self.seen_ms(table, back), clock[events[first]])]

    def parts(self, partition: npt.NDArray[Any], clock: I64) -> Iterator[I64]:
        """Yield n events, in order, in parts in which no account can be forgotten between two of its events.

        `partition` and `clock` are [n], the clock that of the partition.
        """
        every = np.arange(len(clock))
        yield from self._halved(partition, clock, every) if self._spans(clock) else [every]

    def _spans(self, clock: I64) -> bool:
        return bool(self.long_ago(clock.min(), clock.max()))

    def _halved(self, partition: npt.NDArray[Any], clock: I64, part: I64) -> Iterator[I64]:
        if any(self._spans(clock[part[partition[part] == p]]) for p in np.unique(partition[part])):
            for half in np.array_split(part, 2):
                yield from self._halved(partition, clock, half)
        else:
            yield part
