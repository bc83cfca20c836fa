"""Probing: many requests are refused, as when somebody tries out what the model gives away.

Campaigns test their techniques before they scale up (12,000 requests, most of them refused, in a public report).
Harmless causes: red-teaming under contract, a moderation service that passes on what its users write, a broken prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class Probing:
    """Ramp over the share of refused requests; prompts that look like probes count half as much."""

    name: ClassVar[str] = "probing"
    needs: ClassVar[tuple[Column, ...]] = (Column.OUTCOMES_24H, Column.REFUSED_24H)
    rises_with: ClassVar[tuple[Column, ...]] = (Column.REFUSED_24H,)
    ordinary_share: float = 0.1  # of its requests are refused: where the ramp begins
    extreme_share: float = 0.6  # "most refused"
    least: float = 20.0  # requests with a known outcome in 24 h, below which a share says nothing

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account; NaN below `least` known outcomes."""
        refused = ramp.linear(self._share(accounts), self.ordinary_share, self.extreme_share)
        tried = ramp.share(accounts[Column.PROBES_24H], accounts[Column.TEXTS_24H], self.least)
        tries = np.nan_to_num(ramp.linear(tried, self.ordinary_share, self.extreme_share))
        return np.maximum(refused, refused * np.float32(0.5) + tries * np.float32(0.5))

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Share of refused requests."""
        return float(self._share(accounts)[row])

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """Share where the ramp begins."""
        return self.ordinary_share

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        n = accounts.at(Column.OUTCOMES_24H, row)
        return f"{100 * self.value(accounts, row):.0f} % of {n:.0f} requests were refused"

    def _share(self, accounts: AccountColumns) -> F32:
        return ramp.share(accounts[Column.REFUSED_24H], accounts[Column.OUTCOMES_24H], self.least)
