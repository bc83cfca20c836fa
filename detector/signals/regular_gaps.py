"""Regular gaps: the pauses between requests are too alike for a person.

The spread of the logarithm of the pauses is 1.85 octaves for independent arrivals at a constant rate
(pi / sqrt(6) / ln 2) and more for people, whose pauses range from seconds to days; a timer has hardly any.
Harmless causes: a nightly evaluation, polling, a rate-limited client that sends at exactly its limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class RegularGaps:
    """Ramp from 0 at `loose_octaves` down to 1 at `timer_octaves`, from `least` pauses on."""

    name: ClassVar[str] = "regular_gaps"
    needs: ClassVar[tuple[Column, ...]] = (Column.GAPS_24H, Column.GAP_OCTAVES_24H)
    rises_with: ClassVar[tuple[Column, ...]] = ()
    loose_octaves: float = 1.2  # two thirds of what independent arrivals show
    timer_octaves: float = 0.3  # as steady as a timer: full strength
    least: float = 20.0  # pauses in 24 h, below which their spread says nothing

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account; NaN below `least` pauses."""
        enough = accounts[Column.GAPS_24H] >= self.least
        tight = ramp.linear(accounts[Column.GAP_OCTAVES_24H], self.loose_octaves, self.timer_octaves)
        return np.where(enough, tight, np.float32(np.nan))

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Spread of the pauses, in octaves."""
        return accounts.at(Column.GAP_OCTAVES_24H, row)

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """Spread where the ramp begins, in octaves."""
        return self.loose_octaves

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        return (
            f"{accounts.at(Column.GAPS_24H, row):.0f} pauses that differ by only {self.value(accounts, row):.2f}"
            " octaves; those between independent requests differ by 1.85"
        )
