"""What time it is in a partition, by its events.

The clock is the running maximum of event time in the order of the partition. One record with a
wrong clock must not close every window, so a jump of more than an hour is believed only when a
second account lies there too, or the same account again and again (a partition may have only one):

    event time   10:00  10:01  10:01  17:30  10:02  17:31
    account        a      b      a      c      b      d
    clock        10:00  10:01  10:01  10:01  10:02  17:30   ◄ c and d agree
                                      └ *ahead*: counted, and taken to have happened at 10:01

An event older than the clock less the allowed lateness is *late*. Weakness: the first record of a
partition has nothing to be compared with and is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.event import I64, U64, Mask

JUMP_MS: Final = 3_600_000
REPEATS: Final = 5  # events of one account that confirm a jump by themselves
UNSET: Final = -1


@dataclass(slots=True)
class PartitionClock:
    """The clock of one partition; its fields are its durable state."""

    clock_ms: int = UNSET
    suspect_ms: int = UNSET
    suspect_account: int = 0
    suspect_events: int = 0

    def arrive(self, time_ms: I64, accounts: U64) -> tuple[I64, Mask]:
        """Take n events in order; return the clock after each, and which of them were ahead of it."""
        before = np.concatenate([[self.clock_ms if self.clock_ms != UNSET else time_ms[0]], time_ms])
        highest = np.maximum.accumulate(before)
        if not (time_ms > highest[:-1] + JUMP_MS).any():
            self.clock_ms = int(highest[-1])
            return highest[1:], np.zeros(len(time_ms), bool)
        clocks, ahead = np.empty(len(time_ms), np.int64), np.zeros(len(time_ms), bool)
        for i, (time, account) in enumerate(zip(time_ms.tolist(), accounts.tolist(), strict=True)):
            ahead[i] = not self._believe(time, account)
            clocks[i] = self.clock_ms
        return clocks, ahead

    def _believe(self, time_ms: int, account: int) -> bool:
        if self.clock_ms == UNSET or time_ms <= self.clock_ms + JUMP_MS:
            self.clock_ms = max(self.clock_ms, time_ms)
            return True
        if self.suspect_ms <= self.clock_ms + JUMP_MS:
            self.suspect_ms, self.suspect_account, self.suspect_events = time_ms, account, 1
            return False
        self.suspect_events += 1
        if account == self.suspect_account and self.suspect_events < REPEATS:
            self.suspect_ms = min(self.suspect_ms, time_ms)
            return False
        self.clock_ms = min(self.suspect_ms, time_ms)
        self.suspect_ms, self.suspect_events = UNSET, 0
        return self._believe(time_ms, account)
