"""A rate limit per account: what every gateway has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from detector.baselines.requests import Flag, Requests

HOUR_MS = 3_600_000


@dataclass(slots=True)
class RateLimit:
    """More than `per_hour` requests in an hour of the clock.

    500 is ten times what a busy person sends, and a third of the published rate limits of entry-level API tiers.
    """

    name: ClassVar[str] = "rate_limit"
    per_hour: int = 500
    _counts: dict[tuple[int, int], int] = field(default_factory=dict)
    _latest: int = 0

    def absorb(self, requests: Requests) -> list[Flag]:
        """Take the next chunk."""
        flags = []
        for account, time_ms in zip(requests.account.tolist(), requests.time_ms.tolist(), strict=True):
            hour = (account, time_ms // HOUR_MS)
            self._counts[hour] = self._counts.get(hour, 0) + 1
            if self._counts[hour] == self.per_hour + 1:
                flags.append(Flag(time_ms, (account,)))
        newest = int(np.max(requests.time_ms, initial=0)) // HOUR_MS
        if newest > self._latest:
            self._latest = newest
            self._counts = {key: n for key, n in self._counts.items() if key[1] >= newest - 1}
        return flags

    def finish(self) -> list[Flag]:
        """Nothing is left to say."""
        return []
