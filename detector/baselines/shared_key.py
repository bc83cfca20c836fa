"""The mechanism of three baselines: at least k accounts used the same thing within a day.

What everybody writes first. It has no notion of how common the thing is among ordinary customers,
which is why it accuses classes, offices and the users of every popular harness.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from detector.baselines.requests import Flag, Requests

DAY_MS = 86_400_000


@dataclass(slots=True)
class SharedKey:
    """Flags every account on a key that `at_least` accounts used within `window_ms`; the key is the group."""

    name: str
    column: Literal["prompt", "beginning", "prefix"]
    at_least: int
    window_ms: int = DAY_MS
    _last: dict[int, dict[int, int]] = field(default_factory=dict)
    _flagged: dict[int, set[int]] = field(default_factory=dict)

    def absorb(self, requests: Requests) -> list[Flag]:
        """Take the next chunk."""
        keys = getattr(requests, self.column)
        known = np.flatnonzero(keys)
        flags = []
        for key, account, time_ms in zip(
            keys[known].tolist(), requests.account[known].tolist(), requests.time_ms[known].tolist(), strict=True
        ):
            last = self._last.setdefault(key, {})
            fresh = account not in last
            last[account] = time_ms
            flagged = self._flagged.get(key)
            if flagged is None:
                if not fresh or len(last) < self.at_least:
                    continue
                for gone in [a for a, t in last.items() if t <= time_ms - self.window_ms]:
                    del last[gone]
                if len(last) < self.at_least:
                    continue
                flagged = self._flagged[key] = set()
            new = tuple(a for a in last if a not in flagged) if not flagged else (account,) * (account not in flagged)
            if new:
                flagged.update(new)
                flags.append(Flag(time_ms, new, f"{self.name}-{key:016x}"))
        return flags

    def finish(self) -> list[Flag]:
        """Nothing is left to say."""
        return []
