"""Out of proportion to its tier: far more output than others who pay for the same plan take.

Harmless causes: a power user, a shared family or team login on a personal plan, an agent left running.
The allowances are what a heavy but honest user of the plan takes in a day; they are guesses until calibrated on
your own accounts, which is why the ramp is a whole decade wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from detector.account import TIERS
from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class TierExcess:
    """Ramp from 0 at the tier's allowance to 1 at `excess` times that, in output tokens a day."""

    name: ClassVar[str] = "tier_excess"
    needs: ClassVar[tuple[Column, ...]] = (Column.TIER, Column.OUTPUT_TOKENS_24H)
    rises_with: ClassVar[tuple[Column, ...]] = (Column.OUTPUT_TOKENS_24H,)
    excess: float = 10.0  # so many times the allowance: full strength
    # free, pro, team, enterprise, api-1 to api-5: 2026-11, a guess in place of a calibration
    allowances: tuple[float, ...] = (5e4, 3e5, 1e6, 1e8, 1e6, 5e6, 2e7, 5e7, 1e8)

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account; NaN where tier or output is unknown."""
        return ramp.logarithmic(accounts[Column.OUTPUT_TOKENS_24H] / self._allowed(accounts), 1.0, self.excess)

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Output tokens in 24 hours."""
        return accounts.at(Column.OUTPUT_TOKENS_24H, row)

    def baseline(self, accounts: AccountColumns, row: int) -> float:
        """The tier's allowance."""
        return float(self._allowed(accounts)[row])

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        tier = TIERS[int(accounts.at(Column.TIER, row))]
        return (
            f"{self.value(accounts, row):,.0f} output tokens in 24 hours on tier {tier},"
            f" where a heavy user takes {self.baseline(accounts, row):,.0f}"
        )

    def _allowed(self, accounts: AccountColumns) -> F32:
        table = np.array([*self.allowances, np.nan], np.float32)
        tier = accounts[Column.TIER]
        return table[np.where(np.isnan(tier), len(self.allowances), tier).astype(np.int64)]
