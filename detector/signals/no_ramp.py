"""No ramp: a young account that is at once near its quota.

Customers try things out, integrate, and grow over weeks; an account bought for a harvest is used up from its first day.
Harmless causes: a hackathon or class on its one day, a customer who moves a working system to a new account, a licensed
bulk job with its own account.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class NoRamp:
    """Youth times use of the quota: full below `young_days` and above `near_quota`."""

    name: ClassVar[str] = "no_ramp"
    needs: ClassVar[tuple[Column, ...]] = (
        Column.AGE_DAYS,
        Column.QUOTA_TOKENS,
        Column.INPUT_TOKENS_24H,
        Column.OUTPUT_TOKENS_24H,
    )
    rises_with: ClassVar[tuple[Column, ...]] = (Column.INPUT_TOKENS_24H, Column.OUTPUT_TOKENS_24H)
    young_days: float = 3.0  # an account up to this age counts as fully young
    grown_days: float = 21.0  # by then most real API clients have had their busiest day
    some_quota: float = 0.3  # share of a day's quota where the ramp begins ...
    near_quota: float = 0.9  # ... and where it ends

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account; NaN where age, quota or tokens are unknown."""
        youth = ramp.linear(accounts[Column.AGE_DAYS], self.grown_days, self.young_days)
        return youth * ramp.linear(_used(accounts), self.some_quota, self.near_quota)

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Share of the daily quota used in 24 hours."""
        return float(_used(accounts)[row])

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """Share of the quota where the ramp begins."""
        return self.some_quota

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        return (
            f"{accounts.at(Column.AGE_DAYS, row):.1f} days old and already at {100 * self.value(accounts, row):.0f} %"
            " of its daily quota"
        )


def _used(accounts: AccountColumns) -> F32:
    tokens: F32 = accounts[Column.INPUT_TOKENS_24H] + accounts[Column.OUTPUT_TOKENS_24H]
    quota: F32 = np.maximum(accounts[Column.QUOTA_TOKENS], np.float32(1))
    return tokens / quota
