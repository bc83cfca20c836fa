"""Fixed rules as dr_platform ships them: too many requests a minute; many tokens and hardly any from the cache."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from detector.baselines.requests import Flag, Requests

MINUTE_MS = 60_000


@dataclass(slots=True)
class TokenRules:
    """> 60 requests in a minute, or > 150,000 tokens with < 5 % of the input cached in 15 minutes (of the clock).

    Judged when the slice of the clock is over or at its next request; unknown cache counts do not flag.
    """

    name: ClassVar[str] = "token_rules"
    requests_per_minute: int = 60
    tokens: int = 150_000
    cached_share: float = 0.05
    _minutes: dict[tuple[int, int], int] = field(default_factory=dict)
    _quarters: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    _flagged: set[int] = field(default_factory=set)
    _latest_ms: int = 0

    def absorb(self, requests: Requests) -> list[Flag]:
        """Take the next chunk."""
        flags = []
        columns = (
            requests.account,
            requests.time_ms,
            requests.input_tokens,
            requests.output_tokens,
            requests.cached_tokens,
        )
        for account, time_ms, asked, answered, cached in zip(*(c.tolist() for c in columns), strict=True):
            if account in self._flagged:
                continue
            minute = (account, time_ms // MINUTE_MS)
            self._minutes[minute] = self._minutes.get(minute, 0) + 1
            quarter = self._quarters.setdefault((account, time_ms // (15 * MINUTE_MS)), [0.0, 0.0, 0.0])
            quarter[0] += asked + answered  # NaN spreads: what is unknown is not over any limit
            quarter[1] += asked
            quarter[2] += cached
            heavy = quarter[0] > self.tokens and quarter[2] < self.cached_share * quarter[1]
            if heavy or self._minutes[minute] > self.requests_per_minute:
                self._flagged.add(account)
                flags.append(Flag(time_ms, (account,)))
        self._forget(requests)
        return flags

    def finish(self) -> list[Flag]:
        """Nothing is left to say."""
        return []

    def _forget(self, requests: Requests) -> None:
        newest = int(np.max(requests.time_ms, initial=0))
        if newest > self._latest_ms + 15 * MINUTE_MS:
            self._latest_ms = newest
            oldest = newest - 60 * MINUTE_MS
            self._minutes = {k: v for k, v in self._minutes.items() if k[1] * MINUTE_MS >= oldest}
            self._quarters = {k: v for k, v in self._quarters.items() if k[1] * 15 * MINUTE_MS >= oldest}
